//! Checking the usual forms of what stays encoded, and nothing else.
//!
//! Owns no rule: each function either finds what its counterpart in `check` would find, or returns `None`, and then that one
//! decides, with its errors and rare forms.

use super::check::Keys;
use crate::{format_code as code, text::is_ascii, work};

/// What follows a value of one of the usual types, text being ASCII, and whether the value is in its smallest form.
#[inline(always)]
pub(super) fn value(octets: &[u8]) -> Option<(bool, &[u8])> {
    let (constructor, rest) = octets.split_first()?;
    Some(match *constructor {
        code::STRING8 | code::SYMBOL8 => {
            let (length, rest) = rest.split_first()?;
            let (text, rest) = rest.split_at_checked(usize::from(*length))?;
            if !is_ascii(text) {
                return None;
            }
            (true, rest)
        }
        code::BINARY8 => {
            let (length, rest) = rest.split_first()?;
            (true, rest.get(usize::from(*length)..)?)
        }
        code::NULL | code::TRUE | code::FALSE | code::UINT0 | code::ULONG0 => (true, rest),
        code::SMALL_UINT | code::SMALL_ULONG => {
            let (octet, rest) = rest.split_first()?;
            (*octet != 0, rest)
        }
        code::SMALL_INT | code::SMALL_LONG => (true, rest.get(1..)?),
        code::INT => {
            let (octets, rest) = rest.split_first_chunk()?;
            (i8::try_from(i32::from_be_bytes(*octets)).is_err(), rest)
        }
        code::LONG => {
            let (octets, rest) = rest.split_first_chunk()?;
            (i8::try_from(i64::from_be_bytes(*octets)).is_err(), rest)
        }
        code::DOUBLE | code::TIMESTAMP => (true, rest.get(8..)?),
        code::UUID => (true, rest.get(16..)?),
        _ => return None,
    })
}

/// Whether all is in its smallest form in a map of a few entries with short ASCII keys, no two of them equal.
#[inline]
pub(super) fn few_entries(octets: &[u8], entries: usize, keys: Keys) -> Option<bool> {
    if entries > FEW {
        return None;
    }
    let (one, other) = match keys {
        Keys::Any => (code::STRING8, code::SYMBOL8),
        Keys::Strings => (code::STRING8, code::STRING8),
        Keys::Symbols | Keys::Annotations => (code::SYMBOL8, code::SYMBOL8),
    };
    let mut seen = [0_u32; FEW];
    let (mut rest, mut is_minimal) = (octets, true);
    for place in 0..entries {
        let [constructor, length, behind @ ..] = rest else { return None };
        if *constructor != one && *constructor != other {
            return None;
        }
        let (key, behind) = behind.split_at_checked(usize::from(*length))?;
        let mark = mark(*constructor, key)?;
        // Nothing but the mark is compared: keys that share one, equal or not, are left to whom it may concern.
        if seen.get(..place)?.contains(&mark) {
            return None;
        }
        *seen.get_mut(place)? = mark;
        let (is_value_minimal, behind) = value(behind)?;
        work::step();
        is_minimal &= is_value_minimal;
        rest = behind;
    }
    rest.is_empty().then_some(is_minimal)
}

/// Equal for equal keys and mostly different for others; `None` for text that is not ASCII.
#[inline(always)]
fn mark(constructor: u8, text: &[u8]) -> Option<u32> {
    let (all, mixed) = if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        if text.len() > 16 && !is_ascii(text) {
            return None;
        }
        let (first, last) = (u64::from_ne_bytes(*first), u64::from_ne_bytes(*last));
        (first | last, first ^ last.rotate_left(29))
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let (first, last) = (u64::from(u32::from_ne_bytes(*first)), u64::from(u32::from_ne_bytes(*last)));
        (first | last, first << 32 | last)
    } else {
        let [a, b, c] = match text {
            [a, b, c] => [*a, *b, *c],
            [a, b] => [*a, *b, 0],
            [a] => [*a, 0, 0],
            _ => [0; 3],
        };
        let all = u64::from(u32::from_ne_bytes([a, b, c, 0]));
        (all, all)
    };
    if all & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let length = u64::try_from(text.len()).unwrap_or_default();
    let mixed = (mixed ^ length << 56 ^ u64::from(constructor) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).ok()
}

/// Most entries of a map whose keys are compared one by one.
const FEW: usize = 16;
