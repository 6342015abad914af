//! Every async method, dropped at each of its await points: nothing is lost, nothing doubled, no credit leaks, and who
//! waits behind goes on.
//!
//! The lines `// cancels room::file: methods` are read by a test of the sources, which finds methods without one.

mod ending;
mod recovery;
mod requests;
mod sockets;
mod suspending;

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use amqp_codec::{DeliveryTag, Outcome, ReceiverSettleMode};
use amqp_transport::server::AcceptOptions;
use amqp_transport::transaction::posted_in;
use amqp_transport::{
    Connection, CreditMode, Receiver, ReceiverOptions, SendError, Sender, SenderOptions, Session, Settlement,
};
use tokio::time::{sleep, timeout};

use crate::support::*;

/// Polls a future so many times and drops it; its output where it was ready by then.
pub(crate) async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut polled = 0;
    let output = poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    output.await
}

/// Runs a scenario that drops its future after 0, 1, 2 … polls, until the future is ready before that.
pub(crate) async fn at_every_await_point(mut scenario: impl AsyncFnMut(usize) -> bool) {
    for polls in 0..MOST_POLLS {
        if scenario(polls).await {
            assert!(polls > 0, "a future that is not polled cannot be ready");
            return;
        }
    }
    panic!("not ready after {MOST_POLLS} polls");
}

const MOST_POLLS: usize = 60;

/// Long enough for whatever is under way to settle, with a paused clock.
pub(crate) async fn settle_down() {
    sleep(Duration::from_millis(100)).await;
}

/// Both ends with a link on which the test grants credit.
async fn scarce() -> (Connection, Session, Sender, Receiver) {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Manual);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "q"), accept).await;
    // The server's end lives as long as its receiver.
    (client, session, sender, receiver)
}

/// The numbers of the messages that have arrived, all accepted.
fn arrived(receiver: &Receiver) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some(delivery) = receiver.try_recv() {
        numbers.push(number_of(&delivery.message().unwrap()));
        delivery.accept().unwrap();
    }
    numbers
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Send,
    WithReceipt,
    Settled,
    Encoded,
    Tagged,
    In,
    All,
}

const WAYS: [Way; 7] =
    [Way::Send, Way::WithReceipt, Way::Settled, Way::Encoded, Way::Tagged, Way::In, Way::All];

async fn send_by(way: Way, sender: &Sender) -> Result<(), SendError> {
    let payload = || amqp_codec::to_bytes(&numbered(1));
    match way {
        Way::Send => sender.send(&numbered(1)).await.map(drop),
        Way::WithReceipt => sender.send_with_receipt(&numbered(1)).await.map(drop),
        Way::Settled => sender.send_settled(&numbered(1)).await,
        Way::Encoded => sender.send_encoded(payload(), 0, Settlement::Unsettled).await.map(drop),
        Way::Tagged => {
            let tag = DeliveryTag::from(7_u32);
            sender.send_tagged(payload(), tag, Settlement::Unsettled).await.map(drop)
        }
        Way::In => {
            let state = posted_in(bytes::Bytes::from_static(b"txn"));
            sender.send_in(payload(), state, Settlement::Unsettled).await.map(drop)
        }
        Way::All => sender.send_all(&[numbered(1)]).await.pop().unwrap().map(drop),
    }
}

