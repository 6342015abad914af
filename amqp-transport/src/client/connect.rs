//! From an address to an open connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::options::ConnectOptions;
use crate::driver::shared::{Role, Shared, State};
use crate::driver::{self, clock};
use crate::engine::{self, Side};
use crate::handle::connection::{Connection, wait_for};
use crate::handle::error::{ConnectError, ConnectStage};

impl Connection {
    /// Connects to a host and port: TCP, TLS where the options have it, SASL, `open`. All of it within
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
        let connected = deadline.run(ConnectStage::Tcp, TcpStream::connect((host, port))).await?;
        let stream = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|error| ConnectError::Unreachable {
            address: format!("{host}:{port}"),
            source: Arc::new(error),
        })?;
        Self::start(stream, options, Some(host), deadline).await
    }

    /// Opens a connection over a stream that is there already: an in-memory pipe, a tunnel, a socket set up by the
    /// caller. TLS runs over it where the options have it, and then needs its server name.
    ///
    /// # Errors
    /// See [`ConnectError`].
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, the stream is dropped.
    pub async fn over<IO>(io: IO, options: ConnectOptions) -> Result<Self, ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let deadline = Deadline::after(options.connect_timeout);
        Self::start(io, options, None, deadline).await
    }

    #[cfg(feature = "tls")]
    async fn start<IO>(
        io: IO,
        mut options: ConnectOptions,
        host: Option<&str>,
        deadline: Deadline,
    ) -> Result<Self, ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(tls) = options.tls.take() else { return Self::open(io, options, host, deadline).await };
        let name = tls.server_name.as_deref().or(host).or(options.hostname.as_deref()).unwrap_or_default();
        let handshake = driver::tls::connect(io, Arc::clone(&tls.config), name);
        let stream = deadline.run(ConnectStage::Tls, handshake).await?.map_err(ConnectError::Tls)?;
        Self::open(stream, options, host, deadline).await
    }

    #[cfg(not(feature = "tls"))]
    async fn start<IO>(
        io: IO,
        options: ConnectOptions,
        host: Option<&str>,
        deadline: Deadline,
    ) -> Result<Self, ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::open(io, options, host, deadline).await
    }

    async fn open<IO>(
        io: IO,
        options: ConnectOptions,
        host: Option<&str>,
        deadline: Deadline,
    ) -> Result<Self, ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut engine = engine::Connection::new(Side::Client, options.config(host), clock::now());
        // A fresh engine takes the command; should it not, the wait below tells why.
        let _ = engine.open();
        let shared = Shared::new(State::new(engine, Role::Client));
        driver::spawn(io, Arc::clone(&shared));
        // From here on dropping this future closes the connection.
        let connection = Self::new(shared);
        let opened = wait_for(connection.shared(), |state| match state.failure() {
            Some(reason) => Some(Err(reason)),
            None => state.remote_open.is_some().then_some(Ok(())),
        });
        deadline.run(ConnectStage::Amqp, opened).await???;
        Ok(connection)
    }
}

/// One deadline over several stages.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn after(time_out: Duration) -> Self {
        Self(Instant::now() + time_out)
    }

    async fn run<T>(self, stage: ConnectStage, future: impl Future<Output = T>) -> Result<T, ConnectError> {
        tokio::time::timeout_at(self.0, future).await.map_err(|_| ConnectError::Timeout { stage })
    }
}
