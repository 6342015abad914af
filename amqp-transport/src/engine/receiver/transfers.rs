//! Transfers in: from frames to whole deliveries.
//!
//! Owns what has come of a delivery whose end has not, and the numbers and tags that are in use. It never grants credit
//! and never settles.

use amqp_codec::{DeliveryTag, ErrorCondition, ReceiverSettleMode, Transfer};
use bytes::Bytes;

use super::super::connection::Connection;
use super::super::delivery::Unsettled;
use super::super::endpoint_state::Half;
use super::super::event::{Event, IncomingDelivery};
use super::super::ids::DeliveryId;
use super::super::link::{Link, LinkKind};
use super::super::session::{Session, unattached_handle, window_violation};
use super::super::violation::{Scope, Violation};
use super::super::window::ceiling;
use super::{IncomingEntry, Partial, PartialKind};

impl Connection {
    /// One transfer frame.
    pub(in super::super) fn handle_transfer(
        &mut self,
        channel: u16,
        transfer: &mut Transfer,
        payload: Bytes,
    ) -> Result<(), Violation> {
        let Some((session_index, link_index)) =
            self.admit_transfer(channel, transfer.handle, transfer.delivery_id)?
        else {
            return Ok(());
        };
        let Some(link) = self.links.get(link_index) else { return Ok(()) };
        let delivery_id = transfer.delivery_id;
        let verdict = match &link.kind {
            LinkKind::Sender(_) => {
                Err(Violation::link(ErrorCondition::NOT_ALLOWED, "a transfer to a link's sender"))
            }
            // D-016, D-017
            LinkKind::Receiver(_)
                if transfer.rcv_settle_mode == Some(ReceiverSettleMode::Second)
                    && link.rcv_settle_mode == ReceiverSettleMode::First
                    && transfer.settled != Some(true) =>
            {
                Err(invalid("a transfer in settle mode second on a link of mode first"))
            }
            LinkKind::Receiver(receiver) if receiver.partial.is_none() => {
                self.first_transfer(session_index, link_index, transfer, payload)
            }
            LinkKind::Receiver(_) => self.next_transfer(session_index, link_index, transfer, payload),
        };
        match verdict {
            Err(fault) if fault.scope() == Scope::Link => {
                self.refuse_transfer(session_index, link_index, delivery_id, fault)
            }
            other => other,
        }
    }

    /// A transfer frame whose tag has more than 32 octets breaks only its link, and is counted like any other (D-001).
    pub(in super::super) fn handle_long_tag(
        &mut self,
        channel: u16,
        handle: u32,
        delivery_id: Option<u32>,
    ) -> Result<(), Violation> {
        match self.admit_transfer(channel, handle, delivery_id)? {
            Some((session, link)) => {
                let fault = invalid("a delivery-tag of more than 32 octets");
                self.refuse_transfer(session, link, delivery_id, fault)
            }
            None => Ok(()),
        }
    }

    /// The session and the link that a transfer frame is for; `None` where nobody wants it any more.
    #[inline]
    fn admit_transfer(
        &mut self,
        channel: u16,
        handle: u32,
        delivery_id: Option<u32>,
    ) -> Result<Option<(u32, u32)>, Violation> {
        let Some(session_index) = self.remote_session(channel)? else { return Ok(None) };
        let Some(session) = self.sessions.get_mut(session_index) else { return Ok(None) };
        if session.endpoint.is_discarding() {
            return Ok(None);
        }
        // S-017, S-018: counted whatever becomes of the frame.
        session.window.on_received().map_err(window_violation)?;
        if session.window.is_low() {
            session.owe_flow(&mut self.dirty);
        }
        let link_index = session.remote_link(handle).ok_or_else(unattached_handle)?;
        let Some(link) = self.links.get(link_index) else { return Ok(None) };
        match link.endpoint.local {
            Half::Open => Ok(Some((session_index, link_index))),
            Half::Closed => {
                // S-035: it crossed our detach; its number is used all the same.
                pass_id(session, delivery_id);
                Ok(None)
            }
            Half::Idle => {
                Err(Violation::session(ErrorCondition::NOT_ALLOWED, "a transfer on a link not yet accepted"))
            }
        }
    }

