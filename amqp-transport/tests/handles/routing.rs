//! What a node built on a listener does with what it is asked: names made up, filters left out, messages without a
//! place to go. And what becomes of waits when the stream breaks in the middle.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use amqp_codec::{DeliveryState, ErrorCondition, Message, Modified, Outcome, Source, Target};
use amqp_transport::client::{CreditMode, ReceiverOptions, SenderOptions};
use amqp_transport::server::{AcceptOptions, ServerConnection};
use amqp_transport::{Connection, RecvError, SendError};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::support::*;

// Scenario 80, L-045: the server makes the node and names it; answers sent there find whoever asked.
#[tokio::test(start_paused = true)]
async fn a_node_made_for_the_answers_takes_them() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let dynamic = Source { dynamic: true, ..Source::default() };
    let made = Source { dynamic: true, ..Source::new("node-1") };
    let accept = AcceptOptions::new().source(made);
    let (answers, to_client) =
        receiving(&session, &server, ReceiverOptions::new("answers", dynamic), accept).await;
    let name = answers.remote_attach().unwrap().source.as_ref().unwrap().address.clone().unwrap();
    assert_eq!(&*name, "node-1");

    let (asking, asked) =
        sending(&session, &server, SenderOptions::new("ask", "/service"), AcceptOptions::new()).await;
    let serving = async {
        let request = asked.recv().await.unwrap();
        let message = request.message().unwrap();
        let properties = message.properties.as_ref().unwrap();
        assert_eq!(properties.reply_to.as_deref(), Some("node-1"));
        let answer = Message::data("pong").with_correlation_id(properties.message_id.clone().unwrap());
        request.accept().unwrap();
        to_client.send_settled(&answer).await.unwrap();
    };
    let request = Message::data("ping").with_message_id(7_u64).with_reply_to(name);
    let (sent, ()) = tokio::join!(asking.send(&request), serving);
    assert_eq!(sent.unwrap(), Outcome::Accepted);
    let answer = answers.recv().await.unwrap().message().unwrap();
    assert_eq!(answer.body_bytes().unwrap(), "pong");
    assert_eq!(answer.properties.as_ref().unwrap().correlation_id, Some(7_u64.into()));
}

// Scenario 82, L-050, L-051: filters are described; the answer shows the filters in force, so that one left out is seen before a message comes.
#[tokio::test(start_paused = true)]
async fn a_filter_that_is_not_in_force_is_missing_from_the_answer() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/q").filter("known", "example:known", "a").filter(
        "other",
        "example:other",
        "b",
    );
    let accepting = async {
        let attach = next_attach(&server).await;
        let mut granted = attach.attach().source.clone().unwrap();
        let asked = granted.filter.as_ref().unwrap();
        assert!(asked.iter().all(|(_, filter)| filter.as_described().is_some()), "{asked:?}");
        granted.filter.as_mut().unwrap().remove("other");
        attach.accept_sender(AcceptOptions::new().source(granted)).unwrap()
    };
    let (receiver, _sender) = tokio::join!(session.attach_receiver(options), accepting);
    let receiver = receiver.unwrap();
    let answer = receiver.remote_attach().unwrap();
    let filters = answer.source.as_ref().unwrap().filter.as_ref().unwrap();
    assert!(filters.get("known").is_some() && filters.get("other").is_none());
}

// Scenario 83, EX-003: a message that can go nowhere is rejected by itself; where rejecting is not agreed on, the link ends.
#[tokio::test(start_paused = true)]
async fn a_message_that_can_go_nowhere_is_rejected_or_ends_the_link() {
    for may_reject in [true, false] {
        let (client, server) = pair().await;
        let session = session(&client).await;
        let options = SenderOptions::new("anonymous", Target::default());
        let (sender, receiver) = sending(&session, &server, options, AcceptOptions::new()).await;
        let routing = async {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(
                delivery.message().unwrap().properties.as_ref().unwrap().to.as_deref(),
                Some("/nowhere")
            );
            let why = error(ErrorCondition::NOT_FOUND, "no such node");
            if may_reject {
                delivery.reject(Some(why)).unwrap();
            } else {
                let _ = receiver.detach_with_error(why).await;
            }
        };
        let message = Message::data("x").with_to("/nowhere");
        let (sent, ()) = tokio::join!(sender.send(&message), routing);
        match sent {
            Ok(Outcome::Rejected(Some(why))) => {
                assert!(may_reject && why.condition == ErrorCondition::NOT_FOUND && sender.is_attached());
            }
            Err(SendError::OutcomeUnknown(reason)) => {
                assert!(!may_reject && !sender.is_attached());
                assert_eq!(reason.remote().unwrap().condition, ErrorCondition::NOT_FOUND);
            }
            other => panic!("{other:?}"),
        }
    }
}

