//! Links that a listener keeps: lost, suspended, expired, stolen, and gone on with over other connections.

use std::sync::Arc;
use std::time::Duration;

use amqp_codec::{
    DeliveryState, ErrorCondition, Outcome, Source, Symbol, Target, TargetArchetype, TerminusDurability,
    TerminusExpiryPolicy as Policy,
};
use amqp_transport::client::{AttachError, DetachReason, ReceiverOptions, Sasl, Session};
use amqp_transport::sasl::SaslRequest;
use amqp_transport::server::{
    AcceptOptions, IncomingAttach, ListenerOptions, LossCause, SaslDecision, SaslPeer, SaslPolicy,
    ServerConnection, Termini, TerminusLimits,
};
use amqp_transport::{Connection, RecvError, SendError, SenderOptions, SettleError, SuspendedReceiver};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::cancelling::{at_every_await_point, dropped_after};
use crate::support::*;

mod restoring;

/// A client of this identity and container, joined to a listener that keeps links, by a wire that can be cut.
struct Joined {
    client: Connection,
    server: ServerConnection,
    session: Session,
    relay: JoinHandle<()>,
}

fn listener(termini: &Termini) -> ListenerOptions {
    let decide = |request: &SaslRequest, _: &SaslPeer| match request {
        SaslRequest::Plain { authcid, .. } => SaslDecision::accept(authcid.clone()),
        _ => SaslDecision::Refuse,
    };
    let sasl = SaslPolicy::new([Symbol::from_static("PLAIN")], Arc::new(decide));
    server_options().sasl(sasl).termini(termini.clone())
}

async fn join_as(termini: &Termini, user: &str, container: &'static str) -> Joined {
    let (near, far, relay) = breakable();
    let sasl = Sasl::Plain { user: user.to_owned(), password: "secret".to_owned().into() };
    let options = amqp_transport::ConnectOptions::new(container).sasl(sasl).allow_secrets_without_tls();
    let (client, server) = pair_over(near, far, options, listener(termini)).await;
    let session = session(&client).await;
    Joined { client, server, session, relay }
}

async fn join(termini: &Termini) -> Joined {
    join_as(termini, "user", "client").await
}

fn termini() -> Termini {
    Termini::new(TerminusLimits::default())
}

/// A client's sender whose target the listener keeps so.
fn target(policy: Policy, seconds: u32) -> SenderOptions {
    let address = Some("/q".into());
    let target = Target { address, expiry_policy: policy, timeout: seconds, ..Target::default() };
    SenderOptions::new("L", target).keep_unsettled(1 << 20)
}

/// A client's receiver whose source the listener keeps so.
fn source(policy: Policy, seconds: u32) -> ReceiverOptions {
    let address = Some("/q".into());
    let source = Source { address, expiry_policy: policy, timeout: seconds, ..Source::default() };
    ReceiverOptions::new("L", source).keep_unsettled()
}

fn keep() -> AcceptOptions {
    AcceptOptions::new().keep_unsettled(1 << 20)
}

fn kept_receiver(attach: &IncomingAttach) -> SuspendedReceiver {
    assert!(attach.is_kept());
    attach.take_kept_receiver().unwrap()
}

/// What was lost without anybody waiting.
async fn lost(termini: &Termini) -> Option<(String, LossCause, usize)> {
    let lost = timeout(Duration::from_millis(1), termini.lost()).await.ok()?;
    Some((lost.key.name.to_string(), lost.cause, lost.deliveries))
}

const MINUTE: u32 = 60;

