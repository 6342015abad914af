//! Deliveries beyond the usual: tags, modes, states of extensions, and what an outcome does not do.

use amqp_codec::{
    DeliveryState, DeliveryTag, Described, Disposition, Error, ErrorCondition, Fields, Modified,
    Performative, Received, ReceiverSettleMode, Role, Source, TransactionalState, Transfer, Value,
};
use amqp_transport::engine::{Event, IncomingDelivery, LinkConfig, Outgoing, SessionConfig, Settlement};
use bytes::Bytes;

use crate::pair::{Pair, source, target};
use crate::script::{Script, last};

fn transfer(id: u32) -> Transfer {
    Transfer { delivery_id: Some(id), delivery_tag: Some(DeliveryTag::from(id)), ..Transfer::default() }
}

fn deliveries(script: &mut Script) -> Vec<IncomingDelivery> {
    let events = script.events();
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::Delivery { delivery, .. } => Some(delivery),
            _ => None,
        })
        .collect()
}

// Scenario 55, D-001: 32 octets are a tag, 33 are none, and cannot even be made.
#[test]
fn a_tag_of_more_than_32_octets_cannot_be_sent() {
    assert!(DeliveryTag::new(&[7; 32]).is_some());
    assert!(DeliveryTag::new(&[7; 33]).is_none());
}

// Scenario 59, M-027: a rejected message is one message's end, not the link's.
#[test]
fn a_rejected_message_does_not_end_its_link() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (ours, theirs) = pair.sending(session, "L", 10);
    for user in 0..3 {
        pair.client.send(ours, b"x", Settlement::Unsettled, user);
        pair.run();
        let (_, delivery) = pair.server.delivery().unwrap();
        let state = DeliveryState::rejected(Error::new(ErrorCondition::DECODE_ERROR));
        pair.server.engine.settle(theirs, delivery.id, state.clone(), Settlement::Settled).unwrap();
        pair.run();
        assert_eq!(pair.client.settled(), Some((user, Some(state))));
    }
    assert_eq!((pair.client.detached(), pair.server.detached()), (None, None));
}

// Scenario 89, M-026 to M-029: what a receiver says of a failed attempt comes back whole, annotations too.
#[test]
fn what_is_said_of_a_failed_attempt_comes_back_whole() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (ours, theirs) = pair.sending(session, "L", 10);
    let modified = Modified {
        delivery_failed: Some(true),
        undeliverable_here: Some(true),
        message_annotations: Some(Fields::new().with("x-opt-why", "no room")),
    };
    for state in [
        DeliveryState::Accepted,
        DeliveryState::Released,
        DeliveryState::rejected(Error::new(ErrorCondition::NOT_ALLOWED)),
        DeliveryState::Modified(modified),
    ] {
        pair.client.send(ours, b"x", Settlement::Unsettled, 1);
        pair.run();
        let (_, delivery) = pair.server.delivery().unwrap();
        pair.server.engine.settle(theirs, delivery.id, state.clone(), Settlement::Settled).unwrap();
        pair.run();
        assert_eq!(pair.client.settled(), Some((1, Some(state))));
    }
}

// Scenario 62, L-052, D-028: settled in a state that is no outcome means the source's default; without one it is told
// as it came.
#[test]
fn a_delivery_settled_in_no_outcome_has_the_default_one() {
    let strange = Described::new(Value::symbol("example:deferred:list"), Value::from("x"));
    let received = DeliveryState::Received(Received { section_number: 0, section_offset: 1 });
    for state in [DeliveryState::Unknown(strange), received] {
        assert!(!state.is_outcome());
        for default in [None, Some(DeliveryState::Released)] {
            let mut pair = Pair::opened();
            let session = pair.session();
            let mut config = LinkConfig::sender("L", target("q"));
            config.source = Some(Source { default_outcome: default.clone(), ..Source::default() });
            let (ours, theirs) = pair.attach(session, config);
            pair.server.engine.set_credit(theirs, 1).unwrap();
            pair.run();
            pair.client.send(ours, b"x", Settlement::Unsettled, 1);
            pair.run();
            let (_, delivery) = pair.server.delivery().unwrap();
            pair.server.engine.settle(theirs, delivery.id, state.clone(), Settlement::Settled).unwrap();
            pair.run();
            assert_eq!(pair.client.settled(), Some((1, default.or(Some(state.clone())))));
        }
    }
}

