//! Receiving from as many links and connections as it takes.

use std::fmt;
use std::sync::Arc;

use super::blueprint::{Blueprint, Keeping};
use super::connection::RecoveringConnection;
use super::credit::{Question, all_waiting};
use super::hooks::{Direct, Hooks};
use super::link::Restored;
use super::live::Live;
use super::sender::{Resend, Unsettled};
use super::session::Place;
use crate::engine::LinkStats;
use crate::handle::batch::with_what_waits;
use crate::handle::delivery::Delivery;
use crate::handle::options::ReceiverOptions;
#[cfg(feature = "futures")]
use crate::handle::streams::Deliveries;

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
    pub(super) fn new(connection: RecoveringConnection<H>, place: Place, blueprint: B) -> Self {
        Self { link: Arc::new(Restored::new(connection, place, blueprint)) }
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
        self.link.receive().await
    }

    /// Waits for a message and takes it with what else is there, up to `max` messages, at least one. None is waited for
    /// once there is one. Messages of a lost link come before those of the next.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// As [`recv`](Self::recv).
    pub async fn recv_many(&self, max: usize) -> Result<Vec<Delivery>, H::Error> {
        // The only wait comes before anything is taken.
        let first = self.recv().await?;
        Ok(with_what_waits(first, max, || self.try_recv()))
    }

    /// The next message if one is waiting, on a lost link or the present one. It attaches nothing:
    /// [`attached`](Self::attached) and [`recv`](Self::recv) do.
    pub fn try_recv(&self) -> Option<Delivery> {
        self.link.take_waiting().map(|received| received.delivery)
    }

    /// The messages as a stream that borrows the receiver. It goes on through lost connections and ends after an error: that
    /// recovery failed, or was closed. Dropping it loses no message.
    #[cfg(feature = "futures")]
    pub fn deliveries(&self) -> Deliveries<&Self> {
        Deliveries::new(self)
    }

    /// The messages as a stream that owns the receiver. Otherwise as [`deliveries`](Self::deliveries).
    #[cfg(feature = "futures")]
    pub fn into_deliveries(self) -> Deliveries<Self> {
        Deliveries::new(self)
    }

    /// Grants the peer credit for so many further messages, on links with [`CreditMode::Manual`](crate::CreditMode).
    /// What is not used up when a link is lost is granted to the next. Ends a [`stop`](Self::stop) and a
    /// [`drain`](Self::drain).
    pub fn add_credit(&self, messages: u32) {
        self.link.add_credit(messages);
    }

    /// Raises the credit that is granted by hand and not used up to at least so many messages.
    pub fn raise_credit(&self, messages: u32) {
        self.link.raise_credit(messages);
    }

    /// Sets the credit of links with [`CreditMode::Manual`](crate::CreditMode): so many messages may come from now on, besides
    /// those on their way. Otherwise as [`add_credit`](Self::add_credit).
    pub fn set_credit(&self, messages: u32) {
        self.link.set_credit(messages);
    }

    /// Takes the peer's credit back and waits until it knows (`AMQP 1.0 §2.6.10`). Afterwards everything that was sent is
    /// there for [`try_recv`](Self::try_recv), and no more comes until [`start`](Self::start),
    /// [`add_credit`](Self::add_credit) or [`set_credit`](Self::set_credit). A link that is lost meanwhile has no credit any
    /// more, and those after it begin without; no connection is waited for.
    ///
    /// # Errors
    /// [`RecoveryError::Regranted`](super::RecoveryError::Regranted) when credit was granted meanwhile.
    ///
    /// # Cancel safety
    /// Safe; once polled, the receiver stays stopped.
    pub async fn stop(&self) -> Result<(), H::Error> {
        self.link.stop().await
    }

    /// Grants credit again after a [`stop`](Self::stop), as the link's [`CreditMode`](crate::CreditMode) says; none in the
    /// manual mode.
    pub fn start(&self) {
        self.link.start();
    }

    /// Asks the peer to send what it has within the credit it holds and to give the rest back (`AMQP 1.0 §2.6.7`), and the
    /// next one where the link is lost before it has answered. Afterwards no credit is left on the link in use, and
    /// everything sent is there for [`try_recv`](Self::try_recv). The next waiting [`recv`](Self::recv) grants anew, and so
    /// does a link after this one, where [`CreditMode`](crate::CreditMode) is not manual.
    ///
    /// # Errors
    /// [`RecoveryError::Regranted`](super::RecoveryError::Regranted) when credit was granted meanwhile; otherwise when the
    /// link or recovery failed for good.
    ///
    /// # Cancel safety
    /// Safe; a drain that was asked for goes on.
    pub async fn drain(&self) -> Result<(), H::Error> {
        self.link.ask(Question::Drain).await.map(drop)
    }

    /// Asks the peer how many messages it has for this link (`AMQP 1.0 §2.6.7`), and the next one where the link is lost
    /// before it has answered. Senders that do not know say 0.
    ///
    /// # Errors
    /// When the link or recovery failed for good.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn available(&self) -> Result<u32, H::Error> {
        self.link.ask(Question::Available).await
    }

    /// Messages received and not yet taken, those of lost links included.
    #[must_use]
    pub fn waiting(&self) -> usize {
        usize::try_from(all_waiting(&self.link.slot())).unwrap_or(usize::MAX)
    }

    /// The credit of the link in use and what has passed over it, counted anew on each link; `None` while there is none.
    #[must_use]
    pub fn stats(&self) -> Option<LinkStats> {
        self.link.last()?.link.stats()
    }

    #[cfg(feature = "futures")]
    pub(super) fn link(&self) -> &Arc<Restored<H, B>> {
        &self.link
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
