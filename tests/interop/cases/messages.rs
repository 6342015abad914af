//! What is in messages, and how large they are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amqp_codec::{Body, DecodeLimits, Message, Outcome, Value, from_bytes};
use amqp_transport::{Connection, Receiver, Sender};
use bytes::Bytes;
use workspace_tests::typed::unhex;

use super::super::echo::{Place, Verdict, is_simple};
use super::{Peer, Reasons, accepted};

/// A value of the vectors: every type, with its corners.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) id: String,
    /// In typed notation.
    pub(crate) typed: serde_json::Value,
    pub(crate) octets: Bytes,
}

impl Vector {
    /// The value, as our codec reads it.
    pub(crate) fn value(&self) -> Value {
        from_bytes(&self.octets, &DecodeLimits::message()).unwrap()
    }
}

/// Every value of the vectors.
pub(crate) fn vectors() -> Vec<Vector> {
    let text = include_str!("../../data/vectors.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter().filter(|vector| vector["valid"] == true);
    let kinds = ["message", "frame", "protocol-header"];
    let values = vectors.filter(|vector| !kinds.contains(&vector["value"][0].as_str().unwrap_or_default()));
    let text = |vector: &serde_json::Value, name: &str| vector[name].as_str().unwrap().to_owned();
    values
        .map(|vector| Vector {
            id: text(vector, "id"),
            typed: vector["value"].clone(),
            octets: unhex(&text(vector, "hex")),
        })
        .collect()
}

/// Each value as the body of a message, there and back. Values that a broker breaks on are named, by the vectors' ids, in
/// `INTEROP_BREAKS_ON`; that it still breaks is seen by the first of them. What its codec changes has a name, too.
pub(super) async fn types_in_bodies(peer: Peer) -> String {
    let known = Reasons::of("INTEROP_BREAKS_ON");
    let ids: Vec<&str> = known.0.iter().flat_map(|(_, ids)| ids.split_whitespace()).collect();
    let mut broken = Vec::new();
    let mut verdict = Verdict::of(&peer.codec);
    let mut way = Way::open(&peer).await;
    for vector in vectors() {
        // One of them proves that the broker still breaks; each costs a connection.
        if ids.contains(&vector.id.as_str()) && !broken.is_empty() {
            broken.push(vector.id);
            continue;
        }
        let value = vector.value();
        let passed = tokio::time::timeout(Duration::from_secs(5), way.pass(&value)).await;
        let passed = passed.unwrap_or_else(|_| Err("no answer".to_owned()));
        if passed.is_err() {
            way = Way::open(&peer).await;
        }
        if passed.is_err() && ids.contains(&vector.id.as_str()) {
            broken.push(vector.id);
        } else {
            verdict.count(Place::Body, &vector, passed, false);
        }
    }
    assert_eq!(broken, ids, "values that do not come back");
    let names = known.0.iter().map(|(name, _)| name.clone()).chain([verdict.conclude()]);
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join("; ")
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

/// Each simple value as an application property, there and back, but those that the broker's codec changes.
pub(super) async fn types_in_properties(peer: Peer) {
    let (connection, session) = peer.open().await;
    let sender = peer.sender(&session, "properties").await;
    let receiver = peer.receiver(&session, "properties").await;
    let mut message = Message::data("x");
    let verdict = Verdict::of(&peer.codec);
    for vector in vectors() {
        let value = vector.value();
        if is_simple(&value) && value != Value::Null && verdict.name(Place::Property, &vector).is_none() {
            message = message.with_application_property(vector.id, value);
        }
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
pub(super) async fn sizes(peer: Peer, max_frame_size: u32, largest: usize) -> String {
    let is_small = max_frame_size == 512;
    let peer = if is_small { peer.with_small_frames() } else { peer };
    // Where many frames are too many for the peer: the largest message that it takes, and why.
    let bound = Reasons::of("INTEROP_SMALL_LARGEST").0.pop().filter(|_| is_small);
    let largest = bound.as_ref().map_or(largest, |(size, _)| size.parse().expect("a size"));
    let (connection, session) = peer.open_with(max_frame_size).await;
    println!("  the peer's max-frame-size is {:?}", connection.remote_open().max_frame_size);
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
    bound.map(|(_, reason)| reason).unwrap_or_default()
}
