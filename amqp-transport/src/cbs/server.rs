//! The server's side of `$cbs`.

use amqp_codec::{Message, Str};

use super::{CbsRequest, CbsRequestError, PutToken};
use crate::request_response::{Correlation, Dialect, Status, reply};

/// Reads requests and writes their answers. Pure: whether a token is good is the caller's to judge.
///
/// On a listener, [`RequestNode`](crate::server::RequestNode) brings the requests and takes the answers away:
///
/// ```
/// # #[cfg(feature = "tokio")] {
/// use amqp_transport::cbs::{CbsRequest, CbsServer};
/// use amqp_transport::request_response::Status;
/// use amqp_transport::server::RequestNode;
///
/// let node = RequestNode::new(|request| async move {
///     CbsServer::answer(&request, |asked| match asked {
///         CbsRequest::Put(put) if put.token.expose() == "let me in" => Status::new(200, "OK"),
///         CbsRequest::Put(_) => Status::new(401, "the token is not good"),
///         _ => Status::new(200, "OK"),
///     })
/// });
/// # }
/// ```
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

    /// The answer to whatever arrived at `$cbs`: what `judge` says of it, or what is wrong with it (CBS-007).
    pub fn answer(request: &Message, judge: impl FnOnce(CbsRequest) -> Status) -> Message {
        let status = match CbsRequest::from_message(request) {
            Ok(asked) => judge(asked),
            Err(error) => error.status(),
        };
        Self::response_with(request, &status)
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
