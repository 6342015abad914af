//! A received message and its settlement.

use std::future::poll_fn;
use std::mem::discriminant;
use std::sync::Arc;
use std::task::{Context, Poll};

use amqp_codec::{
    DecodeError, DecodeLimits, DeliveryState, DeliveryTag, Error, Message, MessageView, Modified,
    ReceiverSettleMode, Rejected,
};
use bytes::Bytes;

use super::error::{DetachReason, SettleError};
use super::options::OnDrop;
use crate::driver::inbox::Confirmation;
use crate::driver::link::{LinkInner, too_late};
use crate::driver::shared::State;
use crate::driver::slots::LinkPhase;
use crate::driver::survivors::by_mode;
use crate::engine::{DeliveryId, DetachKind, IncomingDelivery, Settlement};
use crate::transaction::transaction_of;

/// A message that was received, to be settled by one of its consuming methods.
///
/// Dropped unsettled, it is released or left alone as the receiver's [`OnDrop`] says; it is never accepted in silence.
#[derive(Debug)]
#[must_use = "a delivery that is dropped is released, not accepted"]
pub struct Delivery {
    /// None where the sender has settled: nothing will be told to it.
    link: Option<Arc<LinkInner>>,
    inner: IncomingDelivery,
    on_drop: OnDrop,
    is_done: bool,
}

impl Delivery {
    pub(crate) fn new(link: &Arc<LinkInner>, inner: IncomingDelivery, on_drop: OnDrop) -> Self {
        let is_done = inner.is_settled;
        let link = (!is_done).then(|| Arc::clone(link));
        Self { link, inner, on_drop, is_done }
    }

    /// A message that had come settled, of a link that is no more.
    pub(crate) fn settled(inner: IncomingDelivery) -> Self {
        Self { link: None, inner, on_drop: OnDrop::default(), is_done: true }
    }

    /// Decodes the whole message.
    ///
    /// # Errors
    /// When the octets are not a message (`AMQP 1.0 §3.2`), with the offset of the fault.
    pub fn message(&self) -> Result<Message, DecodeError> {
        Message::decode(&self.inner.message, &MESSAGE_LIMITS)
    }

