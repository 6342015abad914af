//! Receivers as streams and senders as sinks.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use amqp_codec::{Message, Outcome, ReceiverSettleMode};
use amqp_transport::client::SinkError;
use amqp_transport::server::AcceptOptions;
use amqp_transport::{CreditMode, ReceiverOptions, RecvError, SendError, SenderOptions, Settling};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::time::timeout;

use crate::cancelling::dropped_after;
use crate::support::*;

pub(crate) async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

pub(crate) async fn feed<S: Sink<Message> + Unpin>(sink: &mut S, message: Message) -> Result<(), S::Error> {
    poll_fn(|cx| Pin::new(&mut *sink).poll_ready(cx)).await?;
    Pin::new(sink).start_send(message)
}

pub(crate) async fn flush<S: Sink<Message> + Unpin>(sink: &mut S) -> Result<(), S::Error> {
    poll_fn(|cx| Pin::new(&mut *sink).poll_flush(cx)).await
}

pub(crate) async fn close<S: Sink<Message> + Unpin>(sink: &mut S) -> Result<(), S::Error> {
    poll_fn(|cx| Pin::new(&mut *sink).poll_close(cx)).await
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_every_message_and_ends_with_the_link() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (receiver, sender) =
        receiving(&session, &server, ReceiverOptions::new("r", "q"), AcceptOptions::new()).await;
    // A borrowing stream that is dropped while it waits leaves its place to the next.
    let mut borrowed = receiver.deliveries();
    assert!(dropped_after(1, next(&mut borrowed)).await.is_none());
    drop(borrowed);
    let mut stream = receiver.into_deliveries();
    for number in 0..3 {
        drop(sender.send_with_receipt(&numbered(number)).await.unwrap());
        assert!(dropped_after(0, next(&mut stream)).await.is_none());
        let delivery = next(&mut stream).await.unwrap().unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), number);
        delivery.accept().unwrap();
    }
    sender.detach().await.unwrap();
    assert!(matches!(next(&mut stream).await, Some(Err(RecvError::Detached(_)))));
    assert!(next(&mut stream).await.is_none(), "after its error it is over");
    let (receiver, _sender) =
        receiving(&session, &server, ReceiverOptions::new("r2", "q"), AcceptOptions::new()).await;
    let mut stream = receiver.into_deliveries();
    stream.receiver().detach().await.unwrap();
    assert!(next(&mut stream).await.is_none(), "this side's own end is no error");
}

#[tokio::test(start_paused = true)]
async fn a_sink_hands_over_in_order_waits_for_outcomes_and_detaches() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(2));
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "q"), accept).await;
    let taking = tokio::spawn(async move {
        let mut numbers = Vec::new();
        while let Ok(delivery) = receiver.recv().await {
            numbers.push(number_of(&delivery.message().unwrap()));
            delivery.accept().unwrap();
        }
        numbers
    });
    let mut sink = sender.into_sink();
    for number in 0..2_500 {
        feed(&mut sink, numbered(number)).await.unwrap();
    }
    flush(&mut sink).await.unwrap();
    assert_eq!(client.stats().undecided_messages, 0, "flushed is settled");
    close(&mut sink).await.unwrap();
    assert_eq!(taking.await.unwrap(), (0..2_500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_sink_tells_what_was_not_accepted_and_loses_no_message_to_a_caller_in_a_hurry() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Manual);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "q"), accept).await;
    let mut sink = sender.into_sink();
    feed(&mut sink, numbered(1)).await.unwrap();
    let hurried = Pin::new(&mut sink).start_send(numbered(2));
    assert!(matches!(hurried, Err(SinkError::Send(SendError::WouldBlock(_)))), "{hurried:?}");
    // Flushing can be given up and taken up again.
    assert!(timeout(Duration::from_secs(1), flush(&mut sink)).await.is_err());
    receiver.add_credit(2).unwrap();
    let rejecting = async { receiver.recv().await.unwrap().reject(None).unwrap() };
    let (flushed, ()) = tokio::join!(flush(&mut sink), rejecting);
    assert!(matches!(flushed, Err(SinkError::NotAccepted(Outcome::Rejected(None)))), "{flushed:?}");
    // One that waits for credit is not sent when the sink goes.
    feed(&mut sink, numbered(3)).await.unwrap();
    drop(sink);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(receiver.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_batch_tells_the_end_of_each_message() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(2)).max_message_size(200);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "q"), accept).await;
    let serving = async {
        let mut taken = 0;
        while taken < 3 {
            for delivery in receiver.recv_many(2).await.unwrap() {
                taken += 1;
                match number_of(&delivery.message().unwrap()) {
                    2 => delivery.reject(None).unwrap(),
                    _ => delivery.accept().unwrap(),
                }
            }
        }
    };
    let messages = [numbered(1), Message::data(vec![0; 500]), numbered(2), numbered(3)];
    let (ends, ()) = tokio::join!(sender.send_all(&messages), serving);
    assert!(
        matches!(
            &ends[..],
            [
                Ok(Outcome::Accepted),
                Err(SendError::TooLarge { .. }),
                Ok(Outcome::Rejected(None)),
                Ok(Outcome::Accepted)
            ]
        ),
        "{ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn more_messages_than_the_credit_end_on_a_link_that_its_application_settles() {
    for uses_sink in [false, true] {
        let (client, server) = pair().await;
        let session = session(&client).await;
        let options = ReceiverOptions::new("r", "q")
            .rcv_settle_mode(ReceiverSettleMode::Second)
            .credit(CreditMode::Manual);
        let accept = AcceptOptions::new().settling(Settling::ByApplication);
        let (receiver, sender) = receiving(&session, &server, options, accept).await;
        receiver.add_credit(2).unwrap();
        let taking = async {
            for number in 0..10 {
                let delivery = receiver.recv().await.unwrap();
                assert_eq!(number_of(&delivery.message().unwrap()), number);
                // Room for the next only when this one is settled.
                delivery.accept_confirmed().await.unwrap();
                // After the last one the sender may be gone.
                let _ = receiver.add_credit(1);
            }
        };
        let messages: Vec<Message> = (0..10).map(numbered).collect();
        let sending = async {
            if uses_sink {
                let mut sink = sender.into_sink();
                for message in messages {
                    feed(&mut sink, message).await.unwrap();
                }
                flush(&mut sink).await.unwrap();
            } else {
                let ends = sender.send_all(&messages).await;
                assert!(ends.iter().all(|end| matches!(end, Ok(Outcome::Accepted))), "{ends:?}");
            }
        };
        let both = async { tokio::join!(sending, taking) };
        timeout(Duration::from_secs(60), both).await.expect("neither waits for the other");
    }
}
