//! Any AMQP value.
//!
//! Owns the closed set of types of AMQP 1.0 §1.6 plus described values. Two values are equal when type and value are
//! equal, whatever their encodings were; floats compare by bits.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{cmp::Ordering, hash};

use bytes::Bytes;

use crate::{
    collection::{Array, List, Map},
    cursor::{Cursor, Decode, Result, Width},
    described::Described,
    error::DecodeError,
    format_code as code,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    primitive, quick,
    sink::{Encode, Sink, to_bytes},
    text::{Str, Symbol},
};

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
    Array(Box<Array>),
    /// A value with a descriptor.
    Described(Box<Described>),
}

/// The type of a [`Value`] that is not described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are those of Value")]
pub enum ValueType {
    Null,
    Boolean,
    Ubyte,
    Ushort,
    Uint,
    Ulong,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    Decimal32,
    Decimal64,
    Decimal128,
    Char,
    Timestamp,
    Uuid,
    Binary,
    String,
    Symbol,
    List,
    Map,
    Array,
}

impl Value {
    /// The generic form of any encodable value, such as a composite.
    ///
    /// # Errors
    /// None in practice; the decoder's limits apply to the value (depth 64, 262,144 nodes).
    pub fn of(value: &impl Encode) -> core::result::Result<Self, DecodeError> {
        crate::cursor::from_bytes(&to_bytes(value), &crate::DecodeLimits::message())
    }

    /// A symbol value from static text.
    pub fn symbol(text: &'static str) -> Self {
        Self::Symbol(Symbol::from_static(text))
    }

    /// The type, or `None` for a described value.
    pub const fn value_type(&self) -> Option<ValueType> {
        Some(match self {
            Self::Null => ValueType::Null,
            Self::Boolean(_) => ValueType::Boolean,
            Self::Ubyte(_) => ValueType::Ubyte,
            Self::Ushort(_) => ValueType::Ushort,
            Self::Uint(_) => ValueType::Uint,
            Self::Ulong(_) => ValueType::Ulong,
            Self::Byte(_) => ValueType::Byte,
            Self::Short(_) => ValueType::Short,
            Self::Int(_) => ValueType::Int,
            Self::Long(_) => ValueType::Long,
            Self::Float(_) => ValueType::Float,
            Self::Double(_) => ValueType::Double,
            Self::Decimal32(_) => ValueType::Decimal32,
            Self::Decimal64(_) => ValueType::Decimal64,
            Self::Decimal128(_) => ValueType::Decimal128,
            Self::Char(_) => ValueType::Char,
            Self::Timestamp(_) => ValueType::Timestamp,
            Self::Uuid(_) => ValueType::Uuid,
            Self::Binary(_) => ValueType::Binary,
            Self::String(_) => ValueType::String,
            Self::Symbol(_) => ValueType::Symbol,
            Self::List(_) => ValueType::List,
            Self::Map(_) => ValueType::Map,
            Self::Array(_) => ValueType::Array,
            Self::Described(_) => return None,
        })
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
        match *self {
            Self::Ubyte(n) => Some(n.into()),
            Self::Ushort(n) => Some(n.into()),
            Self::Uint(n) => Some(n.into()),
            Self::Ulong(n) => Some(n),
            _ => self.as_i64().and_then(|n| u64::try_from(n).ok()),
        }
    }

