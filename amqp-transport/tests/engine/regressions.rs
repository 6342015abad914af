//! What the simulator found: each test is named after what went wrong.

use amqp_codec::{
    DeliveryState, DeliveryTag, Detach, ErrorCondition, Flow, Performative, Role, Transfer, encode_frame,
};
use amqp_transport::engine::{
    AttachReply, DetachCause, DetachKind, EngineError, Event, LinkConfig, LinkId, Outgoing, SessionConfig,
    Settlement, TrySendError,
};
use bytes::BytesMut;

use crate::pair::{Pair, config, source, target};
use crate::script::{Script, answer_to, begin, last};

// L-012: the detach was forgotten, and the peer waited for its answer as long as the session lived.
#[test]
fn a_link_given_up_before_its_session_is_accepted_is_answered() {
    let mut pair = Pair::opened();
    pair.server.is_accepting = false;
    let session = pair.client.engine.begin(SessionConfig::default()).unwrap();
    let ours = pair.client.engine.attach(session, LinkConfig::sender("L", target("q"))).unwrap();
    pair.client.engine.detach(ours, DetachKind::Closed, None).unwrap();
    pair.run();
    let requested = pair.server.take(|event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    let (theirs, attach) = pair
        .server
        .take(|event| match event {
            Event::AttachRequested { link, attach, .. } => Some((*link, attach.clone())),
            _ => None,
        })
        .unwrap();
    assert_eq!(attach.role, Role::Sender);
    assert_eq!(pair.server.detached(), Some((theirs, DetachCause::Remote, None)));
    let reply = AttachReply::granting(&attach);
    assert_eq!(pair.server.engine.accept_attach(theirs, reply), Err(EngineError::Stale));
    assert_eq!(pair.client.detached(), None);
    pair.server.engine.accept_session(requested.unwrap(), SessionConfig::default()).unwrap();
    pair.run();
    let (link, cause, _) = pair.client.detached().unwrap();
    assert_eq!((link, cause), (ours, DetachCause::Local));
    // The name is free again.
    pair.client.engine.attach(session, LinkConfig::sender("L", target("q"))).unwrap();
    pair.run();
    assert!(pair.server.requested().is_some());
    assert_eq!(pair.server.detached(), None);
}

// The drain was told to have come to its end after the link had.
#[test]
fn a_link_that_was_over_before_it_was_accepted_is_not_drained() {
    let mut pair = Pair::opened();
    pair.server.is_accepting = false;
    let session = pair.client.engine.begin(SessionConfig::default()).unwrap();
    let ours = pair.client.engine.attach(session, LinkConfig::sender("L", target("q"))).unwrap();
    pair.client.engine.detach(ours, DetachKind::Suspended, None).unwrap();
    pair.run();
    let theirs = pair.server.requested().unwrap();
    assert_eq!(pair.server.detached(), Some((theirs, DetachCause::Remote, None)));
    assert_eq!(pair.server.engine.drain(theirs), Err(EngineError::Stale));
    pair.run();
    assert!(!pair.server.events.iter().any(|event| matches!(event, Event::Drained { .. })));
}

// A link that waited for unsettled room was taken for one that waits for room in the output already.
#[test]
fn a_link_that_waits_for_unsettled_room_is_told_of_room_in_the_output_too() {
    let mut ours = config("c");
    ours.limits.unsettled = 1;
    ours.limits.output_high_water = 4_096;
    let mut pair = Pair::opened_with(ours, config("s"));
    let session = pair.session();
    let (link, _) = pair.sending(session, "L", 100);
    pair.client.send(link, b"held", Settlement::Unsettled, 0);
    pair.run();
    while pair.client.writable().is_some() {}
    let engine = &mut pair.client.engine;
    let unsettled = Outgoing::new(&b"x"[..], Settlement::Unsettled, 0);
    assert_eq!(engine.try_send(link, unsettled), Err(TrySendError::TooManyUnsettled));
    let full = std::iter::repeat_with(|| {
        engine.try_send(link, Outgoing::new(&[0u8; 1_000][..], Settlement::Settled, 0))
    });
    assert_eq!(full.take(10).find_map(Result::err), Some(TrySendError::OutputFull));
    pair.run();
    assert_eq!(pair.client.writable(), Some(link), "the output has room again");
}

// L-025: credit beyond half of the circle, given back, was taken for credit to come.
#[test]
fn drained_credit_of_more_than_half_the_circle_does_not_come_back() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.sender(session);
    let flow = Flow {
        next_incoming_id: Some(0),
        incoming_window: 100,
        next_outgoing_id: 0,
        outgoing_window: 100,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(u32::MAX),
        drain: true,
        ..Flow::default()
    };
    script.frame(0, &flow);
    script.end.engine.drained(link).unwrap();
    assert_eq!(script.end.engine.link_credit(link), 0);
    // Said before the peer has heard of it.
    script.frame(0, &flow);
    assert_eq!(script.end.engine.link_credit(link), 0);
    // A receiver does not grant so much in the first place.
    let mut pair = Pair::opened();
    let session = pair.session();
    let (ours, theirs) = pair.receiving(session, "L", u32::MAX);
    pair.client.engine.drain(ours).unwrap();
    pair.run();
    pair.server.engine.drained(theirs).unwrap();
    pair.run();
    assert!(pair.client.take(|event| matches!(event, Event::Drained { .. }).then_some(())).is_some());
    assert_eq!((pair.client.engine.link_credit(ours), pair.server.engine.link_credit(theirs)), (0, 0));
}

