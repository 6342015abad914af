use amqp_codec::{Target, TargetArchetype, TerminusExpiryPolicy};
use bytes::Bytes;

use super::super::suspended::UnsettledDelivery;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the test's own clock")]
fn now() -> Instant {
    Instant::now()
}

fn key(name: &'static str) -> TerminusKey {
    key_of("user", name)
}

fn key_of(identity: &'static str, name: &'static str) -> TerminusKey {
    let identity = Some(Str::from_static(identity));
    TerminusKey { identity, container_id: "peer".into(), name: name.into(), role: Role::Receiver }
}

fn place(connection: u64, session: u32) -> TerminusPlace {
    TerminusPlace { connection, session: SessionId { index: session, generation: 1 } }
}

fn link(policy: TerminusExpiryPolicy, timeout: u32) -> Box<SuspendedLink> {
    let mut link = SuspendedLink::new("L", Role::Receiver);
    let target = Target { expiry_policy: policy, timeout, ..Target::default() };
    link.target = Some(TargetArchetype::Target(target));
    Box::new(link)
}

fn never() -> Box<SuspendedLink> {
    link(TerminusExpiryPolicy::Never, 0)
}

fn with_octets(octets: usize) -> Box<SuspendedLink> {
    let mut link = never();
    let mut delivery = UnsettledDelivery::new(0u32.into());
    delivery.payload = Some(Bytes::from(vec![0; octets]));
    link.deliveries.push(delivery);
    link
}

fn store() -> TerminusStore {
    TerminusStore::new(TerminusLimits::default())
}

/// What was lost, in short.
fn told(lost: &[LostTerminus<Box<SuspendedLink>>]) -> Vec<(&str, LossCause)> {
    lost.iter().map(|lost| (lost.key.name.as_str(), lost.cause)).collect()
}

fn assert_empty(store: &TerminusStore) {
    assert!(store.is_empty() && store.by_key.is_empty() && store.by_deadline.is_empty());
    assert!(store.waiting.is_empty() && store.accounts.is_empty());
    assert!(store.lent.is_empty() && store.lent_by_key.is_empty());
    assert_eq!(store.octets(), 0);
}

// L-016: each policy, from each end of a link.
#[test]
fn the_time_of_a_terminus_counts_from_what_its_policy_names() {
    use LinkEnd::{ConnectionClosed, Detached, SessionEnded, Stolen};
    use TerminusExpiryPolicy::{ConnectionClose, LinkDetach, Never, SessionEnd};
    let day = TerminusLimits::default().time;
    let rows = [
        (LinkDetach, Stolen, day),
        (LinkDetach, Detached, SECOND),
        (SessionEnd, Detached, day),
        (SessionEnd, SessionEnded, SECOND),
        (SessionEnd, ConnectionClosed, SECOND),
        (ConnectionClose, SessionEnded, day),
        (ConnectionClose, ConnectionClosed, SECOND),
        (Never, ConnectionClosed, day),
    ];
    for (policy, end, time) in rows {
        let (mut store, start) = (store(), now());
        assert!(store.keep(key("a"), link(policy, 1), place(1, 1), end, start).is_empty());
        assert_eq!(store.next_deadline(), Some(start + time), "{policy:?} {end:?}");
    }
    // Without a time-out it goes at once.
    let mut store = store();
    let lost = store.keep(key("a"), link(SessionEnd, 0), place(1, 1), SessionEnded, now());
    assert_eq!(told(&lost), [("a", LossCause::Expired)]);
    assert!(store.keep(key("a"), link(SessionEnd, 0), place(1, 1), Detached, now()).is_empty());
}

// L-016: the session of a detached link ends later, and its connection later still.
#[test]
fn a_later_end_starts_the_time_and_an_attach_stops_it() {
    use TerminusExpiryPolicy::{ConnectionClose, SessionEnd};
    let (mut store, start) = (store(), now());
    let rows =
        [("a", SessionEnd, place(1, 1)), ("b", SessionEnd, place(1, 2)), ("c", ConnectionClose, place(1, 1))];
    for (name, policy, place) in rows {
        assert!(store.keep(key(name), link(policy, 5), place, LinkEnd::Detached, start).is_empty());
    }
    let later = start + SECOND;
    store.session_ended(place(1, 1), later);
    assert_eq!(store.next_deadline(), Some(later + 5 * SECOND));
    assert!(store.expire(later + 4 * SECOND).is_empty());
    assert!(store.take(&key("a")).is_some());
    let day = TerminusLimits::default().time;
    assert_eq!(store.next_deadline(), Some(start + day));
    store.connection_closed(2, later);
    store.connection_closed(1, later);
    // Told again, it does not start anew.
    store.connection_closed(1, later + SECOND);
    assert_eq!(
        told(&store.expire(later + 5 * SECOND)),
        [("b", LossCause::Expired), ("c", LossCause::Expired)]
    );
    assert_empty(&store);
}

