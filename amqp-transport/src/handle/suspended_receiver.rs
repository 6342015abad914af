//! Receivers between two attaches: what one leaves behind when it is lost or suspended, and how it goes on
//! (`AMQP 1.0 §2.6.13`).
//!
//! Every message that came ends somewhere: those that the application holds stay its own to decide about, those that
//! nobody had taken come again, and those among them that were settled, which nobody would send again, are kept.
//! `holding` finds the deliveries of one by their tags.

mod holding;

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::sync::{Arc, Weak};

use amqp_codec::{DeliveryState, DeliveryTag, Role, Str};

use super::delivery::Delivery;
use super::error::{DetachReason, SettleError};
use super::line::Decisions;
use super::options::ReceiverOptions;
use super::receiver::Receiver;
use super::session::Session;
use super::suspended::ResumeError;
use crate::driver::link::{LinkInner, too_late};
use crate::driver::pending::Before;
use crate::driver::shared::State;
use crate::driver::slots::LinkPhase;
use crate::driver::survivors::{Births, Survivor, Word};
use crate::driver::termini::{Borrowed, Suspended};
use crate::engine::{DeliveryId, DetachKind, IncomingDelivery, SuspendedLink};
use holding::Holding;

/// A receiver that is not attached, with the deliveries that its application holds unsettled: hand it to
/// [`Session::resume_receiver`]. Messages that nobody had taken are not among them: they come again, unless they came
/// settled: those are given by [`try_recv`](Self::try_recv), or by the resumed receiver before all others.
#[derive(Debug)]
pub struct SuspendedReceiver {
    held: Holding,
    reason: DetachReason,
    births: Births,
    settled: VecDeque<IncomingDelivery>,
    /// Its place in the termini that it was taken from.
    pub(crate) borrowed: Option<Borrowed>,
}

impl Receiver {
    /// Waits until the link is detached and takes what is left of it, to be resumed. For links attached with
    /// [`ReceiverOptions::keep_unsettled`]. Deliveries that the application holds can be decided meanwhile by
    /// [`SuspendedReceiver::settle`], or afterwards when the resumed link has [adopted](Self::adopt) them.
    ///
    /// # Errors
    /// When the link was closed for good, by either side, or keeps nothing: why it ended. Messages that had come settled
    /// are gone then: whoever wants them takes them with [`recv`](Self::recv) until that fails.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the receiver is gone, and with it what it kept.
    pub async fn suspended(self) -> Result<SuspendedReceiver, DetachReason> {
        let reason = self.link().detached().await;
        SuspendedReceiver::take(self.link(), Waiting::GoesAlong).ok_or(reason)
    }

    /// Detaches the link without closing it, waits for the peer's answer, and takes what is left of it
    /// (`AMQP 1.0 §2.6.4`).
    ///
    /// # Errors
    /// As [`suspended`](Self::suspended).
    ///
    /// # Cancel safety
    /// As [`suspended`](Self::suspended); once polled, detaching goes on in the connection's task.
    pub async fn suspend(self) -> Result<SuspendedReceiver, DetachReason> {
        // Lost: what follows says so.
        let _ = self.link().detach(DetachKind::Suspended, None).await;
        self.suspended().await
    }

    /// Takes over a delivery that the application held when the link was lost: waits until the sender resumes it, and
    /// gives it back fit to be settled on this link.
    ///
    /// # Errors
    /// [`SettleError::Overruled`] when the sender had settled it, or settles it now, and at once where this link does not
    /// go on with it; otherwise when this link is over before the sender has said anything of it.
    ///
    /// # Cancel safety
    /// Dropped, the delivery stays unsettled.
    pub async fn adopt(&self, delivery: Delivery) -> Result<Delivery, SettleError> {
        let id = adopted(self.link(), delivery.link(), *delivery.tag()).await?;
        Ok(delivery.moved_to(Arc::clone(self.link()), id))
    }
}

/// Waits until a resumed link's sender has said of a delivery of before under which id it goes on.
pub(crate) async fn adopted(
    link: &LinkInner,
    own: Option<&Arc<LinkInner>>,
    tag: DeliveryTag,
) -> Result<DeliveryId, SettleError> {
    let found = link.wait(|slot| {
        let survivor = slot.survivors.get(&tag).filter(|survivor| own.is_some_and(|own| survivor.is_of(own)));
        let word = match (survivor.map(|survivor| &survivor.word), &slot.phase) {
            (Some(Word::Resumed(id)), _) => Ok(*id),
            (Some(Word::Settled(state)), _) => Err(SettleError::Overruled(state.clone())),
            (_, LinkPhase::Detached(end)) => return Some(Err(too_late(&end.reason))),
            (Some(Word::Awaited | Word::Decided(_)), _) => return None,
            (None, _) => return Some(Err(SettleError::Overruled(None))),
        };
        slot.survivors.remove(&tag);
        Some(word)
    });
    found.await.unwrap_or_else(|error| Err(SettleError::Lost(error)))
}

