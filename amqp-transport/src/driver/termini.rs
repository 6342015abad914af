//! What the connections of a listener know of each other's links: where each is attached, and what is kept of those that
//! are not.
//!
//! Owns the lock around the [`TerminusStore`]. It is taken under a connection's lock, never the other way round; and what is
//! not kept is dropped without any lock, since receipts of another connection may end with it.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use amqp_codec::{Role as LinkRole, Str};
use tokio::sync::Notify;

use super::clock;
use super::link::LinkInner;
use super::listening::Role;
use super::shared::State;
use super::slots::{LinkPhase, WasUsable};
use crate::engine::{
    LinkEnd, Loan, LossCause, LostTerminus, SessionId, SuspendedLink, TerminusKey, TerminusLimits,
    TerminusPlace, TerminusRecord, TerminusStore,
};
use crate::handle::error::DetachReason;
use crate::handle::suspended::SuspendedSender;
use crate::handle::suspended_receiver::{SuspendedReceiver, Waiting};

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
}

impl Member {
    /// Who keeps the links, while anybody can ask for them. It may be the last hold: drop it without a lock, or where the
    /// connection is known to live.
    pub(crate) fn registry(&self) -> Option<Arc<Registry>> {
        self.registry.upgrade()
    }

    /// The name of a link of this connection, in which this is our role.
    pub(crate) fn key(&self, name: &Str, role: LinkRole) -> TerminusKey {
        TerminusKey {
            identity: self.identity.clone(),
            container_id: self.container_id.clone(),
            name: name.clone(),
            role,
        }
    }

    pub(crate) fn place(&self, session: SessionId) -> TerminusPlace {
        TerminusPlace { connection: self.connection, session }
    }

    /// A link is attached under a name, and what was kept under it is not gone on with. Returns what the link is to
    /// remember, and a link that is to be stolen once the connection's lock is released.
    pub(crate) fn attach(
        &self,
        key: TerminusKey,
        link: &Arc<LinkInner>,
    ) -> (Box<Attachment>, Option<Weak<LinkInner>>) {
        let link = Arc::downgrade(link);
        let Some(registry) = self.registry() else {
            return (Box::new(Attachment { key, number: 0, link }), None);
        };
        let mut inner = registry.lock();
        inner.links = inner.links.wrapping_add(1);
        let number = inner.links;
        if let Some(left) = inner.store.take(&key) {
            inner.buried.push(LostTerminus { key: key.clone(), link: left, cause: LossCause::Replaced });
            registry.changed.notify_one();
        }
        let before = inner.attached.insert(key.clone(), Attached { number, link: Weak::clone(&link) });
        (Box::new(Attachment { key, number, link }), before.map(|before| before.link))
    }

    /// Steals a link that another has replaced. Call it without a lock.
    // L-002
    pub(crate) fn replace(&self, key: &TerminusKey, link: &Weak<LinkInner>) {
        let stolen = link.upgrade().and_then(|link| steal(&link, Stealing::ToReplace));
        let Some((what, _)) = stolen else { return };
        let lost =
            LostTerminus { key: key.clone(), link: Left { number: 0, what }, cause: LossCause::Replaced };
        let Some(registry) = self.registry() else { return };
        registry.lock().buried.push(lost);
        registry.changed.notify_one();
    }

    /// A link is over, with this left of it.
    fn ended(&self, attachment: &Attachment, left: Option<(Suspended, SessionId)>, end: LinkEnd) {
        let Attachment { key, number, .. } = attachment;
        let Some(registry) = self.registry() else { return };
        let mut inner = registry.lock();
        let is_current = inner.forget(attachment);
        let Some((what, session)) = left else { return };
        let left = Left { number: *number, what };
        if is_current {
            inner.keep(key.clone(), left, self.place(session), end);
        } else {
            inner.buried.push(LostTerminus { key: key.clone(), link: left, cause: LossCause::Replaced });
        }
        registry.changed.notify_one();
    }

    // L-016
    pub(crate) fn session_ended(&self, session: SessionId) {
        let Some(registry) = self.registry() else { return };
        registry.lock().store.session_ended(self.place(session), clock::now());
        registry.changed.notify_one();
    }

    // L-016
    pub(crate) fn connection_closed(&self) {
        let Some(registry) = self.registry() else { return };
        registry.lock().store.connection_closed(self.connection, clock::now());
        registry.changed.notify_one();
    }
}

impl Inner {
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

impl State {
    /// The connection's part in its listener's termini.
    pub(crate) fn member(&self) -> Option<Arc<Member>> {
        match &self.role {
            Role::Listener(listener) => listener.termini.clone(),
            Role::Client => None,
        }
    }

