//! A small queue broker: `cargo run --example broker -- 127.0.0.1:5672`. It offers ANONYMOUS, and asks nobody for SASL.
//!
//! An address is a queue, made when it is first named; names that begin with `$` are refused. Consumers compete; what one
//! neither accepts nor rejects comes back to its place. A dynamic source or target makes a queue that goes with its link.
//! A full queue stops its senders' credit. Ctrl-C ends every connection with `amqp:connection:forced`.
#![expect(clippy::unwrap_used, reason = "a lock is poisoned by a fault of this program only")]
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use amqp_codec::{DecodeLimits, Error, ErrorCondition as Condition, Message, Modified, Outcome, Role};
use amqp_transport::server::{AcceptOptions, Draining, Incoming, IncomingAttach, IncomingConnection};
use amqp_transport::server::{Listener, ListenerOptions};
use amqp_transport::{Receipt, Receiver, SendError, Sender, engine::Limits};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

const MAX_QUEUES: usize = 10_000;
const MAX_QUEUE: usize = 256 << 20; // octets of its messages, waiting or lent to a consumer
const MAX_MESSAGE: usize = 64 << 20; // octets

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

    fn take(&self, link: u64) -> Option<(u64, Stored)> {
        let mut waiting = self.waiting.lock().unwrap();
        let place = *waiting.iter().find(|(_, message)| !message.2.contains(&link))?.0;
        waiting.remove_entry(&place)
    }

    /// Takes in what a sender brings, while there is room. What is accepted is in the queue.
    async fn take_in(&self, receiver: &Receiver, numbers: &AtomicU64) {
        while let Ok(delivery) = receiver.recv().await {
            let (payload, format) = (delivery.payload().clone(), delivery.message_format());
            let cost = u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(256);
            let Ok(room) = Arc::clone(&self.room).acquire_many_owned(cost).await else {
                return drop(receiver.detach_with_error(Error::new(Condition::RESOURCE_DELETED)).await);
            };
            self.put(numbers.fetch_add(1, Relaxed), (payload, format, Vec::new(), room));
            let _ = delivery.accept(); // where this is lost, the sender does not know of it, and may send again
        }
    }

    /// Gives out messages as a consumer's credit and the windows allow.
    async fn give_out(self: Arc<Self>, sender: &Sender, link: u64) -> Result<(), SendError> {
        while !self.room.is_closed() {
            sender.ready().await?;
            let filled = self.filled.notified();
            let Some((place, message)) = self.take(link) else {
                tokio::select! { () = filled => continue, over = sender.idle() => return over.map(drop) }
            };
            match sender.try_send_encoded(message.0.clone(), message.1, sender.settlement()) {
                Ok(receipt) => drop(tokio::spawn(Arc::clone(&self).end(receipt, place, message, link))),
                Err(SendError::WouldBlock(_)) => self.put(place, message),
                Err(error) => return Err((self.put(place, message), error).1),
            }
        }
        // Told; whether the peer answers it is its own affair.
        sender.detach_with_error(Error::new(Condition::RESOURCE_DELETED)).await.or(Ok(()))
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

#[derive(Default)]
struct Broker {
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    numbers: AtomicU64, // of places, links and dynamic queues
}

impl Broker {
    fn find(&self, attach: &IncomingAttach) -> Result<(String, Arc<Queue>), Error> {
        let address = match attach.address() {
            _ if attach.is_dynamic() => format!("dynamic-{}", self.numbers.fetch_add(1, Relaxed)),
            Some(address) if !address.is_empty() && !address.starts_with('$') => address.to_owned(),
            _ => return Err(Error::new(Condition::NOT_FOUND).with_description("there is no such queue")),
        };
        let mut queues = self.queues.lock().unwrap();
        if queues.len() >= MAX_QUEUES && !queues.contains_key(&address) {
            queues.retain(|_, it| Arc::strong_count(it) > 1 || !it.waiting.lock().unwrap().is_empty());
        }
        if queues.len() < MAX_QUEUES || queues.contains_key(&address) {
            let room = Arc::new(Semaphore::new(MAX_QUEUE));
            let queue = Queue { waiting: Mutex::default(), filled: Notify::new(), room };
            return Ok((
                address.clone(),
                Arc::clone(queues.entry(address).or_insert_with(|| Arc::new(queue))),
            ));
        }
        Err(Error::new(Condition::RESOURCE_LIMIT_EXCEEDED).with_description("too many queues"))
    }

    async fn serve(self: Arc<Self>, attach: IncomingAttach) {
        let (address, queue) = match self.find(&attach) {
            Ok(found) => found,
            Err(error) => return attach.refuse(error),
        };
        let options = AcceptOptions::new().address(address.clone()).max_message_size(MAX_MESSAGE as u64);
        let options = options.filters([]).draining(Draining::ByApplication); // it has no filters
        let is_dynamic = attach.is_dynamic();
        if attach.attach().role == Role::Sender {
            let Ok(receiver) = attach.accept_receiver(options) else { return };
            queue.take_in(&receiver, &self.numbers).await;
        } else if let Ok(sender) = attach.accept_sender(options) {
            let _ = Arc::clone(&queue).give_out(&sender, self.numbers.fetch_add(1, Relaxed)).await;
        }
        if is_dynamic {
            self.queues.lock().unwrap().remove(&address);
            queue.room.close();
            queue.filled.notify_waiters();
        }
    }

    async fn connect(self: Arc<Self>, incoming: IncomingConnection, mut stop: watch::Receiver<bool>) {
        let Ok(connection) = incoming.handshake().await else { return };
        let attaches = async {
            while let Ok(Incoming::Attach(attach)) = connection.next().await {
                tokio::spawn(Arc::clone(&self).serve(attach));
            }
        };
        tokio::select! { () = attaches => {}, _ = stop.wait_for(|it| *it) => {} }
        let _ = connection.close(Some(Error::new(Condition::CONNECTION_FORCED))).await;
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut limits = Limits::default();
    (limits.partial_delivery_bytes, limits.inbox_bytes) = (2 * MAX_MESSAGE, 2 * MAX_MESSAGE);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5672".to_owned());
    let listener = Listener::bind(address, ListenerOptions::new("broker").limits(limits)).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    let (broker, stop) = (Arc::<Broker>::default(), watch::Sender::new(false));
    loop {
        let accepted =
            tokio::select! { accepted = listener.accept() => accepted, _ = tokio::signal::ctrl_c() => break };
        if let Ok(incoming) = accepted {
            tokio::spawn(Arc::clone(&broker).connect(incoming, stop.subscribe()));
        }
    }
    stop.send_replace(true);
    stop.closed().await; // every connection has ended
    Ok(())
}
