//! Values, owned and looked at: their octets, types, accessors, conversions, order and hashes.

use amqp_codec::{
    Array, Bytes, Decimal32, Decimal64, Decimal128, Described, Encode, List, Map, Str, Symbol, Timestamp,
    Uuid, Value, ValueRef, ValueType, from_bytes, to_bytes,
};

use super::{STRICT, decode, hash_of, look, refusal, vectors};

/// A value of every type and the octets of its smallest encoding.
fn one_of_each() -> Vec<(Value, &'static [u8])> {
    vec![
        (Value::Null, &[0x40]),
        (Value::Boolean(true), &[0x41]),
        (Value::Ubyte(5), &[0x50, 5]),
        (Value::Ushort(0x102), &[0x60, 1, 2]),
        (Value::Uint(7), &[0x52, 7]),
        (Value::Ulong(0x100), &[0x80, 0, 0, 0, 0, 0, 0, 1, 0]),
        (Value::Byte(3), &[0x51, 3]),
        (Value::Short(258), &[0x61, 1, 2]),
        (Value::Int(127), &[0x54, 0x7f]),
        (Value::Long(128), &[0x81, 0, 0, 0, 0, 0, 0, 0, 0x80]),
        (Value::Float(1.5), &[0x72, 0x3f, 0xc0, 0, 0]),
        (Value::Double(-2.0), &[0x82, 0xc0, 0, 0, 0, 0, 0, 0, 0]),
        (Value::Decimal32(Decimal32([1, 2, 3, 4])), &[0x74, 1, 2, 3, 4]),
        (Value::Decimal64(Decimal64([1, 2, 3, 4, 5, 6, 7, 8])), &[0x84, 1, 2, 3, 4, 5, 6, 7, 8]),
        (Value::Decimal128(Decimal128([9; 16])), &[0x94, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]),
        (Value::Char('€'), &[0x73, 0, 0, 0x20, 0xac]),
        (Value::Timestamp(Timestamp(1)), &[0x83, 0, 0, 0, 0, 0, 0, 0, 1]),
        (Value::Uuid(Uuid([8; 16])), &[0x98, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]),
        (Value::Binary(Bytes::from_static(&[1, 0])), &[0xa0, 2, 1, 0]),
        (Value::String("é".into()), &[0xa1, 2, 0xc3, 0xa9]),
        (Value::symbol("ab"), &[0xa3, 2, b'a', b'b']),
        (Value::List(List::from(vec![Value::Null, Value::Uint(0)])), &[0xc0, 3, 2, 0x40, 0x43]),
        (Value::Map(Map::new().with("k", true)), &[0xc1, 5, 2, 0xa1, 1, b'k', 0x41]),
        (
            Value::Array(Array::new(vec![Value::Ushort(1), Value::Ushort(2)]).unwrap()),
            &[0xe0, 6, 2, 0x60, 0, 1, 0, 2],
        ),
        (Value::Described(Described::new(0x24_u64, List::new())), &[0x00, 0x53, 0x24, 0x45]),
    ]
}

/// The types in the order in which values of different types are sorted.
const TYPES: [ValueType; 24] = [
    ValueType::Null,
    ValueType::Boolean,
    ValueType::Ubyte,
    ValueType::Ushort,
    ValueType::Uint,
    ValueType::Ulong,
    ValueType::Byte,
    ValueType::Short,
    ValueType::Int,
    ValueType::Long,
    ValueType::Float,
    ValueType::Double,
    ValueType::Decimal32,
    ValueType::Decimal64,
    ValueType::Decimal128,
    ValueType::Char,
    ValueType::Timestamp,
    ValueType::Uuid,
    ValueType::Binary,
    ValueType::String,
    ValueType::Symbol,
    ValueType::List,
    ValueType::Map,
    ValueType::Array,
];

#[test]
fn every_type_has_its_octets_owned_and_looked_at() {
    let types = TYPES.into_iter().map(Some).chain([None]);
    for ((value, octets), value_type) in one_of_each().into_iter().zip(types) {
        assert_eq!(to_bytes(&value), octets, "{value:?}");
        assert_eq!((value.encoded_len(), value.value_type()), (octets.len(), value_type));
        assert_eq!(decode::<Value>(octets), value);
        look(octets, |seen| {
            assert_eq!((seen.value_type(), seen.to_value()), (value_type, value.clone()));
            assert_eq!(to_bytes(&seen), octets, "{seen:?}");
            assert_eq!(seen, value);
            assert_eq!(value, seen);
            assert_eq!(Value::from(seen), value);
            assert_eq!(ValueRef::from(&value), seen);
        });
    }
}

