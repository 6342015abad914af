//! What once went wrong where links are resumed, each by its symptom.

use amqp_codec::{
    DeliveryState, DeliveryTag, Error, ErrorCondition, Message, Received, Rejected, Role, Str, to_bytes,
};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{
    AttachReply, Event, LinkConfig, LinkId, Outgoing, Settlement, Settling, SuspendedLink, UnsettledDelivery,
};
use amqp_transport::transaction::posted_in;
use bytes::Bytes;

use crate::pair::{Pair, config, target};
use crate::resume::{attach, holding, message, news, opened, suspended, tag};

/// Loses the connection; what the client is left with.
fn cut(pair: &mut Pair) -> SuspendedLink {
    for end in [&mut pair.client, &mut pair.server] {
        end.engine.abort(ConnectionError::EndOfStream);
        end.pump(pair.now);
    }
    suspended(&mut pair.client).unwrap()
}

/// The server accepts what the client has attached, and grants credit.
fn granted(pair: &mut Pair) -> LinkId {
    let link = pair.server.requested().unwrap();
    let attach = pair.server.engine.remote_attach(link).unwrap();
    pair.server.engine.accept_attach(link, AttachReply::granting(&attach)).unwrap();
    pair.server.engine.set_credit(link, 10).unwrap();
    pair.run();
    link
}

// L-036 to L-038: told in parts where a frame does not hold them all.
#[test]
fn thousands_of_unsettled_deliveries_do_not_cost_every_connection_they_are_told_on() {
    const HELD: u32 = 5_000;
    let mut ours = SuspendedLink::new("L", Role::Sender);
    let mut theirs = SuspendedLink::new("L", Role::Receiver);
    for user in 0..HELD {
        let mut delivery = UnsettledDelivery::new(DeliveryTag::from(u64::from(user)));
        delivery.user = user;
        ours.deliveries.push(delivery.clone());
        (delivery.state, delivery.is_whole) = (Some(DeliveryState::Accepted), true);
        theirs.deliveries.push(delivery);
    }
    let (mut ended, mut rounds) = (0, 0);
    let (mut ours, mut theirs) = (Some(ours), Some(theirs));
    while let Some(state) = ours.take() {
        rounds += 1;
        assert!(rounds < 50, "no progress");
        let (mut pair, session) = opened();
        let (_, link) = attach(&mut pair, session, Role::Sender, Some(state), theirs.take());
        let _ = pair.server.engine.set_credit(link, HELD);
        pair.run();
        while let Some((_, state)) = pair.client.settled() {
            assert_eq!(state, Some(DeliveryState::Accepted));
            ended += 1;
        }
        (ours, theirs) = (suspended(&mut pair.client), suspended(&mut pair.server));
    }
    assert_eq!(ended, HELD);
}

// the transaction died with its link, and outside of it the message must not take effect.
#[test]
fn a_message_of_a_transaction_that_died_is_not_sent_outside_it() {
    for (receiver, heard) in [
        (SuspendedLink::new("L", Role::Receiver), vec![]),
        (holding(Role::Receiver, None), vec!["settled before -"]),
    ] {
        let (mut pair, session) = opened();
        let (ours, theirs) = attach(&mut pair, session, Role::Sender, None, None);
        pair.server.engine.set_credit(theirs, 10).unwrap();
        pair.run();
        let mut work = Outgoing::new(message(), Settlement::Unsettled, 7);
        work.tag = Some(tag());
        work.state = Some(Box::new(posted_in(Bytes::from_static(b"t"))));
        pair.client.engine.try_send(ours, work).unwrap();
        pair.run();
        let state = cut(&mut pair);
        assert_eq!(state.deliveries.len(), 1);

        let (mut pair, session) = opened();
        let (_, theirs) = attach(&mut pair, session, Role::Sender, Some(state), Some(receiver));
        pair.server.engine.set_credit(theirs, 10).unwrap();
        pair.run();
        assert_eq!(news(&mut pair.client), ["unresolved"]);
        assert_eq!(news(&mut pair.server), heard);
    }
}

