//! Many links, many deliveries, and what can be seen of them: each test is named after what went wrong.

use std::time::{Duration, Instant};

use amqp_codec::{DeliveryState, DeliveryTag, ErrorCondition, Flow, Performative};
use amqp_transport::engine::{
    DetachCause, DetachKind, Event, LinkConfig, Outgoing, SessionConfig, Settlement, TrySendError,
};

use bytes::Bytes;

use crate::pair::{Pair, config, source, target};
use crate::script::Script;

/// How long a message of so many octets takes from one engine to the other.
#[expect(clippy::disallowed_methods, reason = "two times are compared, of one run")]
fn crossing(octets: usize) -> Duration {
    let (client, mut server) = (config("c"), config("s"));
    server.limits.partial_delivery_bytes = 64 * 1024 * 1024;
    let mut pair = Pair::opened_with(client, server);
    let session = pair.session();
    let (ours, _) = pair.sending(session, "L", 1);
    let payload = Bytes::from(vec![7; octets]);
    let start = Instant::now();
    pair.client.engine.try_send(ours, Outgoing::new(payload.clone(), Settlement::Settled, 0)).unwrap();
    pair.run();
    let taken = start.elapsed();
    assert!(pair.server.delivery().unwrap().1.message == payload, "{octets} octets");
    taken
}

// Scenario 100: joined anew with every frame, ten times the octets take a hundred times as long.
#[test]
fn a_message_of_fifty_megabytes_takes_ten_times_as_long_as_one_of_five() {
    let small = crossing(5_000_000).max(crossing(5_000_000));
    let large = crossing(50_000_000).min(crossing(50_000_000));
    assert!(large < small * 40, "{small:?}, {large:?}");
}

fn tagged(tag: u32, user: u32) -> Outgoing<'static> {
    let mut outgoing = Outgoing::new(&b"x"[..], Settlement::Unsettled, user);
    outgoing.tag = Some(DeliveryTag::from(tag));
    outgoing
}

// D-001: only the two youngest were looked at.
#[test]
fn a_delivery_tag_repeated_after_many_others_is_found() {
    for (tags, repeated) in [((0..500).collect::<Vec<u32>>(), 3), ((0..500).rev().collect(), 499)] {
        let mut pair = Pair::opened();
        let session = pair.session();
        let (ours, theirs) = pair.sending(session, "L", 1_000);
        for (user, tag) in (0..).zip(tags) {
            pair.client.engine.try_send(ours, tagged(tag, user)).unwrap();
        }
        pair.run();
        assert_eq!(std::iter::from_fn(|| pair.server.delivery()).count(), 500);
        pair.client.engine.try_send(ours, tagged(repeated, 500)).unwrap();
        pair.run();
        let (link, cause, error) = pair.server.detached().unwrap();
        assert_eq!((link, cause), (theirs, DetachCause::Violation));
        assert_eq!(error.unwrap().condition, ErrorCondition::NOT_ALLOWED);
    }
}

// D-001: settled, a tag is free again, in whatever order.
#[test]
fn a_delivery_tag_may_be_used_again_once_it_is_settled() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (ours, theirs) = pair.sending(session, "L", 1_000);
    for round in 0..3 {
        for tag in [5, 4, 9, 1] {
            pair.client.engine.try_send(ours, tagged(tag, round)).unwrap();
        }
        pair.run();
        // The last of each round stays for the next.
        for _ in 0..4 {
            let (_, delivery) = pair.server.delivery().unwrap();
            let id = delivery.id;
            pair.server.engine.settle(theirs, id, DeliveryState::Accepted, Settlement::Settled).unwrap();
        }
        pair.run();
        assert_eq!(pair.server.detached(), None);
    }
}

