//! Every form of sending and receiving, with its connection lost in the middle of it.

use std::time::Duration;

use amqp_codec::{Message, Outcome};
use amqp_transport::recovery::{
    RecoveringConnection, RecoveringReceiver, RecoveringSender, RecoveryError, Resend, SendFailure,
};
use amqp_transport::server::AcceptOptions;
use amqp_transport::{CreditMode, ReceiverOptions, SendError, Sender, SenderOptions, Settlement};
use tokio::time::{Instant, sleep, timeout};

use super::net::*;
use crate::support::*;

const MESSAGES: u32 = 5;

type Ends = Vec<Result<Outcome, SendFailure<RecoveryError>>>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Settled,
    Encoded,
    AtOnce,
    All,
    #[cfg(feature = "futures")]
    Sink,
}

const FORMS: &[Form] = &[
    Form::Settled,
    Form::Encoded,
    Form::AtOnce,
    Form::All,
    #[cfg(feature = "futures")]
    Form::Sink,
];

fn messages() -> Vec<Message> {
    (1..=MESSAGES).map(numbered).collect()
}

/// Sends the messages; how each ended, but for a sink only how those ended that were not accepted.
async fn send_by(form: Form, sender: RecoveringSender<Net>) -> Ends {
    let mut ends = Vec::new();
    match form {
        Form::Settled => {
            for message in messages() {
                ends.push(sender.send_settled(&message).await.map(|()| Outcome::Accepted));
            }
            // What was handed over leaves.
            sleep(Duration::from_secs(1)).await;
        }
        Form::Encoded => {
            for message in messages() {
                let payload = amqp_codec::to_bytes(&message);
                ends.push(match sender.send_encoded(payload, 0, Settlement::Unsettled).await {
                    Ok(receipt) => receipt.await.map_err(SendFailure::Send),
                    Err(failure) => Err(failure),
                });
            }
        }
        Form::AtOnce => {
            for message in messages() {
                let taken = loop {
                    sender.ready().await.unwrap();
                    match sender.try_send(&message) {
                        // Lost since it was ready: it has not gone.
                        Err(failure) => assert!(failure.is_not_sent(), "{failure}"),
                        Ok(receipt) => break receipt,
                    }
                };
                ends.push(taken.await.map_err(SendFailure::Send));
            }
        }
        Form::All => ends = sender.send_all(&messages()).await,
        #[cfg(feature = "futures")]
        Form::Sink => ends = through_sink(sender).await,
    }
    ends
}

#[cfg(feature = "futures")]
async fn through_sink(sender: RecoveringSender<Net>) -> Ends {
    use amqp_transport::client::SinkError;

    use crate::streams::{close, feed, flush};
    let mut sink = sender.into_sink();
    let mut ends = Vec::new();
    let mut note = |end: Result<(), SinkError<SendFailure<RecoveryError>>>| match end {
        Ok(()) => true,
        Err(SinkError::Send(failure)) => {
            ends.push(Err(failure));
            false
        }
        Err(other) => panic!("{other}"),
    };
    for message in messages() {
        // An error is of a message before this one.
        while !note(feed(&mut sink, message.clone()).await) {}
    }
    while !note(flush(&mut sink).await) {}
    close(&mut sink).await.unwrap();
    ends
}

// Wherever the stream is cut, each message ends once and as it went.
#[tokio::test(start_paused = true)]
async fn every_form_of_sending_ends_honestly_wherever_the_stream_is_cut() {
    let (mut lost, mut doubled) = (0, 0);
    let cuts = || (0..900).step_by(13).map(Meets::Cut).chain((0..700).step_by(13).map(Meets::CutBack));
    for (form, cut) in FORMS.iter().flat_map(|form| cuts().map(|cut| (*form, cut))) {
        for resend in [Resend::Never, Resend::UntilKnown] {
            let (net, brokers) = Net::new([cut]);
            net.serve_all(brokers);
            let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
            let sender = connection.sender(SenderOptions::new("s", "queue")).resend(resend);
            let ends = timeout(PATIENCE, send_by(form, sender)).await.expect("it ends");
            let taken = net.taken();
            let times = |number: u32| taken.iter().filter(|taken| **taken == number).count();
            let unknown = ends.iter().filter(|end| end.is_err()).count();
            for end in &ends {
                let is_honest = match end {
                    Ok(outcome) => *outcome == Outcome::Accepted,
                    Err(failure) => matches!(failure, SendFailure::Send(SendError::OutcomeUnknown(_))),
                };
                assert!(is_honest, "{form:?} {cut:?}: {end:?}");
            }
            let missing = (1..=MESSAGES).filter(|number| times(*number) == 0).count();
            let repeats = resend == Resend::UntilKnown && (form == Form::All || is_sink(form));
            match form {
                // Handed over is all that is known of it.
                Form::Settled => assert_eq!(unknown, 0),
                _ => assert!(missing <= unknown, "{form:?} {cut:?}: {missing} of {ends:?}"),
            }
            assert!(unknown == 0 || !repeats, "{form:?} {cut:?}: {ends:?}");
            let most = if repeats { 2 } else { 1 };
            assert!((1..=MESSAGES).all(|number| times(number) <= most), "{form:?} {cut:?}: {taken:?}");
            lost += unknown;
            doubled += taken.len().saturating_sub(MESSAGES as usize);
            connection.close().await;
        }
    }
    assert!(lost > 0 && doubled > 0, "nothing was tested: {lost}, {doubled}");
}

