//! What can go wrong with an operation on a connection, session, link or message, as the application sees it.
//!
//! Owns one error type per operation. Each says its scope and whose fault it was, and keeps the peer's own words
//! whole; none invents a verdict the peer did not give.

use std::io;
use std::sync::Arc;

use amqp_codec::{DeliveryState, ErrorCondition};

use super::stream::Spoken;
use crate::error::{ConnectionError, Redirect, RemoteError};

/// Why TLS could not be set up or broke down.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate was issued by an authority that is not trusted here.
    #[error("the peer's certificate was issued by an authority that is not trusted")]
    UnknownAuthority,
    /// The peer's certificate is for another name.
    #[error("the peer's certificate is not valid for the name {expected}")]
    NameMismatch {
        /// The name that was asked for.
        expected: String,
    },
    /// The peer's certificate has expired or is not valid yet.
    #[error("the peer's certificate is outside its period of validity")]
    OutsideValidity,
    /// Another fault of the peer's certificate.
    #[error("the peer's certificate was not accepted: {0}")]
    Certificate(String),
    /// The peer does not speak TLS at all.
    #[error("the peer does not speak TLS, it sent {0}")]
    NotTls(Spoken),
    /// The peer sent a TLS alert.
    #[error("the peer refused the TLS session: {0}")]
    Alert(String),
    /// The name is neither a host name nor an address.
    #[error("{0} is not a name that a certificate can carry")]
    InvalidServerName(String),
    /// The stream ended without the peer's `close_notify`.
    #[error("the TLS stream was cut off without a close_notify")]
    Truncated,
    /// Settings given by this side cannot be used, such as certificates that do not parse.
    #[error("the TLS settings cannot be used: {0}")]
    Settings(String),
    /// Any other failure.
    #[error("the TLS session failed: {0}")]
    Other(String),
}

/// Why a WebSocket could not be set up (OASIS amqp-wsb v1.0, RFC 6455).
#[cfg(feature = "websocket")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The server answered the upgrade with another status than 101.
    #[error("the server refuses a WebSocket here, it answered with HTTP status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The peer speaks no HTTP, and so no WebSocket: plain AMQP, say, or TLS.
    #[error("the peer does not speak HTTP, it sent {0}")]
    NotHttp(Spoken),
    /// The peer's side of the upgrade is not what RFC 6455 asks for.
    #[error("the peer's WebSocket handshake is wrong: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The peer does not speak AMQP on the WebSocket, or another draft of it (WS-001).
    #[error("the peer's subprotocol is {}, which is none of ours", .offered.as_deref().unwrap_or("left out"))]
    Subprotocol {
        /// What it offered or chose.
        offered: Option<String>,
    },
    /// A client asked for a path that is not served.
    #[error("the peer asked for a path that is not served here")]
    Path,
    /// A web page of an origin that is not served asked for it.
    #[error("the peer is a web page of an origin that is not served here")]
    Origin,
    /// The head of the peer's message is longer than this side reads.
    #[error("the head of the peer's answer is longer than {limit} octets")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// The stream failed or ended before the upgrade was through.
    #[error("the stream ended during the WebSocket handshake: {detail}")]
    Lost {
        /// What the system said.
        detail: String,
    },
    /// Settings given by this side cannot be used.
    #[error("the WebSocket settings cannot be used: {what}")]
    Settings {
        /// What is wrong with them.
        what: &'static str,
    },
}

