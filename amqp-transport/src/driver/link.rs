//! A link's hold on the shared state: what sender, receiver, receipts and deliveries have in common.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use amqp_codec::{Attach, DeliveryState, DeliveryTag, Error, ReceiverSettleMode};

use super::inbox::Drain;
use super::parting::Patience;
use super::slots::{LinkPhase, LinkSlot};
use super::wait::Place;
use crate::engine::{DeliveryId, DetachKind, LinkId, Settlement};
use crate::error::ConnectionError;
use crate::handle::connection::ConnectionInner;
use crate::handle::error::{DetachReason, EndError, SettleError};
use crate::handle::line::Line;
use crate::handle::options::CreditMode;
use crate::handle::receipt::Receipt;
use crate::handle::session::SessionInner;

/// The count of handles of one link: its drop detaches the link.
#[derive(Debug)]
pub(crate) struct LinkInner {
    pub(crate) connection: Arc<ConnectionInner>,
    /// Keeps the session for as long as the link; accepted links live in a session that is the peer's.
    _session: Option<Arc<SessionInner>>,
    pub(crate) key: usize,
    pub(crate) id: LinkId,
    /// Receiver: the line of links that go on with its deliveries, where it is of one.
    line: OnceLock<Arc<Line>>,
}

impl Drop for LinkInner {
    fn drop(&mut self) {
        // Poisoned: detached already.
        let _ = self.connection.shared.with(|state| state.drop_link(self.key));
    }
}

impl LinkInner {
    pub(crate) fn new(
        connection: Arc<ConnectionInner>,
        session: Option<Arc<SessionInner>>,
        key: usize,
        id: LinkId,
    ) -> Self {
        Self { connection, _session: session, key, id, line: OnceLock::new() }
    }

    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        self.line.get()
    }

    /// Makes the link one of a line, for good.
    pub(crate) fn join(&self, line: &Arc<Line>) -> &Arc<Line> {
        self.line.get_or_init(|| Arc::clone(line))
    }

    /// Looks at the slot; `None` when the state is lost.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&LinkSlot) -> R) -> Option<R> {
        self.connection.shared.with(|state| state.links.get(self.key).map(look)).ok().flatten()
    }

    pub(crate) fn remote_attach(&self) -> Option<Attach> {
        self.look(|slot| slot.attach.clone()).flatten()?.get()
    }

    /// Waits until `ready` finds what it looks for in the slot.
    pub(crate) async fn wait<T>(
        &self,
        mut ready: impl FnMut(&mut LinkSlot) -> Option<T>,
    ) -> Result<T, ConnectionError> {
        let mut place = LinkPlace { link: self, place: None };
        poll_fn(move |cx| {
            let polled = place.link.connection.shared.with(|state| {
                let Some(slot) = state.links.get_mut(place.link.key) else {
                    return Poll::Ready(Err(ConnectionError::Closed));
                };
                if let Some(value) = ready(slot) {
                    return Poll::Ready(Ok(value));
                }
                slot.life.wait(&mut place.place, cx.waker(), &mut state.wakes);
                Poll::Pending
            });
            polled.unwrap_or_else(|error| Poll::Ready(Err(error)))
        })
        .await
    }

    /// Detaches, once what is leaving has left or its time is over, and waits for the peer's answer.
    pub(crate) async fn detach(&self, kind: DetachKind, error: Option<Error>) -> Result<(), EndError> {
        self.connection.shared.with(|state| state.part_link(self.key, kind, error, Patience::Limited))?;
        match self.detached().await {
            DetachReason::Lost(error)
                if !matches!(error, ConnectionError::Closed | ConnectionError::ClosedByPeer) =>
            {
                Err(EndError::Lost(error))
            }
            DetachReason::Unanswered => Err(EndError::Unanswered),
            _ => Ok(()),
        }
    }

    pub(crate) async fn detached(&self) -> DetachReason {
        let reason = self
            .wait(|slot| match &slot.phase {
                LinkPhase::Detached(end) => Some(end.reason.clone()),
                _ => None,
            })
            .await;
        match reason {
            Ok(reason) => reason,
            Err(error) => DetachReason::Lost(error),
        }
    }

    /// New receipts for messages of an earlier process.
    pub(crate) fn take_restored(self: &Arc<Self>) -> Vec<(DeliveryTag, Receipt)> {
        let restored = self.connection.shared.with(|state| state.restored.remove(&self.key));
        // Poisoned: nothing is said of them.
        let restored = restored.ok().flatten().unwrap_or_default().into_iter();
        restored.map(|(tag, key)| (tag, Receipt::pending(Arc::clone(self), key))).collect()
    }

    /// Chooses how credit is granted, and grants the first unless the link begins stopped.
    pub(crate) fn start_receiving(&self, credit: CreditMode, at_first: Drain) {
        // Poisoned: nothing will be received.
        let _ = self.connection.shared.with(|state| state.start_granting(self.key, credit, at_first));
    }

    /// Tells the sender what became of a delivery.
    pub(crate) fn settle(
        &self,
        delivery: DeliveryId,
        outcome: &DeliveryState,
        settlement: impl FnOnce(ReceiverSettleMode) -> Settlement,
    ) -> Result<(), SettleError> {
        self.connection
            .shared
            .with(|state| {
                let Some(slot) = state.links.get(self.key) else {
                    return Err(SettleError::Detached(DetachReason::Local));
                };
                if let LinkPhase::Detached(end) = &slot.phase {
                    return Err(too_late(&end.reason));
                }
                state.is_touched = true;
                let settlement = settlement(slot.inbox.mode);
                state
                    .engine
                    .settle_delivery(slot.id, delivery, outcome, settlement)
                    .map_err(|_| SettleError::Detached(DetachReason::Local))
            })
            .unwrap_or_else(|error| Err(SettleError::Lost(error)))
    }
}

pub(crate) fn too_late(reason: &DetachReason) -> SettleError {
    match reason {
        DetachReason::Lost(error) => SettleError::Lost(error.clone()),
        other => SettleError::Detached(other.clone()),
    }
}

/// A place among those who wait on a link, given up when the future is dropped.
struct LinkPlace<'a> {
    link: &'a LinkInner,
    place: Option<Place>,
}

impl Drop for LinkPlace<'_> {
    fn drop(&mut self) {
        let (key, place) = (self.link.key, &mut self.place);
        if place.is_some() {
            // Poisoned: nobody waits any more.
            let _ = self.link.connection.shared.with(|state| {
                if let Some(slot) = state.links.get_mut(key) {
                    slot.life.leave(place, &mut state.wakes);
                }
            });
        }
    }
}
