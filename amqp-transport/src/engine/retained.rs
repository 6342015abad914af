//! What a link that may be resumed remembers of its unsettled deliveries while it is attached.

use std::collections::{BTreeMap, VecDeque};

use amqp_codec::{DeliveryState, DeliveryTag, Received, Source, TargetArchetype};
use bytes::Bytes;

use super::config::Outgoing;
use super::delivery::{Unsettled, Visit};
use super::suspended::{Repeats, SuspendedLink, UnsettledDelivery, above};
use crate::transaction::transaction_of;

/// A sender's memory.
#[derive(Debug)]
pub(crate) struct Retained {
    /// Octets of messages that may be kept, and that are.
    budget: usize,
    octets: usize,
    /// Deliveries on their way, by a number of the link's own.
    kept: Unsettled<UnsettledDelivery>,
    next_tag: u64,
    /// Deliveries of before, until both attaches are exchanged; and those the receiver's incomplete map says nothing of.
    pub(crate) undecided: Vec<UnsettledDelivery>,
    /// Deliveries of before that wait for their turn to be told or sent again.
    pub(crate) resuming: VecDeque<Resuming>,
    /// Whether one of the maps was not whole: no new delivery may start (L-037).
    pub(crate) is_incomplete: bool,
    pub(crate) repeats: Repeats,
}

/// A delivery of before, and what is to be done with it.
#[derive(Debug)]
pub(crate) struct Resuming {
    pub(crate) delivery: UnsettledDelivery,
    pub(crate) step: Step,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// The message goes as a new delivery.
    Anew,
    /// The message goes on from a place, of which so many octets are held by the receiver.
    Resume(Option<Received>, usize),
    /// Only this state goes, settled.
    Settle(DeliveryState),
    /// The receiver is told to drop it.
    Abort,
}

impl Retained {
    pub(crate) fn new(budget: usize, resume: Option<SuspendedLink>) -> Self {
        let (undecided, next_tag, repeats) = resume.map_or_else(Default::default, |link| {
            let next_tag = link.free_tag();
            (link.deliveries, next_tag, link.repeats)
        });
        Self {
            budget,
            octets: 0,
            kept: Unsettled::new(0),
            next_tag,
            undecided,
            resuming: VecDeque::new(),
            is_incomplete: false,
            repeats,
        }
    }

    /// A tag that no delivery of the link has had: delivery-ids start anew with each session.
    pub(crate) fn take_tag(&mut self) -> DeliveryTag {
        let tag = DeliveryTag::from(self.next_tag);
        self.next_tag = self.next_tag.wrapping_add(1);
        tag
    }

    /// The receiver holds deliveries under these tags, of which we may know nothing: a tag of ours that was one of them
    /// would name its message, not ours, when the link is resumed.
    // D-001
    pub(crate) fn pass_by<'a>(&mut self, tags: impl Iterator<Item = &'a DeliveryTag>) {
        self.next_tag = above(self.next_tag, tags);
    }

    /// Remembers a delivery that starts, and its message as far as there is room. Returns its number.
    // work of a transaction is not sent again when that is over, so that its message is not kept.
    pub(crate) fn keep(&mut self, tag: DeliveryTag, outgoing: &Outgoing<'_>) -> u32 {
        let Outgoing { message_format, user, payload, .. } = outgoing;
        let state = outgoing.state.as_deref().filter(|state| transaction_of(state).is_some()).cloned();
        let fits = state.is_none() && self.octets + payload.len() <= self.budget;
        let payload = fits.then(|| payload.to_bytes());
        self.keep_again(UnsettledDelivery {
            user: *user,
            message_format: *message_format,
            payload,
            state,
            ..UnsettledDelivery::new(tag)
        })
    }

    /// The application has heard the receiver's outcome of a delivery, which is our state from here on.
    //
    pub(crate) fn tell(&mut self, number: u32, outcome: &DeliveryState) {
        self.kept.visit_range(number, number, |_, delivery| {
            delivery.state = Some(outcome.clone());
            Visit::Keep
        });
    }

    /// Remembers a delivery that was resumed.
    pub(crate) fn keep_again(&mut self, delivery: UnsettledDelivery) -> u32 {
        self.octets += delivery.payload.as_ref().map_or(0, Bytes::len);
        let number = self.kept.next_id();
        self.kept.push(delivery);
        number
    }

    /// A delivery is settled.
    pub(crate) fn forget(&mut self, number: u32) {
        if let Some(delivery) = self.kept.remove(number) {
            self.octets -= delivery.payload.as_ref().map_or(0, Bytes::len).min(self.octets);
        }
    }

    /// Hands out all that is unsettled, about in the order in which it was sent.
    pub(crate) fn into_suspended(mut self, link: &mut SuspendedLink) {
        link.next_tag = self.next_tag;
        link.deliveries = self.kept.drain();
        link.deliveries.extend(self.resuming.drain(..).filter_map(Resuming::into_delivery));
        link.deliveries.append(&mut self.undecided);
    }
}

