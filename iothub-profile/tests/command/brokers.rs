//! `iothub amqp send` and `receive` against a listener of this project's transport, and against peers that misbehave.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use amqp_codec::{DistributionMode, Error, ErrorCondition, Role, Symbol};
use amqp_transport::server::{
    AcceptOptions, Draining, Incoming, Listener, ListenerOptions, SaslDecision, SaslPeer, SaslPolicy,
    SaslRequest, ServerConnection, WebSocketAccept,
};
use amqp_transport::{CreditMode, SendError, Sender, Settlement};
use bytes::Bytes;

use crate::support::{DEADLINE, Ran, TestFile, interrupt, iothub, run, start, wait_until};

/// Messages by address.
type Queues = Arc<Mutex<HashMap<String, Vec<Bytes>>>>;

/// A broker in a thread, for as long as the test. Addresses with a meaning: `refused` is refused, `reject`, `release` and
/// `modify` answer with that outcome, `no-credit` grants none, `cut` closes the connection at the third message, `hold`
/// answers nothing, `session` ends the session of who receives, `small` says that each message is too large, `moved` gives
/// messages away to who wants copies, and `many` sends the next message before the last is answered.
struct Broker {
    port: u16,
    queues: Queues,
}

impl Broker {
    fn start() -> Self {
        let queues = Queues::default();
        let (told, port) = mpsc::channel();
        let shared = Arc::clone(&queues);
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let mechanisms = ["PLAIN", "ANONYMOUS"].map(Symbol::from_static);
                let policy = SaslPolicy::new(mechanisms, Arc::new(decide)).allow_no_sasl();
                let websocket = WebSocketAccept::new().paths(["/$broker"]);
                let options = ListenerOptions::new("broker").sasl(policy).websocket(websocket);
                let listener = Listener::bind("127.0.0.1:0", options).await;
                let listener = listener.expect("a free port");
                told.send(listener.local_addr().expect("bound").port()).expect("the test waits for it");
                while let Ok(incoming) = listener.accept().await {
                    let queues = Arc::clone(&shared);
                    tokio::spawn(async move {
                        if let Ok(connection) = incoming.handshake().await {
                            serve(connection, queues).await;
                        }
                    });
                }
            });
        });
        Self { port: port.recv().expect("the broker listens"), queues }
    }

    fn url(&self, address: &str) -> String {
        format!("amqp://127.0.0.1:{}/{address}", self.port)
    }

    fn send(&self, address: &str, more: &[&str]) -> Ran {
        run(&[&["amqp", "send", &self.url(address), "-o", "jsonl"], more].concat())
    }

    fn receive(&self, address: &str, more: &[&str]) -> Ran {
        run(&[&["amqp", "receive", &self.url(address), "-o", "jsonl"], more].concat())
    }

    fn held(&self, address: &str) -> usize {
        self.queues.lock().expect("not poisoned").get(address).map_or(0, Vec::len)
    }
}

fn decide(request: &SaslRequest, _: &SaslPeer) -> SaslDecision {
    match request {
        SaslRequest::Anonymous { .. } => SaslDecision::accept("nobody"),
        SaslRequest::Plain { authcid, password, .. }
            if authcid == "us er" && password.expose() == "pa/ss" =>
        {
            SaslDecision::accept("user")
        }
        _ => SaslDecision::Refuse,
    }
}

