//! The receiving link.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use amqp_codec::{Attach, Error, Str};
use bytes::Bytes;

use super::delivery::Delivery;
use super::error::{DetachReason, EndError, RecvError};
use super::options::OnDrop;
use crate::driver::inbox::Drain;
use crate::driver::link::LinkInner;
use crate::driver::shared::State;
use crate::driver::slots::{LinkPhase, LinkSlot};
use crate::driver::wait::Place;
use crate::engine::{DetachKind, IncomingDelivery, LinkStats};

/// A link that receives (`AMQP 1.0 §2.6`).
///
/// Several tasks may receive from one link; each message goes to one of them. Dropping the receiver detaches the link
/// once the last of its deliveries is settled or gone, too; messages that nobody took stay with the peer.
#[derive(Debug)]
pub struct Receiver {
    link: Arc<LinkInner>,
    name: Str,
    on_drop: OnDrop,
}

impl Receiver {
    pub(crate) fn new(link: Arc<LinkInner>, name: Str, on_drop: OnDrop) -> Self {
        Self { link, name, on_drop }
    }

    pub(crate) fn link(&self) -> &Arc<LinkInner> {
        &self.link
    }

    /// Waits for the next message. Credit is renewed as messages are taken, see [`CreditMode`](super::options::CreditMode).
    ///
    /// # Errors
    /// When the link is detached or the connection is gone, and all messages received before have been taken. A link that
    /// this side detaches for a fault of the peer's is detached at once, without the peer's answer.
    ///
    /// # Cancel safety
    /// Safe: no message is lost when the future is dropped.
    pub async fn recv(&self) -> Result<Delivery, RecvError> {
        let mut attempt = Attempt { receiver: self, place: None };
        poll_fn(|cx| attempt.poll(cx)).await
    }

    /// The next message if one is waiting.
    pub fn try_recv(&self) -> Option<Delivery> {
        let taken = self.link.connection.shared.with(|state| state.take(self.link.key));
        taken.ok().flatten().map(|delivery| self.delivery(delivery))
    }

    /// Grants the peer credit for so many further messages. For [`CreditMode::Manual`](super::options::CreditMode::Manual); with
    /// [`CreditMode::Auto`](super::options::CreditMode::Auto) the extra credit lasts until the next renewal. Ends a
    /// [`drain`](Self::drain) and a [`stop`](Self::stop). What would lead the session beyond the unsettled deliveries that it
    /// holds ([`Limits::unsettled`](crate::engine::Limits)) is granted as deliveries are settled. Messages that come within this
    /// credit and find no room ([`Limits::inbox_bytes`](crate::engine::Limits)) are released, and as much credit is granted
    /// again when there is room; where they cannot be released, because they came settled or under a transaction, the link is
    /// detached ([`DetachReason::OverLimit`]).
    ///
    /// # Errors
    /// When the link is detached.
    pub fn add_credit(&self, messages: u32) -> Result<(), RecvError> {
        self.grant(|credit| credit.saturating_add(messages))
    }

    /// Sets the peer's credit: so many messages may come from now on, besides those on their way. Otherwise as
    /// [`add_credit`](Self::add_credit). To take all of it back and know when that stands, use [`stop`](Self::stop).
    ///
    /// # Errors
    /// When the link is detached.
    pub fn set_credit(&self, messages: u32) -> Result<(), RecvError> {
        self.grant(|_| messages)
    }

    fn grant(&self, credit: impl FnOnce(u32) -> u32) -> Result<(), RecvError> {
        self.link.connection.shared.with(|state| self.granted(state, credit))?
    }

    fn granted(&self, state: &mut State, credit: impl FnOnce(u32) -> u32) -> Result<(), RecvError> {
        let Some(slot) = state.links.get(self.link.key) else { return Ok(()) };
        if let LinkPhase::Detached(end) = &slot.phase {
            return Err(over(&end.reason));
        }
        state.grant_by_hand(self.link.key, credit);
        Ok(())
    }

    /// Takes the peer's credit back and waits until it knows (`AMQP 1.0 §2.6.10`). Afterwards everything that was sent is
    /// there for [`try_recv`](Self::try_recv), and no more comes, whatever the [`CreditMode`](super::options::CreditMode),
    /// until [`start`](Self::start), [`add_credit`](Self::add_credit) or [`set_credit`](Self::set_credit). Unlike with
    /// [`drain`](Self::drain), the peer sends nothing more that it has not sent already.
    ///
    /// There is no bound on the peer's answer but the connection's end.
    ///
    /// # Errors
    /// [`RecvError::Regranted`] when credit was granted meanwhile; otherwise when the link is detached or the connection is
    /// gone before the peer answered.
    ///
    /// # Cancel safety
    /// Safe; the link stays stopped.
    // L-030
    pub async fn stop(&self) -> Result<(), RecvError> {
        let asked = self.begin_to_stop()?;
        self.stopped(asked).await
    }