fn is_sink(form: Form) -> bool {
    !matches!(form, Form::Settled | Form::Encoded | Form::AtOnce | Form::All)
}

// Messages that never left go again, in order, and nobody is told of the loss.
#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_credit_goes_on_with_the_next_connection() {
    for form in FORMS.iter().filter(|form| matches!(form, Form::All) || is_sink(**form)) {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let sender = connection.sender(SenderOptions::new("s", "queue"));
        let sending = tokio::spawn(send_by(*form, sender));
        let accept = AcceptOptions::new().credit(CreditMode::Manual);
        let link = next_attach(&broker.server).await.accept_receiver(accept).unwrap();
        link.add_credit(2).unwrap();
        for _ in 0..2 {
            let delivery = link.recv().await.unwrap();
            net.inner.taken.lock().unwrap().push(number_of(&delivery.message().unwrap()));
            delivery.accept().unwrap();
        }
        // The third waits.
        sleep(Duration::from_secs(1)).await;
        broker.cut();
        let _serving = brokers.recv().await.unwrap().serve(&net);
        let ends = timeout(PATIENCE, sending).await.expect("it ends").unwrap();
        assert!(ends.iter().all(Result::is_ok), "{form:?}: {ends:?}");
        assert_eq!(net.taken(), [1, 2, 3, 4, 5], "{form:?}");
    }
}

// One wait for all of them, not one for each.
#[tokio::test(start_paused = true)]
async fn a_batch_without_a_connection_ends_with_the_operation_time_out() {
    let (net, _brokers) = Net::new([]);
    let net = net.then(Meets::Nobody);
    let connection = RecoveringConnection::start(addresses("a"), options(), net);
    let start = Instant::now();
    let sender = connection.sender(SenderOptions::new("s", "queue"));
    let at_once = sender.try_send(&numbered(1));
    assert!(matches!(at_once, Err(SendFailure::NotSent(RecoveryError::NotConnected))), "{at_once:?}");
    assert!(sender.stats().is_none());
    let ends = sender.send_all(&messages()).await;
    assert!(ends.iter().all(|end| matches!(end, Err(SendFailure::TimedOut))), "{ends:?}");
    assert_eq!(ends.len(), MESSAGES as usize);
    assert_eq!(start.elapsed().as_secs(), 240);
    connection.close().await;
    let ends = sender.send_all(&messages()).await;
    assert!(ends.iter().all(|end| matches!(end, Err(SendFailure::NotSent(RecoveryError::Closed)))));
}

#[tokio::test(start_paused = true)]
async fn a_sender_tells_each_peer_what_waits() {
    let (net, mut brokers) = Net::new([]);
    let (connection, mut broker) = connected(&net, &mut brokers).await;
    let sender = connection.sender(SenderOptions::new("s", "queue"));
    sender.set_available(9);
    for number in 1..=2 {
        let accepting = broker.takes();
        let (attached, link) = tokio::join!(sender.attached(), accepting);
        attached.unwrap();
        assert_eq!(timeout(PATIENCE, link.available()).await.unwrap().unwrap(), 9, "link {number}");
        assert!(sender.stats().unwrap().credit > 0);
        broker.cut();
        broker = brokers.recv().await.unwrap();
    }
}

