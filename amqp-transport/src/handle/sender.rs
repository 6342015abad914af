//! The sending link.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use amqp_codec::{
    Attach, DeliveryState, DeliveryTag, Encode, Error, Message, Outcome, SenderSettleMode, Str,
};
use bytes::{Bytes, BytesMut};

use super::error::{Blocked, DetachReason, SendError};
use super::options::Draining;
use super::receipt::Receipt;
use super::suspended::KeepGuard;
use crate::driver::dispatch::NOTIFY_AT_ONCE;
use crate::driver::link::LinkInner;
use crate::driver::pending::{Pending, PendingPhase};
use crate::driver::shared::{LinkPhase, LinkSlot, State};
use crate::driver::wait::{Place, Turn};
use crate::engine::{
    DetachKind, EngineError, LinkId, LinkStats, Outgoing, Payload, Settlement, TrySendError,
};
use crate::error::ConnectionError;
use crate::transaction::transaction_of;

/// A link that sends (`AMQP 1.0 §2.6`).
///
/// Sends wait for the peer's credit, the session's window and room in the output, first come, first served. Dropping
/// the sender detaches the link once its last receipt is gone, too.
#[derive(Debug)]
pub struct Sender {
    pub(super) link: Arc<LinkInner>,
    name: Str,
    settlement: Settlement,
    /// There where the link keeps what is unsettled.
    _guard: Option<KeepGuard>,
}

impl Sender {
    pub(crate) fn new(link: Arc<LinkInner>, name: Str, mode: SenderSettleMode) -> Self {
        // L-033: mixed sends unsettled, so that every message has an outcome, unless a send asks otherwise.
        let settlement = match mode {
            SenderSettleMode::Settled => Settlement::Settled,
            _ => Settlement::Unsettled,
        };
        Self { link, name, settlement, _guard: None }
    }

    /// A sender whose link keeps what is unsettled.
    pub(crate) fn keeping(mut self) -> Self {
        self._guard = Some(KeepGuard(Arc::clone(&self.link)));
        self
    }

    pub(crate) fn link(&self) -> &Arc<LinkInner> {
        &self.link
    }

    /// Sends a message and waits for its outcome. That the peer rejects it is an [`Outcome`], not an error. On a link
    /// in mode settled the outcome is [`Outcome::Accepted`] as soon as the message is handed over.
    ///
    /// # Errors
    /// [`SendError::OutcomeUnknown`] when the link or connection ended with the message on its way; all others prove
    /// that it was not taken.
    ///
    /// # Cancel safety
    /// Dropped before the message is handed over, nothing is sent; dropped after it, the message goes its way and its
    /// outcome is discarded.
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
    /// Dropped before the message is handed over, nothing is sent; dropped after it, the message goes its way.
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

    /// Detaches the link for good and waits for the peer's answer. Idempotent. Messages on their way end with
    /// [`SendError::OutcomeUnknown`].
    ///
    /// # Errors
    /// When the connection is lost before.
    ///
    /// # Cancel safety
    /// Safe: once polled, detaching goes on in the connection's task.
    pub async fn detach(&self) -> Result<(), ConnectionError> {
        self.link.detach(DetachKind::Closed, None).await
    }

    /// Detaches the link for good and tells the peer why. Otherwise as [`detach`](Self::detach).
    ///
    /// # Errors
    /// As [`detach`](Self::detach).
    ///
    /// # Cancel safety
    /// As [`detach`](Self::detach).
    pub async fn detach_with_error(&self, error: Error) -> Result<(), ConnectionError> {
        self.link.detach(DetachKind::Closed, Some(error)).await
    }

