//! The room of a session for deliveries that nobody has settled: credit keeps within it.
//!
//! A session holds so many unsettled deliveries ([`Limits::unsettled`](crate::engine::Limits)), and a peer that sends more
//! breaks it, though it had the credit. Hence a link is granted credit by itself for its share only: half of what the other
//! links leave, so that no link that is slow to settle takes the room of those that are quick. What an application grants by
//! hand beyond the room is kept back until deliveries are settled. Credit that others have and do not use is not counted, or
//! many idle links would have none: where they all use it at once, what comes beyond the ceiling is released, and stays with
//! the peer.

use super::inbox::Drain;
use super::shared::State;
use super::slots::LinkPhase;
use crate::engine::{Connection, IncomingDelivery, LinkId};
use crate::handle::options::CreditMode;

impl State {
    /// Grants a receiver what its application says by hand: `credit` in all, given what it has and what is kept back for it.
    pub(crate) fn grant_by_hand(&mut self, key: usize, credit: impl FnOnce(u32) -> u32) {
        let owed = self.owed(key);
        let Some(slot) = self.links.get_mut(key) else { return };
        let now = self.engine.link_credit(slot.id);
        let wanted = credit(now.saturating_add(owed));
        if slot.inbox.drain != Drain::Off {
            // It is renewed when half of this is used, where that is done by itself.
            (slot.inbox.ahead, slot.inbox.taken) = (wanted, 0);
            slot.inbox.drain = Drain::Off;
            slot.life.notify_all(&mut self.wakes);
        }
        self.grant_or_owe(key, wanted, wanted.min(self.room_by_hand(key).max(now)));
    }

    /// Whether so much credit more can be granted by hand at once.
    pub(crate) fn has_room_for(&self, key: usize, credit: u32) -> bool {
        self.links.get(key).is_none_or(|slot| {
            let before = self.engine.link_credit(slot.id).saturating_add(self.owed(key));
            before.saturating_add(credit) <= self.room_by_hand(key)
        })
    }

    /// Grants what an application has granted and there was no room for.
    pub(crate) fn grant_owed(&mut self, key: usize) {
        let owed = self.owed(key);
        let Some(slot) = self.links.get(key).filter(|_| owed > 0) else { return };
        let now = self.engine.link_credit(slot.id);
        let wanted = now.saturating_add(owed);
        let granted = wanted.min(self.room_by_hand(key).max(now));
        if is_worthwhile(now, granted, wanted) {
            self.grant_or_owe(key, wanted, granted);
        }
    }

    /// Grants the credit that was kept back, as far as there is room for it by now.
    pub(crate) fn grant_kept_back(&mut self) {
        if self.crowded.is_empty() {
            return;
        }
        for key in self.crowded.keys().copied().collect::<Vec<_>>() {
            let slot = self.links.get(key).filter(|slot| {
                slot.inbox.drain == Drain::Off
                    && matches!(slot.phase, LinkPhase::Attaching | LinkPhase::Attached)
            });
            let Some(slot) = slot else {
                self.crowded.remove(&key);
                continue;
            };
            // Without room for its octets it waits for that.
            if self.withheld.contains(&key) {
                continue;
            }
            let Some(target) = slot.inbox.target() else {
                self.grant_owed(key);
                continue;
            };
            let waiting = u32::try_from(slot.inbox.deliveries.len()).unwrap_or(u32::MAX);
            let wanted = slot.inbox.ahead.min(target).saturating_sub(waiting);
            let granted = wanted.min(self.engine.unsettled_room(slot.id));
            if is_worthwhile(self.engine.link_credit(slot.id), granted, wanted) {
                self.grant(key);
            }
        }
    }

    /// Gives a delivery back that goes beyond what its session is to hold.
    pub(crate) fn give_back(&mut self, key: usize, delivery: &IncomingDelivery) {
        if !self.release(key, delivery) {
            return;
        }
        let Some(slot) = self.links.get(key).filter(|slot| slot.inbox.drain == Drain::Off) else { return };
        if slot.inbox.credit != CreditMode::Manual {
            self.set_credit(key, 0);
        }
        self.note_crowded(key, true);
    }

    /// Whether a link waits for room.
    pub(crate) fn note_crowded(&mut self, key: usize, is_crowded: bool) {
        if is_crowded {
            self.crowded.entry(key).or_default();
        } else {
            self.crowded.remove(&key);
        }
    }

    /// Tells the engine of a receiver's credit.
    pub(crate) fn set_credit(&mut self, key: usize, credit: u32) {
        let Some(slot) = self.links.get(key) else { return };
        // Stale: the link's end is on its way as an event.
        let _ = self.engine.set_credit(slot.id, credit);
        self.is_touched = true;
    }

    /// Grants a part of the credit that an application wants a link to have, and keeps the rest back.
    fn grant_or_owe(&mut self, key: usize, wanted: u32, granted: u32) {
        self.set_credit(key, granted);
        let credit = wanted.saturating_sub(granted);
        self.note_crowded(key, credit > 0);
        // Where credit is granted by itself, that goes on from here.
        let is_manual = self.links.get(key).is_some_and(|slot| slot.inbox.credit == CreditMode::Manual);
        if let Some(owed) = self.crowded.get_mut(&key).filter(|_| is_manual) {
            *owed = credit;
        }
    }

    /// The credit that is kept back of what an application has granted by hand.
    pub(crate) fn owed(&self, key: usize) -> u32 {
        self.crowded.get(&key).copied().unwrap_or(0)
    }

    /// The credit that a link may have where the application answers for it: all that its session has room for.
    fn room_by_hand(&self, key: usize) -> u32 {
        let Some(slot) = self.links.get(key) else { return 0 };
        if self.engine.unsettled_room(slot.id) == u32::MAX {
            return u32::MAX;
        }
        let held = self.engine.unsettled_incoming(slot.id).map_or(0, |(_, held)| held);
        u32::try_from(self.engine.unsettled_ceiling().saturating_sub(held)).unwrap_or(u32::MAX)
    }
}

/// Whether the session of a link holds more than it is to: what is left is for what arrives before a peer hears of it.
#[inline]
pub(crate) fn is_beyond(engine: &Connection, link: LinkId) -> bool {
    engine.unsettled_incoming(link).is_some_and(|(_, held)| held > engine.unsettled_ceiling())
}

/// Not each delivery that is settled is worth a flow: the credit is to double, or to become what was wanted.
fn is_worthwhile(now: u32, granted: u32, wanted: u32) -> bool {
    granted > now && (granted == wanted || granted / 2 >= now)
}