// L-002, L-009, L-016, L-053, R-02 to R-06: nothing is lost and nothing doubled, whatever durability was asked for.
#[tokio::test(start_paused = true)]
async fn a_link_that_lost_its_connection_goes_on_over_the_next_one_of_its_client() {
    use TerminusDurability::{Configuration, None as Nothing, UnsettledState};
    for durable in [Nothing, Configuration, UnsettledState] {
        let termini = termini();
        let Joined { client, server, session, relay } = join(&termini).await;
        let mut target_of = Target { address: Some("/q".into()), durable, ..Target::default() };
        (target_of.expiry_policy, target_of.timeout) = (Policy::ConnectionClose, MINUTE);
        let options = || SenderOptions::new("L", target_of.clone()).keep_unsettled(1 << 20);
        let (sender, receiver) = sending(&session, &server, options(), keep()).await;
        let mut receipts = Vec::new();
        for number in 0..3 {
            receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
        }
        // One is held, one was decided too late, one was never taken.
        let held = receiver.recv().await.unwrap();
        let late = receiver.recv().await.unwrap();
        let tag = *late.tag();
        relay.abort();
        let _ = tokio::join!(client.closed(), server.connection().closed());
        assert!(matches!(late.accept(), Err(SettleError::Lost(_))));
        drop(receiver);
        assert_eq!(termini.len(), 1);
        assert!(termini.octets() > 0);
        sleep(Duration::from_secs(59)).await;

        let sender = sender.suspended().await.unwrap();
        let Joined { client: _client, server, session, .. } = join(&termini).await;
        let accepting = async {
            let attach = next_attach(&server).await;
            let mut kept = kept_receiver(&attach);
            assert_eq!(kept.tags().count(), 2);
            assert!(kept.settle(&tag, DeliveryState::Accepted));
            attach.resume_receiver(keep(), kept).unwrap()
        };
        let (sender, receiver) = tokio::join!(session.resume_sender(options(), sender), accepting);
        let _sender = sender.unwrap();
        receiver.adopt(held).await.unwrap().accept().unwrap();
        let again = receiver.recv().await.unwrap();
        assert_eq!(number_of(&again.message().unwrap()), 2);
        again.accept().unwrap();
        for receipt in receipts {
            assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
        }
        // Attached, its time does not count; lost again, it starts anew.
        sleep(Duration::from_secs(600)).await;
        assert!(receiver.is_attached() && termini.is_empty());
        assert_eq!(lost(&termini).await, None);
    }
}

// L-009, L-016: the listener's receipts wait with the link.
#[tokio::test(start_paused = true)]
async fn what_a_listener_sends_ends_once_over_as_many_connections_as_it_takes() {
    let termini = termini();
    let options = || source(Policy::ConnectionClose, MINUTE);
    let first = join(&termini).await;
    let (receiver, sender) = receiving(&first.session, &first.server, options(), keep()).await;
    let mut receipt = sender.send_with_receipt(&numbered(7)).await.unwrap();
    let mut held = receiver.recv().await.unwrap();
    let mut receiver = Some(receiver);
    let mut sender = Some(sender);
    let mut relay = first.relay;
    for _ in 0..2 {
        relay.abort();
        let suspended = receiver.take().unwrap().suspended().await.unwrap();
        sender.as_ref().unwrap().detached().await;
        drop(sender.take());
        assert!(is_stuck(&mut receipt).await, "it may be resumed");
        let next = join(&termini).await;
        let accepting = async {
            let attach = next_attach(&next.server).await;
            assert!(attach.take_kept_receiver().is_none(), "the peer receives");
            let kept = attach.take_kept_sender().unwrap();
            assert_eq!(kept.undecided_messages(), 1);
            attach.resume_sender(keep(), kept).unwrap()
        };
        let (resumed, accepted) = tokio::join!(next.session.resume_receiver(options(), suspended), accepting);
        let resumed = resumed.unwrap();
        held = resumed.adopt(held).await.unwrap();
        (receiver, sender, relay) = (Some(resumed), Some(accepted), next.relay);
    }
    held.accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

/// How a link ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Suspended,
    SessionEnded,
    ConnectionLost,
}

