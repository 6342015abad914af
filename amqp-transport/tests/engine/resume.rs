//! Links that are suspended and resumed, on the same connection and on another: the resume table row by row, with our
//! engine at both ends.

use amqp_codec::{DeliveryState, DeliveryTag, Message, Modified, Received, Rejected, Role, to_bytes};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{
    AttachReply, DetachCause, DetachKind, Event, IncomingDelivery, LinkConfig, LinkId, Outgoing, Retention,
    SessionId, Settlement, SuspendedLink, TrySendError, UnsettledDelivery,
};
use bytes::Bytes;

use crate::pair::{End, Pair, config, source, target};

pub(crate) const KEEP: Retention = Retention::Keep { payload_octets: 1 << 20 };

pub(crate) fn opened() -> (Pair, SessionId) {
    let mut pair = Pair::opened();
    let session = pair.session();
    pair.server.is_accepting = false;
    (pair, session)
}

/// Attaches a link that both ends keep, each resuming what it has; the ids at client and server.
pub(crate) fn attach(
    pair: &mut Pair,
    session: SessionId,
    role: Role,
    ours: Option<SuspendedLink>,
    theirs: Option<SuspendedLink>,
) -> (LinkId, LinkId) {
    let mut link = match role {
        Role::Sender => LinkConfig::sender("L", target("q")),
        Role::Receiver => LinkConfig::receiver("L", source("q")),
    };
    link.retention = KEEP;
    link.resume = ours.map(Box::new);
    let ours = pair.client.engine.attach(session, link).unwrap();
    pair.run();
    let (link, attach) = pair
        .server
        .take(|event| match event {
            Event::AttachRequested { link, attach, .. } => Some((*link, attach.clone())),
            _ => None,
        })
        .unwrap();
    let mut reply = AttachReply::granting(&attach);
    reply.retention = KEEP;
    reply.resume = theirs.map(Box::new);
    pair.server.engine.accept_attach(link, reply).unwrap();
    pair.run();
    let attached = pair.client.take(|event| matches!(event, Event::LinkAttached { .. }).then_some(()));
    assert_eq!(attached, Some(()));
    (ours, link)
}

pub(crate) fn suspended(end: &mut End) -> Option<SuspendedLink> {
    end.take(|event| match event {
        Event::LinkSuspended { state, .. } => Some((**state).clone()),
        _ => None,
    })
}

pub(crate) fn message() -> Bytes {
    to_bytes(&Message::data(&b"a message of some length"[..]))
}

pub(crate) fn tag() -> DeliveryTag {
    DeliveryTag::from(1u32)
}

fn received(section_offset: u64) -> DeliveryState {
    DeliveryState::Received(Received { section_number: 0, section_offset })
}

/// What a side has heard, in short.
pub(crate) fn news(end: &mut End) -> Vec<String> {
    let told = |event: &Event| match event {
        Event::Settled { user, state, .. } => {
            assert_eq!(*user, 7);
            Some(format!("settled {}", state.as_ref().map_or("-", name)))
        }
        Event::Unresolved { user, .. } => {
            assert_eq!(*user, 7);
            Some("unresolved".to_owned())
        }
        Event::Delivery { delivery, .. } => {
            assert_eq!(delivery.message, message());
            Some(if delivery.is_resumed { "resumed message" } else { "new message" }.to_owned())
        }
        Event::DeliveryResumed { tag: resumed, .. } => {
            assert_eq!(*resumed, tag());
            Some("resumed whole".to_owned())
        }
        Event::SettledBefore { tag: settled, state, .. } => {
            assert_eq!(*settled, tag());
            Some(format!("settled before {}", state.as_ref().map_or("-", name)))
        }
        _ => None,
    };
    std::iter::from_fn(|| end.take(told)).collect()
}

pub(crate) fn name(state: &DeliveryState) -> &'static str {
    match state {
        DeliveryState::Accepted => "accepted",
        DeliveryState::Released => "released",
        DeliveryState::Rejected(_) => "rejected",
        DeliveryState::Modified(_) => "modified",
        _ => "other",
    }
}

