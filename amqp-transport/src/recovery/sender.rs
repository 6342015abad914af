//! Sending over as many links and connections as it takes.

use std::sync::Arc;

use amqp_codec::{Message, Outcome};
use bytes::Bytes;

use super::blueprint::{Blueprint, Keeping};
use super::connection::RecoveringConnection;
use super::error::SendFailure;
use super::hooks::{Direct, Hooks};
use super::link::Restored;
use super::sending::Asked;
use super::session::Place;
use crate::engine::{LinkStats, Settlement};
#[cfg(doc)]
use crate::handle::error::SendError;
use crate::handle::options::SenderOptions;
use crate::handle::receipt::Receipt;
use crate::handle::sending::Content;
#[cfg(feature = "futures")]
use crate::handle::sink::MessageSink;

/// A link that sends and comes back by itself.
#[derive(Debug)]
pub struct RecoveringSender<H: Hooks = Direct, B: Blueprint<H, Options = SenderOptions> = SenderOptions> {
    pub(super) link: Arc<Restored<H, B>>,
    pub(super) resend: Resend,
    unsettled: Unsettled,
}

impl<H: Hooks, B: Blueprint<H, Options = SenderOptions>> Drop for RecoveringSender<H, B> {
    fn drop(&mut self) {
        self.link.abandon();
    }
}

/// What becomes of messages that are on their way when a link is lost.
///
/// For a receiver: of deliveries that its application holds, see [`RecoveringReceiver::unsettled`](super::RecoveringReceiver::unsettled).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unsettled {
    /// They end as unknown, and the next link begins anew.
    #[default]
    Forget,
    /// The link is resumed on the next connection (`AMQP 1.0 §2.6.13`), whether anything new is sent or not, and each
    /// message ends as both ends then agree on. One that the peer has decided ends so. One that the peer holds in part is
    /// completed. One that never left is sent. One of which the peer knows nothing, because it never came, or because
    /// the peer has settled and forgotten it, or the link as a whole, is sent again under its tag with
    /// [`Resend::UntilKnown`] and ends as unknown with [`Resend::Never`].
    ///
    /// Receipts wait for that, up to the [operation time-out](super::RecoveryOptions::operation_timeout) for a connection
    /// and as long again for the attach; after it, or when the link's name or address is another on the next connection,
    /// or when this sender is dropped, they end as unknown. Against a peer that resumes, too, a link with
    /// [`ReceiverSettleMode::Second`](amqp_codec::ReceiverSettleMode) and [`Resend::UntilKnown`] has each message taken
    /// exactly once.
    ///
    /// What is unsettled is told in one frame when the link is attached. Where it does not fit, the link is attached as often
    /// as it takes (`AMQP 1.0 §2.7.3`, incomplete-unsettled). Where that brings nothing to its end
    /// [`link_attempts`](super::RecoveryOptions::link_attempts) times in a row, because neither end's part fits and they have
    /// nothing in common, the link is given up: its messages end as unknown, and the next link begins anew. A larger
    /// max-frame-size keeps clear of that: of 512 octets some 30 deliveries fit, of the default 64 KiB some 5,000.
    Resume {
        /// Bytes of messages that are kept to be sent again; those beyond end as unknown where they would have to be. A
        /// receiver keeps none.
        kept_bytes: usize,
    },
}

/// What [`RecoveringSender::send`] does with a message whose outcome is unknown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Resend {
    /// It says so: the message may or may not have been taken.
    #[default]
    Never,
    /// It sends the message again, a bounded number of times: taken at least once, and perhaps more than once.
    UntilKnown,
}

impl<H: Hooks, B: Blueprint<H, Options = SenderOptions>> RecoveringSender<H, B> {
    pub(super) fn new(connection: RecoveringConnection<H>, place: Place, blueprint: B) -> Self {
        let link = Arc::new(Restored::new(connection, place, blueprint));
        Self { link, resend: Resend::default(), unsettled: Unsettled::default() }
    }

