//! Recovering receivers that resume their links.

use std::sync::Arc;
use std::time::Duration;

use amqp_codec::{Outcome, ReceiverSettleMode};
use amqp_transport::client::{DetachReason, ReceiverOptions};
use amqp_transport::recovery::{RecoveringConnection, RecoveringReceiver, Unsettled};
use amqp_transport::server::{AcceptOptions, Incoming, SuspendedSender};
use amqp_transport::{Delivery, Receipt, SendError, Sender, SettleError};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::net::*;
use crate::support::*;

const KEPT: Unsettled = Unsettled::Resume { kept_bytes: 0 };
const MESSAGES: u32 = 5;

fn from_queue(mode: ReceiverSettleMode) -> ReceiverOptions {
    ReceiverOptions::new("r", "queue").rcv_settle_mode(mode)
}

fn accept() -> AcceptOptions {
    AcceptOptions::new().keep_unsettled(1 << 20)
}

/// A receiver that holds all but one of so many messages, and their sender.
struct Holding {
    receiver: RecoveringReceiver<Net>,
    held: Vec<Delivery>,
    sender: Sender,
    receipts: Vec<Receipt>,
}

async fn holding(
    connection: &RecoveringConnection<Net>,
    broker: &Broker,
    mode: ReceiverSettleMode,
) -> Holding {
    let receiver = connection.receiver(from_queue(mode)).unsettled(KEPT);
    let accepting = async { next_attach(&broker.server).await.accept_sender(accept()).unwrap() };
    let (attached, sender) = tokio::join!(receiver.attached(), accepting);
    attached.unwrap();
    let mut receipts = Vec::new();
    for number in 1..=MESSAGES {
        receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    let mut held = Vec::new();
    for _ in 1..MESSAGES {
        held.push(receiver.recv().await.unwrap());
    }
    // The last one has come, too.
    tokio::time::sleep(Duration::from_millis(10)).await;
    Holding { receiver, held, sender, receipts }
}

// R-04, R-06, R-13: decided while there is no link, while the next is not attached, and on the next.
#[tokio::test(start_paused = true)]
async fn deliveries_held_over_a_reconnection_could_not_be_settled() {
    for mode in [ReceiverSettleMode::First, ReceiverSettleMode::Second] {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let Holding { receiver, mut held, sender, receipts } = holding(&connection, &broker, mode).await;
        broker.cut();
        let sender = sender.suspended().await.unwrap();
        assert_eq!(sender.undecided_messages(), 5);
        held.remove(0).accept().unwrap();
        let again = brokers.recv().await.unwrap();
        held.remove(0).release().unwrap();
        let attach = next_attach(&again.server).await;
        assert_eq!(attach.attach().unsettled.as_ref().map(|map| map.iter().count()), Some(5));
        held.remove(0).reject(None).unwrap();
        let _sender = attach.resume_sender(accept(), sender).unwrap();
        // Taken before it is known, and after.
        let last = receiver.recv().await.unwrap();
        assert_eq!(number_of(&last.message().unwrap()), 5);
        last.accept().unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        held.remove(0).accept().unwrap();
        let mut outcomes = Vec::new();
        for receipt in receipts {
            outcomes.push(timeout(PATIENCE, receipt).await.expect("it ends").unwrap());
        }
        use Outcome::{Accepted, Rejected, Released};
        assert_eq!(outcomes, [Accepted, Released, Rejected(None), Accepted, Accepted]);
        assert!(timeout(Duration::from_secs(60), receiver.recv()).await.is_err(), "nothing comes twice");
        connection.close().await;
    }
}

// R-02: the peer remembers nothing.
#[tokio::test(start_paused = true)]
async fn a_peer_that_has_forgotten_a_delivery_overrules_what_is_decided_about_it() {
    let (net, mut brokers) = Net::new([]);
    let mode = ReceiverSettleMode::Second;
    let (connection, broker) = connected(&net, &mut brokers).await;
    let Holding { receiver, mut held, sender, receipts } = holding(&connection, &broker, mode).await;
    broker.cut();
    drop((sender, receipts));
    let again = brokers.recv().await.unwrap();
    let sender = next_attach(&again.server).await.accept_sender(accept()).unwrap();
    let receipt = sender.send_with_receipt(&numbered(9)).await.unwrap();
    let last = receiver.recv().await.unwrap();
    assert_eq!(number_of(&last.message().unwrap()), 5);
    let first = held.remove(0);
    for delivery in [last, held.remove(0), held.remove(0)] {
        let end = delivery.accept();
        assert!(matches!(end, Err(SettleError::Overruled(None))), "{end:?}");
    }
    let end = timeout(PATIENCE, held.remove(0).accept_confirmed()).await.expect("it ends");
    assert!(matches!(end, Err(SettleError::Overruled(None))), "{end:?}");
    // What is new has nothing to do with it.
    let new = receiver.recv().await.unwrap();
    assert_eq!(number_of(&new.message().unwrap()), 9);
    again.cut();
    let sender = sender.suspended().await.unwrap();
    let third = brokers.recv().await.unwrap();
    let _sender = next_attach(&third.server).await.resume_sender(accept(), sender).unwrap();
    // Noted while there is no link, and of another delivery.
    first.reject(None).unwrap();
    timeout(PATIENCE, new.accept_confirmed()).await.expect("it ends").unwrap();
    assert_eq!(timeout(PATIENCE, receipt).await.expect("it ends").unwrap(), Outcome::Accepted);
}

// Nothing waits for ever, and nobody is told that an outcome was taken which no link will tell.
#[tokio::test(start_paused = true)]
async fn deliveries_that_nobody_can_resume_are_lost_as_without_resuming() {
    for way in ["outage", "dropped", "closed", "detached"] {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let mode = ReceiverSettleMode::Second;
        let Holding { receiver, mut held, .. } = holding(&connection, &broker, mode).await;
        let _net = net.clone().then(Meets::Nobody);
        broker.cut();
        let waiting = tokio::spawn(held.remove(0).accept_confirmed());
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!waiting.is_finished(), "it may be resumed");
        let mut kept = Some(receiver);
        match way {
            "dropped" => drop(kept.take()),
            "closed" => connection.close().await,
            "detached" => kept.as_ref().unwrap().detach().await,
            _ => {}
        }
        let end = timeout(PATIENCE, waiting).await.expect(way).unwrap();
        assert!(matches!(end, Err(SettleError::Lost(_))), "{way}: {end:?}");
        let end = held.remove(0).accept();
        assert!(matches!(end, Err(SettleError::Lost(_))), "{way}: {end:?}");
    }
}

