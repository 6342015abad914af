//! A small queue broker: `cargo run --example broker -- 127.0.0.1:5672`. It offers ANONYMOUS, and asks nobody for SASL.
//!
//! An address is a queue while it has links or messages; those that begin with `$` are refused. Consumers compete; what
//! one neither accepts nor rejects comes back to its place. A dynamic node goes with the link that asked for it.
//! A full queue stops its senders' credit. Ctrl-C ends every connection with `amqp:connection:forced`.
#![expect(clippy::unwrap_used, reason = "a lock is poisoned by a fault of this program only")]
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, atomic};

use amqp_codec::{DecodeLimits, DistributionMode, ErrorCondition as Condition, Message, Modified, Outcome};
use amqp_transport::server::{AcceptOptions, Draining, Incoming, IncomingAttach, IncomingConnection};
use amqp_transport::{Limits, Receipt, Receiver, SendError, Sender, server, server::Listener};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

const MAX_QUEUES: usize = 10_000;
const ROOM: usize = 256 << 20; // octets of a queue's messages, waiting or lent to a consumer
const MAX_MESSAGE: usize = 64 << 20; // octets
static NUMBERS: atomic::AtomicU64 = atomic::AtomicU64::new(0); // of places, links and dynamic queues

type Queues = Arc<Mutex<HashMap<String, Arc<Queue>>>>;
/// A message: its octets and their format, the links to which it must not go again, and its share of the queue's room.
type Stored = (bytes::Bytes, u32, Vec<u64>, OwnedSemaphorePermit);

/// Messages by place. Whose room is closed is deleted.
struct Queue {
    waiting: Mutex<BTreeMap<u64, Stored>>,
    filled: Notify,
    room: Arc<Semaphore>,
}

impl Queue {
    fn put(&self, place: u64, message: Stored) {
        self.waiting.lock().unwrap().insert(place, message);
        self.filled.notify_waiters();
    }

    /// Takes in what a sender brings, while there is room. What is accepted is in the queue.
    async fn take_in(&self, receiver: &Receiver) {
        while let Ok(delivery) = receiver.recv().await {
            let (payload, format) = (delivery.payload().clone(), delivery.message_format());
            let cost = u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(256);
            let Ok(room) = Arc::clone(&self.room).acquire_many_owned(cost).await else { return };
            self.put(NUMBERS.fetch_add(1, atomic::Ordering::Relaxed), (payload, format, Vec::new(), room));
            let _ = delivery.accept(); // where this is lost, the sender does not know of it, and may send again
        }
    }

    /// Gives out messages as a consumer's credit and the windows allow.
    async fn give_out(self: &Arc<Self>, sender: &Sender) {
        let link = NUMBERS.fetch_add(1, atomic::Ordering::Relaxed);
        while sender.ready().await.is_ok() && !self.room.is_closed() {
            let filled = self.filled.notified();
            let next = self.waiting.lock().unwrap().extract_if(.., |_, it| !it.2.contains(&link)).next();
            let Some((place, message)) = next else {
                tokio::select! { () = filled => continue, _ = sender.idle() => return }
            };
            match sender.try_send_encoded(message.0.clone(), message.1, sender.settlement()) {
                Ok(receipt) => drop(tokio::spawn(Arc::clone(self).end(receipt, place, message, link))),
                Err(SendError::TooLarge { .. }) => return self.put(place, message),
                Err(_) => self.put(place, message), // for the next turn, if there is one
            }
        }
    }

    /// Does with a message that was lent what its consumer wants.
    async fn end(self: Arc<Self>, receipt: Receipt, place: u64, mut stored: Stored, link: u64) {
        let mut modified = Modified::default();
        match receipt.await {
            Ok(Outcome::Accepted | Outcome::Rejected(_)) => return,
            Ok(Outcome::Modified(wish)) => modified = wish,
            Err(SendError::OutcomeUnknown(_)) => modified.delivery_failed = Some(true),
            Ok(Outcome::Released) | Err(_) => return self.put(place, stored),
        }
        if modified.undeliverable_here == Some(true) {
            stored.2.push(link);
        }
        if let Ok(mut message) = Message::decode(&stored.0, &DecodeLimits::message()) {
            message.modify(&modified);
            stored.0 = amqp_codec::to_bytes(&message);
        }
        self.put(place, stored);
    }
}

