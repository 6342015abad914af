//! Commands: messages from a service to a device or module (cloud-to-device messages).

use std::{fmt, ops::Deref, str::FromStr, time::SystemTime};

use amqp_codec::{Message, MessageId, Properties, Str, Timestamp, Value};
use bytes::Bytes;

use super::{
    names,
    received::ReceivedMessage,
    telemetry::{MessageError, ascii},
};
use crate::{clock::unix_millis, path::devicebound_path};

/// What feedback a service wants about a command.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Ack {
    /// None.
    #[default]
    None,
    /// When the device completed it.
    Positive,
    /// When it was rejected, expired or given up.
    Negative,
    /// In any case.
    Full,
}

/// The text is none of `none`, `positive`, `negative` and `full`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("feedback can be asked as none, positive, negative or full")]
pub struct UnknownAck;

/// A command to be sent by a service. A fresh one has a random message id, by which feedback names it.
#[derive(Clone, Debug, PartialEq)]
pub struct C2dMessage {
    message: Message,
}

/// A command as a device receives it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedCommand {
    inner: ReceivedMessage,
}

impl Ack {
    /// The word in the `iothub-ack` property.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }

    /// True where a completed command is to be reported.
    pub const fn wants_positive(self) -> bool {
        matches!(self, Self::Positive | Self::Full)
    }

    /// True where a command that was not completed is to be reported.
    pub const fn wants_negative(self) -> bool {
        matches!(self, Self::Negative | Self::Full)
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Ack {
    type Err = UnknownAck;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::None, Self::Positive, Self::Negative, Self::Full]
            .into_iter()
            .find(|ack| ack.as_str().eq_ignore_ascii_case(text))
            .ok_or(UnknownAck)
    }
}

impl C2dMessage {
    /// A command with this body and a random message id.
    pub fn new(body: impl Into<Bytes>) -> Self {
        let mut message = Message::data(body.into());
        let id = uuid::Uuid::new_v4().hyphenated().to_string();
        message.properties =
            Some(Properties { message_id: Some(MessageId::String(Str::from(id))), ..Properties::default() });
        Self { message }
    }

    /// Gives the command another id; a hub takes up to 128 characters.
    #[must_use]
    pub fn with_message_id(mut self, id: impl Into<Str>) -> Self {
        self.properties_mut().message_id = Some(MessageId::String(id.into()));
        self
    }

    /// Asks for feedback.
    #[must_use]
    pub fn with_ack(self, ack: Ack) -> Self {
        self.with_property(names::ACK, ack.as_str())
    }

    /// Says when the command is of no use any more; a hub's default is one hour after it took it, at most two days.
    #[must_use]
    pub fn with_expiry(mut self, time: SystemTime) -> Self {
        self.properties_mut().absolute_expiry_time = Some(Timestamp(unix_millis(time)));
        self
    }

    /// Names the message that this one answers.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<Str>) -> Self {
        self.properties_mut().correlation_id = Some(MessageId::String(id.into()));
        self
    }

    /// Names the user on whose behalf the command is sent.
    #[must_use]
    pub fn with_user_id(mut self, user: impl Into<String>) -> Self {
        self.properties_mut().user_id = Some(Bytes::from(user.into()));
        self
    }

    /// Names the body's media type.
    ///
    /// # Errors
    /// When the text is not ASCII.
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Result<Self, MessageError> {
        self.properties_mut().content_type = Some(ascii(content_type, "the content type")?);
        Ok(self)
    }

    /// Names the body's encoding.
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

    /// The id by which feedback will name this command.
    pub fn message_id(&self) -> Option<&str> {
        match self.message.properties.as_ref()?.message_id.as_ref()? {
            MessageId::String(id) => Some(id.as_str()),
            _ => None,
        }
    }

    /// The message as AMQP carries it, addressed to a device, or to a module of it.
    pub fn to_amqp(&self, device_id: &str, module_id: Option<&str>) -> Message {
        let mut message = self.message.clone();
        let properties = message.properties.get_or_insert_with(Default::default);
        properties.to = Some(Str::from(devicebound_path(device_id, module_id)));
        message
    }

    fn properties_mut(&mut self) -> &mut Properties {
        self.message.properties.get_or_insert_with(Default::default)
    }
}

impl ReceivedCommand {
    /// Reads a command out of a received message.
    pub fn new(message: Message) -> Self {
        Self { inner: ReceivedMessage::new(message) }
    }

    /// Its place in the device's queue.
    pub fn sequence_number(&self) -> Option<u64> {
        let value = self.annotation(names::SEQUENCE_NUMBER)?;
        value.as_u64().or_else(|| value.as_i64().and_then(|number| u64::try_from(number).ok()))
    }

    /// When the hub took it.
    pub fn enqueued_time(&self) -> Option<SystemTime> {
        self.annotation_time(names::IOTHUB_ENQUEUED_TIME)
    }

    /// How often it was delivered before.
    pub fn delivery_count(&self) -> Option<u64> {
        self.annotation(names::DELIVERY_COUNT)?.as_u64()
    }

    /// What feedback its sender wants; none where it does not say.
    pub fn ack(&self) -> Ack {
        self.property(names::ACK)
            .and_then(|value| value.as_str())
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    }
}

impl Deref for ReceivedCommand {
    type Target = ReceivedMessage;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}
