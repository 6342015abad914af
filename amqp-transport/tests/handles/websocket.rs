//! AMQP over WebSocket, between our own two sides and with peers that are not polite.

use std::time::Duration;

use amqp_codec::{Message, Open, Outcome, ProtocolHeader, encode_frame};
use amqp_transport::client::{
    ConnectError, ConnectOptions, Connection, ReceiverOptions, SenderOptions, Subprotocol, WebSocketError,
    WebSocketOptions,
};
use amqp_transport::server::{
    AcceptOptions, HandshakeError, Listener, ListenerOptions, ServerConnection, WebSocketAccept,
};
use amqp_transport::{ConnectionError, Spoken};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::support::*;

fn client() -> ConnectOptions {
    client_options().hostname("broker.example").websocket(WebSocketOptions::new("/amqp"))
}

fn server() -> ListenerOptions {
    server_options().websocket(WebSocketAccept::new())
}

async fn attempt(
    client: ConnectOptions,
    server: ListenerOptions,
) -> (Result<Connection, ConnectError>, Result<ServerConnection, HandshakeError>) {
    let (near, far) = tokio::io::duplex(PIPE);
    tokio::join!(Connection::over(near, client), ServerConnection::over(far, &server))
}

// WS-004, WS-005: however the octets are cut, and whatever their number.
#[tokio::test(start_paused = true)]
async fn messages_cross_a_websocket_both_ways() {
    for pipe in [7, 1_000, PIPE] {
        let (near, far) = tokio::io::duplex(pipe);
        let (client, server) = pair_over(near, far, client(), server()).await;
        let session = session(&client).await;
        let (sender, receiver) =
            sending(&session, &server, SenderOptions::new("out", "/x"), AcceptOptions::new()).await;
        let (back, far) =
            receiving(&session, &server, ReceiverOptions::new("in", "/y"), AcceptOptions::new()).await;
        for size in [0, 1, 125, 126, 70_000, 300_000] {
            let body = vec![b'x'; size];
            let message = Message::data(body.clone());
            let there = async {
                let delivery = receiver.recv().await.unwrap();
                let message = delivery.message().unwrap();
                delivery.accept().unwrap();
                far.send(&message).await.unwrap()
            };
            let here = async {
                let delivery = back.recv().await.unwrap();
                assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), body);
                delivery.accept().unwrap();
            };
            let (sent, echoed, ()) = tokio::join!(sender.send(&message), there, here);
            assert_eq!((sent.unwrap(), echoed), (Outcome::Accepted, Outcome::Accepted));
        }
        // WS-006
        client.close().await.unwrap();
        assert!(matches!(server.next().await, Err(ConnectionError::ClosedByPeer)));
    }
}

