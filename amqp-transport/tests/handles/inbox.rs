//! Messages that nobody takes: how much of them a connection holds.

use std::sync::Arc;

use amqp_codec::{ErrorCondition, Message};
use amqp_transport::client::{Connection, CreditMode, DetachReason, SenderOptions, Session};
use amqp_transport::engine::Limits;
use amqp_transport::server::{AcceptOptions, ServerConnection};
use amqp_transport::{Receiver, Sender};

use crate::support::*;

const BOUND: usize = 64 * 1024;
const SIZE: usize = 1_024;

async fn bounded_pair() -> (Connection, ServerConnection, Session) {
    let mut limits = Limits::default();
    limits.inbox_bytes = BOUND;
    let (client, server) = pair_with(client_options(), server_options().limits(limits)).await;
    let session = session(&client).await;
    (client, server, session)
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
        let accept = AcceptOptions::new().credit(credit);
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
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
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
    let mut given_up = 0;
    for (sender, receiver) in &links {
        if sender.is_attached() {
            continue;
        }
        given_up += 1;
        let DetachReason::Remote(error) = sender.detached().await else { panic!("not by the peer") };
        assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
        assert!(matches!(receiver.detached().await, DetachReason::Violation(_)));
    }
    assert!(given_up > 0, "no link was given up");
}
