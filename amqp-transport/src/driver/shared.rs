//! The state that handles and driver share, behind one short lock.
//!
//! Owns the engine and the slots in which its events wait for their handles. The lock is never held across an
//! `.await`, and no waker is woken or dropped under it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use amqp_codec::{DeliveryTag, Error, Open};

use super::answers::Answers;
use super::heads::Heads;
use super::listening::{AttachQueue, Role};
use super::parting::Partings;
use super::pending::Pending;
use super::ring::Ring;
use super::slab::Slab;
use super::slots::{LinkSlot, SessionSlot, WasUsable};
use super::trace::LastFrames;
use super::wait::{WaitQueue, Wakes};
use crate::engine;
use crate::error::ConnectionError;
use crate::handle::error::{DetachReason, EndReason};
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
    /// Links whose credit is kept back for want of room, mostly because their session holds too many unsettled deliveries, and
    /// how much of it their application has granted by hand.
    pub(crate) crowded: BTreeMap<usize, u32>,
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
            crowded: BTreeMap::new(),
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
