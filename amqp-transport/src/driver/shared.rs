//! The state that handles and driver share, behind one short lock.
//!
//! Owns the engine and the slots in which its events wait for their handles. The lock is never held across an
//! `.await`, and no waker is woken or dropped under it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use amqp_codec::{
    Attach, Begin, DeliveryState, DeliveryTag, Error, ErrorCondition, Fields, Open, ReceiverSettleMode, Str,
    Symbol,
};
use bytes::Bytes;

use super::answers::{Answers, Asker};
use super::heads::Heads;
use super::parting::{Gate, Partings, Patience};
use super::pending::Pending;
use super::ring::Ring;
use super::slab::Slab;
use super::survivors::Survivor;
use super::termini::{Attachment, Member, Registry, reach};
use super::trace::LastFrames;
use super::wait::{WaitQueue, Wakes};
use crate::engine::{
    self, DeliveryId, DetachKind, IncomingDelivery, KeptAttach, LinkId, SessionConfig, SessionId,
    SuspendedLink,
};
use crate::error::ConnectionError;
use crate::handle::error::{DetachReason, EndReason};
use crate::handle::options::{CreditMode, Draining};
use crate::handle::stats::ConnectionStats;

/// What handles and driver share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Below this key no message is pending, as the driver last saw it.
    settled_below: AtomicU64,
}

impl fmt::Debug for Shared {
    // Every handle holds it: one in a log would be all links of its connection, and be made under the lock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(state: State) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), settled_below: AtomicU64::new(0) })
    }

    /// Runs `act` under the lock, then wakes whom it concerns. A lock poisoned by a panic is a closed connection.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> Result<R, ConnectionError> {
        let mut state = self.lock()?;
        let result = act(&mut state);
        state.signal_driver();
        // Most calls concern nobody else; what is not moved and dropped here is paid for each message.
        if !state.wakes.is_empty() {
            let mut wakes = std::mem::take(&mut state.wakes);
            drop(state);
            wakes.fire();
        }
        Ok(result)
    }

    /// Tells receipts, without the lock, of the messages that have ended.
    pub(crate) fn note_settled(&self, state: &mut State) {
        state.pending.trim();
        self.settled_below.store(state.pending.floor(), Ordering::Release);
    }

    /// Whether a message is known not to be pending any more. One whose receipt has not been asked was accepted, then.
    pub(crate) fn is_settled(&self, key: u64) -> bool {
        key < self.settled_below.load(Ordering::Acquire)
    }

    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, State>, ConnectionError> {
        self.state.lock().map_err(|_| ConnectionError::Io {
            kind: io::ErrorKind::Other,
            detail: "the connection's state was lost to a panic".to_owned(),
        })
    }
}

/// Everything of one connection that is not the socket.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) engine: engine::Connection,
    pub(crate) role: Role,
    /// The driver's task, and whether it has been told to run since it last looked.
    pub(crate) driver: Option<Waker>,
    pub(crate) is_driver_notified: bool,
    /// Whether the engine has been given a command that may have output.
    pub(crate) is_touched: bool,
    /// Octets of output that the driver left waiting when it last looked, or that a sender has let it look at since.
    pub(crate) seen_output: usize,
    pub(crate) wakes: Wakes,
    pub(crate) sessions: Slab<SessionSlot>,
    pub(crate) links: Slab<LinkSlot>,
    /// The slot of each session and link of the engine, by the engine's dense index.
    pub(crate) session_keys: Vec<usize>,
    pub(crate) link_keys: Vec<usize>,
    /// What all inboxes hold, and the links whose credit is withheld for it.
    pub(crate) inbox_octets: usize,
    pub(crate) withheld: BTreeSet<usize>,
    /// How many attached links are granted credit by themselves.
    pub(crate) granting: usize,
    /// Messages handed to the engine whose outcome someone may ask for. One that is not here and was not asked about is
    /// accepted.
    pub(crate) pending: Ring<Pending>,
    /// By link: messages of an earlier process, until its sender has receipts for them.
    pub(crate) restored: BTreeMap<usize, Vec<(DeliveryTag, u64)>>,
    /// Number of the last batch taken from the engine, and of the last one of which an octet reached the socket.
    pub(crate) taken_batch: u64,
    pub(crate) written_batch: u64,
    /// Whether the driver has thrown away what it had taken and not written: nothing more leaves.
    pub(crate) is_cut: bool,
    /// Ends that wait for large messages to leave.
    pub(crate) partings: Partings,
    /// Answers of the peer's that are waited for.
    pub(crate) answers: Answers,
    /// Those who wait for the connection to open, to close or to ask for a decision.
    pub(crate) life: WaitQueue,
    pub(crate) remote_open: Option<Arc<Open>>,
    /// Why the connection is over, once it is.
    pub(crate) failure: Option<ConnectionError>,
    /// Whether the driver is done with the socket.
    pub(crate) is_socket_done: bool,
    pub(crate) stats: ConnectionStats,
    /// Whether the heads of the last frames are kept, and those of a connection that failed or is not open yet.
    pub(crate) last_frames: LastFrames,
    pub(crate) heads: Option<Heads>,
    pub(crate) are_heads_final: bool,
}