// the receiver has told its outcome and forgotten the message.
#[test]
fn a_message_whose_outcome_was_told_is_not_sent_again() {
    let (mut pair, session) = opened();
    let mut link = LinkConfig::sender("L", target("q"));
    link.retention = crate::resume::KEEP;
    link.settling = Settling::ByApplication;
    let ours = pair.client.engine.attach(session, link).unwrap();
    pair.run();
    let theirs = granted(&mut pair);
    pair.client.engine.try_send(ours, Outgoing::new(message(), Settlement::Unsettled, 7)).unwrap();
    pair.run();
    let (_, delivery) = pair.server.delivery().unwrap();
    let accepted = DeliveryState::Accepted;
    pair.server.engine.settle(theirs, delivery.id, accepted, Settlement::Unsettled).unwrap();
    pair.run();
    let told = pair.client.take(|event| matches!(event, Event::OutcomeTold { .. }).then_some(()));
    assert_eq!(told, Some(()));
    let state = cut(&mut pair);
    assert_eq!(state.deliveries[0].state, Some(DeliveryState::Accepted));

    let (mut pair, session) = opened();
    let (_, theirs) = attach(&mut pair, session, Role::Sender, Some(state), None);
    pair.server.engine.set_credit(theirs, 10).unwrap();
    pair.run();
    assert_eq!(news(&mut pair.client), ["settled accepted"]);
    assert_eq!(news(&mut pair.server), Vec::<String>::new());
}

// F-025: the receiver's own words, longer than a frame that it takes.
#[test]
fn a_long_rejection_that_is_echoed_does_not_cost_the_connection() {
    let mut small = config("s");
    small.max_frame_size = 512;
    let mut pair = Pair::opened_with(config("c"), small);
    let session = pair.session();
    pair.server.is_accepting = false;
    let mut error = Error::new(ErrorCondition::INTERNAL_ERROR);
    error.description = Some(Str::from("x".repeat(2_000)));
    let rejected = DeliveryState::Rejected(Rejected { error: Some(error) });
    let (ours, theirs) = (holding(Role::Sender, None), holding(Role::Receiver, Some(rejected.clone())));
    let (_, link) = attach(&mut pair, session, Role::Sender, Some(ours), Some(theirs));
    pair.server.engine.set_credit(link, 10).unwrap();
    pair.run();
    // The application has it whole; the receiver knows its own.
    assert_eq!(pair.client.settled(), Some((7, Some(rejected))));
    assert_eq!(news(&mut pair.server), ["settled before rejected"]);
    assert!(pair.server.engine.link_stats(link).is_some());
}

// D-001: tags are a link's own for as long as their deliveries are unsettled.
#[test]
fn a_link_that_was_written_down_does_not_use_its_tags_again() {
    for (held, next, expected) in [(0u64, 0, 1u64), (4, 9, 9), (9, 4, 10)] {
        let (mut pair, session) = opened();
        let mut link = holding(Role::Sender, None);
        link.deliveries[0].tag = DeliveryTag::from(held);
        link.next_tag = next;
        let (ours, theirs) = attach(&mut pair, session, Role::Sender, Some(link), None);
        pair.server.engine.set_credit(theirs, 10).unwrap();
        pair.run();
        let fresh = Outgoing::new(message(), Settlement::Unsettled, 8);
        pair.client.engine.try_send(ours, fresh).unwrap();
        pair.run();
        assert_eq!(pair.server.delivery().unwrap().1.tag, DeliveryTag::from(held));
        assert_eq!(pair.server.delivery().unwrap().1.tag, DeliveryTag::from(expected));
    }
}