    /// Walks the sections once; fields are decoded when asked for.
    ///
    /// # Errors
    /// When the octets are not a message (`AMQP 1.0 §3.2`).
    pub fn view(&self) -> Result<MessageView<'_>, DecodeError> {
        MessageView::parse(&self.inner.message, &MESSAGE_LIMITS)
    }

    /// The encoded message.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.inner.message
    }

    /// The delivery's tag.
    #[must_use]
    pub fn tag(&self) -> &DeliveryTag {
        &self.inner.tag
    }

    /// The message format; 0 is the AMQP message format.
    #[must_use]
    pub fn message_format(&self) -> u32 {
        self.inner.message_format
    }

    /// Whether the sender settled it before: no outcome is wanted.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.inner.is_settled
    }

    /// The sender's state, if it gave one.
    #[must_use]
    pub fn state(&self) -> Option<&DeliveryState> {
        self.inner.state.as_deref()
    }

    /// The transaction that the message was sent or acquired under (`AMQP 1.0 §4.4`): it must not take effect before that
    /// is discharged.
    //
    #[must_use]
    pub fn transaction(&self) -> Option<&Bytes> {
        self.state().and_then(transaction_of)
    }

    /// Accepts the message: this side is responsible for it from now on (`AMQP 1.0 §3.4.2`).
    ///
    /// The outcome is handed to the connection's task; if the connection breaks before it reaches the peer, the peer
    /// delivers again.
    ///
    /// # Errors
    /// When the link or connection is gone.
    pub fn accept(self) -> Result<(), SettleError> {
        self.settle(&DeliveryState::Accepted)
    }

    /// Rejects the message as invalid: it must not be delivered again (`AMQP 1.0 §3.4.3`).
    ///
    /// # Errors
    /// When the link or connection is gone.
    pub fn reject(self, error: Option<Error>) -> Result<(), SettleError> {
        self.settle(&DeliveryState::Rejected(Rejected { error }))
    }

    /// Gives the message back: it may be delivered again, to anyone (`AMQP 1.0 §3.4.4`).
    ///
    /// # Errors
    /// When the link or connection is gone.
    pub fn release(self) -> Result<(), SettleError> {
        self.settle(&DeliveryState::Released)
    }

    /// Gives the message back changed, for instance with its delivery-count raised (`AMQP 1.0 §3.4.5`).
    ///
    /// # Errors
    /// When the link or connection is gone.
    pub fn modify(self, modified: Modified) -> Result<(), SettleError> {
        self.settle(&DeliveryState::Modified(modified))
    }

    /// Settles with any delivery state, for instance one of an extension.
    ///
    /// # Errors
    /// When the link or connection is gone.
    pub fn settle_with(self, state: DeliveryState) -> Result<(), SettleError> {
        self.settle(&state)
    }

    /// Accepts the message and, on a link in mode second, waits until the sender has settled it, too
    /// (`AMQP 1.0 §2.6.12`). On a link in mode first it is the same as [`accept`](Self::accept).
    ///
    /// # Errors
    /// When the link or connection is gone before, or the sender settled the message in its own way.
    ///
    /// # Cancel safety
    /// Once polled the message is accepted; dropping the future only stops waiting.
    pub async fn accept_confirmed(self) -> Result<(), SettleError> {
        self.settle_confirmed(DeliveryState::Accepted).await
    }

    /// As [`accept_confirmed`](Self::accept_confirmed), with any delivery state.
    ///
    /// # Errors
    /// When the link or connection is gone before, or the sender settled the message in its own way.
    ///
    /// # Cancel safety
    /// Once polled the state is told; dropping the future only stops waiting.
    pub async fn settle_confirmed(mut self, state: DeliveryState) -> Result<(), SettleError> {
        self.is_done = true;
        let Some(link) = &self.link else { return Ok(()) };
        let mode = link.look(|slot| slot.inbox.mode).unwrap_or_default();
        if mode == ReceiverSettleMode::First {
            return self.tell(&state, by_mode);
        }
        let Some(line) = link.line().cloned() else { return self.confirmed(link, &state).await };
        loop {
            let Some(link) = &self.link else { return Ok(()) };
            match self.confirmed(link, &state).await {
                // A link that goes on with it can tell.
                Err(SettleError::Lost(_) | SettleError::Detached(_)) => {
                    let mut leaving = Leaving { delivery: &self, state: Some(&state) };
                    let adopted = line.adopt(link, self.inner.tag).await;
                    leaving.state = None;
                    drop(leaving);
                    let (link, id) = match adopted {
                        Err(SettleError::Overruled(Some(other))) if goes_along(&other, &state) => {
                            return Ok(());
                        }
                        other => other?,
                    };
                    self = self.moved_to(link, id);
                    self.is_done = true;
                }
                end => return end,
            }
        }
    }

    /// Tells an outcome in mode second and waits for the sender's settlement.
    async fn confirmed(&self, link: &LinkInner, state: &DeliveryState) -> Result<(), SettleError> {
        let confirmation = Waiting::begin(link, self.inner.id)?;
        link.settle(self.inner.id, state, |_| Settlement::Unsettled)?;
        match confirmation.settled().await? {
            // The sender's last word counts: it may have given the message to somebody else meanwhile.
            Some(other) if !goes_along(&other, state) => Err(SettleError::Overruled(Some(other))),
            _ => Ok(()),
        }
    }

    /// Lets the delivery go without an outcome. It stays unsettled until the link ends; what becomes of it is the
    /// peer's decision.
    pub fn leave_unsettled(mut self) {
        self.is_done = true;
    }

    /// Detaches the link with an error, and leaves the delivery to its sender without an outcome. For one that wants one.
    pub(crate) fn detach_link(mut self, error: Error) {
        self.is_done = true;
        let Some(link) = &self.link else { return };
        // Poisoned, or gone already: the sender hears of no outcome either way.
        let _ = link.connection.shared.with(|state| {
            let _ = state.engine.detach(link.id, DetachKind::Closed, Some(error));
            state.is_touched = true;
        });
    }

    /// The link that it came on; none where the sender has settled.
    pub(crate) fn link(&self) -> Option<&Arc<LinkInner>> {
        self.link.as_ref()
    }

    /// The same delivery on the link that goes on with it.
    pub(crate) fn moved_to(mut self, link: Arc<LinkInner>, id: DeliveryId) -> Self {
        self.is_done = true;
        let inner = IncomingDelivery { id, ..self.inner.clone() };
        Self { link: Some(link), inner, on_drop: self.on_drop, is_done: false }
    }

    fn settle(mut self, state: &DeliveryState) -> Result<(), SettleError> {
        self.is_done = true;
        self.tell(state, by_mode)
    }

    /// Tells an outcome on the link that it came on, or on the one that goes on with it.
    fn tell(
        &self,
        state: &DeliveryState,
        settlement: impl FnOnce(ReceiverSettleMode) -> Settlement,
    ) -> Result<(), SettleError> {
        let Some(link) = &self.link else { return Ok(()) };
        let told = link.settle(self.inner.id, state, settlement);
        match (told, link.line()) {
            (Err(error), Some(line)) => line.decide(link, &self.inner.tag, state.clone(), error),
            (told, _) => told,
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.is_done && self.on_drop == OnDrop::Release {
            // Gone already: the peer delivers again by itself.
            let _ = self.tell(&DeliveryState::Released, |_| Settlement::Settled);
        }
    }
}

