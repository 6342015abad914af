//! The sending link.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use amqp_codec::{Attach, DeliveryState, DeliveryTag, Error, Message, Outcome, SenderSettleMode, Str};
use bytes::Bytes;

use super::error::{Blocked, DetachReason, EndError, SendError};
use super::receipt::Receipt;
use super::sending::{Attempt, Content};
use super::suspended::KeepGuard;
use crate::driver::link::LinkInner;
use crate::driver::parting::Gate;
use crate::driver::slots::LinkPhase;
use crate::engine::{DetachKind, LinkStats, Settlement};

/// A link that sends (`AMQP 1.0 §2.6`).
///
/// Sends wait for the peer's credit, the session's window and room in the output, first come, first served. Dropping
/// the sender detaches the link once its last receipt is gone, too, and what was handed over has left, however large it
/// is: what has not left after [`Limits::abandon_time_out`](crate::engine::Limits::abandon_time_out), or at the
/// connection's end, is cut off.
#[derive(Debug)]
pub struct Sender {
    pub(super) link: Arc<LinkInner>,
    name: Str,
    settlement: Settlement,
    /// There where the link keeps what is unsettled.
    _guard: Option<KeepGuard>,
    /// Receipts for messages of an earlier process.
    restored: Vec<(DeliveryTag, Receipt)>,
}

impl Sender {
    pub(crate) fn new(link: Arc<LinkInner>, name: Str, mode: SenderSettleMode) -> Self {
        // L-033: mixed sends unsettled, so that every message has an outcome, unless a send asks otherwise.
        let settlement = match mode {
            SenderSettleMode::Settled => Settlement::Settled,
            _ => Settlement::Unsettled,
        };
        Self { link, name, settlement, _guard: None, restored: Vec::new() }
    }

    /// A sender whose link keeps what is unsettled.
    pub(crate) fn keeping(mut self) -> Self {
        self._guard = Some(KeepGuard(Arc::clone(&self.link)));
        self
    }

    /// A sender that goes on with messages of an earlier process.
    pub(crate) fn restoring(mut self, restored: Vec<(DeliveryTag, Receipt)>) -> Self {
        self.restored = restored;
        self.restored.extend(self.link.take_restored());
        self
    }

    pub(crate) fn link(&self) -> &Arc<LinkInner> {
        &self.link
    }

    /// New receipts, by delivery-tag, for the messages of an earlier process with which this sender goes on
    /// ([`SuspendedSender::from_link`](crate::SuspendedSender::from_link),
    /// [`Termini::restore`](crate::server::Termini::restore)): for each whose end had not been told when the link was written
    /// down, in that order. Given once; those that nobody has taken when the sender is dropped are dropped with it.
    pub fn take_receipts(&mut self) -> Vec<(DeliveryTag, Receipt)> {
        std::mem::take(&mut self.restored)
    }

    /// Sends a message and waits for its outcome. That the peer rejects it is an [`Outcome`], not an error. On a link
    /// in mode settled the outcome is [`Outcome::Accepted`] as soon as the message is handed over.
    ///
    /// # Errors
    /// [`SendError::OutcomeUnknown`] when the link or connection ended with the message on its way; all others prove
    /// that it was not taken.
    ///
    /// # Cancel safety
    /// Dropped before the message is handed over, nothing is sent; dropped after it, the message goes its way, whole, and
    /// its outcome is discarded.
    pub async fn send(&self, message: &Message) -> Result<Outcome, SendError> {
        self.send_with_receipt(message).await?.await
    }

    /// Hands a message over and gives a [`Receipt`] for its outcome, so that many can be on their way at once.
    ///
    /// # Errors
    /// Those that prove that the message was not taken.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, nothing is sent.
    pub async fn send_with_receipt(&self, message: &Message) -> Result<Receipt, SendError> {
        self.hand_over(Content::Message(message), self.settlement).await
    }

    /// Sends a message settled: no outcome will come. A message of many frames is waited for until the last of them is
    /// on its way.
    ///
    /// # Errors
    /// Those that prove that the message was not taken, or [`SendError::OutcomeUnknown`] when the link ended between
    /// its frames. The link's mode must not be unsettled.
    ///
    /// # Cancel safety
    /// Dropped before the message is handed over, nothing is sent; dropped after it, the message goes its way, whole.
    pub async fn send_settled(&self, message: &Message) -> Result<(), SendError> {
        let receipt = self.hand_over(Content::Message(message), Settlement::Settled).await?;
        if receipt.is_settled() {
            return Ok(());
        }
        receipt.await.map(drop)
    }

