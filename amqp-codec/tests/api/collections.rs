//! Lists, arrays, described values and fields of several values.

use amqp_codec::{
    Array, Bytes, Cursor, DecodeErrorKind, DecodeLimits, Described, Encode, FullList, List, Multiple, Symbol,
    Value, ValueRef, from_bytes, to_bytes,
};

use super::{STRICT, decode, look, refusal};

/// The same values in another encoding than the smallest, beside the smallest.
const WIDE: [(&[u8], &[u8]); 9] = [
    (&[0xd0, 0, 0, 0, 6, 0, 0, 0, 1, 0x56, 0], &[0xc0, 2, 1, 0x42]),
    (&[0xd0, 0, 0, 0, 4, 0, 0, 0, 0], &[0x45]),
    (&[0xd1, 0, 0, 0, 10, 0, 0, 0, 2, 0x70, 0, 0, 0, 1, 0x40], &[0xc1, 4, 2, 0x52, 1, 0x40]),
    (&[0xf0, 0, 0, 0, 9, 0, 0, 0, 1, 0x70, 0, 0, 0, 7], &[0xe0, 3, 1, 0x52, 7]),
    // Lists in an array: long headers, though short ones do.
    (
        &[0xe0, 21, 2, 0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x40, 0, 0, 0, 6, 0, 0, 0, 2, 0x40, 0x41],
        &[0xe0, 9, 2, 0xc0, 2, 1, 0x40, 3, 2, 0x40, 0x41],
    ),
    // Maps in an array.
    (&[0xe0, 13, 1, 0xd1, 0, 0, 0, 7, 0, 0, 0, 2, 0x53, 0, 0x41], &[0xe0, 6, 1, 0xc1, 3, 2, 0x44, 0x41]),
    // An array in an array.
    (&[0xe0, 12, 1, 0xf0, 0, 0, 0, 6, 0, 0, 0, 1, 0x50, 9], &[0xe0, 6, 1, 0xe0, 3, 1, 0x50, 9]),
    // Described elements.
    (&[0xe0, 13, 1, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 5, 0x50, 9], &[0xe0, 6, 1, 0, 0x53, 5, 0x50, 9]),
    (&[0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x24, 0xc0, 1, 0], &[0, 0x53, 0x24, 0x45]),
];

#[test]
fn whatever_width_a_peer_chose_the_smallest_encoding_is_written() {
    for (wide, smallest) in WIDE {
        let value = decode::<Value>(wide);
        assert_eq!(to_bytes(&value), smallest, "{wide:02x?}");
        look(wide, |seen| {
            assert_eq!(to_bytes(&seen), smallest, "{wide:02x?}");
            // A counter and the sink of full lists say the same as the buffer.
            assert_eq!(seen.encoded_len(), smallest.len(), "{wide:02x?}");
            assert_eq!(to_bytes(&FullList(&seen)), smallest, "{wide:02x?}");
            look(smallest, |same| {
                assert!(
                    seen == same && seen.partial_cmp(&same) == Some(std::cmp::Ordering::Equal),
                    "{seen:?}"
                );
                assert!(seen == value.view(), "{seen:?}");
                assert_eq!(format!("{seen:?}"), format!("{same:?}"));
            });
            let owned: Value = match seen {
                ValueRef::List(list) => list.to_list().into(),
                ValueRef::Map(map) => map.to_map().into(),
                ValueRef::Array(array) => array.to_array().into(),
                ValueRef::Described(described) => described.to_described().into(),
                other => panic!("{other:?}"),
            };
            assert_eq!((&owned, to_bytes(&owned).as_ref()), (&value, smallest));
        });
    }
}

