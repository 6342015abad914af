//! The reader of an event hub's partitions.

use std::sync::{Arc, Mutex};

use tokio::{
    sync::{broadcast, mpsc, watch},
    time::timeout,
};

use super::{
    StartPosition,
    anew::{PartitionRestart, Place},
    growth::Growth,
    management::{self, PartitionInfo},
    partition,
};
use crate::{
    connection_string::ConnectionString,
    error::{Error, ErrorKind},
    message::ReceivedEvent,
    supervisor::{ClientOptions, ConnectionStatus, Supervisor, endpoint::Target, links::PartitionLink},
};

/// What to read, and from where.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    group: String,
    position: StartPosition,
    partitions: Option<Vec<String>>,
    prefetch: u32,
}

/// Reads events of all or some partitions, each in order. After a lost connection reading goes on after the last
/// event that was received; where the event hub has started counting anew meanwhile, from the partition's start, which
/// [`EventsReader::restarts`] tells. A reader of all partitions also reads those that the event hub turns out to have
/// gained after a connection was lost, from their start.
#[derive(Debug)]
pub struct EventsReader {
    supervisor: Arc<Supervisor>,
    partition_ids: Vec<String>,
    events: mpsc::Receiver<Result<ReceivedEvent, Error>>,
    restarts: broadcast::Sender<PartitionRestart>,
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

    /// How many events may be under way per partition before they are taken, at least one; 300 by default.
    #[must_use]
    pub fn with_prefetch(mut self, events: u32) -> Self {
        self.prefetch = events.max(1);
        self
    }
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl EventsReader {
    /// Opens a reader with a service's connection string, whose hub names the event hub, or with an Event Hubs one.
    /// Every partition's link is open when this returns, so that no later event is missed.
    ///
    /// # Errors
    /// When the connection string is a device's, the host cannot be reached, or the credential, the group, the
    /// position or a partition is refused.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up.
    pub async fn open(
        connection_string: &ConnectionString,
        options: ClientOptions,
        reader: ReaderOptions,
    ) -> Result<Self, Error> {
        check_group(&reader.group)?;
        let target = Target::telemetry(connection_string, &reader.group, &options)?;
        let supervisor = Supervisor::open(target, options).await?;
        let limit = supervisor.options().operation_timeout;
        match timeout(limit, Self::start(Arc::clone(&supervisor), reader)).await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(error)) => {
                supervisor.close().await;
                Err(error)
            }
            Err(_) => Err(Error::new(ErrorKind::Unreachable, "opening the partitions took too long")),
        }
    }

    /// The ids of all partitions that the event hub had when the reader was opened, whether read or not.
    pub fn partition_ids(&self) -> &[String] {
        &self.partition_ids
    }

    /// What the event hub says about a partition.
    ///
    /// # Errors
    /// When there is no such partition or no connection.
    ///
    /// # Cancel safety
    /// Safe: the answer is discarded.
    pub async fn partition_info(&self, id: &str) -> Result<PartitionInfo, Error> {
        management::partition_info(&self.supervisor, id).await
    }

    /// The next event of any partition; waits for one.
    ///
    /// # Errors
    /// When a partition can no longer be read and will not be by itself.
    ///
    /// # Cancel safety
    /// Safe: no event is lost.
    pub async fn recv(&mut self) -> Result<ReceivedEvent, Error> {
        match self.events.recv().await {
            Some(next) => next,
            None => Err(Error::new(ErrorKind::Closed, "no partition is read any more")),
        }
    }

    /// What the connection to the event hub is doing.
    pub fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.supervisor.status()
    }

    /// Partitions that were found to count anew from now on, after a connection was lost: the event hub was made again, or
    /// an emulator restarted. They are read from their start. Only the latest 4,096 are kept for a slow listener.
    pub fn restarts(&self) -> broadcast::Receiver<PartitionRestart> {
        self.restarts.subscribe()
    }

    /// Ends reading and closes the connection.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed in the background.
    pub async fn close(&self) {
        self.supervisor.close().await;
    }

    async fn start(supervisor: Arc<Supervisor>, reader: ReaderOptions) -> Result<Self, Error> {
        let live = supervisor.live().await?;
        let event_hub = management::event_hub_info(&live, supervisor.options()).await?;
        let partition_ids = event_hub.partition_ids.clone();
        let (restarts, _) = broadcast::channel(KEPT_RESTARTS);
        let reads_all = reader.partitions.is_none();
        let wanted = match reader.partitions {
            Some(wanted) => {
                check_partitions(&wanted, &partition_ids)?;
                wanted
            }
            None => partition_ids.clone(),
        };
        let mut links = Vec::with_capacity(wanted.len());
        for id in wanted {
            let (position, last) = fixed_position(&supervisor, &id, &reader.position).await?;
            let link = supervisor.receiver(PartitionLink {
                supervisor: Arc::clone(&supervisor),
                group: reader.group.clone(),
                partition: Arc::from(id.as_str()),
                prefetch: reader.prefetch,
                place: Mutex::new(Place::new(position, last, &event_hub, live.generation())),
                restarts: restarts.clone(),
            });
            link.attached().await?;
            links.push(link);
        }
        let (sender, events) = mpsc::channel(CHANNEL_EVENTS);
        for link in links {
            tokio::spawn(partition::read(link, sender.clone()));
        }
        if reads_all {
            let growth = Growth {
                group: reader.group,
                prefetch: reader.prefetch,
                known: partition_ids.iter().cloned().collect(),
                seen: live.generation(),
                supervisor: Arc::downgrade(&supervisor),
                events: sender.downgrade(),
                restarts: restarts.downgrade(),
                status: supervisor.status(),
            };
            tokio::spawn(growth.watch());
        }
        Ok(Self { supervisor, partition_ids, events, restarts })
    }
}

/// "Only what comes from now on" must mean the same after a reconnect, so it is turned into a place in the partition,
/// given with the sequence number that it follows from.
async fn fixed_position(
    supervisor: &Supervisor,
    id: &str,
    position: &StartPosition,
) -> Result<(StartPosition, Option<i64>), Error> {
    if *position != StartPosition::Latest {
        return Ok((position.clone(), None));
    }
    let info = management::partition_info(supervisor, id).await?;
    let last = info.last_enqueued_sequence_number;
    Ok(if last < 0 {
        (StartPosition::Earliest, None)
    } else {
        (StartPosition::AfterSequenceNumber(last), Some(last))
    })
}

fn check_group(group: &str) -> Result<(), Error> {
    let is_possible = !group.is_empty()
        && group.len() <= MAX_GROUP
        && group
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'-' | b'_' | b'.'));
    if is_possible {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Usage,
        "a consumer group's name consists of letters, digits and any of - _ . $",
    ))
}

fn check_partitions(wanted: &[String], known: &[String]) -> Result<(), Error> {
    if wanted.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "no partition is named to read from"));
    }
    match wanted.iter().find(|id| !known.contains(id)) {
        None => Ok(()),
        Some(unknown) => Err(Error::new(
            ErrorKind::Refused,
            format!("the event hub has no partition {unknown}; it has {}", known.join(", ")),
        )),
    }
}

/// What Microsoft's SDKs fetch ahead.
const DEFAULT_PREFETCH: u32 = 300;

/// Events that wait for their reader, over all partitions; what comes after them waits with the event hub.
const CHANNEL_EVENTS: usize = 256;

/// One restart of an event hub with as many partitions as there can be, and some more.
const KEPT_RESTARTS: usize = 4096;

/// Event Hubs: names of consumer groups have up to 256 characters.
const MAX_GROUP: usize = 256;
