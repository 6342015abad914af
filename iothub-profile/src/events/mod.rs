//! Reading telemetry back: from a hub's connection string by following its redirect, or from an event hub directly.

mod position;

use std::time::SystemTime;

use tokio::sync::watch;

pub use position::StartPosition;

use crate::{
    connection_string::ConnectionString,
    error::{Error, ErrorKind},
    message::ReceivedEvent,
    supervisor::{ClientOptions, ConnectionStatus},
};

/// What to read, and from where.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    group: String,
    position: StartPosition,
    partitions: Option<Vec<String>>,
    prefetch: u32,
}

impl ReaderOptions {
    /// All partitions of the consumer group `$Default` from their earliest event.
    pub fn new() -> Self {
        Self {
            group: "$Default".to_owned(),
            position: StartPosition::default(),
            partitions: None,
            prefetch: DEFAULT_PREFETCH,
        }
    }

    /// Reads as this consumer group.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Starts here in every partition.
    #[must_use]
    pub fn with_position(mut self, position: StartPosition) -> Self {
        self.position = position;
        self
    }

    /// Reads these partitions alone.
    #[must_use]
    pub fn with_partitions(mut self, partitions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.partitions = Some(partitions.into_iter().map(Into::into).collect());
        self
    }

    /// How many events may be under way per partition before they are taken; 300 by default.
    #[must_use]
    pub fn with_prefetch(mut self, events: u32) -> Self {
        self.prefetch = events;
        self
    }
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What an event hub says about one of its partitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartitionInfo {
    /// The partition's id.
    pub id: String,
    /// The sequence number of the oldest event kept.
    pub begin_sequence_number: i64,
    /// The sequence number of the newest event; -1 where there never was one.
    pub last_enqueued_sequence_number: i64,
    /// The offset of the newest event.
    pub last_enqueued_offset: Option<String>,
    /// When the newest event was taken.
    pub last_enqueued_time: Option<SystemTime>,
    /// Whether nothing is kept there.
    pub is_empty: bool,
}

/// Reads events of all or some partitions, each in order. After a lost connection reading goes on after the last
/// event that was received.
#[derive(Debug)]
pub struct EventsReader {
    status: watch::Receiver<ConnectionStatus>,
}

impl EventsReader {
    /// Opens a reader with a service's connection string, whose hub names the event hub, or with an Event Hubs one.
    ///
    /// # Errors
    /// When the connection string is a device's, the host cannot be reached, or the credential, the group or a
    /// partition is refused.
    pub async fn open(
        _connection_string: &ConnectionString,
        _options: ClientOptions,
        _reader: ReaderOptions,
    ) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Usage, "reading telemetry is not built yet"))
    }

    /// The ids of all partitions of the event hub, whether read or not.
    pub fn partition_ids(&self) -> &[String] {
        &[]
    }

    /// What the event hub says about a partition.
    ///
    /// # Errors
    /// When there is no such partition or no connection.
    ///
    /// # Cancel safety
    /// Safe: the answer is discarded.
    pub async fn partition_info(&self, _id: &str) -> Result<PartitionInfo, Error> {
        Err(Error::new(ErrorKind::Usage, "reading telemetry is not built yet"))
    }

    /// The next event of any partition; waits for one.
    ///
    /// # Errors
    /// When a partition can no longer be read and will not be by itself.
    ///
    /// # Cancel safety
    /// Safe: no event is lost.
    pub async fn recv(&mut self) -> Result<ReceivedEvent, Error> {
        Err(Error::new(ErrorKind::Usage, "reading telemetry is not built yet"))
    }

    /// What the connection to the event hub is doing.
    pub fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.clone()
    }

    /// Ends reading and closes the connection.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed in the background.
    pub async fn close(&self) {}
}

/// What Microsoft's SDKs fetch ahead.
const DEFAULT_PREFETCH: u32 = 300;
