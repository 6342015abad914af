//! Handing messages to one link after the other, and what goes again.

use std::sync::Arc;
#[cfg(feature = "futures")]
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use amqp_codec::{Message, Outcome};
use tokio::time::timeout;

use super::blueprint::Blueprint;
use super::error::{RecoveryError, SendFailure};
use super::hooks::Hooks;
use super::link::Restored;
use super::sender::{RecoveringSender, Resend};
use crate::engine::Settlement;
use crate::handle::batch::send_batch;
use crate::handle::error::{DetachReason, SendError};
use crate::handle::options::SenderOptions;
use crate::handle::receipt::Receipt;
use crate::handle::sender::Sender;
use crate::handle::sending::Content;
#[cfg(feature = "futures")]
use crate::handle::sink::{self, Closing, Outlet};

/// What is asked of a link that sends.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    /// Room for a message.
    Room,
    /// To take a message, settled as said or else as the link's mode says.
    Take(Content<'a>, Option<Settlement>),
}

impl Asked<'_> {
    async fn of(self, link: &Sender) -> Result<Option<Receipt>, SendError> {
        match self {
            Self::Room => link.ready().await.map(|()| None),
            Self::Take(content, settlement) => {
                let settlement = settlement.unwrap_or_else(|| link.settlement());
                link.hand_over(content, settlement).await.map(Some)
            }
        }
    }
}

impl<H: Hooks, B: Blueprint<H, Options = SenderOptions>> Restored<H, B> {
    /// Asks one link after the other, within the operation time-out.
    pub(super) async fn ask_in_time(
        self: &Arc<Self>,
        asked: Asked<'_>,
    ) -> Result<Option<Receipt>, SendFailure<H::Error>> {
        let limit = self.connection.options().operation_timeout;
        timeout(limit, self.ask_each(asked)).await.unwrap_or(Err(SendFailure::TimedOut))
    }

    async fn ask_each(self: &Arc<Self>, asked: Asked<'_>) -> Result<Option<Receipt>, SendFailure<H::Error>> {
        let mut attempt = 0;
        loop {
            let attached = self.attached().await.map_err(SendFailure::NotSent)?;
            // Condemned since: the next connection takes the message.
            let Some(in_flight) = attached.live.begin() else { continue };
            let answer = tokio::select! {
                biased;
                answer = asked.of(&attached.link) => answer,
                // Whoever still waits for credit would only hold up the end of this connection.
                () = attached.live.condemned() => continue,
            };
            drop(in_flight);
            let reason = match &answer {
                Ok(_) => return answer.map_err(SendFailure::Send),
                Err(SendError::Lost(_)) => None,
                Err(SendError::Detached(reason)) => Some(reason),
                Err(_) => return answer.map_err(SendFailure::Send),
            };
            self.leave(&attached).await;
            if matches!(reason, Some(DetachReason::Incomplete)) && self.is_getting_on() {
                // the next link goes on with the rest, which becomes less.
                continue;
            }
            self.see_ended(&attached, reason, &mut attempt).await.map_err(SendFailure::NotSent)?;
        }
    }

    /// Says how many messages wait, on this link and those to come.
    pub(super) fn announce(&self, messages: u32) {
        let mut slot = self.slot();
        slot.told.available = messages;
        if let Some(attached) = &slot.attached {
            // A link that has ended is noticed by whoever sends.
            let _ = attached.link.set_available(messages);
        }
    }

    /// Acts on the link that is there this moment.
    pub(super) fn at_once<T>(
        &self,
        act: impl FnOnce(&Sender) -> Result<T, SendError>,
    ) -> Result<T, SendFailure<H::Error>> {
        let attached = self.current();
        let Some((attached, _in_flight)) =
            attached.and_then(|attached| attached.live.begin().map(|in_flight| (attached, in_flight)))
        else {
            return Err(SendFailure::NotSent(RecoveryError::NotConnected.into()));
        };
        act(&attached.link).map_err(SendFailure::Send)
    }
}