impl Resuming {
    /// What is still unsettled of it: an outcome that was taken is kept so that the receiver learns of it.
    fn into_delivery(self) -> Option<UnsettledDelivery> {
        match self.step {
            Step::Anew => Some(UnsettledDelivery { is_absent_there: true, ..self.delivery }),
            Step::Resume(..) => Some(self.delivery),
            Step::Settle(state) => {
                Some(UnsettledDelivery { state: Some(state), is_concluded: true, ..self.delivery })
            }
            Step::Abort => None,
        }
    }
}

/// A receiver's memory.
#[derive(Debug, Default)]
pub(crate) struct Survivors {
    /// Whole messages that are unsettled, with what was told of them.
    held: BTreeMap<DeliveryTag, Held>,
    /// Deliveries of before that the sender has yet to resume or settle.
    pub(crate) awaited: BTreeMap<DeliveryTag, UnsettledDelivery>,
    /// Whether our map was not whole: the sender must start no new delivery (L-037).
    pub(crate) is_incomplete: bool,
    /// The last delivery that a map which was not whole told.
    pub(crate) told_to: Option<DeliveryTag>,
    count: u64,
}

#[derive(Debug)]
struct Held {
    order: u64,
    state: Option<DeliveryState>,
}

impl Survivors {
    pub(crate) fn new(resume: Option<SuspendedLink>) -> Self {
        let deliveries = resume.map(|link| link.deliveries).unwrap_or_default();
        let awaited = deliveries.into_iter().map(|delivery| (delivery.tag, delivery)).collect();
        Self { awaited, ..Self::default() }
    }

    /// A message is whole and unsettled.
    pub(crate) fn hold(&mut self, tag: DeliveryTag, state: Option<DeliveryState>) {
        self.count += 1;
        self.held.insert(tag, Held { order: self.count, state });
    }

    /// A state was told that does not settle.
    pub(crate) fn tell(&mut self, tag: &DeliveryTag, state: &DeliveryState) {
        if let Some(held) = self.held.get_mut(tag) {
            held.state = Some(state.clone());
        }
    }

    pub(crate) fn release(&mut self, tag: &DeliveryTag) {
        self.held.remove(tag);
    }

    /// Hands out all that is unsettled: what was awaited, then what came, in its order.
    // what was told, and of which the sender said nothing, goes behind what was not, so that in as many rounds as it
    // takes everything is told.
    pub(crate) fn into_suspended(self, link: &mut SuspendedLink) {
        let mut awaited = self.awaited;
        // D-001: a sender that uses a tag anew has no use for the delivery that had it.
        awaited.retain(|tag, _| !self.held.contains_key(tag));
        let told = awaited.keys().filter(|tag| Some(**tag) <= self.told_to).count();
        link.deliveries = awaited.into_values().collect();
        link.deliveries.rotate_left(told);
        let mut held: Vec<_> = self.held.into_iter().collect();
        held.sort_by_key(|(_, held)| held.order);
        link.deliveries.extend(held.into_iter().map(|(tag, held)| UnsettledDelivery {
            state: held.state,
            is_whole: true,
            ..UnsettledDelivery::new(tag)
        }));
    }
}

/// The termini of a link that may be resumed, as last agreed.
#[derive(Debug)]
pub(crate) struct Termini {
    pub(crate) source: Option<Source>,
    pub(crate) target: Option<TargetArchetype>,
}
