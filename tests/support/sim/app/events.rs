//! What the engine tells: every event is one that the other end's deeds account for, at a time when it may come.

use amqp_codec::{Attach, DeliveryState, ErrorCondition, SaslCode};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{
    DetachCause, DetachKind, EndCause, Event, IncomingDelivery, LinkEnd, LinkId, SessionId,
};

use super::super::ledger::{Ledger, Status};
use super::{App, AppLink, AppSession, Held, State};

impl App {
    /// Looks at one event; `false` when there is none.
    pub(crate) fn handle_event(&mut self, ledger: &mut Ledger) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        assert!(self.closed.is_none(), "{:?}: {event:?} after the last event", self.side);
        match event {
            Event::SaslInit { .. } => {
                // The decision may come after the connection is given up.
                let _ = self.engine.sasl_outcome(SaslCode::Ok, None);
            }
            Event::Opened { .. } => {
                let _ = self.engine.open();
            }
            Event::SessionRequested { session, .. } => {
                self.sessions.push(AppSession { id: session, state: State::Requested });
            }
            Event::SessionBegun { session, .. } => {
                let known = self.session(session);
                assert!(matches!(known.state, State::Asked | State::Leaving), "{session:?} begun twice");
                if known.state == State::Asked {
                    known.state = State::Open;
                }
            }
            Event::SessionEnded { session, cause, error } => {
                self.session_ended(session, cause, error.as_ref(), ledger);
            }
            Event::AttachRequested { link, session, attach } => {
                self.requested(link, session, &attach, ledger)
            }
            Event::LinkAttached { link, attach } => {
                let known = self.link(link);
                assert!(matches!(known.state, State::Asked | State::Leaving), "{link:?} attached twice");
                if known.state == State::Asked {
                    known.state = State::Open;
                }
                known.resumes |= attach.unsettled.is_some();
                known.snd_settle_mode =
                    if known.is_sender { known.snd_settle_mode } else { attach.snd_settle_mode };
                let number = known.number;
                self.check(!ledger.links[number].is_refused, || format!("{link:?} attached though refused"));
                self.flush(link, ledger);
            }
            Event::LinkSuspended { link, state } => self.suspended(link, state, ledger),
            Event::LinkDetached { link, kind, cause, error } => {
                self.detached(link, kind, cause, error.as_ref(), ledger);
            }
            Event::DeliveryResumed { link, delivery, tag } => self.resumed(link, delivery, tag, ledger),
            Event::SettledBefore { link, tag, .. } => self.settled_before(link, tag, ledger),
            Event::Unresolved { link, user } => self.unresolved(link, user as usize, ledger),
            Event::Writable { link } => {
                self.link(link).is_blocked = false;
                self.flush(link, ledger);
            }
            Event::Sent { link, user } => {
                self.link(link);
                let message = &mut ledger.messages[user as usize];
                assert!(message.status != Status::Aborted, "an aborted message has left");
                assert!(!std::mem::replace(&mut message.has_told_sent, true), "a message that leaves twice");
            }
            Event::Aborted { link, user } => {
                self.link(link);
                let message = &ledger.messages[user as usize];
                assert!(message.status == Status::Aborted, "a message that nobody gave up");
                assert!(!message.has_told_sent, "a message that has left is given up");
            }
            Event::DrainRequested { link } => self.link(link).is_drain_asked = true,
            Event::Delivery { link, delivery } => self.delivered(link, delivery, ledger),
            Event::Settled { link, user, state } => self.settled(link, user as usize, state.as_ref(), ledger),
            Event::OutcomeTold { link, delivery, user, state } => {
                self.told(link, delivery, user as usize, state, ledger);
            }
            Event::StateChanged { link, user, state } => {
                self.link(link);
                let told = ledger.messages[user as usize].progress.contains(&state);
                self.check(told, || format!("{state:?} that nobody told"));
            }
            Event::RemoteSettled { link, delivery, state } => {
                let known = self.link(link);
                let place = known.held.iter().position(|held| held.id == delivery);
                let crossed = known.crossed.iter().position(|held| held.id == delivery);
                let held = match (place, crossed) {
                    (Some(place), _) => Some(known.held.remove(place)),
                    (None, Some(place)) => Some(known.crossed.remove(place)),
                    (None, None) => None,
                };
                // What was taken without being kept, its application has let go of.
                let is_taken = self.link(link).is_taken;
                let is_due = is_taken
                    || held.is_some_and(|held| {
                        let verdict =
                            ledger.messages.get(held.message).and_then(|message| message.verdict.clone());
                        held.told.is_some() && verdict.or(held.told) == state
                    });
                self.check(is_due, || format!("{delivery:?} settled by its sender with {state:?}"));
            }
            Event::Closed { reason } => self.finished(reason, ledger),
            Event::Drained { link } => self.drained(link),
            Event::LinkState { link, properties } => self.state_told(link, &properties, ledger),
            Event::FlowAnswered { link, number } => self.answered(link, number),
            _ => {}
        }
        true
    }

    fn session(&mut self, id: SessionId) -> &mut AppSession {
        let side = self.side;
        self.sessions
            .iter_mut()
            .find(|session| session.id == id)
            .unwrap_or_else(|| panic!("the {side:?} is told of {id:?}, which it does not know (any more)"))
    }

    fn session_ended(
        &mut self,
        id: SessionId,
        cause: EndCause,
        error: Option<&amqp_codec::Error>,
        ledger: &Ledger,
    ) {
        let state = self.session(id).state;
        let (_, peer) = self.places();
        let is_due = match cause {
            EndCause::Local => state == State::Leaving,
            EndCause::Remote => ledger.course.has_ended[peer],
            _ => false,
        };
        let place = self.place(id);
        if let Some(termini) = &mut self.termini {
            termini.session_ended(place, self.now);
        }
        self.check(is_due, || format!("{id:?} ended: {cause:?} {error:?}"));
        assert!(self.links.iter().all(|link| link.session != id), "{id:?} ended before its links");
        self.sessions.retain(|session| session.id != id);
    }

    fn requested(&mut self, id: LinkId, session: SessionId, attach: &Attach, ledger: &mut Ledger) {
        self.session(session);
        let number = attach
            .properties
            .as_ref()
            .and_then(|fields| fields.get("number"))
            .and_then(|value| value.as_u64());
        let number = number.and_then(|number| usize::try_from(number).ok());
        self.check(number.is_some(), || "an attach without its number".to_owned());
        let number =
            number.filter(|number| *number < ledger.links.len()).unwrap_or_else(|| ledger.add_link());
        let is_sender = attach.role == amqp_codec::Role::Receiver;
        self.links.push(AppLink {
            request: Some(Box::new(attach.clone())),
            snd_settle_mode: attach.snd_settle_mode,
            rcv_settle_mode: attach.rcv_settle_mode,
            resumes: attach.unsettled.is_some(),
            ..AppLink::new(id, session, attach.name.clone(), is_sender, number, State::Requested)
        });
    }

    fn detached(
        &mut self,
        id: LinkId,
        kind: DetachKind,
        cause: DetachCause,
        error: Option<&amqp_codec::Error>,
        ledger: &mut Ledger,
    ) {
        let (_, peer) = self.places();
        let link = self.link(id);
        let (number, state, is_sender, session) = (link.number, link.state, link.is_sender, link.session);
        // Maps that were not whole are told anew: a sender sees to that by itself.
        let retells = link.resumes && kind == DetachKind::Suspended;
        let record = &ledger.links[number];
        let is_due = match cause {
            DetachCause::Remote if retells && !is_sender => true,
            // Its peer may have closed it at the same time.
            DetachCause::Incomplete => link.resumes && is_sender,
            DetachCause::Refused => record.is_refused,
            DetachCause::Remote => record.is_detached_by[peer] || link.is_taken,
            DetachCause::Local => state == State::Leaving,
            DetachCause::Stolen => link.is_taken,
            DetachCause::SessionEnded => {
                ledger.course.has_ended[peer] || self.session(session).state == State::Leaving
            }
            _ => false,
        };
        self.check(is_due, || format!("{id:?} in state {state:?} detached: {cause:?} {error:?}"));
        let hears_all = matches!(cause, DetachCause::Local | DetachCause::Remote);
        if is_sender && hears_all && self.is_honest {
            let unheard =
                ledger.open_on(number).into_iter().find(|message| ledger.messages[*message].is_settled_there);
            assert_eq!(unheard, None, "{id:?} is detached, and an outcome given before was not told");
        }
        if let Some(place) = self.links.iter().position(|link| link.id == id) {
            let link = self.links.remove(place);
            // Where the engine was first, to tell maps anew, our close came too late.
            let is_closed = link.is_closing && cause == DetachCause::Local;
            assert!(!is_closed || link.suspended.is_none(), "{id:?} was closed for good");
            self.part_with(link, reach(cause), ledger);
        }
    }

    fn delivered(&mut self, id: LinkId, delivery: IncomingDelivery, ledger: &mut Ledger) {
        let is_honest = self.is_honest;
        let link = self.link(id);
        assert!(!link.is_sender, "a delivery at its sender");
        link.judge_dry(delivery.message.len(), is_honest);
        let number = link.number;
        let (held, tag) = (delivery.id, delivery.tag);
        if !is_honest || link.is_taken {
            if !delivery.is_settled {
                self.link(id).held.push(Held { id: held, tag, message: usize::MAX, told: None });
            }
            return;
        }
        let due = if link.resumes { self.which(id, &delivery, ledger) } else { ledger.next_due(number) };
        let Some(due) = due else { panic!("{delivery:?} that nobody sent") };
        // The sender may have gone on already when its last attach's events are looked at.
        assert!(ledger.was_on(due, number), "message {due} on another link");
        let octets = ledger.octets(due);
        let message = &mut ledger.messages[due];
        assert_eq!(delivery.message, octets, "message {due} arrived differently");
        assert_eq!(delivery.message_format, message.format, "of message {due}");
        assert_eq!(delivery.is_settled, message.is_settled, "of message {due}");
        assert!(message.tag.is_none_or(|tag| tag == delivery.tag), "message {due} under another tag");
        let is_work = matches!(delivery.state.as_deref(), Some(DeliveryState::TransactionalState(_)));
        assert_eq!(is_work, message.is_work, "the transaction of message {due}");
        assert!(!std::mem::replace(&mut message.is_delivered, true), "message {due} delivered twice");
        ledger.deliveries += 1;
        if !delivery.is_settled {
            self.link(id).held.push(Held { id: held, tag, message: due, told: None });
        }
        if ledger.messages[due].control.is_some() {
            self.coordinate(id, due, ledger);
        }
        if let (Some(state), Some(_)) = (&delivery.state, ledger.messages[due].transaction) {
            self.take_work(id, due, state, ledger);
        }
    }

    fn settled(&mut self, id: LinkId, number: usize, state: Option<&DeliveryState>, ledger: &mut Ledger) {
        let link = self.link(id);
        link.undecided.retain(|undecided| undecided.message != number);
        let link = link.number;
        let message = &mut ledger.messages[number];
        assert!(message.link == link && !message.is_settled, "message {number} was sent settled");
        assert_eq!(message.status, Status::Sent, "message {number} settled again");
        message.status = Status::Settled;
        let told = message.outcome.clone();
        message.is_provisional |= message.refusal.is_none() && message.verdict.is_none();
        if let Some(control) = message.control {
            self.control_answered(id, control, state, ledger);
        }
        self.check(state.is_some() && told.as_ref() == state, || {
            format!("message {number} settled with {state:?}, its receiver said {told:?}")
        });
        ledger.outcomes += 1;
    }

    fn finished(&mut self, reason: ConnectionError, ledger: &mut Ledger) {
        let (own, peer) = self.places();
        let is_due = match &reason {
            ConnectionError::Closed => ledger.course.has_closed[own],
            ConnectionError::ClosedByPeer => ledger.course.has_closed[peer],
            ConnectionError::Remote(error) => {
                ledger.course.has_closed_badly[peer]
                    || (ledger.course.has_timed_out
                        && error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED)
            }
            ConnectionError::EndOfStream => {
                ledger.course.is_cut || ledger.course.has_closed[peer] || ledger.course.has_timed_out
            }
            // Judged against the clock where they happen.
            ConnectionError::IdleTimeout | ConnectionError::Timeout { .. } => true,
            _ => false,
        };
        self.check(is_due, || format!("closed: {reason:?}"));
        for link in std::mem::take(&mut self.links) {
            self.part_with(link, LinkEnd::ConnectionClosed, ledger);
        }
        if let Some(termini) = &mut self.termini {
            termini.connection_closed(self.connection, self.now);
        }
        self.sessions.clear();
        self.closed = Some(reason);
    }
}

/// How far the end of a link reaches.
fn reach(cause: DetachCause) -> LinkEnd {
    match cause {
        DetachCause::SessionEnded => LinkEnd::SessionEnded,
        DetachCause::Stolen => LinkEnd::Stolen,
        _ => LinkEnd::Detached,
    }
}
