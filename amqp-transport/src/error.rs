//! Errors every layer of the transport shares: what the peer said, where it sent us, why a connection is over.
//!
//! All of them are `Clone`, because one connection's end reaches every session, link and send that hangs on it.

use std::fmt;
use std::io;

use amqp_codec::{ErrorCondition, Fields, SaslCode, Str};

use crate::engine::Violation;

/// The error a peer gave with a close, an end or a detach (AMQP 1.0 §2.8.14).
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteError {
    /// The symbolic condition, for instance `amqp:not-found`. Unknown symbols are kept.
    pub condition: ErrorCondition,
    /// Text for people, when the peer gave one.
    pub description: Option<Str>,
    /// Further facts, for instance where a redirect leads. Empty when the peer gave none.
    pub info: Box<Fields>,
}

impl RemoteError {
    /// Where this error sends us, when it is a redirect: `amqp:connection:redirect` or `amqp:link:redirect`
    /// with at least a host to go to.
    // C-039, L-044: the three (or four) facts a redirect carries.
    #[must_use]
    pub fn redirect(&self) -> Option<Redirect> {
        let is_redirect = self.condition == ErrorCondition::CONNECTION_REDIRECT
            || self.condition == ErrorCondition::LINK_REDIRECT;
        if !is_redirect {
            return None;
        }
        let text =
            |key: &str| self.info.get(key).and_then(|value| value.as_str()).map(|text| text.to_owned());
        let redirect = Redirect {
            hostname: text("hostname"),
            network_host: text("network-host"),
            port: self
                .info
                .get("port")
                .and_then(|value| value.as_u64())
                .and_then(|port| u16::try_from(port).ok()),
            address: text("address"),
        };
        (redirect.hostname.is_some() || redirect.network_host.is_some()).then_some(redirect)
    }
}

impl From<amqp_codec::Error> for RemoteError {
    fn from(error: amqp_codec::Error) -> Self {
        Self {
            condition: error.condition,
            description: error.description,
            info: Box::new(error.info.unwrap_or_default()),
        }
    }
}

impl From<RemoteError> for amqp_codec::Error {
    fn from(error: RemoteError) -> Self {
        Self {
            condition: error.condition,
            description: error.description,
            info: (!error.info.is_empty()).then_some(*error.info),
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.condition)?;
        match &self.description {
            Some(description) => write!(f, ": {description}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RemoteError {}

/// Where a peer asks us to go instead (AMQP 1.0 §2.8.16 and §2.8.18).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Redirect {
    /// The name for `open.hostname`, SNI and certificate checks.
    pub hostname: Option<String>,
    /// The name or address to connect to; often the same as `hostname`.
    pub network_host: Option<String>,
    /// The port to connect to; the scheme's own when absent.
    pub port: Option<u16>,
    /// The address to attach to there; link redirects only.
    pub address: Option<String>,
}

impl Redirect {
    /// To this name or address, on this port.
    #[must_use]
    pub fn new(network_host: impl Into<String>, port: u16) -> Self {
        Self { network_host: Some(network_host.into()), port: Some(port), ..Self::default() }
    }

    /// The same under this name for `open.hostname`, SNI and certificate checks.
    #[must_use]
    pub fn with_hostname(self, hostname: impl Into<String>) -> Self {
        Self { hostname: Some(hostname.into()), ..self }
    }

    /// The same with this address to attach to there.
    #[must_use]
    pub fn with_address(self, address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..self }
    }
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hostname.as_deref().or(self.network_host.as_deref()).unwrap_or("another host"))?;
        if let Some(port) = self.port {
            write!(f, ", port {port}")?;
        }
        self.address.as_deref().map_or(Ok(()), |address| write!(f, ", address {address}"))
    }
}

/// Why a connection is over. Every operation on it fails with a clone of the same value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Reading or writing the socket failed. Reconnecting may help.
    #[error("the socket failed: {detail}")]
    Io {
        /// The system's class of error.
        kind: io::ErrorKind,
        /// The system's text.
        detail: String,
    },
    /// TLS failed: an untrusted certificate, a wrong name, or a peer that speaks something else.
    #[error("tls failed: {detail}")]
    Tls {
        /// What the TLS library said.
        detail: String,
    },
    /// The peer closed the connection with an error.
    #[error("the peer closed the connection: {0}")]
    Remote(RemoteError),
    /// The peer closed the connection in good order, without an error.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// We closed the connection.
    #[error("the connection was closed locally")]
    Closed,
    /// The stream ended without a close (C-035). Reconnecting may help.
    #[error("the stream ended without a close")]
    EndOfStream,
    /// Authentication failed.
    #[error(transparent)]
    Sasl(#[from] SaslFailure),
    /// The peer answered another protocol header than ours (F-010), or none at all.
    #[error("the peer does not speak the protocol asked for, it answered {}", offered.escape_ascii())]
    HeaderMismatch {
        /// The eight octets it answered.
        offered: [u8; 8],
    },
    /// The peer was silent for longer than our idle time-out (C-025). Reconnecting may help.
    #[error("the peer was silent for longer than the idle time-out")]
    IdleTimeout,
    /// The peer did not finish its opening, or a single frame, in time.
    #[error("the peer did not finish {what} in time")]
    Timeout {
        /// What it did not finish.
        what: &'static str,
    },
    /// The peer broke the protocol; we closed the connection with the mapped condition.
    #[error("the peer broke the protocol: {0}")]
    Violation(Violation),
}

