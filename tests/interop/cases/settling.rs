//! Settlement in all its forms, and credit.

use std::time::Duration;

use amqp_codec::{Error, ErrorCondition, Message, Modified, ReceiverSettleMode, SenderSettleMode};
use amqp_transport::client::{CreditMode, Delivery, SenderOptions};
use amqp_transport::{Receiver, Session};

use super::{Peer, accepted};

/// A queue with this many messages, and a receiver on it.
async fn filled(peer: &Peer, session: &Session, queue: &str, count: u32) -> Receiver {
    let sender = peer.sender(session, queue).await;
    for number in 0..count {
        accepted(sender.send(&Message::data("x").with_message_id(u64::from(number))).await.unwrap());
    }
    peer.receiver_with(session, queue, |options| options.credit(CreditMode::Auto(1))).await
}

/// Whether nothing comes for a while.
async fn is_empty(receiver: &Receiver) -> bool {
    tokio::time::timeout(Duration::from_millis(300), receiver.recv()).await.is_err()
}

pub(super) async fn pre_settled(peer: Peer) {
    let (connection, session) = peer.open().await;
    let target = peer.queue("settled");
    let options = SenderOptions::new("to-settled", target).snd_settle_mode(SenderSettleMode::Settled);
    let sender = session.attach_sender(options).await.unwrap();
    for number in 0..100u32 {
        sender.send(&Message::data(number.to_be_bytes().to_vec())).await.unwrap();
    }
    let settled =
        |options: amqp_transport::ReceiverOptions| options.snd_settle_mode(SenderSettleMode::Settled);
    let receiver = peer.receiver_with(&session, "settled", settled).await;
    for number in 0..100u32 {
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), number.to_be_bytes().to_vec());
        assert!(delivery.is_settled(), "asked for settled messages and got an unsettled one");
    }
    connection.close().await.unwrap();
}

pub(super) async fn at_least_once(peer: Peer) {
    let (connection, session) = peer.open().await;
    let sender = peer.sender(&session, "once").await;
    let mut receipts = Vec::new();
    for number in 0..1_000u32 {
        let message = Message::data(number.to_be_bytes().to_vec());
        receipts.push(sender.send_with_receipt(&message).await.unwrap());
    }
    for receipt in receipts {
        accepted(receipt.await.unwrap());
    }
    let receiver = peer.receiver(&session, "once").await;
    for number in 0..1_000u32 {
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), number.to_be_bytes().to_vec());
        delivery.accept().unwrap();
    }
    assert!(is_empty(&receiver).await, "a message came twice");
    connection.close().await.unwrap();
}

pub(super) async fn mode_second(peer: Peer) {
    let (connection, session) = peer.open().await;
    let target = peer.queue("second");
    let options = SenderOptions::new("to-second", target).rcv_settle_mode(ReceiverSettleMode::Second);
    let sender = session.attach_sender(options).await.unwrap();
    for _ in 0..10 {
        accepted(sender.send(&Message::data("x")).await.unwrap());
    }
    let second =
        |options: amqp_transport::ReceiverOptions| options.rcv_settle_mode(ReceiverSettleMode::Second);
    let receiver = peer.receiver_with(&session, "second", second).await;
    for _ in 0..10 {
        unsettled(&receiver).await.accept_confirmed().await.unwrap();
    }
    assert!(is_empty(&receiver).await, "a message came twice");
    connection.close().await.unwrap();
}

/// The next delivery, about which there is something left to say.
async fn unsettled(receiver: &Receiver) -> Delivery {
    let delivery = receiver.recv().await.unwrap();
    assert!(!delivery.is_settled(), "it came settled");
    delivery
}

/// A message rejected does not come again.
pub(super) async fn reject(peer: Peer) {
    let (connection, session) = peer.open().await;
    let receiver = filled(&peer, &session, "rejected", 1).await;
    let error = Error::new(ErrorCondition::NOT_ALLOWED).with_description("not wanted");
    unsettled(&receiver).await.reject(Some(error)).unwrap();
    assert!(is_empty(&receiver).await, "it came again");
    connection.close().await.unwrap();
}

/// A message released comes again.
pub(super) async fn release(peer: Peer) {
    let (connection, session) = peer.open().await;
    let receiver = filled(&peer, &session, "released", 1).await;
    unsettled(&receiver).await.release().unwrap();
    receiver.recv().await.unwrap().accept().unwrap();
    assert!(is_empty(&receiver).await, "it came a third time");
    connection.close().await.unwrap();
}

/// A message modified comes again, and is counted as failed.
pub(super) async fn modify(peer: Peer) {
    let (connection, session) = peer.open().await;
    let receiver = filled(&peer, &session, "modified", 1).await;
    let modified = Modified { delivery_failed: Some(true), ..Modified::default() };
    unsettled(&receiver).await.modify(modified).unwrap();
    let delivery = receiver.recv().await.unwrap();
    let count = delivery.message().unwrap().header.as_ref().map(|header| header.delivery_count);
    println!("  delivery-count after a failed delivery: {count:?}");
    delivery.accept().unwrap();
    assert!(is_empty(&receiver).await, "it came a third time");
    connection.close().await.unwrap();
}

/// A drain brings what is there, and gives the rest of the credit back.
pub(super) async fn drain(peer: Peer) {
    let (connection, session) = peer.open().await;
    let sender = peer.sender(&session, "drained").await;
    for _ in 0..3 {
        accepted(sender.send(&Message::data("x")).await.unwrap());
    }
    let manual = |options: amqp_transport::ReceiverOptions| options.credit(CreditMode::Manual);
    let receiver = peer.receiver_with(&session, "drained", manual).await;
    receiver.add_credit(10).unwrap();
    receiver.drain().await.unwrap();
    for _ in 0..3 {
        receiver.try_recv().expect("what was there came before the drain ended").accept().unwrap();
    }
    assert!(receiver.try_recv().is_none());
    accepted(sender.send(&Message::data("later")).await.unwrap());
    assert!(is_empty_without_credit(&receiver).await, "a message came without credit");
    receiver.add_credit(1).unwrap();
    receiver.recv().await.unwrap().accept().unwrap();
    connection.close().await.unwrap();
}

async fn is_empty_without_credit(receiver: &Receiver) -> bool {
    tokio::time::sleep(Duration::from_millis(200)).await;
    receiver.waiting() == 0
}
