//! Connections that come back.

use std::time::Duration;

use amqp_codec::Outcome;
use amqp_transport::recovery::{RecoveringConnection, RecoveryStatus};
use amqp_transport::server::AcceptOptions;
use amqp_transport::{CreditMode, ReceiverOptions, SenderOptions, SessionOptions, Settlement};
use tokio::time::{sleep, timeout};

use super::{at_every_await_point, dropped_after, settle_down};
use crate::recovering::net::*;
use crate::support::*;

const PATIENCE: Duration = Duration::from_secs(60);

// cancels recovery::connection: live, close
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_a_connection_is_nothing_and_a_dropped_close_goes_on() {
    at_every_await_point(async |polls| {
        let (net, _brokers) = Net::new([Meets::Nobody, Meets::Nobody, Meets::Nobody]);
        let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
        let live = dropped_after(polls, connection.live()).await;
        timeout(PATIENCE, connection.live()).await.expect("it comes").unwrap();
        live.is_some()
    })
    .await;
    at_every_await_point(async |polls| {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let closed = dropped_after(polls, connection.close()).await;
        settle_down().await;
        assert_eq!(broker.server.connection().is_open(), polls == 0, "once polled it goes on");
        let is_closed = matches!(&*connection.status().borrow(), RecoveryStatus::Closed);
        assert_eq!(is_closed, polls > 0);
        closed.is_some()
    })
    .await;
}

// cancels recovery::live: condemned
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_the_end_of_a_connection_is_nothing() {
    at_every_await_point(async |polls| {
        let (net, mut brokers) = Net::new([]);
        let (connection, _broker) = connected(&net, &mut brokers).await;
        let live = connection.live().await.unwrap();
        let condemning = async {
            sleep(Duration::from_millis(1)).await;
            live.condemn();
        };
        let (condemned, ()) = tokio::join!(dropped_after(polls, live.condemned()), condemning);
        live.condemned().await;
        condemned.is_some()
    })
    .await;
}

// cancels recovery::sender: attached, send, send_with_receipt, send_settled, send_encoded, ready, detach
// cancels recovery::sending: send_all
#[tokio::test(start_paused = true)]
async fn a_dropped_recovering_send_sends_once_or_not_at_all() {
    for way in 0..8 {
        at_every_await_point(async |polls| {
            let (net, brokers) = Net::new([Meets::Nobody, Meets::Nobody]);
            net.serve_all(brokers);
            let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
            let sender = connection.sender(SenderOptions::new("s", "q"));
            if way == 3 {
                sender.attached().await.unwrap();
            }
            let message = numbered(1);
            let is_ready = match way {
                0 => dropped_after(polls, sender.attached()).await.is_some(),
                1 => dropped_after(polls, sender.send(&message)).await.is_some(),
                2 => dropped_after(polls, sender.send_with_receipt(&message)).await.is_some(),
                3 => dropped_after(polls, sender.detach()).await.is_some(),
                4 => dropped_after(polls, sender.send_settled(&message)).await.is_some(),
                5 => {
                    let payload = amqp_codec::to_bytes(&message);
                    let sending = sender.send_encoded(payload, 0, Settlement::Unsettled);
                    dropped_after(polls, sending).await.is_some()
                }
                6 => dropped_after(polls, sender.ready()).await.is_some(),
                _ => dropped_after(polls, sender.send_all(std::slice::from_ref(&message))).await.is_some(),
            };
            settle_down().await;
            let taken = net.taken();
            match way {
                0 | 3 | 6 => assert!(taken.is_empty()),
                1 | 7 => assert!(taken.len() <= 1 && (!is_ready || taken == [1]), "{taken:?}"),
                _ => assert_eq!(taken.len(), usize::from(is_ready), "dropped before it is ready: not sent"),
            }
            let sent = timeout(PATIENCE, sender.send(&numbered(2))).await.expect("it goes on");
            assert_eq!(sent.unwrap(), Outcome::Accepted);
            let links = connection.live().await.unwrap().connection().stats().engine.links;
            assert_eq!(links, 1, "dropped after {polls}: no link is left over");
            is_ready
        })
        .await;
    }
}

// cancels recovery::receiver: attached, recv, recv_with_live, recv_many, stop, drain, available, detach
#[tokio::test(start_paused = true)]
async fn a_dropped_recovering_receive_loses_no_message_and_no_credit() {
    for way in 0..8 {
        at_every_await_point(async |polls| {
            let (net, mut brokers) = Net::new([Meets::Nobody]);
            let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
            let receiver = connection.receiver(ReceiverOptions::new("r", "q").credit(CreditMode::Manual));
            receiver.add_credit(3);
            let broker = brokers.recv().await.unwrap();
            let serving = tokio::spawn(async move {
                let mut number = 0;
                // A link that was given up is followed by another.
                loop {
                    let attach = next_attach(&broker.server).await;
                    let Ok(gives) = attach.accept_sender(AcceptOptions::new()) else { continue };
                    while number < 3 {
                        sleep(Duration::from_millis(1)).await;
                        match gives.send(&numbered(number)).await {
                            Ok(Outcome::Accepted) => number += 1,
                            // Not taken: again.
                            _ => break,
                        }
                    }
                    if number == 3 {
                        return gives;
                    }
                }
            });
            if way == 3 {
                receiver.attached().await.unwrap();
            }
            let mut numbers = Vec::new();
            let mut take = |delivery: amqp_transport::Delivery| {
                numbers.push(number_of(&delivery.message().unwrap()));
                delivery.accept().unwrap();
            };
            let is_ready = match way {
                0 => dropped_after(polls, receiver.attached()).await.is_some(),
                1 => dropped_after(polls, receiver.recv()).await.map(|taken| take(taken.unwrap())).is_some(),
                2 => dropped_after(polls, receiver.recv_with_live())
                    .await
                    .map(|taken| take(taken.unwrap().delivery))
                    .is_some(),
                3 => dropped_after(polls, receiver.detach()).await.is_some(),
                4 => match dropped_after(polls, receiver.recv_many(2)).await {
                    Some(taken) => {
                        taken.unwrap().into_iter().for_each(&mut take);
                        true
                    }
                    None => false,
                },
                5 => dropped_after(polls, receiver.stop()).await.is_some(),
                6 => dropped_after(polls, receiver.drain()).await.is_some(),
                _ => dropped_after(polls, receiver.available()).await.is_some(),
            };
            if matches!(way, 5 | 6) {
                receiver.set_credit(3);
            }
            while numbers.len() < 3 {
                let next = timeout(PATIENCE, receiver.recv()).await.expect("no credit is lost").unwrap();
                numbers.push(number_of(&next.message().unwrap()));
                next.accept().unwrap();
            }
            assert_eq!(numbers, [0, 1, 2], "way {way} dropped after {polls}");
            drop(serving.await.unwrap());
            is_ready
        })
        .await;
    }
}

// cancels recovery::session: begun
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_a_further_session_leaves_none_behind() {
    at_every_await_point(async |polls| {
        let (net, brokers) = Net::new([Meets::Nobody]);
        net.serve_all(brokers);
        let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
        let further = connection.session(SessionOptions::new());
        let is_ready = dropped_after(polls, further.begun()).await.is_some();
        settle_down().await;
        let begun = timeout(PATIENCE, further.begun()).await.expect("it goes on").unwrap();
        settle_down().await;
        assert_eq!(begun.connection().stats().engine.sessions, 2, "dropped after {polls}");
        is_ready
    })
    .await;
}
