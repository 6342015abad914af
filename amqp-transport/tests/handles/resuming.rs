//! Links that outlive their connection, through the handles.

use std::time::Duration;

use amqp_codec::{
    Attach, Begin, DeliveryState, DeliveryTag, Detach, Disposition, Flow, Map, Modified, Open, Outcome,
    Performative, Role, Source, Value, encode_frame,
};
use amqp_transport::client::{AttachError, DetachReason, ReceiverOptions, Session};
use amqp_transport::server::{AcceptOptions, ServerConnection, Termini, TerminusLimits};
use amqp_transport::{
    Connection, CreditMode, Receiver, SendError, Sender, SenderOptions, SettleError, Settlement,
    SuspendedSender,
};
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

use crate::support::*;

/// A pair that can be torn apart.
async fn breakable_pair() -> (Connection, ServerConnection, Session, tokio::task::JoinHandle<()>) {
    let (near, far, relay) = breakable();
    let (client, server) = pair_over(near, far, client_options(), server_options()).await;
    let session = session(&client).await;
    (client, server, session, relay)
}

fn keeping() -> SenderOptions {
    SenderOptions::new("s", "/x").keep_unsettled(1 << 20)
}

async fn resume(session: &Session, suspended: SuspendedSender) -> Sender {
    session.resume_sender(keeping(), suspended).await.unwrap()
}

// L-009, D-030, R-02 to R-06: every receipt of before ends once, with what both ends agree on.
#[tokio::test(start_paused = true)]
async fn a_lost_sender_goes_on_elsewhere_and_its_receipts_with_it() {
    let (_client, server, session, relay) = breakable_pair().await;
    let accept = AcceptOptions::new().keep_unsettled(0);
    let (sender, receiver) = sending(&session, &server, keeping(), accept.clone()).await;
    let mut receipts = Vec::new();
    for number in 0..4 {
        receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(receiver.recv().await.unwrap());
    }
    held.remove(0).accept().unwrap();
    assert_eq!(receipts.remove(0).await.unwrap(), Outcome::Accepted);
    relay.abort();
    let mut suspended = receiver.suspended().await.unwrap();
    assert!(suspended.settle(held[0].tag(), DeliveryState::Modified(Modified::default())));
    let sender = sender.suspended().await.unwrap();
    assert_eq!(sender.undecided_messages(), 3);
    assert!(matches!(sender.reason(), DetachReason::Lost(_)));

    let (_client, server, session, _relay) = breakable_pair().await;
    let accepting = async { next_attach(&server).await.resume_receiver(accept, suspended).unwrap() };
    let (sender, receiver) = tokio::join!(resume(&session, sender), accepting);
    // Decided while the link was away; held, and decided now; never taken, and sent again.
    assert_eq!(receipts.remove(0).await.unwrap(), Outcome::Modified(Modified::default()));
    receiver.adopt(held.remove(1)).await.unwrap().reject(None).unwrap();
    assert_eq!(receipts.remove(0).await.unwrap(), Outcome::Rejected(None));
    let again = receiver.recv().await.unwrap();
    assert_eq!(number_of(&again.message().unwrap()), 3);
    again.accept().unwrap();
    assert_eq!(receipts.remove(0).await.unwrap(), Outcome::Accepted);
    // And the link is as good as any.
    let receipt = sender.send_with_receipt(&numbered(9)).await.unwrap();
    receiver.recv().await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    assert_eq!(
        receiver
            .adopt(held.remove(0))
            .await
            .map(drop)
            .map_err(|error| matches!(error, SettleError::Overruled(_))),
        Err(true)
    );
}

