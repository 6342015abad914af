//! Outcomes, settle modes and dropped deliveries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use amqp_codec::{
    DeliveryState, ErrorCondition, Modified, Outcome, ReceiverSettleMode, Rejected, SenderSettleMode,
};
use amqp_transport::client::{OnDrop, Receiver, ReceiverOptions, Sender, SenderOptions};
use amqp_transport::server::AcceptOptions;
use amqp_transport::{SendError, SettleError, Settling};

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
async fn receipts_asked_late_and_in_any_order_tell_each_its_own_outcome() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let is_rejected = |number: u32| number % 7 == 3;
    let handing_over = async {
        let mut receipts = Vec::new();
        for number in 0..3_000 {
            receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
        }
        receipts
    };
    let settling = async {
        let lingering = receiver.recv().await.unwrap();
        for number in 1..3_000 {
            let delivery = receiver.recv().await.unwrap();
            if is_rejected(number) { delivery.reject(None) } else { delivery.accept() }.unwrap();
        }
        lingering
    };
    let (mut receipts, lingering) = tokio::join!(handing_over, settling);
    for number in (1..3_000).rev() {
        let receipt = receipts.remove(usize::try_from(number).unwrap());
        // Some are never asked.
        if number % 5 != 0 {
            let told = if is_rejected(number) { Outcome::Rejected(None) } else { Outcome::Accepted };
            assert_eq!(receipt.await.unwrap(), told, "message {number}");
        }
    }
    // All those after it are accepted or gone, and still it is neither.
    lingering.leave_unsettled();
    receiver.detach().await.unwrap();
    let unknown = receipts.remove(0).await;
    assert!(matches!(unknown, Err(SendError::OutcomeUnknown(_))), "{unknown:?}");
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

/// A client's receiver in mode second, and a server's sender that decides what becomes of its messages.
async fn lending() -> (Receiver, Sender, impl Sized) {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/x").rcv_settle_mode(ReceiverSettleMode::Second);
    let accept = AcceptOptions::new().settling(Settling::ByApplication);
    let (receiver, sender) = receiving(&session, &server, options, accept).await;
    (receiver, sender, (client, server, session))
}

/// How often a future was polled.
struct Polled<F>(F, Arc<AtomicUsize>);

