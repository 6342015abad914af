//! Opening and closing connections and sessions, and authenticating.

use std::sync::Arc;
use std::time::Duration;

use amqp_codec::{Close, ErrorCondition, Open, Symbol, encode_frame};
use amqp_transport::client::{ConnectError, ConnectStage, Connection, EndReason, Sasl, SessionOptions};
use amqp_transport::server::{
    HandshakeError, ListenerOptions, SaslDecision, SaslPeer, SaslPolicy, SaslRequest, ServerConnection,
};
use amqp_transport::{ConnectionError, SaslFailure, Secret, Spoken};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::*;

// C-037: open both ways, close both ways, without an error.
#[tokio::test(start_paused = true)]
async fn both_ends_see_each_other_and_close_in_good_order() {
    let (client, server) = pair_with(client_options().hostname("hub.example"), server_options()).await;
    assert_eq!(&*client.remote_open().container_id, "server");
    assert_eq!(&*server.remote_open().container_id, "client");
    assert_eq!(server.remote_open().hostname.as_deref(), Some("hub.example"));
    assert_eq!(server.identity().mechanism.as_deref(), Some("ANONYMOUS"));
    assert!(client.is_open());
    client.close().await.unwrap();
    client.close().await.unwrap();
    assert!(matches!(client.closed().await, ConnectionError::Closed));
    assert!(matches!(server.next().await, Err(ConnectionError::ClosedByPeer)));
    assert!(!client.is_open());
}

