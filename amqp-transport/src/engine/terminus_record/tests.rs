use std::time::Instant;

use amqp_codec::{
    DeliveryState, Outcome, Received, Source, Target, TargetArchetype, TerminusDurability,
    TerminusExpiryPolicy, TransactionalState,
};
use proptest::prelude::*;

use super::*;
use crate::engine::ids::SessionId;
use crate::engine::terminus_store::weight;
use crate::engine::{LinkEnd, TerminusPlace, TerminusStore};

fn key(role: Role) -> TerminusKey {
    TerminusKey { identity: Some("user".into()), container_id: "peer".into(), name: "L".into(), role }
}

fn limits() -> TerminusLimits {
    TerminusLimits::default()
}

/// A record in which everything has a value of its own.
fn record() -> TerminusRecord {
    let mut link = SuspendedLink::new("another name", Role::Receiver);
    link.source = Some(Source { durable: TerminusDurability::UnsettledState, ..Source::new("/q") });
    link.target = Some(TargetArchetype::Target(Target::default()));
    (link.snd_settle_mode, link.rcv_settle_mode) = (SenderSettleMode::Unsettled, ReceiverSettleMode::Second);
    (link.delivery_count, link.next_tag) = (u32::MAX, 77);
    link.forbid_repeats();
    let states = [
        None,
        Some(DeliveryState::Accepted),
        Some(DeliveryState::Received(Received { section_number: 1, section_offset: 5 })),
        Some(DeliveryState::TransactionalState(TransactionalState {
            txn_id: Bytes::from_static(b"txn"),
            ..TransactionalState::default()
        })),
    ];
    for (number, state) in (0..4u32).zip(states) {
        let payload = (number > 0).then(|| Bytes::from(vec![7; 300]));
        link.deliveries.push(UnsettledDelivery {
            state,
            message_format: number,
            payload,
            is_whole: number == 0,
            is_concluded: number == 1,
            is_absent_there: number == 2,
            ..UnsettledDelivery::new(number.into())
        });
    }
    TerminusRecord::new(key(Role::Sender), link, Duration::from_millis(90_061))
}

// L-016, L-053
#[test]
fn a_record_comes_back_as_it_went() {
    let rows = [
        record(),
        TerminusRecord::new(key(Role::Receiver), SuspendedLink::new("L", Role::Sender), Duration::MAX),
    ];
    for record in rows {
        let octets = record.encode().unwrap();
        let read = TerminusRecord::decode(&octets, &limits()).unwrap();
        assert_eq!(read.encode().unwrap(), octets);
        assert_eq!(
            (&read.key, &read.link.name, read.link.role),
            (&record.key, &record.key.name, record.key.role)
        );
        assert_eq!(format!("{:?}", read.link), format!("{:?}", record.link));
        for (read, written) in read.link.deliveries.iter().zip(&record.link.deliveries) {
            assert_eq!((&read.payload, read.message_format), (&written.payload, written.message_format));
            assert_eq!(
                (read.is_concluded, read.is_absent_there),
                (written.is_concluded, written.is_absent_there)
            );
        }
        let millis = u64::try_from(record.time.as_millis()).unwrap_or(u64::MAX);
        assert_eq!(read.time, Duration::from_millis(millis));
    }
}

#[test]
fn damaged_octets_are_an_error_and_never_half_a_record() {
    let octets = record().encode().unwrap();
    for end in 0..octets.len() {
        let error = TerminusRecord::decode(&octets.slice(..end), &limits()).unwrap_err();
        assert!(matches!(error, RecordError::Damaged(_)), "{end}: {error}");
    }
    let mut longer = octets.to_vec();
    longer.push(0x40);
    assert!(TerminusRecord::decode(&longer.into(), &limits()).is_err());
    for at in 0..octets.len() {
        for bit in 0..8 {
            let mut damaged = octets.to_vec();
            damaged[at] ^= 1 << bit;
            // Whatever it says now, it is written as it is read.
            if let Ok(read) = TerminusRecord::decode(&damaged.into(), &limits()) {
                let again = TerminusRecord::decode(&read.encode().unwrap(), &limits()).unwrap();
                assert_eq!(format!("{again:?}"), format!("{read:?}"));
            }
        }
    }
}

#[test]
fn other_values_and_other_forms_are_named() {
    let decode = |octets: Bytes| TerminusRecord::decode(&octets, &limits()).unwrap_err();
    assert_eq!(decode(to_bytes(&Value::Null)), RecordError::Unknown);
    assert_eq!(decode(to_bytes(&DeliveryState::Accepted)), RecordError::Unknown);
    let octets = record().encode().unwrap();
    let mut later = octets.to_vec();
    let at = later.windows(2).position(|window| window == b":1").unwrap();
    later[at + 1] = b'2';
    assert_eq!(decode(later.into()), RecordError::Unknown);
    // D-001: a tag that two deliveries have would settle one for the other.
    let mut twice = record();
    twice.link.deliveries[1].tag = twice.link.deliveries[0].tag;
    assert_eq!(decode(twice.encode().unwrap()), RecordError::Field("delivery-tag"));
}

