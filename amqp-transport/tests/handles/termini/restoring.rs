//! Links over a restart of the listener's process, or of the client's: written down, read back, and gone on with.

use amqp_transport::SuspendedSender;
use amqp_transport::engine::SuspendedLink;
use amqp_transport::server::{RecordError, TerminusRecord};
use bytes::Bytes;

use super::*;

fn durable_termini() -> Termini {
    let mut limits = TerminusLimits::default();
    limits.durability = TerminusDurability::UnsettledState;
    Termini::new(limits)
}

/// All that a process leaves behind.
fn write_down(termini: &Termini) -> Vec<Bytes> {
    termini.records().iter().map(|record| record.encode().unwrap()).collect()
}

/// What the next one makes of it.
fn read_back(octets: &[Bytes]) -> Termini {
    let termini = durable_termini();
    for octets in octets {
        let record = TerminusRecord::decode(octets, &TerminusLimits::default()).unwrap();
        termini.restore(record).unwrap();
    }
    termini
}

fn durable_target(durable: TerminusDurability) -> SenderOptions {
    let mut target = Target { address: Some("/q".into()), durable, ..Target::default() };
    (target.expiry_policy, target.timeout) = (Policy::ConnectionClose, MINUTE);
    SenderOptions::new("L", target).keep_unsettled(1 << 20)
}

fn durable_source() -> ReceiverOptions {
    let durable = TerminusDurability::UnsettledState;
    let mut source = Source { address: Some("/q".into()), durable, ..Source::default() };
    (source.expiry_policy, source.timeout) = (Policy::ConnectionClose, MINUTE);
    ReceiverOptions::new("L", source).keep_unsettled()
}

// L-009, L-016, L-053, R-02 to R-07: what is kept of a link is what its durability says, and nothing is lost with any.
#[tokio::test(start_paused = true)]
async fn what_a_peer_sent_before_a_restart_ends_once_after_it() {
    use TerminusDurability::{Configuration, None as Nothing, UnsettledState};
    for (durable, records, again) in [
        (Nothing, 0, vec![0, 1, 2, 3]),
        (Configuration, 1, vec![0, 1, 2, 3]),
        (UnsettledState, 1, vec![1, 2, 3]),
    ] {
        let termini = durable_termini();
        let Joined { client, server, session, relay } = join(&termini).await;
        let (sender, receiver) = sending(&session, &server, durable_target(durable), keep()).await;
        let mut receipts = Vec::new();
        for number in 0..4 {
            receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
        }
        // Of the two that are held one is in a store of the application's own.
        let (stored, held) = (receiver.recv().await.unwrap(), receiver.recv().await.unwrap());
        let stored_tag = *stored.tag();
        relay.abort();
        let _ = tokio::join!(client.closed(), server.connection().closed());
        let octets = write_down(&termini);
        assert_eq!(octets.len(), records, "{durable:?}");
        drop((stored, held, receiver, server, termini));

        let termini = read_back(&octets);
        let sender = sender.suspended().await.unwrap();
        let Joined { client: _client, server, session, .. } = join(&termini).await;
        let accepting = async {
            let attach = next_attach(&server).await;
            assert_eq!(attach.is_kept(), records == 1);
            let Some(mut kept) = attach.take_kept_receiver() else {
                return attach.accept_receiver(keep()).unwrap();
            };
            assert!(matches!(kept.reason(), DetachReason::Restored));
            let tags: Vec<_> = kept.tags().copied().collect();
            assert_eq!(tags.len(), if durable == UnsettledState { 2 } else { 0 });
            for tag in tags {
                let is_done = match tag == stored_tag {
                    true => kept.settle(&tag, DeliveryState::Accepted),
                    false => kept.forget(&tag) && !kept.forget(&tag),
                };
                assert!(is_done);
            }
            attach.resume_receiver(keep(), kept).unwrap()
        };
        let (sender, receiver) =
            tokio::join!(session.resume_sender(durable_target(durable), sender), accepting);
        let _sender = sender.unwrap();
        for number in again {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(number_of(&delivery.message().unwrap()), number, "{durable:?}");
            delivery.accept().unwrap();
        }
        for receipt in receipts {
            assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
        }
        assert!(is_stuck(&mut Box::pin(receiver.recv())).await);
    }
}