    /// Takes the peer's credit back, and gives the number of the answer that says so.
    pub(crate) fn begin_to_stop(&self) -> Result<u32, RecvError> {
        self.ask(|state| {
            let Some(slot) = state.links.get_mut(self.link.key) else { return };
            slot.inbox.drain = Drain::Stopped;
            state.crowded.remove(&self.link.key);
            slot.life.notify_all(&mut state.wakes);
            // Stale: the link's end is on its way as an event.
            let _ = state.engine.set_credit(slot.id, 0);
        })
    }

    /// Waits for that answer.
    pub(crate) async fn stopped(&self, asked: u32) -> Result<(), RecvError> {
        self.answered(asked, |slot| slot.inbox.drain == Drain::Stopped).await
    }

    /// Grants credit again after a [`stop`](Self::stop), as the link's
    /// [`CreditMode`](super::options::CreditMode) says; none in the manual mode.
    ///
    /// # Errors
    /// When the link is detached.
    pub fn start(&self) -> Result<(), RecvError> {
        self.link.connection.shared.with(|state| {
            let Some(slot) = state.links.get_mut(self.link.key) else { return Ok(()) };
            if let LinkPhase::Detached(end) = &slot.phase {
                return Err(over(&end.reason));
            }
            if slot.inbox.drain == Drain::Stopped {
                slot.inbox.drain = Drain::Off;
                slot.life.notify_all(&mut state.wakes);
                state.grant(self.link.key);
            }
            Ok(())
        })?
    }

    /// Asks the peer how many messages it has for this link, and waits for its answer (`AMQP 1.0 §2.6.7`). Senders that do
    /// not know say 0.
    ///
    /// There is no bound on the peer's answer but the connection's end.
    ///
    /// # Errors
    /// When the link is detached or the connection is gone before the peer answered.
    ///
    /// # Cancel safety
    /// Safe.
    // L-024
    pub async fn available(&self) -> Result<u32, RecvError> {
        let asked = self.ask(|_| ())?;
        self.answered(asked, |_| true).await?;
        Ok(self.link.connection.shared.with(|state| state.engine.link_available(self.link.id))?)
    }

    /// Asks the peer to answer, after `first` was done.
    fn ask(&self, first: impl FnOnce(&mut State)) -> Result<u32, RecvError> {
        let asked = self.link.connection.shared.with(|state| {
            first(state);
            state.is_touched = true;
            // Stale: the link's end is on its way as an event.
            state.engine.ask(self.link.id).unwrap_or_default()
        });
        Ok(asked?)
    }

    /// Waits for that answer, as long as `is_wanted` says so.
    async fn answered(&self, asked: u32, is_wanted: impl Fn(&LinkSlot) -> bool) -> Result<(), RecvError> {
        self.link
            .wait(|slot| match &slot.phase {
                LinkPhase::Detached(end) => Some(Err(over(&end.reason))),
                _ if !is_wanted(slot) => Some(Err(RecvError::Regranted)),
                // Numbers that are answered wrap, and none of them is far from the last.
                _ => (slot.inbox.answered.wrapping_sub(asked) < u32::MAX / 2).then_some(Ok(())),
            })
            .await?
    }

    /// Grants credit for messages that are acquired under a transaction.
    pub(crate) fn acquire(&self, messages: u32, txn_id: Bytes) -> Result<(), RecvError> {
        let id = self.link.id;
        self.link.connection.shared.with(|state| {
            // What is kept back would be granted outside the transaction.
            if !state.has_room_for(self.link.key, messages) {
                return Err(RecvError::NoRoom);
            }
            self.granted(state, |credit| credit.saturating_add(messages))?;
            // Stale: the link's end is on its way as an event.
            let _ = state.engine.set_acquiring(id, txn_id);
            Ok(())
        })?
    }

