//! Names of sessions, links and deliveries: small, `Copy`, and checked by generation.
//!
//! A stale id is never another endpoint: the slot remembers how often it was reused.

use core::cmp::Reverse;
use core::fmt;
use std::collections::BinaryHeap;

/// A session of one connection.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A link of one connection.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A delivery: its delivery-id on the wire, unique within a session and direction while unsettled (D-002).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeliveryId(pub u32);

impl SessionId {
    /// The slot's number: small and dense, fit for indexing a table beside the engine. Reused after the session's end.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl LinkId {
    /// The slot's number: small and dense, fit for indexing a table beside the engine. Reused after the link's end.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}.{}", self.index, self.generation)
    }
}

/// A slab whose slots remember a generation.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    live: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), live: 0 }
    }
}

impl<T> Slots<T> {
    /// Stores a value and returns its slot's index and generation.
    pub(crate) fn insert(&mut self, value: T) -> (u32, u32) {
        self.live += 1;
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return (index, slot.generation);
        }
        // Counts of sessions and links are limited far below 2^32.
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        if self.slots.len() == self.slots.capacity() {
            // Most connections have one of each: a vector's first growth would be for four.
            self.slots.reserve_exact(self.slots.len().max(1));
        }
        self.slots.push(Slot { generation: 0, value: Some(value) });
        (index, 0)
    }

    /// Takes a value out; its slot is reused under a new generation.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.live -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// The value of exactly this generation.
    pub(crate) fn checked(&self, index: u32, generation: u32) -> Option<&T> {
        let slot = self.slots.get(index as usize)?;
        if slot.generation == generation { slot.value.as_ref() } else { None }
    }

    /// The value of exactly this generation.
    pub(crate) fn checked_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation == generation { slot.value.as_mut() } else { None }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().zip(0u32..).filter_map(|(slot, index)| slot.value.is_some().then_some(index))
    }

    pub(crate) fn clear(&mut self) {
        let live: Vec<u32> = self.indices().collect();
        for index in live {
            self.remove(index);
        }
    }
}

/// The numbers that are free: the lowest first, however many are taken.
#[derive(Debug, Default)]
pub(crate) struct Lowest {
    returned: BinaryHeap<Reverse<u32>>,
    next: u32,
}

impl Lowest {
    /// Takes the lowest free number up to `max`.
    pub(crate) fn take(&mut self, max: u32) -> Option<u32> {
        let lowest = self.returned.peek().map_or(self.next, |Reverse(number)| *number);
        if lowest > max {
            return None;
        }
        if self.returned.pop().is_none() {
            self.next = self.next.checked_add(1)?;
        }
        Some(lowest)
    }

    /// Gives back a number that was taken.
    pub(crate) fn give_back(&mut self, number: u32) {
        self.returned.push(Reverse(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_is_nobody_else() {
        let mut slots = Slots::default();
        let (index, generation) = slots.insert("first");
        assert_eq!(slots.remove(index), Some("first"));
        let (again, newer) = slots.insert("second");
        assert_eq!(again, index);
        assert_eq!(slots.checked(index, generation), None);
        assert_eq!(slots.checked(again, newer), Some(&"second"));
        assert_eq!(slots.len(), 1);
    }

    // L-005
    #[test]
    fn the_lowest_number_given_back_is_taken_first() {
        let mut numbers = Lowest::default();
        assert_eq!((0..4).map(|_| numbers.take(9)).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), Some(3)]);
        numbers.give_back(2);
        numbers.give_back(0);
        assert_eq!([numbers.take(9), numbers.take(9), numbers.take(9)], [Some(0), Some(2), Some(4)]);
        numbers.give_back(1);
        assert_eq!([numbers.take(0), numbers.take(1), numbers.take(4)], [None, Some(1), None]);
    }
}
