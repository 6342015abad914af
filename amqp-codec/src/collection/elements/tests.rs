//! Values that come in other forms than the smallest are written anew: once, in linear work, into the form that their
//! equals have.

use alloc::{vec, vec::Vec};

use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    Array, ArrayRef, Cursor, DecodeErrorKind, DecodeLimits, Encode, List, Value, ValueRef, ValueType,
    collection::tests::value, format_code as code, from_bytes, to_bytes, work,
};

/// A compound in one of its two forms, the short one only where it fits.
fn compound(short: u8, is_long: bool, count: usize, content: &[u8]) -> Vec<u8> {
    let body =
        compound_body(is_long, count, content).or_else(|| compound_body(true, count, content)).unwrap();
    let constructor = if body.len() == content.len() + 2 { short } else { short + code::SHORT_TO_LONG };
    [&[constructor][..], &body].concat()
}

/// The same behind the constructor; nothing if it does not fit.
fn compound_body(is_long: bool, count: usize, content: &[u8]) -> Option<Vec<u8>> {
    if is_long {
        let size = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
        return Some([&size[..], &u32::try_from(count).unwrap().to_be_bytes(), content].concat());
    }
    let (size, count) = (u8::try_from(content.len() + 1).ok()?, u8::try_from(count).ok()?);
    Some([&[size, count][..], content].concat())
}

/// Writes values in forms that are legal, but rarely the smallest.
struct Loose<I> {
    /// What decides which form is taken.
    choices: I,
    is_in_array: bool,
}

impl<I: Iterator<Item = bool>> Loose<I> {
    fn choose(&mut self) -> bool {
        self.choices.next().unwrap()
    }

    fn all<'a>(&mut self, values: impl Iterator<Item = ValueRef<'a>>) -> Vec<u8> {
        values.flat_map(|value| self.value(value)).collect()
    }

    fn value(&mut self, value: ValueRef<'_>) -> Vec<u8> {
        let is_long = self.choose();
        match value {
            ValueRef::List(list) if list.is_empty() && self.choose() => vec![code::LIST0],
            ValueRef::List(list) => compound(code::LIST8, is_long, list.len(), &self.all(list.iter())),
            ValueRef::Map(map) => {
                let content = self.all(map.iter().flat_map(|(key, value)| [key, value]));
                compound(code::MAP8, is_long, map.len() * 2, &content)
            }
            ValueRef::Array(array) => {
                let content = self.array(array);
                compound(code::ARRAY8, is_long, array.len(), &content)
            }
            ValueRef::Described(described) => {
                let parts = self.all([described.descriptor(), described.value()].into_iter());
                [&[code::DESCRIBED][..], &parts].concat()
            }
            other if is_long => wide(other),
            other => to_bytes(&other).to_vec(),
        }
    }

    fn array(&mut self, array: ArrayRef<'_>) -> Vec<u8> {
        let is_null = array.element_type() == ValueType::Null && array.descriptor().is_none();
        // T-042: read by lenient limits, which these are, and not inside of arrays.
        if array.is_empty() && is_null && !self.is_in_array {
            return Vec::new();
        }
        if self.choose() {
            return array.raw().octets.to_vec();
        }
        let mut content: Vec<u8> = Vec::new();
        for descriptor in array.descriptors() {
            content.push(code::DESCRIBED);
            content.extend(self.value(descriptor));
        }
        let outer = core::mem::replace(&mut self.is_in_array, true);
        let items: Vec<(usize, Vec<u8>)> = array
            .iter()
            .map(|item| match item {
                ValueRef::List(list) => (list.len(), self.all(list.iter())),
                ValueRef::Map(map) => {
                    (map.len() * 2, self.all(map.iter().flat_map(|(key, value)| [key, value])))
                }
                ValueRef::Array(inner) => (inner.len(), self.array(inner)),
                other => (0, wide(other)),
            })
            .collect();
        self.is_in_array = outer;
        let kind = array.element_type();
        if !matches!(kind, ValueType::List | ValueType::Map | ValueType::Array) {
            let first = items.first().map_or_else(|| kind.constructor(), |(_, item)| item[0]);
            content.push(first);
            content.extend(items.iter().flat_map(|(_, item)| &item[1..]));
            return content;
        }
        let fit = items.iter().all(|(count, item)| compound_body(false, *count, item).is_some());
        let is_long = !fit || self.choose();
        content.push(kind.constructor() + if is_long { code::SHORT_TO_LONG } else { 0 });
        content.extend(items.iter().flat_map(|(count, item)| compound_body(is_long, *count, item).unwrap()));
        content
    }
}

