//! The begin performative (AMQP 1.0 §2.7.2).

use crate::{collection::Fields, composite::composite, text::Symbol};

composite! {
    /// Begins a session on a channel.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Begin = 0x11, "amqp:begin:list", "begin" {
        /// The channel of the peer's begin that this one answers; `None` when it starts a session.
        remote_channel: optional u16, "remote-channel" "ushort";
        /// The transfer id of the first transfer the sender will send.
        next_outgoing_id: required u32, "next-outgoing-id" "transfer-number";
        /// How many transfer frames the sender takes at once.
        incoming_window: required u32, "incoming-window" "uint";
        /// How many transfer frames the sender would send at once.
        outgoing_window: required u32, "outgoing-window" "uint";
        /// Highest handle that may be used. Default 4,294,967,295.
        handle_max: defaulted u32 = u32::MAX, "handle-max" "handle" "4294967295";
        /// Extensions the sender supports.
        offered_capabilities: multiple Symbol, "offered-capabilities" "symbol";
        /// Extensions the sender would use if the peer supports them.
        desired_capabilities: multiple Symbol, "desired-capabilities" "symbol";
        /// What else is to be said of the session.
        properties: optional Fields, "properties" "fields";
    }
}
