//! Messages there, outcomes back.

use amqp_codec::{
    AmqpFrame, DecodeLimits, DeliveryState, DeliveryTag, Disposition, Error, ErrorCondition, Performative,
    Received, ReceiverSettleMode, Role, SenderSettleMode, Transfer,
};
use amqp_transport::engine::{Event, LinkConfig, Outgoing, Payload, SessionConfig, Settlement, TrySendError};
use bytes::Bytes;

use crate::pair::{Pair, config, target};
use crate::script::{Script, last};

fn tag(tag: &[u8]) -> Option<DeliveryTag> {
    DeliveryTag::new(tag)
}

fn transfer(id: u32) -> Transfer {
    Transfer {
        handle: 0,
        delivery_id: Some(id),
        delivery_tag: Some(DeliveryTag::from(id)),
        ..Transfer::default()
    }
}

#[test]
fn every_outcome_reaches_the_sender() {
    for seed in 0..20 {
        let mut pair = Pair::opened().seeded(seed);
        let session = pair.session();
        let (ours, theirs) = pair.sending(session, "L", 10);
        let outcomes = [
            DeliveryState::Accepted,
            DeliveryState::Released,
            DeliveryState::rejected(Error::new(ErrorCondition::NOT_ALLOWED)),
            DeliveryState::Modified(amqp_codec::Modified {
                delivery_failed: Some(true),
                ..Default::default()
            }),
        ];
        for user in 0..4 {
            pair.client.send(ours, b"message", Settlement::Unsettled, user);
        }
        pair.run();
        for outcome in &outcomes {
            let (link, delivery) = pair.server.delivery().unwrap();
            assert_eq!((link, &delivery.message[..], delivery.is_settled), (theirs, &b"message"[..], false));
            pair.server.engine.settle(theirs, delivery.id, outcome.clone(), Settlement::Settled).unwrap();
        }
        pair.run();
        for (user, outcome) in (0..).zip(outcomes) {
            assert_eq!(pair.client.settled(), Some((user, Some(outcome))));
        }
        assert_eq!(pair.client.settled(), None);
    }
}

// D-022: at most once.
#[test]
fn settled_sends_use_credit_and_get_no_outcome() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (ours, _) = pair.sending(session, "L", 2);
    pair.client.send(ours, b"a", Settlement::Settled, 1);
    pair.client.send(ours, b"b", Settlement::Settled, 2);
    assert_eq!(
        pair.client.engine.try_send(ours, Outgoing::new(&b"c"[..], Settlement::Settled, 3)),
        Err(TrySendError::NoCredit)
    );
    pair.run();
    assert!(pair.server.delivery().unwrap().1.is_settled);
    assert!(pair.server.delivery().unwrap().1.is_settled);
    assert_eq!(pair.client.settled(), None);
}

// D-015, D-029: the three steps of exactly once.
#[test]
fn second_mode_takes_three_steps() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let mut link = LinkConfig::sender("L", target("q"));
    link.rcv_settle_mode = ReceiverSettleMode::Second;
    let (ours, theirs) = pair.attach(session, link);
    pair.server.engine.set_credit(theirs, 1).unwrap();
    pair.run();
    pair.client.send(ours, b"x", Settlement::Unsettled, 7);
    pair.run();
    let (_, delivery) = pair.server.delivery().unwrap();
    pair.server.engine.settle(theirs, delivery.id, DeliveryState::Accepted, Settlement::Unsettled).unwrap();
    pair.run();
    assert_eq!(pair.client.settled(), Some((7, Some(DeliveryState::Accepted))));
    let settled = pair.server.take(|event| match event {
        Event::RemoteSettled { link, delivery, state } => Some((*link, *delivery, state.clone())),
        _ => None,
    });
    assert_eq!(settled, Some((theirs, delivery.id, Some(DeliveryState::Accepted))));
}

