//! Ordered maps with one type of key.

mod keys;

use core::{cmp::Ordering, fmt, hash, iter::FusedIterator, marker::PhantomData};

use super::{
    check,
    map::{IntoEntries, MapIter, MapRef, read_map_constructor},
    packed::{Packed, Raw},
};
use crate::{
    cursor::{Cursor, Decode},
    error::DecodeError,
    format_code as code,
    sink::{Encode, Sink},
    text::{Str, Symbol},
    value::Value,
    value_ref::ValueRef,
};

pub use keys::{AnnotationKey, AnnotationKeyRef, MapKey};

/// A map with symbol keys, as most peers' properties are (AMQP 1.0 §2.8.13).
pub type Fields = OrderedMap<Symbol>;

/// A message's application properties: string keys, simple values (AMQP 1.0 §3.2.5).
pub type ApplicationProperties = OrderedMap<Str>;

/// Annotations of a message: symbol keys, or reserved ulong keys (AMQP 1.0 §3.2.10).
pub type Annotations = OrderedMap<AnnotationKey>;

/// An ordered map from keys of one type to values, which stays encoded. The order of entries counts for equality (T-039).
///
/// A value is looked up by walking over the entries before it; adding one takes the same time however many there are (its
/// logarithm, where a peer chose keys to collide). Replacing a value by one of another length and removing one take time in
/// proportion to the entries.
pub struct OrderedMap<K> {
    entries: Packed,
    keys: PhantomData<fn() -> K>,
}

impl<K: MapKey> OrderedMap<K> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        self.view().get_text(K::SHORT, K::SHORT + code::SHORT_TO_LONG, key)
    }

    /// Whether the key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key, at its place if it is known and at the end otherwise. Returns the former value.
    pub fn insert(&mut self, key: impl Into<K>, value: impl Into<Value>) -> Option<Value> {
        self.entries.insert(&key.into(), &value.into())
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(|own| own.as_text().is_some_and(|own| own == key))
    }

    /// The map with one more entry.
    #[must_use]
    pub fn with(mut self, key: impl Into<K>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// The entries in order.
    pub fn iter(&self) -> TypedEntries<'_, K> {
        TypedEntries { entries: self.view().iter(), keys: PhantomData }
    }

    /// Keeps the entries of which `is_kept` says so, in their order.
    pub fn retain(&mut self, mut is_kept: impl FnMut(K::Ref<'_>, ValueRef<'_>) -> bool) {
        self.entries.retain(|key, value| K::of_ref(key).is_some_and(|key| is_kept(key, value)));
    }
}

impl Annotations {
    /// The value of a reserved key.
    pub fn get_ulong(&self, key: u64) -> Option<ValueRef<'_>> {
        self.view()
            .iter()
            .find(|(own, _)| matches!(own, ValueRef::Ulong(own) if *own == key))
            .map(|(_, value)| value)
    }

    /// Removes a reserved key and returns its value.
    pub fn remove_ulong(&mut self, key: u64) -> Option<Value> {
        self.entries.remove(|own| matches!(own, ValueRef::Ulong(own) if own == key))
    }
}

impl<K> OrderedMap<K> {
    /// An empty map.
    pub const fn new() -> Self {
        Self { entries: Packed::new(), keys: PhantomData }
    }

    /// The entries as those of a map of any keys, borrowed.
    pub fn view(&self) -> MapRef<'_> {
        MapRef::new(self.entries.raw())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.entries = Packed::new();
    }
}

/// The entries of a map with one type of key, one after the other.
pub struct TypedEntries<'a, K> {
    entries: MapIter<'a>,
    keys: PhantomData<fn() -> K>,
}

impl<'a, K: MapKey> Iterator for TypedEntries<'a, K> {
    type Item = (K::Ref<'a>, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.entries.next()?;
        Some((K::of_ref(key)?, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl<K: MapKey> ExactSizeIterator for TypedEntries<'_, K> {}

impl<K: MapKey> FusedIterator for TypedEntries<'_, K> {}

impl<K> Clone for TypedEntries<'_, K> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), keys: PhantomData }
    }
}

impl<K> fmt::Debug for TypedEntries<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.clone()).finish()
    }
}

/// The entries of a map that is given up: what they own are parts of its octets.
#[derive(Debug)]
pub struct IntoTypedEntries<K> {
    entries: IntoEntries,
    keys: PhantomData<fn() -> K>,
}

impl<K: MapKey> Iterator for IntoTypedEntries<K> {
    type Item = (K, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.entries.next()?;
        Some((K::of_value(key)?, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl<K: MapKey> IntoIterator for OrderedMap<K> {
    type Item = (K, Value);
    type IntoIter = IntoTypedEntries<K>;

    fn into_iter(self) -> IntoTypedEntries<K> {
        IntoTypedEntries { entries: IntoEntries::new(self.entries), keys: PhantomData }
    }
}

impl<'a, K: MapKey> IntoIterator for &'a OrderedMap<K> {
    type Item = (K::Ref<'a>, ValueRef<'a>);
    type IntoIter = TypedEntries<'a, K>;

    fn into_iter(self) -> TypedEntries<'a, K> {
        self.iter()
    }
}

impl<K> Default for OrderedMap<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Clone for OrderedMap<K> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), keys: PhantomData }
    }
}

impl<K> PartialEq for OrderedMap<K> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<K> Eq for OrderedMap<K> {}

impl<K> PartialOrd for OrderedMap<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for OrderedMap<K> {
    /// By their octets: a total order for lookups.
    fn cmp(&self, other: &Self) -> Ordering {
        self.view().cmp(&other.view())
    }
}

impl<K> hash::Hash for OrderedMap<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.entries.hash(state);
    }
}

impl<K> fmt::Debug for OrderedMap<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl<K: MapKey> Decode for OrderedMap<K> {
    #[inline]
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let width = read_map_constructor(cursor)?;
        let raw = check::map(cursor, width, K::KEYS)?;
        Ok(Self {
            entries: Packed::of_raw(raw, |part| cursor.share(part), Raw::write_values),
            keys: PhantomData,
        })
    }
}

impl<K> Encode for OrderedMap<K> {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        self.view().encode(out);
    }
}

impl<K: MapKey, Q: Into<K>, V: Into<Value>> FromIterator<(Q, V)> for OrderedMap<K> {
    /// The last of several entries with one key wins.
    fn from_iter<I: IntoIterator<Item = (Q, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: MapKey, Q: Into<K>, V: Into<Value>> Extend<(Q, V)> for OrderedMap<K> {
    fn extend<I: IntoIterator<Item = (Q, V)>>(&mut self, entries: I) {
        self.entries.extend(entries.into_iter().map(|(key, value)| (key.into(), value.into())));
    }
}