/// A value that is no compound, in its longest form.
fn wide(value: ValueRef<'_>) -> Vec<u8> {
    let sized = |constructor: u8, octets: &[u8]| {
        [&[constructor][..], &u32::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat()
    };
    match value {
        ValueRef::Boolean(v) => vec![code::BOOLEAN, u8::from(v)],
        ValueRef::Uint(v) => [&[code::UINT][..], &v.to_be_bytes()].concat(),
        ValueRef::Ulong(v) => [&[code::ULONG][..], &v.to_be_bytes()].concat(),
        ValueRef::Int(v) => [&[code::INT][..], &v.to_be_bytes()].concat(),
        ValueRef::Long(v) => [&[code::LONG][..], &v.to_be_bytes()].concat(),
        ValueRef::Binary(v) => sized(code::BINARY32, v),
        ValueRef::String(v) => sized(code::STRING32, v.as_octets()),
        ValueRef::Symbol(v) => sized(code::SYMBOL32, v.as_octets()),
        other => to_bytes(&other).to_vec(),
    }
}

fn zeros(count: usize) -> Value {
    Array::new(vec![Value::Uint(0); count]).unwrap().into()
}

proptest! {
    #[test]
    fn values_in_forms_that_are_not_the_smallest_are_what_their_smallest_form_says(
        value in prop_oneof![
            value(),
            (value(), 1..3_000_usize).prop_map(|(value, count)| List::from(vec![value, zeros(count)]).into()),
            (value(), value()).prop_map(|(a, b)| {
                let empty = || Value::from(Array::empty(ValueType::Null));
                let item = |value| Value::from(List::from(vec![empty(), value, empty()]));
                List::from(vec![empty(), Array::new(vec![item(a), item(b)]).unwrap().into(), empty()]).into()
            }),
        ],
        choices in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let octets = Bytes::from(Loose { choices: choices.into_iter().cycle(), is_in_array: false }.value(value.view()));
        let limits = DecodeLimits::message();
        let smallest = to_bytes(&value);
        let bound = octets.len() as u64 * 16 + 64;

        let mut decoded = Value::Null;
        let steps = work::of(|| decoded = from_bytes(&octets, &limits).unwrap());
        prop_assert!(steps <= bound, "{} steps for {} octets", steps, octets.len());
        prop_assert_eq!(&decoded, &value);
        prop_assert_eq!(&to_bytes(&decoded), &smallest);
        prop_assert_eq!(&from_bytes::<Value>(&smallest, &limits).unwrap(), &value);

        let borrowed = ValueRef::read(&mut Cursor::new(&octets, &limits)).unwrap();
        let mut encoded = Bytes::new();
        let steps = work::of(|| encoded = to_bytes(&borrowed));
        prop_assert!(steps <= bound, "{} steps for {} octets", steps, octets.len());
        prop_assert_eq!(&encoded, &smallest);
        prop_assert_eq!(borrowed.encoded_len(), smallest.len());
        prop_assert!(borrowed == value.view());
    }
}

/// Arrays in arrays, each level an empty list beside the one that holds the next.
pub(in crate::collection) fn beside_empty_lists(levels: usize, innermost: &[u8]) -> Vec<u8> {
    (0..levels).fold(innermost.to_vec(), |inner, _| {
        let lists = [compound_body(true, 0, &[]).unwrap(), compound_body(true, 1, &inner).unwrap()].concat();
        compound(code::ARRAY8, true, 2, &[&[code::LIST32][..], &lists].concat())
    })
}

/// A list of arrays that stand for very many elements each, made to be written anew by its first value.
pub(in crate::collection) fn beside_zero_width_arrays(count: usize) -> Vec<u8> {
    let array = [0xf0, 0, 0, 0, 5, 0, 0, 0xff, 0xff, code::UINT0];
    compound(code::LIST8, true, count + 1, &[&[code::BOOLEAN, 0][..], &array.repeat(count)].concat())
}

#[test]
fn arrays_beside_empty_lists_do_not_double_the_work_with_every_level() {
    let steps = |levels| {
        let octets = Bytes::from(beside_empty_lists(levels, &[code::BOOLEAN, 0]));
        work::of(|| drop(from_bytes::<Value>(&octets, &DecodeLimits::message().strict()).unwrap()))
    };
    assert!(steps(30) <= steps(15) * 5 / 2, "{} steps, then {}", steps(15), steps(30));
}

#[test]
fn zero_width_arrays_are_not_walked_because_a_neighbour_is_written_anew() {
    let octets = Bytes::from(beside_zero_width_arrays(400));
    let steps = work::of(|| drop(from_bytes::<Value>(&octets, &DecodeLimits::message()).unwrap()));
    assert!(steps <= octets.len() as u64, "{steps} steps for {} octets", octets.len());
}

#[test]
fn empty_arrays_without_constructors_never_outgrow_the_constructor_of_an_array_around_them() {
    // T-042: written anew each takes an octet more than it came with, and the size of a short element has no room for it.
    let lists = [&[0xe0, 0xfd, 1, 0xc0, 0xfa, 83][..], &[0xe0, 1, 0].repeat(83)].concat();
    let arrays = [&[0xf0, 0, 0, 1, 4, 0, 0, 0, 1, 0xe0, 0xfe, 126, 0xe0][..], &[1, 0].repeat(126)].concat();
    for octets in [lists, arrays] {
        let error = from_bytes::<Value>(&octets.into(), &DecodeLimits::message()).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::MissingConstructor);
    }
    // Elsewhere whatever grows has the room it needs.
    let octets = Bytes::from([&[0xc0, 250, 83][..], &[0xe0, 1, 0].repeat(83)].concat());
    let list = from_bytes::<Value>(&octets, &DecodeLimits::message()).unwrap();
    let encoded = to_bytes(&list);
    assert_eq!(encoded.len(), 9 + 83 * 4);
    assert_eq!(from_bytes::<Value>(&encoded, &DecodeLimits::message().strict()), Ok(list));
}

