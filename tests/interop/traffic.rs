//! A conversation of our own two sides with everything in it that a dissector may stumble over: SASL in all its forms, deliveries
//! of several frames, transactions, a link that is suspended and resumed, redirects, filters, and errors of every scope.
//!
//! It passes through a relay that writes a capture, of which `run.sh` asks tshark.

use std::sync::Arc;
use std::time::Duration;

use amqp_codec::{DeliveryState, Error, ErrorCondition, Message, Modified, Outcome, Symbol};
use amqp_transport::client::{Connection, ReceiverOptions, Sasl, SenderOptions, SessionOptions};
use amqp_transport::sasl::scram::{ScramDecoy, ScramHash, ScramKeys, ScramStore};
use amqp_transport::server::{
    AcceptOptions, Incoming, IncomingAttach, Listener, ListenerOptions, SaslDecision, SaslPeer, SaslPolicy,
    SaslRequest, ServerConnection,
};
use amqp_transport::{Redirect, Secret, Session, Settlement};

use super::transactions::{self, Resource};
use super::{broker, options, within};

#[tokio::test]
#[ignore = "needs a relay that captures; run by tests/interop/run.sh"]
async fn dissected() {
    let listener =
        Listener::bind(std::env::var("INTEROP_LISTEN").unwrap(), listener_options()).await.unwrap();
    sasl(&listener).await;
    several_frames(&listener).await;
    transactions(&listener).await;
    resume(&listener).await;
    refusals(&listener).await;
    heartbeats(&listener).await;
}

fn listener_options() -> ListenerOptions {
    let decide = |request: &SaslRequest, _: &SaslPeer| match request {
        SaslRequest::Plain { password, .. } if password.expose() != "right" => SaslDecision::Refuse,
        _ => SaslDecision::accept("ann"),
    };
    let keys =
        ScramKeys::derive(ScramHash::Sha256, &Secret::new("right"), b"salt of sixteen.", 4_096).unwrap();
    let find = move |user: &str, _: ScramHash| (user == "ann").then(|| keys.clone());
    let store: Arc<dyn ScramStore> = Arc::new(find);
    let policy =
        SaslPolicy::new(["PLAIN", "ANONYMOUS", "EXTERNAL"].map(Symbol::from_static), Arc::new(decide))
            .scram([ScramHash::Sha256], &store, &ScramDecoy::new([9; 32]))
            .allow_no_sasl();
    ListenerOptions::new("listener")
        .sasl(policy)
        .max_frame_size(FRAME)
        .idle_time_out(Some(Duration::from_millis(600)))
}

/// A connection from end to end, with a session.
async fn connected(listener: &Listener, sasl: Sasl) -> (Connection, Session, ServerConnection) {
    let options = options(sasl).max_frame_size(FRAME);
    let accepted = async { listener.accept().await.unwrap().handshake().await.unwrap() };
    let (connection, server) =
        within(async { tokio::join!(Connection::connect(broker(), options), accepted) }).await;
    let connection = connection.unwrap();
    let session = within(connection.begin(SessionOptions::new())).await.unwrap();
    (connection, session, server)
}

async fn next(server: &ServerConnection) -> IncomingAttach {
    let Incoming::Attach(attach) = within(server.next()).await.unwrap() else { panic!("no attach") };
    attach
}

async fn sasl(listener: &Listener) {
    let password = |text: &str| Secret::new(text.to_owned());
    let scram =
        |text: &str| Sasl::Scram { hash: ScramHash::Sha256, user: "ann".into(), password: password(text) };
    let plain = |text: &str| Sasl::Plain { user: "ann".into(), password: password(text) };
    for sasl in [Sasl::None, Sasl::Anonymous, Sasl::External, plain("right"), scram("right")] {
        let (connection, _session, _server) = connected(listener, sasl).await;
        within(connection.close()).await.unwrap();
    }
    for sasl in [plain("wrong"), scram("wrong")] {
        let refused = async { drop(listener.accept().await.unwrap().handshake().await) };
        let (error, ()) =
            within(async { tokio::join!(Connection::connect(broker(), options(sasl)), refused) }).await;
        assert!(error.unwrap_err().is_auth());
    }
}

/// Frames of a delivery behind the first begin with a section here: the dissector takes them for beginnings.
async fn several_frames(listener: &Listener) {
    let (connection, session, server) = connected(listener, Sasl::Anonymous).await;
    let attaching = session.attach_sender(SenderOptions::new("large", "large"));
    let accepting = async { next(&server).await.accept_receiver(AcceptOptions::new()).unwrap() };
    let (sender, receiver) = within(async { tokio::join!(attaching, accepting) }).await;
    let sender = sender.unwrap();
    let payload: Vec<u8> = [FIRST, BEHIND, BEHIND, 40].into_iter().flat_map(section).collect();
    let receipt = sender.send_encoded(payload.clone().into(), 0, Settlement::Unsettled).await.unwrap();
    let delivery = within(receiver.recv()).await.unwrap();
    assert_eq!(delivery.payload()[..], payload[..]);
    delivery.accept().unwrap();
    assert_eq!(within(receipt).await.unwrap(), Outcome::Accepted);
    within(connection.close()).await.unwrap();
}

