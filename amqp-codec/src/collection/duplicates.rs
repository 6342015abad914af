//! Whether a map has two equal keys, in time that no peer can drive up.
//!
//! Owns the fingerprints by which keys are compared first. They are no secret: a peer that makes them collide gets the
//! sorted comparison, O(n log n), instead of the table.

use alloc::vec::Vec;

use crate::value::Value;

/// A key that can be compared with many others.
pub(crate) trait Fingerprint: Ord {
    /// Equal for equal keys, and mostly different for different ones.
    fn fingerprint(&self) -> usize;
}

impl Fingerprint for Value {
    fn fingerprint(&self) -> usize {
        match self {
            Self::String(text) => of_octets(text.as_octets()),
            Self::Symbol(symbol) => of_octets(symbol.as_octets()),
            Self::Binary(octets) => of_octets(octets),
            Self::Uuid(uuid) => of_octets(&uuid.0),
            Self::Timestamp(timestamp) => of_number(timestamp.0.cast_unsigned()),
            _ => self.as_i64().map_or(0, |number| of_number(number.cast_unsigned())),
        }
    }
}

/// T-038: equal keys are invalid, however they are encoded.
pub(super) fn has_duplicates<K: Fingerprint>(entries: &[(K, Value)]) -> bool {
    match entries.len() {
        0..=4 => has_equal_pair(entries),
        5..=32 => search::<K, 64>(entries),
        33..=256 => search::<K, 512>(entries),
        _ => has_equal_neighbours(entries),
    }
}

/// Enters every key into a table of `SLOTS`, a power of two and at least twice the number of keys.
fn search<K: Fingerprint, const SLOTS: usize>(entries: &[(K, Value)]) -> bool {
    // One more than the index of the entry; 0 is free.
    let mut table = [0_u16; SLOTS];
    let mut collisions = 0;
    for (index, (key, _)) in (1_u16..).zip(entries) {
        let mut place = key.fingerprint();
        loop {
            let Some(slot) = table.get_mut(place % SLOTS) else { return has_equal_neighbours(entries) };
            let Some(other) = usize::from(*slot).checked_sub(1) else {
                *slot = index;
                break;
            };
            if entries.get(other).is_some_and(|(other, _)| other == key) {
                return true;
            }
            collisions += 1;
            if collisions > SLOTS {
                return has_equal_neighbours(entries);
            }
            place += 1;
        }
    }
    false
}

fn has_equal_pair<K: Ord>(entries: &[(K, Value)]) -> bool {
    let mut rest = entries;
    while let Some(((key, _), tail)) = rest.split_first() {
        if tail.iter().any(|(other, _)| other == key) {
            return true;
        }
        rest = tail;
    }
    false
}

fn has_equal_neighbours<K: Ord>(entries: &[(K, Value)]) -> bool {
    let mut keys: Vec<&K> = entries.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

#[inline(always)]
pub(crate) fn of_octets(octets: &[u8]) -> usize {
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
    of_number(mixed ^ length << 56)
}

#[inline]
pub(crate) fn of_number(number: u64) -> usize {
    // The upper bits of a product depend on all of the factor's.
    usize::try_from(mix(number) >> 48).unwrap_or_default()
}

#[inline]
const fn mix(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn entries(keys: impl Iterator<Item = Value>) -> Vec<(Value, Value)> {
        keys.map(|key| (key, Value::Null)).collect()
    }

    #[test]
    fn a_key_that_comes_twice_is_found_in_maps_of_every_size() {
        for size in [2_u32, 4, 5, 16, 32, 33, 100, 256, 257, 1_000] {
            let mut map = entries((0..size).map(|i| Value::from(format!("key-{i}"))));
            assert!(!has_duplicates(&map), "{size}");
            for place in [0, size as usize / 2] {
                let former = map.pop().unwrap();
                map.push(map[place.min(map.len() - 1)].clone());
                assert!(has_duplicates(&map), "{size} {place}");
                *map.last_mut().unwrap() = former;
            }
        }
    }

    #[test]
    fn keys_that_all_collide_are_still_told_apart() {
        let mut map = entries((0..200).map(|i| Value::Boolean(i % 2 == 0)));
        assert!(has_duplicates(&map));
        // Doubles have no fingerprint.
        map = entries((0..200).map(|i| Value::Double(f64::from(i))));
        assert!(!has_duplicates(&map));
    }

    #[test]
    fn text_of_every_length_has_its_own_fingerprint_mostly() {
        let mut seen: Vec<usize> = (0..100).map(|length| of_octets(&alloc::vec![b'a'; length])).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 95, "{}", seen.len());
    }
}
