//! From an accepted stream to an open connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use amqp_codec::SaslCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::authenticator::{SaslDecision, SaslIdentity};
use super::connection::ServerConnection;
use super::options::ListenerOptions;
use crate::driver::shared::{ListenerState, Role, SaslQuestion, Shared, State};
use crate::driver::{self, clock};
use crate::engine::{self, Side};
use crate::error::ConnectionError;
use crate::handle::connection::{Connection, wait_for};
use crate::handle::error::TlsError;
use crate::handle::stream::Spoken;
use crate::sasl::SaslRequest;

/// Why a peer did not become a connection.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The port speaks TLS and the peer does not.
    #[error("the peer does not speak TLS on the TLS port, it sent {spoken}")]
    NotTls {
        /// What the peer's first bytes look like.
        spoken: Spoken,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] TlsError),
    /// The peer does not speak AMQP 1.0.
    #[error("the peer does not speak AMQP 1.0, it sent {spoken}")]
    NotAmqp {
        /// What the peer's first bytes look like.
        spoken: Spoken,
    },
    /// The peer's credentials were not accepted.
    #[error("the peer was refused, its mechanism was {mechanism}")]
    Refused {
        /// The mechanism it used.
        mechanism: String,
    },
    /// The peer took too long.
    #[error("the peer did not finish its handshake within {limit:?}")]
    Timeout {
        /// The time it had.
        limit: Duration,
    },
    /// The connection ended before it was open.
    #[error(transparent)]
    Lost(ConnectionError),
}

impl From<TlsError> for HandshakeError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::NotTls(spoken) => Self::NotTls { spoken },
            other => Self::Tls(other),
        }
    }
}

impl From<ConnectionError> for HandshakeError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::HeaderMismatch { offered } => {
                Self::NotAmqp { spoken: Spoken::recognise(&offered) }
            }
            other => Self::Lost(other),
        }
    }
}

/// Runs a listener's whole handshake over a stream.
pub(crate) async fn handshake<IO>(
    io: IO,
    peer: Option<SocketAddr>,
    options: &ListenerOptions,
) -> Result<ServerConnection, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limit = options.handshake_timeout;
    timeout(limit, secure(io, peer, options)).await.map_err(|_| HandshakeError::Timeout { limit })?
}

#[cfg(feature = "tls")]
async fn secure<IO>(
    io: IO,
    peer: Option<SocketAddr>,
    options: &ListenerOptions,
) -> Result<ServerConnection, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match &options.tls {
        Some(config) => open(driver::tls::accept(io, Arc::clone(config)).await?, peer, options).await,
        None => open(io, peer, options).await,
    }
}

#[cfg(not(feature = "tls"))]
async fn secure<IO>(
    io: IO,
    peer: Option<SocketAddr>,
    options: &ListenerOptions,
) -> Result<ServerConnection, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    open(io, peer, options).await
}

async fn open<IO>(
    io: IO,
    peer: Option<SocketAddr>,
    options: &ListenerOptions,
) -> Result<ServerConnection, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let engine = engine::Connection::new(Side::Listener, options.config(), clock::now());
    let listener =
        ListenerState { session_config: options.session.config.clone(), ..ListenerState::default() };
    let shared = Shared::new(State::new(engine, Role::Listener(Box::new(listener))));
    driver::spawn(io, Arc::clone(&shared));
    // From here on dropping this future closes the connection.
    let connection = Connection::new(shared);
    let mut identity = SaslIdentity::default();
    loop {
        match next_step(&connection).await? {
            Step::Opened => return Ok(ServerConnection::new(connection, identity, peer)),
            Step::Sasl(question) => {
                let mechanism = question.mechanism.to_string();
                let Some(accepted) = decide(&connection, question, options).await? else {
                    return Err(HandshakeError::Refused { mechanism });
                };
                identity = accepted;
            }
        }
    }
}

enum Step {
    Opened,
    Sasl(SaslQuestion),
}

async fn next_step(connection: &Connection) -> Result<Step, HandshakeError> {
    let step = wait_for(connection.shared(), |state| {
        if let Some(reason) = state.failure() {
            return Some(Err(reason));
        }
        if let Role::Listener(listener) = &mut state.role
            && let Some(question) = listener.sasl.take()
        {
            return Some(Ok(Step::Sasl(question)));
        }
        state.remote_open.is_some().then_some(Ok(Step::Opened))
    });
    Ok(step.await??)
}

/// Asks the authenticator, outside any lock, and tells the peer. `None` when the peer is not let in.
async fn decide(
    connection: &Connection,
    question: SaslQuestion,
    options: &ListenerOptions,
) -> Result<Option<SaslIdentity>, HandshakeError> {
    // a malformed response is a failed authentication, not a broken protocol.
    let decision = match SaslRequest::parse(&question.mechanism, question.initial_response.as_deref()) {
        Ok(request) => options.sasl.authenticator.authenticate(&request, question.hostname.as_deref()),
        Err(_) => SaslDecision::Refuse,
    };
    let (code, user) = match decision {
        SaslDecision::Accept { identity } => (SaslCode::Ok, identity),
        SaslDecision::Refuse => (SaslCode::Auth, None),
        SaslDecision::TemporaryFailure => (SaslCode::SysTemp, None),
    };
    let is_accepted = code == SaslCode::Ok;
    let greeting = options.sasl.greeting.clone().filter(|_| is_accepted);
    connection.shared().with(|state| {
        // No answer due: the peer went away, which the next step finds.
        let _ = state.engine.sasl_outcome(code, greeting);
        state.is_touched = true;
    })?;
    if is_accepted {
        let mechanism = Some(question.mechanism);
        return Ok(Some(SaslIdentity { mechanism, user, hostname: question.hostname }));
    }
    // The outcome must reach the peer before the stream ends.
    wait_for(connection.shared(), |state| state.is_socket_done.then_some(())).await?;
    Ok(None)
}
