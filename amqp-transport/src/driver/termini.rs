//! What the connections of a listener know of each other's links: where each is attached, and what is kept of those that
//! are not.
//!
//! Owns the lock around the [`TerminusStore`]. It is taken under a connection's lock, never the other way round; and what is
//! not kept is dropped without any lock, since receipts of another connection may end with it.
//! `member` is a connection's part in it, `taking` takes what is left of a link from its connection.

mod member;
mod taking;

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use amqp_codec::{Role as LinkRole, Str};
use tokio::sync::Notify;

use super::clock;
use super::link::LinkInner;
use crate::engine::{
    LinkEnd, Loan, LossCause, LostTerminus, SuspendedLink, TerminusKey, TerminusLimits, TerminusPlace,
    TerminusRecord, TerminusStore,
};
use crate::handle::suspended::SuspendedSender;
use crate::handle::suspended_receiver::SuspendedReceiver;

pub(crate) use taking::reach;
use taking::{Stealing, steal};

/// The links of all connections that share it.
#[derive(Debug)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
    /// Something is to be buried, or the next deadline is another.
    pub(crate) changed: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    store: TerminusStore<Left>,
    attached: BTreeMap<TerminusKey, Attached>,
    /// What is not kept any more, until someone without a lock drops it.
    buried: Vec<LostTerminus<Left>>,
    connections: u64,
    links: u64,
}

/// A link that is attached.
#[derive(Debug)]
struct Attached {
    number: u64,
    link: Weak<LinkInner>,
}

/// What is left of a link of this number.
#[derive(Debug)]
pub(crate) struct Left {
    number: u64,
    pub(crate) what: Suspended,
}

#[derive(Debug)]
pub(crate) enum Suspended {
    Sender(SuspendedSender),
    Receiver(SuspendedReceiver),
}

/// The place of a link in the termini that it was taken from, for an attach that may fail. Dropped, the link does not come
/// back.
#[derive(Debug)]
pub(crate) struct Borrowed {
    registry: Weak<Registry>,
    key: TerminusKey,
    loan: Option<Loan>,
}

/// A connection's part in a registry.
#[derive(Debug)]
pub(crate) struct Member {
    /// Held by the connection only while it lives, since what is kept may hold the connection.
    registry: Weak<Registry>,
    connection: u64,
    identity: Option<Str>,
    container_id: Str,
}

/// What a link knows of its place in the registry.
#[derive(Debug)]
pub(crate) struct Attachment {
    key: TerminusKey,
    number: u64,
    link: Weak<LinkInner>,
}

impl AsRef<SuspendedLink> for Left {
    fn as_ref(&self) -> &SuspendedLink {
        self.what.look()
    }
}

impl Suspended {
    fn look(&self) -> &SuspendedLink {
        match self {
            Self::Sender(sender) => sender.as_link(),
            Self::Receiver(receiver) => receiver.kept_link(),
        }
    }

    fn borrowed(mut self, borrowed: Borrowed) -> Self {
        match &mut self {
            Self::Sender(sender) => sender.borrowed = Some(borrowed),
            Self::Receiver(receiver) => receiver.borrowed = Some(borrowed),
        }
        self
    }
}

impl Borrowed {
    /// The link was not attached after all: it is kept for the rest of its time. Call it without a lock.
    pub(crate) fn put_back(mut self, mut what: Suspended) {
        if let Suspended::Receiver(receiver) = &mut what {
            // What its application has forgotten of it is not kept.
            receiver.tidy();
        }
        // Nobody is left to keep it: it ends here.
        let Some(registry) = self.registry.upgrade() else { return };
        let Some(loan) = self.loan.take() else { return };
        registry.lock().put_back(self.key.clone(), Left { number: 0, what }, loan);
        registry.changed.notify_one();
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let (Some(loan), Some(registry)) = (self.loan.take(), self.registry.upgrade()) {
            registry.lock().store.end_loan(&self.key, &loan);
        }
    }
}

impl Registry {
    pub(crate) fn new(limits: TerminusLimits) -> Self {
        let inner = Inner {
            store: TerminusStore::new(limits),
            attached: BTreeMap::new(),
            buried: Vec::new(),
            connections: 0,
            links: 0,
        };
        Self { inner: Mutex::new(inner), changed: Arc::default() }
    }

    pub(crate) fn join(self: &Arc<Self>, identity: Option<Str>, container_id: Str) -> Member {
        let mut inner = self.lock();
        inner.connections = inner.connections.wrapping_add(1);
        Member { registry: Arc::downgrade(self), connection: inner.connections, identity, container_id }
    }

