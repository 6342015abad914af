//! Receivers as streams, for programs that are built of those (feature `futures`).
//!
//! Owns no more than a place in the link's queue.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::delivery::Delivery;
use super::error::{DetachReason, RecvError};
use super::receiver::Receiver;
use crate::driver::wait::Place;

/// What a stream takes messages from: a [`Receiver`] or a [`RecoveringReceiver`](crate::recovery::RecoveringReceiver),
/// owned or borrowed. Nobody else can be one.
pub trait Inlet: sealed::Sealed {
    /// The receiver itself.
    type Receiver;
    /// Why no more messages come.
    type Error;
    #[doc(hidden)]
    type Wait: Default + Unpin;

    #[doc(hidden)]
    fn receiver(&self) -> &Self::Receiver;

    #[doc(hidden)]
    fn poll_delivery(
        &self,
        wait: &mut Self::Wait,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Delivery, Self::Error>>;

    #[doc(hidden)]
    fn leave(&self, wait: &mut Self::Wait);

    /// Whether it is over because this side wished it so.
    #[doc(hidden)]
    fn is_own_end(error: &Self::Error) -> bool;
}

pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "what cannot be named cannot be implemented by others")]
    pub trait Sealed {}
    impl Sealed for super::Receiver {}
    impl<R: Sealed> Sealed for &R {}
}

/// The messages of a receiver as a stream. It ends when this side detaches the link, and after an error.
///
/// Dropping it loses no message: those that were not taken stay with the receiver, where it still exists.
#[must_use = "streams do nothing unless polled"]
pub struct Deliveries<R: Inlet> {
    receiver: R,
    wait: R::Wait,
    is_over: bool,
}

impl Receiver {
    /// The messages as a stream that borrows the receiver.
    pub fn deliveries(&self) -> Deliveries<&Self> {
        Deliveries::new(self)
    }

    /// The messages as a stream that owns the receiver.
    pub fn into_deliveries(self) -> Deliveries<Self> {
        Deliveries::new(self)
    }
}

impl<R: Inlet> Deliveries<R> {
    pub(crate) fn new(receiver: R) -> Self {
        Self { receiver, wait: R::Wait::default(), is_over: false }
    }

    /// The receiver.
    pub fn receiver(&self) -> &R::Receiver {
        self.receiver.receiver()
    }
}

impl<R: Inlet + Unpin> Stream for Deliveries<R> {
    type Item = Result<Delivery, R::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let taken = ready!(this.receiver.poll_delivery(&mut this.wait, cx));
        this.is_over = taken.is_err();
        Poll::Ready(match taken {
            Err(error) if R::is_own_end(&error) => None,
            other => Some(other),
        })
    }
}

impl<R: Inlet> Drop for Deliveries<R> {
    fn drop(&mut self) {
        self.receiver.leave(&mut self.wait);
    }
}

impl<R: Inlet + fmt::Debug> fmt::Debug for Deliveries<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries")
            .field("receiver", &self.receiver)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

/// A place in a link's queue.
#[doc(hidden)]
#[derive(Debug, Default)]
#[expect(unnameable_types, reason = "only this crate's streams and sinks wait so")]
pub struct Queued(pub(super) Option<Place>);

impl Inlet for Receiver {
    type Receiver = Self;
    type Error = RecvError;
    type Wait = Queued;

    fn receiver(&self) -> &Self {
        self
    }

    fn poll_delivery(&self, wait: &mut Queued, cx: &mut Context<'_>) -> Poll<Result<Delivery, RecvError>> {
        self.poll_recv(&mut wait.0, cx)
    }

    fn leave(&self, wait: &mut Queued) {
        self.leave_queue(&mut wait.0);
    }

    fn is_own_end(error: &RecvError) -> bool {
        matches!(error, RecvError::Detached(DetachReason::Local))
    }
}

impl<R: Inlet> Inlet for &R {
    type Receiver = R::Receiver;
    type Error = R::Error;
    type Wait = R::Wait;

    fn receiver(&self) -> &R::Receiver {
        (**self).receiver()
    }

    fn poll_delivery(&self, wait: &mut R::Wait, cx: &mut Context<'_>) -> Poll<Result<Delivery, R::Error>> {
        (**self).poll_delivery(wait, cx)
    }

    fn leave(&self, wait: &mut R::Wait) {
        (**self).leave(wait);
    }

    fn is_own_end(error: &R::Error) -> bool {
        R::is_own_end(error)
    }
}
