//! Arrays: values of one type behind one constructor (AMQP 1.0 §1.6.24).

use alloc::vec::Vec;
use core::{cmp::Ordering, fmt, iter::FusedIterator};

use bytes::{Bytes, BytesMut};

use super::{
    check,
    elements::{write_content, write_elements},
    packed::{Packed, Raw, ordered_by_octets},
    walk,
};
use crate::{
    cursor::{Cursor, Decode, Width},
    error::DecodeError,
    format_code as code,
    limits::ZERO_WIDTH_COUNT,
    sink::{Compound, Encode, Sink, saturate},
    value::{Value, ValueType},
    value_ref::ValueRef,
};

/// Values of one type, which stay encoded.
///
/// Equality is by element type, descriptor and elements. Elements that need no octets (nulls, zeros, empty lists, equal
/// booleans) are kept as their constructor and a count, so that a dozen octets never become millions of values (T-043).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Array(Packed);

/// A borrowed [`Array`]: checked, but neither copied nor counted.
#[derive(Clone, Copy)]
pub struct ArrayRef<'a>(Raw<'a>);

/// Array elements of different types, or described ones, or too many nulls; the caller's fault, a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("array elements are not of one type")]
pub struct MixedElements;

impl Array {
    /// An array without elements.
    pub fn empty(element_type: ValueType) -> Self {
        Self(Packed::of(Bytes::copy_from_slice(&[element_type.constructor()]), 0))
    }

    /// An array of values that all have one type.
    ///
    /// # Errors
    /// [`MixedElements`] if they do not, if one is described, or if there are none (see [`empty`](Self::empty)); also for more
    /// than 65,536 nulls, which have no form that a decoder reads.
    pub fn new(items: Vec<Value>) -> Result<Self, MixedElements> {
        let element_type = items.first().and_then(Value::value_type).ok_or(MixedElements)?;
        let are_too_many = element_type == ValueType::Null && items.len() > ZERO_WIDTH_COUNT;
        if are_too_many || items.iter().any(|item| item.value_type() != Some(element_type)) {
            return Err(MixedElements);
        }
        let mut octets = BytesMut::new();
        write_elements(&mut octets, element_type, items.iter().map(Value::view), true);
        Ok(Self(Packed::of(octets.freeze(), saturate(items.len()))))
    }

    /// The same array with elements described by `descriptor`.
    #[must_use]
    pub fn with_descriptor(self, descriptor: impl Into<Value>) -> Self {
        let raw = self.0.raw();
        let mut octets = BytesMut::new();
        octets.byte(code::DESCRIBED);
        descriptor.into().encode(&mut octets);
        octets.write(raw.octets);
        Self(Packed::of(octets.freeze(), raw.count))
    }

    /// The element at an index, counted from 0, without its descriptor.
    pub fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        self.view().get(index)
    }

    /// The array, borrowed.
    pub fn view(&self) -> ArrayRef<'_> {
        ArrayRef(self.0.raw())
    }

    /// The type of the elements, below their descriptor.
    pub fn element_type(&self) -> ValueType {
        self.view().element_type()
    }

    /// The descriptor of the elements, the outermost if there are several.
    pub fn descriptor(&self) -> Option<ValueRef<'_>> {
        self.view().descriptor()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The elements, without their descriptor.
    pub fn iter(&self) -> ArrayIter<'_> {
        self.view().iter()
    }

    /// An array whose octets have been checked.
    pub(crate) const fn from_packed(packed: Packed) -> Self {
        Self(packed)
    }
}

impl<'a> ArrayRef<'a> {
    pub(crate) const fn new(raw: Raw<'a>) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(&self) -> Raw<'a> {
        self.0
    }

    /// The type of the elements, below their descriptor.
    pub fn element_type(&self) -> ValueType {
        self.elements()
            .and_then(|(constructor, _)| ValueType::of_constructor(constructor))
            .unwrap_or(ValueType::Null)
    }

    /// The descriptor of the elements, the outermost if there are several.
    pub fn descriptor(&self) -> Option<ValueRef<'a>> {
        self.descriptors().next()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.count == 0
    }

