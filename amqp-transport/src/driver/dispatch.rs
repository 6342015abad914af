//! The engine's events, put where their handles look for them.

use std::sync::Arc;

use amqp_codec::{Begin, Error, ErrorCondition, Outcome, Role as LinkRole};
use tracing::{debug, warn};

use super::answers::Asker;
use super::inbox::Drain;
use super::listening::{AttachRequest, DecidesSessions, Role, SaslQuestion, SessionRequest};
use super::shared::State;
use super::slots::{LinkPhase, SessionPhase, WasUsable};
use super::survivors::Word;
use crate::engine::{DetachCause, EndCause, Event, Events, LinkId, SessionId};
use crate::error::{ConnectionError, RemoteError};
use crate::handle::error::{DetachReason, EndReason, SendError};
use crate::handle::options::Draining;

impl State {
    /// Takes all events the engine has.
    pub(crate) fn dispatch_all(&mut self) {
        while self.dispatch_next() {}
    }

    /// Takes the next event, if there is one.
    #[inline]
    pub(crate) fn dispatch_next(&mut self) -> bool {
        match self.engine.poll_events() {
            Some(Events::One(Event::Delivery { link, delivery })) => self.on_delivery(link, delivery),
            Some(Events::One(event)) => self.dispatch(event),
            Some(Events::Settled(settled)) => self.on_settled_run(&settled),
            None => return false,
        }
        true
    }

    fn dispatch(&mut self, event: Event) {
        match event {
            Event::Unresolved { link: _, user } => {
                if let Some(key) = self.pending.long(user) {
                    self.resolve(key, Err(SendError::OutcomeUnknown(DetachReason::NotRetained)));
                }
            }
            Event::LinkSuspended { link, state } => {
                let slot = self.link_key(link).and_then(|key| self.links.get_mut(key));
                if let Some(slot) = slot.filter(|slot| !slot.is_given_up) {
                    slot.suspended = Some(state);
                }
            }
            Event::DeliveryResumed { link, delivery, tag } => {
                self.on_survivor(link, tag, Word::Resumed(delivery));
            }
            Event::SettledBefore { link, tag, state } => {
                self.on_survivor(link, tag, Word::Settled(state));
            }
            Event::OutcomeTold { link: _, delivery: _, user, state } => {
                if let Some(key) = self.pending.long(user) {
                    self.on_told(key, state);
                }
            }
            Event::Sent { link, user } => self.on_sent(link, user),
            Event::Aborted { link, .. } => self.on_left(link),
            Event::Writable { link } => self.on_writable(link),
            Event::SaslInit { mechanism, initial_response, hostname } => {
                self.on_sasl(SaslQuestion::Init { mechanism, initial_response, hostname });
            }
            Event::SaslResponse { response } => self.on_sasl(SaslQuestion::Response(response)),
            Event::Opened { remote } => self.on_opened(remote),
            Event::SessionRequested { session, begin } => self.on_session_requested(session, begin),
            Event::SessionBegun { session, begin } => self.on_session_begun(session, begin),
            Event::SessionEnded { session, cause, error } => {
                if let Role::Listener(listener) = &mut self.role {
                    listener.answer_session(session, &mut self.wakes);
                }
                if let Role::Listener(listener) = &self.role
                    && let Some(termini) = &listener.termini
                {
                    termini.session_ended(session);
                }
                if let Some(key) = self.session_key(session) {
                    self.finish_session(key, end_reason(cause, error));
                }
                self.go_on_parting(None, None);
            }
            Event::AttachRequested { link, session, attach } => {
                if let Role::Listener(listener) = &mut self.role {
                    listener.incoming.push(AttachRequest { link, session, attach });
                    listener.takers.notify(listener.waiting(), &mut self.wakes);
                }
            }
            Event::LinkAttached { link, attach } => {
                let (key, kept) = (self.link_key(link), self.engine.kept_attach(link));
                if let Some(key) = key
                    && let Some(slot) = self.links.get_mut(key)
                {
                    slot.inbox.mode = attach.rcv_settle_mode;
                    slot.attach = kept;
                    slot.phase = LinkPhase::Attached;
                    slot.life.notify_all(&mut self.wakes);
                    self.answers.forget(Asker::Link(key));
                }
            }
            Event::LinkDetached { link, cause, error, .. } => self.on_link_detached(link, cause, error),
            Event::DrainRequested { link } => self.on_drain_requested(link),
            Event::Drained { link } => {
                let slot = self.link_key(link).and_then(|key| self.links.get_mut(key));
                // Credit that was granted meanwhile has ended it.
                if let Some(slot) = slot.filter(|slot| slot.inbox.drain == Drain::Asked) {
                    slot.inbox.drain = Drain::Done;
                    slot.inbox.drained = slot.inbox.drained.wrapping_add(1);
                    slot.life.notify_all(&mut self.wakes);
                }
            }
            Event::LinkState { link, properties } => {
                if let Some(slot) = self.link_key(link).and_then(|key| self.links.get_mut(key)) {
                    let number = slot.told.as_ref().map_or(0, |told| told.0).wrapping_add(1);
                    slot.told = Some(Box::new((number, properties)));
                    slot.life.notify_all(&mut self.wakes);
                }
            }
            Event::FlowAnswered { link, number } => {
                if let Some(slot) = self.link_key(link).and_then(|key| self.links.get_mut(key)) {
                    slot.inbox.answered = number;
                    slot.life.notify_all(&mut self.wakes);
                }
            }
            Event::LinkFailed { link, role, cause, error } => self.on_link_failed(link, role, cause, error),
            Event::RemoteSettled { link, delivery, state } => {
                let slot = self.link_key(link).and_then(|key| self.links.get_mut(key));
                if let Some(waiting) = slot.and_then(|slot| slot.inbox.confirmations.get_mut(&delivery)) {
                    waiting.settled = Some(state);
                    if let Some(waker) = waiting.waker.take() {
                        self.wakes.wake(waker);
                    }
                }
            }
            Event::Closed { reason } => self.on_closed(&reason),
            // Nothing waits for these: SASL success shows as an open, and non-terminal states are not outcomes.
            _ => {}
        }
    }

