//! The readers that follow a partition live, and how far each has confirmed what it got.
//!
//! A device hears that its message was accepted only when the readers that follow live have it: were the hub gone the next
//! moment, nothing would have been reported accepted that nobody can read any more. A reader that does not confirm in time
//! loses its voice, so that it can hold nobody up for long. Pure state: who waits, and for how long, is decided elsewhere.

use std::time::{Duration, Instant};

use super::readers::ReaderId;

/// The followers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    followers: Vec<Follower>,
    /// When the floor last rose.
    rose: Option<Instant>,
}

#[derive(Debug)]
struct Follower {
    id: ReaderId,
    /// The first sequence number it has not confirmed.
    confirmed: i64,
    has_voice: bool,
    /// How often in a row it lost its voice.
    strikes: u8,
}

impl Followers {
    /// A reader begins at sequence number `start` of a partition whose next event gets number `end`.
    pub(crate) fn join(&mut self, id: ReaderId, start: i64, end: i64) {
        self.followers.push(Follower { id, confirmed: start, has_voice: is_near(start, end), strikes: 0 });
    }

    /// A reader has everything before sequence number `next`.
    pub(crate) fn confirm(&mut self, id: ReaderId, next: i64, end: i64, now: Instant) {
        let before = self.floor();
        self.note(id, next, end);
        if self.floor() > before {
            self.rose = Some(now);
        }
    }

    /// A reader has ended.
    pub(crate) fn leave(&mut self, id: ReaderId) {
        self.followers.retain(|follower| follower.id != id);
    }

    /// The sequence number before which every follower with a voice has everything; the highest there is without any.
    pub(crate) fn floor(&self) -> i64 {
        let voices = self.followers.iter().filter(|follower| follower.has_voice);
        voices.map(|follower| follower.confirmed).min().unwrap_or(i64::MAX)
    }

    /// Until when to wait for followers to have what was stored at `stored`: they may take a moment as long as they get on,
    /// and not for ever.
    pub(crate) fn deadline(&self, stored: Instant) -> Instant {
        let moment = self.rose.map_or(stored, |rose| rose.max(stored)) + PATIENCE;
        moment.min(stored + LONGEST)
    }

    /// Whoever has not confirmed everything before `end` took too long.
    pub(crate) fn silence(&mut self, end: i64) {
        for follower in
            self.followers.iter_mut().filter(|follower| follower.has_voice && follower.confirmed < end)
        {
            follower.has_voice = false;
            follower.strikes = follower.strikes.saturating_add(1);
        }
    }

    fn note(&mut self, id: ReaderId, next: i64, end: i64) {
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.id == id) else { return };
        follower.confirmed = follower.confirmed.max(next);
        if follower.has_voice {
            follower.strikes = 0;
        } else {
            follower.has_voice = follower.strikes < MAX_STRIKES && is_near(next, end);
        }
    }
}

/// Whether a reader at `next` follows live: a little behind is what every reader is.
fn is_near(next: i64, end: i64) -> bool {
    end.saturating_sub(next) <= NEAR
}

/// Events a reader may be behind and still follow live.
const NEAR: i64 = 4096;

/// How long a reader may be silent before the device is told without it.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a message may wait for readers that are merely slow.
const LONGEST: Duration = Duration::from_secs(2);

/// Lost voices in a row after which a reader is not asked again: it confirms late by design, or never.
const MAX_STRIKES: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::time::Now;

    const A: ReaderId = ReaderId(1);
    const B: ReaderId = ReaderId(2);

    #[test]
    fn the_floor_is_what_every_live_reader_has() {
        let (mut followers, now) = (Followers::default(), Now::origin().instant);
        assert_eq!(followers.floor(), i64::MAX, "without readers there is nothing to wait for");
        followers.join(A, 10, 10);
        followers.join(B, 10, 10);
        followers.confirm(A, 15, 20, now);
        assert_eq!(followers.floor(), 10);
        followers.confirm(B, 12, 20, now);
        assert_eq!(followers.floor(), 12);
        followers.leave(B);
        assert_eq!(followers.floor(), 15);
    }

    #[test]
    fn a_reader_far_behind_has_no_voice_until_it_has_caught_up() {
        let (mut followers, now) = (Followers::default(), Now::origin().instant);
        followers.join(A, 0, 100_000);
        assert_eq!(followers.floor(), i64::MAX);
        followers.confirm(A, 50_000, 100_000, now);
        assert_eq!(followers.floor(), i64::MAX);
        followers.confirm(A, 99_000, 100_000, now);
        assert_eq!(followers.floor(), 99_000);
    }

    #[test]
    fn a_reader_that_keeps_confirming_late_is_no_longer_asked() {
        let (mut followers, now) = (Followers::default(), Now::origin().instant);
        followers.join(A, 0, 0);
        for end in 1..=4 {
            assert_eq!(followers.floor(), end - 1);
            followers.silence(end);
            assert_eq!(followers.floor(), i64::MAX);
            followers.confirm(A, end, end, now);
        }
        assert_eq!(followers.floor(), i64::MAX);
    }

    #[test]
    fn confirming_in_time_wipes_earlier_strikes_out() {
        let (mut followers, now) = (Followers::default(), Now::origin().instant);
        followers.join(A, 0, 0);
        for end in [1, 3, 5, 7, 9, 11] {
            followers.silence(end);
            followers.confirm(A, end, end, now);
            followers.confirm(A, end + 1, end + 1, now);
        }
        assert_eq!(followers.floor(), 12);
    }

    #[test]
    fn readers_that_get_on_are_waited_for_and_silent_ones_are_not() {
        let (mut followers, now) = (Followers::default(), Now::origin().instant);
        let after = |ms| now + Duration::from_millis(ms);
        followers.join(A, 0, 0);
        assert_eq!(followers.deadline(now), after(250));
        followers.confirm(A, 1, 10, after(200));
        assert_eq!(followers.deadline(now), after(450));
        followers.confirm(A, 1, 10, after(400));
        assert_eq!(followers.deadline(now), after(450), "that was no progress");
        followers.confirm(A, 2, 10, after(1900));
        assert_eq!(followers.deadline(now), after(2000));
    }
}
