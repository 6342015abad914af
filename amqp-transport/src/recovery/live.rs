//! One connection while it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::hooks::Established;
use crate::handle::connection::Connection;
use crate::handle::session::Session;

/// A connection that is open and authenticated, what the hooks keep of it, and a count of what is under way on it.
#[derive(Debug)]
pub struct Live<C> {
    generation: u64,
    connection: Connection,
    session: Session,
    context: C,
    condemned: AtomicBool,
    condemnation: Notify,
    in_flight: Arc<AtomicUsize>,
}

/// Counts as one thing under way on a connection until it is dropped: a connection that is closed or replaced on purpose
/// waits for it, up to [`RecoveryOptions::drain_timeout`](super::RecoveryOptions::drain_timeout).
#[derive(Debug)]
pub struct InFlight {
    count: Arc<AtomicUsize>,
}

impl<C> Live<C> {
    pub(super) fn new(generation: u64, established: Established<C>) -> Self {
        let Established { connection, session, context } = established;
        Self {
            generation,
            connection,
            session,
            context,
            condemned: AtomicBool::new(false),
            condemnation: Notify::new(),
            in_flight: Arc::default(),
        }
    }

    /// How many times it was connected, the first time being 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The session that carries the recovering links, but those of a [further session](super::RecoveringSession).
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What the hooks keep of this connection.
    #[must_use]
    pub fn context(&self) -> &C {
        &self.context
    }

    /// Says that this connection is of no use any more, so that another is made.
    pub fn condemn(&self) {
        self.condemned.store(true, Ordering::SeqCst);
        self.condemnation.notify_waiters();
    }

    /// True when nothing new may begin here: neither links nor messages.
    #[must_use]
    pub fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::SeqCst)
    }

    /// Waits until someone condemns this connection.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn condemned(&self) {
        // Made before the look, so that a condemnation between the two is not missed.
        let condemnation = self.condemnation.notified();
        if !self.is_condemned() {
            condemnation.await;
        }
    }

    /// Counts something new as under way; `None` where nothing new may begin.
    #[must_use]
    pub fn begin(&self) -> Option<InFlight> {
        // Counted before the look: whoever condemns and then counts sees either this one or nobody after it.
        let in_flight = self.finish();
        (!self.is_condemned()).then_some(in_flight)
    }

    /// Counts what ends something begun earlier, such as the outcome of a received message; that may still be done
    /// while the connection is drained.
    #[must_use]
    pub fn finish(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight { count: Arc::clone(&self.in_flight) }
    }

    /// Waits until nothing is under way. Messages count by what the peer has said to them, not by their receipts: an
    /// application may hold those for as long as it likes.
    pub(super) async fn drained(&self) {
        while self.in_flight.load(Ordering::SeqCst) > 0 || self.connection.undecided_messages() > 0 {
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Time between two looks at what is under way while a connection is drained; draining is rare and short.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
