//! Many messages by one call: sending all and telling each one's end, receiving what is there.
//!
//! Owns no state of its own: each message goes the way it would go alone.

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
        let mut receipts: Vec<Result<Receipt, SendError>> = Vec::with_capacity(messages.len());
        for message in messages {
            receipts.push(self.send_with_receipt(message).await);
        }
        let mut results = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            results.push(match receipt {
                Ok(receipt) => receipt.await,
                Err(error) => Err(error),
            });
        }
        results
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