    /// What becomes of a message whose outcome is unknown. Default [`Resend::Never`].
    #[must_use]
    pub fn resend(mut self, resend: Resend) -> Self {
        self.resend = resend;
        self.link.keep(self.keeping());
        self
    }

    /// What becomes of messages that are on their way when the link is lost. Default [`Unsettled::Forget`]. For links
    /// attached from here on.
    #[must_use]
    pub fn unsettled(mut self, unsettled: Unsettled) -> Self {
        self.unsettled = unsettled;
        self.link.keep(self.keeping());
        self
    }

    /// How the link is attached.
    #[must_use]
    pub fn blueprint(&self) -> &B {
        &self.link.blueprint
    }

    /// Waits until the link is attached, within the operation time-out.
    ///
    /// # Errors
    /// When it is refused, or there is no connection in time.
    ///
    /// # Cancel safety
    /// Safe: a link that was attached by a dropped call is detached again.
    pub async fn attached(&self) -> Result<(), H::Error> {
        self.link.attached_in_time().await
    }

    /// Sends a message and waits for its outcome. That the peer rejects it is an [`Outcome`], not an error. A message that
    /// is proved not to have left is sent again on the next link or connection; one whose outcome is unknown only as
    /// [`resend`](Self::resend) says.
    ///
    /// # Errors
    /// [`SendFailure::Send`] with [`SendError::OutcomeUnknown`] when the message was on its way at a loss; all others
    /// prove that it was not taken.
    ///
    /// # Cancel safety
    /// Dropped before the message is handed over, nothing is sent; dropped after it, the message goes its way and its
    /// outcome is discarded.
    pub async fn send(&self, message: &Message) -> Result<Outcome, SendFailure<H::Error>> {
        self.send_content(Content::Message(message), None).await
    }

    /// Hands a message over, on another link or connection where one is proved not to have taken it, up to the operation
    /// time-out, and gives a [`Receipt`] for its outcome. The receipt is of the link that took the message: when that is
    /// lost, it says what is proved.
    ///
    /// # Errors
    /// Those that prove that the message was not sent.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, nothing is sent.
    pub async fn send_with_receipt(&self, message: &Message) -> Result<Receipt, SendFailure<H::Error>> {
        self.hand_over(Content::Message(message), None).await
    }

    /// Sends a message settled: no outcome will come. One that had not left when its connection was lost is sent on the
    /// next only where that shows before this ends: a small message is handed over for good as soon as a link takes it.
    ///
    /// # Errors
    /// Those that prove that the message was not taken, or [`SendFailure::Send`] with [`SendError::OutcomeUnknown`] when the
    /// link ended between its frames and [`resend`](Self::resend) does not say otherwise. The link's mode must not be
    /// unsettled.
    ///
    /// # Cancel safety
    /// Dropped before the message is handed over, nothing is sent; dropped after it, the message goes its way, whole.
    pub async fn send_settled(&self, message: &Message) -> Result<(), SendFailure<H::Error>> {
        self.send_content(Content::Message(message), Some(Settlement::Settled)).await.map(drop)
    }

    /// Hands over a message that is encoded already, or a batch of them
    /// (format [`BATCHED_MESSAGE_FORMAT`](amqp_codec::BATCHED_MESSAGE_FORMAT)). Large payloads are not copied. Otherwise as
    /// [`send_with_receipt`](Self::send_with_receipt).
    ///
    /// # Errors
    /// Those that prove that the message was not sent.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, nothing is sent.
    pub async fn send_encoded(
        &self,
        payload: Bytes,
        message_format: u32,
        settlement: Settlement,
    ) -> Result<Receipt, SendFailure<H::Error>> {
        let content = Content::Encoded { payload: &payload, message_format, tag: None, state: None };
        self.hand_over(content, Some(settlement)).await
    }

