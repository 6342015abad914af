//! What has been received and not taken: its bound, and the credit that follows from it.
//!
//! Credit counts messages, not octets, and each link has its own, so that a peer with many links and large messages
//! could fill the memory with what it was granted. Hence a bound over all links of a connection. Credit that is granted by
//! itself is no more than what there is room for, shared among the links: at first each message may be as large as the
//! link allows; what it takes credit for later are messages as they came lately. Reading is never paused: what a task waits
//! for may lie behind messages that nobody takes. Instead, above the bound, links that are granted credit by themselves
//! give it back, and a link whose messages are all taken gets one more at a time, so that whoever reads goes on. What was on
//! its way still comes; what goes beyond the ceiling, of a peer whose messages grew suddenly, is released: it stays with
//! the peer, and so does the credit with an application that granted it itself. Where that cannot be said the link is
//! detached. Deliveries that nobody has settled are `room`'s.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use amqp_codec::{DeliveryState, Error, ErrorCondition, ReceiverSettleMode, Str};
use tracing::debug;

use super::room::is_beyond;
use super::shared::State;
use super::slots::{LinkPhase, WasUsable};
use crate::engine::{DeliveryId, DetachKind, IncomingDelivery, LinkId, Settlement};
use crate::handle::error::DetachReason;
use crate::handle::options::CreditMode;
use crate::transaction::transaction_of;

/// What a receiver has been sent.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) deliveries: VecDeque<IncomingDelivery>,
    pub(crate) credit: CreditMode,
    /// Messages taken by the application since credit was last granted.
    pub(crate) taken: u32,
    /// With a bound in octets: the largest of the messages that came lately, and how many were to be ahead when credit was
    /// last granted.
    pub(crate) largest: u64,
    pub(crate) ahead: u32,
    /// Where credit is granted by itself: the octets that each message is expected to take, and how many octets had come and
    /// how many messages waited when that was last learned.
    pub(crate) expected: u64,
    pub(crate) octets: u64,
    pub(crate) before: u32,
    pub(crate) drain: Drain,
    /// How many drains have come to their end.
    pub(crate) drained: u32,
    /// The last of our questions for the sender's flow that was answered.
    pub(crate) answered: u32,
    pub(crate) mode: ReceiverSettleMode,
    /// Outcomes told in second mode that wait for the sender's settlement.
    pub(crate) confirmations: BTreeMap<DeliveryId, Confirmation>,
}

/// Whether the credit of a receiver is taken back, and renewed by itself no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Drain {
    #[default]
    Off,
    /// The sender is asked to use it up or give it back.
    Asked,
    /// It has; who waits for a message next grants anew.
    Done,
    /// It is taken back until the application says otherwise.
    Stopped,
}

/// An outcome that waits for the sender's settlement, and who waits for that.
#[derive(Debug, Default)]
pub(crate) struct Confirmation {
    pub(crate) waker: Option<Waker>,
    /// What the sender said when it settled, once it has.
    pub(crate) settled: Option<Option<DeliveryState>>,
}

impl Inbox {
    /// What the messages here count against the bound.
    fn octets(&self) -> usize {
        self.deliveries.iter().map(cost).sum()
    }

    /// How many messages are to be on their way and waiting together, where credit is granted by itself.
    pub(crate) fn target(&self) -> Option<u32> {
        match self.credit {
            CreditMode::Auto(messages) => Some(messages),
            CreditMode::Bytes(_) if self.largest == 0 => Some(1),
            CreditMode::Bytes(bytes) => {
                let messages = (bytes / self.largest).clamp(1, MOST_AHEAD);
                u32::try_from(messages).ok()
            }
            CreditMode::Manual => None,
        }
    }

    /// Learns, from what the link has received in all, how large its messages are lately, on average; what was large once is
    /// forgotten by halves. Asked for when credit is granted, so that no message costs anything.
    fn learn_size(&mut self, octets: u64) {
        let waiting = u32::try_from(self.deliveries.len()).unwrap_or(u32::MAX);
        let came = self.taken.saturating_add(waiting).saturating_sub(self.before);
        if let Some(average) = octets.saturating_sub(self.octets).checked_div(u64::from(came)) {
            self.expected = average.saturating_add(DELIVERY_COST).max(self.expected / 2);
        }
        self.octets = octets;
        self.before = waiting;
    }

    /// Learns from the size of a message; `true` when far too much credit was granted for messages like it.
    fn learn(&mut self, octets: usize) -> bool {
        if !matches!(self.credit, CreditMode::Bytes(_)) {
            return false;
        }
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        // What was large once is forgotten slowly.
        self.largest = octets.max(self.largest - self.largest / 16);
        self.drain == Drain::Off && self.target().is_some_and(|target| target < self.ahead / 2)
    }
}