// Every end of a session walked all that was kept of everybody.
#[test]
fn an_end_concerns_only_what_was_attached_there() {
    let (mut store, start) = (store(), now());
    let names = ["a", "b"];
    for (connection, name) in (1..).zip(names) {
        let link = link(TerminusExpiryPolicy::SessionEnd, 1);
        assert!(store.keep(key(name), link, place(connection, 1), LinkEnd::Detached, start).is_empty());
    }
    store.session_ended(place(1, 2), start);
    store.session_ended(place(2, 1), start);
    assert_eq!(told(&store.expire(start + SECOND)), [("b", LossCause::Expired)]);
    assert_eq!(store.waiting.len(), 1);
}

// What a peer left was anybody's who claimed its container-id.
#[test]
fn a_link_is_not_found_under_another_identity() {
    let mut store = store();
    assert!(store.keep(key("a"), never(), place(1, 1), LinkEnd::Detached, now()).is_empty());
    for other in [key_of("other", "a"), TerminusKey { identity: None, ..key("a") }] {
        assert!(store.get(&other).is_none() && store.take(&other).is_none());
    }
    assert!(store.get(&key("a")).is_some());
}

#[test]
fn an_older_link_of_the_same_name_does_not_stay() {
    let limits = TerminusLimits { octets_per_identity: 5_000, ..TerminusLimits::default() };
    let mut store = TerminusStore::new(limits);
    let keep =
        |store: &mut TerminusStore, link| store.keep(key("a"), link, place(1, 1), LinkEnd::Detached, now());
    assert!(keep(&mut store, with_octets(1_000)).is_empty());
    let lost = keep(&mut store, with_octets(10_000));
    assert_eq!(told(&lost), [("a", LossCause::Replaced), ("a", LossCause::NoRoom)]);
    assert_empty(&store);
}

// The soonest to expire went, whosever it was.
#[test]
fn nobodys_links_make_room_for_anothers() {
    let mut limits = TerminusLimits::default();
    (limits.termini, limits.termini_per_identity) = (4, 2);
    let mut store = TerminusStore::new(limits);
    let keep = |store: &mut TerminusStore, identity, name| {
        let lost = store.keep(key_of(identity, name), never(), place(1, 1), LinkEnd::Detached, now());
        lost.iter().map(|lost| (lost.key.name.to_string(), lost.cause)).collect::<Vec<_>>()
    };
    for name in ["a", "b"] {
        assert!(keep(&mut store, "one", name).is_empty());
        assert!(keep(&mut store, "two", name).is_empty());
    }
    assert_eq!(keep(&mut store, "one", "c"), [("a".to_owned(), LossCause::Evicted)]);
    assert_eq!(keep(&mut store, "three", "a"), [("a".to_owned(), LossCause::NoRoom)]);
    assert!(store.get(&key_of("two", "a")).is_some() && store.get(&key_of("one", "b")).is_some());
}

// Octets were those of messages alone: a million deliveries without a payload weighed nothing.
#[test]
fn all_that_a_link_takes_is_counted() {
    let mut store = store();
    let mut large = never();
    large.name = Str::from("n".repeat(1_000));
    for number in 0..100u32 {
        large.deliveries.push(UnsettledDelivery::new(number.into()));
    }
    let bare = weight(&key("a"), &never());
    assert!(store.keep(key("a"), large, place(1, 1), LinkEnd::Detached, now()).is_empty());
    assert!(store.octets() >= bare + 100 * size_of::<UnsettledDelivery>());
    assert!(store.take(&key("a")).is_some());
    assert_empty(&store);

    let limits = TerminusLimits { octets_per_identity: 6_000, ..TerminusLimits::default() };
    let mut store = TerminusStore::new(limits);
    for name in ["a", "b"] {
        assert!(store.keep(key(name), with_octets(500), place(1, 1), LinkEnd::Detached, now()).is_empty());
    }
    let lost = store.keep(key("c"), with_octets(4_000), place(1, 1), LinkEnd::Detached, now());
    assert_eq!(told(&lost), [("a", LossCause::Evicted), ("b", LossCause::Evicted)]);
    assert!(store.octets() <= 6_000);
}

