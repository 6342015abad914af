//! Maps and lists that stay encoded against plain vectors: whatever is done to both, they hold the same.

use amqp_codec::{
    ApplicationProperties, DecodeLimits, Encode, Fields, List, Map, Str, Symbol, Value, ValueRef, from_bytes,
    to_bytes,
};
use proptest::prelude::*;

/// What is done to a map.
#[derive(Clone, Debug)]
enum Step<K> {
    Insert(K, Value),
    With(K, Value),
    Remove(K),
    /// Keeps the entries whose value, encoded, has a length that is no multiple of this.
    Retain(usize),
    Extend(Vec<(K, Value)>),
    /// Goes over the wire, so that the map shares what was received.
    Travel,
}

/// The naive map: entries in order.
type Model = Vec<(Value, Value)>;

fn values() -> impl Strategy<Value = Value> {
    let simple = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        prop_oneof![Just(0), any::<u32>()].prop_map(Value::Uint),
        any::<i64>().prop_map(Value::Long),
        "[a-zé]{0,40}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
    ];
    simple.prop_recursive(2, 8, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|items| Value::from(List::from_iter(items)))
    })
}

/// Few enough to meet again, enough to need an index; long ones share their ends.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..40_u8).prop_map(|i| format!("k{i}")),
        1 => (0..9_u8).prop_map(|i| format!("iothub-the-same-{i}-before-and-behind")),
    ]
}

fn steps<K: Clone + core::fmt::Debug + 'static>(
    keys: impl Strategy<Value = K> + Clone + 'static,
) -> impl Strategy<Value = Vec<Step<K>>> {
    let entries = prop::collection::vec((keys.clone(), values()), 0..20);
    let step = prop_oneof![
        8 => (keys.clone(), values()).prop_map(|(key, value)| Step::Insert(key, value)),
        2 => (keys.clone(), values()).prop_map(|(key, value)| Step::With(key, value)),
        4 => keys.prop_map(Step::Remove),
        1 => (2..5_usize).prop_map(Step::Retain),
        1 => entries.prop_map(Step::Extend),
        1 => Just(Step::Travel),
    ];
    prop::collection::vec(step, 0..60)
}

fn insert(model: &mut Model, key: Value, value: Value) -> Option<Value> {
    match model.iter_mut().find(|(own, _)| *own == key) {
        Some((_, own)) => Some(core::mem::replace(own, value)),
        None => {
            model.push((key, value));
            None
        }
    }
}

fn remove(model: &mut Model, key: &Value) -> Option<Value> {
    let place = model.iter().position(|(own, _)| own == key)?;
    Some(model.remove(place).1)
}

fn is_kept(value: ValueRef<'_>, of: usize) -> bool {
    !value.encoded_len().is_multiple_of(of)
}

fn same(model: &Model, len: usize, entries: impl Iterator<Item = (Value, Value)>, encoded: &[u8]) {
    assert_eq!(len, model.len());
    assert_eq!(&entries.collect::<Model>(), model);
    // What is written is what the entries are when written one by one.
    let content: Vec<u8> =
        model.iter().flat_map(|(key, value)| [to_bytes(key), to_bytes(value)].concat()).collect();
    assert!(encoded.ends_with(&content));
}