// L-011, L-016, M-031: each policy, from each end, to the second.
#[tokio::test(start_paused = true)]
async fn a_terminus_expires_when_its_policy_and_its_time_out_say() {
    let rows = [
        (Policy::LinkDetach, End::Suspended, Some(10)),
        (Policy::LinkDetach, End::ConnectionLost, Some(10)),
        (Policy::SessionEnd, End::Suspended, None),
        (Policy::SessionEnd, End::SessionEnded, Some(10)),
        (Policy::SessionEnd, End::ConnectionLost, Some(10)),
        (Policy::ConnectionClose, End::SessionEnded, None),
        (Policy::ConnectionClose, End::ConnectionLost, Some(10)),
        (Policy::Never, End::ConnectionLost, Some(24 * 60 * 60)),
    ];
    for (policy, end, seconds) in rows {
        let termini = termini();
        let Joined { client, server, session, relay } = join(&termini).await;
        let (receiver, sender) = receiving(&session, &server, source(policy, 10), keep()).await;
        let mut receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
        let _held = receiver.recv().await.unwrap();
        match end {
            End::Suspended => drop(receiver.suspend().await.unwrap()),
            End::SessionEnded => session.end().await.unwrap(),
            End::ConnectionLost => relay.abort(),
        }
        sender.detached().await;
        let seconds = match seconds {
            Some(seconds) => seconds,
            None => {
                sleep(Duration::from_secs(60)).await;
                assert_eq!(termini.len(), 1, "{policy:?} {end:?}: its time has not begun");
                match policy {
                    Policy::SessionEnd => session.end().await.unwrap(),
                    _ => client.close().await.unwrap(),
                }
                10
            }
        };
        sleep(Duration::from_millis(seconds * 1_000 - 500)).await;
        assert_eq!(termini.len(), 1, "{policy:?} {end:?}");
        assert!(is_stuck(&mut receipt).await);
        sleep(Duration::from_secs(1)).await;
        assert!(termini.is_empty(), "{policy:?} {end:?}");
        assert_eq!(lost(&termini).await, Some(("L".to_owned(), LossCause::Expired, 1)));
        let error = receipt.await.unwrap_err();
        assert!(matches!(error, SendError::OutcomeUnknown(_)), "{error}");
        drop((server, sender));
    }
}

// L-016: without a time-out a terminus goes with what its policy names; another connection finds nothing.
#[tokio::test(start_paused = true)]
async fn a_terminus_without_a_time_out_goes_with_its_session() {
    let termini = termini();
    let Joined { server, session, relay, .. } = join(&termini).await;
    let (_sender, receiver) = sending(&session, &server, target(Policy::SessionEnd, 0), keep()).await;
    relay.abort();
    receiver.detached().await;
    assert_eq!(lost(&termini).await, Some(("L".to_owned(), LossCause::Expired, 0)));
    let next = join(&termini).await;
    let accepting = async {
        let attach = next_attach(&next.server).await;
        assert!(!attach.is_kept() && attach.take_kept_receiver().is_none());
        attach.accept_receiver(keep()).unwrap()
    };
    let attaching = next.session.attach_sender(target(Policy::SessionEnd, 0));
    assert!(tokio::join!(attaching, accepting).0.is_ok());
}

// L-011: closed, a link leaves nothing, whatever its policy.
#[tokio::test(start_paused = true)]
async fn a_link_that_is_closed_is_not_kept() {
    let termini = termini();
    let Joined { client: _client, server, session, .. } = join(&termini).await;
    let (sender, receiver) = sending(&session, &server, target(Policy::Never, 0), keep()).await;
    sender.detach().await.unwrap();
    receiver.detached().await;
    assert!(termini.is_empty());
    let (_sender, receiver) = sending(&session, &server, target(Policy::Never, 0), keep()).await;
    drop(receiver);
    sleep(Duration::from_secs(1)).await;
    assert!(termini.is_empty());
    assert_eq!(lost(&termini).await, None);
}

