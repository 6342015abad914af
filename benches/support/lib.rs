//! Shared support of the benchmarks.
