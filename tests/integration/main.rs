//! Tests that cross rooms.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod codec_refusals;
mod corpora;
mod cuts;
mod fe2o3;
mod fe2o3_resuming;
mod fuzz_seeds;
mod hostile;
mod late;
mod requirements;
mod seed_page;
mod simulation;
mod spec_tables;
mod structure;
mod traces;
mod types;
mod vectors;
mod wrong_input;