impl State {
    pub(crate) fn on_delivery(&mut self, link: LinkId, delivery: IncomingDelivery) {
        self.stats.messages_received = self.stats.messages_received.saturating_add(1);
        let Some(key) = self.link_key(link) else { return };
        let Some(slot) = self.links.get_mut(key).filter(|slot| !slot.is_orphan) else { return };
        if !delivery.is_settled && is_beyond(&self.engine, link) {
            self.give_back(key, &delivery);
            return;
        }
        let bound = self.engine.config().limits.inbox_bytes;
        let total = self.inbox_octets.saturating_add(cost(&delivery));
        if self.inbox_octets > 0 && total > bound.saturating_mul(CEILING) {
            self.turn_away(key, &delivery);
            return;
        }
        self.inbox_octets = total;
        let is_too_far_ahead = slot.inbox.learn(cost(&delivery));
        slot.inbox.deliveries.push_back(delivery);
        if slot.queue.has_waiting() {
            slot.queue.notify(slot.inbox.deliveries.len(), &mut self.wakes);
        }
        if total > bound {
            self.withhold(key);
        } else if is_too_far_ahead {
            self.grant(key);
        }
    }

    /// Gives the memory of a burst back; for a connection that has fallen idle.
    pub(crate) fn shrink(&mut self) {
        self.engine.shrink();
        self.pending.shrink();
        for slot in self.links.values_mut().filter(|slot| slot.inbox.deliveries.is_empty()) {
            slot.inbox.deliveries = VecDeque::new();
        }
    }

    /// Chooses how a receiver is granted credit, and grants the first unless it begins stopped.
    pub(crate) fn start_granting(&mut self, key: usize, credit: CreditMode, at_first: Drain) {
        let limits = &self.engine.config().limits;
        let frame = usize::try_from(self.engine.config().max_frame_size).unwrap_or(usize::MAX);
        let held = u64::try_from(limits.partial_delivery_bytes.max(frame)).unwrap_or(u64::MAX);
        // A link that was detached meanwhile has given its share back already.
        let slot = self.links.get_mut(key).filter(|slot| !matches!(slot.phase, LinkPhase::Detached(_)));
        let Some(slot) = slot else { return };
        (slot.inbox.credit, slot.inbox.drain) = (credit, at_first);
        if credit != CreditMode::Manual && slot.inbox.expected == 0 {
            let largest = self.engine.link_max_message_size(slot.id).unwrap_or(u64::MAX).min(held);
            slot.inbox.expected = largest.saturating_add(DELIVERY_COST);
            self.granting = self.granting.saturating_add(1);
        }
        if at_first != Drain::Stopped {
            self.grant(key);
        }
    }

    /// The octets that one of the links which are granted credit by themselves may have on its way and waiting. All of them
    /// together may have half of what is held at all, so that those which are attached later find room.
    fn share(&self) -> u64 {
        let room = self.engine.config().limits.inbox_bytes.saturating_mul(CEILING / 2);
        u64::try_from(room / self.granting.max(1)).unwrap_or(u64::MAX)
    }

    /// Grants a receiver credit for what it has room for.
    // L-029
    pub(crate) fn grant(&mut self, key: usize) {
        let is_over = self.inbox_octets > self.engine.config().limits.inbox_bytes;
        let share = self.share();
        let Some(slot) = self.links.get_mut(key) else { return };
        let Some(credit) = slot.inbox.target() else { return self.grant_owed(key) };
        slot.inbox.learn_size(self.engine.link_stats(slot.id).map_or(0, |stats| stats.octets));
        let room = (share / slot.inbox.expected.max(1)).max(1);
        let credit = credit.min(u32::try_from(room).unwrap_or(u32::MAX));
        let waiting = u32::try_from(slot.inbox.deliveries.len()).unwrap_or(u32::MAX);
        slot.inbox.taken = 0;
        slot.inbox.ahead = credit;
        slot.inbox.drain = Drain::Off;
        let credit = if is_over {
            self.withheld.insert(key);
            credit.min(1)
        } else {
            self.withheld.remove(&key);
            credit
        };
        let wanted = credit.saturating_sub(waiting);
        let granted = wanted.min(self.engine.unsettled_room(slot.id));
        self.note_crowded(key, granted < wanted);
        self.set_credit(key, granted);
    }

    /// Takes the next message of a link and renews credit when half of it is used.
    pub(crate) fn take(&mut self, key: usize) -> Option<IncomingDelivery> {
        let slot = self.links.get_mut(key)?;
        let delivery = slot.inbox.deliveries.pop_front()?;
        if slot.inbox.credit != CreditMode::Manual {
            slot.inbox.taken = slot.inbox.taken.saturating_add(1);
            let is_renewable = slot.inbox.drain == Drain::Off && matches!(slot.phase, LinkPhase::Attached);
            let is_due = slot.inbox.taken >= (slot.inbox.ahead / 2).max(1)
                || (slot.inbox.deliveries.is_empty() && self.withheld.contains(&key));
            if is_renewable && is_due {
                self.grant(key);
            }
        }
        self.release_inbox(cost(&delivery));
        Some(delivery)
    }

