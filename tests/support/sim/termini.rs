//! What the listener keeps of links that are not attached: the store of the library, and beside it a list that is looked
//! through from end to end, by which the store is judged.

use std::time::{Duration, Instant};

use amqp_codec::{Role, Str, TerminusExpiryPolicy};
use amqp_transport::engine::{
    LinkEnd, LossCause, LostTerminus, SuspendedLink, TerminusKey, TerminusLimits, TerminusPlace,
    TerminusStore,
};

use super::rng::Rng;

/// By whether the listener sends, and name.
pub(crate) type Key = (bool, Str);

/// The store and its judge.
#[derive(Debug)]
pub(crate) struct Termini {
    store: TerminusStore,
    limits: TerminusLimits,
    /// In the order in which they came.
    kept: Vec<Entry>,
    connections: u64,
}

/// How long a link is to be kept, as its peer asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expiry {
    pub(crate) policy: TerminusExpiryPolicy,
    pub(crate) seconds: u32,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    place: TerminusPlace,
    deadline: Instant,
    /// What has to happen to its place before its own time counts, and that time.
    waits_for: Option<LinkEnd>,
    time_out: Duration,
}

impl Expiry {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let policy = rng.pick(&[
            TerminusExpiryPolicy::LinkDetach,
            TerminusExpiryPolicy::SessionEnd,
            TerminusExpiryPolicy::ConnectionClose,
            TerminusExpiryPolicy::Never,
            TerminusExpiryPolicy::Never,
        ]);
        Self { policy, seconds: rng.pick(&[0, 1, 10, 60, 100_000, u32::MAX]) }
    }

    fn start(self) -> Option<LinkEnd> {
        match self.policy {
            TerminusExpiryPolicy::LinkDetach => Some(LinkEnd::Detached),
            TerminusExpiryPolicy::SessionEnd => Some(LinkEnd::SessionEnded),
            TerminusExpiryPolicy::ConnectionClose => Some(LinkEnd::ConnectionClosed),
            TerminusExpiryPolicy::Never => None,
        }
    }
}

impl Termini {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut limits = TerminusLimits::default();
        limits.time = rng.pick(&[limits.time, limits.time, Duration::from_secs(30)]);
        if rng.one_in(8) {
            limits.termini_per_identity = rng.pick(&[1, 2]);
        }
        if rng.one_in(8) {
            limits.octets_per_identity = rng.pick(&[1_000, 4_000]);
        }
        Self { store: TerminusStore::new(limits.clone()), limits, kept: Vec::new(), connections: 0 }
    }

    /// The number of a new connection.
    pub(crate) fn connect(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    /// Keeps a link; those that are not kept, or no longer.
    // L-016
    pub(crate) fn keep(
        &mut self,
        key: Key,
        state: &SuspendedLink,
        expiry: Expiry,
        (place, end): (TerminusPlace, LinkEnd),
        now: Instant,
    ) -> Vec<Key> {
        let lost = self.store.keep(whole(&key), Box::new(state.clone()), place, end, now);
        let start = expiry.start();
        let counts = start.is_some_and(|start| end >= start);
        let time_out = Duration::from_secs(expiry.seconds.into()).min(self.limits.time);
        if counts && time_out.is_zero() {
            assert_eq!(told(&lost), [(key.clone(), LossCause::Expired)], "{expiry:?} after {end:?}");
            return vec![key];
        }
        let is_roomy = self.limits.octets_per_identity > 1 << 20;
        let is_full = self.kept.len() >= self.limits.termini_per_identity;
        assert!(!is_roomy || lost.len() == usize::from(is_full), "room for {key:?}: {:?}", told(&lost));
        self.kept.push(Entry {
            key: key.clone(),
            place,
            deadline: now + if counts { time_out } else { self.limits.time },
            waits_for: start.filter(|_| !counts),
            time_out,
        });
        for (other, cause) in told(&lost) {
            let is_due = match cause {
                // Those that were kept longest go first.
                LossCause::Evicted => {
                    self.kept.first().is_some_and(|first| first.key == other && other != key)
                }
                LossCause::NoRoom => other == key && !is_roomy,
                _ => false,
            };
            assert!(is_due, "{other:?} is lost for room: {cause:?}");
            self.forget(&other);
        }
        self.judge();
        lost.iter().map(|lost| short(&lost.key)).collect()
    }

    pub(crate) fn session_ended(&mut self, place: TerminusPlace, now: Instant) {
        self.store.session_ended(place, now);
        self.start(|other| other == place, LinkEnd::SessionEnded, now);
    }

    pub(crate) fn connection_closed(&mut self, connection: u64, now: Instant) {
        self.store.connection_closed(connection, now);
        self.start(|other| other.connection == connection, LinkEnd::ConnectionClosed, now);
    }

    fn start(&mut self, is_there: impl Fn(TerminusPlace) -> bool, end: LinkEnd, now: Instant) {
        for entry in self.kept.iter_mut().filter(|entry| is_there(entry.place)) {
            if entry.waits_for.is_some_and(|start| end >= start) {
                entry.waits_for = None;
                entry.deadline = entry.deadline.min(now + entry.time_out);
            }
        }
        self.judge();
    }

    /// Those whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Key> {
        let lost = self.store.expire(now);
        let mut lost: Vec<_> = lost.iter().map(|lost| short(&lost.key)).collect();
        let due = self.kept.extract_if(.., |entry| entry.deadline <= now);
        let mut due: Vec<_> = due.map(|entry| entry.key).collect();
        lost.sort();
        due.sort();
        assert_eq!(lost, due, "links that expire");
        self.judge();
        lost
    }

    /// Takes a link out that is known to be there: one that has not expired can be resumed.
    pub(crate) fn take(&mut self, key: &Key) -> Box<SuspendedLink> {
        let link = self.store.take(&whole(key));
        let link = link.unwrap_or_else(|| panic!("{key:?} is not kept any more, and has not expired"));
        self.forget(key);
        self.judge();
        link
    }

    fn forget(&mut self, key: &Key) {
        let place = self.kept.iter().position(|entry| entry.key == *key);
        assert!(place.map(|place| self.kept.remove(place)).is_some(), "{key:?} was not kept");
    }

    fn judge(&self) {
        assert_eq!(self.store.len(), self.kept.len(), "links that are kept");
        assert!(self.store.len() <= self.limits.termini_per_identity, "{} links", self.store.len());
        let octets = self.store.octets();
        assert!(
            octets <= self.limits.octets_per_identity && (octets == 0) == self.kept.is_empty(),
            "{octets} octets"
        );
        let next = self.kept.iter().map(|entry| entry.deadline).min();
        assert_eq!(self.store.next_deadline(), next, "when the next one expires");
    }
}

fn whole((is_sender, name): &Key) -> TerminusKey {
    TerminusKey {
        identity: Some(Str::from_static("peer")),
        container_id: Str::from_static("client"),
        name: name.clone(),
        role: if *is_sender { Role::Sender } else { Role::Receiver },
    }
}

fn short(key: &TerminusKey) -> Key {
    (key.role == Role::Sender, key.name.clone())
}

fn told(lost: &[LostTerminus<Box<SuspendedLink>>]) -> Vec<(Key, LossCause)> {
    lost.iter().map(|lost| (short(&lost.key), lost.cause)).collect()
}
