//! The rules a server follows when it answers a request.

use amqp_codec::{ApplicationProperties, Body, Message, MessageId, Properties, Sections};

use super::{Dialect, Status};

/// Which of the request's ids a reply names as its correlation-id. The other one serves when the first is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correlation {
    /// The message-id: claims-based security.
    MessageId,
    /// The correlation-id: AMQP Management.
    CorrelationId,
}

impl Correlation {
    /// The id a reply to `request` is to carry, of exactly the type the client used, or none when it gave none.
    // CBS-004, MG-003: clients compare types too, so the id is echoed, never converted.
    #[must_use]
    pub fn id_for(self, request: &Message) -> Option<MessageId> {
        let properties = request.properties.as_ref()?;
        let (message_id, correlation_id) =
            (properties.message_id.as_ref(), properties.correlation_id.as_ref());
        match self {
            Self::MessageId => message_id.or(correlation_id),
            Self::CorrelationId => correlation_id.or(message_id),
        }
        .cloned()
    }
}

/// A reply to `request` without a body: correlation-id, `to` (the request's reply-to, if any) and the status.
///
/// Deliver it on the client's receiving link even when the request had no reply-to: some clients set none.
#[must_use]
pub fn reply(request: &Message, correlation: Correlation, status: &Status, dialect: Dialect) -> Message {
    let mut application_properties = ApplicationProperties::default();
    status.write_to(&mut application_properties, dialect);
    let properties = Properties {
        correlation_id: correlation.id_for(request),
        to: request.properties.as_ref().and_then(|properties| properties.reply_to.clone()),
        ..Properties::default()
    };
    let sections = Sections {
        properties: Some(properties),
        application_properties: Some(application_properties),
        ..Sections::default()
    };
    Message::new(Body::Empty, sections)
}

#[cfg(test)]
mod tests {
    use amqp_codec::{Str, Uuid};
    use bytes::Bytes;

    use super::*;

    fn request(message_id: Option<MessageId>, correlation_id: Option<MessageId>) -> Message {
        Message::default().with_properties(Properties { message_id, correlation_id, ..Properties::default() })
    }

    #[test]
    fn ids_of_every_type_are_echoed_exactly() {
        // CBS-004, MG-003
        for id in [
            MessageId::Ulong(0),
            MessageId::Uuid(Uuid([7; 16])),
            MessageId::Binary(Bytes::from_static(&[0, 255])),
            MessageId::String(Str::from("0")),
        ] {
            let answer = reply(
                &request(Some(id.clone()), None),
                Correlation::MessageId,
                &Status::new(200, "OK"),
                Dialect::Hyphens,
            );
            assert_eq!(answer.properties.as_ref().unwrap().correlation_id.as_ref(), Some(&id));
        }
    }

    #[test]
    fn the_two_rules_differ_when_a_request_has_both_ids() {
        let both = request(Some(MessageId::Ulong(1)), Some(MessageId::Ulong(2)));
        assert_eq!(Correlation::MessageId.id_for(&both), Some(MessageId::Ulong(1)));
        assert_eq!(Correlation::CorrelationId.id_for(&both), Some(MessageId::Ulong(2)));
        assert_eq!(
            Correlation::CorrelationId.id_for(&request(Some(MessageId::Ulong(1)), None)),
            Some(MessageId::Ulong(1))
        );
        assert_eq!(Correlation::MessageId.id_for(&Message::default()), None);
    }
}