// D-001: a sender that lost its half counted its tags from 0 again, and a receiver that held a message under one of them,
// and heard nothing of the link's new start, took the new message for that one: it was accepted, and never came.
#[test]
fn a_message_was_taken_for_one_that_a_forgotten_link_had_sent() {
    for held in [0u64, 6] {
        let (mut pair, session) = opened();
        let mut before = holding(Role::Receiver, None);
        before.deliveries[0].tag = DeliveryTag::from(held);
        let (ours, theirs) = attach(&mut pair, session, Role::Sender, None, Some(before));
        pair.server.engine.set_credit(theirs, 10).unwrap();
        pair.run();
        pair.client.engine.try_send(ours, Outgoing::new(message(), Settlement::Unsettled, 8)).unwrap();
        pair.run();
        assert_eq!(pair.server.delivery().unwrap().1.tag, DeliveryTag::from(held + 1));
    }
}

// Octets of a message that no link holds any more are not counted.
#[test]
fn a_failed_resumption_takes_no_room_from_other_links() {
    let mut small = config("s");
    small.max_frame_size = 512;
    small.limits.partial_delivery_bytes = 1_000;
    let mut pair = Pair::opened_with(config("c"), small);
    let session = pair.session();
    pair.server.is_accepting = false;
    let large = to_bytes(&Message::data(vec![7; 1_400]));
    let place = DeliveryState::Received(Received { section_number: 0, section_offset: 800 });
    let (mut ours, mut theirs) = (holding(Role::Sender, None), SuspendedLink::new("L", Role::Receiver));
    ours.deliveries[0].payload = Some(large.clone());
    let mut held = UnsettledDelivery::new(tag());
    (held.state, held.payload) = (Some(place), Some(large.slice(..800)));
    theirs.deliveries.push(held);
    let (_, link) = attach(&mut pair, session, Role::Sender, Some(ours), Some(theirs));
    pair.server.engine.set_credit(link, 10).unwrap();
    pair.run();
    let (_, _, error) = pair.client.detached().unwrap();
    assert_eq!(error.unwrap().condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);

    let ours = pair.client.engine.attach(session, LinkConfig::sender("M", target("q"))).unwrap();
    pair.run();
    granted(&mut pair);
    let fair = to_bytes(&Message::data(vec![8; 900]));
    pair.client.engine.try_send(ours, Outgoing::new(fair.clone(), Settlement::Unsettled, 8)).unwrap();
    pair.run();
    assert_eq!(pair.server.delivery().unwrap().1.message, fair);
}

// L-037, D-012: what the maps did not tell is told on the next attach, once the last delivery of this one is over, be it
// that it was taken back.
#[test]
fn a_link_whose_map_was_not_whole_ends_when_its_last_message_is_taken_back() {
    let (mut ours, mut theirs) =
        (SuspendedLink::new("L", Role::Sender), SuspendedLink::new("L", Role::Receiver));
    let large = to_bytes(&Message::data(vec![7; 300_000]));
    for user in 0..20_000u32 {
        let mut delivery = UnsettledDelivery::new(DeliveryTag::from(u64::from(user)));
        (delivery.user, delivery.payload) = (user, Some(large.clone()));
        ours.deliveries.push(delivery);
    }
    let place = DeliveryState::Received(Received { section_number: 0, section_offset: 800 });
    let mut held = UnsettledDelivery::new(DeliveryTag::from(0u64));
    (held.state, held.payload) = (Some(place), Some(large.slice(..800)));
    theirs.deliveries.push(held);
    let (mut pair, session) = opened();
    let (link, far) = attach(&mut pair, session, Role::Sender, Some(ours), Some(theirs));
    pair.server.engine.set_credit(far, 10).unwrap();
    pair.server.pump(pair.now);
    let flow: Vec<u8> = pair.server.wire.drain(..).collect();
    let _ = pair.client.feed(pair.now, &flow);
    assert!(pair.client.engine.is_link_busy(link), "some of it has yet to leave");
    pair.client.engine.abort_send(link).unwrap();
    pair.run();
    let left = suspended(&mut pair.client).unwrap();
    assert_eq!(left.deliveries.len(), 19_999);
    assert!(pair.server.engine.link_stats(far).is_none());
}
