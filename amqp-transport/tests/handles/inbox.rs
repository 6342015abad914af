//! Messages that nobody takes: how much of them a connection holds.

use std::sync::Arc;

use std::time::Duration;

use amqp_codec::{ErrorCondition, Message, Outcome};
use amqp_transport::client::{Connection, CreditMode, DetachReason, SenderOptions, Session};
use amqp_transport::engine::Limits;
use amqp_transport::server::{AcceptOptions, ServerConnection};
use amqp_transport::{Receiver, SendError, Sender};

use crate::support::*;

const BOUND: usize = 64 * 1024;
const SIZE: usize = 1_024;

async fn bounded_pair() -> (Connection, ServerConnection, Session) {
    let mut limits = Limits::default();
    limits.inbox_bytes = BOUND;
    limited_pair(limits).await
}

/// Links into the server, each granted so much credit, and each with so many messages on their way.
async fn flooded(
    session: &Session,
    server: &ServerConnection,
    name: &str,
    (links, credit, messages): (usize, CreditMode, usize),
) -> Vec<(Arc<Sender>, Receiver)> {
    let mut flooded = Vec::new();
    for number in 0..links {
        let accept = AcceptOptions::new().credit(credit).max_message_size(2 * SIZE as u64);
        let options = SenderOptions::new(format!("{name}{number}"), "/x");
        let (sender, receiver) = sending(session, server, options, accept).await;
        if credit == CreditMode::Manual {
            // What the application granted itself is not taken back.
            receiver.add_credit(100).unwrap();
        }
        let sender = Arc::new(sender);
        let sending = Arc::clone(&sender);
        tokio::spawn(async move {
            let message = Message::data(vec![0; SIZE]);
            for _ in 0..messages {
                let Ok(receipt) = sending.send_with_receipt(&message).await else { return };
                tokio::spawn(receipt);
            }
        });
        flooded.push((sender, receiver));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    flooded
}

fn waiting(links: &[(Arc<Sender>, Receiver)]) -> usize {
    links.iter().map(|(_, receiver)| receiver.waiting()).sum()
}

#[tokio::test(start_paused = true)]
async fn messages_that_nobody_takes_are_held_up_by_credit_and_hold_up_no_other_link() {
    let (_client, server, session) = bounded_pair().await;
    let links = flooded(&session, &server, "a", (4, CreditMode::Auto(50), 300)).await;
    let held = waiting(&links);
    assert!((BOUND / SIZE / 2..=4 * 50).contains(&held), "{held} wait, of 1,200");
    // Whoever reads goes on, though the others take up all the room.
    let others = flooded(&session, &server, "b", (1, CreditMode::Auto(50), 100)).await;
    for _ in 0..100 {
        others[0].1.recv().await.unwrap().accept().unwrap();
    }
    assert_eq!(waiting(&links), held, "no more came for those who do not read");
    // Nothing is lost, and the credit comes back with the room.
    for (_, receiver) in &links {
        for _ in 0..300 {
            receiver.recv().await.unwrap().accept().unwrap();
        }
    }
    assert_eq!(waiting(&links), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_many_links_and_large_messages_does_not_grow_the_connection_without_bound() {
    let (_client, server, session) = bounded_pair().await;
    let links = flooded(&session, &server, "a", (20, CreditMode::Manual, 100)).await;
    let held = waiting(&links) * SIZE;
    assert!(held <= 4 * BOUND, "{held} octets wait");
    // What finds no room stays with the peer, and so does the credit with those who granted it.
    let stats = server.connection().stats();
    assert!(stats.messages_turned_away > 0 && stats.withheld_links > 0, "{stats:?}");
    assert!(links.iter().all(|(sender, receiver)| sender.is_attached() && receiver.is_attached()));
    for (_, receiver) in &links {
        while receiver.try_recv().is_some() {}
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let granted: u32 = links.iter().map(|(sender, _)| sender.credit()).sum();
    assert_eq!(u64::from(granted), stats.messages_turned_away, "each may come once more");
    assert_eq!(server.connection().stats().withheld_links, 0);
}

// The peer sends within the credit that it has: it was told that it broke the protocol.
#[tokio::test(start_paused = true)]
async fn a_link_given_up_for_what_came_settled_blames_our_limit() {
    let (_client, server, session) = bounded_pair().await;
    let accept = AcceptOptions::new().credit(CreditMode::Manual).max_message_size(2 * SIZE as u64);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    receiver.add_credit(1_000).unwrap();
    let message = Message::data(vec![0; SIZE]);
    while sender.send_settled(&message).await.is_ok() {}
    let DetachReason::Remote(error) = sender.detached().await else { panic!("not by the peer") };
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    let reason = receiver.detached().await;
    assert!(matches!(reason, DetachReason::OverLimit(_)), "{reason:?}");
    assert!(!reason.to_string().contains("peer broke"), "{reason}");
}

/// Sends so many messages of this size as the credit allows, each at once; their outcomes come later.
async fn sent(
    sender: &Arc<Sender>,
    size: usize,
    messages: usize,
) -> Vec<tokio::task::JoinHandle<Result<Outcome, SendError>>> {
    let mut receipts = Vec::new();
    for _ in 0..messages {
        let receipt = sender.send_with_receipt(&Message::data(vec![0; size])).await.unwrap();
        receipts.push(tokio::spawn(receipt));
    }
    receipts
}

// The largest messages that a link takes, as many as it granted, fit what is held at all.
#[tokio::test(start_paused = true)]
async fn a_peer_that_only_uses_the_credit_it_was_given_is_not_detached() {
    const LARGE: usize = 60 * 1024;
    let mut limits = Limits::default();
    limits.inbox_bytes = 1024 * 1024;
    let (client, server) = pair_with(client_options(), server_options().limits(limits)).await;
    let session = session(&client).await;
    let mut kept = Vec::new();
    for links in 0..3 {
        let accept = AcceptOptions::new().max_message_size(64 * 1024);
        let options = SenderOptions::new(format!("s{links}"), "/x");
        let (sender, receiver) = sending(&session, &server, options, accept).await;
        let sender = Arc::new(sender);
        let sending = tokio::spawn({
            let sender = Arc::clone(&sender);
            async move { sent(&sender, LARGE, 100).await }
        });
        // The application does not look for a while.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let waiting = receiver.waiting();
        assert!((5..=4 * 1024 * 1024 / LARGE).contains(&waiting), "{waiting} wait");
        for _ in 0..100 {
            receiver.recv().await.unwrap().accept().unwrap();
        }
        for receipt in sending.await.unwrap() {
            assert_eq!(receipt.await.unwrap().unwrap(), Outcome::Accepted);
        }
        assert!(sender.is_attached());
        kept.push((sender, receiver));
    }
    assert_eq!(server.connection().stats().messages_turned_away, 0);
}

#[tokio::test(start_paused = true)]
async fn small_messages_get_all_the_credit_that_was_asked_for() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(2_000));
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    // How large they are is not known yet.
    assert!((1..=64).contains(&sender.credit()), "{}", sender.credit());
    let receiving = tokio::spawn(async move {
        for _ in 0..5_000 {
            drop(receiver.recv().await.unwrap());
        }
        receiver
    });
    let payload = Message::data(vec![0; 256]);
    for _ in 0..5_000 {
        sender.send_settled(&payload).await.unwrap();
    }
    let _receiver = receiving.await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!((1_000..=2_000).contains(&sender.credit()), "{}", sender.credit());
}

#[tokio::test(start_paused = true)]
async fn messages_that_grow_suddenly_go_back_to_their_sender_and_the_link_stays() {
    let (mut near, mut far) = (Limits::default(), Limits::default());
    near.output_high_water = 64 * 1024 * 1024;
    far.inbox_bytes = BOUND;
    let (client, server) = pair_with(client_options().limits(near), server_options().limits(far)).await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(100)).max_message_size(32 * 1024);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    let sender = Arc::new(sender);
    let small = tokio::spawn({
        let sender = Arc::clone(&sender);
        async move { sent(&sender, 10, 1_000).await }
    });
    for _ in 0..1_000 {
        receiver.recv().await.unwrap().accept().unwrap();
    }
    drop(small.await.unwrap());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let granted = sender.credit() as usize;
    assert!(granted >= 50, "{granted}: what came lately is small");
    // Written in one go, before the peer has read that its credit is taken back.
    let large = Message::data(vec![0; 30 * 1024]);
    let receipts: Vec<_> =
        (0..granted).map(|_| sender.try_send(&large).unwrap()).map(|receipt| tokio::spawn(receipt)).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stats = server.connection().stats();
    assert!(stats.inbox_octets <= 4 * BOUND, "{} octets wait", stats.inbox_octets);
    let kept = receiver.waiting();
    for _ in 0..kept {
        receiver.recv().await.unwrap().accept().unwrap();
    }
    let mut counts = (0, 0);
    for receipt in receipts {
        match receipt.await.unwrap().unwrap() {
            Outcome::Accepted => counts.0 += 1,
            Outcome::Released => counts.1 += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(counts, (kept, granted - kept));
    assert_eq!(stats.messages_turned_away, (granted - kept) as u64);
    assert!(sender.is_attached() && counts.1 > 0, "{counts:?}");
    // It goes on, with the credit that such messages have room for.
    let again = sent(&sender, 30 * 1024, 1).await;
    receiver.recv().await.unwrap().accept().unwrap();
    for receipt in again {
        assert_eq!(receipt.await.unwrap().unwrap(), Outcome::Accepted);
    }
    drop(client);
}
