//! The parts that serde sees of maps, arrays and described values, put together again.

use alloc::{string::ToString, vec::Vec};

use crate::{
    collection::{Array, Map},
    described::Described,
    serde::SerdeError,
    value::{Value, ValueType},
};

/// A map of entries whose keys differ.
pub(in super::super) fn map_of(entries: Vec<(Value, Value)>) -> Result<Map, SerdeError> {
    let count = entries.len();
    let map: Map = entries.into_iter().collect();
    if map.len() == count { Ok(map) } else { Err(SerdeError::DuplicateKey) }
}

/// An array of the fields it is written with.
pub(in super::super) fn array_of(fields: Vec<(Value, Value)>) -> Result<Array, SerdeError> {
    let [kind, descriptors, items] = FIELDS_OF_ARRAY.map(|name| field(&fields, name));
    let kind =
        kind.and_then(Value::as_text).and_then(type_of_name).ok_or(SerdeError::WrongType("type's name"))?;
    let items: Vec<Value> = values(items)?;
    let mut array = if items.is_empty() {
        Array::empty(kind)
    } else {
        Array::new(items).map_err(|error| SerdeError::Message(error.to_string()))?
    };
    if array.element_type() != kind {
        return Err(SerdeError::WrongType("element of the array"));
    }
    for descriptor in values(descriptors)?.into_iter().rev() {
        array = array.with_descriptor(descriptor);
    }
    Ok(array)
}

/// A described value of the fields it is written with.
pub(in super::super) fn described_of(fields: Vec<(Value, Value)>) -> Result<Described, SerdeError> {
    let [descriptor, value] = FIELDS_OF_DESCRIBED.map(|name| field(&fields, name).cloned());
    match (descriptor, value) {
        (Some(descriptor), Some(value)) => Ok(Described::new(descriptor, value)),
        _ => Err(SerdeError::WrongType("described value")),
    }
}

fn field<'a>(fields: &'a [(Value, Value)], name: &str) -> Option<&'a Value> {
    fields.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

fn values(list: Option<&Value>) -> Result<Vec<Value>, SerdeError> {
    let list = list.and_then(Value::as_list).ok_or(SerdeError::WrongType("list"))?;
    Ok(list.iter().map(|value| value.to_value()).collect())
}

pub(super) fn type_name(kind: ValueType) -> &'static str {
    TYPES.iter().find(|(own, _)| *own == kind).map_or("null", |(_, name)| name)
}

fn type_of_name(name: &str) -> Option<ValueType> {
    TYPES.iter().find(|(_, own)| *own == name).map(|(kind, _)| *kind)
}

/// The specification's names of the types.
const TYPES: [(ValueType, &str); 24] = [
    (ValueType::Null, "null"),
    (ValueType::Boolean, "boolean"),
    (ValueType::Ubyte, "ubyte"),
    (ValueType::Ushort, "ushort"),
    (ValueType::Uint, "uint"),
    (ValueType::Ulong, "ulong"),
    (ValueType::Byte, "byte"),
    (ValueType::Short, "short"),
    (ValueType::Int, "int"),
    (ValueType::Long, "long"),
    (ValueType::Float, "float"),
    (ValueType::Double, "double"),
    (ValueType::Decimal32, "decimal32"),
    (ValueType::Decimal64, "decimal64"),
    (ValueType::Decimal128, "decimal128"),
    (ValueType::Char, "char"),
    (ValueType::Timestamp, "timestamp"),
    (ValueType::Uuid, "uuid"),
    (ValueType::Binary, "binary"),
    (ValueType::String, "string"),
    (ValueType::Symbol, "symbol"),
    (ValueType::List, "list"),
    (ValueType::Map, "map"),
    (ValueType::Array, "array"),
];

pub(super) const FIELDS_OF_ARRAY: [&str; 3] = ["element_type", "descriptors", "items"];
pub(super) const FIELDS_OF_DESCRIBED: [&str; 2] = ["descriptor", "value"];
