//! From an address to an open connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::options::ConnectOptions;
use super::proxy::ProxyChoice;
#[cfg(feature = "websocket")]
use super::proxy::authority;
use crate::driver::listening::Role;
use crate::driver::shared::{Shared, State};
use crate::driver::stream::Stream;
use crate::driver::{self, clock};
use crate::engine::{self, Side};
use crate::error::ConnectionError;
use crate::handle::connection::{Connection, wait_for};
use crate::handle::error::{ConnectError, ConnectStage, ProxyError};
use crate::sasl::Channel;

impl Connection {
    /// Connects to a host and port: through a proxy, with TLS and over a WebSocket where the options have them; then SASL
    /// and `open`. All of it within
    /// [`ConnectOptions::connect_timeout`].
    ///
    /// # Errors
    /// See [`ConnectError`]: what could not be reached, what TLS found, who refused whom.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, the socket is closed.
    pub async fn connect(address: (&str, u16), options: ConnectOptions) -> Result<Self, ConnectError> {
        let (host, port) = address;
        let deadline = Deadline::after(options.connect_timeout);
        let peer = Peer {
            host: Some(host),
            #[cfg(feature = "websocket")]
            port: Some(port),
            deadline,
        };
        let Some(proxy) = options.proxy.proxy_for(host, port).map_err(ConnectError::Proxy)? else {
            let stream = deadline.run(ConnectStage::Tcp, socket(host, port)).await?;
            let stream = stream.map_err(|source| ConnectError::Unreachable {
                address: format!("{host}:{port}"),
                source: Arc::new(source),
            })?;
            // In a box of its own here and below, so that the caller's task does not keep room for it.
            return Box::pin(Self::start(stream, options, peer)).await;
        };
        let stream = deadline.run(ConnectStage::Proxy, socket(&proxy.host, proxy.port)).await?;
        let stream = stream.map_err(|source| {
            let source = Arc::new(source);
            ConnectError::Proxy(ProxyError::Unreachable { address: proxy.address(), source })
        })?;
        let asking = driver::proxy::connect(Box::new(stream), &proxy, host, port);
        let stream = deadline.run(ConnectStage::Proxy, asking).await?.map_err(ConnectError::Proxy)?;
        Box::pin(Self::start(stream, options, peer)).await
    }

    /// Opens a connection over a stream that is there already: an in-memory pipe, a tunnel, a socket set up by the
    /// caller. TLS and WebSocket run over it where the options have them; TLS then needs its server name.
    ///
    /// The caller answers for the stream: mechanisms that show a secret are used over it, as if it were private.
    ///
    /// # Errors
    /// See [`ConnectError`]; a proxy in the options cannot be used.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, the stream is dropped.
    pub async fn over<IO>(io: IO, options: ConnectOptions) -> Result<Self, ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        if !matches!(options.proxy, ProxyChoice::Direct) {
            return Err(ConnectError::Proxy(ProxyError::StreamGiven));
        }
        let deadline = Deadline::after(options.connect_timeout);
        let mut options = options;
        options.secrets_channel = Channel::Private;
        let peer = Peer {
            host: None,
            #[cfg(feature = "websocket")]
            port: None,
            deadline,
        };
        Box::pin(Self::start(io, options, peer)).await
    }

    #[cfg(feature = "tls")]
    async fn start<IO: Stream + 'static>(
        io: IO,
        mut options: ConnectOptions,
        peer: Peer<'_>,
    ) -> Result<Self, ConnectError> {
        let Some(tls) = options.tls.take() else { return Self::upgrade(io, options, peer, PLAIN_HTTP).await };
        options.secrets_channel = Channel::Private;
        // TLS first, without a header; SNI is the host that is meant; AMQP and its SASL are inside.
        let name = tls.server_name.as_deref().or(peer.host).or(options.hostname.as_deref());
        let handshake = driver::tls::connect(io, Arc::clone(&tls.config), name.unwrap_or_default());
        let stream = peer.deadline.run(ConnectStage::Tls, handshake).await?.map_err(ConnectError::Tls)?;
        Self::upgrade(stream, options, peer, HTTPS).await
    }

    #[cfg(not(feature = "tls"))]
    async fn start<IO: Stream + 'static>(
        io: IO,
        options: ConnectOptions,
        peer: Peer<'_>,
    ) -> Result<Self, ConnectError> {
        Self::upgrade(io, options, peer, PLAIN_HTTP).await
    }

    #[cfg(feature = "websocket")]
    async fn upgrade<IO: Stream + 'static>(
        io: IO,
        mut options: ConnectOptions,
        peer: Peer<'_>,
        default_port: u16,
    ) -> Result<Self, ConnectError> {
        let Some(websocket) = options.websocket.take() else { return Self::open(io, options, peer).await };
        let host = options.hostname.as_deref().or(peer.host).unwrap_or("localhost");
        let host = match peer.port {
            Some(port) if port != default_port => authority(host, port),
            _ if host.contains(':') => format!("[{host}]"),
            _ => host.to_owned(),
        };
        let asking = driver::websocket::connect(Box::new(io), &websocket, &host);
        let stream = peer.deadline.run(ConnectStage::WebSocket, asking).await?;
        Self::open(stream.map_err(ConnectError::WebSocket)?, options, peer).await
    }

    #[cfg(not(feature = "websocket"))]
    async fn upgrade<IO: Stream + 'static>(
        io: IO,
        options: ConnectOptions,
        peer: Peer<'_>,
        _default_port: u16,
    ) -> Result<Self, ConnectError> {
        Self::open(io, options, peer).await
    }

    async fn open<IO: Stream + 'static>(
        io: IO,
        options: ConnectOptions,
        peer: Peer<'_>,
    ) -> Result<Self, ConnectError> {
        let last_frames = options.last_frames;
        let config = options.config(peer.host).map_err(ConnectionError::Sasl)?;
        let mut engine = engine::Connection::new(Side::Client, config, clock::now());
        // A fresh engine takes the command; should it not, the wait below tells why.
        let _ = engine.open();
        let mut state = State::new(engine, Role::Client);
        state.last_frames = last_frames;
        let shared = Shared::new(state);
        driver::spawn(io, Arc::clone(&shared));
        // From here on dropping this future closes the connection.
        let connection = Self::new(shared);
        let opened = wait_for(connection.shared(), |state| match state.failure() {
            Some(reason) => Some(Err(reason)),
            None => state.remote_open.is_some().then_some(Ok(())),
        });
        let opened = async { Ok::<_, ConnectError>(peer.deadline.run(ConnectStage::Amqp, opened).await???) };
        match opened.await {
            Ok(()) => Ok(connection),
            Err(error) => Err(error.with_frames(connection.last_frames())),
        }
    }
}

async fn socket(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whom a connection is to reach, and until when.
#[derive(Clone, Copy)]
struct Peer<'a> {
    host: Option<&'a str>,
    #[cfg(feature = "websocket")]
    port: Option<u16>,
    deadline: Deadline,
}

/// One deadline over several stages.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn after(time_out: Duration) -> Self {
        Self(Instant::now() + time_out)
    }

    async fn run<T>(self, stage: ConnectStage, future: impl Future<Output = T>) -> Result<T, ConnectError> {
        tokio::time::timeout_at(self.0, future)
            .await
            .map_err(|_| ConnectError::Timeout { stage, last_frames: None })
    }
}

/// The ports that a `Host` field does not name.
const PLAIN_HTTP: u16 = 80;
#[cfg(feature = "tls")]
const HTTPS: u16 = 443;