// L-001, L-002, scenario 49: a client is back before its old connection is known to be dead.
#[tokio::test(start_paused = true)]
async fn a_link_is_stolen_from_another_connection_of_its_client() {
    let termini = termini();
    let old = join(&termini).await;
    let (sender, receiver) = sending(&old.session, &old.server, target(Policy::SessionEnd, 0), keep()).await;
    let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    let new = join(&termini).await;
    let accepting = async {
        let attach = next_attach(&new.server).await;
        let kept = kept_receiver(&attach);
        assert_eq!(kept.tags().count(), 1);
        assert!(matches!(kept.reason(), DetachReason::Stolen));
        attach.resume_receiver(keep(), kept).unwrap()
    };
    let attaching = new.session.attach_sender(target(Policy::SessionEnd, 0));
    let (newer, resumed) = tokio::join!(attaching, accepting);
    let newer = newer.unwrap();
    // On the old connection both ends hear of it, and nothing else of that connection ends.
    assert!(matches!(receiver.recv().await, Err(RecvError::Detached(DetachReason::Stolen))));
    let DetachReason::Remote(error) = sender.detached().await else { panic!("not told") };
    assert_eq!(error.condition, ErrorCondition::STOLEN);
    assert!(old.client.is_open() && old.server.connection().is_open());
    // The new client knows nothing of the delivery, which it has settled then as far as the receiver knows.
    assert!(matches!(resumed.adopt(held).await, Err(SettleError::Overruled(None))));
    let receipt_of_new = newer.send_with_receipt(&numbered(2)).await.unwrap();
    resumed.recv().await.unwrap().accept().unwrap();
    assert_eq!(receipt_of_new.await.unwrap(), Outcome::Accepted);
    // Of the message that went with the old half only that is known.
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(DetachReason::Remote(_)))));
    drop((old, sender));
    // The end of the old connection is not the end of the new link.
    sleep(Duration::from_secs(1)).await;
    assert!(resumed.is_attached() && termini.is_empty());
}

