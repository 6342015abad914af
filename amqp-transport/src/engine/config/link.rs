//! What a caller decides about a link: as who attaches it, as who answers an attach, and when it ends.

use amqp_codec::{
    Attach, Fields, Multiple, ReceiverSettleMode, Role, SenderSettleMode, Source, Str, Symbol, Target,
    TargetArchetype,
};

use super::super::suspended::SuspendedLink;

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
    /// `None`: no bound but [`Limits::partial_delivery_bytes`](crate::engine::Limits::partial_delivery_bytes). Default none.
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
    /// The unsettled deliveries; [`Event::LinkSuspended`](crate::engine::Event::LinkSuspended) hands them out.
    Keep {
        /// Octets of messages that a sender keeps so that they can be sent again. A message beyond that is sent all the
        /// same; if the link is lost and the receiver does not have all of it, its outcome is unknown. Receivers keep none.
        payload_octets: usize,
    },
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
