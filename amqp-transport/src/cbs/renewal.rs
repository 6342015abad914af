//! When a token is to be renewed.

use std::time::Duration;

use amqp_codec::Timestamp;

/// How long to wait, from `now`, before the token that expires at `expires` is put anew: 85 % of the life it has
/// left. Zero when it has expired.
///
/// Give the expiry written in the accepted token itself, and the moment it was accepted: renewal then leaves the
/// same share of every token's life for retries, however long the token lives.
// CBS-010: renew before expiry, on the same links.
#[must_use]
pub fn renew_in(now: Timestamp, expires: Timestamp) -> Duration {
    let life = u64::try_from(expires.0.saturating_sub(now.0)).unwrap_or(0);
    // Divided first: the life of a token may be as long as an i64 of milliseconds.
    Duration::from_millis(life / 100 * RENEW_AT_PERCENT + life % 100 * RENEW_AT_PERCENT / 100)
}

const RENEW_AT_PERCENT: u64 = 85;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_85_percent_of_its_life() {
        // CBS-010
        let now = Timestamp(1_700_000_000_000);
        let life = |milliseconds: i64| renew_in(now, Timestamp(now.0 + milliseconds));
        assert_eq!(life(3_600_000), Duration::from_secs(3_060));
        assert_eq!(life(7), Duration::from_millis(5));
        assert_eq!(life(0), Duration::ZERO);
        assert_eq!(life(-5_000), Duration::ZERO);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        assert_eq!(renew_in(Timestamp(i64::MAX), Timestamp(i64::MIN)), Duration::ZERO);
        assert!(renew_in(Timestamp(i64::MIN), Timestamp(i64::MAX)) > Duration::from_secs(1 << 40));
    }
}