// L-002: what the listener sent goes on where the link is now.
#[tokio::test(start_paused = true)]
async fn the_messages_of_a_stolen_link_end_on_the_connection_that_stole_it() {
    let termini = termini();
    let options = || source(Policy::SessionEnd, 0);
    let old = join(&termini).await;
    let (_receiver, sender) = receiving(&old.session, &old.server, options(), keep()).await;
    let receipt = sender.send_with_receipt(&numbered(3)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let new = join(&termini).await;
    let accepting = async {
        let attach = next_attach(&new.server).await;
        let kept = attach.take_kept_sender().unwrap();
        attach.resume_sender(keep(), kept).unwrap()
    };
    let (receiver, resumed) = tokio::join!(new.session.attach_receiver(options()), accepting);
    let error = sender.send(&numbered(4)).await.unwrap_err();
    assert!(matches!(error, SendError::Detached(DetachReason::Stolen)), "{error}");
    // The peer answers the detach on the old connection, and then loses it.
    sleep(Duration::from_secs(1)).await;
    old.relay.abort();
    old.server.connection().closed().await;
    let receiver = receiver.unwrap();
    let delivery = receiver.recv().await.unwrap();
    assert_eq!(number_of(&delivery.message().unwrap()), 3);
    delivery.accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    assert!(resumed.is_attached());
}

// L-001, L-002: another identity's, or another container's, is another link.
#[tokio::test(start_paused = true)]
async fn nobody_steals_or_finds_the_link_of_another_client() {
    let termini = termini();
    let first = join(&termini).await;
    let (sender, receiver) = sending(&first.session, &first.server, target(Policy::Never, 0), keep()).await;
    for (user, container) in [("stranger", "client"), ("user", "another")] {
        let other = join_as(&termini, user, container).await;
        let accepting = async {
            let attach = next_attach(&other.server).await;
            assert!(!attach.is_kept() && attach.take_kept_receiver().is_none());
            attach.accept_receiver(keep()).unwrap()
        };
        let attaching = other.session.attach_sender(target(Policy::LinkDetach, 0));
        let (attached, _receiver) = tokio::join!(attaching, accepting);
        assert!(attached.unwrap().is_attached() && receiver.is_attached());
    }
    // Neither does a link of the other direction.
    let (_other, _far) = receiving(&first.session, &first.server, source(Policy::Never, 0), keep()).await;
    assert!(sender.is_attached() && receiver.is_attached());
}

// L-002: also of links that keep nothing; and what is attached without being gone on with is told to be lost.
#[tokio::test(start_paused = true)]
async fn a_link_that_begins_anew_replaces_what_was_kept() {
    let termini = termini();
    let plain = || SenderOptions::new("L", "/q");
    let old = join(&termini).await;
    let (_sender, receiver) = sending(&old.session, &old.server, plain(), AcceptOptions::new()).await;
    let new = join(&termini).await;
    let (_newer, newer) = sending(&new.session, &new.server, target(Policy::Never, 0), keep()).await;
    assert!(matches!(receiver.detached().await, DetachReason::Stolen));
    assert_eq!(lost(&termini).await, None, "it kept nothing");
    new.relay.abort();
    newer.detached().await;
    assert_eq!(termini.len(), 1);
    let (_sender, _receiver) = sending(&old.session, &old.server, plain(), AcceptOptions::new()).await;
    assert!(termini.is_empty());
    assert_eq!(lost(&termini).await, Some(("L".to_owned(), LossCause::Replaced, 0)));
}

// What gives way is told, and its messages end.
#[tokio::test(start_paused = true)]
async fn a_link_that_is_evicted_is_told_as_lost() {
    let mut limits = TerminusLimits::default();
    limits.termini_per_identity = 1;
    let termini = Termini::new(limits);
    let Joined { client: _client, server, session, .. } = join(&termini).await;
    let (receiver, sender) = receiving(&session, &server, source(Policy::Never, 0), keep()).await;
    let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    drop(receiver.suspend().await);
    sender.detached().await;
    let other = SenderOptions::new("M", "/q").keep_unsettled(0);
    let (other, far) = sending(&session, &server, other, keep()).await;
    let _other = other.suspend().await.unwrap();
    far.detached().await;
    assert_eq!(lost(&termini).await, Some(("L".to_owned(), LossCause::Evicted, 1)));
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(DetachReason::ByPeer))));
    assert_eq!(termini.len(), 1);
    // Given up by the application.
    let key = far_key(&server, "M");
    assert!(termini.give_up(&key) && !termini.give_up(&key));
}

fn far_key(server: &ServerConnection, name: &'static str) -> amqp_transport::server::TerminusKey {
    amqp_transport::server::TerminusKey {
        identity: server.identity().user.clone().map(Into::into),
        container_id: server.remote_open().container_id.clone(),
        name: name.into(),
        role: amqp_codec::Role::Receiver,
    }
}

// L-010, L-053: the answer says what is in effect, unless the application says it itself.
#[tokio::test(start_paused = true)]
async fn an_answer_promises_no_more_than_is_kept() {
    let mut limits = TerminusLimits::default();
    limits.time = Duration::from_secs(100);
    let termini = Termini::new(limits);
    let Joined { client: _client, server, session, .. } = join(&termini).await;
    let durable = TerminusDurability::UnsettledState;
    let mut asked = Target { address: Some("/q".into()), durable, ..Target::default() };
    asked.expiry_policy = Policy::Never;
    let own = keep().target(asked.clone());
    let rows = [
        (keep(), TerminusDurability::None, Policy::ConnectionClose, 100),
        (AcceptOptions::new(), durable, Policy::Never, 0),
        (own, durable, Policy::Never, 0),
    ];
    for (accept, durable, policy, seconds) in rows {
        let options = SenderOptions::new("L", asked.clone());
        let (sender, _receiver) = sending(&session, &server, options, accept).await;
        let Some(TargetArchetype::Target(target)) = sender.remote_attach().unwrap().target else { panic!() };
        assert_eq!((target.durable, target.expiry_policy, target.timeout), (durable, policy, seconds));
        sender.detach().await.unwrap();
    }
}