    /// A link that the termini know is over: they keep what is left of it.
    pub(crate) fn keep_terminus(&mut self, key: usize, end: LinkEnd) {
        let Some(member) = self.member() else { return };
        let Some(slot) = self.links.get_mut(key) else { return };
        let Some(attachment) = slot.terminus.take() else { return };
        let session = slot.session;
        let left = match slot.suspended.as_ref().map(|suspended| suspended.role) {
            Some(LinkRole::Receiver) => {
                SuspendedReceiver::left_of(self, key, &attachment.link, Waiting::GoesAlong)
                    .map(Suspended::Receiver)
            }
            // Its handle is being dropped, and waits for the lock: nobody may resume it.
            Some(LinkRole::Sender) => attachment.link.upgrade().and_then(|link| {
                let left = self.take_sender(&link);
                self.wakes.drop_link(link);
                left
            }),
            None => None,
        };
        member.ended(&attachment, left.zip(session), end);
        if let Some(slot) = self.links.get_mut(key) {
            slot.terminus = Some(attachment);
        }
    }

    /// What the termini keep of a link, for its own handle, which takes it from them.
    pub(crate) fn reclaim(&mut self, key: usize) -> Option<Suspended> {
        let registry = self.member()?.registry()?;
        let attachment = self.links.get(key).and_then(|slot| slot.terminus.as_ref());
        let left = attachment.and_then(|attachment| registry.reclaim(attachment));
        self.wakes.leave_termini(registry);
        left
    }

    fn take_sender(&mut self, link: &Arc<LinkInner>) -> Option<Suspended> {
        let slot = self.links.get(link.key)?;
        let LinkPhase::Detached(end) = &slot.phase else { return None };
        let reason = end.reason.clone();
        let (left, origins) = self.take_suspended(link)?;
        Some(Suspended::Sender(SuspendedSender::new(link, left, origins, reason)))
    }

    // L-002
    fn give_over(&mut self, link: &Arc<LinkInner>, stealing: Stealing) -> Option<(Suspended, Option<Loan>)> {
        let member = self.member()?;
        let slot = self.links.get_mut(link.key)?;
        let attachment = slot.terminus.take()?;
        let (id, is_attached) = (slot.id, !matches!(slot.phase, LinkPhase::Detached(_)));
        let session = slot.session;
        if let Some(registry) = member.registry() {
            registry.lock().forget(&attachment);
            self.wakes.leave_termini(registry);
        }
        if is_attached {
            // Stale: its end is among the events.
            let _ = self.engine.steal_link(id);
            self.is_touched = true;
            self.dispatch_all();
            self.finish_link(link.key, DetachReason::Stolen, WasUsable::Yes);
        }
        let left = match self.links.get(link.key)?.suspended.as_ref()?.role {
            LinkRole::Receiver => {
                SuspendedReceiver::left_of(self, link.key, &Arc::downgrade(link), Waiting::GoesAlong)
                    .map(Suspended::Receiver)?
            }
            LinkRole::Sender => self.take_sender(link)?,
        };
        // Under this connection's lock, so that its end, and its session's, are heard from here on.
        let lend = |(registry, session): (Arc<Registry>, SessionId)| {
            let place = member.place(session);
            let loan = registry.lock().store.lend_stolen(&attachment.key, left.look(), place, clock::now());
            self.wakes.leave_termini(registry);
            loan
        };
        let loan = match stealing {
            Stealing::ToGoOn => member.registry().zip(session).map(lend),
            Stealing::ToReplace => None,
        };
        Some((left, loan))
    }
}

/// For what a link is taken from its connection.
#[derive(Clone, Copy, Debug)]
enum Stealing {
    /// Another goes on with it.
    ToGoOn,
    /// Another has replaced it.
    ToReplace,
}

/// Takes a link from its connection, and what is left of it. Call it without a lock.
fn steal(link: &Arc<LinkInner>, stealing: Stealing) -> Option<(Suspended, Option<Loan>)> {
    // Poisoned: nothing is left.
    link.connection.shared.with(|state| state.give_over(link, stealing)).ok().flatten()
}

/// How far the end of a link reaches.
// L-016
pub(crate) fn reach(reason: &DetachReason) -> LinkEnd {
    match reason {
        DetachReason::Lost(_) => LinkEnd::ConnectionClosed,
        DetachReason::SessionEnded(_) => LinkEnd::SessionEnded,
        DetachReason::Stolen => LinkEnd::Stolen,
        _ => LinkEnd::Detached,
    }
}
