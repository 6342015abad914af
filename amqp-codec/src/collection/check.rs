//! The one pass over values that stay encoded: everything a decoder refuses is refused here.
//!
//! Owns the rules on the content of collections: types, text, sizes, counts, depth, the budget of values and equal keys.
//! On the way it notes whether the octets are the smallest encoding already.

mod array;

use super::{
    duplicates::{self, KeySet},
    packed::Raw,
    usual,
};
use crate::{
    cursor::{Cursor, Result, Width},
    error::DecodeErrorKind,
    format_code::{self as code, Layout},
    primitive, quick,
    text::is_ascii,
    work,
};

pub(crate) use array::array;

/// Which keys a map may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Those of any map.
    Any,
    /// Strings, as application properties have.
    Strings,
    /// Symbols, as fields have.
    Symbols,
    /// Symbols and ulongs, as annotations have.
    Annotations,
}

/// One value, counted against the budget. Returns whether it is encoded in the smallest form.
pub(crate) fn value(cursor: &mut Cursor<'_>) -> Result<bool> {
    cursor.spend_node("value")?;
    uncounted(cursor)
}

/// One value that is not counted itself.
#[inline]
pub(crate) fn uncounted(cursor: &mut Cursor<'_>) -> Result<bool> {
    work::step();
    if let Some((is_minimal, rest)) = usual::value(cursor.peek_all()) {
        cursor.advance_to(rest);
        return Ok(is_minimal);
    }
    let constructor = cursor.read_u8()?;
    if constructor == code::DESCRIBED {
        described(cursor).map(|raw| raw.is_minimal)
    } else {
        body(cursor, constructor)
    }
}

/// Descriptor and value, after the `0x00`.
pub(crate) fn described<'a>(cursor: &mut Cursor<'a>) -> Result<Raw<'a>> {
    let before = cursor.peek_all();
    cursor.enter("described value")?;
    let is_descriptor_minimal = value(cursor)?;
    let is_value_minimal = value(cursor)?;
    cursor.leave();
    let octets = before.get(..before.len().saturating_sub(cursor.remaining())).unwrap_or_default();
    Ok(Raw { octets, count: 1, is_minimal: is_descriptor_minimal && is_value_minimal })
}

/// The octets after a constructor.
// T-035, T-040: lists and arrays in all of their forms.
fn body(cursor: &mut Cursor<'_>, constructor: u8) -> Result<bool> {
    // The short forms of compounds; a long one is the smallest where the short one has no room.
    let is_long = |raw: Raw<'_>, count: usize| !fits_short(raw.octets, count);
    Ok(match constructor {
        code::BOOLEAN => {
            primitive::boolean(cursor, constructor)?;
            false
        }
        code::CHAR => {
            primitive::character(cursor, constructor)?;
            true
        }
        code::UINT => u8::try_from(u32::from_be_bytes(cursor.read_array()?)).is_err(),
        code::ULONG => u8::try_from(u64::from_be_bytes(cursor.read_array()?)).is_err(),
        code::STRING8 | code::STRING32 | code::SYMBOL8 | code::SYMBOL32 | code::BINARY8 | code::BINARY32 => {
            sized(cursor, constructor)?
        }
        code::LIST8 => {
            let raw = list(cursor, Width::One)?;
            raw.is_minimal && raw.count > 0
        }
        code::LIST32 => {
            let raw = list(cursor, Width::Four)?;
            raw.is_minimal && is_long(raw, raw.len())
        }
        code::MAP8 => map(cursor, Width::One, Keys::Any)?.is_minimal,
        code::MAP32 => {
            let raw = map(cursor, Width::Four, Keys::Any)?;
            raw.is_minimal && is_long(raw, raw.len().saturating_mul(2))
        }
        code::ARRAY8 => array(cursor, Width::One)?.is_minimal,
        code::ARRAY32 => {
            let raw = array(cursor, Width::Four)?;
            raw.is_minimal && is_long(raw, raw.len())
        }
        _ => match code::layout(constructor) {
            Some(Layout::Fixed(width)) => {
                cursor.take(usize::from(width))?;
                true
            }
            _ => return Err(cursor.wrong_type(constructor, "value")),
        },
    })
}

