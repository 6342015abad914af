//! Changing maps that stay encoded.
//!
//! Owns how entries are found, added, replaced and removed. Adding is an append and costs the same however many there are,
//! or their logarithm where keys were chosen to collide; replacing by another length and removing move what follows, and
//! what is added next indexes the keys anew.

use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Range;

use bytes::BytesMut;

use super::{
    duplicates::{self, fingerprint, slot_of},
    packed::{Own, Packed, Raw},
    walk,
};
use crate::{sink::Encode, value::Value, value_ref::ValueRef, work};

/// Where the keys of a map are that is being built, by their fingerprints.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// One more than where a key starts; 0 is free. Empty if there is no index.
    slots: Vec<u32>,
    /// Keys that were passed on the way to others since the table was made.
    collisions: usize,
    /// Where keys are, by their octets: instead of the table, if too many collide in it.
    sorted: Option<BTreeMap<Vec<u8>, usize>>,
}

impl Packed {
    /// Sets the value of a key, at its place if it is known and at the end otherwise.
    pub(super) fn insert(&mut self, key: &impl Encode, value: &impl Encode) -> Option<Value> {
        let count = self.count();
        let own = self.own();
        let end = own.octets.len();
        key.encode(&mut own.octets);
        let value_at = own.octets.len();
        match own.find(end, count) {
            None => {
                value.encode(&mut own.octets);
                own.index.add(end, own.octets.get(end..value_at).unwrap_or_default());
                self.set_count(count.saturating_add(1));
                None
            }
            Some(place) => {
                let start = place + (value_at - end);
                let former = own.octets.get(start..)?;
                let length = former.len() - walk::skip(former)?.len();
                let (old, _) = walk::value(former, true)?;
                let old = old.to_value();
                own.octets.truncate(end);
                let mut new = BytesMut::new();
                value.encode(&mut new);
                own.replace(start..start + length, &new);
                Some(old)
            }
        }
    }

    /// Appends entries, of which the last wins where several have one key. If the iterator panics, the map has all of its
    /// entries or, where few were added to many, some of the new ones, too.
    pub(super) fn extend<K: Encode, V: Encode>(&mut self, entries: impl Iterator<Item = (K, V)>) {
        // A pass over all entries pays only where at least as many come as are there.
        if entries.size_hint().0 < self.len() {
            return entries.for_each(|(key, value)| drop(self.insert(&key, &value)));
        }
        // Built aside, so that octets and count are never out of step.
        let mut all = if self.is_empty() { core::mem::replace(self, Self::new()) } else { self.clone() };
        let mut count = all.count();
        let own = all.own();
        own.index.clear();
        for (key, value) in entries {
            key.encode(&mut own.octets);
            value.encode(&mut own.octets);
            count = count.saturating_add(1);
        }
        if duplicates::are_in(Raw { octets: &own.octets, count, is_minimal: true }) {
            (own.octets, count) = unite(&own.octets);
        }
        all.set_count(count);
        *self = all;
    }

    /// Removes the first entry whose key is the one looked for, and returns its value.
    pub(super) fn remove(&mut self, mut is_key: impl FnMut(ValueRef<'_>) -> bool) -> Option<Value> {
        let (entry, value) = self.position(&mut is_key)?;
        let removed = walk::value(self.raw().octets.get(value..)?, true)?.0.to_value();
        let count = self.count();
        self.own().replace(entry, &[]);
        self.set_count(count.saturating_sub(1));
        Some(removed)
    }

    /// Where an entry is, and where its value starts.
    fn position(&self, is_key: &mut impl FnMut(ValueRef<'_>) -> bool) -> Option<(Range<usize>, usize)> {
        let octets = self.raw().octets;
        let mut rest = octets;
        while let Some((key, value)) = walk::value(rest, true) {
            let behind = walk::skip(value)?;
            if is_key(key) {
                let place = |part: &[u8]| octets.len() - part.len();
                return Some((place(rest)..place(behind), place(value)));
            }
            rest = behind;
        }
        None
    }

    /// Keeps the entries of which `is_kept` says so.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(ValueRef<'_>, ValueRef<'_>) -> bool) {
        let octets = self.raw().octets;
        let mut kept = BytesMut::with_capacity(octets.len());
        let (mut count, mut rest) = (0_u32, octets);
        while let Some((key, value, behind)) = entry(rest) {
            if is_kept(key, value) {
                kept.extend_from_slice(rest.get(..rest.len() - behind.len()).unwrap_or_default());
                count += 1;
            }
            rest = behind;
        }
        if count < self.count() {
            *self = Self::of(kept.freeze(), count);
        }
    }
}

impl Own {
    /// Where the entry is whose key was written at `end`, behind all others.
    fn find(&mut self, end: usize, count: u32) -> Option<usize> {
        let (known, key) = self.octets.split_at_checked(end)?;
        if count < SEARCHED {
            let mut rest = known;
            while !rest.is_empty() && !rest.starts_with(key) {
                rest = walk::skip(walk::skip(rest)?)?;
            }
            return (!rest.is_empty()).then(|| known.len() - rest.len());
        }
        self.index.make_room(known, count);
        self.index.find(known, key)
    }

