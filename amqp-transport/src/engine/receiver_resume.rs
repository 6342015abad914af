//! Deliveries that a sender resumes: what the receiving end makes of them (AMQP 1.0 §2.6.13).

use amqp_codec::{DeliveryState, DeliveryTag, ReceiverSettleMode, Role, Transfer};
use bytes::Bytes;

use super::connection::Connection;
use super::delivery::queue_disposition;
use super::event::Event;
use super::ids::DeliveryId;
use super::link::LinkKind;
use super::receiver::{Partial, PartialKind, add_partial, check_size, hold_id, invalid, skip_id};
use super::resume_table::{octets_before, place_after};
use super::suspended::UnsettledDelivery;
use super::violation::Violation;

impl Connection {
    /// The first frame of a delivery of before; its number and credit are counted already.
    pub(super) fn resumed_transfer(
        &mut self,
        session_index: u32,
        link_index: u32,
        (id, tag): (u32, DeliveryTag),
        transfer: &mut Transfer,
        payload: &Bytes,
    ) -> Result<(), Violation> {
        let (Some(session), Some(link)) =
            (self.sessions.get_mut(session_index), self.links.get_mut(link_index))
        else {
            return Ok(());
        };
        let link_id = link.id;
        let limit = link.max_message_size;
        let LinkKind::Receiver(receiver) = &mut link.kind else { return Ok(()) };
        let awaited = receiver.survivors.as_mut().and_then(|survivors| survivors.awaited.remove(&tag));
        let is_settled = transfer.settled == Some(true);
        let ends_here = transfer.aborted || (is_settled && !transfer.more && payload.is_empty());
        let kind = match awaited {
            // D-019: what we do not know is not resumed.
            None if !transfer.more || transfer.aborted => {
                skip_id(session);
                return Ok(());
            }
            None => PartialKind::Ignored,
            Some(_) if ends_here => {
                skip_id(session);
                let state = transfer.state.take().map(|state| *state);
                self.events.push(Event::SettledBefore { link: link_id, tag, state });
                return Ok(());
            }
            Some(before) => PartialKind::Resumed(Box::new(before)),
        };
        let mut octets = Vec::new();
        if let PartialKind::Resumed(before) = &kind {
            hold_id(session, link, tag, self.config.limits.unsettled)?;
            if !before.is_whole {
                let held = held_before(before, transfer.state.as_deref())?;
                check_size(held.len() + payload.len(), limit)?;
                let limit = self.config.limits.partial_delivery_bytes;
                add_partial(&mut self.partial_bytes, limit, &mut octets, &held)?;
                let added = add_partial(&mut self.partial_bytes, limit, &mut octets, payload);
                // No link holds them when it fails.
                added.inspect_err(|_| {
                    self.partial_bytes = self.partial_bytes.saturating_sub(held.len());
                })?;
            }
        } else {
            hold_id(session, link, tag, self.config.limits.unsettled)?;
        }
        let partial = Partial::begun((id, tag), transfer, octets, kind);
        if transfer.more {
            if let LinkKind::Receiver(receiver) = &mut link.kind {
                receiver.partial = Some(Box::new(partial));
            }
            return Ok(());
        }
        self.partial_bytes = self.partial_bytes.saturating_sub(partial.octets.len());
        self.complete(session_index, link_index, partial);
        Ok(())
    }

    /// A delivery whose message the application has whole was resumed under a new number.
    pub(super) fn whole_resumed(&mut self, session_index: u32, link_index: u32, partial: &Partial) {
        let PartialKind::Resumed(before) = &partial.kind else { return };
        let Some(link) = self.links.get_mut(link_index) else { return };
        let (id, mode) = (link.id, link.rcv_settle_mode);
        if partial.is_settled {
            let state = partial.state.as_deref().cloned();
            self.events.push(Event::SettledBefore { link: id, tag: partial.tag, state });
            return;
        }
        let LinkKind::Receiver(receiver) = &mut link.kind else { return };
        let outcome = before.state.clone().filter(DeliveryState::is_outcome);
        let settles = outcome.is_some() && mode == ReceiverSettleMode::First;
        if let Some(survivors) = &mut receiver.survivors
            && !settles
        {
            survivors.hold(partial.tag, outcome.clone());
        }
        if settles {
            self.release_incoming(session_index, link_index, partial.id);
            self.events.push(Event::SettledBefore { link: id, tag: partial.tag, state: outcome.clone() });
        } else {
            let delivery = DeliveryId(partial.id);
            self.events.push(Event::DeliveryResumed { link: id, delivery, tag: partial.tag });
        }
        // Told before, and yet resumed: told again.
        if let Some(outcome) = outcome
            && let Some(session) = self.sessions.get_mut(session_index)
        {
            queue_disposition(&mut session.dispositions, Role::Receiver, partial.id, settles, Some(&outcome));
            session.mark_dirty(&mut self.dirty);
        }
    }

    /// What has come of a message that is not whole, for when its link is resumed.
    pub(super) fn take_partial(&mut self, link_index: u32) -> Option<UnsettledDelivery> {
        let LinkKind::Receiver(receiver) = &mut self.links.get_mut(link_index)?.kind else { return None };
        let partial = *receiver.partial.take()?;
        self.partial_bytes = self.partial_bytes.saturating_sub(partial.octets.len());
        match partial.kind {
            PartialKind::Resumed(before) if before.is_whole => Some(*before),
            // What may be cut in the middle must be known (D-035): other formats come again from their start.
            PartialKind::Fresh | PartialKind::Resumed(_)
                if !partial.is_settled && partial.message_format.unwrap_or(0) == 0 =>
            {
                let octets = Bytes::from(partial.octets);
                Some(UnsettledDelivery {
                    state: Some(DeliveryState::Received(place_after(&octets))),
                    payload: Some(octets),
                    ..UnsettledDelivery::new(partial.tag)
                })
            }
            _ => None,
        }
    }
}

/// What is held of a message before the place at which its sender goes on (D-034).
fn held_before(before: &UnsettledDelivery, state: Option<&DeliveryState>) -> Result<Bytes, Violation> {
    let Some(DeliveryState::Received(place)) = state else { return Ok(Bytes::new()) };
    let held = before.payload.clone().unwrap_or_default();
    let count =
        octets_before(&held, *place).ok_or_else(|| invalid("a delivery resumed beyond what was received"))?;
    Ok(held.slice(..count))
}
