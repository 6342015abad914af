//! AMQP 1.0 types, performatives, message sections and frames: octets to values and back.
//!
//! Knows nothing of connections, time or sockets. Decoding is bounded by [`DecodeLimits`], never panics and shares the
//! buffer it reads from; encoding writes the smallest legal form in one pass.
//!
//! ```
//! use amqp_codec::{DecodeLimits, Message, to_bytes};
//!
//! let message = Message::data("21.5").with_application_property("unit", "°C");
//! let encoded = to_bytes(&message);
//! let decoded = Message::decode(&encoded, &DecodeLimits::message())?;
//! assert_eq!(decoded, message);
//! # Ok::<(), amqp_codec::DecodeError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod collection;
mod composite;
mod condition;
mod cursor;
mod definitions;
mod delivery_state;
mod described;
pub mod dump;
mod error;
mod format_code;
pub mod frame;
#[cfg(any(fuzzing, feature = "__fuzzing", test))]
pub mod fuzzing;
mod limits;
pub mod message;
mod number;
mod performative;
mod primitive;
mod protocol_header;
mod quick;
mod sasl;
#[cfg(feature = "serde")]
pub mod serde;
mod sink;
mod terminus;
mod text;
mod transaction;
mod value;
mod value_ref;
mod work;

pub use bytes::{Bytes, BytesMut};
pub use collection::{
    AnnotationKey, AnnotationKeyRef, Annotations, ApplicationProperties, Array, ArrayIter, ArrayRef, Entries,
    Fields, IntoElements, IntoEntries, IntoSymbols, IntoTypedEntries, IntoValues, List, ListRef, Map,
    MapIter, MapKey, MapRef, MixedElements, Multiple, MultipleIter, OrderedMap, TypedEntries, ValueIter,
};
pub use composite::{COMPOSITES, CompositeSpec, FieldSpec};
pub use condition::{Error, ErrorCondition};
pub use cursor::{Cursor, Decode, from_bytes};
pub use definitions::{Choice, MESSAGE_FORMAT, PORT, RESTRICTED, RestrictedSpec, SECURE_PORT};
pub use delivery_state::{
    Accepted, Declared, DeliveryState, Modified, NotAnOutcome, Outcome, Received, Rejected, Released,
    TransactionalState,
};
pub use described::{Described, DescribedRef};
pub use error::{DecodeError, DecodeErrorKind};
pub use frame::{
    AmqpFrame, FRAME_HEADER_LEN, FrameHeader, FrameType, Frames, MIN_MAX_FRAME_SIZE, encode_empty_frame,
    encode_frame, encode_sasl_frame,
};
pub use limits::{DecodeLimits, Strictness};
pub use message::{
    Body, BodyData, BodyRef, BodySequences, DataSections, Header, IntoDataSections, IntoSequences, Message,
    MessageId, MessageIdRef, MessageParts, MessageView, Properties, Sections, Sequences,
    batch::{BATCHED_MESSAGE_FORMAT, BatchBuilder, BatchFull},
};
pub use number::{Decimal32, Decimal64, Decimal128, SerialNumber, Timestamp, Uuid};
pub use performative::{
    Attach, Begin, Close, DeliveryTag, Detach, Disposition, End, Flow, Open, Performative,
    ReceiverSettleMode, Role, SenderSettleMode, Transfer,
};
pub use protocol_header::{ProtocolHeader, ProtocolId};
pub use sasl::{
    SaslChallenge, SaslCode, SaslInit, SaslMechanisms, SaslOutcome, SaslPerformative, SaslResponse,
};
pub use sink::{Compound, Counter, Encode, FullList, Sink, to_bytes};
pub use terminus::{
    Address, DeleteOnClose, DeleteOnNoLinks, DeleteOnNoLinksOrMessages, DeleteOnNoMessages, DistributionMode,
    LifetimePolicy, Source, Target, TargetArchetype, TerminusDurability, TerminusExpiryPolicy,
};
pub use text::{NotAscii, Str, Symbol, TextRef};
pub use transaction::{Coordinator, Declare, Discharge, TxnCapability};
pub use value::{Value, ValueType, WrongValueType};
pub use value_ref::ValueRef;
