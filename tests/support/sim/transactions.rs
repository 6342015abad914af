//! Transactions as the listener's coordinator keeps them, and beside it what became of each as the ledger knows.

use std::time::{Duration, Instant};

use amqp_codec::DeliveryState;
use amqp_transport::transaction::{
    ControlLink, ControlRequest, Coordinator, CoordinatorLimits, Discharged, TransactionFault, WorkPlace,
};
use bytes::Bytes;

use super::ledger::{Control, Ledger};
use super::rng::Rng;

/// One transaction, for ever.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) id: Bytes,
    pub(crate) fate: Fate,
    owner: ControlLink,
    deadline: Option<Instant>,
    /// Messages taken for it, in order, and their octets; and whether one was not taken.
    work: Vec<usize>,
    octets: usize,
    is_doomed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Open,
    Committed,
    RolledBack,
}

/// The coordinator of one connection. A piece of work is a message's number.
#[derive(Debug)]
pub(crate) struct Desk {
    coordinator: Coordinator<usize>,
    limits: CoordinatorLimits,
    /// The connection, by its number.
    pub(crate) connection: u64,
}

impl Desk {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut limits = CoordinatorLimits::default();
        limits.transactions_per_connection = rng.pick(&[1, 3, 256]);
        limits.work = rng.pick(&[2, 10_000, 10_000]);
        limits.octets = rng.pick(&[500, 1 << 24, 1 << 24]);
        limits.time_out = rng.pick(&[None, Some(1), Some(60), Some(60)]).map(Duration::from_secs);
        limits.multi_txns_per_ssn = !rng.one_in(4);
        Self { coordinator: Coordinator::new(limits.clone()), limits, connection: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.coordinator.is_empty()
    }

    /// Answers a request: what its sender is told.
    //
    pub(crate) fn answer(
        &mut self,
        owner: ControlLink,
        request: &ControlRequest,
        now: Instant,
        ledger: &mut Ledger,
    ) -> DeliveryState {
        self.expire(now, ledger);
        match self.coordinator.handle(owner, request, now) {
            Ok(Ok(id)) => {
                assert!(self.turns_away(owner, ledger).is_none(), "a transaction too many");
                assert!(ledger.transactions.iter().all(|other| other.id != id || other.fate != Fate::Open));
                let deadline = self.limits.time_out.map(|time_out| now + time_out);
                ledger.transactions.push(Transaction {
                    id: id.clone(),
                    fate: Fate::Open,
                    owner,
                    deadline,
                    work: Vec::new(),
                    octets: 0,
                    is_doomed: false,
                });
                DeliveryState::Declared(amqp_codec::Declared { txn_id: id })
            }
            Ok(Err(discharged)) => discharge(owner, request, discharged, ledger),
            Err(fault) => {
                match request {
                    ControlRequest::Discharge { txn_id, .. } => {
                        let known = open(ledger, owner.place.connection, txn_id);
                        assert!(known.is_none_or(|known| known.owner != owner), "{fault}: it is under way");
                    }
                    _ => assert_eq!(Some(fault), self.turns_away(owner, ledger)),
                }
                DeliveryState::rejected(fault.to_wire())
            }
        }
    }

    /// Why one more is not begun.
    //
    fn turns_away(&self, owner: ControlLink, ledger: &Ledger) -> Option<TransactionFault> {
        let here = |other: &&Transaction| {
            other.fate == Fate::Open && other.owner.place.connection == owner.place.connection
        };
        let mut others = ledger.transactions.iter().filter(here);
        if !self.limits.multi_txns_per_ssn && others.clone().any(|other| other.owner.place == owner.place) {
            return Some(TransactionFault::OneAtATime);
        }
        others.nth(self.limits.transactions_per_connection - 1).map(|_| TransactionFault::TooMany)
    }

    /// A message that was posted under a transaction; whether it waits for its discharge.
    //
    pub(crate) fn enlist(
        &mut self,
        (number, octets): (usize, usize),
        id: &Bytes,
        place: WorkPlace,
        now: Instant,
        ledger: &mut Ledger,
    ) -> Result<(), TransactionFault> {
        self.expire(now, ledger);
        let result = self.coordinator.enlist(id, place, number, octets).map_err(|(fault, _)| fault);
        let limits = &self.limits;
        let Some(known) = open_mut(ledger, place.connection, id).filter(|known| known.owner.place == place)
        else {
            assert!(result.is_err(), "work of a transaction that is not under way here");
            return result;
        };
        let is_full = known.work.len() >= limits.work || known.octets + octets > limits.octets;
        known.is_doomed |= is_full;
        assert_eq!(result.is_ok(), !known.is_doomed, "{result:?} of {known:?}");
        if result.is_ok() {
            known.work.push(number);
            known.octets += octets;
        }
        result
    }

    /// A control link is over, and its transactions with it.
    //
    pub(crate) fn release(&mut self, link: u64, ledger: &mut Ledger) {
        let mut work = self.coordinator.release_link(link);
        let ended = ledger
            .transactions
            .iter_mut()
            .filter(|known| known.fate == Fate::Open && known.owner.link == link);
        let mut due: Vec<_> = ended.flat_map(roll_back).collect();
        work.sort_unstable();
        due.sort_unstable();
        assert_eq!(work, due, "work of transactions whose control link is over");
    }