    /// Asks the peer to send what it has within the credit it holds and to give the rest back
    /// (`AMQP 1.0 §2.6.7`). Afterwards no credit is left, and everything sent is there for
    /// [`try_recv`](Self::try_recv). With [`CreditMode::Auto`](super::options::CreditMode::Auto) the next waiting [`recv`](Self::recv) grants anew.
    ///
    /// There is no bound on the peer's answer but the connection's end.
    ///
    /// # Errors
    /// [`RecvError::Regranted`] when credit was granted meanwhile, which ends the drain; otherwise when the link is detached
    /// or the connection is gone before the peer answered.
    ///
    /// # Cancel safety
    /// Safe; the drain itself goes on.
    // L-025
    pub async fn drain(&self) -> Result<(), RecvError> {
        let before = self.link.connection.shared.with(|state| {
            let slot = state.links.get_mut(self.link.key)?;
            slot.inbox.drain = Drain::Asked;
            state.crowded.remove(&self.link.key);
            slot.life.notify_all(&mut state.wakes);
            let before = slot.inbox.drained;
            // Stale: the link's end is on its way as an event.
            let _ = state.engine.drain(slot.id);
            state.is_touched = true;
            Some(before)
        })?;
        self.link
            .wait(|slot| match &slot.phase {
                LinkPhase::Detached(end) => Some(Err(over(&end.reason))),
                _ if before.is_some_and(|before| before != slot.inbox.drained) => Some(Ok(())),
                _ => (slot.inbox.drain != Drain::Asked).then_some(Err(RecvError::Regranted)),
            })
            .await?
    }

    /// Detaches the link for good and waits for the peer's answer. Idempotent. Unsettled deliveries can no longer be
    /// settled afterwards; the peer decides what becomes of them.
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

    /// Whether the link can be used: no more once either side has detached it.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.link.look(LinkSlot::is_attached).unwrap_or(false)
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

    /// Messages received and not yet taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.link.look(|slot| slot.inbox.deliveries.len()).unwrap_or(0)
    }

    /// One step of waiting for a message at a place that outlives the step.
    #[cfg(feature = "futures")]
    pub(crate) fn poll_recv(
        &self,
        place: &mut Option<Place>,
        cx: &Context<'_>,
    ) -> Poll<Result<Delivery, RecvError>> {
        let mut attempt = Attempt { receiver: self, place: place.take() };
        let taken = attempt.poll(cx);
        *place = attempt.place.take();
        taken
    }

    /// Gives up such a place.
    #[cfg(feature = "futures")]
    pub(crate) fn leave_queue(&self, place: &mut Option<Place>) {
        drop(Attempt { receiver: self, place: place.take() });
    }

    fn delivery(&self, delivery: IncomingDelivery) -> Delivery {
        Delivery::new(&self.link, delivery, self.on_drop)
    }
}

/// One wait for a message. Dropping it passes a wake-up it did not use to the next.
struct Attempt<'a> {
    receiver: &'a Receiver,
    place: Option<Place>,
}

impl Attempt<'_> {
    #[inline]
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Delivery, RecvError>> {
        let (receiver, place) = (self.receiver, &mut self.place);
        let key = receiver.link.key;
        let polled = receiver.link.connection.shared.with(|state| {
            if let Some(delivery) = state.take(key) {
                state.leave_receive_queue(key, place);
                return Poll::Ready(Ok(receiver.delivery(delivery)));
            }
            let Some(slot) = state.links.get_mut(key) else {
                return Poll::Ready(Err(RecvError::Detached(DetachReason::Local)));
            };
            // Once this side has detached it nothing comes that an application hears of.
            if let Some(error) = slot.over().map(over) {
                slot.queue.leave(place, &mut state.wakes);
                return Poll::Ready(Err(error));
            }
            slot.queue.wait(place, cx.waker(), &mut state.wakes);
            if slot.inbox.drain == Drain::Done {
                state.grant(key);
            }
            Poll::Pending
        });
        polled.unwrap_or_else(|error| Poll::Ready(Err(RecvError::Lost(error))))
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (link, place) = (&self.receiver.link, &mut self.place);
        let key = link.key;
        if place.is_some() {
            // Poisoned: nobody waits any more.
            let _ = link.connection.shared.with(|state| state.leave_receive_queue(key, place));
        }
    }
}

impl State {
    /// Gives up a place in a receiver's queue; a wake-up not used goes to the next while messages wait.
    fn leave_receive_queue(&mut self, key: usize, place: &mut Option<Place>) {
        let Some(slot) = self.links.get_mut(key) else { return };
        slot.queue.leave(place, &mut self.wakes);
        if slot.queue.has_waiting() {
            slot.queue.notify(slot.inbox.deliveries.len(), &mut self.wakes);
        }
    }
}

fn over(reason: &DetachReason) -> RecvError {
    match reason {
        DetachReason::Lost(error) => RecvError::Lost(error.clone()),
        other => RecvError::Detached(other.clone()),
    }
}