async fn serve(connection: ServerConnection, queues: Queues) {
    while let Ok(Incoming::Attach(attach)) = connection.next().await {
        let address = attach.address().unwrap_or_default().to_owned();
        if address == "refused" {
            attach.refuse(Error::new(ErrorCondition::NOT_FOUND).with_description("no queue of this name"));
            continue;
        }
        let (queues, connection) = (Arc::clone(&queues), connection.clone());
        if attach.attach().role == Role::Sender {
            let credit = if address == "no-credit" { CreditMode::Manual } else { CreditMode::default() };
            let Ok(receiver) = attach.accept_receiver(AcceptOptions::new().credit(credit)) else { continue };
            tokio::spawn(async move {
                let mut held = Vec::new();
                while let Ok(delivery) = receiver.recv().await {
                    let payload = delivery.payload().clone();
                    let count = {
                        let mut queues = queues.lock().expect("not poisoned");
                        let queue = queues.entry(address.clone()).or_default();
                        queue.push(payload);
                        queue.len()
                    };
                    let answered = match address.as_str() {
                        "reject" => delivery.reject(Some(Error::new(ErrorCondition::NOT_ALLOWED))),
                        "release" => delivery.release(),
                        "modify" => delivery.modify(amqp_codec::Modified::default()),
                        "small" => {
                            drop(receiver.detach_with_error(ErrorCondition::MESSAGE_SIZE_EXCEEDED).await);
                            return;
                        }
                        "hold" => {
                            held.push(delivery);
                            Ok(())
                        }
                        "cut" if count == 3 => {
                            let error = Error::new(ErrorCondition::CONNECTION_FORCED);
                            return drop(connection.close(Some(error)).await);
                        }
                        _ => delivery.accept(),
                    };
                    let _ = answered;
                }
            });
        } else {
            let mut options = AcceptOptions::new().filters([]);
            if address == "moved" {
                options = options.distribution_mode(DistributionMode::MOVE);
            }
            if address == "many" {
                options = options.draining(Draining::ByApplication);
            }
            let session = attach.session().clone();
            let Ok(sender) = attach.accept_sender(options) else { continue };
            tokio::spawn(async move {
                if address == "session" {
                    // Once it has credit, the receiver knows that it is attached.
                    let _ = sender.ready().await;
                    let _ = session.end_with_error(Error::new(ErrorCondition::INTERNAL_ERROR)).await;
                    return;
                }
                let messages = queues.lock().expect("not poisoned").remove(&address).unwrap_or_default();
                if address == "many" {
                    return send_ahead(&sender, messages, &queues).await;
                }
                for (number, payload) in messages.into_iter().enumerate() {
                    if address == "forced" && number == 1 {
                        let error = Error::new(ErrorCondition::DETACH_FORCED).with_description("maintenance");
                        return drop(sender.detach_with_error(error).await);
                    }
                    let sent =
                        async { sender.send_encoded(payload.clone(), 0, Settlement::Unsettled).await?.await };
                    if !matches!(sent.await, Ok::<_, SendError>(amqp_codec::Outcome::Accepted)) {
                        queues
                            .lock()
                            .expect("not poisoned")
                            .entry(address.clone())
                            .or_default()
                            .push(payload);
                    }
                }
                sender.detached().await;
            });
        }
    }
}

/// Sends whatever there is credit for, and keeps what is not accepted.
async fn send_ahead(sender: &Sender, messages: Vec<Bytes>, queues: &Queues) {
    for payload in messages {
        let Ok(receipt) = sender.send_encoded(payload.clone(), 0, Settlement::Unsettled).await else {
            return;
        };
        let queues = Arc::clone(queues);
        tokio::spawn(async move {
            if !matches!(receipt.await, Ok(amqp_codec::Outcome::Accepted)) {
                queues.lock().expect("not poisoned").entry("many".to_owned()).or_default().push(payload);
            }
        });
    }
    let _ = sender.idle().await;
}

#[test]
fn a_message_comes_back_with_all_that_was_put_on_it() {
    let broker = Broker::start();
    let args = [
        "--body",
        "21.4 °C",
        "--message-id",
        "m-1",
        "--correlation-id",
        "c",
        "--content-type",
        "text/plain",
        "--to",
        "there",
        "--reply-to",
        "here",
        "--subject",
        "s",
        "--group-id",
        "g",
        "--durable",
        "--priority",
        "7",
        "--ttl",
        "60",
        "-p",
        "room=kitchen",
        "--typed-property",
        "level:int=-3",
        "--annotation",
        "x-opt-a:ulong=9",
    ];
    let sent = broker.send("q", &args);
    let summary = &sent.succeeds().records()[0];
    assert_eq!(
        (&summary["sent"], &summary["accepted"], &summary["unknown"]),
        (&1.into(), &1.into(), &0.into())
    );
    let received = broker.receive("q", &["--count", "1"]);
    let message = &received.succeeds().records()[0];
    for (name, value) in [
        ("body", "21.4 °C"),
        ("message_id", "m-1"),
        ("correlation_id", "c"),
        ("content_type", "text/plain"),
        ("to", "there"),
        ("reply_to", "here"),
        ("subject", "s"),
        ("group_id", "g"),
    ] {
        assert_eq!(message[name], value, "{message}");
    }
    assert_eq!(message["header"]["durable"], true);
    assert_eq!((&message["header"]["priority"], &message["header"]["ttl_ms"]), (&7.into(), &60_000.into()));
    assert_eq!(
        (&message["properties"]["room"], &message["properties"]["level"]),
        (&"kitchen".into(), &(-3).into())
    );
    assert_eq!(message["message_annotations"]["x-opt-a"], 9);
    assert!(received.stderr.contains("received 1, accepted 1"), "{}", received.stderr);
}

