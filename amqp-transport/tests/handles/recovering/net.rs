//! A network of in-memory pipes under a recovering connection: what each attempt meets is scripted, every stream can be
//! cut, and what was tried is written down with its time.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp_codec::{DeliveryState, Role};
use amqp_transport::client::SessionOptions;
use amqp_transport::recovery::{
    Attempt, Established, Hooks, Live, Parting, RecoveringConnection, RecoveryError, RecoveryOptions, Verdict,
};
use amqp_transport::server::{AcceptOptions, Incoming, ServerConnection, SuspendedReceiver};
use amqp_transport::{ConnectError, Connection, ConnectionError, Receiver, RemoteError, Sender};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::*;

/// Long enough for anything that ends at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// What an attempt meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meets {
    /// A broker.
    Broker,
    /// A broker behind a stream that is cut after so many octets of the client's.
    Cut(usize),
    /// A broker behind a stream that is cut after so many octets of the broker's.
    CutBack(usize),
    /// Nobody.
    Nobody,
    /// A broker that does not let this client in.
    Unauthorized,
    /// Silence.
    Silence,
}

/// The hooks, and the network that they connect to.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    script: Mutex<VecDeque<Meets>>,
    after: Mutex<Meets>,
    log: Mutex<Vec<String>>,
    start: Instant,
    connections: mpsc::Sender<Broker>,
    /// After how long a connection is to be replaced as planned.
    pub(crate) planned: Mutex<Option<Duration>>,
    /// Messages that brokers have taken.
    pub(crate) taken: Mutex<Vec<u32>>,
    /// The highest channel of brokers.
    channel_max: Mutex<u16>,
}

/// The broker's end of one connection.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) server: ServerConnection,
    relay: JoinHandle<()>,
    stalled: Arc<AtomicBool>,
}

impl Broker {
    /// Ends the stream between the two without a word.
    pub(crate) fn cut(&self) {
        self.relay.abort();
    }

    /// Lets nothing through any more that either end sends.
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    /// Accepts the next link, which sends to this broker.
    pub(crate) async fn takes(&self) -> Receiver {
        next_attach(&self.server).await.accept_receiver(AcceptOptions::new()).unwrap()
    }

    /// Accepts the next link, which receives from this broker.
    pub(crate) async fn gives(&self) -> Sender {
        next_attach(&self.server).await.accept_sender(AcceptOptions::new()).unwrap()
    }

    /// Serves links: takes and accepts what is sent, and gives away the senders of links that receive.
    pub(crate) fn serve(self, net: &Net) -> (JoinHandle<()>, mpsc::Receiver<Sender>) {
        let (senders, given) = mpsc::channel(16);
        let net = net.clone();
        let serving = tokio::spawn(async move {
            while let Ok(Incoming::Attach(attach)) = self.server.next().await {
                if attach.attach().role == Role::Receiver {
                    let sender = attach.accept_sender(AcceptOptions::new()).unwrap();
                    let _ = senders.send(sender).await;
                    continue;
                }
                let receiver = attach.accept_receiver(AcceptOptions::new()).unwrap();
                let net = net.clone();
                tokio::spawn(async move {
                    while let Ok(delivery) = receiver.recv().await {
                        net.inner.taken.lock().unwrap().push(number_of(&delivery.message().unwrap()));
                        let _ = delivery.accept();
                    }
                });
            }
        });
        (serving, given)
    }

    /// Serves one link that sends, which it resumes from `left` and leaves there.
    pub(crate) fn serve_resuming(self, net: &Net, left: Arc<tokio::sync::Mutex<Option<SuspendedReceiver>>>) {
        let net = net.clone();
        tokio::spawn(async move {
            while let Ok(Incoming::Attach(attach)) = self.server.next().await {
                // The link of before has been noticed to be lost once it lets go of this.
                let mut left = left.lock().await;
                let accept = AcceptOptions::new().keep_unsettled(0);
                let receiver = match left.take() {
                    Some(suspended) => attach.resume_receiver(accept, suspended).unwrap(),
                    None => attach.accept_receiver(accept).unwrap(),
                };
                let mut unheard = Vec::new();
                while let Ok(delivery) = receiver.recv().await {
                    net.inner.taken.lock().unwrap().push(number_of(&delivery.message().unwrap()));
                    let tag = *delivery.tag();
                    if delivery.accept().is_err() {
                        unheard.push(tag);
                    }
                }
                *left = receiver.suspended().await.ok();
                // What was taken when the connection was gone is told when the link is back.
                for tag in unheard {
                    let suspended = left.as_mut().unwrap();
                    assert!(suspended.settle(&tag, DeliveryState::Accepted));
                }
            }
        });
    }
}

impl Net {
    pub(crate) fn new(script: impl IntoIterator<Item = Meets>) -> (Self, mpsc::Receiver<Broker>) {
        must_end_within(PAUSED);
        let (connections, brokers) = mpsc::channel(64);
        let inner = Inner {
            script: Mutex::new(script.into_iter().collect()),
            after: Mutex::new(Meets::Broker),
            log: Mutex::default(),
            start: Instant::now(),
            connections,
            planned: Mutex::default(),
            taken: Mutex::default(),
            channel_max: Mutex::new(255),
        };
        (Self { inner: Arc::new(inner) }, brokers)
    }

    /// What is met once the script is over.
    pub(crate) fn then(self, after: Meets) -> Self {
        *self.inner.after.lock().unwrap() = after;
        self
    }

    /// Brokers that take one session of a connection.
    pub(crate) fn with_one_session(self) -> Self {
        *self.inner.channel_max.lock().unwrap() = 0;
        self
    }