/// Why a proxy could not be used. There is no way around it: nothing is connected to directly instead.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy's address cannot be read. The address itself may hold a password and is not repeated.
    #[error("the proxy's address cannot be used: {what}")]
    Address {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The proxy cannot be reached.
    #[error("cannot reach the proxy {address}")]
    Unreachable {
        /// What was tried, `host:port`.
        address: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The proxy wants credentials, or others than it got (HTTP status 407).
    #[error("the proxy {address} wants {}", if *.had_credentials { "other credentials" } else { "credentials" })]
    Unauthorized {
        /// The proxy, `host:port`.
        address: String,
        /// Whether it was given some.
        had_credentials: bool,
    },
    /// The proxy does not connect to where it was asked to.
    #[error("the proxy {address} refuses the connection with HTTP status {status}")]
    Refused {
        /// The proxy, `host:port`.
        address: String,
        /// The HTTP status.
        status: u16,
    },
    /// The proxy answered something that is not HTTP, or too much of it.
    #[error("the proxy {address} does not answer as an HTTP proxy: {what}")]
    Malformed {
        /// The proxy, `host:port`.
        address: String,
        /// What is wrong with its answer.
        what: &'static str,
    },
    /// The stream to the proxy failed or ended before it had answered.
    #[error("the proxy {address} ended the connection before it answered: {detail}")]
    Lost {
        /// The proxy, `host:port`.
        address: String,
        /// What the system said.
        detail: String,
    },
    /// A proxy was configured for a stream that is connected already.
    #[error("a proxy cannot be used over a stream that is connected already")]
    StreamGiven,
}

impl ProxyError {
    /// Whether trying again may help without a change of settings.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// Why a connection could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name could not be resolved or nothing accepted the TCP connection.
    #[error("cannot reach {address}")]
    Unreachable {
        /// What was tried, `host:port`.
        address: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] TlsError),
    /// The proxy could not be used.
    #[error("cannot connect through the proxy: {0}")]
    Proxy(#[source] ProxyError),
    /// The WebSocket could not be set up.
    #[cfg(feature = "websocket")]
    #[error("cannot set up the WebSocket: {0}")]
    WebSocket(#[source] WebSocketError),
    /// Not finished within `connect_timeout`.
    #[error("{stage} took longer than the connect timeout")]
    Timeout {
        /// How far it had come.
        stage: ConnectStage,
        /// The heads of the last frames, a line each, where
        /// [`ConnectOptions::last_frames`](crate::client::ConnectOptions::last_frames) keeps them.
        last_frames: Option<Box<str>>,
    },
    /// The peer does not speak AMQP 1.0 on this port, or wants TLS where none was configured.
    #[error("the peer does not speak plain AMQP 1.0 here, it sent {0}")]
    NotAmqp(Spoken),
    /// The peer answered, and the connection ended before it was open.
    #[error("{reason}")]
    Lost {
        /// Why it ended.
        reason: ConnectionError,
        /// The heads of the last frames, a line each, where
        /// [`ConnectOptions::last_frames`](crate::client::ConnectOptions::last_frames) keeps them.
        last_frames: Option<Box<str>>,
    },
}

impl From<ConnectionError> for ConnectError {
    // F-010: a client that is answered another header says what came instead.
    fn from(reason: ConnectionError) -> Self {
        match &reason {
            ConnectionError::HeaderMismatch { offered } => match Spoken::recognise(offered) {
                Spoken::Amqp { .. } => Self::Lost { reason, last_frames: None },
                other => Self::NotAmqp(other),
            },
            _ => Self::Lost { reason, last_frames: None },
        }
    }
}

/// How far connecting had come when it ran out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectStage {
    /// Resolving the name and connecting the socket.
    Tcp,
    /// Waiting for the proxy's answer.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The WebSocket's upgrade.
    WebSocket,
    /// Protocol headers, SASL and the exchange of `open`.
    Amqp,
}

impl std::fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "connecting the socket",
            Self::Proxy => "connecting through the proxy",
            Self::Tls => "the TLS handshake",
            Self::WebSocket => "the WebSocket handshake",
            Self::Amqp => "opening the AMQP connection",
        })
    }
}

impl ConnectError {
    /// Whether trying again may help without a change of settings or credentials.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Tls(error) => matches!(error, TlsError::Truncated | TlsError::Other(_)),
            Self::NotAmqp(_) => false,
            Self::Proxy(error) => error.is_retryable(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(error) => match error {
                WebSocketError::Lost { .. } => true,
                WebSocketError::Refused { status } => *status >= 500,
                _ => false,
            },
            Self::Lost { reason, .. } => reason.is_retryable(),
        }
    }

    /// Whether the peer refused who we are.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        matches!(self, Self::Lost { reason, .. } if reason.is_auth())
    }

    /// The wire condition, where there is one.
    #[must_use]
    pub fn condition(&self) -> Option<ErrorCondition> {
        match self {
            Self::Lost { reason, .. } => reason.condition(),
            _ => None,
        }
    }

    /// The peer's own error, if it gave one.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::Lost { reason, .. } => remote_of(reason),
            _ => None,
        }
    }

    /// The heads of the last frames of both directions, a line each, of a connection that was made with
    /// [`LastFrames::Heads`](crate::LastFrames) and was never open. They hold neither messages nor credentials.
    #[must_use]
    pub fn last_frames(&self) -> Option<&str> {
        match self {
            Self::Timeout { last_frames, .. } | Self::Lost { last_frames, .. } => last_frames.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn with_frames(mut self, frames: Option<String>) -> Self {
        if let Self::Timeout { last_frames, .. } | Self::Lost { last_frames, .. } = &mut self {
            *last_frames = frames.map(String::into_boxed_str);
        }
        self
    }
}

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
    /// (`AMQP 1.0 §2.7.3`).
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
            Self::Regranted => None,
            Self::Lost(error) => remote_of(error),
        }
    }

    /// Whether attaching again, perhaps over a new connection, may help without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Detached(reason) => reason.is_retryable(),
            Self::Regranted => true,
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

/// The peer's own error within a connection's end.
fn remote_of(error: &ConnectionError) -> Option<&RemoteError> {
    match error {
        ConnectionError::Remote(error) => Some(error),
        _ => None,
    }
}

/// Whether the peer's condition means "not now" rather than "never".
fn is_retryable_remote(error: &RemoteError) -> bool {
    RETRYABLE_CONDITIONS.contains(&error.condition.as_str())
}

const RETRYABLE_CONDITIONS: &[&str] = &[
    "amqp:connection:forced",
    "amqp:link:detach-forced",
    "amqp:internal-error",
    "amqp:resource-limit-exceeded",
    "com.microsoft:server-busy",
    "com.microsoft:timeout",
    "com.microsoft:operation-cancelled",
];
