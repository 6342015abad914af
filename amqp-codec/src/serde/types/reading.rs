//! The types of this crate read from serde, out of its own values and out of other formats.

use alloc::{string::String, vec::Vec};
use core::{fmt, marker::PhantomData};

use ::serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use bytes::Bytes;

use super::parts::{array_of, described_of, map_of};
use crate::{
    collection::{Array, List, Map},
    cursor::from_bytes,
    described::Described,
    limits::DecodeLimits,
    number::{Timestamp, Uuid},
    serde::{SerdeError, name},
    text::{Str, Symbol},
    value::Value,
};

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
pub(super) fn bits<'de, D: Deserializer<'de>, const N: usize>(
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
