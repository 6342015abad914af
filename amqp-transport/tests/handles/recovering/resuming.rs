//! Recovering senders that resume their links.

use std::time::Duration;

use amqp_codec::{Outcome, ReceiverSettleMode};
use amqp_transport::client::{DetachReason, SenderOptions};
use amqp_transport::recovery::{RecoveringConnection, RecoveringSender, Resend, Unsettled};
use amqp_transport::server::AcceptOptions;
use amqp_transport::{Delivery, Receipt, Receiver, SendError};
use tokio::time::{Instant, timeout};

use super::net::*;
use crate::support::*;

const KEPT: Unsettled = Unsettled::Resume { kept_bytes: 1 << 16 };

fn second() -> SenderOptions {
    SenderOptions::new("s", "queue").rcv_settle_mode(ReceiverSettleMode::Second)
}

fn cuts() -> impl Iterator<Item = Meets> {
    (150..1_200).step_by(3).map(Meets::Cut).chain((150..900).step_by(3).map(Meets::CutBack))
}

/// Sends so many at once through a connection that is cut, and says how each ended.
async fn send_through(
    connection: &RecoveringConnection<Net>,
    options: SenderOptions,
    resend: Resend,
) -> Vec<Result<Outcome, SendError>> {
    let sender = connection.sender(options).unsettled(KEPT).resend(resend);
    let mut receipts = Vec::new();
    for number in 1..=MESSAGES {
        let handed = timeout(PATIENCE, sender.send_with_receipt(&numbered(number))).await;
        receipts.push(handed.unwrap().unwrap());
    }
    let mut ends = Vec::new();
    for receipt in receipts {
        // Though nothing more is sent.
        ends.push(timeout(PATIENCE, receipt).await.unwrap());
    }
    ends
}

const MESSAGES: u32 = 5;

