//! What can be seen of a connection from outside: traces, counters, the last frames; and what must never be.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp_codec::{Message, Role, Symbol, Value};
use amqp_transport::cbs::CbsServer;
use amqp_transport::client::{CbsClient, ConnectError, ConnectOptions, LastFrames};
use amqp_transport::sasl::SaslRequest;
use amqp_transport::server::{
    AcceptOptions, HandshakeError, Incoming, ListenerOptions, SaslDecision, SaslPeer, SaslPolicy,
    ServerConnection,
};
use amqp_transport::{Connection, ConnectionError, ReceiverOptions, Sasl, Secret, SenderOptions};
use tokio::io::AsyncWriteExt;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::support::*;

const PASSWORD: &str = "hunter2-hunter2";
const TOKEN: &str = "opaque-token-of-some-issuer";
const BODY: &str = "what-the-message-says";

/// Keeps the fields of every frame that is told.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "amqp::frame"
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}
    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}
    fn enter(&self, _span: &span::Id) {}
    fn exit(&self, _span: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        self.0.lock().unwrap().push(fields);
    }
}

/// Answers put-token requests, and takes what else is sent.
async fn serve(server: ServerConnection) {
    let mut replies = Vec::new();
    let mut requests = Vec::new();
    while let Ok(Incoming::Attach(attach)) = server.next().await {
        if attach.attach().role == Role::Receiver {
            replies.push(attach.accept_sender(AcceptOptions::new()).unwrap());
        } else {
            requests.push(attach.accept_receiver(AcceptOptions::new()).unwrap());
        }
        if let ([reply], [request]) = (&replies[..], &requests[..]) {
            let delivery = request.recv().await.unwrap();
            let message = delivery.message().unwrap();
            delivery.accept().unwrap();
            reply.send(&CbsServer::response(&message, 202, "taken")).await.unwrap();
        }
        if let [_, request] = &requests[..] {
            request.recv().await.unwrap().accept().unwrap();
        }
    }
}

/// A connection on which a password, a token and a message travel.
async fn exchange() {
    exchange_with(client_options(), server_options()).await;
}

async fn exchange_with(client: ConnectOptions, server: ListenerOptions) {
    let anyone = |_: &SaslRequest, _: &SaslPeer| SaslDecision::accept("u");
    let policy = SaslPolicy::new([Symbol::from_static("PLAIN")], Arc::new(anyone));
    let plain = client.sasl(Sasl::Plain { user: "u".into(), password: Secret::new(PASSWORD) });
    let (client, server) = pair_with(plain, server.sasl(policy)).await;
    tokio::spawn(serve(server));
    let session = session(&client).await;
    let cbs = CbsClient::open(&session).await.unwrap();
    cbs.put_token("jwt", "amqp://host/queue", &Secret::new(TOKEN)).await.unwrap();
    let sender = session.attach_sender(SenderOptions::new("s", "queue")).await.unwrap();
    sender.send(&Message::value(Value::from(BODY))).await.unwrap();
    client.close().await.unwrap();
}

