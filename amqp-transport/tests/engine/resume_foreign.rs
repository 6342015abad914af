//! Links that a peer of another make resumes, frame by frame: what it may do that our own engine never does.

use std::sync::Arc;

use amqp_codec::{
    Attach, DeliveryState, DeliveryTag, Detach, Disposition, Flow, Map, Open, Performative, ProtocolHeader,
    Received, Role, Transfer, Value, to_bytes,
};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{
    AttachReply, DetachCause, Event, LinkConfig, LinkId, Outgoing, Retention, SessionConfig, Settlement,
    SuspendedLink, TrySendError, UnsettledDelivery,
};
use bytes::Bytes;

use crate::pair::{source, target};
use crate::resume::{KEEP, holding, message, news, suspended, tag};
use crate::script::{Script, condition};

/// A listener with a session on each of two channels.
fn listener() -> Script {
    let mut script = Script::open_listener();
    for channel in [0, 1] {
        script.frame(channel, &crate::script::begin(None, 100));
        let session = script.end.take(|event| match event {
            Event::SessionRequested { session, .. } => Some(*session),
            _ => None,
        });
        let mut config = SessionConfig::default();
        config.incoming_window = 100;
        script.end.engine.accept_session(session.unwrap(), config).unwrap();
    }
    script.written();
    script
}

/// The peer's attach of the link in this role of its own, on this handle.
fn attach(role: Role, handle: u32) -> Attach {
    let mut attach = Attach::new("L", handle, role);
    attach.source = Some(source("q"));
    attach.target = Some(target("q").into());
    attach
}

fn telling<'a>(entries: impl IntoIterator<Item = (&'a DeliveryTag, Option<DeliveryState>)>) -> Option<Map> {
    let entry = |(tag, state): (&DeliveryTag, Option<DeliveryState>)| {
        let state = state.map_or(Value::Null, |state| Value::of(&state).unwrap());
        (Value::Binary(Bytes::copy_from_slice(tag.as_slice())), state)
    };
    Some(entries.into_iter().map(entry).collect())
}

fn requested(event: &Event) -> Option<(LinkId, Arc<Attach>)> {
    match event {
        Event::AttachRequested { link, attach, .. } => Some((*link, Arc::clone(attach))),
        _ => None,
    }
}

/// Accepts the link that was asked for, resuming this.
fn accept(script: &mut Script, resume: Option<SuspendedLink>) -> LinkId {
    let (link, attach) = script.end.take(requested).unwrap();
    let mut reply = AttachReply::granting(&attach);
    (reply.retention, reply.resume) = (KEEP, resume.map(Box::new));
    script.end.engine.accept_attach(link, reply).unwrap();
    link
}

