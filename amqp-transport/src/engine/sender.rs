//! The sending half of a link: messages out, outcomes in.

use std::collections::VecDeque;
use std::{fmt, mem};

use amqp_codec::{
    DeliveryState, DeliveryTag, Disposition, Encode, ErrorCondition, Fields, Flow, Role, SenderSettleMode,
    Transfer, ValueRef,
};
use bytes::Bytes;

use super::config::{Outgoing, Payload, Pieces, Settlement, Settling};
use super::connection::Connection;
use super::delivery::{Visit, queue_disposition};
use super::event::{Event, EventQueue};
use super::ids::{DeliveryId, LinkId};
use super::link::{Link, LinkKind};
use super::output::{HEAD_ROOM, Output, limit as octets};
use super::retained::Retained;
use super::session::Session;
use super::stats::Stalls;
use super::violation::{EngineError, TrySendError, Violation};
use super::window::SenderCredit;
use crate::transaction::MAX_ID;

/// A sender's state.
#[derive(Debug)]
pub(crate) struct SenderState {
    pub(crate) credit: SenderCredit,
    /// The large message that is leaving.
    pub(crate) large: Option<Box<Large>>,
    /// Whether the link stands in its session's queue for window or unsettled room.
    pub(crate) is_waiting: bool,
    /// Whether it stands in the queue for room in the output.
    waits_for_output: bool,
    /// Whether the next credit, or the end of the large message, is to be told.
    wants_turn: bool,
    /// Octets of the messages sent.
    pub(crate) octets: u64,
    /// The transaction under which the peer wants what it has credit for.
    pub(crate) acquiring: Option<Bytes>,
    /// What is kept for resuming the link.
    pub(crate) retained: Option<Box<Retained>>,
}

/// A message that does not leave at once: larger than a frame, or than is copied.
pub(crate) struct Large {
    transfer: Transfer,
    payload: Pieces,
    user: u32,
    has_started: bool,
    is_aborted: bool,
}

/// An unsettled delivery of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutgoingEntry {
    pub(crate) link: LinkId,
    user: u32,
    /// Its number among what is retained, where the link retains.
    number: u32,
    /// Whether the receiver's outcome is with the application, which is to settle.
    is_told: bool,
}

impl OutgoingEntry {
    pub(crate) fn new(link: LinkId, user: u32, number: u32) -> Self {
        Self { link, user, number, is_told: false }
    }
}

impl SenderState {
    pub(crate) fn new(initial_delivery_count: u32) -> Self {
        Self {
            credit: SenderCredit::new(initial_delivery_count),
            large: None,
            is_waiting: false,
            waits_for_output: false,
            wants_turn: true,
            octets: 0,
            acquiring: None,
            retained: None,
        }
    }
}

impl SenderState {
    /// Whether what was begun before the link was resumed goes first; if so, the link is told when its turn comes.
    // L-037
    fn waits_for_resumed(&mut self) -> bool {
        let waits = self
            .retained
            .as_ref()
            .is_some_and(|retained| retained.is_incomplete || !retained.resuming.is_empty());
        self.wants_turn |= waits;
        waits
    }
}

impl fmt::Debug for Large {
    // The octets of messages and frames may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Large")
            .field("delivery_id", &self.transfer.delivery_id)
            .field("octets", &self.payload.len())
            .field("is_aborted", &self.is_aborted)
            .finish_non_exhaustive()
    }
}

impl Large {
    /// A message of which nothing is written yet, and whose end is nobody's news.
    pub(crate) fn new(transfer: Transfer, payload: impl Into<Pieces>, user: u32) -> Self {
        Self { transfer, payload: payload.into(), user, has_started: false, is_aborted: false }
    }

    /// Writes the next frame; `true` when more follow.
    pub(crate) fn cut(&mut self, session: &mut Session, output: &mut Output) -> bool {
        self.transfer.aborted |= self.is_aborted;
        output.partial_transfer(session.local_channel, &mut self.transfer, &mut self.payload);
        session.window.on_sent();
        if self.transfer.more && !mem::replace(&mut self.has_started, true) {
            // Continuations repeat the number alone (D-002 to D-004, D-006).
            self.transfer.delivery_tag = None;
            self.transfer.message_format = None;
            self.transfer.state = None;
            self.transfer.resume = false;
        }
        self.transfer.more
    }
}

