//! What a caller decides about a connection, a session, a link (`link`) and a message (`outgoing`) before they exist.

mod link;
mod outgoing;

use std::time::Duration;

use amqp_codec::{Fields, Multiple, Str, Symbol};

use super::limits::Limits;
use crate::sasl::Choice;

pub use link::{AttachReply, DetachKind, LinkConfig, Retention, Settling};
pub(super) use outgoing::Pieces;
pub use outgoing::{Outgoing, Payload, Settlement};

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