    /// Detaches a link for a transfer of its peer's, whose number is used all the same.
    fn refuse_transfer(
        &mut self,
        session_index: u32,
        link_index: u32,
        delivery_id: Option<u32>,
        fault: Violation,
    ) -> Result<(), Violation> {
        if let Some(session) = self.sessions.get_mut(session_index) {
            pass_id(session, delivery_id);
        }
        self.link_fault(link_index, fault)
    }

    /// The first frame of a delivery; often the only one.
    fn first_transfer(
        &mut self,
        session_index: u32,
        link_index: u32,
        transfer: &mut Transfer,
        payload: Bytes,
    ) -> Result<(), Violation> {
        let (Some(session), Some(link)) =
            (self.sessions.get_mut(session_index), self.links.get_mut(link_index))
        else {
            return Ok(());
        };
        let LinkKind::Receiver(receiver) = &mut link.kind else { return Ok(()) };
        // D-002, D-003
        let id = transfer.delivery_id.ok_or_else(|| invalid("a delivery without delivery-id"))?;
        take_id(session, id)?;
        let tag = transfer.delivery_tag.ok_or_else(|| invalid("a delivery without delivery-tag"))?;
        // L-022
        receiver.credit.on_delivery(self.config.limits.credit_overrun).map_err(|_| {
            Violation::link(ErrorCondition::TRANSFER_LIMIT_EXCEEDED, "a delivery beyond the link's credit")
        })?;
        if transfer.resume {
            let verdict = self.resumed_transfer(session_index, link_index, (id, tag), transfer, &payload);
            self.note_drained(link_index);
            return verdict;
        }
        // L-037: our map was not whole, so that nothing proves this to be new.
        if receiver.survivors.as_ref().is_some_and(|survivors| survivors.is_incomplete) {
            return Err(Violation::link(
                ErrorCondition::NOT_ALLOWED,
                "a new delivery before the unsettled map was told whole",
            ));
        }
        // D-012 to D-014
        if transfer.aborted {
            skip_id(session);
            self.note_drained(link_index);
            return Ok(());
        }
        check_size(payload.len(), link.max_message_size)?;
        let is_settled = transfer.settled == Some(true);
        if transfer.more {
            self.is_crowded = hold_id(session, link, tag, self.config.limits.unsettled)?;
            let mut octets = Vec::new();
            add_partial(
                &mut self.partial_bytes,
                self.config.limits.partial_delivery_bytes,
                &mut octets,
                &payload,
            )?;
            let LinkKind::Receiver(receiver) = &mut link.kind else { return Ok(()) };
            let partial = Partial::begun((id, tag), transfer, octets, PartialKind::Fresh);
            receiver.partial = Some(Box::new(partial));
            return Ok(());
        }
        if is_settled {
            skip_id(session);
        } else {
            self.is_crowded = hold_id(session, link, tag, self.config.limits.unsettled)?;
        }
        if let LinkKind::Receiver(receiver) = &mut link.kind {
            receiver.octets += payload.len() as u64;
            if let Some(survivors) = &mut receiver.survivors
                && !is_settled
            {
                survivors.hold(tag, None);
            }
        }
        let delivery = IncomingDelivery {
            id: DeliveryId(id),
            tag,
            message: payload,
            message_format: transfer.message_format.unwrap_or(0),
            is_settled,
            // D-018
            state: transfer.state.take(),
            is_resumed: false,
        };
        self.events.push(Event::Delivery { link: link.id, delivery });
        self.note_drained(link_index);
        Ok(())
    }

