//! Termini that outlive their links: what a listener keeps of links that are not attached, and for how long
//! (AMQP 1.0 §2.6.6, §3.5.6).
//!
//! Pure data; time is passed in. One store serves all connections of a node, or of a listener. It never lets go of a link
//! without giving it back.

mod durable;
mod loan;
mod term;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use amqp_codec::{Role, Str, TerminusDurability};

use self::term::Term;
use super::ids::SessionId;
use super::suspended::SuspendedLink;

pub use self::loan::Loan;
pub(super) use self::term::{bare_weight, delivery_weight, weight};

/// Which link, among all that a node's peers may have (L-001). A container-id is what a peer claims; who it is, its
/// authentication has shown: what one has left, no other finds.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TerminusKey {
    /// Who the peer is, as it authenticated. `None` without a name: all such peers are one.
    pub identity: Option<Str>,
    /// The peer's container-id.
    pub container_id: Str,
    /// The link's name.
    pub name: Str,
    /// Our role.
    pub role: Role,
}

/// Where a link was attached last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TerminusPlace {
    /// The connection, by a number of the store's owner, which is not used again.
    pub connection: u64,
    /// The session of that connection.
    pub session: SessionId,
}

/// What happened to the surroundings of a link, in this order of reach.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LinkEnd {
    /// Its name was attached anew on the same connection: no time counts while that waits for its answer.
    Stolen,
    /// It was detached.
    Detached,
    /// Its session ended.
    SessionEnded,
    /// Its connection closed or was lost.
    ConnectionClosed,
}

/// Bounds of a store.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TerminusLimits {
    /// Termini kept at once. Default 10,000.
    pub termini: usize,
    /// Termini kept at once of peers of one identity; above it the one of theirs that was kept longest goes. Default 1,000.
    pub termini_per_identity: usize,
    /// Octets kept at once: of messages, and of what names, describes and remembers them. Default 64 MiB.
    pub octets: usize,
    /// Octets kept at once for peers of one identity; above it those of theirs that were kept longest go. Default 16 MiB.
    pub octets_per_identity: usize,
    /// Longest time a terminus is kept, whatever its peer asks for, policy `never` included. Default one day.
    pub time: Duration,
    /// The most durability that answers to peers grant: what outlives the process is the business of whoever writes
    /// [records](TerminusStore::records) down. Default none.
    pub durability: TerminusDurability,
}

impl Default for TerminusLimits {
    fn default() -> Self {
        Self {
            termini: 10_000,
            termini_per_identity: 1_000,
            octets: 64 * 1024 * 1024,
            octets_per_identity: 16 * 1024 * 1024,
            time: Duration::from_secs(24 * 60 * 60),
            durability: TerminusDurability::None,
        }
    }
}

/// A link that is not kept, or no longer: its unsettled deliveries are to be dealt with.
#[derive(Clone, Debug)]
pub struct LostTerminus<L> {
    /// Which it was.
    pub key: TerminusKey,
    /// What was left of it.
    pub link: L,
    /// Why it goes.
    pub cause: LossCause,
}

/// Why a link is not kept, or no longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LossCause {
    /// Its terminus expired, as its policy and time-out say or by [`TerminusLimits::time`].
    #[error("its time is over")]
    Expired,
    /// A newer link of the same identity took its room.
    #[error("a newer link of the same peer took its room")]
    Evicted,
    /// There was no room for it.
    #[error("there is no room for it")]
    NoRoom,
    /// The peer attached the name anew, as a link of which nothing is known.
    #[error("its name is in use by a newer link")]
    Replaced,
}

/// Links that are not attached, each until it is attached again or its terminus expires. `L` is what is left of one.
#[derive(Debug)]
pub struct TerminusStore<L = Box<SuspendedLink>> {
    limits: TerminusLimits,
    /// By numbers that count up, so that the least was kept longest.
    kept: BTreeMap<u64, Kept<L>>,
    by_key: BTreeMap<TerminusKey, u64>,
    /// The terms of links that are out, by the same numbers.
    lent: BTreeMap<u64, Term>,
    lent_by_key: BTreeMap<TerminusKey, u64>,
    by_deadline: BTreeSet<(Instant, u64)>,
    /// Those whose time does not count before something happens to where they were.
    waiting: BTreeSet<(TerminusPlace, u64)>,
    accounts: BTreeMap<Option<Str>, Account>,
    octets: usize,
    last: u64,
}

