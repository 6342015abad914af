//! Links with unsettled deliveries, suspended and resumed with another AMQP 1.0 implementation, fe2o3-amqp.
//!
//! As far as theirs goes: its sender detaches as soon as it has sent what is resumed, and attaches again until nothing is
//! left; its receiver tells of a whole message a place beyond its end, and wants all of it again; its listener hands on
//! nothing of what comes on a link that it resumes, and a sender of its listener sends before it has credit and then
//! attaches by itself, so that neither is resumed there.

use std::time::Duration;

use amqp_codec::{DeliveryState, Message, Modified, Outcome, Rejected};
use amqp_transport::client::{ConnectOptions, Connection, Sasl, SenderOptions, SessionOptions};
use amqp_transport::server::{
    AcceptOptions, Incoming, IncomingAttach, ListenerOptions, SaslPolicy, ServerConnection, SuspendedReceiver,
};
use amqp_transport::{DetachReason, Receipt, ReceiverOptions};
use fe2o3_amqp::acceptor::{ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SessionAcceptor};
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::{Session, SessionHandle};
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::messaging::{Data, Outcome as TheirOutcome};
use fe2o3_amqp_types::primitives::Binary;
use tokio::io::{DuplexStream, duplex};
use tokio::time::timeout;

/// Their client on our listener, with a session.
async fn their_client() -> (ConnectionHandle<()>, SessionHandle<()>, ServerConnection) {
    let (theirs, ours) = duplex(PIPE);
    let options = ListenerOptions::new("ours").sasl(SaslPolicy::open_to_all());
    let server = tokio::spawn(async move { ServerConnection::over(ours, &options).await.unwrap() });
    let builder = fe2o3_amqp::connection::Connection::builder().container_id("fe2o3");
    let mut connection = builder.open_with_stream(theirs).await.unwrap();
    let session = Session::begin(&mut connection).await.unwrap();
    (connection, session, server.await.unwrap())
}

async fn next(server: &ServerConnection) -> IncomingAttach {
    match server.next().await.unwrap() {
        Incoming::Attach(attach) => attach,
        other => panic!("not an attach: {other:?}"),
    }
}

fn accept() -> AcceptOptions {
    AcceptOptions::new().keep_unsettled(1 << 20)
}

fn data(text: &str) -> Data {
    Data(Binary::from(text.as_bytes().to_vec()))
}

fn body(message: &Message) -> String {
    String::from_utf8(message.body_bytes().unwrap().to_vec()).unwrap()
}

/// Sends two messages, which are then on their way.
async fn send_both(sender: &amqp_transport::Sender) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for text in BOTH {
        receipts.push(sender.send_with_receipt(&Message::data(text.to_owned())).await.unwrap());
    }
    receipts
}

/// Their receiver takes both again on the resumed link, and their sender hears of it.
async fn both_come_again(receiver: &mut Receiver, receipts: Vec<Receipt>) {
    for text in BOTH {
        let again = receiver.recv::<Data>().await.unwrap();
        assert_eq!(again.body().0.as_slice(), text.as_bytes());
        receiver.accept(&again).await.unwrap();
    }
    for receipt in receipts {
        assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    }
}

