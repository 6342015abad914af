//! A sender whose application settles what its receiver has decided.

use amqp_codec::{
    DeliveryState, Disposition, Error, ErrorCondition, Open, ProtocolHeader, ReceiverSettleMode, Role,
};
use amqp_transport::engine::{
    AttachReply, DeliveryId, DetachKind, Event, LinkConfig, LinkId, Outgoing, Settlement, Settling,
};

use crate::pair::{End, Pair, config, source, target};
use crate::script::Script;

fn deciding() -> LinkConfig {
    let mut link = LinkConfig::sender("L", target("q"));
    link.rcv_settle_mode = ReceiverSettleMode::Second;
    link.settling = Settling::ByApplication;
    link
}

fn lost() -> DeliveryState {
    DeliveryState::rejected(Error::new(ErrorCondition::NOT_FOUND))
}

fn told(end: &mut End) -> Option<(LinkId, DeliveryId, u32, DeliveryState)> {
    end.take(|event| match event {
        Event::OutcomeTold { link, delivery, user, state } => Some((*link, *delivery, *user, state.clone())),
        _ => None,
    })
}

fn remote_settled(end: &mut End) -> Option<(DeliveryId, Option<DeliveryState>)> {
    end.take(|event| match event {
        Event::RemoteSettled { delivery, state, .. } => Some((*delivery, state.clone())),
        _ => None,
    })
}

/// A client whose sender decides, with credit; and what its receiver is sent.
fn sent(pair: &mut Pair, count: u32) -> (LinkId, LinkId, Vec<DeliveryId>) {
    let session = pair.session();
    let (ours, theirs) = pair.attach(session, deciding());
    pair.server.engine.set_credit(theirs, count).unwrap();
    pair.run();
    let mut deliveries = Vec::new();
    for user in 0..count {
        pair.client.send(ours, b"x", Settlement::Unsettled, user);
        pair.run();
        deliveries.push(pair.server.delivery().unwrap().1.id);
    }
    (ours, theirs, deliveries)
}

// D-022, D-029: between the receiver's outcome and the settlement stands the sender's application.
#[test]
fn an_outcome_told_too_late_is_answered_with_the_senders_own() {
    let mut pair = Pair::opened();
    let (ours, theirs, deliveries) = sent(&mut pair, 1);
    pair.server.engine.settle(theirs, deliveries[0], DeliveryState::Accepted, Settlement::Unsettled).unwrap();
    pair.run();
    let (link, delivery, user, state) = told(&mut pair.client).unwrap();
    assert_eq!((link, user, state), (ours, 0, DeliveryState::Accepted));
    assert_eq!(pair.client.settled(), None);
    assert_eq!(remote_settled(&mut pair.server), None);
    assert!(pair.client.engine.settle_sent(link, delivery, lost()).unwrap());
    pair.run();
    assert_eq!(remote_settled(&mut pair.server), Some((deliveries[0], Some(lost()))));
    assert!(!pair.client.engine.settle_sent(link, delivery, lost()).unwrap(), "it ends once");
    assert_eq!(pair.client.settled(), None);
}