#[test]
fn messages_cross_a_websocket_both_ways() {
    let broker = Broker::start();
    let url = format!("ws://127.0.0.1:{}/$broker", broker.port);
    let args = ["--address", "q", "-o", "jsonl", "--count", "3"];
    let sent = run(&[&["amqp", "send", &url, "--size", "100000"], &args[..]].concat());
    assert_eq!(sent.succeeds().records()[0]["accepted"], 3);
    let received = run(&[&["amqp", "receive", &url], &args[..]].concat());
    let records = received.succeeds().records();
    let sizes: Vec<_> = records.iter().filter_map(|record| record["body"].as_str().map(str::len)).collect();
    assert_eq!(sizes, [100_000; 3]);
    let elsewhere = format!("ws://127.0.0.1:{}/elsewhere", broker.port);
    run(&["amqp", "send", &elsewhere, "--address", "q", "--body", "x"]).fails_with(5, &["404"]);
    run(&["amqp", "send", &url, "--body", "x"]).fails_with(2, &["--address"]);
}

#[test]
fn lines_texts_octets_and_sizes_are_bodies() {
    let broker = Broker::start();
    let file = TestFile::new(b"one\r\n\nthree");
    broker.send("q", &["--file", file.path(), "--lines"]).succeeds();
    broker.send("q", &["--body", "text", "--as", "text"]).succeeds();
    broker.send("q", &["--size", "300000", "--count", "2"]).succeeds();
    let octets = TestFile::new(b"\xff\x00");
    broker.send("q", &["--file", octets.path()]).succeeds();
    broker.send("q", &["--file", octets.path(), "--as", "text"]).fails_with(2, &["UTF-8", "--as data"]);
    let records = broker.receive("q", &["--count", "7"]).succeeds().records();
    let bodies: Vec<&str> = records.iter().filter_map(|record| record["body"].as_str()).collect();
    assert_eq!(bodies[..4], ["one", "", "three", "text"]);
    assert_eq!((bodies[4].len(), bodies[5].len()), (300_000, 300_000));
    assert_eq!(records[6]["body_base64"], "/wA=");
}

#[test]
fn settled_messages_are_counted_as_such_and_not_as_accepted() {
    let broker = Broker::start();
    let sent = broker.send("q", &["--body", "x", "--count", "5", "--settled"]);
    let summary = &sent.succeeds().records()[0];
    assert_eq!((&summary["settled"], &summary["accepted"]), (&5.into(), &0.into()));
    assert!(wait_until(DEADLINE, || broker.held("q") == 5));
}

#[test]
fn a_receiver_leaves_what_it_does_not_want() {
    let broker = Broker::start();
    broker.send("q", &["--body", "x", "--count", "5", "--message-id", "m"]).succeeds();
    let first = broker.receive("q", &["--count", "2", "--credit", "2"]);
    let ids: Vec<_> = first.succeeds().records().iter().map(|record| record["message_id"].clone()).collect();
    assert_eq!(ids, ["m-1", "m-2"]);
    assert!(wait_until(DEADLINE, || broker.held("q") >= 1), "the next one was not taken");
}

#[test]
fn mode_second_waits_for_the_senders_settlement_both_ways() {
    let broker = Broker::start();
    broker.send("q", &["--body", "x", "--count", "3", "--rcv-settle", "second"]).succeeds();
    let received = broker.receive("q", &["--count", "3", "--rcv-settle", "second"]);
    assert_eq!(received.succeeds().records().len(), 3);
    assert!(received.stderr.contains("received 3, accepted 3"), "{}", received.stderr);
}

