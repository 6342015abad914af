//! Reading octets that have been checked.
//!
//! Owns the borrowing reader: it repeats no check of content, and where octets are not what they should be it only ends.

use super::{ArrayRef, ListRef, MapRef, packed::Raw};
use crate::{
    described::DescribedRef,
    format_code as code,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    quick,
    text::TextRef,
    value_ref::ValueRef,
    work,
};

/// The value at the start of some octets, and what follows it.
#[inline]
pub(crate) fn value(octets: &[u8], is_minimal: bool) -> Option<(ValueRef<'_>, &[u8])> {
    let (&constructor, rest) = octets.split_first()?;
    if constructor != code::DESCRIBED {
        return body(constructor, rest, is_minimal);
    }
    work::step();
    let behind = skip(skip(rest)?)?;
    let octets = rest.get(..rest.len().checked_sub(behind.len())?)?;
    Some((ValueRef::Described(DescribedRef::new(octets, is_minimal)), behind))
}

/// The value behind a constructor, and what follows it.
#[inline]
pub(crate) fn body(constructor: u8, octets: &[u8], is_minimal: bool) -> Option<(ValueRef<'_>, &[u8])> {
    work::step();
    macro_rules! fixed {
        (|$octets:ident| $value:expr) => {{
            let (chunk, rest) = octets.split_first_chunk()?;
            let $octets = *chunk;
            ($value, rest)
        }};
    }
    Some(match constructor {
        code::STRING8 => sized8(octets, |text| ValueRef::String(TextRef::checked(text)))?,
        code::SYMBOL8 => sized8(octets, |text| ValueRef::Symbol(TextRef::checked(text)))?,
        code::BINARY8 => sized8(octets, ValueRef::Binary)?,
        code::STRING32 => sized32(octets, |text| ValueRef::String(TextRef::checked(text)))?,
        code::SYMBOL32 => sized32(octets, |text| ValueRef::Symbol(TextRef::checked(text)))?,
        code::BINARY32 => sized32(octets, ValueRef::Binary)?,
        code::NULL => (ValueRef::Null, octets),
        code::TRUE => (ValueRef::Boolean(true), octets),
        code::FALSE => (ValueRef::Boolean(false), octets),
        code::BOOLEAN => fixed!(|o| ValueRef::Boolean(o != [0])),
        code::UINT0 => (ValueRef::Uint(0), octets),
        code::SMALL_UINT => fixed!(|o| ValueRef::Uint(u8::from_be_bytes(o).into())),
        code::UINT => fixed!(|o| ValueRef::Uint(u32::from_be_bytes(o))),
        code::ULONG0 => (ValueRef::Ulong(0), octets),
        code::SMALL_ULONG => fixed!(|o| ValueRef::Ulong(u8::from_be_bytes(o).into())),
        code::ULONG => fixed!(|o| ValueRef::Ulong(u64::from_be_bytes(o))),
        code::SMALL_INT => fixed!(|o| ValueRef::Int(i8::from_be_bytes(o).into())),
        code::INT => fixed!(|o| ValueRef::Int(i32::from_be_bytes(o))),
        code::SMALL_LONG => fixed!(|o| ValueRef::Long(i8::from_be_bytes(o).into())),
        code::LONG => fixed!(|o| ValueRef::Long(i64::from_be_bytes(o))),
        code::UBYTE => fixed!(|o| ValueRef::Ubyte(u8::from_be_bytes(o))),
        code::USHORT => fixed!(|o| ValueRef::Ushort(u16::from_be_bytes(o))),
        code::BYTE => fixed!(|o| ValueRef::Byte(i8::from_be_bytes(o))),
        code::SHORT => fixed!(|o| ValueRef::Short(i16::from_be_bytes(o))),
        code::FLOAT => fixed!(|o| ValueRef::Float(f32::from_be_bytes(o))),
        code::DOUBLE => fixed!(|o| ValueRef::Double(f64::from_be_bytes(o))),
        code::DECIMAL32 => fixed!(|o| ValueRef::Decimal32(Decimal32(o))),
        code::DECIMAL64 => fixed!(|o| ValueRef::Decimal64(Decimal64(o))),
        code::DECIMAL128 => fixed!(|o| ValueRef::Decimal128(Decimal128(o))),
        code::CHAR => fixed!(|o| ValueRef::Char(char::from_u32(u32::from_be_bytes(o))?)),
        code::TIMESTAMP => fixed!(|o| ValueRef::Timestamp(Timestamp(i64::from_be_bytes(o)))),
        code::UUID => fixed!(|o| ValueRef::Uuid(Uuid(o))),
        _ => return compound(constructor, octets, is_minimal),
    })
}

