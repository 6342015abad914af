//! Deliveries that a resumed receiver has held since before: what its sender says of them, and what its application
//! decides before the sender has said anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use amqp_codec::{DeliveryState, DeliveryTag, ReceiverSettleMode};

use super::link::LinkInner;
use super::shared::State;
use super::slots::LinkPhase;
use crate::engine::{DeliveryId, LinkId, Settlement};

/// A delivery that a resumed receiver has held since before.
#[derive(Debug)]
pub(crate) struct Survivor {
    /// The link that it came on: a tag alone may have been given to another delivery since.
    pub(crate) birth: Weak<LinkInner>,
    pub(crate) word: Word,
}

/// What has been said of such a delivery.
#[derive(Debug)]
pub(crate) enum Word {
    /// Nothing yet.
    Awaited,
    /// Nothing yet by the sender; this is what the application makes of it.
    Decided(DeliveryState),
    /// By the sender: it may be settled under this id.
    Resumed(DeliveryId),
    /// By the sender: it is settled.
    Settled(Option<DeliveryState>),
}

/// The links on which the deliveries came that a suspended receiver holds.
pub(crate) type Births = BTreeMap<DeliveryTag, Weak<LinkInner>>;

/// Why a delivery of before cannot be decided about here.
#[derive(Debug)]
pub(crate) enum Undecidable {
    /// The sender has settled it.
    Overruled(Option<DeliveryState>),
    /// The link is being lost, and what is left of it may be resumed.
    Suspended,
    /// The link is over, and nothing is left of it here.
    Over,
}

impl Survivor {
    /// Whether it came on this link.
    pub(crate) fn is_of(&self, link: &Arc<LinkInner>) -> bool {
        std::ptr::eq(self.birth.as_ptr(), Arc::as_ptr(link))
    }
}

impl State {
    /// A link goes on with deliveries of before.
    pub(crate) fn await_survivors(&mut self, key: usize, births: &Births) {
        let Some(slot) = self.links.get_mut(key) else { return };
        let awaited = |(tag, birth): (&DeliveryTag, &Weak<LinkInner>)| {
            (*tag, Survivor { birth: Weak::clone(birth), word: Word::Awaited })
        };
        slot.survivors = births.iter().map(awaited).collect();
    }

    /// The sender has resumed or settled a delivery of before.
    pub(crate) fn on_survivor(&mut self, link: LinkId, tag: DeliveryTag, word: Word) {
        let Some(slot) = self.link_key(link).and_then(|key| self.links.get_mut(key)) else { return };
        // Only what the application has whole is awaited by somebody.
        let Some(survivor) = slot.survivors.get_mut(&tag) else { return };
        match (&survivor.word, word) {
            (Word::Decided(state), Word::Resumed(id)) => {
                let (state, settlement) = (state.clone(), by_mode(slot.inbox.mode));
                // Stale: the link's end is on its way as an event, and the outcome goes with what is left of it.
                if self.engine.settle(link, id, state, settlement).is_ok() {
                    slot.survivors.remove(&tag);
                    self.is_touched = true;
                }
            }
            (_, word) => survivor.word = word,
        }
        slot.life.notify_all(&mut self.wakes);
    }

    /// The application decides about a delivery of before that came on the link `birth`.
    pub(crate) fn decide(
        &mut self,
        key: usize,
        birth: &Weak<LinkInner>,
        tag: &DeliveryTag,
        state: DeliveryState,
    ) -> Result<(), Undecidable> {
        let Some(slot) = self.links.get_mut(key) else { return Err(Undecidable::Over) };
        if matches!(slot.phase, LinkPhase::Detached(_)) {
            let is_left = slot.suspended.is_some();
            return Err(if is_left { Undecidable::Suspended } else { Undecidable::Over });
        }
        let known = slot.survivors.get_mut(tag).filter(|survivor| Weak::ptr_eq(&survivor.birth, birth));
        let Some(survivor) = known else { return Err(Undecidable::Overruled(None)) };
        match &mut survivor.word {
            Word::Settled(settled) => {
                let settled = settled.take();
                slot.survivors.remove(tag);
                Err(Undecidable::Overruled(settled))
            }
            Word::Resumed(id) => {
                let settled = self.engine.settle(slot.id, *id, state, by_mode(slot.inbox.mode));
                settled.map_err(|_| Undecidable::Suspended)?;
                slot.survivors.remove(tag);
                self.is_touched = true;
                Ok(())
            }
            word => {
                *word = Word::Decided(state);
                Ok(())
            }
        }
    }
}

/// Who settles first.
// D-015: in mode second the receiver tells its outcome and the sender settles first.
pub(crate) fn by_mode(mode: ReceiverSettleMode) -> Settlement {
    match mode {
        ReceiverSettleMode::First => Settlement::Settled,
        ReceiverSettleMode::Second => Settlement::Unsettled,
    }
}
