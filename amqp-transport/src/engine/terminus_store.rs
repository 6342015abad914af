//! Termini that outlive their links: what a listener keeps of links that are not attached, and for how long
//! (AMQP 1.0 §2.6.6, §3.5.6).
//!
//! Pure data; time is passed in. One store serves all connections of a node, or of a listener.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use amqp_codec::{Role, Str, TargetArchetype, TerminusDurability, TerminusExpiryPolicy};

use super::suspended::SuspendedLink;

/// Which link, among all that a peer may have: its container, the link's name, and our role (L-001).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TerminusKey {
    /// The peer's container-id.
    pub container_id: Str,
    /// The link's name.
    pub name: Str,
    /// Our role.
    pub role: Role,
}

/// What happened to the surroundings of a link, in this order of reach.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LinkEnd {
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
    /// Termini kept at once; above it the one that has waited longest goes. Default 10,000.
    pub termini: usize,
    /// Octets of messages kept at once; above it a link is not kept. Default 64 MiB.
    pub octets: usize,
    /// Longest time a terminus is kept, whatever its peer asks for, policy `never` included. Default one day.
    pub time: Duration,
}

impl Default for TerminusLimits {
    fn default() -> Self {
        Self { termini: 10_000, octets: 64 * 1024 * 1024, time: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Links that are not attached, each until it is attached again or its terminus expires.
#[derive(Debug)]
pub struct TerminusStore {
    limits: TerminusLimits,
    kept: BTreeMap<TerminusKey, Kept>,
    /// In the order in which they expire; those that wait for an event yet come by the longest time allowed.
    by_deadline: BTreeSet<(Instant, TerminusKey)>,
    octets: usize,
}

#[derive(Debug)]
struct Kept {
    link: Box<SuspendedLink>,
    deadline: Instant,
    /// What must happen yet before its time counts.
    starts_at: Option<LinkEnd>,
    time_out: Duration,
}

impl TerminusStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: TerminusLimits) -> Self {
        Self { limits, kept: BTreeMap::new(), by_deadline: BTreeSet::new(), octets: 0 }
    }

    /// Keeps a link that has ended so. Gives back what is not kept, or no longer: the link itself where its terminus
    /// expires with this end or there is no room, an older one of the same name, or the one that waited longest.
    // L-016
    #[must_use = "deliveries of a link that is not kept are to be dealt with"]
    pub fn keep(
        &mut self,
        key: TerminusKey,
        link: Box<SuspendedLink>,
        end: LinkEnd,
        now: Instant,
    ) -> Option<Box<SuspendedLink>> {
        let (policy, seconds) = expiry(&link);
        let time_out = Duration::from_secs(seconds.into()).min(self.limits.time);
        let start = starts_at(policy);
        let counts = start.is_some_and(|start| end >= start);
        if (counts && time_out.is_zero()) || self.octets.saturating_add(link.octets()) > self.limits.octets {
            return Some(link);
        }
        let older = self.take(&key).or_else(|| {
            if self.kept.len() < self.limits.termini {
                return None;
            }
            let (_, oldest) = self.by_deadline.first()?.clone();
            self.take(&oldest)
        });
        let deadline = now + if counts { time_out } else { self.limits.time };
        self.octets += link.octets();
        self.by_deadline.insert((deadline, key.clone()));
        self.kept.insert(key, Kept { link, deadline, starts_at: start.filter(|_| !counts), time_out });
        older
    }

    /// Takes a link out, because it is attached again (which stops its time) or given up.
    pub fn take(&mut self, key: &TerminusKey) -> Option<Box<SuspendedLink>> {
        let kept = self.kept.remove(key)?;
        self.by_deadline.remove(&(kept.deadline, key.clone()));
        self.octets = self.octets.saturating_sub(kept.link.octets());
        Some(kept.link)
    }

    /// Something of larger reach has happened to the surroundings of kept links: for those that waited for it, the time
    /// starts. `concerned` tells which links were of the session or connection.
    pub fn note(&mut self, end: LinkEnd, now: Instant, mut concerned: impl FnMut(&TerminusKey) -> bool) {
        for (key, kept) in &mut self.kept {
            if kept.starts_at.is_some_and(|start| end >= start) && concerned(key) {
                self.by_deadline.remove(&(kept.deadline, key.clone()));
                kept.starts_at = None;
                kept.deadline = kept.deadline.min(now + kept.time_out);
                self.by_deadline.insert((kept.deadline, key.clone()));
            }
        }
    }

    /// Takes out what has expired.
    pub fn expire(&mut self, now: Instant) -> Vec<(TerminusKey, Box<SuspendedLink>)> {
        let mut expired = Vec::new();
        while let Some((_, key)) = self.by_deadline.first().filter(|(deadline, _)| *deadline <= now).cloned()
        {
            let Some(link) = self.take(&key) else { break };
            expired.push((key, link));
        }
        expired
    }

    /// When [`expire`](Self::expire) has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
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
}

impl SuspendedLink {
    /// What of our terminus is to survive the loss of this container; whoever writes links down asks this
    /// (AMQP 1.0 §3.5.5).
    // L-053
    #[must_use]
    pub fn durability(&self) -> TerminusDurability {
        match (self.role, &self.source, &self.target) {
            (Role::Sender, Some(source), _) => source.durable,
            (Role::Receiver, _, Some(TargetArchetype::Target(target))) => target.durable,
            _ => TerminusDurability::None,
        }
    }
}

/// The policy of the terminus that is ours: a sender's source, a receiver's target.
fn expiry(link: &SuspendedLink) -> (TerminusExpiryPolicy, u32) {
    match (link.role, &link.source, &link.target) {
        (Role::Sender, Some(source), _) => (source.expiry_policy, source.timeout),
        (Role::Receiver, _, Some(TargetArchetype::Target(target))) => (target.expiry_policy, target.timeout),
        _ => (TerminusExpiryPolicy::SessionEnd, 0),
    }
}

/// From what on the time counts; never by the protocol where the policy says so.
fn starts_at(policy: TerminusExpiryPolicy) -> Option<LinkEnd> {
    match policy {
        TerminusExpiryPolicy::LinkDetach => Some(LinkEnd::Detached),
        TerminusExpiryPolicy::SessionEnd => Some(LinkEnd::SessionEnded),
        TerminusExpiryPolicy::ConnectionClose => Some(LinkEnd::ConnectionClosed),
        TerminusExpiryPolicy::Never => None,
    }
}

#[cfg(test)]
mod tests {
    use amqp_codec::Target;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the test's own clock")]
    fn now() -> Instant {
        Instant::now()
    }