// L-009, L-016, R-03 to R-07: no receipt outlives its process, but each message gets one in the next.
#[tokio::test(start_paused = true)]
async fn what_a_listener_sent_before_its_restart_ends_once_after_it() {
    let termini = durable_termini();
    let Joined { client, server, session, relay } = join(&termini).await;
    let (receiver, sender) = receiving(&session, &server, durable_source(), keep()).await;
    for number in 0..4 {
        drop(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    let (decided, held) = (receiver.recv().await.unwrap(), receiver.recv().await.unwrap());
    relay.abort();
    let _ = tokio::join!(client.closed(), server.connection().closed());
    let octets = write_down(&termini);
    drop((sender, server, termini));

    let termini = read_back(&octets);
    let mut suspended = receiver.suspended().await.unwrap();
    assert!(suspended.settle(decided.tag(), DeliveryState::Accepted));
    let Joined { client: _client, server, session, .. } = join(&termini).await;
    let accepting = async {
        let attach = next_attach(&server).await;
        let kept = attach.take_kept_sender().unwrap();
        assert_eq!(kept.undecided_messages(), 4);
        let messages = kept.as_link().deliveries.iter().map(|delivery| delivery.tag).collect::<Vec<_>>();
        (attach.resume_sender(keep(), kept).unwrap(), messages)
    };
    let (receiver, (mut sender, messages)) =
        tokio::join!(session.resume_receiver(durable_source(), suspended), accepting);
    let receiver = receiver.unwrap();
    let receipts = sender.take_receipts();
    assert!(sender.take_receipts().is_empty());
    assert_eq!(receipts.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), messages);
    // A new one is named as none of before.
    let new = sender.send_with_receipt(&numbered(4)).await.unwrap();
    receiver.adopt(held).await.unwrap().accept().unwrap();
    for number in 2..5 {
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), number);
        if number == 3 { delivery.reject(None).unwrap() } else { delivery.accept().unwrap() }
    }
    let mut outcomes = Vec::new();
    for (_, receipt) in receipts {
        outcomes.push(receipt.await.unwrap());
    }
    assert!(matches!(
        outcomes[..],
        [Outcome::Accepted, Outcome::Accepted, Outcome::Accepted, Outcome::Rejected(_)]
    ));
    assert_eq!(new.await.unwrap(), Outcome::Accepted);
}

/// A sender with two messages that a client's process left behind.
async fn left_by_a_client() -> SuspendedLink {
    let termini = durable_termini();
    let Joined { server, session, relay, .. } = join(&termini).await;
    let options = durable_target(TerminusDurability::UnsettledState);
    let (sender, _receiver) = sending(&session, &server, options, keep()).await;
    for number in 0..2 {
        drop(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    relay.abort();
    let suspended = sender.suspended().await.unwrap();
    assert!(SuspendedReceiver::from_link(suspended.as_link().clone()).is_none());
    let key = amqp_transport::server::TerminusKey {
        identity: None,
        container_id: "server".into(),
        name: "L".into(),
        role: amqp_codec::Role::Sender,
    };
    let record = TerminusRecord::new(key, suspended.as_link().clone(), Duration::MAX);
    let octets = record.encode().unwrap();
    TerminusRecord::decode(&octets, &TerminusLimits::default()).unwrap().link
}

// an attach that fails takes nothing of an earlier process' messages with it.
#[tokio::test(start_paused = true)]
async fn a_client_that_was_restarted_goes_on_at_its_second_attempt() {
    let options = || durable_target(TerminusDurability::UnsettledState);
    let suspended = SuspendedSender::from_link(left_by_a_client().await).unwrap();
    assert_eq!(suspended.undecided_messages(), 2);
    let termini = durable_termini();
    let first = join(&termini).await;
    let cutting = async {
        let attach = next_attach(&first.server).await;
        first.relay.abort();
        first.client.closed().await;
        drop(attach);
    };
    let (failed, ()) = tokio::join!(first.session.resume_sender(options(), suspended), cutting);
    let suspended = failed.unwrap_err().suspended.unwrap();
    assert_eq!(suspended.undecided_messages(), 2);
    let second = join(&termini).await;
    let accepting = async { next_attach(&second.server).await.accept_receiver(keep()).unwrap() };
    let (sender, receiver) = tokio::join!(second.session.resume_sender(options(), *suspended), accepting);
    let mut sender = sender.unwrap();
    let receipts = sender.take_receipts();
    assert_eq!(receipts.len(), 2);
    for (number, (_, receipt)) in (0..).zip(receipts) {
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), number);
        delivery.accept().unwrap();
        assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    }
}