/// What differs between the two ends.
#[derive(Debug)]
pub(crate) enum Role {
    Client,
    Listener(Box<ListenerState>),
}

/// What a listener's connection keeps for its application.
#[derive(Debug, Default)]
pub(crate) struct ListenerState {
    /// How sessions that the peer begins are accepted, where the application does not decide.
    pub(crate) session_config: SessionConfig,
    pub(crate) decides_sessions: DecidesSessions,
    /// Begins that nobody has taken yet, and the sessions that are not answered; bounded by channel-max.
    pub(crate) sessions: VecDeque<SessionRequest>,
    pub(crate) unanswered: BTreeSet<SessionId>,
    /// What the peer said in its SASL exchange, until someone answers.
    pub(crate) sasl: Option<SaslQuestion>,
    /// Attaches that nobody has taken yet; bounded by the engine's limit on links.
    pub(crate) incoming: AttachQueue,
    pub(crate) takers: WaitQueue,
    /// What is kept of its links when they are lost, where anything is.
    pub(crate) termini: Option<Arc<Member>>,
    /// Who keeps that, while the connection lives: afterwards it would keep the connection in turn.
    pub(crate) registry: Option<Arc<Registry>>,
}

impl ListenerState {
    /// What there is to be taken, about.
    pub(crate) fn waiting(&self) -> usize {
        self.sessions.len().saturating_add(self.incoming.len())
    }

    /// A session is answered or over: attaches in it need not wait for that any more.
    pub(crate) fn answer_session(&mut self, session: SessionId, wakes: &mut Wakes) {
        if self.unanswered.remove(&session) {
            self.sessions.retain(|request| request.session != session);
            self.takers.notify(self.waiting(), wakes);
        }
    }
}

/// Who decides about sessions that peers begin (`AMQP 1.0 §2.5.1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecidesSessions {
    /// The library accepts all of them, each with the settings that the listener has for sessions.
    #[default]
    Library,
    /// The application, which is told of each before its links (`Incoming::Session`).
    Application,
}

/// A begin of the peer's that waits for an answer.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    pub(crate) session: SessionId,
    pub(crate) begin: Arc<Begin>,
}

/// What the peer says in its SASL exchange.
pub(crate) enum SaslQuestion {
    /// Its `sasl-init`.
    Init { mechanism: Symbol, initial_response: Option<Bytes>, hostname: Option<Str> },
    /// Its answer to a challenge.
    Response(Bytes),
}

impl fmt::Debug for SaslQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init { mechanism, .. } => {
                f.debug_struct("Init").field("mechanism", mechanism).finish_non_exhaustive()
            }
            Self::Response(_) => f.write_str("Response"),
        }
    }
}

/// An attach of the peer's that waits for an answer.
#[derive(Debug)]
pub(crate) struct AttachRequest {
    pub(crate) link: LinkId,
    pub(crate) session: SessionId,
    pub(crate) attach: Arc<Attach>,
}

