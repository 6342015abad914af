//! What an application chooses when it begins a session or attaches a link.
//!
//! Plain consuming builders with defaults; they never touch a connection.

use amqp_codec::{
    Described, Fields, Multiple, ReceiverSettleMode, SenderSettleMode, Source, Str, Symbol, Target,
    TargetArchetype, Value,
};

use crate::driver::inbox::Drain;
use crate::engine::{LinkConfig, Retention, SessionConfig, Settling};

/// Settings of a session (`AMQP 1.0 §2.7.2`).
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    pub(crate) config: SessionConfig,
}

impl SessionOptions {
    /// The defaults: windows of 2,048 transfer frames, up to 8,192 links.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Transfer frames the peer may send before it hears from this side again. Default 2,048.
    #[must_use]
    pub fn incoming_window(mut self, frames: u32) -> Self {
        self.config.incoming_window = frames;
        self
    }

    /// The outgoing window announced to the peer, in transfer frames. Default 2,048.
    #[must_use]
    pub fn outgoing_window(mut self, frames: u32) -> Self {
        self.config.outgoing_window = frames;
        self
    }

    /// The highest link handle, one less than the number of links. Default 8,191.
    #[must_use]
    pub fn handle_max(mut self, handle_max: u32) -> Self {
        self.config.handle_max = handle_max;
        self
    }

    /// `begin.offered-capabilities`. Default none.
    // S-027
    #[must_use]
    pub fn offered_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.config.offered_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// `begin.desired-capabilities`. Default none.
    #[must_use]
    pub fn desired_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.config.desired_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// `begin.properties`. Default none.
    #[must_use]
    pub fn properties(mut self, properties: Fields) -> Self {
        self.config.properties = Some(properties);
        self
    }
}

/// Settings of a link that sends (`AMQP 1.0 §2.6.3`).
#[derive(Clone, Debug)]
pub struct SenderOptions {
    pub(crate) config: LinkConfig,
}

impl SenderOptions {
    /// A link under this name to a target, which may be a [`Target`] or its address as text.
    pub fn new(name: impl Into<Str>, target: impl Into<LinkTarget>) -> Self {
        let LinkTarget(target) = target.into();
        Self { config: LinkConfig::sender(name, target) }
    }

    /// Where messages come from on this side. Default an empty source.
    #[must_use]
    pub fn source(mut self, source: impl Into<LinkSource>) -> Self {
        self.config.source = Some(source.into().0);
        self
    }

    /// Whether messages go settled, unsettled or as each send says. Default mixed, which sends unsettled.
    #[must_use]
    pub fn snd_settle_mode(mut self, mode: SenderSettleMode) -> Self {
        self.config.snd_settle_mode = mode;
        self
    }

    /// The settle mode wished of the receiver. Default first.
    #[must_use]
    pub fn rcv_settle_mode(mut self, mode: ReceiverSettleMode) -> Self {
        self.config.rcv_settle_mode = mode;
        self
    }

    /// Who settles a message whose receiver told its outcome and left the settling to this side, as in mode second
    /// (`AMQP 1.0 §2.6.12`); by application, each [`Receipt`](crate::Receipt) decides. Default automatic.
    #[must_use]
    pub fn settling(mut self, settling: Settling) -> Self {
        self.config.settling = settling;
        self
    }

    /// The delivery-count to start from (`AMQP 1.0 §2.6.7`). Default 0.
    #[must_use]
    pub fn initial_delivery_count(mut self, count: u32) -> Self {
        self.config.initial_delivery_count = count;
        self
    }

    /// Keeps what is unsettled, and up to so many bytes of its messages, so that the link can be resumed after a loss
    /// (`AMQP 1.0 §2.6.13`): see [`Sender::suspended`](crate::Sender::suspended). Receipts wait for that then, until the
    /// sender is dropped. Default nothing is kept.
    #[must_use]
    pub fn keep_unsettled(mut self, message_bytes: usize) -> Self {
        self.config.retention = Retention::Keep { payload_octets: message_bytes };
        self
    }

    /// `attach.properties`. Default none.
    #[must_use]
    pub fn properties(mut self, properties: Fields) -> Self {
        self.config.properties = Some(properties);
        self
    }

    /// `attach.offered-capabilities`. Default none.
    #[must_use]
    pub fn offered_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.config.offered_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// `attach.desired-capabilities`. Default none.
    #[must_use]
    pub fn desired_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.config.desired_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// `attach.max-message-size` in bytes. It bounds what a receiver sends, so a sender rarely needs it. Default none.
    #[must_use]
    pub fn max_message_size(mut self, bytes: u64) -> Self {
        self.config.max_message_size = Some(bytes);
        self
    }
}

/// Settings of a link that receives (`AMQP 1.0 §2.6.3`).
#[derive(Clone, Debug)]
pub struct ReceiverOptions {
    pub(crate) config: LinkConfig,
    pub(crate) credit: CreditMode,
    pub(crate) on_drop: OnDrop,
    /// Whether credit is granted from the beginning.
    pub(crate) at_first: Drain,
}

impl ReceiverOptions {
    /// A link under this name from a source, which may be a [`Source`] or its address as text.
    pub fn new(name: impl Into<Str>, source: impl Into<LinkSource>) -> Self {
        let mut config = LinkConfig::receiver(name, source.into().0);
        config.max_message_size = Some(DEFAULT_MAX_MESSAGE_SIZE);
        Self { config, credit: CreditMode::default(), on_drop: OnDrop::default(), at_first: Drain::Off }
    }

