//! Counts what became of the messages of one `send`, so that every message is in exactly one column.

use std::time::Duration;

use iothub_profile::{Error, Fate};
use serde_json::{Value, json};

use crate::connect::failure;
use crate::exit::{Class, Failure};
use crate::sending::Place;

/// What became of the messages so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Handed to the connection.
    pub(crate) sent: u64,
    /// The hub has them.
    pub(crate) accepted: u64,
    /// The hub, or its size limit, refused them.
    pub(crate) rejected: u64,
    /// A broker gave them back as they are. A hub does not.
    pub(crate) released: u64,
    /// A broker gave them back changed. A hub does not.
    pub(crate) modified: u64,
    /// Sent settled: nobody says what became of them.
    pub(crate) settled: u64,
    /// The connection broke before the hub answered.
    pub(crate) unknown: u64,
    /// Read from the input, and proven not to have reached the hub.
    pub(crate) not_sent: u64,
    /// Bytes of the bodies accepted, or sent settled.
    pub(crate) accepted_bytes: u64,
    first: Option<Failure>,
    stopped_by: Option<Failure>,
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

    /// A message was sent settled: it is on its way, and that is all.
    pub(crate) fn settle(&mut self, bytes: usize) {
        self.settled = self.settled.saturating_add(1);
        self.accepted_bytes = self.accepted_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A message was refused.
    pub(crate) fn reject(&mut self, failure: Failure) {
        self.rejected = self.rejected.saturating_add(1);
        self.keep(failure);
    }

    /// A broker gave a message back as it is.
    pub(crate) fn release(&mut self, failure: Failure) {
        self.released = self.released.saturating_add(1);
        self.keep(failure);
    }

    /// A broker gave a message back changed.
    pub(crate) fn modify(&mut self, failure: Failure) {
        self.modified = self.modified.saturating_add(1);
        self.keep(failure);
    }

    /// Nobody will ever know what became of a message.
    pub(crate) fn lose(&mut self, failure: Failure) {
        self.unknown = self.unknown.saturating_add(1);
        self.keep(failure);
    }

    /// A message that was handed over is proven not to have left, which ends the run.
    pub(crate) fn never_sent(&mut self, failure: Failure) {
        self.sent = self.sent.saturating_sub(1);
        self.not_sent = self.not_sent.saturating_add(1);
        self.stop(failure);
    }

    /// A message that was handed over failed; what the error proves decides the column. `place` is where it is in the
    /// input. Tells whether the connection still serves the next message.
    pub(crate) fn fail(&mut self, error: &Error, place: Place) -> bool {
        let told = place.during(failure(error));
        match error.fate() {
            Some(Fate::Refused) => {
                self.rejected = self.rejected.saturating_add(1);
                self.keep(told);
                return true;
            }
            Some(Fate::NotSent) => {
                self.sent = self.sent.saturating_sub(1);
                self.not_sent = self.not_sent.saturating_add(1);
            }
            _ => self.unknown = self.unknown.saturating_add(1),
        }
        self.stop(told);
        false
    }

    /// The hub has not answered for a message, and is not waited for any longer.
    pub(crate) fn give_up(&mut self, why: &str) {
        self.lose(Failure::new(Class::OutcomeUnknown, why));
    }

    /// Remembers the failure that ends the run, besides the one to report.
    pub(crate) fn stop(&mut self, failure: Failure) {
        self.stopped_by.get_or_insert_with(|| failure.clone());
        self.keep(failure);
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
        let ended = [self.accepted, self.rejected, self.released, self.modified, self.settled, self.unknown];
        ended.into_iter().fold(self.sent, u64::saturating_sub)
    }

    /// The failure to end with, if any message failed; it names what stopped the run, too.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let first = self.first.clone()?;
        let is_same = |stop: &&Failure| stop.what() == first.what();
        let stopped_by = self.stopped_by.as_ref().filter(|stop| !is_same(stop)).cloned();
        let told = if first.class() == Class::OutcomeUnknown && self.unknown > 1 {
            first.during(&format!("the outcome of {} messages is unknown; of the first", self.unknown))
        } else {
            first
        };
        Some(match stopped_by {
            Some(stop) => told.stopped_by(stop.what()),
            None => told,
        })
    }

    /// The summary for people, one line.
    pub(crate) fn text(&self, took: Duration) -> String {
        let Self { sent, accepted, rejected, unknown, not_sent, .. } = self;
        let counts = format!(
            "sent {sent}, accepted {accepted}, rejected {rejected}, unknown {unknown}, not sent {not_sent}"
        );
        timed(&counts, self.accepted, took)
    }

    /// The summary for people of a send to a broker, one line.
    pub(crate) fn broker_text(&self, took: Duration) -> String {
        let Self { sent, accepted, rejected, released, modified, unknown, not_sent, .. } = self;
        let settled = match self.settled {
            0 => String::new(),
            settled => format!("settled without an outcome {settled}, "),
        };
        let counts = format!(
            "sent {sent}, {settled}accepted {accepted}, rejected {rejected}, released {released}, modified {modified}, \
             unknown {unknown}, not sent {not_sent}"
        );
        timed(&counts, self.accepted.max(self.settled), took)
    }

    /// The summary for programs of a send to a broker.
    pub(crate) fn broker_json(&self, took: Duration) -> Value {
        json!({
            "sent": self.sent,
            "settled": self.settled,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "released": self.released,
            "modified": self.modified,
            "unknown": self.unknown,
            "not_sent": self.not_sent,
            "bytes": self.accepted_bytes,
            "seconds": took.as_secs_f64(),
        })
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

/// The counts and their time, and the rate of `done` where it says something.
fn timed(counts: &str, done: u64, took: Duration) -> String {
    let text = format!("{counts} in {:.2} s", took.as_secs_f64());
    if took < SHORTEST_RATED { text } else { format!("{text} ({:.0} messages/s)", per_second(done, took)) }
}

/// A rate, for people.
pub(crate) fn per_second(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people; 2^53 messages are out of reach")]
    let count = count as f64;
    count / took.as_secs_f64().max(0.001)
}

/// A rate over less time than this says nothing.
const SHORTEST_RATED: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use iothub_profile::ErrorKind;

    use super::*;

    fn error(kind: ErrorKind, fate: Fate, what: &str) -> Error {
        Error::new(kind, what).with_fate(fate)
    }

    fn line(number: u64) -> Place {
        Place { index: 0, line: Some(number) }
    }

    #[test]
    fn every_message_is_in_one_column() {
        let mut tally = Tally::default();
        (0..5).for_each(|_| tally.hand_over());
        tally.accept(10);
        tally.accept(10);
        let big = error(ErrorKind::TooLarge, Fate::Refused, "big");
        assert!(tally.fail(&big, Place::default()), "the next message may still be sent");
        assert!(!tally.fail(&error(ErrorKind::OutcomeUnknown, Fate::Unknown, "gone"), Place::default()));
        assert_eq!((tally.accepted, tally.rejected, tally.unknown, tally.waiting()), (2, 1, 1, 1));
        assert!(!tally.fail(&error(ErrorKind::Unreachable, Fate::NotSent, "down"), Place::default()));
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
    fn a_message_not_sent_over_a_stolen_link_is_not_counted_as_rejected() {
        let mut tally = Tally::default();
        tally.hand_over();
        assert!(
            !tally.fail(&error(ErrorKind::Refused, Fate::NotSent, "not sent: link stolen"), Place::default())
        );
        assert_eq!((tally.sent, tally.rejected, tally.not_sent), (0, 0, 1));
        let mut tally = Tally::default();
        tally.hand_over();
        assert!(
            tally.fail(&error(ErrorKind::Unreachable, Fate::Refused, "internal error"), Place::default())
        );
        assert_eq!((tally.sent, tally.rejected, tally.not_sent), (1, 1, 0), "rejected, whatever the reason");
    }

    #[test]
    fn the_failure_that_stopped_the_run_is_named_beside_the_first() {
        let mut tally = Tally::default();
        (0..3).for_each(|_| tally.hand_over());
        tally.fail(&error(ErrorKind::TooLarge, Fate::Refused, "big"), line(7));
        tally.fail(&error(ErrorKind::Refused, Fate::NotSent, "stolen"), line(8));
        let text = tally.failure().unwrap().to_string();
        assert!(
            text.starts_with("error: line 7: big\n") && text.contains("stopped by: line 8: stolen\n"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_outcome_is_reported_before_an_earlier_refusal_and_with_its_number() {
        let mut tally = Tally::default();
        tally.fail(&error(ErrorKind::TooLarge, Fate::Refused, "big"), Place::default());
        tally.fail(&error(ErrorKind::OutcomeUnknown, Fate::Unknown, "gone"), Place::default());
        tally.fail(&error(ErrorKind::OutcomeUnknown, Fate::Unknown, "gone too"), Place::default());
        let failure = tally.failure().unwrap();
        assert_eq!(failure.class(), Class::OutcomeUnknown);
        let text = failure.to_string();
        assert!(
            text.starts_with("error: the outcome of 2 messages is unknown; of the first: gone\n"),
            "{text}"
        );
        assert!(!text.contains("stopped by"), "told once: {text}");
    }

    #[test]
    fn a_run_too_short_to_be_rated_has_no_rate() {
        assert!(!Tally::default().text(Duration::from_millis(99)).contains("messages/s"));
        assert!(Tally::default().text(Duration::from_millis(100)).contains("messages/s"));
    }
}