#[test]
fn lists_are_read_by_place_and_in_order() {
    let mut list: List = decode(&[0xc0, 5, 3, 0x40, 0x52, 5, 0x41]);
    assert_eq!((list.len(), list.is_empty(), List::default().is_empty()), (3, false, true));
    assert_eq!((list.first(), list.get(1), list.get(3)), (Some(ValueRef::Null), Some(5_u32.into()), None));
    list.push("x");
    list.extend([false]);
    assert_eq!(to_bytes(&list).as_ref(), &[0xc0, 9, 5, 0x40, 0x52, 5, 0x41, 0xa1, 1, b'x', 0x42][..]);
    let seen = list.view();
    assert_eq!((seen.len(), seen.first(), seen.get(4)), (5, Some(ValueRef::Null), Some(false.into())));
    assert!(!seen.is_empty() && seen.get(5).is_none());
    let places =
        |values: &mut dyn Iterator<Item = ValueRef<'_>>| values.filter(|v| v.as_bool().is_some()).count();
    assert_eq!((places(&mut (&list).into_iter()), places(&mut seen.into_iter())), (2, 2));
    assert_eq!(list.iter().len(), 5);
    assert_eq!(format!("{list:?}"), format!("{seen:?}"));
    let mut values = list.into_iter();
    assert_eq!((values.next(), values.len()), (Some(Value::Null), 4));
    assert_eq!(values.last(), Some(Value::Boolean(false)));
}

#[test]
fn what_a_given_up_list_held_shares_the_octets_that_were_received() {
    let octets = Bytes::from([&[0xc0, 43, 1, 0xa0, 40][..], &[7; 40]].concat());
    let list: List = from_bytes(&octets, &STRICT).unwrap();
    let Some(Value::Binary(inner)) = list.into_iter().next() else { panic!("no binary") };
    assert_eq!((inner.as_ptr(), inner.len()), (octets[5..].as_ptr(), 40));
}

#[test]
fn arrays_tell_their_type_their_descriptor_and_their_elements() {
    let array: Array = decode(&[0xe0, 7, 2, 0, 0x53, 5, 0x50, 9, 8]);
    assert_eq!(array.descriptor(), Some(5_u64.into()));
    assert_eq!(array.element_type(), amqp_codec::ValueType::Ubyte);
    let seen = array.view();
    assert_eq!((seen.len(), seen.is_empty(), array.is_empty()), (2, false, false));
    assert_eq!(seen.into_iter().map(|v| v.as_u64()).collect::<Vec<_>>(), [Some(9), Some(8)]);
    assert_eq!((&array).into_iter().len(), 2);
    let same = Array::new(vec![Value::Ubyte(9), Value::Ubyte(8)]).unwrap();
    assert_ne!(array, same, "the descriptor counts");
    assert_eq!(array, same.with_descriptor(5_u64));
    assert_eq!(format!("{array:?}"), "Ubyte @Ulong(5) [Ubyte(9), Ubyte(8)]");
    assert_eq!(refusal::<Array>(&[0x45]), DecodeErrorKind::WrongType(0x45));
    assert_eq!(
        amqp_codec::MixedElements.to_string(),
        Array::new(vec![Value::Null, Value::Uint(0)]).unwrap_err().to_string()
    );
}

#[test]
fn a_dozen_octets_are_shown_in_a_dozen_words() {
    // T-043: thousands of elements without octets.
    let array: Array = decode(&[0xf0, 0, 0, 0, 5, 0, 0, 0xff, 0xff, 0x41]);
    assert_eq!(array.len(), 65_535);
    assert_eq!(format!("{array:?}"), "Boolean [Boolean(true); 65535]");
    assert_eq!(format!("{:?}", decode::<Array>(&[0xe0, 2, 1, 0x41])), "Boolean [Boolean(true)]");
}

#[test]
fn symbols_of_a_field_become_an_array_of_symbols() {
    // T-014: as many as there are.
    let symbols: Multiple<Symbol> = ["a", "bc"].into_iter().collect();
    assert_eq!(to_bytes(&Array::from(symbols)).as_ref(), &[0xe0, 7, 2, 0xa3, 1, b'a', 2, b'b', b'c']);
    let none = Array::from(Multiple::<Symbol>::default());
    assert_eq!((none.element_type(), none.len()), (amqp_codec::ValueType::Symbol, 0));
}

