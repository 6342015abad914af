//! The delete-token request, as both sides see it.

use amqp_codec::{Message, MessageId, Str, Value};

use super::put_token::{PutToken, asking, text_of};
use super::{CbsError, CbsRequestError, NODE};
use crate::request_response::request;

/// Which token to forget.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeleteToken {
    /// The token's type, as it was put.
    pub token_type: Str,
    /// The audience the token was put for.
    pub name: Str,
}

impl DeleteToken {
    /// The token of this type for this audience.
    pub fn new(token_type: impl Into<Str>, name: impl Into<Str>) -> Self {
        Self { token_type: token_type.into(), name: name.into() }
    }

    /// The request as a message, to be sent to `$cbs`; the reply comes to the link attached as `reply_to`.
    // CBS-004, CBS-008
    #[must_use]
    pub fn to_message(&self, message_id: MessageId, reply_to: &str) -> Message {
        let asked = asking(DELETE_TOKEN, &self.token_type, &self.name);
        request(message_id, Some(NODE), reply_to, asked, Value::Null)
    }

    /// Reads the peer's answer: nothing on success, which a token that was not there is too.
    ///
    /// # Errors
    /// When the peer refused, or its answer has no status.
    pub fn read_reply(reply: &Message) -> Result<(), CbsError> {
        PutToken::read_reply(reply)
    }
}

/// What a client asks of `$cbs`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CbsRequest {
    /// To take a token, in place of one put for the same audience before.
    Put(PutToken),
    /// To forget a token; one that is not there is no error (CBS-008).
    Delete(DeleteToken),
}

impl CbsRequest {
    /// Reads a request that arrived at `$cbs`. Keys it does not know are ignored.
    ///
    /// # Errors
    /// When the message is neither; [`CbsRequestError::status`] is the answer to it.
    pub fn from_message(message: &Message) -> Result<Self, CbsRequestError> {
        match text_of(message, "operation")?.as_str() {
            DELETE_TOKEN => {
                let text = |key| text_of(message, key);
                Ok(Self::Delete(DeleteToken { token_type: text("type")?, name: text("name")? }))
            }
            _ => PutToken::from_message(message).map(Self::Put),
        }
    }
}

const DELETE_TOKEN: &str = "delete-token";

#[cfg(test)]
mod tests {
    use amqp_codec::Body;

    use super::*;
    use crate::cbs::CbsServer;
    use crate::secret::Secret;

    #[test]
    fn a_token_is_forgotten_by_its_name_and_type() {
        // CBS-008, CBS-009
        let request = DeleteToken::new("example:token", "host/devices/d");
        let message = request.to_message(MessageId::from("cbs-2"), "replies");
        assert_eq!(message.body, Body::Value(Value::Null));
        let CbsRequest::Delete(read) = CbsRequest::from_message(&message).unwrap() else {
            panic!("not a delete-token")
        };
        assert_eq!(read, request);
        assert_eq!(DeleteToken::read_reply(&CbsServer::response(&message, 202, "gone")), Ok(()));
        assert!(DeleteToken::read_reply(&CbsServer::response(&message, 400, "what")).is_err());
    }

    #[test]
    fn the_operation_tells_the_requests_apart() {
        // CBS-002, CBS-007
        let put = PutToken::new("t", "n", Secret::from("hush")).to_message(MessageId::Ulong(1), "r");
        let CbsRequest::Put(read) = CbsRequest::from_message(&put).unwrap() else {
            panic!("not a put-token")
        };
        assert_eq!(read.token.expose(), "hush");
        let mut other = put;
        other.application_properties.as_mut().unwrap().insert("operation", "set-token");
        assert_eq!(CbsRequest::from_message(&other).unwrap_err().status().code, 501);
        other.application_properties = None;
        assert_eq!(CbsRequest::from_message(&other).unwrap_err().status().code, 400);
    }
}
