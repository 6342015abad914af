//! Receivers as streams and senders as sinks, for programs that are built of those (feature `futures`).
//!
//! Owns no more than a place in the link's queue, one message that waits to go, and the receipts of those that went.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use amqp_codec::{Message, Outcome};
use futures_core::Stream;
use futures_sink::Sink;

use super::delivery::Delivery;
use super::error::{Blocked, DetachReason, EndError, RecvError, SendError};
use super::receipt::Receipt;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::driver::wait::Place;
use crate::engine::DetachKind;

/// The messages of a receiver as a stream. It ends when this side detaches the link, and after an error.
///
/// Dropping it loses no message: those that were not taken stay with the receiver, where it still exists.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Deliveries<R: Borrow<Receiver>> {
    receiver: R,
    place: Option<Place>,
    is_over: bool,
}

/// A sender as a sink of messages. A message is handed over when the next one comes or the sink is flushed; flushing waits
/// for the outcomes of all, and a message that is not accepted is an error. Closing flushes and detaches the link.
///
/// Dropped, messages that were handed over go their way; one that waited for credit is not sent.
#[must_use = "sinks do nothing unless polled"]
pub struct MessageSink {
    sender: Sender,
    waiting: Option<Message>,
    place: Option<Place>,
    receipts: VecDeque<Receipt>,
    closing: Option<Closing>,
}

/// A detach that is under way.
type Closing = Pin<Box<dyn Future<Output = Result<(), EndError>> + Send + Sync>>;

/// Why a sink failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// A message was not sent, or its outcome is unknown.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The peer did not accept a message; retrying may help where it was released.
    #[error("the peer did not accept a message: {0:?}")]
    NotAccepted(Outcome),
    /// The peer did not answer the link's detach, or the connection was lost before; all messages had their outcomes.
    #[error(transparent)]
    End(#[from] EndError),
}

impl Receiver {
    /// The messages as a stream that borrows the receiver.
    pub fn deliveries(&self) -> Deliveries<&Self> {
        Deliveries { receiver: self, place: None, is_over: false }
    }

    /// The messages as a stream that owns the receiver.
    pub fn into_deliveries(self) -> Deliveries<Self> {
        Deliveries { receiver: self, place: None, is_over: false }
    }
}

impl<R: Borrow<Receiver>> Deliveries<R> {
    /// The receiver.
    pub fn receiver(&self) -> &Receiver {
        self.receiver.borrow()
    }
}

impl<R: Borrow<Receiver> + Unpin> Stream for Deliveries<R> {
    type Item = Result<Delivery, RecvError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let taken = ready!(this.receiver.borrow().poll_recv(&mut this.place, cx));
        this.is_over = taken.is_err();
        Poll::Ready(match taken {
            Err(RecvError::Detached(DetachReason::Local)) => None,
            other => Some(other),
        })
    }
}

impl<R: Borrow<Receiver>> Drop for Deliveries<R> {
    fn drop(&mut self) {
        self.receiver.borrow().leave_queue(&mut self.place);
    }
}

impl Sender {
    /// The sender as a sink of messages.
    pub fn into_sink(self) -> MessageSink {
        MessageSink { sender: self, waiting: None, place: None, receipts: VecDeque::new(), closing: None }
    }
}

impl MessageSink {
    /// The sender.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Hands over the message that waits.
    fn poll_handed_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let Some(message) = &self.waiting else { return Poll::Ready(Ok(())) };
        let Poll::Ready(handed_over) = self.sender.poll_send(message, &mut self.place, cx) else {
            // On a link that its application settles, a peer may give no more credit until it hears what is made of the
            // outcomes that it has told.
            let _ = self.poll_outcomes(usize::MAX, cx)?;
            return Poll::Pending;
        };
        // Either way it is dealt with.
        self.waiting = None;
        self.receipts.push_back(handed_over?);
        Poll::Ready(Ok(()))
    }

    /// Takes the outcomes that have come, until no more than so many are missing.
    fn poll_outcomes(&mut self, most_missing: usize, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        while let Some(receipt) = self.receipts.front_mut() {
            match Pin::new(receipt).poll(cx) {
                Poll::Pending if self.receipts.len() <= most_missing => break,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => {
                    self.receipts.pop_front();
                    match outcome? {
                        Outcome::Accepted => {}
                        other => return Poll::Ready(Err(SinkError::NotAccepted(other))),
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Sink<Message> for MessageSink {
    type Error = SinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let this = self.get_mut();
        ready!(this.poll_handed_over(cx))?;
        this.poll_outcomes(MAX_MISSING, cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SinkError> {
        let this = self.get_mut();
        if this.waiting.is_some() {
            // A caller that did not ask whether the sink is ready; the message before must not be lost for it.
            return Err(SendError::WouldBlock(Blocked::Queue).into());
        }
        this.waiting = Some(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let this = self.get_mut();
        ready!(this.poll_handed_over(cx))?;
        this.poll_outcomes(0, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.as_mut().poll_flush(cx))?;
        let this = self.get_mut();
        let link = &this.sender.link;
        let closing = this.closing.get_or_insert_with(|| {
            let link = Arc::clone(link);
            Box::pin(async move { link.detach(DetachKind::Closed, None).await })
        });
        Poll::Ready(ready!(closing.as_mut().poll(cx)).map_err(SinkError::End))
    }
}

impl Drop for MessageSink {
    fn drop(&mut self) {
        self.sender.leave_queue(&mut self.place);
    }
}

impl fmt::Debug for MessageSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSink")
            .field("sender", &self.sender)
            .field("missing_outcomes", &self.receipts.len())
            .finish_non_exhaustive()
    }
}

/// Messages of a sink that may be without an outcome before the next waits.
const MAX_MISSING: usize = 1_000;
