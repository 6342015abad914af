//! Telemetry from a device to its hub.

use std::time::SystemTime;

use amqp_codec::{Message, MessageId, Properties, Str, Symbol, Timestamp, Value};
use bytes::Bytes;

use super::names;
use crate::clock::unix_millis;

/// A message from a device or module to its hub: a body, properties that the hub understands, and the application's
/// own properties, which are strings. Cheap to clone: texts and body are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryMessage {
    message: Message,
}

/// A property that cannot be sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// AMQP takes ASCII alone here.
    #[error("{0} must consist of ASCII characters")]
    NotAscii(&'static str),
}

impl TelemetryMessage {
    /// A message with this body and nothing else.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { message: Message::data(body.into()) }
    }

    /// Gives the message an id; a hub takes up to 128 characters.
    #[must_use]
    pub fn with_message_id(mut self, id: impl Into<Str>) -> Self {
        self.properties_mut().message_id = Some(MessageId::String(id.into()));
        self
    }

    /// Names the message that this one answers.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<Str>) -> Self {
        self.properties_mut().correlation_id = Some(MessageId::String(id.into()));
        self
    }

    /// Names the user on whose behalf the message is sent.
    #[must_use]
    pub fn with_user_id(mut self, user: impl Into<String>) -> Self {
        self.properties_mut().user_id = Some(Bytes::from(user.into()));
        self
    }

    /// Names the body's media type, such as `application/json`; message routing reads it.
    ///
    /// # Errors
    /// When the text is not ASCII.
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Result<Self, MessageError> {
        self.properties_mut().content_type = Some(ascii(content_type, "the content type")?);
        Ok(self)
    }

    /// Names the body's encoding, such as `utf-8`.
    ///
    /// # Errors
    /// When the text is not ASCII.
    pub fn with_content_encoding(mut self, encoding: impl Into<String>) -> Result<Self, MessageError> {
        self.properties_mut().content_encoding = Some(ascii(encoding, "the content encoding")?);
        Ok(self)
    }

    /// Adds a property of the application's own, or replaces it.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<Str>, value: impl Into<Str>) -> Self {
        let properties = self.message.application_properties.get_or_insert_with(Default::default);
        properties.insert(name, Value::String(value.into()));
        self
    }

    /// Says when the device made the message.
    #[must_use]
    pub fn with_creation_time(self, time: SystemTime) -> Self {
        self.with_property(names::CREATION_TIME, iso_8601(time))
    }

    /// Says when the message is of no use any more.
    #[must_use]
    pub fn with_expiry(mut self, time: SystemTime) -> Self {
        self.properties_mut().absolute_expiry_time = Some(Timestamp(unix_millis(time)));
        self
    }

    /// Sends a module's message through one of its outputs.
    #[must_use]
    pub fn with_output(self, output: impl Into<Str>) -> Self {
        self.with_property(names::OUTPUT_NAME, output)
    }

    /// Names the message's schema.
    #[must_use]
    pub fn with_schema(self, schema: impl Into<Str>) -> Self {
        self.with_property(names::MESSAGE_SCHEMA, schema)
    }

    /// Names the component of the digital twin that the message belongs to.
    #[must_use]
    pub fn with_component(mut self, component: impl Into<Str>) -> Self {
        let annotations = self.message.message_annotations.get_or_insert_with(Default::default);
        annotations.insert(names::COMPONENT, Value::String(component.into()));
        self
    }

    /// The message as AMQP carries it.
    pub fn as_amqp(&self) -> &Message {
        &self.message
    }

    fn properties_mut(&mut self) -> &mut Properties {
        self.message.properties.get_or_insert_with(Default::default)
    }
}

/// A symbol of a text that comes from the caller.
pub(super) fn ascii(text: impl Into<String>, what: &'static str) -> Result<Symbol, MessageError> {
    Symbol::new(text).map_err(|_| MessageError::NotAscii(what))
}

/// `2026-01-02T03:04:05.678Z`, as hubs write times.
fn iso_8601(time: SystemTime) -> String {
    jiff::Timestamp::from_millisecond(unix_millis(time))
        .map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}
