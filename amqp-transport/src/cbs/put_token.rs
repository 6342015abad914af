//! The put-token request, as both sides see it.

use amqp_codec::{ApplicationProperties, Body, Message, MessageId, Str, Timestamp, Value, ValueRef};

use super::{CbsError, CbsRequestError, NODE};
use crate::request_response::{MalformedReply, RequestError, Status, request};
use crate::secret::Secret;

/// A token and what it is for.
#[derive(Clone, Debug)]
pub struct PutToken {
    /// The token's type, for instance `servicebus.windows.net:sastoken` or `amqp:jwt`.
    pub token_type: Str,
    /// The audience the token is for, as the client spells it.
    pub name: Str,
    /// The token.
    pub token: Secret,
    /// When the token expires, for servers that do not read it out of the token.
    pub expiration: Option<Timestamp>,
}

impl PutToken {
    /// A request without an expiration.
    pub fn new(token_type: impl Into<Str>, name: impl Into<Str>, token: Secret) -> Self {
        Self { token_type: token_type.into(), name: name.into(), token, expiration: None }
    }

    /// The request as a message, to be sent to `$cbs`; the reply comes to the link attached as `reply_to`.
    // CBS-002, CBS-003, CBS-004
    #[must_use]
    pub fn to_message(&self, message_id: MessageId, reply_to: &str) -> Message {
        let mut asked = asking(PUT_TOKEN, &self.token_type, &self.name);
        if let Some(expiration) = self.expiration {
            asked.insert("expiration", Value::Timestamp(expiration));
        }
        let token = Value::String(Str::from(self.token.expose().to_owned()));
        request(message_id, Some(NODE), reply_to, asked, token)
    }

    /// Reads the peer's answer: nothing on success.
    ///
    /// # Errors
    /// When the peer refused, or its answer has no status.
    pub fn read_reply(reply: &Message) -> Result<(), CbsError> {
        let properties = reply
            .application_properties
            .as_ref()
            .ok_or(MalformedReply { what: "it has no application-properties" })
            .map_err(RequestError::from)?;
        let status = Status::from_properties(properties).map_err(RequestError::from)?;
        if status.is_success() { Ok(()) } else { Err(CbsError::Refused(status)) }
    }

    /// Reads a request that arrived at `$cbs`. Keys it does not know are ignored.
    ///
    /// # Errors
    /// When the message is not a put-token request.
    pub fn from_message(message: &Message) -> Result<Self, CbsRequestError> {
        let text = |key| text_of(message, key);
        let operation = text("operation")?;
        if operation != PUT_TOKEN {
            return Err(CbsRequestError::UnsupportedOperation { operation });
        }
        let (token_type, name) = (text("type")?, text("name")?);
        let properties = message.application_properties.as_ref();
        let expiration = match properties.and_then(|properties| properties.get("expiration")) {
            None | Some(ValueRef::Null) => None,
            Some(ValueRef::Timestamp(expiration)) => Some(expiration),
            Some(_) => return Err(CbsRequestError::BadExpiration),
        };
        let Body::Value(Value::String(token)) = &message.body else {
            return Err(CbsRequestError::BadBody);
        };
        Ok(Self { token_type, name, token: Secret::new(token.as_str()), expiration })
    }
}

/// What every request says: what is to be done with the token of a type for an audience.
// CBS-009: the key is `type`, in lower case.
pub(super) fn asking(operation: &'static str, token_type: &Str, name: &Str) -> ApplicationProperties {
    let mut asked = ApplicationProperties::default();
    asked.insert("operation", operation);
    asked.insert("type", Value::String(token_type.clone()));
    asked.insert("name", Value::String(name.clone()));
    asked
}

/// An application-property that every request must have, as a string.
pub(super) fn text_of(message: &Message, key: &'static str) -> Result<Str, CbsRequestError> {
    let properties = message.application_properties.as_ref();
    match properties.and_then(|properties| properties.get(key)) {
        Some(ValueRef::String(text)) => Ok(text.to_str()),
        _ => Err(CbsRequestError::MissingProperty { key }),
    }
}

const PUT_TOKEN: &str = "put-token";

#[cfg(test)]
mod tests;
