//! AMQP values to Rust values.

use core::iter::Copied;

use ::serde::{
    de::{
        self, DeserializeSeed, Error as _, Expected, Visitor,
        value::{
            BorrowedStrDeserializer, BytesDeserializer, MapAccessDeserializer, MapDeserializer,
            U8Deserializer,
        },
    },
    forward_to_deserialize_any,
};

use super::{Depth, SerdeError, name};
use crate::{
    collection::{ArrayIter, MapIter, ValueIter},
    sink::to_bytes,
    value::ValueType,
    value_ref::ValueRef,
};

type Result<T> = core::result::Result<T, SerdeError>;

/// Reads one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deserializer<'de> {
    value: ValueRef<'de>,
    depth: Depth,
}

impl<'de> Deserializer<'de> {
    pub(super) fn new(value: ValueRef<'de>) -> Self {
        Self { value, depth: Depth::default() }
    }

    /// The deserializer of what an option or a newtype holds.
    fn unwrapped(self) -> Result<Self> {
        Ok(Self { depth: self.depth.into_wrapper()?, ..self })
    }

    /// The value as it is, for [`Value`](crate::Value): an enum of one variant with the encoded octets, which no other
    /// format makes.
    fn read_whole<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let octets = to_bytes(&self.value);
        let variant = core::iter::once((name::VALUE, BytesDeserializer::new(&octets)));
        visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(variant)))
    }

    fn read_items<V: Visitor<'de>>(self, items: Items<'de>, visitor: V) -> Result<V::Value> {
        let mut items = Elements { items, depth: self.depth.into_collection()? };
        let value = visitor.visit_seq(&mut items)?;
        // A tuple that is shorter than the list would lose the rest in silence.
        match items.items.len() {
            0 => Ok(value),
            more => Err(SerdeError::custom(format_args!("{more} elements more than expected"))),
        }
    }

    fn read_entries<V: Visitor<'de>>(self, entries: Pairs<'de>, visitor: V) -> Result<V::Value> {
        visitor.visit_map(Entries { entries, value: None, depth: self.depth.into_collection()? })
    }
}