impl Connection {
    /// Sends a message, which is read where it lies: there are too many of them to be moved about.
    #[inline]
    pub(crate) fn send(
        &mut self,
        id: LinkId,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<DeliveryId, TrySendError> {
        if let Some(failure) = &self.failure {
            return Err(TrySendError::Link(EngineError::Closed(failure.clone())));
        }
        let Some(link) = self.links.checked_mut(id.index, id.generation) else {
            return Err(TrySendError::Link(EngineError::Stale));
        };
        let is_usable = link.is_usable();
        let LinkKind::Sender(sender) = &mut link.kind else {
            return Err(TrySendError::Link(EngineError::Role));
        };
        if !is_usable {
            return Err(TrySendError::Link(EngineError::State("the link is not attached")));
        }
        let is_settled = outgoing.settlement.is_settled();
        check_settle_mode(link.snd_settle_mode, outgoing.settlement)?;
        check_size(outgoing, link.max_message_size)?;
        check_head(outgoing, self.output.frame_limit())?;
        let Some(session) = self.sessions.get_mut(link.session) else {
            return Err(TrySendError::Link(EngineError::Stale));
        };
        let unsettled_limit = if is_settled { usize::MAX } else { self.config.limits.unsettled };
        if sender.waits_for_resumed() {
            return Err(TrySendError::Busy);
        }
        check_turn(session, sender, id, unsettled_limit, &mut self.stalls)?;
        if self.output.len() >= self.config.limits.output_high_water {
            self.stalls.output = self.stalls.output.wrapping_add(1);
            wait_in(&mut self.output_waiters, &mut sender.waits_for_output, id);
            return Err(TrySendError::OutputFull);
        }

        // D-002, D-003: one number a delivery, in the order of sending.
        let delivery_id = session.outgoing.next_id();
        let tag = outgoing.tag.unwrap_or_else(|| match &mut sender.retained {
            Some(retained) => retained.take_tag(),
            None => DeliveryTag::from(delivery_id),
        });
        let head_room = head_room(outgoing);
        let number = match &mut sender.retained {
            Some(retained) if !is_settled => retained.keep(tag, outgoing),
            _ => 0,
        };
        let transfer = Transfer {
            handle: link.local_handle,
            delivery_id: Some(delivery_id),
            delivery_tag: Some(tag),
            message_format: Some(outgoing.message_format),
            settled: is_settled.then_some(true),
            state: outgoing.state.take(),
            ..Transfer::default()
        };
        let payload = &outgoing.payload;
        sender.octets = sender.octets.wrapping_add(payload.len() as u64);
        let is_one_frame = payload.len() + head_room <= self.output.frame_limit() as usize;
        if is_one_frame && payload.len() <= COPY_UP_TO {
            self.output.transfer(session.local_channel, &transfer, payload.runs());
            session.window.on_sent();
        } else if let (true, Payload::Parts { head, body }) = (is_one_frame, payload) {
            self.output.spliced_transfer(session.local_channel, &transfer, head, Bytes::clone(body));
            session.window.on_sent();
            self.events.push(Event::Sent { link: id, user: outgoing.user });
        } else {
            let payload = mem::replace(&mut outgoing.payload, Payload::Slice(&[]));
            let mut large = Box::new(Large::new(transfer, payload.into_pieces(), outgoing.user));
            // The first frame leaves at once: numbers appear on the wire in their order.
            if large.cut(session, &mut self.output) {
                sender.large = Some(large);
                self.sending.push_back(id);
            } else {
                self.events.push(Event::Sent { link: id, user: outgoing.user });
            }
        }
        sender.credit.on_send();
        if is_settled {
            session.outgoing.skip();
        } else {
            session.outgoing.push(OutgoingEntry::new(id, outgoing.user, number));
            link.unsettled += 1;
        }
        Ok(DeliveryId(delivery_id))
    }

    /// Whether an unsettled message would be taken now; if not, the link is told when to ask again.
    pub(super) fn has_turn(&mut self, id: LinkId) -> bool {
        let limit = self.config.limits.unsettled;
        let Some(link) = self.links.checked_mut(id.index, id.generation) else { return false };
        let is_usable = link.is_usable();
        let LinkKind::Sender(sender) = &mut link.kind else { return false };
        let Some(session) = self.sessions.get_mut(link.session) else { return false };
        if !is_usable
            || sender.waits_for_resumed()
            || check_turn(session, sender, id, limit, &mut self.stalls).is_err()
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

    pub(super) fn abort_large(&mut self, id: LinkId) -> Result<(), EngineError> {
        let link = self.link_mut(id)?;
        let session = link.session;
        let sender = link.sender()?;
        let Some(large) = &mut sender.large else { return Ok(()) };
        large.payload = Pieces::default();
        large.is_aborted = true;
        let Some(delivery_id) = large.transfer.delivery_id else { return Ok(()) };
        // D-012: an aborted delivery is settled.
        let limit = self.config.limits.unsettled;
        if let Some(owner) = self.sessions.get_mut(session) {
            let had_room = owner.outgoing.len() < limit;
            if let Some(entry) = owner.outgoing.remove(delivery_id)
                && let Some(link) = self.links.get_mut(id.index)
            {
                link.unsettled = link.unsettled.saturating_sub(1);
                if link.forget_sent(entry) {
                    self.end_incomplete(id.index);
                }
                if !had_room {
                    self.wake_session(session);
                }
            }
        }
        Ok(())
    }

    /// Cuts frames from large messages, one a link in turn, until the batch is full.
    pub(super) fn send_large(&mut self) {
        while self.output.len() < BATCH {
            let Some(id) = self.sending.pop_front() else { break };
            self.send_piece(id);
        }
    }

    /// Cuts one frame from a link's large message, and lets the link stand in line for the next.
    pub(super) fn send_piece(&mut self, id: LinkId) {
        let Some(link) = self.links.checked_mut(id.index, id.generation) else { return };
        let Some(session) = self.sessions.get_mut(link.session) else { return };
        let LinkKind::Sender(sender) = &mut link.kind else { return };
        let Some(large) = &mut sender.large else { return };
        if !session.window.can_send() {
            session.halted.push_back(id);
            return;
        }
        if large.cut(session, &mut self.output) {
            self.sending.push_back(id);
            return;
        }
        let Some(done) = sender.large.take() else { return };
        let has_turn = mem::take(&mut sender.wants_turn) && sender.credit.credit() > 0;
        if !done.is_aborted {
            self.events.push(Event::Sent { link: id, user: done.user });
        }
        if has_turn {
            self.tell_writable(id);
        }
    }

    /// Tells links that were turned away by full output, once it has been taken.
    pub(super) fn wake_output_waiters(&mut self) {
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

    pub(super) fn sender_flow(&mut self, index: u32, flow: &Flow) {
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
    pub(super) fn announce_credit(&mut self, id: LinkId) {
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

    pub(super) fn give_credit_back(&mut self, id: LinkId) -> Result<(), EngineError> {
        let sender = self.link_mut(id)?.sender()?;
        if sender.credit.drain {
            sender.credit.give_back();
            self.owe_link_flow(id.index);
        }
        Ok(())
    }

    // D-015: a sender may settle at any time.
    pub(super) fn settle_outgoing(
        &mut self,
        id: LinkId,
        delivery: DeliveryId,
        state: DeliveryState,
    ) -> Result<bool, EngineError> {
        let link = self.link_mut(id)?;
        let large = link.sender()?.large.as_ref();
        let is_leaving = large.is_some_and(|large| large.transfer.delivery_id == Some(delivery.0));
        let index = link.session;
        let Some(session) = self.sessions.get_mut(index) else { return Err(EngineError::Stale) };
        let entry = session.outgoing.get(delivery.0).filter(|entry| entry.link == id).copied();
        // A message that is still leaving goes whole before it is settled, unless its receiver has decided already.
        let Some(entry) = entry.filter(|entry| !is_leaving || entry.is_told) else { return Ok(false) };
        let had_room = session.outgoing.len() < self.config.limits.unsettled;
        session.outgoing.remove(delivery.0);
        queue_disposition(&mut session.dispositions, Role::Sender, delivery.0, true, Some(&state));
        session.mark_dirty(&mut self.dirty);
        let link = self.link_mut(id)?;
        link.unsettled = link.unsettled.saturating_sub(1);
        link.forget_sent(entry);
        self.end_incomplete(id.index);
        if !had_room {
            self.wake_session(index);
        }
        Ok(true)
    }

    pub(super) fn handle_disposition(
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
        let had_room = session.outgoing.len() < self.config.limits.unsettled;
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
            let state = state.as_ref().filter(|state| is_final_state(state)).or_else(says_less).cloned();
            events.push(Event::Settled { link: entry.link, user: entry.user, state });
            Visit::Remove
        });
        if !session.dispositions.is_empty() {
            session.mark_dirty(&mut self.dirty);
        }
        if removed > 0 && !had_room {
            self.wake_session(index);
        }
        for link in incomplete {
            self.end_incomplete(link.index);
        }
    }

    /// Whether link, session and output let another delivery start now; if not, the link is told when they may.
    pub(super) fn claim_turn(&mut self, id: LinkId) -> Result<(), TrySendError> {
        let stale = TrySendError::Link(EngineError::Stale);
        let link = self.links.get_mut(id.index).ok_or_else(|| stale.clone())?;
        let session = self.sessions.get_mut(link.session).ok_or(stale)?;
        let sender = link.sender().map_err(TrySendError::Link)?;
        check_turn(session, sender, id, self.config.limits.unsettled, &mut self.stalls)?;
        if self.output.len() >= self.config.limits.output_high_water {
            wait_in(&mut self.output_waiters, &mut sender.waits_for_output, id);
            return Err(TrySendError::OutputFull);
        }
        Ok(())
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
    fn forget_sent(&mut self, entry: OutgoingEntry) -> bool {
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

/// The transaction that a flow names.
fn acquired_under(properties: &Fields) -> Option<Bytes> {
    match properties.get("txn-id")? {
        ValueRef::Binary(id) if id.len() <= MAX_ID => Some(Bytes::copy_from_slice(id)),
        _ => None,
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

/// Whether link and session let another delivery start now; if not, the link is told when they may.
fn check_turn(
    session: &mut Session,
    sender: &mut SenderState,
    id: LinkId,
    unsettled_limit: usize,
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
    if session.outgoing.len() >= unsettled_limit {
        stalls.unsettled = stalls.unsettled.wrapping_add(1);
        wait_in(&mut session.waiters, &mut sender.is_waiting, id);
        return Err(TrySendError::TooManyUnsettled);
    }
    Ok(())
}

fn wait_in(queue: &mut VecDeque<LinkId>, is_in: &mut bool, id: LinkId) {
    if !mem::replace(is_in, true) {
        queue.push_back(id);
    }
}

// D-007 to D-009
fn check_settle_mode(mode: SenderSettleMode, settlement: Settlement) -> Result<(), TrySendError> {
    match (mode, settlement) {
        (SenderSettleMode::Settled, Settlement::Unsettled)
        | (SenderSettleMode::Unsettled, Settlement::Settled) => Err(TrySendError::SettleMode),
        _ => Ok(()),
    }
}

/// What a message's first frame takes beside the message, at most.
fn head_room(outgoing: &Outgoing<'_>) -> usize {
    HEAD_ROOM + outgoing.state.as_ref().map_or(0, |state| state.encoded_len())
}

// F-025: a state is told whole, in the first frame.
fn check_head(outgoing: &Outgoing<'_>, limit: u32) -> Result<(), TrySendError> {
    let size = head_room(outgoing);
    if outgoing.state.is_some() && size >= octets(limit) {
        return Err(TrySendError::Link(EngineError::FrameTooLarge { size, limit }));
    }
    Ok(())
}

// L-039
fn check_size(outgoing: &Outgoing<'_>, limit: Option<u64>) -> Result<(), TrySendError> {
    let size = outgoing.payload.len();
    match limit {
        Some(limit) if size as u64 > limit => Err(TrySendError::TooLarge { size, limit }),
        _ => Ok(()),
    }
}

/// Payloads up to this size are copied into the output at once.
const COPY_UP_TO: usize = 16 * 1024;
/// Octets of large messages put into one batch of output.
const BATCH: usize = 256 * 1024;
