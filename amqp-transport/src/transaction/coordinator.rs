//! Transactions under way at a resource: who declared them, what work waits for their discharge, and when they lapse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ControlRequest, TransactionFault};

/// Bounds of a coordinator. All have finite defaults.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CoordinatorLimits {
    /// Transactions under way at once. Default 1,024.
    pub transactions: usize,
    /// Transactions under way at once on one connection, so that none takes the room of all. Default 256.
    pub transactions_per_connection: usize,
    /// Pieces of work of one transaction. Default 10,000.
    pub work: usize,
    /// Octets of the work of one transaction, as its owner counts them. Default 16 MiB.
    pub octets: usize,
    /// Octets of the work of all transactions. Default 256 MiB.
    pub total_octets: usize,
    /// Octets of the work of the transactions of one connection, so that none takes the room of all. Default 64 MiB.
    pub octets_per_connection: usize,
    /// Time from declare to discharge, after which a transaction is rolled back. `None`: as long as its control link
    /// lives. Default 60 s.
    pub time_out: Option<Duration>,
    /// Whether several transactions may be under way on one session (`amqp:multi-txns-per-ssn`). Default yes.
    pub multi_txns_per_ssn: bool,
    /// Whether work of other sessions than the control link's may join, of the same connection always
    /// (`amqp:multi-ssns-per-txn`). Default no.
    pub multi_ssns_per_txn: bool,
}

impl Default for CoordinatorLimits {
    fn default() -> Self {
        Self {
            transactions: 1_024,
            transactions_per_connection: 256,
            work: 10_000,
            octets: 16 * 1024 * 1024,
            total_octets: 256 * 1024 * 1024,
            octets_per_connection: 64 * 1024 * 1024,
            time_out: Some(Duration::from_secs(60)),
            multi_txns_per_ssn: true,
            multi_ssns_per_txn: false,
        }
    }
}

/// A control link, by numbers of its owner's. A link's number is its own among the links of all connections, a session's
/// among those of its connection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ControlLink {
    /// The link's number.
    pub link: u64,
    /// Where it is attached; work must come from there, too.
    pub place: WorkPlace,
}

/// Where work comes from, by numbers of the coordinator's owner.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct WorkPlace {
    /// The connection's number.
    pub connection: u64,
    /// The session's number, among those of the connection.
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
    /// Those that lapsed lately, whose controllers are told so; the ids count up, so that the first is the oldest.
    lapsed: BTreeMap<Bytes, ControlLink>,
    /// What each connection takes that has one under way.
    by_connection: BTreeMap<u64, Share>,
    /// Octets of all work.
    octets: usize,
    declared: u64,
}

/// What one connection takes of the room of all.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    transactions: usize,
    octets: usize,
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
            lapsed: BTreeMap::new(),
            by_connection: BTreeMap::new(),
            octets: 0,
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
            && self.transactions.values().any(|other| other.owner.place == owner.place)
        {
            return Err(TransactionFault::OneAtATime);
        }
        let connection = owner.place.connection;
        let mut share = self.by_connection.get(&connection).copied().unwrap_or_default();
        if self.transactions.len() >= self.limits.transactions
            || share.transactions >= self.limits.transactions_per_connection
        {
            return Err(TransactionFault::TooMany);
        }
        share.transactions = share.transactions.saturating_add(1);
        self.by_connection.insert(connection, share);
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

    /// Keeps a piece of work until its transaction is discharged. `octets` is what it counts against
    /// [`CoordinatorLimits::octets`].
    ///
    /// # Errors
    /// The fault and the work: [`TransactionFault::UnknownId`] (also for a transaction of another connection, or of another
    /// session where such work may not join), [`TransactionFault::TimedOut`], [`TransactionFault::TooMuchWork`].
    pub fn enlist(
        &mut self,
        txn_id: &[u8],
        place: WorkPlace,
        work: W,
        octets: usize,
    ) -> Result<(), (TransactionFault, W)> {
        let Some(transaction) = self.transactions.get_mut(txn_id) else {
            return Err((self.fault_of_missing(txn_id, place), work));
        };
        if !may_join(transaction.owner, place, self.limits.multi_ssns_per_txn) {
            return Err((TransactionFault::UnknownId, work));
        }
        // That of the owner, of whose connection the work is.
        let share = self.by_connection.entry(place.connection).or_default();
        let own = transaction.octets.saturating_add(octets);
        let shared = share.octets.saturating_add(octets);
        let total = self.octets.saturating_add(octets);
        let is_full = transaction.work.len() >= self.limits.work
            || own > self.limits.octets
            || shared > self.limits.octets_per_connection
            || total > self.limits.total_octets;
        if transaction.is_doomed || is_full {
            // all of it or nothing, and who posted it settled hears nothing of this.
            transaction.is_doomed = true;
            return Err((TransactionFault::TooMuchWork, work));
        }
        (transaction.octets, share.octets, self.octets) = (own, shared, total);
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
            if self.lapsed.get(txn_id) != Some(&owner) {
                return Err(TransactionFault::UnknownId);
            }
            self.lapsed.remove(txn_id);
            return Err(TransactionFault::TimedOut);
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
        self.lapsed.retain(|_, owner| owner.link != link);
        ids.iter().filter_map(|id| self.remove(id)).flat_map(|transaction| transaction.work).collect()
    }

    /// Rolls back what was not discharged in time; that work must not take effect.
    pub fn expire(&mut self, now: Instant) -> Vec<W> {
        let mut work = Vec::new();
        while let Some((_, id)) = self.by_deadline.first().filter(|(deadline, _)| *deadline <= now).cloned() {
            let Some(transaction) = self.remove(&id) else { break };
            work.extend(transaction.work);
            self.lapsed.insert(id, transaction.owner);
            if self.lapsed.len() > self.limits.transactions {
                self.lapsed.pop_first();
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

    fn fault_of_missing(&self, txn_id: &[u8], place: WorkPlace) -> TransactionFault {
        match self.lapsed.get(txn_id) {
            Some(owner) if may_join(*owner, place, self.limits.multi_ssns_per_txn) => {
                TransactionFault::TimedOut
            }
            _ => TransactionFault::UnknownId,
        }
    }

    fn remove(&mut self, txn_id: &[u8]) -> Option<Transaction<W>> {
        let (id, transaction) = self.transactions.remove_entry(txn_id)?;
        if let Some(deadline) = transaction.deadline {
            self.by_deadline.remove(&(deadline, id.clone()));
        }
        self.by_link.remove(&(transaction.owner.link, id));
        self.octets = self.octets.saturating_sub(transaction.octets);
        let connection = transaction.owner.place.connection;
        if let Some(share) = self.by_connection.get_mut(&connection) {
            share.transactions = share.transactions.saturating_sub(1);
            share.octets = share.octets.saturating_sub(transaction.octets);
            if share.transactions == 0 {
                self.by_connection.remove(&connection);
            }
        }
        Some(transaction)
    }
}

/// Whether work from a place belongs to a transaction of this control link.
// an id is known on its own connection alone. X-015
fn may_join(owner: ControlLink, place: WorkPlace, multi_ssns_per_txn: bool) -> bool {
    owner.place == place || (multi_ssns_per_txn && owner.place.connection == place.connection)
}

#[cfg(test)]
mod tests;
