//! Arrays: values of one type behind one constructor (AMQP 1.0 §1.6.24).

use alloc::{boxed::Box, vec, vec::Vec};
use core::iter;

use super::first_capacity;
use crate::{
    cursor::{Cursor, Decode, Result, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code::{self as code, Layout},
    sink::{Compound, Encode, Sink, saturate},
    value::{Value, ValueType},
};

/// Values of one type.
///
/// Equality is by element type, descriptor and elements. Elements that need no octets (nulls, zeros, empty lists, equal
/// booleans) are kept as one value and a count, so that a dozen octets never become millions of values (T-043).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Array {
    /// Descriptors of the element constructor, outermost first; nearly always none.
    descriptors: Vec<Value>,
    element_type: ValueType,
    items: Items,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Items {
    Each(Vec<Value>),
    /// Never zero times: an empty array is `Each` with no items.
    Same(Box<Value>, u32),
}

/// Array elements of different types, or described ones; the caller's fault, a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("array elements are not of one type")]
pub struct MixedElements;

impl Array {
    /// An array without elements.
    pub const fn empty(element_type: ValueType) -> Self {
        Self { descriptors: Vec::new(), element_type, items: Items::Each(Vec::new()) }
    }

    /// An array of values that all have one type.
    ///
    /// # Errors
    /// [`MixedElements`] if they do not, if one is described, or if there are none (see [`empty`](Self::empty)).
    pub fn new(items: Vec<Value>) -> core::result::Result<Self, MixedElements> {
        let element_type = items.first().and_then(Value::value_type).ok_or(MixedElements)?;
        if items.iter().any(|item| item.value_type() != Some(element_type)) {
            return Err(MixedElements);
        }
        Ok(Self { descriptors: Vec::new(), element_type, items: compact(items) })
    }

    /// The same array with elements described by `descriptor`.
    #[must_use]
    pub fn with_descriptor(mut self, descriptor: impl Into<Value>) -> Self {
        self.descriptors.insert(0, descriptor.into());
        self
    }

    /// The type of the elements, below their descriptor.
    pub const fn element_type(&self) -> ValueType {
        self.element_type
    }

    /// The descriptor of the elements, the outermost if there are several.
    pub fn descriptor(&self) -> Option<&Value> {
        self.descriptors.first()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Each(items) => items.len(),
            Items::Same(_, count) => usize::try_from(*count).unwrap_or(usize::MAX),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, without their descriptor.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        let (each, same) = match &self.items {
            Items::Each(items) => (items.as_slice(), None),
            Items::Same(value, _) => ([].as_slice(), Some(iter::repeat_n(&**value, self.len()))),
        };
        each.iter().chain(same.into_iter().flatten())
    }

    /// The elements after the array's own constructor.
    pub(crate) fn body(cursor: &mut Cursor<'_>, width: Width) -> Result<Self> {
        let scope = cursor.open(width, "array")?;
        // T-042: without elements and without a constructor, as serde_amqp writes it.
        if scope.count == 0 && cursor.remaining() == 0 && !cursor.limits().is_strict() {
            cursor.close(&scope, "array")?;
            return Ok(Self::empty(ValueType::Null));
        }
        // T-044: the element constructor may be described; its descriptor appears once.
        let mut descriptors = Vec::new();
        let constructor = loop {
            if cursor.remaining() == 0 {
                return Err(cursor.error(DecodeErrorKind::MissingConstructor, "array"));
            }
            let octet = cursor.read_u8()?;
            if octet != code::DESCRIBED {
                break octet;
            }
            cursor.enter("array")?;
            descriptors.push(Value::decode(cursor)?);
        };
        for _ in &descriptors {
            cursor.leave();
        }
        let element_type = type_of(constructor).ok_or_else(|| cursor.wrong_type(constructor, "array"))?;
        let items = read_items(cursor, constructor, scope.count)?;
        cursor.close(&scope, "array")?;
        Ok(Self { descriptors, element_type, items })
    }
}

impl Decode for Array {
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        match cursor.read_u8()? {
            code::ARRAY8 => Self::body(cursor, Width::One),
            code::ARRAY32 => Self::body(cursor, Width::Four),
            other => Err(cursor.wrong_type(other, "array")),
        }
    }
}

impl Encode for Array {
    fn encode(&self, out: &mut impl Sink) {
        let start = out.begin_compound();
        self.write_content(out);
        out.end_compound(start, Compound::Array, self.len());
    }
}

impl Array {
    /// The element constructor and the elements, as they follow the count.
    fn write_content(&self, out: &mut impl Sink) {
        for descriptor in &self.descriptors {
            out.byte(code::DESCRIBED);
            descriptor.encode(out);
        }
        match &self.items {
            Items::Same(value, _) => out.byte(zero_width_code(value).unwrap_or(code::NULL)),
            Items::Each(items) => self.write_items(out, items),
        }
    }

    fn write_items(&self, out: &mut impl Sink, items: &[Value]) {
        let constructor = narrowest(self.element_type, items);
        match self.element_type {
            ValueType::List | ValueType::Map | ValueType::Array => {
                self.write_compounds(out, items);
            }
            _ => {
                out.byte(constructor);
                for item in items {
                    write_body(out, item, constructor);
                }
            }
        }
    }

