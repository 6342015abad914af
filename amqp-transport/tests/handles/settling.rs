//! Outcomes, settle modes and dropped deliveries.

use amqp_codec::{ErrorCondition, Modified, Outcome, ReceiverSettleMode, SenderSettleMode};
use amqp_transport::SendError;
use amqp_transport::client::{OnDrop, SenderOptions};
use amqp_transport::server::AcceptOptions;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn every_outcome_comes_back_whole() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let why = error(ErrorCondition::NOT_ALLOWED, "not today");
    let modified = Modified { delivery_failed: Some(true), ..Modified::default() };
    let settling = async {
        receiver.recv().await.unwrap().accept().unwrap();
        receiver.recv().await.unwrap().reject(Some(why.clone())).unwrap();
        receiver.recv().await.unwrap().release().unwrap();
        receiver.recv().await.unwrap().modify(modified.clone()).unwrap();
    };
    let sending = async {
        let mut outcomes = Vec::new();
        for number in 0..4 {
            outcomes.push(sender.send(&numbered(number)).await.unwrap());
        }
        outcomes
    };
    let (outcomes, ()) = tokio::join!(sending, settling);
    assert_eq!(
        outcomes,
        [Outcome::Accepted, Outcome::Rejected(Some(why)), Outcome::Released, Outcome::Modified(modified)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_delivery_is_released_and_never_accepted() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let message = numbered(1);
    let (outcome, ()) = tokio::join!(sender.send(&message), async { drop(receiver.recv().await.unwrap()) });
    assert_eq!(outcome.unwrap(), Outcome::Released);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_may_be_left_unsettled_until_the_link_ends() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().on_drop(OnDrop::LeaveUnsettled);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    let mut receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    drop(receiver.recv().await.unwrap());
    assert!(is_stuck(&mut receipt).await, "nothing was said about it");
    receiver.detach().await.unwrap();
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(_))));
}

#[tokio::test(start_paused = true)]
async fn a_settled_sender_has_its_outcome_at_once() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = SenderOptions::new("s", "/x").snd_settle_mode(SenderSettleMode::Settled);
    let (sender, receiver) = sending(&session, &server, options, AcceptOptions::new()).await;
    assert_eq!(sender.send(&numbered(1)).await.unwrap(), Outcome::Accepted);
    let delivery = receiver.recv().await.unwrap();
    assert!(delivery.is_settled());
    delivery.accept().unwrap();
}

#[tokio::test(start_paused = true)]
async fn mode_second_is_confirmed_by_the_sender() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = SenderOptions::new("s", "/x").rcv_settle_mode(ReceiverSettleMode::Second);
    let (sender, receiver) = sending(&session, &server, options, AcceptOptions::new()).await;
    let message = numbered(1);
    let (outcome, confirmed) = tokio::join!(sender.send(&message), async {
        receiver.recv().await.unwrap().accept_confirmed().await
    });
    assert_eq!(outcome.unwrap(), Outcome::Accepted);
    confirmed.unwrap();
    let (outcome, ()) = tokio::join!(sender.send(&message), async {
        receiver.recv().await.unwrap().accept().unwrap();
    });
    assert_eq!(outcome.unwrap(), Outcome::Accepted);
}

#[tokio::test(start_paused = true)]
async fn settling_after_the_link_is_gone_is_an_error() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    let delivery = receiver.recv().await.unwrap();
    sender.detach().await.unwrap();
    receiver.detached().await;
    assert!(delivery.accept().is_err());
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(_))));
}

#[tokio::test(start_paused = true)]
async fn a_held_delivery_does_not_hold_up_the_others() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let first = sender.send_with_receipt(&numbered(0)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    for number in 1..5_000 {
        let message = numbered(number);
        let (outcome, ()) =
            tokio::join!(sender.send(&message), async { receiver.recv().await.unwrap().accept().unwrap() });
        assert_eq!(outcome.unwrap(), Outcome::Accepted);
    }
    held.reject(None).unwrap();
    assert_eq!(first.await.unwrap(), Outcome::Rejected(None));
}
