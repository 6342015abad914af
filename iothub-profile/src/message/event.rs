//! Telemetry as it is read back from the event hub built into a hub.

use std::{ops::Deref, sync::Arc, time::SystemTime};

use amqp_codec::Message;

use super::{names, received::ReceivedMessage};

/// An event of a partition, with what the hub stamped on it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedEvent {
    inner: ReceivedMessage,
    partition: Arc<str>,
}

impl ReceivedEvent {
    /// Reads an event out of a message received from a partition.
    pub fn new(message: Message, partition: Arc<str>) -> Self {
        Self { inner: ReceivedMessage::new(message), partition }
    }

    /// The partition it was read from.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// Its place in the partition.
    pub fn sequence_number(&self) -> Option<i64> {
        self.annotation(names::SEQUENCE_NUMBER)?.as_i64()
    }

    /// Its offset in the partition, a text that only the event hub understands.
    pub fn offset(&self) -> Option<&str> {
        self.annotation_text(names::OFFSET)
    }

    /// When the event hub took it.
    pub fn enqueued_time(&self) -> Option<SystemTime> {
        self.annotation_time(names::ENQUEUED_TIME)
    }

    /// The device that sent it.
    pub fn device_id(&self) -> Option<&str> {
        self.annotation_text(names::CONNECTION_DEVICE_ID)
    }

    /// The module that sent it, if it was one.
    pub fn module_id(&self) -> Option<&str> {
        self.annotation_text(names::CONNECTION_MODULE_ID)
    }

    /// How the device had authenticated: JSON text.
    pub fn auth_method(&self) -> Option<&str> {
        self.annotation_text(names::CONNECTION_AUTH_METHOD)
    }

    /// What made it: `Telemetry` for a device's own message.
    pub fn message_source(&self) -> Option<&str> {
        self.annotation_text(names::MESSAGE_SOURCE)
    }
}

impl Deref for ReceivedEvent {
    type Target = ReceivedMessage;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}