#[test]
fn a_field_of_several_values_reads_every_form_of_none_one_and_many() {
    type Symbols = Multiple<Symbol>;
    // T-014: null, a bare value, an array.
    for (octets, texts) in [
        (&[0x40][..], &[][..]),
        (&[0xa3, 1, b'a'], &["a"]),
        (&[0xe0, 2, 0, 0xa3], &[]),
        (&[0xe0, 4, 1, 0xa3, 1, b'a'], &["a"]),
        (&[0xf0, 0, 0, 0, 13, 0, 0, 0, 1, 0xb3, 0, 0, 0, 4, b'a', b'b', b'c', b'd'], &["abcd"]),
    ] {
        let symbols: Symbols = decode(octets);
        assert_eq!(symbols.iter().map(|symbol| symbol.as_str()).collect::<Vec<_>>(), texts, "{octets:02x?}");
    }
    // T-042: an empty array without a constructor is refused by the strict, and forgiven otherwise.
    let bare = Bytes::from_static(&[0xe0, 1, 0]);
    assert_eq!(refusal::<Symbols>(&bare), DecodeErrorKind::MissingConstructor);
    assert_eq!(from_bytes::<Symbols>(&bare, &DecodeLimits::message()), Ok(Symbols::default()));
    // T-015: not a list, and nothing but symbols.
    assert_eq!(refusal::<Symbols>(&[0xc0, 4, 1, 0xa3, 1, b'a']), DecodeErrorKind::WrongType(0xc0));
    assert_eq!(refusal::<Symbols>(&[0xe0, 3, 1, 0x50, 1]), DecodeErrorKind::WrongType(0x50));
    let mut symbols = Symbols::from(vec![Symbol::from("a")]);
    assert_eq!(to_bytes(&symbols).as_ref(), &[0xa3, 1, b'a']);
    symbols.push("b");
    assert!(symbols.contains_symbol("b") && !symbols.contains_symbol("c"));
    let long: Symbols = [Symbol::new("x".repeat(256)).unwrap(), "y".into()].into_iter().collect();
    let encoded = to_bytes(&long);
    assert_eq!(encoded[..14], [0xf0, 0, 0, 1, 14, 0, 0, 0, 2, 0xb3, 0, 0, 1, 0]);
    assert_eq!(decode::<Symbols>(&encoded), long);
}

#[test]
fn described_values_are_known_by_number_or_symbol() {
    // T-005: one composite has two names.
    let symbol: Described = decode(&[&[0, 0xa3, 18][..], b"amqp:accepted:list", &[0x45]].concat());
    let number: Described = decode(&[0, 0x53, 0x24, 0x45]);
    let other: Described = decode(&[0, 0xa1, 1, b'x', 0x41]);
    for accepted in [&symbol, &number] {
        assert!(accepted.is(0x24, "amqp:accepted:list") && accepted.view().is(0x24, "amqp:accepted:list"));
        assert!(!accepted.is(0x25, "amqp:rejected:list"));
        assert_eq!(accepted.code(), Some(0x24));
    }
    assert!(!other.is(0x24, "x") && other.code().is_none(), "a string names nothing");
    assert_eq!((other.descriptor(), other.value()), ("x".into(), true.into()));
    assert_eq!(other.clone().into_parts(), ("x".into(), true.into()));
    assert!(symbol != number, "what was sent is kept");
    assert!(other.view().partial_cmp(&number.view()).is_some_and(std::cmp::Ordering::is_ne));
    assert_eq!(format!("{other:?}"), r#"Described { descriptor: String("x"), value: Boolean(true) }"#);
    assert_eq!(refusal::<Described>(&[0x40]), DecodeErrorKind::WrongType(0x40));
}

#[test]
fn a_reader_knows_where_it_is_and_steps_over_what_it_does_not_want() {
    let octets = Bytes::from_static(&[0xc0, 2, 1, 0x40, 0x41, 0x52]);
    let mut cursor = Cursor::new(&octets, &STRICT);
    assert_eq!((cursor.offset(), cursor.remaining(), cursor.limits().is_strict()), (0, 6, true));
    cursor.skip_value().unwrap();
    assert_eq!((cursor.offset(), cursor.remaining()), (4, 2));
    assert!(cursor.finish("test").is_err());
    cursor.skip_value().unwrap();
    let error = cursor.skip_value().unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Truncated);
    assert_eq!(DecodeLimits::default(), DecodeLimits::message());
    // Described values within described values, sizes of four octets; what is skipped is not checked, but has an end.
    let octets = Bytes::from_static(&[0, 0, 0x41, 0x53, 1, 0xb0, 0, 0, 0, 1, 9, 0x3f]);
    let mut cursor = Cursor::new(&octets, &STRICT);
    cursor.skip_value().unwrap();
    assert_eq!(cursor.offset(), 11);
    let error = cursor.skip_value().unwrap_err();
    assert_eq!((error.kind, error.offset), (DecodeErrorKind::InvalidConstructor(0x3f), 11));
    assert_eq!(cursor.rest().len(), 0);
}