proptest! {
    #[test]
    fn a_map_of_any_keys_does_as_a_vector_of_entries(
        steps in steps(prop_oneof![
            names().prop_map(Value::from),
            names().prop_map(|name| Value::Symbol(Symbol::new(name).unwrap())),
            (0..9_u32).prop_map(Value::Uint),
            (0..9_u64).prop_map(Value::Ulong),
        ].boxed())
    ) {
        let (mut map, mut model) = (Map::new(), Model::new());
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    let former = map.insert(key.clone(), value.clone());
                    prop_assert_eq!(former, insert(&mut model, key, value));
                }
                Step::With(key, value) => {
                    map = map.with(key.clone(), value.clone());
                    insert(&mut model, key, value);
                }
                Step::Remove(key) => prop_assert_eq!(map.remove(&key), remove(&mut model, &key)),
                Step::Retain(of) => {
                    map.retain(|_, value| is_kept(value, of));
                    model.retain(|(_, value)| is_kept(value.view(), of));
                }
                Step::Extend(entries) => {
                    map.extend(entries.clone());
                    entries.into_iter().for_each(|(key, value)| drop(insert(&mut model, key, value)));
                }
                Step::Travel => map = from_bytes(&to_bytes(&map), &DecodeLimits::message()).unwrap(),
            }
            let entries = map.iter().map(|(key, value)| (key.to_value(), value.to_value()));
            same(&model, map.len(), entries, &to_bytes(&map));
        }
        for (key, value) in &model {
            prop_assert_eq!(map.get(key).map(|own| own.to_value()), Some(value.clone()));
        }
        prop_assert_eq!(&Map::from_iter(model.clone()), &map);
        prop_assert_eq!(map.into_iter().collect::<Model>(), model);
    }

    #[test]
    fn a_map_of_string_keys_does_as_a_vector_of_entries(steps in steps(names().boxed())) {
        let (mut map, mut model) = (ApplicationProperties::new(), Model::new());
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    let former = map.insert(key.clone(), value.clone());
                    prop_assert_eq!(former, insert(&mut model, key.into(), value));
                }
                Step::With(key, value) => {
                    map = map.with(key.clone(), value.clone());
                    insert(&mut model, key.into(), value);
                }
                Step::Remove(key) => prop_assert_eq!(map.remove(&key), remove(&mut model, &key.into())),
                Step::Retain(of) => {
                    map.retain(|_, value| is_kept(value, of));
                    model.retain(|(_, value)| is_kept(value.view(), of));
                }
                Step::Extend(entries) => {
                    map.extend(entries.clone());
                    entries.into_iter().for_each(|(key, value)| drop(insert(&mut model, key.into(), value)));
                }
                // Application properties are simple values, so others travel as the fields of any map.
                Step::Travel => {
                    let other: Map = from_bytes(&to_bytes(&map), &DecodeLimits::message()).unwrap();
                    map = other.into_iter().map(|(key, value)| (Str::try_from(key).unwrap(), value)).collect();
                }
            }
            let entries = map.iter().map(|(key, value)| (Value::from(key.to_str()), value.to_value()));
            same(&model, map.len(), entries, &to_bytes(&map));
        }
        for (key, value) in &model {
            let Value::String(key) = key else { unreachable!() };
            prop_assert!(map.contains_key(key));
            prop_assert_eq!(map.get(key).map(|own| own.to_value()), Some(value.clone()));
        }
    }

    #[test]
    fn fields_travel_as_they_are(entries in prop::collection::vec((names(), values()), 0..40)) {
        let entries = entries.into_iter().map(|(key, value)| (Symbol::new(key).unwrap(), value));
        let mut model = Model::new();
        let fields: Fields = entries.clone().collect();
        entries.for_each(|(key, value)| drop(insert(&mut model, Value::Symbol(key), value)));
        let back: Fields = from_bytes(&to_bytes(&fields), &DecodeLimits::message()).unwrap();
        prop_assert_eq!(&back, &fields);
        let back: Model = back.into_iter().map(|(key, value)| (Value::Symbol(key), value)).collect();
        prop_assert_eq!(back, model);
    }

    #[test]
    fn a_list_does_as_a_vector_of_values(
        first in prop::collection::vec(values(), 0..10),
        pushed in prop::collection::vec(values(), 0..300),
        travels in any::<bool>(),
    ) {
        let mut list = List::from_iter(first.clone());
        if travels {
            list = from_bytes(&to_bytes(&list), &DecodeLimits::message()).unwrap();
        }
        let mut model = first;
        for value in pushed {
            let before = list.clone();
            list.push(value.clone());
            // A copy is not changed by what happens to the other.
            prop_assert_eq!(before.len(), model.len());
            model.push(value);
        }
        prop_assert_eq!(list.len(), model.len());
        prop_assert_eq!(list.iter().map(|value| value.to_value()).collect::<Vec<_>>(), model.clone());
        let back: List = from_bytes(&to_bytes(&list), &DecodeLimits::message()).unwrap();
        prop_assert_eq!(&back, &list);
        prop_assert_eq!(list.into_iter().collect::<Vec<Value>>(), model);
    }
}
