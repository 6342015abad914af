//! The octets of every primitive: all legal forms are read, the smallest is written.
//!
//! Owns fixed-width and sized primitives, constructor included. Collections are in `collection`.

use bytes::Bytes;

use crate::{
    cursor::{Cursor, Decode, Result},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    sink::{Encode, Sink, saturate},
};

/// Writes a sized value: one octet of length where that is enough.
#[inline(always)]
pub(crate) fn encode_sized(out: &mut impl Sink, small: u8, large: u8, octets: &[u8]) {
    encode_sized_head(out, small, large, octets.len());
    out.write(octets);
}

/// The constructor and length before octets that are written elsewhere.
#[inline]
pub(crate) fn encode_sized_head(out: &mut impl Sink, small: u8, large: u8, length: usize) {
    if let Ok(length) = u8::try_from(length) {
        out.write(&[small, length]);
    } else {
        let [a, b, c, d] = saturate(length).to_be_bytes();
        out.write(&[large, a, b, c, d]);
    }
}

macro_rules! decode_by_body {
    ($type:ty, $what:literal, $body:ident) => {
        impl Decode for $type {
            #[inline(always)]
            fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
                let constructor = cursor.read_u8()?;
                $body(cursor, constructor)?.ok_or_else(|| cursor.wrong_type(constructor, $what))
            }
        }
    };
}

// Each function reads the octets after a constructor, or says that the constructor is not of its type.

#[inline(always)]
pub(crate) fn boolean(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Option<bool>> {
    Ok(Some(match constructor {
        code::TRUE => true,
        code::FALSE => false,
        // T-021: the octet is 0 or 1.
        code::BOOLEAN => match cursor.read_u8()? {
            0 => false,
            1 => true,
            _ => return Err(cursor.error_before(DecodeErrorKind::InvalidBoolean, "boolean")),
        },
        _ => return Ok(None),
    }))
}

#[inline(always)]
// T-022, T-024: every form is read; the short ones are unsigned octets. T-025: no other type is.
pub(crate) fn uint(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Option<u32>> {
    Ok(Some(match constructor {
        code::UINT0 => 0,
        code::SMALL_UINT => cursor.read_u8()?.into(),
        code::UINT => u32::from_be_bytes(cursor.read_array()?),
        _ => return Ok(None),
    }))
}

#[inline]
pub(crate) fn ulong(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Option<u64>> {
    Ok(Some(match constructor {
        code::ULONG0 => 0,
        code::SMALL_ULONG => cursor.read_u8()?.into(),
        code::ULONG => u64::from_be_bytes(cursor.read_array()?),
        _ => return Ok(None),
    }))
}

// T-023: the short forms of int and long are signed octets.
#[inline]
pub(crate) fn int(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Option<i32>> {
    Ok(Some(match constructor {
        code::SMALL_INT => cursor.read_u8()?.cast_signed().into(),
        code::INT => i32::from_be_bytes(cursor.read_array()?),
        _ => return Ok(None),
    }))
}

#[inline]
pub(crate) fn long(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Option<i64>> {
    Ok(Some(match constructor {
        code::SMALL_LONG => cursor.read_u8()?.cast_signed().into(),
        code::LONG => i64::from_be_bytes(cursor.read_array()?),
        _ => return Ok(None),
    }))
}

// T-028: Unicode scalar values only.
#[inline]
pub(crate) fn character(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Option<char>> {
    if constructor != code::CHAR {
        return Ok(None);
    }
    let number = u32::from_be_bytes(cursor.read_array()?);
    char::from_u32(number).map(Some).ok_or_else(|| cursor.error(DecodeErrorKind::InvalidChar, "char"))
}

decode_by_body!(bool, "boolean", boolean);
decode_by_body!(u32, "uint", uint);
decode_by_body!(u64, "ulong", ulong);
decode_by_body!(i32, "int", int);
decode_by_body!(i64, "long", long);
decode_by_body!(char, "char", character);

macro_rules! fixed {
    ($($type:ty, $code:ident, $what:literal, |$octets:ident| $from:expr, |$value:ident| $to:expr;)*) => {$(
        impl Decode for $type {
            #[inline]
            fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
                let constructor = cursor.read_u8()?;
                if constructor != code::$code {
                    return Err(cursor.wrong_type(constructor, $what));
                }
                let $octets = cursor.read_array()?;
                Ok($from)
            }
        }

        impl Encode for $type {
            #[inline]
            fn encode(&self, out: &mut impl Sink) {
                let $value = *self;
                out.tagged(code::$code, $to);
            }
        }
    )*};
}

// T-026, T-027: floats and decimals keep their bits. T-029, T-030: milliseconds; sixteen octets as they are.
fixed! {
    u8, UBYTE, "ubyte", |o| Self::from_be_bytes(o), |v| v.to_be_bytes();
    u16, USHORT, "ushort", |o| Self::from_be_bytes(o), |v| v.to_be_bytes();
    i8, BYTE, "byte", |o| Self::from_be_bytes(o), |v| v.to_be_bytes();
    i16, SHORT, "short", |o| Self::from_be_bytes(o), |v| v.to_be_bytes();
    f32, FLOAT, "float", |o| Self::from_be_bytes(o), |v| v.to_be_bytes();
    f64, DOUBLE, "double", |o| Self::from_be_bytes(o), |v| v.to_be_bytes();
    Decimal32, DECIMAL32, "decimal32", |o| Self(o), |v| v.0;
    Decimal64, DECIMAL64, "decimal64", |o| Self(o), |v| v.0;
    Decimal128, DECIMAL128, "decimal128", |o| Self(o), |v| v.0;
    Timestamp, TIMESTAMP, "timestamp", |o| Self(i64::from_be_bytes(o)), |v| v.0.to_be_bytes();
    Uuid, UUID, "uuid", |o| Self(o), |v| v.0;
}

impl Encode for bool {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        out.byte(if *self { code::TRUE } else { code::FALSE });
    }
}

impl Encode for u32 {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        match u8::try_from(*self) {
            Ok(0) => out.byte(code::UINT0),
            Ok(small) => out.write(&[code::SMALL_UINT, small]),
            Err(_) => out.tagged(code::UINT, self.to_be_bytes()),
        }
    }
}

impl Encode for u64 {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        match u8::try_from(*self) {
            Ok(0) => out.byte(code::ULONG0),
            Ok(small) => out.write(&[code::SMALL_ULONG, small]),
            Err(_) => out.tagged(code::ULONG, self.to_be_bytes()),
        }
    }
}

impl Encode for i32 {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        if let Ok(small) = i8::try_from(*self) {
            out.write(&[code::SMALL_INT, small.cast_unsigned()]);
        } else {
            out.tagged(code::INT, self.to_be_bytes());
        }
    }
}

impl Encode for i64 {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        if let Ok(small) = i8::try_from(*self) {
            out.write(&[code::SMALL_LONG, small.cast_unsigned()]);
        } else {
            out.tagged(code::LONG, self.to_be_bytes());
        }
    }
}

impl Encode for char {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        out.tagged(code::CHAR, u32::from(*self).to_be_bytes());
    }
}

// T-031: in either form, and empty is not null.
impl Decode for Bytes {
    #[inline(always)]
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        let octets = cursor.read_sized(code::BINARY8, code::BINARY32, "binary")?;
        Ok(cursor.share(octets))
    }
}

impl Encode for Bytes {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        encode_sized(out, code::BINARY8, code::BINARY32, self);
    }
}
