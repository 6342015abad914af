//! What a caller decides about a message: its octets and how it is sent.

use std::fmt;

use amqp_codec::{DeliveryState, DeliveryTag};
use bytes::Bytes;

/// One message to send.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// The encoded message.
    pub payload: Payload<'a>,
    /// Whether it goes settled: no outcome will come.
    pub settlement: Settlement,
    /// The message format; 0 is the AMQP message format (M-004).
    pub message_format: u32,
    /// The delivery tag; the delivery-id in four octets when absent. The caller answers for its uniqueness (D-001).
    pub tag: Option<DeliveryTag>,
    /// The caller's own number, given back in [`Event::Settled`](crate::engine::Event::Settled).
    pub user: u32,
    /// The state of the delivery at its sender: that it belongs to a transaction (AMQP 1.0 §4.4.1). Default none.
    pub state: Option<Box<DeliveryState>>,
}

impl<'a> Outgoing<'a> {
    /// A message of format 0 under the engine's own tag.
    pub fn new(payload: impl Into<Payload<'a>>, settlement: Settlement, user: u32) -> Self {
        Self { payload: payload.into(), settlement, message_format: 0, tag: None, user, state: None }
    }
}

/// The octets of an outgoing message.
#[derive(Clone)]
pub enum Payload<'a> {
    /// Borrowed: copied once, straight behind the performative (or kept whole when it needs several frames).
    Slice(&'a [u8]),
    /// Shared: large ones travel as their own piece of a vectored write, without a copy.
    Bytes(Bytes),
    /// What goes before a body, which is copied, and the body, which is shared when it is large.
    Parts {
        /// The sections before the body, and the body's own constructor.
        head: &'a [u8],
        /// The rest of the message.
        body: &'a Bytes,
    },
}

/// A payload that leaves in several frames: what is left of its two parts.
#[derive(Default)]
pub(crate) struct Pieces {
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

impl Pieces {
    pub(crate) const fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

impl From<Bytes> for Pieces {
    fn from(body: Bytes) -> Self {
        Self { head: Bytes::new(), body }
    }
}

impl fmt::Debug for Payload<'_> {
    // The octets of messages and frames may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("octets", &self.len()).finish_non_exhaustive()
    }
}

impl Payload<'_> {
    /// Length in octets.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Slice(slice) => slice.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Parts { head, body } => head.len() + body.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The octets, in at most two runs.
    pub(crate) fn runs(&self) -> (&[u8], &[u8]) {
        match self {
            Self::Slice(slice) => (slice, &[]),
            Self::Bytes(bytes) => (bytes, &[]),
            Self::Parts { head, body } => (head, body),
        }
    }

    /// The octets as they wait for their turn to leave.
    pub(crate) fn into_pieces(self) -> Pieces {
        match self {
            Self::Slice(slice) => Bytes::copy_from_slice(slice).into(),
            Self::Bytes(bytes) => bytes.into(),
            Self::Parts { head, body } => Pieces { head: Bytes::copy_from_slice(head), body: body.clone() },
        }
    }

    /// The octets in one buffer, shared where they are in one already.
    pub(crate) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Slice(slice) => Bytes::copy_from_slice(slice),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Parts { head, body } => [head, &body[..]].concat().into(),
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(slice: &'a [u8]) -> Self {
        Self::Slice(slice)
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// Whether a transfer or disposition settles its delivery.
///
/// D-022: at most once is sent settled, at least once is settled by its receiver, exactly once by both in turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// Settled: this side forgets the delivery.
    Settled,
    /// Unsettled: the other side has yet to act.
    Unsettled,
}

impl Settlement {
    pub(crate) fn is_settled(self) -> bool {
        self == Self::Settled
    }
}
