//! Rust values to AMQP values.

use alloc::{string::String, vec::Vec};

use ::serde::ser::{self, Serialize};
use bytes::Bytes;

use super::{Depth, SerdeError, name, types};
use crate::{
    collection::{List, Map},
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    text::{Str, Symbol},
    value::Value,
};

type Result<T> = core::result::Result<T, SerdeError>;

/// Makes one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Serializer {
    depth: Depth,
}

impl Serializer {
    pub(super) fn new() -> Self {
        Self { depth: Depth::default() }
    }

    fn collection(self) -> Result<Self> {
        Ok(Self { depth: self.depth.into_collection()? })
    }
}

macro_rules! plain {
    ($($method:ident $type:ty),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<Value> {
            Ok(value.into())
        }
    )*};
}

impl ser::Serializer for Serializer {
    type Ok = Value;
    type Error = SerdeError;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    plain! {
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_u8 u8,
        serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_f32 f32, serialize_f64 f64, serialize_char char,
    }

    fn serialize_str(self, text: &str) -> Result<Value> {
        Ok(Value::String(Str::copy_from(text)))
    }

    fn serialize_bytes(self, octets: &[u8]) -> Result<Value> {
        Ok(Value::Binary(Bytes::copy_from_slice(octets)))
    }

    fn serialize_none(self) -> Result<Value> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value> {
        value.serialize(Self { depth: self.depth.into_wrapper()? })
    }

    fn serialize_unit(self) -> Result<Value> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<Value> {
        let inner = value.serialize(Self { depth: self.depth.into_wrapper()? })?;
        Ok(match (name, inner) {
            (name::TIMESTAMP, Value::Long(milliseconds)) => Timestamp(milliseconds).into(),
            (name::UUID, Value::Binary(octets)) => Uuid(array(&octets)?).into(),
            (name::DECIMAL32, Value::Binary(octets)) => Decimal32(array(&octets)?).into(),
            (name::DECIMAL64, Value::Binary(octets)) => Decimal64(array(&octets)?).into(),
            (name::DECIMAL128, Value::Binary(octets)) => Decimal128(array(&octets)?).into(),
            (name::SYMBOL, Value::String(text)) => Symbol::try_from(text).map_err(ser::Error::custom)?.into(),
            (_, inner) => inner,
        })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value> {
        let inner = value.serialize(self.collection()?)?;
        Ok(Map::from_iter([(variant, inner)]).into())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items> {
        Items::new(self, None)
    }

    fn serialize_tuple(self, _: usize) -> Result<Items> {
        Items::new(self, None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items> {
        Items::new(self, None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items> {
        Items::new(self.collection()?, Some(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries> {
        Entries::new(self, "", None)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Entries> {
        Entries::new(self, name, None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries> {
        Entries::new(self.collection()?, "", Some(variant))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

fn array<const N: usize>(octets: &Bytes) -> Result<[u8; N]> {
    octets.as_ref().try_into().map_err(ser::Error::custom)
}

/// A list under way.
#[derive(Debug)]
pub(super) struct Items {
    inside: Serializer,
    items: Vec<Value>,
    /// The enum's variant that the list is the content of.
    variant: Option<&'static str>,
}

impl Items {
    fn new(outside: Serializer, variant: Option<&'static str>) -> Result<Self> {
        Ok(Self { inside: outside.collection()?, items: Vec::new(), variant })
    }

    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        self.items.push(item.serialize(self.inside)?);
        Ok(())
    }

    fn finish(self) -> Value {
        under(self.variant, List::from(self.items))
    }
}

macro_rules! items {
    ($($trait:ident $method:ident),* $(,)?) => {$(
        impl ser::$trait for Items {
            type Ok = Value;
            type Error = SerdeError;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
                self.push(item)
            }

            fn end(self) -> Result<Value> {
                Ok(self.finish())
            }
        }
    )*};
}

items! {
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

/// A map under way.
#[derive(Debug)]
pub(super) struct Entries {
    inside: Serializer,
    /// Of the struct, to find the structs that stand for other types.
    name: &'static str,
    entries: Vec<(Value, Value)>,
    key: Option<Value>,
    variant: Option<&'static str>,
}

impl Entries {
    fn new(outside: Serializer, name: &'static str, variant: Option<&'static str>) -> Result<Self> {
        Ok(Self { inside: outside.collection()?, name, entries: Vec::new(), key: None, variant })
    }

    fn push<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.entries.push((key.into(), value.serialize(self.inside)?));
        Ok(())
    }

    fn finish(self) -> Result<Value> {
        match self.name {
            name::ARRAY => {
                return types::array_of(self.entries).map(Value::Array).map_err(ser::Error::custom);
            }
            name::DESCRIBED => {
                return types::described_of(self.entries).map(Value::Described).map_err(ser::Error::custom);
            }
            _ => {}
        }
        Ok(under(self.variant, types::map_of(self.entries)?))
    }
}

impl ser::SerializeMap for Entries {
    type Ok = Value;
    type Error = SerdeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = Some(key.serialize(self.inside)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key =
            self.key.take().ok_or_else(|| SerdeError::Message(String::from("a value without a key")))?;
        self.entries.push((key, value.serialize(self.inside)?));
        Ok(())
    }

    fn end(self) -> Result<Value> {
        self.finish()
    }
}

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Entries {
            type Ok = Value;
            type Error = SerdeError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
                self.push(key, value)
            }

            fn end(self) -> Result<Value> {
                self.finish()
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

/// The content of an enum's variant under its name, or by itself.
fn under(variant: Option<&'static str>, content: impl Into<Value>) -> Value {
    match variant {
        Some(variant) => Map::from_iter([(variant, content.into())]).into(),
        None => content.into(),
    }
}
