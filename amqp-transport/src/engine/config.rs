//! What a caller decides about a connection, a session and a link before they exist.

use std::fmt;
use std::time::Duration;

use amqp_codec::{
    Attach, DeliveryState, DeliveryTag, Fields, Multiple, ReceiverSettleMode, Role, SenderSettleMode, Source,
    Str, Symbol, Target, TargetArchetype,
};
use bytes::Bytes;

use super::limits::Limits;
use super::suspended::SuspendedLink;
use crate::sasl::Choice;

/// Which end of the connection the engine plays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// Opened the socket: speaks first, is the SASL client, refuses sessions and links the peer starts.
    Client,
    /// Accepted the socket: answers headers, is the SASL server, hands requests to the application.
    Listener,
}

/// The SASL layer in front of the connection (AMQP 1.0 §5.3).
#[derive(Debug, Default)]
pub enum SaslLayer {
    /// No SASL layer: the AMQP header comes first. A listener answers a SASL header with the AMQP one and ends.
    #[default]
    None,
    /// A client that authenticates by one of these mechanisms, and in no other way: there is no downgrade.
    Client(Choice),
    /// A listener that offers these mechanisms.
    Listener {
        /// The names announced, at least one.
        mechanisms: Vec<Symbol>,
        /// What a peer gets that opens without SASL.
        without_sasl: WithoutSasl,
    },
}

/// What a listener with SASL does with a peer that leaves it out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WithoutSasl {
    /// Answer with the SASL header and end the stream.
    #[default]
    Refuse,
    /// Go on without an identity.
    Allow,
}

/// How lists of performatives are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ListStyle {
    /// Trailing nulls left out, defaults left out: the smallest legal form.
    #[default]
    Compact,
    /// Every field written, as some old clients need; `max-frame-size` and `handle-max` never null.
    Full,
}

/// Settings of one connection. Start from [`ConnectionConfig::new`] and change fields.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// Our container-id (C-005).
    pub container_id: Str,
    /// The host we mean, for `open.hostname` and `sasl-init.hostname`. Default none.
    pub hostname: Option<Str>,
    /// Largest frame we accept, in octets; at least 512. Default 65,536.
    pub max_frame_size: u32,
    /// Highest channel number we accept: one less than the sessions we carry. Default 255.
    pub channel_max: u16,
    /// Silence of the peer after which we give up; the half of it is announced (C-026). `None`: never.
    /// Default 240 s.
    pub idle_time_out: Option<Duration>,
    /// `open.properties`.
    pub properties: Option<Fields>,
    /// `open.offered-capabilities`.
    pub offered_capabilities: Multiple<Symbol>,
    /// `open.desired-capabilities`.
    pub desired_capabilities: Multiple<Symbol>,
    /// The SASL layer. Default none.
    pub sasl: SaslLayer,
    /// Bounds on memory, time and counts.
    pub limits: Limits,
    /// How lists are written. Default compact.
    pub list_style: ListStyle,
}

impl ConnectionConfig {
    /// Defaults under this container-id.
    pub fn new(container_id: impl Into<Str>) -> Self {
        Self {
            container_id: container_id.into(),
            hostname: None,
            max_frame_size: 65_536,
            channel_max: 255,
            idle_time_out: Some(Duration::from_secs(240)),
            properties: None,
            offered_capabilities: Multiple::default(),
            desired_capabilities: Multiple::default(),
            sasl: SaslLayer::None,
            limits: Limits::default(),
            list_style: ListStyle::Compact,
        }
    }
}

/// Settings of one session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// Transfer frames the peer may send before it hears from us again; refreshed at half (S-024). Default 2,048.
    pub incoming_window: u32,
    /// What we announce as our outgoing window. Default 2,048.
    pub outgoing_window: u32,
    /// First transfer-id and first delivery-id of ours. Default 0.
    pub next_outgoing_id: u32,
    /// Highest handle we accept: one less than the links of the session. At most 1,048,575, default 8,191.
    pub handle_max: u32,
    /// `begin.offered-capabilities`.
    pub offered_capabilities: Multiple<Symbol>,
    /// `begin.desired-capabilities`.
    pub desired_capabilities: Multiple<Symbol>,
    /// `begin.properties`.
    pub properties: Option<Fields>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            incoming_window: 2_048,
            outgoing_window: 2_048,
            next_outgoing_id: 0,
            handle_max: 8_191,
            offered_capabilities: Multiple::default(),
            desired_capabilities: Multiple::default(),
            properties: None,
        }
    }
}

/// Settings of a link that we attach.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The link's name, unique per direction between the two containers (L-001).
    pub name: Str,
    /// Our role.
    pub role: Role,
    /// The source. A null source is legal for a sender only where the peer allows it.
    pub source: Option<Source>,
    /// The target, or the transaction coordinator.
    pub target: Option<TargetArchetype>,
    /// The sender's settle mode: ours as a sender, a wish as a receiver. Default mixed.
    pub snd_settle_mode: SenderSettleMode,
    /// The receiver's settle mode: ours as a receiver, a wish as a sender. Default first.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// Who settles a delivery whose receiver left that to the sender. Default automatic; receivers have no use for it.
    pub settling: Settling,
    /// First delivery-count of a sender. Default 0.
    pub initial_delivery_count: u32,
    /// Largest message we take, in octets; announced and enforced while a message accumulates (L-040).
    /// `None`: no bound but [`Limits::partial_delivery_bytes`]. Default none.
    pub max_message_size: Option<u64>,
    /// `attach.offered-capabilities`.
    pub offered_capabilities: Multiple<Symbol>,
    /// `attach.desired-capabilities`.
    pub desired_capabilities: Multiple<Symbol>,
    /// `attach.properties`.
    pub properties: Option<Fields>,
    /// What is kept so that the link can be resumed. Default nothing.
    pub retention: Retention,
    /// The link that is resumed by this attach, which has its name and role (L-009). A sender goes on from its
    /// delivery-count. Default none: a fresh link.
    pub resume: Option<Box<SuspendedLink>>,
}

