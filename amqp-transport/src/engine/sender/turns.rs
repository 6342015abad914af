//! When a sender may start a message: credit, the session's window, room in the output; and who is told when it may.
//!
//! Owns the queues of links that were turned away. It never writes a transfer.

use std::collections::VecDeque;
use std::mem;

use amqp_codec::{Fields, Flow, ValueRef};
use bytes::Bytes;

use super::super::connection::Connection;
use super::super::event::Event;
use super::super::ids::LinkId;
use super::super::link::LinkKind;
use super::super::session::Session;
use super::super::stats::Stalls;
use super::super::violation::{EngineError, TrySendError};
use super::super::window::room;
use super::SenderState;
use crate::transaction::MAX_ID;

impl SenderState {
    /// Whether what was begun before the link was resumed goes first; if so, the link is told when its turn comes.
    // L-037
    pub(super) fn waits_for_resumed(&mut self) -> bool {
        let waits = self
            .retained
            .as_ref()
            .is_some_and(|retained| retained.is_incomplete || !retained.resuming.is_empty());
        self.wants_turn |= waits;
        waits
    }
}

impl Connection {
    /// Whether an unsettled message would be taken now; if not, the link is told when to ask again.
    pub(in super::super) fn has_turn(&mut self, id: LinkId) -> bool {
        let limit = self.config.limits.unsettled;
        let Some(link) = self.links.checked_mut(id.index, id.generation) else { return false };
        let (is_usable, unsettled) = (link.is_usable(), link.unsettled);
        let LinkKind::Sender(sender) = &mut link.kind else { return false };
        let Some(session) = self.sessions.get_mut(link.session) else { return false };
        let room = room(limit, session.outgoing.len(), unsettled);
        if !is_usable
            || sender.waits_for_resumed()
            || check_turn(session, sender, id, room, &mut self.stalls).is_err()
        {
            return false;
        }
        let is_full = self.output.len() >= self.config.limits.output_high_water;
        if is_full {
            self.stalls.output = self.stalls.output.wrapping_add(1);
            wait_in(&mut self.output_waiters, &mut sender.waits_for_output, id);
        }
        !is_full
    }

    /// Tells links that were turned away for too many unsettled deliveries, once some of their session's have ended. While
    /// the window is open nobody waits for anything else; when it opens, all are told.
    pub(in super::super) fn wake_crowded(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        if session.waiters.is_empty() || !session.window.can_send() {
            return;
        }
        let (limit, held, links) = (self.config.limits.unsettled, session.outgoing.len(), &mut self.links);
        let mut woken = Vec::new();
        session.waiters.retain(|id| {
            let Some(link) = links.checked_mut(id.index, id.generation) else { return false };
            let has_room = room(limit, held, link.unsettled) > 0;
            if has_room && let LinkKind::Sender(sender) = &mut link.kind {
                sender.is_waiting = false;
                woken.push(*id);
            }
            !has_room
        });
        for id in woken {
            self.tell_writable(id);
        }
    }

    /// Tells links that were turned away by full output, once it has been taken.
    pub(in super::super) fn wake_output_waiters(&mut self) {
        while let Some(id) = self.output_waiters.pop_front() {
            if let Some(link) = self.links.checked_mut(id.index, id.generation)
                && let LinkKind::Sender(sender) = &mut link.kind
            {
                sender.waits_for_output = false;
                self.tell_writable(id);
                if self.output.len() >= self.config.limits.output_high_water {
                    break;
                }
            }
        }
    }

    pub(in super::super) fn sender_flow(&mut self, index: u32, flow: &Flow) {
        let Some(link) = self.links.get_mut(index) else { return };
        let (id, is_usable) = (link.id, link.is_usable());
        let LinkKind::Sender(sender) = &mut link.kind else { return };
        let had_none = sender.credit.credit() == 0;
        // A flow without credit speaks of the session only.
        let Some(credit) = flow.link_credit else { return };
        sender.credit.on_flow(flow.delivery_count, credit, flow.drain);
        sender.acquiring = flow.properties.as_ref().and_then(acquired_under);
        if !is_usable {
            return;
        }
        if sender.credit.credit() > 0 && (had_none || sender.wants_turn) && sender.large.is_none() {
            sender.wants_turn = false;
            self.tell_writable(id);
        }
        if flow.drain {
            self.events.push(Event::DrainRequested { link: id });
        }
    }

    /// Tells of credit that came before the link was usable.
    pub(in super::super) fn announce_credit(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id.index)
            && let LinkKind::Sender(sender) = &link.kind
            && sender.credit.credit() > 0
        {
            let drain = sender.credit.drain;
            self.events.push(Event::Writable { link: id });
            if drain {
                self.events.push(Event::DrainRequested { link: id });
            }
        }
    }

    pub(in super::super) fn give_credit_back(&mut self, id: LinkId) -> Result<(), EngineError> {
        let sender = self.link_mut(id)?.sender()?;
        if sender.credit.drain {
            sender.credit.give_back();
            self.owe_link_flow(id.index);
        }
        Ok(())
    }

    /// Whether link, session and output let another delivery start now; if not, the link is told when they may.
    pub(in super::super) fn claim_turn(&mut self, id: LinkId) -> Result<(), TrySendError> {
        let stale = TrySendError::Link(EngineError::Stale);
        let link = self.links.get_mut(id.index).ok_or_else(|| stale.clone())?;
        let session = self.sessions.get_mut(link.session).ok_or(stale)?;
        let room = room(self.config.limits.unsettled, session.outgoing.len(), link.unsettled);
        let sender = link.sender().map_err(TrySendError::Link)?;
        check_turn(session, sender, id, room, &mut self.stalls)?;
        if self.output.len() >= self.config.limits.output_high_water {
            wait_in(&mut self.output_waiters, &mut sender.waits_for_output, id);
            return Err(TrySendError::OutputFull);
        }
        Ok(())
    }
}

/// The transaction that a flow names.
fn acquired_under(properties: &Fields) -> Option<Bytes> {
    match properties.get("txn-id")? {
        ValueRef::Binary(id) if id.len() <= MAX_ID => Some(Bytes::copy_from_slice(id)),
        _ => None,
    }
}

/// Whether link and session let another delivery start now; if not, the link is told when they may. `room` is that of
/// the session for unsettled deliveries of this link; a settled one needs none.
pub(super) fn check_turn(
    session: &mut Session,
    sender: &mut SenderState,
    id: LinkId,
    room: usize,
    stalls: &mut Stalls,
) -> Result<(), TrySendError> {
    if sender.large.is_some() {
        stalls.busy = stalls.busy.wrapping_add(1);
        sender.wants_turn = true;
        return Err(TrySendError::Busy);
    }
    // L-021
    if sender.credit.credit() == 0 {
        stalls.credit = stalls.credit.wrapping_add(1);
        sender.wants_turn = true;
        return Err(TrySendError::NoCredit);
    }
    // S-016
    if !session.window.can_send() {
        stalls.window = stalls.window.wrapping_add(1);
        wait_in(&mut session.waiters, &mut sender.is_waiting, id);
        return Err(TrySendError::WindowClosed);
    }
    if room == 0 {
        stalls.unsettled = stalls.unsettled.wrapping_add(1);
        wait_in(&mut session.waiters, &mut sender.is_waiting, id);
        return Err(TrySendError::TooManyUnsettled);
    }
    Ok(())
}

pub(super) fn wait_in(queue: &mut VecDeque<LinkId>, is_in: &mut bool, id: LinkId) {
    if !mem::replace(is_in, true) {
        queue.push_back(id);
    }
}
