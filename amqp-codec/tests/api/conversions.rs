//! Conversions between values and Rust types, and what collections offer beside reading.

use amqp_codec::{
    Annotations, Array, BatchBuilder, Body, BodyRef, Bytes, Decimal32, DecodeErrorKind, Described, List, Map,
    Message, MessageParts, MessageView, Str, Symbol, Value, ValueRef, ValueType, message::batch, to_bytes,
};

use crate::STRICT;

#[test]
fn text_and_octets_of_any_lifetime_become_values() {
    let text = String::from("longer than what fits into the value itself");
    let value = Value::from(text.as_str());
    assert_eq!(value.as_str(), Some(text.as_str()));
    assert_eq!(Value::from(text.as_bytes()).as_binary().unwrap(), text.as_bytes());
    assert_eq!(Value::from([1, 2]), Value::from(vec![1_u8, 2]));
}

#[test]
fn values_become_rust_types_or_say_what_they_are_not() {
    assert_eq!(String::try_from(Value::from("a")).unwrap(), "a");
    assert_eq!(Vec::<u8>::try_from(Value::from([1])).unwrap(), [1]);
    assert_eq!(Decimal32::try_from(Value::from(Decimal32([7; 4]))).unwrap(), Decimal32([7; 4]));
    let list: List = [1_u8, 2].into_iter().collect();
    assert_eq!(Vec::<Value>::try_from(Value::from(list)).unwrap(), [Value::Ubyte(1), Value::Ubyte(2)]);
    let error = String::try_from(Value::symbol("a")).unwrap_err();
    assert_eq!(error.to_string(), "value is not a string");
}

#[test]
fn borrowed_values_become_rust_types_or_say_what_they_are_not() {
    assert_eq!(u32::try_from(ValueRef::Uint(7)).unwrap(), 7);
    assert!(u32::try_from(ValueRef::Ulong(7)).is_err());
    assert_eq!(<&str>::try_from(ValueRef::from("a")).unwrap(), "a");
    assert!(<&str>::try_from(Value::symbol("a").view()).is_err());
    assert_eq!(<&[u8]>::try_from(ValueRef::Binary(b"a")).unwrap(), b"a");
    let described = Value::from(Described::new(1_u64, 2_u64));
    let described = amqp_codec::DescribedRef::try_from(described.view()).unwrap();
    assert_eq!(described.code(), Some(1));
}

#[test]
fn bodies_are_made_of_what_they_hold() {
    assert_eq!(Body::from(Bytes::from_static(b"a")), Body::from(b"a".to_vec()));
    assert_eq!(Body::from(Value::Null), Body::Value(Value::Null));
    let list: List = [1_u8].into_iter().collect();
    let message = Message::default().with_body(Body::from(list));
    assert_eq!(to_bytes(&message).as_ref(), [0, 0x53, 0x76, 0xc0, 3, 1, 0x50, 1]);
}

#[test]
fn annotations_have_reserved_keys_too() {
    let mut annotations = Annotations::new().with("x", 1).with(7_u64, 2);
    assert_eq!(annotations.get_ulong(7), Some(2.into()));
    assert_eq!(annotations.get_ulong(8), None);
    let message = Message::data("b").with_message_annotation("x", 1).with_message_annotation(7_u64, 2);
    let octets = to_bytes(&message);
    let view = MessageView::parse(&octets, &STRICT).unwrap();
    assert_eq!(view.message_annotation_ulong(7), Ok(Some(2.into())));
    assert_eq!(view.message_annotation_ulong(8), Ok(None));
    assert_eq!(annotations.remove_ulong(7), Some(2.into()));
    assert_eq!((annotations.remove_ulong(7), annotations.len()), (None, 1));
}

#[test]
fn an_array_gives_single_elements_and_all_that_it_owns() {
    let array = Array::new(vec![Str::copy_from("a").into(), "b".into()]).unwrap().with_descriptor(1_u64);
    assert_eq!((array.get(1), array.get(2)), (Some("b".into()), None));
    assert_eq!(array.view().unwritten_len(), 0);
    let elements = array.into_iter();
    assert_eq!(elements.len(), 2);
    assert_eq!(elements.collect::<Vec<_>>(), [Value::from("a"), Value::from("b")]);
    let nulls = Array::new(vec![Value::Null; 300]).unwrap();
    assert_eq!(nulls.view().unwritten_len(), 300);
    assert_eq!(nulls.into_iter().count(), 300);
    assert_eq!(Array::empty(ValueType::Uint).into_iter().next(), None);
}

#[test]
fn a_list_loses_its_last_value_and_takes_another_in_a_place() {
    let mut list: List = [1_u32, 2, 3].into_iter().collect();
    assert_eq!(list.pop(), Some(3_u32.into()));
    assert_eq!(list.set(0, "longer"), Some(1_u32.into()));
    assert_eq!(list.set(2, 1), None);
    assert_eq!(list.iter().collect::<Vec<_>>(), [ValueRef::from("longer"), 2_u32.into()]);
    list.clear();
    assert_eq!((list.pop(), list), (None, List::new()));
}

#[test]
fn a_map_knows_its_keys_and_forgets_them() {
    let mut map = Map::new().with("a", 1);
    assert!(map.contains_key(&"a".into()));
    assert!(!map.contains_key(&Value::Symbol(Symbol::from_static("a"))));
    map.clear();
    assert_eq!(map, Map::new());
}

#[test]
fn a_batch_takes_parts_and_encoded_messages() {
    let message = Message::data("a");
    let mut batch = BatchBuilder::new(100);
    batch.try_add(&message).unwrap();
    batch.try_add(&MessageParts { body: BodyRef::Data(b"a"), ..MessageParts::default() }).unwrap();
    batch.try_add_encoded(&to_bytes(&message)).unwrap();
    assert!(batch.try_add_encoded(&[0; 100]).is_err());
    assert_eq!(batch.len(), 3);
    let inner: Vec<Bytes> = batch::messages(batch.finish(), &STRICT).unwrap().map(Result::unwrap).collect();
    assert_eq!(inner, vec![to_bytes(&message); 3]);
}

#[test]
fn a_batch_without_a_data_body_is_an_error_and_not_empty() {
    let refused = batch::messages(to_bytes(&Message::value("a")), &STRICT).unwrap_err();
    assert_eq!(refused.kind, DecodeErrorKind::SectionOrder);
}
