//! The engine against itself and against literal frames: no sockets, no runtime, its own clock.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod attaches;
mod begins;
mod connection;
mod deciding;
mod deliveries;
mod endpoints;
mod flow;
mod frames;
mod links;
mod outcomes;
mod pair;
mod regressions;
mod resume;
mod resume_foreign;
mod resume_parts;
mod resume_regressions;
mod resume_runs;
mod sasl;
mod scale;
mod script;
mod secrets;
mod sessions;
mod soak;
mod timing;