/// A data section of so many octets in all.
fn section(octets: usize) -> Vec<u8> {
    let body = u32::try_from(octets - 8).unwrap();
    let mut section = vec![0, 0x53, 0x75, 0xb0];
    section.extend(body.to_be_bytes());
    section.resize(octets, b'x');
    section
}

async fn transactions(listener: &Listener) {
    let (connection, session, server) = connected(listener, Sasl::Anonymous).await;
    let resource = Arc::new(Resource::new());
    let serving = Arc::clone(&resource);
    let serving = tokio::spawn(async move { transactions::serve(&server, serving).await });
    let control = within(session.transactions("control", [])).await.unwrap();
    let sender = within(session.attach_sender(SenderOptions::new("in", "queue"))).await.unwrap();
    let receiver = within(session.attach_receiver(ReceiverOptions::new("out", "queue"))).await.unwrap();
    for commits in [true, false] {
        let transaction = within(control.declare()).await.unwrap();
        within(transaction.send(&sender, &Message::value("text"))).await.unwrap();
        if commits {
            within(transaction.commit()).await.unwrap();
        } else {
            within(transaction.rollback()).await.unwrap();
        }
    }
    let delivery = within(receiver.recv()).await.unwrap();
    let transaction = within(control.declare()).await.unwrap();
    transaction.accept(delivery).unwrap();
    // The queue enlists what it hears on a link of its own.
    tokio::time::sleep(Duration::from_millis(100)).await;
    within(transaction.commit()).await.unwrap();
    assert!(resource.queue.lock().await.is_empty());
    within(connection.close()).await.unwrap();
    serving.abort();
}

/// A link with unsettled deliveries goes away and comes back.
async fn resume(listener: &Listener) {
    let (connection, session, server) = connected(listener, Sasl::Anonymous).await;
    let keeping = || SenderOptions::new("kept", "queue").keep_unsettled(1 << 20);
    let accept = AcceptOptions::new().keep_unsettled(0);
    let accepting = async { next(&server).await.accept_receiver(accept.clone()).unwrap() };
    let (sender, receiver) =
        within(async { tokio::join!(session.attach_sender(keeping()), accepting) }).await;
    let sender = sender.unwrap();
    let mut receipts = Vec::new();
    for number in 0..3u32 {
        receipts.push(within(sender.send_with_receipt(&Message::value(number))).await.unwrap());
    }
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(within(receiver.recv()).await.unwrap());
    }
    let (left, kept) = within(async { tokio::join!(sender.suspend(), receiver.suspended()) }).await;
    let mut kept = kept.unwrap();
    let modified = Modified { delivery_failed: Some(true), ..Modified::default() };
    assert!(kept.settle(held[0].tag(), DeliveryState::Modified(modified.clone())));
    let accepting = async { next(&server).await.resume_receiver(accept, kept).unwrap() };
    let resuming = session.resume_sender(keeping(), left.unwrap());
    let (sender, receiver) = within(async { tokio::join!(resuming, accepting) }).await;
    assert_eq!(within(receipts.remove(0)).await.unwrap(), Outcome::Modified(modified));
    for delivery in held.drain(1..) {
        within(receiver.adopt(delivery)).await.unwrap().release().unwrap();
    }
    for receipt in receipts {
        assert_eq!(within(receipt).await.unwrap(), Outcome::Released);
    }
    within(sender.unwrap().detach()).await.unwrap();
    within(connection.close()).await.unwrap();
}

/// Errors of a link, a session and a connection, a redirect, and a filter.
async fn refusals(listener: &Listener) {
    let (connection, session, server) = connected(listener, Sasl::Anonymous).await;
    let failed = || Error::new(ErrorCondition::INTERNAL_ERROR).with_description("it failed, as it was to");
    let redirect = Redirect::new("10.0.0.1", 5671).with_hostname("other.example").with_address("queue");
    let selecting = ReceiverOptions::new("selecting", "queue").filter(SELECTOR, SELECTOR, "color = 'green'");
    let answering = async {
        next(&server).await.refuse(failed());
        next(&server).await.redirect(redirect);
        next(&server)
            .await
            .accept_sender(AcceptOptions::new().filters([Symbol::from_static(SELECTOR)]))
            .unwrap()
    };
    let attaching = async {
        assert!(session.attach_sender(SenderOptions::new("refused", "queue")).await.is_err());
        assert!(session.attach_receiver(ReceiverOptions::new("redirected", "queue")).await.is_err());
        session.attach_receiver(selecting).await.unwrap()
    };
    let (sender, receiver) = within(async { tokio::join!(answering, attaching) }).await;
    within(sender.detach_with_error(failed())).await.unwrap();
    assert!(within(receiver.recv()).await.is_err());
    within(session.end_with_error(failed())).await.unwrap();
    let _ = within(server.close(Some(failed()))).await;
    drop(within(connection.closed()).await);
}

async fn heartbeats(listener: &Listener) {
    let (connection, _session, _server) = connected(listener, Sasl::Anonymous).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    within(connection.close()).await.unwrap();
}

/// The largest frame of either side.
const FRAME: u32 = 512;
/// Octets of a payload that fit the first frame of a delivery, and one behind it.
const FIRST: usize = 487;
const BEHIND: usize = 492;
const SELECTOR: &str = "apache.org:selector-filter:string";
