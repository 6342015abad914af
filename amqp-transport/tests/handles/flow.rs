//! Credit, back-pressure, order and cancelled waits.

use std::time::Duration;

use amqp_codec::{ErrorCondition, Fields, Message, Outcome};
use amqp_transport::client::{
    CreditMode, DetachReason, LinkStateError, ReceiverOptions, SenderOptions, SessionOptions,
};
use amqp_transport::server::{AcceptOptions, Draining};
use amqp_transport::{Blocked, RecvError, SendError, Settlement};
use bytes::Bytes;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn messages_arrive_in_order_and_their_outcomes_come_back() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let receiving = tokio::spawn(async move {
        for number in 0..1_000 {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(number_of(&delivery.message().unwrap()), number);
            match number % 3 {
                0 => delivery.accept(),
                1 => delivery.reject(None),
                _ => delivery.release(),
            }
            .unwrap();
        }
        receiver
    });
    let mut receipts = Vec::new();
    for number in 0..1_000 {
        receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    for (number, receipt) in receipts.into_iter().enumerate() {
        let expected = match number % 3 {
            0 => Outcome::Accepted,
            1 => Outcome::Rejected(None),
            _ => Outcome::Released,
        };
        assert_eq!(receipt.await.unwrap(), expected, "message {number}");
    }
    receiving.await.unwrap();
    assert_eq!(client.stats().messages_sent, 1_000);
    assert_eq!(server.connection().stats().messages_received, 1_000);
}

// L-029: credit comes as messages are taken, and only from who takes them.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_take_stops_its_sender() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(10));
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    let sending = tokio::spawn(async move {
        for number in 0..100 {
            sender.send_settled(&numbered(number)).await.unwrap();
        }
        sender
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!sending.is_finished());
    assert_eq!(receiver.waiting(), 10, "no more than the credit");
    for number in 0..100 {
        let delivery = receiver.recv().await.unwrap();
        assert!(delivery.is_settled());
        assert_eq!(number_of(&delivery.message().unwrap()), number);
        assert!(receiver.waiting() <= 10);
    }
    sending.await.unwrap();
}

// Scenario 39: each of the two directions of a session has a window of its own.
#[tokio::test(start_paused = true)]
async fn a_slow_receiver_does_not_keep_a_sender_of_its_session_waiting() {
    let (client, server) = pair().await;
    let narrow = SessionOptions::new().incoming_window(8).outgoing_window(8);
    let session = client.begin(narrow).await.unwrap();
    let options = ReceiverOptions::new("r", "/x").credit(CreditMode::Auto(20));
    let (receiver, feeder) = receiving(&session, &server, options, AcceptOptions::new()).await;
    let (sender, taker) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let feeding = tokio::spawn(async move {
        for number in 0..200 {
            feeder.send_settled(&numbered(number)).await.unwrap();
        }
        feeder
    });
    let taking = tokio::spawn(async move {
        while let Ok(delivery) = taker.recv().await {
            delivery.accept().unwrap();
        }
    });
    for number in 0..1_000 {
        let sent = tokio::time::timeout(Duration::from_secs(60), sender.send(&numbered(number))).await;
        assert_eq!(sent.expect("no deadlock").unwrap(), Outcome::Accepted);
    }
    assert_eq!(receiver.waiting(), 20, "nobody has taken one");
    for number in 0..200 {
        assert_eq!(number_of(&receiver.recv().await.unwrap().message().unwrap()), number);
    }
    feeding.await.unwrap();
    drop((sender, session));
    client.close().await.unwrap();
    taking.await.unwrap();
}

// L-023: credit and drain are the receiver's to set.
#[tokio::test(start_paused = true)]
async fn manual_credit_and_drain() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/x").credit(CreditMode::Manual);
    let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
    assert!(matches!(sender.try_send(&numbered(0)), Err(SendError::WouldBlock(Blocked::Credit))));
    receiver.add_credit(5).unwrap();
    for number in 0..3 {
        sender.send_with_receipt(&numbered(number)).await.map(drop).unwrap();
    }
    receiver.drain().await.unwrap();
    assert_eq!(receiver.waiting(), 3, "everything sent is here when the drain is over");
    assert_eq!(sender.credit(), 0, "the rest was given back");
    let message = numbered(3);
    let mut blocked = Box::pin(sender.send(&message));
    assert!(is_stuck(&mut blocked).await);
    receiver.add_credit(1).unwrap();
    let taking = async {
        for number in 0..4 {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(number_of(&delivery.message().unwrap()), number);
            delivery.accept().unwrap();
        }
    };
    let (sent, ()) = tokio::join!(blocked, taking);
    assert_eq!(sent.unwrap(), Outcome::Accepted);
}