    /// Puts other octets into a place.
    fn replace(&mut self, place: Range<usize>, octets: &[u8]) {
        if octets.len() == place.len() {
            if let Some(place) = self.octets.get_mut(place) {
                place.copy_from_slice(octets);
            }
            return;
        }
        self.index.clear();
        let behind = self.octets.split_off(place.end);
        self.octets.truncate(place.start);
        self.octets.extend_from_slice(octets);
        self.octets.extend_from_slice(&behind);
    }
}

impl Index {
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Makes the table if there is none or if it is too small for one entry more.
    fn make_room(&mut self, octets: &[u8], count: u32) {
        let needed = usize::try_from(count).unwrap_or(usize::MAX).saturating_add(1).saturating_mul(2);
        if self.sorted.is_some() || self.slots.len() >= needed {
            return;
        }
        self.slots = alloc::vec![0; needed.saturating_mul(2)];
        self.collisions = 0;
        for (place, key) in keys(octets) {
            if self.has_too_many_collisions() {
                return self.sort(octets);
            }
            self.add(place, key);
        }
    }

    /// Whether keys may have been made to collide: honest ones do so less than once each.
    const fn has_too_many_collisions(&self) -> bool {
        self.collisions > self.slots.len()
    }

    /// Gives up the table for an order that no choice of keys makes slow.
    #[cold]
    fn sort(&mut self, octets: &[u8]) {
        self.slots = Vec::new();
        self.sorted = Some(keys(octets).map(|(place, key)| (key.to_vec(), place)).collect());
    }

    /// Where a key that is not known yet would be entered, or where the key is that is equal.
    fn slot(&mut self, octets: &[u8], key: &[u8]) -> Result<usize, usize> {
        let mut slot = slot_of(fingerprint(key), self.slots.len());
        while let Some(other) = self.slots.get(slot).and_then(|entry| entry.checked_sub(1)) {
            work::step();
            let other = usize::try_from(other).unwrap_or(usize::MAX);
            if octets.get(other..).is_some_and(|other| other.starts_with(key)) {
                return Err(other);
            }
            self.collisions += 1;
            slot = (slot + 1) % self.slots.len().max(1);
        }
        Ok(slot)
    }

    fn find(&mut self, octets: &[u8], key: &[u8]) -> Option<usize> {
        if self.sorted.is_none() && self.has_too_many_collisions() {
            self.sort(octets);
        }
        work::step();
        match &self.sorted {
            Some(sorted) => sorted.get(key).copied(),
            None => self.slot(octets, key).err(),
        }
    }

    /// Enters a key that is not there yet.
    fn add(&mut self, place: usize, key: &[u8]) {
        if let Some(sorted) = &mut self.sorted {
            sorted.insert(key.to_vec(), place);
            return;
        }
        let Ok(slot) = self.slot(&[], key) else { return };
        if let (Some(slot), Ok(entry)) = (self.slots.get_mut(slot), u32::try_from(place.saturating_add(1))) {
            *slot = entry;
        }
    }
}

/// Where each key of a map is, and its octets.
fn keys(octets: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = octets;
    core::iter::from_fn(move || {
        let value = walk::skip(rest)?;
        let key = (octets.len() - rest.len(), rest.get(..rest.len() - value.len())?);
        rest = walk::skip(value)?;
        Some(key)
    })
}

/// A map in which some keys come several times: each stays at its first place, with its last value.
fn unite(octets: &[u8]) -> (BytesMut, u32) {
    let mut entries = Vec::new();
    let mut rest = octets;
    while let Some(value) = walk::skip(rest) {
        let behind = walk::skip(value).unwrap_or_default();
        let part = |from: &[u8], to: &[u8]| octets.len() - from.len()..octets.len() - to.len();
        entries.push((part(rest, value), part(value, behind)));
        rest = behind;
    }
    let get = |part: &Range<usize>| octets.get(part.clone()).unwrap_or_default();
    // Stable, so that among equal keys the first and the last are where they were.
    entries.sort_by(|(a, _), (b, _)| get(a).cmp(get(b)));
    entries.dedup_by(|(later, last), (first, value)| {
        let is_same = get(later) == get(first);
        if is_same {
            *value = last.clone();
        }
        is_same
    });
    entries.sort_unstable_by_key(|(key, _)| key.start);
    let mut united = BytesMut::with_capacity(octets.len());
    for (key, value) in &entries {
        united.extend_from_slice(get(key));
        united.extend_from_slice(get(value));
    }
    (united, u32::try_from(entries.len()).unwrap_or(u32::MAX))
}

/// Key and value of the first entry, and what follows it.
pub(super) fn entry(octets: &[u8]) -> Option<(ValueRef<'_>, ValueRef<'_>, &[u8])> {
    let (key, rest) = walk::value(octets, true)?;
    let (value, rest) = walk::value(rest, true)?;
    Some((key, value, rest))
}

/// Entries up to which a search from the first on is quicker than an index.
const SEARCHED: u32 = 8;
