//! Connections that end while messages wait: nothing is told as not sent that still leaves, and no end is put off.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use amqp_codec::{
    Attach, Begin, DeliveryTag, ErrorCondition, Flow, Message, Open, Role, Source, Target, TargetArchetype,
    Transfer, encode_frame,
};
use amqp_transport::client::{Connection, DetachReason, ReceiverOptions, SenderOptions, SessionOptions};
use amqp_transport::server::{AcceptOptions, ServerConnection};
use amqp_transport::{ConnectionError, Receipt, RecvError, SendError, Sender};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use crate::support::*;

const MARK: &[u8] = b"PAYLOAD-MARK";

fn holds(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|window| window == wanted)
}

/// A peer that is played by hand: it opens, begins, attaches a receiver and grants credit.
async fn peer_by_hand(mut far: DuplexStream) -> DuplexStream {
    let mut seen = Vec::new();
    let mut frames = BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
    encode_frame(&mut frames, 0, &Open::new("peer"), &[]);
    far.write_all(&frames).await.unwrap();
    until(&mut far, &mut seen, BEGIN).await;
    let mut frames = BytesMut::new();
    let begin = Begin {
        remote_channel: Some(0),
        next_outgoing_id: 0,
        incoming_window: 100,
        outgoing_window: 100,
        ..Begin::default()
    };
    encode_frame(&mut frames, 0, &begin, &[]);
    far.write_all(&frames).await.unwrap();
    until(&mut far, &mut seen, ATTACH).await;
    let mut attach = Attach::new("s", 0, Role::Receiver);
    attach.source = Some(Source::default());
    attach.target = Some(TargetArchetype::Target(Target::new("/x")));
    let mut frames = BytesMut::new();
    encode_frame(&mut frames, 0, &attach, &[]);
    let flow = Flow {
        next_incoming_id: Some(0),
        incoming_window: 100,
        next_outgoing_id: 0,
        outgoing_window: 100,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(10),
        ..Flow::default()
    };
    encode_frame(&mut frames, 0, &flow, &[]);
    far.write_all(&frames).await.unwrap();
    far
}

async fn until(far: &mut DuplexStream, seen: &mut Vec<u8>, wanted: &[u8]) {
    let mut buffer = vec![0; 4096];
    while !holds(seen, wanted) {
        let count = far.read(&mut buffer).await.unwrap();
        seen.extend_from_slice(&buffer[..count]);
    }
}

async fn sender_to_hand(pipe: usize) -> (Connection, Sender, DuplexStream) {
    let (near, far) = tokio::io::duplex(pipe);
    let script = tokio::spawn(peer_by_hand(far));
    let client = Connection::over(near, no_sasl()).await.unwrap();
    let session = client.begin(SessionOptions::new()).await.unwrap();
    let sender = session.attach_sender(SenderOptions::new("s", "/x")).await.unwrap();
    sender.ready().await.unwrap();
    (client, sender, script.await.unwrap())
}

/// Everything the peer still gets, and what the sender was told.
async fn told_and_written(receipt: Receipt, far: &mut DuplexStream) -> (SendError, bool) {
    let mut all = Vec::new();
    let mut buffer = vec![0; 4096];
    let read = async {
        while let Ok(Ok(count @ 1..)) =
            tokio::time::timeout(Duration::from_secs(100), far.read(&mut buffer)).await
        {
            all.extend_from_slice(&buffer[..count]);
        }
    };
    let (told, ()) = tokio::join!(receipt, read);
    (told.unwrap_err(), holds(&all, MARK))
}

/// A frame on a channel without a session, which ends the connection.
fn stray_frame(channel: u16) -> BytesMut {
    let mut frames = BytesMut::new();
    let flow = Flow { incoming_window: 1, next_outgoing_id: 0, outgoing_window: 1, ..Flow::default() };
    encode_frame(&mut frames, channel, &flow, &[]);
    frames
}