#[inline(never)]
fn compound(constructor: u8, octets: &[u8], is_minimal: bool) -> Option<(ValueRef<'_>, &[u8])> {
    if constructor == code::LIST0 {
        return Some((ValueRef::List(ListRef::new(Raw::EMPTY)), octets));
    }
    let (count, octets, rest) = match constructor {
        code::LIST8 | code::MAP8 | code::ARRAY8 => {
            let (&size, rest) = octets.split_first()?;
            let (content, rest) = rest.split_at_checked(usize::from(size))?;
            let (&count, content) = content.split_first()?;
            (u32::from(count), content, rest)
        }
        code::LIST32 | code::MAP32 | code::ARRAY32 => {
            let (size, rest) = octets.split_first_chunk()?;
            let (content, rest) = rest.split_at_checked(length(*size)?)?;
            let (count, content) = content.split_first_chunk()?;
            (u32::from_be_bytes(*count), content, rest)
        }
        _ => return None,
    };
    let raw = |count| Raw { octets, count, is_minimal };
    let value = match constructor {
        code::LIST8 | code::LIST32 => ValueRef::List(ListRef::new(raw(count))),
        code::MAP8 | code::MAP32 => ValueRef::Map(MapRef::new(raw(count / 2))),
        _ => ValueRef::Array(ArrayRef::new(raw(count))),
    };
    Some((value, rest))
}

/// What follows one value.
#[inline]
pub(crate) fn skip(octets: &[u8]) -> Option<&[u8]> {
    work::step();
    quick::skip(octets).or_else(|| skip_described(octets))
}

#[inline(never)]
fn skip_described(mut rest: &[u8]) -> Option<&[u8]> {
    // A described value is a descriptor and a value, so `0x00` adds one to what is still to be skipped.
    let mut pending = 1_usize;
    while pending > 0 {
        match rest.split_first()? {
            (&code::DESCRIBED, behind) => {
                pending = pending.saturating_add(1);
                rest = behind;
            }
            _ => {
                rest = quick::skip(rest)?;
                pending -= 1;
            }
        }
    }
    Some(rest)
}

/// The value of a text key, in a map whose keys are at most once there.
#[inline]
pub(crate) fn find_text<'a>(octets: &'a [u8], small: u8, large: u8, key: &[u8]) -> Option<&'a [u8]> {
    let mut rest = octets;
    loop {
        let (own, value) = text(rest, small, large)?;
        if own == Some(key) {
            return Some(value);
        }
        rest = skip(value)?;
    }
}

/// The text at the start of some octets, or nothing if another value is there; and what follows it.
#[inline(always)]
fn text(octets: &[u8], small: u8, large: u8) -> Option<(Option<&[u8]>, &[u8])> {
    if let Some((text, rest)) = quick::short_text(octets, small) {
        return Some((Some(text), rest));
    }
    match octets.split_first()? {
        (own, rest) if *own == large => sized32(rest, Some),
        _ => Some((None, skip(octets)?)),
    }
}

#[inline(always)]
fn sized8<'a, T>(octets: &'a [u8], value: impl FnOnce(&'a [u8]) -> T) -> Option<(T, &'a [u8])> {
    let (&length, rest) = octets.split_first()?;
    let (octets, rest) = rest.split_at_checked(usize::from(length))?;
    Some((value(octets), rest))
}

#[inline]
fn sized32<'a, T>(octets: &'a [u8], value: impl FnOnce(&'a [u8]) -> T) -> Option<(T, &'a [u8])> {
    let (size, rest) = octets.split_first_chunk()?;
    let (octets, rest) = rest.split_at_checked(length(*size)?)?;
    Some((value(octets), rest))
}

fn length(octets: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(octets)).ok()
}
