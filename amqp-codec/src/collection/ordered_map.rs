//! Ordered maps with one type of key, and fields that hold none, one or several values.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::ops::{Deref, DerefMut};

use super::{
    duplicates::{Fingerprint, of_number, of_octets},
    first_capacity, insert, read_entries, read_map_constructor,
};
use crate::{
    cursor::{Cursor, Decode, Result, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    sink::{Compound, Encode, Sink},
    text::{NotAscii, Str, Symbol},
    value::Value,
};

/// A map with symbol keys, as most peers' properties are (AMQP 1.0 §2.8.13).
pub type Fields = OrderedMap<Symbol>;

/// A message's application properties: string keys, simple values (AMQP 1.0 §3.2.5).
pub type ApplicationProperties = OrderedMap<Str>;

/// Annotations of a message: symbol keys, or reserved ulong keys (AMQP 1.0 §3.2.10).
pub type Annotations = OrderedMap<AnnotationKey>;

/// An ordered map from keys of one type to values. The order of entries counts for equality (T-039).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderedMap<K>(Vec<(K, Value)>);

/// The key of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationKey {
    /// The usual key.
    Symbol(Symbol),
    /// A reserved key.
    Ulong(u64),
}

/// What a key type must offer to be decoded, written and looked up.
pub(crate) trait MapKey: Decode + Encode + Fingerprint {
    /// The text by which the key is looked up.
    fn text(&self) -> Option<&[u8]>;

    /// Whether a value may stand in a map with such keys.
    fn allows(_value: &Value) -> bool {
        true
    }
}

impl Fingerprint for Symbol {
    #[inline]
    fn fingerprint(&self) -> usize {
        of_octets(self.as_octets())
    }
}

impl Fingerprint for Str {
    #[inline]
    fn fingerprint(&self) -> usize {
        of_octets(self.as_octets())
    }
}

impl Fingerprint for AnnotationKey {
    fn fingerprint(&self) -> usize {
        match self {
            Self::Symbol(symbol) => symbol.fingerprint(),
            Self::Ulong(number) => of_number(*number),
        }
    }
}

impl MapKey for Symbol {
    fn text(&self) -> Option<&[u8]> {
        Some(self.as_octets())
    }
}

impl MapKey for Str {
    fn text(&self) -> Option<&[u8]> {
        Some(self.as_octets())
    }

    // M-018: application properties are simple values.
    fn allows(value: &Value) -> bool {
        value.is_simple()
    }
}

impl MapKey for AnnotationKey {
    fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Symbol(symbol) => Some(symbol.as_octets()),
            Self::Ulong(_) => None,
        }
    }
}

#[expect(private_bounds, reason = "the three key types of the specification are all there are")]
impl<K: MapKey> OrderedMap<K> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own.text() == Some(key.as_bytes())).map(|(_, value)| value)
    }

    /// Whether the key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key, at its place if it is known and at the end otherwise. Returns the former value.
    pub fn insert(&mut self, key: impl Into<K>, value: impl Into<Value>) -> Option<Value> {
        insert(&mut self.0, key.into(), value.into())
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(own, _)| own.text() == Some(key.as_bytes()))?;
        Some(self.0.remove(index).1)
    }

    /// The map with one more entry.
    #[must_use]
    pub fn with(mut self, key: impl Into<K>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }
}

impl<K> OrderedMap<K> {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The entries in order.
    pub fn iter(&self) -> core::slice::Iter<'_, (K, Value)> {
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

    /// Keeps the entries of which `is_kept` says so, in their order.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&K, &Value) -> bool) {
        self.0.retain(|(key, value)| is_kept(key, value));
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<K> Default for OrderedMap<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: MapKey> Decode for OrderedMap<K> {
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        let width = read_map_constructor(cursor)?;
        read_entries(cursor, width, K::decode, |_, value| K::allows(value)).map(Self)
    }
}

impl<K: Encode> Encode for OrderedMap<K> {
    fn encode(&self, out: &mut impl Sink) {
        let start = out.begin_compound();
        for (key, value) in &self.0 {
            key.encode(out);
            value.encode(out);
        }
        out.end_compound(start, Compound::Map, self.0.len().saturating_mul(2));
    }
}

impl<K: Ord + Clone, Q: Into<K>, V: Into<Value>> FromIterator<(Q, V)> for OrderedMap<K> {
    /// The last of several entries with one key wins.
    fn from_iter<I: IntoIterator<Item = (Q, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord + Clone, Q: Into<K>, V: Into<Value>> Extend<(Q, V)> for OrderedMap<K> {
    fn extend<I: IntoIterator<Item = (Q, V)>>(&mut self, entries: I) {
        let mut places: Option<BTreeMap<K, usize>> = None;
        for (key, value) in entries {
            let (key, value) = (key.into(), value.into());
            let len = self.0.len();
            if len < SEARCHED {
                insert(&mut self.0, key, value);
                continue;
            }
            let known = self.0.iter().enumerate().map(|(place, (own, _))| (own.clone(), place));
            let places = places.get_or_insert_with(|| known.collect());
            let place = *places.entry(key.clone()).or_insert(len);
            match self.0.get_mut(place) {
                Some((_, own)) => *own = value,
                None => self.0.push((key, value)),
            }
        }
    }
}

impl<K> IntoIterator for OrderedMap<K> {
    type Item = (K, Value);
    type IntoIter = alloc::vec::IntoIter<(K, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K> IntoIterator for &'a OrderedMap<K> {
    type Item = &'a (K, Value);
    type IntoIter = core::slice::Iter<'a, (K, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl AnnotationKey {
    /// The text of a symbol key.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Symbol(symbol) => Some(symbol.as_str()),
            Self::Ulong(_) => None,
        }
    }
}

impl From<Symbol> for AnnotationKey {
    fn from(symbol: Symbol) -> Self {
        Self::Symbol(symbol)
    }
}

impl From<&'static str> for AnnotationKey {
    fn from(text: &'static str) -> Self {
        Self::Symbol(Symbol::from_static(text))
    }
}

