//! The types of this crate as serde types, for its own values and for other formats.
//!
//! Owns how they are written; `reading` reads them, `parts` puts together what consists of several.

mod parts;
mod reading;

use alloc::vec::Vec;
use core::fmt;

use ::serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStruct};

use super::{MAX_UNWRITTEN_OF_ARRAY, SerdeError, name};
use crate::{
    collection::{Array, ArrayRef, List, ListRef, Map, MapRef},
    described::{Described, DescribedRef},
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    text::{Str, Symbol},
    value::Value,
    value_ref::ValueRef,
};
use parts::{FIELDS_OF_ARRAY, FIELDS_OF_DESCRIBED, type_name};
use reading::bits;

pub(super) use parts::{array_of, described_of, map_of};

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
