//! Sending over as many links and connections as it takes.

use std::sync::Arc;

use amqp_codec::{Message, Outcome};
use tokio::time::timeout;

use super::blueprint::{Blueprint, Keeping};
use super::connection::RecoveringConnection;
use super::error::SendFailure;
use super::hooks::{Direct, Hooks, LinkVerdict};
use super::link::Restored;
use crate::handle::error::{DetachReason, SendError};
use crate::handle::options::SenderOptions;
use crate::handle::receipt::Receipt;

/// A link that sends and comes back by itself.
#[derive(Debug)]
pub struct RecoveringSender<H: Hooks = Direct, B: Blueprint<H, Options = SenderOptions> = SenderOptions> {
    link: Arc<Restored<H, B>>,
    resend: Resend,
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
    pub(super) fn new(connection: RecoveringConnection<H>, blueprint: B) -> Self {
        let link = Arc::new(Restored::new(connection, blueprint));
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
        let mut sent = 0;
        loop {
            sent += 1;
            let error = match self.send_with_receipt(message).await?.await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => error,
            };
            let is_sent_again = match &error {
                SendError::Lost(_) => true,
                SendError::Detached(reason) => reason.is_retryable(),
                SendError::OutcomeUnknown(reason) => {
                    self.resend == Resend::UntilKnown && !matches!(reason, DetachReason::Local)
                }
                _ => false,
            };
            if !is_sent_again || sent >= self.link.connection.options().link_attempts {
                return Err(SendFailure::Send(error));
            }
        }
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
        let limit = self.link.connection.options().operation_timeout;
        timeout(limit, self.until_taken(message)).await.unwrap_or(Err(SendFailure::TimedOut))
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

    fn keeping(&self) -> Option<Keeping> {
        match self.unsettled {
            Unsettled::Forget => None,
            Unsettled::Resume { kept_bytes } => Some(Keeping { bytes: kept_bytes, resend: self.resend }),
        }
    }

    async fn until_taken(&self, message: &Message) -> Result<Receipt, SendFailure<H::Error>> {
        let mut attempt = 0;
        loop {
            let attached = self.link.attached().await.map_err(SendFailure::NotSent)?;
            // Condemned since: the next connection takes the message.
            let Some(in_flight) = attached.live.begin() else { continue };
            let sent = tokio::select! {
                biased;
                sent = attached.link.send_with_receipt(message) => sent,
                // Whoever still waits for credit would only hold up the end of this connection.
                () = attached.live.condemned() => continue,
            };
            drop(in_flight);
            let error = match sent {
                Ok(receipt) => return Ok(receipt),
                Err(error) => error,
            };
            let verdict = match &error {
                SendError::Lost(_) => LinkVerdict::Reconnect,
                SendError::Detached(reason) => self.link.verdict(&attached.address, reason),
                _ => return Err(SendFailure::Send(error)),
            };
            self.link.forget(&attached);
            if matches!(&error, SendError::Detached(DetachReason::Incomplete)) && self.link.is_getting_on() {
                // the next link goes on with the rest, which becomes less.
                continue;
            }
            match verdict {
                LinkVerdict::Reconnect => {
                    if let SendError::Detached(reason) = &error {
                        let counted = self.link.count_end(&mut attempt, &attached, reason);
                        counted.map_err(SendFailure::NotSent)?;
                    }
                    attached.live.condemn();
                }
                LinkVerdict::GiveUp(error) => return Err(SendFailure::NotSent(error)),
                LinkVerdict::AttachAgain(error) => {
                    self.link.wait(&mut attempt, error).await.map_err(SendFailure::NotSent)?;
                }
            }
        }
    }
}