    /// Hands over a message that is encoded already, or a batch of them
    /// (format [`BATCHED_MESSAGE_FORMAT`](amqp_codec::BATCHED_MESSAGE_FORMAT)). Large payloads are not copied.
    ///
    /// # Errors
    /// Those that prove that the message was not taken.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, nothing is sent.
    pub async fn send_encoded(
        &self,
        payload: Bytes,
        message_format: u32,
        settlement: Settlement,
    ) -> Result<Receipt, SendError> {
        let content = Content::Encoded { payload: &payload, message_format, tag: None, state: None };
        self.hand_over(content, settlement).await
    }

    /// As [`send_encoded`](Self::send_encoded) for one message, under a delivery-tag of the caller's
    /// (`AMQP 1.0 §2.6.12`), which no other unsettled delivery of the link may have.
    ///
    /// # Errors
    /// Those that prove that the message was not taken.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, nothing is sent.
    pub async fn send_tagged(
        &self,
        payload: Bytes,
        tag: DeliveryTag,
        settlement: Settlement,
    ) -> Result<Receipt, SendError> {
        let content = Content::Encoded { payload: &payload, message_format: 0, tag: Some(tag), state: None };
        self.hand_over(content, settlement).await
    }

    /// Hands over an encoded message with a state of its sender's: that it belongs to a transaction
    /// ([`posted_in`](crate::transaction::posted_in)). For listeners whose peer acquires messages so; controllers use
    /// [`Transaction::send`](crate::client::Transaction::send).
    ///
    /// # Errors
    /// Those that prove that the message was not taken.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, nothing is sent.
    //
    pub async fn send_in(
        &self,
        payload: Bytes,
        state: DeliveryState,
        settlement: Settlement,
    ) -> Result<Receipt, SendError> {
        let content =
            Content::Encoded { payload: &payload, message_format: 0, tag: None, state: Some(&state) };
        self.hand_over(content, settlement).await
    }

    /// The transaction under which the peer wants what it has credit for (`AMQP 1.0 §4.4.3`).
    //
    #[must_use]
    pub fn acquiring(&self) -> Option<Bytes> {
        let acquiring = self.link.connection.shared.with(|state| state.engine.link_acquiring(self.link.id));
        acquiring.ok().flatten()
    }

    /// Nobody will discharge a transaction of this control link: it is rolled back when there is a chance.
    pub(crate) fn abandon_transaction(&self, id: Bytes) {
        // Poisoned: the link is over, and its transactions with it.
        let _ = self.link.connection.shared.with(|state| {
            if let Some(slot) = state.links.get_mut(self.link.key) {
                slot.abandoned_transactions.push(id);
            }
        });
    }

    pub(crate) fn next_abandoned(&self) -> Option<Bytes> {
        let shared = &self.link.connection.shared;
        shared.with(|state| state.links.get_mut(self.link.key)?.abandoned_transactions.pop()).ok().flatten()
    }