// Scenario 63: progress first, then an outcome; scenario 60: nothing after it.
#[test]
fn a_state_that_is_no_outcome_settles_nothing() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.sender(session);
    script.frame(0, &flow(1, 10));
    script.end.send(link, b"x", Settlement::Unsettled, 5);
    script.written();
    script.events();
    let received = DeliveryState::Received(Received { section_number: 0, section_offset: 1 });
    let mut disposition =
        Disposition { role: Role::Receiver, state: Some(received.clone()), ..Disposition::default() };
    script.frame(0, &disposition);
    disposition.state = Some(DeliveryState::Accepted);
    disposition.settled = true;
    script.frame(0, &disposition);
    script.frame(0, &disposition);
    let events = script.events();
    assert!(
        matches!(&events[0], Event::StateChanged { user: 5, state, .. } if *state == received),
        "{events:?}"
    );
    assert!(matches!(&events[1], Event::Settled { user: 5, state: Some(DeliveryState::Accepted), .. }));
    assert_eq!(events.len(), 2);
}

fn flow(incoming_id: u32, credit: u32) -> amqp_codec::Flow {
    amqp_codec::Flow {
        next_incoming_id: Some(incoming_id - 1),
        incoming_window: 1_000,
        outgoing_window: 100,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(credit),
        ..Default::default()
    }
}

// D-026, scenario 65: one range settles deliveries of two links.
#[test]
fn a_range_covers_several_links() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (a, _) = pair.sending(session, "a", 5);
    let (b, _) = pair.sending(session, "b", 5);
    for user in 0..3 {
        pair.client.send(a, b"x", Settlement::Unsettled, user);
        pair.client.send(b, b"x", Settlement::Unsettled, 10 + user);
    }
    pair.run();
    pair.server.written.clear();
    while let Some((link, delivery)) = pair.server.delivery() {
        pair.server.engine.settle(link, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    }
    pair.run();
    let users: Vec<u32> = std::iter::from_fn(|| pair.client.settled().map(|(user, _)| user)).collect();
    assert_eq!(users, [0, 10, 1, 11, 2, 12]);
    // Six equal neighbours, one frame.
    assert_eq!(
        pair.server.written.iter().filter(|octet| **octet == 0x15).count(),
        1,
        "{:?}",
        pair.server.written
    );
}

// D-027, scenario 64: ranges without an order end the session, and cost nothing.
#[test]
fn antipodal_ranges_are_refused() {
    for (first, last) in [(5, Some(4)), (0, Some(0x8000_0000)), (0, Some(u32::MAX))] {
        let mut script = Script::open_client();
        let session = script.session(100);
        script.sender(session);
        let range =
            Disposition { role: Role::Receiver, first, last, settled: true, ..Disposition::default() };
        script.frame(0, &range);
        assert_eq!(crate::script::last(&mut script), ("end", Some("amqp:invalid-field".into())));
    }
}

// D-023, D-025: what is unknown, or ours by role, is left alone.
#[test]
fn dispositions_for_unknown_deliveries_are_ignored() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.sender(session);
    script.frame(0, &flow(1, 10));
    script.end.send(link, b"x", Settlement::Unsettled, 5);
    script.written();
    script.events();
    for disposition in [
        Disposition {
            role: Role::Receiver,
            first: 77,
            last: Some(90),
            settled: true,
            ..Disposition::default()
        },
        Disposition { role: Role::Sender, first: 0, settled: true, ..Disposition::default() },
    ] {
        script.frame(0, &disposition);
    }
    assert!(script.written().is_empty() && script.events().is_empty());
    // Settled is settled: a second word, another or the same, changes nothing.
    let settled = |state| Disposition {
        role: Role::Receiver,
        first: 0,
        settled: true,
        state: Some(state),
        ..Disposition::default()
    };
    script.frame(0, &settled(DeliveryState::Accepted));
    assert_eq!(script.end.settled(), Some((5, Some(DeliveryState::Accepted))));
    script.events();
    for again in [DeliveryState::Released, DeliveryState::Accepted] {
        script.frame(0, &settled(again));
        assert!(script.written().is_empty() && script.events().is_empty());
    }
}

