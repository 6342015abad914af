//! What clients of other makers make of our values: each is sent to them, decoded by them, and sent back in their words.
//!
//! Every value of the vectors travels as a body, as an annotation, and if it is simple as an application property, each in a
//! message of its own. What comes back is compared by value. What a peer is known to change is listed by name; whatever else
//! differs fails, and so does a name that nothing needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use amqp_codec::{Message, MessageId, Outcome, Role, Value};
use amqp_transport::server::{
    AcceptOptions, Incoming, Listener, ListenerOptions, SaslPolicy, ServerConnection,
};
use amqp_transport::{Receiver, Sender};
use serde_json::{Value as Json, json};
use tokio::process::Command;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::agreement::deviations::{
    Deviation, PROTON, RHEA, SERDE_AMQP, anywhere, element_type, items, kind,
};
use super::cases::{Cases, Vector, vectors};
use super::{fe2o3_echo, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a client of another maker; run by tests/interop/run.sh"]
async fn values() {
    let peer = std::env::var("INTEROP_ECHO").expect("INTEROP_ECHO");
    let mut cases = Cases::new();
    cases.run("values echoed", echoed(peer)).await;
    cases.end();
}

/// Sends every value to a client, which connects to us, and tells how those that came back otherwise are called.
async fn echoed(peer: String) -> String {
    let listen = std::env::var("INTEROP_LISTEN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let options = ListenerOptions::new("ours").sasl(SaslPolicy::open_to_all());
    let listener = Listener::bind(listen, options).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let command = std::env::var("INTEROP_ECHO_COMMAND").ok().filter(|command| !command.is_empty());
    let client = match command {
        None => tokio::spawn(fe2o3_echo::echo(address)),
        Some(command) => tokio::spawn(async move {
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("exec {command}")]).env("ADDRESS", address);
            let mut child = shell.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
            child.wait().await.unwrap();
        }),
    };
    let answers = Arc::new(Answers::default());
    let (tell, mut told) = mpsc::channel(1);
    let serving = {
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok(incoming) = listener.accept().await {
                tokio::spawn(serve(incoming.handshake().await.unwrap(), Arc::clone(&answers), tell.clone()));
            }
        })
    };
    let mut verdict = Verdict::of(&peer);
    // Of what uamqp reads beside bodies it does not tell the types.
    let places: &[Place] = if peer == "uamqp" { &[Place::Body] } else { &Place::ALL };
    ask(&mut told, &answers, places, &mut verdict).await;
    serving.abort();
    client.abort();
    verdict.conclude()
}

/// Takes a client's answers, and tells of its links for values.
async fn serve(connection: ServerConnection, answers: Arc<Answers>, tell: mpsc::Sender<Sender>) {
    while let Ok(Incoming::Attach(attach)) = connection.next().await {
        if attach.attach().role == Role::Sender {
            let receiver = attach.accept_receiver(AcceptOptions::new()).unwrap();
            let answers = Arc::clone(&answers);
            tokio::spawn(async move { answers.take(&receiver).await });
        } else {
            let _ = tell.send(attach.accept_sender(AcceptOptions::new()).unwrap()).await;
        }
    }
}

/// Sends every value in each of its places, one after the other, and compares what comes back.
async fn ask(links: &mut mpsc::Receiver<Sender>, answers: &Answers, places: &[Place], verdict: &mut Verdict) {
    let mut sender = None;
    let mut number = 0usize;
    for vector in vectors() {
        for place in places {
            if *place == Place::Property && !is_simple(&vector.value()) {
                continue;
            }
            if verdict.is_costly(*place, &vector) {
                continue;
            }
            number += 1;
            let message = place.put(vector.value()).with_message_id(number.to_string());
            let link: &Sender = match sender.take() {
                Some(link) => sender.insert(link),
                None => sender.insert(within(links.recv()).await.unwrap()),
            };
            let result = match timeout(SILENCE, link.send(&message)).await {
                Err(_) => Err(UNANSWERED.to_owned()),
                Ok(Ok(Outcome::Accepted)) => match place.take(&answers.of(number).await) {
                    Some(value) if value == vector.value() => Ok(()),
                    other => Err(format!("comes back as {other:?}")),
                },
                Ok(Ok(other)) => Err(format!("is answered with {other:?}")),
                Ok(Err(error)) => {
                    // The client comes again.
                    sender = None;
                    Err(format!("ends the link: {error}"))
                }
            };
            let is_costly = sender.is_none() || result.as_ref().is_err_and(|fault| fault == UNANSWERED);
            verdict.count(*place, &vector, result, is_costly);
        }
    }
}