// S-026: handles beyond the peer's handle-max closed the whole connection.
#[test]
fn links_pipelined_beyond_the_handle_max_that_the_begin_brings_fail_alone() {
    let mut pair = Pair::opened();
    pair.server.session.handle_max = 1;
    let session = pair.client.engine.begin(SessionConfig::default()).unwrap();
    let links: Vec<_> = (0..4)
        .map(|number: u32| {
            let config = LinkConfig::receiver(number.to_string(), source("q"));
            pair.client.engine.attach(session, config).unwrap()
        })
        .collect();
    pair.client.engine.set_credit(links[1], 7).unwrap();
    // Given up before it could leave.
    pair.client.engine.detach(links[2], DetachKind::Closed, None).unwrap();
    assert_eq!(
        pair.client.engine.poll_event().map(|event| matches!(event, Event::LinkDetached { .. })),
        Some(true)
    );
    pair.run();
    let attached: Vec<_> = std::iter::from_fn(|| {
        pair.client.take(|event| match event {
            Event::LinkAttached { link, .. } => Some(*link),
            _ => None,
        })
    })
    .collect();
    assert_eq!(attached, links[..2]);
    assert_eq!(pair.client.detached(), Some((links[3], DetachCause::NoHandle, None)));
    assert_eq!(pair.client.closed(), None);
    let theirs: Vec<_> = std::iter::from_fn(|| pair.server.requested()).collect();
    assert_eq!(theirs.len(), 2);
    assert_eq!(pair.server.engine.link_credit(theirs[1]), 7, "credit granted before the attach left");
}

// A hundred thousand links on one session: handles were searched from the first each time.
#[test]
fn a_hundred_thousand_links_fit_one_session_and_leave_it() {
    const LINKS: usize = 100_000;
    let limits = |container| {
        let mut config = config(container);
        config.limits.links = LINKS;
        config
    };
    let mut pair = Pair::opened_with(limits("c"), limits("s"));
    let mut wide = SessionConfig::default();
    wide.handle_max = 99_999;
    pair.server.session = wide.clone();
    let session = pair.session_with(wide);
    let links: Vec<_> = (0..LINKS)
        .map(|number| {
            let config = LinkConfig::sender(number.to_string(), target("q"));
            pair.client.engine.attach(session, config).unwrap()
        })
        .collect();
    pair.run();
    assert_eq!(pair.server.engine.stats().links, LINKS);
    assert_eq!(pair.client.engine.stats().frames_in, u64::try_from(LINKS).unwrap() + 2);
    for link in links {
        pair.client.engine.detach(link, DetachKind::Closed, None).unwrap();
    }
    pair.run();
    assert_eq!((pair.client.engine.stats().links, pair.server.engine.stats().links), (0, 0));
}

// A link's end walked all that was unsettled in its session.
#[test]
fn links_that_leave_one_by_one_leave_what_others_hold() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (held, holder) = pair.sending(session, "held", 1_000);
    for user in 0..400 {
        pair.client.send(held, b"x", Settlement::Unsettled, user);
    }
    pair.run();
    for number in 0..200u32 {
        let (ours, _) = pair.attach(session, LinkConfig::sender(number.to_string(), target("q")));
        let theirs = pair.server.engine.poll_event();
        assert!(theirs.is_none());
        pair.client.engine.detach(ours, DetachKind::Closed, None).unwrap();
        pair.run();
    }
    let stats = pair.client.engine.session_stats(session).unwrap();
    assert_eq!(stats.unsettled_outgoing, 400);
    let ids: Vec<_> =
        std::iter::from_fn(|| pair.server.delivery()).map(|(_, delivery)| delivery.id).collect();
    for id in ids {
        pair.server.engine.settle(holder, id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    }
    pair.run();
    assert_eq!(std::iter::from_fn(|| pair.client.settled()).count(), 400);
    assert_eq!(pair.client.engine.session_stats(session).unwrap().unsettled_outgoing, 0);
}

