//! What becomes of the messages of a link that ends: each ends honestly, or waits where the link goes on elsewhere.
//!
//! Owns what the receipts of a resumed link's messages need to be found: the link on which each was begun.

use std::collections::BTreeSet;
use std::fmt;
use std::mem;
use std::sync::Arc;

use amqp_codec::{ErrorCondition, Outcome};
use bytes::Bytes;

use super::{Pending, PendingPhase};
use crate::driver::link::LinkInner;
use crate::driver::ring::{NO_KEY, short};
use crate::driver::shared::State;
use crate::driver::slots::LinkPhase;
use crate::driver::survivors::Births;
use crate::engine::SuspendedLink;
use crate::handle::error::{DetachReason, SendError};

/// Where the receipt of a message waits: a link, and the message's key there.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) link: Arc<LinkInner>,
    pub(crate) key: u64,
}

/// What a link that is resumed brings along from those before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before<'a> {
    /// Sender: where the receipts of its messages wait.
    pub(crate) origins: &'a [Origin],
    /// Receiver: where its deliveries came from.
    pub(crate) births: Option<&'a Births>,
}

impl fmt::Debug for Origin {
    // The link's connection holds all other messages, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("link", &self.link.id).field("key", &self.key).finish()
    }
}

impl Origin {
    /// Ends the message for its receipt. Call it without a lock.
    pub(crate) fn resolve(self, result: Result<Outcome, SendError>) {
        // Poisoned: nobody is told anything any more.
        let _ = self.link.connection.shared.with(|state| state.resolve(self.key, result));
    }

    /// Ends a message that nobody will resume. Call it without a lock.
    pub(crate) fn lose(self, reason: &DetachReason) {
        // Poisoned: nobody is told anything any more.
        let _ = self.link.connection.shared.with(|state| state.lose(self.key, reason));
    }
}

impl State {
    /// The last batch whose messages may have left, or may still leave, when a link ends for this reason.
    fn last_gone(&self, reason: &DetachReason) -> u64 {
        match reason {
            _ if self.is_cut => self.written_batch,
            // The engine takes messages out of its output when the connection fails, and the driver writes on.
            DetachReason::Lost(_) => self.taken_batch,
            // The connection goes on, and with it all that waits for output.
            _ => u64::MAX,
        }
    }

    /// Messages of a link that have not ended.
    fn pending_of(&self, link: usize) -> Vec<u64> {
        let first = self.links.get(link).and_then(|slot| slot.first_pending);
        let next = |key: &u64| self.pending.get(*key).and_then(|pending| pending.next);
        std::iter::successors(first, next).collect()
    }

    /// Ends all pending messages of a link, each honestly: not sent, or outcome unknown. Those that may be resumed wait.
    pub(crate) fn resolve_link(&mut self, link: usize, reason: &DetachReason) {
        let Some(slot) = self.links.get(link).filter(|slot| slot.in_flight > 0) else { return };
        let waits: BTreeSet<u64> = slot
            .suspended
            .as_ref()
            .map(|suspended| {
                suspended
                    .deliveries
                    .iter()
                    .filter(|one| !one.is_concluded)
                    .filter_map(|one| self.pending.long(one.user))
                    .collect()
            })
            .unwrap_or_default();
        let gone = self.last_gone(reason);
        let keys = self.pending_of(link);
        let sent = |key: &&u64| self.pending.get(**key).is_some_and(|pending| pending.batch <= gone);
        let size = |key: &u64| self.pending.get(*key).map_or(0, |pending| pending.octets);
        // L-039: of all that were on their way, only the largest can be meant.
        let largest = keys.iter().filter(sent).map(size).max().unwrap_or(0);
        for key in keys {
            if waits.contains(&key) {
                continue;
            }
            let Some(pending) = self.pending.get_mut(key) else { continue };
            let error = match reason {
                DetachReason::Remote(error)
                    if error.condition == ErrorCondition::MESSAGE_SIZE_EXCEEDED
                        && pending.octets < largest =>
                {
                    SendError::OutcomeUnknown(DetachReason::AnotherTooLarge)
                }
                _ if pending.batch <= gone => SendError::OutcomeUnknown(reason.clone()),
                DetachReason::Lost(error) => SendError::Lost(error.clone()),
                other => SendError::Detached(other.clone()),
            };
            // What the peer wanted is known, though it will not learn what became of it.
            let conclusion = match &pending.phase {
                PendingPhase::Told(told) => told.clone(),
                _ => Err(error).into(),
            };
            self.resolve(key, conclusion);
        }
    }

