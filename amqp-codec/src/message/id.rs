//! Message and correlation ids (AMQP 1.0 §3.2.12).

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use crate::{
    cursor::{Cursor, Decode},
    error::DecodeError,
    format_code as code,
    number::Uuid,
    sink::{Encode, Sink},
    text::{Str, TextRef},
    value::Value,
};

/// The id of a message. The four types are distinct: a uuid is never equal to its text (M-024).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageId {
    /// A number.
    Ulong(u64),
    /// A uuid.
    Uuid(Uuid),
    /// Octets.
    Binary(Bytes),
    /// Text.
    String(Str),
}

impl MessageId {
    /// The text of a text id.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text.as_str()) } else { None }
    }
}

/// The id of a message in the buffer it was received in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageIdRef<'a> {
    /// A number.
    Ulong(u64),
    /// A uuid.
    Uuid(Uuid),
    /// Octets.
    Binary(&'a [u8]),
    /// Text.
    String(TextRef<'a>),
}

impl<'a> MessageIdRef<'a> {
    /// The text of a text id.
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::String(text) = self { Some(text.as_str()) } else { None }
    }

    /// The id with octets of its own.
    pub fn to_id(&self) -> MessageId {
        match *self {
            Self::Ulong(number) => MessageId::Ulong(number),
            Self::Uuid(uuid) => MessageId::Uuid(uuid),
            Self::Binary(octets) => MessageId::Binary(Bytes::copy_from_slice(octets)),
            Self::String(text) => MessageId::String(text.to_str()),
        }
    }

    // M-013: these four types and no other.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        match cursor.peek() {
            Some(code::ULONG | code::SMALL_ULONG | code::ULONG0) => u64::decode(cursor).map(Self::Ulong),
            Some(code::UUID) => Uuid::decode(cursor).map(Self::Uuid),
            Some(code::BINARY8 | code::BINARY32) => {
                cursor.read_sized(code::BINARY8, code::BINARY32, "binary").map(Self::Binary)
            }
            _ => TextRef::read_string(cursor).map(Self::String),
        }
    }
}

impl fmt::Display for MessageId {
    /// The text, the number, the uuid, or hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ulong(number) => number.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Binary(octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02x}")),
            Self::String(text) => text.fmt(f),
        }
    }
}

impl From<&'static str> for MessageId {
    fn from(text: &'static str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for MessageId {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<Str> for MessageId {
    fn from(text: Str) -> Self {
        Self::String(text)
    }
}

impl From<u64> for MessageId {
    fn from(number: u64) -> Self {
        Self::Ulong(number)
    }
}

impl From<Uuid> for MessageId {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<Bytes> for MessageId {
    fn from(octets: Bytes) -> Self {
        Self::Binary(octets)
    }
}

impl From<MessageId> for Value {
    fn from(id: MessageId) -> Self {
        match id {
            MessageId::Ulong(number) => Self::Ulong(number),
            MessageId::Uuid(uuid) => Self::Uuid(uuid),
            MessageId::Binary(octets) => Self::Binary(octets),
            MessageId::String(text) => Self::String(text),
        }
    }
}

impl Decode for MessageId {
    // M-013: these four types and no other.
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        match cursor.peek() {
            Some(code::ULONG | code::SMALL_ULONG | code::ULONG0) => u64::decode(cursor).map(Self::Ulong),
            Some(code::UUID) => Uuid::decode(cursor).map(Self::Uuid),
            Some(code::BINARY8 | code::BINARY32) => Bytes::decode(cursor).map(Self::Binary),
            _ => Str::decode(cursor).map(Self::String),
        }
    }
}

impl Encode for MessageId {
    fn encode(&self, out: &mut impl Sink) {
        match self {
            Self::Ulong(number) => number.encode(out),
            Self::Uuid(uuid) => uuid.encode(out),
            Self::Binary(octets) => octets.encode(out),
            Self::String(text) => text.encode(out),
        }
    }
}
