//! The message of a request, whatever is asked.

use amqp_codec::{ApplicationProperties, Body, Message, MessageId, Properties, Sections, Str, Value};

/// A request whose reply comes to the link attached as `reply_to`; `to` is the node, where it wants to be named.
// CBS-004, MG-003
pub(crate) fn request(
    message_id: MessageId,
    to: Option<&'static str>,
    reply_to: &str,
    application_properties: ApplicationProperties,
    body: Value,
) -> Message {
    let properties = Properties {
        message_id: Some(message_id),
        to: to.map(Str::from),
        reply_to: Some(Str::from(reply_to.to_owned())),
        ..Properties::default()
    };
    let sections = Sections {
        properties: Some(properties),
        application_properties: Some(application_properties),
        ..Sections::default()
    };
    Message::new(Body::Value(body), sections)
}