#[test]
fn outcomes_that_are_not_acceptance_are_counted_and_fail_the_send() {
    let broker = Broker::start();
    for (address, column, words) in [
        ("reject", "rejected", &["rejected", "amqp:not-allowed"][..]),
        ("release", "released", &["released"]),
        ("modify", "modified", &["modified"]),
    ] {
        let ran = broker.send(address, &["--body", "x", "--count", "3"]);
        ran.fails_with(6, words);
        let summary = &ran.records()[0];
        assert_eq!((&summary[column], &summary["accepted"]), (&3.into(), &0.into()), "{summary}");
    }
    broker.send("q", &["--size", "2000000"]).fails_with(7, &["1048576"]);
}

#[test]
fn a_peer_that_closes_in_the_middle_leaves_no_message_uncounted() {
    let broker = Broker::start();
    let ran = broker.send("cut", &["--body", "x", "--count", "10", "--in-flight", "1"]);
    ran.fails_with(8, &["amqp:connection:forced"]);
    let summary = &ran.records()[0];
    let count = |name: &str| summary[name].as_u64().expect("a number");
    assert_eq!((count("accepted"), count("unknown"), count("not_sent")), (2, 1, 7), "{summary}");
    broker.send("forced", &["--body", "x", "--count", "3"]).succeeds();
    let ran = broker.receive("forced", &["--count", "3"]);
    ran.fails_with(6, &["amqp:link:detach-forced", "maintenance"]);
    assert_eq!(ran.records().len(), 1, "what came before is printed");
}

#[test]
fn a_session_that_the_broker_ends_is_not_called_a_link() {
    let broker = Broker::start();
    let ran = broker.receive("session", &[]);
    ran.fails_with(6, &["error: the session was ended by the peer: amqp:internal-error"]);
}

#[test]
fn no_credit_and_no_answer_end_in_time() {
    let broker = Broker::start();
    let ran = broker.send("no-credit", &["--body", "x", "--count", "2", "--timeout", "0.3"]);
    ran.fails_with(7, &["took no message"]);
    assert_eq!(ran.records()[0]["not_sent"], 2);
    let ran = broker.send("hold", &["--body", "x", "--count", "2", "--timeout", "0.3"]);
    ran.fails_with(8, &["did not answer in time"]);
    assert_eq!(ran.records()[0]["unknown"], 2);
    let ran = broker.receive("empty", &["--until-idle", "0.2"]);
    assert!(ran.succeeds().records().is_empty());
    let ran = broker.receive("empty", &["--drain"]);
    assert!(ran.succeeds().records().is_empty(), "a drain of nothing ends at once");
}

#[test]
fn a_drain_left_there_what_one_round_of_credit_was_too_little_for() {
    let broker = Broker::start();
    broker.send("many", &["--body", "x", "--count", "25"]).succeeds();
    let ran = broker.receive("many", &["--drain", "--credit", "10", "--count", "15"]);
    assert_eq!(ran.succeeds().records().len(), 15);
    broker.send("many", &["--body", "x", "--count", "25"]).succeeds();
    let ran = broker.receive("many", &["--drain", "--credit", "10"]);
    assert_eq!(ran.succeeds().records().len(), 25);
    // What is given back would come again in each further round.
    broker.send("many", &["--body", "x", "--count", "25"]).succeeds();
    let ran = broker.receive("many", &["--drain", "--credit", "10", "--answer", "release"]);
    assert_eq!(ran.succeeds().records().len(), 10);
    assert!(ran.stderr.contains("a larger --credit"), "{}", ran.stderr);
}

#[test]
fn large_messages_that_waited_to_be_printed_ended_the_link() {
    let broker = Broker::start();
    let message = amqp_codec::to_bytes(&amqp_codec::Message::data(vec![b'x'; 5_000_000]));
    broker.queues.lock().expect("not poisoned").insert("many".to_owned(), vec![message; 16]);
    let ran = run(&["amqp", "receive", &broker.url("many"), "--drain", "-o", "raw"]);
    assert_eq!(ran.succeeds().stdout.len(), 16 * 5_000_001);
}

