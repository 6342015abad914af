//! Ends in good order that wait: for links, sessions and the connection that are to be ended by this side while a large
//! message that was handed over is still leaving, frame by frame.
//!
//! Owns what is to be said, and until when it waits. Whoever is told of an end by the peer, or by a failure, waits no
//! more. It decides nothing about messages: what is cut off in the end is told so by the link's end, like any other.

use std::collections::BTreeMap;
use std::time::Instant;

use amqp_codec::Error;
use tracing::warn;

use super::answers::Asker;
use super::clock;
use super::shared::State;
use super::slots::{LinkPhase, SessionPhase};
use crate::engine::{DetachKind, SessionId};
use crate::error::ConnectionError;
use crate::handle::error::{DetachReason, EndReason, SendError};

/// The ends that wait.
#[derive(Debug, Default)]
pub(crate) struct Partings {
    links: BTreeMap<usize, Parting>,
    sessions: BTreeMap<usize, Parting>,
    connection: Option<Box<Parting>>,
    /// No later than the first of them is due.
    due: Option<Instant>,
}

/// What is to be said at an end.
#[derive(Debug)]
struct Parting {
    kind: DetachKind,
    error: Option<Box<Error>>,
    /// When it is said whatever still leaves; none where that is beyond what the clock can tell.
    until: Option<Instant>,
}

/// How long an end waits for what is leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For [`Limits::leave_time_out`](crate::engine::Limits::leave_time_out): somebody wants it to end.
    Limited,
    /// For [`Limits::abandon_time_out`](crate::engine::Limits::abandon_time_out): nobody waits for it.
    Long,
}

/// Whether a link takes messages to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gate {
    #[default]
    Open,
    /// The link is to be detached, or its session to be ended, or its connection to be closed.
    Link,
    Session,
    Connection,
}

impl Gate {
    /// Why nothing can be sent any more, if so.
    pub(crate) fn error(self) -> Option<SendError> {
        match self {
            Self::Open => None,
            Self::Link => Some(SendError::Detached(DetachReason::Local)),
            Self::Session => Some(SendError::Detached(DetachReason::SessionEnded(EndReason::Local))),
            Self::Connection => Some(SendError::Lost(ConnectionError::Closed)),
        }
    }
}

impl Partings {
    /// When the next end is due that has not been reached by itself.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) const fn is_closing(&self) -> bool {
        self.connection.is_some()
    }

    pub(crate) fn forget_link(&mut self, key: usize) {
        self.links.remove(&key);
    }

    pub(crate) fn forget_session(&mut self, key: usize) {
        self.sessions.remove(&key);
    }

    fn is_empty(&self) -> bool {
        self.links.is_empty() && self.sessions.is_empty() && self.connection.is_none()
    }

    fn hasten(&mut self, until: Option<Instant>) {
        self.due = match (self.due, until) {
            (Some(due), Some(until)) => Some(due.min(until)),
            (due, until) => due.or(until),
        };
    }
}

impl State {
    /// Detaches a link, once the message that is leaving it has left. Its end follows as an event.
    // A detach between the frames of a message would take the message back.
    pub(crate) fn part_link(
        &mut self,
        key: usize,
        kind: DetachKind,
        error: Option<Error>,
        patience: Patience,
    ) {
        let Some(slot) = self.links.get(key) else { return };
        let id = slot.id;
        if matches!(slot.phase, LinkPhase::Detached(_)) || self.partings.links.contains_key(&key) {
            return;
        }
        if !self.engine.is_link_busy(id) {
            self.say_detach(key, kind, error);
            return;
        }
        self.shut(key, Gate::Link);
        let parting = Parting { kind, error: error.map(Box::new), until: self.until(patience) };
        self.partings.hasten(parting.until);
        self.partings.links.insert(key, parting);
    }

    /// Ends a session, once the messages that are leaving it have left. Its end follows as an event.
    pub(crate) fn part_session(&mut self, key: usize, error: Option<Error>, patience: Patience) {
        let Some(slot) = self.sessions.get(key) else { return };
        let id = slot.id;
        if matches!(slot.phase, SessionPhase::Ended(_)) || self.partings.sessions.contains_key(&key) {
            return;
        }
        if !self.engine.is_session_busy(id) {
            self.say_end(key, error);
            return;
        }
        for link in self.links.keys() {
            if self.links.get(link).is_some_and(|slot| slot.session == Some(id)) {
                self.shut(link, Gate::Session);
            }
        }
        let parting =
            Parting { kind: DetachKind::Closed, error: error.map(Box::new), until: self.until(patience) };
        self.partings.hasten(parting.until);
        self.partings.sessions.insert(key, parting);
    }

    /// Closes the connection, once the messages that are leaving it have left.
    // C-018: close is the last that is ever written.
    pub(crate) fn part_connection(&mut self, error: Option<Error>) {
        if self.partings.is_closing() {
            return;
        }
        if !self.engine.is_busy() {
            self.say_close(error);
            return;
        }
        for link in self.links.keys() {
            self.shut(link, Gate::Connection);
        }
        let until = self.until(Patience::Limited);
        self.partings.hasten(until);
        self.partings.connection =
            Some(Box::new(Parting { kind: DetachKind::Closed, error: error.map(Box::new), until }));
    }