// cancels handle::sender: send, send_with_receipt, send_settled, send_encoded, send_tagged, send_in
// cancels handle::batch: send_all
#[tokio::test(start_paused = true)]
async fn a_dropped_send_sends_once_or_not_at_all_and_leaves_the_credit_to_others() {
    for way in WAYS {
        at_every_await_point(async |polls| {
            let (_client, _session, sender, receiver) = scarce().await;
            let granting = async {
                sleep(Duration::from_millis(1)).await;
                receiver.add_credit(1).unwrap();
                sleep(Duration::from_millis(1)).await;
                arrived(&receiver)
            };
            let dropping = async {
                let sent = dropped_after(polls, send_by(way, &sender)).await;
                sleep(Duration::from_millis(10)).await;
                sent
            };
            let (sent, mut numbers) = tokio::join!(dropping, granting);
            let is_ready = sent.map(|sent| sent.unwrap()).is_some();
            // All the credit there is must be of use to others: one where nothing was sent, two granted now.
            receiver.add_credit(2).unwrap();
            settle_down().await;
            let left = sender.credit();
            assert_eq!(
                numbers.len() + usize::try_from(left).unwrap(),
                3,
                "{way:?} dropped after {polls}: credit has leaked"
            );
            for number in 0..left {
                drop(
                    timeout(Duration::from_secs(1), sender.send_with_receipt(&numbered(2 + number)))
                        .await
                        .unwrap(),
                );
            }
            settle_down().await;
            numbers.extend(arrived(&receiver));
            let ones = numbers.iter().filter(|number| **number == 1).count();
            let is_handed_over_when_ready =
                matches!(way, Way::WithReceipt | Way::Encoded | Way::Tagged | Way::In);
            match (is_ready, is_handed_over_when_ready) {
                (true, _) => assert_eq!(ones, 1, "{way:?}"),
                (false, true) => assert_eq!(ones, 0, "{way:?} dropped after {polls} polls was sent"),
                (false, false) => assert!(ones <= 1, "{way:?} dropped after {polls} polls"),
            }
            assert_eq!(numbers.len(), 3, "{way:?} dropped after {polls} polls: {numbers:?}");
            is_ready
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_dropped_send_goes_on() {
    for is_woken_first in [false, true] {
        for way in WAYS {
            let (_client, _session, sender, receiver) = scarce().await;
            let mut first = Box::pin(send_by(way, &sender));
            assert!(is_stuck(&mut first).await);
            let behind = async { sender.send_with_receipt(&numbered(2)).await.map(drop) };
            let dropping = async {
                sleep(Duration::from_millis(1)).await;
                if is_woken_first {
                    receiver.add_credit(1).unwrap();
                    // Woken, and not polled before it is dropped.
                    sleep(Duration::from_millis(1)).await;
                }
                drop(first);
                if !is_woken_first {
                    receiver.add_credit(1).unwrap();
                }
            };
            let both = async { tokio::join!(behind, dropping).0 };
            timeout(Duration::from_secs(1), both).await.expect("the turn is passed on").unwrap();
            settle_down().await;
            assert_eq!(arrived(&receiver), [2], "{way:?}");
        }
    }
}

// cancels handle::sender: ready, idle
#[tokio::test(start_paused = true)]
async fn dropped_waits_for_readiness_and_idleness_leave_the_turn_to_others() {
    at_every_await_point(async |polls| {
        let (_client, _session, sender, receiver) = scarce().await;
        let granting = async {
            sleep(Duration::from_millis(1)).await;
            receiver.add_credit(1).unwrap();
        };
        let (ready, ()) = tokio::join!(dropped_after(polls, sender.ready()), granting);
        assert!(dropped_after(polls.min(1), sender.idle()).await.is_none());
        let sent = timeout(Duration::from_secs(1), sender.send_with_receipt(&numbered(1))).await;
        drop(sent.expect("the credit is still there").unwrap());
        settle_down().await;
        assert_eq!(arrived(&receiver), [1]);
        ready.is_some()
    })
    .await;
}

// cancels handle::receipt: decide
#[tokio::test(start_paused = true)]
async fn a_receipt_can_be_asked_again() {
    at_every_await_point(async |polls| {
        let (_client, _session, sender, receiver) = scarce().await;
        receiver.add_credit(2).unwrap();
        let mut asked = sender.send_with_receipt(&numbered(1)).await.unwrap();
        let mut awaited = sender.send_with_receipt(&numbered(2)).await.unwrap();
        let accepting = async {
            sleep(Duration::from_millis(1)).await;
            arrived(&receiver)
        };
        let dropping = async {
            let decided = dropped_after(polls, asked.decide()).await;
            let told = dropped_after(polls, &mut awaited).await;
            (decided.map(|decided| decided.unwrap().concur()), told)
        };
        let ((decided, told), _) = tokio::join!(dropping, accepting);
        match decided {
            Some(ref outcome) => assert_eq!(*outcome, Outcome::Accepted),
            None => assert_eq!(asked.decide().await.unwrap().concur(), Outcome::Accepted),
        }
        match told {
            Some(outcome) => assert_eq!(outcome.unwrap(), Outcome::Accepted),
            None => assert_eq!(awaited.await.unwrap(), Outcome::Accepted),
        }
        decided.is_some()
    })
    .await;
}

/// A receiver to which the peer sends three messages, a millisecond apart.
async fn three_coming(credit: CreditMode) -> (Connection, Session, Receiver, Sender) {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "q").credit(credit);
    let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
    (client, session, receiver, sender)
}

async fn send_three(sender: &Sender) {
    for number in 1..=3 {
        sleep(Duration::from_millis(1)).await;
        drop(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
}

// cancels handle::receiver: recv
// cancels handle::batch: recv_many
#[tokio::test(start_paused = true)]
async fn a_dropped_receive_loses_no_message() {
    for is_many in [false, true] {
        at_every_await_point(async |polls| {
            let (_client, _session, receiver, sender) = three_coming(CreditMode::Auto(3)).await;
            let dropping = async {
                let one = async { receiver.recv().await.map(|delivery| vec![delivery]) };
                let taken = match is_many {
                    true => dropped_after(polls, receiver.recv_many(2)).await,
                    false => dropped_after(polls, one).await,
                };
                settle_down().await;
                taken
            };
            let (taken, ()) = tokio::join!(dropping, send_three(&sender));
            let is_ready = taken.is_some();
            let mut numbers = Vec::new();
            for delivery in taken.map(|taken| taken.unwrap()).unwrap_or_default() {
                numbers.push(number_of(&delivery.message().unwrap()));
                delivery.accept().unwrap();
            }
            numbers.extend(arrived(&receiver));
            assert_eq!(numbers, [1, 2, 3], "dropped after {polls} polls");
            // All the credit comes back, whoever took the messages.
            settle_down().await;
            assert!(sender.credit() >= 2, "{}", sender.credit());
            is_ready
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_dropped_receive_gets_the_message() {
    let (_client, _session, receiver, sender) = three_coming(CreditMode::Auto(3)).await;
    let mut first = Box::pin(receiver.recv());
    assert!(is_stuck(&mut first).await);
    let behind = async { receiver.recv().await.unwrap() };
    let dropping = async {
        sleep(Duration::from_millis(1)).await;
        drop(sender.send_with_receipt(&numbered(1)).await.unwrap());
        // Woken, and not polled before it is dropped.
        sleep(Duration::from_millis(1)).await;
        drop(first);
    };
    let both = async { tokio::join!(behind, dropping).0 };
    let delivery = timeout(Duration::from_secs(1), both).await.expect("the turn is passed on");
    assert_eq!(number_of(&delivery.message().unwrap()), 1);
}

// cancels handle::receiver: drain
#[tokio::test(start_paused = true)]
async fn a_dropped_drain_goes_on() {
    at_every_await_point(async |polls| {
        let (_client, _session, receiver, sender) = three_coming(CreditMode::Auto(10)).await;
        settle_down().await;
        let drained = dropped_after(polls, receiver.drain()).await;
        settle_down().await;
        assert_eq!(sender.credit(), if polls == 0 { 10 } else { 0 }, "once polled it goes on");
        // The next wait grants anew.
        let (delivery, ()) = tokio::join!(receiver.recv(), send_three(&sender));
        assert_eq!(number_of(&delivery.unwrap().message().unwrap()), 1);
        drained.is_some()
    })
    .await;
}

// cancels handle::receiver: stop
#[tokio::test(start_paused = true)]
async fn a_dropped_stop_leaves_the_link_stopped_once_polled() {
    at_every_await_point(async |polls| {
        let (_client, _session, receiver, sender) = three_coming(CreditMode::Auto(10)).await;
        settle_down().await;
        let stopped = dropped_after(polls, receiver.stop()).await;
        settle_down().await;
        assert_eq!(sender.credit(), if polls == 0 { 10 } else { 0 });
        receiver.start().unwrap();
        let (delivery, ()) = tokio::join!(receiver.recv(), send_three(&sender));
        assert_eq!(number_of(&delivery.unwrap().message().unwrap()), 1);
        stopped.is_some()
    })
    .await;
}

// cancels handle::receiver: available
#[tokio::test(start_paused = true)]
async fn a_dropped_question_changes_nothing() {
    at_every_await_point(async |polls| {
        let (_client, _session, receiver, sender) = three_coming(CreditMode::Auto(10)).await;
        sender.set_available(3).unwrap();
        let answered = dropped_after(polls, receiver.available()).await;
        settle_down().await;
        assert_eq!(sender.credit(), 10);
        assert_eq!(receiver.available().await.unwrap(), 3);
        answered.is_some()
    })
    .await;
}

// cancels handle::delivery: accept_confirmed, settle_confirmed
#[tokio::test(start_paused = true)]
async fn a_dropped_confirmation_has_told_its_outcome_once_polled() {
    for is_accept in [true, false] {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            let session = session(&client).await;
            let options = ReceiverOptions::new("r", "q").rcv_settle_mode(ReceiverSettleMode::Second);
            let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
            let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
            let delivery = receiver.recv().await.unwrap();
            let confirmed = match is_accept {
                true => dropped_after(polls, delivery.accept_confirmed()).await,
                false => {
                    let state = amqp_codec::DeliveryState::rejected(error(
                        amqp_codec::ErrorCondition::NOT_FOUND,
                        "no",
                    ));
                    dropped_after(polls, delivery.settle_confirmed(state)).await
                }
            };
            let outcome = timeout(Duration::from_secs(1), receipt).await.expect("an outcome").unwrap();
            match (polls, is_accept, outcome) {
                (0, _, Outcome::Released) | (1.., true, Outcome::Accepted) => {}
                (1.., false, Outcome::Rejected(_)) => {}
                other => panic!("{other:?}"),
            }
            settle_down().await;
            assert_eq!(session.stats().unwrap().unsettled_incoming, 0);
            confirmed.is_some()
        })
        .await;
    }
}