// 65,535 deliveries settled by one range: one frame, one event each.
#[test]
fn one_disposition_settles_all_that_a_session_holds() {
    const HELD: u32 = 65_535;
    let mut roomy = config("c");
    // A link has half of it.
    roomy.limits.unsettled = 2 * 65_535;
    let mut pair = Pair::opened_with(roomy, config("s"));
    let mut wide = SessionConfig::default();
    wide.incoming_window = HELD;
    pair.server.session = wide.clone();
    let session = pair.session_with(wide);
    let (ours, theirs) = pair.sending(session, "L", HELD);
    for user in 0..HELD {
        pair.client.send(ours, b"x", Settlement::Unsettled, user);
        if user % 1_000 == 0 {
            pair.run();
        }
    }
    pair.run();
    let ids: Vec<_> =
        std::iter::from_fn(|| pair.server.delivery()).map(|(_, delivery)| delivery.id).collect();
    assert_eq!(ids.len(), usize::try_from(HELD).unwrap());
    let before = pair.client.engine.stats().frames_in;
    for id in ids {
        pair.server.engine.settle(theirs, id, DeliveryState::Accepted, Settlement::Settled).unwrap();
    }
    pair.run();
    assert_eq!(pair.client.engine.stats().frames_in, before + 1);
    let settled = pair.client.events.iter().filter(|event| matches!(event, Event::Settled { .. })).count();
    assert_eq!(settled, usize::try_from(HELD).unwrap());
    assert_eq!(pair.client.engine.link_stats(ours).unwrap().unsettled, 0);
}

// S-031, scenario 32: a storm of echoes cost as many flows.
#[test]
fn a_storm_of_echoes_is_answered_once_now_and_once_later() {
    let mut script = Script::open_client();
    let session = script.session(100);
    script.sender(session);
    let echo = |handle| Flow {
        next_incoming_id: Some(0),
        incoming_window: 100,
        next_outgoing_id: 0,
        outgoing_window: 100,
        handle,
        echo: true,
        ..Flow::default()
    };
    for _ in 0..500 {
        script.frame(0, &echo(None));
        script.frame(0, &echo(Some(0)));
    }
    assert_eq!(script.written().len(), 1);
    let due = script.end.engine.poll_timeout().unwrap();
    script.now = due;
    script.end.engine.handle_timeout(due);
    let late = script.written();
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(matches!(&late[0], Performative::Flow(flow) if flow.handle == Some(0) && !flow.echo));
    assert!(script.end.engine.stats().echoes_coalesced > 900);
    // Asked at leisure, each has its answer.
    script.now += Duration::from_millis(10);
    script.frame(0, &echo(None));
    assert_eq!(script.written().len(), 1);
}

#[test]
fn stalls_queues_and_octets_are_counted() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (ours, theirs) = pair.sending(session, "L", 1);
    pair.client.send(ours, b"12345", Settlement::Unsettled, 0);
    let refused = pair.client.engine.try_send(ours, Outgoing::new(&b"x"[..], Settlement::Unsettled, 1));
    assert_eq!(refused, Err(TrySendError::NoCredit));
    let stats = pair.client.engine.stats();
    assert_eq!((stats.stalls.credit, stats.sessions, stats.links), (1, 1, 1));
    assert!(stats.queued_output > 0);
    pair.run();
    let (sent, come) =
        (pair.client.engine.link_stats(ours).unwrap(), pair.server.engine.link_stats(theirs).unwrap());
    assert_eq!((sent.octets, sent.unsettled, sent.delivery_count, sent.credit), (5, 1, 1, 0));
    assert_eq!((come.octets, come.unsettled, come.delivery_count), (5, 1, 1));
    let windows = pair.server.engine.session_stats(pair.server.engine.link_session(theirs).unwrap()).unwrap();
    assert_eq!((windows.incoming_window, windows.unsettled_incoming), (2_047, 1));
    assert_eq!(pair.client.engine.stats().frames_out, pair.server.engine.stats().frames_in);
    assert_eq!(pair.server.engine.stats().frames_out, pair.client.engine.stats().frames_in);
}