#[test]
fn a_record_takes_no_more_memory_than_one_identity_may() {
    let mut record = record();
    for number in 4..2_000u32 {
        record.link.deliveries.push(UnsettledDelivery::new(number.into()));
    }
    let octets = record.encode().unwrap();
    let with = |octets_per_identity| TerminusLimits { octets_per_identity, ..TerminusLimits::default() };
    let weight = weight(&record.key, &record.link);
    assert!(TerminusRecord::decode(&octets, &with(weight)).is_ok());
    // Its octets fit, and what they become does not.
    assert!(octets.len() < weight);
    assert_eq!(TerminusRecord::decode(&octets, &with(weight - 1)).unwrap_err(), RecordError::TooLarge);
    assert_eq!(TerminusRecord::decode(&octets, &with(octets.len() - 1)).unwrap_err(), RecordError::TooLarge);
}

fn any_state() -> impl Strategy<Value = Option<DeliveryState>> {
    let txn_id = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => Just(None),
        2 => Just(Some(DeliveryState::Accepted)),
        1 => (any::<u32>(), any::<u64>()).prop_map(|(section_number, section_offset)| {
            Some(DeliveryState::Received(Received { section_number, section_offset }))
        }),
        1 => txn_id.prop_map(|txn_id| {
            let state = TransactionalState { txn_id: txn_id.into(), outcome: Some(Box::new(Outcome::Accepted)) };
            Some(DeliveryState::TransactionalState(state))
        }),
    ]
}

fn any_delivery() -> impl Strategy<Value = UnsettledDelivery> {
    let tag = proptest::collection::vec(any::<u8>(), 0..=32);
    let payload = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    (tag, any_state(), any::<u32>(), payload, any::<[bool; 3]>()).prop_map(
        |(tag, state, message_format, payload, flags)| UnsettledDelivery {
            state,
            message_format,
            payload: payload.map(Bytes::from),
            is_whole: flags[0],
            is_concluded: flags[1],
            is_absent_there: flags[2],
            ..UnsettledDelivery::new(DeliveryTag::new(&tag).unwrap())
        },
    )
}

proptest! {
    // L-016: a record of a link near the limit was refused by the process after.
    #[test]
    fn what_a_store_keeps_can_be_read_back_under_the_same_limits(
        names in (0usize..300, 0usize..300, 0usize..300),
        address in 0usize..300,
        mut deliveries in proptest::collection::vec(any_delivery(), 0..150),
        (role, next_tag, time) in (any::<bool>(), any::<u64>(), any::<u64>()),
    ) {
        let name = |len| Str::from("n".repeat(len));
        let role = if role { Role::Sender } else { Role::Receiver };
        let key = TerminusKey {
            identity: Some(name(names.0)), container_id: name(names.1), name: name(names.2), role,
        };
        let durable = TerminusDurability::UnsettledState;
        let expiry_policy = TerminusExpiryPolicy::Never;
        let mut link = SuspendedLink::new(key.name.clone(), role);
        link.source = Some(Source { durable, expiry_policy, ..Source::new(name(address)) });
        let target = Target { durable, expiry_policy, ..Target::new(name(address)) };
        link.target = Some(TargetArchetype::Target(target));
        (link.next_tag, link.delivery_count) = (next_tag, u32::MAX);
        deliveries.sort_by_key(|delivery| delivery.tag);
        deliveries.dedup_by_key(|delivery| delivery.tag);
        link.deliveries = deliveries;

        let octets = weight(&key, &link);
        let time = Duration::from_millis(time);
        let with = |octets| TerminusLimits { octets, octets_per_identity: octets, time, ..limits() };
        let place = TerminusPlace { connection: 0, session: SessionId { index: 0, generation: 0 } };
        let keep = |octets| {
            let mut store = TerminusStore::new(with(octets));
            let lost = store.keep(key.clone(), Box::new(link.clone()), place, LinkEnd::Detached, now());
            (store, lost.len())
        };
        prop_assert_eq!(keep(octets - 1).1, usize::from(!time.is_zero()));
        let (store, lost) = keep(octets);
        if time.is_zero() {
            return Ok(());
        }
        prop_assert_eq!(lost, 0);
        let records = store.records(now());
        prop_assert_eq!(records.len(), 1);
        let written = records[0].encode().unwrap();
        let read = TerminusRecord::decode(&written, &with(octets)).unwrap();
        prop_assert_eq!(read.encode().unwrap(), &written);
        let mut restored = TerminusStore::new(with(octets));
        prop_assert!(restored.restore(read.key, Box::new(read.link), read.time, now()).is_empty());
        prop_assert_eq!(restored.octets(), store.octets());
        prop_assert_eq!(TerminusRecord::decode(&written, &with(octets - 1)).unwrap_err(), RecordError::TooLarge);
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the test's own clock")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn messages_of_records_are_not_printed() {
    let mut record = record();
    record.link.deliveries[1].payload = Some(Bytes::from_static(b"hunter2"));
    assert!(!format!("{record:?}").contains("hunter2"));
}