    /// What a link that is begun in this session finds: one of an end that waits takes no messages.
    pub(crate) fn gate_of(&self, session: Option<SessionId>) -> Gate {
        let key = session.and_then(|session| self.session_key(session));
        if self.partings.is_closing() {
            Gate::Connection
        } else if key.is_some_and(|key| self.partings.sessions.contains_key(&key)) {
            Gate::Session
        } else {
            Gate::Open
        }
    }

    /// Whether a session is to be ended.
    pub(crate) fn is_session_parting(&self, key: usize) -> bool {
        self.partings.is_closing() || self.partings.sessions.contains_key(&key)
    }

    /// A message has left, or a link or session is over: whoever waited for that goes on.
    pub(crate) fn go_on_parting(&mut self, link: Option<usize>, session: Option<SessionId>) {
        if self.partings.is_empty() {
            return;
        }
        if let Some(key) = link
            && let Some(id) = self.links.get(key).map(|slot| slot.id)
            && !self.engine.is_link_busy(id)
            && let Some(parting) = self.partings.links.remove(&key)
        {
            self.say_detach(key, parting.kind, parting.error.map(|error| *error));
        }
        if let Some(id) = session
            && let Some(key) = self.session_key(id)
            && !self.engine.is_session_busy(id)
            && let Some(parting) = self.partings.sessions.remove(&key)
        {
            self.say_end(key, parting.error.map(|error| *error));
        }
        if self.partings.is_closing()
            && !self.engine.is_busy()
            && let Some(parting) = self.partings.connection.take()
        {
            self.say_close(parting.error.map(|error| *error));
        }
        if self.partings.is_empty() {
            self.partings.due = None;
        }
    }

    /// Says what is due, though a peer that takes nothing cuts messages off by it.
    pub(crate) fn stop_parting(&mut self, now: Instant) {
        if self.partings.due.is_none_or(|due| due > now) {
            return;
        }
        let is_due = |parting: &Parting| parting.until.is_some_and(|until| until <= now);
        if self.partings.connection.as_deref().is_some_and(is_due)
            && let Some(parting) = self.partings.connection.take()
        {
            warn!("connection closed in the middle of a message that the peer did not take in time");
            self.say_close(parting.error.map(|error| *error));
            return;
        }
        for key in due_keys(&self.partings.sessions, is_due) {
            if let Some(parting) = self.partings.sessions.remove(&key) {
                warn!("session ended in the middle of a message that the peer did not take in time");
                self.say_end(key, parting.error.map(|error| *error));
            }
        }
        for key in due_keys(&self.partings.links, is_due) {
            if let Some(parting) = self.partings.links.remove(&key) {
                warn!("link detached in the middle of a message that the peer did not take in time");
                self.say_detach(key, parting.kind, parting.error.map(|error| *error));
            }
        }
        let partings = &mut self.partings;
        let connection = partings.connection.as_deref();
        let all = partings.links.values().chain(partings.sessions.values()).chain(connection);
        partings.due = all.filter_map(|parting| parting.until).min();
    }

    /// A link takes no more messages, and whoever waits to send one hears so.
    fn shut(&mut self, key: usize, gate: Gate) {
        if let Some(slot) = self.links.get_mut(key).filter(|slot| slot.gate == Gate::Open) {
            slot.gate = gate;
            slot.queue.notify_all(&mut self.wakes);
            slot.life.notify_all(&mut self.wakes);
        }
    }

    /// Until when to wait. The driver looks at its timer again.
    fn until(&mut self, patience: Patience) -> Option<Instant> {
        self.is_touched = true;
        let limits = &self.engine.config().limits;
        clock::now().checked_add(match patience {
            Patience::Limited => limits.leave_time_out,
            Patience::Long => limits.abandon_time_out,
        })
    }

    fn say_detach(&mut self, key: usize, kind: DetachKind, error: Option<Error>) {
        let Some(id) = self.links.get(key).map(|slot| slot.id) else { return };
        // Stale: it is detached already, and its end is on its way as an event.
        if self.engine.detach(id, kind, error).is_ok() {
            self.part(key, DetachReason::Local);
        }
        self.is_touched = true;
    }

    /// This side has detached a link: nothing passes any more, whenever the peer answers.
    pub(crate) fn part(&mut self, key: usize, reason: DetachReason) {
        let Some(slot) = self.links.get_mut(key) else { return };
        if slot.parted.is_none() {
            slot.parted = Some(Box::new(reason));
            slot.queue.notify_all(&mut self.wakes);
            slot.life.notify_all(&mut self.wakes);
            self.expect_answer(Asker::Link(key));
        }
    }

    fn say_end(&mut self, key: usize, error: Option<Error>) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        // Stale: it has ended already.
        if self.engine.end(slot.id, error).is_ok() {
            slot.is_ending = true;
            self.is_touched = true;
            self.expect_answer(Asker::Session(key));
        }
    }

    fn say_close(&mut self, error: Option<Error>) {
        self.partings = Partings::default();
        self.engine.close(error);
        self.is_touched = true;
    }
}

fn due_keys(partings: &BTreeMap<usize, Parting>, is_due: impl Fn(&Parting) -> bool) -> Vec<usize> {
    partings.iter().filter(|(_, parting)| is_due(parting)).map(|(key, _)| *key).collect()
}