#[tokio::test(start_paused = true)]
async fn a_drained_receiver_with_automatic_credit_goes_on() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (receiver, sender) =
        receiving(&session, &server, ReceiverOptions::new("r", "/x"), AcceptOptions::new()).await;
    receiver.drain().await.unwrap();
    assert!(receiver.try_recv().is_none());
    let message = numbered(9);
    let (sent, received) = tokio::join!(sender.send(&message), async {
        receiver.recv().await.unwrap().accept().unwrap();
    });
    assert_eq!((sent.unwrap(), received), (Outcome::Accepted, ()));
}

#[tokio::test(start_paused = true)]
async fn dropping_recv_loses_nothing() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let sending = tokio::spawn(async move {
        for number in 0..500 {
            sender.send_settled(&numbered(number)).await.unwrap();
            if number % 7 == 0 {
                tokio::time::sleep(Duration::from_micros(700)).await;
            }
        }
        sender
    });
    let mut expected = 0;
    while expected < 500 {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_micros(500)) => {}
            delivery = receiver.recv() => {
                assert_eq!(number_of(&delivery.unwrap().message().unwrap()), expected);
                expected += 1;
            }
        }
    }
    sending.await.unwrap();
}

// Scenario 57: given up before it left, a message used neither credit nor number.
#[tokio::test(start_paused = true)]
async fn a_dropped_send_was_sent_or_was_not_and_keeps_no_place() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Manual);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    let (first, second) = (numbered(1), numbered(2));
    let mut dropped = Box::pin(sender.send(&first));
    assert!(is_stuck(&mut dropped).await);
    let mut kept = Box::pin(sender.send(&second));
    assert!(is_stuck(&mut kept).await);
    drop(dropped);
    receiver.add_credit(10).unwrap();
    let receiving = async {
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), 2, "the dropped one was never sent");
        delivery.accept().unwrap();
    };
    let (sent, ()) = tokio::join!(kept, receiving);
    assert_eq!(sent.unwrap(), Outcome::Accepted);
    // Dropped after it was handed over, the message goes its way.
    let receipt = sender.send_with_receipt(&numbered(3)).await.unwrap();
    drop(receipt);
    let delivery = receiver.recv().await.unwrap();
    assert_eq!(number_of(&delivery.message().unwrap()), 3);
    delivery.accept().unwrap();
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_senders_go_first_come_first_served() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Manual);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    let sender = std::sync::Arc::new(sender);
    let mut tasks = Vec::new();
    for number in 0..200 {
        let sender = std::sync::Arc::clone(&sender);
        tasks.push(tokio::spawn(async move { sender.send(&numbered(number)).await.unwrap() }));
        tokio::task::yield_now().await;
    }
    for number in 0..200 {
        receiver.add_credit(1).unwrap();
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), number);
        delivery.accept().unwrap();
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Outcome::Accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_senders_share_a_little_credit() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(3));
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    let sender = std::sync::Arc::new(sender);
    let tasks: Vec<_> = (0..1_000)
        .map(|number| {
            let sender = std::sync::Arc::clone(&sender);
            tokio::spawn(async move { sender.send(&numbered(number)).await.unwrap() })
        })
        .collect();
    let mut seen = vec![false; 1_000];
    for _ in 0..1_000 {
        let delivery = receiver.recv().await.unwrap();
        let number = number_of(&delivery.message().unwrap()) as usize;
        assert!(!std::mem::replace(&mut seen[number], true), "{number} came twice");
        delivery.accept().unwrap();
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Outcome::Accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn large_messages_cross_a_small_pipe_and_small_frames() {
    let (near, far) = tokio::io::duplex(1_000);
    let (client, server) =
        pair_over(near, far, client_options().max_frame_size(512), server_options().max_frame_size(600))
            .await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let body: Vec<u8> = (0..300_000u32).map(|at| at.to_be_bytes()[3]).collect();
    let message = Message::data(body.clone());
    let receiving = async {
        for _ in 0..3 {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(&delivery.message().unwrap().body_bytes().unwrap()[..], &body[..]);
            delivery.accept().unwrap();
        }
    };
    let sends = async { tokio::join!(sender.send(&message), sender.send(&message), sender.send(&message)) };
    let ((a, b, c), ()) = tokio::join!(sends, receiving);
    assert_eq!(
        (a.unwrap(), b.unwrap(), c.unwrap()),
        (Outcome::Accepted, Outcome::Accepted, Outcome::Accepted)
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_settled_message_is_not_lost_with_its_sender() {
    let (near, far) = tokio::io::duplex(1_000);
    let small = server_options().max_frame_size(512);
    let (client, server) = pair_over(near, far, client_options(), small).await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let sizes = [100usize, 400, 450, 500, 5_000, 300_000];
    let sending = async move {
        for size in sizes {
            sender.send_settled(&Message::data(vec![9; size])).await.unwrap();
        }
        drop(sender);
    };
    let receiving = async {
        for size in sizes {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(delivery.message().unwrap().body_bytes().unwrap().len(), size);
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test(start_paused = true)]
async fn the_output_of_a_sender_whose_peer_does_not_read_is_bounded() {
    let (near, far) = tokio::io::duplex(PIPE);
    let (client, server) = pair_over(near, far, client_options(), server_options()).await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(1_000_000));
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    // Nothing yields to the drivers here: what can be handed over without them is what the bounds allow.
    let payload = Bytes::from(vec![7; 4_000]);
    let mut handed_over = 0;
    loop {
        let mut send = Box::pin(sender.send_encoded(payload.clone(), 0, Settlement::Settled));
        tokio::select! {
            biased;
            sent = &mut send => sent.map(drop).unwrap(),
            () = std::future::ready(()) => break,
        }
        handed_over += 1;
        assert!(handed_over < 10_000, "no bound in 40 MB");
    }
    assert!(handed_over > 10, "{handed_over}");
    for _ in 0..handed_over {
        drop(receiver.recv().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn several_tasks_receive_from_one_link() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let receiver = std::sync::Arc::new(receiver);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let receiver = std::sync::Arc::clone(&receiver);
            tokio::spawn(async move {
                let mut taken = 0;
                while let Ok(delivery) = receiver.recv().await {
                    delivery.accept().unwrap();
                    taken += 1;
                }
                taken
            })
        })
        .collect();
    for number in 0..400 {
        assert_eq!(sender.send(&numbered(number)).await.unwrap(), Outcome::Accepted);
    }
    sender.detach().await.unwrap();
    let mut total = 0;
    for task in tasks {
        total += task.await.unwrap();
    }
    assert_eq!(total, 400);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_new_credit_ends_never_returned() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/x").credit(CreditMode::Manual);
    let accept = AcceptOptions::new().draining(Draining::ByApplication);
    let (receiver, _sender) = receiving(&session, &server, options, accept).await;
    receiver.add_credit(5).unwrap();
    let mut draining = Box::pin(receiver.drain());
    assert!(is_stuck(&mut draining).await, "the sender does not say that it has nothing");
    receiver.add_credit(1).unwrap();
    assert!(matches!(draining.await, Err(RecvError::Regranted)));
}

// L-030: stopped, nothing more comes, and what was sent before is here.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_stopped_gets_nothing_until_it_starts_again() {
    for credit in [CreditMode::Auto(10), CreditMode::Manual] {
        let (client, server) = pair().await;
        let session = session(&client).await;
        let options = ReceiverOptions::new("r", "/x").credit(credit);
        let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
        if credit == CreditMode::Manual {
            receiver.set_credit(10).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for number in 0..3 {
            sender.send_settled(&numbered(number)).await.unwrap();
        }
        receiver.stop().await.unwrap();
        assert_eq!((receiver.waiting(), sender.credit()), (3, 0), "{credit:?}");
        for number in 0..3 {
            assert_eq!(number_of(&receiver.recv().await.unwrap().message().unwrap()), number);
        }
        let mut waiting = Box::pin(receiver.recv());
        assert!(is_stuck(&mut waiting).await);
        assert!(matches!(sender.try_send(&numbered(3)), Err(SendError::WouldBlock(Blocked::Credit))));
        match credit {
            CreditMode::Manual => receiver.set_credit(2).unwrap(),
            _ => receiver.start().unwrap(),
        }
        sender.send_settled(&numbered(3)).await.unwrap();
        assert_eq!(number_of(&waiting.await.unwrap().message().unwrap()), 3);
        assert!(sender.credit() > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_overtaken_by_new_credit_says_so() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/x").credit(CreditMode::Auto(10));
    let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
    let (stopped, ()) = tokio::join!(receiver.stop(), async { receiver.set_credit(4).unwrap() });
    assert!(matches!(stopped, Err(RecvError::Regranted)));
    // Credit that was set by hand is renewed by itself all the same.
    for number in 0..20 {
        sender.send_settled(&numbered(number)).await.unwrap();
        drop(receiver.recv().await.unwrap());
    }
}

// L-024: the sender's application says what it has, and the receiver's may ask.
#[tokio::test(start_paused = true)]
async fn a_receiver_asks_how_much_its_sender_has() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/x").credit(CreditMode::Manual);
    let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
    assert_eq!(receiver.available().await.unwrap(), 0);
    sender.set_available(42).unwrap();
    assert_eq!(receiver.available().await.unwrap(), 42);
    sender.detach().await.unwrap();
    assert!(matches!(sender.set_available(1), Err(SendError::Detached(_))));
    assert!(receiver.available().await.is_err());
}

// Scenario 84: what both ends tell each other beside credit.
// cancels handle::link_state: link_state_after
#[tokio::test(start_paused = true)]
async fn both_ends_of_a_link_tell_each_other_their_state() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = ReceiverOptions::new("r", "/x");
    let (receiver, sender) = receiving(&session, &server, options, AcceptOptions::new()).await;
    assert_eq!((receiver.link_state(), sender.link_state()), (None, None));
    let fields = |number: u32| Fields::default().with("test:lag", number);
    assert!(crate::cancelling::dropped_after(1, receiver.link_state_after(0)).await.is_none());
    for number in 1..=2 {
        sender.set_link_state(Some(fields(number))).unwrap();
        let told = receiver.link_state_after(u64::from(number) - 1).await.unwrap();
        assert_eq!((told.number, told.properties), (u64::from(number), fields(number)));
    }
    assert_eq!(receiver.link_state().map(|told| told.properties), Some(fields(2)));
    receiver.set_link_state(Some(fields(7))).unwrap();
    assert_eq!(sender.link_state_after(0).await.unwrap().properties, fields(7));
    // More than the peer holds is the link's end; more than fits a frame does not leave.
    let large = |octets: usize| Some(Fields::default().with("x", "x".repeat(octets)));
    let too_large = sender.set_link_state(large(1 << 20));
    assert!(matches!(too_large, Err(LinkStateError::TooLarge { .. })), "{too_large:?}");
    sender.set_link_state(large(2_000)).unwrap();
    let waiting = receiver.link_state_after(9).await;
    assert!(matches!(waiting, Err(LinkStateError::Detached(DetachReason::OverLimit(_)))), "{waiting:?}");
    let DetachReason::Remote(error) = sender.detached().await else { panic!("not told why") };
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert!(sender.set_link_state(None).is_err());
    assert!(client.is_open());
}

// L-029: credit in octets. Small messages come many at a time, large ones few, and one always.
#[tokio::test(start_paused = true)]
async fn credit_in_bytes_follows_the_sizes_of_the_messages() {
    const BUDGET: u64 = 20_000;
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Bytes(BUDGET));
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    let sender = std::sync::Arc::new(sender);
    // Size of the messages, and how many of them may wait at most once the size is known.
    for (size, most) in [(10, 80), (1_000, 20), (50_000, 1), (10, 80)] {
        let sending = std::sync::Arc::clone(&sender);
        let task = tokio::spawn(async move {
            let message = Message::data(vec![0; size]);
            while let Ok(receipt) = sending.send_with_receipt(&message).await {
                tokio::spawn(receipt);
            }
        });
        for _ in 0..200 {
            receiver.recv().await.unwrap().accept().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!((1..=most).contains(&receiver.waiting()), "{} of {size}", receiver.waiting());
        task.abort();
        while receiver.try_recv().map(|delivery| delivery.accept().unwrap()).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