    pub(crate) fn script(&self, script: impl IntoIterator<Item = Meets>) {
        self.inner.script.lock().unwrap().extend(script);
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.inner.log.lock().unwrap().push(what.into());
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.inner.log.lock().unwrap().clone()
    }

    pub(crate) fn taken(&self) -> Vec<u32> {
        self.inner.taken.lock().unwrap().clone()
    }

    /// Serves every connection, now and later; gives the senders of links that receive.
    pub(crate) fn serve_all(&self, mut brokers: mpsc::Receiver<Broker>) {
        let net = self.clone();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Some(broker) = brokers.recv().await {
                kept.push(broker.serve(&net));
            }
        });
    }

    /// Serves every connection as one broker that remembers its link.
    pub(crate) fn resume_all(&self, mut brokers: mpsc::Receiver<Broker>) {
        let net = self.clone();
        tokio::spawn(async move {
            let left = Arc::default();
            while let Some(broker) = brokers.recv().await {
                broker.serve_resuming(&net, Arc::clone(&left));
            }
        });
    }

    fn pipe(&self, limit: Option<usize>, limit_back: Option<usize>) -> DuplexStream {
        let (near, relay_near) = tokio::io::duplex(PIPE);
        let (relay_far, far) = tokio::io::duplex(PIPE);
        let stalled = Arc::new(AtomicBool::new(false));
        let relay = tokio::spawn(relay(relay_near, relay_far, limit, limit_back, Arc::clone(&stalled)));
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            // A client that is cut off while it opens leaves nobody behind.
            let options = server_options().channel_max(*inner.channel_max.lock().unwrap());
            if let Ok(server) = ServerConnection::over(far, &options).await {
                let _ = inner.connections.send(Broker { server, relay, stalled }).await;
            }
        });
        near
    }

    async fn meet(&self, attempt: &Attempt<'_>) -> Result<Established<()>, RecoveryError> {
        let meets = self.inner.script.lock().unwrap().pop_front();
        let meets = meets.unwrap_or_else(|| *self.inner.after.lock().unwrap());
        let failed = |error| RecoveryError::Connect { address: attempt.address().clone(), error };
        let stream = match meets {
            Meets::Broker => self.pipe(None, None),
            Meets::Cut(octets) => self.pipe(Some(octets), None),
            Meets::CutBack(octets) => self.pipe(None, Some(octets)),
            Meets::Nobody => {
                let source = Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
                return Err(failed(ConnectError::Unreachable {
                    address: attempt.address().to_string(),
                    source,
                }));
            }
            Meets::Unauthorized => {
                let refused = error(amqp_codec::ErrorCondition::UNAUTHORIZED_ACCESS, "not you");
                let reason = ConnectionError::Remote(RemoteError::from(refused));
                return Err(failed(ConnectError::Lost { reason, last_frames: None }));
            }
            Meets::Silence => std::future::pending().await,
        };
        let connection = Connection::over(stream, client_options()).await.map_err(failed)?;
        let session = connection.begin(SessionOptions::new()).await?;
        Ok(Established::new(connection, session, ()))
    }
}

async fn relay(
    near: DuplexStream,
    far: DuplexStream,
    limit: Option<usize>,
    limit_back: Option<usize>,
    stalled: Arc<AtomicBool>,
) {
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    tokio::select! {
        () = carry(far_read, near_write, limit_back, &stalled) => {}
        () = carry(near_read, far_write, limit, &stalled) => {}
    }
}

async fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    limit: Option<usize>,
    stalled: &AtomicBool,
) {
    let mut left = limit.unwrap_or(usize::MAX);
    let mut buffer = [0; 512];
    while left > 0 {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { break };
        if stalled.load(Ordering::SeqCst) {
            std::future::pending().await
        }
        let count = count.min(left);
        left -= count;
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

impl Hooks for Net {
    type Context = ();
    type Error = RecoveryError;

    async fn connect(&self, attempt: &Attempt<'_>) -> Result<Established<()>, RecoveryError> {
        let elapsed = self.inner.start.elapsed().as_millis();
        self.note(format!("{elapsed} {}", attempt.address().host()));
        self.meet(attempt).await
    }

    async fn attend(&self, live: &Live<()>) -> Parting<RecoveryError> {
        self.note(format!("attend {}", live.generation()));
        let planned = *self.inner.planned.lock().unwrap();
        match planned {
            Some(after) => {
                tokio::time::sleep(after).await;
                Parting::Planned(RecoveryError::Condemned)
            }
            None => std::future::pending().await,
        }
    }

    fn lost(&self, live: &Live<()>, reason: RecoveryError) -> RecoveryError {
        self.note(format!("lost {}", live.generation()));
        reason
    }

    fn verdict(&self, error: &RecoveryError) -> Verdict {
        error.verdict()
    }
}

/// Options whose pauses are known.
pub(crate) fn options() -> RecoveryOptions {
    RecoveryOptions::new().jitter(|| 0.5)
}

pub(crate) fn addresses(hosts: &str) -> Vec<amqp_transport::recovery::PeerAddress> {
    hosts.split(' ').map(|host| amqp_transport::recovery::PeerAddress::new(host, 1)).collect()
}

/// A connection to a broker, and the broker's end of it.
pub(crate) async fn connected(
    net: &Net,
    brokers: &mut mpsc::Receiver<Broker>,
) -> (RecoveringConnection<Net>, Broker) {
    let connection = RecoveringConnection::open(addresses("a"), options(), net.clone()).await.unwrap();
    (connection, brokers.recv().await.unwrap())
}