/// Where a value is in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Body,
    Property,
    Annotation,
}

impl Place {
    const ALL: [Self; 3] = [Self::Body, Self::Property, Self::Annotation];

    fn put(self, value: Value) -> Message {
        match self {
            Self::Body => Message::value(value),
            Self::Property => Message::value("property").with_application_property("value", value),
            Self::Annotation => Message::value("annotation").with_message_annotation("x-opt-value", value),
        }
    }

    /// The value within its section, in typed notation.
    fn section(self, typed: &Json) -> Json {
        match self {
            Self::Body => json!(["described", ["ulong", 119], typed]),
            Self::Property => json!(["map", [[["string", "value"], typed]]]),
            Self::Annotation => json!(["map", [[["symbol", "x-opt-value"], typed]]]),
        }
    }

    fn take(self, message: &Message) -> Option<Value> {
        match self {
            Self::Body => match &message.body {
                amqp_codec::Body::Value(value) => Some(value.clone()),
                _ => None,
            },
            Self::Property => {
                message.application_properties.as_ref()?.get("value").map(|value| value.to_value())
            }
            Self::Annotation => {
                message.message_annotations.as_ref()?.get("x-opt-value").map(|value| value.to_value())
            }
        }
    }
}

pub(crate) fn is_simple(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_))
}

/// What came back, by the id of what was sent.
#[derive(Default)]
struct Answers {
    by_id: Mutex<HashMap<String, Message>>,
    came: tokio::sync::Notify,
}

impl Answers {
    async fn take(&self, receiver: &Receiver) {
        while let Ok(delivery) = receiver.recv().await {
            let message = delivery.message().unwrap();
            delivery.accept().unwrap();
            let id = message.properties.as_ref().and_then(|properties| properties.correlation_id.clone());
            let id = match id {
                Some(MessageId::String(id)) => id.to_string(),
                Some(MessageId::Binary(id)) => String::from_utf8_lossy(&id).into_owned(),
                other => panic!("an answer to {other:?}"),
            };
            self.by_id.lock().await.insert(id, message);
            self.came.notify_one();
        }
    }

    async fn of(&self, number: usize) -> Message {
        within(async {
            loop {
                if let Some(message) = self.by_id.lock().await.remove(&number.to_string()) {
                    return message;
                }
                self.came.notified().await;
            }
        })
        .await
    }
}

/// What a client changes, by name: what its codec does, which need not come up here, and what the client adds, which must.
fn known(peer: &str) -> (&'static [Deviation], &'static [Deviation]) {
    match peer {
        "proton" => (PROTON, PROTON_CLIENT),
        "rhea" => (RHEA, &[]),
        "uamqp" => (&[], UAMQP),
        "fe2o3-amqp" => (SERDE_AMQP, FE2O3),
        "" => (&[], &[]),
        other => panic!("{other}"),
    }
}