    fn on_session_begun(&mut self, session: SessionId, begin: Arc<Begin>) {
        let Some(key) = self.session_key(session) else { return };
        self.answers.forget(Asker::Session(key));
        if let Some(slot) = self.sessions.get_mut(key) {
            slot.phase = SessionPhase::Begun;
            slot.remote_begin = Some(begin);
            slot.life.notify_all(&mut self.wakes);
        }
    }

    /// The engine detaches a link by itself.
    fn on_link_failed(&mut self, link: LinkId, role: LinkRole, cause: DetachCause, error: Option<Error>) {
        let Some(key) = self.link_key(link) else { return };
        let reason = detach_reason(cause, error);
        // Nobody need wait for the peer's answer to know that nothing more comes; of what was sent, outcomes may.
        match role {
            LinkRole::Sender => self.part(key, reason),
            LinkRole::Receiver => self.finish_link(key, reason, WasUsable::Yes),
        }
    }

    fn on_session_requested(&mut self, session: SessionId, begin: Arc<Begin>) {
        let Role::Listener(listener) = &mut self.role else { return };
        match listener.decides_sessions {
            DecidesSessions::Library => {
                let config = listener.session_config.clone();
                // Stale: the peer ended it already. Too large: it is ended, and the peer told why.
                let _ = self.engine.accept_session(session, config);
            }
            DecidesSessions::Application => {
                listener.incoming.begin_session(session);
                listener.sessions.push_back(SessionRequest { session, begin });
                listener.takers.notify(listener.waiting(), &mut self.wakes);
            }
        }
    }

    /// A large message has left. Those sent settled wait for that, and the link's end in good order.
    fn on_sent(&mut self, link: LinkId, user: u32) {
        let Some(link_key) = self.link_key(link) else { return };
        self.resolve_sent(link, link_key, user);
        self.on_left(link);
    }

    /// No large message is leaving a link any more, for the time being.
    fn on_left(&mut self, link: LinkId) {
        let Some(link_key) = self.link_key(link) else { return };
        self.go_on_parting(Some(link_key), self.links.get(link_key).and_then(|slot| slot.session));
    }

    fn resolve_sent(&mut self, link: LinkId, link_key: usize, user: u32) {
        let Some(key) = self.pending.long(user) else { return };
        let waits =
            self.pending.get(key).is_some_and(|pending| pending.is_settled && pending.link == link_key);
        // One that is still leaving has its own event to come; this one is of a message nobody waits for.
        if waits && !self.engine.is_link_busy(link) {
            self.resolve(key, Ok(Outcome::Accepted));
        }
    }

