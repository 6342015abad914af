//! Lists (AMQP 1.0 §1.6.22).

use alloc::vec::Vec;
use core::{cmp::Ordering, fmt, iter::FusedIterator};

use bytes::{Buf, Bytes, BytesMut};

use super::{
    check,
    packed::{Packed, Raw, ordered_by_octets},
    walk,
};
use crate::{
    cursor::{Cursor, Decode},
    error::DecodeError,
    format_code as code,
    sink::{Compound, Encode, Sink},
    value::Value,
    value_ref::ValueRef,
};

/// A list of values of any types, which stays encoded (AMQP 1.0 §1.6.22).
///
/// Values are read where they lie when they are asked for: [`get`](Self::get) takes time in proportion to the index, so
/// whoever wants all values iterates.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct List(Packed);

/// A borrowed [`List`]: checked, but neither copied nor counted.
#[derive(Clone, Copy)]
pub struct ListRef<'a>(Raw<'a>);

impl List {
    /// An empty list.
    pub const fn new() -> Self {
        Self(Packed::new())
    }

    /// The list, borrowed.
    pub fn view(&self) -> ListRef<'_> {
        ListRef(self.0.raw())
    }

    /// Appends a value.
    pub fn push(&mut self, value: impl Into<Value>) {
        self.0.push(&value.into());
    }

    /// Removes the last value and returns it. Takes time in proportion to the list.
    pub fn pop(&mut self) -> Option<Value> {
        let last = self.len().checked_sub(1)?;
        let value = self.get(last)?.to_value();
        *self = self.iter().take(last).collect();
        Some(value)
    }

    /// Puts another value at an index, counted from 0, and returns the former one; nothing happens behind the end. Takes time
    /// in proportion to the list.
    pub fn set(&mut self, index: usize, value: impl Into<Value>) -> Option<Value> {
        let former = self.get(index)?.to_value();
        let value = value.into();
        let new = self.iter().enumerate().map(|(at, own)| if at == index { value.view() } else { own });
        *self = new.collect();
        Some(former)
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The value at an index, counted from 0.
    pub fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        self.iter().nth(index)
    }

    /// The first value.
    pub fn first(&self) -> Option<ValueRef<'_>> {
        self.iter().next()
    }

    /// The values in order.
    pub fn iter(&self) -> ValueIter<'_> {
        self.view().iter()
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A list whose octets have been checked.
    pub(crate) const fn from_packed(packed: Packed) -> Self {
        Self(packed)
    }
}

impl<'a> ListRef<'a> {
    pub(crate) const fn new(raw: Raw<'a>) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(&self) -> Raw<'a> {
        self.0
    }

    /// The value at an index, counted from 0.
    pub fn get(&self, index: usize) -> Option<ValueRef<'a>> {
        self.iter().nth(index)
    }

    /// The first value.
    pub fn first(&self) -> Option<ValueRef<'a>> {
        self.iter().next()
    }

    /// The values in order.
    pub fn iter(&self) -> ValueIter<'a> {
        ValueIter { rest: self.0.octets, left: self.0.len(), is_minimal: self.0.is_minimal }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.count == 0
    }

    /// The list with octets of its own.
    pub fn to_list(&self) -> List {
        List(Packed::rewritten(self.0, Raw::write_values))
    }
}

/// The values of a list, one after the other.
#[derive(Clone, Debug)]
pub struct ValueIter<'a> {
    rest: &'a [u8],
    left: usize,
    is_minimal: bool,
}

impl<'a> Iterator for ValueIter<'a> {
    type Item = ValueRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<ValueRef<'a>> {
        let (value, rest) = walk::value(self.rest, self.is_minimal)?;
        self.rest = rest;
        self.left = self.left.saturating_sub(1);
        Some(value)
    }

    fn nth(&mut self, index: usize) -> Option<ValueRef<'a>> {
        for _ in 0..index {
            self.rest = walk::skip(self.rest)?;
            self.left = self.left.saturating_sub(1);
        }
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ValueIter<'_> {}

impl FusedIterator for ValueIter<'_> {}

/// The values of a list that is given up: what they own are parts of its octets.
#[derive(Clone, Debug)]
pub struct IntoValues {
    rest: Bytes,
    left: usize,
}

impl IntoValues {
    pub(super) fn new(packed: Packed, left: usize) -> Self {
        Self { rest: packed.into_shared(), left }
    }
}

impl Iterator for IntoValues {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let (value, behind) = walk::value(&self.rest, true)?;
        let (value, length) = (value.to_shared(&self.rest), self.rest.len() - behind.len());
        self.rest.advance(length);
        self.left = self.left.saturating_sub(1);
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for IntoValues {}

impl IntoIterator for List {
    type Item = Value;
    type IntoIter = IntoValues;

    fn into_iter(self) -> IntoValues {
        let left = self.len();
        IntoValues::new(self.0, left)
    }
}

impl<'a> IntoIterator for &'a List {
    type Item = ValueRef<'a>;
    type IntoIter = ValueIter<'a>;

    fn into_iter(self) -> ValueIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for ListRef<'a> {
    type Item = ValueRef<'a>;
    type IntoIter = ValueIter<'a>;

    fn into_iter(self) -> ValueIter<'a> {
        self.iter()
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Vec<Value>> for List {
    fn from(values: Vec<Value>) -> Self {
        values.into_iter().collect()
    }
}

impl<V: Into<Value>> FromIterator<V> for List {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        let mut list = Self::new();
        list.extend(values);
        list
    }
}

impl<V: Into<Value>> Extend<V> for List {
    fn extend<I: IntoIterator<Item = V>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

impl Decode for List {
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let raw = check::list_value(cursor)?;
        Ok(Self(Packed::of_raw(raw, |part| cursor.share(part), Raw::write_values)))
    }
}

impl Encode for List {
    fn encode(&self, out: &mut impl Sink) {
        self.view().encode(out);
    }
}

impl Encode for ListRef<'_> {
    fn encode(&self, out: &mut impl Sink) {
        if self.is_empty() {
            return out.byte(code::LIST0);
        }
        self.0.write_compound(out, Compound::List, self.len(), Raw::write_values);
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for ListRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

ordered_by_octets!(List, ListRef<'_>, Raw::write_values::<BytesMut>);
