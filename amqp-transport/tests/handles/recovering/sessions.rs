//! Further sessions of a recovering connection.

use std::time::Duration;

use amqp_codec::Outcome;
use amqp_transport::client::{OpenError, SessionOptions};
use amqp_transport::recovery::{RecoveringConnection, RecoveryError, SendFailure, Unsettled};
use amqp_transport::server::AcceptOptions;
use amqp_transport::{ReceiverOptions, SenderOptions};
use tokio::time::timeout;

use super::net::*;
use crate::support::*;

// Each connection has the sessions anew, and each link is attached in its own.
#[tokio::test(start_paused = true)]
async fn links_of_a_further_session_come_back_in_a_session_of_their_own() {
    let (net, mut brokers) = Net::new([]);
    let (connection, mut broker) = connected(&net, &mut brokers).await;
    let further = connection.session(SessionOptions::new().incoming_window(33));
    let same = further.clone();
    let first = connection.sender(SenderOptions::new("first", "queue"));
    let sender = further.sender(SenderOptions::new("s", "queue"));
    let receiver = same.receiver(ReceiverOptions::new("r", "queue"));
    for generation in 1..=3 {
        let attaching = async {
            first.attached().await.unwrap();
            sender.attached().await.unwrap();
            receiver.attached().await.unwrap();
        };
        let accepting = async {
            let accept = AcceptOptions::new;
            let attach = next_attach(&broker.server).await;
            let of_first = attach.session_id();
            let first = attach.accept_receiver(accept()).unwrap();
            let attach = next_attach(&broker.server).await;
            let of_sender = attach.session_id();
            let takes = attach.accept_receiver(accept()).unwrap();
            let attach = next_attach(&broker.server).await;
            assert_ne!(of_first, of_sender);
            assert_eq!(attach.session_id(), of_sender, "clones are the same session");
            (first, takes, attach.accept_sender(accept()).unwrap())
        };
        let ((), (_first, takes, gives)) = tokio::join!(attaching, accepting);
        let taking = async {
            takes.recv().await.unwrap().accept().unwrap();
            gives.send_settled(&numbered(generation)).await.unwrap();
        };
        let message = numbered(generation);
        let (sent, ()) = tokio::join!(sender.send(&message), taking);
        assert_eq!(sent.unwrap(), Outcome::Accepted);
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), generation);
        let stats = further.begun().await.unwrap().stats().unwrap();
        assert!(stats.incoming_window <= 33, "its options are its own");
        broker.cut();
        broker = brokers.recv().await.unwrap();
    }
    assert!(further.connection().live().await.is_ok());
}

// The session alone is begun anew; the connection and its other links notice nothing.
#[tokio::test(start_paused = true)]
async fn a_further_session_that_ends_alone_is_begun_anew_on_the_same_connection() {
    for unsettled in [Unsettled::Forget, Unsettled::Resume { kept_bytes: 1 << 16 }] {
        let (net, brokers) = Net::new([]);
        net.serve_all(brokers);
        let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
        let further = connection.session(SessionOptions::new());
        let first = connection.sender(SenderOptions::new("first", "queue"));
        let sender = further.sender(SenderOptions::new("s", "queue")).unsettled(unsettled);
        let receiver = further.receiver(ReceiverOptions::new("r", "queue"));
        for number in 0..3 {
            let sent = timeout(PATIENCE, sender.send(&numbered(number))).await.expect("it ends");
            assert_eq!(sent.unwrap(), Outcome::Accepted);
            assert_eq!(first.send(&numbered(number)).await.unwrap(), Outcome::Accepted);
            receiver.attached().await.unwrap();
            further.begun().await.unwrap().end().await.unwrap();
            assert!(timeout(Duration::from_secs(1), receiver.recv()).await.is_err(), "it waits on");
        }
        assert_eq!(connection.live().await.unwrap().generation(), 1, "{unsettled:?}");
        let sessions = connection.live().await.unwrap().connection().stats().engine.sessions;
        assert_eq!(sessions, 2, "what has ended is not left over");
        drop((sender, receiver, further));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sessions = connection.live().await.unwrap().connection().stats().engine.sessions;
        assert_eq!(sessions, 1, "it ends with its last handle");
    }
}

// A peer that takes no further session has the links say so, and the connection stays.
#[tokio::test(start_paused = true)]
async fn a_further_session_that_is_refused_is_told() {
    let (net, brokers) = Net::new([]);
    let net = net.with_one_session();
    net.serve_all(brokers);
    let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
    let first = connection.sender(SenderOptions::new("first", "queue"));
    let further = connection.session(SessionOptions::new());
    let sender = further.sender(SenderOptions::new("s", "queue"));
    let sent = timeout(PATIENCE, sender.send(&numbered(1))).await.expect("it ends");
    let Err(SendFailure::NotSent(RecoveryError::Begin(OpenError::Limit(_) | OpenError::Refused(_)))) = sent
    else {
        panic!("{sent:?}");
    };
    let begun = timeout(PATIENCE, further.begun()).await.expect("it ends");
    assert!(matches!(begun, Err(RecoveryError::Begin(_))), "{begun:?}");
    assert_eq!(first.send(&numbered(2)).await.unwrap(), Outcome::Accepted);
    assert_eq!(connection.live().await.unwrap().generation(), 1);
}
