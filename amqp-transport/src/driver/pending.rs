//! Messages handed to the engine whose outcome someone may ask for, and how each of them ends exactly once: with what the
//! peer said, with a proof that it was not taken, or as unknown.

use std::collections::BTreeSet;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use amqp_codec::{DeliveryState, Error, ErrorCondition, Outcome, Str};
use bytes::Bytes;

use super::link::LinkInner;
use super::ring::short;
use super::shared::State;
use super::survivors::Births;
use crate::engine::{DeliveryId, SettledRun, SuspendedLink};
use crate::handle::error::{DetachReason, SendError};
use crate::transaction::transaction_of;

/// A message handed to the engine.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) link: usize,
    /// Its id on the wire, once the engine has taken it.
    pub(crate) delivery: Option<DeliveryId>,
    /// The first batch of output that can hold an octet of it.
    pub(crate) batch: u64,
    /// Whether it went settled: it ends when its last frame is in the output.
    pub(crate) is_settled: bool,
    /// The transaction that it went under: then an outcome under that is what is waited for.
    pub(crate) transaction: Option<Box<Bytes>>,
    /// Its size, in octets.
    pub(crate) octets: usize,
    pub(crate) phase: PendingPhase,
    /// Its neighbours among the messages of its link that have not ended.
    previous: Option<u64>,
    next: Option<u64>,
}

#[derive(Debug)]
pub(crate) enum PendingPhase {
    Waiting(Option<Waker>),
    /// The peer told its outcome and left the settling to this side, whose application has not looked yet.
    Told(Conclusion),
    /// The application is deciding with which state to settle.
    Deciding,
    Done(Conclusion),
    /// Nobody asks any more.
    Discarded,
    /// It was begun on another link, where its receipt waits.
    Elsewhere(Origin),
}

/// How a message ended. Nearly all are accepted, and there are many of them: what else ends one lies elsewhere.
#[derive(Clone, Debug)]
pub(crate) enum Conclusion {
    Accepted,
    Otherwise(Box<Result<Outcome, SendError>>),
}

impl From<Result<Outcome, SendError>> for Conclusion {
    fn from(result: Result<Outcome, SendError>) -> Self {
        match result {
            Ok(Outcome::Accepted) => Self::Accepted,
            other => Self::Otherwise(Box::new(other)),
        }
    }
}

impl From<Conclusion> for Result<Outcome, SendError> {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::Accepted => Ok(Outcome::Accepted),
            Conclusion::Otherwise(result) => *result,
        }
    }
}

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
}

impl Origin {
    /// Ends a message that nobody will resume. Call it without a lock.
    pub(crate) fn lose(self, reason: &DetachReason) {
        // Poisoned: nobody is told anything any more.
        let _ = self.link.connection.shared.with(|state| state.lose(self.key, reason));
    }
}

impl Pending {
    pub(crate) fn new(link: usize, batch: u64, is_settled: bool, octets: usize, phase: PendingPhase) -> Self {
        Self {
            link,
            delivery: None,
            batch,
            is_settled,
            transaction: None,
            octets,
            phase,
            previous: None,
            next: None,
        }
    }
}

impl State {
    /// How many messages have no outcome yet.
    pub(crate) fn undecided_messages(&self) -> usize {
        self.pending.values().filter(|pending| !matches!(pending.phase, PendingPhase::Done(_))).count()
    }

    /// A message is on its way under the next key: it counts among its link's until it ends.
    pub(crate) fn await_end(&mut self, key: u64, mut pending: Pending) {
        pending.next = self.lead(pending.link, key);
        self.pending.insert(key, pending);
    }

    /// A message that was begun before is on its way on this link.
    fn enlist(&mut self, key: u64, link: usize) {
        let next = self.lead(link, key);
        if let Some(pending) = self.pending.get_mut(key) {
            (pending.link, pending.next) = (link, next);
        }
    }

    /// Puts a message in front of its link's others. The first of those.
    fn lead(&mut self, link: usize, key: u64) -> Option<u64> {
        let slot = self.links.get_mut(link)?;
        slot.in_flight = slot.in_flight.saturating_add(1);
        let next = slot.first_pending.replace(key);
        if let Some(next) = next.and_then(|next| self.pending.get_mut(next)) {
            next.previous = Some(key);
        }
        next
    }

