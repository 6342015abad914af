//! A pair of links that carries requests one way and replies the other, under [`CbsClient`](super::CbsClient) and
//! [`ManagementClient`](super::ManagementClient).
//!
//! Owns the two links and one task that reads replies. It never interprets either message.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use amqp_codec::{Message, MessageId, Outcome};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::{
    AttachError, CreditMode, Delivery, DetachReason, EndReason, Receiver, ReceiverOptions, RecvError,
    SendError, Sender, SenderOptions, Session,
};
use crate::driver::clock::now;
use crate::request_response::{RequestError, Requests};

/// The two links, attached. Dropping it gives up whatever is pending and detaches both.
#[derive(Debug)]
pub(crate) struct RequestLink {
    sender: Sender,
    reply_to: String,
    timeout: Duration,
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A request started: its deadline may be nearer than the one the reader sleeps for.
    started: Notify,
}

#[derive(Debug)]
struct State {
    requests: Requests<oneshot::Sender<Result<Message, RequestError>>>,
    /// Why no reply will come any more.
    ended: Option<RequestError>,
}

impl RequestLink {
    /// Attaches both links to `node` on `session`; `kind` starts the names of the links and the message-ids.
    ///
    /// # Errors
    /// When the peer refuses either link or the session ends.
    ///
    /// # Cancel safety
    /// A link attached by a call that was dropped is detached again.
    pub(crate) async fn open(session: &Session, node: &str, kind: &str) -> Result<Self, AttachError> {
        // Unique in the process: replies to an earlier pair on the same connection must match nothing here.
        let name = format!("{kind}-{}", PAIRS.fetch_add(1, Ordering::Relaxed));
        let replies = ReceiverOptions::new(format!("{name}-receiver"), node.to_owned())
            .target(name.clone())
            .credit(CreditMode::Auto(REPLY_CREDIT));
        let requests = SenderOptions::new(format!("{name}-sender"), node.to_owned()).source(name.clone());
        let (receiver, sender) =
            tokio::try_join!(session.attach_receiver(replies), session.attach_sender(requests))?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                requests: Requests::new(format!("{name}-"), MAX_PENDING),
                ended: None,
            }),
            started: Notify::new(),
        });
        let reader = tokio::spawn(read_replies(receiver, Arc::clone(&shared)));
        Ok(Self { sender, reply_to: name, timeout: DEFAULT_TIMEOUT, shared, reader })
    }

    /// How long a request may take from now on, from its start to its reply.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Sends the message that `build` makes of a fresh message-id and the reply-to address; returns the reply.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up; the peer may or may not see it, and its reply will be ignored.
    pub(crate) async fn request(
        &self,
        build: impl FnOnce(MessageId, &str) -> Message,
    ) -> Result<Message, RequestError> {
        let (waiter, reply) = oneshot::channel();
        let pending = self.start(waiter)?;
        let message = build(pending.message_id.clone(), &self.reply_to);
        tokio::select! {
            biased;
            // The waiter goes unanswered only when the reader is gone, and that is this link's own end.
            reply = reply => reply.unwrap_or(Err(RequestError::Detached(None))),
            error = self.send_and_watch(&message) => Err(error),
        }
    }

    fn start(
        &self,
        waiter: oneshot::Sender<Result<Message, RequestError>>,
    ) -> Result<PendingRequest<'_>, RequestError> {
        let message_id = {
            let mut state = self.shared.lock();
            if let Some(error) = &state.ended {
                return Err(error.clone());
            }
            state.requests.start(waiter, now() + self.timeout)?
        };
        self.shared.started.notify_one();
        Ok(PendingRequest { shared: &self.shared, message_id })
    }

    /// Sends and, once the peer has taken the message, waits for the link to end: only failures come out of here.
    async fn send_and_watch(&self, message: &Message) -> RequestError {
        match self.sender.send(message).await {
            Ok(Outcome::Accepted) => detached(self.sender.detached().await),
            Ok(outcome) => RequestError::NotTaken(outcome),
            Err(error) => not_sent(error),
        }
    }
}

impl Drop for RequestLink {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Takes the request out of the table when its caller is done with it, by whichever way.
struct PendingRequest<'a> {
    shared: &'a Shared,
    message_id: MessageId,
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        // Dropped after the lock is released: a waiter wakes its task.
        let _waiter = self.shared.lock().requests.cancel(&self.message_id);
    }
}

impl Shared {
    /// Nothing can be left half done under this lock, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a reply to whoever waits for it and accepts it in any case.
    // CBS-014: a reply nobody waits for is accepted and ignored.
    fn deliver(&self, delivery: Delivery) {
        // Settling fails only when the link has ended, which the reader learns by itself.
        let Ok(message) = delivery.message() else {
            let _ = delivery.reject(None);
            return;
        };
        let _ = delivery.accept();
        let correlation_id =
            message.properties.as_ref().and_then(|properties| properties.correlation_id.as_ref());
        let waiter = correlation_id.and_then(|id| self.lock().requests.complete(id));
        if let Some(waiter) = waiter {
            // The caller may have gone in the meantime.
            let _ = waiter.send(Ok(message));
        }
    }

    fn expire(&self, now: Instant) {
        let waiters = self.lock().requests.expire(now);
        for waiter in waiters {
            let _ = waiter.send(Err(RequestError::TimedOut));
        }
    }

    fn end(&self, error: &RequestError) {
        let waiters = {
            let mut state = self.lock();
            state.ended = Some(error.clone());
            state.requests.take_all()
        };
        for waiter in waiters {
            let _ = waiter.send(Err(error.clone()));
        }
    }
}

async fn read_replies(receiver: Receiver, shared: Arc<Shared>) {
    loop {
        let deadline = shared.lock().requests.next_deadline();
        tokio::select! {
            delivery = receiver.recv() => match delivery {
                Ok(delivery) => shared.deliver(delivery),
                Err(error) => return shared.end(&not_received(error)),
            },
            () = sleep_until(deadline) => shared.expire(now()),
            () = shared.started.notified() => {}
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn not_sent(error: SendError) -> RequestError {
    match error {
        SendError::TooLarge { size, limit } => RequestError::TooLarge { size, limit },
        SendError::Lost(error) => RequestError::Lost(error),
        SendError::Detached(reason) | SendError::OutcomeUnknown(reason) => detached(reason),
        _ => RequestError::NotTaken(Outcome::Released),
    }
}

fn not_received(error: RecvError) -> RequestError {
    match error {
        RecvError::Detached(reason) => detached(reason),
        RecvError::Lost(error) => RequestError::Lost(error),
        // Its credit is granted by itself and never taken back.
        RecvError::Regranted | RecvError::NoRoom => RequestError::Detached(None),
    }
}

fn detached(reason: DetachReason) -> RequestError {
    match reason {
        DetachReason::Lost(error) | DetachReason::SessionEnded(EndReason::Lost(error)) => {
            RequestError::Lost(error)
        }
        other => RequestError::Detached(other.remote().cloned()),
    }
}

/// Pairs opened by this process so far.
static PAIRS: AtomicU64 = AtomicU64::new(1);

/// Requests that may wait for their replies at a time; more are refused.
const MAX_PENDING: usize = 1_000;

/// Replies the peer may send ahead of our reading.
const REPLY_CREDIT: u32 = 100;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
