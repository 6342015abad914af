//! Borrowed values from what Rust has, and back.

use super::ValueRef;
use crate::{
    collection::{ArrayRef, ListRef, MapRef},
    described::DescribedRef,
    number::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid},
    text::TextRef,
    value::{Value, WrongValueType},
};

macro_rules! from_types {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for ValueRef<'_> {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

from_types! {
    bool => Boolean, u8 => Ubyte, u16 => Ushort, u32 => Uint, u64 => Ulong, i8 => Byte, i16 => Short, i32 => Int,
    i64 => Long, f32 => Float, f64 => Double, Decimal32 => Decimal32, Decimal64 => Decimal64,
    Decimal128 => Decimal128, char => Char, Timestamp => Timestamp, Uuid => Uuid,
}

macro_rules! try_into_types {
    ($($type:ty => $variant:ident $name:literal),* $(,)?) => {$(
        impl<'a> TryFrom<ValueRef<'a>> for $type {
            type Error = WrongValueType;

            fn try_from(value: ValueRef<'a>) -> Result<Self, WrongValueType> {
                if let ValueRef::$variant(inner) = value { Ok(inner) } else { Err(WrongValueType($name)) }
            }
        }
    )*};
}

try_into_types! {
    bool => Boolean "boolean", u8 => Ubyte "ubyte", u16 => Ushort "ushort", u32 => Uint "uint", u64 => Ulong "ulong",
    i8 => Byte "byte", i16 => Short "short", i32 => Int "int", i64 => Long "long", f32 => Float "float",
    f64 => Double "double", Decimal32 => Decimal32 "decimal32", Decimal64 => Decimal64 "decimal64",
    Decimal128 => Decimal128 "decimal128", char => Char "char", Timestamp => Timestamp "timestamp", Uuid => Uuid "uuid",
    &'a [u8] => Binary "binary", ListRef<'a> => List "list", MapRef<'a> => Map "map", ArrayRef<'a> => Array "array",
    DescribedRef<'a> => Described "described value",
}

impl<'a> TryFrom<ValueRef<'a>> for &'a str {
    type Error = WrongValueType;

    /// The text of a string (not of a symbol).
    fn try_from(value: ValueRef<'a>) -> Result<Self, WrongValueType> {
        value.as_str().ok_or(WrongValueType("string"))
    }
}

impl<'a> From<&'a str> for ValueRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(TextRef::checked(text.as_bytes()))
    }
}

impl<'a> From<&'a [u8]> for ValueRef<'a> {
    fn from(octets: &'a [u8]) -> Self {
        Self::Binary(octets)
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        value.view()
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        value.to_value()
    }
}