#[test]
fn arrays_of_more_equal_elements_than_a_decoder_reads_without_octets_keep_them() {
    // T-043: both sides keep to the same number.
    let limits = DecodeLimits::message().strict();
    let items = [Value::Boolean(false), Value::Uint(0), Value::Ulong(0), List::new().into()];
    for item in items {
        let [most, more] = [65_536, 65_537].map(|count| Array::new(vec![item.clone(); count]).unwrap());
        assert_eq!(to_bytes(&most).len(), 10, "{item:?}");
        assert!(to_bytes(&more).len() > 65_536, "{item:?}");
        for array in [most, more] {
            let encoded = to_bytes(&array);
            assert_eq!(from_bytes::<Array>(&encoded, &limits).as_ref(), Ok(&array));
            let loose = Loose { choices: core::iter::repeat(false), is_in_array: false }
                .value(ValueRef::Array(array.view()));
            let decoded: Array = from_bytes(&loose.into(), &limits).unwrap();
            assert_eq!((&decoded, to_bytes(&decoded)), (&array, encoded));
        }
    }
    assert!(Array::new(vec![Value::Null; 65_536]).is_ok());
    assert!(Array::new(vec![Value::Null; 65_537]).is_err(), "there is no other form of nulls");
    let generous = DecodeLimits { max_zero_width_count: u32::MAX, ..limits };
    let error = from_bytes::<Array>(&vec![0xf0, 0, 0, 0, 5, 0, 1, 0, 1, 0x43].into(), &generous).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TooManyZeroWidth);
}
