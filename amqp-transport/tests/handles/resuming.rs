//! Links that outlive their connection, through the handles.

use amqp_codec::{DeliveryState, Modified, Outcome};
use amqp_transport::client::{AttachError, DetachReason, ReceiverOptions, Session};
use amqp_transport::server::{AcceptOptions, ServerConnection};
use amqp_transport::{Connection, SendError, Sender, SenderOptions, SettleError, SuspendedSender};

use crate::support::*;

/// A pair that can be torn apart.
async fn breakable() -> (Connection, ServerConnection, Session, tokio::task::JoinHandle<()>) {
    let (near, relay_near) = tokio::io::duplex(PIPE);
    let (relay_far, far) = tokio::io::duplex(PIPE);
    let relay = tokio::spawn(async move {
        let (mut a, mut b) = (relay_near, relay_far);
        let _ = tokio::io::copy_bidirectional(&mut a, &mut b).await;
    });
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
    let (_client, server, session, relay) = breakable().await;
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

    let (_client, server, session, _relay) = breakable().await;
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
    let (_client, server, session, relay) = breakable().await;
    let (sender, _receiver) = sending(&session, &server, keeping(), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(7)).await.unwrap();
    let discarded = sender.send_with_receipt(&numbered(8)).await.unwrap();
    relay.abort();
    let mut suspended = sender.suspended().await.unwrap();
    drop(discarded);
    for _ in 0..2 {
        let (_client, server, session, relay) = breakable().await;
        let accepting = async { next_attach(&server).await.accept_receiver(AcceptOptions::new()).unwrap() };
        let (sender, receiver) = tokio::join!(resume(&session, suspended), accepting);
        assert_eq!(number_of(&receiver.recv().await.unwrap().message().unwrap()), 7);
        relay.abort();
        suspended = sender.suspended().await.unwrap();
    }
    let (_client, server, session, _relay) = breakable().await;
    let accepting = async { next_attach(&server).await.accept_receiver(AcceptOptions::new()).unwrap() };
    let (_sender, receiver) = tokio::join!(resume(&session, suspended), accepting);
    receiver.recv().await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

// Whoever lets go of a suspended sender learns what can honestly be said.
#[tokio::test(start_paused = true)]
async fn a_suspended_sender_that_is_dropped_ends_its_receipts_as_unknown() {
    let (client, server, session, relay) = breakable().await;
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

    let (_client, server, session, relay) = breakable().await;
    let (sender, _receiver) = sending(&session, &server, keeping(), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    drop(sender);
    relay.abort();
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(_) | SendError::Lost(_))));
}

// L-011: suspended in good order, on the same connection.
#[tokio::test(start_paused = true)]
async fn a_sender_is_suspended_and_resumed_on_its_own_session() {
    let (_client, server, session, _relay) = breakable().await;
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
    let (_client, server, session, relay) = breakable().await;
    let (sender, _receiver) = sending(&session, &server, keeping(), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(5)).await.unwrap();
    relay.abort();
    let suspended = sender.suspended().await.unwrap();
    let (_client, server, session, _relay) = breakable().await;
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
    let (_client, server, session, relay) = breakable().await;
    let keep = || ReceiverOptions::new("r", "/x").keep_unsettled();
    let accept = AcceptOptions::new().keep_unsettled(1 << 20);
    let (receiver, sender) = receiving(&session, &server, keep(), accept.clone()).await;
    let receipt = sender.send_with_receipt(&numbered(3)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    relay.abort();
    let (receiver, sender) = tokio::join!(receiver.suspended(), sender.suspended());
    let (receiver, sender) = (receiver.unwrap(), sender.unwrap());
    let (_client, server, session, _relay) = breakable().await;
    let accepting = async { next_attach(&server).await.resume_sender(accept, sender).unwrap() };
    let (receiver, _sender) = tokio::join!(session.resume_receiver(keep(), receiver), accepting);
    let receiver = receiver.unwrap();
    receiver.adopt(held).await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

// An attach that a suspended link does not fit leaves it whole, for the one that it is for.
#[tokio::test(start_paused = true)]
async fn a_server_keeps_what_an_attach_of_another_name_did_not_resume() {
    let (_client, server, session, relay) = breakable().await;
    let keep = || ReceiverOptions::new("r", "/x").keep_unsettled();
    let accept = || AcceptOptions::new().keep_unsettled(1 << 20);
    let (receiver, sender) = receiving(&session, &server, keep(), accept()).await;
    let receipt = sender.send_with_receipt(&numbered(3)).await.unwrap();
    let (incoming, arriving) = sending(&session, &server, keeping(), accept()).await;
    relay.abort();
    let (left, arrived) = tokio::join!(sender.suspended(), arriving.suspended());
    drop((receiver, incoming));

    let (_client, server, session, _relay) = breakable().await;
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
    let (_client, server, session, relay) = breakable().await;
    let accept = AcceptOptions::new().keep_unsettled(0);
    let (sender, receiver) = sending(&session, &server, keeping(), accept.clone()).await;
    let bound = sender.max_message_size();
    assert!(bound.is_some());
    relay.abort();
    let (sender, receiver) = tokio::join!(sender.suspended(), receiver.suspended());
    let (_client, server, session, _relay) = breakable().await;
    let accepting = async { next_attach(&server).await.resume_receiver(accept, receiver.unwrap()).unwrap() };
    let (sender, _receiver) = tokio::join!(resume(&session, sender.unwrap()), accepting);
    assert_eq!(sender.max_message_size(), bound);
}
