//! The server's side of `$cbs`.

use amqp_codec::{Message, Str};

use super::{CbsRequestError, PutToken};
use crate::request_response::{Correlation, Dialect, Status, reply};

/// Reads put-token requests and writes their answers. Pure: whether a token is good is the caller's to judge.
#[derive(Clone, Copy, Debug)]
pub struct CbsServer;

impl CbsServer {
    /// Reads a request that arrived at `$cbs`. Keys it does not know are ignored.
    ///
    /// # Errors
    /// When the message is not a put-token request; [`CbsRequestError::status`] is the answer to it.
    pub fn parse_request(message: &Message) -> Result<PutToken, CbsRequestError> {
        PutToken::from_message(message)
    }

    /// The answer to `request`, to be sent on the client's link from `$cbs` even when the request has no reply-to.
    /// The status code goes out as `int` and the description as `string`.
    // CBS-004, CBS-005: the request's message-id comes back as correlation-id with exactly the type it had.
    #[must_use]
    pub fn response(request: &Message, code: i32, description: impl Into<Str>) -> Message {
        Self::response_with(request, &Status::new(code, description))
    }

    /// Like [`CbsServer::response`], with a status that may carry a symbolic condition too.
    #[must_use]
    pub fn response_with(request: &Message, status: &Status) -> Message {
        reply(request, Correlation::MessageId, status, Dialect::Hyphens)
    }
}
