//! Sessions about which a listener's application decides.

use std::time::Duration;

use amqp_codec::{Attach, Begin, ErrorCondition, Fields, Open, Role, Source, Symbol, Target, encode_frame};
use amqp_transport::client::{OpenError, SenderOptions, SessionOptions};
use amqp_transport::server::{
    AcceptOptions, DecidesSessions, Incoming, IncomingSession, ListenerOptions, ServerConnection,
};
use amqp_transport::{DetachReason, EndReason};
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
        session.accept(SessionOptions::new().incoming_window(7)).unwrap().id()
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
    must_end_within(PAUSED);
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
    let id = second.accept(SessionOptions::new()).unwrap().id();
    let Incoming::Attach(attach) = waiting.await.unwrap() else { panic!("no attach") };
    assert_eq!((attach.session_id(), attach.attach().name.as_str()), (id, "s1"));
    attach.accept_sender(AcceptOptions::new()).unwrap();
    first.refuse(error(ErrorCondition::NOT_ALLOWED, "one is enough"));
    let mut waiting = Box::pin(server.next());
    assert!(is_stuck(&mut waiting).await, "the link went with its session");
}

// S-027: the client is shown the answer, and each side holds the same session.
#[tokio::test(start_paused = true)]
async fn a_listener_watches_and_ends_a_session_that_it_accepted() {
    let (client, server) = pair_with(client_options(), deciding()).await;
    let accepting = async {
        let properties = Fields::default().with(Symbol::from_static("node"), "n7");
        let options = SessionOptions::new().incoming_window(7).properties(properties);
        next_session(&server).await.accept(options).unwrap()
    };
    let options = SessionOptions::new().incoming_window(33);
    let (theirs, ours) = tokio::join!(client.begin(options), accepting);
    let theirs = theirs.unwrap();
    let begin = theirs.remote_begin().unwrap();
    assert_eq!(begin.incoming_window, 7);
    assert!(begin.properties.as_ref().is_some_and(|all| all.get("node").is_some()));
    assert_eq!(ours.remote_begin().unwrap().incoming_window, 33);
    assert_eq!(ours.stats().unwrap().remote_incoming_window, 33);
    // Handles come and go, the session stays.
    drop(ours.clone());
    let (_sender, receiver) =
        sending(&theirs, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let reason = error(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, "enough");
    let (ended, told) = tokio::join!(ours.end_with_error(reason), theirs.ended());
    ended.unwrap();
    let EndReason::Remote(told) = told else { panic!("{told:?}") };
    assert_eq!(told.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert!(matches!(ours.ended().await, EndReason::Local));
    let link = receiver.detached().await;
    assert!(matches!(link, DetachReason::SessionEnded(EndReason::Local)), "{link:?}");
    assert!(ours.stats().is_none() && client.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_decide_has_the_session_of_each_link() {
    let (client, server) = pair().await;
    let theirs = session(&client).await;
    let accepting = async {
        let attach = next_attach(&server).await;
        let ours = attach.session().clone();
        assert_eq!(ours.id(), attach.session_id());
        (attach.accept_receiver(AcceptOptions::new()).unwrap(), ours)
    };
    let (sender, (receiver, ours)) =
        tokio::join!(theirs.attach_sender(SenderOptions::new("s", "/x")), accepting);
    let sender = sender.unwrap();
    assert_eq!(ours.stats().unwrap().unsettled_incoming, 0);
    assert!(ours.remote_begin().is_none() && theirs.remote_begin().is_some());
    // Without a handle at the listener, the session goes on.
    let id = ours.id();
    drop(ours);
    let sent = tokio::spawn(async move { (sender.send(&numbered(1)).await, sender) });
    receiver.recv().await.unwrap().accept().unwrap();
    let (outcome, _sender) = sent.await.unwrap();
    outcome.unwrap();
    // The next link brings the same one, and its end is known there.
    let accepting = async { next_attach(&server).await.session().clone() };
    let attaching = theirs.attach_sender(SenderOptions::new("t", "/x"));
    let (refused, ours) = tokio::join!(attaching, accepting);
    assert!(refused.is_err(), "nobody answered it");
    assert_eq!(ours.id(), id);
    let reason = error(ErrorCondition::INTERNAL_ERROR, "lost it");
    let (ended, told) = tokio::join!(theirs.end_with_error(reason), ours.ended());
    ended.unwrap();
    assert!(matches!(&told, EndReason::Remote(error) if error.condition == ErrorCondition::INTERNAL_ERROR));
    // A listener keeps nothing of what is over.
    let begun = session(&client).await;
    let accepting = async { next_attach(&server).await.session().clone() };
    let (_, next) = tokio::join!(begun.attach_sender(SenderOptions::new("u", "/x")), accepting);
    assert!(matches!(ours.ended().await, EndReason::Remote(_)) && next.stats().is_some());
}

// The answer was lost in silence, and the next frame of the session cost the connection.
#[tokio::test(start_paused = true)]
async fn a_session_whose_answer_fits_no_frame_of_the_peers_was_never_answered() {
    for who in [DecidesSessions::Application, DecidesSessions::Library] {
        let long = Fields::default().with(Symbol::from_static("tenant"), "x".repeat(1_000));
        let large = || SessionOptions::new().properties(long.clone());
        let (client, server) = pair_with(
            client_options().max_frame_size(512),
            server_options().session(large()).decides_sessions(who),
        )
        .await;
        let accepting = async {
            if who == DecidesSessions::Application {
                let accepted = next_session(&server).await.accept(large());
                assert!(matches!(accepted, Err(OpenError::Limit(_))), "{accepted:?}");
            }
        };
        let (begun, ()) = tokio::join!(client.begin(SessionOptions::new()), accepting);
        let Err(OpenError::Refused(error)) = begun else { panic!("{begun:?}") };
        assert_eq!(error.condition, ErrorCondition::FRAME_SIZE_TOO_SMALL);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(client.is_open() && server.connection().is_open());
        assert_eq!((client.stats().engine.sessions, server.connection().stats().engine.sessions), (0, 0));
    }
}
