//! The accessors that every received message has.

use std::{borrow::Cow, time::SystemTime};

use amqp_codec::{Annotations, Message, MessageId, Properties, Timestamp, Value, ValueRef};
use bytes::Bytes;

use crate::clock::from_unix_millis;

/// A received message. Accessors answer `None` where a field is absent or of a type that hubs do not use for it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedMessage {
    message: Message,
}

impl ReceivedMessage {
    /// Wraps a message as it came.
    pub fn new(message: Message) -> Self {
        Self { message }
    }

    /// The body's bytes: the data sections one after another, or the text or binary of a value section; empty where
    /// the body is anything else.
    pub fn body(&self) -> Bytes {
        match &self.message.body {
            amqp_codec::Body::Data(data) => data.clone(),
            amqp_codec::Body::Value(Value::String(text)) => text.clone().into_bytes(),
            amqp_codec::Body::Value(Value::Binary(bytes)) => bytes.clone(),
            _ => match self.message.body_bytes() {
                Some(bytes) => Bytes::copy_from_slice(&bytes),
                None => Bytes::new(),
            },
        }
    }

    /// The id its sender gave it, as text.
    pub fn message_id(&self) -> Option<String> {
        id_text(self.properties()?.message_id.as_ref()?)
    }

    /// The id of the message it answers, as text.
    pub fn correlation_id(&self) -> Option<String> {
        id_text(self.properties()?.correlation_id.as_ref()?)
    }

    /// The user on whose behalf it was sent; bytes that are not UTF-8 are replaced.
    pub fn user_id(&self) -> Option<Cow<'_, str>> {
        Some(String::from_utf8_lossy(self.properties()?.user_id.as_deref()?))
    }

    /// Where it is addressed to.
    pub fn to(&self) -> Option<&str> {
        Some(self.properties()?.to.as_ref()?.as_str())
    }

    /// The body's media type.
    pub fn content_type(&self) -> Option<&str> {
        Some(self.properties()?.content_type.as_ref()?.as_str())
    }

    /// The body's encoding.
    pub fn content_encoding(&self) -> Option<&str> {
        Some(self.properties()?.content_encoding.as_ref()?.as_str())
    }

    /// When it is of no use any more.
    pub fn expiry(&self) -> Option<SystemTime> {
        Some(system_time(self.properties()?.absolute_expiry_time?))
    }

    /// A property of the application's own.
    pub fn property(&self, name: &str) -> Option<ValueRef<'_>> {
        self.message.application_properties.as_ref()?.get(name)
    }

    /// The properties of the application's own, in the order they came.
    pub fn application_properties(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        self.message
            .application_properties
            .iter()
            .flat_map(|map| map.iter())
            .map(|(name, value)| (name.as_str(), value))
    }

    /// A message annotation.
    pub fn annotation(&self, name: &str) -> Option<ValueRef<'_>> {
        self.annotations()?.get(name)
    }

    /// A message annotation that is text.
    pub fn annotation_text(&self, name: &str) -> Option<&str> {
        self.annotation(name)?.as_text()
    }

    /// A message annotation that is a time.
    pub fn annotation_time(&self, name: &str) -> Option<SystemTime> {
        self.annotation(name)?.as_timestamp().map(system_time)
    }

    /// The standard properties, for fields that have no accessor here.
    pub fn properties(&self) -> Option<&Properties> {
        self.message.properties.as_ref()
    }

    /// All message annotations.
    pub fn annotations(&self) -> Option<&Annotations> {
        self.message.message_annotations.as_ref()
    }

    /// The message as AMQP carried it.
    pub fn as_amqp(&self) -> &Message {
        &self.message
    }
}

fn id_text(id: &MessageId) -> Option<String> {
    match id {
        MessageId::String(text) => Some(text.as_str().to_owned()),
        MessageId::Ulong(number) => Some(number.to_string()),
        MessageId::Uuid(id) => Some(uuid::Uuid::from_bytes(id.0).hyphenated().to_string()),
        MessageId::Binary(bytes) => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

fn system_time(timestamp: Timestamp) -> SystemTime {
    from_unix_millis(timestamp.0)
}
