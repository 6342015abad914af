//! The attach performative and the types only it brings (AMQP 1.0 §2.7.3, §2.8.1 to §2.8.3).

use crate::{
    collection::{Fields, Map},
    composite::{composite, restricted},
    terminus::{Source, TargetArchetype},
    text::{Str, Symbol},
};

composite! {
    /// Attaches a link to a session.
    // L-032: name, handle and role must be there.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Attach = 0x12, "amqp:attach:list", "attach" {
        /// The link's name, unique per direction between two containers.
        name: required Str, "name" "string";
        /// The handle by which the sender of this attach will call the link.
        handle: required u32, "handle" "handle";
        /// Which end of the link the sender of this attach is.
        role: required Role, "role" "role";
        /// How the sending end settles. Default mixed.
        snd_settle_mode: defaulted SenderSettleMode = SenderSettleMode::Mixed,
            "snd-settle-mode" "sender-settle-mode" "mixed";
        /// How the receiving end settles. Default first.
        rcv_settle_mode: defaulted ReceiverSettleMode = ReceiverSettleMode::First,
            "rcv-settle-mode" "receiver-settle-mode" "first";
        /// Where messages come from. `None` in an answer refuses the link.
        source: optional Source, "source" "*";
        /// Where messages go to. `None` in an answer refuses the link.
        target: optional TargetArchetype, "target" "*";
        /// Deliveries that were unsettled when the link was last suspended: tag to delivery state. Bounded by
        /// [`DecodeLimits::max_unsettled_nodes`](crate::DecodeLimits) where it is read.
        unsettled: unsettled Map, "unsettled" "map";
        /// Whether `unsettled` is only a part. Default false.
        incomplete_unsettled: defaulted bool = false, "incomplete-unsettled" "boolean" "false";
        /// The sending end's delivery count at this moment; it must be set by that end.
        initial_delivery_count: optional u32, "initial-delivery-count" "sequence-no";
        /// Largest message the sender of this attach takes, in octets. `None` and 0: no limit.
        max_message_size: optional u64, "max-message-size" "ulong";
        /// Extensions the sender supports.
        offered_capabilities: multiple Symbol, "offered-capabilities" "symbol";
        /// Extensions the sender would use if the peer supports them.
        desired_capabilities: multiple Symbol, "desired-capabilities" "symbol";
        /// What else is to be said of the link.
        properties: optional Fields, "properties" "fields";
    }
}

restricted! {
    /// Which end of a link (AMQP 1.0 §2.8.1).
    #[derive(Default)]
    Role: bool, "role" {
        /// The sending end.
        #[default]
        Sender = false, "sender";
        /// The receiving end.
        Receiver = true, "receiver";
    }
}

restricted! {
    /// How the sending end settles (AMQP 1.0 §2.8.2).
    #[derive(Default)]
    SenderSettleMode: u8, "sender-settle-mode" {
        /// Nothing is sent settled.
        Unsettled = 0, "unsettled";
        /// Everything is sent settled.
        Settled = 1, "settled";
        /// As the sender likes.
        #[default]
        Mixed = 2, "mixed";
    }
}

restricted! {
    /// How the receiving end settles (AMQP 1.0 §2.8.3).
    #[derive(Default)]
    ReceiverSettleMode: u8, "receiver-settle-mode" {
        /// The receiver settles on its own.
        #[default]
        First = 0, "first";
        /// The receiver settles after the sender has.
        Second = 1, "second";
    }
}

impl Attach {
    /// An attach with defaults. The sending end's initial delivery count is set to zero.
    pub fn new(name: impl Into<Str>, handle: u32, role: Role) -> Self {
        let initial_delivery_count = (role == Role::Sender).then_some(0);
        Self { name: name.into(), handle, role, initial_delivery_count, ..Self::default() }
    }
}

impl Role {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}
