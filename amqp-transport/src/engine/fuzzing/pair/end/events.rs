//! What an end is told by its engine, held to what the other end did.

use std::time::{Duration, Instant};

use amqp_codec::{DeliveryState, ErrorCondition, Fields, Role};

use super::super::ledger::{Fate, Ledger, number_of};
use super::{End, Known};
use crate::engine::{DetachCause, EndCause, Event, IncomingDelivery, LinkId};
use crate::error::ConnectionError;

impl End {
    pub(in super::super) fn poll(&mut self, ledger: &mut Ledger, now: Instant) {
        self.now = now;
        while let Some(event) = self.engine.poll_event() {
            assert!(!self.is_closed, "{event:?} after the last event");
            self.events += 1;
            self.handle(event, ledger);
        }
    }

    fn handle(&mut self, event: Event, ledger: &mut Ledger) {
        match event {
            Event::Opened { .. } => {
                let _ = self.engine.open();
            }
            Event::SessionRequested { session, .. } => self.asked_sessions.push(session),
            Event::SessionEnded { session, cause, error } => {
                assert_ne!(cause, EndCause::Violation, "an honest end is accused: {error:?}");
                assert!(
                    self.links.iter().all(|link| link.session != session),
                    "{session:?} ends before its links"
                );
                self.sessions.retain(|known| *known != session);
                self.asked_sessions.retain(|known| *known != session);
            }
            Event::AttachRequested { link, session, attach } => {
                let is_sender = attach.role == Role::Receiver;
                self.links.push(Known::new(link, session, attach.name.clone(), is_sender));
                self.asked_links.push((link, attach));
            }
            Event::LinkAttached { link, .. } => self.known(link).is_attached = true,
            Event::LinkSuspended { link, state } => {
                let link = self.known(link);
                let key = (link.is_sender, link.name.clone());
                self.kept.insert(key, state);
            }
            Event::LinkDetached { link, cause, error, .. } => {
                assert_ne!(cause, DetachCause::Violation, "an honest end is accused: {error:?}");
                self.known(link);
                self.links.retain(|known| known.id != link);
                self.asked_links.retain(|known| known.0 != link);
            }
            Event::Writable { link } => self.known(link).is_blocked = false,
            Event::Sent { link, user } => {
                self.known(link);
                let has_left = std::mem::replace(&mut ledger.message(user).has_left, true);
                assert!(!has_left || self.is_resumed(link, ledger), "message {user} leaves twice");
            }
            Event::Aborted { link, user } => {
                self.known(link);
                // One that is resumed may have left before, on the link that was lost.
                let has_left = ledger.message(user).has_left && !self.is_resumed(link, ledger);
                assert!(!has_left, "message {user} is given up after it has left");
            }
            Event::DrainRequested { link } => self.known(link).is_drain_asked = true,
            Event::Drained { link } | Event::FlowAnswered { link, .. } | Event::LinkFailed { link, .. } => {
                self.known(link);
            }
            Event::LinkState { link, properties } => self.state_told(link, &properties, ledger),
            Event::Delivery { link, delivery } => self.delivered(link, delivery, ledger),
            Event::DeliveryResumed { link, delivery, tag } => {
                let from_client = !self.is_client;
                let link = self.known(link);
                if let Some(number) = ledger.by_tag(&link.name, from_client, tag) {
                    link.held.push((delivery, number));
                }
            }
            Event::Settled { link, user, state } => {
                self.settled(link, user, state.as_ref(), Fate::Settled, ledger)
            }
            Event::Unresolved { link, user } => self.settled(link, user, None, Fate::Unresolved, ledger),
            Event::OutcomeTold { link, user, state, .. } | Event::StateChanged { link, user, state } => {
                self.known(link);
                let message = ledger.message(user);
                assert!(message.told.contains(&state), "{state:?} of message {user} that nobody told");
            }
            Event::RemoteSettled { link, delivery, .. } => {
                self.known(link).held.retain(|held| held.0 != delivery);
            }
            Event::Closed { reason } => self.closed(&reason),
            _ => {}
        }
    }

    fn delivered(&mut self, id: LinkId, delivery: IncomingDelivery, ledger: &mut Ledger) {
        let from_client = !self.is_client;
        let link = self.known(id);
        assert!(!link.is_sender, "a delivery at its sender");
        let number = number_of(&delivery.message);
        let may_repeat = ledger.is_resumed(&link.name);
        assert_eq!(delivery.message, ledger.octets(number), "message {number} arrives differently");
        ledger.note_tag(&link.name, from_client, delivery.tag, number);
        let message = ledger.message(number);
        assert!(
            message.name == link.name && message.from_client == from_client,
            "message {number} on another link"
        );
        if message.is_settled || !may_repeat {
            assert!(!message.is_delivered, "message {number} is delivered twice");
        }
        assert!(may_repeat || link.last.is_none_or(|last| last < number), "message {number} out of order");
        assert!(delivery.is_settled || !message.is_settled, "message {number} was sent settled");
        assert!(
            !delivery.is_settled || message.is_settled || message.fate != Fate::Open,
            "message {number} comes settled, which nobody did"
        );
        assert_ne!(message.fate, Fate::Aborted, "message {number} was taken back");
        message.is_delivered = true;
        link.last = Some(number);
        if !delivery.is_settled {
            link.held.push((delivery.id, number));
        }
    }

    /// What the other end says beside credit: the last it said, or what it said before that.
    fn state_told(&mut self, id: LinkId, properties: &Fields, ledger: &Ledger) {
        let from_client = !self.is_client;
        let link = self.known(id);
        // What is acquired under a transaction is told there, too.
        let Some(said) = properties.get("said").and_then(|said| said.as_u64()) else {
            assert!(properties.get("txn-id").is_some(), "{:?} is told {properties:?}", link.name);
            return;
        };
        let most = ledger.said(&link.name, from_client);
        assert!((link.heard..=most).contains(&said), "{:?} is told {said} of {most}", link.name);
        link.heard = said;
    }

    fn settled(
        &mut self,
        id: LinkId,
        number: u32,
        state: Option<&DeliveryState>,
        fate: Fate,
        ledger: &mut Ledger,
    ) {
        let link = self.known(id);
        link.sent.retain(|sent| sent.1 != number);
        let message = ledger.message(number);
        assert!(!message.is_settled && message.name == link.name, "message {number} was sent settled");
        assert_eq!(message.fate, Fate::Open, "message {number} is settled again");
        message.fate = fate;
        if fate == Fate::Settled {
            let is_told = state.is_some_and(|state| message.told.contains(state));
            assert!(
                is_told,
                "message {number} is settled with {state:?}; its receiver said {:?}",
                message.told
            );
        }
    }

    fn closed(&mut self, reason: &ConnectionError) {
        let silence = self.now.saturating_duration_since(self.last_heard);
        match reason {
            ConnectionError::IdleTimeout => {
                let patience = self.engine.config().idle_time_out.unwrap_or(Duration::MAX);
                assert!(silence >= patience, "given up after {silence:?}");
            }
            ConnectionError::Closed => assert!(self.has_closed, "closed by nobody"),
            ConnectionError::Remote(error) => {
                let is_time = error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED;
                assert!(is_time, "an honest end is accused: {error:?}");
            }
            ConnectionError::ClosedByPeer
            | ConnectionError::EndOfStream
            | ConnectionError::Timeout { .. } => {}
            other => panic!("an honest end is accused: {other:?}"),
        }
        self.is_closed = true;
        self.links.clear();
        self.sessions.clear();
        self.asked_links.clear();
        self.asked_sessions.clear();
    }
}
