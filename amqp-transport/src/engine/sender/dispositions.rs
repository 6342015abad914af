//! What becomes of the deliveries sent: outcomes in, settlements out.
//!
//! Owns the end of every unsettled delivery of ours while its link lives. It never sends a message again.

use std::mem;

use amqp_codec::{DeliveryState, Disposition, ErrorCondition, Role};

use super::super::config::Settling;
use super::super::connection::Connection;
use super::super::delivery::{Visit, queue_disposition};
use super::super::event::{Event, EventQueue};
use super::super::ids::{DeliveryId, LinkId};
use super::super::link::{Link, LinkKind};
use super::super::violation::{EngineError, Violation};
use super::{OutgoingEntry, SenderState};

impl Connection {
    // D-015: a sender may settle at any time.
    pub(in super::super) fn settle_outgoing(
        &mut self,
        id: LinkId,
        delivery: DeliveryId,
        state: DeliveryState,
    ) -> Result<bool, EngineError> {
        let link = self.link_mut(id)?;
        let is_leaving = link.sender()?.large.as_ref().is_some_and(|large| large.is_of(delivery));
        let index = link.session;
        let Some(session) = self.sessions.get_mut(index) else { return Err(EngineError::Stale) };
        let entry = session.outgoing.get(delivery.0).filter(|entry| entry.link == id).copied();
        // A message that is still leaving goes whole before it is settled, unless its receiver has decided already.
        let Some(entry) = entry.filter(|entry| !is_leaving || entry.is_told) else { return Ok(false) };
        session.outgoing.remove(delivery.0);
        queue_disposition(&mut session.dispositions, Role::Sender, delivery.0, true, Some(&state));
        session.mark_dirty(&mut self.dirty);
        let link = self.link_mut(id)?;
        link.unsettled = link.unsettled.saturating_sub(1);
        link.forget_sent(entry);
        self.end_incomplete(id.index);
        self.wake_crowded(index);
        Ok(true)
    }

    pub(in super::super) fn handle_disposition(
        &mut self,
        channel: u16,
        disposition: Disposition,
    ) -> Result<(), Violation> {
        let Some(index) = self.remote_session(channel)? else { return Ok(()) };
        let Some(session) = self.sessions.get(index) else { return Ok(()) };
        if session.endpoint.is_discarding() {
            return Ok(());
        }
        let last = disposition.last.unwrap_or(disposition.first);
        // D-027: serial order; the antipode has none.
        if last.wrapping_sub(disposition.first) >= 0x8000_0000 {
            return Err(Violation::session(
                ErrorCondition::INVALID_FIELD,
                "a disposition's last before its first",
            ));
        }
        match disposition.role {
            // D-025: a receiver speaks of what we sent.
            Role::Receiver => self.outcomes(index, last, disposition),
            Role::Sender => self.remote_settlements(index, last, disposition),
        }
        Ok(())
    }

    /// What the receiver says of our deliveries.
    fn outcomes(&mut self, index: u32, last: u32, disposition: Disposition) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let (links, events) = (&mut self.links, &mut self.events);
        let dispositions = &mut session.dispositions;
        let state = disposition.state;
        let is_final = disposition.settled || state.as_ref().is_some_and(decides);
        let mut incomplete = Vec::new();
        let removed = session.outgoing.visit_range(disposition.first, last, |id, entry| {
            let Some(link) = links.checked_mut(entry.link.index, entry.link.generation) else {
                return Visit::Bury;
            };
            if !is_final {
                if let Some(state) = &state
                    && !entry.is_told
                {
                    events.push(Event::StateChanged {
                        link: entry.link,
                        user: entry.user,
                        state: state.clone(),
                    });
                }
                return Visit::Keep;
            }
            if !disposition.settled && link.settling == Settling::ByApplication {
                if tell_outcome(events, id, entry, state.as_ref())
                    && let Some(state) = &state
                {
                    link.note_outcome(entry.number, state);
                }
                return Visit::Keep;
            }
            link.unsettled = link.unsettled.saturating_sub(1);
            if link.forget_sent(*entry) {
                incomplete.push(entry.link);
            }
            if !disposition.settled {
                // D-015, D-029: the receiver has decided, settling is ours.
                queue_disposition(dispositions, Role::Sender, id, true, state.as_ref());
            }
            // D-028; an outcome told before is no less the receiver's for its not being said again.
            let default_outcome = link.default_outcome.as_deref().filter(|_| !entry.is_told);
            // L-052: settled in a state that is no outcome, too.
            let says_less = || default_outcome.or(state.as_ref());
            let state = state.as_ref().filter(|state| is_final_state(state)).or_else(says_less);
            events.push_settled(entry.link, entry.user, state);
            Visit::Remove
        });
        if !session.dispositions.is_empty() {
            session.mark_dirty(&mut self.dirty);
        }
        if removed > 0 {
            self.wake_crowded(index);
        }
        for link in incomplete {
            self.end_incomplete(link.index);
        }
    }
}

impl Link {
    /// The receiver's outcome of a delivery of ours is with the application.
    fn note_outcome(&mut self, number: u32, outcome: &DeliveryState) {
        if let LinkKind::Sender(SenderState { retained: Some(retained), .. }) = &mut self.kind {
            retained.tell(number, outcome);
        }
    }

    /// A delivery of ours is settled. `true` when it was the last of a link whose maps were not whole.
    pub(super) fn forget_sent(&mut self, entry: OutgoingEntry) -> bool {
        let LinkKind::Sender(SenderState { retained: Some(retained), .. }) = &mut self.kind else {
            return false;
        };
        retained.forget(entry.number);
        retained.is_incomplete && self.unsettled == 0
    }
}

/// Whether a delivery may end in this state.
fn is_final_state(state: &DeliveryState) -> bool {
    state.is_outcome() || matches!(state, DeliveryState::TransactionalState(_))
}

/// Whether a state says what the receiver makes of a message, be it under a transaction.
fn decides(state: &DeliveryState) -> bool {
    match state {
        DeliveryState::TransactionalState(state) => state.outcome.is_some(),
        other => other.is_outcome(),
    }
}

/// Hands the receiver's outcome to the application, which settles: once, however often the receiver says it (D-029).
/// Returns whether it did.
// D-024: the first outcome stays.
fn tell_outcome(
    events: &mut EventQueue,
    id: u32,
    entry: &mut OutgoingEntry,
    state: Option<&DeliveryState>,
) -> bool {
    let Some(state) = state.filter(|_| !mem::replace(&mut entry.is_told, true)) else { return false };
    let (link, user) = (entry.link, entry.user);
    events.push(Event::OutcomeTold { link, delivery: DeliveryId(id), user, state: state.clone() });
    true
}