#[derive(Debug)]
struct Kept<L> {
    key: TerminusKey,
    link: L,
    octets: usize,
    term: Term,
}

/// What is kept of one identity.
#[derive(Debug, Default)]
struct Account {
    octets: usize,
    numbers: BTreeSet<u64>,
}

impl<L: AsRef<SuspendedLink>> TerminusStore<L> {
    /// An empty store.
    #[must_use]
    pub fn new(limits: TerminusLimits) -> Self {
        Self {
            limits,
            kept: BTreeMap::new(),
            by_key: BTreeMap::new(),
            lent: BTreeMap::new(),
            lent_by_key: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            waiting: BTreeSet::new(),
            accounts: BTreeMap::new(),
            octets: 0,
            last: 0,
        }
    }

    /// Its bounds.
    #[must_use]
    pub fn limits(&self) -> &TerminusLimits {
        &self.limits
    }

    /// Keeps a link that was attached there and has ended so. Gives back what is not kept, or no longer: the link itself
    /// where its terminus expires with this end or there is no room, an older one of the same name, or those of the same
    /// identity that make room. Nobody's links make room for another's.
    // L-016: the time counts from what the policy names.
    #[must_use = "deliveries of a link that is not kept are to be dealt with"]
    pub fn keep(
        &mut self,
        key: TerminusKey,
        link: L,
        place: TerminusPlace,
        end: LinkEnd,
        now: Instant,
    ) -> Vec<LostTerminus<L>> {
        let mut lost = Vec::new();
        if let Some(link) = self.take(&key) {
            lost.push(LostTerminus { key: key.clone(), link, cause: LossCause::Replaced });
        }
        let term = Term::new(link.as_ref(), place, end, self.limits.time, now);
        let number = self.next_number();
        self.admit(number, key, link, term, now, &mut lost);
        lost
    }

    /// Takes a link out, because it is attached again (which stops its time) or given up. One that is out already does not
    /// come back.
    pub fn take(&mut self, key: &TerminusKey) -> Option<L> {
        self.recall(key);
        let number = *self.by_key.get(key)?;
        self.remove(number).map(|kept| kept.link)
    }

    /// What is kept of a link.
    #[must_use]
    pub fn get(&self, key: &TerminusKey) -> Option<&L> {
        self.kept.get(self.by_key.get(key)?).map(|kept| &kept.link)
    }

    /// A session has ended: for those that waited for that, the time starts. Costs as many steps as wait on this session.
    // L-016
    pub fn session_ended(&mut self, place: TerminusPlace, now: Instant) {
        self.start((place, 0)..=(place, u64::MAX), LinkEnd::SessionEnded, now);
    }

    /// A connection is over. Otherwise as [`session_ended`](Self::session_ended).
    // L-016
    pub fn connection_closed(&mut self, connection: u64, now: Instant) {
        let at = |number| SessionId { index: number, generation: number };
        let first = TerminusPlace { connection, session: at(0) };
        let last = TerminusPlace { connection, session: at(u32::MAX) };
        self.start((first, 0)..=(last, u64::MAX), LinkEnd::ConnectionClosed, now);
    }

    /// Takes out what has expired.
    #[must_use = "deliveries of a link that is not kept are to be dealt with"]
    pub fn expire(&mut self, now: Instant) -> Vec<LostTerminus<L>> {
        let mut expired = Vec::new();
        while let Some((_, number)) =
            self.by_deadline.first().filter(|(deadline, _)| *deadline <= now).copied()
        {
            let Some(Kept { key, link, .. }) = self.remove(number) else { break };
            expired.push(LostTerminus { key, link, cause: LossCause::Expired });
        }
        expired
    }

    /// When [`expire`](Self::expire) has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// What is kept, in the order in which it came. For what is to be written down there is [`records`](Self::records).
    pub fn iter(&self) -> impl Iterator<Item = (&TerminusKey, &L)> {
        self.kept.values().map(|kept| (&kept.key, &kept.link))
    }

