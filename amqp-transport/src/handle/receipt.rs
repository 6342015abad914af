//! The receipt for a message that was handed over.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use amqp_codec::{DeliveryState, Outcome};

use super::error::{DetachReason, SendError};
use crate::driver::link::LinkInner;
use crate::driver::pending::{Conclusion, PendingPhase, undecided};

/// The outcome of a message, to be awaited. Dropping it discards the outcome; the message goes its way, whole, even if
/// its sender, session and connection are dropped as well: they end when it has left. Only a connection that is lost, or
/// one that closes while the peer takes nothing for
/// [`Limits::leave_time_out`](crate::engine::Limits::leave_time_out), cuts it off.
///
/// Ends exactly once: with an outcome the peer gave, with an error that proves that the message was not taken, or with
/// [`SendError::OutcomeUnknown`].
///
/// On a link that is settled by its application ([`Settling::ByApplication`](crate::Settling)) the outcome is only what the
/// peer *wants*: [`decide`](Self::decide) hands it over with the right to answer otherwise. Awaited plainly, the receipt
/// goes along with the peer. Dropped, nobody is there to answer: a peer that leaves the settling to this side hears
/// that its outcome was not taken.
#[derive(Debug)]
#[must_use = "a receipt that is not awaited says nothing about the message"]
pub struct Receipt {
    state: ReceiptState,
}

#[derive(Debug)]
enum ReceiptState {
    Settled,
    Pending(Arc<LinkInner>, u64),
    Taken,
}

impl Receipt {
    pub(crate) fn pending(link: Arc<LinkInner>, key: u64) -> Self {
        Self { state: ReceiptState::Pending(link, key) }
    }

    /// A message sent settled: handed over, which is all that will ever be known.
    pub(crate) fn settled() -> Self {
        Self { state: ReceiptState::Settled }
    }

    /// Whether nothing more will be known.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self.state, ReceiptState::Settled)
    }
}

impl Receipt {
    /// Settles the message from this side with this state, unless the peer has settled it already
    /// (`AMQP 1.0 §2.6.12`): what the peer makes of it afterwards counts for nothing, and this receipt ends with
    /// [`SendError::NoOutcome`]. Returns whether it did so. For senders that lend a message out for a time.
    pub fn settle(&self, state: DeliveryState) -> bool {
        let ReceiptState::Pending(link, key) = &self.state else { return false };
        let settled = link.connection.shared.with(|shared| shared.settle_pending(*key, state));
        settled.unwrap_or(false)
    }

    /// Waits for the peer's outcome, without settling yet where that is left to this side: the answer is the caller's
    /// (`AMQP 1.0 §2.6.12`). On a link that settles automatically, or when the peer has settled, nothing is left to
    /// decide. For senders that must first see whether they can take an outcome, a lock being still held for instance.
    ///
    /// # Errors
    /// As the receipt itself, which is used up by it.
    ///
    /// # Cancel safety
    /// Safe: the receipt can be asked again.
    pub async fn decide(&mut self) -> Result<Undecided, SendError> {
        let (conclusion, held) = poll_fn(|cx| self.poll_told(cx)).await;
        Result::from(conclusion).map(|outcome| Undecided { outcome, held })
    }

    /// The message's end, with the message where this side has still to settle it.
    fn poll_told(&mut self, cx: &Context<'_>) -> Poll<(Conclusion, Option<Held>)> {
        let (link, key) = match &self.state {
            ReceiptState::Settled => {
                self.state = ReceiptState::Taken;
                return Poll::Ready((Conclusion::Accepted, None));
            }
            ReceiptState::Pending(link, key) => (link, key),
            ReceiptState::Taken => return Poll::Ready((Err(SendError::NoOutcome).into(), None)),
        };
        if link.connection.shared.is_settled(*key) {
            self.state = ReceiptState::Taken;
            return Poll::Ready((Conclusion::Accepted, None));
        }
        let polled = link.connection.shared.with(|state| {
            let Some(pending) = state.pending.get_mut(*key) else {
                return Poll::Ready((Conclusion::Accepted, IsOurs::No));
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
                PendingPhase::Told(told) => {
                    let told = told.clone();
                    pending.phase = PendingPhase::Deciding;
                    Poll::Ready((told, IsOurs::Yes))
                }
                phase => {
                    let done = std::mem::replace(phase, PendingPhase::Discarded);
                    state.pending.free(*key);
                    let conclusion = match done {
                        PendingPhase::Done(conclusion) => conclusion,
                        _ => Err(SendError::NoOutcome).into(),
                    };
                    Poll::Ready((conclusion, IsOurs::No))
                }
            }
        });
        let told = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(told)) => told,
            Err(lost) => (Err(SendError::OutcomeUnknown(DetachReason::Lost(lost))).into(), IsOurs::No),
        };
        let taken = std::mem::replace(&mut self.state, ReceiptState::Taken);
        Poll::Ready(match (told, taken) {
            ((conclusion, IsOurs::Yes), ReceiptState::Pending(link, key)) => (conclusion, Some((link, key))),
            ((conclusion, _), _) => (conclusion, None),
        })
    }
}

impl Future for Receipt {
    type Output = Result<Outcome, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_told(cx).map(|(conclusion, held)| {
            let told = Result::from(conclusion);
            if held.is_none() { told } else { told.map(|outcome| Undecided { outcome, held }.concur()) }
        })
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let ReceiptState::Pending(link, key) = &self.state else { return };
        if link.connection.shared.is_settled(*key) {
            return;
        }
        // Poisoned: nobody is told anything any more.
        let _ = link.connection.shared.with(|state| state.discard_pending(*key));
    }
}

/// What a peer wants to become of a message that it has received, and the right to answer (`AMQP 1.0 §2.6.12`).
///
/// Dropped without an answer the message is settled as rejected with `amqp:internal-error`: a peer whose outcome was not
/// taken must not believe that it was.
#[derive(Debug)]
#[must_use = "the peer waits for its outcome to be settled"]
pub struct Undecided {
    outcome: Outcome,
    /// The message; none when it is settled.
    held: Option<Held>,
}

/// A message that waits for this side to settle it: its link, and its key there.
type Held = (Arc<LinkInner>, u64);

impl Undecided {
    /// The outcome that the peer told.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Settles the message with this state, which is the last word on it. Returns whether it was still unsettled: the
    /// peer may have settled it, or the link may have ended.
    pub fn settle(mut self, state: DeliveryState) -> bool {
        self.settle_held(state)
    }

    /// Settles the message as the peer wants it, and gives the outcome.
    pub fn concur(mut self) -> Outcome {
        if self.held.is_some() {
            let state = DeliveryState::from(self.outcome.clone());
            self.settle_held(state);
        }
        std::mem::replace(&mut self.outcome, Outcome::Accepted)
    }

    fn settle_held(&mut self, state: DeliveryState) -> bool {
        let Some((link, key)) = self.held.take() else { return false };
        let settled = link.connection.shared.with(|shared| {
            let settled = shared.settle_pending(key, state);
            shared.discard_pending(key);
            settled
        });
        // Poisoned: nobody is told anything any more.
        settled.unwrap_or(false)
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if self.held.is_some() {
            self.settle_held(undecided());
        }
    }
}

/// Whether a message waits for this side to settle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IsOurs {
    Yes,
    No,
}