    /// A message has ended, or never began.
    fn delist(&mut self, key: u64) {
        let Some(pending) = self.pending.get_mut(key) else { return };
        let (link, previous, next) = (pending.link, pending.previous.take(), pending.next.take());
        self.unlink(key, link, previous, next);
    }

    /// Takes a message out from between its neighbours.
    fn unlink(&mut self, key: u64, link: usize, previous: Option<u64>, next: Option<u64>) {
        if let Some(next) = next.and_then(|next| self.pending.get_mut(next)) {
            next.previous = previous;
        }
        let slot = self.links.get_mut(link);
        match previous.and_then(|previous| self.pending.get_mut(previous)) {
            Some(previous) => previous.next = next,
            None => {
                if let Some(slot) = slot.filter(|slot| slot.first_pending == Some(key)) {
                    slot.first_pending = next;
                    slot.in_flight = slot.in_flight.saturating_sub(1);
                }
                return;
            }
        }
        if let Some(slot) = slot {
            slot.in_flight = slot.in_flight.saturating_sub(1);
        }
    }

    /// Ends one pending message.
    pub(crate) fn resolve(&mut self, key: u64, conclusion: impl Into<Conclusion>) {
        let conclusion = conclusion.into();
        if matches!(conclusion, Conclusion::Accepted) {
            return self.accept(key);
        }
        let Some(pending) = self.pending.get_mut(key) else { return };
        // An outcome once given stays.
        if matches!(pending.phase, PendingPhase::Done(_)) {
            return;
        }
        match mem::replace(&mut pending.phase, PendingPhase::Discarded) {
            PendingPhase::Waiting(waker) => {
                pending.phase = PendingPhase::Done(conclusion);
                if let Some(waker) = waker {
                    self.wakes.wake(waker);
                }
                self.delist(key);
            }
            PendingPhase::Elsewhere(origin) => {
                self.wakes.resolve(origin, conclusion.into());
                self.delist(key);
                self.pending.free(key);
            }
            PendingPhase::Discarded => {
                self.delist(key);
                self.pending.free(key);
            }
            PendingPhase::Told(_) | PendingPhase::Deciding | PendingPhase::Done(_) => {
                pending.phase = PendingPhase::Done(conclusion);
                self.delist(key);
            }
        }
    }

    /// Ends one pending message as accepted, which is known by its absence.
    fn accept(&mut self, key: u64) {
        let Some(pending) = self.pending.get_mut(key) else { return };
        let (link, previous, next) = (pending.link, pending.previous, pending.next);
        match mem::replace(&mut pending.phase, PendingPhase::Discarded) {
            // An outcome once given stays.
            done @ PendingPhase::Done(_) => {
                pending.phase = done;
                return;
            }
            PendingPhase::Waiting(Some(waker)) => self.wakes.wake(waker),
            PendingPhase::Elsewhere(origin) => self.wakes.resolve(origin, Ok(Outcome::Accepted)),
            _ => {}
        }
        self.unlink(key, link, previous, next);
        self.pending.free(key);
    }

    /// The peer settled messages that were sent one after the other.
    pub(crate) fn on_settled_run(&mut self, run: &SettledRun) {
        for user in run.users() {
            if let Some(key) = self.pending.long(user) {
                self.on_settled(key, run.state());
            }
        }
    }

    /// The peer settled a message.
    fn on_settled(&mut self, key: u64, state: Option<&DeliveryState>) {
        let is_under_none = |pending: &Pending| pending.transaction.is_none();
        if matches!(state, Some(DeliveryState::Accepted)) && self.pending.get(key).is_some_and(is_under_none)
        {
            return self.accept(key);
        }
        let state = state.cloned();
        let told = match self.pending.get(key).map(|pending| &pending.phase) {
            // It need not say again what it has said before.
            Some(PendingPhase::Told(told)) if state.is_none() => Some(told.clone()),
            _ => None,
        };
        let Some(pending) = self.pending.get(key) else { return };
        // declared for nobody.
        if let (PendingPhase::Discarded, Some(DeliveryState::Declared(declared))) = (&pending.phase, &state)
            && let Some(slot) = self.links.get_mut(pending.link)
        {
            slot.abandoned_transactions.push(declared.txn_id.clone());
        }
        let conclusion = told.unwrap_or_else(|| outcome(state, pending.transaction.as_deref()).into());
        self.resolve(key, conclusion);
    }

