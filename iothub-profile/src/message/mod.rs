//! What a hub's messages mean, on top of AMQP's sections.
//!
//! Owns the names and types of IoT Hub's properties and annotations. Everything that comes from a peer is read
//! leniently: a property that is missing or of another type is absent, never an error and never a panic.
//! IoT Hub: "Create and read IoT Hub messages".

mod command;
mod event;
mod feedback;
mod received;
mod telemetry;

#[cfg(test)]
mod tests;

pub use command::{Ack, C2dMessage, ReceivedCommand, UnknownAck};
pub use event::ReceivedEvent;
pub use feedback::{FEEDBACK_CONTENT_TYPE, FeedbackError, FeedbackRecord, FeedbackStatus, parse_feedback};
pub use received::ReceivedMessage;
pub use telemetry::{MessageError, TelemetryMessage};

/// Names of annotations and application properties, as hubs spell them.
pub mod names {
    /// Annotation: the place in a partition or queue.
    pub const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
    /// Annotation: the offset in a partition, a string.
    pub const OFFSET: &str = "x-opt-offset";
    /// Annotation: when the event hub took the event.
    pub const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
    /// Annotation: the key by which the partition was chosen.
    pub const PARTITION_KEY: &str = "x-opt-partition-key";
    /// Annotation: the lock of a command, as text.
    pub const LOCK_TOKEN: &str = "x-opt-lock-token";
    /// Annotation: the device that sent an event.
    pub const CONNECTION_DEVICE_ID: &str = "iothub-connection-device-id";
    /// Annotation: the module that sent an event.
    pub const CONNECTION_MODULE_ID: &str = "iothub-connection-module-id";
    /// Annotation: the generation of the device's identity.
    pub const CONNECTION_AUTH_GENERATION_ID: &str = "iothub-connection-auth-generation-id";
    /// Annotation: how the device authenticated, JSON text.
    pub const CONNECTION_AUTH_METHOD: &str = "iothub-connection-auth-method";
    /// Annotation: when the hub took the message.
    pub const IOTHUB_ENQUEUED_TIME: &str = "iothub-enqueuedtime";
    /// Annotation: what made the message, `Telemetry` for a device's own.
    pub const MESSAGE_SOURCE: &str = "iothub-message-source";
    /// Annotation: how often a command was delivered before.
    pub const DELIVERY_COUNT: &str = "iothub-deliverycount";
    /// Annotation: the interface of a security message.
    pub const INTERFACE_ID: &str = "iothub-interface-id";
    /// Annotation: the component of a digital twin.
    pub const COMPONENT: &str = "dt-subject";
    /// Application property: what feedback a command asks for.
    pub const ACK: &str = "iothub-ack";
    /// Application property: when the device made the message, ISO 8601.
    pub const CREATION_TIME: &str = "iothub-creation-time-utc";
    /// Application property: the message's schema.
    pub const MESSAGE_SCHEMA: &str = "iothub-message-schema";
    /// Application property: the output of a module.
    pub const OUTPUT_NAME: &str = "iothub-outputname";
}
