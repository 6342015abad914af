//! The receipt for a message that was handed over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use amqp_codec::{DeliveryState, Outcome};

use super::error::{DetachReason, SendError};
use crate::driver::link::LinkInner;
use crate::driver::shared::{Pending, PendingPhase};

/// The outcome of a message, to be awaited. Dropping it discards the outcome; the message goes its way.
///
/// Ends exactly once: with an outcome the peer gave, with an error that proves that the message was not taken, or with
/// [`SendError::OutcomeUnknown`].
#[derive(Debug)]
#[must_use = "a receipt that is not awaited says nothing about the message"]
pub struct Receipt {
    state: ReceiptState,
}

#[derive(Debug)]
enum ReceiptState {
    Settled,
    Pending(Arc<LinkInner>, usize),
    Taken,
}

impl Receipt {
    pub(crate) fn pending(link: Arc<LinkInner>, key: usize) -> Self {
        Self { state: ReceiptState::Pending(link, key) }
    }

    /// A message sent settled: handed over, which is all that will ever be known.
    pub(crate) fn settled() -> Self {
        Self { state: ReceiptState::Settled }
    }
}

impl Receipt {
    /// Settles the message from this side with this state, unless the peer has settled it already
    /// (`AMQP 1.0 §2.6.12`): what the peer makes of it afterwards counts for nothing, and this receipt ends with
    /// [`SendError::NoOutcome`]. Returns whether it did so. For senders that lend a message out for a time.
    pub fn settle(&self, state: DeliveryState) -> bool {
        let ReceiptState::Pending(link, key) = &self.state else { return false };
        let settled = link.connection.shared.with(|connection| {
            let is_waiting = |pending: &&Pending| matches!(pending.phase, PendingPhase::Waiting(_));
            let pending = connection.pending.get(*key).filter(is_waiting);
            let Some(delivery) = pending.and_then(|pending| pending.delivery) else { return false };
            // Stale: the link is over, and with it the delivery.
            let is_settled = connection.engine.settle_sent(link.id, delivery, state).unwrap_or(false);
            if is_settled {
                connection.is_touched = true;
                connection.resolve(*key, Err(SendError::NoOutcome));
            }
            is_settled
        });
        settled.unwrap_or(false)
    }
}

impl Future for Receipt {
    type Output = Result<Outcome, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (link, key) = match &self.state {
            ReceiptState::Settled => {
                self.state = ReceiptState::Taken;
                return Poll::Ready(Ok(Outcome::Accepted));
            }
            ReceiptState::Pending(link, key) => (link, key),
            ReceiptState::Taken => return Poll::Ready(Err(SendError::NoOutcome)),
        };
        let polled = link.connection.shared.with(|state| {
            let Some(pending) = state.pending.get_mut(*key) else {
                return Poll::Ready(Err(SendError::NoOutcome));
            };
            match &mut pending.phase {
                PendingPhase::Waiting(waker) => {
                    if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker()))
                        && let Some(old) = waker.replace(cx.waker().clone())
                    {
                        state.wakes.discard(old);
                    }
                    Poll::Pending
                }
                _ => Poll::Ready(match state.pending.remove(*key).map(|pending| pending.phase) {
                    Some(PendingPhase::Done(result)) => result,
                    _ => Err(SendError::NoOutcome),
                }),
            }
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => {
                self.state = ReceiptState::Taken;
                Poll::Ready(result)
            }
            Err(error) => {
                self.state = ReceiptState::Taken;
                Poll::Ready(Err(SendError::OutcomeUnknown(DetachReason::Lost(error))))
            }
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let ReceiptState::Pending(link, key) = &self.state else { return };
        // Poisoned: nobody is told anything any more.
        let _ = link.connection.shared.with(|state| {
            let Some(pending) = state.pending.get_mut(*key) else { return };
            match std::mem::replace(&mut pending.phase, PendingPhase::Discarded) {
                PendingPhase::Done(_) => {
                    state.pending.remove(*key);
                }
                PendingPhase::Waiting(Some(waker)) => state.wakes.discard(waker),
                _ => {}
            }
        });
    }
}