    /// Compound elements share one width, which is known only when all are written: they are written wide and
    /// shortened in place if all of them turn out to fit, so that each is visited once however deep arrays nest.
    // T-045: compounds as elements have sizes and counts of their own, and one constructor.
    fn write_compounds(&self, out: &mut impl Sink, items: &[Value]) {
        let (small, large) = match self.element_type {
            ValueType::Map => (code::MAP8, code::MAP32),
            ValueType::Array => (code::ARRAY8, code::ARRAY32),
            _ => (code::LIST8, code::LIST32),
        };
        let constructor_at = out.position();
        out.byte(large);
        let start = out.position();
        let mut is_short = true;
        for item in items {
            let header = out.position();
            out.write(&[0; 8]);
            let count = write_compound_content(out, item);
            let content = out.position().saturating_sub(header + 8);
            out.patch_u32(header, saturate(content + 4));
            out.patch_u32(header + 4, saturate(count));
            is_short &= content < usize::from(u8::MAX) && count <= usize::from(u8::MAX);
        }
        if is_short {
            // Three octets of the size field and three of the count go.
            out.patch_u8(constructor_at, small);
            out.compact_items(start, items.len());
        }
    }
}

/// The content of a compound element after its count; returns the count.
fn write_compound_content(out: &mut impl Sink, item: &Value) -> usize {
    match item {
        Value::List(list) => {
            list.write_items(out);
            list.len()
        }
        Value::Map(map) => {
            map.write_entries(out);
            map.len().saturating_mul(2)
        }
        Value::Array(array) => {
            array.write_content(out);
            array.len()
        }
        _ => 0,
    }
}

fn read_items(cursor: &mut Cursor<'_>, constructor: u8, count: usize) -> Result<Items> {
    let smallest = match code::layout(constructor) {
        Some(Layout::Fixed(width)) => width,
        Some(Layout::Sized8) => 1,
        Some(Layout::Sized32) => 4,
        None => return Err(cursor.wrong_type(constructor, "array")),
    };
    if count == 0 {
        return Ok(Items::Each(Vec::new()));
    }
    if smallest == 0 {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count > cursor.limits().max_zero_width_count {
            return Err(cursor.error(DecodeErrorKind::TooManyZeroWidth, "array"));
        }
        cursor.spend_node("array")?;
        return Ok(Items::Same(Box::new(Value::body(cursor, constructor)?), count));
    }
    if count > cursor.remaining() / usize::from(smallest) {
        return Err(cursor.error(DecodeErrorKind::CountTooLarge, "array"));
    }
    let mut items = Vec::with_capacity(first_capacity(cursor, count));
    for _ in 0..count {
        cursor.spend_node("array")?;
        items.push(Value::body(cursor, constructor)?);
    }
    Ok(compact(items))
}

/// Items that need no octets become one value and a count, whatever octets they came in.
fn compact(items: Vec<Value>) -> Items {
    let (Some(first), Ok(count)) = (items.first(), u32::try_from(items.len())) else {
        return Items::Each(items);
    };
    if zero_width_code(first).is_some() && items.iter().all(|item| item == first) {
        return Items::Same(Box::new(first.clone()), count);
    }
    Items::Each(items)
}

/// The constructor that is the whole of a value.
fn zero_width_code(value: &Value) -> Option<u8> {
    match value {
        Value::Null => Some(code::NULL),
        Value::Boolean(true) => Some(code::TRUE),
        Value::Boolean(false) => Some(code::FALSE),
        Value::Uint(0) => Some(code::UINT0),
        Value::Ulong(0) => Some(code::ULONG0),
        Value::List(list) if list.is_empty() => Some(code::LIST0),
        _ => None,
    }
}

/// The constructor, not of a compound, with which all items can be written in the fewest octets (T-041).
fn narrowest(element_type: ValueType, items: &[Value]) -> u8 {
    let fits = |test: fn(&Value) -> bool| !items.is_empty() && items.iter().all(test);
    let is_short = |octets: &[u8]| octets.len() <= usize::from(u8::MAX);
    match element_type {
        ValueType::Null => code::NULL,
        ValueType::Boolean => code::BOOLEAN,
        ValueType::Ubyte => code::UBYTE,
        ValueType::Ushort => code::USHORT,
        ValueType::Uint if fits(|v| matches!(v, Value::Uint(0..=255))) => code::SMALL_UINT,
        ValueType::Uint => code::UINT,
        ValueType::Ulong if fits(|v| matches!(v, Value::Ulong(0..=255))) => code::SMALL_ULONG,
        ValueType::Ulong => code::ULONG,
        ValueType::Byte => code::BYTE,
        ValueType::Short => code::SHORT,
        ValueType::Int if fits(|v| matches!(v, Value::Int(-128..=127))) => code::SMALL_INT,
        ValueType::Int => code::INT,
        ValueType::Long if fits(|v| matches!(v, Value::Long(-128..=127))) => code::SMALL_LONG,
        ValueType::Long => code::LONG,
        ValueType::Float => code::FLOAT,
        ValueType::Double => code::DOUBLE,
        ValueType::Decimal32 => code::DECIMAL32,
        ValueType::Decimal64 => code::DECIMAL64,
        ValueType::Decimal128 => code::DECIMAL128,
        ValueType::Char => code::CHAR,
        ValueType::Timestamp => code::TIMESTAMP,
        ValueType::Uuid => code::UUID,
        ValueType::Binary if items.iter().all(|v| is_short(sized_octets(v))) => code::BINARY8,
        ValueType::Binary => code::BINARY32,
        ValueType::String if items.iter().all(|v| is_short(sized_octets(v))) => code::STRING8,
        ValueType::String => code::STRING32,
        ValueType::Symbol if items.iter().all(|v| is_short(sized_octets(v))) => code::SYMBOL8,
        ValueType::Symbol => code::SYMBOL32,
        ValueType::List => code::LIST8,
        ValueType::Map => code::MAP8,
        ValueType::Array => code::ARRAY8,
    }
}

