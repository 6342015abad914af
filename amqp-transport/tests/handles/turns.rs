//! Who works when: application, driver and peer at the same time, not one after the other. All tasks share one thread
//! here, so that every turn is one that was given.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use amqp_codec::Message;
use amqp_transport::client::{CreditMode, SenderOptions};
use amqp_transport::server::AcceptOptions;

use crate::support::{client_options, number_of, numbered, pair_over, sending, server_options, session};

/// Octets of a pipe that holds a whole burst.
const WIDE: usize = 16 * 1024 * 1024;
const CREDIT: u32 = 2_000;

#[tokio::test(start_paused = true)]
async fn a_sender_with_much_credit_lets_its_peer_work_before_it_has_sent_it_all() {
    let (near, far) = tokio::io::duplex(WIDE);
    let (client, server) = pair_over(near, far, client_options(), server_options()).await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(CREDIT)).max_message_size(8 * 1_024);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "queue"), accept).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    tokio::spawn(async move {
        while receiver.recv().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    sender.ready().await.unwrap();
    let message = Message::data(vec![7; 256]);
    for _ in 0..CREDIT / 2 {
        sender.send_settled(&message).await.unwrap();
    }
    // 64 KiB are some two hundred of them: all but the last few such stretches are through.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken >= 500, "{taken} were taken while {} were sent", CREDIT / 2);
}

#[tokio::test(start_paused = true)]
async fn a_driver_with_much_to_read_lets_its_application_take_what_is_there() {
    let (near, far) = tokio::io::duplex(WIDE);
    let (client, server) = pair_over(near, far, client_options(), server_options()).await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(CREDIT)).max_message_size(8 * 1_024);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "queue"), accept).await;
    let sending = tokio::spawn(async move {
        let message = Message::data(vec![7; 4 * 1024]);
        for _ in 0..4 * CREDIT {
            sender.send_settled(&message).await.unwrap();
        }
        sender
    });
    // The test's own task is not in the runtime's queue: a task that keeps itself there would run again and again first.
    let mut most = 0;
    for _ in 0..4 * CREDIT {
        receiver.recv().await.unwrap().accept().unwrap();
        most = most.max(receiver.waiting());
    }
    sending.await.unwrap();
    assert!(most <= 256, "{most} messages of 4 KiB waited, where a read brings 64");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_lets_the_driver_work_was_overtaken_by_those_begun_after_it() {
    const MANY: u32 = 1_000;
    let (near, far) = tokio::io::duplex(WIDE);
    let (client, server) = pair_over(near, far, client_options(), server_options()).await;
    let session = session(&client).await;
    // Small enough that all of the credit is granted at once: nobody takes a message before all are sent.
    let accept = AcceptOptions::new().credit(CreditMode::Auto(CREDIT)).max_message_size(1024);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "queue"), accept).await;
    sender.ready().await.unwrap();
    // Large enough that several stretches are sent in one go.
    let messages: Vec<_> = (0..MANY).map(|number| numbered(number).with_to("x".repeat(250))).collect();
    let mut sends: Vec<_> =
        messages.iter().map(|message| Some(Box::pin(sender.send_settled(message)))).collect();
    poll_fn(|cx| {
        for slot in &mut sends {
            if let Some(send) = slot
                && let Poll::Ready(sent) = send.as_mut().poll(cx)
            {
                sent.unwrap();
                *slot = None;
            }
        }
        if sends.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    for number in 0..MANY {
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), number);
        delivery.accept().unwrap();
    }
}