/// What becomes of messages that nobody has taken when what is left of their link is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Waiting {
    /// They leave the link: those that were settled are kept, the others come again.
    GoesAlong,
    /// They stay on the link, to be taken from there, and count as held.
    Stay,
}

impl SuspendedReceiver {
    /// Takes what is left of a link that is detached, where nobody has taken it but the listener's termini.
    pub(crate) fn take(link: &Arc<LinkInner>, waiting: Waiting) -> Option<Self> {
        let taken = link.connection.shared.with(|state| {
            let mut left = match Self::left_of(state, link.key, &Arc::downgrade(link), waiting) {
                Some(left) => left,
                None => match state.reclaim(link.key)? {
                    Suspended::Receiver(kept) => kept,
                    Suspended::Sender(_) => return None,
                },
            };
            if waiting == Waiting::GoesAlong {
                left.settled = state.take_inbox(link.key);
            }
            Some(left)
        });
        taken.ok().flatten()
    }

    /// What is left of a link that is detached, but what had come settled: that is left in its inbox.
    pub(crate) fn left_of(
        shared: &mut State,
        key: usize,
        link: &Weak<LinkInner>,
        waiting: Waiting,
    ) -> Option<Self> {
        let slot = shared.links.get_mut(key)?;
        let LinkPhase::Detached(end) = &slot.phase else { return None };
        let reason = end.reason.clone();
        let mut state = slot.suspended.take()?;
        let mut survivors = mem::take(&mut slot.survivors);
        if waiting == Waiting::GoesAlong {
            let waiting = shared.take_inbox(key);
            let settled = keep_settled(&mut state, waiting);
            shared.inherit_inbox(key, settled);
        }
        let is_carried = |survivor: &Survivor| !matches!(survivor.word, Word::Settled(_));
        let mut decided = Decisions::new();
        let whole = state.deliveries.iter().filter(|delivery| delivery.is_whole).map(|delivery| delivery.tag);
        let births = whole
            .map(|tag| match survivors.remove(&tag).filter(is_carried) {
                Some(Survivor { birth, word }) => {
                    if let Word::Decided(state) = word {
                        decided.insert(tag, (Weak::clone(&birth), state));
                    }
                    (tag, birth)
                }
                None => (tag, Weak::clone(link)),
            })
            .collect();
        let held = Holding::new(state);
        let mut left = Self { held, reason, births, settled: VecDeque::new(), borrowed: None };
        left.decide(decided);
        Some(left)
    }

    /// Notes what was decided about deliveries, each of which came on the link named beside its outcome.
    pub(crate) fn decide(&mut self, mut decisions: Decisions) {
        if decisions.is_empty() {
            return;
        }
        for delivery in self.held.deliveries_mut() {
            let Some((birth, outcome)) = decisions.remove(&delivery.tag) else { continue };
            // Its tag may be another delivery's by now.
            if self.births.get(&delivery.tag).is_some_and(|known| Weak::ptr_eq(known, &birth)) {
                delivery.state = Some(outcome);
            }
        }
    }

    /// The link as plain data, which can be written down ([`TerminusRecord`](crate::engine::TerminusRecord)). Messages that came
    /// settled and that nobody had taken are not in it.
    #[must_use]
    pub fn as_link(&mut self) -> &SuspendedLink {
        self.held.tidy()
    }

    /// Takes out what was forgotten, all at once.
    pub(crate) fn tidy(&mut self) {
        self.held.tidy();
    }

    /// The link of one that is kept: nothing has been forgotten since [`tidy`](Self::tidy).
    pub(crate) fn kept_link(&self) -> &SuspendedLink {
        self.held.link()
    }

    pub(crate) fn name(&self) -> &Str {
        &self.held.link().name
    }

    /// A receiver of an earlier process, from what was written down of it; `None` where that was a sender. Nobody holds its
    /// deliveries any more: before it is resumed, [settle](Self::settle) those that the application has kept in a place of its
    /// own, and [forget](Self::forget) the others. One of which neither is done stays unsettled for as long as the link lives.
    #[must_use]
    pub fn from_link(link: SuspendedLink) -> Option<Self> {
        (link.role == Role::Receiver).then(|| Self::restored(Box::new(link)))
    }

