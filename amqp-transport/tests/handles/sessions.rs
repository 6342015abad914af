//! Sessions about which a listener's application decides.

use std::time::Duration;

use amqp_codec::{Attach, Begin, ErrorCondition, Fields, Open, Role, Source, Symbol, Target, encode_frame};
use amqp_transport::client::{OpenError, SenderOptions, SessionOptions};
use amqp_transport::server::{
    AcceptOptions, DecidesSessions, Incoming, IncomingSession, ListenerOptions, ServerConnection,
};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use crate::support::*;

fn deciding() -> ListenerOptions {
    server_options().decides_sessions(DecidesSessions::Application)
}

async fn next_session(server: &ServerConnection) -> IncomingSession {
    match server.next().await.unwrap() {
        Incoming::Session(session) => session,
        other => panic!("not a session: {other:?}"),
    }
}

// S-027, L-041: capabilities of sessions and links are the application's on both sides.
#[tokio::test(start_paused = true)]
async fn a_listeners_application_sees_a_begin_and_chooses_the_windows() {
    let (client, server) = pair_with(client_options(), deciding()).await;
    let capability = |name| [Symbol::from_static(name)];
    let options = SessionOptions::new()
        .properties(Fields::default().with(Symbol::from_static("tenant"), "t1"))
        .offered_capabilities(capability("offered"))
        .desired_capabilities(capability("desired"))
        .incoming_window(33);
    let accepting = async {
        let session = next_session(&server).await;
        let begin = session.remote_begin();
        assert_eq!(begin.incoming_window, 33);
        assert!(begin.properties.as_ref().is_some_and(|all| all.get("tenant").is_some()));
        assert!(begin.offered_capabilities.contains_symbol("offered"));
        assert!(begin.desired_capabilities.contains_symbol("desired"));
        session.accept(SessionOptions::new().incoming_window(7)).unwrap()
    };
    let (session, id) = tokio::join!(client.begin(options), accepting);
    let session = session.unwrap();
    assert_eq!(session.stats().unwrap().remote_incoming_window, 7);
    let options = SenderOptions::new("s", "/x").offered_capabilities(capability("link"));
    let accepting = async {
        let attach = next_attach(&server).await;
        assert_eq!(attach.session_id(), id);
        assert!(attach.attach().offered_capabilities.contains_symbol("link"));
        attach.accept_receiver(AcceptOptions::new().desired_capabilities(capability("wish"))).unwrap()
    };
    let (sender, _receiver) = tokio::join!(session.attach_sender(options), accepting);
    let attach = sender.unwrap().remote_attach().unwrap();
    assert!(attach.desired_capabilities.contains_symbol("wish"));
}

#[tokio::test(start_paused = true)]
async fn a_listeners_application_refuses_sessions() {
    let (client, server) = pair_with(client_options(), deciding()).await;
    for is_dropped in [false, true] {
        let refusing = async {
            let session = next_session(&server).await;
            if !is_dropped {
                session.refuse(error(ErrorCondition::UNAUTHORIZED_ACCESS, "not today"));
            }
        };
        let (begun, ()) = tokio::join!(client.begin(SessionOptions::new()), refusing);
        let Err(OpenError::Refused(error)) = begun else { panic!("{begun:?}") };
        let expected =
            if is_dropped { ErrorCondition::INTERNAL_ERROR } else { ErrorCondition::UNAUTHORIZED_ACCESS };
        assert_eq!(error.condition, expected);
    }
    // One that the peer gives up while nobody decides is nothing to answer.
    let begun = tokio::time::timeout(Duration::from_millis(5), client.begin(SessionOptions::new())).await;
    assert!(begun.is_err());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(is_stuck(&mut Box::pin(server.next())).await);
    assert!(client.is_open());
}

// A peer may attach before it knows whether its session is wanted.
#[tokio::test(start_paused = true)]
async fn links_wait_for_the_answer_to_their_session() {
    let (near, far) = tokio::io::duplex(PIPE);
    let mut frames = BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
    encode_frame(&mut frames, 0, &Open::new("peer"), &[]);
    for channel in [0, 1] {
        let begin = Begin { incoming_window: 100, outgoing_window: 100, ..Begin::default() };
        encode_frame(&mut frames, channel, &begin, &[]);
        let mut attach = Attach::new(format!("s{channel}"), 0, Role::Receiver);
        attach.source = Some(Source::new("/x"));
        attach.target = Some(Target::new("/y").into());
        encode_frame(&mut frames, channel, &attach, &[]);
    }
    let mut near = near;
    near.write_all(&frames).await.unwrap();
    let server = ServerConnection::over(far, &deciding()).await.unwrap();
    let first = next_session(&server).await;
    let second = next_session(&server).await;
    let mut waiting = Box::pin(server.next());
    assert!(is_stuck(&mut waiting).await, "neither session is answered");
    let id = second.accept(SessionOptions::new()).unwrap();
    let Incoming::Attach(attach) = waiting.await.unwrap() else { panic!("no attach") };
    assert_eq!((attach.session_id(), attach.attach().name.as_str()), (id, "s1"));
    attach.accept_sender(AcceptOptions::new()).unwrap();
    first.refuse(error(ErrorCondition::NOT_ALLOWED, "one is enough"));
    let mut waiting = Box::pin(server.next());
    assert!(is_stuck(&mut waiting).await, "the link went with its session");
}
