//! The hub as its connections share it: identities, partitions, command queues, feedback, readers.
//!
//! Owns the locks around the pure state, and who is told when it changes. No lock is ever held across an await, and none
//! is taken while another one is held, but for that of the deadlines, which comes last.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use super::{
    commands::{CommandQueue, LockLost, LockToken, LockedCommand, NewCommand, QueueFull, Settlement},
    deadlines::{Deadlines, Timed},
    feedback::{BatchSettlement, FeedbackQueue, LockedBatch, Record},
    readers::{ReaderId, Readers},
    registry::Registry,
    scope::Names,
    settings::Settings,
    steal::DeviceLinks,
    time::Now,
};
use crate::clock::{Clock, SystemClock, unix_millis};

mod partition_slot;

pub(crate) use partition_slot::PartitionSlot;

/// Everything that outlives a connection.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) names: Names,
    pub(crate) settings: Settings,
    pub(crate) port: u16,
    pub(crate) created_ms: i64,
    pub(crate) registry: RwLock<Registry>,
    pub(crate) partitions: Vec<PartitionSlot>,
    feedback: Mutex<FeedbackQueue>,
    /// Told when a feedback message may be waiting.
    pub(crate) feedback_changed: Notify,
    pub(crate) readers: Mutex<Readers>,
    /// Tells readers that they were driven out.
    pub(crate) reader_alarms: Mutex<HashMap<ReaderId, Arc<Notify>>>,
    pub(crate) device_links: Mutex<DeviceLinks>,
    commands: Mutex<HashMap<String, Arc<DeviceCommands>>>,
    deadlines: Mutex<Deadlines>,
    /// Told when the next deadline has come nearer.
    deadlines_changed: Notify,
    next_id: AtomicU64,
    clock: SystemClock,
}

/// The commands of one device and those who wait for them.
#[derive(Debug)]
pub(crate) struct DeviceCommands {
    queue: Mutex<CommandQueue>,
    /// Under which their deadline is noted.
    timed: Timed,
    /// Told when a command may be waiting.
    pub(crate) changed: Notify,
}

/// A command for a device that is not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnqueueError {
    UnknownDevice,
    Full(QueueFull),
}

impl Hub {
    pub(crate) fn new(names: Names, port: u16, registry: Registry, settings: Settings) -> Self {
        let now = now(SystemClock);
        Self {
            names,
            port,
            created_ms: now.wall_ms,
            registry: RwLock::new(registry),
            partitions: (0..settings.partitions).map(|_| PartitionSlot::new(&settings)).collect(),
            feedback: Mutex::new(FeedbackQueue::new(&settings, now)),
            feedback_changed: Notify::new(),
            readers: Mutex::default(),
            reader_alarms: Mutex::default(),
            device_links: Mutex::default(),
            commands: Mutex::default(),
            deadlines: Mutex::default(),
            deadlines_changed: Notify::new(),
            next_id: AtomicU64::new(1),
            clock: SystemClock,
            settings,
        }
    }

    /// The time now, on both clocks.
    pub(crate) fn now(&self) -> Now {
        now(self.clock)
    }

