//! Any AMQP value.
//!
//! Owns the closed set of types of AMQP 1.0 §1.6 plus described values. Two values are equal when type and value are
//! equal, whatever their encodings were; floats compare by bits.

mod convert;
mod value_type;

use core::{cmp::Ordering, hash};

use bytes::Bytes;

use crate::{
    collection::{Array, List, Map},
    cursor::{Cursor, Decode},
    described::Described,
    error::DecodeError,
    format_code as code,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    quick,
    sink::{Encode, Sink, to_bytes},
    text::{Str, Symbol, TextRef},
    value_ref::ValueRef,
};

pub use convert::WrongValueType;
pub use value_type::ValueType;

/// Any AMQP value.
#[derive(Clone, Debug, Default)]
// A tag of a whole word keeps every payload aligned: values are moved in whole words then. With a tag of one octet they are
// moved in odd pieces that wait for the stores before them, which made an owned decode a fifth
// slower.
#[repr(usize)]
pub enum Value {
    /// The empty value.
    #[default]
    Null,
    /// True or false.
    Boolean(bool),
    /// An unsigned octet.
    Ubyte(u8),
    /// An unsigned 16-bit integer.
    Ushort(u16),
    /// An unsigned 32-bit integer.
    Uint(u32),
    /// An unsigned 64-bit integer.
    Ulong(u64),
    /// A signed octet.
    Byte(i8),
    /// A signed 16-bit integer.
    Short(i16),
    /// A signed 32-bit integer.
    Int(i32),
    /// A signed 64-bit integer.
    Long(i64),
    /// A 32-bit IEEE 754 number.
    Float(f32),
    /// A 64-bit IEEE 754 number.
    Double(f64),
    /// A 32-bit decimal.
    Decimal32(Decimal32),
    /// A 64-bit decimal.
    Decimal64(Decimal64),
    /// A 128-bit decimal.
    Decimal128(Decimal128),
    /// A Unicode scalar value.
    Char(char),
    /// Milliseconds since the Unix epoch.
    Timestamp(Timestamp),
    /// A universally unique id.
    Uuid(Uuid),
    /// Octets.
    Binary(Bytes),
    /// UTF-8 text.
    String(Str),
    /// An ASCII symbol.
    Symbol(Symbol),
    /// A list of values of any types.
    List(List),
    /// An ordered map of values to values.
    Map(Map),
    /// Values of one type.
    Array(Array),
    /// A value with a descriptor.
    Described(Described),
}

impl Value {
    /// The generic form of any encodable value, such as a composite.
    ///
    /// # Errors
    /// [`DecodeError`] if the value is more than the decoder takes ([`DecodeLimits::message`](crate::DecodeLimits::message):
    /// depth 64, 262,144 nodes).
    pub fn of(value: &impl Encode) -> Result<Self, DecodeError> {
        crate::cursor::from_bytes(&to_bytes(value), &crate::DecodeLimits::message())
    }

    /// A symbol value from static text.
    pub fn symbol(text: &'static str) -> Self {
        Self::Symbol(Symbol::from_static(text))
    }

    /// The value, borrowed.
    pub fn view(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Boolean(v) => ValueRef::Boolean(*v),
            Self::Ubyte(v) => ValueRef::Ubyte(*v),
            Self::Ushort(v) => ValueRef::Ushort(*v),
            Self::Uint(v) => ValueRef::Uint(*v),
            Self::Ulong(v) => ValueRef::Ulong(*v),
            Self::Byte(v) => ValueRef::Byte(*v),
            Self::Short(v) => ValueRef::Short(*v),
            Self::Int(v) => ValueRef::Int(*v),
            Self::Long(v) => ValueRef::Long(*v),
            Self::Float(v) => ValueRef::Float(*v),
            Self::Double(v) => ValueRef::Double(*v),
            Self::Decimal32(v) => ValueRef::Decimal32(*v),
            Self::Decimal64(v) => ValueRef::Decimal64(*v),
            Self::Decimal128(v) => ValueRef::Decimal128(*v),
            Self::Char(v) => ValueRef::Char(*v),
            Self::Timestamp(v) => ValueRef::Timestamp(*v),
            Self::Uuid(v) => ValueRef::Uuid(*v),
            Self::Binary(v) => ValueRef::Binary(v),
            Self::String(v) => ValueRef::String(TextRef::checked(v.as_octets())),
            Self::Symbol(v) => ValueRef::Symbol(TextRef::checked(v.as_octets())),
            Self::List(v) => ValueRef::List(v.view()),
            Self::Map(v) => ValueRef::Map(v.view()),
            Self::Array(v) => ValueRef::Array(v.view()),
            Self::Described(v) => ValueRef::Described(v.view()),
        }
    }

    /// The type, or `None` for a described value.
    pub fn value_type(&self) -> Option<ValueType> {
        self.view().value_type()
    }

    /// Whether this is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a string (not of a symbol).
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text.as_str()) } else { None }
    }

    /// The symbol.
    pub const fn as_symbol(&self) -> Option<&Symbol> {
        if let Self::Symbol(symbol) = self { Some(symbol) } else { None }
    }

    /// The text of a string or of a symbol, for places where peers use either.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            Self::Symbol(symbol) => Some(symbol.as_str()),
            _ => None,
        }
    }

    /// The boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(value) = self { Some(*value) } else { None }
    }

    /// Any integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.view().as_u64()
    }

    /// Any integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.view().as_i64()
    }

    /// A float or double.
    pub fn as_f64(&self) -> Option<f64> {
        self.view().as_f64()
    }

    /// The octets of a binary.
    pub const fn as_binary(&self) -> Option<&Bytes> {
        if let Self::Binary(octets) = self { Some(octets) } else { None }
    }

    /// The list.
    pub const fn as_list(&self) -> Option<&List> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The map.
    pub const fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The array.
    pub const fn as_array(&self) -> Option<&Array> {
        if let Self::Array(array) = self { Some(array) } else { None }
    }

    /// The described value.
    pub const fn as_described(&self) -> Option<&Described> {
        if let Self::Described(described) = self { Some(described) } else { None }
    }

    /// The timestamp.
    pub const fn as_timestamp(&self) -> Option<Timestamp> {
        if let Self::Timestamp(timestamp) = self { Some(*timestamp) } else { None }
    }

    /// The uuid.
    pub const fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(uuid) = self { Some(*uuid) } else { None }
    }
}

