//! Ends in good order while a large message is still leaving: it leaves whole, unless its peer takes nothing for too long.

use std::time::Duration;

use amqp_codec::{
    Attach, Begin, Close, Detach, Encode, End, Flow, Message, Open, Role, SenderSettleMode, Source, Target,
    TargetArchetype, encode_frame,
};
use amqp_transport::client::{Connection, ReceiverOptions, SenderOptions, Session, SessionOptions};
use amqp_transport::engine::Limits;
use amqp_transport::server::{AcceptOptions, ServerConnection};
use amqp_transport::{ConnectionError, DetachReason, EndError, EndReason, SendError, Sender};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::support::*;

/// Octets of a large message: many frames, and more than the pipe takes.
const LARGE: usize = 1_000_000;

/// How a sending side ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    DropSender,
    DropAll,
    Detach,
    End,
    Close,
}

const WAYS: [Way; 5] = [Way::DropSender, Way::DropAll, Way::Detach, Way::End, Way::Close];

async fn depart(way: Way, client: Connection, session: Session, sender: Sender) {
    match way {
        Way::DropSender => {
            drop(sender);
            // The others live on.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(client.is_open());
        }
        Way::DropAll => drop((sender, session, client)),
        Way::Detach => sender.detach().await.unwrap(),
        Way::End => session.end().await.unwrap(),
        Way::Close => client.close().await.unwrap(),
    }
}

/// How many large messages of five came whole, whose sender went that way.
async fn arrived(way: Way, mode: SenderSettleMode) -> usize {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let options = SenderOptions::new("s", "/x").snd_settle_mode(mode);
    let (sender, receiver) = sending(&session, &server, options, AcceptOptions::new()).await;
    let counting = tokio::spawn(async move {
        let mut whole = 0;
        while let Ok(delivery) = receiver.recv().await {
            assert_eq!(delivery.message().unwrap().body_bytes().unwrap().len(), LARGE);
            whole += 1;
        }
        whole
    });
    for _ in 0..5 {
        drop(sender.send_with_receipt(&Message::data(vec![7; LARGE])).await.unwrap());
    }
    depart(way, client, session, sender).await;
    let whole = counting.await.unwrap();
    drop(server);
    whole
}

#[tokio::test(start_paused = true)]
async fn a_large_message_that_was_handed_over_arrives_whole_however_its_sender_ends() {
    for way in WAYS {
        for mode in [SenderSettleMode::Unsettled, SenderSettleMode::Settled] {
            assert_eq!(arrived(way, mode).await, 5, "{way:?}, {mode:?}");
        }
    }
}

/// What a peer that is played by hand takes: one link's messages, in frames of 512 octets, until its window is shut.
async fn miser(mut far: DuplexStream, window: u32) -> Vec<u8> {
    let mut seen = Vec::new();
    say(&mut far, b"AMQP\x00\x01\x00\x00", &Open { max_frame_size: 512, ..Open::new("peer") }).await;
    until(&mut far, &mut seen, 0x11).await;
    let begin = Begin {
        remote_channel: Some(0),
        next_outgoing_id: 0,
        incoming_window: window,
        outgoing_window: 100,
        ..Begin::default()
    };
    say(&mut far, b"", &begin).await;
    until(&mut far, &mut seen, 0x12).await;
    let mut attach = Attach::new("s", 0, Role::Receiver);
    attach.source = Some(Source::default());
    attach.target = Some(TargetArchetype::Target(Target::new("/x")));
    say(&mut far, b"", &attach).await;
    let flow = Flow {
        next_incoming_id: Some(0),
        incoming_window: window,
        next_outgoing_id: 0,
        outgoing_window: 100,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(10),
        ..Flow::default()
    };
    say(&mut far, b"", &flow).await;
    let (mut detached, mut ended) = (false, false);
    loop {
        let mut buffer = [0; 4096];
        let Ok(count @ 1..) = far.read(&mut buffer).await else { return seen };
        seen.extend_from_slice(&buffer[..count]);
        if holds(&seen, 0x16) && !detached {
            detached = true;
            say(&mut far, b"", &Detach { handle: 0, closed: true, error: None }).await;
        }
        if holds(&seen, 0x17) && !ended {
            ended = true;
            say(&mut far, b"", &End::default()).await;
        }
        if holds(&seen, 0x18) {
            say(&mut far, b"", &Close::default()).await;
            return seen;
        }
    }
}

async fn say(far: &mut DuplexStream, before: &[u8], frame: &impl Encode) {
    let mut octets = BytesMut::from(before);
    encode_frame(&mut octets, 0, frame, &[]);
    // Gone already: the test looks at what it left.
    let _ = far.write_all(&octets).await;
}

fn holds(octets: &[u8], performative: u8) -> bool {
    octets.windows(3).any(|window| window == [0, 0x53, performative])
}

async fn until(far: &mut DuplexStream, seen: &mut Vec<u8>, performative: u8) {
    let mut buffer = [0; 4096];
    while !holds(seen, performative) {
        let count = far.read(&mut buffer).await.unwrap();
        seen.extend_from_slice(&buffer[..count]);
    }
}

