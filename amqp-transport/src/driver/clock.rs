//! The one place of the transport that reads a clock.

use std::time::Instant;

/// Monotonic time, which stands still where tokio's test clock is paused.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