// D-030: where both ends remember, wherever the stream is cut.
#[tokio::test(start_paused = true)]
async fn a_resumed_link_in_mode_second_has_each_message_taken_exactly_once() {
    for cut in cuts() {
        let (net, brokers) = Net::new([cut]);
        net.resume_all(brokers);
        let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
        let ends = send_through(&connection, second(), Resend::UntilKnown).await;
        assert!(ends.iter().all(|end| *end.as_ref().unwrap() == Outcome::Accepted), "{cut:?}: {ends:?}");
        let mut taken = net.taken();
        taken.sort_unstable();
        assert_eq!(taken, (1..=MESSAGES).collect::<Vec<_>>(), "{cut:?}");
        connection.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumed_link_never_repeats_what_may_have_been_taken_unless_its_owner_allows_it() {
    for (resend, resumes) in [
        (Resend::Never, true),
        (Resend::Never, false),
        (Resend::UntilKnown, true),
        (Resend::UntilKnown, false),
    ] {
        let (mut unknown, mut doubled) = (0, 0);
        for cut in cuts() {
            let (net, brokers) = Net::new([cut]);
            match resumes {
                true => net.resume_all(brokers),
                // A peer that knows nothing of resuming attaches the link afresh.
                false => net.serve_all(brokers),
            }
            let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
            let ends = send_through(&connection, SenderOptions::new("s", "queue"), resend).await;
            let taken = net.taken();
            for (number, end) in (1..).zip(ends) {
                let times = taken.iter().filter(|taken| **taken == number).count();
                match (end, resend) {
                    (Ok(Outcome::Accepted), Resend::Never) => assert_eq!(times, 1, "{cut:?}: {number}"),
                    (Ok(Outcome::Accepted), _) => {
                        assert!((1..=2).contains(&times), "{cut:?}: {number} taken {times} times");
                        doubled += times - 1;
                    }
                    (Err(SendError::OutcomeUnknown(_)), Resend::Never) => {
                        assert!(times <= 1, "{cut:?}: {number}");
                        unknown += 1;
                    }
                    (other, _) => panic!("{cut:?}: {number}: {other:?}"),
                }
            }
            connection.close().await;
        }
        match resend {
            Resend::Never => assert!(unknown > 0 && doubled == 0, "nothing was tested"),
            _ => assert!(unknown == 0 && doubled > 0, "the price was never paid"),
        }
    }
}

/// A sender with a message that its peer holds.
async fn with_one_held(
    connection: &RecoveringConnection<Net>,
    broker: &Broker,
) -> (RecoveringSender<Net>, Receipt, (Receiver, Delivery)) {
    let sender = connection.sender(SenderOptions::new("s", "queue")).unsettled(KEPT);
    let accepting = broker.takes();
    let message = numbered(1);
    let (receipt, receiver) = tokio::join!(sender.send_with_receipt(&message), accepting);
    let held = receiver.recv().await.unwrap();
    (sender, receipt.unwrap(), (receiver, held))
}

// Nothing waits for ever: not for a connection that does not come back, not for a sender that is gone, not for a close.
#[tokio::test(start_paused = true)]
async fn messages_that_nobody_can_resume_end_as_unknown() {
    for way in ["outage", "dropped", "closed", "detached"] {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let (sender, mut receipt, _held) = with_one_held(&connection, &broker).await;
        let _net = net.clone().then(Meets::Nobody);
        broker.cut();
        let start = Instant::now();
        assert!(timeout(Duration::from_secs(3), &mut receipt).await.is_err(), "it may be resumed");
        let mut kept = Some(sender);
        match way {
            "dropped" => drop(kept.take()),
            "closed" => connection.close().await,
            "detached" => kept.as_ref().unwrap().detach().await,
            _ => {}
        }
        let error = timeout(PATIENCE, receipt).await.expect(way).unwrap_err();
        assert!(matches!(error, SendError::OutcomeUnknown(DetachReason::Lost(_))), "{way}: {error}");
        let waited = if way == "outage" { 240 } else { 3 };
        assert_eq!(start.elapsed().as_secs(), waited, "{way}");
    }
}

// A caller who leaves while the link is being resumed takes nobody's messages with him.
#[tokio::test(start_paused = true)]
async fn a_dropped_send_does_not_stop_a_link_from_being_resumed() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let (sender, receipt, _held) = with_one_held(&connection, &broker).await;
    broker.cut();
    let again = brokers.recv().await.unwrap();
    assert!(timeout(Duration::from_millis(5), sender.send(&numbered(2))).await.is_err());
    let attach = next_attach(&again.server).await;
    assert!(attach.attach().unsettled.as_ref().is_some_and(|map| map.iter().count() == 1));
    let _receiver = attach.accept_receiver(AcceptOptions::new()).unwrap();
    let error = receipt.await.unwrap_err();
    assert!(matches!(error, SendError::OutcomeUnknown(DetachReason::NotRetained)), "{error}");
}

// A peer that refuses to resume for good leaves nobody waiting; one that refuses for now is asked again.
#[tokio::test(start_paused = true)]
async fn a_link_that_is_refused_is_resumed_later_or_ends_its_messages() {
    use amqp_codec::ErrorCondition;
    for (condition, is_final) in
        [(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, false), (ErrorCondition::UNAUTHORIZED_ACCESS, true)]
    {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let (sender, receipt, _held) = with_one_held(&connection, &broker).await;
        let sender = sender.resend(Resend::UntilKnown);
        broker.cut();
        let again = brokers.recv().await.unwrap();
        next_attach(&again.server).await.refuse(error(condition, "no"));
        if is_final {
            let end = timeout(PATIENCE, receipt).await.expect("it ends").unwrap_err();
            assert!(matches!(end, SendError::OutcomeUnknown(_)), "{end}");
            continue;
        }
        let receiver = again.takes().await;
        receiver.recv().await.unwrap().accept().unwrap();
        let end = timeout(PATIENCE, receipt).await.expect("it ends");
        assert_eq!(end.unwrap(), Outcome::Accepted);
        drop((receiver, sender));
    }
}
