//! Lists, maps and arrays.
//!
//! Owns their octets and the rules on their content: even counts, unique keys, one element constructor per array.
//! An array whose elements occupy no octets is never expanded.

mod array;
mod duplicates;
mod entries;
mod ordered_map;

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

pub use array::{Array, MixedElements};
pub use entries::Entries;
pub use ordered_map::{AnnotationKey, Annotations, ApplicationProperties, Fields, Multiple, OrderedMap};

pub(crate) use entries::Keys;
pub(crate) use ordered_map::AlwaysArray;

use duplicates::{Fingerprint, has_duplicates};

use crate::{
    cursor::{Cursor, Decode, Result, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    sink::{Compound, Encode, Sink},
    value::Value,
};

/// A list of values of any types (AMQP 1.0 §1.6.22).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct List(pub Vec<Value>);

impl List {
    pub(crate) fn body(cursor: &mut Cursor<'_>, width: Width) -> Result<Self> {
        let scope = cursor.open_counted(width, "list")?;
        let mut items = Vec::with_capacity(first_capacity(cursor, scope.count));
        for _ in 0..scope.count {
            items.push(Value::decode(cursor)?);
        }
        cursor.close(&scope, "list")?;
        Ok(Self(items))
    }

    /// Count and content, after the reserved header.
    fn write_items(&self, out: &mut impl Sink) {
        for item in &self.0 {
            item.encode(out);
        }
    }
}

impl Decode for List {
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        match cursor.read_u8()? {
            code::LIST0 => Ok(Self::default()),
            code::LIST8 => Self::body(cursor, Width::One),
            code::LIST32 => Self::body(cursor, Width::Four),
            other => Err(cursor.wrong_type(other, "list")),
        }
    }
}

impl Encode for List {
    fn encode(&self, out: &mut impl Sink) {
        if self.0.is_empty() {
            return out.byte(code::LIST0);
        }
        let start = out.begin_compound();
        self.write_items(out);
        out.end_compound(start, Compound::List, self.0.len());
    }
}

impl Deref for List {
    type Target = Vec<Value>;

    fn deref(&self) -> &Vec<Value> {
        &self.0
    }
}

impl DerefMut for List {
    fn deref_mut(&mut self) -> &mut Vec<Value> {
        &mut self.0
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        Self(items)
    }
}

impl<V: Into<Value>> FromIterator<V> for List {
    fn from_iter<I: IntoIterator<Item = V>>(items: I) -> Self {
        Self(items.into_iter().map(Into::into).collect())
    }
}

/// An ordered map from values to values (AMQP 1.0 §1.6.23).
///
/// The order of entries is significant (T-039): it is kept, and counts for equality.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Map(Vec<(Value, Value)>);

impl Map {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of a key.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == key).map(|(_, value)| value)
    }

    /// The value of a string key.
    pub fn get_str(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The value of a symbol key.
    pub fn get_symbol(&self, key: &str) -> Option<&Value> {
        let is_key = |own: &Value| own.as_symbol().is_some_and(|symbol| *symbol == key);
        self.0.iter().find(|(own, _)| is_key(own)).map(|(_, value)| value)
    }

    /// Sets the value of a key, at its place if it is known and at the end otherwise. Returns the former value.
    pub fn insert(&mut self, key: impl Into<Value>, value: impl Into<Value>) -> Option<Value> {
        insert(&mut self.0, key.into(), value.into())
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let index = self.0.iter().position(|(own, _)| own == key)?;
        Some(self.0.remove(index).1)
    }

    /// The entries in order.
    pub fn iter(&self) -> core::slice::Iter<'_, (Value, Value)> {
        self.0.iter()
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn body(cursor: &mut Cursor<'_>, width: Width) -> Result<Self> {
        read_entries(cursor, width, Value::decode, |_, _| true).map(Self)
    }

    fn write_entries(&self, out: &mut impl Sink) {
        for (key, value) in &self.0 {
            key.encode(out);
            value.encode(out);
        }
    }
}

impl Decode for Map {
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        let width = read_map_constructor(cursor)?;
        Self::body(cursor, width)
    }
}

impl Encode for Map {
    fn encode(&self, out: &mut impl Sink) {
        let start = out.begin_compound();
        self.write_entries(out);
        out.end_compound(start, Compound::Map, self.0.len().saturating_mul(2));
    }
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Map {
    /// The last of several entries with one key wins.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = alloc::vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Value, Value);
    type IntoIter = core::slice::Iter<'a, (Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

fn read_map_constructor(cursor: &mut Cursor<'_>) -> Result<Width> {
    match cursor.read_u8()? {
        code::MAP8 => Ok(Width::One),
        code::MAP32 => Ok(Width::Four),
        other => Err(cursor.wrong_type(other, "map")),
    }
}

/// The entries of a map after its constructor, with keys of one Rust type and values that pass `is_allowed`.
#[inline]
fn read_entries<K: Fingerprint>(
    cursor: &mut Cursor<'_>,
    width: Width,
    mut read_key: impl FnMut(&mut Cursor<'_>) -> Result<K>,
    mut is_allowed: impl FnMut(&K, &Value) -> bool,
) -> Result<Vec<(K, Value)>> {
    let scope = cursor.open_counted(width, "map")?;
    // T-037: keys and values come in pairs.
    if !scope.count.is_multiple_of(2) {
        return Err(cursor.error(DecodeErrorKind::OddMapCount, "map"));
    }
    let count = scope.count / 2;
    let mut entries = Vec::with_capacity(first_capacity(cursor, count));
    for _ in 0..count {
        cursor.spend_node("map")?;
        let key = read_key(cursor)?;
        let value = Value::decode(cursor)?;
        if !is_allowed(&key, &value) {
            return Err(cursor.error(DecodeErrorKind::InvalidChoice, "map value"));
        }
        entries.push((key, value));
    }
    cursor.close(&scope, "map")?;
    if has_duplicates(&entries) {
        return Err(cursor.error(DecodeErrorKind::DuplicateKey, "map"));
    }
    Ok(entries)
}

fn insert<K: PartialEq>(entries: &mut Vec<(K, Value)>, key: K, value: Value) -> Option<Value> {
    match entries.iter_mut().find(|(own, _)| *own == key) {
        Some((_, place)) => Some(core::mem::replace(place, value)),
        None => {
            entries.push((key, value));
            None
        }
    }
}

/// For how many elements room is made before they have been seen: no more than the octets that are left make likely.
fn first_capacity(cursor: &Cursor<'_>, count: usize) -> usize {
    count.min(4 + cursor.remaining() / 16)
}

#[cfg(test)]
mod tests;
