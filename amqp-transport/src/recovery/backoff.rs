//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential back-off with jitter: before retry `x` wait
/// `min(least + (2^(x-1) - 1) × random(step × jitter_low, step × jitter_high), most)`.
///
/// This is the rule of Azure's own device SDKs, with their constants as defaults, so that a fleet of mixed clients
/// behaves alike after an outage. It never gives up by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The step that doubles (`C`).
    pub step: Duration,
    /// The shortest wait (`Cmin`).
    pub least: Duration,
    /// The longest wait (`Cmax`).
    pub most: Duration,
    /// Lower end of the factor that random numbers spread the step by.
    pub jitter_low: f64,
    /// Upper end of that factor.
    pub jitter_high: f64,
    /// What the first retry does.
    pub first: FirstRetry,
}

/// What the first retry after a loss does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRetry {
    /// It happens at once: most losses are short.
    Immediate,
    /// It waits like the others.
    Waits,
}

impl Backoff {
    /// For ordinary losses: 100 ms steps from 100 ms to 10 s, ±20 %, the first retry at once.
    pub const NORMAL: Self = Self {
        step: Duration::from_millis(100),
        least: Duration::from_millis(100),
        most: Duration::from_secs(10),
        jitter_low: 0.8,
        jitter_high: 1.2,
        first: FirstRetry::Immediate,
    };

    /// For a peer that throttles: 5 s steps from 10 s to 60 s, and no retry at once.
    pub const THROTTLED: Self = Self {
        step: Duration::from_secs(5),
        least: Duration::from_secs(10),
        most: Duration::from_secs(60),
        jitter_low: 0.5,
        jitter_high: 0.75,
        first: FirstRetry::Waits,
    };

    /// How long to wait before retry number `attempt` (1 is the first), with `random` drawn evenly from 0 to 1.
    /// Numbers outside that range count as its nearest end.
    #[must_use]
    pub fn next_delay(&self, attempt: u32, random: f64) -> Duration {
        let doublings = match (self.first, attempt) {
            (_, 0) | (FirstRetry::Immediate, 1) => return Duration::ZERO,
            (FirstRetry::Immediate, later) => later.saturating_sub(2),
            (FirstRetry::Waits, any) => any.saturating_sub(1),
        };
        // Past 2^32 steps every sensible `most` is reached; the bound keeps the arithmetic finite.
        let steps = f64::from(doublings.min(MOST_DOUBLINGS)).exp2() - 1.0;
        let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 0.0 };
        let jitter = self.jitter_low + (self.jitter_high - self.jitter_low) * random;
        let wait = self.least.as_secs_f64() + steps * self.step.as_secs_f64() * jitter;
        Duration::try_from_secs_f64(wait).unwrap_or(self.most).min(self.most)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::NORMAL
    }
}

const MOST_DOUBLINGS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_retry_is_immediate_and_the_rest_double_from_the_least() {
        let middle = |attempt| Backoff::NORMAL.next_delay(attempt, 0.5).as_millis();
        let waits: Vec<u128> = (1..=9).map(middle).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
    }

    #[test]
    fn jitter_spreads_the_steps_and_never_the_least() {
        let ends = |attempt| [0.0, 1.0].map(|random| Backoff::NORMAL.next_delay(attempt, random).as_millis());
        assert_eq!(ends(2), [100, 100]);
        assert_eq!(ends(4), [100 + 240, 100 + 360]);
    }

    #[test]
    fn a_throttled_client_waits_from_the_first_retry_on() {
        let waits: Vec<f64> =
            (1..=6).map(|attempt| Backoff::THROTTLED.next_delay(attempt, 1.0).as_secs_f64()).collect();
        assert_eq!(waits, [10.0, 13.75, 21.25, 36.25, 60.0, 60.0]);
    }

    #[test]
    fn no_input_overflows_or_panics() {
        for attempt in [0, 1, 33, u32::MAX] {
            for random in [-1.0, 2.0, f64::NAN, f64::INFINITY] {
                assert!(Backoff::NORMAL.next_delay(attempt, random) <= Backoff::NORMAL.most);
            }
        }
        let absurd = Backoff { most: Duration::MAX, step: Duration::MAX, ..Backoff::NORMAL };
        assert_eq!(absurd.next_delay(u32::MAX, 1.0), Duration::MAX);
    }
}
