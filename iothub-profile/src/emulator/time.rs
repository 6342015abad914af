//! The two clocks of the emulator, always passed in: monotonic time for locks and intervals, wall time for stamps and expiry.

use std::time::{Duration, Instant};

/// One reading of both clocks. The pure state takes it as an argument and never asks for the time itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Monotonic time: locks and intervals are measured with it.
    pub(crate) instant: Instant,
    /// Wall time in milliseconds since 1970-01-01T00:00:00Z: stamps and expiry are in it.
    pub(crate) wall_ms: i64,
}

impl Now {
    /// Monotonic time at which the wall clock will show `wall_ms`; this very instant when that is past.
    pub(crate) fn instant_of(&self, wall_ms: i64) -> Instant {
        let ahead = u64::try_from(wall_ms.saturating_sub(self.wall_ms)).unwrap_or(0).min(FAR_MS);
        self.instant.checked_add(Duration::from_millis(ahead)).unwrap_or(self.instant)
    }

    /// This reading moved forward by `by` on both clocks.
    #[cfg(test)]
    pub(crate) fn after(&self, by: Duration) -> Self {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self { instant: self.instant + by, wall_ms: self.wall_ms + ms }
    }

    /// An arbitrary beginning of time for tests.
    #[cfg(test)]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
    pub(crate) fn origin() -> Self {
        Self { instant: Instant::now(), wall_ms: 1_700_000_000_000 }
    }
}

/// Milliseconds of a duration as the wire's signed 64 bits.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Deadlines further away than this (a year) are not worth exact arithmetic.
const FAR_MS: u64 = 365 * 24 * 3600 * 1000;
