//! The types of this crate as serde types, for its own values and for other formats.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, marker::PhantomData};

use ::serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
    ser::SerializeStruct,
};
use bytes::Bytes;

use super::{MAX_UNWRITTEN_OF_ARRAY, SerdeError, name};
use crate::{
    collection::{Array, ArrayRef, List, ListRef, Map, MapRef},
    cursor::from_bytes,
    described::{Described, DescribedRef},
    limits::DecodeLimits,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    text::{Str, Symbol},
    value::{Value, ValueType},
    value_ref::ValueRef,
};

// --- Writing ---------------------------------------------------------------------------------------------------------

impl Serialize for ValueRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(v) => serializer.serialize_bool(v),
            Self::Ubyte(v) => serializer.serialize_u8(v),
            Self::Ushort(v) => serializer.serialize_u16(v),
            Self::Uint(v) => serializer.serialize_u32(v),
            Self::Ulong(v) => serializer.serialize_u64(v),
            Self::Byte(v) => serializer.serialize_i8(v),
            Self::Short(v) => serializer.serialize_i16(v),
            Self::Int(v) => serializer.serialize_i32(v),
            Self::Long(v) => serializer.serialize_i64(v),
            Self::Float(v) => serializer.serialize_f32(v),
            Self::Double(v) => serializer.serialize_f64(v),
            Self::Decimal32(v) => v.serialize(serializer),
            Self::Decimal64(v) => v.serialize(serializer),
            Self::Decimal128(v) => v.serialize(serializer),
            Self::Char(v) => serializer.serialize_char(v),
            Self::Timestamp(v) => v.serialize(serializer),
            Self::Uuid(v) => v.serialize(serializer),
            Self::Binary(v) => serializer.serialize_bytes(v),
            Self::String(v) => serializer.serialize_str(v.as_str()),
            Self::Symbol(v) => serializer.serialize_newtype_struct(name::SYMBOL, v.as_str()),
            Self::List(v) => v.serialize(serializer),
            Self::Map(v) => v.serialize(serializer),
            Self::Array(v) => v.serialize(serializer),
            Self::Described(v) => v.serialize(serializer),
        }
    }
}

impl Serialize for ListRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for MapRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Serialize for ArrayRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [kind, descriptors, items] = FIELDS_OF_ARRAY;
        let mut fields = serializer.serialize_struct(name::ARRAY, FIELDS_OF_ARRAY.len())?;
        fields.serialize_field(kind, type_name(self.element_type()))?;
        fields.serialize_field(descriptors, &self.descriptors().collect::<Vec<_>>())?;
        fields.serialize_field(items, &Items(*self))?;
        fields.end()
    }
}

/// The elements of an array one after the other. Those that take no octets are written only while they are few: a dozen
/// octets would become thousands of elements.
struct Items<'a>(ArrayRef<'a>);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.unwritten_len() > MAX_UNWRITTEN_OF_ARRAY {
            return Err(::serde::ser::Error::custom(SerdeError::TooManyElements));
        }
        serializer.collect_seq(self.0.iter())
    }
}

impl Serialize for DescribedRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [descriptor, value] = FIELDS_OF_DESCRIBED;
        let mut fields = serializer.serialize_struct(name::DESCRIBED, FIELDS_OF_DESCRIBED.len())?;
        fields.serialize_field(descriptor, &self.descriptor())?;
        fields.serialize_field(value, &self.value())?;
        fields.end()
    }
}

macro_rules! serialize_views {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.view().serialize(serializer)
            }
        }
    )*};
}

serialize_views!(Value, List, Map, Array, Described);

impl Serialize for Str {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::SYMBOL, self.as_str())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::TIMESTAMP, &self.0)
    }
}

/// Octets that serde would otherwise take for a sequence of numbers.
struct Octets<'a>(&'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_newtype_struct(name::UUID, &Octets(&self.0))
    }
}

macro_rules! decimals {
    ($($type:ident $name:ident),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.collect_str(&Hex(&self.0));
                }
                serializer.serialize_newtype_struct(name::$name, &Octets(&self.0))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                bits(deserializer, name::$name, "the bits of a decimal").map(Self)
            }
        }
    )*};
}

decimals!(Decimal32 DECIMAL32, Decimal64 DECIMAL64, Decimal128 DECIMAL128);

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

// --- Reading ---------------------------------------------------------------------------------------------------------

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(name::VALUE, ValueVisitor)
    }
}

struct ValueVisitor;

