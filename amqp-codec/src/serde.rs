//! [`Value`] and Rust types, by serde (feature `serde`).
//!
//! [`to_value`] makes a value of anything that is [`Serialize`], [`from_value`] reads anything that is
//! [`Deserialize`]. Text and octets are borrowed from the value where the type allows it. The
//! module owns the mapping below and must never guess a type that was not written.
//!
//! | Rust, in serde's terms | AMQP, written | AMQP, also read |
//! |---|---|---|
//! | `bool`, `f32`, `f64`, `char`, text | boolean, float, double, char, string | text: symbols; floats: integers |
//! | `u8` … `u64`, `i8` … `i64` | ubyte … ulong, byte … long | any integer that fits |
//! | `i128`, `u128` | refused | |
//! | octets ([`Bytes`](crate::Bytes), `serde_bytes`) | binary | |
//! | `None`, `()`, a unit struct | null | |
//! | `Some(v)`, a newtype struct | as what is in it | |
//! | a sequence (`Vec<T>`, also `Vec<u8>`), a tuple, a tuple struct | list | arrays; a binary as octets |
//! | a map | map; equal keys are refused | |
//! | a struct | map with the names of fields as strings | symbols as keys; a list of the fields in order |
//! | an enum's unit variant | string | symbol |
//! | an enum's other variants | map from the name to the content: a value, a list or a map | a symbol as the name |
//! | [`Timestamp`](crate::Timestamp) | timestamp; an `i64` of milliseconds elsewhere | |
//! | [`Uuid`](crate::Uuid) | uuid; elsewhere text for people, octets for machines | |
//! | [`Decimal32`](crate::Decimal32) and its kin | decimal; elsewhere its bits as hexadecimal text or octets | |
//! | [`Symbol`](crate::Symbol), [`Str`](crate::Str) | symbol, string; text elsewhere | |
//! | [`List`](crate::List), [`Map`](crate::Map) | list, map | arrays for `List` |
//! | [`Array`](crate::Array) | array; elsewhere a struct of `element_type`, `descriptors`, `items` | |
//! | [`Described`](crate::Described) | described value; elsewhere a struct of `descriptor`, `value` | |
//! | [`Value`] | itself | |
//!
//! "Elsewhere" is any other format, such as JSON, for which the types of this crate are ordinary serde types too. A
//! [`Value`] can only be read from formats that describe themselves, and then has the types of that format. Where serde itself
//! keeps content before it knows its type (`flatten`, `untagged`), a value arrives in the forms of "elsewhere".
//!
//! Nesting is bounded both ways: 64 collections, as deep as the decoder reads by default, and 256 steps through options and
//! newtypes. So are array elements that take no octets (nulls, zeros, equal booleans), which a few octets can claim many of:
//! 65,536 in a whole value that is read, 1,024 in an array that is written.
//!
//! ```
//! use amqp_codec::{Symbol, Timestamp, Value, serde::{from_value, to_value}};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Debug, PartialEq)]
//! struct Reading<'a> {
//!     sensor: &'a str,
//!     unit: Symbol,
//!     at: Timestamp,
//!     celsius: Option<f32>,
//! }
//!
//! let reading = Reading { sensor: "attic", unit: "C".into(), at: Timestamp(0), celsius: Some(21.5) };
//! let value = to_value(&reading)?;
//! assert_eq!(value.as_map().and_then(|map| map.get_str("at")), Some(Timestamp(0).into()));
//! assert_eq!(from_value::<Reading<'_>>(&value)?, reading);
//! # Ok::<(), amqp_codec::serde::SerdeError>(())
//! ```

mod de;
mod ser;
mod types;

use alloc::string::{String, ToString};
use core::fmt;

use ::serde::{Deserialize, Serialize};

use crate::{value::Value, value_ref::ValueRef};

/// Makes a value of a Rust value.
///
/// # Errors
/// [`SerdeError`] if AMQP has no such type (`i128`), if two keys of a map are equal, if a symbol is not ASCII, if array elements
/// are of several types, if it nests too deep, or whatever the type's own code finds.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, SerdeError> {
    value.serialize(ser::Serializer::new())
}

/// Reads a Rust value, which may borrow text and octets from `value`.
///
/// # Errors
/// [`SerdeError`] if the value is not of the type, or nests too deep.
pub fn from_value<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, SerdeError> {
    from_value_ref(value.view())
}