    /// A further frame of a delivery.
    fn next_transfer(
        &mut self,
        session_index: u32,
        link_index: u32,
        transfer: &mut Transfer,
        payload: Bytes,
    ) -> Result<(), Violation> {
        let Some(link) = self.links.get_mut(link_index) else { return Ok(()) };
        let LinkKind::Receiver(receiver) = &mut link.kind else { return Ok(()) };
        let Some(partial) = &mut receiver.partial else { return Ok(()) };
        check_continuation(partial, transfer)?;
        partial.transfers += 1;
        if partial.transfers > self.config.limits.transfers_per_delivery {
            return Err(Violation::link(
                ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
                "a delivery in more frames than this container takes",
            ));
        }
        if transfer.aborted {
            let id = partial.id;
            if let PartialKind::Resumed(_) = &partial.kind {
                self.events.push(Event::SettledBefore { link: link.id, tag: partial.tag, state: None });
            }
            self.release_partial(link_index);
            self.release_incoming(session_index, link_index, id);
            self.note_drained(link_index);
            return Ok(());
        }
        let is_wanted = match &partial.kind {
            PartialKind::Fresh => true,
            PartialKind::Resumed(before) => !before.is_whole,
            PartialKind::Ignored => false,
        };
        let payload = if is_wanted { payload } else { Bytes::new() };
        // L-040: checked as it grows.
        check_size(partial.octets.len() + payload.len(), link.max_message_size)?;
        let limit = self.config.limits.partial_delivery_bytes;
        if !transfer.more {
            // The last piece: no room for more is made.
            partial.octets.reserve_exact(payload.len());
        }
        add_partial(&mut self.partial_bytes, limit, &mut partial.octets, &payload)?;
        // D-006: settled once is settled.
        partial.is_settled |= transfer.settled == Some(true);
        if transfer.state.is_some() {
            partial.state = transfer.state.take();
        }
        if transfer.more {
            return Ok(());
        }
        let Some(partial) = receiver.partial.take() else { return Ok(()) };
        self.partial_bytes = self.partial_bytes.saturating_sub(partial.octets.len());
        self.complete(session_index, link_index, *partial);
        Ok(())
    }

    /// The last frame of a delivery of several has come.
    pub(in super::super) fn complete(&mut self, session_index: u32, link_index: u32, partial: Partial) {
        if partial.is_settled || matches!(partial.kind, PartialKind::Ignored) {
            self.release_incoming(session_index, link_index, partial.id);
        }
        let is_resumed = match &partial.kind {
            PartialKind::Ignored => return self.note_drained(link_index),
            PartialKind::Resumed(before) if before.is_whole => {
                self.whole_resumed(session_index, link_index, &partial);
                return self.note_drained(link_index);
            }
            PartialKind::Resumed(_) => true,
            PartialKind::Fresh => false,
        };
        let Some(link) = self.links.get_mut(link_index) else { return };
        if let LinkKind::Receiver(receiver) = &mut link.kind {
            receiver.octets += partial.octets.len() as u64;
            if let Some(survivors) = &mut receiver.survivors
                && !partial.is_settled
            {
                survivors.hold(partial.tag, None);
            }
        }
        let delivery = IncomingDelivery {
            id: DeliveryId(partial.id),
            tag: partial.tag,
            message: Bytes::from(partial.octets),
            message_format: partial.message_format.unwrap_or(0),
            is_settled: partial.is_settled,
            state: partial.state,
            is_resumed,
        };
        self.events.push(Event::Delivery { link: link.id, delivery });
        self.note_drained(link_index);
    }

    /// Forgets what has come of a delivery that will not be completed.
    pub(in super::super) fn release_partial(&mut self, link_index: u32) {
        if let Some(link) = self.links.get_mut(link_index)
            && let LinkKind::Receiver(receiver) = &mut link.kind
            && let Some(partial) = receiver.partial.take()
        {
            self.partial_bytes = self.partial_bytes.saturating_sub(partial.octets.len());
        }
    }

    pub(in super::super) fn release_incoming(&mut self, session_index: u32, link_index: u32, id: u32) {
        if let (Some(session), Some(link)) =
            (self.sessions.get_mut(session_index), self.links.get_mut(link_index))
            && release(session, link, id)
        {
            link.unsettled = link.unsettled.saturating_sub(1);
        }
    }
}

