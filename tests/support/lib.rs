//! Shared support of the workspace tests.

pub mod hub;
pub mod relay;