// What was polled is told, though nobody waits for its confirmation any more.
#[tokio::test(start_paused = true)]
async fn a_confirmation_that_is_dropped_while_there_is_no_link_is_told_on_the_next() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let mode = ReceiverSettleMode::Second;
    let Holding { receiver, mut held, sender, mut receipts } = holding(&connection, &broker, mode).await;
    broker.cut();
    let sender = sender.suspended().await.unwrap();
    let confirming = timeout(Duration::from_millis(1), held.remove(0).accept_confirmed());
    assert!(confirming.await.is_err());
    let confirming = tokio::spawn(held.remove(0).accept_confirmed());
    let again = brokers.recv().await.unwrap();
    let _sender = next_attach(&again.server).await.resume_sender(accept(), sender).unwrap();
    timeout(PATIENCE, confirming).await.expect("it ends").unwrap().unwrap();
    for _ in 0..2 {
        let end = timeout(PATIENCE, receipts.remove(0)).await.expect("it ends");
        assert_eq!(end.unwrap(), Outcome::Accepted);
    }
    drop(receiver);
}

// A link that is gone for good, by the peer's own word, keeps nothing to be settled.
#[tokio::test(start_paused = true)]
async fn a_link_that_its_peer_closed_refuses_outcomes() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let mode = ReceiverSettleMode::First;
    let Holding { receiver, mut held, sender, .. } = holding(&connection, &broker, mode).await;
    let gone = error(amqp_codec::ErrorCondition::RESOURCE_DELETED, "gone");
    sender.detach_with_error(gone).await.unwrap();
    let end = held.remove(0).accept();
    assert!(matches!(end, Err(SettleError::Detached(DetachReason::Remote(_)))), "{end:?}");
    drop(receiver);
}

