//! Channels, handles and names, and what both ends make of an attach.

use amqp_codec::{
    Attach, Begin, Described, Detach, Flow, Performative, ReceiverSettleMode, Role, SenderSettleMode, Source,
    Target, Value,
};
use amqp_transport::engine::{
    AttachReply, DetachCause, DetachKind, EndCause, Event, LinkConfig, SessionConfig, Settlement,
};

use crate::pair::{Pair, source, target};
use crate::script::{Script, answer_to, begin, last};

// S-001, S-002, S-004: our begin names nobody; the two channels of a session have nothing to do with each other.
#[test]
fn each_end_chooses_its_own_channel() {
    let mut script = Script::open_client();
    let first = script.end.engine.begin(SessionConfig::default()).unwrap();
    script.end.engine.begin(SessionConfig::default()).unwrap();
    let written = script.frames();
    assert_eq!(written.iter().map(|frame| frame.channel).collect::<Vec<_>>(), [0, 1]);
    for frame in written {
        assert!(
            matches!(frame.performative, Some(Performative::Begin(begin)) if begin.remote_channel.is_none())
        );
    }
    // The answers come in any order, on any channels.
    script.frame(9, &begin(Some(1), 10));
    script.frame(4, &begin(Some(0), 10));
    script.end.engine.attach(first, LinkConfig::sender("L", target("q"))).unwrap();
    assert!(script.frames().iter().all(|frame| frame.channel == 0), "on our channel");
    script.frame(4, &answer_to(&LinkConfig::sender("L", target("q"))));
    assert!(script.end.take(|event| matches!(event, Event::LinkAttached { .. }).then_some(())).is_some());
}

// S-022: the peer's begin starts its half of the windows, wherever its numbers start.
#[test]
fn a_begin_starts_the_peers_half_of_the_windows() {
    let mut script = Script::open_client();
    let session = script.end.engine.begin(SessionConfig::default()).unwrap();
    script.frame(0, &Begin { next_outgoing_id: u32::MAX, ..begin(Some(0), 1) });
    script.written();
    let link = script.receiver(session, 5);
    let transfer = |id: u32| amqp_codec::Transfer {
        delivery_id: Some(id),
        delivery_tag: Some(id.into()),
        settled: Some(true),
        ..Default::default()
    };
    script.payload(0, &transfer(0), b"x");
    script.payload(0, &transfer(1), b"x");
    script.frame(0, &Flow { echo: true, next_outgoing_id: 1, ..flow(None) });
    let written = script.written();
    let Some(Performative::Flow(told)) = written.last() else { panic!("{written:?}") };
    assert_eq!((told.next_incoming_id, script.end.engine.link_credit(link)), (Some(1), 3));
}

fn flow(handle: Option<u32>) -> Flow {
    Flow { next_incoming_id: Some(0), incoming_window: 100, outgoing_window: 100, handle, ..Flow::default() }
}

// S-025: everything but transfers passes a window of nothing.
#[test]
fn only_transfers_use_the_window() {
    let mut script = Script::open_client();
    let session = script.session(0);
    let link = script.sender(session);
    script.frame(
        0,
        &Flow { link_credit: Some(5), delivery_count: Some(0), incoming_window: 0, ..flow(Some(0)) },
    );
    let refused = script
        .end
        .engine
        .try_send(link, amqp_transport::engine::Outgoing::new(&b"x"[..], Settlement::Settled, 0));
    assert_eq!(refused, Err(amqp_transport::engine::TrySendError::WindowClosed));
    script.frame(0, &Flow { echo: true, incoming_window: 0, ..flow(Some(0)) });
    script.end.engine.attach(session, LinkConfig::sender("other", target("q"))).unwrap();
    script.end.engine.detach(link, DetachKind::Closed, None).unwrap();
    script.end.engine.end(session, None).unwrap();
    assert_eq!(script.names(), ["flow", "attach", "detach", "end"]);
}

// S-009, S-011: ends that cross end the session, and each end said so once.
#[test]
fn ends_that_cross_end_the_session() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let theirs = pair.server.take(|event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    pair.client.engine.end(session, None).unwrap();
    pair.server.engine.end(theirs.unwrap(), None).unwrap();
    pair.run();
    let ended = |event: &Event| match event {
        Event::SessionEnded { cause, error, .. } => Some((*cause, error.clone())),
        _ => None,
    };
    for end in [&mut pair.client, &mut pair.server] {
        assert_eq!(end.take(ended), Some((EndCause::Local, None)));
        assert_eq!(end.take(ended), None);
    }
    pair.session();
}

