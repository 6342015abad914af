//! Values, performatives and frames as one readable line.
//!
//! Owns the text of traces. It never shows what SASL mechanisms say to each other, nor access tokens, keys and passwords
//! that can be told by the words before them.

use core::fmt;

use bytes::Bytes;

use crate::{
    composite::{COMPOSITES, CompositeSpec},
    definitions::{RESTRICTED, RestrictedSpec},
    described::DescribedRef,
    frame::{FrameHeader, FrameType},
    limits::DecodeLimits,
    sasl::{SaslMechanisms, SaslOutcome},
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
        write_line(f, self.0)
    }
}

impl<T: Encode> fmt::Display for Line<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Value::of(self.0) {
            Ok(value) => write_line(f, &value),
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
        // L-036: an attach tells many deliveries. What is shown of them is bounded by what a line shows.
        let limits = DecodeLimits::performative();
        let limits = DecodeLimits { max_nodes: limits.max_unsettled_nodes, ..limits };
        let mut cursor = crate::Cursor::new(&body, &limits);
        match <Value as crate::Decode>::decode(&mut cursor) {
            // A SASL frame holds composites; what else is in one may be anything.
            Ok(value) if header.frame_type == FrameType::Sasl && !is_sasl(value.view()) => {
                f.write_str(REDACTED)?;
            }
            Ok(value) => write_line(f, &value)?,
            Err(error) => write!(f, "<{error}>")?,
        }
        match cursor.remaining() {
            0 => Ok(()),
            payload => write!(f, " ({payload} octets)"),
        }
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    let mut left = MAX_VALUES;
    write_value(f, value.view(), &mut left)
}

fn write_value(f: &mut fmt::Formatter<'_>, value: ValueRef<'_>, left: &mut usize) -> fmt::Result {
    let Some(rest) = left.checked_sub(1) else { return f.write_str("…") };
    *left = rest;
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
        ValueRef::Binary(v) => match token_words_end(v) {
            Some(_) => f.write_str(REDACTED),
            None => write_octets(f, v),
        },
        ValueRef::String(v) => write_string(f, v.as_str()),
        ValueRef::Symbol(v) => write_symbol(f, v.as_str()),
        ValueRef::List(list) => write_sequence(f, list.iter(), left),
        ValueRef::Array(array) => {
            f.write_str("@")?;
            write_sequence(f, array.iter().take(MAX_ITEMS + 1), left)
        }
        ValueRef::Map(map) => {
            f.write_str("{")?;
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    f.write_str(", ")?;
                }
                if index == MAX_ITEMS || *left == 0 {
                    f.write_str("…")?;
                    break;
                }
                write_value(f, key, left)?;
                f.write_str("=")?;
                write_value(f, value, left)?;
            }
            f.write_str("}")
        }
        ValueRef::Described(described) => write_described(f, described, left),
    }
}

fn write_described(f: &mut fmt::Formatter<'_>, described: DescribedRef<'_>, left: &mut usize) -> fmt::Result {
    let code = described.code();
    let composite = COMPOSITES.iter().find(|spec| Some(spec.code) == code);
    let (Some(spec), ValueRef::List(fields)) = (composite, described.value()) else {
        if let Some(spec) = composite.filter(|spec| is_of_sasl(spec)) {
            return write!(f, "@{}({}) {REDACTED}", spec.name, spec.code);
        }
        let is_section = |spec: &&RestrictedSpec| spec.descriptor.map(|(code, _)| code) == code;
        match RESTRICTED.iter().filter(|spec| spec.descriptor.is_some()).find(is_section) {
            Some(spec) => write!(f, "@{}({}) ", spec.name, code.unwrap_or_default())?,
            None => {
                f.write_str("@")?;
                write_value(f, described.descriptor(), left)?;
                f.write_str(" ")?;
            }
        }
        return write_value(f, described.value(), left);
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
        if *left == 0 {
            f.write_str("…")?;
            break;
        }
        write!(f, "{}=", spec.fields.get(index).map_or("?", |field| field.name))?;
        if is_secret(spec, index, value) { f.write_str(REDACTED)? } else { write_value(f, value, left)? }
    }
    f.write_str("]")
}

