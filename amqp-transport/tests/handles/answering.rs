//! Peers that live and do not answer: what this side waits for has an end, and what they say late is no fault of theirs.

use std::time::Duration;

use amqp_codec::{
    AmqpFrame, Attach, Begin, DecodeLimits, DeliveryState, Detach, Disposition, Encode, End, Flow, Message,
    Open, Outcome, Performative, Role, Source, Target, Transfer, encode_frame,
};
use amqp_transport::client::{Connection, ReceiverOptions, SenderOptions, Session, SessionOptions};
use amqp_transport::engine::Limits;
use amqp_transport::{
    AttachError, DetachReason, EndError, EndReason, OpenError, Receiver, RecvError, SendError, Sender,
};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::support::*;

/// A peer that is played by hand.
struct Peer(DuplexStream);

impl Peer {
    /// The next frame that says something, and its channel.
    async fn hear(&mut self) -> (u16, Performative) {
        loop {
            let size = self.0.read_u32().await.unwrap();
            let mut frame = BytesMut::from(&size.to_be_bytes()[..]);
            frame.resize(usize::try_from(size).unwrap(), 0);
            self.0.read_exact(&mut frame[4..]).await.unwrap();
            let frame = AmqpFrame::decode(&frame.freeze(), &DecodeLimits::performative()).unwrap();
            if let Some(performative) = frame.performative {
                return (frame.channel, performative);
            }
        }
    }

    async fn say(&mut self, channel: u16, performative: &impl Encode) {
        let mut octets = BytesMut::new();
        encode_frame(&mut octets, channel, performative, &[]);
        self.0.write_all(&octets).await.unwrap();
    }

    async fn begin(&mut self, theirs: u16) {
        let begin = Begin {
            remote_channel: Some(theirs),
            incoming_window: 100,
            outgoing_window: 100,
            ..Begin::default()
        };
        self.say(theirs, &begin).await;
    }

    /// Answers an attach of either role, and grants credit where it receives.
    async fn attach(&mut self, theirs: &Attach) {
        let mut attach = Attach::new(theirs.name.clone(), theirs.handle, theirs.role.peer());
        attach.source = Some(Source::new("/x"));
        attach.target = Some(Target::new("/x").into());
        attach.initial_delivery_count = (attach.role == Role::Sender).then_some(0);
        self.say(0, &attach).await;
        if attach.role == Role::Receiver {
            let flow = Flow {
                next_incoming_id: Some(0),
                incoming_window: 100,
                outgoing_window: 100,
                handle: Some(theirs.handle),
                delivery_count: Some(0),
                link_credit: Some(10),
                ..Flow::default()
            };
            self.say(0, &flow).await;
        }
    }

    async fn hears_begin(&mut self) -> u16 {
        let (channel, Performative::Begin(_)) = self.hear().await else { panic!("no begin") };
        channel
    }

    async fn hears_attach(&mut self) -> Box<Attach> {
        loop {
            match self.hear().await {
                (_, Performative::Attach(attach)) => return attach,
                (_, Performative::Flow(_)) => {}
                other => panic!("no attach: {other:?}"),
            }
        }
    }

    async fn hears_detach(&mut self) -> Detach {
        loop {
            match self.hear().await {
                (_, Performative::Detach(detach)) => return detach,
                (_, Performative::Flow(_) | Performative::Transfer(_)) => {}
                other => panic!("no detach: {other:?}"),
            }
        }
    }

    async fn hears_end(&mut self) -> u16 {
        let (channel, Performative::End(end)) = self.hear().await else { panic!("no end") };
        assert_eq!(end.error, None);
        channel
    }

    async fn hears_transfer(&mut self) -> Transfer {
        loop {
            match self.hear().await {
                (_, Performative::Transfer(transfer)) => return transfer,
                (_, Performative::Flow(_)) => {}
                other => panic!("no transfer: {other:?}"),
            }
        }
    }

    async fn accepts(&mut self, delivery: u32) {
        let disposition = Disposition {
            role: Role::Receiver,
            first: delivery,
            last: None,
            settled: true,
            state: Some(DeliveryState::Accepted),
            batchable: false,
        };
        self.say(0, &disposition).await;
    }
}

