//! Another AMQP 1.0 implementation in Rust, fe2o3-amqp, at the other end of a pipe: its client with our listener, our
//! client with its listener.

use std::time::Duration;

use amqp_codec::{Message, Outcome, Role};
use amqp_transport::client::{
    ConnectOptions, Connection, ReceiverOptions, Sasl, SenderOptions, SessionOptions,
};
use amqp_transport::server::{AcceptOptions, Incoming, ListenerOptions, SaslPolicy, ServerConnection};
use fe2o3_amqp::acceptor::{ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SessionAcceptor};
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::session::Session;
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::messaging::{Data, Outcome as TheirOutcome};
use fe2o3_amqp_types::primitives::Binary;
use tokio::io::{DuplexStream, duplex};
use tokio::time::timeout;

#[tokio::test]
async fn their_client_sends_to_our_listener_and_receives_from_it() {
    let (theirs, ours) = duplex(PIPE);
    let server = tokio::spawn(serve(ours));
    let body = large();
    in_time(async {
        let builder =
            fe2o3_amqp::connection::Connection::builder().container_id("fe2o3").max_frame_size(4096);
        let mut connection = builder.open_with_stream(theirs).await.unwrap();
        let mut session = Session::begin(&mut connection).await.unwrap();
        let mut sender = Sender::attach(&mut session, "to", "queue").await.unwrap();
        for body in [&b"small"[..], &body] {
            let outcome = sender.send(Data(Binary::from(body.to_vec()))).await.unwrap();
            assert!(matches!(outcome, TheirOutcome::Accepted(_)), "{outcome:?}");
        }
        let outcome = sender.send(Data(Binary::from(b"unwanted".to_vec()))).await.unwrap();
        let TheirOutcome::Rejected(rejected) = outcome else { panic!("{outcome:?}") };
        assert_eq!(rejected.error.unwrap().description.as_deref(), Some("not this one"));
        sender.close().await.unwrap();

        let mut receiver = Receiver::attach(&mut session, "from", "queue").await.unwrap();
        for body in [&b"small"[..], &body] {
            let delivery: Delivery<Data> = receiver.recv().await.unwrap();
            assert_eq!(delivery.body().0.as_slice(), body);
            receiver.accept(&delivery).await.unwrap();
        }
        receiver.close().await.unwrap();
        session.end().await.unwrap();
        connection.close().await.unwrap();
    })
    .await;
    in_time(server).await.unwrap();
}

/// Keeps what senders bring, except what is unwanted, and gives it to the first receiver.
async fn serve(stream: DuplexStream) {
    let options = ListenerOptions::new("ours").sasl(SaslPolicy::open_to_all()).max_frame_size(8192);
    let connection = ServerConnection::over(stream, &options).await.unwrap();
    let mut kept = Vec::new();
    while let Ok(Incoming::Attach(attach)) = connection.next().await {
        if attach.attach().role == Role::Sender {
            let receiver = attach.accept_receiver(AcceptOptions::new()).unwrap();
            while let Ok(delivery) = receiver.recv().await {
                let message = delivery.message().unwrap();
                if message.body_bytes().as_deref() == Some(b"unwanted") {
                    let error = amqp_codec::Error {
                        condition: "amqp:not-allowed".into(),
                        description: Some("not this one".into()),
                        info: None,
                    };
                    delivery.reject(Some(error)).unwrap();
                } else {
                    kept.push(message);
                    delivery.accept().unwrap();
                }
            }
        } else {
            let sender = attach.accept_sender(AcceptOptions::new()).unwrap();
            for message in &kept {
                assert_eq!(sender.send(message).await.unwrap(), Outcome::Accepted);
            }
            sender.detached().await;
        }
    }
    assert_eq!(kept.len(), 2);
}

#[tokio::test]
async fn our_client_sends_to_their_listener_and_receives_from_it() {
    let (theirs, ours) = duplex(PIPE);
    let server = tokio::spawn(let_them_serve(theirs));
    let body = large();
    in_time(async {
        let options = ConnectOptions::new("ours").sasl(Sasl::None).max_frame_size(8192);
        let connection = Connection::over(ours, options).await.unwrap();
        let session = connection.begin(SessionOptions::new()).await.unwrap();
        let sender = session.attach_sender(SenderOptions::new("to", "queue")).await.unwrap();
        for body in [&b"small"[..], &body] {
            assert_eq!(sender.send(&Message::data(body.to_vec())).await.unwrap(), Outcome::Accepted);
        }
        assert_eq!(sender.send(&Message::data("unwanted")).await.unwrap(), Outcome::Released);
        sender.detach().await.unwrap();

        let receiver = session.attach_receiver(ReceiverOptions::new("from", "queue")).await.unwrap();
        for body in [&b"small"[..], &body] {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(delivery.message().unwrap().body_bytes().as_deref(), Some(body));
            delivery.accept().unwrap();
        }
        receiver.detach().await.unwrap();
        session.end().await.unwrap();
        connection.close().await.unwrap();
    })
    .await;
    in_time(server).await.unwrap();
}

async fn let_them_serve(stream: DuplexStream) {
    let acceptor = ConnectionAcceptor::builder().container_id("fe2o3").max_frame_size(4096).build();
    let mut connection = acceptor.accept(stream).await.unwrap();
    let mut session = SessionAcceptor::new().accept(&mut connection).await.unwrap();
    let mut kept = Vec::new();
    let LinkEndpoint::Receiver(mut receiver) = LinkAcceptor::new().accept(&mut session).await.unwrap() else {
        panic!("our sender comes first");
    };
    while let Ok(delivery) = receiver.recv::<Data>().await {
        if delivery.body().0.as_slice() == b"unwanted" {
            receiver.release(&delivery).await.unwrap();
        } else {
            receiver.accept(&delivery).await.unwrap();
            kept.push(delivery.into_body());
        }
    }
    let _ = receiver.close().await;
    let LinkEndpoint::Sender(mut sender) = LinkAcceptor::new().accept(&mut session).await.unwrap() else {
        panic!("our receiver comes next");
    };
    for body in kept {
        assert!(matches!(sender.send(body).await.unwrap(), TheirOutcome::Accepted(_)));
    }
    // Whatever ends the link now is the client going away.
    let _ = sender.on_detach().await;
    let _ = sender.close().await;
    let _ = session.on_end().await;
    let _ = connection.on_close().await;
}

/// A body that takes many frames either way.
fn large() -> Vec<u8> {
    (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect()
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.unwrap()
}

const PIPE: usize = 64 * 1024;