// D-002: numbers go up by one a delivery, from wherever the peer starts.
fn take_id(session: &mut Session, id: u32) -> Result<(), Violation> {
    let incoming = session.incoming.get_or_insert_with(|| Unsettled::new(id));
    if incoming.next_id() == id {
        Ok(())
    } else {
        Err(Violation::session(ErrorCondition::INVALID_FIELD, "a delivery-id out of sequence"))
    }
}

/// Counts the number of a delivery that is not looked at.
fn pass_id(session: &mut Session, id: Option<u32>) {
    let Some(id) = id else { return };
    let incoming = session.incoming.get_or_insert_with(|| Unsettled::new(id));
    if incoming.next_id() == id {
        incoming.skip();
    }
}

pub(crate) fn skip_id(session: &mut Session) {
    if let Some(incoming) = &mut session.incoming {
        incoming.skip();
    }
}

/// Holds a delivery as unsettled, and says whether the session holds nearly as many as it may.
pub(crate) fn hold_id(
    session: &mut Session,
    link: &mut Link,
    tag: DeliveryTag,
    limit: usize,
) -> Result<bool, Violation> {
    let Some(incoming) = &mut session.incoming else { return Ok(false) };
    let LinkKind::Receiver(receiver) = &mut link.kind else { return Ok(false) };
    let held = || incoming.iter().map(|entry| (entry.link, entry.tag));
    let (of_link, of_session) = (link.unsettled, incoming.len());
    // D-001
    if !session.tags.insert((link.id, tag), &mut receiver.highest_tag, of_link, of_session, held) {
        return Err(Violation::link(ErrorCondition::NOT_ALLOWED, "a delivery-tag that is in use"));
    }
    if of_session >= limit {
        return Err(Violation::session(
            ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
            "too many unsettled deliveries",
        ));
    }
    incoming.push(IncomingEntry { link: link.id, tag });
    link.unsettled += 1;
    Ok(of_session >= ceiling(limit))
}

fn release(session: &mut Session, link: &Link, id: u32) -> bool {
    let Some(incoming) = &mut session.incoming else { return false };
    let Some(tag) = incoming.get(id).filter(|entry| entry.link == link.id).map(|entry| entry.tag) else {
        return false;
    };
    session.tags.remove(link.id, tag);
    incoming.remove(id).is_some()
}

// D-002 to D-005, D-010, D-011
fn check_continuation(partial: &Partial, transfer: &Transfer) -> Result<(), Violation> {
    if transfer.delivery_id.is_some_and(|id| id != partial.id) {
        return Err(invalid("a new delivery before the last one ended"));
    }
    if transfer.delivery_tag.is_some_and(|tag| tag != partial.tag) {
        return Err(invalid("delivery-tag changes within a delivery"));
    }
    if transfer.message_format.is_some_and(|format| Some(format) != partial.message_format) {
        return Err(invalid("message-format changes within a delivery"));
    }
    Ok(())
}

// L-039, L-040
pub(crate) fn check_size(size: usize, limit: Option<u64>) -> Result<(), Violation> {
    match limit {
        Some(limit) if size as u64 > limit => {
            Err(Violation::link(ErrorCondition::MESSAGE_SIZE_EXCEEDED, "a message beyond max-message-size"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn add_partial(
    held: &mut usize,
    limit: usize,
    octets: &mut Vec<u8>,
    payload: &Bytes,
) -> Result<(), Violation> {
    if *held + payload.len() > limit {
        return Err(Violation::link(
            ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
            "more octets of unfinished deliveries than this container holds",
        ));
    }
    *held += payload.len();
    octets.extend_from_slice(payload);
    Ok(())
}

pub(crate) fn invalid(detail: &'static str) -> Violation {
    Violation::link(ErrorCondition::INVALID_FIELD, detail)
}