// L-052, D-028: settled without a state.
#[test]
fn settled_without_state_means_the_default_outcome() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let settings = LinkConfig::sender("L", target("q"));
    let mut answer = crate::script::answer_to(&settings);
    let link = script.end.engine.attach(session, settings).unwrap();
    if let Some(source) = &mut answer.source {
        source.default_outcome = Some(DeliveryState::Released);
    }
    script.frame(0, &answer);
    script.frame(0, &flow(1, 10));
    script.end.send(link, b"x", Settlement::Unsettled, 5);
    script.events();
    script.frame(0, &Disposition { role: Role::Receiver, settled: true, ..Disposition::default() });
    let events = script.events();
    assert!(matches!(&events[0], Event::Settled { state: Some(DeliveryState::Released), .. }), "{events:?}");
}

// D-010, F-027, scenarios 70, 78: any size over any frame size arrives whole.
#[test]
fn large_messages_are_cut_and_joined() {
    for frame_size in [512, 4_096, 65_536] {
        for size in [0, 1, 400, 484, 485, 486, 487, 488, 500, 512, 5_000, 16_384, 16_385, 200_000] {
            let (mut client, mut server) = (config("c"), config("s"));
            client.max_frame_size = frame_size;
            server.max_frame_size = frame_size;
            let mut pair = Pair::opened_with(client, server).seeded(size as u64 + 3);
            let session = pair.session();
            let (ours, _) = pair.sending(session, "L", 3);
            let payload: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut outgoing = Outgoing::new(Bytes::from(payload.clone()), Settlement::Unsettled, 1);
            pair.client.engine.try_send(ours, outgoing.clone()).unwrap();
            pair.run();
            outgoing.payload = Payload::Slice(&payload);
            pair.client.engine.try_send(ours, outgoing).unwrap();
            pair.run();
            for _ in 0..2 {
                let (_, delivery) = pair.server.delivery().unwrap();
                assert_eq!(delivery.message, payload, "{size} octets in frames of {frame_size}");
            }
            let frames = frame_sizes(&pair.client.written[8..]);
            assert!(frames.iter().all(|size| *size <= frame_size), "{frames:?}");
        }
    }
}

fn frame_sizes(mut octets: &[u8]) -> Vec<u32> {
    let mut sizes = Vec::new();
    while let Some(size) = octets.first_chunk::<4>() {
        let size = u32::from_be_bytes(*size);
        sizes.push(size);
        octets = &octets[size as usize..];
    }
    sizes
}

// D-010, scenario 73: links take turns; a small message of one does not wait for a large one of another.
#[test]
fn large_messages_of_two_links_are_interleaved() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (a, theirs_a) = pair.sending(session, "a", 2);
    let (b, theirs_b) = pair.sending(session, "b", 2);
    let large = Bytes::from(vec![7; 3_000_000]);
    pair.client.engine.try_send(a, Outgoing::new(large, Settlement::Unsettled, 1)).unwrap();
    assert_eq!(
        pair.client.engine.try_send(a, Outgoing::new(&b"x"[..], Settlement::Unsettled, 2)),
        Err(TrySendError::Busy)
    );
    pair.client.send(b, b"small", Settlement::Unsettled, 3);
    pair.run();
    let order: Vec<_> = std::iter::from_fn(|| pair.server.delivery()).map(|(link, _)| link).collect();
    assert_eq!(order, [theirs_b, theirs_a]);
    assert!(pair.client.writable().is_some());
    assert!(pair.client.take(|event| matches!(event, Event::Sent { user: 1, .. }).then_some(())).is_some());
}

