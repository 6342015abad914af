//! Fields that hold none, one or several values.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use crate::{
    cursor::{Cursor, Decode, Result, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    sink::{Compound, Encode, Sink},
    text::Symbol,
};

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
        let mut values = Vec::with_capacity(scope.count.min(4 + cursor.remaining() / 16));
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
            super::elements::write_sized_body(out, symbol.as_octets(), is_wide);
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
