//! Device links and their theft: a device that connects again takes its links over from its older connection.
//!
//! Owns who holds which link. Links of other devices, and several links on one connection, do not touch each other.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Notify;

/// What a device's link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LinkKind {
    Telemetry,
    Commands,
}

/// Tells a link that it has been taken over.
pub(crate) type Stolen = Arc<Notify>;

/// Every device link.
#[derive(Debug, Default)]
pub(crate) struct DeviceLinks {
    links: HashMap<(String, LinkKind), Vec<Holder>>,
}

#[derive(Debug)]
struct Holder {
    connection: u64,
    link: u64,
    stolen: Stolen,
}

impl DeviceLinks {
    /// Notes a new link; links of the same device and kind on other connections are told that they are stolen.
    pub(crate) fn take(&mut self, device: &str, kind: LinkKind, connection: u64, link: u64) -> Stolen {
        let holders = self.links.entry((device.to_owned(), kind)).or_default();
        holders.retain(|holder| {
            let stays = holder.connection == connection;
            if !stays {
                // `notify_one` keeps the word for a task that is not waiting yet.
                holder.stolen.notify_one();
            }
            stays
        });
        let stolen = Stolen::default();
        holders.push(Holder { connection, link, stolen: Arc::clone(&stolen) });
        stolen
    }

    /// Forgets a link that ended.
    pub(crate) fn leave(&mut self, device: &str, kind: LinkKind, link: u64) {
        let key = (device.to_owned(), kind);
        if let Some(holders) = self.links.get_mut(&key) {
            holders.retain(|holder| holder.link != link);
            if holders.is_empty() {
                self.links.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_told(stolen: &Stolen) -> bool {
        tokio::time::timeout(Duration::from_millis(1), stolen.notified()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_connection_of_a_device_wins() {
        let mut links = DeviceLinks::default();
        let first = links.take("a", LinkKind::Telemetry, 1, 1);
        let sibling = links.take("a", LinkKind::Telemetry, 1, 2);
        let other_kind = links.take("a", LinkKind::Commands, 1, 3);
        let other_device = links.take("b", LinkKind::Telemetry, 1, 4);
        assert!(!is_told(&first).await);
        let newest = links.take("a", LinkKind::Telemetry, 2, 5);
        assert!(is_told(&first).await && is_told(&sibling).await);
        assert!(!is_told(&other_kind).await && !is_told(&other_device).await && !is_told(&newest).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_ended_is_not_stolen() {
        let mut links = DeviceLinks::default();
        let first = links.take("a", LinkKind::Telemetry, 1, 1);
        links.leave("a", LinkKind::Telemetry, 1);
        links.take("a", LinkKind::Telemetry, 2, 2);
        assert!(!is_told(&first).await);
    }
}