// D-010, scenario 73: of two large messages, none waits for the end of the other.
#[test]
fn frames_of_two_large_messages_alternate() {
    let mut small_frames = config("s");
    small_frames.max_frame_size = 512;
    let mut pair = Pair::opened_with(config("c"), small_frames);
    let session = pair.session();
    let links = ["a", "b"].map(|name| pair.sending(session, name, 1).0);
    pair.client.written.clear();
    for (user, link) in (0..).zip(links) {
        let large = Outgoing::new(Bytes::from(vec![7; 5_000]), Settlement::Unsettled, user);
        pair.client.engine.try_send(link, large).unwrap();
    }
    pair.run();
    let mut ids = Vec::new();
    let mut octets = Bytes::from(std::mem::take(&mut pair.client.written));
    while let Some(size) = octets.first_chunk() {
        let frame = octets.split_to(u32::from_be_bytes(*size).try_into().unwrap());
        let frame = AmqpFrame::decode(&frame, &DecodeLimits::performative()).unwrap();
        if let Some(Performative::Transfer(transfer)) = frame.performative {
            ids.push(transfer.delivery_id.unwrap());
        }
    }
    assert!(ids.len() > 20, "{ids:?}");
    // The first frame of each leaves as soon as it is handed over.
    assert!(ids.chunks(2).all(|turn| turn == [0, 1]), "{ids:?}");
}

// Scenario 58, D-012: given up half-way, the receiver hears nothing of it and the link goes on.
#[test]
fn an_aborted_message_is_not_delivered() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (ours, theirs) = pair.sending(session, "L", 5);
    let large = Bytes::from(vec![7; 2_000_000]);
    pair.client.engine.try_send(ours, Outgoing::new(large, Settlement::Unsettled, 1)).unwrap();
    assert!(pair.client.write_once(pair.now));
    pair.client.engine.abort_send(ours).unwrap();
    pair.run();
    assert!(pair.server.delivery().is_none());
    // Whoever waited for the end of it hears of that, and that it was not sent.
    assert!(!pair.client.engine.is_link_busy(ours));
    let ends = |event: &Event| match event {
        Event::Aborted { link, user } => Some(("aborted", *link, *user)),
        Event::Sent { link, user } => Some(("sent", *link, *user)),
        _ => None,
    };
    assert_eq!(pair.client.take(ends), Some(("aborted", ours, 1)));
    assert_eq!(pair.client.take(ends), None);
    assert_eq!(pair.server.engine.link_credit(theirs), 4);
    pair.client.send(ours, b"next", Settlement::Unsettled, 2);
    pair.run();
    assert_eq!(pair.server.delivery().unwrap().1.message, &b"next"[..]);
}

// D-012 to D-014, scenario 72
#[test]
fn aborted_deliveries_use_credit_and_nothing_else() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.receiver(session, 2);
    script.payload(0, &Transfer { more: true, ..transfer(0) }, b"half");
    script.payload(0, &Transfer { handle: 0, aborted: true, ..Transfer::default() }, b"ignored");
    script.payload(0, &Transfer { aborted: true, ..transfer(1) }, b"ignored");
    assert!(!script.events().iter().any(|event| matches!(event, Event::Delivery { .. })));
    assert_eq!(script.end.engine.link_credit(link), 0);
    script.end.engine.set_credit(link, 1).unwrap();
    script.payload(0, &transfer(2), b"whole");
    assert!(
        matches!(&script.events()[0], Event::Delivery { delivery, .. } if delivery.message == b"whole"[..])
    );
}

// D-002 to D-006, scenarios 70, 71, 74: what may be left out of continuations, and what may not change.
#[test]
fn continuations_repeat_or_omit_what_the_first_said() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.receiver(session, 10);
    let first = Transfer { more: true, settled: Some(true), message_format: Some(3), ..transfer(0) };
    script.payload(0, &first, b"ab");
    script.payload(0, &Transfer { more: true, ..Transfer::default() }, b"");
    script.payload(0, &Transfer { settled: Some(false), more: true, ..first.clone() }, b"cd");
    script.payload(0, &Transfer::default(), b"e");
    let events = script.events();
    let delivery = events.iter().find_map(|event| match event {
        Event::Delivery { delivery, .. } => Some(delivery),
        _ => None,
    });
    let delivery = delivery.unwrap();
    assert_eq!(
        (&delivery.message[..], delivery.is_settled, delivery.message_format),
        (&b"abcde"[..], true, 3)
    );

    for wrong in [
        Transfer { delivery_id: Some(9), ..Transfer::default() },
        Transfer { delivery_tag: tag(b"zz"), ..Transfer::default() },
        Transfer { message_format: Some(4), ..Transfer::default() },
    ] {
        let mut script = Script::open_client();
        let session = script.session(100);
        script.receiver(session, 10);
        script.payload(0, &first, b"ab");
        script.payload(0, &wrong, b"c");
        assert_eq!(last(&mut script), ("detach", Some("amqp:invalid-field".into())), "{wrong:?}");
    }
}