// L-009, R-02 to R-06
#[tokio::test]
async fn their_sender_resumes_its_link_on_our_listener() {
    for is_elsewhere in [false, true] {
        in_time(async {
            let (_connection, mut session, server) = their_client().await;
            let attaching = Sender::attach(&mut session, "L", "queue");
            let accepting = async { next(&server).await.accept_receiver(accept()).unwrap() };
            let (sender, receiver) = tokio::join!(attaching, accepting);
            let mut sender = sender.unwrap();
            let mut outcomes = Vec::new();
            for text in ["settled", "decided while away", "held", "not taken"] {
                outcomes.push(sender.send_batchable(data(text)).await.unwrap());
            }
            receiver.recv().await.unwrap().accept().unwrap();
            assert!(matches!(outcomes.remove(0).await.unwrap(), TheirOutcome::Accepted(_)));
            let away = receiver.recv().await.unwrap();
            let held = receiver.recv().await.unwrap();
            while receiver.waiting() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let (detached, suspended) = tokio::join!(sender.detach(), receiver.suspended());
            let (detached, mut suspended) = (detached.unwrap(), suspended.unwrap());
            assert!(matches!(suspended.reason(), DetachReason::ByPeer));
            assert_eq!(suspended.tags().count(), 2);
            assert!(suspended.settle(away.tag(), DeliveryState::Modified(Modified::default())));

            let (_second, other, elsewhere) = their_client().await;
            let server = if is_elsewhere { elsewhere } else { server };
            assert!(suspended.settle(held.tag(), DeliveryState::Released));
            held.leave_unsettled();
            let serving = tokio::spawn(serve_until_new(server, suspended));
            let resumed = match is_elsewhere {
                true => detached.resume_on_session(&other).await,
                false => detached.resume().await,
            };
            let mut sender = resumed.unwrap();
            let outcome = sender.send(data("new")).await.unwrap();
            assert!(matches!(outcome, TheirOutcome::Accepted(_)), "{outcome:?}");
            sender.close().await.unwrap();
            // What the maps decided it settles, and its own futures of that end in an error of theirs.
            drop(outcomes);
            serving.await.unwrap();
        })
        .await;
    }
}

/// Their sender detaches as soon as it has sent, and attaches anew until both ends tell that nothing is left.
async fn serve_until_new(server: ServerConnection, mut suspended: SuspendedReceiver) {
    loop {
        let held = suspended.tags().count();
        let receiver = next(&server).await.resume_receiver(accept(), suspended).unwrap();
        let mut unheard = Vec::new();
        while let Ok(delivery) = receiver.recv().await {
            let tag = *delivery.tag();
            let state = match body(&delivery.message().unwrap()).as_str() {
                "not taken" => DeliveryState::Rejected(Rejected { error: None }),
                "new" => {
                    assert_eq!(held, 0);
                    delivery.accept().unwrap();
                    receiver.detached().await;
                    return;
                }
                other => panic!("{other} came again"),
            };
            if delivery.settle_with(state.clone()).is_err() {
                unheard.push((tag, state));
            }
        }
        suspended = receiver.suspended().await.unwrap();
        for (tag, state) in unheard {
            suspended.settle(&tag, state);
        }
    }
}

//
#[tokio::test]
async fn their_receiver_resumes_its_link_on_our_listener() {
    in_time(async {
        let (_connection, mut session, server) = their_client().await;
        let attaching = Receiver::attach(&mut session, "L", "queue");
        let accepting = async { next(&server).await.accept_sender(accept()).unwrap() };
        let (receiver, sender) = tokio::join!(attaching, accepting);
        let mut receiver = receiver.unwrap();
        let receipts = send_both(&sender).await;
        for text in BOTH {
            let held = receiver.recv::<Data>().await.unwrap();
            assert_eq!(held.body().0.as_slice(), text.as_bytes());
        }
        let (detached, suspended) = tokio::join!(receiver.detach(), sender.suspended());
        let (detached, suspended) = (detached.unwrap(), suspended.unwrap());
        assert_eq!(suspended.undecided_messages(), 2);
        let resuming = async { next(&server).await.resume_sender(accept(), suspended).unwrap() };
        let (resumed, _sender) = tokio::join!(detached.resume(), resuming);
        let mut receiver = resumed.unwrap().into_receiver();
        both_come_again(&mut receiver, receipts).await;
    })
    .await;
}

/// Our client on their listener.
async fn our_client(theirs: DuplexStream, ours: DuplexStream) -> (TheirEnd, Connection) {
    let accepting = async {
        let acceptor = ConnectionAcceptor::builder().container_id("fe2o3").build();
        let mut connection = acceptor.accept(theirs).await.unwrap();
        let session = SessionAcceptor::new().accept(&mut connection).await.unwrap();
        (connection, session)
    };
    let connecting = async {
        let options = ConnectOptions::new("ours").sasl(Sasl::None);
        let connection = Connection::over(ours, options).await.unwrap();
        let session = connection.begin(SessionOptions::new()).await.unwrap();
        (connection, session)
    };
    let ((their_connection, their_session), (connection, session)) = tokio::join!(accepting, connecting);
    (TheirEnd { _connection: their_connection, session: their_session, ours: session }, connection)
}

