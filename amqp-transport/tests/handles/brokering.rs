//! What a broker needs of the server: nodes made on request, answers that say what is in effect, drains it answers itself.

use std::time::Duration;

use amqp_codec::{DistributionMode, Source, Symbol, Target, TargetArchetype};
use amqp_transport::client::{CreditMode, ReceiverOptions, SenderOptions};
use amqp_transport::server::{AcceptOptions, Draining};
use amqp_transport::{AttachError, SendError, Settlement};

use crate::support::*;

fn dynamic_source() -> Source {
    Source { dynamic: true, ..Source::default() }
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_node_has_the_address_that_this_side_gives_it() {
    // L-045, L-046
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("replies", dynamic_source());
    let accepting = async {
        let attach = next_attach(&server).await;
        assert!(attach.is_dynamic());
        assert_eq!(attach.address(), None);
        attach.accept_sender(AcceptOptions::new().address("made-1")).unwrap()
    };
    let (receiver, _sender) = tokio::join!(session.attach_receiver(options), accepting);
    let source = receiver.unwrap().remote_attach().unwrap().source.unwrap();
    assert_eq!((source.address.as_deref(), source.dynamic), (Some("made-1"), true));

    let options = SenderOptions::new("events", Target { dynamic: true, ..Target::default() });
    let accepting = async {
        let attach = next_attach(&server).await;
        assert!(attach.is_dynamic());
        attach.accept_receiver(AcceptOptions::new().address("made-2")).unwrap()
    };
    let (sender, _receiver) = tokio::join!(session.attach_sender(options), accepting);
    let attach = sender.unwrap().remote_attach().unwrap();
    assert_eq!(attach.target.as_ref().and_then(TargetArchetype::address).map(|it| &**it), Some("made-2"));
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_node_without_an_address_is_refused() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("replies", dynamic_source());
    let accepting = async {
        let refused = next_attach(&server).await.accept_sender(AcceptOptions::new()).unwrap_err();
        assert!(matches!(refused, AttachError::Invalid(_)), "{refused}");
    };
    let (receiver, ()) = tokio::join!(session.attach_receiver(options), accepting);
    assert!(matches!(receiver.unwrap_err(), AttachError::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_shows_the_filters_and_capabilities_that_are_in_effect() {
    // L-010, L-050
    let (client, server) = pair().await;
    let session = session(&client).await;
    let mut source = Source::new("q");
    source.capabilities = ["queue", "shared"].map(Symbol::from_static).into_iter().collect();
    let options = ReceiverOptions::new("r", source)
        .filter("selector", "apache.org:selector-filter:string", "a = 1")
        .filter("no-local", "apache.org:no-local-filter:list", "x");
    let accept = AcceptOptions::new()
        .filters([Symbol::from_static("selector")])
        .node_capabilities([Symbol::from_static("queue"), Symbol::from_static("topic")]);
    let (receiver, _sender) = receiving(&session, &server, options, accept).await;
    let source = receiver.remote_attach().unwrap().source.unwrap();
    assert_eq!(source.address.as_deref(), Some("q"));
    let filter = source.filter.unwrap();
    assert!(filter.contains_key("selector") && !filter.contains_key("no-local"), "{filter:?}");
    assert!(source.capabilities.contains_symbol("queue"));
    assert!(!source.capabilities.contains_symbol("shared") && !source.capabilities.contains_symbol("topic"));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_moves_its_messages_does_not_say_that_it_copies_them() {
    // L-010
    let (client, server) = pair().await;
    let session = session(&client).await;
    let mut source = Source::new("q");
    source.distribution_mode = Some(DistributionMode::COPY);
    for (accept, told) in [
        (AcceptOptions::new().distribution_mode(DistributionMode::MOVE), DistributionMode::MOVE),
        (AcceptOptions::new(), DistributionMode::COPY),
    ] {
        let options = ReceiverOptions::new("r", source.clone());
        let (receiver, _sender) = receiving(&session, &server, options, accept).await;
        assert_eq!(receiver.remote_attach().unwrap().source.unwrap().distribution_mode, Some(told));
        receiver.detach().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_answered_after_the_application_has_sent_what_it_has() {
    // L-025
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "q").credit(CreditMode::Manual);
    let accept = AcceptOptions::new().draining(Draining::ByApplication);
    let (receiver, sender) = receiving(&session, &server, options, accept).await;
    receiver.add_credit(10).unwrap();
    let mut drained = Box::pin(receiver.drain());
    assert!(is_stuck(&mut drained).await, "nobody has said that there is nothing more to send");
    for number in 0..3 {
        sender.ready().await.unwrap();
        let payload = amqp_codec::to_bytes(&numbered(number));
        drop(sender.try_send_encoded(payload, 0, Settlement::Settled).unwrap());
    }
    let idle = tokio::time::timeout(Duration::from_secs(1), sender.idle());
    let (drained, idle) = tokio::join!(drained, idle);
    drained.unwrap();
    assert!(idle.is_err(), "an idle sender waits for the end of the link");
    for number in 0..3 {
        assert_eq!(number_of(&receiver.try_recv().unwrap().message().unwrap()), number);
    }
    assert_eq!(sender.credit(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_answered_when_the_credit_is_used_up_and_while_idle() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "q").credit(CreditMode::Manual);
    let accept = AcceptOptions::new().draining(Draining::ByApplication);
    let (receiver, sender) = receiving(&session, &server, options, accept).await;
    let giving = tokio::spawn(async move {
        for number in 0..2 {
            sender.ready().await.unwrap();
            drop(sender.try_send(&numbered(number)).unwrap());
        }
        // No credit is left: this wait answers.
        let waiting = tokio::time::timeout(Duration::from_secs(5), sender.ready());
        assert!(waiting.await.is_err());
        sender.idle().await.unwrap_err()
    });
    receiver.add_credit(2).unwrap();
    receiver.drain().await.unwrap();
    assert_eq!(receiver.waiting(), 2);
    tokio::time::sleep(Duration::from_secs(10)).await;
    receiver.add_credit(5).unwrap();
    receiver.drain().await.unwrap();
    receiver.detach().await.unwrap();
    assert!(matches!(giving.await.unwrap(), SendError::Detached(_)));
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_not_ready_while_the_session_window_is_closed() {
    let window = amqp_transport::client::SessionOptions::new().incoming_window(2);
    let (client, server) = pair().await;
    let session = client.begin(window).await.unwrap();
    let options = ReceiverOptions::new("r", "q").credit(CreditMode::Auto(100));
    let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
    // The window is renewed as frames arrive, so that it closes only within one turn of this task.
    sender.ready().await.unwrap();
    for number in 0..2 {
        drop(sender.try_send(&numbered(number)).unwrap());
    }
    let mut ready = Box::pin(sender.ready());
    assert!(futures_poll(&mut ready).await.is_none(), "credit is there, the window is closed");
    ready.await.unwrap();
    assert_eq!(receiver.waiting(), 2);
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