// S-036, L-003: handles are each end's own; the same name on another session is the same link, attached anew.
#[test]
fn names_match_handles_of_both_ends() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let config = LinkConfig::receiver("L", source("q"));
    let link = script.end.engine.attach(session, config.clone()).unwrap();
    script.written();
    // Our handle is 0; theirs is another.
    script.frame(0, &Attach { handle: 77, ..answer_to(&config) });
    script.end.engine.set_credit(link, 3).unwrap();
    let written = script.written();
    assert!(matches!(written[..], [Performative::Flow(ref flow)] if flow.handle == Some(0)), "{written:?}");
    script.frame(0, &Detach { handle: 77, closed: true, error: None });
    assert!(matches!(script.events().last(), Some(Event::LinkDetached { link: gone, .. }) if *gone == link));
    let second = script.end.engine.begin(SessionConfig::default()).unwrap();
    script.frame(1, &begin(Some(1), 10));
    script.end.engine.attach(session, config.clone()).unwrap();
    let twice = script.end.engine.attach(second, config);
    assert!(twice.is_err(), "a link is attached to one session at a time");
}

// Scenario 47: an answer by another name is no answer; ours waits on, and takes the right one.
#[test]
fn an_answer_by_another_name_is_no_answer() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let config = LinkConfig::receiver("L", source("q"));
    let link = script.end.engine.attach(session, config.clone()).unwrap();
    script.written();
    script.frame(0, &Attach { name: "mistaken".into(), handle: 5, ..answer_to(&config) });
    assert_eq!(last(&mut script), ("detach", Some("amqp:not-allowed".into())));
    assert!(script.end.take(|event| matches!(event, Event::LinkAttached { .. }).then_some(())).is_none());
    script.frame(0, &Detach { handle: 5, closed: true, error: None });
    script.frame(0, &answer_to(&config));
    let attached = script.end.take(|event| match event {
        Event::LinkAttached { link, .. } => Some(*link),
        _ => None,
    });
    assert_eq!(attached, Some(link));
}

// Scenario 50, L-033, L-034: the mode of each end is that end's to say; a wish that was not granted is seen.
#[test]
fn a_settle_mode_that_was_not_granted_is_seen() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let mut config = LinkConfig::sender("L", target("q"));
    config.rcv_settle_mode = ReceiverSettleMode::Second;
    let answer = answer_to(&config);
    assert_eq!(answer.rcv_settle_mode, ReceiverSettleMode::First);
    let link = script.attach(session, config);
    let granted = script.end.engine.remote_attach(link).unwrap().rcv_settle_mode;
    assert_eq!(granted, ReceiverSettleMode::First);
    let attached = script.end.take(|event| match event {
        Event::LinkAttached { attach, .. } => Some(attach.rcv_settle_mode),
        _ => None,
    });
    assert_eq!(attached, Some(ReceiverSettleMode::First));

    let mut config = LinkConfig::receiver("R", source("q"));
    config.snd_settle_mode = SenderSettleMode::Settled;
    let answer = Attach { snd_settle_mode: SenderSettleMode::Unsettled, handle: 1, ..answer_to(&config) };
    let link = script.end.engine.attach(session, config).unwrap();
    script.frame(0, &answer);
    let granted = script.end.engine.remote_attach(link).unwrap().snd_settle_mode;
    assert_eq!(granted, SenderSettleMode::Unsettled);
}