    /// Waits until a message can go: the peer has granted credit, the session's window is open, and there is room in the
    /// output. For senders that choose what to send only when it can go. Others may use the room up meanwhile.
    ///
    /// # Errors
    /// When the link or connection is over.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self) -> Result<(), SendError> {
        let mut attempt = Attempt { sender: self, place: None };
        poll_fn(|cx| attempt.poll_ready(cx)).await
    }

    /// Hands a message over if it can go this moment.
    ///
    /// # Errors
    /// [`SendError::WouldBlock`] says which bound holds it; all others as
    /// [`send_with_receipt`](Self::send_with_receipt).
    pub fn try_send(&self, message: &Message) -> Result<Receipt, SendError> {
        let mut attempt = Attempt { sender: self, place: None };
        let content = Content::Message(message);
        match attempt.offer(&content, self.settlement, None) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(SendError::WouldBlock(Blocked::Queue)),
        }
    }

    /// Says how many messages wait for this link, which the peer is told with the next flow, at the latest when it asks
    /// (`AMQP 1.0 §2.6.7`). It is not counted down as messages are sent: whoever says it keeps it true. Default 0.
    ///
    /// # Errors
    /// When the link is detached or the connection is gone.
    // L-024
    pub fn set_available(&self, messages: u32) -> Result<(), SendError> {
        self.link
            .connection
            .shared
            .with(|state| match state.links.get(self.link.key).map(|slot| &slot.phase) {
                Some(LinkPhase::Detached(end)) => Err(SendError::Detached(end.reason.clone())),
                _ => {
                    let told = state.engine.set_available(self.link.id, messages);
                    told.map_err(|_| SendError::Detached(DetachReason::Local))
                }
            })
            .unwrap_or_else(|error| Err(SendError::Lost(error)))
    }

    /// As [`try_send`](Self::try_send), for a message that is encoded already, in this format. Large payloads are not
    /// copied.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_encoded(
        &self,
        payload: Bytes,
        message_format: u32,
        settlement: Settlement,
    ) -> Result<Receipt, SendError> {
        let mut attempt = Attempt { sender: self, place: None };
        let content = Content::Encoded { payload: &payload, message_format, tag: None, state: None };
        match attempt.offer(&content, settlement, None) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(SendError::WouldBlock(Blocked::Queue)),
        }
    }

    /// Says that there is nothing to send, until the link or connection is over; dropped, there may be something again.
    /// Meanwhile a peer that wants its credit back (`AMQP 1.0 §2.6.7`) gets it at once. Only for accepted links with
    /// [`Draining::ByApplication`](crate::server::Draining::ByApplication); all others see by themselves whether somebody
    /// waits to send.
    ///
    /// # Errors
    /// Ends only so: the link or connection is over.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn idle(&self) -> Result<Infallible, SendError> {
        let _idle = Idle::begin(self);
        self.link.wait(|slot| slot.send_error()).await.map_or_else(|lost| Err(SendError::Lost(lost)), Err)
    }

    /// The settlement of what this link sends: settled where that is the mode agreed on, otherwise unsettled.
    #[must_use]
    pub fn settlement(&self) -> Settlement {
        self.settlement
    }

    /// Detaches the link for good and waits for the peer's answer. Idempotent. Nothing more can be sent from here on, but
    /// a message that was handed over leaves first, for at most
    /// [`Limits::leave_time_out`](crate::engine::Limits::leave_time_out). Messages on their way, and one of which the peer
    /// has not taken all by then, end with [`SendError::OutcomeUnknown`].
    ///
    /// # Errors
    /// [`EndError::Unanswered`] when the peer has not answered within
    /// [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out) (60 s) of the detach: on this side the link is over
    /// all the same. [`EndError::Lost`] when the connection is lost before.
    ///
    /// # Cancel safety
    /// Safe: once polled, detaching goes on in the connection's task.
    pub async fn detach(&self) -> Result<(), EndError> {
        self.link.detach(DetachKind::Closed, None).await
    }

    /// Detaches the link for good and tells the peer why. Otherwise as [`detach`](Self::detach).
    ///
    /// # Errors
    /// As [`detach`](Self::detach).
    ///
    /// # Cancel safety
    /// As [`detach`](Self::detach).
    pub async fn detach_with_error(&self, error: impl Into<Error>) -> Result<(), EndError> {
        self.link.detach(DetachKind::Closed, Some(error.into())).await
    }

    /// Waits until the link is detached and says why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn detached(&self) -> DetachReason {
        self.link.detached().await
    }

    /// Whether the link can be used: no more once either side has detached it, or this side is about to.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.link.look(|slot| slot.is_attached() && slot.gate == Gate::Open).unwrap_or(false)
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The link's credit and what has passed over it; `None` once it is detached.
    #[must_use]
    pub fn stats(&self) -> Option<LinkStats> {
        self.link.connection.shared.with(|state| state.engine.link_stats(self.link.id)).ok().flatten()
    }

    /// The peer's attach: its termini, modes, limits and properties. Decoded anew each time.
    #[must_use]
    pub fn remote_attach(&self) -> Option<Attach> {
        self.link.remote_attach()
    }

    /// Messages the peer takes at this moment (`AMQP 1.0 §2.6.7`).
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.link.connection.shared.with(|state| state.engine.link_credit(self.link.id)).unwrap_or(0)
    }

    /// The largest message the peer takes, in bytes; `None` without bound.
    #[must_use]
    pub fn max_message_size(&self) -> Option<u64> {
        self.link
            .connection
            .shared
            .with(|state| state.engine.link_max_message_size(self.link.id))
            .ok()
            .flatten()
    }
}

/// A time in which nothing is to be sent, ended when dropped.
struct Idle<'a> {
    sender: &'a Sender,
}

impl<'a> Idle<'a> {
    fn begin(sender: &'a Sender) -> Self {
        let link = &sender.link;
        // Poisoned: the wait that follows finds it.
        let _ = link.connection.shared.with(|state| {
            if let Some(slot) = state.links.get_mut(link.key) {
                slot.idle = slot.idle.saturating_add(1);
            }
            state.answer_drain(link.key);
        });
        Self { sender }
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        let link = &self.sender.link;
        // Poisoned: nobody is told anything any more.
        let _ = link.connection.shared.with(|state| {
            if let Some(slot) = state.links.get_mut(link.key) {
                slot.idle = slot.idle.saturating_sub(1);
            }
        });
    }
}
