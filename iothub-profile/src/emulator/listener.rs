//! The port: accepting sockets, letting peers in, serving their connections until they end or the hub does.
//!
//! Owns the life of connections and the SASL decision. What a link may do is decided when it attaches.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use amqp_codec::{Error, ErrorCondition, Symbol};
use amqp_transport::{
    ConnectionError, SessionOptions,
    server::{
        Incoming, ListStyle, ListenerOptions, SaslDecision, SaslPeer, SaslPolicy, SaslRequest,
        ServerConnection, WebSocketAccept,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use uuid::Uuid;

use super::{
    auth::{Grant, check_plain},
    certificate::Certificate,
    hub::Hub,
    link,
    peer::{Peer, unauthorized},
    settings::MAX_CONNECTIONS,
};

/// How far the end of the emulator has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Connections are being closed in good order.
    Stopping,
    /// Sockets fail at once.
    Killed,
}

/// Accepts and serves until the phase changes, and then until every connection has ended.
pub(crate) async fn run(
    socket: TcpListener,
    hub: Arc<Hub>,
    certificate: Certificate,
    mut phase: watch::Receiver<Phase>,
) {
    let options = Arc::new(options(&hub, certificate));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((_, address)) if connections.len() >= MAX_CONNECTIONS => {
                    tracing::warn!(peer = %address, limit = MAX_CONNECTIONS, "connection refused: too many");
                }
                Ok((stream, address)) => {
                    let (hub, options, phase) = (Arc::clone(&hub), Arc::clone(&options), phase.clone());
                    connections.spawn(connection(stream, address, hub, options, phase));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, most likely: that passes.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = left(&mut phase, Phase::Running) => break,
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

/// Waits until the phase is another one than `known`.
async fn left(phase: &mut watch::Receiver<Phase>, known: Phase) {
    // The sender's end is the emulator's end, too.
    let _ = phase.wait_for(|phase| *phase > known).await;
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    hub: Arc<Hub>,
    options: Arc<ListenerOptions>,
    mut phase: watch::Receiver<Phase>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(peer = %address, %error, "cannot switch Nagle's algorithm off");
    }
    let stream = KillableStream::new(stream, phase.clone());
    let opened = tokio::select! {
        opened = ServerConnection::over(stream, &options) => opened,
        () = left(&mut phase, Phase::Running) => return,
    };
    match opened {
        Ok(connection) => serve(connection, address, hub, phase).await,
        Err(error) => tracing::warn!(peer = %address, %error, "connection refused"),
    }
}

async fn serve(
    connection: ServerConnection,
    address: SocketAddr,
    hub: Arc<Hub>,
    mut phase: watch::Receiver<Phase>,
) {
    let identity = connection.identity();
    let mechanism = identity.mechanism.as_ref().map_or("none", |mechanism| mechanism.as_str());
    let container = connection.remote_open().container_id.clone();
    tracing::info!(peer = %address, container = container.as_str(), sasl = mechanism, "connection opened");
    let peer = Arc::new(Peer::new(Arc::clone(&hub), address));
    let grant = identity
        .user
        .as_deref()
        .and_then(|text| hub.with_registry(|registry| Grant::from_text(text, registry)));
    let end_ms = grant.as_ref().and_then(|grant| grant.expires_ms);
    if let Some(grant) = grant {
        // The first grant of a connection always fits.
        let _ = peer.grant(grant);
    }
    let mut expired = pin!(expired(&hub, end_ms));
    let mut unknown = pin!(unknown(&peer, hub.settings.claim_timeout));
    let mut links = JoinSet::new();
    let reason = loop {
        tokio::select! {
            incoming = connection.next() => match incoming {
                Ok(Incoming::Attach(attach)) => link::attach(&peer, attach, &mut links),
                Ok(_) => {}
                Err(reason) => {
                    log_end(address, &reason);
                    return finish(links).await;
                }
            },
            Some(_) = links.join_next(), if !links.is_empty() => {}
            () = &mut expired => break unauthorized("the token this connection was opened with has expired"),
            () = &mut unknown => break unauthorized("no valid token was put on this connection in time"),
            () = left(&mut phase, Phase::Running) => {
                break Error::new(ErrorCondition::CONNECTION_FORCED).with_description("the hub is shutting down");
            }
        }
    };
    tracing::info!(peer = %address, %reason, "connection closed by the hub");
    // Whatever the peer does about it, the connection is over.
    let _ = tokio::time::timeout(CLOSE_PATIENCE, connection.close(Some(reason))).await;
    finish(links).await;
}

/// Lets the links of a connection that is over come to their ends: what came before is still taken in.
async fn finish(mut links: JoinSet<()>) {
    let ended = async { while links.join_next().await.is_some() {} };
    // Whatever is not done by then is cut off.
    let _ = tokio::time::timeout(FINISH_PATIENCE, ended).await;
}

/// Waits until a connection that has shown no token or key should have; one that has in time is waited for no more.
async fn unknown(peer: &Peer, patience: Duration) {
    if tokio::time::timeout(patience, peer.known()).await.is_ok() {
        std::future::pending().await
    }
}

/// Waits for the end of the token a connection was opened with. IoT Hub drops such a connection: it has no way to renew.
async fn expired(hub: &Hub, end_ms: Option<i64>) {
    let Some(end_ms) = end_ms else { return std::future::pending().await };
    loop {
        let now = hub.now();
        if now.wall_ms >= end_ms {
            return;
        }
        tokio::time::sleep_until((now.instant_of(end_ms) + Duration::from_millis(1)).into()).await;
    }
}

fn log_end(address: SocketAddr, reason: &ConnectionError) {
    match reason {
        ConnectionError::Closed | ConnectionError::ClosedByPeer => {
            tracing::info!(peer = %address, "connection closed");
        }
        other => tracing::warn!(peer = %address, reason = %other, "connection lost"),
    }
}

fn options(hub: &Arc<Hub>, certificate: Certificate) -> ListenerOptions {
    // Azure's values, as seen on the wire.
    ListenerOptions::new(format!("DeviceGateway_{}", Uuid::new_v4().simple()))
        .tls(certificate.server_config)
        .sasl(sasl_policy(hub))
        // Azure has WebSockets on port 443; here they share the port, and the first octets tell.
        .websocket(WebSocketAccept::new().paths(WEBSOCKET_PATHS))
        .max_frame_size(65_536)
        .channel_max(8191)
        // Half of it is announced: Azure's 240 s.
        .idle_time_out(Some(Duration::from_secs(480)))
        .session(SessionOptions::new().incoming_window(5000).outgoing_window(u32::MAX).handle_max(262_143))
        // Microsoft's Python library breaks on lists that leave their last fields out.
        .full_lists(ListStyle::Full)
        .handshake_timeout(hub.settings.handshake_timeout)
}

/// Where clients of hubs, of event hubs and of Microsoft's C library look for WebSockets.
const WEBSOCKET_PATHS: [&str; 3] =
    ["/$iothub/websocket", "/$servicebus/websocket", "/$servicebus/websocket/"];

fn sasl_policy(hub: &Arc<Hub>) -> SaslPolicy {
    let hub = Arc::clone(hub);
    let authenticate = move |request: &SaslRequest, _: &SaslPeer| decide(&hub, request);
    // The order is Azure's.
    let mechanisms = ["EXTERNAL", "MSSBCBS", "ANONYMOUS", "PLAIN"].map(Symbol::from_static);
    SaslPolicy::new(mechanisms, Arc::new(authenticate)).allow_no_sasl().greeting("Welcome!")
}

fn decide(hub: &Hub, request: &SaslRequest) -> SaslDecision {
    match request {
        // Nobody yet: a token on `$cbs` tells who it is.
        SaslRequest::Anonymous { .. } | SaslRequest::Mssbcbs => SaslDecision::Accept { identity: None },
        SaslRequest::Plain { authcid, password, .. } => {
            let now_ms = hub.now().wall_ms;
            let checked = hub.with_registry(|registry| {
                check_plain(registry, &hub.names, authcid, password.expose(), now_ms)
            });
            match checked {
                Ok(grant) => SaslDecision::accept(grant.to_text()),
                Err(error) => {
                    tracing::warn!(user = authcid.as_str(), %error, "SASL PLAIN refused");
                    SaslDecision::Refuse
                }
            }
        }
        // A client certificate would tell who it is; certificates of devices are not emulated.
        SaslRequest::External { .. } => {
            tracing::warn!("SASL EXTERNAL refused: client certificates are not emulated");
            SaslDecision::Refuse
        }
        other => {
            tracing::warn!(request = ?other, "SASL mechanism refused");
            SaslDecision::Refuse
        }
    }
}

/// A socket that fails at once when the emulator is killed.
struct KillableStream {
    stream: TcpStream,
    is_killed: Arc<AtomicBool>,
    killed: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl KillableStream {
    fn new(stream: TcpStream, mut phase: watch::Receiver<Phase>) -> Self {
        let is_killed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_killed);
        let killed = Box::pin(async move {
            left(&mut phase, Phase::Stopping).await;
            flag.store(true, Ordering::Relaxed);
        });
        Self { stream, is_killed, killed }
    }

    /// Looks for the kill when the socket has nothing to do, which also arranges to be woken by it.
    fn or_killed<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        if polled.is_pending() && !self.is_killed() {
            // Its end is told by the flag.
            let _ = self.killed.as_mut().poll(cx);
        }
        if self.is_killed() { Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into())) } else { polled }
    }

    /// Octets that have left are told as written: written again they would garble the TLS stream.
    fn or_written(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<std::io::Result<usize>>,
    ) -> Poll<std::io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(_))) { polled } else { self.or_killed(cx, polled) }
    }

    fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }
}

impl AsyncRead for KillableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.or_killed(cx, polled)
    }
}

impl AsyncWrite for KillableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.is_killed() {
            return self.or_killed(cx, Poll::Pending);
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.or_written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if self.is_killed() {
            return self.or_killed(cx, Poll::Pending);
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.or_written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Pause after a socket could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a peer may take to answer the hub's close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(4);

/// How long the hub may take to take in what came before the end of a connection: together with the close less than an
/// orderly stop has.
const FINISH_PATIENCE: Duration = Duration::from_secs(5);
