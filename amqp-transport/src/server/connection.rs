//! An accepted connection and what its peer asks for.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use amqp_codec::{Error, Open};
use tokio::io::{AsyncRead, AsyncWrite};

use super::authenticator::SaslIdentity;
use super::handshake::{HandshakeError, handshake};
use super::incoming::{Incoming, IncomingAttach};
use super::incoming_session::IncomingSession;
use super::options::ListenerOptions;
use crate::driver::listening::{AttachRequest, Role, SessionRequest};
use crate::driver::wait::Place;
use crate::error::ConnectionError;
use crate::handle::connection::Connection;

/// A connection that a peer opened. Sessions the peer begins are accepted by the library, or handed to the application
/// where it decides about them, as links are by [`next`](Self::next).
#[derive(Clone, Debug)]
pub struct ServerConnection {
    connection: Connection,
    identity: Arc<SaslIdentity>,
    peer: Option<SocketAddr>,
}

impl ServerConnection {
    pub(crate) fn new(connection: Connection, identity: SaslIdentity, peer: Option<SocketAddr>) -> Self {
        Self { connection, identity: Arc::new(identity), peer }
    }

    /// Runs the listener's handshake over a stream that is there already, for instance an in-memory pipe.
    ///
    /// # Errors
    /// What the peer did instead.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, the stream is dropped.
    pub async fn over<IO>(io: IO, options: &ListenerOptions) -> Result<Self, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        handshake(io, None, options).await
    }

    /// Who the peer is, as its SASL exchange showed.
    #[must_use]
    pub fn identity(&self) -> &SaslIdentity {
        &self.identity
    }

    /// The peer's address; `None` when the stream was no socket of a listener.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The peer's `open`.
    #[must_use]
    pub fn remote_open(&self) -> Arc<Open> {
        self.connection.remote_open()
    }

    /// The connection itself.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Waits for the next thing the peer asks for. Links come after their session has been answered.
    ///
    /// # Errors
    /// Why the connection is over; [`ConnectionError::ClosedByPeer`] is its good end.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost when the future is dropped.
    pub async fn next(&self) -> Result<Incoming, ConnectionError> {
        let mut attempt = Attempt { connection: &self.connection, place: None };
        let connection = self.connection.clone();
        Ok(match poll_fn(|cx| attempt.poll(cx)).await? {
            Request::Attach(request) => Incoming::Attach(IncomingAttach::new(connection, request)?),
            Request::Session(request) => Incoming::Session(IncomingSession::new(connection, request)),
        })
    }

    /// Closes the connection, with an error where there is one, and waits for the peer's answer. Idempotent.
    ///
    /// # Errors
    /// What ended the connection instead.
    ///
    /// # Cancel safety
    /// Safe: once polled, closing goes on in the connection's task.
    pub async fn close(&self, error: Option<Error>) -> Result<(), ConnectionError> {
        match error {
            Some(error) => self.connection.close_with_error(error).await,
            None => self.connection.close().await,
        }
    }
}

/// What the peer asks for.
enum Request {
    Attach(AttachRequest),
    Session(SessionRequest),
}

/// One wait for a request. Dropping it passes a wake-up it did not use to the next.
struct Attempt<'a> {
    connection: &'a Connection,
    place: Option<Place>,
}

impl Attempt<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Request, ConnectionError>> {
        let place = &mut self.place;
        let polled = self.connection.shared().with(|state| {
            let Role::Listener(listener) = &mut state.role else {
                return Poll::Ready(Err(ConnectionError::Closed));
            };
            if let Some(request) = listener.sessions.pop_front() {
                return Poll::Ready(Ok(Request::Session(request)));
            }
            if let Some(request) = listener.incoming.pop() {
                return Poll::Ready(Ok(Request::Attach(request)));
            }
            if let Some(reason) = &state.failure {
                return Poll::Ready(Err(reason.clone()));
            }
            listener.takers.wait(place, cx.waker(), &mut state.wakes);
            Poll::Pending
        });
        polled.unwrap_or_else(|error| Poll::Ready(Err(error)))
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let place = &mut self.place;
        if place.is_some() {
            // Poisoned: nobody waits any more.
            let _ = self.connection.shared().with(|state| {
                if let Role::Listener(listener) = &mut state.role {
                    listener.takers.leave(place, &mut state.wakes);
                    listener.takers.notify(listener.waiting(), &mut state.wakes);
                }
            });
        }
    }
}
