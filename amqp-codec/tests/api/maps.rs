//! Maps of any keys, and those with one type of key.

use std::collections::BTreeSet;

use amqp_codec::{
    AnnotationKey, AnnotationKeyRef, Annotations, ApplicationProperties, Bytes, DecodeErrorKind,
    DecodeLimits, Entries, Fields, Map, NotAscii, Symbol, Value, ValueRef, from_bytes, to_bytes,
};

use proptest::prelude::*;

use super::{STRICT, decode, hash_of, look, refusal};

/// `{"a": 1, :b: null}`.
const MIXED: [u8; 12] = [0xc1, 10, 4, 0xa1, 1, b'a', 0x52, 1, 0xa3, 1, b'b', 0x40];

#[test]
fn maps_are_built_searched_and_thinned_out() {
    let mut map = Map::new().with("a", 1_u32).with(Symbol::from("b"), Value::Null);
    assert_eq!(to_bytes(&map).as_ref(), &MIXED);
    assert_eq!((map.len(), map.is_empty(), Map::default().is_empty()), (2, false, true));
    assert_eq!(
        (map.get_str("b"), map.get_symbol("b")),
        (None, Some(ValueRef::Null)),
        "the type of a key counts"
    );
    assert_eq!(map.remove(&Value::Uint(1)), None);
    assert_eq!(map.remove(&"a".into()), Some(Value::Uint(1)));
    assert_eq!(to_bytes(&map).as_ref(), &[0xc1, 5, 2, 0xa3, 1, b'b', 0x40]);
    map.extend((0..40_u8).map(|number| (number, number)));
    map.retain(|key, value| key == value && value.as_u64().is_some_and(|number| number > 37));
    assert_eq!(to_bytes(&map).as_ref(), &[0xc1, 9, 4, 0x50, 38, 0x50, 38, 0x50, 39, 0x50, 39]);
    assert_eq!(format!("{map:?}"), "{Ubyte(38): Ubyte(38), Ubyte(39): Ubyte(39)}");
}

#[test]
fn a_map_is_looked_at_where_it_lies() {
    look(&MIXED, |seen| {
        let seen = seen.as_map().unwrap();
        assert_eq!((seen.len(), seen.is_empty()), (2, false));
        assert_eq!(
            (seen.get_str("a"), seen.get(&Value::symbol("b"))),
            (Some(1_u32.into()), Some(ValueRef::Null))
        );
        assert_eq!(
            seen.into_iter().map(|(key, _)| key.as_text()).collect::<Vec<_>>(),
            [Some("a"), Some("b")]
        );
        assert_eq!(seen.iter().len(), 2);
        let owned = seen.to_map();
        assert_eq!(
            (&owned, owned.iter().count(), (&owned).into_iter().count()),
            (&decode::<Map>(&MIXED), 2, 2)
        );
        assert!(seen == owned.view() && seen <= owned.view());
    });
    assert_eq!(refusal::<Map>(&[0x45]), DecodeErrorKind::WrongType(0x45));
    // T-037: a key without a value.
    assert_eq!(refusal::<Map>(&[0xc1, 2, 1, 0x40]), DecodeErrorKind::OddMapCount);
}

#[test]
fn fields_are_searched_cleared_and_given_up() {
    let octets = Bytes::from(
        [&[0xc1, 58, 4, 0xa3, 1, b'k', 0x41, 0xa3, 2, b'n', b'o', 0xa0, 47][..], &[7; 47]].concat(),
    );
    let fields: Fields = from_bytes(&octets, &STRICT).unwrap();
    assert!(fields.contains_key("k") && fields.contains_key("no") && !fields.contains_key("n"));
    assert_eq!((fields.len(), fields.is_empty(), Fields::default().is_empty()), (2, false, true));
    assert_eq!(format!("{fields:?}"), format!("{:?}", fields.view()));
    let entries = fields.iter();
    assert_eq!((entries.len(), format!("{:?}", entries.clone())), (2, format!("{fields:?}")));
    assert_eq!(entries.map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["k", "no"]);
    assert_eq!((&fields).into_iter().count(), 2);
    let mut given_up = fields.clone().into_iter();
    assert_eq!((given_up.size_hint(), given_up.next()), ((2, Some(2)), Some(("k".into(), true.into()))));
    let Some((_, Value::Binary(inner))) = given_up.next() else { panic!("no binary") };
    assert_eq!(inner.as_ptr(), octets[13..].as_ptr(), "values share what was received");
    assert_eq!(given_up.next(), None);
    let mut fields = fields;
    fields.clear();
    assert_eq!((to_bytes(&fields).as_ref(), fields.get("k")), (&[0xc1, 1, 0][..], None));
}

