//! The open performative (AMQP 1.0 §2.7.1).

use crate::{
    collection::Fields,
    composite::composite,
    text::{Str, Symbol},
};

composite! {
    /// Negotiates connection parameters.
    // C-006, C-014: no hostname is none; keys of properties are symbols, known or not.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Open = 0x10, "amqp:open:list", "open" {
        /// Who is connecting: unique per container, for a device its id.
        container_id: required Str, "container-id" "string";
        /// The host the client means to reach, which may differ from the address it dialled.
        hostname: optional Str, "hostname" "string";
        /// Largest frame the sender of this open accepts, in octets, at least 512. Default 4,294,967,295: no limit.
        max_frame_size: defaulted u32 = u32::MAX, "max-frame-size" "uint" "4294967295";
        /// Highest channel number that may be used. Default 65,535.
        channel_max: defaulted u16 = u16::MAX, "channel-max" "ushort" "65535";
        /// Milliseconds of silence after which the sender of this open may close. `None`: it never does.
        idle_time_out: optional u32, "idle-time-out" "milliseconds";
        /// Locales the sender can use for text, in its order of preference.
        outgoing_locales: multiple Symbol, "outgoing-locales" "ietf-language-tag";
        /// Locales the sender would like to be answered in, in its order of preference.
        incoming_locales: multiple Symbol, "incoming-locales" "ietf-language-tag";
        /// Extensions the sender supports.
        offered_capabilities: multiple Symbol, "offered-capabilities" "symbol";
        /// Extensions the sender would use if the peer supports them.
        desired_capabilities: multiple Symbol, "desired-capabilities" "symbol";
        /// What else is to be said of the connection.
        properties: optional Fields, "properties" "fields";
    }
}

impl Open {
    /// An open with defaults.
    pub fn new(container_id: impl Into<Str>) -> Self {
        Self { container_id: container_id.into(), ..Self::default() }
    }
}
