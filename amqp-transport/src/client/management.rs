//! Asking a peer's management node.

use std::time::Duration;

use super::request_link::RequestLink;
use super::{AttachError, Session};
use crate::management::{ManagementError, ManagementRequest, ManagementResponse};

/// Both links to a management node, usually `$management`.
///
/// Calls run side by side: requests are pipelined under the credit the peer grants.
#[derive(Debug)]
pub struct ManagementClient {
    link: RequestLink,
}

impl ManagementClient {
    /// Attaches to `node` on `session`.
    ///
    /// # Errors
    /// When the peer refuses the node or the session ends.
    ///
    /// # Cancel safety
    /// Safe: links of a dropped call are detached again.
    pub async fn open(session: &Session, node: &str) -> Result<Self, AttachError> {
        Ok(Self { link: RequestLink::open(session, node, "management").await? })
    }

    /// The time a call may take, waiting for credit included. Default 30 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.link.set_timeout(timeout);
        self
    }

    /// Sends a request and returns the node's answer.
    ///
    /// # Errors
    /// When the node refuses (any status but 2xx) or does not answer in time.
    ///
    /// # Cancel safety
    /// Whether the node acted on the request of a dropped call is unknown.
    pub async fn request(&self, request: &ManagementRequest) -> Result<ManagementResponse, ManagementError> {
        let reply =
            self.link.request(|message_id, reply_to| request.to_message(message_id, reply_to)).await?;
        ManagementResponse::from_message(&reply)
    }
}