#[test]
fn a_message_that_the_broker_called_too_large_was_counted_as_unknown() {
    let broker = Broker::start();
    let ran = broker.send("small", &["--body", "x"]);
    ran.fails_with(7, &["amqp:link:message-size-exceeded", "fault: the message's size"]);
    assert_eq!((&ran.records()[0]["rejected"], &ran.records()[0]["unknown"]), (&1.into(), &0.into()));
}

#[test]
fn this_machine_was_blamed_for_a_message_that_is_none() {
    let broker = Broker::start();
    broker.queues.lock().expect("not poisoned").insert("q".to_owned(), vec![Bytes::from_static(b"\xff")]);
    let ran = broker.receive("q", &["--count", "1"]);
    ran.fails_with(1, &["the broker sent what is no message", "fault: the message, or who sent it"]);
}

#[test]
fn an_interrupted_send_says_what_became_of_what_was_on_its_way() {
    let broker = Broker::start();
    let mut command = iothub(&["amqp", "send", &broker.url("q"), "-o", "jsonl", "--body", "x"]);
    command.args(["--count", "100000", "--rate", "20"]);
    let running = start(command);
    assert!(wait_until(DEADLINE, || broker.held("q") >= 2));
    interrupt(running.id());
    let ran = running.end(DEADLINE);
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    let summary = &ran.records()[0];
    assert_eq!(summary["accepted"], summary["sent"], "{summary}");
    let receiving = start(iothub(&["amqp", "receive", &broker.url("empty")]));
    thread::sleep(Duration::from_millis(300));
    interrupt(receiving.id());
    assert_eq!(receiving.end(DEADLINE).code, Some(130));
}