// WS-001, WS-002
#[tokio::test(start_paused = true)]
async fn the_subprotocol_is_agreed_on_or_nothing_is() {
    must_end_within(PAUSED);
    let draft = || WebSocketOptions::new("/").subprotocols([Subprotocol::AmqpWsb10]);
    let (ours, theirs) = attempt(client_options().websocket(draft()), server()).await;
    assert!(ours.is_ok() && theirs.is_ok());

    let standard = WebSocketAccept::new().subprotocols([Subprotocol::Amqp]);
    let (ours, theirs) =
        attempt(client_options().websocket(draft()), server_options().websocket(standard)).await;
    assert!(matches!(ours, Err(ConnectError::WebSocket(WebSocketError::Refused { status: 400 }))));
    let error = theirs.unwrap_err();
    assert!(matches!(error, HandshakeError::WebSocket(WebSocketError::Subprotocol { .. })), "{error}");
    assert!(error.to_string().contains("AMQPWSB10"), "{error}");

    let paths = WebSocketAccept::new().paths(["/only/here"]);
    let (ours, _) = attempt(client(), server_options().websocket(paths)).await;
    let error = ours.unwrap_err();
    assert!(matches!(error, ConnectError::WebSocket(WebSocketError::Refused { status: 404 })), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_websocket_is_taken_on_the_same_port_unless_told_otherwise() {
    must_end_within(PAUSED);
    let (ours, theirs) = attempt(client_options(), server()).await;
    assert!(ours.is_ok() && theirs.is_ok());
    let (ours, theirs) =
        attempt(client_options(), server_options().websocket(WebSocketAccept::new().only())).await;
    assert!(matches!(ours, Err(ConnectError::NotAmqp(Spoken::Http))), "{ours:?}");
    assert!(matches!(theirs, Err(HandshakeError::WebSocket(_))));
    // And the other way: a listener without WebSockets says what it was asked.
    let (ours, theirs) = attempt(client(), server_options()).await;
    assert!(matches!(ours, Err(ConnectError::WebSocket(_))), "{ours:?}");
    assert!(matches!(theirs, Err(HandshakeError::NotAmqp { spoken: Spoken::Http })), "{theirs:?}");
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: amqp\r\n\r\n";

/// A client that writes its own frames.
struct Raw(DuplexStream);

impl Raw {
    async fn start(
        options: ListenerOptions,
    ) -> (Self, tokio::task::JoinHandle<Result<ServerConnection, HandshakeError>>) {
        let (near, far) = tokio::io::duplex(PIPE);
        let serving = tokio::spawn(async move { ServerConnection::over(far, &options).await });
        let mut raw = Self(near);
        raw.0.write_all(UPGRADE).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(raw.0.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        (raw, serving)
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
            long => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask));
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next frame's opcode and payload; a short one, unmasked as a server's are.
    async fn receive(&mut self) -> (u8, Vec<u8>) {
        let (first, length) = (self.0.read_u8().await.unwrap(), self.0.read_u8().await.unwrap());
        assert!(length < 126, "a frame of {length}");
        let mut payload = vec![0; length.into()];
        self.0.read_exact(&mut payload).await.unwrap();
        (first & 0x0f, payload)
    }
}

const BINARY: u8 = 0x82;

/// First octets and payloads.
type Frames = [(u8, Vec<u8>)];

// WS-004, WS-007, WS-008: pings between, empty messages, fragments, and one octet a message.
#[tokio::test(start_paused = true)]
async fn frames_of_every_kind_make_one_stream() {
    must_end_within(PAUSED);
    let (mut raw, serving) = Raw::start(server()).await;
    raw.send(0x89, b"are you there").await;
    assert_eq!(raw.receive().await, (0xa, b"are you there".to_vec()));
    raw.send(BINARY, b"").await;
    for octet in &ProtocolHeader::AMQP.encode()[..4] {
        raw.send(BINARY, &[*octet]).await;
    }
    // One message in two fragments, with a pong nobody asked for in between.
    raw.send(0x02, &ProtocolHeader::AMQP.encode()[4..6]).await;
    raw.send(0x8a, b"").await;
    raw.send(0x80, &ProtocolHeader::AMQP.encode()[6..]).await;
    assert_eq!(raw.receive().await, (2, ProtocolHeader::AMQP.encode().to_vec()));
    // WS-006: a close of the WebSocket alone is a loss, and is answered.
    raw.send(0x88, &1_000_u16.to_be_bytes()).await;
    assert_eq!(raw.receive().await, (8, 1_000_u16.to_be_bytes().to_vec()));
    let lost = serving.await.unwrap();
    assert!(
        matches!(lost, Err(HandshakeError::Lost { reason: ConnectionError::EndOfStream, .. })),
        "{lost:?}"
    );
}

// WS-007, C-024: each ping is answered, and none of them is a sign of life of the AMQP connection on it.
#[tokio::test(start_paused = true)]
async fn a_peer_that_only_pings_its_websocket_is_as_silent_as_one_that_says_nothing() {
    must_end_within(PAUSED);
    const SILENCE: Duration = Duration::from_secs(30);
    let (mut raw, serving) = Raw::start(server().idle_time_out(Some(SILENCE))).await;
    raw.send(BINARY, &ProtocolHeader::AMQP.encode()).await;
    let mut open = BytesMut::new();
    encode_frame(&mut open, 0, &Open::new("pinger"), &[]);
    raw.send(BINARY, &open).await;
    // Its header and its open, however they are cut.
    let mut answer = Vec::new();
    while answer.len() <= ProtocolHeader::AMQP.encode().len() {
        let (opcode, octets) = raw.receive().await;
        assert_eq!(opcode, 2);
        answer.extend(octets);
    }
    let server = serving.await.unwrap().unwrap();
    let began = Instant::now();
    let mut pongs = 0;
    let ended = async { (server.connection().closed().await, began.elapsed()) };
    let pinging = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            raw.send(0x89, b"still here").await;
            match raw.receive().await {
                (0xa, payload) => pongs += u32::from(payload == b"still here"),
                // Its close.
                other => return other.0,
            }
        }
    };
    let ((reason, after), close) = tokio::join!(ended, pinging);
    assert!(matches!(reason, ConnectionError::IdleTimeout), "{reason:?}");
    assert!((SILENCE..SILENCE + Duration::from_secs(1)).contains(&after), "{after:?}");
    assert!(pongs >= 29 && close == 2, "{pongs} pongs, then {close}");
}

// WS-003 and RFC 6455's own rules, each with its code.
#[tokio::test(start_paused = true)]
async fn what_is_no_websocket_of_amqp_is_closed_with_its_code() {
    must_end_within(PAUSED);
    let large = WebSocketAccept::new().max_message_size(1_000);
    // What came before is with the engine already.
    let fragments: &Frames = &[(0x02, b"AMQ".to_vec()), (0x00, Vec::new()), (0x80, vec![0; 998])];
    let cases: [(&str, &Frames, u16); 6] = [
        ("a text", &[(0x81, b"AMQP".to_vec())], 1_003),
        ("a large message", &[(BINARY, vec![0; 1_001])], 1_009),
        ("a large message in fragments", fragments, 1_009),
        ("reserved bits", &[(0xc2, b"AMQP".to_vec())], 1_002),
        ("a fragment of nothing", &[(0x80, b"AMQP".to_vec())], 1_002),
        ("an unknown opcode", &[(0x83, b"AMQP".to_vec())], 1_002),
    ];
    for (what, frames, code) in cases {
        let (mut raw, serving) = Raw::start(server_options().websocket(large.clone())).await;
        for (first, payload) in frames {
            raw.send(*first, payload).await;
        }
        let (opcode, payload) = raw.receive().await;
        assert_eq!((opcode, payload.get(..2)), (8, Some(&code.to_be_bytes()[..])), "{what}");
        let lost = serving.await.unwrap().unwrap_err();
        assert!(
            matches!(lost, HandshakeError::Lost { reason: ConnectionError::Io { .. }, .. }),
            "{what}: {lost}"
        );
    }
    // An unmasked frame.
    let (mut raw, serving) = Raw::start(server()).await;
    raw.0.write_all(&[BINARY, 4, b'A', b'M', b'Q', b'P']).await.unwrap();
    assert_eq!(raw.receive().await.0, 8);
    assert!(serving.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_never_ends_or_says_nonsense_is_given_up() {
    must_end_within(PAUSED);
    for (sent, code) in [
        ([b"GET ", &vec![b'a'; 9_000][..]].concat(), "400"),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n".to_vec(), "400"),
    ] {
        let (mut near, far) = tokio::io::duplex(PIPE);
        let serving = tokio::spawn(async move {
            ServerConnection::over(far, &server_options().websocket(WebSocketAccept::new().only())).await
        });
        near.write_all(&sent).await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        assert!(matches!(serving.await.unwrap(), Err(HandshakeError::WebSocket(_))));
    }
    let (near, far) = tokio::io::duplex(PIPE);
    let silent = ServerConnection::over(far, &server()).await;
    assert!(matches!(silent, Err(HandshakeError::Timeout { .. })));
    drop(near);
    let (near, far) = tokio::io::duplex(PIPE);
    let silent = Connection::over(near, client().connect_timeout(Duration::from_secs(5))).await.unwrap_err();
    assert!(silent.to_string().contains("WebSocket"), "{silent}");
    drop(far);
}

#[tokio::test]
async fn a_listener_serves_both_over_sockets() {
    must_end_within(RUNNING);
    let listener = Listener::bind(("127.0.0.1", 0), server()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for options in [client_options(), client_options().websocket(WebSocketOptions::new("/"))] {
        let serving = async { listener.accept().await.unwrap().handshake().await };
        let (ours, theirs) = tokio::join!(Connection::connect(("127.0.0.1", port), options), serving);
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        ours.close().await.unwrap();
        assert!(matches!(theirs.next().await, Err(ConnectionError::ClosedByPeer)));
    }
}