    /// The elements, without their descriptor.
    pub fn iter(&self) -> ArrayIter<'a> {
        let (constructor, rest) = self.elements().unwrap_or((code::NULL, &[]));
        ArrayIter { constructor, rest, left: self.len(), is_minimal: self.0.is_minimal }
    }

    /// The element at an index, counted from 0, without its descriptor.
    pub fn get(&self, index: usize) -> Option<ValueRef<'a>> {
        self.iter().nth(index)
    }

    /// How many elements take no octets: all or none.
    pub fn unwritten_len(&self) -> usize {
        let is_unwritten = self.elements().is_some_and(|(_, rest)| rest.is_empty());
        if is_unwritten { self.len() } else { 0 }
    }

    /// Whether elements can hold others.
    #[cfg(feature = "serde")]
    pub(crate) fn has_collections(&self) -> bool {
        matches!(self.element_type(), ValueType::List | ValueType::Map | ValueType::Array)
    }

    /// The array with octets of its own.
    pub fn to_array(&self) -> Array {
        Array(Packed::rewritten(self.0, write_content))
    }

    /// The descriptors of the element constructor, outermost first; nearly always none.
    pub fn descriptors(&self) -> impl Iterator<Item = ValueRef<'a>> {
        let (mut rest, is_minimal) = (self.0.octets, self.0.is_minimal);
        core::iter::from_fn(move || {
            let (descriptor, behind) = walk::value(rest.strip_prefix(&[code::DESCRIBED])?, is_minimal)?;
            rest = behind;
            Some(descriptor)
        })
    }

    /// The constructor of the elements and what follows it; none in an empty array that was written without one.
    pub(super) fn elements(&self) -> Option<(u8, &'a [u8])> {
        let mut rest = self.0.octets;
        while let Some(descriptor) = rest.strip_prefix(&[code::DESCRIBED]) {
            rest = walk::skip(descriptor)?;
        }
        rest.split_first().map(|(constructor, rest)| (*constructor, rest))
    }
}

/// The elements of an array, one after the other.
#[derive(Clone, Debug)]
pub struct ArrayIter<'a> {
    constructor: u8,
    rest: &'a [u8],
    left: usize,
    is_minimal: bool,
}

impl<'a> Iterator for ArrayIter<'a> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<ValueRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (value, rest) = walk::body(self.constructor, self.rest, self.is_minimal)?;
        self.rest = rest;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ArrayIter<'_> {}

impl FusedIterator for ArrayIter<'_> {}

/// The elements of an array that is given up.
#[derive(Clone, Debug)]
pub struct IntoElements {
    elements: Packed,
    constructor: u8,
    /// How many octets at the start have been read.
    read: usize,
    left: usize,
}

impl Iterator for IntoElements {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        let rest = self.elements.raw().octets.get(self.read..)?;
        let (value, behind) = walk::body(self.constructor, rest, true)?;
        self.read += rest.len() - behind.len();
        Some(value.to_value())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for IntoElements {}

impl FusedIterator for IntoElements {}

impl IntoIterator for Array {
    type Item = Value;
    type IntoIter = IntoElements;

    /// The elements without their descriptor, each with octets of its own.
    fn into_iter(self) -> IntoElements {
        let (constructor, rest) = self.view().elements().unwrap_or((code::NULL, &[]));
        let (read, left) = (self.0.raw().octets.len() - rest.len(), self.len());
        IntoElements { elements: self.0, constructor, read, left }
    }
}

impl<'a> IntoIterator for &'a Array {
    type Item = ValueRef<'a>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for ArrayRef<'a> {
    type Item = ValueRef<'a>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

impl Decode for Array {
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let raw = match cursor.read_u8()? {
            code::ARRAY8 => check::array(cursor, Width::One)?,
            code::ARRAY32 => check::array(cursor, Width::Four)?,
            other => return Err(cursor.wrong_type(other, "array")),
        };
        Ok(Self(Packed::of_raw(raw, |part| cursor.share(part), write_content)))
    }
}

impl Encode for Array {
    fn encode(&self, out: &mut impl Sink) {
        self.view().encode(out);
    }
}

impl Encode for ArrayRef<'_> {
    fn encode(&self, out: &mut impl Sink) {
        self.0.write_compound(out, Compound::Array, self.len(), write_content);
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.element_type())?;
        for descriptor in self.descriptors() {
            write!(f, " @{descriptor:?}")?;
        }
        f.write_str(" ")?;
        // What is the same many times is said once.
        match self.iter().next() {
            Some(element) if self.len() > 1 && self.elements().is_some_and(|(_, rest)| rest.is_empty()) => {
                write!(f, "[{element:?}; {}]", self.len())
            }
            _ => f.debug_list().entries(self.iter()).finish(),
        }
    }
}

ordered_by_octets!(Array, ArrayRef<'_>, write_content::<BytesMut>);

impl From<crate::Multiple<crate::Symbol>> for Array {
    fn from(symbols: crate::Multiple<crate::Symbol>) -> Self {
        let items: Vec<Value> = symbols.into_iter().map(Value::Symbol).collect();
        Self::new(items).unwrap_or_else(|_| Self::empty(ValueType::Symbol))
    }
}
