//! The command queue of one device: what waits, what is locked, and how each command ends.
//!
//! Owns the life of a command (IoT Hub: Send cloud-to-device messages, "the cloud-to-device message life cycle"): enqueued,
//! locked for a receiver, and then completed or dead-lettered. Time is passed in; nothing here waits or sends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use amqp_codec::{DeliveryTag, Message};
use uuid::Uuid;

use super::{
    feedback::{Record, Status},
    settings::MAX_PENDING_COMMANDS,
    time::{Now, millis},
};

/// A lock on a command or a feedback message, which is also its delivery tag: a GUID in .NET's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockToken(pub(crate) [u8; 16]);

impl LockToken {
    /// A token that no other lock has.
    pub(crate) fn new() -> Self {
        Self(Uuid::new_v4().to_bytes_le())
    }

    /// The delivery tag, which SDKs read as a GUID.
    pub(crate) fn tag(self) -> DeliveryTag {
        // Sixteen octets always fit.
        DeliveryTag::new(&self.0).unwrap_or_default()
    }
}

/// Which endings of a command are reported (`iothub-ack`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ack {
    #[default]
    None,
    Positive,
    Negative,
    Full,
}

impl Ack {
    /// Reads the value of the application property `iothub-ack`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words = [
            ("none", Self::None),
            ("positive", Self::Positive),
            ("negative", Self::Negative),
            ("full", Self::Full),
        ];
        words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, ack)| *ack)
    }

    fn wants(self, status: Status) -> bool {
        match self {
            Self::None => false,
            Self::Positive => status == Status::Success,
            Self::Negative => status != Status::Success,
            Self::Full => true,
        }
    }
}

/// A command as the service sent it.
#[derive(Clone, Debug)]
pub(crate) struct NewCommand {
    pub(crate) message: Arc<Message>,
    /// Text of the message id, for feedback.
    pub(crate) message_id: Option<String>,
    pub(crate) ack: Ack,
    /// The service's own expiry in milliseconds since 1970; without it the hub's default time to live counts.
    pub(crate) expires_ms: Option<i64>,
}

/// A command on its way to a receiver.
#[derive(Clone, Debug)]
pub(crate) struct LockedCommand {
    pub(crate) lock: LockToken,
    pub(crate) message: Arc<Message>,
    pub(crate) sequence_number: u64,
    pub(crate) enqueued_ms: i64,
    /// How often it has been abandoned.
    pub(crate) delivery_count: u8,
}

/// What a receiver makes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    Complete,
    Reject,
    Abandon,
}

/// Fifty commands are pending already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device has {MAX_PENDING_COMMANDS} pending commands, the most a hub keeps")]
pub(crate) struct QueueFull;

/// The lock is not held any more, or never was. Its text is what the receiver hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lock on the message has been lost")]
pub(crate) struct LockLost;

/// The commands of one device.
#[derive(Debug)]
pub(crate) struct CommandQueue {
    device_id: String,
    generation_id: String,
    /// In order of sequence number.
    commands: Vec<Command>,
    next_sequence_number: u64,
    default_ttl_ms: i64,
    max_delivery_count: u8,
    lock_duration: Duration,
    /// Feedback that has arisen and has not been taken.
    records: Vec<Record>,
    /// Whether a command has come to wait for a receiver, and nobody has been told.
    has_more: bool,
}

#[derive(Debug)]
struct Command {
    new: NewCommand,
    sequence_number: u64,
    enqueued_ms: i64,
    expires_ms: i64,
    delivery_count: u8,
    lock: Option<(LockToken, Instant)>,
}

impl CommandQueue {
    /// An empty queue of one registration of a device.
    pub(crate) fn new(device_id: &str, generation_id: &str, settings: &super::settings::Settings) -> Self {
        Self {
            device_id: device_id.to_owned(),
            generation_id: generation_id.to_owned(),
            commands: Vec::new(),
            next_sequence_number: 1,
            default_ttl_ms: millis(settings.default_ttl),
            max_delivery_count: settings.max_delivery_count,
            lock_duration: settings.lock_duration,
            records: Vec::new(),
            has_more: false,
        }
    }

