//! Tests that cross rooms.

mod structure;
