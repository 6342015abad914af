//! Why a connection could not be opened: the socket, the proxy, TLS, the WebSocket, and AMQP itself.

use std::io;
use std::sync::Arc;

use amqp_codec::ErrorCondition;

use super::remote_of;
use crate::error::{ConnectionError, RemoteError};
use crate::handle::stream::Spoken;

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
            Self::Refused { status, .. } => is_passing(*status),
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
            // Who hangs up without a word may be about to start, or to stop.
            Self::Tls(error) => {
                matches!(error, TlsError::Truncated | TlsError::Other(_) | TlsError::NotTls(Spoken::Nothing))
            }
            Self::NotAmqp(_) => false,
            Self::Proxy(error) => error.is_retryable(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(error) => match error {
                WebSocketError::Lost { .. } => true,
                WebSocketError::Refused { status } => is_passing(*status),
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

/// Whether an HTTP status tells of something that passes: trouble of the server, or too many or too slow requests.
fn is_passing(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 429)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_hangs_up_or_is_busy_is_worth_another_attempt_and_one_that_speaks_something_else_is_not() {
        let tls = ConnectError::Tls;
        let proxy = |status| ConnectError::Proxy(ProxyError::Refused { address: "p:1".to_owned(), status });
        for (error, is_retryable) in [
            (tls(TlsError::NotTls(Spoken::Nothing)), true),
            (tls(TlsError::Other("reset".to_owned())), true),
            (tls(TlsError::NotTls(Spoken::Http)), false),
            (tls(TlsError::UnknownAuthority), false),
            (proxy(408), true),
            (proxy(403), false),
        ] {
            assert_eq!(error.is_retryable(), is_retryable, "{error}");
        }
        #[cfg(feature = "websocket")]
        for (status, is_retryable) in [(429, true), (503, true), (404, false)] {
            let refused = ConnectError::WebSocket(WebSocketError::Refused { status });
            assert_eq!(refused.is_retryable(), is_retryable, "{status}");
        }
    }
}
