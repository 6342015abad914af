//! Taking messages from one link after the other.

use std::sync::Arc;
#[cfg(feature = "futures")]
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::blueprint::Blueprint;
use super::hooks::Hooks;
use super::link::{Attached, Restored};
use super::receiver::Received;
#[cfg(feature = "futures")]
use super::receiver::RecoveringReceiver;
#[cfg(feature = "futures")]
use crate::handle::delivery::Delivery;
use crate::handle::options::ReceiverOptions;
#[cfg(feature = "futures")]
use crate::handle::streams::{self, Inlet};

impl<H: Hooks, B: Blueprint<H, Options = ReceiverOptions>> Restored<H, B> {
    /// Waits for the next message, on as many links as it takes.
    pub(super) async fn receive(self: &Arc<Self>) -> Result<Received<H::Context>, H::Error> {
        let mut attempt = 0;
        loop {
            let attached = match self.standing() {
                Some(attached) => attached,
                None => self.attached().await?,
            };
            match attached.link.recv().await {
                Ok(delivery) => {
                    self.use_credit(&attached);
                    return Ok(Received { delivery, live: attached.live });
                }
                Err(error) => self.go_on_after(&attached, &error, &mut attempt).await?,
            }
        }
    }

    /// The next message that is there.
    pub(super) fn take_waiting(&self) -> Option<Received<H::Context>> {
        loop {
            let attached = self.standing()?;
            if let Some(received) = self.take_from(&attached) {
                return Some(received);
            }
            let last = self.last().filter(|last| !Arc::ptr_eq(&last.link, &attached.link))?;
            if attached.link.is_attached() {
                // More may come on a link that is being left.
                return self.take_from(&last);
            }
            self.forget(&attached);
        }
    }

    fn take_from(&self, attached: &Attached<H, B>) -> Option<Received<H::Context>> {
        let delivery = attached.link.try_recv()?;
        self.use_credit(attached);
        Some(Received { delivery, live: Arc::clone(&attached.live) })
    }
}

/// A wait for a message that goes on between the steps of a stream.
#[cfg(feature = "futures")]
#[doc(hidden)]
#[expect(unnameable_types, reason = "only this crate's streams wait so")]
pub struct Receiving<E>(Option<Wait<E>>);

#[cfg(feature = "futures")]
type Wait<E> = Pin<Box<dyn Future<Output = Result<Delivery, E>> + Send>>;

#[cfg(feature = "futures")]
impl<E> Default for Receiving<E> {
    fn default() -> Self {
        Self(None)
    }
}

#[cfg(feature = "futures")]
impl<E> fmt::Debug for Receiving<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiving").field(&self.0.is_some()).finish()
    }
}

#[cfg(feature = "futures")]
impl<H: Hooks, B: Blueprint<H, Options = ReceiverOptions>> streams::sealed::Sealed
    for RecoveringReceiver<H, B>
{
}

#[cfg(feature = "futures")]
impl<H: Hooks, B: Blueprint<H, Options = ReceiverOptions>> Inlet for RecoveringReceiver<H, B> {
    type Receiver = Self;
    type Error = H::Error;
    type Wait = Receiving<H::Error>;

    fn receiver(&self) -> &Self {
        self
    }

    fn poll_delivery(
        &self,
        wait: &mut Receiving<H::Error>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Delivery, H::Error>> {
        if wait.0.is_none()
            && let Some(delivery) = self.try_recv()
        {
            return Poll::Ready(Ok(delivery));
        }
        let receiving = wait.0.get_or_insert_with(|| {
            let link = Arc::clone(self.link());
            Box::pin(async move { link.receive().await.map(|received| received.delivery) })
        });
        let received = ready!(receiving.as_mut().poll(cx));
        wait.0 = None;
        Poll::Ready(received)
    }

    fn leave(&self, wait: &mut Receiving<H::Error>) {
        wait.0 = None;
    }

    /// The layer's words for that are not known here.
    fn is_own_end(_error: &H::Error) -> bool {
        false
    }
}