/// What was told of a link that was stolen, and that all of it came before the new attach.
fn stolen(script: &mut Script, link: LinkId) -> SuspendedLink {
    let order: Vec<_> = script
        .end
        .events
        .iter()
        .filter_map(|event| match event {
            Event::LinkSuspended { link: of, .. } if *of == link => Some("suspended"),
            Event::LinkDetached { link: of, cause: DetachCause::Stolen, .. } if *of == link => {
                Some("detached")
            }
            Event::AttachRequested { .. } => Some("requested"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["suspended", "detached", "requested"]);
    let state = suspended(&mut script.end).unwrap();
    assert_eq!(script.end.detached().map(|(of, cause, _)| (of, cause)), Some((link, DetachCause::Stolen)));
    state
}

/// A transfer or disposition: which, of what number, whether settled, and in what state.
type Said = (&'static str, Option<u32>, Option<bool>, Option<DeliveryState>);

/// The transfers and dispositions that were written.
fn said(script: &mut Script) -> Vec<Said> {
    let told = |performative: Performative| match performative {
        Performative::Transfer(transfer) => Some((
            if transfer.resume { "resume" } else { "send" },
            transfer.delivery_id,
            transfer.settled,
            transfer.state.map(|state| *state),
        )),
        Performative::Disposition(told) => Some(("tell", Some(told.first), Some(told.settled), told.state)),
        _ => None,
    };
    script.written().into_iter().filter_map(told).collect()
}

// L-002, L-009, R-04
#[test]
fn a_receiver_whose_link_was_stolen_lost_what_it_held() {
    for channel in [0, 1] {
        let mut script = listener();
        script.frame(0, &attach(Role::Sender, 0));
        let first = accept(&mut script, None);
        script.end.engine.set_credit(first, 10).unwrap();
        let mut transfer =
            Transfer { delivery_id: Some(0), delivery_tag: Some(tag()), ..Transfer::default() };
        script.payload(0, &transfer, &message());
        let (_, held) = script.end.delivery().unwrap();

        script.frame(channel, &Attach { unsettled: telling([(&tag(), None)]), ..attach(Role::Sender, 1) });
        let state = stolen(&mut script, first);
        assert_eq!(state.deliveries.len(), 1);
        assert!(
            script.end.engine.settle(first, held.id, DeliveryState::Accepted, Settlement::Settled).is_err()
        );
        let second = accept(&mut script, Some(state));
        script.end.engine.set_credit(second, 10).unwrap();
        script.written();
        // The old handle ends without another word to the application.
        script.frame(0, &Detach { handle: 0, closed: true, error: None });
        assert_eq!(script.end.detached(), None);
        (transfer.handle, transfer.resume) = (1, true);
        transfer.delivery_id = Some(if channel == 0 { 1 } else { 0 });
        script.payload(channel, &transfer, &message());
        let resumed = script.end.take(|event| match event {
            Event::DeliveryResumed { link, delivery, .. } => Some((*link, *delivery)),
            _ => None,
        });
        let (link, delivery) = resumed.unwrap();
        assert_eq!(link, second);
        script.end.engine.settle(second, delivery, DeliveryState::Accepted, Settlement::Settled).unwrap();
        assert_eq!(
            said(&mut script),
            [("tell", transfer.delivery_id, Some(true), Some(DeliveryState::Accepted))]
        );
    }
}

// L-002, R-03, R-06: in flight when it was stolen, and decided in the new attach; what is said of the old numbers
// afterwards is too late.
#[test]
fn messages_in_flight_on_a_stolen_link_ended_as_unknown() {
    let mut script = listener();
    script.frame(0, &attach(Role::Receiver, 0));
    let first = accept(&mut script, None);
    let flow = |handle, delivery_count| Flow {
        handle: Some(handle),
        delivery_count: Some(delivery_count),
        link_credit: Some(10),
        next_incoming_id: Some(0),
        incoming_window: 100,
        outgoing_window: 100,
        ..Flow::default()
    };
    script.frame(0, &flow(0, 0));
    let other = DeliveryTag::from(9_u32);
    for sent in [tag(), other] {
        let mut outgoing = Outgoing::new(message(), Settlement::Unsettled, 7);
        outgoing.tag = Some(sent);
        script.end.engine.try_send(first, outgoing).unwrap();
    }
    let rejected = DeliveryState::Released;
    script.frame(
        0,
        &Attach { unsettled: telling([(&tag(), Some(rejected.clone()))]), ..attach(Role::Receiver, 1) },
    );
    let state = stolen(&mut script, first);
    assert_eq!((state.deliveries.len(), state.delivery_count), (2, 2));
    let late = Disposition {
        role: Role::Receiver,
        first: 0,
        last: Some(1),
        settled: true,
        state: Some(DeliveryState::Accepted),
        ..Disposition::default()
    };
    script.frame(0, &late);
    assert_eq!(news(&mut script.end), Vec::<String>::new());
    script.written();
    accept(&mut script, Some(state));
    script.frame(0, &Detach { handle: 0, closed: true, error: None });
    script.frame(0, &flow(1, 2));
    assert_eq!(news(&mut script.end), ["settled released"]);
    assert_eq!(
        said(&mut script),
        [("resume", Some(2), Some(true), Some(rejected)), ("send", Some(3), None, None)]
    );
    script.frame(0, &Disposition { first: 3, last: None, ..late });
    assert_eq!(news(&mut script.end), ["settled accepted"]);
}

// seen of fe2o3-amqp, which tells of a whole message that it has one section and all octets of a second.
#[test]
fn a_message_told_to_have_come_beyond_its_end_was_aborted() {
    let mut script = listener();
    let beyond = DeliveryState::Received(Received { section_number: 1, section_offset: 8 });
    script.frame(0, &Attach { unsettled: telling([(&tag(), Some(beyond))]), ..attach(Role::Receiver, 0) });
    accept(&mut script, Some(holding(Role::Sender, None)));
    let flow = Flow {
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(10),
        next_incoming_id: Some(0),
        incoming_window: 100,
        outgoing_window: 100,
        ..Flow::default()
    };
    script.frame(0, &flow);
    assert_eq!(news(&mut script.end), Vec::<String>::new());
    let frames = script.frames();
    let sent = frames.iter().find_map(|frame| match &frame.performative {
        Some(Performative::Transfer(transfer)) => Some((transfer.clone(), frame.payload.clone())),
        _ => None,
    });
    let (transfer, payload) = sent.unwrap();
    assert_eq!((transfer.resume, transfer.aborted, transfer.state), (true, false, None));
    assert_eq!(payload, message());
}

// L-036: at about 341 entries the attach had more values than a performative may have, and cost the connection.
#[test]
fn an_attach_of_a_peer_with_thousands_of_unsettled_deliveries_was_refused() {
    const MANY: u32 = 5_000;
    let tags: Vec<_> = (0..MANY).map(DeliveryTag::from).collect();
    let mut held = holding(Role::Receiver, None);
    let delivery = held.deliveries.remove(0);
    held.deliveries.extend(tags.iter().map(|tag| {
        let mut delivery = delivery.clone();
        (delivery.tag, delivery.is_whole) = (*tag, true);
        delivery
    }));
    let mut script = listener();
    // Every other one is settled there.
    let told = tags.iter().step_by(2).map(|tag| (tag, None));
    let attach = Attach { unsettled: telling(told), ..attach(Role::Sender, 0) };
    assert!(to_bytes(&attach).len() < 65_000);
    script.frame(0, &attach);
    let link = accept(&mut script, Some(held));
    script.end.engine.set_credit(link, MANY).unwrap();
    assert!(matches!(&script.written()[0], Performative::Attach(attach) if attach.unsettled.is_some()));
    let mut settled = 0;
    while script.end.take(|event| matches!(event, Event::SettledBefore { .. }).then_some(())).is_some() {
        settled += 1;
    }
    assert_eq!(settled, MANY / 2);
    for (id, tag) in (0..).zip(tags.iter().step_by(2)).take(50) {
        let transfer =
            Transfer { delivery_id: Some(id), delivery_tag: Some(*tag), resume: true, ..Transfer::default() };
        script.payload(0, &transfer, &message());
        let resumed = script.end.take(|event| match event {
            Event::DeliveryResumed { tag, .. } => Some(*tag),
            _ => None,
        });
        assert_eq!(resumed, Some(*tag));
    }
}

/// The attach of a receiver that tells a part of what it holds.
fn in_part() -> Attach {
    let unsettled = telling([(&tag(), None)]);
    Attach { unsettled, incomplete_unsettled: true, ..attach(Role::Receiver, 0) }
}

fn credit() -> Flow {
    Flow {
        next_incoming_id: Some(0),
        incoming_window: 100,
        outgoing_window: 100,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(10),
        ..Flow::default()
    }
}

// L-037
#[test]
fn a_sender_with_nothing_to_resume_sent_new_messages_to_a_receiver_that_had_told_only_a_part() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let config = LinkConfig::sender("L", target("q"));
    let link = script.end.engine.attach(session, config.clone()).unwrap();
    script.frame(0, &in_part());
    script.frame(0, &credit());
    let outgoing = || Outgoing::new(&b"new"[..], Settlement::Unsettled, 1);
    assert!(matches!(script.end.engine.try_send(link, outgoing()), Err(TrySendError::Link(_))));
    let written = script.written();
    assert!(matches!(&written[0], Performative::Attach(attach) if !attach.incomplete_unsettled));
    assert!(matches!(&written[1..], [Performative::Detach(Detach { closed: false, error: None, .. })]));
    script.frame(0, &Detach { handle: 0, ..Detach::default() });
    assert_eq!(
        script.end.detached().map(|(of, cause, _)| (of, cause)),
        Some((link, DetachCause::Incomplete))
    );
    // The sender's map was whole, and empty: when it attaches again, the receiver has nothing of before to tell.
    let link = script.attach(session, config);
    script.frame(0, &credit());
    script.end.engine.try_send(link, outgoing()).unwrap();
    assert_eq!(script.names(), ["transfer"]);
}

// L-037
#[test]
fn a_listener_with_nothing_to_resume_sent_new_messages_to_a_receiver_that_had_told_only_a_part() {
    for retention in [Retention::Forget, KEEP] {
        let mut script = listener();
        script.frame(0, &in_part());
        script.frame(0, &credit());
        let (link, attach) = script.end.take(requested).unwrap();
        let mut reply = AttachReply::granting(&attach);
        reply.retention = retention;
        script.end.engine.accept_attach(link, reply).unwrap();
        let sent = script.end.engine.try_send(link, Outgoing::new(&b"new"[..], Settlement::Settled, 1));
        assert!(matches!(sent, Err(TrySendError::Link(_))));
        assert_eq!(script.names(), ["attach", "detach"]);
        script.frame(0, &Detach { handle: 0, ..Detach::default() });
        let cause = script.end.detached().map(|(_, cause, _)| cause);
        assert_eq!(cause, Some(DetachCause::Incomplete));
    }
}

// D-001: what was held under a tag and what came anew under it were told under one key of a map, and written down so.
#[test]
fn a_tag_that_its_sender_uses_anew_is_unsettled_once() {
    for more in [false, true] {
        let mut script = listener();
        script.frame(0, &Attach { unsettled: telling([(&tag(), None)]), ..attach(Role::Sender, 0) });
        let link = accept(&mut script, Some(holding(Role::Receiver, None)));
        script.end.engine.set_credit(link, 10).unwrap();
        let transfer =
            Transfer { delivery_id: Some(0), delivery_tag: Some(tag()), more, ..Transfer::default() };
        script.payload(0, &transfer, &message());
        script.end.engine.abort(ConnectionError::EndOfStream);
        script.end.pump(script.now);
        let left = suspended(&mut script.end).unwrap();
        let tags: Vec<_> = left.deliveries.iter().map(|delivery| (delivery.tag, delivery.is_whole)).collect();
        assert_eq!(tags, [(tag(), !more)]);
    }
}

// L-037: as long as the receiver's map was not whole, nothing proves a new delivery to be new; once nothing of before is
// left, it is.
#[test]
fn a_new_message_is_refused_as_long_as_only_a_part_was_told_of_what_is_held() {
    const HELD: u32 = 300;
    for is_anything_left in [true, false] {
        let mut script = Script::client();
        script.octets(&ProtocolHeader::AMQP.encode());
        script.frame(0, &Open { max_frame_size: 700, ..Open::new("p") });
        script.skip_header();
        script.written();
        let session = script.session(100);
        let mut held = SuspendedLink::new("L", Role::Receiver);
        for number in 0..HELD {
            let mut delivery = UnsettledDelivery::new(DeliveryTag::from(number));
            delivery.is_whole = true;
            held.deliveries.push(delivery);
        }
        let mut config = LinkConfig::receiver("L", source("q"));
        config.retention = KEEP;
        config.resume = Some(Box::new(held));
        let link = script.end.engine.attach(session, config).unwrap();
        let written = script.written();
        assert!(matches!(&written[0], Performative::Attach(attach) if attach.incomplete_unsettled));
        let mut answer = attach(Role::Sender, 0);
        answer.initial_delivery_count = Some(0);
        answer.unsettled = if is_anything_left {
            telling([(&DeliveryTag::from(HELD - 1), None)])
        } else {
            Some(Map::default())
        };
        script.frame(0, &answer);
        script.end.engine.set_credit(link, 10).unwrap();
        script.written();
        script.events();
        let new =
            Transfer { delivery_id: Some(0), delivery_tag: DeliveryTag::new(b"new"), ..Transfer::default() };
        script.payload(0, &new, b"new");
        let has_come = script.events().iter().any(|event| matches!(event, Event::Delivery { .. }));
        assert_eq!(has_come, !is_anything_left);
        let detached = script.written().iter().find_map(condition);
        assert_eq!(detached, is_anything_left.then(|| "amqp:not-allowed".to_owned()));
    }
}
