//! One send on its way: its place in the queue, its encoding, and how it is offered to the engine.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use amqp_codec::{DeliveryState, DeliveryTag, Encode, Message};
use bytes::{Bytes, BytesMut};

use super::error::{Blocked, DetachReason, SendError};
use super::options::Draining;
use super::receipt::Receipt;
use super::sender::Sender;
use crate::driver::dispatch::NOTIFY_AT_ONCE;
use crate::driver::pending::{Pending, PendingPhase};
use crate::driver::ring::{NO_KEY, short};
use crate::driver::shared::State;
use crate::driver::slots::LinkSlot;
use crate::driver::wait::{Place, Turn};
use crate::engine::{EngineError, Outgoing, Payload, Settlement, TrySendError};
use crate::transaction::transaction_of;

impl Sender {
    /// One step of handing a message over from a place that outlives the step.
    #[cfg(feature = "futures")]
    pub(crate) fn poll_send(
        &self,
        message: &Message,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Result<Receipt, SendError>> {
        let mut attempt = Attempt { sender: self, place: place.take() };
        let handed_over = attempt.poll(cx, &Content::Message(message), self.settlement());
        *place = attempt.place.take();
        handed_over
    }

    /// Gives up such a place.
    #[cfg(feature = "futures")]
    pub(crate) fn leave_queue(&self, place: &mut Option<Place>) {
        drop(Attempt { sender: self, place: place.take() });
    }

    pub(crate) async fn hand_over(
        &self,
        content: Content<'_>,
        settlement: Settlement,
    ) -> Result<Receipt, SendError> {
        let mut attempt = Attempt { sender: self, place: None };
        poll_fn(|cx| attempt.poll(cx, &content, settlement)).await
    }
}

/// What is to be sent.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    Message(&'a Message),
    Encoded {
        payload: &'a Bytes,
        message_format: u32,
        tag: Option<DeliveryTag>,
        state: Option<&'a DeliveryState>,
    },
}

/// One send on its way to the engine. Dropping it gives up its place in the queue.
pub(super) struct Attempt<'a> {
    pub(super) sender: &'a Sender,
    pub(super) place: Option<Place>,
}

impl Attempt<'_> {
    pub(super) fn poll(
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
    pub(super) fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
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
    pub(super) fn offer(
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
    pub(super) fn send_error(&self) -> Option<SendError> {
        let Some(reason) = self.over() else { return self.gate.error() };
        Some(match reason {
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
    ) -> Poll<Result<Option<u64>, SendError>> {
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
        // Those whose turn it is, too, would go first.
        let is_next = slot.queue.notified() <= usize::from(place.is_some());
        if let Some(waker) = waker
            && is_next
            && is_burst(self.engine.queued_output(), &mut self.seen_output)
        {
            // The turn stays this send's: those that come meanwhile line up behind it.
            slot.queue.pause(place, waker, &mut self.wakes);
            return Poll::Pending;
        }
        let is_settled = outgoing.settlement == Settlement::Settled;
        let octets = outgoing.payload.len();
        // A settled message that leaves at once has nothing to wait for.
        let may_wait = (!is_settled || octets >= MAY_BE_LARGE).then(|| self.pending.next_key());
        outgoing.user = may_wait.map_or(NOBODY, short);
        let transaction = outgoing.state.as_deref().and_then(transaction_of).cloned();
        let blocked = match self.engine.send(slot.id, outgoing) {
            Ok(delivery) => {
                let waits = may_wait.filter(|_| !is_settled || self.engine.is_link_busy(slot.id));
                if let Some(waiting) = waits {
                    let batch = self.taken_batch.saturating_add(1);
                    let phase = PendingPhase::Waiting(None);
                    let mut pending = Pending::new(key, batch, is_settled, octets, phase);
                    pending.delivery = Some(delivery);
                    pending.transaction = transaction.map(Box::new);
                    self.await_end(waiting, pending);
                } else if may_wait.is_some() {
                    // The engine tells that it has left under this key, which must mean no other message then.
                    self.pending.skip();
                }
                self.note_sent(key, place);
                return Poll::Ready(Ok(waits));
            }
            Err(error) => blocked_by(error),
        };
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

    /// A message was taken by the engine.
    fn note_sent(&mut self, key: usize, place: &mut Option<Place>) {
        self.is_touched = true;
        self.stats.messages_sent = self.stats.messages_sent.saturating_add(1);
        if self.links.get_mut(key).is_some_and(|slot| !slot.queue.is_empty()) {
            self.leave_send_queue(key, place);
        }
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

/// Whether so much was sent since the driver last looked that it should have its turn, so that the peer works on it while the
/// next is sent. Once for each such stretch.
fn is_burst(waiting: usize, seen: &mut usize) -> bool {
    let is_burst = waiting >= seen.saturating_add(BURST);
    if is_burst {
        *seen = waiting;
    }
    is_burst
}

/// Whether waiting helps, and for what.
fn blocked_by(error: TrySendError) -> Result<Blocked, SendError> {
    match error {
        TrySendError::NoCredit => Ok(Blocked::Credit),
        TrySendError::WindowClosed => Ok(Blocked::Window),
        TrySendError::TooManyUnsettled => Ok(Blocked::Unsettled),
        TrySendError::OutputFull => Ok(Blocked::Output),
        TrySendError::Busy => Ok(Blocked::Queue),
        TrySendError::TooLarge { size, limit } => {
            Err(SendError::TooLarge { size: u64::try_from(size).unwrap_or(u64::MAX), limit })
        }
        TrySendError::SettleMode => Err(SendError::SettleMode),
        // The connection's end is on its way as an event.
        TrySendError::Link(EngineError::Closed(error)) => Err(SendError::Lost(error)),
        // The engine ends the link for a reason of its own, which comes with the peer's answer.
        TrySendError::Link(EngineError::State(_) | EngineError::Stale) => Ok(Blocked::Ending),
        TrySendError::Link(_) => Err(SendError::Detached(DetachReason::Local)),
    }
}

thread_local! {
    /// Where messages are encoded before they are copied into the output; one for each thread, so that neither lock nor
    /// allocation is needed.
    static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// The number of a message that nobody waits for.
const NOBODY: u32 = NO_KEY;

/// Messages below this size fit the smallest frame a peer may ask for (512 bytes, `AMQP 1.0 §2.8.19`), in bytes.
const MAY_BE_LARGE: usize = 384;

/// Octets sent in one go before the driver has its turn.
const BURST: usize = 64 * 1024;

/// Encoded messages from this size on are handed over as their own buffer instead of being copied, in bytes.
const SHARE_FROM: usize = 16 * 1024;
