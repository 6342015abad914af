//! One connection as its links share it: what it may do, its reply links, and who it is in the log.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use amqp_codec::{Error, ErrorCondition, Message};
use amqp_transport::Sender;
use tokio::sync::Notify;

use super::{
    auth::{Grant, Need},
    claims::{Access, Claims, Put},
    hub::{Hub, lock},
};

/// What the links of one connection have in common.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) hub: Arc<Hub>,
    pub(crate) address: SocketAddr,
    /// Unique while the emulator lives.
    pub(crate) connection: u64,
    claims: Mutex<Claims>,
    /// Told when something is granted for a shorter time than before, or anything at all for the first time.
    claims_changed: Notify,
    replies: Mutex<Vec<ReplyLink>>,
    replies_changed: Notify,
}

/// A node that answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyNode {
    Cbs,
    Management,
}

/// A link on which a client waits for answers.
#[derive(Debug)]
struct ReplyLink {
    id: u64,
    node: ReplyNode,
    /// What the client calls its end; requests may name it as their reply-to.
    target: Option<String>,
    sender: Arc<Sender>,
}

impl Peer {
    pub(crate) fn new(hub: Arc<Hub>, address: SocketAddr) -> Self {
        Self {
            connection: hub.next_id(),
            hub,
            address,
            claims: Mutex::default(),
            claims_changed: Notify::new(),
            replies: Mutex::default(),
            replies_changed: Notify::new(),
        }
    }

    /// Adds what a token or key gave. `Err` says why it cannot be taken.
    pub(crate) fn grant(&self, grant: Grant) -> Result<(), super::claims::TooManyGrants> {
        let now_ms = self.hub.now().wall_ms;
        let (was_known, put) = {
            let mut claims = lock(&self.claims);
            (claims.are_any(now_ms), claims.put(grant, now_ms)?)
        };
        // Not for every token: a thousand devices on one connection would wake each other's links a thousand times.
        if !was_known || put == Put::Shortened {
            self.claims_changed.notify_waiters();
        }
        Ok(())
    }

    /// Whether this connection has shown any token or key that still counts.
    pub(crate) fn is_known(&self) -> bool {
        let now_ms = self.hub.now().wall_ms;
        lock(&self.claims).are_any(now_ms)
    }

    /// Waits until this connection has shown a token or key.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn known(&self) {
        loop {
            let changed = self.claims_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_known() {
                return;
            }
            changed.await;
        }
    }

    /// Refuses whoever may not do this.
    pub(crate) fn require(&self, need: &Need) -> Result<(), Error> {
        match self.access(need) {
            Access::Refused => Err(unauthorized(self.missing(need))),
            Access::Granted | Access::GrantedUntil(_) => Ok(()),
        }
    }

    /// The grant that lets this connection do it.
    pub(crate) fn grant_for(&self, need: &Need) -> Option<Grant> {
        let now = self.hub.now();
        lock(&self.claims).find(need, now.wall_ms).cloned()
    }

    /// The devices this connection acts as.
    pub(crate) fn devices(&self) -> Vec<String> {
        let now = self.hub.now();
        lock(&self.claims).devices(now.wall_ms).map(str::to_owned).collect()
    }

    /// Waits until this connection may no longer do it: its token ended and was not renewed, or another one with a shorter
    /// life took its place and ended.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn revoked(&self, need: &Need) {
        loop {
            let changed = self.claims_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.access(need) {
                Access::Granted => changed.await,
                Access::GrantedUntil(end_ms) => {
                    let end = self.hub.now().instant_of(end_ms) + ROUNDING;
                    tokio::select! {
                        () = tokio::time::sleep_until(end.into()) => {}
                        () = changed => {}
                    }
                }
                Access::Refused => return,
            }
        }
    }

    /// Notes a link for answers, until [`forget_replies`](Self::forget_replies).
    pub(crate) fn add_replies(&self, id: u64, node: ReplyNode, target: Option<String>, sender: Arc<Sender>) {
        lock(&self.replies).push(ReplyLink { id, node, target, sender });
        self.replies_changed.notify_waiters();
    }

    /// Forgets a link for answers.
    pub(crate) fn forget_replies(&self, id: u64) {
        lock(&self.replies).retain(|link| link.id != id);
    }

    /// Sends an answer on the client's link from `node`: the one that the request names, else the newest. Waits a while
    /// for a link that is still being attached, and for its credit; an answer nobody wants in that time is dropped.
    pub(crate) async fn reply(&self, node: ReplyNode, request: &Message, answer: &Message) {
        let reply_to = request.properties.as_ref().and_then(|properties| properties.reply_to.as_deref());
        let sent = tokio::time::timeout(REPLY_PATIENCE, async {
            let sender = self.reply_link(node, reply_to).await;
            // Dropping the receipt discards the client's outcome, which changes nothing.
            sender.send_with_receipt(answer).await.is_ok()
        });
        if sent.await != Ok(true) {
            tracing::debug!(peer = %self.address, ?node, "an answer found no link with credit");
        }
    }

    async fn reply_link(&self, node: ReplyNode, reply_to: Option<&str>) -> Arc<Sender> {
        loop {
            let changed = self.replies_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let found = {
                let replies = lock(&self.replies);
                let mut of_node = replies.iter().rev().filter(|link| link.node == node);
                let named = replies.iter().rev().find(|link| {
                    link.node == node && reply_to.is_some() && link.target.as_deref() == reply_to
                });
                named.or_else(|| of_node.next()).map(|link| Arc::clone(&link.sender))
            };
            match found {
                Some(sender) => return sender,
                None => changed.await,
            }
        }
    }

    /// What this connection lacks for something it may not do.
    fn missing(&self, need: &Need) -> String {
        let now = self.hub.now();
        match lock(&self.claims).without_right(need, now.wall_ms) {
            Some(policy) => format!("policy {policy:?} lacks the right that this needs: {:?}", need.right),
            None => "no valid token for this address was put on this connection".to_owned(),
        }
    }

    fn access(&self, need: &Need) -> Access {
        let now = self.hub.now();
        lock(&self.claims).check(need, now.wall_ms)
    }
}

/// `amqp:unauthorized-access` with words.
pub(crate) fn unauthorized(words: impl Into<String>) -> Error {
    Error::new(ErrorCondition::UNAUTHORIZED_ACCESS).with_description(words.into())
}

/// How long an answer waits for a link and its credit. Requests behind it wait in memory meanwhile.
const REPLY_PATIENCE: Duration = Duration::from_secs(5);

/// Wall time is read in whole milliseconds: looking a little later saves looking twice.
const ROUNDING: Duration = Duration::from_millis(1);
