//! How a request over a link pair fails.

use amqp_codec::Outcome;

use super::TooManyPending;
use crate::error::{ConnectionError, RemoteError};

/// A reply that cannot be read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply is malformed: {what}; the peer is at fault and repeating is unlikely to help")]
pub struct MalformedReply {
    /// What is missing or wrong.
    pub what: &'static str,
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No reply came in time. The peer may or may not have acted; a reply that comes later is ignored.
    #[error("no reply came in time; whether the peer acted is unknown")]
    TimedOut,
    /// Too many requests wait for their replies already.
    #[error(transparent)]
    TooManyPending(#[from] TooManyPending),
    /// The peer did not take the request message.
    #[error("the peer did not take the request: {0:?}")]
    NotTaken(Outcome),
    /// The request message does not fit the link.
    #[error("the request of {size} bytes is over the peer's limit of {limit}")]
    TooLarge {
        /// Size of the encoded message in bytes.
        size: u64,
        /// The peer's limit in bytes.
        limit: u64,
    },
    /// One of the two links is gone, with the peer's error when it gave one. A new pair may work.
    #[error("the request's links are detached{}", reason(.0.as_ref()))]
    Detached(Option<RemoteError>),
    /// The connection or session is gone.
    #[error("the connection is lost: {0}")]
    Lost(ConnectionError),
    /// The reply is not a reply.
    #[error(transparent)]
    Malformed(#[from] MalformedReply),
}

impl RequestError {
    /// Whether the same request may succeed later, on new links or a new connection if need be.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TimedOut | Self::TooManyPending(_) | Self::Detached(None) => true,
            Self::NotTaken(outcome) => matches!(outcome, Outcome::Released | Outcome::Modified(_)),
            Self::Detached(Some(_)) => !self.is_auth(),
            Self::Lost(error) => error.is_retryable(),
            Self::TooLarge { .. } | Self::Malformed(_) => false,
        }
    }

    /// Whether the peer refused for want of rights.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        match self {
            Self::Lost(error) => error.is_auth(),
            Self::Detached(Some(error)) => error.condition == amqp_codec::ErrorCondition::UNAUTHORIZED_ACCESS,
            _ => false,
        }
    }
}

fn reason(error: Option<&RemoteError>) -> String {
    error.map(|error| format!(": {error}")).unwrap_or_default()
}