/// Whether a field may hold credentials, or proofs of them: what SASL mechanisms say to each other is theirs alone, in
/// whatever field and type a peer says it.
fn is_secret(spec: &CompositeSpec, index: usize, value: ValueRef<'_>) -> bool {
    let is_word = |value: &ValueRef<'_>| {
        matches!(value, ValueRef::Symbol(_) | ValueRef::String(_) | ValueRef::Ubyte(_))
    };
    let is_plain = match value {
        ValueRef::Array(array) => array.iter().all(|item| is_word(&item)),
        value => is_word(&value),
    };
    let is_open = spec.fields.get(index).is_some_and(|field| field.type_name != "binary");
    is_of_sasl(spec) && !(is_open && is_plain)
}

const fn is_of_sasl(spec: &CompositeSpec) -> bool {
    spec.code >= SaslMechanisms::CODE && spec.code <= SaslOutcome::CODE
}

fn is_sasl(value: ValueRef<'_>) -> bool {
    let ValueRef::Described(described) = value else { return false };
    let code = described.code();
    COMPOSITES.iter().any(|spec| Some(spec.code) == code && is_of_sasl(spec))
}

fn write_sequence<'a>(
    f: &mut fmt::Formatter<'_>,
    values: impl Iterator<Item = ValueRef<'a>>,
    left: &mut usize,
) -> fmt::Result {
    f.write_str("[")?;
    for (index, value) in values.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if index == MAX_ITEMS || *left == 0 {
            f.write_str("…")?;
            break;
        }
        write_value(f, value, left)?;
    }
    f.write_str("]")
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    match before_token(text) {
        Some(before) => write!(f, "\"{}{REDACTED}\"", before.escape_debug()),
        None => write!(f, "{text:?}"),
    }
}

fn write_symbol(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    match before_token(text) {
        Some(before) => write!(f, ":{}{REDACTED}", before.escape_debug()),
        None => write!(f, ":{}", text.escape_debug()),
    }
}

/// What may be shown of a text that holds a token.
fn before_token(text: &str) -> Option<&str> {
    text.get(..token_words_end(text.as_bytes())?)
}

/// Where the first word before a token ends. Tokens travel in several places and types; none of them belongs into a trace.
fn token_words_end(octets: &[u8]) -> Option<usize> {
    let end = |word: &[u8], at: usize| at.saturating_add(word.len());
    let find = |word: &&[u8]| {
        let at = octets.windows(word.len()).position(|octets| octets.eq_ignore_ascii_case(word));
        at.map(|at| end(word, at))
    };
    let web_token = octets.windows(WEB_TOKEN.len()).position(|octets| octets == WEB_TOKEN);
    let web_token = web_token.map(|at| end(WEB_TOKEN, at));
    TOKEN_WORDS.iter().filter_map(find).chain(web_token).min()
}

fn write_octets(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    f.write_str("0x")?;
    octets.iter().take(MAX_OCTETS).try_for_each(|octet| write!(f, "{octet:02x}"))?;
    if octets.len() > MAX_OCTETS { write!(f, "…({} octets)", octets.len()) } else { Ok(()) }
}

/// What is shown instead of a secret.
const REDACTED: &str = "<redacted>";
/// What comes before signatures, bearer tokens, keys and passwords, in any case.
const TOKEN_WORDS: [&[u8]; 6] =
    [b"SharedAccessSignature ", b"SharedAccessKey=", b"sig=", b"signature=", b"Bearer ", b"password="];
/// How signed web tokens start: the base64 of a JSON object.
const WEB_TOKEN: &[u8] = b"eyJ";
/// Most elements of a list and entries of a map that a line shows.
const MAX_ITEMS: usize = 64;
/// Most values, nested ones included, that a line shows.
const MAX_VALUES: usize = 1_024;
/// Most octets of a binary that a line shows.
const MAX_OCTETS: usize = 64;

#[cfg(test)]
mod tests;
