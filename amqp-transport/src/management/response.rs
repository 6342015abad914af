//! A management response, as both sides see it.

use amqp_codec::{Body, Message, Str, Value};

use super::ManagementError;
use crate::request_response::{Correlation, Dialect, MalformedReply, RequestError, Status, reply};

/// What a management node answered to a request that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagementResponse {
    /// The status code, 200–299.
    pub status: i32,
    /// Text for people, when the node gave one.
    pub description: Option<Str>,
    /// The result; null when the node sent none.
    pub body: Value,
}

impl ManagementResponse {
    /// Reads a reply, in either dialect of status keys.
    ///
    /// # Errors
    /// When the node refused (its body is then ignored) or the reply has no status.
    // MG-004
    pub fn from_message(message: &Message) -> Result<Self, ManagementError> {
        let properties = message
            .application_properties
            .as_ref()
            .ok_or(MalformedReply { what: "it has no application-properties" })
            .map_err(RequestError::from)?;
        let status = Status::from_properties(properties).map_err(RequestError::from)?;
        if !status.is_success() {
            return Err(ManagementError::Refused(status));
        }
        let body = match &message.body {
            Body::Value(value) => value.clone(),
            _ => Value::Null,
        };
        Ok(Self { status: status.code, description: status.description, body })
    }
}

/// The answer to a `request` that succeeded, with its result.
// MG-003: the request's correlation-id if it has one, else its message-id.
#[must_use]
pub fn response(request: &Message, body: Value, dialect: Dialect) -> Message {
    let answer = reply(request, Correlation::CorrelationId, &Status::new(200, "OK"), dialect);
    answer.with_body(Body::Value(body))
}

/// The answer to a `request` that failed.
#[must_use]
pub fn refusal(request: &Message, status: &Status, dialect: Dialect) -> Message {
    let answer = reply(request, Correlation::CorrelationId, status, dialect);
    answer.with_body(Body::Value(Value::Null))
}

#[cfg(test)]
mod tests {
    use amqp_codec::MessageId;

    use super::*;
    use crate::management::ManagementRequest;

    #[test]
    fn a_result_and_a_refusal_read_back_in_both_dialects() {
        // MG-003, MG-004
        let request = ManagementRequest::read("t", "n").to_message(MessageId::Ulong(9), "r");
        for dialect in [Dialect::Hyphens, Dialect::Camel] {
            let answer = response(&request, Value::Int(7), dialect);
            assert_eq!(answer.properties.as_ref().unwrap().correlation_id, Some(MessageId::Ulong(9)));
            let read = ManagementResponse::from_message(&answer).unwrap();
            assert_eq!((read.status, read.body), (200, Value::Int(7)));

            let refused = refusal(&request, &Status::new(404, "no such entity"), dialect);
            assert_eq!(
                ManagementResponse::from_message(&refused),
                Err(ManagementError::Refused(Status::new(404, "no such entity")))
            );
        }
    }

    #[test]
    fn a_reply_without_a_status_is_malformed() {
        assert!(matches!(
            ManagementResponse::from_message(&Message::default()),
            Err(ManagementError::Request(RequestError::Malformed(_)))
        ));
    }
}