/// A name, transfers with their payloads, and the condition they are answered with.
type FaultyCase = (&'static str, Vec<(Transfer, &'static [u8])>, &'static str);

// D-001, D-002, D-016, L-015, L-022, L-039, L-040: a link's faults detach the link, and only it.
#[test]
fn faulty_deliveries_detach_the_link() {
    let second = Some(ReceiverSettleMode::Second);
    let cases: [FaultyCase; 6] = [
        ("no id", vec![(Transfer { delivery_id: None, ..transfer(0) }, b"x")], "amqp:invalid-field"),
        ("no tag", vec![(Transfer { delivery_tag: None, ..transfer(0) }, b"x")], "amqp:invalid-field"),
        (
            "same tag",
            vec![
                (transfer(0), b"x"),
                (Transfer { delivery_tag: Some(DeliveryTag::from(0u32)), ..transfer(1) }, b"x"),
            ],
            "amqp:not-allowed",
        ),
        ("mode", vec![(Transfer { rcv_settle_mode: second, ..transfer(0) }, b"x")], "amqp:invalid-field"),
        (
            "credit",
            vec![(transfer(0), b"x"), (transfer(1), b"x"), (transfer(2), b"x")],
            "amqp:link:transfer-limit-exceeded",
        ),
        (
            "size",
            vec![
                (Transfer { more: true, ..transfer(0) }, b"12345678"),
                (Transfer { more: true, ..Transfer::default() }, b"9ab"),
            ],
            "amqp:link:message-size-exceeded",
        ),
    ];
    for (what, transfers, expected) in cases {
        let mut script = Script::open_client();
        let session = script.session(100);
        let mut settings = LinkConfig::receiver("L", crate::pair::source("q"));
        settings.max_message_size = Some(10);
        let link = script.attach(session, settings);
        script.end.engine.set_credit(link, 2).unwrap();
        let passed = transfers.iter().filter_map(|(transfer, _)| transfer.delivery_id).max();
        for (transfer, payload) in transfers {
            script.payload(0, &transfer, payload);
        }
        assert_eq!(last(&mut script), ("detach", Some(expected.into())), "{what}");
        // Its session lives: another link is attached and receives, its ids go on.
        script.frame(0, &amqp_codec::Detach { handle: 0, closed: true, error: None });
        let other = script.receiver(session, 5);
        script.events();
        script.payload(0, &transfer(passed.map_or(0, |id| id + 1)), b"x");
        let is_there = |event: &Event| matches!(event, Event::Delivery { link, .. } if *link == other);
        assert!(script.events().iter().any(is_there), "{what}");
    }
}

// D-007 to D-009, for what we send ourselves.
#[test]
fn a_settle_mode_binds_the_sender() {
    let mut pair = Pair::opened();
    let session = pair.session();
    for (mode, wrong) in [
        (SenderSettleMode::Settled, Settlement::Unsettled),
        (SenderSettleMode::Unsettled, Settlement::Settled),
    ] {
        let mut settings = LinkConfig::sender(format!("{mode:?}"), target("q"));
        settings.snd_settle_mode = mode;
        let (ours, theirs) = pair.attach(session, settings);
        pair.server.engine.set_credit(theirs, 1).unwrap();
        pair.run();
        let sent = pair.client.engine.try_send(ours, Outgoing::new(&b"x"[..], wrong, 0));
        assert_eq!(sent, Err(TrySendError::SettleMode));
    }
}

