//! One connection while it lives.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use amqp_transport::client::{CbsClient, Connection, Session};
use tokio::{sync::Notify, time::sleep};

use super::endpoint::{Endpoint, Established};
use crate::{events::redirect::EventHub, sas::SasToken};

/// A connection that is open and authenticated, and what is under way on it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) generation: u64,
    pub(crate) connection: Connection,
    pub(crate) session: Session,
    pub(crate) endpoint: Endpoint,
    pub(crate) cbs: Option<CbsClient>,
    pub(crate) token: Option<SasToken>,
    pub(crate) event_hub: Option<EventHub>,
    condemned: AtomicBool,
    condemnation: Notify,
    in_flight: AtomicUsize,
}

/// Counts as one thing under way until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    live: Arc<Live>,
}

impl Live {
    pub(crate) fn new(generation: u64, established: Established) -> Self {
        let Established { connection, session, endpoint, cbs, token, event_hub } = established;
        Self {
            generation,
            connection,
            session,
            endpoint,
            cbs,
            token,
            event_hub,
            condemned: AtomicBool::new(false),
            condemnation: Notify::new(),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Says that this connection is of no use any more, so that another is made.
    pub(crate) fn condemn(&self) {
        self.condemned.store(true, Ordering::SeqCst);
        self.condemnation.notify_waiters();
    }

    /// True when nothing new may begin here: neither links nor messages.
    pub(crate) fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::SeqCst)
    }

    /// Waits until someone condemns this connection.
    pub(crate) async fn condemned(&self) {
        // Made before the look, so that a condemnation between the two is not missed.
        let condemnation = self.condemnation.notified();
        if !self.is_condemned() {
            condemnation.await;
        }
    }

    /// Counts the handing over of a message as under way; `None` where nothing new may begin.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<InFlight> {
        // Counted before the look: whoever condemns and then counts sees either this one or nobody after it.
        let in_flight = self.finish();
        (!self.is_condemned()).then_some(in_flight)
    }

    /// Counts what ends something begun earlier, such as the outcome of a command; that may still be done while the
    /// connection is drained.
    pub(crate) fn finish(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight { live: Arc::clone(self) }
    }

    /// Waits until nothing is under way. Messages count by what the hub has said to them, not by their receipts: an
    /// application may hold those for as long as it likes.
    pub(crate) async fn drained(&self) {
        while self.in_flight.load(Ordering::SeqCst) > 0 || self.connection.undecided_messages() > 0 {
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.live.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Time between two looks at what is under way while a connection is drained; draining is rare and short.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