const PROTON_CLIENT: &[Deviation] = &[
    Deviation {
        name: "null as a body",
        reason: "None is a message without a body",
        concerns: |section| kind(section) == "described" && kind(&section[2]) == "null",
    },
    Deviation {
        name: "octets as keys of maps",
        reason: "they are read as a view, which no dict takes for a key",
        concerns: |section| {
            anywhere(section, &|node| {
                let entries = node[1].as_array().map(Vec::as_slice).unwrap_or_default();
                kind(node) == "map" && entries.iter().any(|entry| kind(&entry[0]) == "binary")
            })
        },
    },
];
const UAMQP: &[Deviation] = &[
    Deviation {
        name: "decimals and chars",
        reason: "over one that it reads it gives the link up",
        concerns: |section| {
            anywhere(section, &|node| kind(node).starts_with("decimal") || kind(node) == "char")
        },
    },
    Deviation {
        name: "arrays",
        reason: "of some elements it gives the link up, others it writes as elements of another type, or refuses",
        concerns: |section| anywhere(section, &|node| kind(node) == "array"),
    },
    Deviation {
        name: "zero octets in text",
        reason: "text ends there",
        concerns: |section| {
            anywhere(section, &|node| node[1].as_str().is_some_and(|text| text.contains('\0')))
        },
    },
];
const FE2O3: &[Deviation] = &[Deviation {
    name: "zeros in arrays without octets",
    reason: "a constructor for zero that all elements share is refused",
    concerns: |section| {
        anywhere(section, &|node| {
            let zero = |item: &Json| item[1].as_u64() == Some(0);
            matches!(element_type(node), "uint" | "ulong") && items(node).iter().all(zero)
        })
    },
}];

/// What has been counted.
pub(crate) struct Verdict {
    codec: &'static [Deviation],
    client: &'static [Deviation],
    deviated: BTreeMap<&'static str, usize>,
    /// Names under which a value took the link away, or its time.
    costly: BTreeSet<&'static str>,
    differences: usize,
    asked: usize,
    spared: usize,
}

impl Verdict {
    pub(crate) fn of(peer: &str) -> Self {
        let (codec, client) = known(peer);
        Self {
            codec,
            client,
            deviated: BTreeMap::new(),
            costly: BTreeSet::new(),
            differences: 0,
            asked: 0,
            spared: 0,
        }
    }

    pub(crate) fn name(&self, place: Place, vector: &Vector) -> Option<&'static str> {
        let section = place.section(&vector.typed);
        let mut known = self.client.iter().chain(self.codec);
        known.find(|deviation| (deviation.concerns)(&section)).map(|deviation| deviation.name)
    }

    /// Whether a value of this name was proof enough of what sending another would cost.
    fn is_costly(&mut self, place: Place, vector: &Vector) -> bool {
        let name = self.name(place, vector).filter(|name| self.costly.contains(name));
        self.spared += usize::from(name.is_some());
        name.is_some()
    }

    pub(crate) fn count(
        &mut self,
        place: Place,
        vector: &Vector,
        result: Result<(), String>,
        is_costly: bool,
    ) {
        self.asked += 1;
        let Err(difference) = result else { return };
        match self.name(place, vector) {
            Some(name) => {
                *self.deviated.entry(name).or_default() += 1;
                if is_costly {
                    self.costly.insert(name);
                }
            }
            None => {
                self.differences += 1;
                let text = format!("{} in a {place:?}: {} {difference}", vector.id, vector.typed);
                println!("  DIFFERS {}", text.chars().take(SHOWN).collect::<String>());
            }
        }
    }

    pub(crate) fn conclude(self) -> String {
        println!("  {} values were sent, {} spared", self.asked, self.spared);
        for deviation in self.client.iter().chain(self.codec) {
            if let Some(count) = self.deviated.get(deviation.name) {
                println!("DEVIATION {} ({count} values): {}", deviation.name, deviation.reason);
            }
        }
        assert_eq!(self.differences, 0, "values that come back otherwise");
        let idle =
            self.client.iter().map(|known| known.name).filter(|name| !self.deviated.contains_key(name));
        assert_eq!(idle.collect::<Vec<_>>(), Vec::<&str>::new(), "names that no value needs");
        self.deviated.keys().copied().collect::<Vec<_>>().join("; ")
    }
}

const UNANSWERED: &str = "is not answered";
/// A local client answers sooner.
const SILENCE: Duration = Duration::from_secs(2);
/// Characters of a difference that are printed.
const SHOWN: usize = 300;
