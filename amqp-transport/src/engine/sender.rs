//! The sending half of a link: its state, and the start of each message.
//!
//! Owns the order of things when a message leaves: what it may not break, its number, its tag, and how its octets get
//! into the output. Who may send when is asked of `turns`; what does not leave at once is given to `large`; what becomes
//! of it is `dispositions`' concern.

mod dispositions;
mod large;
mod turns;

use std::mem;

use amqp_codec::{DeliveryTag, Encode, SenderSettleMode, Transfer};
use bytes::Bytes;

use super::config::{Outgoing, Payload, Settlement};
use super::connection::Connection;
use super::event::Event;
use super::ids::{DeliveryId, LinkId};
use super::link::LinkKind;
use super::output::{HEAD_ROOM, limit as octets};
use super::retained::Retained;
use super::violation::{EngineError, TrySendError};
use super::window::{SenderCredit, room};
use turns::{check_turn, wait_in};

pub(super) use large::Large;

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
        let room = match is_settled {
            true => usize::MAX,
            false => room(self.config.limits.unsettled, session.outgoing.len(), link.unsettled),
        };
        if sender.waits_for_resumed() {
            return Err(TrySendError::Busy);
        }
        check_turn(session, sender, id, room, &mut self.stalls)?;
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
