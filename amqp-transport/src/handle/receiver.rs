//! The receiving link.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use amqp_codec::{Attach, Error, Str};
use bytes::Bytes;

use super::delivery::Delivery;
use super::error::{DetachReason, RecvError};
use super::options::OnDrop;
use crate::driver::link::LinkInner;
use crate::driver::shared::{Drain, LinkPhase, State};
use crate::driver::wait::Place;
use crate::engine::{DetachKind, IncomingDelivery, LinkStats};
use crate::error::ConnectionError;

/// A link that receives (`AMQP 1.0 §2.6`).
///
/// Several tasks may receive from one link; each message goes to one of them. Dropping the receiver detaches the link
/// once the last of its deliveries is settled or gone, too; messages that nobody took stay with the peer.
#[derive(Debug)]
pub struct Receiver {
    link: Arc<LinkInner>,
    name: Str,
    on_drop: OnDrop,
}

impl Receiver {
    pub(crate) fn new(link: Arc<LinkInner>, name: Str, on_drop: OnDrop) -> Self {
        Self { link, name, on_drop }
    }

    pub(crate) fn link(&self) -> &Arc<LinkInner> {
        &self.link
    }

    /// Waits for the next message. Credit is renewed as messages are taken, see [`CreditMode`](super::options::CreditMode).
    ///
    /// # Errors
    /// When the link is detached or the connection is gone, and all messages received before have been taken.
    ///
    /// # Cancel safety
    /// Safe: no message is lost when the future is dropped.
    pub async fn recv(&self) -> Result<Delivery, RecvError> {
        let mut attempt = Attempt { receiver: self, place: None };
        poll_fn(|cx| attempt.poll(cx)).await
    }

    /// The next message if one is waiting.
    pub fn try_recv(&self) -> Option<Delivery> {
        let taken = self.link.connection.shared.with(|state| state.take(self.link.key));
        taken.ok().flatten().map(|delivery| self.delivery(delivery))
    }

    /// Grants the peer credit for so many further messages. For [`CreditMode::Manual`](super::options::CreditMode::Manual); with
    /// [`CreditMode::Auto`](super::options::CreditMode::Auto) the extra credit lasts until the next renewal.
    ///
    /// # Errors
    /// When the link is detached.
    pub fn add_credit(&self, messages: u32) -> Result<(), RecvError> {
        self.link
            .connection
            .shared
            .with(|state| {
                let Some(slot) = state.links.get_mut(self.link.key) else { return Ok(()) };
                if let LinkPhase::Detached(end) = &slot.phase {
                    return Err(over(&end.reason));
                }
                slot.inbox.drain = Drain::Off;
                let credit = state.engine.link_credit(slot.id).saturating_add(messages);
                // Stale: the link's end is on its way as an event.
                let _ = state.engine.set_credit(slot.id, credit);
                state.is_touched = true;
                Ok(())
            })
            .unwrap_or_else(|error| Err(RecvError::Lost(error)))
    }

    /// Grants credit for messages that are acquired under a transaction.
    pub(crate) fn acquire(&self, messages: u32, txn_id: Bytes) -> Result<(), RecvError> {
        let id = self.link.id;
        self.add_credit(messages)?;
        self.link.connection.shared.with(|state| {
            // Stale: the link's end is on its way as an event.
            let _ = state.engine.set_acquiring(id, txn_id);
            state.is_touched = true;
        })?;
        Ok(())
    }

    /// Asks the peer to send what it has within the credit it holds and to give the rest back
    /// (`AMQP 1.0 §2.6.7`). Afterwards no credit is left, and everything sent is there for
    /// [`try_recv`](Self::try_recv). With [`CreditMode::Auto`](super::options::CreditMode::Auto) the next waiting [`recv`](Self::recv) grants anew.
    ///
    /// # Errors
    /// When the link is detached or the connection is gone before the peer answered.
    ///
    /// # Cancel safety
    /// Safe; the drain itself goes on.
    pub async fn drain(&self) -> Result<(), RecvError> {
        self.link.connection.shared.with(|state| {
            let Some(slot) = state.links.get_mut(self.link.key) else { return };
            slot.inbox.drain = Drain::Asked;
            // Stale: the link's end is on its way as an event.
            let _ = state.engine.drain(slot.id);
            state.is_touched = true;
        })?;
        self.link
            .wait(|slot| match &slot.phase {
                LinkPhase::Detached(end) => Some(Err(over(&end.reason))),
                _ => (slot.inbox.drain != Drain::Asked).then_some(Ok(())),
            })
            .await?
    }

