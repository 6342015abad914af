//! Receiving from as many links and connections as it takes.

use std::fmt;
use std::sync::Arc;

use super::blueprint::{Blueprint, Keeping};
use super::connection::RecoveringConnection;
use super::hooks::{Direct, Hooks, LinkVerdict};
use super::link::{Forgotten, Restored};
use super::live::Live;
use super::sender::{Resend, Unsettled};
use crate::handle::delivery::Delivery;
use crate::handle::error::RecvError;
use crate::handle::options::ReceiverOptions;

/// A link that receives and comes back by itself, with the credit it had.
#[derive(Debug)]
pub struct RecoveringReceiver<H: Hooks = Direct, B: Blueprint<H, Options = ReceiverOptions> = ReceiverOptions>
{
    link: Arc<Restored<H, B>>,
}

/// A delivery and the connection it came on.
pub struct Received<C> {
    /// The delivery. Settling it fails once its connection is lost, unless the receiver
    /// [resumes](RecoveringReceiver::unsettled) its link.
    pub delivery: Delivery,
    /// The connection it came on.
    pub live: Arc<Live<C>>,
}

impl<C> fmt::Debug for Received<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.live.generation();
        f.debug_struct("Received").field("delivery", &self.delivery).field("generation", &generation).finish()
    }
}

impl<H: Hooks, B: Blueprint<H, Options = ReceiverOptions>> Drop for RecoveringReceiver<H, B> {
    fn drop(&mut self) {
        self.link.abandon();
    }
}

impl<H: Hooks, B: Blueprint<H, Options = ReceiverOptions>> RecoveringReceiver<H, B> {
    pub(super) fn new(connection: RecoveringConnection<H>, blueprint: B) -> Self {
        Self { link: Arc::new(Restored::new(connection, blueprint)) }
    }

    /// What becomes of deliveries that the application holds unsettled when the link is lost. Default
    /// [`Unsettled::Forget`]: settling them fails, and the peer delivers again. For links attached from here on.
    ///
    /// With [`Unsettled::Resume`] the link is resumed on the next connection (`AMQP 1.0 §2.6.13`), whether anybody receives
    /// or not, and the deliveries stay the application's, those not yet taken included. An outcome is told on the link that
    /// goes on, or noted while there is none and told when it comes. Where the sender has settled or forgotten the delivery
    /// meanwhile, deciding about it says [`SettleError::Overruled`](crate::SettleError::Overruled) once that is known; an
    /// outcome that was noted before comes to nothing then, as one that did not reach the peer always does.
    /// [`Delivery::accept_confirmed`] on a link in mode second waits until the sender has settled, on whichever link that
    /// is. Where no link goes on, because recovery gave up, none was attached within the
    /// [operation time-out](super::RecoveryOptions::operation_timeout) or this receiver is gone, settling fails as without
    /// resuming.
    ///
    /// In mode first an outcome that was told and did not reach the peer has the peer send the message again; in mode second
    /// nothing is received twice from a peer that resumes.
    #[must_use]
    pub fn unsettled(self, unsettled: Unsettled) -> Self {
        self.link.keep(match unsettled {
            Unsettled::Forget => None,
            Unsettled::Resume { .. } => Some(Keeping { bytes: 0, resend: Resend::Never }),
        });
        self
    }

    /// How the link is attached.
    #[must_use]
    pub fn blueprint(&self) -> &B {
        &self.link.blueprint
    }

    /// Waits until the link is attached, within the operation time-out, so that nothing later is missed.
    ///
    /// # Errors
    /// When it is refused, or there is no connection in time.
    ///
    /// # Cancel safety
    /// Safe: a link that was attached by a dropped call is detached again.
    pub async fn attached(&self) -> Result<(), H::Error> {
        self.link.attached_in_time().await
    }

    /// The next message; waits for one through lost connections. Messages that came before a loss, or while a connection
    /// is being left, and were not taken are still given: those that the peer had settled exist nowhere else, and settling the others says that they come
    /// again.
    ///
    /// # Errors
    /// When the link or recovery failed for good.
    ///
    /// # Cancel safety
    /// Safe: no message is lost.
    pub async fn recv(&self) -> Result<Delivery, H::Error> {
        Ok(self.recv_with_live().await?.delivery)
    }

    /// As [`recv`](Self::recv), with the connection on which the message came, for those who let the settling of it end
    /// before the connection is closed ([`Live::finish`]).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// As [`recv`](Self::recv).
    pub async fn recv_with_live(&self) -> Result<Received<H::Context>, H::Error> {
        let mut attempt = 0;
        loop {
            let attached = match self.link.standing() {
                Some(attached) => attached,
                None => self.link.attached().await?,
            };
            let error = match attached.link.recv().await {
                Ok(delivery) => {
                    self.link.use_credit(&attached);
                    return Ok(Received { delivery, live: attached.live });
                }
                Err(error) => error,
            };
            if self.link.forget(&attached) == Forgotten::Former {
                // All that came on it is taken; another goes on already, or is waited for.
                continue;
            }
            let verdict = match &error {
                RecvError::Lost(_) | RecvError::Regranted => LinkVerdict::Reconnect,
                RecvError::Detached(reason) => self.link.verdict(&attached.address, reason),
            };
            match verdict {
                LinkVerdict::Reconnect => {
                    if let RecvError::Detached(reason) = &error {
                        self.link.count_end(&mut attempt, &attached, reason)?;
                    }
                    attached.live.condemn();
                }
                LinkVerdict::GiveUp(error) => return Err(error),
                LinkVerdict::AttachAgain(error) => self.link.wait(&mut attempt, error).await?,
            }
        }
    }

    /// Grants the peer credit for so many further messages, on links with [`CreditMode::Manual`](crate::CreditMode).
    /// What is not used up when a link is lost is granted to the next.
    pub fn add_credit(&self, messages: u32) {
        self.link.add_credit(messages);
    }

    /// Raises the credit that is granted by hand and not used up to at least so many messages.
    pub fn raise_credit(&self, messages: u32) {
        self.link.raise_credit(messages);
    }

    /// Detaches the link for good where it is attached, and waits for the peer's answer. Receiving attaches it again.
    ///
    /// # Cancel safety
    /// Safe: the link is detached in the background.
    pub async fn detach(&self) {
        if let Some(attached) = self.link.take() {
            // The link is gone either way.
            let _ = attached.link.detach().await;
        }
    }
}