// What waited to be written was not counted as owed.
#[test]
fn dispositions_that_wait_pause_reading_as_those_written_do() {
    let mut theirs = config("s");
    theirs.limits.owed_output = 1_000;
    let mut pair = Pair::opened_with(config("c"), theirs);
    let session = pair.session();
    let (ours, _) = pair.sending(session, "L", 100);
    for number in 0..100 {
        pair.client.send(ours, b"x", Settlement::Unsettled, number);
    }
    pair.run();
    assert!(!pair.server.engine.is_read_paused());
    // No two neighbours alike: each leaves in a frame of its own.
    let mut states = [DeliveryState::Accepted, DeliveryState::Released].into_iter().cycle();
    while let Some((link, delivery)) = pair.server.delivery() {
        let state = states.next().unwrap();
        pair.server.engine.settle(link, delivery.id, state, Settlement::Settled).unwrap();
    }
    assert!(pair.server.engine.is_read_paused(), "100 dispositions wait");
    pair.run();
    assert!(!pair.server.engine.is_read_paused());
}

// S-034: the second detach was told as another end of the link.
#[test]
fn a_link_given_up_twice_ends_once() {
    let mut pair = Pair::opened();
    pair.server.is_accepting = false;
    let session = pair.client.engine.begin(SessionConfig::default()).unwrap();
    let ours = pair.client.engine.attach(session, LinkConfig::sender("L", target("q"))).unwrap();
    pair.client.engine.detach(ours, DetachKind::Closed, None).unwrap();
    pair.run();
    assert!(pair.server.detached().is_some());
    let mut detach = BytesMut::new();
    encode_frame(&mut detach, 0, &Detach { handle: 0, closed: true, error: None }, &[]);
    let _ = pair.server.feed(pair.now, &detach);
    pair.run();
    assert_eq!(pair.server.detached(), None);
    let ended = pair.client.take(|event| match event {
        Event::SessionEnded { error, .. } => error.clone(),
        _ => None,
    });
    assert_eq!(ended.map(|error| error.condition), Some(ErrorCondition::UNATTACHED_HANDLE));
}

// Output that left after the end started the heartbeat anew: frames on a finished connection, for ever.
#[test]
fn nothing_is_due_after_the_end_though_output_was_left() {
    let mut pair = Pair::opened_with(config("client"), config("server"));
    let session = pair.client.engine.begin(SessionConfig::default()).unwrap();
    pair.client.engine.handle_eof(pair.now);
    assert!(pair.client.engine.is_finished());
    assert!(pair.client.write_once(pair.now), "the begin of {session:?} was waiting");
    assert_eq!(pair.client.engine.poll_timeout(), None);
}

// The client was told of the end of a session that it had never been told of.
#[test]
fn a_session_that_a_client_turns_away_is_no_news_to_it() {
    let mut pair = Pair::opened();
    let session = pair.server.engine.begin(SessionConfig::default()).unwrap();
    pair.run();
    let ended = |event: &Event| match event {
        Event::SessionEnded { session, .. } => Some(*session),
        _ => None,
    };
    assert_eq!(pair.server.take(ended), Some(session));
    assert_eq!(pair.client.take(ended), None);
}

/// Two sending links in a session whose room for one unsettled delivery is taken by a large message of the first.
fn without_room() -> (Pair, LinkId, LinkId) {
    let mut settings = config("client");
    settings.limits.unsettled = 1;
    let mut pair = Pair::opened_with(settings, config("server"));
    let session = pair.session();
    let (first, _) = pair.sending(session, "first", 10);
    let (second, _) = pair.sending(session, "second", 10);
    while pair.client.writable().is_some() {}
    pair.client.send(first, &[0; 100_000], Settlement::Unsettled, 1);
    let refused = pair.client.engine.try_send(second, Outgoing::new(&b"x"[..], Settlement::Unsettled, 2));
    assert_eq!(refused, Err(TrySendError::TooManyUnsettled));
    (pair, first, second)
}