    /// Links kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Octets kept, as [`TerminusLimits::octets`] counts them.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Keeps a link for as long as its term says, if it is not over and there is room.
    fn admit(
        &mut self,
        number: u64,
        key: TerminusKey,
        link: L,
        term: Term,
        now: Instant,
        lost: &mut Vec<LostTerminus<L>>,
    ) {
        if term.deadline.is_some_and(|deadline| deadline <= now) {
            lost.push(LostTerminus { key, link, cause: LossCause::Expired });
            return;
        }
        let octets = weight(&key, link.as_ref());
        if !self.make_room(&key.identity, octets, lost) {
            lost.push(LostTerminus { key, link, cause: LossCause::NoRoom });
            return;
        }
        self.insert(number, Kept { key, link, octets, term });
    }

    fn next_number(&mut self) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    /// Lets links of an identity go, those that were kept longest first, until one more of so many octets fits. `false`,
    /// and none goes, where that would not help.
    fn make_room(&mut self, identity: &Option<Str>, octets: usize, lost: &mut Vec<LostTerminus<L>>) -> bool {
        let (own_octets, own) =
            self.accounts.get(identity).map_or((0, 0), |own| (own.octets, own.numbers.len()));
        let others = self.octets.saturating_sub(own_octets);
        let most_octets = self.limits.octets_per_identity.min(self.limits.octets.saturating_sub(others));
        let others = self.kept.len().saturating_sub(own);
        let most = self.limits.termini_per_identity.min(self.limits.termini.saturating_sub(others));
        if most == 0 || octets > most_octets {
            return false;
        }
        while let Some(account) = self.accounts.get(identity)
            && (account.numbers.len() >= most || account.octets.saturating_add(octets) > most_octets)
        {
            let oldest = account.numbers.first().copied();
            let Some(Kept { key, link, .. }) = oldest.and_then(|oldest| self.remove(oldest)) else { break };
            lost.push(LostTerminus { key, link, cause: LossCause::Evicted });
        }
        true
    }

    fn insert(&mut self, number: u64, kept: Kept<L>) {
        if let Some(deadline) = kept.term.deadline {
            self.by_deadline.insert((deadline, number));
        }
        if let Some((_, place)) = kept.term.waits_for {
            self.waiting.insert((place, number));
        }
        let account = self.accounts.entry(kept.key.identity.clone()).or_default();
        account.octets = account.octets.saturating_add(kept.octets);
        account.numbers.insert(number);
        self.octets = self.octets.saturating_add(kept.octets);
        self.by_key.insert(kept.key.clone(), number);
        self.kept.insert(number, kept);
    }

    fn remove(&mut self, number: u64) -> Option<Kept<L>> {
        let kept = self.kept.remove(&number)?;
        self.by_key.remove(&kept.key);
        if let Some(deadline) = kept.term.deadline {
            self.by_deadline.remove(&(deadline, number));
        }
        if let Some((_, place)) = kept.term.waits_for {
            self.waiting.remove(&(place, number));
        }
        if let Some(account) = self.accounts.get_mut(&kept.key.identity) {
            account.octets = account.octets.saturating_sub(kept.octets);
            account.numbers.remove(&number);
            if account.numbers.is_empty() {
                self.accounts.remove(&kept.key.identity);
            }
        }
        self.octets = self.octets.saturating_sub(kept.octets);
        Some(kept)
    }

    /// For those of a place that waited for this end, the time starts.
    fn start(&mut self, places: RangeInclusive<(TerminusPlace, u64)>, end: LinkEnd, now: Instant) {
        let waiting: Vec<_> = self.waiting.range(places).copied().collect();
        for (place, number) in waiting {
            let kept = self.kept.get_mut(&number).map(|kept| &mut kept.term);
            let is_kept = kept.is_some();
            let Some(term) = kept.or_else(|| self.lent.get_mut(&number)) else { continue };
            if term.waits_for.is_none_or(|(start, _)| end < start) {
                continue;
            }
            self.waiting.remove(&(place, number));
            let before = term.deadline;
            term.start(now);
            if !is_kept {
                continue;
            }
            if let Some(before) = before {
                self.by_deadline.remove(&(before, number));
            }
            if let Some(deadline) = term.deadline {
                self.by_deadline.insert((deadline, number));
            }
        }
    }
}

impl AsRef<Self> for SuspendedLink {
    fn as_ref(&self) -> &Self {
        self
    }
}

#[cfg(test)]
mod tests;