#[test]
fn accessors_give_their_own_types_and_no_others() {
    type Has = fn(&Value) -> bool;
    type Sees = fn(&ValueRef<'_>) -> bool;
    const INTEGERS: &str = "Ubyte Ushort Uint Ulong Byte Short Int Long";
    let table: [(&str, Has, Sees); 14] = [
        ("Null", |v| v.is_null(), |v| v.is_null()),
        ("Boolean", |v| v.as_bool().is_some(), |v| v.as_bool().is_some()),
        (INTEGERS, |v| v.as_u64().is_some(), |v| v.as_u64().is_some()),
        (INTEGERS, |v| v.as_i64().is_some(), |v| v.as_i64().is_some()),
        ("Float Double", |v| v.as_f64().is_some(), |v| v.as_f64().is_some()),
        ("Timestamp", |v| v.as_timestamp().is_some(), |v| v.as_timestamp().is_some()),
        ("Uuid", |v| v.as_uuid().is_some(), |v| v.as_uuid().is_some()),
        ("Binary", |v| v.as_binary().is_some(), |v| v.as_binary().is_some()),
        ("String", |v| v.as_str().is_some(), |v| v.as_str().is_some()),
        ("Symbol", |v| v.as_symbol().is_some(), |v| v.as_symbol().is_some()),
        ("String Symbol", |v| v.as_text().is_some(), |v| v.as_text().is_some()),
        ("List", |v| v.as_list().is_some(), |v| v.as_list().is_some()),
        ("Map", |v| v.as_map().is_some(), |v| v.as_map().is_some()),
        ("Array", |v| v.as_array().is_some(), |v| v.as_array().is_some()),
    ];
    for (value, _) in one_of_each() {
        let name = value.value_type().map_or_else(String::new, |own| format!("{own:?}"));
        for (types, has, sees) in &table {
            let expected = types.split(' ').any(|own| own == name);
            assert_eq!((has(&value), sees(&value.view())), (expected, expected), "{types} of {value:?}");
        }
        assert_eq!(value.as_described().is_some(), name.is_empty());
        assert_eq!(value.view().as_described().is_some(), name.is_empty());
    }
}

#[test]
fn accessors_give_what_is_in_the_octets() {
    // T-023: the short forms of signed integers are signed octets.
    for (octets, number) in [
        (&[0x50, 255][..], 255),
        (&[0x60, 255, 255], 65_535),
        (&[0x43], 0),
        (&[0x70, 255, 255, 255, 255], 4_294_967_295),
        (&[0x44], 0),
        (&[0x53, 200], 200),
        (&[0x51, 0x80], -128),
        (&[0x61, 0x80, 0], -32_768),
        (&[0x54, 0xff], -1),
        (&[0x71, 0x80, 0, 0, 0], -2_147_483_648),
        (&[0x55, 0x80], -128),
        (&[0x81, 0x80, 0, 0, 0, 0, 0, 0, 0], i64::MIN),
    ] {
        assert_eq!(look(octets, |v| v.as_i64()), Some(number), "{octets:02x?}");
        assert_eq!(look(octets, |v| v.as_u64()), u64::try_from(number).ok(), "{octets:02x?}");
        assert_eq!(decode::<Value>(octets).as_i64(), Some(number), "{octets:02x?}");
    }
    let most = Value::Ulong(u64::MAX);
    assert_eq!((most.as_i64(), most.as_u64()), (None, Some(u64::MAX)));
    assert_eq!(look(&[0x72, 0x3f, 0xc0, 0, 0], |v| v.as_f64()), Some(1.5));
    assert_eq!(decode::<Value>(&[0x82, 0xc0, 0, 0, 0, 0, 0, 0, 0]).as_f64(), Some(-2.0));
    assert_eq!(look(&[0x56, 0], |v| v.as_bool()), Some(false));
    assert_eq!(decode::<Value>(&[0x56, 1]).as_bool(), Some(true));
    let uuid = &[&[0x98][..], &[8; 16]].concat();
    assert_eq!(
        (look(uuid, |v| v.as_uuid()), decode::<Value>(uuid).as_uuid()),
        (Some(Uuid([8; 16])), Some(Uuid([8; 16])))
    );
    let time = &[0x83, 255, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(look(time, |v| v.as_timestamp()), Some(Timestamp(-1)));
    assert_eq!(decode::<Value>(time).as_timestamp(), Some(Timestamp(-1)));
    let symbol: Value = decode(&[0xa3, 1, b's']);
    assert_eq!((symbol.as_text(), symbol.as_symbol().map(Symbol::as_str)), (Some("s"), Some("s")));
    let octets: Value = decode(&[0xa0, 2, 9, 8]);
    assert_eq!(octets.as_binary().map(Bytes::as_ref), Some(&[9, 8][..]));
    let array: Value = decode(&[0xe0, 4, 2, 0x50, 1, 2]);
    assert_eq!(array.as_array().map(Array::len), Some(2));
    assert_eq!(
        look(&[0xe0, 4, 2, 0x50, 1, 2], |v| v
            .as_array()
            .unwrap()
            .iter()
            .last()
            .and_then(|last| last.as_u64())),
        Some(2)
    );
    let map: Value = decode(&[0xc1, 5, 2, 0xa1, 1, b'k', 0x41]);
    assert_eq!(map.as_map().and_then(|map| map.get_str("k")), Some(true.into()));
}

/// Each type takes its own values, gives them back, and says of others what they are not.
macro_rules! only {
    ($value:expr, $octets:expr, $($type:ty => $kind:literal $name:literal),* $(,)?) => {$({
        let taken = <$type>::try_from($value.clone());
        let own = $value.value_type().map_or_else(|| "Described".into(), |own| format!("{own:?}"));
        if own == $kind {
            assert_eq!(Value::from(taken.unwrap()), $value);
            assert_eq!(Value::from(decode::<$type>($octets)), $value);
        } else {
            assert_eq!(taken.unwrap_err().to_string(), concat!("value is not a ", $name));
            // Octets of another type are refused by their constructor.
            assert!(from_bytes::<$type>(&Bytes::from_static($octets), &STRICT).is_err(), "{own} as {}", $kind);
        }
    })*};
}

#[test]
fn rust_types_take_values_of_their_own_type_only() {
    for (value, octets) in one_of_each() {
        only! {
            value, octets, bool => "Boolean" "boolean", u8 => "Ubyte" "ubyte", u16 => "Ushort" "ushort",
            u32 => "Uint" "uint", u64 => "Ulong" "ulong", i8 => "Byte" "byte", i16 => "Short" "short",
            i32 => "Int" "int", i64 => "Long" "long", f32 => "Float" "float", f64 => "Double" "double",
            char => "Char" "char", Timestamp => "Timestamp" "timestamp", Uuid => "Uuid" "uuid",
            Bytes => "Binary" "binary", Str => "String" "string", Symbol => "Symbol" "symbol",
            List => "List" "list", Map => "Map" "map", Array => "Array" "array",
            Described => "Described" "described value",
        }
    }
}

#[test]
fn numbers_are_read_from_every_form_they_may_have() {
    assert_eq!(decode::<i32>(&[0x54, 0x80]), -128);
    assert_eq!(decode::<i32>(&[0x71, 0xff, 0xff, 0xff, 0x7f]), -129);
    assert_eq!(decode::<i64>(&[0x55, 0xff]), -1);
    assert_eq!(decode::<i64>(&[0x81, 0x80, 0, 0, 0, 0, 0, 0, 0]), i64::MIN);
    assert_eq!((decode::<u32>(&[0x43]), decode::<u64>(&[0x44])), (0, 0));
    assert_eq!(decode::<char>(&[0x73, 0, 1, 0xf6, 0]), '😀');
    // T-028: a surrogate is no character.
    assert_eq!(refusal::<char>(&[0x73, 0, 0, 0xd8, 0]), amqp_codec::DecodeErrorKind::InvalidChar);
    assert_eq!(refusal::<bool>(&[0x56, 2]), amqp_codec::DecodeErrorKind::InvalidBoolean);
}

#[test]
fn what_rust_offers_becomes_the_type_it_stands_for() {
    assert_eq!(Value::from(vec![1_u8, 2]), Value::Binary(Bytes::from_static(&[1, 2])));
    assert_eq!(Value::from(vec![Value::Null]), decode::<Value>(&[0xc0, 2, 1, 0x40]));
    assert_eq!(
        Value::from(Timestamp::from(-1)),
        decode::<Value>(&[0x83, 255, 255, 255, 255, 255, 255, 255, 255])
    );
    assert_eq!(Value::from(Some("x")), decode::<Value>(&[0xa1, 1, b'x']));
    assert_eq!(Value::from(Decimal32([0; 4])), decode::<Value>(&[0x74, 0, 0, 0, 0]));
    assert_eq!(to_bytes(&ValueRef::from(&[1_u8, 2][..])).as_ref(), &[0xa0, 2, 1, 2]);
    assert_eq!(to_bytes(&ValueRef::from('a')).as_ref(), &[0x73, 0, 0, 0, b'a']);
    assert_eq!(Value::of(&amqp_codec::Accepted {}), Ok(decode(&[0, 0x53, 0x24, 0x45])));
}

#[test]
fn equal_values_have_equal_hashes_whatever_octets_they_came_in() {
    for (id, octets, value) in vectors() {
        let again: Value = from_bytes(&octets, &amqp_codec::DecodeLimits::message()).unwrap();
        assert_eq!(again, value, "{id}");
        assert_eq!(hash_of(&again), hash_of(&value), "{id}");
        look_leniently(&octets, |seen| assert_eq!(seen, value, "{id}"));
    }
    // Zero has two signs and, as a float, two encodings: values differ if their bits do.
    assert_ne!(Value::Float(0.0), Value::Float(-0.0));
    assert_ne!(hash_of(&Value::Double(0.0)), hash_of(&Value::Double(-0.0)));
    assert_eq!(Value::Float(f32::NAN), Value::Float(f32::NAN));
    // The type counts, the number alone does not.
    assert_ne!(hash_of(&Value::Uint(1)), hash_of(&Value::Int(1)));
}

fn look_leniently(octets: &Bytes, at: impl FnOnce(ValueRef<'_>)) {
    let limits = amqp_codec::DecodeLimits::message();
    at(ValueRef::read(&mut amqp_codec::Cursor::new(octets, &limits)).unwrap());
}

#[test]
fn the_order_of_values_is_total_and_by_type_first() {
    let mut values: Vec<Value> = vectors().into_iter().map(|(_, _, value)| value).collect();
    values.extend(one_of_each().into_iter().map(|(value, _)| value));
    values.sort();
    for (place, a) in values.iter().enumerate() {
        for b in &values[place..] {
            // Sorted, each is at most as large as all that follow it: the order is transitive.
            assert!(a <= b && a.view() <= b.view(), "{a:?} {b:?}");
            assert_eq!(a.cmp(b), b.cmp(a).reverse());
            assert_eq!(a == b, to_bytes(a) == to_bytes(b), "{a:?} {b:?}");
        }
    }
    assert!(values.is_sorted_by_key(Value::value_type), "described values first, then type by type");
    for (small, large) in [
        (&[0x43][..], &[0x52, 1][..]),
        (&[0x54, 0x80], &[0x54, 1]),
        (&[0x81, 0x80, 0, 0, 0, 0, 0, 0, 0], &[0x55, 0]),
        (&[0x42], &[0x41]),
        (&[0xa1, 1, b'a'], &[0xa1, 2, b'a', 0]),
        (&[0xa1, 1, b'z'], &[0xa3, 1, b'a']),
    ] {
        assert!(decode::<Value>(small) < decode::<Value>(large), "{small:02x?} {large:02x?}");
    }
}

#[test]
fn an_array_of_any_type_may_be_empty_or_hold_values_of_that_type() {
    // T-040, T-041: one constructor for all elements.
    for (value, _) in one_of_each() {
        let Some(element_type) = value.value_type() else {
            assert!(
                Array::new(vec![value]).is_err(),
                "described elements are those of an array with a descriptor"
            );
            continue;
        };
        let empty = Array::empty(element_type);
        let again: Array = decode(&to_bytes(&empty));
        assert_eq!((again.element_type(), again.len(), again.iter().next()), (element_type, 0, None));
        assert_eq!(again, empty);
        let several = Array::new(vec![value.clone(), value.clone()]).unwrap();
        let again: Array = decode(&to_bytes(&several));
        assert_eq!((&again, hash_of(&again)), (&several, hash_of(&several)));
        assert!(again.iter().all(|element| element == value) && again.len() == 2, "{again:?}");
        assert_ne!(empty, several);
    }
}

#[test]
fn one_empty_array_is_another_whichever_width_its_constructor_has() {
    for (one, other) in [(0x43, 0x70), (0x52, 0x70), (0x53, 0x80), (0x54, 0x71), (0x55, 0x81)] {
        let arrays: [Array; 2] = [one, other].map(|constructor| decode(&[0xe0, 2, 0, constructor]));
        assert_eq!(arrays[0], arrays[1], "{one:02x} and {other:02x}");
    }
    for (short, long) in [(0xa0, 0xb0), (0xa1, 0xb1), (0xa3, 0xb3), (0xc0, 0xd0), (0xc1, 0xd1), (0xe0, 0xf0)]
    {
        let arrays: [Array; 2] = [short, long].map(|constructor| decode(&[0xe0, 2, 0, constructor]));
        assert_eq!(arrays[0], arrays[1], "{short:02x} and {long:02x}");
    }
}
