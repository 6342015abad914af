use amqp_codec::{
    DeliveryState, Received, Source, Target, TargetArchetype, TerminusDurability, TransactionalState,
};

use super::*;

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
    assert!(TerminusRecord::decode(&octets, &limits()).is_ok());
    // Its octets fit, and what they become does not.
    let small = with(octets.len() + 2_000 * size_of::<UnsettledDelivery>() - 1);
    assert_eq!(TerminusRecord::decode(&octets, &small).unwrap_err(), RecordError::TooLarge);
    assert_eq!(TerminusRecord::decode(&octets, &with(octets.len() - 1)).unwrap_err(), RecordError::TooLarge);
}

#[test]
fn messages_of_records_are_not_printed() {
    let mut record = record();
    record.link.deliveries[1].payload = Some(Bytes::from_static(b"hunter2"));
    assert!(!format!("{record:?}").contains("hunter2"));
}