// A time that no clock reaches is no panic.
#[test]
fn a_time_without_end_never_expires() {
    let limits = TerminusLimits { time: Duration::MAX, ..TerminusLimits::default() };
    let mut store = TerminusStore::new(limits);
    assert!(store.keep(key("a"), never(), place(1, 1), LinkEnd::ConnectionClosed, now()).is_empty());
    assert_eq!(store.next_deadline(), None);
    let session_end = link(TerminusExpiryPolicy::SessionEnd, 1);
    assert!(store.keep(key("b"), session_end, place(1, 1), LinkEnd::Detached, now()).is_empty());
    let start = now();
    store.session_ended(place(1, 1), start);
    assert_eq!(store.next_deadline(), Some(start + SECOND));
}

// L-053
#[test]
fn durability_is_that_of_our_own_terminus() {
    let mut link = never();
    assert_eq!(link.durability(), TerminusDurability::None);
    if let Some(TargetArchetype::Target(target)) = &mut link.target {
        target.durable = TerminusDurability::UnsettledState;
    }
    assert_eq!(link.durability(), TerminusDurability::UnsettledState);
}

// L-016: an attach that failed stopped the time of a terminus, or started it anew.
#[test]
fn a_link_that_is_put_back_is_kept_no_longer_than_before() {
    use TerminusExpiryPolicy::{ConnectionClose, Never, SessionEnd};
    let (mut store, start) = (store(), now());
    let rows = [("a", ConnectionClose, LinkEnd::ConnectionClosed), ("b", SessionEnd, LinkEnd::Detached)];
    for (name, policy, end) in rows {
        assert!(store.keep(key(name), link(policy, 5), place(1, 1), end, start).is_empty());
    }
    assert!(store.keep(key("c"), link(Never, 0), place(1, 1), LinkEnd::Detached, start).is_empty());
    let out = ["a", "b", "c"].map(|name| (key(name), store.lend(&key(name)).unwrap()));
    assert!(store.is_empty() && store.next_deadline().is_none());
    // Heard of while it is out.
    store.session_ended(place(1, 1), start + SECOND);
    for (key, (link, loan)) in out {
        assert!(store.put_back(key, link, loan, start + 2 * SECOND).is_empty());
    }
    assert_eq!(told(&store.expire(start + 5 * SECOND)), [("a", LossCause::Expired)]);
    assert_eq!(told(&store.expire(start + 6 * SECOND)), [("b", LossCause::Expired)]);
    assert_eq!(store.next_deadline(), Some(start + TerminusLimits::default().time));
    // Out beyond its time, it does not come back.
    let (link, loan) = store.lend(&key("c")).unwrap();
    let late = start + TerminusLimits::default().time;
    assert_eq!(told(&store.put_back(key("c"), link, loan, late)), [("c", LossCause::Expired)]);
    assert_empty(&store);
}

// L-002, L-016: its name was attached anew on another connection, and that attach failed.
#[test]
fn a_stolen_link_that_is_put_back_has_the_time_of_where_it_was() {
    use TerminusExpiryPolicy::{ConnectionClose, LinkDetach, SessionEnd};
    let (mut store, start) = (store(), now());
    let rows = [("a", LinkDetach), ("b", SessionEnd), ("c", ConnectionClose)];
    let out = rows.map(|(name, policy)| {
        let link = link(policy, 5);
        let loan = store.lend_stolen(&key(name), &link, place(1, 1), start);
        (key(name), link, loan)
    });
    store.session_ended(place(1, 1), start + SECOND);
    for (key, link, loan) in out {
        assert!(store.put_back(key, link, loan, start + 2 * SECOND).is_empty());
    }
    assert_eq!(
        told(&store.expire(start + 6 * SECOND)),
        [("a", LossCause::Expired), ("b", LossCause::Expired)]
    );
    store.connection_closed(1, start + 10 * SECOND);
    assert_eq!(told(&store.expire(start + 15 * SECOND)), [("c", LossCause::Expired)]);
    let loan = store.lend_stolen(&key("a"), &link(LinkDetach, 0), place(1, 1), start);
    assert_eq!(
        told(&store.put_back(key("a"), link(LinkDetach, 0), loan, start)),
        [("a", LossCause::Expired)]
    );
    assert_empty(&store);
}

