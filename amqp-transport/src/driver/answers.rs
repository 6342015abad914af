//! Answers that the peer owes: to begins, attaches, detaches and ends of this side.
//!
//! Owns until when each of them is waited for. It decides nothing about frames: what the engine says and drops of a link
//! or session that is waited for no more is the engine's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tracing::warn;

use super::clock;
use super::shared::State;
use super::slots::{LinkPhase, SessionPhase, WasUsable};
use crate::handle::error::{DetachReason, EndReason};

/// Who waits for an answer of the peer's, by the key of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    Link(usize),
    Session(usize),
}

/// The answers that are waited for, and until when.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    until: BTreeMap<Asker, Instant>,
    by_time: BTreeSet<(Instant, Asker)>,
}

impl Answers {
    /// When the next of them is waited for no more.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.by_time.first().map(|(until, _)| *until)
    }

    /// It has come, or nobody asks any more.
    pub(crate) fn forget(&mut self, asker: Asker) {
        if let Some(until) = self.until.remove(&asker) {
            self.by_time.remove(&(until, asker));
        }
    }

    fn set(&mut self, asker: Asker, until: Instant) {
        self.forget(asker);
        self.until.insert(asker, until);
        self.by_time.insert((until, asker));
    }

    fn take_due(&mut self, now: Instant) -> Option<Asker> {
        let (until, asker) = *self.by_time.first()?;
        if until > now {
            return None;
        }
        self.forget(asker);
        Some(asker)
    }
}

impl State {
    /// The peer is asked for something, and given [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out).
    pub(crate) fn expect_answer(&mut self, asker: Asker) {
        // Beyond what the clock can tell: for ever.
        match clock::now().checked_add(self.engine.config().limits.answer_time_out) {
            Some(until) => self.answers.set(asker, until),
            None => self.answers.forget(asker),
        }
    }

    /// Waits no longer for what is due.
    pub(crate) fn stop_waiting(&mut self, now: Instant) {
        while let Some(asker) = self.answers.take_due(now) {
            match asker {
                Asker::Link(key) => self.give_up_link(key),
                Asker::Session(key) => self.give_up_session(key),
            }
        }
    }

    // S-036, L-004: what is left on the wire is a link that is detached on this side, and the peer's to detach.
    fn give_up_link(&mut self, key: usize) {
        let Some(id) = self.links.get(key).map(|slot| slot.id) else { return };
        warn!(link = ?id, "the peer did not answer an attach or a detach in time");
        // Stale: its end is on its way as an event.
        let _ = self.engine.give_up_link(id);
        self.is_touched = true;
        self.dispatch_all();
        // Not where the engine knew better.
        let is_waiting =
            |slot: &super::slots::LinkSlot| slot.id == id && !matches!(slot.phase, LinkPhase::Detached(_));
        if self.links.get(key).is_some_and(is_waiting) {
            self.finish_link(key, DetachReason::Unanswered, WasUsable::Yes);
        }
    }

    // S-009: what is left on the wire is a session that is ended on this side, and the peer's to end.
    fn give_up_session(&mut self, key: usize) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let id = slot.id;
        warn!(session = ?id, "the peer did not answer a begin or an end in time");
        if matches!(slot.phase, SessionPhase::Beginning) {
            slot.is_ending = true;
            // Stale: its end is on its way as an event.
            let _ = self.engine.end(id, None);
            self.is_touched = true;
        }
        self.finish_session(key, EndReason::Unanswered);
        self.go_on_parting(None, None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_question_of_an_asker_counts_and_an_answered_one_is_not_due() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut answers = Answers::default();
        answers.set(Asker::Link(1), at(1));
        answers.set(Asker::Session(1), at(2));
        answers.set(Asker::Link(1), at(3));
        assert_eq!(answers.due(), Some(at(2)));
        answers.forget(Asker::Session(1));
        assert_eq!(answers.take_due(at(2)), None);
        assert_eq!(answers.take_due(at(3)), Some(Asker::Link(1)));
        assert_eq!((answers.due(), answers.until.len()), (None, 0));
    }
}
