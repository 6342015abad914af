//! Arrays: elements that share one constructor, and whether a narrower one would have done.

use super::{Keys, body, count, fits_short, list, map, value};
use crate::{
    collection::packed::Raw,
    cursor::{Cursor, Result, Width},
    error::DecodeErrorKind,
    format_code::{self as code, Layout},
    limits::ZERO_WIDTH_COUNT,
    value::ValueType,
    work,
};

/// An array behind its constructor.
pub(crate) fn array<'a>(cursor: &mut Cursor<'a>, width: Width) -> Result<Raw<'a>> {
    let scope = cursor.open(width, "array")?;
    let octets = cursor.peek_all();
    // T-042: without elements and without a constructor, as serde_amqp writes it.
    // Not inside of another array: written anew it is longer, and could outgrow the constructor that its neighbours share.
    let is_lenient = !cursor.limits().is_strict() && !cursor.is_in_array();
    if scope.count == 0 && cursor.remaining() == 0 && is_lenient {
        cursor.close(&scope, "array")?;
        return Ok(Raw { octets, count: 0, is_minimal: false });
    }
    // T-044: the element constructor may be described; its descriptor appears once.
    let (mut descriptors, mut is_minimal) = (0_usize, true);
    let constructor = loop {
        if cursor.remaining() == 0 {
            return Err(cursor.error(DecodeErrorKind::MissingConstructor, "array"));
        }
        let octet = cursor.read_u8()?;
        if octet != code::DESCRIBED {
            break octet;
        }
        cursor.enter("array")?;
        descriptors += 1;
        is_minimal &= value(cursor)?;
    };
    (0..descriptors).for_each(|_| cursor.leave());
    is_minimal &= elements(cursor, constructor, scope.count)?;
    cursor.close(&scope, "array")?;
    Ok(Raw { octets, count: count(scope.count), is_minimal })
}

/// The elements behind their constructor.
fn elements(cursor: &mut Cursor<'_>, constructor: u8, count: usize) -> Result<bool> {
    let (Some(element_type), Some(layout)) =
        (ValueType::of_constructor(constructor), code::layout(constructor))
    else {
        return Err(cursor.wrong_type(constructor, "array"));
    };
    let smallest = match layout {
        Layout::Fixed(width) => usize::from(width),
        Layout::Sized8 => 1,
        Layout::Sized32 => 4,
    };
    if count == 0 {
        return Ok(constructor == element_type.constructor());
    }
    if smallest == 0 {
        if u32::try_from(count).is_ok_and(|count| count <= cursor.limits().zero_width_count()) {
            cursor.spend_node("array")?;
            return Ok(true);
        }
        return Err(cursor.error(DecodeErrorKind::TooManyZeroWidth, "array"));
    }
    if count > cursor.remaining() / smallest {
        return Err(cursor.error(DecodeErrorKind::CountTooLarge, "array"));
    }
    let before = cursor.peek_all();
    let (mut is_minimal, mut needs_width, mut is_nothing) = (true, false, true);
    let outer = cursor.enter_array();
    for _ in 0..count {
        work::step();
        cursor.spend_node("array")?;
        let element = element(cursor, constructor)?;
        is_minimal &= element.is_minimal;
        needs_width |= element.needs_width;
        is_nothing &= element.is_empty;
    }
    cursor.leave_array(outer);
    let octets = before.get(..before.len().saturating_sub(cursor.remaining())).unwrap_or_default();
    Ok(is_minimal && is_narrowest(constructor, octets, count, needs_width, is_nothing))
}

/// What an element says about the constructor it needs.
struct Element {
    is_minimal: bool,
    /// Whether a one-octet size and count are not enough for it.
    needs_width: bool,
    /// Whether it is an empty list.
    is_empty: bool,
}

fn element(cursor: &mut Cursor<'_>, constructor: u8) -> Result<Element> {
    let raw = match constructor {
        code::LIST8 => list(cursor, Width::One)?,
        code::LIST32 => list(cursor, Width::Four)?,
        code::MAP8 => map(cursor, Width::One, Keys::Any)?,
        code::MAP32 => map(cursor, Width::Four, Keys::Any)?,
        code::ARRAY8 => array(cursor, Width::One)?,
        code::ARRAY32 => array(cursor, Width::Four)?,
        _ => {
            let before = cursor.remaining();
            body(cursor, constructor)?;
            // Constructor and length of a long text are five octets; here there is only the length.
            let needs_width = before.saturating_sub(cursor.remaining()) > 4 + usize::from(u8::MAX);
            return Ok(Element { is_minimal: true, needs_width, is_empty: false });
        }
    };
    let is_map = matches!(constructor, code::MAP8 | code::MAP32);
    let count = raw.len().saturating_mul(if is_map { 2 } else { 1 });
    let is_empty = count == 0 && matches!(constructor, code::LIST8 | code::LIST32);
    Ok(Element { is_minimal: raw.is_minimal, needs_width: !fits_short(raw.octets, count), is_empty })
}

/// T-041: whether no constructor with shorter elements would do for all of them.
fn is_narrowest(constructor: u8, octets: &[u8], count: usize, needs_width: bool, is_nothing: bool) -> bool {
    let any = |test: fn(&[u8]) -> bool, width| octets.chunks_exact(width).any(test);
    match constructor {
        // All equal: no octets at all, unless they are too many to be read so.
        code::BOOLEAN => count > ZERO_WIDTH_COUNT || octets.iter().any(|octet| Some(octet) != octets.first()),
        code::SMALL_UINT | code::SMALL_ULONG => {
            count > ZERO_WIDTH_COUNT || octets.iter().any(|octet| *octet != 0)
        }
        code::UINT => any(|o| !matches!(o, [0, 0, 0, _]), 4),
        code::ULONG => any(|o| !matches!(o, [0, 0, 0, 0, 0, 0, 0, _]), 8),
        code::INT => {
            any(|o| o.first_chunk().is_some_and(|o| i8::try_from(i32::from_be_bytes(*o)).is_err()), 4)
        }
        code::LONG => {
            any(|o| o.first_chunk().is_some_and(|o| i8::try_from(i64::from_be_bytes(*o)).is_err()), 8)
        }
        code::BINARY32 | code::STRING32 | code::SYMBOL32 => needs_width,
        code::LIST8 => count > ZERO_WIDTH_COUNT || !is_nothing,
        code::LIST32 | code::MAP32 | code::ARRAY32 => needs_width,
        _ => true,
    }
}