/// Attaches in the order in which they came, each found by its link without a search.
#[derive(Debug, Default)]
pub(crate) struct AttachQueue {
    requests: BTreeMap<u64, AttachRequest>,
    numbers: BTreeMap<LinkId, u64>,
    last: u64,
}

impl AttachQueue {
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn push(&mut self, request: AttachRequest) {
        self.last = self.last.wrapping_add(1);
        self.numbers.insert(request.link, self.last);
        self.requests.insert(self.last, request);
    }

    /// The first one whose session is answered.
    pub(crate) fn pop(&mut self, unanswered: &BTreeSet<SessionId>) -> Option<AttachRequest> {
        let mut requests = self.requests.iter();
        let (number, _) = requests.find(|(_, request)| !unanswered.contains(&request.session))?;
        let request = self.requests.remove(&number.clone())?;
        self.numbers.remove(&request.link);
        Some(request)
    }

    pub(crate) fn remove(&mut self, link: LinkId) {
        if let Some(number) = self.numbers.remove(&link) {
            self.requests.remove(&number);
        }
    }
}

/// A session as its handle sees it.
#[derive(Debug)]
pub(crate) struct SessionSlot {
    pub(crate) id: SessionId,
    pub(crate) phase: SessionPhase,
    /// Whose it is, and so what becomes of it when its handles are gone.
    pub(crate) owner: Owner,
    /// Handles of it; without any, the slot goes with the session's end.
    pub(crate) holders: usize,
    /// Whether this side has ended it.
    pub(crate) is_ending: bool,
    /// The peer's begin, where somebody may look at it.
    pub(crate) remote_begin: Option<Arc<Begin>>,
    pub(crate) life: WaitQueue,
}

/// Who began a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This side: it is ended when its last handle is gone.
    Us,
    /// The peer: it lives as long as the peer wants.
    Peer,
}

#[derive(Clone, Debug)]
pub(crate) enum SessionPhase {
    Beginning,
    Begun,
    Ended(EndReason),
}

/// A link as its handle sees it.
#[derive(Debug)]
pub(crate) struct LinkSlot {
    pub(crate) id: LinkId,
    /// The session it belongs to.
    pub(crate) session: Option<SessionId>,
    pub(crate) phase: LinkPhase,
    /// Why this side has detached it, while the peer's answer is awaited. In a box of its own, as is what follows it.
    pub(crate) parted: Option<Box<DetachReason>>,
    /// Whether the handle is gone, so that the slot goes with the link.
    pub(crate) is_orphan: bool,
    /// The peer's attach.
    pub(crate) attach: Option<KeptAttach>,
    /// Senders waiting for their turn, or receivers waiting for a message.
    pub(crate) queue: WaitQueue,
    /// Those who wait for attach, detach, drain or a confirmation.
    pub(crate) life: WaitQueue,
    pub(crate) inbox: Inbox,
    /// What the peer told last with its flows, and how often it told.
    pub(crate) told: Option<Box<(u64, Fields)>>,
    /// Sender: whether messages may still be handed over.
    pub(crate) gate: Gate,
    /// Sender: the peer wants its credit back once nobody waits to send.
    pub(crate) is_drain_requested: bool,
    /// Sender: who answers that.
    pub(crate) draining: Draining,
    /// Sender: how many tasks say that they have nothing to send.
    pub(crate) idle: usize,
    /// Sender: messages of this link in `pending`.
    pub(crate) in_flight: usize,
    /// Sender: one of those; each knows its neighbours.
    pub(crate) first_pending: Option<u64>,
    /// What is left of a link that may be resumed, until its handle takes it.
    pub(crate) suspended: Option<Box<SuspendedLink>>,
    /// Whether nobody will: its messages end with it.
    pub(crate) is_given_up: bool,
    /// Sender on a control link: transactions that nobody will discharge.
    pub(crate) abandoned_transactions: Vec<Bytes>,
    /// Receiver: deliveries of before, until they are taken over.
    pub(crate) survivors: BTreeMap<DeliveryTag, Survivor>,
    /// Listener: under which name the termini know it.
    pub(crate) terminus: Option<Box<Attachment>>,
}

