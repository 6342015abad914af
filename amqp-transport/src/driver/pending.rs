//! Messages handed to the engine whose outcome someone may ask for, and how each of them ends exactly once: with what the
//! peer said, with a proof that it was not taken, or as unknown.

mod links;

use std::mem;
use std::task::Waker;

use amqp_codec::{DeliveryState, Error, ErrorCondition, Outcome, Str};
use bytes::Bytes;

pub(crate) use links::{Before, Origin};

use super::shared::State;
use crate::engine::{DeliveryId, SettledRun};
use crate::handle::error::SendError;
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
