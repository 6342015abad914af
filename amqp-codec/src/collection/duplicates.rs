//! Whether a map has two equal keys, in time and memory that no peer can drive up.
//!
//! Owns the fingerprints by which keys are compared first. They are no secret: a peer that makes them collide gets the
//! sorted comparison, O(n log n), instead of the table. Keys are compared as octets, in their smallest encoding, which
//! equal values have in common and no other value starts with.

use alloc::{vec, vec::Vec};

use bytes::BytesMut;

use super::{packed::Raw, walk};
use crate::{sink::Encode, work};

/// The keys of a map that is being read, as long as they are short ASCII text: where each is, by its fingerprint.
pub(super) struct KeySet<'a, const SLOTS: usize> {
    octets: &'a [u8],
    /// One more than where a key starts; 0 is free.
    slots: [u16; SLOTS],
    collisions: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Different,
    Equal,
    /// A key that is not known here, or too many of them.
    Unknown,
}

impl<'a, const SLOTS: usize> KeySet<'a, SLOTS> {
    /// For the map with these octets. `SLOTS` is a power of two and at least twice the number of keys, or 0.
    #[inline]
    pub(super) fn new(octets: &'a [u8]) -> Self {
        let is_known = SLOTS > 0 && octets.len() < usize::from(u16::MAX);
        let state = if is_known { State::Different } else { State::Unknown };
        Self { octets, slots: [0; SLOTS], collisions: 0, state }
    }

    /// Enters the key at the start of `rest`, an end of the map's octets.
    #[inline(always)]
    pub(super) fn note(&mut self, rest: &[u8], text: &[u8]) {
        if self.state != State::Different {
            return;
        }
        let place = self.octets.len().wrapping_sub(rest.len());
        let Ok(entry) = u16::try_from(place.wrapping_add(1)) else { return self.give_up() };
        let key = rest.get(..text.len() + 2).unwrap_or_default();
        let mut slot = slot_of(fingerprint(text), SLOTS);
        while let Some(known) = self.slots.get_mut(slot) {
            let Some(other) = usize::from(*known).checked_sub(1) else {
                *known = entry;
                return;
            };
            if self.octets.get(other..).is_some_and(|other| other.starts_with(key)) {
                self.state = State::Equal;
                return;
            }
            self.collisions += 1;
            if self.collisions > SLOTS {
                break;
            }
            work::step();
            slot = (slot + 1) % SLOTS.max(1);
        }
        self.give_up();
    }

    /// There is a key that was not noted.
    pub(super) const fn give_up(&mut self) {
        self.state = State::Unknown;
    }

    /// Whether two keys are equal; `None` if it has to be found out otherwise.
    #[inline]
    pub(super) const fn has_duplicates(&self) -> Option<bool> {
        match self.state {
            State::Different => Some(false),
            State::Equal => Some(true),
            State::Unknown => None,
        }
    }
}

/// T-038: whether a checked map has two equal keys, however they are encoded.
pub(super) fn are_in(map: Raw<'_>) -> bool {
    if map.is_minimal {
        return Keys { octets: map.octets, has_values: true }.are_equal(map.len());
    }
    // Only equal encodings can be compared as octets, so the keys are written anew, without the values.
    let mut keys = BytesMut::new();
    let mut rest = map.octets;
    while let Some((key, behind)) = walk::value(rest, false) {
        key.encode(&mut keys);
        rest = walk::skip(behind).unwrap_or_default();
    }
    Keys { octets: &keys, has_values: false }.are_equal(map.len())
}

/// Keys in their smallest encoding, one after the other.
#[derive(Clone, Copy)]
struct Keys<'a> {
    octets: &'a [u8],
    /// Whether a value follows each.
    has_values: bool,
}

impl<'a> Keys<'a> {
    fn are_equal(self, count: usize) -> bool {
        // Six octets an entry, which takes two octets at least.
        let mut slots = vec![0_u32; count.saturating_add(count / 2).max(1)];
        self.search(&mut slots).unwrap_or_else(|| {
            drop(core::mem::take(&mut slots));
            self.sort(count)
        })
    }

