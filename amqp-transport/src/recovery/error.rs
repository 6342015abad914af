//! What recovery can fail with, for layers that have no words of their own.

use super::hooks::Verdict;
use super::{Backoff, PeerAddress};
use crate::cbs::CbsError;
use crate::error::ConnectionError;
use crate::handle::error::{AttachError, ConnectError, DetachReason, EndReason, OpenError, SendError};

/// Why a connection or link could not be made, made again or kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// An attempt to connect failed.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// Where to.
        address: PeerAddress,
        /// Why.
        error: ConnectError,
    },
    /// The connection was open, and no session could be begun.
    #[error("no session: {0}")]
    Begin(#[from] OpenError),
    /// The peer did not take a token.
    #[error(transparent)]
    Cbs(#[from] CbsError),
    /// A link was not attached.
    #[error("the link to {address:?} was not attached: {error}")]
    Attach {
        /// The link's address at the peer.
        address: String,
        /// Why.
        error: AttachError,
    },
    /// A link was detached.
    #[error("the link to {address:?} was {reason}")]
    Detached {
        /// The link's address at the peer.
        address: String,
        /// Why.
        reason: DetachReason,
    },
    /// The connection was lost.
    #[error("the connection was lost: {0}")]
    Lost(ConnectionError),
    /// The session was lost while the connection lived.
    #[error("the session was {0}")]
    SessionEnded(EndReason),
    /// The connection was given up because a link on it could not be used.
    #[error("the connection was given up")]
    Condemned,
    /// There is no connection, or no link, at this moment, and the caller chose not to wait.
    #[error("there is no connection at this moment")]
    NotConnected,
    /// Something was not done in time. Trying again may help.
    #[error("{what} took longer than its time-out")]
    TimedOut {
        /// What was not done.
        what: &'static str,
    },
    /// Credit was granted while it was being taken back
    /// ([`RecoveringReceiver::drain`](super::RecoveringReceiver::drain),
    /// [`RecoveringReceiver::stop`](super::RecoveringReceiver::stop)): it is not.
    #[error("credit was granted anew before the peer had given back what it held")]
    Regranted,
    /// No address was given to connect to.
    #[error("there is no address to connect to")]
    NoAddress,
    /// Closed by its owner.
    #[error("closed by this side")]
    Closed,
}

impl RecoveryError {
    /// A link to `address` that was not attached.
    pub fn attach(address: impl Into<String>, error: AttachError) -> Self {
        Self::Attach { address: address.into(), error }
    }

    /// Whether trying again may help without a change of settings or credentials.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { error, .. } => error.is_retryable(),
            Self::Begin(OpenError::Lost(error)) | Self::Lost(error) => error.is_retryable(),
            Self::Begin(OpenError::Refused(_) | OpenError::Unanswered) => true,
            Self::Cbs(error) => error.is_retryable(),
            Self::Attach { error, .. } => error.is_retryable(),
            Self::Detached { reason, .. } => reason.is_retryable(),
            Self::SessionEnded(_)
            | Self::Condemned
            | Self::NotConnected
            | Self::TimedOut { .. }
            | Self::Regranted => true,
            Self::Begin(OpenError::Limit(_)) | Self::NoAddress | Self::Closed => false,
        }
    }

    /// Whether the peer refused who we are.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        match self {
            Self::Connect { error, .. } => error.is_auth(),
            Self::Begin(OpenError::Lost(error)) | Self::Lost(error) => error.is_auth(),
            Self::Cbs(error) => error.is_auth(),
            Self::Attach { error: AttachError::Lost(error), .. } => error.is_auth(),
            _ => false,
        }
    }

    /// What most layers do about this error: try again with [`Backoff::NORMAL`] where that may help.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.is_retryable() { Verdict::Retry(Backoff::NORMAL) } else { Verdict::GiveUp }
    }
}

/// Why a recovering sender gave a message up.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendFailure<E> {
    /// The link's own answer: the message is at fault, or its outcome is unknown.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The message was not sent, and waiting for another link or connection is useless.
    #[error("not sent: {0}")]
    NotSent(E),
    /// The message was not sent: there was no connection, link or credit within the operation time-out.
    #[error("not sent within the operation time-out")]
    TimedOut,
}

impl<E> SendFailure<E> {
    /// This failure of a message that has gone before and ended so: what may have been taken then is not proved not to be
    /// by a later attempt that was not sent.
    #[must_use]
    pub(crate) fn after<T>(self, before: Result<T, Self>) -> Self {
        match before {
            Err(before) if !before.is_not_sent() && self.is_not_sent() => before,
            _ => self,
        }
    }

    /// Whether the message certainly was not taken by the peer, so that sending it again cannot double it.
    #[must_use]
    pub fn is_not_sent(&self) -> bool {
        match self {
            Self::Send(error) => error.is_not_sent(),
            Self::NotSent(_) | Self::TimedOut => true,
        }
    }
}
