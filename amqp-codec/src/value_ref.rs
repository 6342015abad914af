//! Values that are looked at where they lie.
//!
//! Owns the borrowing counterpart of [`Value`]: nothing is copied, counted or allocated. What a collection or a described
//! value holds has been checked when it is seen here, and is walked on demand.

mod convert;

use core::cmp::Ordering;

use bytes::Bytes;

use crate::{
    collection::{
        Array, ArrayRef, List, ListRef, Map, MapRef, Packed, Raw, check, checked_value, write_array_content,
    },
    cursor::Cursor,
    described::{Described, DescribedRef},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    primitive::encode_sized,
    quick,
    sink::{Encode, Sink},
    text::TextRef,
    value::{Value, ValueType},
};

/// Any AMQP value, in the octets it lies in.
///
/// Equal if type and value are, whatever the encodings are; floats compare by their bits.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// The empty value.
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
    Binary(&'a [u8]),
    /// UTF-8 text.
    String(TextRef<'a>),
    /// An ASCII symbol.
    Symbol(TextRef<'a>),
    /// A list of values of any types.
    List(ListRef<'a>),
    /// An ordered map of values to values.
    Map(MapRef<'a>),
    /// Values of one type.
    Array(ArrayRef<'a>),
    /// A value with a descriptor.
    Described(DescribedRef<'a>),
}

impl<'a> ValueRef<'a> {
    /// Reads and checks one value, with all that is nested in it.
    ///
    /// # Errors
    /// [`DecodeError`] where the octets are not a value.
    #[inline]
    pub fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        match quick::value(cursor.peek_all()) {
            Some((value, rest)) => {
                cursor.advance_to(rest);
                Ok(value)
            }
            None => Self::read_any(cursor),
        }
    }

    #[inline(never)]
    pub(crate) fn read_any(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let octets = cursor.peek_all();
        let is_minimal = check::uncounted(cursor)?;
        // What was just checked can be read.
        let value = checked_value(octets, is_minimal).map(|(value, _)| value);
        value.ok_or_else(|| cursor.error(DecodeErrorKind::Truncated, "value"))
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
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::String(text) = self { Some(text.as_str()) } else { None }
    }

    /// The symbol.
    pub const fn as_symbol(&self) -> Option<TextRef<'a>> {
        if let Self::Symbol(symbol) = self { Some(*symbol) } else { None }
    }

    /// The text of a string or of a symbol, for places where peers use either.
    pub fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::String(text) | Self::Symbol(text) => Some(text.as_str()),
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
    pub const fn as_binary(&self) -> Option<&'a [u8]> {
        if let Self::Binary(octets) = self { Some(octets) } else { None }
    }

    /// The timestamp.
    pub const fn as_timestamp(&self) -> Option<Timestamp> {
        if let Self::Timestamp(timestamp) = self { Some(*timestamp) } else { None }
    }

    /// The uuid.
    pub const fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(uuid) = self { Some(*uuid) } else { None }
    }

    /// The list.
    pub const fn as_list(&self) -> Option<ListRef<'a>> {
        if let Self::List(list) = self { Some(*list) } else { None }
    }

    /// The map.
    pub const fn as_map(&self) -> Option<MapRef<'a>> {
        if let Self::Map(map) = self { Some(*map) } else { None }
    }

    /// The array.
    pub const fn as_array(&self) -> Option<ArrayRef<'a>> {
        if let Self::Array(array) = self { Some(*array) } else { None }
    }

    /// The described value.
    pub const fn as_described(&self) -> Option<DescribedRef<'a>> {
        if let Self::Described(described) = self { Some(*described) } else { None }
    }

    /// Whether this is neither a list, a map nor an array (a described value counts as simple; peers send them as
    /// application properties).
    pub(crate) const fn is_simple(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_) | Self::Array(_))
    }

    /// The value with octets of its own.
    pub fn to_value(&self) -> Value {
        self.to_value_with(Bytes::copy_from_slice)
    }

    /// The value, its octets being parts of `bytes`, in which it lies.
    pub(crate) fn to_shared(self, bytes: &Bytes) -> Value {
        self.to_value_with(|part| bytes.slice_ref(part))
    }

    #[inline(always)]
    pub(crate) fn to_value_with(self, share: impl FnOnce(&'a [u8]) -> Bytes) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(v) => Value::Boolean(v),
            Self::Ubyte(v) => Value::Ubyte(v),
            Self::Ushort(v) => Value::Ushort(v),
            Self::Uint(v) => Value::Uint(v),
            Self::Ulong(v) => Value::Ulong(v),
            Self::Byte(v) => Value::Byte(v),
            Self::Short(v) => Value::Short(v),
            Self::Int(v) => Value::Int(v),
            Self::Long(v) => Value::Long(v),
            Self::Float(v) => Value::Float(v),
            Self::Double(v) => Value::Double(v),
            Self::Decimal32(v) => Value::Decimal32(v),
            Self::Decimal64(v) => Value::Decimal64(v),
            Self::Decimal128(v) => Value::Decimal128(v),
            Self::Char(v) => Value::Char(v),
            Self::Timestamp(v) => Value::Timestamp(v),
            Self::Uuid(v) => Value::Uuid(v),
            Self::Binary(v) => Value::Binary(share(v)),
            Self::String(v) => Value::String(v.to_str_with(share)),
            Self::Symbol(v) => Value::Symbol(v.to_symbol_with(share)),
            Self::List(v) => {
                Value::List(List::from_packed(Packed::of_raw(v.raw(), share, Raw::write_values)))
            }
            Self::Map(v) => Value::Map(Map::from_packed(Packed::of_raw(v.raw(), share, Raw::write_values))),
            Self::Array(v) => {
                Value::Array(Array::from_packed(Packed::of_raw(v.raw(), share, write_array_content)))
            }
            Self::Described(v) => {
                Value::Described(Described::from_packed(Packed::of_raw(v.raw(), share, Raw::write_values)))
            }
        }
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ValueRef<'_> {}

impl PartialEq<Value> for ValueRef<'_> {
    fn eq(&self, other: &Value) -> bool {
        *self == other.view()
    }
}