fn tells_frames_and_no_secret(text: &str) {
    for performative in
        ["@sasl-init", "@open", "@begin", "@attach", "@flow", "@transfer", "@disposition", "@close"]
    {
        assert!(text.contains(performative), "{performative} is missing:\n{text}");
    }
    assert!(text.contains("initial-response=<redacted>"), "{text}");
    for secret in [PASSWORD, TOKEN, BODY] {
        assert!(!text.contains(secret), "{secret} is told");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_hears_of_every_frame_and_of_no_secret() {
    let kept = Kept::default();
    let listening = tracing::subscriber::set_default(kept.clone());
    // No place that tells something is known before there is a subscriber; one that another test's thread reaches first is
    // taken for one that nobody listens to, until all are asked anew.
    exchange().await;
    tracing::callsite::rebuild_interest_cache();
    kept.0.lock().unwrap().clear();
    exchange().await;
    drop(listening);
    let events = std::mem::take(&mut *kept.0.lock().unwrap());
    let text: Vec<String> = events.iter().map(|fields| format!("{fields:?}")).collect();
    tells_frames_and_no_secret(&text.join("\n"));
    let open = events.iter().find(|fields| fields["performative"] == "open").unwrap();
    assert!(["in", "out"].contains(&open["direction"].as_str()));
    assert!(open["connection"].parse::<u64>().unwrap() > 0);
    assert!(open["size"].parse::<usize>().unwrap() > 8);
    assert!(open["message"].contains("container-id="), "{open:?}");
}

/// What the next test runs in a process of its own.
#[tokio::test(start_paused = true)]
async fn traced_exchange() {
    exchange().await;
}

#[test]
fn the_environment_switches_a_trace_on_standard_error() {
    let run = |value: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "seeing::traced_exchange", "--nocapture"])
            .env("AMQP_TRACE_FRAMES", value)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let traced = run("1");
    tells_frames_and_no_secret(&traced);
    assert!(traced.lines().all(|line| line.starts_with("amqp[")), "{traced}");
    for off in ["", "0", "off", "json"] {
        assert!(!run(off).contains("@open"), "{off:?}");
    }
}

/// Keeps all that is told to the `log` crate, at every level.
#[cfg(feature = "websocket")]
struct Logger(Mutex<Vec<String>>);

