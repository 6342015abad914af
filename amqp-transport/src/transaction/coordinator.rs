//! Transactions under way at a resource: who declared them, what work waits for their discharge, and when they lapse.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ControlRequest, TransactionFault};

/// Bounds of a coordinator. All have finite defaults.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CoordinatorLimits {
    /// Transactions under way at once. Default 1,024.
    pub transactions: usize,
    /// Pieces of work of one transaction. Default 10,000.
    pub work: usize,
    /// Octets of the work of one transaction, as its owner counts them. Default 16 MiB.
    pub octets: usize,
    /// Time from declare to discharge, after which a transaction is rolled back. `None`: as long as its control link
    /// lives. Default 60 s.
    pub time_out: Option<Duration>,
    /// Whether several transactions may be under way on one session (`amqp:multi-txns-per-ssn`). Default yes.
    pub multi_txns_per_ssn: bool,
    /// Whether work of other sessions than the control link's may join (`amqp:multi-ssns-per-txn`). Default no.
    pub multi_ssns_per_txn: bool,
}

impl Default for CoordinatorLimits {
    fn default() -> Self {
        Self {
            transactions: 1_024,
            work: 10_000,
            octets: 16 * 1024 * 1024,
            time_out: Some(Duration::from_secs(60)),
            multi_txns_per_ssn: true,
            multi_ssns_per_txn: false,
        }
    }
}

/// A control link, by numbers of its owner's: of its own and of its session's. Owners of several connections number
/// across all of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ControlLink {
    /// The link's number.
    pub link: u64,
    /// Its session's number.
    pub session: u64,
}

/// What a discharge, or the end of a transaction without one, leaves to be done. `W` is a piece of work.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "the work of a transaction is neither done nor undone by itself"]
pub enum Discharged<W> {
    /// All of it takes effect, in the order in which it came.
    Commit(Vec<W>),
    /// None of it does, as was asked.
    RollBack(Vec<W>),
    /// None of it does, though a commit was asked for: a piece of it had not been taken. The answer is
    /// [`TransactionFault::RolledBack`].
    Doomed(Vec<W>),
}

/// The transactions of one resource.
///
/// The owner hands in requests and work and does what comes out. Whoever discharges by [`Discharged::Commit`] and then
/// cannot do all of the work undoes what it has done and answers with [`TransactionFault::RolledBack`].
#[derive(Debug)]
pub struct Coordinator<W> {
    limits: CoordinatorLimits,
    transactions: BTreeMap<Bytes, Transaction<W>>,
    by_link: BTreeSet<(u64, Bytes)>,
    by_deadline: BTreeSet<(Instant, Bytes)>,
    /// Those that lapsed lately, whose controllers are told so.
    lapsed: VecDeque<(Bytes, ControlLink)>,
    declared: u64,
}

#[derive(Debug)]
struct Transaction<W> {
    owner: ControlLink,
    deadline: Option<Instant>,
    work: Vec<W>,
    octets: usize,
    /// Whether a piece of its work was not taken: without it the rest must not take effect.
    is_doomed: bool,
}

impl<W> Coordinator<W> {
    /// A coordinator without transactions.
    #[must_use]
    pub fn new(limits: CoordinatorLimits) -> Self {
        Self {
            limits,
            transactions: BTreeMap::new(),
            by_link: BTreeSet::new(),
            by_deadline: BTreeSet::new(),
            lapsed: VecDeque::new(),
            declared: 0,
        }
    }

    /// Begins a transaction for a control link; its id.
    ///
    /// # Errors
    /// [`TransactionFault::OneAtATime`], [`TransactionFault::TooMany`].
    pub fn declare(&mut self, owner: ControlLink, now: Instant) -> Result<Bytes, TransactionFault> {
        //
        if !self.limits.multi_txns_per_ssn
            && self.transactions.values().any(|other| other.owner.session == owner.session)
        {
            return Err(TransactionFault::OneAtATime);
        }
        if self.transactions.len() >= self.limits.transactions {
            return Err(TransactionFault::TooMany);
        }
        self.declared = self.declared.wrapping_add(1);
        // of at most 32 octets, and never used twice.
        let id = Bytes::copy_from_slice(&self.declared.to_be_bytes());
        let deadline = self.limits.time_out.map(|time_out| now + time_out);
        self.by_link.insert((owner.link, id.clone()));
        if let Some(deadline) = deadline {
            self.by_deadline.insert((deadline, id.clone()));
        }
        self.transactions.insert(
            id.clone(),
            Transaction { owner, deadline, work: Vec::new(), octets: 0, is_doomed: false },
        );
        Ok(id)
    }

