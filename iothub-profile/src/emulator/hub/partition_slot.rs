//! One partition as the connections of a hub share it: who waits for its next event, and who follows it live.

use std::{sync::Mutex, time::Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::lock;
use crate::emulator::{
    followers::Followers,
    partition::{Partition, Stamp},
    readers::ReaderId,
    settings::Settings,
};

/// One partition and those who wait for its next event.
#[derive(Debug)]
pub(crate) struct PartitionSlot {
    state: Mutex<Partition>,
    appended: Notify,
    followers: Mutex<Followers>,
    /// Told when a follower has confirmed something or left.
    confirmed: Notify,
}

impl PartitionSlot {
    /// An empty partition that keeps so much.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            state: Mutex::new(Partition::new(settings.retention_events, settings.retention_bytes)),
            appended: Notify::new(),
            followers: Mutex::default(),
            confirmed: Notify::new(),
        }
    }

    /// Stores one event; [`announce`](Self::announce) tells readers, once for a whole burst.
    pub(crate) fn append(&self, now_ms: i64, encode: impl FnOnce(&Stamp) -> Bytes) -> Stamp {
        lock(&self.state).append(now_ms, encode)
    }

    /// Wakes the readers that wait for more.
    pub(crate) fn announce(&self) {
        self.appended.notify_waiters();
    }

    /// Looks at the partition.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Partition) -> T) -> T {
        look(&lock(&self.state))
    }

    /// Reads on from `next`, waiting while there is nothing.
    ///
    /// # Cancel safety
    /// Nothing is lost when dropped: the position moves only when events were put into `into`.
    pub(crate) async fn read(
        &self,
        next: &mut i64,
        max_events: usize,
        max_bytes: usize,
        into: &mut Vec<Bytes>,
    ) {
        loop {
            // Registered before looking, so that an event stored in between is not slept over.
            let appended = self.appended.notified();
            tokio::pin!(appended);
            appended.as_mut().enable();
            let from = *next;
            *next = self.with(|partition| partition.read(from, max_events, max_bytes, into));
            if !into.is_empty() {
                return;
            }
            appended.await;
        }
    }
}

impl PartitionSlot {
    /// A reader begins at sequence number `start`.
    pub(crate) fn follow(&self, id: ReaderId, start: i64) {
        let end = self.with(Partition::next_sequence_number);
        lock(&self.followers).join(id, start, end);
    }

    /// A reader has everything before sequence number `next`.
    pub(crate) fn confirm(&self, id: ReaderId, next: i64) {
        let end = self.with(Partition::next_sequence_number);
        lock(&self.followers).confirm(id, next, end, tokio::time::Instant::now().into_std());
        self.confirmed.notify_waiters();
    }

    /// A reader has ended.
    pub(crate) fn unfollow(&self, id: ReaderId) {
        lock(&self.followers).leave(id);
        self.confirmed.notify_waiters();
    }

    /// The sequence number before which every reader that follows live has everything.
    pub(crate) fn floor(&self) -> i64 {
        lock(&self.followers).floor()
    }

    /// Waits until the readers that follow live have everything before `end`, stored at `stored`, or have had their time.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn followed(&self, end: i64, stored: Instant) {
        loop {
            let confirmed = self.confirmed.notified();
            tokio::pin!(confirmed);
            confirmed.as_mut().enable();
            let (floor, deadline) = {
                let followers = lock(&self.followers);
                (followers.floor(), followers.deadline(stored))
            };
            if floor >= end {
                return;
            }
            if deadline <= tokio::time::Instant::now().into_std() {
                lock(&self.followers).silence(end);
                return;
            }
            tokio::select! {
                () = confirmed => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }
}
