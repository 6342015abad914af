//! Putting tokens on a peer's `$cbs` node.

use std::time::Duration;

use amqp_codec::Str;

use super::request_link::RequestLink;
use super::{AttachError, Session};
use crate::cbs::{CbsError, DeleteToken, NODE, PutToken};
use crate::secret::Secret;

/// Both links to `$cbs`. Keep it as long as the tokens it put are to be renewed; it is cheap when idle.
///
/// Calls run side by side: requests are pipelined under the credit the peer grants.
#[derive(Debug)]
pub struct CbsClient {
    link: RequestLink,
}

impl CbsClient {
    /// Attaches to `$cbs` on `session`.
    ///
    /// # Errors
    /// When the peer has no such node or the session ends.
    ///
    /// # Cancel safety
    /// Safe: links of a dropped call are detached again.
    // CBS-001
    pub async fn open(session: &Session) -> Result<Self, AttachError> {
        Ok(Self { link: RequestLink::open(session, NODE, "cbs").await? })
    }

    /// The time a call may take, waiting for credit included. Default 30 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.link.set_timeout(timeout);
        self
    }

    /// Puts `token` for `audience`, in place of any token put for it before.
    ///
    /// # Errors
    /// When the peer refuses the token or does not answer in time.
    ///
    /// # Cancel safety
    /// Whether the token of a dropped call is in place is unknown; putting it again is harmless.
    // CBS-011: links that need the token are attached after this returned.
    pub async fn put_token(
        &self,
        token_type: impl Into<Str>,
        audience: impl Into<Str>,
        token: &Secret,
    ) -> Result<(), CbsError> {
        self.put(&PutToken::new(token_type, audience, token.clone())).await
    }

    /// Like [`CbsClient::put_token`], with everything a request can say.
    ///
    /// # Errors
    /// When the peer refuses the token or does not answer in time.
    ///
    /// # Cancel safety
    /// As [`CbsClient::put_token`].
    pub async fn put(&self, request: &PutToken) -> Result<(), CbsError> {
        let reply =
            self.link.request(|message_id, reply_to| request.to_message(message_id, reply_to)).await?;
        PutToken::read_reply(&reply)
    }

    /// Has the token for `audience` forgotten; one that is not there is no error.
    ///
    /// # Errors
    /// When the peer refuses, as those do that know no delete-token (status 501), or does not answer in time.
    ///
    /// # Cancel safety
    /// Whether the token of a dropped call is gone is unknown; deleting it again is harmless.
    // CBS-008
    pub async fn delete_token(
        &self,
        token_type: impl Into<Str>,
        audience: impl Into<Str>,
    ) -> Result<(), CbsError> {
        let request = DeleteToken::new(token_type, audience);
        let reply =
            self.link.request(|message_id, reply_to| request.to_message(message_id, reply_to)).await?;
        DeleteToken::read_reply(&reply)
    }
}