    pub(crate) fn limits(&self) -> TerminusLimits {
        self.lock().store.limits().clone()
    }

    /// Links kept, and the octets that they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.store.len(), inner.store.octets())
    }

    /// Whether there is anything for an attach of this name to go on with.
    pub(crate) fn is_known(&self, key: &TerminusKey) -> bool {
        let mut inner = self.lock();
        inner.expire();
        inner.store.get(key).is_some() || inner.attached.contains_key(key)
    }

    /// Takes what is left of a link out, be it that it is attached and has to be stolen. Call it without a lock.
    // L-002: the link is taken from whichever connection has it.
    pub(crate) fn claim(self: &Arc<Self>, key: &TerminusKey) -> Option<Suspended> {
        let attached = self.lock().attached.get(key).and_then(|attached| attached.link.upgrade());
        let (what, loan) = match attached.and_then(|link| steal(&link, Stealing::ToGoOn)) {
            Some(stolen) => stolen,
            None => {
                let mut inner = self.lock();
                inner.expire();
                let (left, loan) = inner.store.lend(key)?;
                (left.what, Some(loan))
            }
        };
        Some(what.borrowed(Borrowed { registry: Arc::downgrade(self), key: key.clone(), loan }))
    }

    /// Takes out what is left of this very link, for its own handle.
    pub(crate) fn reclaim(&self, attachment: &Attachment) -> Option<Suspended> {
        let mut inner = self.lock();
        let is_own = |left: &&Left| left.number == attachment.number;
        inner.store.get(&attachment.key).filter(is_own)?;
        inner.store.take(&attachment.key).map(|left| left.what)
    }

    /// Links that are not kept any more. Call it without a lock, and drop them so.
    pub(crate) fn bury(&self) -> Vec<LostTerminus<Left>> {
        let mut inner = self.lock();
        inner.expire();
        mem::take(&mut inner.buried)
    }

    /// When something expires next.
    pub(crate) fn next_deadline(&self) -> Option<std::time::Instant> {
        self.lock().store.next_deadline()
    }

    /// What is to be written down of all that is kept.
    pub(crate) fn records(&self) -> Vec<TerminusRecord> {
        let mut inner = self.lock();
        inner.expire();
        inner.store.records(clock::now())
    }

    /// Keeps a link of an earlier process. Call it without a lock.
    pub(crate) fn restore(&self, record: TerminusRecord) -> Result<(), LossCause> {
        let TerminusRecord { key, link, time } = TerminusRecord::new(record.key, record.link, record.time);
        let what = match key.role {
            LinkRole::Sender => Suspended::Sender(SuspendedSender::restored(Box::new(link))),
            LinkRole::Receiver => Suspended::Receiver(SuspendedReceiver::restored(Box::new(link))),
        };
        let mut inner = self.lock();
        if inner.attached.contains_key(&key) {
            return Err(LossCause::Replaced);
        }
        let mut lost = inner.store.restore(key.clone(), Left { number: 0, what }, time, clock::now());
        let own = lost.iter().position(|lost| lost.key == key).map(|own| lost.swap_remove(own));
        inner.buried.extend(lost);
        drop(inner);
        self.changed.notify_one();
        own.map_or(Ok(()), |own| Err(own.cause))
    }

    /// Gives up what is kept of a link; `false` when nothing is.
    pub(crate) fn give_up(&self, key: &TerminusKey) -> bool {
        let left = self.lock().store.take(key);
        left.is_some()
    }

    /// Nothing can be left half done under this lock, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl Inner {
    fn expire(&mut self) {
        let expired = self.store.expire(clock::now());
        self.buried.extend(expired);
    }

    fn keep(&mut self, key: TerminusKey, left: Left, place: TerminusPlace, end: LinkEnd) {
        let lost = self.store.keep(key, left, place, end, clock::now());
        self.buried.extend(lost);
    }

    fn put_back(&mut self, key: TerminusKey, left: Left, loan: Loan) {
        let lost = self.store.put_back(key, left, loan, clock::now());
        self.buried.extend(lost);
    }

    /// A link is not attached any more; `false` when another has its name.
    fn forget(&mut self, attachment: &Attachment) -> bool {
        let is_current =
            self.attached.get(&attachment.key).is_some_and(|current| current.number == attachment.number);
        if is_current {
            self.attached.remove(&attachment.key);
        }
        is_current
    }
}
