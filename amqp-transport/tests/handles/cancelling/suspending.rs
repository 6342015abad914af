//! Links between two attaches.

use std::time::Duration;

use amqp_codec::Outcome;
use amqp_transport::server::AcceptOptions;
use amqp_transport::{ReceiverOptions, SendError, SenderOptions};
use tokio::time::{sleep, timeout};

use super::{at_every_await_point, dropped_after, settle_down};
use crate::support::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn keeping() -> SenderOptions {
    SenderOptions::new("s", "q").keep_unsettled(1 << 20)
}

fn keeping_receiver() -> ReceiverOptions {
    ReceiverOptions::new("r", "q").keep_unsettled()
}

// cancels handle::suspended: suspend, suspended, resume_sender
#[tokio::test(start_paused = true)]
async fn whatever_is_dropped_on_the_way_to_a_resumed_sender_its_receipts_end_once() {
    for way in 0..3 {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            let session = session(&client).await;
            let accept = AcceptOptions::new();
            let (sender, receiver) = sending(&session, &server, keeping(), accept.clone()).await;
            let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
            settle_down().await;
            let is_ready = match way {
                0 => dropped_after(polls, sender.suspend()).await.map(|left| drop(left.unwrap())).is_some(),
                1 => {
                    // It waits for the end of a link that nobody ends: its drop does.
                    dropped_after(polls.min(1), sender.suspended()).await.is_some() || polls == 1
                }
                _ => {
                    let suspended = sender.suspend().await.unwrap();
                    let accepting = async {
                        // Answered late, so that there is something to drop.
                        let attach = timeout(Duration::from_millis(50), next_attach(&server)).await.ok()?;
                        sleep(Duration::from_millis(1)).await;
                        attach.accept_receiver(accept).ok()
                    };
                    let resuming = dropped_after(polls, session.resume_sender(keeping(), suspended));
                    let (resumed, taking) = tokio::join!(resuming, accepting);
                    if let Some(resumed) = resumed {
                        let _resumed = resumed.unwrap();
                        taking.unwrap().recv().await.unwrap().accept().unwrap();
                        let outcome = timeout(PATIENCE, receipt).await.expect("it ends");
                        assert_eq!(outcome.unwrap(), Outcome::Accepted);
                        return true;
                    }
                    false
                }
            };
            // A link that nobody has detached yet lives as long as its receipt.
            let is_attached = way == 1 || (way == 0 && polls == 0);
            if is_attached {
                receiver.recv().await.unwrap().accept().unwrap();
            }
            let outcome = timeout(PATIENCE, receipt).await.expect("it ends");
            match is_attached {
                true => assert_eq!(outcome.unwrap(), Outcome::Accepted),
                false => assert!(matches!(outcome, Err(SendError::OutcomeUnknown(_))), "{outcome:?}"),
            }
            settle_down().await;
            assert_eq!(client.stats().engine.links, 0, "{way} dropped after {polls}");
            is_ready
        })
        .await;
    }
}

// cancels handle::suspended_receiver: suspend, suspended
#[tokio::test(start_paused = true)]
async fn whatever_is_dropped_on_the_way_to_a_suspended_receiver_nothing_is_accepted() {
    for way in 0..2 {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            let session = session(&client).await;
            let accept = AcceptOptions::new();
            let (receiver, sender) = receiving(&session, &server, keeping_receiver(), accept).await;
            let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
            let delivery = receiver.recv().await.unwrap();
            let is_ready = match way {
                0 => dropped_after(polls, receiver.suspend()).await.map(|left| drop(left.unwrap())).is_some(),
                // It waits for the end of a link that nobody ends.
                _ => dropped_after(polls.min(1), receiver.suspended()).await.is_some() || polls == 1,
            };
            settle_down().await;
            drop(delivery);
            let outcome = timeout(PATIENCE, receipt).await.expect("it ends");
            assert!(!matches!(outcome, Ok(Outcome::Accepted)), "{outcome:?}");
            settle_down().await;
            assert_eq!(client.stats().engine.links, 0, "{way} dropped after {polls}");
            is_ready
        })
        .await;
    }
}

// cancels handle::suspended_receiver: resume_receiver, adopt
#[tokio::test(start_paused = true)]
async fn whatever_is_dropped_on_the_way_to_a_resumed_receiver_nothing_is_accepted() {
    for way in 0..2 {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            let session = session(&client).await;
            let accept = AcceptOptions::new().keep_unsettled(1 << 20);
            let (receiver, sender) = receiving(&session, &server, keeping_receiver(), accept.clone()).await;
            let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
            let delivery = receiver.recv().await.unwrap();
            let (suspended, left) = tokio::join!(receiver.suspend(), sender.suspended());
            let (suspended, left) = (suspended.unwrap(), left.unwrap());
            let accepting = async {
                let attach = timeout(Duration::from_millis(50), next_attach(&server)).await.ok()?;
                sleep(Duration::from_millis(1)).await;
                attach.resume_sender(accept, left).ok()
            };
            if way == 0 {
                let resuming = dropped_after(polls, session.resume_receiver(keeping_receiver(), suspended));
                let (resumed, _giving) = tokio::join!(resuming, accepting);
                let is_ready = resumed.map(|resumed| resumed.unwrap()).is_some();
                settle_down().await;
                assert_eq!(client.stats().engine.links, 0, "dropped after {polls}");
                drop(delivery);
                let outcome = timeout(PATIENCE, receipt).await;
                assert!(!matches!(outcome, Ok(Ok(Outcome::Accepted))), "{outcome:?}");
                return is_ready;
            }
            let (resumed, giving) =
                tokio::join!(session.resume_receiver(keeping_receiver(), suspended), accepting);
            let (resumed, _giving) = (resumed.unwrap(), giving.unwrap());
            let adopted = dropped_after(polls, resumed.adopt(delivery)).await;
            settle_down().await;
            let is_ready = adopted.is_some();
            if let Some(adopted) = adopted {
                assert_eq!(session.stats().unwrap().unsettled_incoming, 1);
                adopted.unwrap().accept().unwrap();
                assert_eq!(timeout(PATIENCE, receipt).await.expect("it ends").unwrap(), Outcome::Accepted);
            } else {
                assert_eq!(session.stats().unwrap().unsettled_incoming, 1, "it stays unsettled");
            }
            is_ready
        })
        .await;
    }
}

// cancels handle::suspended_receiver: suspend, suspended
#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_dropped_on_its_way_to_be_suspended_accepts_nothing() {
    for way in 0..2 {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            let session = session(&client).await;
            let accept = AcceptOptions::new().keep_unsettled(1 << 20);
            let (receiver, sender) = receiving(&session, &server, keeping_receiver(), accept).await;
            let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
            let held = receiver.recv().await.unwrap();
            let is_ready = match way {
                0 => dropped_after(polls, receiver.suspend()).await.map(|left| left.unwrap()).is_some(),
                // It waits for the end of a link that nobody ends.
                _ => dropped_after(polls.min(1), receiver.suspended()).await.is_some() || polls == 1,
            };
            held.leave_unsettled();
            settle_down().await;
            assert_eq!(client.stats().engine.links, 0, "dropped after {polls}");
            drop(sender);
            let outcome = timeout(PATIENCE, receipt).await.expect("it ends");
            assert!(matches!(outcome, Err(SendError::OutcomeUnknown(_))), "{outcome:?}");
            is_ready
        })
        .await;
    }
}