// Scenario 76, D-001: a tag belongs to its link, and is free again once its delivery is settled.
#[test]
fn a_tag_is_unique_on_its_link_while_it_is_unsettled() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.receiver(session, 10);
    let other = LinkConfig::receiver("other", source("q"));
    let answer = amqp_codec::Attach { handle: 1, ..crate::script::answer_to(&other) };
    let second = script.end.engine.attach(session, other).unwrap();
    script.frame(0, &answer);
    script.end.engine.set_credit(second, 10).unwrap();
    let same =
        |id: u32, handle: u32| Transfer { handle, delivery_tag: DeliveryTag::new(b"same"), ..transfer(id) };
    script.payload(0, &same(0, 0), b"x");
    script.payload(0, &same(1, 1), b"x");
    let held = deliveries(&mut script);
    assert_eq!(held.len(), 2, "one on each link");
    script.end.engine.settle(link, held[0].id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    script.payload(0, &same(2, 0), b"again");
    assert_eq!(deliveries(&mut script).len(), 1, "free again");
    script.written();
    script.payload(0, &same(3, 0), b"twice");
    assert_eq!(last(&mut script), ("detach", Some("amqp:not-allowed".into())));
}

// D-011, D-013: a new delivery before the last ended is a fault; aborted wins over more.
#[test]
fn one_delivery_at_a_time_on_a_link() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.receiver(session, 10);
    script.payload(0, &Transfer { more: true, aborted: true, ..transfer(0) }, b"gone");
    script.payload(0, &Transfer { more: true, ..transfer(1) }, b"half");
    script.payload(0, &Transfer { more: true, aborted: true, ..Transfer::default() }, b"");
    script.payload(0, &transfer(2), b"whole");
    let whole = deliveries(&mut script);
    assert_eq!(whole.iter().map(|delivery| &delivery.message[..]).collect::<Vec<_>>(), [b"whole"]);
    script.payload(0, &Transfer { more: true, ..transfer(3) }, b"half");
    script.payload(0, &transfer(4), b"other");
    assert_eq!(last(&mut script), ("detach", Some("amqp:invalid-field".into())));
}

// Scenario 77, D-016, D-017: mode second cannot be had on a link of mode first, but for a settled delivery it means nothing.
#[test]
fn the_receivers_mode_on_a_transfer_counts_only_unsettled() {
    let second = Some(ReceiverSettleMode::Second);
    let mut script = Script::open_client();
    let session = script.session(100);
    script.receiver(session, 10);
    script.payload(0, &Transfer { rcv_settle_mode: second, settled: Some(true), ..transfer(0) }, b"x");
    assert_eq!(deliveries(&mut script).len(), 1);
    script.payload(0, &Transfer { rcv_settle_mode: second, ..transfer(1) }, b"x");
    assert_eq!(last(&mut script), ("detach", Some("amqp:invalid-field".into())));
}

// D-009: what a transfer says of its settlement is believed, whatever the attach promised; an answer is owed or not.
#[test]
fn a_receiver_believes_the_transfer_about_settlement() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let config = LinkConfig::receiver("L", source("q"));
    let mut answer = crate::script::answer_to(&config);
    answer.snd_settle_mode = amqp_codec::SenderSettleMode::Unsettled;
    let link = script.end.engine.attach(session, config).unwrap();
    script.frame(0, &answer);
    script.end.engine.set_credit(link, 2).unwrap();
    script.payload(0, &Transfer { settled: Some(true), ..transfer(0) }, b"x");
    script.payload(0, &transfer(1), b"x");
    let held = deliveries(&mut script);
    assert_eq!(held.iter().map(|delivery| delivery.is_settled).collect::<Vec<_>>(), [true, false]);
    script.written();
    for delivery in held {
        script.end.engine.settle(link, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    }
    let written = script.written();
    assert!(matches!(&written[..], [Performative::Disposition(told)] if told.first == 1), "{written:?}");
}