/// A receiver, and its sender on the broker's side.
async fn receiving_from(
    connection: &RecoveringConnection<Net>,
    broker: &Broker,
    credit: CreditMode,
) -> (RecoveringReceiver<Net>, Sender) {
    let receiver = connection.receiver(ReceiverOptions::new("r", "queue").credit(credit));
    let (attached, sender) = tokio::join!(receiver.attached(), broker.gives());
    attached.unwrap();
    (receiver, sender)
}

async fn give(sender: &Sender, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        sender.send_settled(&numbered(number)).await.unwrap();
    }
    sleep(Duration::from_millis(10)).await;
}

fn number(delivery: &amqp_transport::Delivery) -> u32 {
    number_of(&delivery.message().unwrap())
}

// What came before the loss is given first, and then what comes on the next link.
#[tokio::test(start_paused = true)]
async fn many_are_received_over_a_loss() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let (receiver, sender) = receiving_from(&connection, &broker, CreditMode::default()).await;
    give(&sender, 1..=5).await;
    let numbers = |taken: Vec<amqp_transport::Delivery>| taken.iter().map(number).collect::<Vec<_>>();
    assert_eq!(numbers(receiver.recv_many(2).await.unwrap()), [1, 2]);
    assert_eq!(receiver.stats().unwrap().delivery_count, 5);
    broker.cut();
    sleep(Duration::from_millis(10)).await;
    assert!(receiver.stats().is_none());
    assert_eq!(receiver.waiting(), 3);
    assert_eq!(receiver.try_recv().as_ref().map(number), Some(3));
    let again = brokers.recv().await.unwrap();
    let (attached, sender) = tokio::join!(receiver.attached(), again.gives());
    attached.unwrap();
    give(&sender, 6..=7).await;
    assert_eq!(receiver.waiting(), 4);
    assert_eq!(numbers(receiver.recv_many(9).await.unwrap()), [4, 5, 6, 7], "old ones first, none twice");
    assert!(receiver.try_recv().is_none());
    assert_eq!(receiver.stats().unwrap().delivery_count, 2, "counted anew");
    let waiting = receiver.recv_many(9);
    let giving = async {
        sleep(Duration::from_secs(1)).await;
        again.cut();
        let third = brokers.recv().await.unwrap();
        let sender = third.gives().await;
        give(&sender, [8]).await;
        (third, sender)
    };
    let (taken, _third) = tokio::join!(timeout(PATIENCE, waiting), giving);
    assert_eq!(numbers(taken.unwrap().unwrap()), [8]);
}

#[cfg(feature = "futures")]
#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_over_a_loss_and_ends_with_recovery() {
    use crate::cancelling::dropped_after;
    use crate::streams::next;
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let (receiver, sender) = receiving_from(&connection, &broker, CreditMode::default()).await;
    let mut borrowed = receiver.deliveries();
    assert!(dropped_after(1, next(&mut borrowed)).await.is_none());
    drop(borrowed);
    let mut stream = receiver.into_deliveries();
    give(&sender, 1..=3).await;
    assert_eq!(number(&next(&mut stream).await.unwrap().unwrap()), 1);
    broker.cut();
    let again = brokers.recv().await.unwrap();
    for expected in 2..=3 {
        assert_eq!(number(&next(&mut stream).await.unwrap().unwrap()), expected);
    }
    let giving = async {
        let sender = again.gives().await;
        give(&sender, [4]).await;
        sender
    };
    let (taken, _sender) = tokio::join!(timeout(PATIENCE, next(&mut stream)), giving);
    assert_eq!(number(&taken.unwrap().unwrap().unwrap()), 4);
    assert_eq!(stream.receiver().stats().unwrap().delivery_count, 1);
    let (ended, ()) = tokio::join!(next(&mut stream), connection.close());
    assert!(matches!(ended, Some(Err(RecoveryError::Closed))), "{ended:?}");
    assert!(next(&mut stream).await.is_none(), "after its error it is over");
}

// A drain that was lost is asked of the next peer, which drains what it has.
#[tokio::test(start_paused = true)]
async fn a_drain_is_asked_again_after_a_loss() {
    for credit in [CreditMode::Auto(10), CreditMode::Manual] {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let (receiver, sender) = receiving_from(&connection, &broker, credit).await;
        if credit == CreditMode::Manual {
            receiver.add_credit(10);
            sender.ready().await.unwrap();
        }
        let losing = async {
            // In the middle of the drain: asked, and not answered.
            broker.stall();
            sleep(Duration::from_secs(1)).await;
            broker.cut();
            let again = brokers.recv().await.unwrap();
            let sender = again.gives().await;
            (again, sender)
        };
        let (drained, (_again, sender)) = tokio::join!(timeout(PATIENCE, receiver.drain()), losing);
        drained.expect("it ends").unwrap();
        assert_eq!(sender.credit(), 0, "{credit:?}");
        assert_eq!(receiver.stats().unwrap().credit, 0);
        if credit == CreditMode::Manual {
            receiver.set_credit(3);
        } else {
            assert!(timeout(Duration::from_secs(1), receiver.recv()).await.is_err());
        }
        sender.ready().await.unwrap();
        assert_eq!(sender.credit(), if credit == CreditMode::Manual { 3 } else { 10 });
    }
}