#[test]
fn a_link_does_not_come_back_beside_one_that_has_begun_anew() {
    let mut store = store();
    let keep = |store: &mut TerminusStore| {
        assert!(store.keep(key("a"), never(), place(1, 1), LinkEnd::Detached, now()).is_empty());
    };
    keep(&mut store);
    // Attached, and closed again.
    let (link, loan) = store.lend(&key("a")).unwrap();
    assert!(store.take(&key("a")).is_none());
    assert_eq!(told(&store.put_back(key("a"), link, loan, now())), [("a", LossCause::Replaced)]);
    // Kept anew.
    keep(&mut store);
    let (link, loan) = store.lend(&key("a")).unwrap();
    keep(&mut store);
    assert_eq!(told(&store.put_back(key("a"), link, loan, now())), [("a", LossCause::Replaced)]);
    assert!(store.get(&key("a")).is_some());
    // Given up, while one that was kept anew is out.
    let (_, old) = store.lend(&key("a")).unwrap();
    keep(&mut store);
    let (link, new) = store.lend(&key("a")).unwrap();
    store.end_loan(&key("a"), &old);
    assert!(store.put_back(key("a"), link, new, now()).is_empty());
    let (_, loan) = store.lend(&key("a")).unwrap();
    store.end_loan(&key("a"), &loan);
    assert_empty(&store);
}

// L-016, L-053: what survives, by durability; and how long, if all connections end now.
#[test]
fn what_is_written_down_is_what_its_durability_says() {
    use TerminusDurability::{Configuration, None, UnsettledState};
    use TerminusExpiryPolicy::{ConnectionClose, Never, SessionEnd};
    let day = TerminusLimits::default().time;
    let rows = [
        ("a", None, Never, 0, Option::None),
        ("b", Configuration, Never, 0, Some((0, day - SECOND))),
        ("c", UnsettledState, Never, 0, Some((1, day - SECOND))),
        // Its time has begun.
        ("d", UnsettledState, ConnectionClose, 9, Some((1, 8 * SECOND))),
        // Its time begins with the end of its session.
        ("e", UnsettledState, SessionEnd, 9, Some((1, 9 * SECOND))),
        ("f", UnsettledState, SessionEnd, 0, Option::None),
    ];
    let (mut store, start) = (store(), now());
    for (name, durable, policy, seconds, _) in rows {
        let mut link = link(policy, seconds);
        if let Some(TargetArchetype::Target(target)) = &mut link.target {
            target.durable = durable;
        }
        link.deliveries.push(UnsettledDelivery::new(8u64.into()));
        let end = if policy == ConnectionClose { LinkEnd::ConnectionClosed } else { LinkEnd::Detached };
        assert!(store.keep(key(name), link, place(1, 1), end, start).is_empty());
    }
    let records = store.records(start + SECOND);
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.key.name.as_str(), (record.link.deliveries.len(), record.time)))
        .collect();
    let expected: Vec<_> =
        rows.iter().filter_map(|(name, .., kept)| kept.map(|kept| (*name, kept))).collect();
    assert_eq!(told, expected);
    // D-001: also of what is not written down.
    assert!(records.iter().all(|record| record.link.next_tag == 9));
    // In another process.
    let mut store = TerminusStore::new(TerminusLimits::default());
    let later = start + 100 * SECOND;
    for record in records {
        assert!(store.restore(record.key, Box::new(record.link), record.time, later).is_empty());
    }
    assert_eq!(told_of(&store.expire(later + 8 * SECOND)), ["d"]);
    assert_eq!(told_of(&store.expire(later + 9 * SECOND)), ["e"]);
    assert_eq!(store.len(), 2);
}

fn told_of(lost: &[LostTerminus<Box<SuspendedLink>>]) -> Vec<&str> {
    lost.iter().map(|lost| lost.key.name.as_str()).collect()
}

// A record is older than whatever is there.
#[test]
fn a_link_that_is_read_back_replaces_none_and_outlives_no_limit() {
    let limits = TerminusLimits { time: 5 * SECOND, termini: 2, ..TerminusLimits::default() };
    let (mut store, start) = (TerminusStore::new(limits), now());
    let mut restore = |name, time| {
        let lost = store.restore(key(name), never(), time, start);
        lost.iter().map(|lost| (lost.key.name.to_string(), lost.cause)).collect::<Vec<_>>()
    };
    assert_eq!(restore("a", Duration::MAX), []);
    assert_eq!(restore("a", SECOND), [("a".to_owned(), LossCause::Replaced)]);
    assert_eq!(restore("b", Duration::ZERO), [("b".to_owned(), LossCause::Expired)]);
    let (link, loan) = store.lend(&key("a")).unwrap();
    assert_eq!(told(&store.restore(key("a"), never(), SECOND, start)), [("a", LossCause::Replaced)]);
    assert!(store.put_back(key("a"), link, loan, start).is_empty());
    assert_eq!(store.next_deadline(), Some(start + 5 * SECOND));
}