async fn to_a_miser() -> (Connection, Session, Sender, tokio::task::JoinHandle<Vec<u8>>) {
    let (near, far) = tokio::io::duplex(PIPE);
    let script = tokio::spawn(miser(far, 2));
    let client = Connection::over(near, no_sasl()).await.unwrap();
    let session = client.begin(SessionOptions::new()).await.unwrap();
    let sender = session.attach_sender(SenderOptions::new("s", "/x")).await.unwrap();
    sender.ready().await.unwrap();
    (client, session, sender, script)
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_a_peer_without_a_window_no_longer_than_the_limit_and_tells_what_it_cut_off() {
    must_end_within(PAUSED);
    let limit = Limits::default().leave_time_out;
    for way in [Way::Detach, Way::End, Way::Close] {
        let (client, session, sender, _script) = to_a_miser().await;
        let receipt = sender.send_with_receipt(&Message::data(vec![0; 10_000])).await.unwrap();
        let began = Instant::now();
        match way {
            Way::Detach => sender.detach().await.unwrap(),
            Way::End => session.end().await.unwrap(),
            _ => client.close().await.unwrap(),
        }
        let took = began.elapsed();
        assert!(took >= limit && took < limit + Duration::from_secs(3), "{way:?} took {took:?}");
        let told = receipt.await.unwrap_err();
        assert!(matches!(told, SendError::OutcomeUnknown(_)), "{way:?}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_while_an_end_waits_is_refused_at_once_and_says_why() {
    must_end_within(PAUSED);
    for way in [Way::Detach, Way::End, Way::Close] {
        let (client, session, sender, _script) = to_a_miser().await;
        let sender = std::sync::Arc::new(sender);
        let _receipt = sender.send_with_receipt(&Message::data(vec![0; 10_000])).await.unwrap();
        let waiting = tokio::spawn({
            let sender = std::sync::Arc::clone(&sender);
            async move { sender.send(&Message::data("next")).await }
        });
        tokio::task::yield_now().await;
        let ending = tokio::spawn({
            let (client, session, sender) = (client.clone(), session.clone(), sender.clone());
            async move {
                match way {
                    Way::Detach => sender.detach().await,
                    Way::End => session.end().await,
                    _ => client.close().await.map_err(EndError::Lost),
                }
            }
        });
        let told = tokio::time::timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap().unwrap_err();
        let as_expected = match way {
            Way::Detach => matches!(told, SendError::Detached(DetachReason::Local)),
            Way::End => {
                matches!(told, SendError::Detached(DetachReason::SessionEnded(EndReason::Local)))
                    && session.attach_receiver(ReceiverOptions::new("r", "/x")).await.is_err()
            }
            _ => {
                matches!(told, SendError::Lost(ConnectionError::Closed))
                    && client.begin(SessionOptions::new()).await.is_err()
            }
        };
        assert!(as_expected, "{way:?}: {told:?}");
        assert!(!ending.is_finished(), "{way:?} did not wait");
        ending.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_sender_is_detached_no_sooner_than_its_message_has_left_and_a_dropped_connection_ends_all_the_same()
 {
    let (client, session, sender, script) = to_a_miser().await;
    drop(sender.send_with_receipt(&Message::data(vec![0; 10_000])).await.unwrap());
    drop((sender, session));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!script.is_finished() && client.is_open());
    let began = Instant::now();
    drop(client);
    let seen = script.await.unwrap();
    assert!(began.elapsed() < Limits::default().leave_time_out + Duration::from_secs(3));
    // Neither the link nor the session was said to be over before the connection was.
    assert!(!holds(&seen, 0x16) && !holds(&seen, 0x17) && holds(&seen, 0x18));
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_window_held_a_dropped_senders_link_for_as_long_as_the_connection_lived() {
    must_end_within(PAUSED);
    let (near, far) = tokio::io::duplex(PIPE);
    let script = tokio::spawn(miser(far, 2));
    // A peer that says nothing for longer is a dead one.
    let mut limits = Limits::default();
    limits.abandon_time_out = Duration::from_secs(20);
    let client = Connection::over(near, no_sasl().limits(limits)).await.unwrap();
    let session = client.begin(SessionOptions::new()).await.unwrap();
    let sender = session.attach_sender(SenderOptions::new("s", "/x")).await.unwrap();
    sender.ready().await.unwrap();
    drop(sender.send_with_receipt(&Message::data(vec![0; 10_000])).await.unwrap());
    drop(sender);
    tokio::time::sleep(Duration::from_secs(21)).await;
    client.close().await.unwrap();
    assert!(holds(&script.await.unwrap(), 0x16), "no detach");
    drop(session);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_waits_goes_on_when_the_peer_ends_first() {
    let (client, server): (Connection, ServerConnection) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&Message::data(vec![7; LARGE])).await.unwrap();
    let (ended, detached) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(5), session.end()), receiver.detach(),);
    ended.unwrap().unwrap();
    detached.unwrap();
    assert!(matches!(receipt.await, Err(SendError::OutcomeUnknown(_))));
}