    /// Takes a command in. Locked commands count as pending too.
    pub(crate) fn enqueue(&mut self, new: NewCommand, now: Now) -> Result<u64, QueueFull> {
        self.tidy(now);
        if self.commands.len() >= MAX_PENDING_COMMANDS {
            return Err(QueueFull);
        }
        let sequence_number = self.next_sequence_number;
        self.next_sequence_number = sequence_number.wrapping_add(1);
        let expires_ms = new.expires_ms.unwrap_or_else(|| now.wall_ms.saturating_add(self.default_ttl_ms));
        self.commands.push(Command {
            new,
            sequence_number,
            enqueued_ms: now.wall_ms,
            expires_ms,
            delivery_count: 0,
            lock: None,
        });
        self.has_more = true;
        Ok(sequence_number)
    }

    /// Locks the oldest command that waits, if one does.
    pub(crate) fn lock_next(&mut self, now: Now) -> Option<LockedCommand> {
        self.tidy(now);
        let until = now.instant.checked_add(self.lock_duration)?;
        let command = self.commands.iter_mut().find(|command| command.lock.is_none())?;
        let lock = LockToken::new();
        command.lock = Some((lock, until));
        Some(LockedCommand {
            lock,
            message: Arc::clone(&command.new.message),
            sequence_number: command.sequence_number,
            enqueued_ms: command.enqueued_ms,
            delivery_count: command.delivery_count,
        })
    }

    /// Ends a lock as the receiver said. A lock that has lapsed changes nothing any more.
    pub(crate) fn settle(
        &mut self,
        lock: LockToken,
        settlement: Settlement,
        now: Now,
    ) -> Result<(), LockLost> {
        self.tidy(now);
        let held = |command: &Command| command.lock.is_some_and(|(token, _)| token == lock);
        let index = self.commands.iter().position(held).ok_or(LockLost)?;
        match settlement {
            Settlement::Complete => self.finish(index, Status::Success, now),
            Settlement::Reject => self.finish(index, Status::Rejected, now),
            Settlement::Abandon => {
                let Some(command) = self.commands.get_mut(index) else { return Err(LockLost) };
                command.lock = None;
                command.delivery_count = command.delivery_count.saturating_add(1);
                if command.delivery_count >= self.max_delivery_count {
                    self.finish(index, Status::DeliveryCountExceeded, now);
                } else if command.expires_ms <= now.wall_ms {
                    self.finish(index, Status::Expired, now);
                } else {
                    self.has_more = true;
                }
            }
        }
        Ok(())
    }

    /// Gives a command back that was locked and then could not be sent; this is no abandon, nothing is counted.
    pub(crate) fn unlock(&mut self, lock: LockToken) {
        let held =
            self.commands.iter_mut().find(|command| command.lock.is_some_and(|(token, _)| token == lock));
        if let Some(command) = held {
            command.lock = None;
            self.has_more = true;
        }
    }

    /// Throws everything away and returns how much it was.
    pub(crate) fn purge(&mut self, now: Now) -> usize {
        self.tidy(now);
        let count = self.commands.len();
        while !self.commands.is_empty() {
            self.finish(0, Status::Purged, now);
        }
        count
    }

    /// Lets lapsed locks go and expires what is past its time. Every other call does it first.
    pub(crate) fn tidy(&mut self, now: Now) {
        for command in &mut self.commands {
            if command.lock.is_some_and(|(_, until)| until <= now.instant) {
                command.lock = None;
                self.has_more = true;
            }
        }
        // Only what waits can expire: a locked command is the receiver's until the lock ends.
        while let Some(index) = self
            .commands
            .iter()
            .position(|command| command.lock.is_none() && command.expires_ms <= now.wall_ms)
        {
            self.finish(index, Status::Expired, now);
        }
    }

    /// When [`tidy`](Self::tidy) has something to do next.
    pub(crate) fn next_deadline(&self, now: Now) -> Option<Instant> {
        let deadline = |command: &Command| match command.lock {
            Some((_, until)) => until,
            None => now.instant_of(command.expires_ms),
        };
        self.commands.iter().map(deadline).min()
    }

    /// Takes the feedback that has arisen since it was last taken.
    pub(crate) fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// Whether a command has come to wait for a receiver since this was last asked.
    pub(crate) fn take_has_more(&mut self) -> bool {
        std::mem::take(&mut self.has_more)
    }

    /// How many commands are pending.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    fn finish(&mut self, index: usize, status: Status, now: Now) {
        if index >= self.commands.len() {
            return;
        }
        let command = self.commands.remove(index);
        if command.new.ack.wants(status) {
            self.records.push(Record {
                original_message_id: command.new.message_id.unwrap_or_default(),
                status,
                device_id: self.device_id.clone(),
                device_generation_id: self.generation_id.clone(),
                time_ms: now.wall_ms,
            });
        }
    }
}

#[cfg(test)]
mod tests;
