//! The `iothub` command as a person or a script meets it: the built binary, its output and its exit codes, against
//! the emulator in a process of its own. Every run has a deadline, so that nothing can hang unnoticed.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

mod brokers;
mod demo;
mod devices;
mod faults;
mod networks;
mod telemetry;
mod wrong_credentials;
mod wrong_input;
mod wrong_peers;
