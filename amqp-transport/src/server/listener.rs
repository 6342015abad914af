//! Accepting sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use super::connection::ServerConnection;
use super::handshake::{HandshakeError, handshake};
use super::options::ListenerOptions;

/// A TCP port on which peers connect.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    options: Arc<ListenerOptions>,
}

impl Listener {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, the address is free again.
    pub async fn bind(address: impl ToSocketAddrs, options: ListenerOptions) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, options: Arc::new(options) })
    }

    /// The address listened on, with the port in use.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits for the next socket. Nothing is read from it yet: run [`IncomingConnection::handshake`] in a task of its
    /// own, so that a slow peer holds up nobody.
    ///
    /// # Errors
    /// What the system says; running out of file descriptors passes, so a server goes on accepting after a pause.
    ///
    /// # Cancel safety
    /// Safe: no socket is lost.
    pub async fn accept(&self) -> io::Result<IncomingConnection> {
        let (socket, peer) = self.socket.accept().await?;
        // A socket that is dead already shows as such in its handshake.
        let _ = socket.set_nodelay(true);
        Ok(IncomingConnection { socket, peer, options: Arc::clone(&self.options) })
    }
}

/// A socket that was accepted and has said nothing yet.
#[derive(Debug)]
pub struct IncomingConnection {
    socket: TcpStream,
    peer: SocketAddr,
    options: Arc<ListenerOptions>,
}

impl IncomingConnection {
    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Runs TLS, protocol headers, SASL and `open`, within [`ListenerOptions::handshake_timeout`].
    ///
    /// # Errors
    /// What the peer did instead, so that it can be logged.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, the socket is closed.
    pub async fn handshake(self) -> Result<ServerConnection, HandshakeError> {
        handshake(self.socket, Some(self.peer), &self.options).await
    }
}