/// Reads a Rust value from a borrowed one, such as an entry of a message that stays encoded.
///
/// # Errors
/// [`SerdeError`] if the value is not of the type, nests too deep, or has too many array elements without octets.
pub fn from_value_ref<'de, T: Deserialize<'de>>(value: ValueRef<'de>) -> Result<T, SerdeError> {
    spend_unwritten(value, MAX_UNWRITTEN, Depth::default())?;
    T::deserialize(de::Deserializer::new(value))
}

/// Why a Rust value and an AMQP value could not be made of each other; the caller's or the peer's fault, a retry does not
/// help.
///
/// It is a `std::error::Error` where serde is built with `std`, which is its default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SerdeError {
    /// Deeper than the bounds of this module.
    TooDeep,
    /// More array elements without octets than the bounds of this module.
    TooManyElements,
    /// A map with two equal keys.
    DuplicateKey,
    /// A value of another type than the one named.
    WrongType(&'static str),
    /// What a type or serde says.
    Message(String),
}

impl fmt::Display for SerdeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => f.write_str("nesting is deeper than the limit"),
            Self::TooManyElements => f.write_str("array elements without octets are more than the limit"),
            Self::DuplicateKey => f.write_str("map key appears twice"),
            Self::WrongType(name) => write!(f, "value is not a {name}"),
            Self::Message(text) => f.write_str(text),
        }
    }
}

// With `std` this is `std::error::Error`.
impl ::serde::ser::StdError for SerdeError {}

impl ::serde::ser::Error for SerdeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }
}

impl ::serde::de::Error for SerdeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }
}

/// How far down a value has been followed.
#[derive(Clone, Copy, Debug, Default)]
struct Depth {
    collections: u16,
    steps: u16,
}

impl Depth {
    /// Into a list, map, array or described value.
    fn into_collection(self) -> Result<Self, SerdeError> {
        if self.collections >= MAX_COLLECTIONS {
            return Err(SerdeError::TooDeep);
        }
        Ok(Self { collections: self.collections + 1, ..self })
    }

    /// Into an option or a newtype, which leave no trace in a value.
    fn into_wrapper(self) -> Result<Self, SerdeError> {
        if self.steps >= MAX_STEPS {
            return Err(SerdeError::TooDeep);
        }
        Ok(Self { steps: self.steps + 1, ..self })
    }
}

/// Takes the array elements without octets in a value from a budget, and returns what is left of it.
fn spend_unwritten(value: ValueRef<'_>, budget: usize, depth: Depth) -> Result<usize, SerdeError> {
    // What is deeper is not read.
    let Ok(depth) = depth.into_collection() else { return Ok(budget) };
    let spend = |budget, value| spend_unwritten(value, budget, depth);
    match value {
        ValueRef::List(list) => list.iter().try_fold(budget, spend),
        ValueRef::Map(map) => map.iter().flat_map(|(key, value)| [key, value]).try_fold(budget, spend),
        ValueRef::Array(array) => {
            let unwritten = array.unwritten_len();
            let budget = budget.checked_sub(unwritten).ok_or(SerdeError::TooManyElements)?;
            let has_more = unwritten == 0 && array.has_collections();
            if has_more { array.iter().try_fold(budget, spend) } else { Ok(budget) }
        }
        ValueRef::Described(described) => {
            [described.descriptor(), described.value()].into_iter().try_fold(budget, spend)
        }
        _ => Ok(budget),
    }
}

/// Most array elements without octets in a value that is read.
const MAX_UNWRITTEN: usize = 65_536;
/// Most of them in one array that is written: a tree of arrays then stays within a few hundred elements an octet.
const MAX_UNWRITTEN_OF_ARRAY: usize = 1_024;

/// What the decoder reads by default.
const MAX_COLLECTIONS: u16 = 64;
const MAX_STEPS: u16 = 256;

/// Names by which the types of this crate are told from others of the same shape.
mod name {
    pub(super) const VALUE: &str = "amqp_codec::Value";
    pub(super) const TIMESTAMP: &str = "amqp_codec::Timestamp";
    pub(super) const UUID: &str = "amqp_codec::Uuid";
    pub(super) const DECIMAL32: &str = "amqp_codec::Decimal32";
    pub(super) const DECIMAL64: &str = "amqp_codec::Decimal64";
    pub(super) const DECIMAL128: &str = "amqp_codec::Decimal128";
    pub(super) const SYMBOL: &str = "amqp_codec::Symbol";
    pub(super) const ARRAY: &str = "amqp_codec::Array";

    pub(super) const DESCRIBED: &str = "amqp_codec::Described";
}

#[cfg(test)]
mod tests;