// A link that an attach was to go on with, and did not, is kept for the next.
#[tokio::test(start_paused = true)]
async fn a_failed_resumption_leaves_the_link_kept() {
    let termini = termini();
    let first = join(&termini).await;
    let (receiver, sender) =
        receiving(&first.session, &first.server, source(Policy::ConnectionClose, MINUTE), keep()).await;
    let mut receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    first.relay.abort();
    let _ = (receiver.detached().await, sender.detached().await);
    drop((receiver, sender));
    let second = join(&termini).await;
    {
        let mut attaching = Box::pin(second.session.attach_receiver(source(Policy::ConnectionClose, MINUTE)));
        assert!(is_stuck(&mut attaching).await);
        let attach = next_attach(&second.server).await;
        let kept = attach.take_kept_sender().unwrap();
        assert!(termini.is_empty());
        second.relay.abort();
        second.server.connection().closed().await;
        let error = attach.resume_sender(keep(), kept).unwrap_err();
        assert!(matches!(error.error, AttachError::Lost(_)) && error.suspended.is_none());
    }
    assert_eq!(termini.len(), 1);
    assert!(is_stuck(&mut receipt).await);
    let third = join(&termini).await;
    let accepting = async {
        let attach = next_attach(&third.server).await;
        let kept = attach.take_kept_sender().unwrap();
        attach.resume_sender(keep(), kept).unwrap()
    };
    let attaching = third.session.attach_receiver(source(Policy::ConnectionClose, MINUTE));
    let (receiver, _sender) = tokio::join!(attaching, accepting);
    receiver.unwrap().recv().await.unwrap().accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
}

// An application that goes on by itself takes the link out.
#[tokio::test(start_paused = true)]
async fn a_handle_takes_its_own_link_out_of_the_termini() {
    let termini = termini();
    let joined = join(&termini).await;
    let (_sender, receiver) =
        sending(&joined.session, &joined.server, target(Policy::Never, 0), keep()).await;
    let (_receiver, sender) =
        receiving(&joined.session, &joined.server, source(Policy::Never, 0), keep()).await;
    joined.relay.abort();
    let _ = (receiver.detached().await, sender.detached().await);
    assert_eq!(termini.len(), 2);
    let (receiver, sender) = (receiver.suspended().await, sender.suspended().await);
    assert!(receiver.is_ok() && sender.is_ok() && termini.is_empty());
}

// A store does not outlive its use: no task is left that waits for its links.
#[tokio::test(start_paused = true)]
async fn termini_that_nobody_uses_leave_no_task() {
    must_end_within(PAUSED);
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    {
        let termini = termini();
        let Joined { client, server, session, relay } = join(&termini).await;
        drop(session);
        client.close().await.unwrap();
        drop((client, server));
        relay.await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before);
}

// cancels server::termini: lost
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_a_loss_forgets_none() {
    at_every_await_point(async |polls| {
        let termini = termini();
        let Joined { server, session, relay, .. } = join(&termini).await;
        let (_sender, receiver) = sending(&session, &server, target(Policy::SessionEnd, 0), keep()).await;
        let losing = async {
            relay.abort();
            receiver.detached().await;
        };
        let (heard, ()) = tokio::join!(dropped_after(polls, termini.lost()), losing);
        assert_eq!(lost(&termini).await.is_some(), heard.is_none(), "dropped after {polls}");
        heard.is_some()
    })
    .await;
}

