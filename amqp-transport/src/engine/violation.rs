//! How the engine's errors look: what the peer broke, at which scope, and the one mapping to the wire.
//!
//! Three scopes: a link's fault detaches the link, a session's ends the session, a connection's closes it.

use std::borrow::Cow;
use std::fmt;

use amqp_codec::{DecodeError, Error, ErrorCondition, Str};

use crate::error::ConnectionError;

/// How far a fault reaches.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// The link is detached.
    Link,
    /// The session is ended.
    Session,
    /// The connection is closed.
    Connection,
}

/// A rule that the peer broke.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    scope: Scope,
    condition: ErrorCondition,
    detail: Cow<'static, str>,
}

impl Violation {
    pub(crate) fn connection(condition: ErrorCondition, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { scope: Scope::Connection, condition, detail: detail.into() }
    }

    pub(crate) fn session(condition: ErrorCondition, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { scope: Scope::Session, condition, detail: detail.into() }
    }

    pub(crate) fn link(condition: ErrorCondition, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { scope: Scope::Link, condition, detail: detail.into() }
    }

    pub(crate) fn framing(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::connection(ErrorCondition::FRAMING_ERROR, detail)
    }

    pub(crate) fn decode(error: DecodeError) -> Self {
        Self::connection(error.condition(), error.to_string())
    }

    /// How far the fault reaches.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The condition sent to the peer.
    #[must_use]
    pub fn condition(&self) -> ErrorCondition {
        self.condition.clone()
    }

    /// What the peer did, in words.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The error as it goes on the wire.
    pub(crate) fn to_wire(&self) -> Error {
        wire_error(&ConnectionError::Violation(self.clone()))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.condition)
    }
}

impl std::error::Error for Violation {}

/// The one mapping of an engine error to what the peer is told.
pub(crate) fn wire_error(error: &ConnectionError) -> Error {
    let (condition, description) = match error {
        ConnectionError::Violation(violation) => (violation.condition(), violation.detail.clone()),
        // C-025: the condition seen in practice for a peer that fell silent.
        ConnectionError::IdleTimeout => {
            (ErrorCondition::RESOURCE_LIMIT_EXCEEDED, Cow::Borrowed("local-idle-timeout expired"))
        }
        ConnectionError::Timeout { what } => {
            (ErrorCondition::RESOURCE_LIMIT_EXCEEDED, Cow::Owned(format!("{what} took too long")))
        }
        ConnectionError::Sasl(_) => {
            (ErrorCondition::UNAUTHORIZED_ACCESS, Cow::Borrowed("authentication failed"))
        }
        _ => (ErrorCondition::INTERNAL_ERROR, Cow::Owned(error.to_string())),
    };
    Error { condition, description: Some(Str::from(description.into_owned())), info: None }
}

/// Why a command was turned away. The caller's fault, or the connection's end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The id names no session or link of this connection any more.
    #[error("the session or link is over")]
    Stale,
    /// The connection's open exchange is not finished.
    #[error("the connection is not open yet")]
    NotOpen,
    /// A link of this name and role exists; one that is being detached counts until the peer has answered (S-036).
    #[error("a link of this name and role exists")]
    NameInUse,
    /// The command does not fit the endpoint's state, for the reason given.
    #[error("not possible now: {0}")]
    State(&'static str),
    /// The link's role does not allow the command.
    #[error("not possible in this role")]
    Role,
    /// All channels both sides allow are in use (C-009).
    #[error("no channel is free, the limit is {limit} sessions")]
    NoChannel {
        /// How many sessions may exist.
        limit: u32,
    },
    /// All handles both sides allow, or all links of the connection, are in use.
    #[error("no handle is free, the limit is {limit} links")]
    NoHandle {
        /// How many links may exist.
        limit: u32,
    },
    /// The performative would not fit the peer's frame size.
    #[error("the frame of {size} octets exceeds the peer's limit of {limit}")]
    FrameTooLarge {
        /// Its size.
        size: usize,
        /// The peer's limit.
        limit: u32,
    },
    /// The connection is over.
    #[error(transparent)]
    Closed(#[from] ConnectionError),
}

/// Why a message was not taken. Nothing was sent, no credit was used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// The receiver has granted no more credit; wait for `Writable`.
    #[error("no link credit")]
    NoCredit,
    /// The session's window is used up; wait for `Writable`.
    #[error("the session window is closed")]
    WindowClosed,
    /// Too much output waits for the socket; wait for `Writable`.
    #[error("the output buffer is full")]
    OutputFull,
    /// A large message of this link is still leaving; wait for `Writable`.
    #[error("a large message is still leaving")]
    Busy,
    /// Too many deliveries are unsettled; wait for `Writable`.
    #[error("too many deliveries are unsettled")]
    TooManyUnsettled,
    /// The message exceeds what the receiver takes (L-039). Sending it again is useless.
    #[error("the message of {size} octets exceeds the receiver's limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The receiver's limit.
        limit: u64,
    },
    /// The settlement asked for contradicts the link's settle mode (D-007, D-008).
    #[error("the link's settle mode does not allow this settlement")]
    SettleMode,
    /// The link is not attached, or not a sender.
    #[error("the link cannot send: {0}")]
    Link(EngineError),
}
