//! Unsettled deliveries of one session and direction, and the dispositions that wait to leave.
//!
//! A ring indexed by delivery-id minus base: no hashing, no allocation per delivery. Old deliveries that linger while
//! others flow move to an ordered map, so that the ring stays as short as the traffic. Ids are widened to 64 bits inside,
//! so that order needs no wrap-around care.

use std::collections::{BTreeMap, VecDeque};

use amqp_codec::{DeliveryState, Role};

/// Deliveries by delivery-id.
#[derive(Debug)]
pub(crate) struct Unsettled<T> {
    /// The widened id of the ring's front.
    base: u64,
    ring: VecDeque<Option<T>>,
    in_ring: usize,
    stragglers: BTreeMap<u64, T>,
    /// Deliveries held whose link is over, to be swept out together.
    dead: usize,
}

/// What becomes of a delivery after a visit.
pub(crate) enum Visit {
    Keep,
    Remove,
    /// Taken out, and it was dead already.
    Bury,
}

impl<T> Unsettled<T> {
    /// Starts counting at this id.
    pub(crate) fn new(first: u32) -> Self {
        // One turn of the wheel in hand, so that widening an older id never goes below zero.
        Self {
            base: u64::from(first) | TURN,
            ring: VecDeque::new(),
            in_ring: 0,
            stragglers: BTreeMap::new(),
            dead: 0,
        }
    }

    /// The id of the next delivery.
    pub(crate) fn next_id(&self) -> u32 {
        low(self.next())
    }

    /// Deliveries held whose link lives.
    pub(crate) fn len(&self) -> usize {
        (self.in_ring + self.stragglers.len()).saturating_sub(self.dead)
    }

    /// Takes the next id for a delivery that stays unsettled.
    pub(crate) fn push(&mut self, value: T) {
        if self.ring.len() >= SPARSE_RING && self.in_ring < self.ring.len() / 4 {
            self.spill();
        }
        self.ring.push_back(Some(value));
        self.in_ring += 1;
    }

    /// Takes the next id for a delivery that is settled from the start.
    pub(crate) fn skip(&mut self) {
        if self.ring.is_empty() {
            self.base += 1;
            return;
        }
        if self.ring.len() >= SPARSE_RING && self.in_ring < self.ring.len() / 4 {
            self.spill();
            self.base += 1;
            return;
        }
        self.ring.push_back(None);
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        let id = self.widen(id)?;
        match id.checked_sub(self.base) {
            Some(at) => self.ring.get(usize::try_from(at).ok()?)?.as_ref(),
            None => self.stragglers.get(&id),
        }
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let id = self.widen(id)?;
        let Some(at) = id.checked_sub(self.base) else {
            return self.stragglers.remove(&id);
        };
        let value = self.ring.get_mut(usize::try_from(at).ok()?)?.take()?;
        self.in_ring -= 1;
        self.trim();
        Some(value)
    }

    /// Drops a delivery where it lies.
    pub(crate) fn forget(&mut self, id: u32) {
        let Some(id) = self.widen(id) else { return };
        let Some(at) = id.checked_sub(self.base) else {
            self.stragglers.remove(&id);
            return;
        };
        let slot = usize::try_from(at).ok().and_then(|at| self.ring.get_mut(at));
        if let Some(slot @ Some(_)) = slot {
            *slot = None;
            self.in_ring -= 1;
            self.trim();
        }
    }

    /// Visits the deliveries of an inclusive range, oldest first. Costs no more than the range, nor more than what is
    /// held (D-026, D-027). Returns how many were removed.
    pub(crate) fn visit_range(
        &mut self,
        first: u32,
        last: u32,
        mut visit: impl FnMut(u32, &mut T) -> Visit,
    ) -> usize {
        let span = u64::from(last.wrapping_sub(first));
        let next = self.next();
        // An end in the future is cut off; a start in the future holds nothing, unless the range ended before.
        let Some(low_end) = self.widen(first) else { return 0 };
        let high_end = (low_end + span).min(next.saturating_sub(1));
        let (mut removed, mut buried) = (0, 0);
        if low_end < self.base && !self.stragglers.is_empty() && low_end <= high_end {
            let gone: Vec<u64> = self
                .stragglers
                .range_mut(low_end..=high_end)
                .filter_map(|(id, value)| match visit(low(*id), value) {
                    Visit::Keep => None,
                    Visit::Remove => {
                        removed += 1;
                        Some(*id)
                    }
                    Visit::Bury => {
                        buried += 1;
                        Some(*id)
                    }
                })
                .collect();
            for id in gone {
                self.stragglers.remove(&id);
            }
        }
        let mut at = low_end.max(self.base);
        let mut index = usize::try_from(at - self.base).unwrap_or(usize::MAX);
        while at <= high_end {
            let Some(slot) = self.ring.get_mut(index) else { break };
            if let Some(value) = slot {
                match visit(low(at), value) {
                    Visit::Keep => {}
                    Visit::Remove => {
                        *slot = None;
                        self.in_ring -= 1;
                        removed += 1;
                    }
                    Visit::Bury => {
                        *slot = None;
                        self.in_ring -= 1;
                        buried += 1;
                    }
                }
            }
            at += 1;
            index += 1;
        }
        self.dead = self.dead.saturating_sub(buried);
        self.trim();
        removed
    }

