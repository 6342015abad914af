//! How long a link is kept, by the policy of its terminus (AMQP 1.0 §3.5.6), and the memory that it takes.

use std::time::{Duration, Instant};

use amqp_codec::{Encode, Role, TargetArchetype, TerminusExpiryPolicy};

use super::super::suspended::{SuspendedLink, UnsettledDelivery};
use super::{LinkEnd, TerminusKey, TerminusPlace};

/// How long a link is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    /// `None`: farther away than the clock goes.
    pub(super) deadline: Option<Instant>,
    pub(super) waits_for: Option<(LinkEnd, TerminusPlace)>,
    pub(super) time_out: Duration,
}

impl Term {
    /// Of a link that was attached there and has ended so; at most `longest`.
    pub(super) fn new(
        link: &SuspendedLink,
        place: TerminusPlace,
        end: LinkEnd,
        longest: Duration,
        now: Instant,
    ) -> Self {
        let (policy, seconds) = expiry(link);
        let time_out = Duration::from_secs(seconds.into()).min(longest);
        let waits_for = starts_at(policy).map(|start| (start, place));
        let mut term = Self { deadline: now.checked_add(longest), waits_for, time_out };
        if waits_for.is_some_and(|(start, _)| end >= start) {
            term.start(now);
        }
        term
    }

    /// Of a link whose time has begun, and of which so much is left.
    pub(super) fn rest(time: Duration, now: Instant) -> Self {
        Self { deadline: now.checked_add(time), waits_for: None, time_out: time }
    }

    /// What it waited for has happened: the time-out counts.
    pub(super) fn start(&mut self, now: Instant) {
        self.waits_for = None;
        let due = now.checked_add(self.time_out);
        self.deadline = due.into_iter().chain(self.deadline).min();
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

/// The memory that a link takes, about, in octets: its key twice, its termini, its deliveries and their messages. A record of
/// it is never longer.
pub(in super::super) fn weight(key: &TerminusKey, link: &SuspendedLink) -> usize {
    link.deliveries.iter().map(delivery_weight).fold(bare_weight(key, link), usize::saturating_add)
}

/// Of that, what a link takes without deliveries.
pub(in super::super) fn bare_weight(key: &TerminusKey, link: &SuspendedLink) -> usize {
    let names = key.identity.as_ref().map_or(0, |identity| identity.len());
    let names = names.saturating_add(key.container_id.len()).saturating_add(key.name.len());
    let termini = link.source.as_ref().map_or(0, Encode::encoded_len)
        + link.target.as_ref().map_or(0, Encode::encoded_len);
    LINK_COST.saturating_add(names.saturating_mul(2)).saturating_add(termini)
}

/// And one of its deliveries.
pub(in super::super) fn delivery_weight(delivery: &UnsettledDelivery) -> usize {
    let payload = delivery.payload.as_ref().map_or(0, bytes::Bytes::len);
    let state = delivery.state.as_ref().map_or(0, Encode::encoded_len);
    size_of::<UnsettledDelivery>().saturating_add(payload).saturating_add(state)
}

/// The memory of a link without anything that varies, with its places in the store's tables, about.
const LINK_COST: usize = 1_024;