// L-016: the time of a terminus goes on where it was, and a name that is in use stays with who uses it.
#[tokio::test(start_paused = true)]
async fn a_link_of_an_earlier_process_expires_and_replaces_none() {
    let termini = durable_termini();
    let old = join(&termini).await;
    let options = || durable_target(TerminusDurability::UnsettledState);
    let (_sender, receiver) = sending(&old.session, &old.server, options(), keep()).await;
    assert!(termini.records().is_empty(), "it is attached");
    old.relay.abort();
    old.server.connection().closed().await;
    sleep(Duration::from_secs(20)).await;
    let octets = write_down(&termini);
    drop((receiver, old, termini));
    let record = || TerminusRecord::decode(&octets[0], &TerminusLimits::default()).unwrap();
    let termini = read_back(&octets);
    assert_eq!(termini.restore(record()), Err(LossCause::Replaced));
    let new = join_as(&termini, "another", "client").await;
    sleep(Duration::from_millis(39_500)).await;
    assert_eq!(termini.len(), 1);
    sleep(Duration::from_secs(1)).await;
    assert!(termini.is_empty());
    assert_eq!(lost(&termini).await, Some(("L".to_owned(), LossCause::Expired, 0)));
    // Attached by somebody who has begun anew.
    let newer = join(&termini).await;
    let (_sender, _receiver) = sending(&newer.session, &newer.server, options(), keep()).await;
    assert_eq!(termini.restore(record()), Err(LossCause::Replaced));
    assert!(termini.is_empty());
    let mut limits = TerminusLimits::default();
    limits.octets_per_identity = 10;
    assert_eq!(Termini::new(limits.clone()).restore(record()), Err(LossCause::NoRoom));
    assert_eq!(TerminusRecord::decode(&octets[0], &limits).unwrap_err(), RecordError::TooLarge);
    drop(new);
}

// an attach that fails gives back what was left, not what was let go of meanwhile.
#[tokio::test(start_paused = true)]
async fn what_was_forgotten_before_an_attach_failed_is_neither_kept_nor_written_down() {
    let termini = durable_termini();
    let old = join(&termini).await;
    let options = || durable_target(TerminusDurability::UnsettledState);
    let (sender, receiver) = sending(&old.session, &old.server, options(), keep()).await;
    let mut held = Vec::new();
    for number in 0..3 {
        drop(sender.send_with_receipt(&numbered(number)).await.unwrap());
        held.push(receiver.recv().await.unwrap());
    }
    old.relay.abort();
    old.server.connection().closed().await;

    let new = join(&termini).await;
    let session = new.session.clone();
    let attaching = tokio::spawn(async move { session.attach_sender(options()).await.map(drop) });
    let attach = next_attach(&new.server).await;
    let mut kept = attach.take_kept_receiver().unwrap();
    assert!(kept.forget(held[1].tag()));
    new.session.end().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    attach.resume_receiver(keep(), kept).unwrap_err();
    attaching.await.unwrap().unwrap_err();
    let tags: Vec<_> = termini.records()[0].link.deliveries.iter().map(|delivery| delivery.tag).collect();
    assert_eq!(tags, [*held[0].tag(), *held[2].tag()]);
}
