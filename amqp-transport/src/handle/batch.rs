//! Many messages by one call: sending all and telling each one's end, receiving what is there.
//!
//! Owns no state of its own: each message goes the way it would go alone.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use amqp_codec::{Message, Outcome};

use super::delivery::Delivery;
use super::error::{RecvError, SendError};
use super::receipt::Receipt;
use super::receiver::Receiver;
use super::sender::Sender;

impl Sender {
    /// Hands over all messages in order, as credit and windows allow, and waits for all outcomes: one result for each
    /// message, in the same order. A message that fails does not keep the others from being sent. Many are on their way at
    /// once, so that this is as fast as the link allows.
    ///
    /// Each message is a delivery of its own; several in one delivery are for peers that know that format
    /// ([`BatchBuilder`](amqp_codec::BatchBuilder), [`send_encoded`](Self::send_encoded)).
    ///
    /// # Cancel safety
    /// Dropped, the messages that were handed over go their way and their outcomes are discarded; the others are not sent.
    pub async fn send_all(&self, messages: &[Message]) -> Vec<Result<Outcome, SendError>> {
        let mut batch = Batch { handed_over: VecDeque::new(), ended: Vec::with_capacity(messages.len()) };
        for message in messages {
            let mut handing_over = pin!(self.send_with_receipt(message));
            let handed_over = poll_fn(|cx| {
                let handed_over = handing_over.as_mut().poll(cx);
                if handed_over.is_pending() {
                    // On a link that its application settles, a peer may give no more credit until it hears what is
                    // made of the outcomes that it has told.
                    let _ = batch.poll_ended(cx);
                }
                handed_over
            });
            let handed_over = handed_over.await;
            batch.handed_over.push_back(handed_over);
        }
        poll_fn(|cx| batch.poll_ended(cx)).await;
        batch.ended
    }
}

/// The messages of one call, in order: those before that have ended, and those that were handed over.
struct Batch {
    ended: Vec<Result<Outcome, SendError>>,
    handed_over: VecDeque<Result<Receipt, SendError>>,
}

impl Batch {
    /// Takes the ends that have come, up to the first that is missing.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(first) = self.handed_over.front_mut() {
            let end = match first {
                Ok(receipt) => ready!(Pin::new(receipt).poll(cx)),
                Err(error) => Err(error.clone()),
            };
            self.handed_over.pop_front();
            self.ended.push(end);
        }
        Poll::Ready(())
    }
}

impl Receiver {
    /// Waits for a message and takes it with what else is there, up to `max` messages, at least one. None is waited for
    /// once there is one.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Safe: no message is lost when the future is dropped.
    pub async fn recv_many(&self, max: usize) -> Result<Vec<Delivery>, RecvError> {
        // The only wait comes before anything is taken.
        let mut taken = vec![self.recv().await?];
        while taken.len() < max
            && let Some(delivery) = self.try_recv()
        {
            taken.push(delivery);
        }
        Ok(taken)
    }
}