    /// Takes what is left of a link that may be resumed: where each of its messages has its receipt, in the order of its
    /// deliveries, whose numbers count these.
    pub(crate) fn take_suspended(
        &mut self,
        link: &Arc<LinkInner>,
    ) -> Option<(Box<SuspendedLink>, Vec<Origin>)> {
        let slot = self.links.get_mut(link.key)?;
        let mut suspended = slot.suspended.take()?;
        let reason = match &slot.phase {
            LinkPhase::Detached(end) => Some(end.reason.clone()),
            _ => None,
        };
        let gone = reason.map_or(u64::MAX, |reason| self.last_gone(&reason));
        let mut origins = Vec::with_capacity(suspended.deliveries.len());
        for delivery in suspended.deliveries.iter_mut().filter(|delivery| !delivery.is_concluded) {
            let key = self.pending.long(delivery.user).unwrap_or(u64::MAX);
            delivery.user = u32::try_from(origins.len()).unwrap_or(u32::MAX);
            // No octet of it has left: it goes as a new one, and nobody is asked about it.
            delivery.is_absent_there |= self.pending.get(key).is_some_and(|pending| pending.batch > gone);
            let origin = match self.pending.get_mut(key).map(|pending| &mut pending.phase) {
                Some(phase @ PendingPhase::Elsewhere(_)) => {
                    match mem::replace(phase, PendingPhase::Discarded) {
                        PendingPhase::Elsewhere(origin) => Some(origin),
                        _ => None,
                    }
                }
                _ => None,
            };
            if origin.is_some() {
                self.delist(key);
                self.pending.free(key);
            }
            origins.push(origin.unwrap_or_else(|| Origin { link: Arc::clone(link), key }));
        }
        Some((suspended, origins))
    }

    /// Attaches a link by `attach`, whose messages of before have their receipts elsewhere. All at once: what became of
    /// them may be heard as soon as the lock is released. What is left of a failure must be dropped without the lock.
    pub(crate) fn attach_resumed<T, E>(
        &mut self,
        mut resume: Option<Box<SuspendedLink>>,
        before: Before<'_>,
        attach: impl FnOnce(&mut Self, Option<Box<SuspendedLink>>) -> Result<(usize, T), E>,
    ) -> Result<T, (E, Vec<Pending>)> {
        let mut origins = before.origins.iter();
        let mut keys = Vec::with_capacity(origins.len());
        let mut restored = Vec::new();
        let open = resume.iter_mut().filter(|link| link.role == amqp_codec::Role::Sender);
        for delivery in open.flat_map(|link| &mut link.deliveries) {
            if delivery.is_concluded {
                // Nobody waits for it, whatever it says who does.
                delivery.user = NO_KEY;
                continue;
            }
            let octets = delivery.payload.as_ref().map_or(0, Bytes::len);
            let origin = origins.next();
            let is_restored = origin.is_none();
            // Without one it is of an earlier process, whose receipts went with it: it gets a new one.
            let phase =
                origin.map_or(PendingPhase::Waiting(None), |origin| PendingPhase::Elsewhere(origin.clone()));
            // It may have left before, on another connection: none of this one's batches proves that it did not.
            let key = self.pending.next_key();
            self.pending.insert(key, Pending::new(usize::MAX, 0, false, octets, phase));
            delivery.user = short(key);
            keys.push(key);
            if is_restored {
                restored.push((delivery.tag, key));
            }
        }
        match attach(self, resume) {
            Ok((link, attached)) => {
                if !restored.is_empty() {
                    self.restored.insert(link, restored);
                }
                for key in keys {
                    self.enlist(key, link);
                }
                if let Some(births) = before.births {
                    self.await_survivors(link, births);
                }
                Ok(attached)
            }
            Err(error) => Err((error, keys.into_iter().filter_map(|key| self.pending.remove(key)).collect())),
        }
    }

    /// A message whose link was lost, and that nobody will resume.
    pub(crate) fn lose(&mut self, key: u64, reason: &DetachReason) {
        let gone = self.last_gone(reason);
        let Some(pending) = self.pending.get(key) else { return };
        let error = match reason {
            _ if pending.batch <= gone => SendError::OutcomeUnknown(reason.clone()),
            DetachReason::Lost(error) => SendError::Lost(error.clone()),
            other => SendError::Detached(other.clone()),
        };
        self.resolve(key, Err(error));
    }

    /// Nobody will resume a link: its messages end with it.
    pub(crate) fn give_up(&mut self, key: usize) {
        let Some(slot) = self.links.get_mut(key) else { return };
        slot.is_given_up = true;
        if slot.suspended.take().is_some()
            && let LinkPhase::Detached(end) = &slot.phase
        {
            let reason = end.reason.clone();
            self.resolve_link(key, &reason);
        }
    }
}
