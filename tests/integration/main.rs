//! Tests that cross rooms.

mod fuzz_seeds;
mod structure;
mod vectors;