    /// The peer told its outcome of a message and left the settling to the application.
    pub(crate) fn on_told(&mut self, key: u64, state: DeliveryState) {
        let Some(pending) = self.pending.get_mut(key) else { return };
        match (Outcome::try_from(state.clone()), &mut pending.phase) {
            (Ok(outcome), PendingPhase::Waiting(waker)) => {
                if let Some(waker) = waker.take() {
                    self.wakes.wake(waker);
                }
                pending.phase = PendingPhase::Told(Ok(outcome).into());
            }
            // Nobody decides any more, so that the peer must not believe that its outcome was taken.
            (Ok(_), PendingPhase::Discarded) => {
                self.settle_pending(key, undecided());
            }
            // Its receipt is out of reach for a question: it goes along with the peer.
            (Ok(outcome), PendingPhase::Elsewhere(_)) => {
                self.settle_with(key, state, Ok(outcome));
            }
            (Ok(_), _) => {}
            // A state of an extension, which no application could be asked about.
            (Err(_), _) => {
                self.settle_pending(key, state);
            }
        }
    }

    /// Settles a message from this side, unless it is settled or lost already, and ends it so for its receipt.
    /// Returns whether it did.
    pub(crate) fn settle_pending(&mut self, key: u64, state: DeliveryState) -> bool {
        self.settle_with(key, state, Err(SendError::NoOutcome))
    }

    fn settle_with(&mut self, key: u64, state: DeliveryState, result: Result<Outcome, SendError>) -> bool {
        let Some(pending) = self.pending.get(key) else { return false };
        if matches!(pending.phase, PendingPhase::Done(_)) {
            return false;
        }
        let (Some(delivery), Some(slot)) = (pending.delivery, self.links.get(pending.link)) else {
            return false;
        };
        // Stale: the link is over, and with it the delivery.
        let is_settled = self.engine.settle_sent(slot.id, delivery, state).unwrap_or(false);
        if is_settled {
            self.is_touched = true;
            self.resolve(key, result);
        }
        is_settled
    }

    /// Nobody asks for a message's outcome any more.
    pub(crate) fn discard_pending(&mut self, key: u64) {
        let Some(pending) = self.pending.get_mut(key) else { return };
        match mem::replace(&mut pending.phase, PendingPhase::Discarded) {
            PendingPhase::Done(_) => {
                self.pending.free(key);
            }
            PendingPhase::Waiting(Some(waker)) => self.wakes.discard(waker),
            // Not settled yet, and nobody left to do it. Settled meanwhile: its event finds it discarded.
            PendingPhase::Told(_) => {
                self.settle_pending(key, undecided());
            }
            _ => {}
        }
    }

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
            super::shared::LinkPhase::Detached(end) => Some(end.reason.clone()),
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
        let open = open.flat_map(|link| &mut link.deliveries);
        for delivery in open.filter(|delivery| !delivery.is_concluded) {
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
            && let super::shared::LinkPhase::Detached(end) = &slot.phase
        {
            let reason = end.reason.clone();
            self.resolve_link(key, &reason);
        }
    }
}

/// What a peer gets that told an outcome which the application let go without a decision: never a success.
pub(crate) fn undecided() -> DeliveryState {
    DeliveryState::rejected(Error {
        condition: ErrorCondition::INTERNAL_ERROR,
        description: Some(Str::from("the application gave no answer to the outcome".to_owned())),
        info: None,
    })
}

/// The state that says what became of a message, as the application sees it.
fn outcome(state: Option<DeliveryState>, transaction: Option<&Bytes>) -> Result<Outcome, SendError> {
    match state {
        None => Err(SendError::NoOutcome),
        // taken outside of the transaction, or under another, is not what was asked for; declined is declined.
        Some(state @ DeliveryState::Accepted) if transaction.is_some() => {
            Err(SendError::OtherState(Box::new(state)))
        }
        // what was retired under a transaction is not final before it is discharged.
        Some(state @ DeliveryState::TransactionalState(_)) if transaction_of(&state) != transaction => {
            Err(SendError::OtherState(Box::new(state)))
        }
        Some(state) => Outcome::try_from(state.clone()).map_err(|_| SendError::OtherState(Box::new(state))),
    }
}