#[cfg(feature = "websocket")]
impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{}: {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[cfg(feature = "websocket")]
static LOGGER: Logger = Logger(Mutex::new(Vec::new()));

#[cfg(feature = "websocket")]
#[tokio::test(start_paused = true)]
async fn a_logger_at_trace_was_told_passwords_and_tokens_on_websockets() {
    use amqp_transport::client::WebSocketOptions;
    use amqp_transport::server::WebSocketAccept;

    log::set_logger(&LOGGER).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let client = client_options().websocket(WebSocketOptions::new("/?sig=hunter2-hunter2"));
    exchange_with(client, server_options().websocket(WebSocketAccept::new())).await;
    log::trace!("someone listens");
    let told = LOGGER.0.lock().unwrap().join("\n");
    assert!(told.contains("someone listens"), "{told}");
    // As people write them, and in hex.
    for secret in [PASSWORD, TOKEN, BODY] {
        let hex: String = secret.bytes().map(|octet| format!("{octet:02x}")).collect();
        assert!(!told.contains(secret) && !told.contains(&hex), "{secret} is told");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_connection_shows_its_last_frames_where_they_were_to_be_kept() {
    for (wanted, is_kept) in [(LastFrames::Heads, true), (LastFrames::Off, false)] {
        let (near, mut far) = tokio::io::duplex(PIPE);
        let options = client_options().sasl(Sasl::None).last_frames(wanted);
        far.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
        let mut frames = bytes::BytesMut::new();
        amqp_codec::encode_frame(&mut frames, 0, &amqp_codec::Open::new("peer"), &[]);
        far.write_all(&frames).await.unwrap();
        let client = Connection::over(near, options).await.unwrap();
        // A frame of a type that nobody knows.
        far.write_all(&[0, 0, 0, 12, 2, 9, 0, 0, b'h', b'u', b'n', b't']).await.unwrap();
        assert!(matches!(client.closed().await, ConnectionError::Violation(_)));
        let Some(frames) = client.last_frames() else {
            assert!(!is_kept);
            continue;
        };
        assert!(is_kept);
        let lines: Vec<&str> = frames.lines().collect();
        assert!(lines[0].starts_with("the last "), "{frames}");
        assert!(lines.iter().any(|line| line.starts_with("-> 0: open ")), "{frames}");
        // What was wrong, and what we said to it.
        let [.., wrong, answer] = &lines[..] else { panic!("{frames}") };
        assert!(wrong.starts_with("<- type 9: ") && answer.starts_with("-> 0: close "), "{frames}");
    }
    let (client, _server) =
        pair_with(client_options().last_frames(LastFrames::Heads), server_options()).await;
    client.close().await.unwrap();
    assert_eq!(client.last_frames(), None, "nothing failed");
}

// The failures that are looked into most have no handle yet.
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_never_open_showed_no_last_frames() {
    must_end_within(PAUSED);
    let nobody = |_: &SaslRequest, _: &SaslPeer| SaslDecision::Refuse;
    let policy = || SaslPolicy::new([Symbol::from_static("PLAIN")], Arc::new(nobody));
    for wanted in [LastFrames::Heads, LastFrames::Off] {
        let is_kept = wanted == LastFrames::Heads;
        // Refused by SASL.
        let (near, far) = tokio::io::duplex(PIPE);
        let plain = Sasl::Plain { user: "u".into(), password: Secret::new(PASSWORD) };
        let client = client_options().sasl(plain).last_frames(wanted);
        let server = server_options().sasl(policy()).last_frames(wanted);
        let (ours, theirs) =
            tokio::join!(Connection::over(near, client), ServerConnection::over(far, &server));
        let (ours, theirs) = (ours.unwrap_err(), theirs.unwrap_err());
        assert_eq!((ours.last_frames().is_some(), theirs.last_frames().is_some()), (is_kept, is_kept));
        if let (Some(ours), Some(theirs)) = (ours.last_frames(), theirs.last_frames()) {
            assert!(
                ours.contains("-> sasl: sasl-init ") && ours.contains("<- sasl: sasl-outcome "),
                "{ours}"
            );
            assert!(
                theirs.contains("<- sasl: sasl-init ") && theirs.contains("-> sasl: sasl-outcome "),
                "{theirs}"
            );
        }
        // A peer that says nothing after its header, to either side.
        let (near, mut silent) = tokio::io::duplex(PIPE);
        silent.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
        let late = Connection::over(near, no_sasl().last_frames(wanted)).await.unwrap_err();
        assert!(matches!(late, ConnectError::Timeout { .. }), "{late}");
        assert_eq!(late.last_frames().is_some(), is_kept);
        if let Some(frames) = late.last_frames() {
            assert!(frames.contains("-> 0: open ") && frames.contains("<- header 0 1.0.0"), "{frames}");
        }
        let (mut silent, far) = tokio::io::duplex(PIPE);
        silent.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
        let late = ServerConnection::over(far, &server_options().last_frames(wanted)).await.unwrap_err();
        assert!(matches!(late, HandshakeError::Timeout { .. }), "{late}");
        assert_eq!(late.last_frames().is_some(), is_kept);
        if let Some(frames) = late.last_frames() {
            assert!(frames.contains("-> header 0 1.0.0"), "{frames}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handles_tell_what_is_counted() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "q"), AcceptOptions::new()).await;
    let (taking, giving) =
        receiving(&session, &server, ReceiverOptions::new("r", "q"), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    drop(giving.send_with_receipt(&numbered(2)).await.unwrap());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let stats = client.stats();
    assert_eq!((stats.messages_sent, stats.messages_received, stats.undecided_messages), (1, 1, 1));
    assert!(stats.inbox_octets > 0 && stats.engine.frames_in > 4 && stats.engine.frames_out > 4, "{stats:?}");
    assert_eq!((stats.engine.sessions, stats.engine.links), (1, 2));
    let link = sender.stats().unwrap();
    assert_eq!((link.credit, link.unsettled), (sender.credit(), 1));
    assert!(link.octets > 0 && taking.stats().unwrap().octets > 0);
    assert_eq!(session.stats().unwrap().unsettled_outgoing, 1);
    drop(taking.recv().await.unwrap());
    receiver.recv().await.unwrap().accept().unwrap();
    receipt.await.unwrap();
    let stats = client.stats();
    assert_eq!((stats.undecided_messages, stats.inbox_octets), (0, 0));
    session.end().await.unwrap();
    assert!(sender.stats().is_none() && session.stats().is_none());
}
