//! The rows of the table: what is compared with what, and what must come out.
//!
//! What limits a row, by instruction counts and by the times of single steps:
//! - a slice that is handed out costs an atomic increment and decrement, eleven to twelve nanoseconds: two thirds of
//!   `data-1k-decode` and a third of `frame-decode` and `telemetry-view`;
//! - a move of a large value that was written in smaller pieces waits for these stores, some five nanoseconds each time:
//!   frames and messages are put together where they are returned, and the results are looked at where they are;
//! - each append to a `BytesMut` loads and stores its length, and the next one waits for it: `telemetry-encode`;
//! - `map-encode` is a copy, because a map is kept as it is written; what that costs before is in `map-build-encode`, where
//!   more than half goes into the texts of keys and values and into the memory for them, on both sides.

/// Runs a case so many times.
pub(crate) type Work = Box<dyn FnMut(u32)>;

/// One row.
pub(crate) struct Case {
    /// Our side's name.
    pub(crate) name: &'static str,
    /// The name of the case that does the same work at the peers.
    pub(crate) peer: &'static str,
    /// How many times faster than fe2o3 ours has to be.
    pub(crate) ratio: f64,
    /// How many allocations ours may make.
    pub(crate) allocations: f64,
}

const fn case(name: &'static str, peer: &'static str, ratio: f64, allocations: f64) -> Case {
    Case { name, peer, ratio, allocations }
}

/// All rows. A view, an iterator and an owned decode are compared with the one decode that the peers have.
pub(crate) const CASES: &[Case] = &[
    case("transfer-encode", "transfer-encode", 9.0, 0.0),
    case("transfer-decode", "transfer-decode", 8.0, 0.0),
    case("frame-decode", "frame-decode", 8.0, 0.0),
    case("telemetry-encode", "telemetry-encode", 8.0, 0.0),
    case("telemetry-build-encode", "telemetry-build-encode", 8.0, 0.0),
    case("telemetry-view", "telemetry-decode", 18.0, 0.0),
    case("telemetry-decode", "telemetry-decode", 6.0, 1.0),
    case("map-encode", "map-encode", 4.0, 0.0),
    case("map-build-encode", "map-build-encode", 1.0, BUILDING),
    case("map-iterate", "map-decode", 15.0, 0.0),
    case("map-decode", "map-decode", 5.0, 0.0),
    case("data-1k-encode", "data-1k-encode", 5.0, 0.0),
    case("data-1k-view", "data-1k-decode", 6.0, 0.0),
    case("data-1k-decode", "data-1k-decode", 6.0, 0.0),
    case("data-64k-decode", "data-64k-decode", 6.0, 0.0),
];

/// Allocations of a map of 100 entries that is built: the text of its keys and values before it is entered, the octets as
/// they grow, and the index of its keys.
const BUILDING: f64 = 136.0;

/// Frames in one stretch of the stream buffer.
pub(crate) const FRAMES: usize = 16;
