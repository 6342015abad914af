//! Senders as sinks, for programs that are built of those (feature `futures`).
//!
//! Owns no more than the messages that wait to go, and the receipts of those that went.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use amqp_codec::{Message, Outcome};
use futures_sink::Sink;

use super::error::{Blocked, EndError, SendError};
use super::receipt::Receipt;
use super::sender::Sender;
use super::streams::Queued;
use crate::engine::DetachKind;

/// What a sink hands messages to: a [`Sender`] or a [`RecoveringSender`](crate::recovery::RecoveringSender). Nobody else
/// can be one.
pub trait Outlet: sealed::Sealed {
    /// Why a message was not sent, or that its outcome is unknown.
    type Error: From<SendError>;
    #[doc(hidden)]
    type Wait: Default + Unpin;
    /// Whether messages are kept until their outcome is known, because some may have to go again.
    #[doc(hidden)]
    const KEEPS: bool;

    /// Hands a message over; where that takes several steps, it may be elsewhere between them.
    #[doc(hidden)]
    fn poll_hand_over(
        &self,
        message: &mut Option<Message>,
        wait: &mut Self::Wait,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Receipt, Self::Error>>;

    #[doc(hidden)]
    fn leave(&self, wait: &mut Self::Wait);

    /// Whether a message that ended so goes again, having gone so many times.
    #[doc(hidden)]
    fn goes_again(&self, error: &SendError, sent: u32) -> bool;

    /// What to tell of a message that has gone before and ended so.
    #[doc(hidden)]
    fn after(error: Self::Error, before: Option<Self::Error>) -> Self::Error;

    #[doc(hidden)]
    fn closing(&self) -> Closing;
}

pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "what cannot be named cannot be implemented by others")]
    pub trait Sealed {}
    impl Sealed for super::Sender {}
}

/// A sender as a sink of messages. A message is handed over when the next one comes or the sink is flushed; flushing waits
/// for the outcomes of all, and a message that is not accepted is an error. Closing flushes and detaches the link.
///
/// Dropped, messages that were handed over go their way; one that waited for credit is not sent.
#[must_use = "sinks do nothing unless polled"]
pub struct MessageSink<S: Outlet = Sender> {
    sender: S,
    waiting: Option<Message>,
    /// The message that is being handed over.
    current: Option<Current<S::Error>>,
    wait: S::Wait,
    handed_over: VecDeque<HandedOver<S::Error>>,
    /// Messages that are to go again, the oldest first.
    again: VecDeque<Current<S::Error>>,
    closing: Option<Closing>,
}

struct Current<E> {
    message: Option<Message>,
    /// How it ended before, where it goes again.
    before: Option<E>,
    /// How often it was handed over.
    sent: u32,
}

struct HandedOver<E> {
    kept: Option<Message>,
    before: Option<E>,
    sent: u32,
    receipt: Receipt,
}

/// A detach that is under way.
pub(crate) type Closing = Pin<Box<dyn Future<Output = Result<(), EndError>> + Send>>;

/// Why a sink failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError<E = SendError> {
    /// A message was not sent, or its outcome is unknown.
    #[error(transparent)]
    Send(E),
    /// The peer did not accept a message; retrying may help where it was released.
    #[error("the peer did not accept a message: {0:?}")]
    NotAccepted(Outcome),
    /// The peer did not answer the link's detach, or the connection was lost before; all messages had their outcomes.
    #[error(transparent)]
    End(#[from] EndError),
}

impl From<SendError> for SinkError {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl Sender {
    /// The sender as a sink of messages.
    pub fn into_sink(self) -> MessageSink {
        MessageSink::new(self)
    }
}

impl<S: Outlet> MessageSink<S> {
    pub(crate) fn new(sender: S) -> Self {
        Self {
            sender,
            waiting: None,
            current: None,
            wait: S::Wait::default(),
            handed_over: VecDeque::new(),
            again: VecDeque::new(),
            closing: None,
        }
    }

    /// The sender.
    #[must_use]
    pub fn sender(&self) -> &S {
        &self.sender
    }