    /// Takes all messages of a link out at once, for which no credit is renewed.
    pub(crate) fn take_inbox(&mut self, key: usize) -> VecDeque<IncomingDelivery> {
        let Some(slot) = self.links.get_mut(key) else { return VecDeque::new() };
        let octets = slot.inbox.octets();
        let deliveries = std::mem::take(&mut slot.inbox.deliveries);
        self.withheld.remove(&key);
        self.crowded.remove(&key);
        self.release_inbox(octets);
        deliveries
    }

    /// Puts messages that came before a link was resumed in front of all that come on it.
    pub(crate) fn inherit_inbox(&mut self, key: usize, mut waiting: VecDeque<IncomingDelivery>) {
        let Some(slot) = self.links.get_mut(key) else { return };
        let octets: usize = waiting.iter().map(cost).sum();
        self.inbox_octets = self.inbox_octets.saturating_add(octets);
        waiting.append(&mut slot.inbox.deliveries);
        slot.inbox.deliveries = waiting;
    }

    /// Octets were taken: below half of the bound, links get back the credit that was withheld.
    fn release_inbox(&mut self, octets: usize) {
        self.inbox_octets = self.inbox_octets.saturating_sub(octets);
        if self.withheld.is_empty() || self.inbox_octets > self.engine.config().limits.inbox_bytes / 2 {
            return;
        }
        for key in std::mem::take(&mut self.withheld) {
            let is_renewable = self.links.get(key).is_some_and(|slot| {
                slot.inbox.drain == Drain::Off && matches!(slot.phase, LinkPhase::Attached)
            });
            if is_renewable {
                self.grant(key);
            }
        }
    }

    /// Takes a link's credit back until there is room again. What its application granted itself stays.
    fn withhold(&mut self, key: usize) {
        let Some(slot) = self.links.get(key) else { return };
        let is_automatic = slot.inbox.credit != CreditMode::Manual;
        // A drain gives the credit back by itself, and must not be ended by a new one.
        let is_withheld = slot.inbox.drain == Drain::Off && (is_automatic || self.owed(key) > 0);
        if is_withheld && self.withheld.insert(key) && is_automatic {
            self.set_credit(key, 0);
        }
    }

    /// Gives a message back for which there is no room, so that its sender keeps it and the link goes on.
    fn turn_away(&mut self, key: usize, delivery: &IncomingDelivery) {
        if self.release(key, delivery) {
            self.withhold(key);
        }
    }

    /// Releases a message that is not to be held. `false` where that cannot be said: then its link is detached.
    pub(crate) fn release(&mut self, key: usize, delivery: &IncomingDelivery) -> bool {
        let Some(slot) = self.links.get_mut(key) else { return false };
        if delivery.is_settled || delivery.state.as_deref().and_then(transaction_of).is_some() {
            self.refuse_more(key);
            return false;
        }
        debug!(link = ?slot.id, "a message was released, too much waits for the application");
        self.stats.messages_turned_away = self.stats.messages_turned_away.saturating_add(1);
        // Stale: it stays with the peer all the same.
        let _ = self.engine.settle(slot.id, delivery.id, DeliveryState::Released, Settlement::Settled);
        self.is_touched = true;
        // Who granted the credit by hand is to have its message all the same.
        if slot.inbox.credit == CreditMode::Manual && slot.inbox.drain == Drain::Off {
            let owed = self.crowded.entry(key).or_default();
            *owed = owed.saturating_add(1);
        }
        true
    }

    /// Detaches a link that goes on although far too much is waiting.
    fn refuse_more(&mut self, key: usize) {
        let Some(slot) = self.links.get(key) else { return };
        let fault = Error {
            condition: ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
            description: Some(Str::from("too many messages wait for the application".to_owned())),
            info: None,
        };
        // Stale: the link's end is on its way as an event.
        let _ = self.engine.detach(slot.id, DetachKind::Closed, Some(fault.clone()));
        self.is_touched = true;
        self.finish_link(key, DetachReason::OverLimit(fault.into()), WasUsable::Yes);
    }
}

/// What a waiting message counts against the bound, in octets: itself, and what is kept beside it.
fn cost(delivery: &IncomingDelivery) -> usize {
    delivery.message.len().saturating_add(usize::try_from(DELIVERY_COST).unwrap_or(usize::MAX))
}

/// Messages ahead at most where their octets are counted: so many are enough for any size.
const MOST_AHEAD: u64 = 10_000;
/// The memory of a delivery without its message, about, in octets.
const DELIVERY_COST: u64 = 256;
/// How many times the bound may be waiting at most. Peers queue as much as they were granted, and that still comes when a
/// link's credit is taken back.
const CEILING: usize = 4;

#[cfg(test)]
mod tests;