    /// Keeps a piece of work until its transaction is discharged. `session` is the one that it came on, `octets` what it
    /// counts against [`CoordinatorLimits::octets`].
    ///
    /// # Errors
    /// The fault and the work: [`TransactionFault::UnknownId`] (also for a transaction of another session, where such work
    /// may not join), [`TransactionFault::TimedOut`], [`TransactionFault::TooMuchWork`].
    pub fn enlist(
        &mut self,
        txn_id: &[u8],
        session: u64,
        work: W,
        octets: usize,
    ) -> Result<(), (TransactionFault, W)> {
        let Some(transaction) = self.transactions.get_mut(txn_id) else {
            return Err((self.fault_of_missing(txn_id), work));
        };
        //
        if !self.limits.multi_ssns_per_txn && transaction.owner.session != session {
            return Err((TransactionFault::UnknownId, work));
        }
        let total = transaction.octets.saturating_add(octets);
        if transaction.is_doomed || transaction.work.len() >= self.limits.work || total > self.limits.octets {
            // all of it or nothing, and who posted it settled hears nothing of this.
            transaction.is_doomed = true;
            return Err((TransactionFault::TooMuchWork, work));
        }
        transaction.octets = total;
        transaction.work.push(work);
        Ok(())
    }

    /// Ends a transaction as its controller asks.
    ///
    /// # Errors
    /// [`TransactionFault::UnknownId`], [`TransactionFault::TimedOut`]: nothing is left to be done.
    //
    pub fn discharge(
        &mut self,
        owner: ControlLink,
        txn_id: &[u8],
        fail: bool,
    ) -> Result<Discharged<W>, TransactionFault> {
        if self.transactions.get(txn_id).is_none_or(|transaction| transaction.owner != owner) {
            let lapsed = self.lapsed.iter().position(|(id, of)| id == txn_id && *of == owner);
            return Err(match lapsed.and_then(|at| self.lapsed.remove(at)) {
                Some(_) => TransactionFault::TimedOut,
                None => TransactionFault::UnknownId,
            });
        }
        let Some(Transaction { work, is_doomed, .. }) = self.remove(txn_id) else {
            return Err(TransactionFault::UnknownId);
        };
        Ok(match (fail, is_doomed) {
            (true, _) => Discharged::RollBack(work),
            (false, true) => Discharged::Doomed(work),
            (false, false) => Discharged::Commit(work),
        })
    }

    /// A whole request: the id of a transaction that was declared, or what a discharge leaves to be done.
    ///
    /// # Errors
    /// As [`declare`](Self::declare) and [`discharge`](Self::discharge), and [`TransactionFault::NotDistributed`].
    pub fn handle(
        &mut self,
        owner: ControlLink,
        request: &ControlRequest,
        now: Instant,
    ) -> Result<Result<Bytes, Discharged<W>>, TransactionFault> {
        match request {
            //
            ControlRequest::Declare { global_id: Some(_) } => Err(TransactionFault::NotDistributed),
            ControlRequest::Declare { global_id: None } => self.declare(owner, now).map(Ok),
            ControlRequest::Discharge { txn_id, fail } => self.discharge(owner, txn_id, *fail).map(Err),
        }
    }

    /// A control link is over: what its transactions hold must not take effect.
    //
    pub fn release_link(&mut self, link: u64) -> Vec<W> {
        let range = (link, Bytes::new())..(link.saturating_add(1), Bytes::new());
        let ids: Vec<Bytes> = self.by_link.range(range).map(|(_, id)| id.clone()).collect();
        self.lapsed.retain(|(_, owner)| owner.link != link);
        ids.iter().filter_map(|id| self.remove(id)).flat_map(|transaction| transaction.work).collect()
    }

    /// Rolls back what was not discharged in time; that work must not take effect.
    pub fn expire(&mut self, now: Instant) -> Vec<W> {
        let mut work = Vec::new();
        while let Some((_, id)) = self.by_deadline.first().filter(|(deadline, _)| *deadline <= now).cloned() {
            let Some(transaction) = self.remove(&id) else { break };
            work.extend(transaction.work);
            self.lapsed.push_back((id, transaction.owner));
            if self.lapsed.len() > self.limits.transactions {
                self.lapsed.pop_front();
            }
        }
        work
    }

    /// When [`expire`](Self::expire) has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Transactions under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    fn fault_of_missing(&self, txn_id: &[u8]) -> TransactionFault {
        if self.lapsed.iter().any(|(id, _)| id == txn_id) {
            TransactionFault::TimedOut
        } else {
            TransactionFault::UnknownId
        }
    }

    fn remove(&mut self, txn_id: &[u8]) -> Option<Transaction<W>> {
        let (id, transaction) = self.transactions.remove_entry(txn_id)?;
        if let Some(deadline) = transaction.deadline {
            self.by_deadline.remove(&(deadline, id.clone()));
        }
        self.by_link.remove(&(transaction.owner.link, id));
        Some(transaction)
    }
}

#[cfg(test)]
mod tests;
