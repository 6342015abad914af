//! Values, performatives and frames as one readable line.
//!
//! Owns the text of traces. It never shows SASL responses, challenges or access tokens.

use core::fmt;

use bytes::Bytes;

use crate::{
    composite::COMPOSITES,
    definitions::{RESTRICTED, RestrictedSpec},
    described::DescribedRef,
    frame::{FrameHeader, FrameType},
    limits::DecodeLimits,
    sasl::{SaslChallenge, SaslInit, SaslResponse},
    sink::Encode,
    value::Value,
    value_ref::ValueRef,
};

/// One line for a value.
#[derive(Clone, Copy, Debug)]
pub struct ValueLine<'a>(pub &'a Value);

/// One line for a performative, a delivery state or anything else that can be encoded: `@transfer(20) [handle=0, …]`.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a, T>(pub &'a T);

/// One line for the octets of a whole frame, with the size of its payload.
#[derive(Clone, Copy, Debug)]
pub struct FrameLine<'a>(pub &'a Bytes);

impl fmt::Display for ValueLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(f, self.0.view())
    }
}

impl<T: Encode> fmt::Display for Line<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Value::of(self.0) {
            Ok(value) => write_value(f, value.view()),
            Err(error) => write!(f, "<{error}>"),
        }
    }
}

impl fmt::Display for FrameLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = match FrameHeader::parse(self.0) {
            Ok(Some(header)) => header,
            Ok(None) => return f.write_str("<incomplete frame>"),
            Err(error) => return write!(f, "<{error}>"),
        };
        match header.frame_type {
            FrameType::Amqp => write!(f, "{}: ", header.channel)?,
            FrameType::Sasl => f.write_str("sasl: ")?,
        }
        let body = self.0.get(header.body_offset()..).map(|body| self.0.slice_ref(body)).unwrap_or_default();
        if body.is_empty() {
            return f.write_str("(empty)");
        }
        let limits = DecodeLimits::performative();
        let mut cursor = crate::Cursor::new(&body, &limits);
        match <Value as crate::Decode>::decode(&mut cursor) {
            Ok(value) => write_value(f, value.view())?,
            Err(error) => write!(f, "<{error}>")?,
        }
        match cursor.remaining() {
            0 => Ok(()),
            payload => write!(f, " ({payload} octets)"),
        }
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, value: ValueRef<'_>) -> fmt::Result {
    match value {
        ValueRef::Null => f.write_str("null"),
        ValueRef::Boolean(v) => write!(f, "{v}"),
        ValueRef::Ubyte(v) => write!(f, "{v}"),
        ValueRef::Ushort(v) => write!(f, "{v}"),
        ValueRef::Uint(v) => write!(f, "{v}"),
        ValueRef::Ulong(v) => write!(f, "{v}"),
        ValueRef::Byte(v) => write!(f, "{v}"),
        ValueRef::Short(v) => write!(f, "{v}"),
        ValueRef::Int(v) => write!(f, "{v}"),
        ValueRef::Long(v) => write!(f, "{v}"),
        ValueRef::Float(v) => write!(f, "{v:?}"),
        ValueRef::Double(v) => write!(f, "{v:?}"),
        ValueRef::Decimal32(v) => write_octets(f, &v.0),
        ValueRef::Decimal64(v) => write_octets(f, &v.0),
        ValueRef::Decimal128(v) => write_octets(f, &v.0),
        ValueRef::Char(v) => write!(f, "{v:?}"),
        ValueRef::Timestamp(v) => write!(f, "@{}ms", v.0),
        ValueRef::Uuid(v) => write!(f, "{v}"),
        ValueRef::Binary(v) => write_octets(f, v),
        ValueRef::String(v) => write_text(f, v.as_str()),
        ValueRef::Symbol(v) => write!(f, ":{}", v.as_str().escape_debug()),
        ValueRef::List(list) => write_sequence(f, list.iter()),
        ValueRef::Array(array) => {
            f.write_str("@")?;
            write_sequence(f, array.iter().take(MAX_ITEMS + 1))
        }
        ValueRef::Map(map) => {
            f.write_str("{")?;
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    f.write_str(", ")?;
                }
                if index == MAX_ITEMS {
                    f.write_str("…")?;
                    break;
                }
                write_value(f, key)?;
                f.write_str("=")?;
                write_value(f, value)?;
            }
            f.write_str("}")
        }
        ValueRef::Described(described) => write_described(f, described),
    }
}

fn write_described(f: &mut fmt::Formatter<'_>, described: DescribedRef<'_>) -> fmt::Result {
    let code = described.code();
    let composite = COMPOSITES.iter().find(|spec| Some(spec.code) == code);
    let (Some(spec), ValueRef::List(fields)) = (composite, described.value()) else {
        let is_section = |spec: &&RestrictedSpec| spec.descriptor.map(|(code, _)| code) == code;
        match RESTRICTED.iter().filter(|spec| spec.descriptor.is_some()).find(is_section) {
            Some(spec) => write!(f, "@{}({}) ", spec.name, code.unwrap_or_default())?,
            None => {
                f.write_str("@")?;
                write_value(f, described.descriptor())?;
                f.write_str(" ")?;
            }
        }
        return write_value(f, described.value());
    };
    write!(f, "@{}({}) [", spec.name, spec.code)?;
    let mut is_first = true;
    for (index, value) in fields.iter().enumerate() {
        if value.is_null() {
            continue;
        }
        if !is_first {
            f.write_str(", ")?;
        }
        is_first = false;
        write!(f, "{}=", spec.fields.get(index).map_or("?", |field| field.name))?;
        if is_secret(spec.code, index) { f.write_str("<redacted>")? } else { write_value(f, value)? }
    }
    f.write_str("]")
}

/// Whether a field may hold credentials.
const fn is_secret(code: u64, index: usize) -> bool {
    matches!((code, index), (SaslInit::CODE, 1) | (SaslChallenge::CODE, 0) | (SaslResponse::CODE, 0))
}

fn write_sequence<'a>(f: &mut fmt::Formatter<'_>, values: impl Iterator<Item = ValueRef<'a>>) -> fmt::Result {
    f.write_str("[")?;
    for (index, value) in values.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if index == MAX_ITEMS {
            f.write_str("…")?;
            break;
        }
        write_value(f, value)?;
    }
    f.write_str("]")
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    // Tokens travel as strings in several places; none of them belongs into a trace.
    let token = TOKEN_WORDS.iter().filter_map(|word| text.find(word).map(|at| at.saturating_add(word.len())));
    match token.min().and_then(|end| text.get(..end)) {
        Some(before) => write!(f, "\"{}<redacted>\"", before.escape_debug()),
        None => write!(f, "{text:?}"),
    }
}

fn write_octets(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    octets.iter().take(MAX_OCTETS).try_for_each(|octet| write!(f, "{octet:02x}"))?;
    if octets.len() > MAX_OCTETS { write!(f, "…({} octets)", octets.len()) } else { Ok(()) }
}

/// How shared access signatures, bearer tokens and signed web tokens start.
const TOKEN_WORDS: [&str; 3] = ["SharedAccessSignature ", "Bearer ", "eyJ"];
/// Most elements of a list and entries of a map that a line shows.
const MAX_ITEMS: usize = 64;
/// Most octets of a binary that a line shows.
const MAX_OCTETS: usize = 64;

#[cfg(test)]
mod tests;