/// Whether a sender that settles with this state takes the outcome it was told. One that rejects for a reason of its own
/// does not, even where the outcome was a rejection.
fn goes_along(settled: &DeliveryState, told: &DeliveryState) -> bool {
    match (settled, told) {
        (DeliveryState::Rejected(settled), DeliveryState::Rejected(told)) => {
            settled.error.is_none() || settled.error == told.error
        }
        _ => discriminant(settled) == discriminant(told),
    }
}

/// An outcome that waits for a link to be told on. Dropped before, it is told as soon as there is one.
struct Leaving<'a> {
    delivery: &'a Delivery,
    state: Option<&'a DeliveryState>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.state {
            // Over: nobody waits for it any more.
            let _ = self.delivery.tell(state, by_mode);
        }
    }
}

/// An outcome told in mode second that waits for the sender's settlement.
struct Waiting<'a> {
    link: &'a LinkInner,
    delivery: DeliveryId,
}

impl<'a> Waiting<'a> {
    fn begin(link: &'a LinkInner, delivery: DeliveryId) -> Result<Self, SettleError> {
        link.connection
            .shared
            .with(|state| match state.links.get_mut(link.key) {
                Some(slot)
                    if !state.engine.is_unsettled(slot.id, delivery)
                        && matches!(slot.phase, LinkPhase::Attached) =>
                {
                    Err(SettleError::Overruled(None))
                }
                Some(slot) => {
                    slot.inbox.confirmations.insert(delivery, Confirmation::default());
                    Ok(Self { link, delivery })
                }
                None => Err(SettleError::Detached(DetachReason::Local)),
            })
            .unwrap_or_else(|error| Err(SettleError::Lost(error)))
    }

    async fn settled(self) -> Result<Option<DeliveryState>, SettleError> {
        poll_fn(|cx| {
            let polled = self.link.connection.shared.with(|state| self.poll(state, cx));
            polled.unwrap_or_else(|error| Poll::Ready(Err(SettleError::Lost(error))))
        })
        .await
    }

    /// Looks for its own settlement alone, however many wait.
    fn poll(&self, state: &mut State, cx: &Context<'_>) -> Poll<Result<Option<DeliveryState>, SettleError>> {
        let gone = || Poll::Ready(Err(SettleError::Detached(DetachReason::Local)));
        let Some(slot) = state.links.get_mut(self.link.key) else { return gone() };
        let Some(waiting) = slot.inbox.confirmations.get_mut(&self.delivery) else { return gone() };
        if let Some(settled) = waiting.settled.take() {
            return Poll::Ready(Ok(settled));
        }
        if let LinkPhase::Detached(end) = &slot.phase {
            return Poll::Ready(Err(too_late(&end.reason)));
        }
        if let Some(old) = waiting.waker.replace(cx.waker().clone()) {
            state.wakes.discard(old);
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let (key, id) = (self.link.key, self.delivery);
        // Poisoned: nobody waits any more.
        let _ = self.link.connection.shared.with(|state| {
            let slot = state.links.get_mut(key);
            if let Some(old) = slot.and_then(|slot| slot.inbox.confirmations.remove(&id)?.waker) {
                state.wakes.discard(old);
            }
        });
    }
}

/// What is read of a message: not more than messages may have.
const MESSAGE_LIMITS: DecodeLimits = DecodeLimits::message();