    /// Detaches the link for good and waits for the peer's answer. Idempotent. Unsettled deliveries can no longer be
    /// settled afterwards; the peer decides what becomes of them.
    ///
    /// # Errors
    /// When the connection is lost before.
    ///
    /// # Cancel safety
    /// Safe: once polled, detaching goes on in the connection's task.
    pub async fn detach(&self) -> Result<(), ConnectionError> {
        self.link.detach(DetachKind::Closed, None).await
    }

    /// Detaches the link for good and tells the peer why. Otherwise as [`detach`](Self::detach).
    ///
    /// # Errors
    /// As [`detach`](Self::detach).
    ///
    /// # Cancel safety
    /// As [`detach`](Self::detach).
    pub async fn detach_with_error(&self, error: Error) -> Result<(), ConnectionError> {
        self.link.detach(DetachKind::Closed, Some(error)).await
    }

    /// Waits until the link is detached and says why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn detached(&self) -> DetachReason {
        self.link.detached().await
    }

    /// Whether the link can be used.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.link.look(|slot| matches!(slot.phase, LinkPhase::Attached)).unwrap_or(false)
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The link's credit and what has passed over it; `None` once it is detached.
    #[must_use]
    pub fn stats(&self) -> Option<LinkStats> {
        self.link.connection.shared.with(|state| state.engine.link_stats(self.link.id)).ok().flatten()
    }

    /// The peer's attach: its termini, modes, limits and properties. Decoded anew each time.
    #[must_use]
    pub fn remote_attach(&self) -> Option<Attach> {
        self.link.remote_attach()
    }

    /// Messages received and not yet taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.link.look(|slot| slot.inbox.deliveries.len()).unwrap_or(0)
    }

    /// One step of waiting for a message at a place that outlives the step.
    #[cfg(feature = "futures")]
    pub(crate) fn poll_recv(
        &self,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Result<Delivery, RecvError>> {
        let mut attempt = Attempt { receiver: self, place: place.take() };
        let taken = attempt.poll(cx);
        *place = attempt.place.take();
        taken
    }

    /// Gives up such a place.
    #[cfg(feature = "futures")]
    pub(crate) fn leave_queue(&self, place: &mut Option<Place>) {
        drop(Attempt { receiver: self, place: place.take() });
    }

    fn delivery(&self, delivery: IncomingDelivery) -> Delivery {
        Delivery::new(&self.link, delivery, self.on_drop)
    }
}

/// One wait for a message. Dropping it passes a wake-up it did not use to the next.
struct Attempt<'a> {
    receiver: &'a Receiver,
    place: Option<Place>,
}

impl Attempt<'_> {
    #[inline]
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Delivery, RecvError>> {
        let (receiver, place) = (self.receiver, &mut self.place);
        let key = receiver.link.key;
        let polled = receiver.link.connection.shared.with(|state| {
            if let Some(delivery) = state.take(key) {
                state.leave_receive_queue(key, place);
                return Poll::Ready(Ok(receiver.delivery(delivery)));
            }
            let Some(slot) = state.links.get_mut(key) else {
                return Poll::Ready(Err(RecvError::Detached(DetachReason::Local)));
            };
            if let LinkPhase::Detached(end) = &slot.phase {
                let error = over(&end.reason);
                slot.queue.leave(place, &mut state.wakes);
                return Poll::Ready(Err(error));
            }
            slot.queue.wait(place, cx.waker(), &mut state.wakes);
            if slot.inbox.drain == Drain::Done {
                state.grant(key);
            }
            Poll::Pending
        });
        polled.unwrap_or_else(|error| Poll::Ready(Err(RecvError::Lost(error))))
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (link, place) = (&self.receiver.link, &mut self.place);
        let key = link.key;
        if place.is_some() {
            // Poisoned: nobody waits any more.
            let _ = link.connection.shared.with(|state| state.leave_receive_queue(key, place));
        }
    }
}

impl State {
    /// Gives up a place in a receiver's queue; a wake-up not used goes to the next while messages wait.
    fn leave_receive_queue(&mut self, key: usize, place: &mut Option<Place>) {
        let Some(slot) = self.links.get_mut(key) else { return };
        slot.queue.leave(place, &mut self.wakes);
        if slot.queue.has_waiting() {
            slot.queue.notify(slot.inbox.deliveries.len(), &mut self.wakes);
        }
    }
}

fn over(reason: &DetachReason) -> RecvError {
    match reason {
        DetachReason::Lost(error) => RecvError::Lost(error.clone()),
        other => RecvError::Detached(other.clone()),
    }
}