/// A broker's queue of messages that one link after the other gives away.
#[derive(Default)]
struct Queue {
    sent: u32,
    receipts: Vec<Receipt>,
    left: Option<SuspendedSender>,
}

/// Serves every connection as one broker that remembers its link.
fn give_all(mut brokers: mpsc::Receiver<Broker>) -> Arc<Mutex<Queue>> {
    let queue = Arc::new(Mutex::new(Queue::default()));
    let served = Arc::clone(&queue);
    tokio::spawn(async move {
        while let Some(broker) = brokers.recv().await {
            let queue = Arc::clone(&served);
            tokio::spawn(async move {
                while let Ok(Incoming::Attach(attach)) = broker.server.next().await {
                    // The link of before has been noticed to be lost once it lets go of this.
                    let mut queue = queue.lock().await;
                    let sender = match queue.left.take() {
                        Some(left) => attach.resume_sender(accept(), left).unwrap(),
                        None => attach.accept_sender(accept()).unwrap(),
                    };
                    while queue.sent < MESSAGES {
                        let Ok(receipt) = sender.send_with_receipt(&numbered(queue.sent + 1)).await else {
                            break;
                        };
                        queue.sent += 1;
                        queue.receipts.push(receipt);
                    }
                    queue.left = sender.suspended().await.ok();
                }
            });
        }
    });
    queue
}

// R-03 to R-14, D-030: where both ends remember, wherever the stream is cut.
#[tokio::test(start_paused = true)]
async fn a_resumed_receiver_in_mode_second_takes_each_message_exactly_once() {
    let cuts = || (150..1_000).step_by(8).map(Meets::Cut).chain((150..900).step_by(8).map(Meets::CutBack));
    for (mode, holds) in [
        (ReceiverSettleMode::Second, false),
        (ReceiverSettleMode::Second, true),
        (ReceiverSettleMode::First, false),
    ] {
        let (mut lost, mut untold) = (0, 0);
        for cut in cuts() {
            let (net, brokers) = Net::new([cut]);
            let queue = give_all(brokers);
            let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
            let receiver = connection.receiver(from_queue(mode)).unsettled(KEPT);
            let (mut taken, mut held) = (Vec::new(), Vec::new());
            while let Ok(delivery) = timeout(Duration::from_secs(60), receiver.recv()).await {
                let delivery = delivery.unwrap();
                taken.push(number_of(&delivery.message().unwrap()));
                match holds {
                    true => held.push(delivery),
                    // Overruled by a peer that had the outcome already.
                    false => drop(delivery.accept()),
                }
            }
            for delivery in held {
                // R-02: a sender that was lost after it had settled has nothing left to tell.
                match delivery.accept_confirmed().await {
                    Ok(()) => {}
                    Err(SettleError::Overruled(None)) => untold += 1,
                    Err(error) => panic!("{cut:?}: {error}"),
                }
            }
            taken.sort_unstable();
            if mode == ReceiverSettleMode::First {
                // What was settled and not heard of is sent again.
                lost += taken.len() - MESSAGES as usize;
                taken.dedup();
            }
            assert_eq!(taken, (1..=MESSAGES).collect::<Vec<_>>(), "{mode:?} {holds} {cut:?}");
            connection.close().await;
            let mut ended = 0;
            for receipt in std::mem::take(&mut queue.lock().await.receipts) {
                let end: Result<_, SendError> = timeout(PATIENCE, receipt).await.expect("it ends");
                assert_eq!(end.unwrap(), Outcome::Accepted, "{mode:?} {holds} {cut:?}");
                ended += 1;
            }
            assert_eq!(ended, MESSAGES);
        }
        assert_eq!(untold > 0, holds, "{mode:?} {holds}: {untold} were not confirmed");
        assert_eq!(lost > 0, mode == ReceiverSettleMode::First, "{mode:?}: {lost} came twice");
    }
}
