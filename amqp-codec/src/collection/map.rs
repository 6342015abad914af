//! Maps (AMQP 1.0 §1.6.23).

use core::{cmp::Ordering, fmt, iter::FusedIterator};

use bytes::BytesMut;

use super::{
    check::{self, Keys},
    list::IntoValues,
    packed::{Packed, Raw, ordered_by_octets},
    walk,
};
use crate::{
    cursor::{Cursor, Decode, Result, Width},
    error::DecodeError,
    format_code as code,
    sink::{Compound, Encode, Sink},
    value::Value,
    value_ref::ValueRef,
};

/// An ordered map from values to values, which stays encoded (AMQP 1.0 §1.6.23).
///
/// The order of entries is significant (T-039): it is kept, and counts for equality. A value is looked up by walking over
/// the entries before it; adding one takes the same time however many there are (its logarithm, where a peer chose keys to
/// collide). Replacing a value by one of another length and removing one take time in proportion to the entries.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Map(Packed);

/// A borrowed [`Map`]: checked, but neither copied nor counted.
#[derive(Clone, Copy)]
pub struct MapRef<'a>(Raw<'a>);

impl Map {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Packed::new())
    }

    /// The map, borrowed.
    pub fn view(&self) -> MapRef<'_> {
        MapRef(self.0.raw())
    }

    /// The value of a key.
    pub fn get(&self, key: &Value) -> Option<ValueRef<'_>> {
        self.view().get(key)
    }

    /// The value of a string key.
    pub fn get_str(&self, key: &str) -> Option<ValueRef<'_>> {
        self.view().get_str(key)
    }

    /// The value of a symbol key.
    pub fn get_symbol(&self, key: &str) -> Option<ValueRef<'_>> {
        self.view().get_symbol(key)
    }

    /// Sets the value of a key, at its place if it is known and at the end otherwise. Returns the former value.
    pub fn insert(&mut self, key: impl Into<Value>, value: impl Into<Value>) -> Option<Value> {
        self.0.insert(&key.into(), &value.into())
    }

    /// The map with one more entry.
    #[must_use]
    pub fn with(mut self, key: impl Into<Value>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// Whether the key is there.
    pub fn contains_key(&self, key: &Value) -> bool {
        self.get(key).is_some()
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        self.0.remove(|own| own == key.view())
    }

    /// Keeps the entries of which `is_kept` says so, in their order.
    pub fn retain(&mut self, is_kept: impl FnMut(ValueRef<'_>, ValueRef<'_>) -> bool) {
        self.0.retain(is_kept);
    }

    /// The entries in order.
    pub fn iter(&self) -> MapIter<'_> {
        self.view().iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A map whose octets have been checked.
    pub(crate) const fn from_packed(packed: Packed) -> Self {
        Self(packed)
    }
}

impl<'a> MapRef<'a> {
    pub(crate) const fn new(raw: Raw<'a>) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(&self) -> Raw<'a> {
        self.0
    }

    /// The value of a key.
    pub fn get(&self, key: &Value) -> Option<ValueRef<'a>> {
        let key = key.view();
        self.iter().find(|(own, _)| *own == key).map(|(_, value)| value)
    }

    /// The value of a string key.
    pub fn get_str(&self, key: &str) -> Option<ValueRef<'a>> {
        self.get_text(code::STRING8, code::STRING32, key)
    }

    /// The value of a symbol key.
    pub fn get_symbol(&self, key: &str) -> Option<ValueRef<'a>> {
        self.get_text(code::SYMBOL8, code::SYMBOL32, key)
    }

    #[inline]
    pub(super) fn get_text(&self, small: u8, large: u8, key: &str) -> Option<ValueRef<'a>> {
        let value = walk::find_text(self.0.octets, small, large, key.as_bytes())?;
        walk::value(value, self.0.is_minimal).map(|(value, _)| value)
    }

    /// The entries in order.
    pub fn iter(&self) -> MapIter<'a> {
        MapIter { rest: self.0.octets, left: self.0.len(), is_minimal: self.0.is_minimal }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.count == 0
    }

    /// The map with octets of its own.
    pub fn to_map(&self) -> Map {
        Map(Packed::rewritten(self.0, Raw::write_values))
    }
}

/// The entries of a map, one after the other.
#[derive(Clone, Debug)]
pub struct MapIter<'a> {
    rest: &'a [u8],
    left: usize,
    is_minimal: bool,
}

impl<'a> Iterator for MapIter<'a> {
    type Item = (ValueRef<'a>, ValueRef<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = walk::value(self.rest, self.is_minimal)?;
        let (value, rest) = walk::value(rest, self.is_minimal)?;
        self.rest = rest;
        self.left = self.left.saturating_sub(1);
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for MapIter<'_> {}

impl FusedIterator for MapIter<'_> {}

/// The entries of a map that is given up: what they own are parts of its octets.
#[derive(Clone, Debug)]
pub struct IntoEntries(IntoValues);

impl IntoEntries {
    pub(super) fn new(packed: Packed) -> Self {
        let left = packed.len().saturating_mul(2);
        Self(IntoValues::new(packed, left))
    }
}

impl Iterator for IntoEntries {
    type Item = (Value, Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().zip(self.0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.len() / 2;
        (left, Some(left))
    }
}

impl ExactSizeIterator for IntoEntries {}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = IntoEntries;

    fn into_iter(self) -> IntoEntries {
        IntoEntries::new(self.0)
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (ValueRef<'a>, ValueRef<'a>);
    type IntoIter = MapIter<'a>;

    fn into_iter(self) -> MapIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for MapRef<'a> {
    type Item = (ValueRef<'a>, ValueRef<'a>);
    type IntoIter = MapIter<'a>;

    fn into_iter(self) -> MapIter<'a> {
        self.iter()
    }
}

impl Default for Map {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Map {
    /// The last of several entries with one key wins.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Into<Value>, V: Into<Value>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        self.0.extend(entries.into_iter().map(|(key, value)| (key.into(), value.into())));
    }
}

impl Decode for Map {
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        let width = read_map_constructor(cursor)?;
        let raw = check::map(cursor, width, Keys::Any)?;
        Ok(Self(Packed::of_raw(raw, |part| cursor.share(part), Raw::write_values)))
    }
}

impl Encode for Map {
    fn encode(&self, out: &mut impl Sink) {
        self.view().encode(out);
    }
}

impl Encode for MapRef<'_> {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        self.0.write_compound(out, Compound::Map, self.len().saturating_mul(2), Raw::write_values);
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for MapRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

ordered_by_octets!(Map, MapRef<'_>, Raw::write_values::<BytesMut>);

pub(super) fn read_map_constructor(cursor: &mut Cursor<'_>) -> Result<Width> {
    match cursor.read_u8()? {
        code::MAP8 => Ok(Width::One),
        code::MAP32 => Ok(Width::Four),
        other => Err(cursor.wrong_type(other, "map")),
    }
}