#[test]
fn a_listener_that_accepts_a_link_can_decide_as_well() {
    let mut pair = Pair::opened();
    pair.server.is_accepting = false;
    let session = pair.client.engine.begin(amqp_transport::engine::SessionConfig::default()).unwrap();
    pair.run();
    let asked = pair.server.take(|event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    let config = amqp_transport::engine::SessionConfig::default();
    pair.server.engine.accept_session(asked.unwrap(), config).unwrap();
    pair.run();
    let mut link = LinkConfig::receiver("L", source("q"));
    link.rcv_settle_mode = ReceiverSettleMode::Second;
    let ours = pair.client.engine.attach(session, link).unwrap();
    pair.run();
    let (theirs, attach) = pair
        .server
        .take(|event| match event {
            Event::AttachRequested { link, attach, .. } => Some((*link, attach.clone())),
            _ => None,
        })
        .unwrap();
    let mut reply = AttachReply::granting(&attach);
    reply.settling = Settling::ByApplication;
    pair.server.engine.accept_attach(theirs, reply).unwrap();
    pair.run();
    pair.client.engine.set_credit(ours, 1).unwrap();
    pair.run();
    pair.server.send(theirs, b"x", Settlement::Unsettled, 3);
    pair.run();
    let (_, delivery) = pair.client.delivery().unwrap();
    pair.client.engine.settle(ours, delivery.id, DeliveryState::Released, Settlement::Unsettled).unwrap();
    pair.run();
    let (link, id, user, state) = told(&mut pair.server).unwrap();
    assert_eq!((link, user, &state), (theirs, 3, &DeliveryState::Released));
    assert!(pair.server.engine.settle_sent(link, id, state.clone()).unwrap());
    pair.run();
    assert_eq!(remote_settled(&mut pair.client), Some((delivery.id, Some(state))));
}

// D-026: a range each way.
#[test]
fn settlements_of_one_state_leave_as_one_range() {
    let mut script = Script::open_client();
    let session = script.session(100);
    let link = script.attach(session, deciding());
    script.frame(0, &credit(100));
    for user in 0..50 {
        script.end.send(link, b"x", Settlement::Unsettled, user);
    }
    script.written();
    script.frame(0, &outcome(0, 49, false, Some(DeliveryState::Accepted)));
    let mut deliveries = Vec::new();
    while let Some((_, delivery, ..)) = told(&mut script.end) {
        deliveries.push(delivery);
    }
    assert_eq!(deliveries.len(), 50);
    for (place, delivery) in deliveries.into_iter().enumerate() {
        let state = if place < 40 { DeliveryState::Accepted } else { lost() };
        assert!(script.end.engine.settle_sent(link, delivery, state).unwrap());
    }
    let settled: Vec<_> = script
        .written()
        .into_iter()
        .filter_map(|frame| match frame {
            amqp_codec::Performative::Disposition(disposition) => Some(disposition),
            _ => None,
        })
        .collect();
    let expected = |first, last, state| Disposition {
        role: Role::Sender,
        first,
        last: Some(last),
        settled: true,
        state: Some(state),
        ..Disposition::default()
    };
    assert_eq!(settled, [expected(0, 39, DeliveryState::Accepted), expected(40, 49, lost())]);
}

// However often a peer says its outcome, one event comes of it.
#[test]
fn an_outcome_repeated_is_told_once_and_not_taken_back() {
    let (mut script, link, delivery) = scripted();
    for state in [DeliveryState::Accepted, DeliveryState::Accepted, DeliveryState::Released] {
        script.frame(0, &outcome(0, 0, false, Some(state)));
    }
    let received = amqp_codec::Received { section_number: 0, section_offset: 1 };
    script.frame(0, &outcome(0, 0, false, Some(DeliveryState::Received(received))));
    let events = script.events();
    assert!(
        matches!(&events[..], [Event::OutcomeTold { user: 5, state: DeliveryState::Accepted, .. }]),
        "{events:?}"
    );
    assert!(script.end.engine.settle_sent(link, delivery, DeliveryState::Accepted).unwrap());
}

#[test]
fn a_receiver_that_settles_after_all_ends_the_delivery() {
    for (state, told_first) in
        [(Some(DeliveryState::Released), false), (Some(DeliveryState::Accepted), true), (None, true)]
    {
        let (mut script, link, delivery) = scripted();
        if told_first {
            script.frame(0, &outcome(0, 0, false, Some(DeliveryState::Accepted)));
            assert!(told(&mut script.end).is_some());
        }
        script.frame(0, &outcome(0, 0, true, state.clone()));
        assert_eq!(script.end.settled(), Some((5, state)));
        assert!(!script.end.engine.settle_sent(link, delivery, lost()).unwrap(), "too late");
        assert!(script.written().is_empty());
        assert!(script.events().is_empty());
    }
}

#[test]
fn the_end_of_the_link_ends_what_is_undecided() {
    let mut pair = Pair::opened();
    let (ours, theirs, deliveries) = sent(&mut pair, 2);
    pair.server.engine.settle(theirs, deliveries[0], DeliveryState::Accepted, Settlement::Unsettled).unwrap();
    pair.run();
    let (link, delivery, ..) = told(&mut pair.client).unwrap();
    pair.server.engine.detach(theirs, DetachKind::Closed, None).unwrap();
    pair.run();
    assert_eq!(pair.client.detached().unwrap().0, ours);
    assert!(pair.client.engine.settle_sent(link, delivery, DeliveryState::Accepted).is_err());
    assert_eq!(pair.client.settled(), None);
}

#[test]
fn undecided_messages_count_against_the_bound_until_they_are_settled() {
    let mut settings = config("client");
    // A link has half of it, rounded up.
    settings.limits.unsettled = 3;
    let mut pair = Pair::opened_with(settings, config("server"));
    let session = pair.session();
    let (ours, theirs) = pair.attach(session, deciding());
    pair.server.engine.set_credit(theirs, 10).unwrap();
    pair.run();
    for user in 0..2 {
        pair.client.send(ours, b"x", Settlement::Unsettled, user);
    }
    pair.run();
    while let Some((_, delivery)) = pair.server.delivery() {
        pair.server
            .engine
            .settle(theirs, delivery.id, DeliveryState::Accepted, Settlement::Unsettled)
            .unwrap();
    }
    pair.run();
    while pair.client.writable().is_some() {}
    let third = Outgoing::new(&b"x"[..], Settlement::Unsettled, 2);
    assert!(pair.client.engine.try_send(ours, third).is_err());
    let (link, delivery, ..) = told(&mut pair.client).unwrap();
    assert!(pair.client.engine.settle_sent(link, delivery, DeliveryState::Accepted).unwrap());
    pair.run();
    assert_eq!(pair.client.writable(), Some(ours));
    pair.client.send(ours, b"x", Settlement::Unsettled, 2);
}

#[test]
fn a_decision_does_not_wait_for_another_message_that_is_leaving() {
    let mut open = Open::new("p");
    open.max_frame_size = 512;
    let (mut script, link, delivery) = scripted_with(&open);
    script.frame(0, &outcome(0, 0, false, Some(DeliveryState::Accepted)));
    assert!(told(&mut script.end).is_some());
    script.end.send(link, &vec![1; 1_000_000], Settlement::Unsettled, 6);
    assert!(script.end.engine.is_link_busy(link));
    assert!(script.end.engine.settle_sent(link, delivery, lost()).unwrap());
    // One that its receiver has decided before it is there can be settled too, as it is without an application.
    script.frame(0, &outcome(1, 1, false, Some(lost())));
    let (_, early, ..) = told(&mut script.end).unwrap();
    assert!(script.end.engine.settle_sent(link, early, lost()).unwrap());
    assert!(script.end.engine.is_link_busy(link));
}

/// A client that has sent one message on a link that decides.
fn scripted() -> (Script, LinkId, DeliveryId) {
    scripted_with(&Open::new("p"))
}

fn scripted_with(open: &Open) -> (Script, LinkId, DeliveryId) {
    let mut script = Script::client();
    script.octets(&ProtocolHeader::AMQP.encode());
    script.frame(0, open);
    script.skip_header();
    script.written();
    let session = script.session(100);
    let link = script.attach(session, deciding());
    script.frame(0, &credit(10));
    let delivery = script.end.send(link, b"x", Settlement::Unsettled, 5);
    script.written();
    script.events();
    (script, link, delivery)
}

fn credit(credit: u32) -> amqp_codec::Flow {
    amqp_codec::Flow {
        next_incoming_id: Some(0),
        incoming_window: 100,
        outgoing_window: 100,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(credit),
        ..amqp_codec::Flow::default()
    }
}

fn outcome(first: u32, last: u32, settled: bool, state: Option<DeliveryState>) -> Disposition {
    Disposition { role: Role::Receiver, first, last: Some(last), settled, state, ..Disposition::default() }
}