    /// Waits until a message can go, on another link or connection where one is lost meanwhile, up to the operation
    /// time-out: the link is attached, the peer has granted credit, the session's window is open, and there is room in the
    /// output. Others may use the room up meanwhile.
    ///
    /// # Errors
    /// When there is no connection, link or credit in time, or will not be.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self) -> Result<(), SendFailure<H::Error>> {
        self.link.ask_in_time(Asked::Room).await.map(drop)
    }

    /// Hands a message over if it can go this moment. It attaches nothing: [`attached`](Self::attached) and
    /// [`ready`](Self::ready) do.
    ///
    /// # Errors
    /// [`SendFailure::NotSent`] with [`RecoveryError::NotConnected`](super::RecoveryError::NotConnected) while there is no
    /// link; [`SendFailure::Send`] with [`SendError::WouldBlock`] where a bound holds the message; all others as
    /// [`send_with_receipt`](Self::send_with_receipt).
    pub fn try_send(&self, message: &Message) -> Result<Receipt, SendFailure<H::Error>> {
        self.link.at_once(|link| link.try_send(message))
    }

    /// As [`try_send`](Self::try_send), for a message that is encoded already, in this format.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_encoded(
        &self,
        payload: Bytes,
        message_format: u32,
        settlement: Settlement,
    ) -> Result<Receipt, SendFailure<H::Error>> {
        self.link.at_once(|link| link.try_send_encoded(payload, message_format, settlement))
    }

    /// The sender as a sink of messages. What it was handed goes again after a loss as [`send`](Self::send) says, so it
    /// keeps each message until its outcome is known.
    #[cfg(feature = "futures")]
    pub fn into_sink(self) -> MessageSink<Self> {
        MessageSink::new(self)
    }

    /// Says how many messages wait for this link, which its peer is told with the next flow, and the peers of links to
    /// come (`AMQP 1.0 §2.6.7`). Default 0.
    pub fn set_available(&self, messages: u32) {
        self.link.announce(messages);
    }

    /// The credit of the link in use and what has passed over it, counted anew on each link; `None` while there is none.
    #[must_use]
    pub fn stats(&self) -> Option<LinkStats> {
        self.link.last()?.link.stats()
    }

    /// Detaches the link for good where it is attached, and waits for the peer's answer. Sending attaches it again.
    ///
    /// # Cancel safety
    /// Safe: the link is detached in the background.
    pub async fn detach(&self) {
        if let Some(attached) = self.link.take() {
            // The link is gone either way.
            let _ = attached.link.detach().await;
        }
    }

    /// Sends until the outcome is known or may not be asked for again.
    async fn send_content(
        &self,
        content: Content<'_>,
        settlement: Option<Settlement>,
    ) -> Result<Outcome, SendFailure<H::Error>> {
        let (mut sent, mut known) = (0, Ok(()));
        loop {
            sent += 1;
            let end = match self.hand_over(content, settlement).await {
                Ok(receipt) => receipt.await.map_err(SendFailure::Send),
                Err(failure) => Err(failure),
            };
            let failure = match end {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            let goes_again = match &failure {
                SendFailure::Send(error) => self.is_sent_again(error, sent),
                SendFailure::NotSent(_) | SendFailure::TimedOut => false,
            };
            let failure = failure.after(known);
            if !goes_again {
                return Err(failure);
            }
            known = Err(failure);
        }
    }

    async fn hand_over(
        &self,
        content: Content<'_>,
        settlement: Option<Settlement>,
    ) -> Result<Receipt, SendFailure<H::Error>> {
        let taken = self.link.ask_in_time(Asked::Take(content, settlement)).await?;
        Ok(taken.unwrap_or_else(Receipt::settled))
    }

    fn keeping(&self) -> Option<Keeping> {
        match self.unsettled {
            Unsettled::Forget => None,
            Unsettled::Resume { kept_bytes } => Some(Keeping { bytes: kept_bytes, resend: self.resend }),
        }
    }
}
