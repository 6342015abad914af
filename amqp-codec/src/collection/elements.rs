//! The elements of arrays, written behind the one constructor that fits all of them.

use super::{array::ArrayRef, packed::Raw};
use crate::{
    format_code as code,
    limits::ZERO_WIDTH_COUNT,
    sink::{Encode, Sink, saturate},
    value::ValueType,
    value_ref::ValueRef,
};

/// Writes the content of a checked array in its smallest form.
pub(crate) fn write_content<S: Sink>(raw: Raw<'_>, out: &mut S) {
    if raw.is_minimal {
        return out.write(raw.octets);
    }
    let array = ArrayRef::new(raw);
    for descriptor in array.descriptors() {
        out.byte(code::DESCRIBED);
        descriptor.encode(out);
    }
    let Some((constructor, elements)) = array.elements() else { return out.byte(code::NULL) };
    // Without octets of their own elements are not visited: a dozen octets can stand for thousands.
    if elements.is_empty() {
        let usual = array.element_type().constructor();
        return out.byte(if array.is_empty() { usual } else { constructor });
    }
    // Elements never need a wider constructor than they came with: what grows when it is written anew, an array without a
    // constructor, is not read inside of arrays.
    let is_wide = !matches!(constructor, code::LIST8 | code::MAP8 | code::ARRAY8);
    write_elements(out, array.element_type(), array.iter(), is_wide);
}

// T-045: compounds as elements have sizes and counts of their own, and one constructor.
/// Writes constructor and elements. Compound elements that may need four-octet sizes are `is_wide`: they are written so,
/// and shortened in place if all of them turn out to fit, so that each is visited once however deep arrays nest.
pub(super) fn write_elements<'a, S: Sink>(
    out: &mut S,
    element_type: ValueType,
    items: impl ExactSizeIterator<Item = ValueRef<'a>> + Clone,
    is_wide: bool,
) {
    let mut others = items.clone();
    // Elements are looked at here, never into: what is in them is visited once, when they are written.
    if items.len() <= ZERO_WIDTH_COUNT
        && let Some(constructor) = others.next().and_then(zero_width_code)
        && others.all(|item| zero_width_code(item) == Some(constructor))
    {
        return out.byte(constructor);
    }
    if matches!(element_type, ValueType::List | ValueType::Map | ValueType::Array) {
        return if is_wide {
            write_wide(out, element_type, items)
        } else {
            write_narrow(out, element_type, items)
        };
    }
    let constructor = narrowest(element_type, items.clone());
    out.byte(constructor);
    items.for_each(|item| write_body(out, item, constructor));
}

fn write_narrow<'a, S: Sink>(
    out: &mut S,
    element_type: ValueType,
    items: impl Iterator<Item = ValueRef<'a>>,
) {
    out.byte(element_type.constructor());
    for item in items {
        let header = out.position();
        out.write(&[0; 2]);
        let count = write_compound_content(out, item);
        let content = out.position().saturating_sub(header + 1);
        out.patch_u8(header, u8::try_from(content).unwrap_or(u8::MAX));
        out.patch_u8(header + 1, u8::try_from(count).unwrap_or(u8::MAX));
    }
}

fn write_wide<'a, S: Sink>(out: &mut S, element_type: ValueType, items: impl Iterator<Item = ValueRef<'a>>) {
    let short = element_type.constructor();
    let constructor_at = out.position();
    out.byte(short + code::SHORT_TO_LONG);
    let start = out.position();
    let (mut is_short, mut elements) = (true, 0);
    for item in items {
        let header = out.position();
        out.write(&[0; 8]);
        let count = write_compound_content(out, item);
        let content = out.position().saturating_sub(header + 8);
        out.patch_u32(header, saturate(content + 4));
        out.patch_u32(header + 4, saturate(count));
        is_short &= content < usize::from(u8::MAX) && count <= usize::from(u8::MAX);
        elements += 1;
    }
    if is_short {
        // Three octets of the size field and three of the count go.
        out.patch_u8(constructor_at, short);
        out.compact_items(start, elements);
    }
}

/// The content of a compound element after its count; returns the count.
fn write_compound_content<S: Sink>(out: &mut S, item: ValueRef<'_>) -> usize {
    match item {
        ValueRef::List(list) => {
            list.raw().write_values(out);
            list.len()
        }
        ValueRef::Map(map) => {
            map.raw().write_values(out);
            map.len().saturating_mul(2)
        }
        ValueRef::Array(array) => {
            write_content(array.raw(), out);
            array.len()
        }
        _ => 0,
    }
}