    fn key(name: &'static str) -> TerminusKey {
        TerminusKey { container_id: "peer".into(), name: name.into(), role: Role::Receiver }
    }

    fn link(policy: TerminusExpiryPolicy, timeout: u32) -> Box<SuspendedLink> {
        let mut link = SuspendedLink::new("L", Role::Receiver);
        let target = Target { expiry_policy: policy, timeout, ..Target::default() };
        link.target = Some(TargetArchetype::Target(target));
        Box::new(link)
    }

    const SECOND: Duration = Duration::from_secs(1);

    // L-016: each policy, from each end of a link.
    #[test]
    fn the_time_of_a_terminus_counts_from_what_its_policy_names() {
        use LinkEnd::{ConnectionClosed, Detached, SessionEnded};
        use TerminusExpiryPolicy::{ConnectionClose, LinkDetach, Never, SessionEnd};
        let day = TerminusLimits::default().time;
        let rows = [
            (LinkDetach, Detached, SECOND),
            (SessionEnd, Detached, day),
            (SessionEnd, SessionEnded, SECOND),
            (SessionEnd, ConnectionClosed, SECOND),
            (ConnectionClose, SessionEnded, day),
            (ConnectionClose, ConnectionClosed, SECOND),
            (Never, ConnectionClosed, day),
        ];
        for (policy, end, time) in rows {
            let (mut store, start) = (TerminusStore::new(TerminusLimits::default()), now());
            assert!(store.keep(key("a"), link(policy, 1), end, start).is_none());
            assert_eq!(store.next_deadline(), Some(start + time), "{policy:?} {end:?}");
        }
        // Without a time-out it goes at once.
        let mut store = TerminusStore::new(TerminusLimits::default());
        assert!(store.keep(key("a"), link(SessionEnd, 0), SessionEnded, now()).is_some());
        assert!(store.keep(key("a"), link(SessionEnd, 0), Detached, now()).is_none());
    }

    // L-016: the session of a detached link ends later.
    #[test]
    fn a_later_end_starts_the_time_and_an_attach_stops_it() {
        let (mut store, start) = (TerminusStore::new(TerminusLimits::default()), now());
        for name in ["a", "b"] {
            let kept =
                store.keep(key(name), link(TerminusExpiryPolicy::SessionEnd, 5), LinkEnd::Detached, start);
            assert!(kept.is_none());
        }
        let later = start + SECOND;
        store.note(LinkEnd::SessionEnded, later, |key| key.name == "a");
        assert_eq!(store.next_deadline(), Some(later + 5 * SECOND));
        assert_eq!(store.expire(later + 4 * SECOND).len(), 0);
        assert!(store.take(&key("a")).is_some());
        assert_eq!(store.next_deadline(), Some(start + TerminusLimits::default().time));
        assert_eq!(store.expire(start + TerminusLimits::default().time).len(), 1);
        assert!(store.is_empty() && store.by_deadline.is_empty());
    }

    #[test]
    fn what_a_store_keeps_is_bounded() {
        let mut limits = TerminusLimits::default();
        (limits.termini, limits.octets) = (2, 10);
        let mut store = TerminusStore::new(limits);
        let start = now();
        let never = || link(TerminusExpiryPolicy::Never, 0);
        for (second, name) in (0..).zip(["a", "b"]) {
            let kept = store.keep(key(name), never(), LinkEnd::Detached, start + second * SECOND);
            assert!(kept.is_none());
        }
        // The oldest gives way; one of the same name replaces itself.
        assert!(store.keep(key("c"), never(), LinkEnd::Detached, start + 2 * SECOND).is_some());
        assert!(store.take(&key("a")).is_none());
        assert!(store.keep(key("c"), never(), LinkEnd::Detached, start).is_some());
        assert_eq!(store.len(), 2);
        let mut large = never();
        let mut delivery = crate::engine::UnsettledDelivery::new(0u32.into());
        delivery.payload = Some(bytes::Bytes::from_static(&[0; 11]));
        large.deliveries.push(delivery);
        assert!(store.keep(key("d"), large, LinkEnd::Detached, start).is_some());
        assert_eq!(store.len(), 2);
    }

    // L-053
    #[test]
    fn durability_is_that_of_our_own_terminus() {
        let mut link = link(TerminusExpiryPolicy::Never, 0);
        assert_eq!(link.durability(), TerminusDurability::None);
        if let Some(TargetArchetype::Target(target)) = &mut link.target {
            target.durable = TerminusDurability::UnsettledState;
        }
        assert_eq!(link.durability(), TerminusDurability::UnsettledState);
    }
}