/// The queue of this name; none where there are too many.
fn find(queues: &Queues, name: &str) -> Option<Arc<Queue>> {
    let mut queues = queues.lock().unwrap();
    queues.retain(|_, it| Arc::strong_count(it) > 1 || !it.waiting.lock().unwrap().is_empty());
    let new = Queue { waiting: Mutex::default(), filled: Notify::new(), room: Semaphore::new(ROOM).into() };
    let fits = queues.len() < MAX_QUEUES || queues.contains_key(name);
    fits.then(|| Arc::clone(queues.entry(name.to_owned()).or_insert_with(|| new.into())))
}

async fn serve(queues: Queues, attach: IncomingAttach) {
    let is_dynamic = attach.is_dynamic();
    let name = match attach.address() {
        _ if is_dynamic => format!("dynamic-{}", NUMBERS.fetch_add(1, atomic::Ordering::Relaxed)),
        Some(name) if !name.is_empty() && !name.starts_with('$') => name.to_owned(),
        _ => return attach.refuse(Condition::NOT_FOUND),
    };
    let Some(queue) = find(&queues, &name) else { return attach.refuse(Condition::RESOURCE_LIMIT_EXCEEDED) };
    let options = AcceptOptions::new().address(name.clone()).max_message_size(MAX_MESSAGE as u64).filters([]);
    let options = options.distribution_mode(DistributionMode::MOVE).draining(Draining::ByApplication);
    if attach.attach().role == amqp_codec::Role::Sender {
        let Ok(receiver) = attach.accept_receiver(options) else { return };
        queue.take_in(&receiver).await;
        let _ = receiver.detach_with_error(Condition::RESOURCE_DELETED).await;
    } else if let Ok(sender) = attach.accept_sender(options) {
        queue.give_out(&sender).await;
        let deleted = queue.room.is_closed().then_some(Condition::RESOURCE_DELETED);
        let why = deleted.unwrap_or(Condition::MESSAGE_SIZE_EXCEEDED);
        let _ = sender.detach_with_error(why).await;
    }
    if is_dynamic {
        queues.lock().unwrap().remove(&name);
        queue.room.close();
        queue.filled.notify_waiters();
    }
}

async fn connect(queues: Queues, incoming: IncomingConnection, mut stop: watch::Receiver<bool>) {
    let Ok(connection) = incoming.handshake().await else { return };
    let attaches = async {
        while let Ok(Incoming::Attach(attach)) = connection.next().await {
            tokio::spawn(serve(Arc::clone(&queues), attach));
        }
    };
    tokio::select! { () = attaches => {}, _ = stop.wait_for(|it| *it) => {} }
    let _ = connection.close(Some(Condition::CONNECTION_FORCED.into())).await;
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut limits = Limits::default();
    (limits.partial_delivery_bytes, limits.inbox_bytes) = (2 * MAX_MESSAGE, 2 * MAX_MESSAGE);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5672".to_owned());
    let listener = Listener::bind(address, server::ListenerOptions::new("broker").limits(limits)).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    let (queues, stop) = (Queues::default(), watch::Sender::new(false));
    loop {
        let accepted = tokio::select! { it = listener.accept() => it, _ = tokio::signal::ctrl_c() => break };
        match accepted {
            Ok(incoming) => drop(tokio::spawn(connect(Arc::clone(&queues), incoming, stop.subscribe()))),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await, // out of sockets, say
        }
    }
    stop.send_replace(true);
    stop.closed().await; // every connection has ended
    Ok(())
}
