//! Fields that hold none, one or several values.

use core::{fmt, iter::FusedIterator, marker::PhantomData};

use bytes::BytesMut;

use super::{
    list::IntoValues,
    packed::{Packed, Raw},
    walk,
};
use crate::{
    cursor::{Cursor, Decode, Result, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    primitive::encode_sized,
    sink::{Compound, Encode, Sink, to_bytes},
    text::{Symbol, TextRef, is_ascii},
};

/// The values of a field that may hold several (AMQP 1.0 §1.4, `multiple="true"`), which stay encoded. The specification has
/// such fields for symbols only.
///
/// On the wire null is none, a bare value is one and an array is any number (T-014); all that is seen here is the values.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Multiple<T> {
    /// Each with its constructor.
    values: Packed,
    kind: PhantomData<fn() -> T>,
}

impl<T> Multiple<T> {
    /// No values.
    pub const fn new() -> Self {
        Self::of(Packed::new())
    }

    const fn of(values: Packed) -> Self {
        Self { values, kind: PhantomData }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Multiple<Symbol> {
    /// The values in order.
    pub fn iter(&self) -> MultipleIter<'_> {
        MultipleIter { rest: self.values.raw().octets, left: self.len() }
    }

    /// Adds a value.
    pub fn push(&mut self, symbol: impl Into<Symbol>) {
        self.values.push(&symbol.into());
    }

    /// Whether a symbol is among the values.
    pub fn contains_symbol(&self, text: &str) -> bool {
        self.iter().any(|symbol| symbol == *text)
    }

    fn array_body(cursor: &mut Cursor<'_>, width: Width) -> Result<Self> {
        let scope = cursor.open(width, "array of symbols")?;
        let wide = match cursor.peek() {
            Some(code::SYMBOL8) => false,
            Some(code::SYMBOL32) => true,
            // T-042: an empty array without a constructor, as serde_amqp writes it.
            None if scope.count == 0 && !cursor.limits().is_strict() => {
                cursor.close(&scope, "array of symbols")?;
                return Ok(Self::new());
            }
            None => return Err(cursor.error(DecodeErrorKind::MissingConstructor, "array of symbols")),
            Some(other) => {
                cursor.read_u8()?;
                return Err(cursor.wrong_type(other, "array of symbols"));
            }
        };
        cursor.read_u8()?;
        // An element takes one octet at least, and one more for its constructor here.
        let room = cursor.remaining() + scope.count.min(cursor.remaining());
        let mut values = BytesMut::with_capacity(room);
        for _ in 0..scope.count {
            cursor.spend_node("array of symbols")?;
            let length = if wide { cursor.read_length32()? } else { usize::from(cursor.read_u8()?) };
            let octets = cursor.take(length)?;
            // T-034: seven bits only.
            if !is_ascii(octets) {
                return Err(cursor.error(DecodeErrorKind::InvalidAscii, "symbol"));
            }
            encode_sized(&mut values, code::SYMBOL8, code::SYMBOL32, octets);
        }
        cursor.close(&scope, "array of symbols")?;
        Ok(Self::of(Packed::of(values.freeze(), u32::try_from(scope.count).unwrap_or(u32::MAX))))
    }

    /// The values as an array, even if there is only one.
    pub(crate) fn encode_array(&self, out: &mut impl Sink) {
        let start = out.begin_compound();
        let is_wide = self.iter().any(|symbol| symbol.as_octets().len() > usize::from(u8::MAX));
        out.byte(if is_wide { code::SYMBOL32 } else { code::SYMBOL8 });
        for symbol in self {
            super::elements::write_sized_body(out, symbol.as_octets(), is_wide);
        }
        out.end_compound(start, Compound::Array, self.len());
    }
}

/// The values of a field, one after the other.
#[derive(Clone, Debug)]
pub struct MultipleIter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for MultipleIter<'a> {
    type Item = TextRef<'a>;

    fn next(&mut self) -> Option<TextRef<'a>> {
        let (value, rest) = walk::value(self.rest, true)?;
        self.rest = rest;
        self.left = self.left.saturating_sub(1);
        value.as_symbol()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for MultipleIter<'_> {}

impl FusedIterator for MultipleIter<'_> {}

/// The values of a field that is given up.
#[derive(Clone, Debug)]
pub struct IntoSymbols(IntoValues);

impl Iterator for IntoSymbols {
    type Item = Symbol;

    fn next(&mut self) -> Option<Symbol> {
        self.0.next()?.try_into().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for IntoSymbols {}

impl IntoIterator for Multiple<Symbol> {
    type Item = Symbol;
    type IntoIter = IntoSymbols;

    fn into_iter(self) -> IntoSymbols {
        let left = self.len();
        IntoSymbols(IntoValues::new(self.values, left))
    }
}

impl<'a> IntoIterator for &'a Multiple<Symbol> {
    type Item = TextRef<'a>;
    type IntoIter = MultipleIter<'a>;

    fn into_iter(self) -> MultipleIter<'a> {
        self.iter()
    }
}

impl<T> Default for Multiple<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl From<alloc::vec::Vec<Symbol>> for Multiple<Symbol> {
    fn from(values: alloc::vec::Vec<Symbol>) -> Self {
        values.into_iter().collect()
    }
}

impl<U: Into<Symbol>> FromIterator<U> for Multiple<Symbol> {
    fn from_iter<I: IntoIterator<Item = U>>(values: I) -> Self {
        let mut all = Self::new();
        all.extend(values);
        all
    }
}

impl<U: Into<Symbol>> Extend<U> for Multiple<Symbol> {
    fn extend<I: IntoIterator<Item = U>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

impl fmt::Debug for Multiple<Symbol> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
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
            _ => Symbol::decode(cursor).map(|symbol| Self::of(Packed::of(to_bytes(&symbol), 1))),
        }
    }
}

impl Encode for Multiple<Symbol> {
    fn encode(&self, out: &mut impl Sink) {
        let Raw { octets, count, .. } = self.values.raw();
        match count {
            0 => out.byte(code::NULL),
            // One is as it is kept.
            1 => out.write(octets),
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