    /// A number that nothing else in this emulator has.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Reads the registry.
    pub(crate) fn with_registry<T>(&self, read: impl FnOnce(&Registry) -> T) -> T {
        read(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The generation id of a device, if it is registered.
    pub(crate) fn generation_of(&self, device_id: &str) -> Option<String> {
        self.with_registry(|registry| registry.device(device_id).map(|device| device.generation_id.clone()))
    }

    /// The queue of a registered device.
    pub(crate) fn commands_of(&self, device_id: &str) -> Option<Arc<DeviceCommands>> {
        let generation_id = self.generation_of(device_id)?;
        let mut queues = lock(&self.commands);
        let queue = queues.entry(device_id.to_owned()).or_insert_with(|| {
            let queue = CommandQueue::new(device_id, &generation_id, &self.settings);
            let timed = Timed::Commands(device_id.into());
            Arc::new(DeviceCommands { queue: Mutex::new(queue), timed, changed: Notify::new() })
        });
        Some(Arc::clone(queue))
    }

    /// Takes a command in for a device.
    pub(crate) fn enqueue_command(&self, device_id: &str, command: NewCommand) -> Result<u64, EnqueueError> {
        let commands = self.commands_of(device_id).ok_or(EnqueueError::UnknownDevice)?;
        let result = self.with_queue(&commands, |queue, now| queue.enqueue(command, now));
        result.map_err(EnqueueError::Full)
    }

    /// Locks a device's next command.
    pub(crate) fn lock_command(&self, commands: &DeviceCommands) -> Option<LockedCommand> {
        self.with_queue(commands, CommandQueue::lock_next)
    }

    /// Ends the lock on a command.
    pub(crate) fn settle_command(
        &self,
        commands: &DeviceCommands,
        token: LockToken,
        settlement: Settlement,
    ) -> Result<(), LockLost> {
        self.with_queue(commands, |queue, now| queue.settle(token, settlement, now))
    }

    /// Gives a command back that could not be sent.
    pub(crate) fn unlock_command(&self, commands: &DeviceCommands, token: LockToken) {
        self.with_queue(commands, |queue, _| queue.unlock(token));
    }

    /// Throws a device's commands away.
    pub(crate) fn purge_commands(&self, device_id: &str) -> usize {
        let commands = self.commands_of(device_id);
        commands.map_or(0, |commands| self.with_queue(&commands, CommandQueue::purge))
    }

    /// Takes feedback records in.
    pub(crate) fn push_feedback(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        self.with_feedback(|feedback, now| feedback.push(records, now));
    }

    /// Locks the next feedback message.
    pub(crate) fn lock_feedback(&self) -> Option<LockedBatch> {
        self.with_feedback(FeedbackQueue::lock_next)
    }

    /// Ends the lock on a feedback message.
    pub(crate) fn settle_feedback(
        &self,
        token: LockToken,
        settlement: BatchSettlement,
    ) -> Result<(), LockLost> {
        self.with_feedback(|feedback, now| feedback.settle(token, settlement, now))
    }

    /// Gives a feedback message back that could not be sent.
    pub(crate) fn unlock_feedback(&self, token: LockToken) {
        self.with_feedback(|feedback, _| feedback.unlock(token));
    }

    /// Gives a feedback message back in two halves, as it was too large to be sent.
    pub(crate) fn split_feedback(&self, token: LockToken) {
        self.with_feedback(|feedback, _| feedback.split(token));
    }

    /// Does what time demands (locks that lapse, commands that expire, feedback that is due) for as long as it is polled.
    pub(crate) async fn keep_time(&self) {
        loop {
            // One word is kept for whoever is not waiting yet, so none is missed here.
            let changed = self.deadlines_changed.notified();
            match self.tidy() {
                Some(deadline) => {
                    // A tidy that has nothing to do costs little, but must never spin.
                    let deadline = deadline.max(self.now().instant + MIN_TICK);
                    tokio::select! {
                        () = tokio::time::sleep_until(deadline.into()) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Does what is due, and says when there is more to do.
    fn tidy(&self) -> Option<Instant> {
        let due = lock(&self.deadlines).take_due(self.now().instant);
        for timed in due {
            match timed {
                Timed::Commands(device) => {
                    let commands = lock(&self.commands).get(&*device).map(Arc::clone);
                    if let Some(commands) = commands {
                        self.with_queue(&commands, CommandQueue::tidy);
                    }
                }
                Timed::Feedback => self.with_feedback(FeedbackQueue::tidy),
            }
        }
        lock(&self.deadlines).next()
    }

    /// Does something to a device's queue, notes its deadline, and tells whoever waits for a command that came to wait.
    fn with_queue<T>(&self, commands: &DeviceCommands, act: impl FnOnce(&mut CommandQueue, Now) -> T) -> T {
        let now = self.now();
        let (result, records, has_more) = {
            let mut queue = lock(&commands.queue);
            let result = act(&mut queue, now);
            // Under the queue's lock: noted later, it could overwrite what somebody else has noted since.
            self.note_deadline(&commands.timed, queue.next_deadline(now));
            (result, queue.take_records(), queue.take_has_more())
        };
        if has_more {
            commands.changed.notify_waiters();
        }
        self.push_feedback(records);
        result
    }

    /// As [`with_queue`](Self::with_queue), for the feedback.
    fn with_feedback<T>(&self, act: impl FnOnce(&mut FeedbackQueue, Now) -> T) -> T {
        let now = self.now();
        let mut feedback = lock(&self.feedback);
        let result = act(&mut feedback, now);
        self.note_deadline(&Timed::Feedback, feedback.next_deadline());
        if feedback.take_has_more() {
            self.feedback_changed.notify_waiters();
        }
        result
    }

    fn note_deadline(&self, timed: &Timed, deadline: Option<Instant>) {
        if lock(&self.deadlines).set(timed, deadline) {
            self.deadlines_changed.notify_one();
        }
    }
}

#[cfg(test)]
impl Hub {
    /// How many feedback messages there are.
    pub(crate) fn feedback_len(&self) -> usize {
        lock(&self.feedback).len()
    }
}

#[cfg(test)]
impl DeviceCommands {
    /// How many commands are pending.
    pub(crate) fn len(&self) -> usize {
        lock(&self.queue).len()
    }
}

/// Locks, whatever happened to whoever held the lock before: the state behind it is always whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now(clock: SystemClock) -> Now {
    Now { instant: tokio::time::Instant::now().into_std(), wall_ms: unix_millis(clock.now()) }
}

/// Shortest wait between two rounds of time-keeping.
const MIN_TICK: std::time::Duration = std::time::Duration::from_millis(1);

#[cfg(test)]
mod tests;
