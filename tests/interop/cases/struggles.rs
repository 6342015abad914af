//! Nodes made on request, and what a broker refuses or ends.

use amqp_codec::{ErrorCondition, Message, Source};
use amqp_transport::client::{ReceiverOptions, SenderOptions};
use amqp_transport::{AttachError, ConnectionError, DetachReason, EndReason, RecvError, SendError};

use super::{Peer, accepted};

/// A request with the address of a node made for its answer, and the answer.
pub(super) async fn dynamic_reply_to(peer: Peer) {
    let (connection, session) = peer.open().await;
    let source = Source { dynamic: true, ..Source::default() };
    let replies = session.attach_receiver(ReceiverOptions::new("replies", source)).await.unwrap();
    let attach = replies.remote_attach().unwrap();
    let address = attach.source.as_ref().and_then(|source| source.address.clone()).expect("an address");

    let sender = peer.sender(&session, "requests").await;
    let request = Message::data("question").with_reply_to(address).with_message_id("id-1");
    accepted(sender.send(&request).await.unwrap());

    let requests = peer.receiver(&session, "requests").await;
    let delivery = requests.recv().await.unwrap();
    let request = delivery.message().unwrap().properties.clone().expect("properties");
    let reply_to = request.reply_to.as_ref().expect("reply-to").to_string();
    let answers = session.attach_sender(SenderOptions::new("answers", reply_to)).await.unwrap();
    let answer = Message::data("answer").with_correlation_id(request.message_id.clone().expect("an id"));
    accepted(answers.send(&answer).await.unwrap());
    delivery.accept().unwrap();

    let answer = replies.recv().await.unwrap();
    let properties = answer.message().unwrap().properties.clone().expect("properties");
    assert_eq!(properties.correlation_id.clone(), Some("id-1".into()));
    answer.accept().unwrap();
    connection.close().await.unwrap();
}

/// A link to a node that cannot be is refused, and the session lives on.
pub(super) async fn refused_address(peer: Peer) {
    let (connection, session) = peer.open().await;
    let bad = std::env::var("INTEROP_BAD_ADDRESS").unwrap_or_else(|_| "$nowhere".to_owned());
    let Err(error) = session.attach_receiver(ReceiverOptions::new("bad", bad)).await else {
        panic!("the link was attached");
    };
    let condition = error.condition().map(ToString::to_string).unwrap_or_default();
    println!("  refused with {condition}");
    assert!(condition.starts_with("amqp:"), "{error}");
    match error {
        AttachError::Refused(_) => {
            let sender = peer.sender(&session, "after-refusal").await;
            accepted(sender.send(&Message::data("x")).await.unwrap());
        }
        // Some brokers end the session over it.
        AttachError::SessionEnded(EndReason::Remote(_)) => {}
        other => panic!("{other}"),
    }
    connection.close().await.unwrap();
}

/// A broker ends a link with an error: the receiver hears why.
pub(super) async fn detach_with_error(peer: Peer) {
    let (connection, session) = peer.open().await;
    let condition = match &peer.detach {
        Some(command) => {
            let receiver = peer.receiver(&session, "deleted").await;
            peer.shell(command, "deleted").await;
            match receiver.recv().await.unwrap_err() {
                RecvError::Detached(reason) => reason.remote().map(|error| error.condition.clone()),
                RecvError::Lost(error) => panic!("the connection went, too: {error}"),
                other => panic!("{other}"),
            }
        }
        None => deleted_node(&peer, &session).await,
    };
    println!("  detached with {condition:?}");
    assert!(condition.is_some(), "no error was given");
    connection.close().await.unwrap();
}

/// A dynamic node goes with the link that made it: whoever sends there hears so.
async fn deleted_node(peer: &Peer, session: &amqp_transport::Session) -> Option<ErrorCondition> {
    let (other_connection, other) = peer.open().await;
    let source = Source { dynamic: true, ..Source::default() };
    let owner = other.attach_receiver(ReceiverOptions::new("owner", source)).await.unwrap();
    let attach = owner.remote_attach().unwrap();
    let address = attach.source.as_ref().and_then(|source| source.address.clone()).expect("an address");
    let sender = session.attach_sender(SenderOptions::new("to-node", address.to_string())).await.unwrap();
    accepted(sender.send(&Message::data("x")).await.unwrap());
    owner.detach().await.unwrap();
    let reason = loop {
        match sender.send(&Message::data("x")).await {
            Ok(_) => {}
            Err(SendError::Detached(reason) | SendError::OutcomeUnknown(reason)) => break reason,
            Err(other) => panic!("{other}"),
        }
    };
    other_connection.close().await.unwrap();
    match reason {
        DetachReason::Remote(error) => Some(error.condition),
        other => panic!("{other}"),
    }
}

/// A broker ends the connection: everything on it hears why.
pub(super) async fn connection_forced(peer: Peer) {
    let (connection, session) = peer.open().await;
    let receiver = peer.receiver(&session, "forced").await;
    let command = peer.force.as_deref().expect("INTEROP_FORCE");
    peer.shell(command, "forced").await;
    let error = receiver.recv().await.unwrap_err();
    println!("  the receiver heard: {error}");
    match connection.closed().await {
        ConnectionError::Remote(error) => assert_eq!(error.condition, ErrorCondition::CONNECTION_FORCED),
        other => panic!("{other}"),
    }
}