#[tokio::test(start_paused = true)]
async fn a_message_told_as_not_sent_is_not_written_after_a_violation() {
    must_end_within(PAUSED);
    for size in [0, 20_000] {
        let (_client, sender, mut far) = sender_to_hand(PIPE).await;
        far.write_all(&stray_frame(77)).await.unwrap();
        // Small ones are copied into the output, large ones travel beside it.
        let message = Message::data([MARK, &vec![0; size]].concat());
        let receipt = sender.send_with_receipt(&message).await.unwrap();
        let (told, is_written) = told_and_written(receipt, &mut far).await;
        assert!(told.is_not_sent(), "it could be kept back: {told:?}");
        assert!(!is_written, "told {told:?}, but written");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_told_as_not_sent_is_not_written_after_the_end_of_the_input() {
    must_end_within(PAUSED);
    let (_client, sender, far) = sender_to_hand(PIPE).await;
    let (mut read, mut write) = tokio::io::split(far);
    write.shutdown().await.unwrap();
    let receipt = sender.send_with_receipt(&Message::data(MARK.to_vec())).await.unwrap();
    let mut all = Vec::new();
    let (told, _) = tokio::join!(receipt, read.read_to_end(&mut all));
    let told = told.unwrap_err();
    assert!(!(told.is_not_sent() && holds(&all, MARK)), "told {told:?}, but written");
}

#[tokio::test(start_paused = true)]
async fn a_message_told_as_not_sent_is_not_written_after_the_peer_fell_silent() {
    must_end_within(PAUSED);
    // The pipe takes a part of what is sent; its rest is read after the connection has been given up.
    let (_client, sender, mut far) = sender_to_hand(512).await;
    let filling = Message::data(vec![0; 8_000]);
    let first = sender.send_with_receipt(&filling).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let receipt = sender.send_with_receipt(&Message::data(MARK.to_vec())).await.unwrap();
    sender.detached().await;
    let (told, is_written) = told_and_written(receipt, &mut far).await;
    assert!(!(told.is_not_sent() && is_written), "told {told:?}, but written");
    assert!(!first.await.unwrap_err().is_not_sent(), "its first octets have left");
}

#[tokio::test(start_paused = true)]
async fn a_message_before_the_end_of_its_session_is_not_told_as_not_sent() {
    must_end_within(PAUSED);
    let (near, far) = tokio::io::duplex(PIPE);
    let script = tokio::spawn(peer_by_hand(far));
    let client = Connection::over(near, no_sasl()).await.unwrap();
    let session = client.begin(SessionOptions::new()).await.unwrap();
    let sender = session.attach_sender(SenderOptions::new("s", "/x")).await.unwrap();
    sender.ready().await.unwrap();
    let mut far = script.await.unwrap();
    let receipt = sender.send_with_receipt(&Message::data(MARK.to_vec())).await.unwrap();
    // Before the connection's task has had its turn to write.
    drop(tokio::time::timeout(Duration::ZERO, session.end()).await);
    let (told, is_written) = told_and_written(receipt, &mut far).await;
    assert!(is_written, "the connection goes on");
    assert!(!told.is_not_sent(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_close_towards_a_peer_that_beats_and_never_reads_comes_to_an_end() {
    must_end_within(PAUSED);
    let (near, far) = tokio::io::duplex(200);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    let beating = tokio::spawn(async move {
        let mut frames = BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
        encode_frame(&mut frames, 0, &Open::new("peer"), &[]);
        far_write.write_all(&frames).await.unwrap();
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if far_write.write_all(&[0, 0, 0, 8, 2, 0, 0, 0]).await.is_err() {
                return;
            }
        }
    });
    let client = Connection::over(near, no_sasl()).await.unwrap();
    let _ = far_read.read(&mut [0; 64]).await;
    for _ in 0..20 {
        let client = client.clone();
        tokio::spawn(async move { client.begin(SessionOptions::new()).await.map(drop) });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = tokio::time::Instant::now();
    let closed = tokio::time::timeout(Duration::from_secs(3_600), client.close()).await;
    assert!(closed.is_ok(), "close() still waits after an hour");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    beating.abort();
}

#[tokio::test(start_paused = true)]
async fn a_send_while_the_connection_closes_says_that_the_connection_is_lost() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, _receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    sender.ready().await.unwrap();
    let mut closing = pin!(client.close());
    std::future::poll_fn(|cx| {
        assert!(closing.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    let error = sender.send_with_receipt(&numbered(1)).await.unwrap_err();
    assert!(matches!(error, SendError::Lost(ConnectionError::Closed)), "{error:?}");
    closing.await.unwrap();
}

/// A stream whose input never ends, and never makes one wait.
struct Flood {
    has_spoken: bool,
    /// Tells when the stream is let go of.
    _gone: tokio::sync::oneshot::Sender<()>,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let octets: &[u8] = if self.has_spoken { &[b'x'; 512] } else { b"GET / HTTP/1.1\r\n" };
        self.has_spoken = true;
        let count = octets.len().min(buffer.remaining());
        buffer.put_slice(&octets[..count]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// The clock cannot be paused here: it would only move on if the stream ever made the task wait.
#[tokio::test]
async fn a_stream_that_is_always_ready_does_not_put_the_end_off() {
    must_end_within(RUNNING);
    let (gone, is_gone) = tokio::sync::oneshot::channel();
    let stream = Flood { has_spoken: false, _gone: gone };
    assert!(ServerConnection::over(stream, &server_options()).await.is_err());
    let ended = tokio::time::timeout(Duration::from_secs(10), is_gone).await;
    assert!(ended.is_ok(), "the flood is still being read");
}

const BEGIN: &[u8] = &[0, 0x53, 0x11];
const ATTACH: &[u8] = &[0, 0x53, 0x12];
const FLOW: &[u8] = &[0, 0x53, 0x13];

// L-039: it was told to every message that was on its way.
#[tokio::test(start_paused = true)]
async fn a_detach_for_a_message_too_large_is_told_to_the_largest_only() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let mut receipts = Vec::new();
    for size in [10, 3_000, 20] {
        let message = Message::data(vec![0; size]);
        receipts.push(sender.send_with_receipt(&message).await.unwrap());
    }
    let too_large = error(ErrorCondition::MESSAGE_SIZE_EXCEEDED, "too large");
    receiver.detach_with_error(too_large).await.unwrap();
    let mut errors = Vec::new();
    for receipt in receipts {
        let error = receipt.await.unwrap_err();
        assert!(matches!(error, SendError::OutcomeUnknown(_)), "{error}");
        errors.push((error.condition().cloned(), error.is_retryable()));
    }
    assert_eq!(errors, [(None, true), (Some(ErrorCondition::MESSAGE_SIZE_EXCEEDED), false), (None, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_waited_for_the_answer_to_a_detach_of_its_own() {
    must_end_within(PAUSED);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let script = tokio::spawn(async move {
        let mut far = far;
        let mut seen = Vec::new();
        let mut frames = BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
        encode_frame(&mut frames, 0, &Open::new("peer"), &[]);
        far.write_all(&frames).await.unwrap();
        until(&mut far, &mut seen, BEGIN).await;
        let begin = Begin { remote_channel: Some(0), incoming_window: 100, ..Begin::default() };
        let mut frames = BytesMut::new();
        encode_frame(&mut frames, 0, &begin, &[]);
        far.write_all(&frames).await.unwrap();
        until(&mut far, &mut seen, ATTACH).await;
        let mut attach = Attach::new("r", 0, Role::Sender);
        attach.source = Some(Source::new("/x"));
        attach.target = Some(TargetArchetype::Target(Target::default()));
        attach.initial_delivery_count = Some(0);
        let transfer = |id: u8, size| {
            let transfer = Transfer {
                delivery_id: Some(id.into()),
                delivery_tag: DeliveryTag::new(&[id]),
                ..Transfer::default()
            };
            (transfer, vec![0; size])
        };
        let mut frames = BytesMut::new();
        encode_frame(&mut frames, 0, &attach, &[]);
        far.write_all(&frames).await.unwrap();
        until(&mut far, &mut seen, FLOW).await;
        let mut frames = BytesMut::new();
        // A message, and one that is larger than the link takes.
        for (transfer, payload) in [transfer(0, 10), transfer(1, 101)] {
            encode_frame(&mut frames, 0, &transfer, &payload);
        }
        far.write_all(&frames).await.unwrap();
        far
    });
    let client = Connection::over(near, no_sasl()).await.unwrap();
    let session = client.begin(SessionOptions::new()).await.unwrap();
    let receiver =
        session.attach_receiver(ReceiverOptions::new("r", "/x").max_message_size(100)).await.unwrap();
    let _far = script.await.unwrap();
    drop(receiver.recv().await.unwrap());
    let over = tokio::time::timeout(Duration::from_secs(1), receiver.recv()).await.expect("bounded");
    let Err(RecvError::Detached(DetachReason::Violation(error))) = over else { panic!("{over:?}") };
    assert_eq!(error.condition, ErrorCondition::MESSAGE_SIZE_EXCEEDED);
    assert!(!receiver.is_attached());
    drop(receiver);
    assert!(client.is_open());
}