    /// Any integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Byte(n) => Some(n.into()),
            Self::Short(n) => Some(n.into()),
            Self::Int(n) => Some(n.into()),
            Self::Long(n) => Some(n),
            Self::Ubyte(n) => Some(n.into()),
            Self::Ushort(n) => Some(n.into()),
            Self::Uint(n) => Some(n.into()),
            Self::Ulong(n) => i64::try_from(n).ok(),
            _ => None,
        }
    }

    /// A float or double.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Float(n) => Some(n.into()),
            Self::Double(n) => Some(n),
            _ => None,
        }
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
    pub fn as_array(&self) -> Option<&Array> {
        if let Self::Array(array) = self { Some(array) } else { None }
    }

    /// The described value.
    pub fn as_described(&self) -> Option<&Described> {
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

    /// Whether this is neither a list, a map nor an array (a described value counts as simple; peers send them as
    /// application properties).
    pub(crate) const fn is_simple(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_) | Self::Array(_))
    }

    /// The octets after a constructor, which is not counted as a node.
    pub(crate) fn body(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Self> {
        Ok(match constructor {
            code::NULL => Self::Null,
            code::TRUE => Self::Boolean(true),
            code::FALSE => Self::Boolean(false),
            code::BOOLEAN => Self::Boolean(unwrap_body(cursor, constructor, primitive::boolean)?),
            code::UBYTE => Self::Ubyte(cursor.read_u8()?),
            code::USHORT => Self::Ushort(u16::from_be_bytes(cursor.read_array()?)),
            code::UINT | code::SMALL_UINT | code::UINT0 => {
                Self::Uint(unwrap_body(cursor, constructor, primitive::uint)?)
            }
            code::ULONG | code::SMALL_ULONG | code::ULONG0 => {
                Self::Ulong(unwrap_body(cursor, constructor, primitive::ulong)?)
            }
            code::BYTE => Self::Byte(cursor.read_u8()?.cast_signed()),
            code::SHORT => Self::Short(i16::from_be_bytes(cursor.read_array()?)),
            code::INT | code::SMALL_INT => Self::Int(unwrap_body(cursor, constructor, primitive::int)?),
            code::LONG | code::SMALL_LONG => Self::Long(unwrap_body(cursor, constructor, primitive::long)?),
            code::FLOAT => Self::Float(f32::from_be_bytes(cursor.read_array()?)),
            code::DOUBLE => Self::Double(f64::from_be_bytes(cursor.read_array()?)),
            code::DECIMAL32 => Self::Decimal32(Decimal32(cursor.read_array()?)),
            code::DECIMAL64 => Self::Decimal64(Decimal64(cursor.read_array()?)),
            code::DECIMAL128 => Self::Decimal128(Decimal128(cursor.read_array()?)),
            code::CHAR => Self::Char(unwrap_body(cursor, constructor, primitive::character)?),
            code::TIMESTAMP => Self::Timestamp(Timestamp(i64::from_be_bytes(cursor.read_array()?))),
            code::UUID => Self::Uuid(Uuid(cursor.read_array()?)),
            _ => return Self::sized_body(cursor, constructor),
        })
    }

    // T-035, T-040: lists and arrays in all of their forms.
    fn sized_body(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Self> {
        Ok(match constructor {
            code::BINARY8 | code::STRING8 | code::SYMBOL8 => {
                let length = usize::from(cursor.read_u8()?);
                Self::text_body(cursor, constructor, length)?
            }
            code::BINARY32 | code::STRING32 | code::SYMBOL32 => {
                let length = cursor.read_length32()?;
                Self::text_body(cursor, constructor, length)?
            }
            code::LIST0 => Self::List(List::default()),
            code::LIST8 => Self::List(List::body(cursor, Width::One)?),
            code::LIST32 => Self::List(List::body(cursor, Width::Four)?),
            code::MAP8 => Self::Map(Map::body(cursor, Width::One)?),
            code::MAP32 => Self::Map(Map::body(cursor, Width::Four)?),
            code::ARRAY8 => Self::Array(Box::new(Array::body(cursor, Width::One)?)),
            code::ARRAY32 => Self::Array(Box::new(Array::body(cursor, Width::Four)?)),
            _ => return Err(cursor.wrong_type(constructor, "value")),
        })
    }

    fn text_body(cursor: &mut Cursor<'_>, constructor: u8, length: usize) -> Result<Self> {
        let octets = cursor.take(length)?;
        Ok(match constructor {
            code::STRING8 | code::STRING32 => Self::String(Str::shared(cursor, octets)?),
            code::SYMBOL8 | code::SYMBOL32 => Self::Symbol(Symbol::shared(cursor, octets)?),
            _ => Self::Binary(cursor.share(octets)),
        })
    }
}

impl Decode for Value {
    // T-020: null is its constructor and no more.
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        cursor.spend_node("value")?;
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
        let constructor = cursor.read_u8()?;
        if constructor == code::DESCRIBED {
            return Described::body(cursor).map(|described| Self::Described(Box::new(described)));
        }
        Self::body(cursor, constructor)
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
    /// A total order for lookups: by type first, then by value, floats by their bits.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Ubyte(a), Self::Ubyte(b)) => a.cmp(b),
            (Self::Ushort(a), Self::Ushort(b)) => a.cmp(b),
            (Self::Uint(a), Self::Uint(b)) => a.cmp(b),
            (Self::Ulong(a), Self::Ulong(b)) => a.cmp(b),
            (Self::Byte(a), Self::Byte(b)) => a.cmp(b),
            (Self::Short(a), Self::Short(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Long(a), Self::Long(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.to_bits().cmp(&b.to_bits()),
            (Self::Double(a), Self::Double(b)) => a.to_bits().cmp(&b.to_bits()),
            (Self::Decimal32(a), Self::Decimal32(b)) => a.cmp(b),
            (Self::Decimal64(a), Self::Decimal64(b)) => a.cmp(b),
            (Self::Decimal128(a), Self::Decimal128(b)) => a.cmp(b),
            (Self::Char(a), Self::Char(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Symbol(a), Self::Symbol(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            (Self::Map(a), Self::Map(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) => a.cmp(b),
            (Self::Described(a), Self::Described(b)) => a.cmp(b),
            _ => self.value_type().cmp(&other.value_type()),
        }
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

macro_rules! from_types {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from_types! {
    bool => Boolean, u8 => Ubyte, u16 => Ushort, u32 => Uint, u64 => Ulong, i8 => Byte, i16 => Short, i32 => Int,
    i64 => Long, f32 => Float, f64 => Double, Decimal32 => Decimal32, Decimal64 => Decimal64,
    Decimal128 => Decimal128, char => Char, Timestamp => Timestamp, Uuid => Uuid, Bytes => Binary, Vec<u8> => Binary,
    Str => String, String => String, &'static str => String, Symbol => Symbol, List => List, Map => Map,
    Array => Array, Described => Described, Vec<Value> => List,
}

impl<T: Into<Self>> From<Option<T>> for Value {
    /// `None` becomes null.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A value of another type than the one asked for; the caller's or the peer's fault, a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value is not a {0}")]
pub struct WrongValueType(pub &'static str);

macro_rules! try_into_types {
    ($($type:ty => $variant:ident $name:literal),* $(,)?) => {$(
        impl TryFrom<Value> for $type {
            type Error = WrongValueType;

            fn try_from(value: Value) -> core::result::Result<Self, WrongValueType> {
                if let Value::$variant(inner) = value { Ok(inner) } else { Err(WrongValueType($name)) }
            }
        }
    )*};
}

try_into_types! {
    bool => Boolean "boolean", u8 => Ubyte "ubyte", u16 => Ushort "ushort", u32 => Uint "uint", u64 => Ulong "ulong",
    i8 => Byte "byte", i16 => Short "short", i32 => Int "int", i64 => Long "long", f32 => Float "float",
    f64 => Double "double", char => Char "char", Timestamp => Timestamp "timestamp", Uuid => Uuid "uuid",
    Bytes => Binary "binary", Str => String "string", Symbol => Symbol "symbol", List => List "list", Map => Map "map",
    Box<Array> => Array "array", Box<Described> => Described "described value",
}

/// The body of a primitive whose constructor has been matched already.
#[inline]
fn unwrap_body<T>(
    cursor: &mut Cursor<'_>,
    constructor: u8,
    body: impl FnOnce(&mut Cursor<'_>, u8) -> Result<Option<T>>,
) -> Result<T> {
    body(cursor, constructor)?.ok_or_else(|| cursor.wrong_type(constructor, "value"))
}