impl<H: Hooks, B: Blueprint<H, Options = SenderOptions>> RecoveringSender<H, B> {
    /// Hands all messages over in order, on as many links and connections as it takes, and waits for all outcomes: one
    /// result for each message, in the same order. Those that are proved not to have left go again once all others have
    /// ended, in order among themselves, and so do those whose outcome is unknown where [`resend`](Self::resend) says so.
    /// When a message finds no connection, link or credit within the operation time-out, or recovery fails, it and all after
    /// it end so, without waiting again.
    ///
    /// # Cancel safety
    /// Dropped, the messages that were handed over go their way and their outcomes are discarded; the others are not sent.
    pub async fn send_all(&self, messages: &[Message]) -> Vec<Result<Outcome, SendFailure<H::Error>>> {
        let mut ends = vec![Err(SendFailure::TimedOut); messages.len()];
        let mut left: Vec<usize> = (0..messages.len()).collect();
        let mut sent = 0;
        while !left.is_empty() {
            sent += 1;
            let going: Vec<&Message> = left.iter().filter_map(|index| messages.get(*index)).collect();
            let is_final = |failure: &SendFailure<H::Error>| !matches!(failure, SendFailure::Send(_));
            let gone =
                send_batch(going.into_iter(), |message| self.send_with_receipt(message), is_final).await;
            let mut again = Vec::new();
            for (index, end) in left.into_iter().zip(gone) {
                if let Err(SendFailure::Send(error)) = &end
                    && self.is_sent_again(error, sent)
                {
                    again.push(index);
                }
                if let Some(told) = ends.get_mut(index) {
                    let before = std::mem::replace(told, Err(SendFailure::TimedOut));
                    *told = end.map_err(|failure| failure.after(before));
                }
            }
            left = again;
        }
        ends
    }

    /// Whether a message that ended so is sent again, having been sent so many times.
    pub(super) fn is_sent_again(&self, error: &SendError, sent: u32) -> bool {
        let may_go = match error {
            SendError::Lost(_) => true,
            SendError::Detached(reason) => reason.is_retryable(),
            SendError::OutcomeUnknown(reason) => {
                self.resend == Resend::UntilKnown && !matches!(reason, DetachReason::Local)
            }
            _ => false,
        };
        may_go && sent < self.link.connection.options().link_attempts
    }
}

/// A message that is being handed over between the steps of a sink, and comes back.
#[cfg(feature = "futures")]
#[doc(hidden)]
#[expect(unnameable_types, reason = "only this crate's sinks wait so")]
pub struct Handing<E>(Option<HandingOver<E>>);

#[cfg(feature = "futures")]
type HandingOver<E> =
    Pin<Box<dyn Future<Output = (Message, Result<Option<Receipt>, SendFailure<E>>)> + Send>>;

#[cfg(feature = "futures")]
impl<E> Default for Handing<E> {
    fn default() -> Self {
        Self(None)
    }
}

#[cfg(feature = "futures")]
impl<E> fmt::Debug for Handing<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handing").field(&self.0.is_some()).finish()
    }
}

#[cfg(feature = "futures")]
impl<H: Hooks, B: Blueprint<H, Options = SenderOptions>> sink::sealed::Sealed for RecoveringSender<H, B> {}

#[cfg(feature = "futures")]
impl<H: Hooks, B: Blueprint<H, Options = SenderOptions>> Outlet for RecoveringSender<H, B> {
    type Error = SendFailure<H::Error>;
    type Wait = Handing<H::Error>;
    const KEEPS: bool = true;

    fn poll_hand_over(
        &self,
        message: &mut Option<Message>,
        wait: &mut Handing<H::Error>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Receipt, SendFailure<H::Error>>> {
        if wait.0.is_none()
            && let Some(message) = &*message
            && let Ok(receipt) = self.try_send(message)
        {
            return Poll::Ready(Ok(receipt));
        }
        if let Some(message) = message.take() {
            let link = Arc::clone(&self.link);
            wait.0 = Some(Box::pin(async move {
                let taken = link.ask_in_time(Asked::Take(Content::Message(&message), None)).await;
                (message, taken)
            }));
        }
        let Some(handing_over) = &mut wait.0 else { return Poll::Pending };
        let (handed_over, taken) = ready!(handing_over.as_mut().poll(cx));
        wait.0 = None;
        *message = Some(handed_over);
        Poll::Ready(taken.map(|receipt| receipt.unwrap_or_else(Receipt::settled)))
    }

    fn leave(&self, wait: &mut Handing<H::Error>) {
        wait.0 = None;
    }

    fn goes_again(&self, error: &SendError, sent: u32) -> bool {
        self.is_sent_again(error, sent)
    }

    fn after(error: Self::Error, before: Option<Self::Error>) -> Self::Error {
        error.after(before.map_or(Ok(()), Err))
    }

    fn closing(&self) -> Closing {
        let attached = self.link.take();
        Box::pin(async move {
            if let Some(attached) = attached {
                // The link is gone either way.
                let _ = attached.link.detach().await;
            }
            Ok(())
        })
    }
}
