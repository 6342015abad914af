//! The two ends of a link (AMQP 1.0 §3.5).

use crate::{
    collection::Fields,
    composite::{composite, one_of, restricted},
    cursor::{Cursor, Decode},
    definitions::Choice,
    delivery_state::DeliveryState,
    error::DecodeError,
    sink::{Encode, Sink},
    text::{Str, Symbol},
    transaction::Coordinator,
};

/// The address of a node: a string (AMQP 1.0 §3.2.13).
pub type Address = Str;

composite! {
    /// Where the messages of a link come from (AMQP 1.0 §3.5.3).
    #[derive(Clone, Debug, PartialEq, Eq)]
    Source = 0x28, "amqp:source:list", "source" {
        /// The node. `None` where the peer is to make one.
        address: optional Address, "address" "*";
        /// What of the terminus survives. Default none.
        durable: defaulted TerminusDurability = TerminusDurability::None, "durable" "terminus-durability" "none";
        /// When the terminus starts to expire. Default session-end.
        expiry_policy: defaulted TerminusExpiryPolicy = TerminusExpiryPolicy::SessionEnd,
            "expiry-policy" "terminus-expiry-policy" "session-end";
        /// Seconds it lives after that. Default 0.
        timeout: defaulted u32 = 0, "timeout" "seconds" "0";
        /// Whether the peer is to make a node for this link. Default false.
        dynamic: defaulted bool = false, "dynamic" "boolean" "false";
        /// What kind of node.
        dynamic_node_properties: optional Fields, "dynamic-node-properties" "node-properties";
        /// Whether messages are moved or copied.
        distribution_mode: optional DistributionMode, "distribution-mode" "symbol";
        /// Which messages: filters by name, each a described value.
        filter: optional Fields, "filter" "filter-set";
        /// The outcome of deliveries that end without one.
        default_outcome: optional DeliveryState, "default-outcome" "*";
        /// The outcomes that may be used, by their symbolic descriptors.
        outcomes: multiple Symbol, "outcomes" "symbol";
        /// Extensions of this source.
        capabilities: multiple Symbol, "capabilities" "symbol";
    }
}

composite! {
    /// Where the messages of a link go to (AMQP 1.0 §3.5.4).
    #[derive(Clone, Debug, PartialEq, Eq)]
    Target = 0x29, "amqp:target:list", "target" {
        /// The node. `None` where the peer is to make one, or where every message names its own.
        address: optional Address, "address" "*";
        /// What of the terminus survives. Default none.
        durable: defaulted TerminusDurability = TerminusDurability::None, "durable" "terminus-durability" "none";
        /// When the terminus starts to expire. Default session-end.
        expiry_policy: defaulted TerminusExpiryPolicy = TerminusExpiryPolicy::SessionEnd,
            "expiry-policy" "terminus-expiry-policy" "session-end";
        /// Seconds it lives after that. Default 0.
        timeout: defaulted u32 = 0, "timeout" "seconds" "0";
        /// Whether the peer is to make a node for this link. Default false.
        dynamic: defaulted bool = false, "dynamic" "boolean" "false";
        /// What kind of node.
        dynamic_node_properties: optional Fields, "dynamic-node-properties" "node-properties";
        /// Extensions of this target.
        capabilities: multiple Symbol, "capabilities" "symbol";
    }
}

one_of! {
    /// What may stand as the target of an attach.
    #[derive(Clone, Debug, PartialEq, Eq)]
    TargetArchetype, "target" {
        /// A node.
        Target(Target),
        /// A transaction coordinator.
        Coordinator(Coordinator),
    }
}

restricted! {
    /// What of a terminus survives the loss of the container (AMQP 1.0 §3.5.5).
    // L-053: three of them.
    #[derive(Default)]
    TerminusDurability: u32, "terminus-durability" {
        /// Nothing.
        #[default]
        None = 0, "none";
        /// That it exists, and its configuration.
        Configuration = 1, "configuration";
        /// Also its unsettled deliveries.
        UnsettledState = 2, "unsettled-state";
    }
}

restricted! {
    /// When a terminus starts to expire (AMQP 1.0 §3.5.6).
    // M-031: session-end unless it says otherwise, and after no time.
    #[derive(Default)]
    TerminusExpiryPolicy: Symbol, "terminus-expiry-policy" {
        /// When its link is detached.
        LinkDetach = "link-detach", "link-detach";
        /// When its session ends.
        #[default]
        SessionEnd = "session-end", "session-end";
        /// When its connection closes.
        ConnectionClose = "connection-close", "connection-close";
        /// Never.
        Never = "never", "never";
    }
}

/// Whether a source moves or copies messages (AMQP 1.0 §3.5.7). Open: unknown modes survive a round trip.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistributionMode(pub Symbol);

impl DistributionMode {
    /// A message that is sent is no longer available to others.
    pub const MOVE: Self = Self(Symbol::from_static("move"));
    /// A message that is sent stays available to others.
    pub const COPY: Self = Self(Symbol::from_static("copy"));

    /// The modes of the specification: name and symbol.
    pub const CHOICES: &'static [Choice] = &[("move", "move"), ("copy", "copy")];
}

impl Decode for DistributionMode {
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Symbol::decode(cursor).map(Self)
    }
}

impl Encode for DistributionMode {
    fn encode(&self, out: &mut impl Sink) {
        self.0.encode(out);
    }
}

composite! {
    /// A dynamic node lives until the link that made it closes (AMQP 1.0 §3.5.10).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    DeleteOnClose = 0x2b, "amqp:delete-on-close:list", "delete-on-close" {}
}

composite! {
    /// A dynamic node lives until it has no links (AMQP 1.0 §3.5.11).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    DeleteOnNoLinks = 0x2c, "amqp:delete-on-no-links:list", "delete-on-no-links" {}
}

composite! {
    /// A dynamic node lives until its creating link is gone and it has no messages (AMQP 1.0 §3.5.12).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    DeleteOnNoMessages = 0x2d, "amqp:delete-on-no-messages:list", "delete-on-no-messages" {}
}

composite! {
    /// A dynamic node lives until it has neither links nor messages (AMQP 1.0 §3.5.13).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    DeleteOnNoLinksOrMessages = 0x2e, "amqp:delete-on-no-links-or-messages:list", "delete-on-no-links-or-messages" {}
}

one_of! {
    /// How long a dynamic node lives (AMQP 1.0 §3.5.9, the `lifetime-policy` node property).
    // L-047: one of four.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    LifetimePolicy, "lifetime-policy" {
        /// Until the link that made it closes.
        DeleteOnClose(DeleteOnClose),
        /// Until it has no links.
        DeleteOnNoLinks(DeleteOnNoLinks),
        /// Until its creating link is gone and it has no messages.
        DeleteOnNoMessages(DeleteOnNoMessages),
        /// Until it has neither links nor messages.
        DeleteOnNoLinksOrMessages(DeleteOnNoLinksOrMessages),
    }
}

impl Source {
    /// A source at an address, with defaults.
    pub fn new(address: impl Into<Address>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }

    /// The source with one more filter.
    #[must_use]
    // L-051: what is read may be bare; whoever writes one describes it.
    pub fn with_filter(mut self, name: impl Into<Symbol>, filter: impl Into<crate::Value>) -> Self {
        self.filter.get_or_insert_default().insert(name, filter);
        self
    }
}

impl Target {
    /// A target at an address, with defaults.
    pub fn new(address: impl Into<Address>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}

impl TargetArchetype {
    /// The address of a node; `None` for a coordinator or a node without one.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Target(target) => target.address.as_ref(),
            Self::Coordinator(_) => None,
        }
    }
}