impl ConnectionError {
    /// Wraps a socket error so that it stays `Clone`.
    #[must_use]
    pub fn io(error: &io::Error) -> Self {
        let detail = match error.kind() {
            // What rustls says of it is advice for whoever calls rustls.
            io::ErrorKind::UnexpectedEof => "the peer ended the connection without a goodbye".to_owned(),
            _ => error.to_string(),
        };
        Self::Io { kind: error.kind(), detail }
    }

    /// Whether connecting anew, with the same settings, has a chance.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Io { .. }
            | Self::EndOfStream
            | Self::IdleTimeout
            | Self::ClosedByPeer
            | Self::Timeout { .. } => true,
            Self::Sasl(failure) => failure.is_retryable(),
            Self::Remote(error) => {
                error.condition == ErrorCondition::CONNECTION_FORCED
                    || error.condition == ErrorCondition::INTERNAL_ERROR
                    || error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED
            }
            Self::Tls { .. } | Self::Closed | Self::HeaderMismatch { .. } | Self::Violation(_) => false,
        }
    }

    /// Whether the credentials are at fault: retrying with the same ones is useless.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        match self {
            Self::Sasl(failure) => failure.is_auth(),
            Self::Remote(error) => error.condition == ErrorCondition::UNAUTHORIZED_ACCESS,
            _ => false,
        }
    }

    /// The wire condition that goes with this error, when there is one.
    #[must_use]
    pub fn condition(&self) -> Option<ErrorCondition> {
        match self {
            Self::Remote(error) => Some(error.condition.clone()),
            Self::Violation(violation) => Some(violation.condition()),
            Self::Sasl(failure) if failure.is_auth() => Some(ErrorCondition::UNAUTHORIZED_ACCESS),
            Self::IdleTimeout => Some(ErrorCondition::RESOURCE_LIMIT_EXCEEDED),
            _ => None,
        }
    }
}

/// How a SASL exchange failed (AMQP 1.0 §5.3).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslFailure {
    /// The server's outcome was not ok.
    #[error("authentication failed with sasl code {code:?}{}", objection(.detail.as_deref()))]
    Outcome {
        /// The outcome's code.
        code: SaslCode,
        /// What the server objected, where the mechanism has words for it.
        detail: Option<String>,
    },
    /// The peer goes without the SASL layer that is required here.
    #[error("the peer leaves out the SASL layer, which is required here")]
    LeftOut,
    /// The server offers an empty list of mechanisms, which is no list.
    #[error("the server offers no sasl mechanism at all")]
    NothingOffered,
    /// All that the server offers of what we may use would show a secret to onlookers.
    #[error(
        "{mechanism} shows its secret to whoever reads along: it is used over TLS or where that is allowed"
    )]
    NeedsTls {
        /// The mechanism that was passed over.
        mechanism: String,
    },
    /// The server does not offer the mechanism we are to use.
    #[error("the server does not offer {wanted}, it offers {offered}")]
    MechanismNotOffered {
        /// The mechanisms that may be used, in the order of preference.
        wanted: String,
        /// What the server offers, separated by blanks.
        offered: String,
    },
    /// The mechanism itself failed, for instance on a challenge it does not know.
    #[error("the sasl mechanism failed: {detail}")]
    Mechanism {
        /// What went wrong.
        detail: String,
    },
    /// The exchange took more rounds than allowed.
    #[error("the sasl exchange took more than {limit} rounds")]
    TooManyRounds {
        /// The bound.
        limit: u32,
    },
    /// The peer sent a SASL frame that does not fit its role or the moment.
    #[error("unexpected in the sasl exchange: {what}")]
    Unexpected {
        /// What came.
        what: &'static str,
    },
}

fn objection(detail: Option<&str>) -> String {
    detail.map(|detail| format!(", the server says {detail}")).unwrap_or_default()
}

impl SaslFailure {
    /// Whether trying again later has a chance: only a temporary system failure does.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Outcome { code: SaslCode::SysTemp, .. })
    }

    /// Whether the credentials were refused.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        matches!(self, Self::Outcome { code: SaslCode::Auth, .. })
    }
}