// L-002: locks of connections and of what they share are taken in one order, whoever steals from whom.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_steal_one_link_from_each_other_do_not_wait_for_ever() {
    must_end_within(RUNNING);
    let termini = termini();
    let fights = (0..4_u32).map(|number| {
        let termini = termini.clone();
        tokio::spawn(async move {
            for round in 0..25 {
                let Joined { client, server, session, relay } = join(&termini).await;
                let accepting = async {
                    let attach = next_attach(&server).await;
                    match attach.take_kept_receiver() {
                        Some(kept) => attach.resume_receiver(keep(), kept).ok(),
                        None => attach.accept_receiver(keep()).ok(),
                    }
                };
                let attaching = session.attach_sender(target(Policy::ConnectionClose, MINUTE));
                let (sender, receiver) = tokio::join!(attaching, accepting);
                if let (Ok(sender), Some(receiver)) = (sender, receiver) {
                    // Stolen by then, or not.
                    let _ = sender.send_with_receipt(&numbered(round)).await;
                    let _ = timeout(Duration::from_millis(1), receiver.recv()).await;
                }
                match (number + round) % 3 {
                    0 => relay.abort(),
                    1 => drop(client.close().await),
                    _ => drop(server),
                }
            }
        })
    });
    for fight in fights.collect::<Vec<_>>() {
        timeout(Duration::from_secs(60), fight).await.expect("it goes on").unwrap();
    }
    let Joined { client: _client, server, session, .. } = join(&termini).await;
    let (_sender, receiver) =
        sending(&session, &server, target(Policy::ConnectionClose, MINUTE), keep()).await;
    assert!(receiver.is_attached());
}

#[tokio::test(start_paused = true)]
async fn receipts_of_kept_links_end_when_nobody_can_resume_them_any_more() {
    let termini = termini();
    let old = join(&termini).await;
    let options = source(Policy::ConnectionClose, 3_600);
    let (_receiver, sender) = receiving(&old.session, &old.server, options, keep()).await;
    let receipt = sender.send_with_receipt(&numbered(3)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    old.relay.abort();
    old.server.connection().closed().await;
    assert_eq!(termini.len(), 1);
    drop((sender, old, termini));
    timeout(Duration::from_secs(60), receipt).await.unwrap().unwrap_err();
}

// L-016: an attach that fails is no new clock, whatever became of its session; nor is it one that never starts.
#[tokio::test(start_paused = true)]
async fn a_link_that_an_attach_did_not_resume_expires_in_its_own_time() {
    for stolen in [false, true] {
        let termini = termini();
        let old = join(&termini).await;
        let (_sender, receiver) =
            sending(&old.session, &old.server, target(Policy::ConnectionClose, 5), keep()).await;
        if !stolen {
            old.relay.abort();
            old.server.connection().closed().await;
            assert_eq!(termini.len(), 1);
        }
        let new = join(&termini).await;
        let session = new.session.clone();
        let attaching =
            tokio::spawn(async move { session.attach_sender(target(Policy::SessionEnd, 0)).await.map(drop) });
        let attach = next_attach(&new.server).await;
        let kept = attach.take_kept_receiver().unwrap();
        new.session.end().await.unwrap();
        if stolen {
            // Its connection is over before the link is back.
            old.relay.abort();
            old.server.connection().closed().await;
        }
        sleep(Duration::from_secs(2)).await;
        let failed = attach.resume_receiver(keep(), kept).unwrap_err();
        assert!(matches!(failed.error, AttachError::SessionEnded(_)) && failed.suspended.is_none());
        attaching.await.unwrap().unwrap_err();
        drop(receiver);
        sleep(Duration::from_millis(2_900)).await;
        assert_eq!(termini.len(), 1, "stolen {stolen}");
        sleep(Duration::from_millis(200)).await;
        assert!(termini.is_empty(), "stolen {stolen}");
        assert_eq!(lost(&termini).await, Some(("L".to_owned(), LossCause::Expired, 0)));
        assert!(new.client.is_open() && new.server.connection().is_open());
    }
}
