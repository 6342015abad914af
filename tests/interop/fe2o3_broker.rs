//! fe2o3-amqp as a small broker, for tests of our client: queues by address, and nodes made on request.
//!
//! Messages are decoded, and encoded again when they are sent on; what cannot be read is rejected. Addresses that begin with
//! `$` are refused. SIGUSR1 ends all links on which it sends with an error, SIGUSR2 all connections. It is a test, so that it
//! needs no program of its own, and runs until it is killed.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SaslAnonymousMechanism,
    SessionAcceptor,
};
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::definitions::{AmqpError, ConnectionError, Error, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{Body, Header, Message, Outcome, Source};
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::primitives::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::fe2o3_echo::unharmed;

type Stored = Message<Body<Value>>;

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Stored>>,
    filled: Notify,
}

#[derive(Clone)]
struct Broker {
    queues: Arc<Mutex<HashMap<String, Arc<Queue>>>>,
    /// How often each of the signals came.
    deleted: watch::Receiver<u32>,
    forced: watch::Receiver<u32>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a broker for other tests; run by tests/interop/run.sh"]
async fn serve() {
    let listener = TcpListener::bind(std::env::var("INTEROP_LISTEN").unwrap()).await.unwrap();
    let max_frame = std::env::var("INTEROP_MAX_FRAME").map_or(65_536, |text| text.parse::<u32>().unwrap());
    let count = |kind| {
        let (counter, count) = watch::channel(0);
        let mut signals = signal(kind).unwrap();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                counter.send_modify(|count| *count += 1);
            }
        });
        count
    };
    let broker = Broker {
        queues: Arc::default(),
        deleted: count(SignalKind::user_defined1()),
        forced: count(SignalKind::user_defined2()),
    };
    println!("\nLISTENING");
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(broker.clone(), stream, max_frame));
    }
}

async fn connection(mut broker: Broker, stream: TcpStream, max_frame: u32) {
    let acceptor = ConnectionAcceptor::builder()
        .container_id("fe2o3-broker")
        .max_frame_size(max_frame)
        .sasl_acceptor(SaslAnonymousMechanism::new())
        .build();
    let Ok(mut connection) = acceptor.accept(stream).await else { return };
    broker.forced.mark_unchanged();
    let sessions = SessionAcceptor::new();
    loop {
        tokio::select! {
            session = sessions.accept(&mut connection) => match session {
                Ok(session) => drop(tokio::spawn(links(broker.clone(), session))),
                Err(_) => return,
            },
            _ = broker.forced.changed() => {
                let error = Error::new(ConnectionError::ConnectionForced, "maintenance".to_owned(), None);
                let _ = connection.close_with_error(error).await;
                return;
            }
        }
    }
}

async fn links(broker: Broker, mut session: ListenerSessionHandle) {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let acceptor = LinkAcceptor::builder()
        .on_dynamic_source(|source: Source| {
            let address = Some(format!("made-{}", MADE.fetch_add(1, Ordering::Relaxed)));
            Some(Source { address, ..source })
        })
        .build();
    while let Some(mut attach) = session.next_incoming_attach().await {
        if is_refused(&attach) {
            attach.source = None;
            attach.target = None;
            let error = Error::new(AmqpError::NotFound, "no such queue".to_owned(), None);
            if let Ok(LinkEndpoint::Sender(sender)) =
                acceptor.accept_incoming_attach(attach, &mut session).await
            {
                let _ = sender.close_with_error(error).await;
            }
            continue;
        }
        let address = attach.target.as_ref().and_then(|target| match &**target {
            fe2o3_amqp_types::messaging::TargetArchetype::Target(target) => target.address.clone(),
        });
        let is_settled = attach.snd_settle_mode == SenderSettleMode::Settled;
        match acceptor.accept_incoming_attach(attach, &mut session).await {
            Ok(LinkEndpoint::Sender(sender)) => {
                let address = sender.source().as_ref().and_then(|source| source.address.clone());
                let queue = broker.queue(address.unwrap_or_default());
                tokio::spawn(give_out(queue, sender, is_settled, broker.deleted.clone()));
            }
            Ok(LinkEndpoint::Receiver(receiver)) => {
                tokio::spawn(take_in(broker.queue(address.unwrap_or_default()), receiver));
            }
            Err(_) => return,
        }
    }
}

fn is_refused(attach: &Attach) -> bool {
    let address = attach.source.as_ref().and_then(|source| source.address.as_deref());
    attach.role == Role::Receiver && address.is_some_and(|address| address.starts_with('$'))
}

impl Broker {
    fn queue(&self, address: String) -> Arc<Queue> {
        Arc::clone(self.queues.lock().unwrap().entry(address).or_default())
    }
}

async fn take_in(queue: Arc<Queue>, mut receiver: Receiver) {
    loop {
        let delivery = match unharmed(receiver.recv::<Body<Value>>()).await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(RecvError::MessageDecode(error))) => {
                let why = Error::new(AmqpError::DecodeError, error.source.to_string(), None);
                receiver.reject(error.info, why).await.unwrap();
                continue;
            }
            Ok(Err(_)) => return,
            Err(_) => continue,
        };
        queue.waiting.lock().unwrap().push_back(delivery.message().clone());
        queue.filled.notify_waiters();
        if receiver.accept(&delivery).await.is_err() {
            return;
        }
    }
}

async fn give_out(
    queue: Arc<Queue>,
    mut sender: Sender,
    is_settled: bool,
    mut deleted: watch::Receiver<u32>,
) {
    deleted.mark_unchanged();
    loop {
        let filled = queue.filled.notified();
        let next = queue.waiting.lock().unwrap().pop_front();
        let Some(message) = next else {
            tokio::select! {
                () = filled => continue,
                _ = sender.on_detach() => {
                    let _ = sender.close().await;
                    return;
                }
                _ = deleted.changed() => {
                    let error = Error::new(AmqpError::ResourceDeleted, "the queue was deleted".to_owned(), None);
                    let _ = sender.close_with_error(error).await;
                    return;
                }
            }
        };
        let sendable = Sendable::builder().message(message.clone()).settled(is_settled).build();
        let sent = tokio::select! {
            sent = sender.send(sendable) => sent.ok(),
            _ = deleted.changed() => None,
        };
        let is_open = sent.is_some();
        if let Some(message) = again(message, sent) {
            queue.waiting.lock().unwrap().push_front(message);
            queue.filled.notify_waiters();
        }
        if !is_open {
            return;
        }
    }
}

/// A message as it is to come again, if it is.
fn again(mut message: Stored, outcome: Option<Outcome>) -> Option<Stored> {
    match outcome {
        Some(Outcome::Accepted(_) | Outcome::Rejected(_)) => return None,
        Some(Outcome::Modified(modified)) if modified.delivery_failed == Some(true) => {
            message.header.get_or_insert_with(Header::default).delivery_count += 1;
        }
        _ => {}
    }
    Some(message)
}