// A peer that has forgotten the link: everything is sent anew. Twice lost, and still each receipt ends once.
#[tokio::test(start_paused = true)]
async fn a_sender_lost_twice_still_ends_its_receipts() {
    let (_client, server, session, relay) = breakable_pair().await;
    let (sender, _receiver) = sending(&session, &server, keeping(), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(7)).await.unwrap();
    let discarded = sender.send_with_receipt(&numbered(8)).await.unwrap();
    relay.abort();
    let mut suspended = sender.suspended().await.unwrap();
    drop(discarded);
    for _ in 0..2 {
        let (_client, server, session, relay) = breakable_pair().await;
        let accepting = async { next_attach(&server).await.accept_receiver(AcceptOptions::new()).unwrap() };
        let (sender, receiver) = tokio::join!(resume(&session, suspended), accepting);
        assert_eq!(number_of(&receiver.recv().await.unwrap().message().unwrap()), 7);
        relay.abort();
        suspended = sender.suspended().await.unwrap();
    }
    let (_client, server, session, _relay) = breakable_pair().await;
    let accepting = async { next_attach(&server).await.accept_receiver(AcceptOptions::new()).unwrap() };
    let (_sender, receiver) = tokio::join!(resume(&session, suspended), accepting);
    receiver.recv().await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

// Whoever lets go of a suspended sender learns what can honestly be said.
#[tokio::test(start_paused = true)]
async fn a_suspended_sender_that_is_dropped_ends_its_receipts_as_unknown() {
    let (client, server, session, relay) = breakable_pair().await;
    let (sender, receiver) = sending(&session, &server, keeping(), AcceptOptions::new()).await;
    let mut receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    relay.abort();
    client.closed().await;
    assert!(is_stuck(&mut receipt).await, "it may be resumed");
    drop(sender.suspended().await.unwrap());
    let error = receipt.await.unwrap_err();
    assert!(matches!(error, SendError::OutcomeUnknown(DetachReason::Lost(_))), "{error}");
    drop(held);

    let (_client, server, session, relay) = breakable_pair().await;
    let (sender, _receiver) = sending(&session, &server, keeping(), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    drop(sender);
    relay.abort();
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(_) | SendError::Lost(_))));
}