// C-022: after the two closes the stream is let go of, whatever else may come on it.
#[tokio::test(start_paused = true)]
async fn a_stream_is_not_used_again_after_the_closes() {
    must_end_within(PAUSED);
    let (mut near, far) = tokio::io::duplex(PIPE);
    let mut frames = BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
    encode_frame(&mut frames, 0, &Open::new("peer"), &[]);
    encode_frame(&mut frames, 0, &Close::default(), &[]);
    encode_frame(&mut frames, 0, &Open::new("again"), &[]);
    near.write_all(&frames).await.unwrap();
    // The handles may well be held on to.
    let server = ServerConnection::over(far, &server_options()).await;
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    let (mut opens, mut rest) = (0, &answer[8..]);
    while let Some(size) = rest.first_chunk::<4>() {
        opens += u32::from(rest[10] == 0x10);
        rest = &rest[usize::try_from(u32::from_be_bytes(*size)).unwrap()..];
    }
    assert_eq!(opens, 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(near.write_all(b"AMQP\x00\x01\x00\x00").await.is_err(), "nobody reads it any more");
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn both_ends_may_close_at_once() {
    let (client, server) = pair().await;
    let (near, far) = tokio::join!(client.close(), server.close(None));
    near.unwrap();
    far.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_in_close_reaches_the_other_end_whole() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    server.close(Some(error(ErrorCondition::CONNECTION_FORCED, "maintenance"))).await.unwrap();
    let ConnectionError::Remote(remote) = client.closed().await else { panic!("no remote error") };
    assert_eq!(remote.condition, ErrorCondition::CONNECTION_FORCED);
    assert_eq!(remote.description.as_deref(), Some("maintenance"));
    assert!(ConnectionError::Remote(remote).is_retryable());
    assert!(matches!(session.ended().await, EndReason::Lost(ConnectionError::Remote(_))));
    assert!(client.begin(SessionOptions::new()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    drop(client);
    let mut closed = Box::pin(server.connection().closed());
    assert!(is_stuck(&mut closed).await, "the session keeps the connection");
    drop(session);
    assert!(matches!(closed.await, ConnectionError::ClosedByPeer));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_close_does_not_stop_it() {
    let (client, server) = pair().await;
    let mut closing = Box::pin(client.close());
    tokio::select! {
        biased;
        _ = &mut closing => panic!("closed at once"),
        () = std::future::ready(()) => {}
    }
    drop(closing);
    assert!(matches!(server.connection().closed().await, ConnectionError::ClosedByPeer));
}

#[tokio::test(start_paused = true)]
async fn many_sessions_begin_and_end_at_once() {
    let (client, server) = pair().await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let session = client.begin(SessionOptions::new()).await.unwrap();
                session.end().await.unwrap();
                assert!(matches!(session.ended().await, EndReason::Local));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // Channels are free again: another fifty fit, whatever the limit.
    for _ in 0..50 {
        session(&client).await.end().await.unwrap();
    }
    client.close().await.unwrap();
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_begin_is_dropped_is_ended() {
    let (client, _server) = pair_with(client_options(), server_options().channel_max(0)).await;
    {
        let mut begin = Box::pin(client.begin(SessionOptions::new()));
        tokio::select! {
            biased;
            _ = &mut begin => panic!("begun at once"),
            () = std::future::ready(()) => {}
        }
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    // The only channel is free again.
    session(&client).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_times_the_connect_out() {
    must_end_within(PAUSED);
    let (near, _far) = tokio::io::duplex(PIPE);
    let start = Instant::now();
    let options = client_options().connect_timeout(Duration::from_secs(7));
    let error = Connection::over(near, options).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { stage: ConnectStage::Amqp, .. }), "{error}");
    assert!(error.is_retryable());
    assert_eq!(start.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_times_the_handshake_out() {
    must_end_within(PAUSED);
    let (_near, far) = tokio::io::duplex(PIPE);
    let options = server_options().handshake_timeout(Duration::from_secs(3));
    let error = ServerConnection::over(far, &options).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Timeout { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_after_the_idle_time_out() {
    let options = client_options().idle_time_out(Some(Duration::from_secs(10)));
    // The far end's task never runs on: its pipe is cut from the connection by a relay that stops.
    let (near, relay_near) = tokio::io::duplex(PIPE);
    let (relay_far, far) = tokio::io::duplex(PIPE);
    let relay = tokio::spawn(async move {
        let (mut a, mut b) = (relay_near, relay_far);
        let _ =
            tokio::time::timeout(Duration::from_secs(1), tokio::io::copy_bidirectional(&mut a, &mut b)).await;
        std::future::pending::<()>().await;
        drop((a, b));
    });
    let (client, _server) = pair_over(near, far, options, server_options()).await;
    let start = Instant::now();
    let reason = client.closed().await;
    assert!(matches!(reason, ConnectionError::IdleTimeout), "{reason}");
    assert!((9..=20).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    relay.abort();
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_an_idle_connection() {
    let ten = Some(Duration::from_secs(10));
    let (client, server) =
        pair_with(client_options().idle_time_out(ten), server_options().idle_time_out(ten)).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(client.is_open());
    client.close().await.unwrap();
    drop(server);
}

fn plain_only() -> ListenerOptions {
    let authenticator = |request: &SaslRequest, peer: &SaslPeer| match request {
        SaslRequest::Plain { authcid, password, .. } if password.expose() == "right" => {
            SaslDecision::accept(format!("{authcid}@{}", peer.hostname.as_deref().unwrap_or_default()))
        }
        SaslRequest::Plain { authcid, .. } if authcid == "later" => SaslDecision::TemporaryFailure,
        _ => SaslDecision::Refuse,
    };
    server_options().sasl(SaslPolicy::new([Symbol::from_static("PLAIN")], Arc::new(authenticator)))
}

fn plain(user: &str, password: &str) -> Sasl {
    Sasl::Plain { user: user.to_owned(), password: Secret::new(password) }
}

#[tokio::test(start_paused = true)]
async fn plain_is_decided_by_the_authenticator() {
    let options = client_options().hostname("hub").sasl(plain("ann", "right"));
    let (_client, server) = pair_with(options, plain_only()).await;
    assert_eq!(server.identity().user.as_deref(), Some("ann@hub"));
    assert_eq!(server.identity().mechanism.as_deref(), Some("PLAIN"));
}

async fn refused(sasl: Sasl, server: ListenerOptions) -> (ConnectError, HandshakeError) {
    let (near, far) = tokio::io::duplex(PIPE);
    let (client, server) = tokio::join!(
        Connection::over(near, client_options().sasl(sasl)),
        ServerConnection::over(far, &server)
    );
    (client.unwrap_err(), server.unwrap_err())
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_told_apart_from_a_server_in_trouble() {
    must_end_within(PAUSED);
    let (client, server) = refused(plain("ann", "wrong"), plain_only()).await;
    assert!(client.is_auth() && !client.is_retryable(), "{client}");
    assert!(matches!(server, HandshakeError::Refused { .. }), "{server}");
    assert!(!format!("{client:?} {server:?}").contains("wrong"));
    let (client, _) = refused(plain("later", "wrong"), plain_only()).await;
    assert!(client.is_retryable() && !client.is_auth(), "{client}");
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_is_not_offered_is_named() {
    must_end_within(PAUSED);
    let (client, _) = refused(Sasl::Anonymous, plain_only()).await;
    let ConnectError::Lost {
        reason: ConnectionError::Sasl(SaslFailure::MechanismNotOffered { wanted, offered }),
        ..
    } = client
    else {
        panic!("{client}")
    };
    assert_eq!((wanted.as_str(), offered.as_str()), ("ANONYMOUS", "PLAIN"));
}

#[tokio::test(start_paused = true)]
async fn leaving_sasl_out_is_allowed_only_where_it_is_allowed() {
    let (_client, server) = pair_with(no_sasl(), server_options()).await;
    assert_eq!(server.identity().mechanism, None);
    // F-009: the header of the layer that is missing.
    let (client, _) = refused(Sasl::None, plain_only()).await;
    let text = client.to_string();
    let ConnectError::Lost { reason: ConnectionError::HeaderMismatch { offered }, .. } = client else {
        panic!("{text}")
    };
    assert_eq!(offered, *b"AMQP\x03\x01\x00\x00");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_speaks_something_else_is_named() {
    must_end_within(PAUSED);
    let (near, mut far) = tokio::io::duplex(PIPE);
    far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let error = Connection::over(near, client_options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotAmqp(Spoken::Http)), "{error}");

    let (mut near, far) = tokio::io::duplex(PIPE);
    near.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await.unwrap();
    let error = ServerConnection::over(far, &server_options()).await.unwrap_err();
    assert!(matches!(error, HandshakeError::NotAmqp { spoken: Spoken::Tls }), "{error}");
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"AMQP"), "F-008: a supported header before the end");
}