/// A binary, string or symbol behind its constructor.
fn sized(cursor: &mut Cursor<'_>, constructor: u8) -> Result<bool> {
    let is_short = matches!(constructor, code::STRING8 | code::SYMBOL8 | code::BINARY8);
    let length = if is_short { usize::from(cursor.read_u8()?) } else { cursor.read_length32()? };
    let octets = cursor.take(length)?;
    check_text(cursor, constructor, octets)?;
    Ok(is_short || u8::try_from(length).is_err())
}

fn check_text(cursor: &Cursor<'_>, constructor: u8, octets: &[u8]) -> Result<()> {
    match constructor {
        // T-032: well-formed UTF-8 only.
        code::STRING8 | code::STRING32 if !is_ascii(octets) && core::str::from_utf8(octets).is_err() => {
            Err(cursor.error(DecodeErrorKind::InvalidUtf8, "string"))
        }
        // T-034: seven bits only.
        code::SYMBOL8 | code::SYMBOL32 if !is_ascii(octets) => {
            Err(cursor.error(DecodeErrorKind::InvalidAscii, "symbol"))
        }
        _ => Ok(()),
    }
}

/// A list, constructor included.
pub(crate) fn list_value<'a>(cursor: &mut Cursor<'a>) -> Result<Raw<'a>> {
    match cursor.read_u8()? {
        code::LIST0 => Ok(Raw::EMPTY),
        code::LIST8 => list(cursor, Width::One),
        code::LIST32 => list(cursor, Width::Four),
        other => Err(cursor.wrong_type(other, "list")),
    }
}

/// A list behind its constructor.
pub(crate) fn list<'a>(cursor: &mut Cursor<'a>, width: Width) -> Result<Raw<'a>> {
    let scope = cursor.open_counted(width, "list")?;
    let octets = cursor.peek_all();
    let mut is_minimal = true;
    for _ in 0..scope.count {
        is_minimal &= value(cursor)?;
    }
    cursor.close(&scope, "list")?;
    Ok(Raw { octets, count: count(scope.count), is_minimal })
}

/// A map behind its constructor. What is counted in the result is entries.
pub(crate) fn map<'a>(cursor: &mut Cursor<'a>, width: Width, keys: Keys) -> Result<Raw<'a>> {
    let scope = cursor.open_counted(width, "map")?;
    // T-037: keys and values come in pairs.
    if !scope.count.is_multiple_of(2) {
        return Err(cursor.error(DecodeErrorKind::OddMapCount, "map"));
    }
    let octets = cursor.peek_all();
    let entries = scope.count / 2;
    let nodes = entries.saturating_mul(NODES_OF_ENTRY);
    if cursor.can_spend(nodes)
        && let Some(is_minimal) = usual::few_entries(octets, entries, keys)
    {
        cursor.spend_nodes(nodes);
        cursor.finish_early();
        cursor.close(&scope, "map")?;
        return Ok(Raw { octets, count: count(entries), is_minimal });
    }
    let (raw, has_duplicates) = any_entries(cursor, entries, keys)?;
    cursor.close(&scope, "map")?;
    // T-038: equal keys are invalid, however they are encoded.
    if has_duplicates.unwrap_or_else(|| duplicates::are_in(raw)) {
        return Err(cursor.error(DecodeErrorKind::DuplicateKey, "map"));
    }
    Ok(raw)
}

/// The entries of any map, and whether keys are equal if that is known.
#[inline(never)]
fn any_entries<'a>(cursor: &mut Cursor<'a>, entries: usize, keys: Keys) -> Result<(Raw<'a>, Option<bool>)> {
    let octets = cursor.peek_all();
    let (is_minimal, has_duplicates) = match entries {
        0..=32 => read_entries(cursor, entries, keys, &mut KeySet::<64>::new(octets))?,
        33..=256 => read_entries(cursor, entries, keys, &mut KeySet::<512>::new(octets))?,
        _ => read_entries(cursor, entries, keys, &mut KeySet::<0>::new(octets))?,
    };
    Ok((Raw { octets, count: count(entries), is_minimal }, has_duplicates))
}