    fn on_writable(&mut self, link: LinkId) {
        let Some(slot) = self.link_key(link).and_then(|key| self.links.get_mut(key)) else { return };
        if slot.queue.has_waiting() {
            let credit = usize::try_from(self.engine.link_credit(link)).unwrap_or(usize::MAX);
            slot.queue.notify(credit.clamp(1, NOTIFY_AT_ONCE), &mut self.wakes);
        }
    }

    fn on_sasl(&mut self, question: SaslQuestion) {
        if let Role::Listener(listener) = &mut self.role {
            listener.sasl = Some(question);
            self.life.notify_all(&mut self.wakes);
        }
    }

    fn on_opened(&mut self, remote: Arc<amqp_codec::Open>) {
        debug!(container_id = %remote.container_id, "connection opened by the peer");
        if matches!(self.role, Role::Listener(_)) {
            // Closed already: the event that says so follows.
            let _ = self.engine.open();
        }
        self.remote_open = Some(remote);
        self.life.notify_all(&mut self.wakes);
    }

    fn on_link_detached(&mut self, link: LinkId, cause: DetachCause, error: Option<Error>) {
        if let Role::Listener(listener) = &mut self.role {
            listener.incoming.remove(link);
        }
        let Some(key) = self.link_key(link) else { return };
        if let Some(error) = &error {
            debug!(?link, ?cause, condition = %error.condition, "link detached");
        }
        let was_usable = match cause {
            DetachCause::Refused => WasUsable::Refused,
            _ => WasUsable::Yes,
        };
        let reason = if cause == DetachCause::SessionEnded && self.is_session_ending(key) {
            DetachReason::SessionEnded(EndReason::Local)
        } else {
            detach_reason(cause, error)
        };
        let session = self.links.get(key).and_then(|slot| slot.session);
        self.finish_link(key, reason, was_usable);
        self.go_on_parting(None, session);
    }

    // L-025: give the credit back when there is nothing to send; otherwise when that has gone.
    fn on_drain_requested(&mut self, link: LinkId) {
        let Some(key) = self.link_key(link) else { return };
        let Some(slot) = self.links.get_mut(key) else { return };
        slot.is_drain_requested = true;
        let has_nothing = match slot.draining {
            Draining::Automatic => slot.queue.is_empty(),
            Draining::ByApplication => slot.idle > 0,
        };
        if has_nothing {
            self.answer_drain(key);
        } else {
            slot.queue.notify(NOTIFY_AT_ONCE, &mut self.wakes);
        }
    }

    fn on_closed(&mut self, reason: &ConnectionError) {
        match reason {
            ConnectionError::Closed | ConnectionError::ClosedByPeer => debug!("connection closed"),
            other => warn!(reason = %other, "connection lost"),
        }
        self.fail(reason);
    }
}

fn detach_reason(cause: DetachCause, error: Option<Error>) -> DetachReason {
    let error = error.map(RemoteError::from);
    match (cause, error) {
        (DetachCause::Local, _) => DetachReason::Local,
        (DetachCause::Stolen, _) => DetachReason::Stolen,
        (DetachCause::Incomplete, _) => DetachReason::Incomplete,
        (DetachCause::NoHandle, _) => DetachReason::NoHandle,
        (DetachCause::Unanswered, _) => DetachReason::Unanswered,
        (DetachCause::Violation, Some(error)) if is_limit(&error) => DetachReason::OverLimit(error),
        (DetachCause::Violation, Some(error)) => DetachReason::Violation(error),
        (DetachCause::SessionEnded, Some(error)) => DetachReason::SessionEnded(EndReason::Remote(error)),
        (DetachCause::SessionEnded, None) => DetachReason::SessionEnded(EndReason::ByPeer),
        (_, Some(error)) => DetachReason::Remote(error),
        (_, None) => DetachReason::ByPeer,
    }
}

fn end_reason(cause: EndCause, error: Option<Error>) -> EndReason {
    let error = error.map(RemoteError::from);
    match (cause, error) {
        (EndCause::Local, _) => EndReason::Local,
        (EndCause::Violation, Some(error)) if is_limit(&error) => EndReason::OverLimit(error),
        (EndCause::Violation, Some(error)) => EndReason::Violation(error),
        (_, Some(error)) => EndReason::Remote(error),
        (_, None) => EndReason::ByPeer,
    }
}

/// Whether this side ended something for a limit of its own: within it, the peer did nothing wrong.
fn is_limit(error: &RemoteError) -> bool {
    error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED
}

/// Senders woken at once; each that succeeds passes the turn on.
pub(crate) const NOTIFY_AT_ONCE: usize = 64;
