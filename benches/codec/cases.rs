//! The rows of the table: what is compared with what, and what must come out.
//!
//! What probably limits the rows that fall short. Instruction counts point there; the times of single steps are estimates:
//! - `data-1k-decode`, `telemetry-view`: each slice that is handed out costs an atomic increment and decrement, about ten
//!   nanoseconds, which is most of the first and a third of the second; the rest of the view is the walk over six sections.
//! - `frame-decode`: the reference count of the payload, and moving frame and performative out of the iterator.
//! - `telemetry-decode`: three allocations, reference counts for text above 22 octets, and some 5,000 instructions
//!   spread evenly over seventeen values.
//! - `telemetry-encode`, `map-encode`: each append to a `BytesMut` loads and stores its length, and the next one waits for
//!   it; only a writer that keeps its position in a register could go faster.

/// Runs a case so many times.
pub(crate) type Work = Box<dyn FnMut(u32)>;

/// One row.
pub(crate) struct Case {
    /// Our side's name.
    pub(crate) name: &'static str,
    /// The name of the case at fe2o3 that does the same work.
    pub(crate) peer: &'static str,
    /// The same at ntex.
    pub(crate) ntex: &'static str,
    /// How many times faster than fe2o3 ours has to be.
    pub(crate) ratio: f64,
    /// How many allocations ours may make.
    pub(crate) allocations: f64,
}

const fn case(
    name: &'static str,
    peer: &'static str,
    ntex: &'static str,
    ratio: f64,
    allocations: f64,
) -> Case {
    Case { name, peer, ntex, ratio, allocations }
}

/// All rows. A view, an iterator and an owned decode are compared with the one decode that the peers have.
pub(crate) const CASES: &[Case] = &[
    case("transfer-encode", "transfer-encode", "transfer-encode", 9.0, 0.0),
    case("transfer-decode", "transfer-decode", "transfer-decode", 8.0, 0.0),
    case("frame-decode", "frame-decode", "frame-decode", 8.0, 0.0),
    case("telemetry-encode", "telemetry-encode", "telemetry-encode", 8.0, 0.0),
    case("telemetry-build-encode", "telemetry-build-encode", "telemetry-build-encode", 8.0, 0.0),
    case("telemetry-view", "telemetry-decode", "telemetry-decode", 18.0, 0.0),
    case("telemetry-decode", "telemetry-decode", "telemetry-decode", 6.0, 3.0),
    case("map-encode", "map-encode", "map-encode", 4.0, 0.0),
    case("map-iterate", "map-decode", "map-decode", 15.0, 0.0),
    case("map-decode", "map-decode", "map-decode", 5.0, 8.0),
    case("data-1k-encode", "data-1k-encode", "data-1k-encode", 5.0, 0.0),
    case("data-1k-decode", "data-1k-decode", "data-1k-decode", 6.0, 0.0),
    case("data-64k-decode", "data-64k-decode", "data-64k-decode", 6.0, 0.0),
];

/// Frames in one stretch of the stream buffer.
pub(crate) const FRAMES: usize = 16;
