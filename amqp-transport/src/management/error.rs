//! What can go wrong with a management request.

use crate::request_response::{RequestError, Status};

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManagementError {
    /// The peer answered and refused.
    #[error("the management node refused the request with status {0}")]
    Refused(Status),
    /// There was no answer.
    #[error("the management request failed: {0}")]
    Request(#[from] RequestError),
}

impl ManagementError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(status) => status.is_retryable(),
            Self::Request(error) => error.is_retryable(),
        }
    }

    /// Whether the peer refused for want of rights.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        match self {
            Self::Refused(status) => status.is_auth(),
            Self::Request(error) => error.is_auth(),
        }
    }
}

/// Why a message to a management node is not a request. The client is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManagementRequestError {
    /// A property that every request needs is not there, or not a string.
    #[error("the request has no string property {key:?}")]
    MissingProperty {
        /// The key of the property.
        key: &'static str,
    },
    /// The body of a `QUERY` names no attributes in a way that can be answered.
    #[error("the query's attributeNames {problem}")]
    AttributeNames {
        /// What is wrong with them.
        problem: &'static str,
    },
}

impl ManagementRequestError {
    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::new(400, self.to_string())
    }
}