// Scenario 85, L-027: a receiver's initial-delivery-count means nothing; a sender's must be there.
#[test]
fn only_a_senders_initial_delivery_count_counts() {
    let mut script = Script::open_listener();
    script.frame(0, &begin(None, 10));
    let session = script.end.take(|event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    script.end.engine.accept_session(session.unwrap(), SessionConfig::default()).unwrap();
    let mut attach = Attach::new("L", 0, Role::Receiver);
    (attach.source, attach.initial_delivery_count) = (Some(source("q")), Some(77));
    script.frame(0, &attach);
    let link = script.end.requested().unwrap();
    script.end.engine.accept_attach(link, AttachReply::granting(&attach)).unwrap();
    script.written();
    script.frame(0, &Flow { delivery_count: Some(0), link_credit: Some(2), ..flow(Some(0)) });
    assert_eq!(script.end.engine.link_credit(link), 2, "counted from our own first");
    let mut attach = Attach::new("S", 1, Role::Sender);
    (attach.target, attach.initial_delivery_count) = (Some(target("q").into()), None);
    script.frame(0, &attach);
    assert_eq!(last(&mut script), ("detach", Some("amqp:invalid-field".into())));
}

// Scenario 97, L-035: only the peer's own terminus says that it has none; the other may be missing from its answer.
#[test]
fn a_missing_terminus_refuses_only_where_it_is_the_peers() {
    for (is_missing_theirs, is_attached) in [(false, true), (true, false)] {
        let mut script = Script::open_client();
        let session = script.session(100);
        let config = LinkConfig::receiver("L", source("q"));
        let mut answer = answer_to(&config);
        if is_missing_theirs {
            answer.source = None
        } else {
            answer.target = None
        }
        let link = script.end.engine.attach(session, config).unwrap();
        script.frame(0, &answer);
        let attached = script.end.take(|event| matches!(event, Event::LinkAttached { .. }).then_some(()));
        assert_eq!(attached.is_some(), is_attached);
        // L-008: who waits for a detach sends no credit.
        script.end.engine.set_credit(link, 5).unwrap();
        assert_eq!(script.names().contains(&"flow"), is_attached);
        if is_missing_theirs {
            script.frame(0, &Detach { handle: 0, closed: true, error: None });
            assert_eq!(script.end.detached(), Some((link, DetachCause::Refused, None)));
        }
    }
}

// L-010, L-046, L-049, L-050: what each end owns it may change, and the other sees what is in force.
#[test]
fn the_owner_of_a_terminus_has_the_last_word() {
    let mut pair = Pair::opened();
    let session = pair.session();
    pair.server.is_accepting = false;
    let wanted = Target { dynamic: true, ..Target::default() };
    let link = pair.client.engine.attach(session, LinkConfig::sender("up", wanted)).unwrap();
    pair.run();
    let asked = pair.server.requested().unwrap();
    let attach = pair.server.engine.remote_attach(asked).unwrap();
    let mut reply = AttachReply::granting(&attach);
    reply.target = Some(Target { dynamic: true, ..Target::new("made-for-you") }.into());
    pair.server.engine.accept_attach(asked, reply).unwrap();
    pair.run();
    let answer = pair.client.engine.remote_attach(link).unwrap();
    assert_eq!(
        answer.target.as_ref().and_then(|target| target.address()).map(|name| &**name),
        Some("made-for-you")
    );

    let filter = |text: &'static str| Described::new(Value::symbol("example:filter"), Value::from(text));
    let wanted = Source::new("q").with_filter("known", filter("a")).with_filter("unknown", filter("b"));
    let link = pair.client.engine.attach(session, LinkConfig::receiver("down", wanted)).unwrap();
    pair.run();
    let asked = pair.server.requested().unwrap();
    let attach = pair.server.engine.remote_attach(asked).unwrap();
    let mut reply = AttachReply::granting(&attach);
    let mut granted = Source::new("q").with_filter("known", filter("a"));
    granted.distribution_mode = Some(amqp_codec::DistributionMode::COPY);
    reply.source = Some(granted.clone());
    pair.server.engine.accept_attach(asked, reply).unwrap();
    pair.run();
    assert_eq!(pair.client.engine.remote_attach(link).unwrap().source, Some(granted));
}

// L-031: a link's flow that only speaks of the session changes the session, and leaves the credit.
#[test]
fn a_links_flow_speaks_of_the_session_too() {
    let mut script = Script::open_client();
    let session = script.session(0);
    let link = script.sender(session);
    script.frame(
        0,
        &Flow { link_credit: Some(4), delivery_count: Some(0), incoming_window: 0, ..flow(Some(0)) },
    );
    script.frame(0, &Flow { incoming_window: 9, ..flow(Some(0)) });
    assert_eq!(script.end.engine.link_credit(link), 4);
    script.end.send(link, b"x", Settlement::Settled, 0);
    assert_eq!(script.names(), ["transfer"]);
}

// L-013, L-014: whoever wants a suspended link gone attaches it anew, and closes it then.
#[test]
fn a_suspended_link_is_closed_by_attaching_it_anew() {
    let mut pair = Pair::opened();
    let session = pair.session();
    let (ours, theirs) = pair.sending(session, "L", 1);
    // A close that crosses a suspension, first: both ends are told what the other said.
    pair.server.engine.detach(theirs, DetachKind::Suspended, None).unwrap();
    pair.client.engine.detach(ours, DetachKind::Closed, None).unwrap();
    pair.run();
    let kind = |event: &Event| match event {
        Event::LinkDetached { kind, .. } => Some(*kind),
        _ => None,
    };
    assert_eq!(pair.client.take(kind), Some(DetachKind::Suspended));
    assert_eq!(pair.server.take(kind), Some(DetachKind::Closed));
    let (ours, _) = pair.sending(session, "L", 1);
    pair.client.engine.detach(ours, DetachKind::Closed, None).unwrap();
    pair.run();
    assert_eq!(
        (pair.client.take(kind), pair.server.take(kind)),
        (Some(DetachKind::Closed), Some(DetachKind::Closed))
    );
}

// Scenario 84: what a flow tells beside credit is shown, and changes nothing else.
#[test]
fn what_a_flow_tells_beside_credit_is_shown() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.sender(session);
    script.events();
    let properties = amqp_codec::Fields::new().with("example:load", 7_u32);
    let told = Flow {
        link_credit: Some(4),
        delivery_count: Some(0),
        properties: Some(properties.clone()),
        ..flow(Some(0))
    };
    script.frame(0, &told);
    let shown = script.end.take(|event| match event {
        Event::LinkState { link, properties } => Some((*link, properties.clone())),
        _ => None,
    });
    assert_eq!(shown, Some((link, properties)));
    assert_eq!(script.end.engine.link_credit(link), 4);
    script.frame(0, &Flow { link_credit: Some(4), delivery_count: Some(0), ..flow(Some(0)) });
    assert!(script.end.take(|event| matches!(event, Event::LinkState { .. }).then_some(())).is_none());
}
