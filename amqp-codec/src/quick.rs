//! Reading the usual forms of values, and nothing else.
//!
//! Owns no rule: each function either reads what its slow counterpart would read, or returns `None`, and then the slow one
//! decides, with its errors, limits and rare forms. Positions stay in registers here, which makes this several times
//! faster than a cursor in memory.

use crate::{
    format_code::{self as code, LAYOUTS, Layout},
    number::{Timestamp, Uuid},
    text::{TextRef, is_ascii},
    value::Value,
    value_ref::ValueRef,
};

/// What follows one value that is not described.
#[inline(always)]
pub(crate) fn skip(octets: &[u8]) -> Option<&[u8]> {
    let (constructor, rest) = octets.split_first()?;
    match LAYOUTS.get(usize::from(*constructor)).copied().flatten()? {
        Layout::Fixed(width) => rest.get(usize::from(width)..),
        Layout::Sized8 => {
            let (length, rest) = rest.split_first()?;
            rest.get(usize::from(*length)..)
        }
        Layout::Sized32 => {
            let (length, rest) = rest.split_first_chunk()?;
            rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..)
        }
    }
}

/// Element count and elements of a short or long compound with one of two constructors.
#[inline(always)]
pub(crate) fn compound(octets: &[u8], small: u8, large: u8) -> Option<(usize, &[u8])> {
    let (constructor, rest) = octets.split_first()?;
    let (count, body) = if *constructor == small {
        let (size, rest) = rest.split_first()?;
        let (count, body) = rest.get(..usize::from(*size))?.split_first()?;
        (usize::from(*count), body)
    } else if *constructor == large {
        let (size, rest) = rest.split_first_chunk()?;
        let body = rest.get(..usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
        let (count, body) = body.split_first_chunk()?;
        (usize::try_from(u32::from_be_bytes(*count)).ok()?, body)
    } else {
        return None;
    };
    (count <= body.len()).then_some((count, body))
}

/// The octets of a text of up to 255 octets, and what follows them.
#[inline(always)]
pub(crate) fn short_text(octets: &[u8], constructor: u8) -> Option<(&[u8], &[u8])> {
    let [head, length, rest @ ..] = octets else { return None };
    if *head != constructor {
        return None;
    }
    rest.split_at_checked(usize::from(*length))
}

/// A value of one of the widths that usually stand in maps, and what follows it.
#[inline(always)]
pub(crate) fn fixed(octets: &[u8]) -> Option<(Value, &[u8])> {
    let (constructor, rest) = octets.split_first()?;
    Some(match *constructor {
        code::TRUE => (Value::Boolean(true), rest),
        code::FALSE => (Value::Boolean(false), rest),
        code::SMALL_UINT => {
            let (octet, rest) = rest.split_first()?;
            (Value::Uint(u32::from(*octet)), rest)
        }
        code::SMALL_ULONG => {
            let (octet, rest) = rest.split_first()?;
            (Value::Ulong(u64::from(*octet)), rest)
        }
        code::SMALL_INT => {
            let (octet, rest) = rest.split_first()?;
            (Value::Int(i32::from(octet.cast_signed())), rest)
        }
        code::INT => {
            let (octets, rest) = rest.split_first_chunk()?;
            (Value::Int(i32::from_be_bytes(*octets)), rest)
        }
        code::LONG => {
            let (octets, rest) = rest.split_first_chunk()?;
            (Value::Long(i64::from_be_bytes(*octets)), rest)
        }
        code::DOUBLE => {
            let (octets, rest) = rest.split_first_chunk()?;
            (Value::Double(f64::from_be_bytes(*octets)), rest)
        }
        code::TIMESTAMP => {
            let (octets, rest) = rest.split_first_chunk()?;
            (Value::Timestamp(Timestamp(i64::from_be_bytes(*octets))), rest)
        }
        code::UUID => {
            let (octets, rest) = rest.split_first_chunk()?;
            (Value::Uuid(Uuid(*octets)), rest)
        }
        _ => return None,
    })
}

/// A value of one of the types that usually stand in maps, and what follows it. Text is ASCII.
#[inline(always)]
pub(crate) fn value(octets: &[u8]) -> Option<(ValueRef<'_>, &[u8])> {
    let (constructor, rest) = octets.split_first()?;
    Some(match *constructor {
        code::STRING8 => {
            let (text, rest) = sized(rest)?;
            (ValueRef::String(ascii(text)?), rest)
        }
        code::SYMBOL8 => {
            let (text, rest) = sized(rest)?;
            (ValueRef::Symbol(ascii(text)?), rest)
        }
        code::BINARY8 => {
            let (octets, rest) = sized(rest)?;
            (ValueRef::Binary(octets), rest)
        }
        code::NULL => (ValueRef::Null, rest),
        code::TRUE => (ValueRef::Boolean(true), rest),
        code::FALSE => (ValueRef::Boolean(false), rest),
        code::UINT0 => (ValueRef::Uint(0), rest),
        code::ULONG0 => (ValueRef::Ulong(0), rest),
        code::SMALL_UINT => {
            let (octet, rest) = rest.split_first()?;
            (ValueRef::Uint(u32::from(*octet)), rest)
        }
        code::SMALL_ULONG => {
            let (octet, rest) = rest.split_first()?;
            (ValueRef::Ulong(u64::from(*octet)), rest)
        }
        code::SMALL_INT => {
            let (octet, rest) = rest.split_first()?;
            (ValueRef::Int(i32::from(octet.cast_signed())), rest)
        }
        code::SMALL_LONG => {
            let (octet, rest) = rest.split_first()?;
            (ValueRef::Long(i64::from(octet.cast_signed())), rest)
        }
        code::UINT => {
            let (octets, rest) = rest.split_first_chunk()?;
            (ValueRef::Uint(u32::from_be_bytes(*octets)), rest)
        }
        code::INT => {
            let (octets, rest) = rest.split_first_chunk()?;
            (ValueRef::Int(i32::from_be_bytes(*octets)), rest)
        }
        code::ULONG => {
            let (octets, rest) = rest.split_first_chunk()?;
            (ValueRef::Ulong(u64::from_be_bytes(*octets)), rest)
        }
        code::LONG => {
            let (octets, rest) = rest.split_first_chunk()?;
            (ValueRef::Long(i64::from_be_bytes(*octets)), rest)
        }
        code::DOUBLE => {
            let (octets, rest) = rest.split_first_chunk()?;
            (ValueRef::Double(f64::from_be_bytes(*octets)), rest)
        }
        code::TIMESTAMP => {
            let (octets, rest) = rest.split_first_chunk()?;
            (ValueRef::Timestamp(Timestamp(i64::from_be_bytes(*octets))), rest)
        }
        code::UUID => {
            let (octets, rest) = rest.split_first_chunk()?;
            (ValueRef::Uuid(Uuid(*octets)), rest)
        }
        _ => return None,
    })
}

#[inline(always)]
fn sized(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[inline(always)]
fn ascii(octets: &[u8]) -> Option<TextRef<'_>> {
    is_ascii(octets).then(|| TextRef::checked(octets))
}