    /// Counts deliveries whose link is over. They stay until a quarter of what is held is like them and one walk takes
    /// them all out: a link's end costs no more than its own deliveries, however many others are held.
    pub(crate) fn abandon(&mut self, count: usize, mut is_dead: impl FnMut(&T) -> bool) {
        self.dead += count;
        if self.dead * SWEEP_AT < self.ring.len() + self.stragglers.len() {
            return;
        }
        self.stragglers.retain(|_, value| !is_dead(value));
        for slot in &mut self.ring {
            if slot.as_ref().is_some_and(&mut is_dead) {
                *slot = None;
                self.in_ring -= 1;
            }
        }
        self.dead = 0;
        self.trim();
    }

    /// Lets go of everything; the next id stays.
    pub(crate) fn clear(&mut self) {
        self.base = self.next();
        self.ring.clear();
        self.stragglers.clear();
        (self.in_ring, self.dead) = (0, 0);
    }

    /// Takes everything out, oldest first; the next id stays.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let mut all: Vec<T> = std::mem::take(&mut self.stragglers).into_values().collect();
        self.base = self.next();
        all.extend(self.ring.drain(..).flatten());
        (self.in_ring, self.dead) = (0, 0);
        all
    }

    /// What is held, oldest first, the dead among it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.stragglers.values().chain(self.ring.iter().filter_map(Option::as_ref))
    }

    fn next(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    /// The widened form of an id not younger than the youngest; `None` for one in the future.
    fn widen(&self, id: u32) -> Option<u64> {
        let next = self.next();
        let back = low(next).wrapping_sub(id);
        // Half the circle back, the other half (and 0, the next id itself) lies in the future.
        if back == 0 || back > HALF { None } else { next.checked_sub(u64::from(back)) }
    }

    fn trim(&mut self) {
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.base += 1;
        }
    }

    /// Moves the few that linger out of a long ring.
    fn spill(&mut self) {
        let base = self.base;
        self.base = self.next();
        for (value, at) in self.ring.drain(..).zip(0u64..) {
            if let Some(value) = value {
                self.stragglers.insert(base + at, value);
            }
        }
        self.in_ring = 0;
    }
}

/// A disposition that waits to leave, grown by equal neighbours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PendingDisposition {
    pub(crate) role: Role,
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) is_settled: bool,
    pub(crate) state: Option<DeliveryState>,
}

/// Adds one delivery's disposition to the queue: to the last one if it continues it, else behind it.
// D-021: what can be told together is, with the next output and no later.
pub(crate) fn queue_disposition(
    queue: &mut VecDeque<PendingDisposition>,
    role: Role,
    id: u32,
    is_settled: bool,
    state: Option<&DeliveryState>,
) {
    if let Some(tail) = queue.back_mut()
        && tail.role == role
        && tail.is_settled == is_settled
        && is_same(tail.state.as_ref(), state)
    {
        if tail.last.wrapping_add(1) == id {
            tail.last = id;
            return;
        }
        if tail.first == id.wrapping_add(1) {
            tail.first = id;
            return;
        }
    }
    queue.push_back(PendingDisposition { role, first: id, last: id, is_settled, state: state.cloned() });
}

/// Whether two states are equal. Nearly all are accepted.
#[inline]
pub(crate) fn is_same(a: Option<&DeliveryState>, b: Option<&DeliveryState>) -> bool {
    matches!((a, b), (Some(DeliveryState::Accepted), Some(DeliveryState::Accepted))) || a == b
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of a widened id is the id")]
fn low(id: u64) -> u32 {
    id as u32
}

const TURN: u64 = 1 << 33;
const HALF: u32 = 0x8000_0000;
/// A ring this long that is mostly holes gives its rest to the map.
const SPARSE_RING: usize = 1_024;
/// One in so many deliveries held is dead when they are swept out.
const SWEEP_AT: usize = 4;

#[cfg(test)]
mod tests;