const LIMIT: Duration = Duration::from_secs(60);

async fn connected() -> (Connection, Peer) {
    assert_eq!(Limits::default().answer_time_out, LIMIT);
    let (near, mut far) = tokio::io::duplex(PIPE);
    far.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
    let mut peer = Peer(far);
    peer.say(0, &Open::new("peer")).await;
    let client = Connection::over(near, no_sasl()).await.unwrap();
    let mut header = [0; 8];
    peer.0.read_exact(&mut header).await.unwrap();
    assert!(matches!(peer.hear().await, (0, Performative::Open(_))));
    (client, peer)
}

async fn begun(client: &Connection, peer: &mut Peer) -> Session {
    let answering = async {
        let channel = peer.hears_begin().await;
        peer.begin(channel).await;
    };
    tokio::join!(client.begin(SessionOptions::new()), answering).0.unwrap()
}

async fn sender(session: &Session, peer: &mut Peer, options: SenderOptions) -> Sender {
    let answering = async {
        let attach = peer.hears_attach().await;
        peer.attach(&attach).await;
    };
    let sender = tokio::join!(session.attach_sender(options), answering).0.unwrap();
    sender.ready().await.unwrap();
    sender
}

async fn receiver(session: &Session, peer: &mut Peer) -> Receiver {
    let answering = async {
        let attach = peer.hears_attach().await;
        peer.attach(&attach).await;
    };
    tokio::join!(session.attach_receiver(ReceiverOptions::new("r", "/x")), answering).0.unwrap()
}

/// What comes of it, no sooner than the limit and not much later.
async fn at_the_limit<F: Future>(waiting: F) -> F::Output {
    let began = Instant::now();
    let result = tokio::time::timeout(LIMIT * 2, waiting).await.unwrap();
    assert!((LIMIT..LIMIT + Duration::from_secs(1)).contains(&began.elapsed()), "{:?}", began.elapsed());
    result
}