// Scenario 54: the peer's bound is checked before anything is sent.
#[test]
fn a_message_above_the_peers_bound_is_not_sent() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let settings = LinkConfig::sender("L", target("q"));
    let mut answer = crate::script::answer_to(&settings);
    answer.max_message_size = Some(3);
    let link = script.end.engine.attach(session, settings).unwrap();
    script.frame(0, &answer);
    script.frame(0, &flow(1, 10));
    script.written();
    let sent = script.end.engine.try_send(link, Outgoing::new(&b"four"[..], Settlement::Unsettled, 0));
    assert_eq!(sent, Err(TrySendError::TooLarge { size: 4, limit: 3 }));
    assert_eq!(script.end.engine.link_credit(link), 10);
    assert!(script.written().is_empty());
}

// Scenario 61
#[test]
fn the_sender_may_settle_first() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.receiver(session, 10);
    script.payload(0, &transfer(0), b"x");
    script.events();
    script.frame(0, &Disposition { role: Role::Sender, settled: true, ..Disposition::default() });
    let events = script.events();
    let Event::RemoteSettled { delivery, .. } = &events[0] else { panic!("{events:?}") };
    // D-023: our late disposition is not sent any more.
    script.end.engine.settle(link, *delivery, DeliveryState::Accepted, Settlement::Settled).unwrap();
    assert!(script.written().is_empty());
}

