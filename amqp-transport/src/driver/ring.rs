//! Values under keys that rise and are never given twice.
//!
//! A ring indexed by key minus base: no hash, no allocation once it has grown. Old values that linger while others come and go
//! move to an ordered map, so that the ring stays as short as the traffic. A key whose value is gone stays known as
//! such for ever, which a reused key could not be.

use std::collections::{BTreeMap, VecDeque};

/// Values by key.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    /// The key of the ring's front.
    base: u64,
    ring: VecDeque<Option<T>>,
    in_ring: usize,
    stragglers: BTreeMap<u64, T>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { base: 0, ring: VecDeque::new(), in_ring: 0, stragglers: BTreeMap::new() }
    }
}

impl<T> Ring<T> {
    /// The key of the next value: one whose [`short`] form no value has.
    #[inline]
    pub(crate) fn next_key(&mut self) -> u64 {
        while short(self.next()) == NO_KEY
            || (!self.stragglers.is_empty() && self.long(short(self.next())).is_some())
        {
            self.ring.push_back(None);
        }
        self.next()
    }

    /// Stores a value under the [next key](Self::next_key), which was just asked for.
    #[inline]
    pub(crate) fn insert(&mut self, key: u64, value: T) {
        debug_assert_eq!(key, self.next(), "a key that is not the next");
        if self.ring.len() >= SPARSE && self.in_ring < self.ring.len() / 4 {
            self.spill();
        }
        self.ring.push_back(Some(value));
        self.in_ring = self.in_ring.saturating_add(1);
    }

    /// Gives the [next key](Self::next_key) to nobody else: it was told to another, and no value is kept under it.
    #[inline]
    pub(crate) fn skip(&mut self) {
        self.ring.push_back(None);
    }

    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        match key.checked_sub(self.base) {
            Some(at) => self.ring.get(usize::try_from(at).ok()?)?.as_ref(),
            None => self.stragglers.get(&key),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        match key.checked_sub(self.base) {
            Some(at) => self.ring.get_mut(usize::try_from(at).ok()?)?.as_mut(),
            None => self.stragglers.get_mut(&key),
        }
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        let Some(at) = key.checked_sub(self.base) else { return self.stragglers.remove(&key) };
        let value = self.ring.get_mut(usize::try_from(at).ok()?)?.take()?;
        self.in_ring = self.in_ring.saturating_sub(1);
        Some(value)
    }

    /// Drops a value where it lies.
    #[inline]
    pub(crate) fn free(&mut self, key: u64) {
        let Some(at) = key.checked_sub(self.base) else {
            self.stragglers.remove(&key);
            return;
        };
        let place = usize::try_from(at).ok().and_then(|at| self.ring.get_mut(at));
        if let Some(place @ Some(_)) = place {
            *place = None;
            self.in_ring = self.in_ring.saturating_sub(1);
        }
    }

    /// The key of the value whose short form this is.
    #[inline]
    pub(crate) fn long(&self, key: u32) -> Option<u64> {
        let back = match short(self.next()).wrapping_sub(key) {
            0 => TURN,
            back => u64::from(back),
        };
        let mut long = self.next().checked_sub(back)?;
        while self.get(long).is_none() {
            long = long.checked_sub(TURN).filter(|long| *long >= self.floor())?;
        }
        Some(long)
    }

    /// Lets go of the places of values that are gone, and so raises the [floor](Self::floor). Now and then is enough.
    pub(crate) fn trim(&mut self) {
        let gone = self.ring.iter().take_while(|value| value.is_none()).count();
        self.ring.drain(..gone);
        self.base = self.base.saturating_add(u64::try_from(gone).unwrap_or(u64::MAX));
    }

    /// No value has a key below this one, nor ever will.
    #[inline]
    pub(crate) fn floor(&self) -> u64 {
        self.stragglers.first_key_value().map_or(self.base, |(first, _)| *first)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.stragglers.values().chain(self.ring.iter().filter_map(Option::as_ref))
    }

    /// Gives memory back while there are no values.
    pub(crate) fn shrink(&mut self) {
        self.trim();
        if self.ring.is_empty() {
            self.ring = VecDeque::new();
        }
    }

    fn next(&self) -> u64 {
        self.base.saturating_add(u64::try_from(self.ring.len()).unwrap_or(u64::MAX))
    }

    /// Moves the few that linger out of a long ring.
    fn spill(&mut self) {
        let keys = self.base..;
        self.base = self.next();
        let values = keys.zip(self.ring.drain(..));
        self.stragglers.extend(values.filter_map(|(key, value)| Some((key, value?))));
        self.in_ring = 0;
    }
}

/// The form of a key that the engine hands back with its events.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
pub(crate) fn short(key: u64) -> u32 {
    key as u32
}

/// The short form of no key.
pub(crate) const NO_KEY: u32 = u32::MAX;
/// As many keys have different short forms.
const TURN: u64 = 1 << 32;
/// A ring this long that is mostly holes gives its rest to the map.
const SPARSE: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn add<T>(ring: &mut Ring<T>, value: T) -> u64 {
        let key = ring.next_key();
        ring.insert(key, value);
        key
    }

    #[test]
    fn a_key_that_was_told_to_another_is_not_the_next_messages() {
        let mut ring = Ring::default();
        let told = ring.next_key();
        ring.skip();
        let waiting = add(&mut ring, "waits");
        assert_eq!((ring.long(short(told)), ring.long(short(waiting))), (None, Some(waiting)));
        ring.trim();
        assert_eq!(ring.get(waiting), Some(&"waits"));
    }

    #[test]
    fn keys_rise_and_what_is_gone_stays_gone() {
        let mut ring = Ring::default();
        let (a, b) = (add(&mut ring, "a"), add(&mut ring, "b"));
        assert_eq!((ring.remove(a), ring.remove(a)), (Some("a"), None));
        let c = add(&mut ring, "c");
        ring.trim();
        assert!(a < b && b < c, "no key is given twice");
        assert_eq!((ring.get(a), ring.get(b), ring.get(c), ring.floor()), (None, Some(&"b"), Some(&"c"), b));
        ring.free(c);
        ring.free(c);
        ring.free(b);
        ring.trim();
        assert_eq!((ring.values().count(), ring.floor()), (0, c + 1));
    }

    #[test]
    fn one_that_lingers_makes_no_long_ring_and_holds_the_floor() {
        let mut ring = Ring::default();
        let first = add(&mut ring, 0);
        for number in 1..100_000 {
            let key = add(&mut ring, number);
            assert_eq!(ring.long(short(key)), Some(key));
            ring.free(key);
        }
        assert!(ring.ring.len() <= SPARSE, "a ring of {}", ring.ring.len());
        assert_eq!((ring.get(first), ring.long(short(first)), ring.floor()), (Some(&0), Some(first), first));
        assert_eq!((ring.remove(first), ring.long(short(first))), (Some(0), None));
        ring.trim();
        assert!(ring.floor() > first);
    }

    #[test]
    fn no_two_values_have_one_short_form_and_none_has_that_of_no_key() {
        let mut ring = Ring { base: u64::from(NO_KEY) - 1, ..Ring::default() };
        let old = add(&mut ring, "old");
        let after = add(&mut ring, "after");
        assert_eq!((short(old), short(after)), (NO_KEY - 1, 0));
        ring.spill();
        // One turn later.
        ring.base = old + TURN;
        let new = add(&mut ring, "new");
        assert_eq!(short(new), 1, "two are taken, and one is no key's");
        assert_eq!(ring.long(short(old)), Some(old));
        assert_eq!((ring.long(0), ring.long(1)), (Some(after), Some(new)));
    }
}