fn sized_octets(value: &Value) -> &[u8] {
    match value {
        Value::Binary(octets) => octets,
        Value::String(text) => text.as_octets(),
        Value::Symbol(symbol) => symbol.as_octets(),
        _ => &[],
    }
}

/// One element without its constructor.
fn write_body(out: &mut impl Sink, item: &Value, constructor: u8) {
    match item {
        Value::Boolean(v) => out.byte(u8::from(*v)),
        Value::Ubyte(v) => out.byte(*v),
        Value::Ushort(v) => out.write(&v.to_be_bytes()),
        Value::Uint(v) => write_tail(out, &v.to_be_bytes(), constructor == code::SMALL_UINT),
        Value::Ulong(v) => write_tail(out, &v.to_be_bytes(), constructor == code::SMALL_ULONG),
        Value::Byte(v) => out.write(&v.to_be_bytes()),
        Value::Short(v) => out.write(&v.to_be_bytes()),
        Value::Int(v) => write_tail(out, &v.to_be_bytes(), constructor == code::SMALL_INT),
        Value::Long(v) => write_tail(out, &v.to_be_bytes(), constructor == code::SMALL_LONG),
        Value::Float(v) => out.write(&v.to_be_bytes()),
        Value::Double(v) => out.write(&v.to_be_bytes()),
        Value::Decimal32(v) => out.write(&v.0),
        Value::Decimal64(v) => out.write(&v.0),
        Value::Decimal128(v) => out.write(&v.0),
        Value::Char(v) => out.write(&u32::from(*v).to_be_bytes()),
        Value::Timestamp(v) => out.write(&v.0.to_be_bytes()),
        Value::Uuid(v) => out.write(&v.0),
        Value::Binary(_) | Value::String(_) | Value::Symbol(_) => {
            let is_wide = matches!(constructor, code::BINARY32 | code::STRING32 | code::SYMBOL32);
            write_sized_body(out, sized_octets(item), is_wide);
        }
        Value::Null | Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_) => {}
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

/// The type that a constructor belongs to.
fn type_of(constructor: u8) -> Option<ValueType> {
    Some(match constructor {
        code::NULL => ValueType::Null,
        code::TRUE | code::FALSE | code::BOOLEAN => ValueType::Boolean,
        code::UBYTE => ValueType::Ubyte,
        code::USHORT => ValueType::Ushort,
        code::UINT | code::SMALL_UINT | code::UINT0 => ValueType::Uint,
        code::ULONG | code::SMALL_ULONG | code::ULONG0 => ValueType::Ulong,
        code::BYTE => ValueType::Byte,
        code::SHORT => ValueType::Short,
        code::INT | code::SMALL_INT => ValueType::Int,
        code::LONG | code::SMALL_LONG => ValueType::Long,
        code::FLOAT => ValueType::Float,
        code::DOUBLE => ValueType::Double,
        code::DECIMAL32 => ValueType::Decimal32,
        code::DECIMAL64 => ValueType::Decimal64,
        code::DECIMAL128 => ValueType::Decimal128,
        code::CHAR => ValueType::Char,
        code::TIMESTAMP => ValueType::Timestamp,
        code::UUID => ValueType::Uuid,
        code::BINARY8 | code::BINARY32 => ValueType::Binary,
        code::STRING8 | code::STRING32 => ValueType::String,
        code::SYMBOL8 | code::SYMBOL32 => ValueType::Symbol,
        code::LIST0 | code::LIST8 | code::LIST32 => ValueType::List,
        code::MAP8 | code::MAP32 => ValueType::Map,
        code::ARRAY8 | code::ARRAY32 => ValueType::Array,
        _ => return None,
    })
}

impl From<crate::Multiple<crate::Symbol>> for Array {
    fn from(symbols: crate::Multiple<crate::Symbol>) -> Self {
        let items = vec::IntoIter::map(symbols.0.into_iter(), Value::Symbol).collect();
        Self { descriptors: Vec::new(), element_type: ValueType::Symbol, items: Items::Each(items) }
    }
}
