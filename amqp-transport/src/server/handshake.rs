//! From an accepted stream to an open connection.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use amqp_codec::SaslCode;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::authenticator::{SaslIdentity, SaslPeer};
use super::connection::ServerConnection;
use super::exchange::Exchange;
use super::options::ListenerOptions;
use crate::driver::listening::{ListenerState, Role, SaslQuestion};
use crate::driver::shared::{Shared, State};
use crate::driver::stream::Stream;
use crate::driver::{self, clock};
use crate::engine::{self, Side};
use crate::error::ConnectionError;
use crate::handle::connection::{Connection, wait_for};
use crate::handle::error::TlsError;
#[cfg(feature = "websocket")]
use crate::handle::error::WebSocketError;
use crate::handle::stream::Spoken;
use crate::sasl::ServerStep;

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
    /// The peer asked for a WebSocket, or should have, and did not get it.
    #[cfg(feature = "websocket")]
    #[error("cannot set up the WebSocket: {0}")]
    WebSocket(#[from] WebSocketError),
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
        /// The heads of the last frames, a line each, where
        /// [`ListenerOptions::last_frames`](super::ListenerOptions::last_frames) keeps them.
        last_frames: Option<Box<str>>,
    },
    /// The peer took too long.
    #[error("the peer did not finish its handshake within {limit:?}")]
    Timeout {
        /// The time it had.
        limit: Duration,
        /// The heads of the last frames, a line each, where
        /// [`ListenerOptions::last_frames`](super::ListenerOptions::last_frames) keeps them.
        last_frames: Option<Box<str>>,
    },
    /// The connection ended before it was open.
    #[error("{reason}")]
    Lost {
        /// Why it ended.
        reason: ConnectionError,
        /// The heads of the last frames, a line each, where
        /// [`ListenerOptions::last_frames`](super::ListenerOptions::last_frames) keeps them.
        last_frames: Option<Box<str>>,
    },
}

impl HandshakeError {
    /// The heads of the last frames of both directions, a line each, of a connection that was accepted with
    /// [`LastFrames::Heads`](crate::LastFrames) and was never open. They hold neither messages nor credentials.
    #[must_use]
    pub fn last_frames(&self) -> Option<&str> {
        match self {
            Self::Refused { last_frames, .. }
            | Self::Timeout { last_frames, .. }
            | Self::Lost { last_frames, .. } => last_frames.as_deref(),
            _ => None,
        }
    }

    fn with_frames(mut self, frames: Option<String>) -> Self {
        if let Self::Refused { last_frames, .. }
        | Self::Timeout { last_frames, .. }
        | Self::Lost { last_frames, .. } = &mut self
        {
            *last_frames = frames.map(String::into_boxed_str);
        }
        self
    }
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
            reason => Self::Lost { reason, last_frames: None },
        }
    }
}

/// Until when a handshake is to be done.
#[derive(Clone, Copy)]
struct Deadline {
    limit: Duration,
    at: Instant,
}

impl Deadline {
    async fn run<T>(self, future: impl Future<Output = T>) -> Result<T, HandshakeError> {
        let late = |_| HandshakeError::Timeout { limit: self.limit, last_frames: None };
        timeout_at(self.at, future).await.map_err(late)
    }
}

/// Runs a listener's whole handshake over a stream.
pub(crate) async fn handshake<IO: Stream + 'static>(
    io: IO,
    peer: Option<SocketAddr>,
    options: &ListenerOptions,
) -> Result<ServerConnection, HandshakeError> {
    let limit = options.handshake_timeout;
    // In a box of its own, so that the task that goes on to serve the connection does not keep room for it.
    let deadline = Deadline { limit, at: Instant::now() + limit };
    let secured = Box::pin(secure(io, peer, options, deadline));
    deadline.run(secured).await?
}

#[cfg(feature = "tls")]
async fn secure<IO: Stream + 'static>(
    io: IO,
    address: Option<SocketAddr>,
    options: &ListenerOptions,
    deadline: Deadline,
) -> Result<ServerConnection, HandshakeError> {
    let Some(config) = &options.tls else {
        return upgrade(io, SaslPeer { address, ..SaslPeer::default() }, options, deadline).await;
    };
    let stream = driver::tls::accept(io, Arc::clone(config)).await?;
    let certificates = driver::tls::peer_certificates(&stream);
    let peer = SaslPeer { address, is_encrypted: true, certificates, ..SaslPeer::default() };
    upgrade(stream, peer, options, deadline).await
}

#[cfg(not(feature = "tls"))]
async fn secure<IO: Stream + 'static>(
    io: IO,
    address: Option<SocketAddr>,
    options: &ListenerOptions,
    deadline: Deadline,
) -> Result<ServerConnection, HandshakeError> {
    upgrade(io, SaslPeer { address, ..SaslPeer::default() }, options, deadline).await
}

#[cfg(feature = "websocket")]
async fn upgrade<IO: Stream + 'static>(
    io: IO,
    peer: SaslPeer,
    options: &ListenerOptions,
    deadline: Deadline,
) -> Result<ServerConnection, HandshakeError> {
    let Some(websocket) = &options.websocket else { return open(io, peer, options, deadline).await };
    match driver::websocket::accept(Box::new(io), websocket).await? {
        driver::websocket::Accepted::WebSocket(stream) => open(*stream, peer, options, deadline).await,
        driver::websocket::Accepted::Plain(stream) => open(stream, peer, options, deadline).await,
    }
}

