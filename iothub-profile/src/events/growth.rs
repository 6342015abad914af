//! Partitions that an event hub has more than before: it was grown, or made again.
//!
//! Owns the task that looks for them with each new connection. Reads no event.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::{broadcast, mpsc, watch};

use super::{
    StartPosition,
    anew::{PartitionRestart, Place},
    management::{self, EventHubInfo},
    partition,
};
use crate::{
    error::Error,
    message::ReceivedEvent,
    supervisor::{ConnectionStatus, Supervisor, links::PartitionLink},
};

/// What is read of an event hub all of whose partitions are wanted.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) group: String,
    pub(crate) prefetch: u32,
    pub(crate) known: HashSet<String>,
    /// The connection on which the partitions were last asked for.
    pub(crate) seen: u64,
    // Neither keeps a reader alive that its owner has dropped.
    pub(crate) supervisor: Weak<Supervisor>,
    pub(crate) events: mpsc::WeakSender<Result<ReceivedEvent, Error>>,
    pub(crate) restarts: broadcast::WeakSender<PartitionRestart>,
    pub(crate) status: watch::Receiver<ConnectionStatus>,
}

impl Growth {
    /// Looks at each new connection until the reader is gone.
    pub(crate) async fn watch(mut self) {
        loop {
            let seen = self.seen;
            let is_news = |status: &ConnectionStatus| match status {
                ConnectionStatus::Connected { generation } => *generation > seen,
                other => other.is_final(),
            };
            match self.status.wait_for(is_news).await.map(|status| status.is_final()) {
                Ok(false) => {}
                Ok(true) | Err(_) => return,
            }
            if self.look().await.is_none() {
                return;
            }
        }
    }

    /// Asks the present connection's event hub for its partitions; `None` when the reader is gone.
    async fn look(&mut self) -> Option<()> {
        let (supervisor, events) = (self.supervisor.upgrade()?, self.events.upgrade()?);
        let asked = tokio::select! {
            biased;
            () = events.closed() => return None,
            asked = ask(&supervisor) => asked,
        };
        // An event hub that does not tell now is asked again with the next connection.
        let (generation, event_hub) = asked.ok()?;
        self.seen = generation;
        let Some(event_hub) = event_hub else { return Some(()) };
        let restarts = self.restarts.upgrade()?;
        for id in &event_hub.partition_ids {
            if !self.known.insert(id.clone()) {
                continue;
            }
            tracing::info!(partition = id, "a partition that was not there before is read from its start");
            let link = supervisor.receiver(PartitionLink {
                supervisor: Arc::clone(&supervisor),
                group: self.group.clone(),
                partition: Arc::from(id.as_str()),
                prefetch: self.prefetch,
                place: Mutex::new(Place::new(StartPosition::Earliest, None, &event_hub, generation)),
                restarts: restarts.clone(),
            });
            tokio::spawn(partition::read(link, events.clone()));
        }
        Some(())
    }
}

async fn ask(supervisor: &Supervisor) -> Result<(u64, Option<EventHubInfo>), Error> {
    let live = supervisor.live().await?;
    Ok((live.generation(), management::event_hub_info(&live, supervisor.options()).await.ok()))
}
