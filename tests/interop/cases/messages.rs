//! What is in messages, and how large they are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amqp_codec::{Body, DecodeLimits, Message, Outcome, Value, from_bytes};
use amqp_transport::{Connection, Receiver, Sender};
use bytes::Bytes;
use workspace_tests::typed::unhex;

use super::{Peer, accepted};

/// The values of the vectors, encoded: every type, with its corners.
pub(crate) fn vectors() -> Vec<(String, Bytes)> {
    let text = include_str!("../../data/vectors.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter().filter(|vector| vector["valid"] == true);
    let kinds = ["message", "frame", "protocol-header"];
    let values = vectors.filter(|vector| !kinds.contains(&vector["value"][0].as_str().unwrap_or_default()));
    let text = |vector: &serde_json::Value, name: &str| vector[name].as_str().unwrap().to_owned();
    values.map(|vector| (text(vector, "id"), unhex(&text(vector, "hex")))).collect()
}

fn values() -> Vec<(String, Value)> {
    let decoded = |octets: Bytes| from_bytes(&octets, &DecodeLimits::message()).unwrap();
    vectors().into_iter().map(|(id, octets)| (id, decoded(octets))).collect()
}

/// Each value as the body of a message, there and back. Values that a broker is known to break on are named, by the
/// vectors' ids, in `INTEROP_BREAKS_ON`; that it still breaks is seen by the first of them.
pub(super) async fn types_in_bodies(peer: Peer) {
    let known = std::env::var("INTEROP_BREAKS_ON").unwrap_or_default();
    let known: Vec<&str> = known.split_whitespace().collect();
    let mut broken = Vec::new();
    let values = values();
    assert!(values.len() > 200);
    let mut way = Way::open(&peer).await;
    for (id, value) in values {
        // One of them proves that the broker still breaks; each costs a connection.
        if known.contains(&id.as_str()) && !broken.is_empty() {
            broken.push(id);
            continue;
        }
        let pass = way.pass(&value);
        let passed = tokio::time::timeout(Duration::from_secs(5), pass)
            .await
            .unwrap_or_else(|_| Err("no answer".to_owned()));
        if let Err(fault) = passed {
            if !known.contains(&id.as_str()) {
                println!("  {id} {fault}");
            }
            broken.push(id);
            way = Way::open(&peer).await;
        }
    }
    assert_eq!(broken, known, "values that do not come back");
}

/// A queue with a way in and a way out.
struct Way {
    _connection: Connection,
    sender: Sender,
    receiver: Receiver,
}

impl Way {
    async fn open(peer: &Peer) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let queue = format!("bodies-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (connection, session) = peer.open().await;
        let (sender, receiver) = (peer.sender(&session, &queue).await, peer.receiver(&session, &queue).await);
        Self { _connection: connection, sender, receiver }
    }

    async fn pass(&self, value: &Value) -> Result<(), String> {
        let outcome =
            self.sender.send(&Message::value(value.clone())).await.map_err(|error| error.to_string())?;
        if outcome != Outcome::Accepted {
            return Err(format!("is {outcome:?}"));
        }
        let delivery = self.receiver.recv().await.map_err(|error| error.to_string())?;
        let message = delivery.message().map_err(|error| error.to_string())?;
        delivery.accept().map_err(|error| error.to_string())?;
        match &message.body {
            Body::Value(received) if received == value => Ok(()),
            other => Err(format!("{value:?} comes back as {other:?}")),
        }
    }
}

/// Each simple value as an application property, there and back.
pub(super) async fn types_in_properties(peer: Peer) {
    let (connection, session) = peer.open().await;
    let sender = peer.sender(&session, "properties").await;
    let receiver = peer.receiver(&session, "properties").await;
    let mut message = Message::data("x");
    let simple = |value: &Value| {
        !matches!(value, Value::Null | Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_))
    };
    for (id, value) in values().into_iter().filter(|(_, value)| simple(value)) {
        message = message.with_application_property(id, value);
    }
    accepted(sender.send(&message).await.unwrap());
    let delivery = receiver.recv().await.unwrap();
    let received = delivery.message().unwrap().application_properties.clone().unwrap();
    let sent = message.application_properties.clone().unwrap();
    assert_eq!(received, sent);
    delivery.accept().unwrap();
    connection.close().await.unwrap();
}

/// Messages of all sizes up to a largest, there and back, with frames of at most this size.
pub(super) async fn sizes(peer: Peer, max_frame_size: u32, largest: usize) {
    let (connection, session) = peer.open_with(max_frame_size).await;
    let queue = format!("sizes-{max_frame_size}");
    let sender = peer.sender(&session, &queue).await;
    let receiver = peer.receiver(&session, &queue).await;
    let sizes = [0, 1, 400, 511, 512, 513, 4_095, 65_535, 65_536, 100_000, 1_000_000, 10_000_000, 50_000_000];
    for size in sizes.into_iter().filter(|size| *size <= largest) {
        let body: Bytes = (0..size).map(|octet| (octet % 251).to_le_bytes()[0]).collect();
        accepted(sender.send(&Message::data(body.clone())).await.unwrap());
        let delivery = receiver.recv().await.unwrap();
        assert!(delivery.message().unwrap().body_bytes().unwrap_or_default() == body, "{size} octets differ");
        delivery.accept().unwrap();
    }
    connection.close().await.unwrap();
}