/// Their end of a connection, and our session on it.
struct TheirEnd {
    _connection: fe2o3_amqp::acceptor::ListenerConnectionHandle,
    session: fe2o3_amqp::acceptor::ListenerSessionHandle,
    ours: amqp_transport::Session,
}

//
#[tokio::test]
async fn our_sender_resumes_its_link_on_their_listener() {
    in_time(async {
        let (theirs, ours) = duplex(PIPE);
        let (mut end, _connection) = our_client(theirs, ours).await;
        let keeping = || SenderOptions::new("L", "queue").keep_unsettled(1 << 20);
        let acceptor = LinkAcceptor::new();
        let (sender, accepted) =
            tokio::join!(end.ours.attach_sender(keeping()), acceptor.accept(&mut end.session));
        let LinkEndpoint::Receiver(mut receiver) = accepted.unwrap() else { panic!("a receiver") };
        let sender = sender.unwrap();
        let receipts = send_both(&sender).await;
        for _ in 0..2 {
            receiver.recv::<Data>().await.unwrap();
        }
        // Their receiver answers a detach when it is asked for the next message. What its listener's session is sent on a
        // link that `DetachedReceiver` resumes reaches nobody, so that it is accepted as one that was forgotten.
        let leaving = async { assert!(receiver.recv::<Data>().await.is_err()) };
        let (suspended, ()) = tokio::join!(sender.suspend(), leaving);
        let suspended = suspended.unwrap();
        assert_eq!(suspended.undecided_messages(), 2);
        drop(receiver);
        let (resumed, accepted) =
            tokio::join!(end.ours.resume_sender(keeping(), suspended), acceptor.accept(&mut end.session));
        let LinkEndpoint::Receiver(mut receiver) = accepted.unwrap() else { panic!("a receiver") };
        let _sender = resumed.unwrap();
        both_come_again(&mut receiver, receipts).await;
    })
    .await;
}

// What theirs cannot do.
#[tokio::test]
async fn our_receiver_keeps_its_deliveries_where_their_listener_does_not_resume() {
    in_time(async {
        let (theirs, ours) = duplex(PIPE);
        let (mut end, _connection) = our_client(theirs, ours).await;
        let keeping = || ReceiverOptions::new("L", "queue").keep_unsettled();
        let acceptor = LinkAcceptor::new();
        let (receiver, accepted) =
            tokio::join!(end.ours.attach_receiver(keeping()), acceptor.accept(&mut end.session));
        let LinkEndpoint::Sender(mut sender) = accepted.unwrap() else { panic!("a sender") };
        let receiver = receiver.unwrap();
        let outcome = sender.send_batchable(data("one")).await.unwrap();
        let held = receiver.recv().await.unwrap();
        let leaving = async {
            let _ = sender.on_detach().await;
            match sender.detach().await {
                Ok(detached) => detached,
                Err((detached, _)) => detached,
            }
        };
        let (suspended, detached) = tokio::join!(receiver.suspend(), leaving);
        let suspended = suspended.unwrap();
        assert_eq!(suspended.tags().count(), 1);
        let resuming = async {
            let attach = end.session.next_incoming_attach().await.unwrap();
            // It does not come back from this before we attach again.
            timeout(Duration::from_secs(1), detached.resume_incoming_attach(attach)).await
        };
        let (resumed, refused) = tokio::join!(resuming, end.ours.resume_receiver(keeping(), suspended));
        assert!(!matches!(resumed, Ok(Ok(_))), "it can by now");
        // It sends before it has credit; what we hold stays ours.
        match refused {
            Err(refused) => {
                let mut suspended = refused.suspended.unwrap();
                assert!(suspended.settle(held.tag(), DeliveryState::Accepted));
            }
            Ok(receiver) => assert!(matches!(receiver.detached().await, DetachReason::Violation(_))),
        }
        drop(outcome);
    })
    .await;
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.unwrap()
}

const PIPE: usize = 64 * 1024;

const BOTH: [&str; 2] = ["one", "two"];
