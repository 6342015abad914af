//! Shared support of the workspace tests.