    /// Enters all keys into a table; `None` if too many collide.
    fn search(self, slots: &mut [u32]) -> Option<bool> {
        let length = slots.len();
        let mut collisions = 0;
        for (place, key) in self {
            let entry = u32::try_from(place.checked_add(1)?).ok()?;
            let mut slot = slot_of(fingerprint(key), length);
            loop {
                let known = slots.get_mut(slot)?;
                let Some(other) = known.checked_sub(1) else {
                    *known = entry;
                    break;
                };
                if self.octets.get(usize::try_from(other).ok()?..)?.starts_with(key) {
                    return Some(true);
                }
                collisions += 1;
                if collisions > length.saturating_mul(4) {
                    return None;
                }
                work::step();
                slot = (slot + 1) % length;
            }
        }
        Some(false)
    }

    fn sort(self, count: usize) -> bool {
        let mut places: Vec<u32> = Vec::with_capacity(count);
        places.extend(self.into_iter().map_while(|(place, _)| u32::try_from(place).ok()));
        let key = |place: &u32| {
            work::step();
            let octets = usize::try_from(*place).ok().and_then(|place| self.octets.get(place..));
            octets.map(|octets| first(octets).0).unwrap_or_default()
        };
        places.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        places.windows(2).any(|pair| matches!(pair, [a, b] if key(a) == key(b)))
    }
}

impl<'a> IntoIterator for Keys<'a> {
    type Item = (usize, &'a [u8]);
    type IntoIter = KeyIter<'a>;

    fn into_iter(self) -> KeyIter<'a> {
        KeyIter { keys: self, rest: self.octets }
    }
}

/// Where each key is, and its octets.
struct KeyIter<'a> {
    keys: Keys<'a>,
    rest: &'a [u8],
}

impl<'a> Iterator for KeyIter<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let place = self.keys.octets.len().checked_sub(self.rest.len())?;
        let (key, behind) = first(self.rest);
        self.rest = if self.keys.has_values { walk::skip(behind).unwrap_or_default() } else { behind };
        Some((place, key))
    }
}

/// The octets of the first value, and what follows it.
fn first(octets: &[u8]) -> (&[u8], &[u8]) {
    let behind = walk::skip(octets).unwrap_or_default();
    octets.split_at(octets.len().saturating_sub(behind.len()))
}

/// A slot of a table, from the upper bits of a fingerprint.
#[inline(always)]
pub(super) fn slot_of(fingerprint: u64, slots: usize) -> usize {
    // The upper half times the length, as a fraction: any length will do.
    let slots = u64::try_from(slots).unwrap_or(u64::MAX);
    usize::try_from((fingerprint >> 32).wrapping_mul(slots) >> 32).unwrap_or_default()
}

/// Mostly different for different octets.
#[inline(always)]
pub(super) fn fingerprint(octets: &[u8]) -> u64 {
    let length = u64::try_from(octets.len()).unwrap_or_default();
    let mixed = if let (Some(first), Some(last)) = (octets.first_chunk::<8>(), octets.last_chunk::<8>()) {
        let middle = octets.chunks_exact(8).skip(1).fold(u64::from_ne_bytes(*first), |mixed, chunk| {
            mix(mixed) ^ chunk.first_chunk::<8>().map_or(0, |chunk| u64::from_ne_bytes(*chunk))
        });
        mix(middle) ^ u64::from_ne_bytes(*last)
    } else if let (Some(first), Some(last)) = (octets.first_chunk::<4>(), octets.last_chunk::<4>()) {
        u64::from(u32::from_ne_bytes(*first)) << 32 | u64::from(u32::from_ne_bytes(*last))
    } else {
        octets.iter().fold(0, |all, octet| all << 8 | u64::from(*octet))
    };
    // The upper bits of a product depend on all of the factor's.
    mix(mixed ^ length << 56)
}

