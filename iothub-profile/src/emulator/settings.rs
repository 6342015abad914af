//! The emulator's numbers: waits, sizes and bounds, each with Azure's value as its default.

use std::time::Duration;

/// Waits and bounds of an emulated hub. The defaults are Azure's, where Azure has one.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Partitions of the built-in event hub.
    pub(crate) partitions: u16,
    /// Consumer groups besides `$Default`.
    pub(crate) consumer_groups: Vec<String>,
    /// Longest time a feedback record waits for company.
    pub(crate) feedback_interval: Duration,
    /// How long a command or a feedback batch stays locked for the receiver it was sent to.
    pub(crate) lock_duration: Duration,
    /// Life of a command that carries no expiry of its own.
    pub(crate) default_ttl: Duration,
    /// Abandons after which a command is given up.
    pub(crate) max_delivery_count: u8,
    /// Stored bytes of one partition; beyond them its oldest events go.
    pub(crate) retention_bytes: usize,
    /// Stored events of one partition; beyond them its oldest events go.
    pub(crate) retention_events: usize,
    /// How long a connection may take for TLS, SASL and open.
    pub(crate) handshake_timeout: Duration,
    /// How long a connection may go on without having shown a token or key.
    pub(crate) claim_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            partitions: 4,
            consumer_groups: Vec::new(),
            feedback_interval: Duration::from_secs(15),
            lock_duration: Duration::from_secs(60),
            default_ttl: Duration::from_secs(3600),
            max_delivery_count: 10,
            retention_bytes: 256 << 20,
            retention_events: 2_000_000,
            handshake_timeout: Duration::from_secs(30),
            claim_timeout: Duration::from_secs(60),
        }
    }
}

/// Most partitions a built-in event hub can have.
pub(crate) const MAX_PARTITIONS: u16 = 32;

/// IoT Hub: quotas: pending commands of one device.
pub(crate) const MAX_PENDING_COMMANDS: usize = 50;

/// IoT Hub: quotas: largest telemetry message or batch, in metered bytes.
pub(crate) const MAX_TELEMETRY_SIZE: usize = 256 * 1024;

/// IoT Hub: quotas: largest command, in metered bytes.
pub(crate) const MAX_COMMAND_SIZE: usize = 64 * 1024;

/// What the hub announces as `max-message-size` of every link; beyond it the link goes, not only the message.
pub(crate) const MAX_LINK_MESSAGE_SIZE: u64 = 1024 * 1024;

/// Announced as `max-message-size` of links for requests: a token has a few hundred bytes, a query fewer.
pub(crate) const MAX_REQUEST_SIZE: u64 = 64 * 1024;

/// Event Hubs quotas: readers without an epoch, per partition and consumer group.
pub(crate) const MAX_READERS: usize = 5;

/// Connections served at once; sockets beyond them are closed.
pub(crate) const MAX_CONNECTIONS: usize = 10_000;

/// Links of one connection: a thousand devices, the most one connection carries, with eight each and some to spare.
pub(crate) const MAX_LINKS: usize = 10_000;

/// Links of a connection that has shown no token or key: to put one takes two, and some to spare.
pub(crate) const MAX_UNKNOWN_LINKS: usize = 8;

/// Requests on the way on a link of a connection that has shown no token or key.
pub(crate) const MAX_UNKNOWN_REQUESTS: u32 = 8;
