//! Why a session or a link did not come to be, why it is over, and why its end is not known to have been heard.

use amqp_codec::ErrorCondition;

use super::{is_retryable_remote, remote_of};
use crate::error::{ConnectionError, Redirect, RemoteError};

/// Why a session could not be begun.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer ended the session at once.
    #[error("the peer refused the session: {0}")]
    Refused(RemoteError),
    /// A limit of this side or of the peer (`channel-max`) is reached; end a session first.
    #[error("no further session fits into the connection: {0}")]
    Limit(String),
    /// The peer did not answer within [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out), though the
    /// connection lives. The session is ended, whenever the peer takes note of it, and keeps its channel until then.
    /// Trying again may help, over a new connection at best.
    #[error("the peer did not answer the begin of the session in time")]
    Unanswered,
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] ConnectionError),
}

/// Why the end of a link or a session is not known to have reached the peer. On this side it is over all the same: to end
/// it once more is of no use.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EndError {
    /// The peer did not answer within [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out), though the
    /// connection lives. A link's name and handle, or a session's channel, are taken until it does: whoever needs them
    /// closes the connection.
    #[error("the peer did not answer the detach or the end in time")]
    Unanswered,
    /// The connection was lost before the peer had answered.
    #[error(transparent)]
    Lost(#[from] ConnectionError),
}

/// Why a link could not be attached.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The peer refused the link.
    #[error("the peer refused the link: {0}")]
    Refused(RemoteError),
    /// The peer says that the node lives elsewhere (`amqp:link:redirect`).
    #[error("the peer redirects the link to {0}")]
    Redirect(Redirect),
    /// The session ended first.
    #[error("the session ended: {0}")]
    SessionEnded(EndReason),
    /// A link of this name and role exists on the connection. One that is being detached, as after a dropped attach,
    /// counts until the peer has answered: trying again then helps.
    #[error("a link of this name and role exists")]
    NameInUse,
    /// The peer did not answer within [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out), though the
    /// connection lives. The link is detached, whenever the peer takes note of it, and its name is in use until then: on a
    /// new connection it is free.
    #[error("the peer did not answer the attach in time")]
    Unanswered,
    /// A limit of this side or of the peer (`handle-max`) is reached, or the options contradict each other.
    #[error("the link cannot be attached: {0}")]
    Invalid(String),
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] ConnectionError),
}

impl AttachError {
    /// The peer's own error, if it gave one.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::SessionEnded(EndReason::Remote(error)) => Some(error),
            Self::Lost(error) => remote_of(error),
            _ => None,
        }
    }

    /// The wire condition, where there is one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        self.remote().map(|error| &error.condition)
    }

    /// Whether attaching again, perhaps over a new connection, may help without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Lost(error) => error.is_retryable(),
            Self::SessionEnded(EndReason::Remote(error)) => is_retryable_remote(error),
            Self::SessionEnded(_) | Self::NameInUse | Self::Unanswered => true,
            _ => self.remote().is_some_and(is_retryable_remote),
        }
    }
}

/// Why a session ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndReason {
    /// This side ended it.
    Local,
    /// The peer ended it without an error.
    ByPeer,
    /// The peer ended it with an error.
    Remote(RemoteError),
    /// The peer broke the protocol on this session and this side ended it with this error.
    Violation(RemoteError),
    /// More came than a limit of this side's holds ([`Limits`](crate::engine::Limits)) and this side ended it with this error.
    /// Settling sooner, less credit or a higher limit help.
    OverLimit(RemoteError),
    /// This side ended it, or had begun it, and the peer did not answer within
    /// [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out).
    Unanswered,
    /// The connection is gone.
    Lost(ConnectionError),
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("ended by this side"),
            Self::ByPeer => f.write_str("ended by the peer"),
            Self::Remote(error) => write!(f, "ended by the peer: {error}"),
            Self::Violation(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::OverLimit(error) => {
                write!(f, "ended by this side, a limit of its own was exceeded: {error}")
            }
            Self::Unanswered => f.write_str("ended by this side without an answer of the peer's in time"),
            Self::Lost(error) => error.fmt(f),
        }
    }
}

/// Why a link is no longer attached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DetachReason {
    /// This side detached it.
    Local,
    /// The peer detached it without an error.
    ByPeer,
    /// The peer detached it with an error.
    Remote(RemoteError),
    /// The peer broke the protocol on this link and this side detached it with this error.
    Violation(RemoteError),
    /// More came than a limit of this side's holds ([`Limits`](crate::engine::Limits)) and this side detached it with this
    /// error. Taking messages sooner, less credit or a higher limit help.
    OverLimit(RemoteError),
    /// The peer attached the same link name anew and took the link over (`AMQP 1.0 §2.6.1`).
    Stolen,
    /// The peer allows no further link on this session: the link never was attached.
    NoHandle,
    /// The peer detached it for a message that is too large, which is not the one that asks: there was a larger one on
    /// its way.
    AnotherTooLarge,
    /// The link was lost with the message on its way and then resumed, and the message, or the part of it that the peer
    /// lacks, was not kept to be sent again, or may not be sent again because the peer may have taken and forgotten it.
    NotRetained,
    /// One side told only a part of what it held unsettled when the link was attached, so that nothing new may be sent:
    /// what could be concluded from that is, and the link is to be attached again, and resumed for the rest
    /// (`AMQP 1.0 §2.7.3`). Where that ends nothing any more, neither end's part fits into its frame and they have nothing in
    /// common: a larger max-frame-size helps, or letting go of the link.
    Incomplete,
    /// This side detached it, or had attached it, and the peer did not answer within
    /// [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out).
    Unanswered,
    /// It was read back from where an earlier process had written it down.
    Restored,
    /// The session ended.
    SessionEnded(EndReason),
    /// The connection is gone.
    Lost(ConnectionError),
}

impl DetachReason {
    /// The peer's own error, if it gave one.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::Remote(error) | Self::SessionEnded(EndReason::Remote(error)) => Some(error),
            Self::Lost(error) => remote_of(error),
            _ => None,
        }
    }

    /// Whether attaching again, perhaps over a new connection, may help without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::ByPeer
            | Self::AnotherTooLarge
            | Self::Incomplete
            | Self::Unanswered
            | Self::Restored
            | Self::SessionEnded(EndReason::ByPeer | EndReason::Unanswered) => true,
            Self::Remote(error) | Self::SessionEnded(EndReason::Remote(error)) => is_retryable_remote(error),
            Self::Lost(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl std::fmt::Display for DetachReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("detached by this side"),
            Self::ByPeer => f.write_str("detached by the peer"),
            Self::Remote(error) => write!(f, "detached by the peer: {error}"),
            Self::Violation(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::OverLimit(error) => {
                write!(f, "detached by this side, a limit of its own was exceeded: {error}")
            }
            Self::AnotherTooLarge => {
                f.write_str("detached by the peer because another message was too large")
            }
            Self::NotRetained => {
                f.write_str("the link was resumed without the message, which may not or cannot be sent again")
            }
            Self::Incomplete => {
                f.write_str("detached by this side to be attached again for what was not told of it")
            }
            Self::Restored => f.write_str("left by an earlier process"),
            Self::NoHandle => f.write_str("not attached, the peer allows no further link on this session"),
            Self::Stolen => f.write_str("taken over by another attach of the same name"),
            Self::Unanswered => f.write_str("detached by this side without an answer of the peer's in time"),
            Self::SessionEnded(reason) => write!(f, "the session was {reason}"),
            Self::Lost(error) => error.fmt(f),
        }
    }
}