#[test]
fn every_kind_of_map_takes_its_own_keys_only() {
    let map = |key: &[u8]| [&[0xc1, u8::try_from(key.len()).unwrap() + 2, 2][..], key, &[0x41]].concat();
    let (string, symbol, number, uint) =
        (map(&[0xa1, 1, b'k']), map(&[0xa3, 1, b'k']), map(&[0x53, 9]), map(&[0x52, 9]));
    // M-018, M-023: strings; symbols, or numbers that are reserved.
    let table: [(&[u8], bool, bool, bool); 4] = [
        (&string, true, false, false),
        (&symbol, false, true, true),
        (&number, false, false, true),
        (&uint, false, false, false),
    ];
    for (octets, strings, symbols, annotations) in table {
        let octets = Bytes::copy_from_slice(octets);
        assert_eq!(from_bytes::<ApplicationProperties>(&octets, &STRICT).is_ok(), strings, "{octets:02x?}");
        assert_eq!(from_bytes::<Fields>(&octets, &STRICT).is_ok(), symbols, "{octets:02x?}");
        assert_eq!(from_bytes::<Annotations>(&octets, &STRICT).is_ok(), annotations, "{octets:02x?}");
        assert!(from_bytes::<Map>(&octets, &STRICT).is_ok(), "{octets:02x?}");
    }
    // Keys that end too early.
    assert_eq!(refusal::<Annotations>(&[0xc1, 3, 2, 0x80, 0]), DecodeErrorKind::Truncated);
    assert_eq!(refusal::<Fields>(&[0xc1, 3, 2, 0xa3, 2]), DecodeErrorKind::Truncated);
    let properties: ApplicationProperties = decode(&string);
    assert_eq!(properties.into_iter().collect::<Vec<_>>(), [("k".into(), true.into())]);
    let annotations: Annotations = decode(&number);
    assert_eq!(annotations.into_iter().collect::<Vec<_>>(), [(AnnotationKey::Ulong(9), true.into())]);
    let annotations: Annotations = decode(&symbol);
    assert_eq!(annotations.into_iter().collect::<Vec<_>>(), [("k".into(), true.into())]);
}

#[test]
fn keys_of_annotations_are_symbols_or_numbers() {
    // M-023: symbol or ulong.
    let (symbol, number): (AnnotationKey, AnnotationKey) =
        (decode(&[0xa3, 1, b'k']), decode(&[0x80, 0, 0, 0, 0, 0, 0, 0, 9]));
    assert_eq!((symbol.as_str(), number.as_str()), (Some("k"), None));
    assert_eq!((symbol.to_string(), number.to_string()), ("k".to_owned(), "9".to_owned()));
    assert_eq!(
        (to_bytes(&symbol).as_ref(), to_bytes(&number).as_ref()),
        (&[0xa3, 1, b'k'][..], &[0x53, 9][..])
    );
    assert_eq!(
        (AnnotationKey::from(9), AnnotationKey::from(Symbol::from("k"))),
        (number.clone(), symbol.clone())
    );
    assert_eq!(AnnotationKey::try_from(String::from("k")), Ok(symbol.clone()));
    assert_eq!(AnnotationKey::try_from(String::from("é")), Err(NotAscii));
    assert_eq!(refusal::<AnnotationKey>(&[0x52, 9]), DecodeErrorKind::WrongType(0x52));
    let annotations = Annotations::new().with(symbol.clone(), 1_u8).with(number.clone(), 2_u8);
    let seen: Vec<AnnotationKeyRef<'_>> = annotations.iter().map(|(key, _)| key).collect();
    assert_eq!((seen[0].as_str(), seen[1].as_str()), (Some("k"), None));
    assert_eq!((seen[0].to_string(), seen[1].to_string()), ("k".to_owned(), "9".to_owned()));
    assert_eq!((seen[0].to_key(), AnnotationKey::from(seen[1])), (symbol, number));
    assert_eq!((annotations.get("k"), annotations.get("9")), (Some(1_u8.into()), None));
}

#[test]
fn maps_are_keys_of_sets_in_an_order_of_their_own() {
    let (a, b) = (Fields::new().with("a", 1_u32), Fields::new().with("a", 2_u32));
    let wide: Fields = decode(&[0xd1, 0, 0, 0, 12, 0, 0, 0, 2, 0xa3, 1, b'a', 0x70, 0, 0, 0, 1]);
    assert_eq!((&wide, hash_of(&wide)), (&a, hash_of(&a)));
    let set: BTreeSet<Fields> = [b.clone(), a.clone(), wide, Fields::new()].into();
    assert_eq!(set.into_iter().collect::<Vec<_>>(), [Fields::new(), a.clone(), b.clone()]);
    let maps: BTreeSet<Map> = [Map::new().with(1_u8, 1_u8), Map::new(), Map::new()].into();
    assert_eq!(maps.len(), 2);
    assert!(a < b && hash_of(&a) != hash_of(&b));
}