// Scenario 89, M-029: a message that failed once is sent again with what was said of the failure.
#[tokio::test(start_paused = true)]
async fn a_failed_message_can_be_sent_again_with_its_count() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (receiver, sender) =
        receiving(&session, &server, ReceiverOptions::new("r", "/q"), AcceptOptions::new()).await;
    let modified = Modified {
        delivery_failed: Some(true),
        undeliverable_here: None,
        message_annotations: Some(amqp_codec::Fields::new().with("x-opt-why", "busy")),
    };
    let serving = async {
        let mut message = Message::data("x");
        let Outcome::Modified(said) = sender.send(&message).await.unwrap() else { panic!("not modified") };
        let delivery_count = u32::from(said.delivery_failed == Some(true));
        message.header = Some(amqp_codec::Header { delivery_count, ..amqp_codec::Header::default() });
        for (key, value) in said.message_annotations.into_iter().flatten() {
            message = message.with_message_annotation(key, value);
        }
        sender.send(&message).await.unwrap()
    };
    let taking = async {
        receiver.recv().await.unwrap().modify(modified.clone()).unwrap();
        let again = receiver.recv().await.unwrap();
        let message = again.message().unwrap();
        assert_eq!(message.header.as_ref().unwrap().delivery_count, 1);
        let annotations = message.message_annotations.as_ref().unwrap();
        assert!(
            annotations
                .iter()
                .any(|(key, value)| key.to_string() == "x-opt-why" && value.as_str() == Some("busy"))
        );
        again.accept().unwrap();
    };
    let (outcome, ()) = tokio::join!(serving, taking);
    assert_eq!(DeliveryState::from(outcome), DeliveryState::Accepted);
}

// Scenario 90: dispositions wait in a batch when the stream breaks; whoever receives hears of the loss.
#[tokio::test(start_paused = true)]
async fn a_loss_while_dispositions_wait_ends_the_receiver() {
    let (client, server, is_broken) = breakable_pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/q").max_message_size(1_000);
    let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
    for number in 0..50 {
        drop(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    for _ in 0..50 {
        let delivery = receiver.recv().await.unwrap();
        is_broken.store(true, Ordering::SeqCst);
        let _ = delivery.accept();
    }
    let waiting = tokio::time::timeout(Duration::from_secs(60), receiver.recv()).await;
    assert!(matches!(waiting, Ok(Err(RecvError::Lost(_)))), "{waiting:?}");
}

// Scenario 21: the stream fails under our close: the close ends, with what happened.
#[tokio::test(start_paused = true)]
async fn a_write_that_fails_under_a_close_ends_it() {
    let (client, _server, is_broken) = breakable_pair().await;
    is_broken.store(true, Ordering::SeqCst);
    let closed = tokio::time::timeout(Duration::from_secs(60), client.close()).await;
    assert!(closed.is_ok(), "the close waits for a stream that is gone");
    assert!(!client.is_open());
}

// Scenario 93: links come and go from many tasks at once, and the session carries on.
#[tokio::test(start_paused = true)]
async fn links_come_and_go_from_many_tasks() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let serving = tokio::spawn(async move {
        while let Ok(incoming) = server.next().await {
            if let amqp_transport::server::Incoming::Attach(attach) = incoming {
                // Given up meanwhile: nobody's loss.
                let Ok(receiver) = attach.accept_receiver(AcceptOptions::new()) else { continue };
                tokio::spawn(async move {
                    while let Ok(delivery) = receiver.recv().await {
                        let _ = delivery.accept();
                    }
                });
            }
        }
    });
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let session = session.clone();
            tokio::spawn(async move {
                for round in 0..10_u32 {
                    let options = SenderOptions::new(format!("link-{task}"), "/q");
                    let sender = session.attach_sender(options).await.unwrap();
                    assert_eq!(sender.send(&numbered(round)).await.unwrap(), Outcome::Accepted);
                    if round % 2 == 0 {
                        sender.detach().await.unwrap();
                    } else {
                        drop(sender);
                        // The name is free once the detach is answered.
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    client.close().await.unwrap();
    serving.await.unwrap();
}

// Scenario 94, L-028: without credit nothing comes; a wait that is given up takes no message with it.
#[tokio::test(start_paused = true)]
async fn a_wait_without_credit_takes_nothing_with_it() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/q").credit(CreditMode::Manual);
    let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
    let message = numbered(1);
    let mut sending = Box::pin(sender.send_settled(&message));
    assert!(is_stuck(&mut sending).await);
    let mut waiting = Box::pin(receiver.recv());
    assert!(is_stuck(&mut waiting).await);
    drop(waiting);
    // One message asked for, and given up by a drain where none is there.
    receiver.add_credit(1).unwrap();
    sending.await.unwrap();
    let delivery = receiver.recv().await.unwrap();
    assert_eq!(number_of(&delivery.message().unwrap()), 1);
    receiver.add_credit(1).unwrap();
    receiver.drain().await.unwrap();
    assert!(receiver.try_recv().is_none());
}

/// A client and a server; once the flag is set the client's stream can neither be read nor written.
async fn breakable_pair() -> (Connection, ServerConnection, Arc<AtomicBool>) {
    let (near, far) = tokio::io::duplex(PIPE);
    let is_broken = Arc::new(AtomicBool::new(false));
    let near = Breakable { stream: near, is_broken: Arc::clone(&is_broken) };
    let options = server_options();
    let (client, server) =
        tokio::join!(Connection::over(near, client_options()), ServerConnection::over(far, &options));
    (client.unwrap(), server.unwrap(), is_broken)
}

struct Breakable {
    stream: DuplexStream,
    is_broken: Arc<AtomicBool>,
}

impl Breakable {
    fn check(&self) -> io::Result<()> {
        if self.is_broken.load(Ordering::SeqCst) {
            Err(io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