/// The constructor that is the whole of a value.
fn zero_width_code(value: ValueRef<'_>) -> Option<u8> {
    match value {
        ValueRef::Null => Some(code::NULL),
        ValueRef::Boolean(true) => Some(code::TRUE),
        ValueRef::Boolean(false) => Some(code::FALSE),
        ValueRef::Uint(0) => Some(code::UINT0),
        ValueRef::Ulong(0) => Some(code::ULONG0),
        ValueRef::List(list) if list.is_empty() => Some(code::LIST0),
        _ => None,
    }
}

/// The constructor, not of a compound, with which all items can be written in the fewest octets (T-041).
fn narrowest<'a>(element_type: ValueType, mut items: impl Iterator<Item = ValueRef<'a>> + Clone) -> u8 {
    let usual = element_type.constructor();
    let is_empty = items.clone().next().is_none();
    let (narrow, fits): (u8, fn(ValueRef<'_>) -> bool) = match element_type {
        ValueType::Uint => (code::SMALL_UINT, |v| matches!(v, ValueRef::Uint(0..=255))),
        ValueType::Ulong => (code::SMALL_ULONG, |v| matches!(v, ValueRef::Ulong(0..=255))),
        ValueType::Int => (code::SMALL_INT, |v| matches!(v, ValueRef::Int(-128..=127))),
        ValueType::Long => (code::SMALL_LONG, |v| matches!(v, ValueRef::Long(-128..=127))),
        ValueType::Binary | ValueType::String | ValueType::Symbol => {
            let is_short = |v: ValueRef<'_>| sized_octets(v).len() <= usize::from(u8::MAX);
            return if items.all(is_short) { usual } else { usual + code::SHORT_TO_LONG };
        }
        _ => return usual,
    };
    if !is_empty && items.all(fits) { narrow } else { usual }
}

fn sized_octets(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Binary(octets) => octets,
        ValueRef::String(text) | ValueRef::Symbol(text) => text.as_octets(),
        _ => &[],
    }
}

/// One element without its constructor.
fn write_body(out: &mut impl Sink, item: ValueRef<'_>, constructor: u8) {
    match item {
        ValueRef::Boolean(v) => out.byte(u8::from(v)),
        ValueRef::Ubyte(v) => out.byte(v),
        ValueRef::Ushort(v) => out.write(&v.to_be_bytes()),
        ValueRef::Uint(v) => write_tail(out, &v.to_be_bytes(), constructor == code::SMALL_UINT),
        ValueRef::Ulong(v) => write_tail(out, &v.to_be_bytes(), constructor == code::SMALL_ULONG),
        ValueRef::Byte(v) => out.write(&v.to_be_bytes()),
        ValueRef::Short(v) => out.write(&v.to_be_bytes()),
        ValueRef::Int(v) => write_tail(out, &v.to_be_bytes(), constructor == code::SMALL_INT),
        ValueRef::Long(v) => write_tail(out, &v.to_be_bytes(), constructor == code::SMALL_LONG),
        ValueRef::Float(v) => out.write(&v.to_be_bytes()),
        ValueRef::Double(v) => out.write(&v.to_be_bytes()),
        ValueRef::Decimal32(v) => out.write(&v.0),
        ValueRef::Decimal64(v) => out.write(&v.0),
        ValueRef::Decimal128(v) => out.write(&v.0),
        ValueRef::Char(v) => out.write(&u32::from(v).to_be_bytes()),
        ValueRef::Timestamp(v) => out.write(&v.0.to_be_bytes()),
        ValueRef::Uuid(v) => out.write(&v.0),
        ValueRef::Binary(_) | ValueRef::String(_) | ValueRef::Symbol(_) => {
            let is_wide = matches!(constructor, code::BINARY32 | code::STRING32 | code::SYMBOL32);
            write_sized_body(out, sized_octets(item), is_wide);
        }
        ValueRef::Null
        | ValueRef::List(_)
        | ValueRef::Map(_)
        | ValueRef::Array(_)
        | ValueRef::Described(_) => {}
    }
}

/// All octets of a number, or only the last.
fn write_tail(out: &mut impl Sink, octets: &[u8], only_last: bool) {
    match octets.last() {
        Some(&last) if only_last => out.byte(last),
        _ => out.write(octets),
    }
}

/// Length and octets of a binary, string or symbol element.
pub(super) fn write_sized_body(out: &mut impl Sink, octets: &[u8], is_wide: bool) {
    let length = saturate(octets.len()).to_be_bytes();
    write_tail(out, &length, !is_wide);
    out.write(octets);
}

#[cfg(test)]
pub(super) mod tests;
