//! Values that are looked at where they lie.
//!
//! Owns the borrowing counterpart of [`Value`]: nothing is copied, counted or allocated, and compound values stay encoded
//! until somebody wants them.

use core::{fmt, str};

use bytes::Bytes;

use crate::{
    cursor::{Cursor, Result, from_bytes},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    limits::DecodeLimits,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    primitive::{self, encode_sized},
    sink::{Encode, Sink},
    text::{TextRef, is_ascii},
    value::Value,
};

/// Any AMQP value, in the buffer it was received in.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
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
    /// A list, map, array or described value: its extent is known, its content is not checked yet.
    Compound(Encoded<'a>),
}

/// One encoded value, constructor included.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoded<'a>(&'a [u8]);

impl<'a> Encoded<'a> {
    /// The octets.
    pub const fn octets(&self) -> &'a [u8] {
        self.0
    }

    /// The value, in a buffer of its own.
    ///
    /// # Errors
    /// [`DecodeError`] if it is malformed; offsets count from its constructor.
    pub fn to_value(&self, limits: &DecodeLimits) -> core::result::Result<Value, DecodeError> {
        from_bytes(&Bytes::copy_from_slice(self.0), limits)
    }
}

impl fmt::Debug for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl<'a> ValueRef<'a> {
    /// Reads one value; a compound one is stepped over.
    ///
    /// # Errors
    /// [`DecodeError`] where the octets are not a value.
    #[inline]
    pub fn read(cursor: &mut Cursor<'a>) -> core::result::Result<Self, DecodeError> {
        let before = cursor.peek_all();
        let constructor = cursor.read_u8()?;
        Ok(match constructor {
            code::STRING8 | code::SYMBOL8 | code::BINARY8 => {
                let length = usize::from(cursor.read_u8()?);
                let octets = cursor.take(length)?;
                Self::of_octets(cursor, constructor, octets)?
            }
            code::STRING32 | code::SYMBOL32 | code::BINARY32 => {
                let length = cursor.read_length32()?;
                let octets = cursor.take(length)?;
                Self::of_octets(cursor, constructor, octets)?
            }
            code::TRUE => Self::Boolean(true),
            code::FALSE => Self::Boolean(false),
            code::INT => Self::Int(i32::from_be_bytes(cursor.read_array()?)),
            code::SMALL_INT => Self::Int(cursor.read_u8()?.cast_signed().into()),
            code::LONG => Self::Long(i64::from_be_bytes(cursor.read_array()?)),
            code::SMALL_LONG => Self::Long(cursor.read_u8()?.cast_signed().into()),
            code::UINT0 => Self::Uint(0),
            code::SMALL_UINT => Self::Uint(cursor.read_u8()?.into()),
            code::UINT => Self::Uint(u32::from_be_bytes(cursor.read_array()?)),
            code::ULONG0 => Self::Ulong(0),
            code::SMALL_ULONG => Self::Ulong(cursor.read_u8()?.into()),
            code::ULONG => Self::Ulong(u64::from_be_bytes(cursor.read_array()?)),
            code::DOUBLE => Self::Double(f64::from_be_bytes(cursor.read_array()?)),
            code::TIMESTAMP => Self::Timestamp(Timestamp(i64::from_be_bytes(cursor.read_array()?))),
            code::UUID => Self::Uuid(Uuid(cursor.read_array()?)),
            code::NULL => Self::Null,
            _ => return Self::read_rare(cursor, constructor, before),
        })
    }

    #[inline(never)]
    fn read_rare(cursor: &mut Cursor<'a>, constructor: u8, before: &'a [u8]) -> Result<Self> {
        Ok(match constructor {
            code::BOOLEAN => match primitive::boolean(cursor, constructor)? {
                Some(value) => Self::Boolean(value),
                None => return Err(cursor.wrong_type(constructor, "value")),
            },
            code::CHAR => match primitive::character(cursor, constructor)? {
                Some(value) => Self::Char(value),
                None => return Err(cursor.wrong_type(constructor, "value")),
            },
            code::UBYTE => Self::Ubyte(cursor.read_u8()?),
            code::USHORT => Self::Ushort(u16::from_be_bytes(cursor.read_array()?)),
            code::BYTE => Self::Byte(cursor.read_u8()?.cast_signed()),
            code::SHORT => Self::Short(i16::from_be_bytes(cursor.read_array()?)),
            code::FLOAT => Self::Float(f32::from_be_bytes(cursor.read_array()?)),
            code::DECIMAL32 => Self::Decimal32(Decimal32(cursor.read_array()?)),
            code::DECIMAL64 => Self::Decimal64(Decimal64(cursor.read_array()?)),
            code::DECIMAL128 => Self::Decimal128(Decimal128(cursor.read_array()?)),
            _ => {
                if constructor == code::DESCRIBED {
                    cursor.skip_value()?;
                    cursor.skip_value()?;
                } else {
                    cursor.skip_body(constructor)?;
                }
                let length = before.len().saturating_sub(cursor.remaining());
                Self::Compound(Encoded(before.get(..length).unwrap_or(before)))
            }
        })
    }

    #[inline(always)]
    fn of_octets(cursor: &Cursor<'a>, constructor: u8, octets: &'a [u8]) -> Result<Self> {
        Ok(match constructor {
            code::BINARY8 | code::BINARY32 => Self::Binary(octets),
            // T-032: well-formed UTF-8 only.
            code::STRING8 | code::STRING32 => {
                if !is_ascii(octets) && str::from_utf8(octets).is_err() {
                    return Err(cursor.error(DecodeErrorKind::InvalidUtf8, "string"));
                }
                Self::String(TextRef::checked(octets))
            }
            // T-034: seven bits only.
            _ if is_ascii(octets) => Self::Symbol(TextRef::checked(octets)),
            _ => return Err(cursor.error(DecodeErrorKind::InvalidAscii, "symbol")),
        })
    }

    /// The text of a string or symbol.
    pub const fn as_text(&self) -> Option<TextRef<'a>> {
        match self {
            Self::String(text) | Self::Symbol(text) => Some(*text),
            _ => None,
        }
    }

    /// The value with octets of its own.
    ///
    /// # Errors
    /// [`DecodeError`] if it is compound and malformed.
    pub fn to_value(&self, limits: &DecodeLimits) -> core::result::Result<Value, DecodeError> {
        Ok(match *self {
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
            Self::Binary(v) => Value::Binary(Bytes::copy_from_slice(v)),
            Self::String(v) => Value::String(v.to_str()),
            Self::Symbol(v) => Value::Symbol(v.to_symbol()),
            Self::Compound(v) => return v.to_value(limits),
        })
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
            Self::Compound(v) => out.write(v.octets()),
        }
    }
}

macro_rules! from_types {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for ValueRef<'_> {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

from_types! {
    bool => Boolean, u8 => Ubyte, u16 => Ushort, u32 => Uint, u64 => Ulong, i8 => Byte, i16 => Short, i32 => Int,
    i64 => Long, f32 => Float, f64 => Double, char => Char, Timestamp => Timestamp, Uuid => Uuid,
}

impl<'a> From<&'a str> for ValueRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(TextRef::checked(text.as_bytes()))
    }
}

impl<'a> From<&'a [u8]> for ValueRef<'a> {
    fn from(octets: &'a [u8]) -> Self {
        Self::Binary(octets)
    }
}
