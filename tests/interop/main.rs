//! Our client and listener with AMQP 1.0 peers of other makers.
//!
//! Each test needs a peer that `run.sh` installs and starts; it passes the addresses in environment variables and
//! runs the tests by name.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; what was seen is printed for run.sh"
)]

mod agreement;
mod cases;
mod echo;
mod fe2o3_broker;
mod fe2o3_cases;
mod fe2o3_echo;
mod traffic;
mod transactions;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use amqp_codec::message::{Message, MessageId};
use amqp_codec::{Outcome, Role};
use amqp_transport::Secret;
use amqp_transport::client::{
    ConnectOptions, Connection, CreditMode, ReceiverOptions, Sasl, SendError, SenderOptions, Session,
    SessionOptions,
};
use amqp_transport::server::{AcceptOptions, Incoming, Listener, ListenerOptions, SaslPolicy};
use bytes::Bytes;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// No single exchange with a local peer takes this long.
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test]
#[ignore = "needs the qpid-proton C broker; run by tests/interop/run.sh"]
async fn proton_c_broker() {
    let (connection, session) = connect(Sasl::Anonymous).await;
    let sender = session.attach_sender(SenderOptions::new("to-q", "proton-queue")).await.unwrap();
    for number in 0..10u32 {
        let message = Message::data(format!("message {number}")).with_message_id(u64::from(number));
        assert_eq!(within(sender.send(&message)).await.unwrap(), Outcome::Accepted);
    }
    let receiver = session.attach_receiver(ReceiverOptions::new("from-q", "proton-queue")).await.unwrap();
    for number in 0..10u32 {
        let delivery = within(receiver.recv()).await.unwrap();
        let message = delivery.message().unwrap();
        assert_eq!(message.body_bytes().as_deref(), Some(format!("message {number}").as_bytes()));
        assert_eq!(
            message.properties.as_ref().and_then(|p| p.message_id.clone()),
            Some(MessageId::Ulong(number.into()))
        );
        delivery.accept().unwrap();
    }
    within(connection.close()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the rhea broker of this folder; run by tests/interop/run.sh"]
async fn rhea_broker() {
    for (name, sasl) in [
        ("none", Sasl::None),
        ("anonymous", Sasl::Anonymous),
        ("plain", Sasl::Plain { user: "user".into(), password: Secret::new("secret") }),
    ] {
        let (connection, session) = connect(sasl).await;
        round_trip(&session, name, &[]).await;
        within(connection.close()).await.unwrap();
    }
    let wrong = Sasl::Plain { user: "user".into(), password: Secret::new("guess") };
    let refused = Connection::connect(broker(), options(wrong)).await.unwrap_err();
    assert!(refused.is_auth(), "{refused}");

    let (connection, session) = connect(Sasl::Anonymous).await;
    let large: Vec<u8> = (0..1_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    round_trip(&session, "large", &large).await;
    outcomes(&session).await;
    drain(&session).await;
    within(session.end()).await.unwrap();
    within(connection.close()).await.unwrap();
}

/// Sends to a queue and reads back, with the peer's frames small enough that large bodies are split.
async fn round_trip(session: &Session, queue: &str, body: &[u8]) {
    let sender = session.attach_sender(SenderOptions::new(format!("to-{queue}"), queue)).await.unwrap();
    let receiver =
        session.attach_receiver(ReceiverOptions::new(format!("from-{queue}"), queue)).await.unwrap();
    for number in 0..3i32 {
        let message =
            Message::data(body.to_vec()).with_application_property("number", number).with_message_id("id");
        assert_eq!(within(sender.send(&message)).await.unwrap(), Outcome::Accepted);
        let delivery = within(receiver.recv()).await.unwrap();
        let received = delivery.message().unwrap();
        assert_eq!(received.body_bytes().as_deref(), Some(body));
        let properties = received.application_properties.as_ref().unwrap();
        assert_eq!(properties.get("number").and_then(|value| value.as_i64()), Some(i64::from(number)));
        delivery.accept().unwrap();
    }
    within(sender.detach()).await.unwrap();
    within(receiver.detach()).await.unwrap();
}

/// Every outcome a receiver can give reaches the sender as such.
async fn outcomes(session: &Session) {
    for address in ["reject", "release", "modify"] {
        let sender =
            session.attach_sender(SenderOptions::new(format!("to-{address}"), address)).await.unwrap();
        let outcome = within(sender.send(&Message::data("x"))).await.unwrap();
        match (address, outcome) {
            ("reject", Outcome::Rejected(Some(error))) => {
                assert_eq!(error.condition.as_str(), "amqp:not-allowed")
            }
            ("release", Outcome::Released) => {}
            ("modify", Outcome::Modified(modified)) => {
                assert_eq!((modified.delivery_failed, modified.undeliverable_here), (Some(true), Some(true)))
            }
            (_, outcome) => panic!("{address} was answered with {outcome:?}"),
        }
        within(sender.detach()).await.unwrap();
    }
}

/// A drained receiver learns that nothing more comes, and gets what was there.
async fn drain(session: &Session) {
    let sender = session.attach_sender(SenderOptions::new("to-drained", "drained")).await.unwrap();
    for _ in 0..3 {
        within(sender.send(&Message::data("x"))).await.unwrap();
    }
    let options = ReceiverOptions::new("from-drained", "drained").credit(CreditMode::Manual);
    let receiver = session.attach_receiver(options).await.unwrap();
    receiver.add_credit(10).unwrap();
    for _ in 0..3 {
        within(receiver.recv()).await.unwrap().accept().unwrap();
    }
    within(receiver.drain()).await.unwrap();
    assert!(receiver.try_recv().is_none());
}

#[tokio::test]
#[ignore = "needs qpid-proton's example programs; run by tests/interop/run.sh"]
async fn proton_c_clients() {
    let policy = SaslPolicy::open_to_all();
    let listener = Listener::bind(
        "127.0.0.1:0".parse::<SocketAddr>().unwrap(),
        ListenerOptions::new("ours").sasl(policy),
    )
    .await
    .unwrap();
    let address = listener.local_addr().unwrap();
    let queue = Arc::new(Mutex::new(Vec::new()));
    let server = tokio::spawn(serve(listener, queue.clone()));

    let sent = proton("send", address, "10").await;
    assert!(sent.contains("10 messages sent and acknowledged"), "{sent}");
    assert_eq!(queue.lock().await.len(), 10);
    let received = proton("receive", address, "10").await;
    assert!(received.contains("10 messages received"), "{received}");
    assert!(received.contains("sequence"), "{received}");
    server.abort();
}

/// A queue over our listener: what senders bring is kept, and given to receivers.
async fn serve(listener: Listener, queue: Arc<Mutex<Vec<Bytes>>>) {
    loop {
        let connection = listener.accept().await.unwrap().handshake().await.unwrap();
        let queue = queue.clone();
        tokio::spawn(async move {
            while let Ok(incoming) = connection.next().await {
                let Incoming::Attach(attach) = incoming else { continue };
                let queue = queue.clone();
                if attach.attach().role == Role::Sender {
                    let receiver = attach.accept_receiver(AcceptOptions::new()).unwrap();
                    tokio::spawn(async move {
                        while let Ok(delivery) = receiver.recv().await {
                            queue.lock().await.push(delivery.payload().clone());
                            delivery.accept().unwrap();
                        }
                    });
                } else {
                    let sender = attach.accept_sender(AcceptOptions::new()).unwrap();
                    tokio::spawn(async move {
                        for payload in std::mem::take(&mut *queue.lock().await) {
                            let message = Message::decode(&payload, &Default::default()).unwrap();
                            let sent: Result<Outcome, SendError> = sender.send(&message).await;
                            assert_eq!(sent.unwrap(), Outcome::Accepted);
                        }
                    });
                }
            }
        });
    }
}

/// Runs one of qpid-proton's examples to its end and gives what it printed.
async fn proton(program: &str, address: SocketAddr, count: &str) -> String {
    let folder = PathBuf::from(std::env::var_os("INTEROP_PROTON").expect("INTEROP_PROTON"));
    let mut command = Command::new(folder.join(program));
    command.args([
        address.ip().to_string(),
        address.port().to_string(),
        "queue".to_owned(),
        count.to_owned(),
    ]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = within(command.output()).await.unwrap();
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {}: {printed}", output.status);
    printed
}

async fn connect(sasl: Sasl) -> (Connection, Session) {
    let connection = within(Connection::connect(broker(), options(sasl))).await.unwrap();
    let session = within(connection.begin(SessionOptions::new())).await.unwrap();
    (connection, session)
}

fn options(sasl: Sasl) -> ConnectOptions {
    ConnectOptions::new("interop")
        .hostname("localhost")
        .sasl(sasl)
        .allow_secrets_without_tls()
        .max_frame_size(16 * 1024)
        .connect_timeout(PATIENCE)
}

/// The broker of `INTEROP_BROKER`, as `host:port`.
fn broker() -> (&'static str, u16) {
    let address: SocketAddr = std::env::var("INTEROP_BROKER").expect("INTEROP_BROKER").parse().unwrap();
    ("127.0.0.1", address.port())
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("the peer answers in time")
}
