//! Counts what became of the messages of one `send`, so that every message is in exactly one column.

use std::time::Duration;

use serde_json::{Value, json};

use crate::exit::{Class, Failure};

/// What became of the messages so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Handed to the connection.
    pub(crate) sent: u64,
    /// The hub has them.
    pub(crate) accepted: u64,
    /// The hub, or its size limit, refused them.
    pub(crate) rejected: u64,
    /// The connection broke before the hub answered.
    pub(crate) unknown: u64,
    /// Read from the input, and proven not to have reached the hub.
    pub(crate) not_sent: u64,
    /// Bytes of the bodies accepted.
    pub(crate) accepted_bytes: u64,
    first: Option<Failure>,
}

impl Tally {
    /// A message was handed to the connection.
    pub(crate) fn hand_over(&mut self) {
        self.sent = self.sent.saturating_add(1);
    }

    /// A message reached the hub, which keeps it.
    pub(crate) fn accept(&mut self, bytes: usize) {
        self.accepted = self.accepted.saturating_add(1);
        self.accepted_bytes = self.accepted_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A message that was handed over failed; the class of the failure decides the column. Tells whether the
    /// connection still serves the next one.
    pub(crate) fn fail(&mut self, failure: Failure) -> bool {
        let class = failure.class();
        match class {
            Class::OutcomeUnknown => self.unknown = self.unknown.saturating_add(1),
            Class::Refused | Class::TooLarge => self.rejected = self.rejected.saturating_add(1),
            _ => {
                self.sent = self.sent.saturating_sub(1);
                self.not_sent = self.not_sent.saturating_add(1);
            }
        }
        self.keep(failure);
        matches!(class, Class::Refused | Class::TooLarge)
    }

    /// So many messages were never handed over.
    pub(crate) fn skip(&mut self, count: u64) {
        self.not_sent = self.not_sent.saturating_add(count);
    }

    /// Remembers the failure to report: the first one, but an unknown outcome before any other.
    pub(crate) fn keep(&mut self, failure: Failure) {
        let unknown = |failure: &Failure| failure.class() == Class::OutcomeUnknown;
        if self.first.as_ref().is_none_or(|first| unknown(&failure) && !unknown(first)) {
            self.first = Some(failure);
        }
    }

    /// Messages that wait for the hub's answer.
    pub(crate) fn waiting(&self) -> u64 {
        self.sent.saturating_sub(self.accepted).saturating_sub(self.rejected).saturating_sub(self.unknown)
    }

    /// The failure to end with, if any message failed.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.first.clone()
    }

    /// The summary for people, one line.
    pub(crate) fn text(&self, took: Duration) -> String {
        format!(
            "sent {}, accepted {}, rejected {}, unknown {}, not sent {} in {:.2} s ({:.0} messages/s)",
            self.sent,
            self.accepted,
            self.rejected,
            self.unknown,
            self.not_sent,
            took.as_secs_f64(),
            per_second(self.accepted, took),
        )
    }

    /// The summary for programs.
    pub(crate) fn json(&self, took: Duration) -> Value {
        json!({
            "sent": self.sent,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "unknown": self.unknown,
            "not_sent": self.not_sent,
            "accepted_bytes": self.accepted_bytes,
            "seconds": took.as_secs_f64(),
        })
    }
}

/// A rate, for people.
pub(crate) fn per_second(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people; 2^53 messages are out of reach")]
    let count = count as f64;
    count / took.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_in_one_column() {
        let mut tally = Tally::default();
        (0..5).for_each(|_| tally.hand_over());
        tally.accept(10);
        tally.accept(10);
        assert!(tally.fail(Failure::new(Class::TooLarge, "big")), "the next message may still be sent");
        assert!(!tally.fail(Failure::new(Class::OutcomeUnknown, "gone")));
        assert_eq!((tally.accepted, tally.rejected, tally.unknown, tally.waiting()), (2, 1, 1, 1));
        assert!(!tally.fail(Failure::new(Class::Unreachable, "down")));
        assert_eq!(
            (tally.sent, tally.not_sent, tally.waiting()),
            (4, 1, 0),
            "what was never sent is not counted as sent"
        );
        assert_eq!(
            tally.text(Duration::from_secs(2)),
            "sent 4, accepted 2, rejected 1, unknown 1, not sent 1 in 2.00 s (1 messages/s)"
        );
    }

    #[test]
    fn an_unknown_outcome_is_reported_before_an_earlier_refusal() {
        let mut tally = Tally::default();
        tally.fail(Failure::new(Class::TooLarge, "big"));
        tally.fail(Failure::new(Class::OutcomeUnknown, "gone"));
        tally.fail(Failure::new(Class::OutcomeUnknown, "gone too"));
        let failure = tally.failure().unwrap();
        assert_eq!(failure.class(), Class::OutcomeUnknown);
        assert!(failure.to_string().contains("gone\n"));
    }
}