// A straggler held for long does not stall others, and ids wrap (scenario 40).
#[test]
fn one_delivery_held_while_thousands_pass() {
    let mut pair = Pair::opened();
    let settings = {
        let mut s = SessionConfig::default();
        s.next_outgoing_id = u32::MAX - 500;
        s
    };
    let session = pair.session_with(settings);
    let (ours, theirs) = pair.sending(session, "L", 100);
    pair.client.send(ours, b"held", Settlement::Unsettled, 99_999);
    pair.run();
    let (_, held) = pair.server.delivery().unwrap();
    for user in 0..5_000 {
        pair.client.send(ours, b"passing", Settlement::Unsettled, user);
        pair.run();
        let (_, delivery) = pair.server.delivery().unwrap();
        pair.server.engine.settle(theirs, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
        pair.server.engine.set_credit(theirs, 100).unwrap();
        pair.run();
        assert_eq!(pair.client.settled(), Some((user, Some(DeliveryState::Accepted))));
    }
    pair.server.engine.settle(theirs, held.id, DeliveryState::Released, Settlement::Settled).unwrap();
    pair.run();
    assert_eq!(pair.client.settled(), Some((99_999, Some(DeliveryState::Released))));
}

#[test]
fn bounds_on_output_and_unsettled_are_told() {
    let mut settings = config("c");
    // A link has half of it, rounded up.
    settings.limits.unsettled = 5;
    settings.limits.output_high_water = 10_000;
    let mut pair = Pair::opened_with(settings, config("s"));
    let session = pair.session();
    let (ours, theirs) = pair.sending(session, "L", 100);
    while pair.client.writable().is_some() {}
    let fill = vec![0; 6_000];
    let mut refusals = Vec::new();
    for user in 0..4 {
        if let Err(error) =
            pair.client.engine.try_send(ours, Outgoing::new(&fill[..], Settlement::Unsettled, user))
        {
            refusals.push(error);
            pair.run();
            // Room again: told once the output was taken.
            refusals.extend(
                pair.client
                    .engine
                    .try_send(ours, Outgoing::new(&fill[..], Settlement::Unsettled, user))
                    .err(),
            );
        }
    }
    assert_eq!(
        refusals,
        [TrySendError::OutputFull, TrySendError::TooManyUnsettled, TrySendError::TooManyUnsettled]
    );
    assert_eq!(pair.client.writable(), Some(ours));
    assert_eq!(pair.client.writable(), None);
    let (_, delivery) = pair.server.delivery().unwrap();
    pair.server.engine.settle(theirs, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    pair.run();
    assert_eq!(pair.client.writable(), Some(ours));
}

// Its undecided messages filled the session, and the others waited for it.
#[test]
fn a_link_whose_peer_settles_nothing_leaves_room_for_those_whose_peer_does() {
    let mut settings = config("c");
    settings.limits.unsettled = 9;
    let mut pair = Pair::opened_with(settings, config("s"));
    let session = pair.session();
    let fill = |pair: &mut Pair, link| {
        (0..100)
            .take_while(|user| {
                let outgoing = Outgoing::new(&b"x"[..], Settlement::Unsettled, *user);
                pair.client.engine.try_send(link, outgoing) != Err(TrySendError::TooManyUnsettled)
            })
            .count()
    };
    let mut links = Vec::new();
    for (name, share) in [("slow", 5), ("slower", 2), ("third", 1), ("last", 1)] {
        let (ours, theirs) = pair.sending(session, name, 100);
        while pair.client.writable().is_some() {}
        assert_eq!(fill(&mut pair, ours), share, "{name} has half of what the others leave");
        pair.run();
        links.push((ours, theirs));
    }
    // The session is full, and all of them wait, whatever flows have told some of them meanwhile.
    while pair.client.writable().is_some() {}
    for (ours, _) in &links {
        assert_eq!(fill(&mut pair, *ours), 0);
    }
    // What ends of one link makes room for that one, which has less than the others.
    let (last, theirs) = links[3];
    let mut deliveries = Vec::new();
    while let Some(delivery) = pair.server.delivery() {
        deliveries.push(delivery);
    }
    let at = deliveries.iter().position(|(link, _)| *link == theirs).unwrap();
    let (_, delivery) = deliveries.remove(at);
    pair.server.engine.settle(theirs, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    pair.run();
    assert_eq!(pair.client.writable(), Some(last));
    assert_eq!(pair.client.writable(), None);
    // All links go on once everything is settled.
    for (link, delivery) in deliveries {
        pair.server.engine.settle(link, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    }
    pair.run();
    let mut woken: Vec<_> = std::iter::from_fn(|| pair.client.writable()).collect();
    woken.sort_by_key(|link| link.index());
    woken.dedup();
    assert_eq!(woken, [links[0].0, links[1].0, links[2].0]);
}

#[test]
fn a_forced_disposition_too_large_for_a_frame_keeps_its_outcome() {
    let mut client = config("c");
    client.max_frame_size = 512;
    let mut pair = Pair::opened_with(client, config("s"));
    let session = pair.session();
    let (ours, theirs) = pair.sending(session, "L", 1);
    pair.client.send(ours, b"x", Settlement::Unsettled, 1);
    pair.run();
    let (_, delivery) = pair.server.delivery().unwrap();
    let error = Error::new(ErrorCondition::NOT_ALLOWED).with_description("long ".repeat(200));
    pair.server
        .engine
        .settle(theirs, delivery.id, DeliveryState::rejected(error), Settlement::Settled)
        .unwrap();
    pair.run();
    let bare = DeliveryState::rejected(Error::new(ErrorCondition::NOT_ALLOWED));
    assert_eq!(pair.client.settled(), Some((1, Some(bare))));
}

#[test]
fn the_first_transfer_says_what_the_wire_needs() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.sender(session);
    script.frame(0, &flow(1, 10));
    script.written();
    let mut outgoing = Outgoing::new(&b"x"[..], Settlement::Settled, 0);
    outgoing.message_format = 0x8001_3700;
    outgoing.tag = tag(b"mine");
    script.end.engine.try_send(link, outgoing).unwrap();
    let written = script.written();
    let Performative::Transfer(sent) = &written[0] else { panic!("{written:?}") };
    let expected = Transfer {
        delivery_id: Some(0),
        delivery_tag: tag(b"mine"),
        message_format: Some(0x8001_3700),
        settled: Some(true),
        ..Transfer::default()
    };
    assert_eq!(*sent, expected);
}