    /// Where messages go on this side. Default an empty target.
    #[must_use]
    pub fn target(mut self, target: impl Into<LinkTarget>) -> Self {
        self.config.target = Some(TargetArchetype::Target(target.into().0));
        self
    }

    /// How many messages the peer may send ahead. Default [`CreditMode::Auto`] of 100.
    #[must_use]
    pub fn credit(mut self, credit: CreditMode) -> Self {
        self.credit = credit;
        self
    }

    /// Whether an outcome settles at once (first) or waits for the sender's settlement (second). Default first.
    #[must_use]
    pub fn rcv_settle_mode(mut self, mode: ReceiverSettleMode) -> Self {
        self.config.rcv_settle_mode = mode;
        self
    }

    /// The settle mode wished of the sender. Default mixed.
    #[must_use]
    pub fn snd_settle_mode(mut self, mode: SenderSettleMode) -> Self {
        self.config.snd_settle_mode = mode;
        self
    }

    /// Adds a filter to the source: its name, the filter type's symbolic descriptor and its value
    /// (`AMQP 1.0 §3.5.8`).
    // L-051
    #[must_use]
    pub fn filter(
        mut self,
        name: impl Into<Symbol>,
        descriptor: impl Into<Symbol>,
        value: impl Into<Value>,
    ) -> Self {
        let described = Described::new(descriptor.into(), value);
        self.config
            .source
            .get_or_insert_with(Source::default)
            .filter
            .get_or_insert_with(Fields::default)
            .insert(name, described);
        self
    }

    /// `attach.properties`. Default none.
    #[must_use]
    pub fn properties(mut self, properties: Fields) -> Self {
        self.config.properties = Some(properties);
        self
    }

    /// `attach.offered-capabilities`. Default none.
    #[must_use]
    pub fn offered_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.config.offered_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// `attach.desired-capabilities`. Default none.
    #[must_use]
    pub fn desired_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.config.desired_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// Keeps what is unsettled so that the link can be resumed after a loss (`AMQP 1.0 §2.6.13`): see
    /// [`Receiver::suspended`](crate::Receiver::suspended). Default nothing is kept.
    #[must_use]
    pub fn keep_unsettled(mut self) -> Self {
        self.config.retention = Retention::Keep { payload_octets: 0 };
        self
    }

    /// The largest message taken, in bytes. Default 1 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: u64) -> Self {
        self.config.max_message_size = Some(bytes);
        self
    }

    /// What happens to a delivery that is dropped unsettled. Default [`OnDrop::Release`].
    #[must_use]
    pub fn on_drop(mut self, on_drop: OnDrop) -> Self {
        self.on_drop = on_drop;
        self
    }
}

/// How a receiver grants link credit (`AMQP 1.0 §2.6.7`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditMode {
    /// Keeps messages on their way and waiting to be taken at this number together, and renews at half of it as the
    /// application takes them. A receiver that does not take stops its sender. Fewer where so many might not find room:
    /// at first, messages as large as the link takes them; later, as large as they came lately
    /// ([`Limits::inbox_bytes`](crate::engine::Limits)).
    Auto(u32),
    /// As [`Auto`](Self::Auto), with a number that follows from the sizes of the messages: those on their way and waiting
    /// are to take about so many bytes together, whatever their number. Begins with one message and learns; a peer whose
    /// messages grow suddenly may exceed it once by what it was granted. At least one message is always granted, and never
    /// more than [`Auto`](Self::Auto) would find room for.
    Bytes(u64),
    /// Only what [`Receiver::add_credit`](crate::Receiver::add_credit) grants.
    Manual,
}

impl Default for CreditMode {
    fn default() -> Self {
        Self::Auto(DEFAULT_CREDIT)
    }
}

/// What happens to a received delivery that is dropped without having been settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrop {
    /// It is released: the peer may deliver it again, to anyone.
    #[default]
    Release,
    /// Nothing is said; it stays unsettled until the link ends. For peers that count a release as a failed attempt.
    LeaveUnsettled,
}

/// Who answers a peer that has granted credit and wants back what is not used (`AMQP 1.0 §2.6.7`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Draining {
    /// The link, as soon as nobody waits to send.
    #[default]
    Automatic,
    /// The application, by [`Sender::idle`](crate::Sender::idle) once it has sent what it has. For senders that fetch what
    /// they send only when it can go, such as brokers.
    ByApplication,
}

/// A [`Target`] from what an application has at hand: a target, or an address as text.
#[derive(Clone, Debug)]
pub struct LinkTarget(pub(crate) Target);

/// A [`Source`] from what an application has at hand: a source, or an address as text.
#[derive(Clone, Debug)]
pub struct LinkSource(pub(crate) Source);

impl From<Target> for LinkTarget {
    fn from(target: Target) -> Self {
        Self(target)
    }
}

impl From<&str> for LinkTarget {
    fn from(address: &str) -> Self {
        Self(Target::new(address.to_owned()))
    }
}

impl From<String> for LinkTarget {
    fn from(address: String) -> Self {
        Self(Target::new(address))
    }
}

impl From<Source> for LinkSource {
    fn from(source: Source) -> Self {
        Self(source)
    }
}

impl From<&str> for LinkSource {
    fn from(address: &str) -> Self {
        Self(Source::new(address.to_owned()))
    }
}

impl From<String> for LinkSource {
    fn from(address: String) -> Self {
        Self(Source::new(address))
    }
}

/// Messages a receiver has on the way by default: enough to hide a round trip, little enough to hold in memory.
const DEFAULT_CREDIT: u32 = 100;

/// The largest message a receiver takes by default, in bytes.
pub(crate) const DEFAULT_MAX_MESSAGE_SIZE: u64 = 1024 * 1024;