impl Decode for Value {
    // T-020: null is its constructor and no more.
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        if let Some((value, rest)) = quick::fixed(cursor.peek_all()) {
            cursor.advance_to(rest);
            return Ok(value);
        }
        // Text reads its own constructor, together with what follows it.
        match cursor.peek() {
            Some(code::STRING8 | code::STRING32) => return Str::decode(cursor).map(Self::String),
            Some(code::SYMBOL8 | code::SYMBOL32) => return Symbol::decode(cursor).map(Self::Symbol),
            _ => {}
        }
        let value = ValueRef::read_any(cursor)?;
        Ok(value.to_value_with(|part| cursor.share(part)))
    }
}

impl Encode for Value {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        match self {
            Self::Null => out.byte(code::NULL),
            Self::Boolean(v) => v.encode(out),
            Self::Uint(v) => v.encode(out),
            Self::Ulong(v) => v.encode(out),
            Self::Int(v) => v.encode(out),
            Self::Long(v) => v.encode(out),
            Self::Double(v) => v.encode(out),
            Self::Timestamp(v) => v.encode(out),
            Self::Uuid(v) => v.encode(out),
            Self::Binary(v) => v.encode(out),
            Self::String(v) => v.encode(out),
            Self::Symbol(v) => v.encode(out),
            _ => self.encode_rare(out),
        }
    }
}

impl Value {
    /// The types that rarely stand in maps: kept apart, so that the loop over a map stays small.
    #[inline(never)]
    fn encode_rare(&self, out: &mut impl Sink) {
        match self {
            Self::Ubyte(v) => v.encode(out),
            Self::Ushort(v) => v.encode(out),
            Self::Byte(v) => v.encode(out),
            Self::Short(v) => v.encode(out),
            Self::Float(v) => v.encode(out),
            Self::Decimal32(v) => v.encode(out),
            Self::Decimal64(v) => v.encode(out),
            Self::Decimal128(v) => v.encode(out),
            Self::Char(v) => v.encode(out),
            Self::List(v) => v.encode(out),
            Self::Map(v) => v.encode(out),
            Self::Array(v) => v.encode(out),
            Self::Described(v) => v.encode(out),
            // The types of `encode`.
            _ => {}
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    /// A total order for lookups: by type first, then by value, floats by their bits, collections by their octets.
    fn cmp(&self, other: &Self) -> Ordering {
        self.view().cmp(&other.view())
    }
}

impl hash::Hash for Value {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.value_type().hash(state);
        match self {
            Self::Null => {}
            Self::Boolean(v) => v.hash(state),
            Self::Ubyte(v) => v.hash(state),
            Self::Ushort(v) => v.hash(state),
            Self::Uint(v) => v.hash(state),
            Self::Ulong(v) => v.hash(state),
            Self::Byte(v) => v.hash(state),
            Self::Short(v) => v.hash(state),
            Self::Int(v) => v.hash(state),
            Self::Long(v) => v.hash(state),
            Self::Float(v) => v.to_bits().hash(state),
            Self::Double(v) => v.to_bits().hash(state),
            Self::Decimal32(v) => v.hash(state),
            Self::Decimal64(v) => v.hash(state),
            Self::Decimal128(v) => v.hash(state),
            Self::Char(v) => v.hash(state),
            Self::Timestamp(v) => v.hash(state),
            Self::Uuid(v) => v.hash(state),
            Self::Binary(v) => v.hash(state),
            Self::String(v) => v.hash(state),
            Self::Symbol(v) => v.hash(state),
            Self::List(v) => v.hash(state),
            Self::Map(v) => v.hash(state),
            Self::Array(v) => v.hash(state),
            Self::Described(v) => v.hash(state),
        }
    }
}