impl PartialEq<ValueRef<'_>> for Value {
    fn eq(&self, other: &ValueRef<'_>) -> bool {
        self.view() == *other
    }
}

impl PartialOrd for ValueRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ValueRef<'_> {
    /// A total order for lookups: by type first, then by value, floats by their bits, collections by their octets.
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
            (Self::String(a), Self::String(b)) | (Self::Symbol(a), Self::Symbol(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            (Self::Map(a), Self::Map(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) => a.cmp(b),
            (Self::Described(a), Self::Described(b)) => a.cmp(b),
            _ => self.value_type().cmp(&other.value_type()),
        }
    }
}

impl Encode for ValueRef<'_> {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        match *self {
            Self::Null => out.byte(code::NULL),
            Self::Boolean(v) => v.encode(out),
            Self::Ubyte(v) => v.encode(out),
            Self::Ushort(v) => v.encode(out),
            Self::Uint(v) => v.encode(out),
            Self::Ulong(v) => v.encode(out),
            Self::Byte(v) => v.encode(out),
            Self::Short(v) => v.encode(out),
            Self::Int(v) => v.encode(out),
            Self::Long(v) => v.encode(out),
            Self::Float(v) => v.encode(out),
            Self::Double(v) => v.encode(out),
            Self::Decimal32(v) => v.encode(out),
            Self::Decimal64(v) => v.encode(out),
            Self::Decimal128(v) => v.encode(out),
            Self::Char(v) => v.encode(out),
            Self::Timestamp(v) => v.encode(out),
            Self::Uuid(v) => v.encode(out),
            Self::Binary(v) => encode_sized(out, code::BINARY8, code::BINARY32, v),
            Self::String(v) => encode_sized(out, code::STRING8, code::STRING32, v.as_octets()),
            Self::Symbol(v) => encode_sized(out, code::SYMBOL8, code::SYMBOL32, v.as_octets()),
            Self::List(v) => v.encode(out),
            Self::Map(v) => v.encode(out),
            Self::Array(v) => v.encode(out),
            Self::Described(v) => v.encode(out),
        }
    }
}