impl<F: Future + Unpin> Future for Polled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn each_settlement_woke_everyone_who_waited_for_another() {
    const WAITING: u32 = 300;
    let (receiver, sender, _rest) = lending().await;
    receiver.add_credit(2 * WAITING).unwrap();
    let polls = Arc::new(AtomicUsize::new(0));
    let (mut receipts, mut confirmations) = (Vec::new(), Vec::new());
    for number in 0..WAITING {
        receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
        let confirmed = receiver.recv().await.unwrap().accept_confirmed();
        confirmations.push(tokio::spawn(Polled(Box::pin(confirmed), Arc::clone(&polls))));
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Settled one by one, the last one first.
    while let (Some(mut receipt), Some(confirmed)) = (receipts.pop(), confirmations.pop()) {
        assert!(receipt.decide().await.unwrap().settle(DeliveryState::Accepted));
        confirmed.await.unwrap().unwrap();
    }
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls <= 900, "{polls} polls for {WAITING}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_settlement_hears_of_the_links_end() {
    let (receiver, sender, _rest) = lending().await;
    let _receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    let mut confirmed = Box::pin(receiver.recv().await.unwrap().accept_confirmed());
    assert!(is_stuck(&mut confirmed).await);
    let (confirmed, detached) = tokio::join!(confirmed, sender.detach());
    assert!(matches!(confirmed, Err(SettleError::Detached(_))), "{confirmed:?}");
    detached.unwrap();
}

fn lost() -> DeliveryState {
    DeliveryState::rejected(error(ErrorCondition::NOT_FOUND, "the lock is lost"))
}

// D-029
#[tokio::test(start_paused = true)]
async fn a_receiver_whose_outcome_came_too_late_is_told_so() {
    let (receiver, sender, _both) = lending().await;
    for outcome in
        [DeliveryState::Accepted, DeliveryState::Rejected(Rejected::default()), DeliveryState::Released]
    {
        let mut receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
        let delivery = receiver.recv().await.unwrap();
        let mut confirmed = Box::pin(delivery.settle_confirmed(outcome.clone()));
        assert!(is_stuck(&mut confirmed).await, "nobody has decided");
        let wanted = receipt.decide().await.unwrap();
        assert_eq!(DeliveryState::from(wanted.outcome().clone()), outcome);
        assert!(is_stuck(&mut confirmed).await, "nobody has decided yet");
        assert!(wanted.settle(lost()));
        match confirmed.await.unwrap_err() {
            SettleError::Overruled(Some(state)) => assert_eq!(state, lost()),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_in_time_is_confirmed_once_the_sender_goes_along() {
    let (receiver, sender, _both) = lending().await;
    let why = error(ErrorCondition::NOT_ALLOWED, "not today");
    for outcome in [DeliveryState::Accepted, DeliveryState::rejected(why), DeliveryState::Released] {
        let mut receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
        let delivery = receiver.recv().await.unwrap();
        let (confirmed, wanted) = tokio::join!(delivery.settle_confirmed(outcome.clone()), async {
            receipt.decide().await.unwrap().concur()
        });
        confirmed.unwrap();
        assert_eq!(DeliveryState::from(wanted), outcome);
        assert!(matches!(receipt.await, Err(SendError::NoOutcome)), "it is used up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_only_awaited_goes_along_with_the_receiver() {
    let (receiver, sender, _both) = lending().await;
    let message = numbered(1);
    let (outcome, confirmed) = tokio::join!(sender.send(&message), async {
        receiver.recv().await.unwrap().accept_confirmed().await
    });
    assert_eq!(outcome.unwrap(), Outcome::Accepted);
    confirmed.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_a_success_that_nobody_decided() {
    let (receiver, sender, _both) = lending().await;
    for when in 0..3 {
        let mut receipt = Some(sender.send_with_receipt(&numbered(when)).await.unwrap());
        if when == 0 {
            receipt = None;
        }
        let delivery = receiver.recv().await.unwrap();
        let mut confirmed = Box::pin(delivery.accept_confirmed());
        if let Some(mut receipt) = receipt {
            assert!(is_stuck(&mut confirmed).await);
            match when {
                1 => drop(receipt),
                _ => drop(receipt.decide().await.unwrap()),
            }
        }
        match confirmed.await.unwrap_err() {
            SettleError::Overruled(Some(DeliveryState::Rejected(rejected))) => {
                assert_eq!(rejected.error.unwrap().condition, ErrorCondition::INTERNAL_ERROR);
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_settles_by_itself_leaves_nothing_to_decide() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().settling(Settling::ByApplication);
    let (receiver, sender) = receiving(&session, &server, ReceiverOptions::new("r", "/x"), accept).await;
    let mut receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    receiver.recv().await.unwrap().release().unwrap();
    let wanted = receipt.decide().await.unwrap();
    assert_eq!(wanted.outcome(), &Outcome::Released);
    assert!(!wanted.settle(lost()));
    // Nor on a link that settles automatically, or for a message that went settled.
    let options = SenderOptions::new("s", "/y");
    let (sender, receiver) = sending(&session, &server, options, AcceptOptions::new()).await;
    let mut receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    receiver.recv().await.unwrap().accept().unwrap();
    assert!(!receipt.decide().await.unwrap().settle(lost()));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_told_just_before_the_link_ended_is_still_known() {
    let (receiver, sender, _both) = lending().await;
    let mut early = sender.send_with_receipt(&numbered(1)).await.unwrap();
    let mut late = sender.send_with_receipt(&numbered(2)).await.unwrap();
    let silent = sender.send_with_receipt(&numbered(3)).await.unwrap();
    receiver.recv().await.unwrap().accept().unwrap();
    receiver.recv().await.unwrap().accept().unwrap();
    let held = receiver.recv().await.unwrap();
    let wanted = early.decide().await.unwrap();
    receiver.detach().await.unwrap();
    sender.detached().await;
    assert_eq!(wanted.outcome(), &Outcome::Accepted);
    assert!(!wanted.settle(DeliveryState::Accepted), "nobody hears it any more");
    let wanted = late.decide().await.unwrap();
    assert_eq!(wanted.outcome(), &Outcome::Accepted);
    assert!(!wanted.settle(DeliveryState::Accepted));
    assert!(matches!(silent.await, Err(SendError::OutcomeUnknown(_))));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_slower_than_the_loan_is_told_so() {
    let (receiver, sender, _both) = lending().await;
    for is_told in [false, true] {
        let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
        let delivery = receiver.recv().await.unwrap();
        let confirmed = if is_told {
            let mut confirmed = Box::pin(delivery.accept_confirmed());
            assert!(is_stuck(&mut confirmed).await);
            assert!(receipt.settle(lost()), "its outcome is there, and nobody has gone along with it");
            confirmed.await
        } else {
            assert!(receipt.settle(lost()));
            tokio::time::sleep(Duration::from_millis(50)).await;
            delivery.accept_confirmed().await
        };
        assert!(matches!(confirmed, Err(SettleError::Overruled(_))), "{confirmed:?}");
        assert!(!receipt.settle(lost()), "it ends once");
        assert!(matches!(receipt.await, Err(SendError::NoOutcome)));
    }
}
