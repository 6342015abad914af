//! Shared support of the workspace tests.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

pub mod hub;
pub mod relay;
pub mod sim;
pub mod traces;
pub mod typed;
