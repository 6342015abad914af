//! A node that answers requests, on any listener: `$cbs`, `$management`, or one of the application's own.
//!
//! Owns the links of the node on one connection and the way from a request to its answer's link. It never reads a
//! request: what it means is the application's to say, with [`CbsServer`](crate::cbs::CbsServer) or
//! [`management`](crate::management) where these fit.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amqp_codec::{Error, ErrorCondition, Message, Role, Str};
use tokio::sync::Notify;
use tracing::warn;

use super::{AcceptOptions, IncomingAttach};
use crate::handle::delivery::Delivery;
use crate::handle::error::AttachError;
use crate::handle::options::CreditMode;
use crate::handle::receiver::Receiver;
use crate::handle::sender::Sender;

/// A node of one connection: requests come on some links, answers go on others.
///
/// Make one for each connection and address, and give it every [`IncomingAttach`] of that address. Requests of a link
/// are answered one after another; links do not wait for each other. A request is accepted before it is answered, as
/// clients of claims-based security expect.
///
/// The answer goes on the link whose target is the request's `reply-to`, else on the newest link on which the peer
/// receives from the node (CBS-004, MG-003): some clients name none.
#[derive(Clone)]
pub struct RequestNode {
    shared: Arc<Shared>,
}

struct Shared {
    answer: Answer,
    max_request_size: u64,
    replies: Mutex<Replies>,
    /// A link for answers has come.
    changed: Notify,
}

#[derive(Default)]
struct Replies {
    last: u64,
    links: Vec<ReplyLink>,
}

struct ReplyLink {
    number: u64,
    target: Option<String>,
    sender: Arc<Sender>,
}

type Answer = Box<dyn Fn(Message) -> Pin<Box<dyn Future<Output = Message> + Send>> + Send + Sync>;

impl RequestNode {
    /// A node that answers each request with what `answer` makes of it. Requests are of at most 64 KiB.
    pub fn new<F, R>(answer: F) -> Self
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = Message> + Send + 'static,
    {
        Self::with_max_request_size(answer, DEFAULT_MAX_REQUEST)
    }

    /// As [`new`](Self::new), for requests of at most so many bytes; longer ones detach their link (`AMQP 1.0 §2.7.3`).
    pub fn with_max_request_size<F, R>(answer: F, bytes: u64) -> Self
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = Message> + Send + 'static,
    {
        let answer: Answer = Box::new(move |request| Box::pin(answer(request)));
        let shared =
            Shared { answer, max_request_size: bytes, replies: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Accepts a link that the peer attached to the node, in either direction, and serves it in a task of its own for as
    /// long as it is attached.
    ///
    /// # Errors
    /// When the link or connection has gone meanwhile.
    pub fn take(&self, incoming: IncomingAttach) -> Result<(), AttachError> {
        let shared = Arc::clone(&self.shared);
        if incoming.attach().role == Role::Sender {
            let options = AcceptOptions::new()
                .credit(CreditMode::Auto(REQUEST_CREDIT))
                .max_message_size(shared.max_request_size);
            let receiver = incoming.accept_receiver(options)?;
            tokio::spawn(async move { shared.serve(&receiver).await });
        } else {
            let target = incoming.attach().target.as_ref().and_then(|target| target.address());
            let target = target.map(|address| address.as_str().to_owned());
            let sender = Arc::new(incoming.accept_sender(AcceptOptions::new())?);
            let number = shared.add(target, Arc::clone(&sender));
            tokio::spawn(async move {
                sender.detached().await;
                shared.remove(number);
            });
        }
        Ok(())
    }
}

impl Shared {
    async fn serve(&self, receiver: &Receiver) {
        while let Ok(delivery) = receiver.recv().await {
            self.serve_one(delivery).await;
        }
    }

    async fn serve_one(&self, delivery: Delivery) {
        let request = match delivery.message() {
            Ok(request) => request,
            Err(error) => {
                let description = Some(Str::from(error.to_string()));
                let error = Error { condition: ErrorCondition::DECODE_ERROR, description, info: None };
                // The link has ended: nobody waits for the outcome.
                let _ = delivery.reject(Some(error));
                return;
            }
        };
        // As above.
        let _ = delivery.accept();
        let reply_to = request.properties.as_ref().and_then(|properties| properties.reply_to.clone());
        let answer = (self.answer)(request).await;
        let sending = async {
            let sender = self.link_for(reply_to.as_deref()).await;
            // What the peer makes of an answer changes nothing: its outcome is not waited for.
            sender.send_with_receipt(&answer).await.is_ok()
        };
        if tokio::time::timeout(PATIENCE, sending).await != Ok(true) {
            warn!(reply_to = reply_to.as_deref(), "an answer found no link with credit and is dropped");
        }
    }

    /// The link for an answer, once there is one.
    async fn link_for(&self, reply_to: Option<&str>) -> Arc<Sender> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(sender) = self.lock().find(reply_to) {
                return sender;
            }
            changed.await;
        }
    }

    fn add(&self, target: Option<String>, sender: Arc<Sender>) -> u64 {
        let number = {
            let mut replies = self.lock();
            replies.last = replies.last.wrapping_add(1);
            let number = replies.last;
            replies.links.push(ReplyLink { number, target, sender });
            number
        };
        self.changed.notify_waiters();
        number
    }

    fn remove(&self, number: u64) {
        let gone = {
            let mut replies = self.lock();
            let at = replies.links.iter().position(|link| link.number == number);
            at.map(|at| replies.links.remove(at))
        };
        // A link's end looks after its connection: not under our lock.
        drop(gone);
    }

    /// Nothing can be left half done under this lock, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Replies> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replies {
    fn find(&self, reply_to: Option<&str>) -> Option<Arc<Sender>> {
        let named =
            self.links.iter().rev().find(|link| reply_to.is_some() && link.target.as_deref() == reply_to);
        named.or_else(|| self.links.last()).map(|link| Arc::clone(&link.sender))
    }
}

impl fmt::Debug for RequestNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestNode").finish_non_exhaustive()
    }
}

/// Requests that a peer may send ahead of their answers.
const REQUEST_CREDIT: u32 = 100;
const DEFAULT_MAX_REQUEST: u64 = 64 * 1024;
/// How long an answer waits for a link that is still to come, and for its credit.
const PATIENCE: Duration = Duration::from_secs(30);