    pub(crate) fn restored(state: Box<SuspendedLink>) -> Self {
        let whole = state.deliveries.iter().filter(|delivery| delivery.is_whole);
        let births = whole.map(|delivery| (delivery.tag, Weak::new())).collect();
        let held = Holding::new(state);
        Self { held, reason: DetachReason::Restored, births, settled: VecDeque::new(), borrowed: None }
    }

    /// What the engine needs to go on.
    pub(crate) fn state(&self) -> Box<SuspendedLink> {
        self.held.to_link()
    }

    /// What the link that goes on takes over.
    pub(crate) fn before(&self) -> Before<'_> {
        Before { origins: &[], births: Some(&self.births) }
    }

    /// Another link goes on: what had come settled is given there.
    pub(crate) fn hand_on(&mut self, to: &LinkInner) {
        let settled = mem::take(&mut self.settled);
        if !settled.is_empty() {
            // Poisoned: nobody is given anything any more.
            let _ = to.connection.shared.with(|state| state.inherit_inbox(to.key, settled));
        }
    }

    /// Why the link is not attached.
    #[must_use]
    pub fn reason(&self) -> &DetachReason {
        &self.reason
    }

    /// The tags of the deliveries that are unsettled, oldest first.
    pub fn tags(&self) -> impl Iterator<Item = &DeliveryTag> {
        self.held.deliveries().map(|delivery| &delivery.tag)
    }

    /// Decides about a delivery while the link is away: the sender takes the outcome when the link is resumed
    /// (`AMQP 1.0 §2.6.13`). `false` when no such delivery is unsettled.
    pub fn settle(&mut self, tag: &DeliveryTag, state: DeliveryState) -> bool {
        self.held.set_state(tag, state)
    }

    /// Drops a delivery, as one that never came: its sender learns when the link is resumed that it is not held here, and
    /// sends it again or gives it up as it likes (`AMQP 1.0 §2.6.13`). `false` when no such delivery is unsettled.
    //
    pub fn forget(&mut self, tag: &DeliveryTag) -> bool {
        self.births.remove(tag);
        self.held.forget(tag)
    }

    /// The next message that had come settled and that nobody had taken. Those that are left when the link is resumed are
    /// given by the resumed receiver.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        let settled = self.settled.pop_front()?;
        Some(Delivery::settled(settled))
    }

    /// Messages that [`try_recv`](Self::try_recv) would give.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.settled.len()
    }
}

impl Session {
    /// Attaches a suspended receiver again, under its own name. Deliveries that it holds are settled as was decided, or
    /// wait to be [adopted](Receiver::adopt).
    ///
    /// # Errors
    /// As [`attach_receiver`](Self::attach_receiver), with the link to be tried again.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the link is closed.
    pub async fn resume_receiver(
        &self,
        options: ReceiverOptions,
        mut suspended: SuspendedReceiver,
    ) -> Result<Receiver, ResumeError<SuspendedReceiver>> {
        let mut config = options.config;
        config.name = suspended.name().clone();
        let name = config.name.clone();
        config.resume = Some(suspended.state());
        let attached = match self.start_attach(config, suspended.before()) {
            Ok(link) => Self::attached(&link).await.map(|()| link),
            Err(error) => Err(error),
        };
        match attached {
            Ok(link) => {
                suspended.hand_on(&link);
                link.start_receiving(options.credit, options.at_first);
                Ok(Receiver::new(link, name, options.on_drop))
            }
            Err(error) => Err(ResumeError { error, suspended: Some(Box::new(suspended)) }),
        }
    }
}

/// What nobody has taken is as if it had not come, and comes again; but what is settled is unknown to its sender.
fn keep_settled(
    state: &mut SuspendedLink,
    waiting: VecDeque<IncomingDelivery>,
) -> VecDeque<IncomingDelivery> {
    if waiting.is_empty() {
        return waiting;
    }
    let held: BTreeSet<_> = state.deliveries.iter().map(|delivery| delivery.tag).collect();
    let (mut settled, mut untaken) = (VecDeque::new(), BTreeSet::new());
    for mut delivery in waiting {
        if !delivery.is_settled && held.contains(&delivery.tag) {
            untaken.insert(delivery.tag);
        } else {
            // The sender may have settled it since it came.
            delivery.is_settled = true;
            settled.push_back(delivery);
        }
    }
    state.deliveries.retain(|delivery| !untaken.contains(&delivery.tag));
    settled
}
