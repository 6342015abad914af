//! Connections that come back: who is told what, in which order, after which time.

mod forms;
mod incomplete;
pub(crate) mod net;
mod receiving;
mod resuming;
mod sessions;

use std::time::Duration;

use amqp_codec::{ErrorCondition, Outcome};
use amqp_transport::client::{AttachError, DetachReason, EndReason, SenderOptions};
use amqp_transport::recovery::{
    Hooks, LinkEnd, LinkVerdict, RecoveringConnection, RecoveryError, RecoveryStatus, Resend, SendFailure,
    WhileDown,
};
use amqp_transport::server::AcceptOptions;
use amqp_transport::{CreditMode, ReceiverOptions, SendError, SettleError};
use tokio::time::{Instant, timeout};

use crate::support::*;
use net::*;

fn to_queue() -> SenderOptions {
    SenderOptions::new("s", "queue")
}

fn from_queue() -> ReceiverOptions {
    ReceiverOptions::new("r", "queue")
}

#[tokio::test(start_paused = true)]
async fn wherever_the_stream_is_cut_a_send_ends_honestly_and_the_next_one_works() {
    let mut told_unknown = 0;
    for cut in 0..480 {
        let (net, brokers) = Net::new([Meets::Cut(cut)]);
        net.serve_all(brokers);
        let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
        let sender = connection.sender(to_queue());
        let first = timeout(PATIENCE, sender.send(&numbered(1))).await.expect("a send ends");
        let taken = net.taken();
        match first {
            Ok(Outcome::Accepted) => assert_eq!(taken, [1], "cut after {cut}"),
            Err(failure) => {
                assert!(!failure.is_not_sent(), "cut after {cut}: {failure}");
                assert!(taken.len() <= 1, "cut after {cut}: never sent twice");
                told_unknown += 1;
            }
            other => panic!("cut after {cut}: {other:?}"),
        }
        // The cut may still be to come, and then hits one of these.
        let mut lost = 0;
        for number in 2..8 {
            let next = timeout(PATIENCE, sender.send(&numbered(number))).await.expect("a send ends");
            lost += usize::from(next.is_err());
            assert!(next.is_ok() || !next.unwrap_err().is_not_sent(), "cut after {cut}");
        }
        assert!(lost <= 1, "cut once, after {cut}");
        connection.close().await;
    }
    assert!(told_unknown > 0, "no cut fell between a transfer and its outcome");
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_resends_has_every_message_taken_at_least_once() {
    let mut doubled = 0;
    for cut in 0..480 {
        let (net, brokers) = Net::new([Meets::Cut(cut)]);
        net.serve_all(brokers);
        let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
        let sender = connection.sender(to_queue()).resend(Resend::UntilKnown);
        let sent = timeout(PATIENCE, sender.send(&numbered(1))).await.expect("a send ends");
        assert_eq!(sent.unwrap(), Outcome::Accepted, "cut after {cut}");
        match net.taken()[..] {
            [1] => {}
            [1, 1] => doubled += 1,
            ref other => panic!("cut after {cut}: {other:?}"),
        }
        connection.close().await;
    }
    assert!(doubled > 0, "the price of resending was never paid, so nothing was tested");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_taken_is_not_told_as_not_sent_by_later_attempts_that_find_nobody() {
    let mut told_unknown = 0;
    for cut in 0..480 {
        let (net, brokers) = Net::new([Meets::Cut(cut)]);
        let net = net.then(Meets::Nobody);
        net.serve_all(brokers);
        let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
        let sender = connection.sender(to_queue()).resend(Resend::UntilKnown);
        let end = if cut % 2 == 0 {
            sender.send(&numbered(1)).await
        } else {
            sender.send_all(&[numbered(1)]).await.remove(0)
        };
        // The broker has it, and said so to nobody.
        if let Err(failure) = end
            && net.taken() == [1]
        {
            assert!(!failure.is_not_sent(), "cut after {cut}: {failure:?}");
            told_unknown += 1;
        }
        connection.close().await;
    }
    assert!(told_unknown > 0, "no cut fell between a transfer and its outcome");
}

#[tokio::test(start_paused = true)]
async fn addresses_are_tried_in_order_and_rounds_back_off_to_the_millisecond() {
    let (net, mut brokers) = Net::new([]);
    let net = net.then(Meets::Nobody);
    let error = RecoveringConnection::open(addresses("a b c"), options(), net.clone()).await.unwrap_err();
    assert!(matches!(error, RecoveryError::Connect { address, .. } if address.host() == "c"));
    assert_eq!(net.log(), ["0 a", "0 b", "0 c"], "the first connection tries each once");

    let (net, _brokers) = Net::new([]);
    let net = net.then(Meets::Nobody);
    let connection = RecoveringConnection::start(addresses("a b"), options(), net.clone());
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    let rounds = ["0", "0", "100", "300", "700", "1500"];
    let expected: Vec<String> = rounds.iter().flat_map(|at| [format!("{at} a"), format!("{at} b")]).collect();
    assert_eq!(net.log(), expected);
    let status = connection.status().borrow().clone();
    let RecoveryStatus::Reconnecting { attempt: 6, pause, .. } = status else { panic!("{status:?}") };
    assert_eq!(pause, Duration::from_millis(1_600));
    assert!(brokers.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_the_address_that_worked_is_tried_first_and_the_others_follow() {
    let (net, mut brokers) = Net::new([Meets::Nobody, Meets::Broker]);
    let connection = RecoveringConnection::open(addresses("a b c"), options(), net.clone()).await.unwrap();
    let broker = brokers.recv().await.unwrap();
    net.script([Meets::Nobody, Meets::Nobody]);
    broker.cut();
    let mut status = connection.status();
    let again = |status: &RecoveryStatus<RecoveryError>| {
        matches!(status, RecoveryStatus::Connected { generation: 2 })
    };
    timeout(PATIENCE, status.wait_for(again)).await.unwrap().unwrap();
    let hosts: Vec<String> = net.log().into_iter().filter(|line| !line.contains("at")).collect();
    assert_eq!(hosts, ["0 a", "0 b", "lost 1", "0 b", "0 c", "0 a"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_accepts_and_hangs_up_is_not_hammered() {
    let (net, mut brokers) = Net::new([]);
    let connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
    let start = Instant::now();
    for _ in 0..6 {
        brokers.recv().await.unwrap().cut();
    }
    // 0, 100, 200, 400, 800 ms: the pauses grow as if no connection had been made.
    assert!((1_500..1_600).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    drop(brokers.recv().await.unwrap());
    assert!(start.elapsed() >= Duration::from_millis(3_100));
    drop(connection);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_lasted_starts_the_back_off_anew() {
    let (net, mut brokers) = Net::new([Meets::Nobody, Meets::Nobody, Meets::Nobody]);
    let _connection = RecoveringConnection::start(addresses("a"), options(), net.clone());
    let broker = brokers.recv().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let start = Instant::now();
    broker.cut();
    brokers.recv().await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
}

// Scenario 91: it stops at its bounds.
#[tokio::test(start_paused = true)]
async fn bounds_on_rounds_and_time_end_recovery_and_every_operation() {
    for (bounded, attempts, elapsed) in [
        (options().attempts(3), 4, 300),
        (options().time(Duration::from_millis(1_000)), 5, 1_000),
        (options().attempts(0), 1, 0),
    ] {
        let (net, _brokers) = Net::new([]);
        let net = net.then(Meets::Nobody);
        let start = Instant::now();
        let connection = RecoveringConnection::start(addresses("a"), bounded, net.clone());
        let (sender, receiver) = (connection.sender(to_queue()), connection.receiver(from_queue()));
        let message = numbered(1);
        let (sent, received) = tokio::join!(sender.send(&message), receiver.recv());
        assert!(matches!(sent, Err(SendFailure::NotSent(RecoveryError::Connect { .. }))), "{sent:?}");
        assert!(matches!(received, Err(RecoveryError::Connect { .. })));
        assert_eq!(start.elapsed().as_millis(), elapsed);
        assert_eq!(net.log().len(), attempts);
        assert!(matches!(&*connection.status().borrow(), RecoveryStatus::Failed(_)));
        connection.close().await;
    }
}

// Scenario 91: what no repetition mends is not repeated.
#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried_and_bars_its_address_alone() {
    let (net, _brokers) = Net::new([]);
    let net = net.then(Meets::Unauthorized);
    let connection = RecoveringConnection::start(addresses("a b"), options(), net.clone());
    let error = timeout(PATIENCE, connection.live()).await.unwrap().unwrap_err();
    assert!(error.is_auth(), "{error}");
    assert_eq!(net.log(), ["0 a", "0 b"], "each was asked once");

    let (net, mut brokers) = Net::new([Meets::Unauthorized, Meets::Nobody, Meets::Nobody]);
    let connection = RecoveringConnection::start(addresses("a b"), options(), net.clone());
    brokers.recv().await.unwrap();
    timeout(PATIENCE, connection.live()).await.unwrap().unwrap();
    assert_eq!(net.log()[..4], ["0 a", "0 b", "0 b", "100 b"]);
}

#[tokio::test(start_paused = true)]
async fn hooks_are_called_in_order() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    connection.live().await.unwrap();
    tokio::task::yield_now().await;
    broker.cut();
    let again = brokers.recv().await.unwrap();
    while net.log().len() < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(net.log(), ["0 a", "attend 1", "lost 1", "0 a", "attend 2"]);
    drop(again);
}

#[tokio::test(start_paused = true)]
async fn credit_is_granted_again_on_the_next_link() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let by_hand = connection.receiver(from_queue().credit(CreditMode::Manual));
    let by_itself = connection.receiver(ReceiverOptions::new("auto", "queue").credit(CreditMode::Auto(7)));
    by_hand.add_credit(5);
    by_hand.raise_credit(3);
    let accepting = async {
        let first = broker.gives().await;
        first.ready().await.unwrap();
        assert_eq!(first.credit(), 5, "what is raised to 3 has 5 already");
        for number in 0..2 {
            drop(first.send_with_receipt(&numbered(number)).await.unwrap());
        }
        first
    };
    let taking = async {
        for number in 0..2 {
            assert_eq!(number_of(&by_hand.recv().await.unwrap().message().unwrap()), number);
        }
    };
    let (_first, ()) = tokio::join!(accepting, taking);
    broker.cut();
    let broker = brokers.recv().await.unwrap();
    let granted = async {
        for (name, credit) in [("r", 3), ("auto", 7)] {
            let attach = next_attach(&broker.server).await;
            assert_eq!(attach.attach().name.as_str(), name);
            let sender = attach.accept_sender(AcceptOptions::new()).unwrap();
            sender.ready().await.unwrap();
            assert_eq!(sender.credit(), credit, "{name}");
        }
    };
    let attaching = async {
        by_hand.attached().await.unwrap();
        by_itself.attached().await.unwrap();
    };
    timeout(PATIENCE, async { tokio::join!(granted, attaching) }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_a_loss_is_told_so() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let (sender, receiver) = (connection.sender(to_queue()), connection.receiver(from_queue()));
    let serving = async {
        let takes = broker.takes().await;
        let gives = broker.gives().await;
        let given = gives.send_with_receipt(&numbered(7)).await.unwrap();
        (takes.recv().await.unwrap(), takes, gives, given)
    };
    let using = async {
        let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
        (receipt, receiver.recv().await.unwrap())
    };
    let (_held, (receipt, delivery)) = tokio::join!(serving, using);
    broker.cut();
    let error = receipt.await.unwrap_err();
    assert!(matches!(error, SendError::OutcomeUnknown(DetachReason::Lost(_))), "{error}");
    assert!(matches!(delivery.accept_confirmed().await, Err(SettleError::Lost(_))));
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_wait_at_once_while_nothing_is_connected() {
    for meets in [Meets::Nobody, Meets::Silence] {
        let (net, _brokers) = Net::new([]);
        let net = net.then(meets);
        let connection = RecoveringConnection::start(addresses("a"), options(), net);
        let (sender, receiver) = (connection.sender(to_queue()), connection.receiver(from_queue()));
        let waiting = tokio::spawn(async move {
            let message = numbered(1);
            tokio::join!(sender.send(&message), receiver.recv())
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        let start = Instant::now();
        tokio::join!(connection.close(), connection.close());
        assert_eq!(start.elapsed(), Duration::ZERO, "{meets:?}");
        let (sent, received) = waiting.await.unwrap();
        assert!(matches!(sent, Err(SendFailure::NotSent(RecoveryError::Closed))), "{sent:?}");
        assert!(matches!(received, Err(RecoveryError::Closed)));
        assert!(matches!(&*connection.status().borrow(), RecoveryStatus::Closed));
    }
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_is_under_way_up_to_its_bound() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let sender = connection.sender(to_queue());
    let accepting = broker.takes();
    let message = numbered(1);
    let (receipt, link) = tokio::join!(sender.send_with_receipt(&message), accepting);
    let receipt = receipt.unwrap();
    let settling = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        link.recv().await.unwrap().accept().unwrap();
    };
    tokio::join!(connection.close(), settling);
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);

    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let sender = connection.sender(to_queue());
    let accepting = broker.takes();
    let (receipt, _link) = tokio::join!(sender.send_with_receipt(&message), accepting);
    let start = Instant::now();
    connection.close().await;
    assert!((10..11).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(matches!(receipt.unwrap().await, Err(SendError::OutcomeUnknown(_))));
}

#[tokio::test(start_paused = true)]
async fn a_planned_replacement_loses_nothing_even_where_losses_are_final() {
    let (net, brokers) = Net::new([]);
    *net.inner.planned.lock().unwrap() = Some(Duration::from_secs(3));
    net.serve_all(brokers);
    let only_planned = options().attempts(0);
    let connection = RecoveringConnection::open(addresses("a"), only_planned, net.clone()).await.unwrap();
    let sender = connection.sender(to_queue());
    for number in 0..100 {
        assert_eq!(sender.send(&numbered(number)).await.unwrap(), Outcome::Accepted);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = connection.status().borrow().clone();
    assert!(matches!(status, RecoveryStatus::Connected { generation: 3.. }), "{status:?}");
    assert_eq!(net.taken(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_peer_closes_is_made_anew_with_its_links() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let receiver = connection.receiver(from_queue());
    let accepting = broker.gives();
    let (attached, gone) = tokio::join!(receiver.attached(), accepting);
    attached.unwrap();
    broker.server.close(Some(error(ErrorCondition::CONNECTION_FORCED, "going down"))).await.unwrap();
    drop(gone);
    let broker = brokers.recv().await.unwrap();
    let giving = async {
        let gives = broker.gives().await;
        drop(gives.send_with_receipt(&numbered(2)).await.unwrap());
        gives
    };
    let (delivery, _gives) = tokio::join!(receiver.recv(), giving);
    assert_eq!(number_of(&delivery.unwrap().message().unwrap()), 2);
}

#[tokio::test(start_paused = true)]
async fn operations_that_chose_not_to_wait_fail_at_once() {
    let (net, _brokers) = Net::new([]);
    let net = net.then(Meets::Nobody);
    let impatient = options().while_down(WhileDown::Fail);
    let connection = RecoveringConnection::start(addresses("a"), impatient, net);
    let sender = connection.sender(to_queue());
    let start = Instant::now();
    let sent = sender.send(&numbered(1)).await;
    assert!(matches!(&sent, Err(SendFailure::NotSent(RecoveryError::NotConnected))), "{sent:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = sender.send(&numbered(1)).await;
    assert!(matches!(&sent, Err(SendFailure::NotSent(RecoveryError::Connect { .. }))), "{sent:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

// Scenario 91: links come back, those that were detached for good do not.
#[tokio::test(start_paused = true)]
async fn a_link_is_attached_again_only_where_that_may_help_and_only_so_often() {
    for (condition, attaches, elapsed) in
        [(ErrorCondition::NOT_FOUND, 1, 0), (ErrorCondition::RESOURCE_LIMIT_EXCEEDED, 6, 3_100)]
    {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let refusing = tokio::spawn(async move {
            for number in 1.. {
                match broker.server.next().await {
                    Ok(amqp_transport::server::Incoming::Attach(attach)) => {
                        attach.refuse(error(condition.clone(), "no"));
                    }
                    _ => return number - 1,
                }
            }
            0
        });
        let sender = connection.sender(to_queue());
        let start = Instant::now();
        let sent = sender.send(&numbered(1)).await;
        assert!(matches!(&sent, Err(SendFailure::NotSent(RecoveryError::Attach { .. }))), "{sent:?}");
        assert_eq!(start.elapsed().as_millis(), elapsed);
        assert_eq!(connection.live().await.unwrap().generation(), 1, "the connection is not at fault");
        connection.close().await;
        assert_eq!(refusing.await.unwrap(), attaches);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_an_attach_costs_the_connection_and_not_the_sender() {
    let (net, mut brokers) = Net::new([]);
    let quick = options().operation_timeout(Duration::from_secs(5)).attempt_timeout(Duration::from_secs(2));
    let connection = RecoveringConnection::open(addresses("a"), quick, net.clone()).await.unwrap();
    let _silent = brokers.recv().await.unwrap();
    let sender = connection.sender(to_queue());
    assert!(matches!(sender.send(&numbered(1)).await, Err(SendFailure::TimedOut)));
    let broker = timeout(PATIENCE, brokers.recv()).await.unwrap().unwrap();
    let (_serving, _) = broker.serve(&net);
    assert_eq!(sender.send(&numbered(2)).await.unwrap(), Outcome::Accepted);
    assert_eq!(net.taken(), [2]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_given_up_in_its_time() {
    let (net, mut brokers) = Net::new([Meets::Silence]);
    let quick = options().attempt_timeout(Duration::from_secs(2));
    let _connection = RecoveringConnection::start(addresses("a"), quick, net.clone());
    brokers.recv().await.unwrap();
    assert_eq!(net.log()[..2], ["0 a", "2000 a"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_connection() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let sender = connection.sender(to_queue());
    let mut status = connection.status();
    drop(connection);
    assert!(status.borrow().is_connected(), "a sender keeps it");
    drop(sender);
    timeout(PATIENCE, status.wait_for(RecoveryStatus::is_final)).await.unwrap().unwrap();
    let reason = timeout(PATIENCE, broker.server.connection().closed()).await.unwrap();
    assert!(matches!(reason, amqp_transport::ConnectionError::ClosedByPeer), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn without_an_address_nothing_is_tried() {
    let (net, _brokers) = Net::new([]);
    let error = RecoveringConnection::open([], options(), net.clone()).await.unwrap_err();
    assert!(matches!(error, RecoveryError::NoAddress));
    let connection = RecoveringConnection::start([], options(), net.clone());
    assert!(matches!(connection.live().await, Err(RecoveryError::NoAddress)));
    assert!(net.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_is_begun_anew() {
    let (net, brokers) = Net::new([]);
    net.serve_all(brokers);
    let connection = RecoveringConnection::open(addresses("a"), options(), net.clone()).await.unwrap();
    let sender = connection.sender(to_queue());
    assert_eq!(sender.send(&numbered(1)).await.unwrap(), Outcome::Accepted);
    connection.live().await.unwrap().session().end().await.unwrap();
    assert_eq!(sender.send(&numbered(2)).await.unwrap(), Outcome::Accepted);
    assert_eq!(connection.live().await.unwrap().generation(), 2);
    assert_eq!(net.taken(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_first_round_that_hangs_ends_at_the_bound_on_time() {
    let (net, _brokers) = Net::new([]);
    let net = net.then(Meets::Silence);
    let start = Instant::now();
    let bounded = options().time(Duration::from_secs(3));
    let connection = RecoveringConnection::start(addresses("a b"), bounded, net.clone());
    let failed = timeout(PATIENCE, connection.live()).await.unwrap();
    assert!(matches!(failed, Err(RecoveryError::TimedOut { .. })), "{failed:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn settled_messages_that_came_before_a_loss_are_still_given() {
    for attaches_first in [false, true] {
        let (net, mut brokers) = Net::new([]);
        let (connection, broker) = connected(&net, &mut brokers).await;
        let receiver = connection.receiver(from_queue());
        let giving = async {
            let gives = broker.gives().await;
            for number in 1..=3 {
                gives.send_settled(&numbered(number)).await.unwrap();
            }
            gives
        };
        let (attached, _gives) = tokio::join!(receiver.attached(), giving);
        attached.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        broker.cut();
        let (_serving, mut given) = brokers.recv().await.unwrap().serve(&net);
        if attaches_first {
            receiver.attached().await.unwrap();
        }
        for number in 1..=3 {
            let delivery = timeout(PATIENCE, receiver.recv()).await.expect("nothing is lost").unwrap();
            assert_eq!(number_of(&delivery.message().unwrap()), number);
        }
        let giving = async { given.recv().await.unwrap().send_settled(&numbered(4)).await.unwrap() };
        let (next, ()) = tokio::join!(timeout(PATIENCE, receiver.recv()), giving);
        assert_eq!(number_of(&next.unwrap().unwrap().message().unwrap()), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn settled_messages_that_come_while_a_connection_is_replaced_are_still_given() {
    let (net, brokers) = Net::new([]);
    *net.inner.planned.lock().unwrap() = Some(Duration::from_secs(3));
    let mut brokers = brokers;
    let (connection, broker) = connected(&net, &mut brokers).await;
    let receiver = connection.receiver(from_queue());
    let giving = async {
        let gives = broker.gives().await;
        for number in 1..=3 {
            gives.send_settled(&numbered(number)).await.unwrap();
        }
        gives
    };
    let (attached, _gives) = tokio::join!(receiver.attached(), giving);
    attached.unwrap();
    let _next = timeout(PATIENCE, brokers.recv()).await.unwrap().unwrap();
    for number in 1..=3 {
        let delivery = timeout(PATIENCE, receiver.recv()).await.expect("nothing is lost").unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), number);
    }
}

#[tokio::test(start_paused = true)]
async fn credit_used_by_messages_that_wait_is_not_granted_twice() {
    let (net, mut brokers) = Net::new([]);
    let (connection, broker) = connected(&net, &mut brokers).await;
    let receiver = connection.receiver(from_queue().credit(CreditMode::Manual));
    receiver.add_credit(5);
    let giving = async {
        let gives = broker.gives().await;
        for number in 1..=2 {
            gives.send_settled(&numbered(number)).await.unwrap();
        }
        gives
    };
    let (attached, _gives) = tokio::join!(receiver.attached(), giving);
    attached.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker.cut();
    let (_serving, mut given) = brokers.recv().await.unwrap().serve(&net);
    receiver.attached().await.unwrap();
    let gives = given.recv().await.unwrap();
    gives.ready().await.unwrap();
    assert_eq!(gives.credit(), 3, "two of five are used up");
}

#[tokio::test(start_paused = true)]
async fn a_session_ended_for_good_over_one_link_is_told_and_not_tried_again_for_ever() {
    let (net, _brokers) = Net::new([]);
    for (condition, is_final) in
        [(ErrorCondition::NOT_FOUND, true), (ErrorCondition::RESOURCE_LIMIT_EXCEEDED, false)]
    {
        let ended = EndReason::Remote(error(condition, "no such queue").into());
        let attach = AttachError::SessionEnded(ended.clone());
        let verdict = net.link_verdict("queue", LinkEnd::NotAttached(&attach));
        match verdict {
            LinkVerdict::GiveUp(RecoveryError::Attach { .. }) if is_final => {}
            LinkVerdict::Reconnect if !is_final => {}
            other => panic!("{other:?}"),
        }
        // One that stood need not be at fault.
        let detached = DetachReason::SessionEnded(ended);
        assert!(matches!(net.link_verdict("queue", LinkEnd::Detached(&detached)), LinkVerdict::Reconnect));
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_whose_attach_is_never_answered_ends_with_the_reason() {
    let (net, mut brokers) = Net::new([]);
    let quick = options().operation_timeout(Duration::from_secs(5)).attempt_timeout(Duration::from_secs(2));
    let connection = RecoveringConnection::start(addresses("a"), quick, net.clone());
    let keeping = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(broker) = brokers.recv().await {
            kept.push(broker);
        }
    });
    let received = timeout(PATIENCE, connection.receiver(from_queue()).recv()).await.expect("it ends");
    assert!(matches!(received, Err(RecoveryError::TimedOut { .. })), "{received:?}");
    assert_eq!(net.log().iter().filter(|line| line.ends_with(" a")).count(), 6);
    keeping.abort();
}