impl From<u64> for AnnotationKey {
    fn from(number: u64) -> Self {
        Self::Ulong(number)
    }
}

impl TryFrom<String> for AnnotationKey {
    type Error = NotAscii;

    fn try_from(text: String) -> core::result::Result<Self, NotAscii> {
        Symbol::new(text).map(Self::Symbol)
    }
}

impl core::fmt::Display for AnnotationKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Symbol(symbol) => symbol.fmt(f),
            Self::Ulong(number) => number.fmt(f),
        }
    }
}

impl Decode for AnnotationKey {
    // M-023: symbol or ulong.
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        match cursor.peek() {
            Some(code::ULONG | code::SMALL_ULONG | code::ULONG0) => u64::decode(cursor).map(Self::Ulong),
            _ => Symbol::decode(cursor).map(Self::Symbol),
        }
    }
}

impl Encode for AnnotationKey {
    fn encode(&self, out: &mut impl Sink) {
        match self {
            Self::Symbol(symbol) => symbol.encode(out),
            Self::Ulong(number) => number.encode(out),
        }
    }
}

/// The values of a field that may hold several (AMQP 1.0 §1.4, `multiple="true"`).
///
/// On the wire null is none, a bare value is one and an array is any number (T-014); all that is seen here is the values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multiple<T>(pub Vec<T>);

impl<T> Default for Multiple<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Multiple<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> DerefMut for Multiple<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> From<Vec<T>> for Multiple<T> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<T, U: Into<T>> FromIterator<U> for Multiple<T> {
    fn from_iter<I: IntoIterator<Item = U>>(values: I) -> Self {
        Self(values.into_iter().map(Into::into).collect())
    }
}

impl Multiple<Symbol> {
    /// Whether a symbol is among the values.
    pub fn contains_symbol(&self, text: &str) -> bool {
        self.0.iter().any(|symbol| *symbol == text)
    }

    fn array_body(cursor: &mut Cursor<'_>, width: Width) -> Result<Self> {
        let scope = cursor.open(width, "array of symbols")?;
        let wide = match cursor.peek() {
            Some(code::SYMBOL8) => false,
            Some(code::SYMBOL32) => true,
            // T-042: an empty array without a constructor, as serde_amqp writes it.
            None if scope.count == 0 && !cursor.limits().is_strict() => {
                cursor.close(&scope, "array of symbols")?;
                return Ok(Self::default());
            }
            None => return Err(cursor.error(DecodeErrorKind::MissingConstructor, "array of symbols")),
            Some(other) => {
                cursor.read_u8()?;
                return Err(cursor.wrong_type(other, "array of symbols"));
            }
        };
        cursor.read_u8()?;
        let mut values = Vec::with_capacity(first_capacity(cursor, scope.count));
        for _ in 0..scope.count {
            cursor.spend_node("array of symbols")?;
            let length = if wide { cursor.read_length32()? } else { usize::from(cursor.read_u8()?) };
            let octets = cursor.take(length)?;
            values.push(Symbol::shared(cursor, octets)?);
        }
        cursor.close(&scope, "array of symbols")?;
        Ok(Self(values))
    }

    /// The values as an array, even if there is only one.
    pub(crate) fn encode_array(&self, out: &mut impl Sink) {
        let start = out.begin_compound();
        let is_wide = self.0.iter().any(|symbol| symbol.as_octets().len() > usize::from(u8::MAX));
        out.byte(if is_wide { code::SYMBOL32 } else { code::SYMBOL8 });
        for symbol in &self.0 {
            super::array::write_sized_body(out, symbol.as_octets(), is_wide);
        }
        out.end_compound(start, Compound::Array, self.0.len());
    }
}

impl Decode for Multiple<Symbol> {
    // T-015: never a list.
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        match cursor.peek() {
            Some(code::NULL) => {
                cursor.read_u8()?;
                Ok(Self::default())
            }
            Some(code::ARRAY8) => {
                cursor.read_u8()?;
                Self::array_body(cursor, Width::One)
            }
            Some(code::ARRAY32) => {
                cursor.read_u8()?;
                Self::array_body(cursor, Width::Four)
            }
            _ => Symbol::decode(cursor).map(|symbol| Self(alloc::vec![symbol])),
        }
    }
}

impl Encode for Multiple<Symbol> {
    fn encode(&self, out: &mut impl Sink) {
        match self.0.as_slice() {
            [] => out.byte(code::NULL),
            [one] => one.encode(out),
            _ => self.encode_array(out),
        }
    }
}

/// Several values as an array even if there is only one: SASL mechanisms, which some clients read no other way.
pub(crate) struct AlwaysArray<'a>(pub(crate) &'a Multiple<Symbol>);

impl Encode for AlwaysArray<'_> {
    fn encode(&self, out: &mut impl Sink) {
        self.0.encode_array(out);
    }
}

/// Entries up to which a search from the first on is quicker than an index, when many are added.
const SEARCHED: usize = 32;