// D-018: the sender's state comes with the message.
#[test]
fn a_senders_state_comes_with_the_message() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.receiver(session, 10);
    let state = DeliveryState::TransactionalState(TransactionalState {
        txn_id: Bytes::from_static(b"t1"),
        outcome: None,
    });
    script.payload(0, &Transfer { state: Some(Box::new(state.clone())), ..transfer(0) }, b"x");
    let held = deliveries(&mut script);
    assert_eq!(held[0].state.as_deref(), Some(&state));
}

// D-021: who says that an answer may wait gets it no later than others, and is told nothing else by it.
#[test]
fn nothing_waits_for_a_batch() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.receiver(session, 10);
    script.payload(0, &Transfer { batchable: true, ..transfer(0) }, b"x");
    let held = deliveries(&mut script);
    script.end.engine.settle(link, held[0].id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    assert_eq!(script.names(), ["disposition"]);
}

// Scenario 75, D-004, D-005: a message format may not change on its way; M-004: one of another maker's comes through.
#[test]
fn a_message_format_is_the_first_frames() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.receiver(session, 10);
    let foreign = Some(0x1234_5601);
    script.payload(0, &Transfer { message_format: foreign, ..transfer(0) }, b"no sections at all");
    assert_eq!(deliveries(&mut script)[0].message_format, 0x1234_5601);
    script.payload(0, &Transfer { message_format: foreign, more: true, ..transfer(1) }, b"a");
    script.payload(0, &Transfer { message_format: Some(0), ..Transfer::default() }, b"b");
    assert_eq!(last(&mut script), ("detach", Some("amqp:invalid-field".into())));
}

// Scenario 56, L-020, L-021: a delivery costs one credit with its first frame, however many there are and however settled.
#[test]
fn a_delivery_of_many_frames_costs_one_credit() {
    let mut server = crate::pair::config("s");
    server.max_frame_size = 512;
    let mut pair = Pair::opened_with(crate::pair::config("c"), server);
    let session = pair.session_with(SessionConfig::default());
    let (ours, theirs) = pair.sending(session, "L", 2);
    for settlement in [Settlement::Settled, Settlement::Unsettled] {
        let payload = Bytes::from(vec![1; 10_000]);
        pair.client.engine.try_send(ours, Outgoing::new(payload, settlement, 0)).unwrap();
        pair.run();
    }
    assert_eq!((pair.client.engine.link_credit(ours), pair.server.engine.link_credit(theirs)), (0, 0));
    let refused = pair.client.engine.try_send(ours, Outgoing::new(&b"x"[..], Settlement::Settled, 0));
    assert_eq!(refused, Err(amqp_transport::engine::TrySendError::NoCredit));
}

// D-024: an outcome told unsettled may be told again, and not changed.
#[test]
fn an_outcome_does_not_change_once_it_is_told() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let mut config = LinkConfig::sender("L", target("q"));
    config.rcv_settle_mode = ReceiverSettleMode::Second;
    config.settling = amqp_transport::engine::Settling::ByApplication;
    let link = script.attach(session, config);
    let flow = amqp_codec::Flow {
        next_incoming_id: Some(0),
        incoming_window: 100,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(5),
        ..Default::default()
    };
    script.frame(0, &flow);
    script.end.send(link, b"x", Settlement::Unsettled, 5);
    script.events();
    for state in [DeliveryState::Accepted, DeliveryState::Released] {
        script.frame(0, &Disposition { role: Role::Receiver, state: Some(state), ..Disposition::default() });
    }
    let told: Vec<DeliveryState> = script
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::OutcomeTold { state, .. } => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(told, [DeliveryState::Accepted]);
}