// S-010: what was begun is ended, and a channel is free once both ends are out.
#[tokio::test(start_paused = true)]
async fn a_begin_that_nobody_answers_waits_no_longer_than_the_limit_and_a_late_answer_is_no_fault() {
    must_end_within(PAUSED);
    let (client, mut peer) = connected().await;
    let refused = at_the_limit(client.begin(SessionOptions::new())).await;
    assert!(matches!(refused, Err(OpenError::Unanswered)), "{refused:?}");
    assert_eq!((peer.hears_begin().await, peer.hears_end().await), (0, 0));
    // The channel is taken: the next session has another.
    let answering = async {
        let channel = peer.hears_begin().await;
        peer.begin(channel).await;
        channel
    };
    let (next, channel) = tokio::join!(client.begin(SessionOptions::new()), answering);
    assert_eq!(channel, 1);
    // At last the peer answers, in its own order.
    peer.begin(0).await;
    peer.say(0, &End::default()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(client.is_open());
    let _again = begun(&client, &mut peer).await;
    drop(next);
    let (_, Performative::End(_)) = peer.hear().await else { panic!("no end") };
}

// L-004, S-036: the name and the handle of what was attached are free once the peer has answered the attach and the detach.
#[tokio::test(start_paused = true)]
async fn an_attach_that_nobody_answers_waits_no_longer_than_the_limit_and_a_late_answer_is_no_fault() {
    must_end_within(PAUSED);
    let (client, mut peer) = connected().await;
    let session = begun(&client, &mut peer).await;
    for role in [Role::Sender, Role::Receiver] {
        let refused = at_the_limit(async {
            match role {
                Role::Sender => session.attach_sender(SenderOptions::new("l", "/x")).await.map(drop),
                Role::Receiver => session.attach_receiver(ReceiverOptions::new("l", "/x")).await.map(drop),
            }
        });
        let refused = refused.await.unwrap_err();
        assert!(matches!(refused, AttachError::Unanswered) && refused.is_retryable(), "{refused:?}");
        let attach = peer.hears_attach().await;
        let detach = peer.hears_detach().await;
        assert_eq!((detach.handle, detach.closed, detach.error), (attach.handle, true, None));
        let taken = match role {
            Role::Sender => session.attach_sender(SenderOptions::new("l", "/x")).await.map(drop),
            Role::Receiver => session.attach_receiver(ReceiverOptions::new("l", "/x")).await.map(drop),
        };
        assert!(matches!(taken, Err(AttachError::NameInUse)), "{taken:?}");
        peer.attach(&attach).await;
        peer.say(0, &Detach { handle: attach.handle, closed: true, error: None }).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let again = match role {
            Role::Sender => {
                sender(&session, &mut peer, SenderOptions::new("l", "/x")).await.name().to_owned()
            }
            Role::Receiver => receiver(&session, &mut peer).await.name().to_owned(),
        };
        assert_eq!(again.len(), 1);
        let detach = peer.hears_detach().await;
        peer.say(0, &Detach { handle: detach.handle, closed: true, error: None }).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(client.is_open());
}

// R-15 is no excuse: a message whose link is waited for no more ends as unknown, and what is heard of it late is of no other.
#[tokio::test(start_paused = true)]
async fn a_detach_that_nobody_answers_waits_no_longer_than_the_limit_and_late_outcomes_are_nobody_elses() {
    must_end_within(PAUSED);
    let (client, mut peer) = connected().await;
    let session = begun(&client, &mut peer).await;
    let gone = sender(&session, &mut peer, SenderOptions::new("gone", "/x")).await;
    let receipt = gone.send_with_receipt(&Message::data("first")).await.unwrap();
    let first = peer.hears_transfer().await.delivery_id.unwrap();
    let unanswered = at_the_limit(gone.detach()).await.unwrap_err();
    assert_eq!(unanswered, EndError::Unanswered);
    assert!(matches!(gone.detached().await, DetachReason::Unanswered));
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(DetachReason::Unanswered))));
    assert!(matches!(gone.detach().await, Err(EndError::Unanswered)), "it is over once");
    assert_eq!(peer.hears_detach().await.handle, 0);
    // The next message has the place of the first in every table.
    let other = sender(&session, &mut peer, SenderOptions::new("other", "/x")).await;
    let mut receipt = Box::pin(other.send_with_receipt(&Message::data("second")).await.unwrap());
    let second = peer.hears_transfer().await.delivery_id.unwrap();
    peer.accepts(first).await;
    peer.say(0, &Detach { handle: 0, closed: true, error: None }).await;
    assert!(is_stuck(&mut receipt).await, "an outcome of another's");
    peer.accepts(second).await;
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    // Its handle is free again.
    drop(gone);
    let _third = sender(&session, &mut peer, SenderOptions::new("gone", "/x")).await;
    assert!(client.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_suspended_sender_whose_peer_does_not_answer_is_handed_out_all_the_same() {
    must_end_within(PAUSED);
    let (client, mut peer) = connected().await;
    let session = begun(&client, &mut peer).await;
    let options = || SenderOptions::new("kept", "/x").keep_unsettled(1_000);
    let kept = sender(&session, &mut peer, options()).await;
    let receipt = kept.send_with_receipt(&Message::data("first")).await.unwrap();
    let suspended = at_the_limit(kept.suspend()).await.unwrap();
    assert_eq!(suspended.undecided_messages(), 1);
    peer.hears_transfer().await;
    assert!(!peer.hears_detach().await.closed);
    let failed = session.resume_sender(options(), suspended).await.unwrap_err();
    assert!(matches!(failed.error, AttachError::NameInUse), "{failed:?}");
    peer.say(0, &Detach { handle: 0, closed: false, error: None }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The peer does not even answer the next attach: what it may have of before is not closed.
    let failed =
        at_the_limit(session.resume_sender(options(), *failed.suspended.unwrap())).await.unwrap_err();
    assert!(matches!(failed.error, AttachError::Unanswered), "{failed:?}");
    assert_eq!(failed.suspended.as_ref().unwrap().undecided_messages(), 1);
    peer.hears_attach().await;
    assert!(!peer.hears_detach().await.closed);
    drop(failed);
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(_))));
}