    /// Waits until the link is detached and says why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn detached(&self) -> DetachReason {
        self.link.detached().await
    }

    /// Whether the link can be used.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.link.look(|slot| matches!(slot.phase, LinkPhase::Attached)).unwrap_or(false)
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

    /// One step of handing a message over from a place that outlives the step.
    #[cfg(feature = "futures")]
    pub(crate) fn poll_send(
        &self,
        message: &Message,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Result<Receipt, SendError>> {
        let mut attempt = Attempt { sender: self, place: place.take() };
        let handed_over = attempt.poll(cx, &Content::Message(message), self.settlement);
        *place = attempt.place.take();
        handed_over
    }

    /// Gives up such a place.
    #[cfg(feature = "futures")]
    pub(crate) fn leave_queue(&self, place: &mut Option<Place>) {
        drop(Attempt { sender: self, place: place.take() });
    }

    async fn hand_over(&self, content: Content<'_>, settlement: Settlement) -> Result<Receipt, SendError> {
        let mut attempt = Attempt { sender: self, place: None };
        poll_fn(|cx| attempt.poll(cx, &content, settlement)).await
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

/// What is to be sent.
enum Content<'a> {
    Message(&'a Message),
    Encoded {
        payload: &'a Bytes,
        message_format: u32,
        tag: Option<DeliveryTag>,
        state: Option<&'a DeliveryState>,
    },
}

/// One send on its way to the engine. Dropping it gives up its place in the queue.
struct Attempt<'a> {
    sender: &'a Sender,
    place: Option<Place>,
}

impl Attempt<'_> {
    fn poll(
        &mut self,
        cx: &Context<'_>,
        content: &Content<'_>,
        settlement: Settlement,
    ) -> Poll<Result<Receipt, SendError>> {
        if self.place.is_some() && self.still_waits(cx) {
            return Poll::Pending;
        }
        self.offer(content, settlement, Some(cx.waker()))
    }

    /// Whether it is not this send's turn yet, so that encoding the message would be for nothing.
    fn still_waits(&mut self, cx: &Context<'_>) -> bool {
        let (key, place) = (self.sender.link.key, &mut self.place);
        let waits = self.sender.link.connection.shared.with(|state| {
            let Some(slot) = state.links.get_mut(key) else { return false };
            let waits = place.is_some_and(|place| slot.queue.turn(place) == Turn::Waiting);
            if waits {
                slot.queue.wait(place, cx.waker(), &mut state.wakes);
            }
            waits
        });
        waits.unwrap_or(false)
    }

    /// Whether there is room for whoever's turn it is.
    fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let (key, place) = (self.sender.link.key, &mut self.place);
        let polled = self.sender.link.connection.shared.with(|state| {
            let Some(slot) = state.links.get_mut(key) else {
                return Poll::Ready(Err(SendError::Detached(DetachReason::Local)));
            };
            if let Some(error) = slot.send_error() {
                slot.queue.leave(place, &mut state.wakes);
                return Poll::Ready(Err(error));
            }
            let is_first =
                place.map_or(slot.queue.is_empty(), |place| slot.queue.turn(place) == Turn::Notified);
            if is_first && state.engine.can_send(slot.id) {
                state.leave_send_queue(key, place);
                return Poll::Ready(Ok(()));
            }
            slot.queue.wait(place, cx.waker(), &mut state.wakes);
            // Used up by what was sent, which the peer still has to be told.
            if state.engine.link_credit(slot.id) == 0 {
                state.answer_drain(key);
            }
            Poll::Pending
        });
        polled.unwrap_or_else(|error| Poll::Ready(Err(SendError::Lost(error))))
    }

    /// Encodes outside the lock and offers the octets to the engine. Without a waker it never waits.
    fn offer(
        &mut self,
        content: &Content<'_>,
        settlement: Settlement,
        waker: Option<&Waker>,
    ) -> Poll<Result<Receipt, SendError>> {
        match content {
            Content::Encoded { payload, message_format, tag, state } => {
                let payload = Payload::Bytes(Bytes::clone(payload));
                let state = state.map(|state| Box::new(state.clone()));
                let mut outgoing = Outgoing::new(payload, settlement, NOBODY);
                (outgoing.message_format, outgoing.tag, outgoing.state) = (*message_format, *tag, state);
                self.offer_payload(&mut outgoing, waker)
            }
            Content::Message(message) => SCRATCH.with(|scratch| {
                // A message whose encoder sends a message itself does not exist; a fresh buffer costs only time.
                let Ok(mut scratch) = scratch.try_borrow_mut() else {
                    return self.offer_payload(
                        &mut Outgoing::new(amqp_codec::to_bytes(*message), settlement, NOBODY),
                        waker,
                    );
                };
                scratch.clear();
                if let Some(body) = message.trailing_data() {
                    message.encode_head(&mut *scratch);
                    let payload = Payload::Parts { head: &scratch, body };
                    return self.offer_payload(&mut Outgoing::new(payload, settlement, NOBODY), waker);
                }
                message.encode(&mut *scratch);
                if scratch.len() < SHARE_FROM {
                    return self.offer_payload(
                        &mut Outgoing::new(Payload::Slice(&scratch), settlement, NOBODY),
                        waker,
                    );
                }
                let payload = scratch.split().freeze();
                self.offer_payload(&mut Outgoing::new(Payload::Bytes(payload), settlement, NOBODY), waker)
            }),
        }
    }

    fn offer_payload(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        waker: Option<&Waker>,
    ) -> Poll<Result<Receipt, SendError>> {
        let link = &self.sender.link;
        let place = &mut self.place;
        let offered = link.connection.shared.with(|state| state.offer(link.key, outgoing, place, waker));
        match offered {
            Ok(Poll::Ready(Ok(Some(key)))) => Poll::Ready(Ok(Receipt::pending(Arc::clone(link), key))),
            Ok(Poll::Ready(Ok(None))) => Poll::Ready(Ok(Receipt::settled())),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(error) => Poll::Ready(Err(SendError::Lost(error))),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (key, place) = (self.sender.link.key, &mut self.place);
        if place.is_some() {
            // Poisoned: nobody waits any more.
            let _ = self.sender.link.connection.shared.with(|state| state.leave_send_queue(key, place));
        }
    }
}