    /// Hands over what is to go again and the message that waits, and takes outcomes until no more than so many are missing.
    fn poll_gone(
        &mut self,
        most_missing: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SinkError<S::Error>>> {
        loop {
            let handed_over = self.poll_handed_over(cx)?;
            // On a link that its application settles, a peer may give no more credit until it hears what is made of the
            // outcomes that it has told.
            let most_missing = if handed_over.is_pending() { usize::MAX } else { most_missing };
            let known = self.poll_outcomes(most_missing, cx)?;
            ready!(handed_over);
            if self.again.is_empty() {
                return known.map(Ok);
            }
        }
    }

    fn poll_handed_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError<S::Error>>> {
        loop {
            if self.current.is_none() {
                let new = || {
                    self.waiting.take().map(|message| Current {
                        message: Some(message),
                        before: None,
                        sent: 0,
                    })
                };
                self.current = self.again.pop_front().or_else(new);
            }
            let Some(current) = &mut self.current else { return Poll::Ready(Ok(())) };
            let receipt = ready!(self.sender.poll_hand_over(&mut current.message, &mut self.wait, cx));
            // Either way it is dealt with.
            let Some(Current { message, before, sent }) = self.current.take() else {
                return Poll::Ready(Ok(()));
            };
            let (receipt, before) = match (receipt, before) {
                (Ok(receipt), before) => (receipt, before),
                (Err(error), before) => return Poll::Ready(Err(SinkError::Send(S::after(error, before)))),
            };
            let kept = message.filter(|_| S::KEEPS);
            self.handed_over.push_back(HandedOver { kept, before, sent: sent.saturating_add(1), receipt });
        }
    }

    /// Takes the outcomes that have come, until no more than so many are missing.
    fn poll_outcomes(
        &mut self,
        most_missing: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SinkError<S::Error>>> {
        while let Some(first) = self.handed_over.front_mut() {
            let Poll::Ready(outcome) = Pin::new(&mut first.receipt).poll(cx) else {
                if self.handed_over.len() <= most_missing {
                    break;
                }
                return Poll::Pending;
            };
            let gone = self.handed_over.pop_front();
            match (outcome, gone) {
                (Ok(Outcome::Accepted), _) => {}
                (Ok(other), _) => return Poll::Ready(Err(SinkError::NotAccepted(other))),
                (Err(error), Some(HandedOver { kept: Some(message), before, sent, .. }))
                    if self.sender.goes_again(&error, sent) =>
                {
                    let before = Some(S::after(error.into(), before));
                    self.again.push_back(Current { message: Some(message), before, sent });
                }
                (Err(error), gone) => {
                    let before = gone.and_then(|gone| gone.before);
                    return Poll::Ready(Err(SinkError::Send(S::after(error.into(), before))));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Outlet + Unpin> Sink<Message> for MessageSink<S> {
    type Error = SinkError<S::Error>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().poll_gone(MAX_MISSING, cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        let this = self.get_mut();
        if this.waiting.is_some() {
            // A caller that did not ask whether the sink is ready; the message before must not be lost for it.
            return Err(SinkError::Send(SendError::WouldBlock(Blocked::Queue).into()));
        }
        this.waiting = Some(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().poll_gone(0, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.as_mut().poll_flush(cx))?;
        let this = self.get_mut();
        let closing = this.closing.get_or_insert_with(|| this.sender.closing());
        Poll::Ready(ready!(closing.as_mut().poll(cx)).map_err(SinkError::End))
    }
}

/// Nothing in it is pinned where it lies.
impl<S: Outlet + Unpin> Unpin for MessageSink<S> {}

impl<S: Outlet> Drop for MessageSink<S> {
    fn drop(&mut self) {
        self.sender.leave(&mut self.wait);
    }
}

impl<S: Outlet + fmt::Debug> fmt::Debug for MessageSink<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSink")
            .field("sender", &self.sender)
            .field("missing_outcomes", &self.handed_over.len())
            .finish_non_exhaustive()
    }
}

impl Outlet for Sender {
    type Error = SendError;
    type Wait = Queued;
    const KEEPS: bool = false;

    fn poll_hand_over(
        &self,
        message: &mut Option<Message>,
        wait: &mut Queued,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Receipt, SendError>> {
        match message {
            Some(message) => self.poll_send(message, &mut wait.0, cx),
            None => Poll::Pending,
        }
    }

    fn leave(&self, wait: &mut Queued) {
        self.leave_queue(&mut wait.0);
    }

    fn goes_again(&self, _error: &SendError, _sent: u32) -> bool {
        false
    }

    fn after(error: SendError, _before: Option<SendError>) -> SendError {
        error
    }

    fn closing(&self) -> Closing {
        let link = Arc::clone(&self.link);
        Box::pin(async move { link.detach(DetachKind::Closed, None).await })
    }
}

/// Messages of a sink that may be without an outcome before the next waits.
const MAX_MISSING: usize = 1_000;