// S-009, S-012
#[tokio::test(start_paused = true)]
async fn an_end_that_nobody_answers_waits_no_longer_than_the_limit_and_a_late_answer_is_no_fault() {
    must_end_within(PAUSED);
    let (client, mut peer) = connected().await;
    let session = begun(&client, &mut peer).await;
    let link = receiver(&session, &mut peer).await;
    let unanswered = at_the_limit(session.end()).await.unwrap_err();
    assert_eq!(unanswered, EndError::Unanswered);
    assert!(matches!(session.ended().await, EndReason::Unanswered));
    assert!(session.stats().is_none());
    assert!(matches!(link.detached().await, DetachReason::SessionEnded(EndReason::Local)));
    let attached = session.attach_sender(SenderOptions::new("s", "/x")).await.unwrap_err();
    assert!(matches!(attached, AttachError::SessionEnded(EndReason::Unanswered)), "{attached:?}");
    // Late, and after things that are dropped.
    peer.accepts(0).await;
    peer.say(0, &End::default()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(client.is_open());
    assert_eq!(peer.hears_end().await, 0);
    let _again = begun(&client, &mut peer).await;
}

// Nobody waits, and still nothing is left of them.
#[tokio::test(start_paused = true)]
async fn what_was_cancelled_and_never_answered_is_let_go_of_in_time() {
    must_end_within(PAUSED);
    let (client, mut peer) = connected().await;
    let session = begun(&client, &mut peer).await;
    for name in ["a", "b"] {
        let attaching = session.attach_sender(SenderOptions::new(name, "/x"));
        assert!(tokio::time::timeout(Duration::from_secs(1), attaching).await.is_err());
    }
    assert!(tokio::time::timeout(Duration::from_secs(1), client.begin(SessionOptions::new())).await.is_err());
    tokio::time::sleep(LIMIT * 3 / 2).await;
    let wakes = client.stats().wakes;
    tokio::time::sleep(LIMIT * 3 / 2).await;
    assert_eq!(client.stats().wakes, wakes, "something is still waited for");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_this_side_has_detached_is_not_attached_and_nobody_receives_on_it_any_more() {
    must_end_within(PAUSED);
    let (client, mut peer) = connected().await;
    let session = begun(&client, &mut peer).await;
    let link = std::sync::Arc::new(receiver(&session, &mut peer).await);
    let detaching = tokio::spawn({
        let link = std::sync::Arc::clone(&link);
        async move { link.detach().await }
    });
    // Before the peer has said anything.
    let told = tokio::time::timeout(Duration::from_secs(1), link.recv()).await.unwrap().unwrap_err();
    assert!(matches!(told, RecvError::Detached(DetachReason::Local)), "{told:?}");
    assert!(!link.is_attached() && !detaching.is_finished());
    let detach = peer.hears_detach().await;
    peer.say(0, &Detach { handle: detach.handle, closed: true, error: None }).await;
    detaching.await.unwrap().unwrap();
    drop(client);
}

// L-015: a receiver has nothing to send; a tag of 33 octets on its handle costs that link alone.
#[tokio::test(start_paused = true)]
async fn a_sender_that_the_engine_detached_by_itself_says_so_before_the_peer_has_answered() {
    must_end_within(PAUSED);
    let (client, mut peer) = connected().await;
    let session = begun(&client, &mut peer).await;
    let link = sender(&session, &mut peer, SenderOptions::new("s", "/x")).await;
    // A transfer with handle 0, delivery-id 0 and that tag.
    let mut frame = b"\0\0\0\x33\x02\0\0\0\0\x53\x14\xc0\x26\x03\x43\x43\xa0\x21".to_vec();
    frame.extend_from_slice(&[b't'; 33]);
    assert_eq!(frame.len(), 0x33);
    peer.0.write_all(&frame).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(1), async {
        loop {
            if let Err(error) = link.try_send(&Message::data("x")) {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    let told = told.await.unwrap();
    assert!(matches!(told, SendError::Detached(DetachReason::Violation(_))), "{told:?}");
    assert!(!link.is_attached());
    assert!(matches!(at_the_limit(link.detached()).await, DetachReason::Violation(_)));
}