macro_rules! visit_plain {
    ($($method:ident $type:ty),* $(,)?) => {$(
        fn $method<E: de::Error>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        }
    )*};
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    visit_plain! {
        visit_bool bool, visit_i8 i8, visit_i16 i16, visit_i32 i32, visit_i64 i64, visit_u8 u8, visit_u16 u16, visit_u32 u32,
        visit_u64 u64, visit_f32 f32, visit_f64 f64, visit_char char, visit_string String, visit_byte_buf Vec<u8>,
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(Str::copy_from(text)))
    }

    fn visit_bytes<E: de::Error>(self, octets: &[u8]) -> Result<Value, E> {
        Ok(Value::Binary(Bytes::copy_from_slice(octets)))
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    /// Another format says that a newtype is what it holds.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = List::default();
        while let Some(item) = items.next_element::<Value>()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<Value, Value>()? {
            entries.push(entry);
        }
        map_of(entries).map(Value::Map).map_err(de::Error::custom)
    }

    /// Our own values come whole; see `read_whole` in `de`.
    fn visit_enum<A: de::EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let (variant, content) = data.variant::<String>()?;
        if variant != name::VALUE {
            return Err(de::Error::custom("a variant of an enum is no value"));
        }
        let Bits(octets) = de::VariantAccess::newtype_variant::<Bits<Vec<u8>>>(content)?;
        from_bytes(&Bytes::from(octets), &ALREADY_CHECKED).map_err(de::Error::custom)
    }
}

/// What comes from a value has been checked when it became one; only its depth is looked at again.
const ALREADY_CHECKED: DecodeLimits =
    DecodeLimits { max_nodes: usize::MAX, max_zero_width_count: u32::MAX, ..DecodeLimits::message() };

macro_rules! deserialize_by_value {
    ($($type:ident $expected:literal, $($pattern:pat => $result:expr),*;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match Value::deserialize(deserializer)? {
                    $($pattern => $result,)*
                    _ => Err(de::Error::custom(SerdeError::WrongType($expected))),
                }
            }
        }
    )*};
}

deserialize_by_value! {
    List "list", Value::List(list) => Ok(list), Value::Array(array) => Ok(array.iter().map(|item| item.to_value()).collect());
    Map "map", Value::Map(map) => Ok(map);
    Array "array", Value::Array(array) => Ok(array),
        Value::Map(map) => array_of(map.into_iter().collect()).map_err(de::Error::custom);
    Described "described value", Value::Described(described) => Ok(described),
        Value::Map(map) => described_of(map.into_iter().collect()).map_err(de::Error::custom);
}

impl<'de> Deserialize<'de> for Str {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_newtype_struct(name::SYMBOL, Inner::<String>(PhantomData))?;
        Self::new(text).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(name::TIMESTAMP, Inner::<i64>(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bits(deserializer, name::UUID, "a uuid").map(Self)
    }
}

/// What a newtype holds.
struct Inner<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Inner<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the newtype holds")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// Octets of a fixed number, or their digits in a format for people.
fn bits<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
    name: &'static str,
    expected: &'static str,
) -> Result<[u8; N], D::Error> {
    let Bits(octets) = if deserializer.is_human_readable() {
        Bits::<Vec<u8>>::deserialize(deserializer)?
    } else {
        deserializer.deserialize_newtype_struct(name, Inner(PhantomData))?
    };
    octets.as_slice().try_into().map_err(|_| de::Error::invalid_length(octets.len(), &expected))
}

/// Octets as octets, as numbers or as hexadecimal digits with hyphens between them.
struct Bits<T>(T);

impl<'de> Deserialize<'de> for Bits<Vec<u8>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(BitsVisitor)
        } else {
            deserializer.deserialize_bytes(BitsVisitor)
        }
    }
}

struct BitsVisitor;

impl Visitor<'_> for BitsVisitor {
    type Value = Bits<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("octets or hexadecimal digits")
    }

    fn visit_bytes<E: de::Error>(self, octets: &[u8]) -> Result<Self::Value, E> {
        Ok(Bits(octets.to_vec()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .filter(|digit| *digit != '-')
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(E::invalid_value(de::Unexpected::Str(text), &self));
        }
        Ok(Bits(pairs.iter().map(|[high, low]| high << 4 | low).collect()))
    }
}

// --- Values of parts -------------------------------------------------------------------------------------------------

/// A map of entries whose keys differ.
pub(super) fn map_of(entries: Vec<(Value, Value)>) -> Result<Map, SerdeError> {
    let count = entries.len();
    let map: Map = entries.into_iter().collect();
    if map.len() == count { Ok(map) } else { Err(SerdeError::DuplicateKey) }
}

/// An array of the fields it is written with.
pub(super) fn array_of(fields: Vec<(Value, Value)>) -> Result<Array, SerdeError> {
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
pub(super) fn described_of(fields: Vec<(Value, Value)>) -> Result<Described, SerdeError> {
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

const FIELDS_OF_ARRAY: [&str; 3] = ["element_type", "descriptors", "items"];
const FIELDS_OF_DESCRIBED: [&str; 2] = ["descriptor", "value"];

fn type_name(kind: ValueType) -> &'static str {
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