// L-011: suspended in good order, on the same connection.
#[tokio::test(start_paused = true)]
async fn a_sender_is_suspended_and_resumed_on_its_own_session() {
    let (_client, server, session, _relay) = breakable_pair().await;
    let accept = AcceptOptions::new().keep_unsettled(0);
    let (sender, receiver) = sending(&session, &server, keeping(), accept.clone()).await;
    let receipt = sender.send_with_receipt(&numbered(5)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    let (sender, receiver) = tokio::join!(sender.suspend(), receiver.suspended());
    let (sender, receiver) = (sender.unwrap(), receiver.unwrap());
    assert_eq!((sender.undecided_messages(), receiver.tags().count()), (1, 1));
    let accepting = async { next_attach(&server).await.resume_receiver(accept, receiver).unwrap() };
    let (_sender, receiver) = tokio::join!(resume(&session, sender), accepting);
    receiver.adopt(held).await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

// A refusal gives the sender back, to be tried again.
#[tokio::test(start_paused = true)]
async fn a_refused_sender_may_be_resumed_later() {
    let (_client, server, session, relay) = breakable_pair().await;
    let (sender, _receiver) = sending(&session, &server, keeping(), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(5)).await.unwrap();
    relay.abort();
    let suspended = sender.suspended().await.unwrap();
    let (_client, server, session, _relay) = breakable_pair().await;
    let busy = error(amqp_codec::ErrorCondition::RESOURCE_LIMIT_EXCEEDED, "later");
    let refusing = async { next_attach(&server).await.refuse(busy) };
    let (refused, ()) = tokio::join!(session.resume_sender(keeping(), suspended), refusing);
    let suspended = *refused.unwrap_err().suspended.unwrap();
    let accepting = async { next_attach(&server).await.accept_receiver(AcceptOptions::new()).unwrap() };
    let (_sender, receiver) = tokio::join!(resume(&session, suspended), accepting);
    receiver.recv().await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

// The server's side of a link on which the client receives.
#[tokio::test(start_paused = true)]
async fn a_server_resumes_what_it_sends() {
    let (_client, server, session, relay) = breakable_pair().await;
    let keep = || ReceiverOptions::new("r", "/x").keep_unsettled();
    let accept = AcceptOptions::new().keep_unsettled(1 << 20);
    let (receiver, sender) = receiving(&session, &server, keep(), accept.clone()).await;
    let receipt = sender.send_with_receipt(&numbered(3)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    relay.abort();
    let (receiver, sender) = tokio::join!(receiver.suspended(), sender.suspended());
    let (receiver, sender) = (receiver.unwrap(), sender.unwrap());
    let (_client, server, session, _relay) = breakable_pair().await;
    let accepting = async { next_attach(&server).await.resume_sender(accept, sender).unwrap() };
    let (receiver, _sender) = tokio::join!(session.resume_receiver(keep(), receiver), accepting);
    let receiver = receiver.unwrap();
    receiver.adopt(held).await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

// An attach that a suspended link does not fit leaves it whole, for the one that it is for.
#[tokio::test(start_paused = true)]
async fn a_server_keeps_what_an_attach_of_another_name_did_not_resume() {
    let (_client, server, session, relay) = breakable_pair().await;
    let keep = || ReceiverOptions::new("r", "/x").keep_unsettled();
    let accept = || AcceptOptions::new().keep_unsettled(1 << 20);
    let (receiver, sender) = receiving(&session, &server, keep(), accept()).await;
    let receipt = sender.send_with_receipt(&numbered(3)).await.unwrap();
    let (incoming, arriving) = sending(&session, &server, keeping(), accept()).await;
    relay.abort();
    let (left, arrived) = tokio::join!(sender.suspended(), arriving.suspended());
    drop((receiver, incoming));

    let (_client, server, session, _relay) = breakable_pair().await;
    let mistaking = async {
        let receives = next_attach(&server).await.resume_sender(accept(), left.unwrap()).unwrap_err();
        assert!(matches!(receives.error, AttachError::Invalid(_)));
        let sends = next_attach(&server).await.resume_receiver(accept(), arrived.unwrap()).unwrap_err();
        assert!(sends.suspended.is_some());
        *receives.suspended.unwrap()
    };
    let others = async {
        assert!(session.attach_receiver(ReceiverOptions::new("other", "/x")).await.is_err());
        assert!(session.attach_sender(SenderOptions::new("another", "/x")).await.is_err());
    };
    let (left, ()) = tokio::join!(mistaking, others);
    let accepting = async { next_attach(&server).await.resume_sender(accept(), left).unwrap() };
    let (receiver, _sender) = tokio::join!(session.attach_receiver(keep()), accepting);
    receiver.unwrap().recv().await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

// L-039: a link that goes on has the bound that it had.
#[tokio::test(start_paused = true)]
async fn a_resumed_receiver_is_not_without_a_bound_on_its_messages() {
    let (_client, server, session, relay) = breakable_pair().await;
    let accept = AcceptOptions::new().keep_unsettled(0);
    let (sender, receiver) = sending(&session, &server, keeping(), accept.clone()).await;
    let bound = sender.max_message_size();
    assert!(bound.is_some());
    relay.abort();
    let (sender, receiver) = tokio::join!(sender.suspended(), receiver.suspended());
    let (_client, server, session, _relay) = breakable_pair().await;
    let accepting = async { next_attach(&server).await.resume_receiver(accept, receiver.unwrap()).unwrap() };
    let (sender, _receiver) = tokio::join!(resume(&session, sender.unwrap()), accepting);
    assert_eq!(sender.max_message_size(), bound);
}

/// A receiver with this many messages on it that nobody has taken.
async fn waiting_for(receiver: &Receiver, messages: usize) {
    while receiver.waiting() < messages {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

// D-016: what came settled is nobody's to send again.
#[tokio::test(start_paused = true)]
async fn settled_messages_in_the_inbox_of_a_receiver_that_is_suspended_were_lost() {
    for resumes in [true, false] {
        let (_client, server, session, relay) = breakable_pair().await;
        let accept = || AcceptOptions::new().keep_unsettled(0);
        let (sender, receiver) = sending(&session, &server, keeping(), accept()).await;
        let mut receipts = Vec::new();
        for number in 0..6 {
            match number % 2 {
                0 => sender.send_settled(&numbered(number)).await.unwrap(),
                _ => receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap()),
            }
        }
        waiting_for(&receiver, 6).await;
        relay.abort();
        let (sender, receiver) = tokio::join!(sender.suspended(), receiver.suspended());
        let (sender, mut receiver) = (sender.unwrap(), receiver.unwrap());
        assert_eq!((receiver.waiting(), receiver.tags().count()), (3, 0));
        let first = receiver.try_recv().unwrap();
        assert!(first.is_settled());
        assert_eq!(number_of(&first.message().unwrap()), 0);
        first.accept().unwrap();
        if !resumes {
            let rest: Vec<_> = std::iter::from_fn(|| receiver.try_recv()).collect();
            assert_eq!(rest.len(), 2);
            continue;
        }
        let (_client, server, session, _relay) = breakable_pair().await;
        let accepting = async { next_attach(&server).await.resume_receiver(accept(), receiver).unwrap() };
        let (_sender, receiver) = tokio::join!(resume(&session, sender), accepting);
        let mut seen = Vec::new();
        for _ in 0..5 {
            let delivery = receiver.recv().await.unwrap();
            seen.push((number_of(&delivery.message().unwrap()), delivery.is_settled()));
            delivery.accept().unwrap();
        }
        // Those of before come first; the others come again.
        assert_eq!(seen, [(2, true), (4, true), (1, false), (3, false), (5, false)]);
        for receipt in receipts {
            assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
        }
    }
}

// A link may be suspended with much in its inbox and much unsettled: neither is walked for each of the other.
#[tokio::test(start_paused = true)]
async fn suspending_a_receiver_takes_no_time_for_each_pair_of_waiting_and_unsettled_messages() {
    const MANY: u32 = 20_000;
    let (_client, server, session, relay) = breakable_pair().await;
    let accept = AcceptOptions::new().keep_unsettled(0).credit(CreditMode::Auto(2 * MANY));
    let accept = accept.max_message_size(1_000);
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x").keep_unsettled(0), accept).await;
    for number in 0..MANY {
        drop(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    waiting_for(&receiver, MANY as usize).await;
    relay.abort();
    // Four hundred million pairs would take a minute of this test.
    let suspended = receiver.suspended().await.unwrap();
    assert_eq!((suspended.waiting(), suspended.tags().count()), (0, 0));
}

// R-02: a link that does not go on with a delivery need not hear of it.
#[tokio::test(start_paused = true)]
async fn adopting_what_is_not_awaited_waited_for_as_long_as_the_link_lived() {
    let (_client, server, session, relay) = breakable_pair().await;
    let accept = || AcceptOptions::new().keep_unsettled(0);
    let (sender, receiver) = sending(&session, &server, keeping(), accept()).await;
    let _receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    relay.abort();
    let (sender, receiver) = tokio::join!(sender.suspended(), receiver.suspended());
    drop(receiver.unwrap());

    let (_client, server, session, relay) = breakable_pair().await;
    let accepting = async { next_attach(&server).await.accept_receiver(accept()).unwrap() };
    let (sender, receiver) = tokio::join!(resume(&session, sender.unwrap()), accepting);
    let strange = receiver.adopt(held).await.map(drop);
    assert!(matches!(strange, Err(SettleError::Overruled(None))), "{strange:?}");

    // The message came again, with its tag, and is another delivery that the tag alone does not tell from the first.
    let again = receiver.recv().await.unwrap();
    relay.abort();
    let (sender, receiver) = tokio::join!(sender.suspended(), receiver.suspended());
    let (_client, server, session, _relay) = breakable_pair().await;
    let accepting =
        async { next_attach(&server).await.resume_receiver(accept(), receiver.unwrap()).unwrap() };
    let (_sender, receiver) = tokio::join!(resume(&session, sender.unwrap()), accepting);
    receiver.adopt(again).await.unwrap().accept().unwrap();
}

// R-16, D-033: the sender's owner never asked for the link's end.
#[tokio::test(start_paused = true)]
async fn a_sender_whose_maps_were_told_in_part_ended_as_if_its_application_had_detached_it() {
    let small = || client_options().max_frame_size(512);
    let (near, far, relay) = breakable();
    let (_lost, server) = pair_over(near, far, small(), server_options()).await;
    let session_of = session(&_lost).await;
    let accept = || AcceptOptions::new().keep_unsettled(0);
    let (sender, receiver) = sending(&session_of, &server, keeping(), accept()).await;
    let (mut receipts, mut held) = (Vec::new(), Vec::new());
    for number in 0..100 {
        receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
        held.push(receiver.recv().await.unwrap());
    }
    relay.abort();
    let (sender, receiver) = tokio::join!(sender.suspended(), receiver.suspended());
    let (mut sender, mut receiver) = (sender.unwrap(), receiver.unwrap());
    let mut rounds = 0;
    let (near, far) = tokio::io::duplex(PIPE);
    let (client, server) = pair_over(near, far, small(), server_options()).await;
    let session_of = session(&client).await;
    for delivery in &held {
        assert!(receiver.settle(delivery.tag(), DeliveryState::Accepted));
    }
    loop {
        let accepting = async { next_attach(&server).await.resume_receiver(accept(), receiver).unwrap() };
        let (resumed, accepted) = tokio::join!(resume(&session_of, sender), accepting);
        if tokio::time::timeout(Duration::from_secs(1), resumed.detached()).await.is_err() {
            break;
        }
        rounds += 1;
        assert!(rounds < 20, "no end of it");
        let (left, rest) = tokio::join!(resumed.suspended(), accepted.suspended());
        (sender, receiver) = (left.unwrap(), rest.unwrap());
        assert!(matches!(sender.reason(), DetachReason::Incomplete), "{}", sender.reason());
        assert!(sender.reason().is_retryable());
    }
    assert!(rounds > 0, "all was told at once");
    for receipt in receipts {
        assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    }
}

// L-002, L-009, R-06: a peer that attaches its own link anew, as one does that believes the first lost.
#[tokio::test(start_paused = true)]
async fn a_listener_could_not_resume_a_link_that_its_peer_attached_anew() {
    must_end_within(PAUSED);
    for termini in [None, Some(Termini::new(TerminusLimits::default()))] {
        attached_anew(termini).await;
    }
}

async fn attached_anew(termini: Option<Termini>) {
    let options = match &termini {
        Some(termini) => server_options().termini(termini.clone()),
        None => server_options(),
    };
    let (mut near, far) = tokio::io::duplex(PIPE);
    let mut frames = BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
    let mut say = |body: &Performative| encode_frame(&mut frames, 0, body, &[]);
    say(&Open::new("foreign").into());
    say(&Begin { incoming_window: 100, outgoing_window: 100, ..Begin::default() }.into());
    let attach = |handle, told: Option<&Map>| {
        let mut attach = Attach::new("L", handle, Role::Receiver);
        attach.source = Some(Source { address: Some("/x".into()), ..Source::default() });
        attach.unsettled = told.cloned();
        Performative::from(attach)
    };
    let credit = |handle, count| {
        Performative::from(Flow {
            handle: Some(handle),
            delivery_count: Some(count),
            link_credit: Some(10),
            next_incoming_id: Some(0),
            incoming_window: 100,
            outgoing_window: 100,
            ..Flow::default()
        })
    };
    say(&attach(0, None));
    say(&credit(0, 0));
    near.write_all(&frames.split()).await.unwrap();
    let server = ServerConnection::over(far, &options).await.unwrap();
    let accept = || AcceptOptions::new().keep_unsettled(1 << 20);
    let first = next_attach(&server).await.accept_sender(accept()).unwrap();
    let mut receipts = Vec::new();
    for tag in [1_u32, 2] {
        let payload = amqp_codec::to_bytes(&numbered(tag));
        let sent = first.send_tagged(payload, DeliveryTag::from(tag), Settlement::Unsettled).await;
        receipts.push(sent.unwrap());
    }
    let held = [1_u32, 2].map(|tag| {
        let state = if tag == 1 { Value::of(&DeliveryState::Accepted).unwrap() } else { Value::Null };
        (Value::Binary(Bytes::copy_from_slice(&tag.to_be_bytes())), state)
    });
    let mut say = |body: &Performative| encode_frame(&mut frames, 0, body, &[]);
    say(&attach(1, Some(&held.into_iter().collect())));
    say(&Detach { handle: 0, closed: true, error: None }.into());
    say(&credit(1, 2));
    near.write_all(&frames.split()).await.unwrap();
    let again = next_attach(&server).await;
    assert!(is_stuck(&mut receipts[0]).await, "it may be resumed");
    let suspended = match termini {
        Some(_) => again.take_kept_sender().unwrap(),
        None => first.suspended().await.unwrap(),
    };
    assert!(matches!(suspended.reason(), DetachReason::Stolen));
    assert_eq!(suspended.undecided_messages(), 2);
    let _second = again.resume_sender(accept(), suspended).unwrap();
    assert_eq!(receipts.remove(0).await.unwrap(), Outcome::Accepted);
    // The other is resumed under the third number, and settled there.
    assert!(is_stuck(&mut receipts[0]).await);
    let told = Disposition {
        role: Role::Receiver,
        first: 3,
        settled: true,
        state: Some(DeliveryState::Released),
        ..Disposition::default()
    };
    encode_frame(&mut frames, 0, &told, &[]);
    near.write_all(&frames).await.unwrap();
    assert_eq!(receipts.remove(0).await.unwrap(), Outcome::Released);
}

// Scenario 81: what was suspended in good order is lost with its connection before it is resumed.
#[tokio::test(start_paused = true)]
async fn a_suspended_sender_survives_the_loss_of_its_connection() {
    let (client, server, session, relay) = breakable_pair().await;
    let accept = AcceptOptions::new().keep_unsettled(0);
    let (sender, receiver) = sending(&session, &server, keeping(), accept.clone()).await;
    let mut receipt = sender.send_with_receipt(&numbered(5)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    let (sender, receiver) = tokio::join!(sender.suspend(), receiver.suspended());
    relay.abort();
    client.closed().await;
    assert!(is_stuck(&mut receipt).await, "it may be resumed");
    let (_client, server, session, _relay) = breakable_pair().await;
    let accepting = async { next_attach(&server).await.resume_receiver(accept, receiver.unwrap()).unwrap() };
    let (_sender, receiver) = tokio::join!(resume(&session, sender.unwrap()), accepting);
    receiver.adopt(held).await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}