#[test]
fn entries_are_checked_as_they_are_reached() {
    let limits = DecodeLimits::message();
    let read = |octets: &[u8]| -> Vec<Result<Value, DecodeErrorKind>> {
        let octets = Bytes::copy_from_slice(octets);
        let entries = Entries::new(&octets, &limits).unwrap();
        entries.map(|entry| entry.map(|(key, _)| key.to_value()).map_err(|error| error.kind)).collect()
    };
    let octets = Bytes::copy_from_slice(&MIXED);
    let mut entries = Entries::new(&octets, &limits).unwrap();
    assert_eq!(entries.remaining(), 2);
    assert_eq!(entries.next(), Some(Ok(("a".into(), 1_u32.into()))));
    assert_eq!(entries.remaining(), 1);
    assert_eq!(read(&MIXED), [Ok("a".into()), Ok(Value::symbol("b"))]);
    // A broken entry ends it: there is no way to know where the next one starts.
    assert_eq!(
        read(&[0xc1, 8, 6, 0x50, 1, 0x40, 0x3f, 0x40, 0x40, 0x40]),
        [Ok(Value::Ubyte(1)), Err(DecodeErrorKind::InvalidConstructor(0x3f))]
    );
    // T-036: what the last entry leaves in the map belongs to nothing.
    assert_eq!(read(&[0xc1, 4, 2, 0x40, 0x41, 0x41]), [Err(DecodeErrorKind::SizeMismatch)]);
    // M-018: what is no key of application properties ends the entries too.
    let message = Bytes::from_static(&[
        0, 0x53, 0x74, 0xc1, 8, 4, 0xa1, 1, b'k', 0x41, 0x52, 1, 0x41, 0, 0x53, 0x77, 0x40,
    ]);
    let view = amqp_codec::MessageView::parse(&message, &limits).unwrap();
    let mut entries = view.iter_application_properties().unwrap().unwrap();
    assert_eq!(entries.next(), Some(Ok(("k".into(), true.into()))));
    assert_eq!(entries.next().map(|entry| entry.unwrap_err().kind), Some(DecodeErrorKind::WrongType(0x52)));
    assert_eq!((entries.remaining(), entries.next()), (0, None));
    let fault = |octets: &'static [u8]| {
        Entries::new(&Bytes::from_static(octets), &limits).map(|_| ()).unwrap_err().kind
    };
    assert_eq!(fault(&[0xc1, 2, 1, 0x40]), DecodeErrorKind::OddMapCount);
    assert_eq!(fault(&[0x45]), DecodeErrorKind::WrongType(0x45));
    assert_eq!(fault(&[0xc1, 1, 2]), DecodeErrorKind::CountTooLarge);
}

/// A change of a map.
#[derive(Clone, Debug)]
enum Change {
    Insert(Value, Value),
    Remove(Value),
    Extend(Vec<(Value, Value)>),
    KeepEven,
    Clone,
    Share,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Few different keys, so that they meet again; values of different lengths, so that what is behind them moves.
    let key =
        || prop_oneof![(0..60_u32).prop_map(Value::Uint), "[a-c]{1,2}".prop_map(|text: String| text.into())];
    let value = || {
        prop_oneof![
            Just(Value::Null),
            (0..400_u32).prop_map(Value::Uint),
            ".{0,9}".prop_map(|text: String| text.into())
        ]
    };
    let change = prop_oneof![
        12 => (key(), value()).prop_map(|(key, value)| Change::Insert(key, value)),
        3 => key().prop_map(Change::Remove),
        1 => prop::collection::vec((key(), value()), 0..40).prop_map(Change::Extend),
        1 => Just(Change::KeepEven),
        1 => Just(Change::Clone),
        1 => Just(Change::Share),
    ];
    prop::collection::vec(change, 0..120)
}

fn is_even(value: &Value) -> bool {
    value.as_u64().is_some_and(|number| number % 2 == 0)
}

proptest! {
    #[test]
    fn a_map_behaves_as_a_list_of_pairs_does(changes in changes()) {
        let mut map = Map::new();
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        let set = |pairs: &mut Vec<(Value, Value)>, key: Value, value: Value| {
            let known = pairs.iter_mut().find(|(own, _)| *own == key);
            match known {
                Some((_, own)) => Some(std::mem::replace(own, value)),
                None => {
                    pairs.push((key, value));
                    None
                }
            }
        };
        for change in changes {
            match change {
                Change::Insert(key, value) => {
                    prop_assert_eq!(map.insert(key.clone(), value.clone()), set(&mut pairs, key, value));
                }
                Change::Remove(key) => {
                    let place = pairs.iter().position(|(own, _)| *own == key);
                    prop_assert_eq!(map.remove(&key), place.map(|place| pairs.remove(place).1));
                }
                Change::Extend(entries) => {
                    map.extend(entries.clone());
                    entries.into_iter().for_each(|(key, value)| drop(set(&mut pairs, key, value)));
                }
                Change::KeepEven => {
                    map.retain(|_, value| is_even(&value.to_value()));
                    pairs.retain(|(_, value)| is_even(value));
                }
                Change::Clone => map = map.clone(),
                Change::Share => map = decode(&to_bytes(&map)),
            }
            prop_assert_eq!(map.len(), pairs.len());
        }
        for (key, value) in &pairs {
            prop_assert_eq!(map.get(key), Some(value.view()));
        }
        prop_assert_eq!(decode::<Map>(&to_bytes(&map)), map.clone());
        prop_assert_eq!(map.into_iter().collect::<Vec<_>>(), pairs);
    }
}