#[cfg(not(feature = "websocket"))]
async fn upgrade<IO: Stream + 'static>(
    io: IO,
    peer: SaslPeer,
    options: &ListenerOptions,
    deadline: Deadline,
) -> Result<ServerConnection, HandshakeError> {
    open(io, peer, options, deadline).await
}

async fn open<IO: Stream + 'static>(
    io: IO,
    peer: SaslPeer,
    options: &ListenerOptions,
    deadline: Deadline,
) -> Result<ServerConnection, HandshakeError> {
    let engine = engine::Connection::new(Side::Listener, options.config(), clock::now());
    let session_config = options.session.config.clone();
    let decides_sessions = options.decides_sessions;
    let listener = ListenerState { session_config, decides_sessions, ..ListenerState::default() };
    let mut state = State::new(engine, Role::Listener(Box::new(listener)));
    state.last_frames = options.last_frames;
    let shared = Shared::new(state);
    driver::spawn(io, Arc::clone(&shared));
    // From here on dropping this future closes the connection.
    let connection = Connection::new(shared);
    let identified = identify(&connection, &peer, options);
    match deadline.run(identified).await.and_then(|identified| identified) {
        Ok(identity) => Ok(ServerConnection::new(connection, identity, peer.address)),
        Err(error) => Err(error.with_frames(connection.last_frames())),
    }
}

/// Asks and judges the peer until its connection is open.
async fn identify(
    connection: &Connection,
    peer: &SaslPeer,
    options: &ListenerOptions,
) -> Result<SaslIdentity, HandshakeError> {
    let (mut identity, mut exchange) = (SaslIdentity::default(), None);
    loop {
        let step = match next_step(connection).await? {
            Step::Opened => {
                if let Some(termini) = &options.termini {
                    termini.join(connection, identity.user.as_deref())?;
                }
                return Ok(identity);
            }
            Step::Sasl(SaslQuestion::Init { mechanism, initial_response, hostname }) => {
                identity.hostname = hostname.clone();
                let peer = SaslPeer { hostname, ..peer.clone() };
                let octets = initial_response.as_ref().map(|response| &**response.expose());
                let start = Exchange::start(&options.sasl, peer, mechanism, octets);
                let (begun, step) = unless_lost(connection, start).await?;
                exchange = Some(begun);
                step
            }
            Step::Sasl(SaslQuestion::Response(response)) => match &mut exchange {
                Some(exchange) => unless_lost(connection, exchange.step(response.expose())).await?,
                None => ServerStep::Refuse,
            },
        };
        let mechanism = exchange.as_ref().map(|exchange| exchange.mechanism.clone()).unwrap_or_default();
        match answer(connection, step, options.sasl.greeting.as_ref()).await? {
            Answered::Asked => {}
            Answered::LetIn(user) => (identity.user, identity.mechanism) = (user, Some(mechanism)),
            Answered::Refused => {
                return Err(HandshakeError::Refused {
                    mechanism: mechanism.as_str().to_owned(),
                    last_frames: None,
                });
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

/// Waits for an answer that may have to be asked for, for as long as there is somebody to tell it.
async fn unless_lost<T>(
    connection: &Connection,
    answer: impl Future<Output = T>,
) -> Result<T, HandshakeError> {
    let (mut answer, mut lost) = (pin!(answer), pin!(connection.closed()));
    poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Ok(answer)),
        Poll::Pending => lost.as_mut().poll(cx).map(|reason| Err(reason.into())),
    })
    .await
}

enum Answered {
    Asked,
    LetIn(Option<String>),
    Refused,
}

/// Tells the peer what a step of its exchange came to.
async fn answer(
    connection: &Connection,
    step: ServerStep,
    greeting: Option<&Bytes>,
) -> Result<Answered, HandshakeError> {
    let (code, answered, additional_data) = match step {
        ServerStep::Challenge(challenge) => {
            connection.shared().with(|state| {
                // Too many rounds, or the peer went away: the next step finds the reason.
                let _ = state.engine.sasl_challenge(challenge);
                state.is_touched = true;
            })?;
            return Ok(Answered::Asked);
        }
        ServerStep::Accept { identity, additional_data } => {
            (SaslCode::Ok, Answered::LetIn(identity), additional_data.or_else(|| greeting.cloned()))
        }
        ServerStep::Refuse => (SaslCode::Auth, Answered::Refused, None),
        ServerStep::TemporaryFailure => (SaslCode::SysTemp, Answered::Refused, None),
    };
    connection.shared().with(|state| {
        // No answer due: the peer went away, which the next step finds.
        let _ = state.engine.sasl_outcome(code, additional_data);
        state.is_touched = true;
    })?;
    if matches!(answered, Answered::Refused) {
        // The outcome must reach the peer before the stream ends.
        wait_for(connection.shared(), |state| state.is_socket_done.then_some(())).await?;
    }
    Ok(answered)
}