impl<'de> de::Deserializer<'de> for Deserializer<'de> {
    type Error = SerdeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.value {
            ValueRef::Null => visitor.visit_unit(),
            ValueRef::Boolean(v) => visitor.visit_bool(v),
            ValueRef::Ubyte(v) => visitor.visit_u8(v),
            ValueRef::Ushort(v) => visitor.visit_u16(v),
            ValueRef::Uint(v) => visitor.visit_u32(v),
            ValueRef::Ulong(v) => visitor.visit_u64(v),
            ValueRef::Byte(v) => visitor.visit_i8(v),
            ValueRef::Short(v) => visitor.visit_i16(v),
            ValueRef::Int(v) => visitor.visit_i32(v),
            ValueRef::Long(v) => visitor.visit_i64(v),
            ValueRef::Float(v) => visitor.visit_f32(v),
            ValueRef::Double(v) => visitor.visit_f64(v),
            ValueRef::Decimal32(v) => visitor.visit_bytes(&v.0),
            ValueRef::Decimal64(v) => visitor.visit_bytes(&v.0),
            ValueRef::Decimal128(v) => visitor.visit_bytes(&v.0),
            ValueRef::Char(v) => visitor.visit_char(v),
            ValueRef::Timestamp(v) => visitor.visit_i64(v.0),
            ValueRef::Uuid(v) => visitor.visit_bytes(&v.0),
            ValueRef::Binary(v) => visitor.visit_borrowed_bytes(v),
            ValueRef::String(v) | ValueRef::Symbol(v) => visitor.visit_borrowed_str(v.as_str()),
            ValueRef::List(v) => self.read_items(Items::List(v.iter()), visitor),
            ValueRef::Array(v) => self.read_items(Items::Array(v.iter()), visitor),
            ValueRef::Map(v) => self.read_entries(Pairs::Map(v.iter()), visitor),
            ValueRef::Described(v) => {
                let parts = [("descriptor", v.descriptor()), ("value", v.value())];
                self.read_entries(Pairs::Fields(parts.into_iter()), visitor)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self.unwrapped()?) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        let expected = match name {
            name::VALUE => return self.read_whole(visitor),
            name::TIMESTAMP => Some((ValueType::Timestamp, "timestamp")),
            name::UUID => Some((ValueType::Uuid, "uuid")),
            name::DECIMAL32 => Some((ValueType::Decimal32, "decimal32")),
            name::DECIMAL64 => Some((ValueType::Decimal64, "decimal64")),
            name::DECIMAL128 => Some((ValueType::Decimal128, "decimal128")),
            name::SYMBOL => Some((ValueType::Symbol, "symbol")),
            _ => None,
        };
        match expected {
            Some((kind, name)) if self.value.value_type() != Some(kind) => Err(SerdeError::WrongType(name)),
            _ => visitor.visit_newtype_struct(self.unwrapped()?),
        }
    }

    /// A binary is a sequence of octets to whoever asks for one, such as `Vec<u8>`.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.value {
            ValueRef::Binary(octets) => self.read_items(Items::Octets(octets.iter().copied()), visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let depth = self.depth;
        match self.value {
            ValueRef::String(_) | ValueRef::Symbol(_) => {
                visitor.visit_enum(Variant { name: self.value, content: None, depth })
            }
            ValueRef::Map(map) if map.len() == 1 => {
                let (name, content) = map.iter().next().unwrap_or((ValueRef::Null, ValueRef::Null));
                visitor.visit_enum(Variant { name, content: Some(content), depth: depth.into_collection()? })
            }
            _ => Err(SerdeError::WrongType("variant of an enum")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct map struct identifier
    }
}

/// What a sequence is read from.
enum Items<'de> {
    List(ValueIter<'de>),
    Array(ArrayIter<'de>),
    Octets(Copied<core::slice::Iter<'de, u8>>),
}

impl Items<'_> {
    fn len(&self) -> usize {
        match self {
            Self::List(items) => items.len(),
            Self::Array(items) => items.len(),
            Self::Octets(items) => items.len(),
        }
    }
}

struct Elements<'de> {
    items: Items<'de>,
    depth: Depth,
}

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = SerdeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let value = match &mut self.items {
            Items::List(items) => items.next(),
            Items::Array(items) => items.next(),
            Items::Octets(items) => {
                let read = |octet| seed.deserialize(U8Deserializer::new(octet));
                return items.next().map(read).transpose();
            }
        };
        value.map(|value| seed.deserialize(Deserializer { value, depth: self.depth })).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// What a map is read from.
enum Pairs<'de> {
    Map(MapIter<'de>),
    Fields(core::array::IntoIter<(&'static str, ValueRef<'de>), 2>),
}

struct Entries<'de> {
    entries: Pairs<'de>,
    value: Option<ValueRef<'de>>,
    depth: Depth,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = SerdeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        match &mut self.entries {
            Pairs::Map(entries) => {
                let Some((key, value)) = entries.next() else { return Ok(None) };
                self.value = Some(value);
                seed.deserialize(Deserializer { value: key, depth: self.depth }).map(Some)
            }
            Pairs::Fields(fields) => {
                let Some((key, value)) = fields.next() else { return Ok(None) };
                self.value = Some(value);
                seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let value = self.value.take().unwrap_or(ValueRef::Null);
        seed.deserialize(Deserializer { value, depth: self.depth })
    }

    fn size_hint(&self) -> Option<usize> {
        match &self.entries {
            Pairs::Map(entries) => Some(entries.len()),
            Pairs::Fields(fields) => Some(fields.len()),
        }
    }
}

/// An enum's variant: its name, and its content unless it is a unit variant.
struct Variant<'de> {
    name: ValueRef<'de>,
    content: Option<ValueRef<'de>>,
    depth: Depth,
}

impl<'de> Variant<'de> {
    fn content(&self, expected: &dyn Expected) -> Result<Deserializer<'de>> {
        let value =
            self.content.ok_or_else(|| SerdeError::invalid_type(de::Unexpected::UnitVariant, expected))?;
        Ok(Deserializer { value, depth: self.depth })
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = SerdeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name = seed.deserialize(Deserializer { value: self.name, depth: self.depth })?;
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de> {
    type Error = SerdeError;

    fn unit_variant(self) -> Result<()> {
        match self.content {
            None | Some(ValueRef::Null) => Ok(()),
            Some(_) => Err(SerdeError::WrongType("unit variant")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.content(&"a variant with a value")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_seq(self.content(&visitor)?, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_any(self.content(&visitor)?, visitor)
    }
}
