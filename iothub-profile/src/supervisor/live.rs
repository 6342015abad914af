//! One connection while it lives.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use amqp_transport::client::{CbsClient, Connection, Session};
use tokio::sync::Notify;

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
    idle: Notify,
}

/// Counts as one delivery under way until it is dropped.
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
            idle: Notify::new(),
        }
    }

    /// Says that this connection is of no use any more, so that another is made.
    pub(crate) fn condemn(&self) {
        self.condemned.store(true, Ordering::Release);
        self.condemnation.notify_one();
    }

    /// True when links need not be attached here any more.
    pub(crate) fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::Acquire)
    }

    /// Waits until someone condemns this connection.
    pub(crate) async fn condemned(&self) {
        self.condemnation.notified().await;
    }

    /// Counts a delivery as under way.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight { live: Arc::clone(self) }
    }

    /// Waits until nothing is under way.
    pub(crate) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            if self.in_flight.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.live.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.live.idle.notify_waiters();
        }
    }
}
