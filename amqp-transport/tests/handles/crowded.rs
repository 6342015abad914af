//! Deliveries that nobody settles: what one link's leave for the other links of its session.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use amqp_codec::Outcome;
use amqp_transport::client::{Blocked, Connection, CreditMode, SenderOptions, Session};
use amqp_transport::engine::Limits;
use amqp_transport::server::{AcceptOptions, ServerConnection};
use amqp_transport::{Delivery, Receiver, SendError, Sender};

use crate::support::*;

/// A server that holds so many unsettled deliveries a session.
async fn bounded_pair(unsettled: usize) -> (Connection, ServerConnection, Session) {
    let mut limits = Limits::default();
    limits.unsettled = unsettled;
    limited_pair(limits).await
}

/// A link into the server with so many numbered messages on their way; how many of them were accepted in the end.
async fn flooded(
    session: &Session,
    server: &ServerConnection,
    (name, credit, messages): (&str, CreditMode, usize),
) -> (Arc<Sender>, Receiver, tokio::task::JoinHandle<usize>) {
    let accept = AcceptOptions::new().credit(credit);
    let (sender, receiver) =
        sending(session, server, SenderOptions::new(name.to_owned(), "/x"), accept).await;
    let sender = Arc::new(sender);
    let feeder = Arc::clone(&sender);
    let accepted = tokio::spawn(async move {
        let mut sending = tokio::task::JoinSet::new();
        for number in 0..messages {
            let sender = Arc::clone(&feeder);
            let message = numbered(u32::try_from(number).unwrap());
            sending.spawn(async move {
                // One that is given back is offered again.
                loop {
                    match sender.send(&message).await {
                        Ok(Outcome::Accepted) => return true,
                        Ok(Outcome::Released) => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        sending.join_all().await.into_iter().filter(|is_accepted| *is_accepted).count()
    });
    (sender, receiver, accepted)
}

/// Takes what comes within a while and settles none of it.
async fn hoarded(receiver: &Receiver) -> Vec<Delivery> {
    let mut held = Vec::new();
    while let Ok(delivery) = tokio::time::timeout(Duration::from_secs(5), receiver.recv()).await {
        held.push(delivery.unwrap());
    }
    held
}

/// The session ended, and with it all its links, when an application took twenty messages and settled none.
#[tokio::test(start_paused = true)]
async fn a_link_that_settles_nothing_ends_no_session_and_holds_up_no_other_link() {
    let (client, server, session) = bounded_pair(20).await;
    let (_a, slow, slow_sent) = flooded(&session, &server, ("slow", CreditMode::Auto(4), 40)).await;
    let held = hoarded(&slow).await;
    assert_eq!(held.len(), 8, "half of what the session is to hold by itself");
    // An other one that settles goes on, as does a second slow one, and a third link beside both.
    let (_b, quick, quick_sent) = flooded(&session, &server, ("quick", CreditMode::Auto(4), 100)).await;
    for _ in 0..100 {
        quick.recv().await.unwrap().accept().unwrap();
    }
    assert_eq!(quick_sent.await.unwrap(), 100);
    let (_c, slower, slower_sent) = flooded(&session, &server, ("slower", CreditMode::Auto(4), 20)).await;
    let others = hoarded(&slower).await;
    assert_eq!(others.len(), 4, "half of what the first has left");
    let (_d, third, third_sent) = flooded(&session, &server, ("third", CreditMode::Auto(4), 100)).await;
    for _ in 0..100 {
        third.recv().await.unwrap().accept().unwrap();
    }
    assert_eq!(third_sent.await.unwrap(), 100);
    assert_eq!(server.connection().stats().messages_turned_away, 0);
    assert!(server.connection().stats().crowded_links > 0);
    // Whoever settles gets more.
    for delivery in held.into_iter().chain(others) {
        delivery.accept().unwrap();
    }
    for _ in 8..40 {
        slow.recv().await.unwrap().accept().unwrap();
    }
    for _ in 4..20 {
        slower.recv().await.unwrap().accept().unwrap();
    }
    assert_eq!((slow_sent.await.unwrap(), slower_sent.await.unwrap()), (40, 20));
    assert_eq!(server.connection().stats().crowded_links, 0);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn credit_granted_by_hand_beyond_the_room_is_kept_back_until_deliveries_are_settled() {
    let (_client, server, session) = bounded_pair(16).await;
    let (sender, receiver, sent) = flooded(&session, &server, ("s", CreditMode::Manual, 100)).await;
    receiver.add_credit(60).unwrap();
    receiver.add_credit(40).unwrap();
    let mut numbers = Vec::new();
    let mut held = hoarded(&receiver).await;
    assert_eq!(held.len(), 14, "an eighth is left for what is on its way");
    while !held.is_empty() {
        for delivery in held {
            numbers.push(number_of(&delivery.message().unwrap()));
            delivery.accept().unwrap();
        }
        held = hoarded(&receiver).await;
    }
    assert_eq!(numbers.len(), 100, "all that was granted came");
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 100);
    assert_eq!(sent.await.unwrap(), 100);
    assert_eq!(sender.credit(), 0, "and no more");
    assert_eq!(server.connection().stats().messages_turned_away, 0);
}

#[tokio::test(start_paused = true)]
async fn credit_that_is_kept_back_is_taken_back_with_the_rest() {
    let (_client, server, session) = bounded_pair(16).await;
    for (name, is_drained) in [("drained", true), ("stopped", false)] {
        let (sender, receiver, _sent) = flooded(&session, &server, (name, CreditMode::Manual, 0)).await;
        receiver.add_credit(60).unwrap();
        assert!(server.connection().stats().crowded_links > 0);
        if is_drained {
            receiver.drain().await.unwrap();
        } else {
            receiver.stop().await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((sender.credit(), server.connection().stats().crowded_links), (0, 0), "{name}");
        receiver.set_credit(3).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(sender.credit(), 3, "{name}");
    }
}

/// Idle links keep their credit; where all use it at once, more may come than the session is to hold.
#[tokio::test(start_paused = true)]
async fn many_links_that_use_their_credit_at_once_lose_nothing_and_end_no_session() {
    let (_client, server, session) = bounded_pair(64).await;
    let mut links = Vec::new();
    for index in 0..20 {
        let credit = if index % 2 == 0 { CreditMode::Auto(8) } else { CreditMode::Manual };
        let name = format!("l{index}");
        let (sender, receiver, sent) = flooded(&session, &server, (&name, credit, 30)).await;
        if credit == CreditMode::Manual {
            receiver.add_credit(30).unwrap();
        }
        links.push((sender, receiver, sent, Vec::new()));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(server.connection().stats().messages_turned_away > 0, "all of it found room");
    for round in 0..200 {
        for (_, receiver, _, held) in &mut links {
            while let Some(delivery) = receiver.try_recv() {
                held.push(delivery);
            }
        }
        let held: usize = links.iter().map(|(.., held)| held.len()).sum();
        assert!(held <= 64, "{held} are held");
        if held == 0 {
            assert!(round > 5);
            break;
        }
        for delivery in links.iter_mut().flat_map(|(.., held)| held.drain(..)) {
            delivery.accept().unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for (_, _, sent, _) in links {
        assert_eq!(sent.await.unwrap(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_room_says_so() {
    let mut limits = Limits::default();
    limits.unsettled = 3;
    let (client, server) = pair_with(client_options().limits(limits), server_options()).await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Manual);
    let (slow, slow_end) = sending(&session, &server, SenderOptions::new("slow", "/x"), accept.clone()).await;
    let (other, other_end) = sending(&session, &server, SenderOptions::new("other", "/x"), accept).await;
    slow_end.add_credit(10).unwrap();
    other_end.add_credit(10).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let receipts = [slow.try_send(&numbered(0)).unwrap(), slow.try_send(&numbered(1)).unwrap()];
    let error = slow.try_send(&numbered(2)).unwrap_err();
    assert!(matches!(error, SendError::WouldBlock(Blocked::Unsettled)), "{error:?}");
    // The other one goes on.
    for turn in 0..5 {
        let sent = tokio::spawn(other.send_with_receipt(&numbered(turn)).await.unwrap());
        other_end.recv().await.unwrap().accept().unwrap();
        assert_eq!(sent.await.unwrap().unwrap(), Outcome::Accepted);
    }
    for _ in 0..2 {
        slow_end.recv().await.unwrap().accept().unwrap();
    }
    for receipt in receipts {
        assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    }
    let sent = slow.send_with_receipt(&numbered(2)).await.unwrap();
    slow_end.recv().await.unwrap().accept().unwrap();
    assert_eq!(sent.await.unwrap(), Outcome::Accepted);
}