impl LinkSlot {
    /// Why nothing can be sent any more, if so.
    fn send_error(&self) -> Option<SendError> {
        let LinkPhase::Detached(end) = &self.phase else { return None };
        Some(match &end.reason {
            DetachReason::Lost(error) => SendError::Lost(error.clone()),
            other => SendError::Detached(other.clone()),
        })
    }
}

impl State {
    /// Offers a message to the engine: the key of its pending outcome, `None` for a settled one, or a place in the
    /// queue.
    fn offer(
        &mut self,
        key: usize,
        outgoing: &mut Outgoing<'_>,
        place: &mut Option<Place>,
        waker: Option<&Waker>,
    ) -> Poll<Result<Option<usize>, SendError>> {
        if let Some(waker) = waker
            && self.is_burst()
        {
            self.wakes.wake(waker.clone());
            return Poll::Pending;
        }
        let Some(slot) = self.links.get_mut(key) else {
            return Poll::Ready(Err(SendError::Detached(DetachReason::Local)));
        };
        if let Some(error) = slot.send_error() {
            slot.queue.leave(place, &mut self.wakes);
            return Poll::Ready(Err(error));
        }
        if place.is_none() && !slot.queue.is_empty() {
            return match waker {
                Some(waker) => {
                    slot.queue.wait(place, waker, &mut self.wakes);
                    Poll::Pending
                }
                None => Poll::Ready(Err(SendError::WouldBlock(Blocked::Queue))),
            };
        }
        let is_settled = outgoing.settlement == Settlement::Settled;
        let octets = outgoing.payload.len();
        // A settled message that leaves at once has nothing to wait for.
        let pending = (!is_settled || octets >= MAY_BE_LARGE).then(|| {
            let batch = self.taken_batch.saturating_add(1);
            let phase = PendingPhase::Waiting(None);
            self.pending.insert(Pending::new(key, batch, is_settled, octets, phase))
        });
        outgoing.user = pending.and_then(|key| u32::try_from(key).ok()).unwrap_or(NOBODY);
        let transaction = outgoing.state.as_deref().and_then(transaction_of).cloned();
        let blocked = match self.engine.send(slot.id, outgoing) {
            Ok(delivery) => {
                let id = slot.id;
                if let Some(pending) = pending.and_then(|key| self.pending.get_mut(key)) {
                    pending.delivery = Some(delivery);
                    pending.transaction = transaction.map(Box::new);
                }
                return Poll::Ready(Ok(self.note_sent(key, id, pending, is_settled, place)));
            }
            Err(error) => blocked_by(error),
        };
        if let Some(pending) = pending {
            self.pending.free(pending);
        }
        match (blocked, waker) {
            (Ok(_), Some(waker)) => {
                slot.queue.wait(place, waker, &mut self.wakes);
                Poll::Pending
            }
            (Ok(blocked), None) => Poll::Ready(Err(SendError::WouldBlock(blocked))),
            (Err(error), _) => {
                self.leave_send_queue(key, place);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Whether so much was sent since the driver last looked that it should have its turn, so that the peer works on it
    /// while the next is sent. Once for each such stretch.
    fn is_burst(&mut self) -> bool {
        let waiting = self.engine.queued_output();
        let is_burst = waiting >= self.seen_output.saturating_add(BURST);
        if is_burst {
            self.seen_output = waiting;
        }
        is_burst
    }

    /// A message was taken by the engine: the key under which its end is awaited, if it has one.
    fn note_sent(
        &mut self,
        key: usize,
        id: LinkId,
        mut pending: Option<usize>,
        is_settled: bool,
        place: &mut Option<Place>,
    ) -> Option<usize> {
        if is_settled
            && !self.engine.is_link_busy(id)
            && let Some(left) = pending.take()
        {
            self.pending.free(left);
        }
        self.is_touched = true;
        self.stats.messages_sent = self.stats.messages_sent.saturating_add(1);
        if let Some(pending) = pending {
            self.enlist(pending);
        }
        if self.links.get_mut(key).is_some_and(|slot| !slot.queue.is_empty()) {
            self.leave_send_queue(key, place);
        }
        pending
    }

    /// Gives up a place in a sender's queue, and passes the turn on while there is credit.
    fn leave_send_queue(&mut self, key: usize, place: &mut Option<Place>) {
        let Some(slot) = self.links.get_mut(key) else { return };
        slot.queue.leave(place, &mut self.wakes);
        if slot.queue.has_waiting() && slot.queue.notified() == 0 {
            let credit = usize::try_from(self.engine.link_credit(slot.id)).unwrap_or(usize::MAX);
            slot.queue.notify(credit.min(NOTIFY_AT_ONCE), &mut self.wakes);
        }
        // L-025: nobody waits any more, what credit is left goes back.
        if slot.draining == Draining::Automatic && slot.queue.is_empty() {
            self.answer_drain(key);
        }
    }

    /// Gives the peer the credit back that it wants back, if it does.
    pub(crate) fn answer_drain(&mut self, key: usize) {
        let Some(slot) = self.links.get_mut(key) else { return };
        if std::mem::take(&mut slot.is_drain_requested) {
            // Stale: the link is over.
            let _ = self.engine.drained(slot.id);
            self.is_touched = true;
        }
    }
}

/// Whether waiting helps, and for what.
fn blocked_by(error: TrySendError) -> Result<Blocked, SendError> {
    match error {
        TrySendError::NoCredit => Ok(Blocked::Credit),
        TrySendError::WindowClosed | TrySendError::TooManyUnsettled => Ok(Blocked::Window),
        TrySendError::OutputFull => Ok(Blocked::Output),
        TrySendError::Busy => Ok(Blocked::Queue),
        TrySendError::TooLarge { size, limit } => {
            Err(SendError::TooLarge { size: u64::try_from(size).unwrap_or(u64::MAX), limit })
        }
        TrySendError::SettleMode => Err(SendError::SettleMode),
        // The connection's end is on its way as an event.
        TrySendError::Link(EngineError::Closed(error)) => Err(SendError::Lost(error)),
        // The link's end is on its way as an event.
        TrySendError::Link(_) => Err(SendError::Detached(DetachReason::Local)),
    }
}

thread_local! {
    /// Where messages are encoded before they are copied into the output; one for each thread, so that neither lock nor
    /// allocation is needed.
    static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// The number of a message that nobody waits for.
const NOBODY: u32 = u32::MAX;

/// Messages below this size fit the smallest frame a peer may ask for (512 bytes, `AMQP 1.0 §2.8.19`), in bytes.
const MAY_BE_LARGE: usize = 384;

/// Octets sent in one go before the driver has its turn.
const BURST: usize = 64 * 1024;

/// Encoded messages from this size on are handed over as their own buffer instead of being copied, in bytes.
const SHARE_FROM: usize = 16 * 1024;