/// One end of a link with one delivery in this state.
pub(crate) fn holding(role: Role, state: Option<DeliveryState>) -> SuspendedLink {
    let mut link = SuspendedLink::new("L", role);
    let mut delivery = UnsettledDelivery::new(tag());
    delivery.user = 7;
    delivery.payload = match (&state, role) {
        (_, Role::Sender) => Some(message()),
        (Some(DeliveryState::Received(place)), _) => {
            Some(message().slice(..usize::try_from(place.section_offset).unwrap()))
        }
        _ => None,
    };
    delivery.is_whole = delivery.payload.is_none();
    delivery.state = state;
    link.deliveries.push(delivery);
    link
}

// Scenario 81, R-01 to R-15, D-019, D-020, D-030 to D-034, with either end starting.
#[test]
fn every_row_of_the_resume_table_ends_both_ends_alike() {
    let (accepted, rejected) = (DeliveryState::Accepted, DeliveryState::Rejected(Rejected { error: None }));
    let released = DeliveryState::Released;
    let absent: Option<Option<DeliveryState>> = None;
    let with = |state: &DeliveryState| Some(Some(state.clone()));
    let null = || Some(None);
    // Row, the sender's state, the receiver's; what each hears; and what is unsettled then.
    let rows: Vec<(_, _, _, &[&str], &[&str], usize)> = vec![
        ("R-01", absent.clone(), absent.clone(), &[], &[], 0),
        ("R-02", absent.clone(), null(), &[], &["settled before -"], 0),
        ("R-02", absent.clone(), with(&accepted), &[], &["settled before -"], 0),
        ("R-02", absent.clone(), with(&received(9)), &[], &["settled before -"], 0),
        ("R-03", null(), absent.clone(), &[], &["new message"], 1),
        ("R-04", null(), null(), &[], &["resumed whole"], 1),
        ("R-05", null(), with(&received(9)), &[], &["resumed message"], 1),
        ("R-06", null(), with(&rejected), &["settled rejected"], &["settled before rejected"], 0),
        ("R-07", with(&received(4)), absent.clone(), &[], &["new message"], 1),
        ("R-08", with(&received(4)), null(), &["unresolved"], &["settled before -"], 0),
        ("R-09", with(&received(4)), with(&received(9)), &[], &["resumed message"], 1),
        ("R-10", with(&received(9)), with(&received(4)), &["unresolved"], &["settled before -"], 0),
        ("R-11", with(&received(4)), with(&accepted), &["settled accepted"], &["settled before accepted"], 0),
        ("R-12", with(&accepted), absent, &["settled accepted"], &[], 0),
        ("R-13", with(&accepted), null(), &["settled accepted"], &["settled before accepted"], 0),
        ("R-13", with(&accepted), with(&received(4)), &["settled accepted"], &["settled before accepted"], 0),
        ("R-14", with(&accepted), with(&accepted), &["settled accepted"], &["settled before accepted"], 0),
        // Policy: the receiver's outcome wins.
        ("R-15", with(&accepted), with(&released), &["settled released"], &["settled before released"], 0),
    ];
    for (row, sender, receiver, sender_hears, receiver_hears, unsettled) in rows {
        for starter in [Role::Sender, Role::Receiver] {
            let (mut pair, session) = opened();
            let hold = |role, state: &Option<Option<DeliveryState>>| {
                Some(match state {
                    Some(state) => holding(role, state.clone()),
                    None => SuspendedLink::new("L", role),
                })
            };
            let (from, to) = (hold(Role::Sender, &sender), hold(Role::Receiver, &receiver));
            let (client, server) = if starter == Role::Sender {
                attach(&mut pair, session, starter, from, to)
            } else {
                attach(&mut pair, session, starter, to, from)
            };
            let Pair { client: ours, server: theirs, .. } = &mut pair;
            let (sends, receives) = match starter {
                Role::Sender => ((ours, client), (theirs, server)),
                Role::Receiver => ((theirs, server), (ours, client)),
            };
            receives.0.engine.set_credit(receives.1, 10).unwrap();
            let (sending, receiving) = (sends.1, receives.1);
            pair.run();
            let (sends, receives) = match starter {
                Role::Sender => (&mut pair.client, &mut pair.server),
                Role::Receiver => (&mut pair.server, &mut pair.client),
            };
            assert_eq!(sends.engine.link_stats(sending).unwrap().unsettled, unsettled, "{row} {starter:?}");
            assert_eq!(
                receives.engine.link_stats(receiving).unwrap().unsettled,
                unsettled,
                "{row} {starter:?}"
            );
            let resumed = receives.events.iter().find_map(|event| match event {
                Event::Delivery { delivery: IncomingDelivery { id, .. }, .. } => Some(*id),
                Event::DeliveryResumed { delivery, .. } => Some(*delivery),
                _ => None,
            });
            assert_eq!(news(sends), sender_hears, "{row} {starter:?}: the sender");
            assert_eq!(news(receives), receiver_hears, "{row} {starter:?}: the receiver");
            // What goes on, goes on as ever.
            if let Some(delivery) = resumed {
                let accepted = DeliveryState::Accepted;
                receives.engine.settle(receiving, delivery, accepted, Settlement::Settled).unwrap();
                pair.run();
                let sends = if starter == Role::Sender { &mut pair.client } else { &mut pair.server };
                assert_eq!(news(sends), ["settled accepted"], "{row} {starter:?}");
            }
        }
    }
}

