//! The one error of decoding.
//!
//! Owns the names of everything that can be wrong with octets. It never allocates: a decode error is `Copy`, so that
//! refusing hostile input costs nothing.

use crate::condition::ErrorCondition;

/// Why octets could not be understood, where, and in what.
///
/// The fault is always the peer's (or of whoever stored the octets); reading the same octets again gives the same
/// error, so a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} in {what} at octet {offset}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Where, in octets from the start of the decoded buffer.
    pub offset: usize,
    /// The type or field that was being read, in the specification's words.
    pub what: &'static str,
}

/// What is wrong with the octets of a [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The octets end before the value does.
    #[error("octets end too early")]
    Truncated,
    /// An octet that no constructor has (AMQP 1.0 §1.2).
    #[error("unassigned constructor {0:#04x}")]
    InvalidConstructor(u8),
    /// A legal constructor of another type than the one asked for.
    #[error("unexpected type with constructor {0:#04x}")]
    WrongType(u8),
    /// A string that is not UTF-8.
    #[error("string is not UTF-8")]
    InvalidUtf8,
    /// A symbol with an octet above 0x7f.
    #[error("symbol is not ASCII")]
    InvalidAscii,
    /// A char that is not a Unicode scalar value.
    #[error("char is not a Unicode scalar value")]
    InvalidChar,
    /// A boolean octet other than 0 and 1.
    #[error("boolean octet is neither 0 nor 1")]
    InvalidBoolean,
    /// A compound's size disagrees with its content.
    #[error("size disagrees with the content")]
    SizeMismatch,
    /// A count larger than the octets could hold.
    #[error("count is larger than the octets allow")]
    CountTooLarge,
    /// A map with a key that has no value.
    #[error("map count is odd")]
    OddMapCount,
    /// A map with two equal keys.
    #[error("map key appears twice")]
    DuplicateKey,
    /// Nesting beyond [`max_depth`](crate::DecodeLimits::max_depth).
    #[error("nesting is deeper than the limit")]
    TooDeep,
    /// More values than [`max_nodes`](crate::DecodeLimits::max_nodes).
    #[error("more values than the limit")]
    TooManyNodes,
    /// More zero-width array elements than [`max_zero_width_count`](crate::DecodeLimits::max_zero_width_count).
    #[error("more zero-width elements than the limit")]
    TooManyZeroWidth,
    /// An array without an element constructor.
    #[error("array has no element constructor")]
    MissingConstructor,
    /// A list with more elements than the composite type has fields.
    #[error("more fields than the type has")]
    TooManyFields,
    /// A mandatory field is null or absent.
    #[error("mandatory field is missing")]
    MissingField,
    /// A restricted type's value that is not among its choices.
    #[error("value is not one of the choices")]
    InvalidChoice,
    /// A field that must not be set beside the others.
    #[error("field must not be set here")]
    ForbiddenField,
    /// A descriptor that names no type allowed here.
    #[error("descriptor names no type that is allowed here")]
    UnknownDescriptor,
    /// A delivery tag of more than 32 octets.
    #[error("delivery tag is longer than 32 octets")]
    TagTooLong,
    /// Octets after the end of the value.
    #[error("octets left over")]
    TrailingOctets,
    /// A frame size below the eight octets of the header, or other than the octets given.
    #[error("frame size is invalid")]
    InvalidFrameSize,
    /// A frame larger than the agreed maximum.
    #[error("frame is larger than the maximum")]
    FrameTooLarge,
    /// A data offset below 2 or beyond the frame.
    #[error("data offset is invalid")]
    InvalidDataOffset,
    /// A frame type other than AMQP and SASL.
    #[error("frame type {0:#04x} is unknown")]
    UnknownFrameType(u8),
    /// A SASL frame among AMQP frames, or the reverse.
    #[error("frame type does not belong to this layer")]
    UnexpectedFrameType,
    /// A SASL frame without a body.
    #[error("SASL frame is empty")]
    EmptySaslFrame,
    /// Eight octets that do not start with "AMQP".
    #[error("not an AMQP protocol header")]
    NotProtocolHeader,
    /// A protocol header of another protocol id or version than 1.0.0.
    #[error("protocol id {id} version {major}.{minor}.{revision} is not supported")]
    UnsupportedProtocol {
        /// The protocol id octet.
        id: u8,
        /// The major version.
        major: u8,
        /// The minor version.
        minor: u8,
        /// The revision.
        revision: u8,
    },
    /// A message section out of order or repeated.
    #[error("message section is out of order or repeated")]
    SectionOrder,
    /// A message without a body section.
    #[error("message has no body")]
    MissingBody,
    /// More sections than [`max_sections`](crate::DecodeLimits::max_sections).
    #[error("more message sections than the limit")]
    TooManySections,
}

impl DecodeError {
    /// The condition with which a peer is told of this error: `amqp:connection:framing-error` for faults of the
    /// frame itself, `amqp:decode-error` for everything inside it.
    pub const fn condition(&self) -> ErrorCondition {
        match self.kind {
            DecodeErrorKind::InvalidFrameSize
            | DecodeErrorKind::FrameTooLarge
            | DecodeErrorKind::InvalidDataOffset
            | DecodeErrorKind::UnknownFrameType(_)
            | DecodeErrorKind::UnexpectedFrameType
            | DecodeErrorKind::EmptySaslFrame
            | DecodeErrorKind::NotProtocolHeader
            | DecodeErrorKind::UnsupportedProtocol { .. } => ErrorCondition::FRAMING_ERROR,
            _ => ErrorCondition::DECODE_ERROR,
        }
    }
}