/// Returns whether all is minimal, and whether keys are equal if that is known.
#[inline]
fn read_entries<const SLOTS: usize>(
    cursor: &mut Cursor<'_>,
    entries: usize,
    keys: Keys,
    set: &mut KeySet<'_, SLOTS>,
) -> Result<(bool, Option<bool>)> {
    let (mut left, mut is_minimal) = (entries, true);
    while left > 0 {
        if cursor.can_spend(left.saturating_mul(NODES_OF_ENTRY)) {
            let run = usual_entries(cursor.peek_all(), left, keys, set);
            cursor.spend_nodes((left - run.left).saturating_mul(NODES_OF_ENTRY));
            cursor.advance_to(run.rest);
            is_minimal &= run.is_minimal;
            left = run.left;
        }
        if left > 0 {
            is_minimal &= entry(cursor, keys)?;
            set.give_up();
            left -= 1;
        }
    }
    Ok((is_minimal, set.has_duplicates()))
}

/// Entries that were read one after the other without anything unusual.
struct Run<'a> {
    rest: &'a [u8],
    left: usize,
    is_minimal: bool,
}

/// As many entries as have short ASCII keys and usual values.
#[inline(always)]
fn usual_entries<'a, const SLOTS: usize>(
    octets: &'a [u8],
    entries: usize,
    keys: Keys,
    set: &mut KeySet<'_, SLOTS>,
) -> Run<'a> {
    let mut run = Run { rest: octets, left: entries, is_minimal: true };
    while run.left > 0 {
        let Some(constructor) = run.rest.first() else { break };
        let is_key = match keys {
            Keys::Any => matches!(*constructor, code::STRING8 | code::SYMBOL8),
            Keys::Strings => *constructor == code::STRING8,
            Keys::Symbols | Keys::Annotations => *constructor == code::SYMBOL8,
        };
        let Some((key, behind)) = quick::short_text(run.rest, *constructor) else { break };
        if !is_key || !is_ascii(key) {
            break;
        }
        let Some((is_minimal, behind)) = usual::value(behind) else { break };
        work::step();
        set.note(run.rest, key);
        run.is_minimal &= is_minimal;
        run.rest = behind;
        run.left -= 1;
    }
    run
}

/// One entry of any kind.
#[inline(never)]
fn entry(cursor: &mut Cursor<'_>, keys: Keys) -> Result<bool> {
    cursor.spend_node("map")?;
    let is_key_minimal = match (keys, cursor.peek()) {
        (Keys::Any, _) => uncounted(cursor)?,
        (Keys::Strings, _) => text(cursor, code::STRING8, code::STRING32, "string")?,
        // M-023: symbol or ulong.
        (Keys::Annotations, Some(constructor @ (code::ULONG | code::SMALL_ULONG | code::ULONG0))) => {
            match usual::value(cursor.peek_all()) {
                Some((is_minimal, rest)) => {
                    cursor.advance_to(rest);
                    is_minimal
                }
                None => {
                    cursor.read_u8()?;
                    body(cursor, constructor)?
                }
            }
        }
        (Keys::Symbols | Keys::Annotations, _) => text(cursor, code::SYMBOL8, code::SYMBOL32, "symbol")?,
    };
    let constructor = cursor.peek();
    let is_value_minimal = value(cursor)?;
    // M-018: application properties are simple values. A described value counts as simple; peers send them.
    if keys == Keys::Strings && constructor.is_some_and(is_compound) {
        return Err(cursor.error(DecodeErrorKind::InvalidChoice, "map value"));
    }
    Ok(is_key_minimal && is_value_minimal)
}

/// A string or a symbol, constructor included.
fn text(cursor: &mut Cursor<'_>, small: u8, large: u8, what: &'static str) -> Result<bool> {
    let is_short = cursor.peek() == Some(small);
    let octets = cursor.read_sized(small, large, what)?;
    check_text(cursor, small, octets)?;
    Ok(is_short || u8::try_from(octets.len()).is_err())
}

const fn is_compound(constructor: u8) -> bool {
    matches!(
        constructor,
        code::LIST0 | code::LIST8 | code::LIST32 | code::MAP8 | code::MAP32 | code::ARRAY8 | code::ARRAY32
    )
}

/// Whether size and count of a compound fit one octet each.
fn fits_short(content: &[u8], count: usize) -> bool {
    content.len() < usize::from(u8::MAX) && count <= usize::from(u8::MAX)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What an entry costs of the budget: key and value, in maps of every kind.
const NODES_OF_ENTRY: usize = 2;
