//! Delivery states and outcomes (AMQP 1.0 §3.4, §4.5.5).

use alloc::boxed::Box;

use bytes::Bytes;

use crate::{
    collection::Fields,
    composite::{COMPOSITES, Composite, composite},
    condition::Error,
    cursor::{Cursor, Decode},
    described::{Described, Descriptor, described_since, read_descriptor},
    error::{DecodeError, DecodeErrorKind},
    sink::{Encode, Sink},
};

/// The state of a delivery at one of its ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryState {
    /// How much has arrived; not an outcome.
    Received(Received),
    /// The receiver has taken the message.
    Accepted,
    /// The message is invalid.
    Rejected(Rejected),
    /// The message was not and will not be processed; it is as if it had not been sent.
    Released,
    /// As released, with changes to be made to the message.
    Modified(Modified),
    /// A transaction was declared.
    Declared(Declared),
    /// The state within a transaction.
    TransactionalState(TransactionalState),
    /// A state of an extension of AMQP.
    Unknown(Described),
}

/// How a delivery ended (AMQP 1.0 §3.4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The receiver has taken the message.
    Accepted,
    /// The message is invalid, and perhaps why.
    Rejected(Option<Error>),
    /// The message was not and will not be processed.
    Released,
    /// As released, with changes to be made to the message.
    Modified(Modified),
}

/// A delivery state that is no outcome; a fault of the peer where an outcome is due, a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("delivery state is not an outcome")]
pub struct NotAnOutcome;

composite! {
    /// How much of a delivery has arrived (AMQP 1.0 §3.4.1).
    // D-035: sections are counted from 0, octets within the section.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    Received = 0x23, "amqp:received:list", "received" {
        /// The section up to which everything has arrived.
        section_number: required u32, "section-number" "uint";
        /// The octets of that section that have arrived.
        section_offset: required u64, "section-offset" "ulong";
    }
}

composite! {
    /// The receiver has taken the message (AMQP 1.0 §3.4.2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    Accepted = 0x24, "amqp:accepted:list", "accepted" {}
}

composite! {
    /// The message is invalid (AMQP 1.0 §3.4.3).
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    Rejected = 0x25, "amqp:rejected:list", "rejected" {
        /// Why.
        error: optional Error, "error" "error";
    }
}

composite! {
    /// The message was not and will not be processed (AMQP 1.0 §3.4.4).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    Released = 0x26, "amqp:released:list", "released" {}
}

composite! {
    /// The message was not processed and is to be changed (AMQP 1.0 §3.4.5).
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    Modified = 0x27, "amqp:modified:list", "modified" {
        /// Whether this counts as a failed delivery.
        delivery_failed: optional bool, "delivery-failed" "boolean";
        /// Whether the message must not come back to this link.
        undeliverable_here: optional bool, "undeliverable-here" "boolean";
        /// Annotations to set on the message.
        message_annotations: optional Fields, "message-annotations" "fields";
    }
}

composite! {
    /// A transaction was declared (AMQP 1.0 §4.5.4).
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    Declared = 0x33, "amqp:declared:list", "declared" {
        /// The transaction's id.
        txn_id: required Bytes, "txn-id" "*";
    }
}

composite! {
    /// The state of a delivery within a transaction (AMQP 1.0 §4.5.5).
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    TransactionalState = 0x34, "amqp:transactional-state:list", "transactional-state" {
        /// The transaction's id.
        txn_id: required Bytes, "txn-id" "*";
        /// What the outcome will be when the transaction commits.
        outcome: optional Box<Outcome>, "outcome" "*";
    }
}

// T-019: what provides a delivery state, and what of that is an outcome.
impl DeliveryState {
    /// The rejected state with a reason.
    pub const fn rejected(error: Error) -> Self {
        Self::Rejected(Rejected { error: Some(error) })
    }

    /// Whether this is one of the states in which a delivery can end.
    // M-026 to M-030: four outcomes, and a fifth of transactions; received is none.
    pub const fn is_outcome(&self) -> bool {
        matches!(
            self,
            Self::Accepted | Self::Rejected(_) | Self::Released | Self::Modified(_) | Self::Declared(_)
        )
    }
}

impl Decode for DeliveryState {
    // Kept out of line: nearly every transfer has no state.
    #[inline(never)]
    // T-017: only types that provide a delivery state, and types of extensions.
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let start = cursor.offset();
        let descriptor = read_descriptor(cursor, "delivery-state")?;
        Ok(match descriptor {
            Descriptor::Code(Accepted::CODE) => {
                Accepted::decode_list(cursor)?;
                Self::Accepted
            }
            Descriptor::Code(Released::CODE) => {
                Released::decode_list(cursor)?;
                Self::Released
            }
            Descriptor::Code(Received::CODE) => Self::Received(Received::decode_list(cursor)?),
            Descriptor::Code(Rejected::CODE) => Self::Rejected(Rejected::decode_list(cursor)?),
            Descriptor::Code(Modified::CODE) => Self::Modified(Modified::decode_list(cursor)?),
            Descriptor::Code(Declared::CODE) => Self::Declared(Declared::decode_list(cursor)?),
            Descriptor::Code(TransactionalState::CODE) => {
                Self::TransactionalState(TransactionalState::decode_list(cursor)?)
            }
            Descriptor::Code(code) if COMPOSITES.iter().any(|spec| spec.code == code) => {
                return Err(cursor.error(DecodeErrorKind::UnknownDescriptor, "delivery-state"));
            }
            Descriptor::Code(_) | Descriptor::Symbol(_) => Self::Unknown(described_since(cursor, start)?),
        })
    }
}

impl Encode for DeliveryState {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        match self {
            Self::Received(state) => state.encode(out),
            Self::Accepted => Accepted {}.encode(out),
            Self::Rejected(state) => state.encode(out),
            Self::Released => Released {}.encode(out),
            Self::Modified(state) => state.encode(out),
            Self::Declared(state) => state.encode(out),
            Self::TransactionalState(state) => state.encode(out),
            Self::Unknown(state) => state.encode(out),
        }
    }
}

impl Decode for Outcome {
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let state = DeliveryState::decode(cursor)?;
        Self::try_from(state).map_err(|_| cursor.error(DecodeErrorKind::UnknownDescriptor, "outcome"))
    }
}

impl Encode for Outcome {
    fn encode(&self, out: &mut impl Sink) {
        match self {
            Self::Accepted => Accepted {}.encode(out),
            Self::Rejected(error) => Rejected { error: error.clone() }.encode(out),
            Self::Released => Released {}.encode(out),
            Self::Modified(modified) => modified.encode(out),
        }
    }
}

impl TryFrom<DeliveryState> for Outcome {
    type Error = NotAnOutcome;

    fn try_from(state: DeliveryState) -> Result<Self, NotAnOutcome> {
        match state {
            DeliveryState::Accepted => Ok(Self::Accepted),
            DeliveryState::Rejected(rejected) => Ok(Self::Rejected(rejected.error)),
            DeliveryState::Released => Ok(Self::Released),
            DeliveryState::Modified(modified) => Ok(Self::Modified(modified)),
            DeliveryState::TransactionalState(TransactionalState { outcome: Some(outcome), .. }) => {
                Ok(*outcome)
            }
            _ => Err(NotAnOutcome),
        }
    }
}

impl From<Outcome> for DeliveryState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted => Self::Accepted,
            Outcome::Rejected(error) => Self::Rejected(Rejected { error }),
            Outcome::Released => Self::Released,
            Outcome::Modified(modified) => Self::Modified(modified),
        }
    }
}