impl LinkSlot {
    /// Why nothing passes on it any more, whether or not the peer has answered that.
    pub(crate) fn over(&self) -> Option<&DetachReason> {
        match &self.phase {
            LinkPhase::Detached(end) => Some(&end.reason),
            LinkPhase::Attaching | LinkPhase::Attached => self.parted.as_deref(),
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        matches!(self.phase, LinkPhase::Attached) && self.parted.is_none()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum LinkPhase {
    Attaching,
    Attached,
    /// Over, and whether the peer refused it before it was usable.
    Detached(Box<Detachment>),
}

/// How a link ended. In a box of its own: most links have not.
#[derive(Clone, Debug)]
pub(crate) struct Detachment {
    pub(crate) reason: DetachReason,
    pub(crate) was_usable: WasUsable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WasUsable {
    Yes,
    Refused,
}

/// What a receiver has been sent.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) deliveries: VecDeque<IncomingDelivery>,
    pub(crate) credit: CreditMode,
    /// Messages taken by the application since credit was last granted.
    pub(crate) taken: u32,
    /// With a bound in octets: the largest of the messages that came lately, and how many were to be ahead when credit was
    /// last granted.
    pub(crate) largest: u64,
    pub(crate) ahead: u32,
    /// Where credit is granted by itself: the octets that each message is expected to take, and how many octets had come and
    /// how many messages waited when that was last learned.
    pub(crate) expected: u64,
    pub(crate) octets: u64,
    pub(crate) before: u32,
    pub(crate) drain: Drain,
    /// How many drains have come to their end.
    pub(crate) drained: u32,
    /// The last of our questions for the sender's flow that was answered.
    pub(crate) answered: u32,
    pub(crate) mode: ReceiverSettleMode,
    /// Outcomes told in second mode that wait for the sender's settlement.
    pub(crate) confirmations: BTreeMap<DeliveryId, Confirmation>,
}

/// Whether the credit of a receiver is taken back, and renewed by itself no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Drain {
    #[default]
    Off,
    /// The sender is asked to use it up or give it back.
    Asked,
    /// It has; who waits for a message next grants anew.
    Done,
    /// It is taken back until the application says otherwise.
    Stopped,
}

/// An outcome that waits for the sender's settlement, and who waits for that.
#[derive(Debug, Default)]
pub(crate) struct Confirmation {
    pub(crate) waker: Option<Waker>,
    /// What the sender said when it settled, once it has.
    pub(crate) settled: Option<Option<DeliveryState>>,
}

impl State {
    pub(crate) fn new(engine: engine::Connection, role: Role) -> Self {
        Self {
            engine,
            role,
            driver: None,
            is_driver_notified: false,
            is_touched: false,
            seen_output: 0,
            wakes: Wakes::default(),
            sessions: Slab::default(),
            links: Slab::default(),
            session_keys: Vec::new(),
            link_keys: Vec::new(),
            inbox_octets: 0,
            withheld: BTreeSet::new(),
            granting: 0,
            pending: Ring::default(),
            restored: BTreeMap::new(),
            taken_batch: 0,
            written_batch: 0,
            is_cut: false,
            partings: Partings::default(),
            answers: Answers::default(),
            life: WaitQueue::default(),
            remote_open: None,
            failure: None,
            is_socket_done: false,
            stats: ConnectionStats::default(),
            last_frames: LastFrames::default(),
            heads: None,
            are_heads_final: false,
        }
    }

    /// Tells the driver to run, once per burst.
    pub(crate) fn signal_driver(&mut self) {
        if std::mem::take(&mut self.is_touched)
            && !self.is_driver_notified
            && let Some(waker) = &self.driver
        {
            self.is_driver_notified = true;
            self.wakes.wake(waker.clone());
        }
    }

    /// Why the connection is over, for those who find it so.
    pub(crate) fn failure(&self) -> Option<ConnectionError> {
        self.failure.clone()
    }

    /// A session with its first handle.
    pub(crate) fn add_session(&mut self, id: SessionId, phase: SessionPhase, owner: Owner) -> usize {
        let slot = SessionSlot {
            id,
            phase,
            owner,
            holders: 1,
            is_ending: false,
            remote_begin: None,
            life: WaitQueue::default(),
        };
        let key = self.sessions.insert(slot);
        remember(&mut self.session_keys, id.index(), key);
        key
    }

    /// Another handle of a session that the peer began; the first of one that nobody has held yet.
    pub(crate) fn hold_session(&mut self, id: SessionId) -> usize {
        if let Some(key) = self.session_key(id)
            && let Some(slot) = self.sessions.get_mut(key)
        {
            slot.holders = slot.holders.saturating_add(1);
            return key;
        }
        let phase = match (&self.failure, self.engine.session_stats(id)) {
            (Some(error), _) => SessionPhase::Ended(EndReason::Lost(error.clone())),
            (None, Some(_)) => SessionPhase::Begun,
            // Nobody held it, so that nobody here has ended it.
            (None, None) => SessionPhase::Ended(EndReason::ByPeer),
        };
        self.add_session(id, phase, Owner::Peer)
    }

    pub(crate) fn add_link(&mut self, id: LinkId, phase: LinkPhase) -> usize {
        let session = self.engine.link_session(id);
        let slot = LinkSlot {
            id,
            session,
            phase,
            parted: None,
            is_orphan: false,
            attach: None,
            queue: WaitQueue::default(),
            life: WaitQueue::default(),
            inbox: Inbox::default(),
            told: None,
            gate: self.gate_of(session),
            is_drain_requested: false,
            draining: Draining::default(),
            idle: 0,
            in_flight: 0,
            first_pending: None,
            suspended: None,
            is_given_up: false,
            abandoned_transactions: Vec::new(),
            survivors: BTreeMap::new(),
            terminus: None,
        };
        let key = self.links.insert(slot);
        remember(&mut self.link_keys, id.index(), key);
        key
    }

    pub(crate) fn session_key(&self, id: SessionId) -> Option<usize> {
        let key = *self.session_keys.get(id.index())?;
        self.sessions.get(key).filter(|slot| slot.id == id).map(|_| key)
    }

    pub(crate) fn link_key(&self, id: LinkId) -> Option<usize> {
        let key = *self.link_keys.get(id.index())?;
        self.links.get(key).filter(|slot| slot.id == id).map(|_| key)
    }

    /// Ends a link for its handles.
    pub(crate) fn finish_link(&mut self, key: usize, reason: DetachReason, was_usable: WasUsable) {
        self.partings.forget_link(key);
        self.answers.forget(Asker::Link(key));
        // Over already: messages that have not ended wait for it to be resumed, here or elsewhere.
        if self.links.get(key).is_none_or(|slot| matches!(slot.phase, LinkPhase::Detached(..))) {
            return;
        }
        self.resolve_link(key, &reason);
        let Some(slot) = self.links.get_mut(key) else { return };
        let (is_orphan, end) = (slot.is_orphan, reach(&reason));
        slot.phase = LinkPhase::Detached(Box::new(Detachment { reason, was_usable }));
        if slot.inbox.expected > 0 {
            self.granting = self.granting.saturating_sub(1);
        }
        for waker in slot.inbox.confirmations.values_mut().filter_map(|waiting| waiting.waker.take()) {
            self.wakes.wake(waker);
        }
        slot.queue.notify_all(&mut self.wakes);
        slot.life.notify_all(&mut self.wakes);
        if slot.terminus.is_some() {
            self.keep_terminus(key, end);
        }
        if is_orphan {
            self.links.remove(key);
        }
    }

    /// Ends a session for its handles. Its links have been ended before.
    pub(crate) fn finish_session(&mut self, key: usize, reason: EndReason) {
        self.partings.forget_session(key);
        self.answers.forget(Asker::Session(key));
        let Some(slot) = self.sessions.get_mut(key) else { return };
        if matches!(slot.phase, SessionPhase::Ended(_)) {
            return;
        }
        slot.phase = SessionPhase::Ended(reason);
        slot.life.notify_all(&mut self.wakes);
        if slot.holders == 0 {
            self.sessions.remove(key);
        }
    }

    /// Ends everything: the connection is over.
    pub(crate) fn fail(&mut self, reason: &ConnectionError) {
        if self.failure.is_some() {
            return;
        }
        self.failure = Some(reason.clone());
        self.partings = Partings::default();
        for key in self.links.keys() {
            self.finish_link(key, DetachReason::Lost(reason.clone()), WasUsable::Yes);
        }
        for key in self.sessions.keys() {
            self.finish_session(key, EndReason::Lost(reason.clone()));
        }
        self.life.notify_all(&mut self.wakes);
        if let Role::Listener(listener) = &mut self.role {
            listener.sasl = None;
            listener.incoming = AttachQueue::default();
            listener.sessions.clear();
            listener.unanswered.clear();
            listener.takers.notify_all(&mut self.wakes);
            if let Some(termini) = &listener.termini {
                termini.connection_closed();
            }
            if let Some(registry) = listener.registry.take() {
                self.wakes.leave_termini(registry);
            }
        }
    }

    /// The driver is done with the socket: whoever waited for that may go on.
    pub(crate) fn finish_socket(&mut self) {
        self.is_socket_done = true;
        self.life.notify_all(&mut self.wakes);
    }

    /// A sender or receiver handle is gone: detach, best effort, once what was handed over has left.
    pub(crate) fn drop_link(&mut self, key: usize) {
        drop(self.take_inbox(key));
        for (_, message) in self.restored.remove(&key).unwrap_or_default() {
            self.discard_pending(message);
        }
        let Some(slot) = self.links.get_mut(key) else { return };
        if let LinkPhase::Detached(end) = &slot.phase {
            let reason = end.reason.clone();
            slot.suspended = None;
            self.resolve_link(key, &reason);
            self.links.remove(key);
            return;
        }
        slot.is_orphan = true;
        slot.is_given_up = true;
        self.part_link(key, DetachKind::Closed, None, Patience::Long);
    }

    /// A session handle is gone. With the last of one that this side began it is ended, best effort, once what was handed
    /// over has left.
    pub(crate) fn drop_session(&mut self, key: usize) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.holders = slot.holders.saturating_sub(1);
        if slot.holders > 0 {
            return;
        }
        match (&slot.phase, slot.owner) {
            (SessionPhase::Ended(_), _) => {
                self.sessions.remove(key);
            }
            (_, Owner::Us) => self.part_session(key, None, Patience::Long),
            (_, Owner::Peer) => {}
        }
    }

    /// Whether this side is ending the session of a link.
    pub(crate) fn is_session_ending(&self, link: usize) -> bool {
        let session = self.links.get(link).and_then(|slot| slot.session);
        let key = session.and_then(|session| self.session_key(session));
        key.and_then(|key| self.sessions.get(key)).is_some_and(|slot| slot.is_ending)
    }

    pub(crate) fn close(&mut self, error: Option<Error>) {
        if self.failure.is_some() {
            return;
        }
        if self.remote_open.is_some() {
            self.part_connection(error);
        } else {
            // Before the peer's open there is nothing to close in good order; the stream just ends.
            self.engine.abort(ConnectionError::Closed);
            self.is_touched = true;
        }
    }
}

/// The condition for what the application let go without an answer.
pub(crate) fn unanswered(what: &'static str) -> Error {
    Error {
        condition: ErrorCondition::INTERNAL_ERROR,
        description: Some(Str::from(what.to_owned())),
        info: None,
    }
}

fn remember(keys: &mut Vec<usize>, index: usize, key: usize) {
    if keys.len() <= index {
        keys.resize(index.saturating_add(1), usize::MAX);
    }
    if let Some(slot) = keys.get_mut(index) {
        *slot = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::clock;
    use crate::engine::{ConnectionConfig, Side};

    #[test]
    fn a_poisoned_lock_is_a_closed_connection() {
        let engine = engine::Connection::new(Side::Client, ConnectionConfig::new("c"), clock::now());
        let shared = Shared::new(State::new(engine, Role::Client));
        let broken = Arc::clone(&shared);
        let panicked = std::thread::spawn(move || broken.with(|_| panic!("under the lock")));
        assert!(panicked.join().is_err());
        let error = shared.with(|_| ()).unwrap_err();
        assert!(error.to_string().contains("panic"), "{error}");
    }
}