// a message that was not retained cannot be sent again, and nothing is invented about it.
#[test]
fn a_message_that_was_not_retained_is_unresolved() {
    for (receiver, heard) in [
        (SuspendedLink::new("L", Role::Receiver), vec![]),
        (holding(Role::Receiver, None), vec!["settled before -"]),
    ] {
        let (mut pair, session) = opened();
        let mut sender = holding(Role::Sender, None);
        sender.deliveries[0].payload = None;
        let (_, theirs) = attach(&mut pair, session, Role::Sender, Some(sender), Some(receiver));
        pair.server.engine.set_credit(theirs, 10).unwrap();
        pair.run();
        assert_eq!(news(&mut pair.client), ["unresolved"]);
        assert_eq!(news(&mut pair.server), heard);
    }
}

// L-009, L-011, D-030: a link of our own making through its whole life, over a lost connection.
#[test]
fn a_link_goes_on_over_another_connection_and_nothing_is_lost_or_doubled() {
    let (mut pair, session) = opened();
    let (ours, theirs) = attach(&mut pair, session, Role::Sender, None, None);
    pair.server.engine.set_credit(theirs, 10).unwrap();
    pair.run();
    for user in 0..4u32 {
        let payload = Bytes::from(user.to_string());
        pair.client.engine.try_send(ours, Outgoing::new(payload, Settlement::Unsettled, user)).unwrap();
    }
    pair.run();
    let came: Vec<_> = std::iter::from_fn(|| pair.server.delivery()).map(|(_, delivery)| delivery).collect();
    assert_eq!(came.len(), 4);
    // The first is settled at both ends, the second's outcome is lost on its way, the others have none.
    pair.server.engine.settle(theirs, came[0].id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    pair.run();
    assert_eq!(pair.client.settled(), Some((0, Some(DeliveryState::Accepted))));
    pair.server.engine.settle(theirs, came[1].id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    let late = Outgoing::new(Bytes::from_static(b"4"), Settlement::Unsettled, 4);
    pair.client.engine.try_send(ours, late).unwrap();
    let lost = || ConnectionError::EndOfStream;
    pair.client.engine.abort(lost());
    pair.server.engine.abort(lost());
    pair.client.pump(pair.now);
    pair.server.pump(pair.now);
    let (ours, mut theirs) = (suspended(&mut pair.client).unwrap(), suspended(&mut pair.server).unwrap());
    assert_eq!((ours.deliveries.len(), theirs.deliveries.len()), (4, 2));
    assert_eq!(ours.delivery_count, 5);
    // While the link is away, the application makes up its mind.
    assert!(theirs.set_state(&came[2].tag, DeliveryState::Released));
    assert!(!theirs.set_state(&DeliveryTag::from(99u64), DeliveryState::Released));

    let (mut pair, session) = opened();
    let (ours, theirs) = attach(&mut pair, session, Role::Sender, Some(ours), Some(theirs));
    pair.server.engine.set_credit(theirs, 10).unwrap();
    let mut outcomes = Vec::new();
    let mut again = Vec::new();
    for _ in 0..4 {
        pair.run();
        while let Some((user, state)) = pair.client.settled() {
            outcomes.push((user, state.unwrap()));
        }
        while let Some((_, delivery)) = pair.server.delivery() {
            again.push(delivery.message.clone());
            pair.server
                .engine
                .settle(theirs, delivery.id, DeliveryState::Accepted, Settlement::Settled)
                .unwrap();
        }
        let resumed = pair.server.take(|event| match event {
            Event::DeliveryResumed { delivery, tag, .. } => Some((*delivery, *tag)),
            _ => None,
        });
        if let Some((delivery, tag)) = resumed {
            assert_eq!(tag, came[3].tag);
            let rejected = DeliveryState::Rejected(Rejected { error: None });
            pair.server.engine.settle(theirs, delivery, rejected, Settlement::Settled).unwrap();
        }
    }
    outcomes.sort_by_key(|(user, _)| *user);
    let names: Vec<_> = outcomes.iter().map(|(user, state)| (*user, name(state))).collect();
    assert_eq!(names, [(1, "accepted"), (2, "released"), (3, "rejected"), (4, "accepted")]);
    // The second's outcome was lost, so that it came twice; that is at-least-once. The last had never left.
    assert_eq!(again, ["1", "4"]);
    // Its tags are its own for ever, though delivery-ids start anew.
    pair.client.engine.try_send(ours, Outgoing::new(&b"5"[..], Settlement::Unsettled, 5)).unwrap();
    pair.run();
    let (_, delivery) = pair.server.delivery().unwrap();
    assert_eq!(delivery.tag, DeliveryTag::from(5u64));
}

// L-011, L-012: suspended by a detach, resumed on the same session.
#[test]
fn a_detach_that_does_not_close_suspends_both_ends() {
    let (mut pair, session) = opened();
    let (ours, theirs) = attach(&mut pair, session, Role::Sender, None, None);
    pair.server.engine.set_credit(theirs, 10).unwrap();
    pair.run();
    pair.client.engine.try_send(ours, Outgoing::new(message(), Settlement::Unsettled, 7)).unwrap();
    pair.run();
    pair.client.engine.detach(ours, DetachKind::Suspended, None).unwrap();
    pair.run();
    let (ours, theirs) = (suspended(&mut pair.client).unwrap(), suspended(&mut pair.server).unwrap());
    assert_eq!((ours.deliveries.len(), theirs.deliveries.len()), (1, 1));
    assert_eq!((ours.target, theirs.source), (Some(target("q").into()), Some(amqp_codec::Source::default())));
    // Closed, it is gone for good.
    let (ours, _) = attach(&mut pair, session, Role::Sender, None, None);
    pair.client.engine.detach(ours, DetachKind::Closed, None).unwrap();
    pair.run();
    assert!(suspended(&mut pair.client).is_none() && suspended(&mut pair.server).is_none());
}

// D-034, D-035: a large message goes on where it was cut.
#[test]
fn a_message_cut_in_the_middle_is_not_sent_from_its_start() {
    let mut small = config("s");
    small.max_frame_size = 512;
    let mut pair = Pair::opened_with(config("c"), small);
    let session = pair.session();
    pair.server.is_accepting = false;
    let (ours, theirs) = attach(&mut pair, session, Role::Sender, None, None);
    pair.server.engine.set_credit(theirs, 10).unwrap();
    pair.run();
    let large = to_bytes(&Message::data(vec![7; 100_000]));
    pair.client.engine.try_send(ours, Outgoing::new(large.clone(), Settlement::Unsettled, 7)).unwrap();
    pair.client.write_once(pair.now);
    let cut: Vec<u8> = pair.client.wire.drain(..60_000).collect();
    let _ = pair.server.feed(pair.now, &cut);
    for end in [&mut pair.client, &mut pair.server] {
        end.engine.abort(ConnectionError::EndOfStream);
        end.pump(pair.now);
    }
    let (ours, theirs) = (suspended(&mut pair.client).unwrap(), suspended(&mut pair.server).unwrap());
    assert!(
        theirs.octets() > 50_000 && matches!(theirs.deliveries[0].state, Some(DeliveryState::Received(_)))
    );
    let (mut pair, session) = opened();
    let (_, theirs) = attach(&mut pair, session, Role::Sender, Some(ours), Some(theirs));
    let before = pair.client.written.len();
    pair.server.engine.set_credit(theirs, 10).unwrap();
    pair.run();
    let (_, delivery) = pair.server.delivery().unwrap();
    assert!(delivery.is_resumed && delivery.message == large);
    assert!(pair.client.written.len() - before < 50_000, "only the rest was sent");
}

// R-16, L-037, L-038, D-033: maps too large for a frame are told in parts.
#[test]
fn unsettled_maps_too_large_for_a_frame_are_told_in_parts() {
    const HELD: u32 = 300;
    let mut ours = SuspendedLink::new("L", Role::Sender);
    let mut theirs = SuspendedLink::new("L", Role::Receiver);
    for number in 0..HELD {
        let mut delivery = UnsettledDelivery::new(DeliveryTag::from(number));
        delivery.user = number;
        delivery.payload = Some(message());
        ours.deliveries.push(delivery.clone());
        if number % 2 == 0 {
            delivery.payload = None;
            delivery.state = Some(DeliveryState::Modified(Modified::default()));
            theirs.deliveries.push(delivery);
        }
    }
    let (mut outcomes, mut messages, mut rounds) = (Vec::new(), 0, 0);
    let (mut ours, mut theirs) = (Some(ours), Some(theirs));
    while let Some(state) = ours.take() {
        rounds += 1;
        assert!(rounds < 20, "no progress");
        let small = |container| {
            let mut config = config(container);
            config.max_frame_size = 700;
            config
        };
        let mut pair = Pair::opened_with(small("c"), small("s"));
        let session = pair.session();
        pair.server.is_accepting = false;
        let (_, link) = attach(&mut pair, session, Role::Sender, Some(state), theirs.take());
        let _ = pair.server.engine.set_credit(link, 1_000);
        pair.run();
        while let Some((_, delivery)) = pair.server.delivery() {
            messages += 1;
            pair.server
                .engine
                .settle(link, delivery.id, DeliveryState::Accepted, Settlement::Settled)
                .unwrap();
        }
        pair.run();
        while let Some((user, state)) = pair.client.settled() {
            outcomes.push((user, state.unwrap()));
        }
        assert!(pair.client.take(|event| matches!(event, Event::Unresolved { .. }).then_some(())).is_none());
        ours = suspended(&mut pair.client);
        theirs = suspended(&mut pair.server);
        if let (Some(_), Some((_, cause, _))) = (&ours, pair.client.detached()) {
            assert_eq!(cause, DetachCause::Incomplete);
        }
    }
    assert!(rounds > 2, "{rounds}");
    assert_eq!(messages, HELD / 2);
    outcomes.sort_by_key(|(user, _)| *user);
    for (number, (user, state)) in (0..).zip(&outcomes) {
        assert_eq!((*user, name(state)), (number, if number % 2 == 0 { "modified" } else { "accepted" }));
    }
    assert_eq!(outcomes.len(), usize::try_from(HELD).unwrap());
}

// L-037: what was begun before goes first, and credit is counted for it.
#[test]
fn new_messages_wait_for_those_that_are_resumed() {
    let (mut pair, session) = opened();
    let (ours, theirs) = attach(&mut pair, session, Role::Sender, Some(holding(Role::Sender, None)), None);
    let offer = || Outgoing::new(&b"new"[..], Settlement::Unsettled, 8);
    assert_eq!(pair.client.engine.try_send(ours, offer()), Err(TrySendError::Busy));
    pair.server.engine.set_credit(theirs, 1).unwrap();
    pair.run();
    assert_eq!(pair.server.delivery().unwrap().1.message, message());
    while pair.client.writable().is_some() {}
    assert_eq!(pair.client.engine.try_send(ours, offer()), Err(TrySendError::NoCredit));
    pair.server.engine.set_credit(theirs, 1).unwrap();
    pair.run();
    assert_eq!(pair.client.writable(), Some(ours));
    pair.client.engine.try_send(ours, offer()).unwrap();
}

// A link that is refused when it is attached again may be tried once more.
#[test]
fn a_refused_resumption_gives_the_link_back() {
    let (mut pair, session) = opened();
    let mut link = LinkConfig::sender("L", target("q"));
    link.resume = Some(Box::new(holding(Role::Sender, None)));
    pair.client.engine.attach(session, link).unwrap();
    pair.run();
    let asked = pair.server.requested().unwrap();
    let busy = amqp_codec::Error::new(amqp_codec::ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    pair.server.engine.refuse_attach(asked, busy).unwrap();
    pair.run();
    assert_eq!(suspended(&mut pair.client).unwrap().deliveries.len(), 1);
    assert_eq!(pair.client.detached().unwrap().1, DetachCause::Refused);
}