// A link that waited for room among the unsettled was not told when an abort made some.
#[test]
fn an_abort_makes_room_for_a_link_that_waits() {
    let (mut pair, first, second) = without_room();
    pair.client.engine.abort_send(first).unwrap();
    pair.run();
    assert_eq!(pair.client.writable(), Some(second));
    pair.client.send(second, b"x", Settlement::Unsettled, 2);
}

// Nor when another link was detached with what it had unsettled.
#[test]
fn a_detach_makes_room_for_a_link_that_waits() {
    let (mut pair, first, second) = without_room();
    pair.run();
    assert_eq!(pair.client.writable(), None);
    pair.client.engine.detach(first, DetachKind::Closed, None).unwrap();
    pair.run();
    assert_eq!(pair.client.writable(), Some(second));
    pair.client.send(second, b"x", Settlement::Unsettled, 2);
    pair.run();
    let (theirs, delivery) = loop {
        let (link, delivery) = pair.server.delivery().unwrap();
        if delivery.message.len() == 1 {
            break (link, delivery);
        }
    };
    pair.server.engine.settle(theirs, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    pair.run();
    assert_eq!(pair.client.settled(), Some((2, Some(DeliveryState::Accepted))));
}

// L-002, L-006: the answer was taken for a new attach, refused, and the two ends answered each other for ever.
#[test]
fn an_answer_to_a_stolen_attach_is_no_new_attach() {
    let mut pair = Pair::opened();
    let (one, two) = (pair.session(), pair.session());
    let ours = pair.client.engine.attach(one, LinkConfig::sender("L", target("q"))).unwrap();
    // The listener attaches the same link in another session, before it has seen ours.
    let theirs = pair.server.take(|event| match event {
        Event::SessionRequested { session, .. } if session.index() == two.index() => Some(*session),
        _ => None,
    });
    pair.server.engine.attach(theirs.unwrap(), LinkConfig::receiver("L", source("q"))).unwrap();
    pair.server.pump(pair.now);
    let crossing: Vec<u8> = pair.server.wire.drain(..).collect();
    let _ = pair.client.feed(pair.now, &crossing);
    pair.run();
    assert_eq!(
        pair.client.detached().map(|(link, cause, _)| (link, cause)),
        Some((ours, DetachCause::Stolen))
    );
    assert!(pair.client.written.len() < 2_000, "the ends talk on and on");
    // All names and handles are free again.
    let session = pair.session();
    pair.attach(session, LinkConfig::sender("L", target("q")));
}

// L-002, L-004, L-006: the answer to the stolen attach was taken for that of the next, whose handle was given to a third
// while the peer had yet to answer it.
#[test]
fn a_link_attached_after_one_that_was_stolen_unanswered_took_the_answer_to_that() {
    let mut script = Script::open_client();
    let one = script.session(100);
    let two = script.end.engine.begin(SessionConfig::default()).unwrap();
    script.frame(1, &begin(Some(1), 100));
    let receiver = || LinkConfig::receiver("L", source("q"));
    let first = script.end.engine.attach(one, receiver()).unwrap();
    script.written();
    // A sender of the peer's takes the name in another session, before the answer.
    let mut thief = answer_to(&receiver());
    script.frame(1, &thief);
    let stolen = script.end.take(|event| match event {
        Event::LinkFailed { link, cause, .. } => Some((*link, *cause)),
        _ => None,
    });
    assert_eq!(stolen, Some((first, DetachCause::Stolen)));
    // This client takes no links: the thief gives up.
    script.frame(1, &Detach { handle: 0, closed: true, error: None });
    let second = script.end.engine.attach(one, receiver()).unwrap();
    script.written();
    script.frame(0, &thief);
    script.frame(0, &Detach { handle: 0, closed: true, error: None });
    assert_eq!(script.end.detached().map(|(of, ..)| of), Some(first));
    thief.handle = 1;
    script.frame(0, &thief);
    let attached = script.end.take(|event| match event {
        Event::LinkAttached { link, .. } => Some(*link),
        _ => None,
    });
    assert_eq!(attached, Some(second));
    assert_eq!(script.end.engine.link_session(second), Some(one));
    assert!(script.end.engine.link_session(first).is_none() && script.end.engine.is_open());
    // The first one's handle is free, the second one's is not.
    script.end.engine.attach(two, LinkConfig::receiver("M", source("q"))).unwrap();
    script.end.engine.attach(one, LinkConfig::receiver("N", source("q"))).unwrap();
    let attaches = script.written().into_iter().filter_map(|written| match written {
        Performative::Attach(attach) => Some((attach.name.to_string(), attach.handle)),
        _ => None,
    });
    assert_eq!(attaches.last(), Some(("N".to_owned(), 0)));
}

// L-021: the flow was written off while the attach, or the session under it, waited for the answer, and the sender
// never heard of its credit.
#[test]
fn credit_granted_before_an_attach_is_answered_is_told_with_the_answer() {
    for is_session_late in [false, true] {
        let mut pair = Pair::opened();
        pair.server.is_accepting = false;
        let session = pair.client.engine.begin(SessionConfig::default()).unwrap();
        let ours = pair.client.engine.attach(session, LinkConfig::sender("L", target("q"))).unwrap();
        pair.run();
        let requested = pair.server.take(|event| match event {
            Event::SessionRequested { session, .. } => Some(*session),
            _ => None,
        });
        if !is_session_late {
            pair.server.engine.accept_session(requested.unwrap(), SessionConfig::default()).unwrap();
        }
        let (theirs, attach) = pair
            .server
            .take(|event| match event {
                Event::AttachRequested { link, attach, .. } => Some((*link, attach.clone())),
                _ => None,
            })
            .unwrap();
        pair.server.engine.set_credit(theirs, 7).unwrap();
        pair.run();
        assert_eq!(pair.client.engine.link_credit(ours), 0, "nothing is told of a link that is not answered");
        if is_session_late {
            pair.server.engine.accept_session(requested.unwrap(), SessionConfig::default()).unwrap();
        }
        pair.server.engine.accept_attach(theirs, AttachReply::granting(&attach)).unwrap();
        pair.run();
        assert_eq!(pair.client.engine.link_credit(ours), 7);
    }
}

/// A transfer whose tag has 33 octets, as the wire allows and the standard does not.
fn with_a_long_tag(handle: u8, id: u8) -> Vec<u8> {
    let fields = [&[0x52, handle, 0x52, id, 0xa0, 33][..], &[b'x'; 33]].concat();
    let list = [&[0x00, 0x53, 0x14, 0xc0, 1 + u8::try_from(fields.len()).unwrap(), 3][..], &fields].concat();
    let size = u32::try_from(8 + list.len()).unwrap();
    [&size.to_be_bytes()[..], &[2, 0, 0, 0], &list].concat()
}

// D-001, S-017: neither its number nor its frame was counted, and the next delivery, of whichever link, ended the session.
#[test]
fn a_tag_that_is_too_long_costs_its_link_alone() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.receiver(session, 10);
    let other = LinkConfig::receiver("M", source("q"));
    let mut answer = answer_to(&other);
    answer.handle = 1;
    let second = script.end.engine.attach(session, other).unwrap();
    script.frame(0, &answer);
    script.end.engine.set_credit(second, 10).unwrap();
    script.written();
    script.events();
    script.octets(&with_a_long_tag(0, 0));
    assert_eq!(last(&mut script), ("detach", Some("amqp:invalid-field".to_owned())));
    let stats = script.end.engine.session_stats(session).unwrap();
    assert_eq!(stats.incoming_window, 99, "the frame counts whatever becomes of it");
    let next = Transfer {
        handle: 1,
        delivery_id: Some(1),
        delivery_tag: Some(DeliveryTag::from(1u32)),
        ..Transfer::default()
    };
    script.payload(0, &next, b"message");
    assert_eq!(script.written(), []);
    let came = |event: &Event| matches!(event, Event::Delivery { link, .. } if *link == second);
    assert!(script.events().iter().any(came));
}

// S-012: such a transfer on a session that we had ended already cost the whole connection.
#[test]
fn a_tag_that_is_too_long_is_dropped_with_all_that_crosses_an_end() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.receiver(session, 10);
    script.end.engine.end(session, None).unwrap();
    script.written();
    script.events();
    script.octets(&with_a_long_tag(0, 0));
    script.octets(&with_a_long_tag(7, 1));
    assert_eq!(script.written(), []);
    assert!(script.events().is_empty());
    assert!(script.end.engine.failure().is_none());
}

// S-035: the link failed a second time that its application had detached.
#[test]
fn a_tag_that_is_too_long_is_dropped_where_it_crosses_a_detach() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.detached_receiver(session);
    script.octets(&with_a_long_tag(0, 0));
    assert_eq!(script.written(), []);
    assert!(script.events().is_empty());
}

// S-018: frames that nobody can use do not pass the window either.
#[test]
fn tags_that_are_too_long_are_held_to_the_window() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.detached_receiver(session);
    let frames: Vec<u8> = (0..=100).flat_map(|id| with_a_long_tag(0, id)).collect();
    script.octets(&frames);
    assert_eq!(last(&mut script), ("end", Some("amqp:session:window-violation".to_owned())));
}
