//! What the benchmarks share: a counting allocator, readings of the process's own costs, medians, other makers' programs.
//!
//! Nothing here knows a protocol. Readings come from `/proc`, so the figures are Linux's; elsewhere the
//! costs read as zero and only messages per second remain.

pub mod allocations;
pub mod calls;
pub mod costs;
pub mod memory;
pub mod peers;
pub mod statistics;
