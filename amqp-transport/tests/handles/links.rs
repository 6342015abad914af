//! Attaching, refusing, redirecting and detaching links.

use std::time::Duration;

use amqp_codec::{ErrorCondition, Role, SenderSettleMode, Source, Target};
use amqp_transport::client::{AttachError, DetachReason, EndReason, ReceiverOptions, SenderOptions};
use amqp_transport::server::AcceptOptions;
use amqp_transport::{Redirect, SendError};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_server_sees_what_is_asked_and_answers_what_it_likes() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = SenderOptions::new("up", "/telemetry").snd_settle_mode(SenderSettleMode::Unsettled);
    let accepting = async {
        let attach = next_attach(&server).await;
        assert_eq!((&*attach.attach().name, attach.attach().role), ("up", Role::Sender));
        attach.accept_receiver(AcceptOptions::new().max_message_size(1000)).unwrap()
    };
    let (sender, receiver) = tokio::join!(session.attach_sender(options), accepting);
    let sender = sender.unwrap();
    assert_eq!(sender.name(), "up");
    assert_eq!(sender.max_message_size(), Some(1000));
    assert!(sender.is_attached() && receiver.is_attached());
    let too_large = amqp_codec::Message::data(vec![0; 2000]);
    assert!(matches!(sender.send(&too_large).await, Err(SendError::TooLarge { limit: 1000, .. })));
    sender.detach().await.unwrap();
    sender.detach().await.unwrap();
    assert!(matches!(sender.detached().await, DetachReason::Local));
    assert!(matches!(receiver.recv().await, Err(amqp_transport::RecvError::Detached(DetachReason::ByPeer))));
    assert!(matches!(sender.send(&numbered(1)).await, Err(SendError::Detached(DetachReason::Local))));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_reaches_the_client_whole() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let refusing =
        async { next_attach(&server).await.refuse(error(ErrorCondition::NOT_FOUND, "no such node")) };
    let (refused, ()) =
        tokio::join!(session.attach_receiver(ReceiverOptions::new("r", "/nowhere")), refusing);
    let AttachError::Refused(remote) = refused.unwrap_err() else { panic!("not refused") };
    assert_eq!(remote.condition, ErrorCondition::NOT_FOUND);
    assert_eq!(remote.description.as_deref(), Some("no such node"));
    // L-007: the session goes on, and so does the name.
    let accept = receiving(&session, &server, ReceiverOptions::new("r", "/here"), AcceptOptions::new());
    assert!(accept.await.0.is_attached());
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_parsed() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let redirecting = async {
        let redirect =
            Redirect::new("10.0.0.1", 5671).with_hostname("other.example").with_address("hub/events");
        next_attach(&server).await.redirect(redirect);
    };
    let (refused, ()) =
        tokio::join!(session.attach_receiver(ReceiverOptions::new("r", "/events")), redirecting);
    let refused = refused.unwrap_err();
    let words = "the peer redirects the link to other.example, port 5671, address hub/events";
    assert_eq!(refused.to_string(), words);
    let AttachError::Redirect(redirect) = refused else { panic!("no redirect") };
    assert_eq!(redirect.hostname.as_deref(), Some("other.example"));
    assert_eq!((redirect.network_host.as_deref(), redirect.port), (Some("10.0.0.1"), Some(5671)));
    assert_eq!(redirect.address.as_deref(), Some("hub/events"));
}

#[tokio::test(start_paused = true)]
async fn an_attach_nobody_answers_is_refused() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let ignoring = async { drop(next_attach(&server).await) };
    let (refused, ()) = tokio::join!(session.attach_sender(SenderOptions::new("s", "/x")), ignoring);
    assert!(matches!(refused, Err(AttachError::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn a_detach_with_an_error_ends_waiting_senders_and_receivers() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let no_credit = AcceptOptions::new().credit(amqp_transport::CreditMode::Manual);
    let (sender, far_receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), no_credit).await;
    let (receiver, far_sender) =
        receiving(&session, &server, ReceiverOptions::new("r", "/y"), AcceptOptions::new()).await;
    let message = numbered(1);
    let forced = || error(ErrorCondition::DETACH_FORCED, "idle");
    let detaching = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (a, b) =
            tokio::join!(far_receiver.detach_with_error(forced()), far_sender.detach_with_error(forced()));
        a.unwrap();
        b.unwrap();
    };
    let (sent, received, ()) = tokio::join!(sender.send(&message), receiver.recv(), detaching);
    let sent = sent.unwrap_err();
    assert!(matches!(&sent, SendError::Detached(DetachReason::Remote(_))) && sent.is_not_sent(), "{sent}");
    assert!(sent.is_retryable());
    let received = received.unwrap_err();
    assert_eq!(received.remote().unwrap().condition, ErrorCondition::DETACH_FORCED);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_link_detaches_it() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, far) = sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    drop(sender);
    assert!(matches!(far.detached().await, DetachReason::ByPeer));
}

#[tokio::test(start_paused = true)]
async fn ending_a_session_ends_its_links() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, far) = sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    session.end().await.unwrap();
    assert!(matches!(far.detached().await, DetachReason::SessionEnded(EndReason::ByPeer)));
    assert!(matches!(sender.detached().await, DetachReason::SessionEnded(EndReason::Local)));
    assert!(matches!(sender.send(&numbered(1)).await, Err(SendError::Detached(_))));
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_attach_is_dropped_is_detached() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    {
        let mut attaching = Box::pin(session.attach_sender(SenderOptions::new("s", "/x")));
        assert!(is_stuck(&mut attaching).await);
    }
    // The peer has taken it back before anyone answered; whoever answers now finds it gone or detached.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let accepting = async {
        loop {
            let attach = next_attach(&server).await;
            let is_second = &*attach.attach().name == "s2";
            let accepted = attach.accept_receiver(AcceptOptions::new());
            if is_second {
                return accepted.unwrap();
            }
        }
    };
    let (sender, _far) = tokio::join!(session.attach_sender(SenderOptions::new("s2", "/x")), accepting);
    let sender = sender.unwrap();
    assert!(sender.is_attached());
}

#[tokio::test(start_paused = true)]
async fn many_links_attach_at_once() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let serving = tokio::spawn(async move {
        let mut links = Vec::new();
        for _ in 0..200 {
            links.push(next_attach(&server).await.accept_receiver(AcceptOptions::new()).unwrap());
        }
        (server, links)
    });
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let session = session.clone();
            let options = SenderOptions::new(format!("link-{number}"), Target::new(format!("/{number}")))
                .source(Source::new("here"));
            tokio::spawn(async move { session.attach_sender(options).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().is_attached());
    }
    let (_server, links) = serving.await.unwrap();
    assert_eq!(links.len(), 200);
}

// L-007: the answer repeats what was asked for, and does not fit into the frames of who asked.
#[tokio::test(start_paused = true)]
async fn an_attach_whose_answer_does_not_fit_is_refused_and_not_left_open() {
    let (near, far) = tokio::io::duplex(PIPE);
    let options = client_options().max_frame_size(512);
    let (client, server) = pair_over(near, far, options, server_options()).await;
    let session = session(&client).await;
    let attaching = session.attach_receiver(ReceiverOptions::new("r", "/x".repeat(400)));
    let accepting = async { next_attach(&server).await.accept_sender(AcceptOptions::new()) };
    let (attached, accepted) = tokio::join!(attaching, accepting);
    assert!(matches!(accepted, Err(AttachError::Invalid(_))));
    assert!(matches!(attached, Err(AttachError::Refused(_))));
}