impl LinkConfig {
    /// A sending link to a target, from an empty source.
    pub fn sender(name: impl Into<Str>, target: Target) -> Self {
        Self::new(name.into(), Role::Sender, Some(Source::default()), Some(TargetArchetype::Target(target)))
    }

    /// A receiving link from a source, to an empty target.
    pub fn receiver(name: impl Into<Str>, source: Source) -> Self {
        let target = Some(TargetArchetype::Target(Target::default()));
        Self::new(name.into(), Role::Receiver, Some(source), target)
    }

    pub(crate) fn unnamed(role: Role) -> Self {
        Self::new(Str::default(), role, None, None)
    }

    fn new(name: Str, role: Role, source: Option<Source>, target: Option<TargetArchetype>) -> Self {
        Self {
            name,
            role,
            source,
            target,
            snd_settle_mode: SenderSettleMode::default(),
            rcv_settle_mode: ReceiverSettleMode::default(),
            settling: Settling::default(),
            initial_delivery_count: 0,
            max_message_size: None,
            offered_capabilities: Multiple::default(),
            desired_capabilities: Multiple::default(),
            properties: None,
            retention: Retention::Forget,
            resume: None,
        }
    }
}

/// Our answer to a link that the peer attached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttachReply {
    /// The source as we see it; the peer's own by default. Authority is the sender's (L-010).
    pub source: Option<Source>,
    /// The target as we see it; the peer's own by default. Authority is the receiver's (L-010).
    pub target: Option<TargetArchetype>,
    /// The sender's settle mode in force; what the peer asked for by default.
    pub snd_settle_mode: SenderSettleMode,
    /// The receiver's settle mode in force; what the peer asked for by default.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// Who settles a delivery whose receiver left that to us as the sender. Default automatic.
    pub settling: Settling,
    /// First delivery-count, when we are the sender. Default 0.
    pub initial_delivery_count: u32,
    /// Largest message we take, in octets. Default none.
    pub max_message_size: Option<u64>,
    /// `attach.offered-capabilities`.
    pub offered_capabilities: Multiple<Symbol>,
    /// `attach.desired-capabilities`.
    pub desired_capabilities: Multiple<Symbol>,
    /// `attach.properties`.
    pub properties: Option<Fields>,
    /// What is kept so that the link can be resumed. Default nothing.
    pub retention: Retention,
    /// Our half of the link that the peer resumes, where we still have it. Default none: to us the link is a fresh one.
    pub resume: Option<Box<SuspendedLink>>,
}

impl AttachReply {
    /// Grants exactly what the peer's attach asks for.
    #[must_use]
    pub fn granting(attach: &Attach) -> Self {
        Self {
            source: attach.source.clone(),
            target: attach.target.clone(),
            snd_settle_mode: attach.snd_settle_mode,
            rcv_settle_mode: attach.rcv_settle_mode,
            settling: Settling::default(),
            initial_delivery_count: 0,
            max_message_size: None,
            offered_capabilities: Multiple::default(),
            desired_capabilities: Multiple::default(),
            properties: None,
            retention: Retention::Forget,
            resume: None,
        }
    }
}

/// What a link keeps of its unsettled deliveries, so that it can be resumed after a loss (AMQP 1.0 §2.6.13).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Retention {
    /// Nothing: what is unsettled when the link ends is given up.
    #[default]
    Forget,
    /// The unsettled deliveries; [`Event::LinkSuspended`](super::Event::LinkSuspended) hands them out.
    Keep {
        /// Octets of messages that a sender keeps so that they can be sent again. A message beyond that is sent all the
        /// same; if the link is lost and the receiver does not have all of it, its outcome is unknown. Receivers keep none.
        payload_octets: usize,
    },
}

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
    /// The caller's own number, given back in [`Event::Settled`](super::Event::Settled).
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

/// Who settles a delivery when its receiver told an outcome and left the settling to the sender, as it does in
/// rcv-settle-mode second (AMQP 1.0 §2.6.12). A receiver that settles by itself is not concerned.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Settling {
    /// The engine, at once, with the outcome that the receiver told.
    #[default]
    Automatic,
    /// The application, once it has made the outcome its own, or with another state when the outcome cannot be had: a
    /// lock had lapsed, say.
    ByApplication,
}

/// Whether a detach destroys the link's state (L-011).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DetachKind {
    /// `closed = true`: the link is gone for good.
    Closed,
    /// `closed = false`: the link is suspended, its termini may live on.
    Suspended,
}

impl DetachKind {
    pub(crate) fn from_closed(closed: bool) -> Self {
        if closed { Self::Closed } else { Self::Suspended }
    }

    pub(crate) fn is_closed(self) -> bool {
        self == Self::Closed
    }
}
