//! Many messages by one call: sending all and telling each one's end, receiving what is there.
//!
//! Owns no state of its own: each message goes the way it would go alone. Links that come back after a loss send and
//! receive by the same piece.

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
        send_batch(messages.iter(), |message| self.send_with_receipt(message), |_| false).await
    }
}

/// Hands over all messages in order and waits for all outcomes. A failure that is final is that of all which follow.
pub(crate) async fn send_batch<'m, H, E>(
    messages: impl ExactSizeIterator<Item = &'m Message>,
    hand_over: impl Fn(&'m Message) -> H,
    is_final: impl Fn(&E) -> bool,
) -> Vec<Result<Outcome, E>>
where
    H: Future<Output = Result<Receipt, E>>,
    E: From<SendError> + Clone,
{
    let mut batch = Batch { handed_over: VecDeque::new(), ended: Vec::with_capacity(messages.len()) };
    let mut end: Option<E> = None;
    for message in messages {
        if let Some(end) = &end {
            batch.handed_over.push_back(Err(end.clone()));
            continue;
        }
        let mut handing_over = pin!(hand_over(message));
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
        end = handed_over.as_ref().err().filter(|error| is_final(error)).cloned();
        batch.handed_over.push_back(handed_over);
    }
    poll_fn(|cx| batch.poll_ended(cx)).await;
    batch.ended
}

/// The messages of one call, in order: those before that have ended, and those that were handed over.
struct Batch<E> {
    ended: Vec<Result<Outcome, E>>,
    handed_over: VecDeque<Result<Receipt, E>>,
}

impl<E: From<SendError> + Clone> Batch<E> {
    /// Takes the ends that have come, up to the first that is missing.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(first) = self.handed_over.front_mut() {
            let end = match first {
                Ok(receipt) => ready!(Pin::new(receipt).poll(cx)).map_err(E::from),
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
        let first = self.recv().await?;
        Ok(with_what_waits(first, max, || self.try_recv()))
    }
}

/// A message and those that are there after it, up to `max` of them all.
pub(crate) fn with_what_waits(
    first: Delivery,
    max: usize,
    mut next: impl FnMut() -> Option<Delivery>,
) -> Vec<Delivery> {
    let mut taken = vec![first];
    while taken.len() < max
        && let Some(delivery) = next()
    {
        taken.push(delivery);
    }
    taken
}
