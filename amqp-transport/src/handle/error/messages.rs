//! Why a message was not sent, not received or not settled, and what is known of it.

use amqp_codec::{DeliveryState, ErrorCondition};

use super::{DetachReason, remote_of};
use crate::error::{ConnectionError, RemoteError};

/// Why a message was not sent, or why its outcome will never be known.
///
/// That the peer rejected a message is not an error but an [`Outcome`](amqp_codec::Outcome).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message is larger than the peer takes on this link. It was not sent.
    #[error("the message has {size} bytes, the link takes at most {limit}")]
    TooLarge {
        /// The encoded size in bytes.
        size: u64,
        /// The link's `max-message-size` in bytes.
        limit: u64,
    },
    /// The link is detached. The message was not sent.
    #[error("not sent, the link is detached: {0}")]
    Detached(DetachReason),
    /// The connection is gone. The message was not sent: no byte of it was handed to the socket.
    #[error("not sent, the connection is gone: {0}")]
    Lost(ConnectionError),
    /// The message was on its way when the connection or link ended. The peer may or may not have taken it.
    #[error("the outcome is unknown, the message was on its way: {0}")]
    OutcomeUnknown(DetachReason),
    /// The peer settled the message without saying what became of it.
    #[error("the peer settled the message without an outcome")]
    NoOutcome,
    /// The peer settled the message with a state that is no final outcome, such as one under a transaction
    /// ([`transaction_of`](crate::transaction::transaction_of) tells which): it takes effect when that is discharged.
    #[error("the peer settled the message with a state that is no final outcome")]
    OtherState(Box<DeliveryState>),
    /// The settlement asked for contradicts the settle mode agreed on the link. It was not sent.
    #[error("not sent, the link's settle mode does not allow this settlement")]
    SettleMode,
    /// `try_send` only: the message cannot be sent at this moment. It was not sent.
    #[error("not sent, {0}")]
    WouldBlock(Blocked),
}

/// Which bound keeps a message from being sent right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocked {
    /// The peer has granted no link credit (`AMQP 1.0 §2.6.7`).
    Credit,
    /// The session window is used up (`AMQP 1.0 §2.5.6`).
    Window,
    /// The session holds as many unsettled messages as it may, or this link its share of them: half of what the session's
    /// other links leave ([`Limits::unsettled`](crate::engine::Limits)).
    Unsettled,
    /// This connection's output buffer is full.
    Output,
    /// An earlier message on the link is still being cut into frames, or others are waiting their turn.
    Queue,
    /// This side ends the link, for a reason that is told once the peer has answered.
    Ending,
}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Credit => "the peer has granted no credit",
            Self::Window => "the session window is used up",
            Self::Unsettled => "too many messages are unsettled",
            Self::Output => "the output buffer is full",
            Self::Queue => "earlier messages of the link go first",
            Self::Ending => "the link is being detached by this side",
        })
    }
}

impl SendError {
    /// Whether the message certainly was not taken by the peer, so that sending it again cannot double it.
    #[must_use]
    pub fn is_not_sent(&self) -> bool {
        !matches!(self, Self::OutcomeUnknown(_) | Self::NoOutcome | Self::OtherState(_))
    }

    /// Whether sending again, perhaps over a new link or connection, may help without a change. After
    /// [`OutcomeUnknown`](Self::OutcomeUnknown) that may deliver the message twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::SettleMode | Self::OtherState(_) => false,
            Self::Detached(reason) | Self::OutcomeUnknown(reason) => reason.is_retryable(),
            Self::Lost(error) => error.is_retryable(),
            Self::NoOutcome | Self::WouldBlock(_) => true,
        }
    }

    /// The peer's own error, if it gave one.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::Detached(reason) | Self::OutcomeUnknown(reason) => reason.remote(),
            Self::Lost(error) => remote_of(error),
            _ => None,
        }
    }

    /// The wire condition, where there is one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        self.remote().map(|error| &error.condition)
    }
}

/// Why no further message can be received.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The link is detached, and everything received before has been taken.
    #[error("the link is detached: {0}")]
    Detached(DetachReason),
    /// Credit was granted while it was being taken back ([`Receiver::drain`](crate::Receiver::drain),
    /// [`Receiver::stop`](crate::Receiver::stop)): it is not.
    #[error("credit was granted anew before the peer had given back what it held")]
    Regranted,
    /// [`Transaction::acquire`](crate::client::Transaction::acquire) only: the session holds too many unsettled deliveries
    /// for so much credit. None was granted; settle some first, or ask for less.
    #[error("no credit was granted, too many deliveries of the session are unsettled")]
    NoRoom,
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] ConnectionError),
}

impl RecvError {
    /// The peer's own error, if it gave one.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::Detached(reason) => reason.remote(),
            Self::Regranted | Self::NoRoom => None,
            Self::Lost(error) => remote_of(error),
        }
    }

    /// Whether attaching again, perhaps over a new connection, may help without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Detached(reason) => reason.is_retryable(),
            Self::Regranted | Self::NoRoom => true,
            Self::Lost(error) => error.is_retryable(),
        }
    }
}

/// Why a received message could not be settled. The peer may deliver it again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The link was detached before.
    #[error("not settled, the link is detached: {0}")]
    Detached(DetachReason),
    /// The connection is gone.
    #[error("not settled, the connection is gone: {0}")]
    Lost(ConnectionError),
    /// In mode second, and for a delivery of a link that was resumed: the sender settled the message before, or settled it
    /// otherwise than it was told. The state is the sender's, where it gave one; without, nobody knows: perhaps it took this
    /// very outcome, and was lost before it could say so.
    #[error("the sender settled the message{}", .0.as_ref().map_or_else(|| ", how is not known".to_owned(), |state| format!(" in its own way: {state:?}")))]
    Overruled(Option<DeliveryState>),
}