// A stop that was lost stands all the same, for every link to come, until credit is granted.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_stopped_stays_so_over_a_loss() {
    for credit in [CreditMode::Auto(10), CreditMode::Manual] {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let (receiver, sender) = receiving_from(&connection, &broker, credit).await;
        receiver.set_credit(10);
        sender.ready().await.unwrap();
        give(&sender, [1]).await;
        let losing = async {
            broker.stall();
            sleep(Duration::from_secs(1)).await;
            broker.cut();
            brokers.recv().await.unwrap()
        };
        let (stopped, again) = tokio::join!(timeout(PATIENCE, receiver.stop()), losing);
        stopped.expect("it ends").unwrap();
        assert_eq!(number(&receiver.try_recv().unwrap()), 1);
        let (attached, sender) = tokio::join!(receiver.attached(), again.gives());
        attached.unwrap();
        assert!(timeout(Duration::from_secs(5), sender.ready()).await.is_err(), "no credit");
        assert!(timeout(Duration::from_secs(5), receiver.recv()).await.is_err());
        assert_eq!(sender.credit(), 0, "{credit:?}: waiting grants none");
        match credit {
            CreditMode::Manual => receiver.add_credit(10),
            _ => receiver.start(),
        }
        sender.ready().await.unwrap();
        assert_eq!(sender.credit(), 10, "{credit:?}");
        receiver.stop().await.unwrap();
        assert_eq!(sender.credit(), 0);
        let regranting = async {
            again.stall();
            sleep(Duration::from_secs(1)).await;
            receiver.add_credit(1);
        };
        let (stopped, ()) = tokio::join!(receiver.stop(), regranting);
        assert!(matches!(stopped, Err(RecoveryError::Regranted)), "{stopped:?}");
    }
}

// Without a link there is nothing to wait for, and credit by hand is what was granted, whatever came of it.
#[tokio::test(start_paused = true)]
async fn credit_is_set_and_taken_back_while_there_is_no_link() {
    let (net, mut brokers) = Net::new([Meets::Nobody, Meets::Nobody]);
    let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
    let receiver = connection.receiver(ReceiverOptions::new("r", "queue").credit(CreditMode::Manual));
    receiver.add_credit(50);
    receiver.stop().await.unwrap();
    receiver.set_credit(4);
    assert!(receiver.try_recv().is_none());
    let broker = brokers.recv().await.unwrap();
    let (attached, sender) = tokio::join!(receiver.attached(), broker.gives());
    attached.unwrap();
    sender.ready().await.unwrap();
    assert_eq!(sender.credit(), 4);
    sender.set_available(6).unwrap();
    assert_eq!(receiver.available().await.unwrap(), 6);
    give(&sender, 1..=2).await;
    // One is taken; the other waits, and what is set comes besides it.
    drop(receiver.recv().await.unwrap());
    receiver.set_credit(7);
    broker.cut();
    let again = brokers.recv().await.unwrap();
    let (attached, sender) = tokio::join!(receiver.attached(), again.gives());
    attached.unwrap();
    sender.ready().await.unwrap();
    assert_eq!(sender.credit(), 7);
    assert_eq!(number(&receiver.recv().await.unwrap()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_asked_again_what_it_has_when_it_was_lost() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let (receiver, _sender) = receiving_from(&connection, &broker, CreditMode::default()).await;
    let losing = async {
        broker.stall();
        sleep(Duration::from_secs(1)).await;
        broker.cut();
        let again = brokers.recv().await.unwrap();
        let attach = next_attach(&again.server).await;
        let sender = attach.accept_sender(AcceptOptions::new()).unwrap();
        sender.set_available(3).unwrap();
        (again, sender)
    };
    let (available, _again) = tokio::join!(timeout(PATIENCE, receiver.available()), losing);
    assert_eq!(available.expect("it ends").unwrap(), 3);
}
