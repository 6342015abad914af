//! The types of values, and the constructors that belong to each.

use crate::format_code as code;

/// The type of a [`Value`](super::Value) that is not described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are those of Value")]
pub enum ValueType {
    Null,
    Boolean,
    Ubyte,
    Ushort,
    Uint,
    Ulong,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    Decimal32,
    Decimal64,
    Decimal128,
    Char,
    Timestamp,
    Uuid,
    Binary,
    String,
    Symbol,
    List,
    Map,
    Array,
}

impl ValueType {
    /// The constructor of the type that an array without elements has: the short one where sizes differ, the wide one
    /// where numbers do.
    pub(crate) const fn constructor(self) -> u8 {
        match self {
            Self::Null => code::NULL,
            Self::Boolean => code::BOOLEAN,
            Self::Ubyte => code::UBYTE,
            Self::Ushort => code::USHORT,
            Self::Uint => code::UINT,
            Self::Ulong => code::ULONG,
            Self::Byte => code::BYTE,
            Self::Short => code::SHORT,
            Self::Int => code::INT,
            Self::Long => code::LONG,
            Self::Float => code::FLOAT,
            Self::Double => code::DOUBLE,
            Self::Decimal32 => code::DECIMAL32,
            Self::Decimal64 => code::DECIMAL64,
            Self::Decimal128 => code::DECIMAL128,
            Self::Char => code::CHAR,
            Self::Timestamp => code::TIMESTAMP,
            Self::Uuid => code::UUID,
            Self::Binary => code::BINARY8,
            Self::String => code::STRING8,
            Self::Symbol => code::SYMBOL8,
            Self::List => code::LIST8,
            Self::Map => code::MAP8,
            Self::Array => code::ARRAY8,
        }
    }

    /// The type that a constructor belongs to.
    pub(crate) const fn of_constructor(constructor: u8) -> Option<Self> {
        Some(match constructor {
            code::NULL => Self::Null,
            code::TRUE | code::FALSE | code::BOOLEAN => Self::Boolean,
            code::UBYTE => Self::Ubyte,
            code::USHORT => Self::Ushort,
            code::UINT | code::SMALL_UINT | code::UINT0 => Self::Uint,
            code::ULONG | code::SMALL_ULONG | code::ULONG0 => Self::Ulong,
            code::BYTE => Self::Byte,
            code::SHORT => Self::Short,
            code::INT | code::SMALL_INT => Self::Int,
            code::LONG | code::SMALL_LONG => Self::Long,
            code::FLOAT => Self::Float,
            code::DOUBLE => Self::Double,
            code::DECIMAL32 => Self::Decimal32,
            code::DECIMAL64 => Self::Decimal64,
            code::DECIMAL128 => Self::Decimal128,
            code::CHAR => Self::Char,
            code::TIMESTAMP => Self::Timestamp,
            code::UUID => Self::Uuid,
            code::BINARY8 | code::BINARY32 => Self::Binary,
            code::STRING8 | code::STRING32 => Self::String,
            code::SYMBOL8 | code::SYMBOL32 => Self::Symbol,
            code::LIST0 | code::LIST8 | code::LIST32 => Self::List,
            code::MAP8 | code::MAP32 => Self::Map,
            code::ARRAY8 | code::ARRAY32 => Self::Array,
            _ => return None,
        })
    }
}