#[test]
fn wrong_urls_are_usage_errors_that_show_no_password() {
    for (url, word) in [
        ("broker", "amqp://"),
        ("http://host/q", "amqp://"),
        ("amqp://user:hunter2@host:port/q", "port"),
        ("amqp://user:hunter2@host", "address"),
        ("amqp://user@host/q", "password"),
        ("amqp://host/q?x=hunter2", "query"),
    ] {
        let ran = run(&["amqp", "send", url, "--body", "x"]);
        ran.fails_with(2, &[word]);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    run(&["amqp", "receive", "amqp://h/q", "--ca", "x.pem"]).fails_with(2, &["amqps"]);
    run(&["amqp", "send", "amqp://h/q"]).fails_with(2, &["--body"]);
}

#[test]
fn who_is_not_let_in_is_told_so() {
    let broker = Broker::start();
    let with = |login: &str| format!("amqp://{login}@127.0.0.1:{}/q", broker.port);
    let send = |url: &str, more: &[&str]| run(&[&["amqp", "send", url, "--body", "x"], more].concat());
    let right = with("us%20er:pa%2Fss");
    send(&right, &[]).fails_with(3, &["without-tls"]);
    send(&right, &["--allow-plain-without-tls"]).succeeds();
    let file = TestFile::new(b"pa/ss\n");
    send(&with("us%20er"), &["--allow-plain-without-tls", "--password-file", file.path()]).succeeds();
    let wrong = send(&with("us%20er:hunter2"), &["--allow-plain-without-tls"]);
    wrong.fails_with(3, &["credentials"]);
    assert!(!wrong.stderr.contains("hunter2"));
    send(&with("us%20er:pa%2Fss"), &["--sasl", "scram-sha-256"]).fails_with(3, &["SCRAM-SHA-256"]);
    send(&broker.url("q"), &["--sasl", "external"]).fails_with(3, &["EXTERNAL"]);
    send(&broker.url("q"), &["--sasl", "none"]).succeeds();
}

#[test]
fn browsing_takes_no_message_away() {
    let broker = Broker::start();
    for address in ["q", "moved"] {
        broker.send(address, &["--body", "x", "--count", "2"]).succeeds();
    }
    let ran = broker.receive("q", &["--browse", "--count", "2"]);
    assert_eq!(ran.succeeds().records().len(), 2);
    assert!(ran.stderr.contains("received 2, released 2"), "{}", ran.stderr);
    assert!(wait_until(DEADLINE, || broker.held("q") == 2), "{} are left", broker.held("q"));
    broker.receive("moved", &["--browse"]).fails_with(6, &["browse", "--answer release"]);
    assert!(wait_until(DEADLINE, || broker.held("moved") == 2), "{} are left", broker.held("moved"));
    broker.receive("q", &["--browse", "--answer", "accept"]).fails_with(2, &["--browse"]);
}

#[test]
fn a_websocket_that_is_asked_for_is_never_left_out() {
    let broker = Broker::start();
    broker.send("q", &["--body", "x", "--websocket"]).fails_with(2, &["--websocket", "write ws://"]);
    let plain = peer(b"AMQP\x03\x01\x00\x00");
    let args = ["amqp", "receive", "--address", "q", &format!("ws://127.0.0.1:{plain}/")];
    run(&args).fails_with(5, &["does not speak HTTP", "plain AMQP 1.0 (SASL)", "write amqp://"]);
}

#[test]
fn what_cannot_be_had_is_refused_and_what_is_not_there_is_unreachable() {
    let broker = Broker::start();
    broker.send("refused", &["--body", "x"]).fails_with(6, &["amqp:not-found", "no queue of this name"]);
    broker.receive("refused", &[]).fails_with(6, &["amqp:not-found"]);
    broker.receive("q", &["--selector", "a = 1"]).fails_with(6, &["does not honour the selector"]);
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    run(&["amqp", "send", &format!("amqp://127.0.0.1:{closed}/q"), "--body", "x"])
        .fails_with(5, &["refused"]);
    run(&["amqp", "send", "amqp://no-such-host.invalid/q", "--body", "x"])
        .fails_with(5, &["no-such-host.invalid"]);
    let http = peer(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    run(&["amqp", "receive", &format!("amqp://127.0.0.1:{http}/q")])
        .fails_with(5, &["HTTP", "fault: the URL's host or port"]);
    let args = ["amqp", "receive", "--address", "q", &format!("ws://127.0.0.1:{http}/elsewhere")];
    run(&args).fails_with(5, &["HTTP status 400", "fault: the URL's path"]);
    let tls = peer(&[0x15, 3, 3, 0, 2, 2, 70]);
    run(&["amqp", "receive", &format!("amqp://127.0.0.1:{tls}/q")])
        .fails_with(4, &["amqps://", "fault: the URL's scheme"]);
    let args = ["amqp", "receive", &format!("amqps://127.0.0.1:{}/q", broker.port)];
    run(&args).fails_with(4, &["does not speak TLS"]);
}

/// The port of a peer that says this to whoever connects.
fn peer(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(words);
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    port
}

// What is wrong is named with its cause, and with what can be done about it.
#[test]
fn a_wrong_scheme_proxy_or_count_says_what_to_change() {
    let broker = Broker::start();
    let tls = format!("amqps://127.0.0.1:{}/q", broker.port);
    run(&["amqp", "send", &tls, "--body", "x"]).fails_with(4, &["does not speak TLS", "write amqp://"]);
    let unused = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let proxy = format!("http://{unused}");
    let ran = broker.send("q", &["--body", "x", "--proxy", &proxy]);
    ran.fails_with(5, &["cannot reach the proxy", "refused", "--proxy gives"]);
    let refusing = peer(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    let proxy = format!("http://me:hunter2@127.0.0.1:{refusing}");
    let ran = broker.send("q", &["--body", "x", "--proxy", &proxy]);
    ran.fails_with(2, &["wants other credentials", "fault: the proxy's address, user or password"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let ran = broker.send("q", &["--body", "x", "--content-type", "tëxt"]);
    ran.fails_with(2, &["--content-type: `tëxt`"]);
    let websocket = format!("ws://127.0.0.1:{}/$broker", broker.port);
    run(&["amqp", "receive", &websocket]).fails_with(2, &["with --address", "the WebSocket's"]);
    for verb in ["send", "receive"] {
        let mut arguments = vec!["amqp", verb, &tls, "--count", "0"];
        arguments.extend(["--body", "x"].iter().filter(|_| verb == "send"));
        run(&arguments).fails_with(2, &["--count"]);
    }
    assert_eq!(broker.held("q"), 0);
}