#[inline]
const fn mix(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeErrorKind, DecodeLimits, Map, Value, from_bytes, to_bytes};
    use alloc::format;

    fn has_duplicates(keys: &[Value]) -> bool {
        let mut octets = BytesMut::new();
        for key in keys {
            key.encode(&mut octets);
            Value::Null.encode(&mut octets);
        }
        let count = u32::try_from(keys.len()).unwrap();
        let here = are_in(Raw { octets: &octets, count, is_minimal: true });
        let mut map = BytesMut::new();
        super::super::packed::write_header(&mut map, crate::Compound::Map, octets.len(), keys.len() * 2);
        map.extend_from_slice(&octets);
        let decoded = from_bytes::<Map>(&map.freeze(), &DecodeLimits::message());
        assert_eq!(decoded.err().map(|error| error.kind), here.then_some(DecodeErrorKind::DuplicateKey));
        here
    }

    #[test]
    fn a_key_that_comes_twice_is_found_in_maps_of_every_size() {
        for size in [2_u32, 4, 5, 16, 32, 33, 100, 256, 257, 1_000] {
            let mut keys: Vec<Value> = (0..size).map(|i| Value::from(format!("key-{i}"))).collect();
            assert!(!has_duplicates(&keys), "{size}");
            for place in [0, size as usize / 2] {
                let former = keys.pop().unwrap();
                keys.push(keys[place.min(keys.len() - 1)].clone());
                assert!(has_duplicates(&keys), "{size} {place}");
                *keys.last_mut().unwrap() = former;
            }
        }
    }

    #[test]
    fn keys_of_every_kind_are_told_apart() {
        let mut keys: Vec<Value> = (0..200).map(|i| Value::Double(f64::from(i))).collect();
        assert!(!has_duplicates(&keys));
        keys.push(keys[7].clone());
        assert!(has_duplicates(&keys));
        let nested = |i: u32| Value::from(Map::from_iter([(i, "x")]));
        assert!(!has_duplicates(&[nested(1), nested(2), Value::Uint(1), Value::Ulong(1)]));
        assert!(has_duplicates(&[nested(1), nested(2), nested(1)]));
    }

    #[test]
    fn keys_whose_fingerprints_collide_are_told_apart_by_sorting() {
        let octets: Vec<u8> = (0..1_000_u16).flat_map(|i| to_bytes(&i).to_vec()).collect();
        let keys = Keys { octets: &octets, has_values: false };
        assert!(!keys.sort(1_000));
        assert_eq!(keys.search(&mut [0; 8]), None, "a table that is too small collides");
        let twice = [octets.as_slice(), &to_bytes(&500_u16)].concat();
        assert!(Keys { octets: &twice, has_values: false }.sort(1_001));
    }

    #[test]
    fn keys_made_to_collide_cost_no_more_than_sorting_and_hide_no_duplicate() {
        // T-038: what a peer can compute it can send; all these fall into one slot of the table they are entered in.
        let numbers = |count: usize| {
            let slots = count + count / 2;
            let collides = move |key: &Value| slot_of(fingerprint(&to_bytes(key)), slots) == 0;
            (256..).map(Value::Uint).filter(collides).take(count).collect::<Vec<_>>()
        };
        let texts = |count: usize, slots: usize| {
            let collides =
                move |text: &alloc::string::String| slot_of(fingerprint(text.as_bytes()), slots) == 0;
            (0..)
                .map(|i| format!("key-{i}"))
                .filter(collides)
                .take(count)
                .map(Value::from)
                .collect::<Vec<_>>()
        };
        for mut keys in [numbers(100), numbers(400), texts(30, 64), texts(200, 512)] {
            let count = u64::try_from(keys.len()).unwrap();
            let steps = work::of(|| assert!(!has_duplicates(&keys), "{count}"));
            assert!(steps < count * 200, "{steps} steps for {count} keys");
            keys.pop();
            keys.push(keys[7].clone());
            assert!(has_duplicates(&keys), "{count}");
        }
    }

    #[test]
    fn text_of_every_length_has_its_own_fingerprint_mostly() {
        let mut seen: Vec<usize> =
            (0..100).map(|length| slot_of(fingerprint(&vec![b'a'; length]), 1 << 16)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 95, "{}", seen.len());
    }
}