    /// What was not discharged in time is rolled back.
    pub(crate) fn expire(&mut self, now: Instant, ledger: &mut Ledger) {
        if self.coordinator.next_deadline().is_none_or(|deadline| deadline > now) {
            let late = ledger.transactions.iter().find(|known| self.is_late(known, now));
            assert!(late.is_none(), "it should have lapsed: {late:?}");
            return;
        }
        let mut work = self.coordinator.expire(now);
        let ended = ledger.transactions.iter_mut().filter(|known| self.is_late(known, now));
        let mut due: Vec<_> = ended.flat_map(roll_back).collect();
        work.sort_unstable();
        due.sort_unstable();
        assert_eq!(work, due, "work of transactions that lapse");
    }

    fn is_late(&self, known: &Transaction, now: Instant) -> bool {
        let is_here = known.fate == Fate::Open && known.owner.place.connection == self.connection;
        is_here && known.deadline.is_some_and(|deadline| deadline <= now)
    }
}

fn roll_back(transaction: &mut Transaction) -> Vec<usize> {
    transaction.fate = Fate::RolledBack;
    transaction.work.clone()
}

//
fn discharge(
    owner: ControlLink,
    request: &ControlRequest,
    discharged: Discharged<usize>,
    ledger: &mut Ledger,
) -> DeliveryState {
    let ControlRequest::Discharge { txn_id, fail } = request else {
        panic!("a discharge that nobody asked for")
    };
    let known = open_mut(ledger, owner.place.connection, txn_id);
    let Some(known) = known.filter(|known| known.owner == owner) else {
        panic!("a discharge of what is not under way: {discharged:?}")
    };
    let (work, is_so, is_done) = match discharged {
        Discharged::Commit(work) => {
            known.fate = Fate::Committed;
            (work, !*fail && !known.is_doomed, true)
        }
        Discharged::RollBack(work) => {
            known.fate = Fate::RolledBack;
            (work, *fail, true)
        }
        Discharged::Doomed(work) => {
            known.fate = Fate::RolledBack;
            (work, !*fail && known.is_doomed, false)
        }
    };
    assert!(is_so && work == known.work, "{work:?} of {known:?}, failing: {fail}");
    if known.fate == Fate::Committed {
        ledger.commits += 1;
        for number in work {
            let message = &mut ledger.messages[number];
            assert!(!std::mem::replace(&mut message.is_applied, true), "message {number} takes effect twice");
        }
    }
    if is_done {
        DeliveryState::Accepted
    } else {
        DeliveryState::rejected(TransactionFault::RolledBack.to_wire())
    }
}

fn open<'a>(ledger: &'a Ledger, connection: u64, id: &[u8]) -> Option<&'a Transaction> {
    ledger.transactions.iter().find(|known| is_open(known, connection, id))
}

fn open_mut<'a>(ledger: &'a mut Ledger, connection: u64, id: &[u8]) -> Option<&'a mut Transaction> {
    ledger.transactions.iter_mut().find(|known| is_open(known, connection, id))
}

fn is_open(known: &Transaction, connection: u64, id: &[u8]) -> bool {
    known.fate == Fate::Open && known.owner.place.connection == connection && known.id == id
}

impl Ledger {
    /// What a control message asks for.
    pub(crate) fn request(&self, control: Control) -> ControlRequest {
        match control {
            Control::Declare => ControlRequest::declare(),
            Control::Discharge { transaction, fail: false } => {
                ControlRequest::commit(self.transactions[transaction].id.clone())
            }
            Control::Discharge { transaction, fail: true } => {
                ControlRequest::roll_back(self.transactions[transaction].id.clone())
            }
        }
    }

    /// The sender hears how its request ended.
    pub(crate) fn judge_answer(&self, control: Control, state: Option<&DeliveryState>) {
        let Control::Discharge { transaction, fail } = control else { return };
        let fate = self.transactions[transaction].fate;
        let is_so = match state {
            Some(DeliveryState::Accepted) if fail => fate == Fate::RolledBack,
            Some(DeliveryState::Accepted) => fate == Fate::Committed,
            _ => fate == Fate::RolledBack,
        };
        assert!(
            is_so,
            "transaction {transaction} is {fate:?}, its controller hears {state:?} (failing: {fail})"
        );
    }

    /// At the end all of a transaction has taken effect, or nothing.
    //
    pub(crate) fn judge_transactions(&self) {
        for (number, transaction) in self.transactions.iter().enumerate() {
            assert_ne!(transaction.fate, Fate::Open, "transaction {number} never ends");
            let is_committed = transaction.fate == Fate::Committed;
            for (place, message) in self.messages.iter().enumerate() {
                if message.transaction == Some(number) {
                    // What its sender was told to be a part of it is one.
                    let is_part = message.is_provisional;
                    assert!(
                        is_committed || !message.is_applied,
                        "message {place} was rolled back, and took effect"
                    );
                    assert!(!is_part || !is_committed || message.is_applied, "message {place} was left out");
                }
            }
        }
    }
}
