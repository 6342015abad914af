//! Values from what Rust has, and back.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;

use super::Value;
use crate::{
    collection::{Array, List, Map},
    described::Described,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    text::{Str, Symbol},
};

macro_rules! from_types {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from_types! {
    bool => Boolean, u8 => Ubyte, u16 => Ushort, u32 => Uint, u64 => Ulong, i8 => Byte, i16 => Short, i32 => Int,
    i64 => Long, f32 => Float, f64 => Double, Decimal32 => Decimal32, Decimal64 => Decimal64,
    Decimal128 => Decimal128, char => Char, Timestamp => Timestamp, Uuid => Uuid, Bytes => Binary, Vec<u8> => Binary,
    Str => String, String => String, Symbol => Symbol, List => List, Map => Map,
    Array => Array, Described => Described, Vec<Value> => List,
}

impl From<&str> for Value {
    /// A string with its own copy of the text; [`Str::from_static`] makes one without.
    fn from(text: &str) -> Self {
        Self::String(Str::copy_from(text))
    }
}

impl From<&[u8]> for Value {
    /// A binary with its own copy of the octets.
    fn from(octets: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(octets))
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    /// A binary with its own copy of the octets.
    fn from(octets: [u8; N]) -> Self {
        Self::from(octets.as_slice())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    /// `None` becomes null.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A value of another type than the one asked for; the caller's or the peer's fault, a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value is not a {0}")]
pub struct WrongValueType(pub &'static str);

macro_rules! try_into_types {
    ($($type:ty => $variant:ident $name:literal),* $(,)?) => {$(
        impl TryFrom<Value> for $type {
            type Error = WrongValueType;

            fn try_from(value: Value) -> core::result::Result<Self, WrongValueType> {
                if let Value::$variant(inner) = value { Ok(inner) } else { Err(WrongValueType($name)) }
            }
        }
    )*};
}

try_into_types! {
    bool => Boolean "boolean", u8 => Ubyte "ubyte", u16 => Ushort "ushort", u32 => Uint "uint", u64 => Ulong "ulong",
    i8 => Byte "byte", i16 => Short "short", i32 => Int "int", i64 => Long "long", f32 => Float "float",
    f64 => Double "double", Decimal32 => Decimal32 "decimal32", Decimal64 => Decimal64 "decimal64",
    Decimal128 => Decimal128 "decimal128", char => Char "char", Timestamp => Timestamp "timestamp", Uuid => Uuid "uuid",
    Bytes => Binary "binary", Str => String "string", Symbol => Symbol "symbol", List => List "list", Map => Map "map",
    Array => Array "array", Described => Described "described value",
}

impl TryFrom<Value> for String {
    type Error = WrongValueType;

    fn try_from(value: Value) -> Result<Self, WrongValueType> {
        Str::try_from(value).map(Self::from)
    }
}

impl TryFrom<Value> for Vec<u8> {
    type Error = WrongValueType;

    fn try_from(value: Value) -> Result<Self, WrongValueType> {
        Bytes::try_from(value).map(Self::from)
    }
}

impl TryFrom<Value> for Vec<Value> {
    type Error = WrongValueType;

    /// The values of a list.
    fn try_from(value: Value) -> Result<Self, WrongValueType> {
        List::try_from(value).map(|list| list.into_iter().collect())
    }
}
