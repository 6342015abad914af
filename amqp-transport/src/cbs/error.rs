//! What can go wrong with a token on its way to the peer.

use amqp_codec::Str;

use crate::request_response::{RequestError, Status};

/// Why a token is not in place.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CbsError {
    /// The peer answered and refused.
    #[error("the peer refused the token with status {0}")]
    Refused(Status),
    /// There was no answer.
    #[error("the token could not be put: {0}")]
    Request(#[from] RequestError),
}

impl CbsError {
    /// Whether putting the same token again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(status) => status.is_retryable(),
            Self::Request(error) => error.is_retryable(),
        }
    }

    /// Whether the credentials are at fault.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        match self {
            Self::Refused(status) => status.is_auth(),
            Self::Request(error) => error.is_auth(),
        }
    }

    /// The peer's status code, when it answered.
    #[must_use]
    pub fn status(&self) -> Option<i32> {
        match self {
            Self::Refused(status) => Some(status.code),
            Self::Request(_) => None,
        }
    }
}

/// Why a message to `$cbs` is not a put-token request. The client is at fault in every case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CbsRequestError {
    /// A property that every request needs is not there, or not a string.
    #[error("the request has no string property {key:?}")]
    MissingProperty {
        /// The key of the property.
        key: &'static str,
    },
    /// The operation is not put-token.
    #[error("the operation {operation:?} is not supported")]
    UnsupportedOperation {
        /// The operation asked for.
        operation: Str,
    },
    /// The expiration is not a timestamp.
    #[error("the expiration is not a timestamp")]
    BadExpiration,
    /// The body is not a string.
    #[error("the body is not an amqp-value of type string")]
    BadBody,
}

impl CbsRequestError {
    /// The status to answer with: 501 for an unknown operation, 400 for everything malformed.
    // CBS-007
    #[must_use]
    pub fn status(&self) -> Status {
        let code = match self {
            Self::UnsupportedOperation { .. } => 501,
            _ => 400,
        };
        Status::new(code, self.to_string())
    }
}
