//! A peer whose unsettled map is never whole (`AMQP 1.0 §2.7.3`, incomplete-unsettled).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use amqp_codec::{
    AmqpFrame, Attach, Begin, DecodeLimits, Detach, Flow, Open, Performative, Role, Value, encode_frame,
};
use amqp_transport::Connection;
use amqp_transport::client::{DetachReason, SendError, SenderOptions, SessionOptions};
use amqp_transport::recovery::{
    Attempt, Established, Hooks, Live, Parting, RecoveringConnection, RecoveryError, SendFailure, Unsettled,
    Verdict,
};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::net::*;
use crate::support::*;

// what is told in parts is resumed again while it becomes less; one that never does is no progress.
#[tokio::test(start_paused = true)]
async fn a_peer_whose_map_is_never_whole_is_not_attached_to_without_end() {
    must_end_within(PAUSED);
    let limit = Duration::from_secs(60);
    let options = options().link_attempts(5).operation_timeout(limit);
    let net = Deaf { is_never_whole: true, ..Deaf::default() };
    let connection = RecoveringConnection::open(addresses("a"), options, net.clone()).await.unwrap();
    let sender = connection
        .sender(SenderOptions::new("s", "queue"))
        .unsettled(Unsettled::Resume { kept_bytes: 1 << 20 });
    let began = Instant::now();
    let error = sender.send(&numbered(1)).await.unwrap_err();
    assert!(
        matches!(
            &error,
            SendFailure::NotSent(RecoveryError::Detached { reason: DetachReason::Incomplete, .. })
        ),
        "{error:?}"
    );
    let attaches = net.attaches.load(Ordering::Relaxed);
    assert!(attaches <= 6, "{attaches} attaches");
    // It paused between them.
    assert!(began.elapsed() > Duration::from_millis(100) && began.elapsed() < limit, "{:?}", began.elapsed());
}

// neither end's map fits into a frame, and they have no delivery in common: attaching again ends nothing, ever.
#[tokio::test(start_paused = true)]
async fn messages_that_no_attach_can_end_are_unknown_after_a_bounded_number_of_attaches() {
    must_end_within(PAUSED);
    const MESSAGES: u32 = 60;
    let net = Deaf::default();
    let options = options().link_attempts(5).operation_timeout(Duration::from_secs(60));
    let connection = RecoveringConnection::open(addresses("a"), options, net.clone()).await.unwrap();
    let sender = connection
        .sender(SenderOptions::new("s", "queue"))
        .unsettled(Unsettled::Resume { kept_bytes: 1 << 20 });
    let mut receipts = Vec::new();
    for number in 0..MESSAGES {
        receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    net.cut.notify_one();
    let began = Instant::now();
    for receipt in receipts {
        let end = receipt.await;
        // Neither not sent, which nobody can say, nor taken.
        assert!(matches!(end, Err(SendError::OutcomeUnknown(_))), "{end:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let attaches = net.attaches.load(Ordering::Relaxed);
    assert!((2..=7).contains(&attaches), "{attaches} attaches");
    assert_eq!(net.in_part.load(Ordering::Relaxed), attaches - 1, "it told a part of its own each time");
    // The link has let go of them: it is attached anew, with a map that is whole, and what was of old is no hindrance.
    net.is_whole.store(true, Ordering::Relaxed);
    drop(sender.send_with_receipt(&numbered(MESSAGES)).await.unwrap());
}

/// A peer that takes transfers and tells of none, whose frames are small and whose attaches tell no whole map: the later ones
/// a part of a map of other deliveries, where nothing else is chosen.
#[derive(Clone, Debug, Default)]
struct Deaf {
    /// Whether every attach says that its map, which is none, is not whole.
    is_never_whole: bool,
    attaches: Arc<AtomicUsize>,
    /// Attaches of ours that told a part.
    in_part: Arc<AtomicUsize>,
    /// Whether the peer has nothing of before any more.
    is_whole: Arc<AtomicBool>,
    /// Ends the first connection.
    cut: Arc<Notify>,
}

impl Deaf {
    async fn serve(self, mut far: DuplexStream, is_first: bool) {
        let mut header = [0; 8];
        far.read_exact(&mut header).await.unwrap();
        let mut out = BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
        loop {
            if far.write_all(&out).await.is_err() {
                return;
            }
            let frame = tokio::select! {
                frame = next_frame(&mut far) => frame,
                () = self.cut.notified(), if is_first => return,
            };
            let Some(frame) = frame else { return };
            out = self.answer(frame, is_first);
        }
    }

    fn answer(&self, frame: AmqpFrame, is_first: bool) -> BytesMut {
        let mut out = BytesMut::new();
        match frame.performative {
            Some(Performative::Open(_)) => {
                let open = Open { max_frame_size: 512, ..Open::new("raw") };
                encode_frame(&mut out, 0, &open, &[]);
            }
            Some(Performative::Begin(_)) => {
                let (remote_channel, window) = (Some(0), 100);
                let begin = Begin {
                    remote_channel,
                    incoming_window: window,
                    outgoing_window: window,
                    ..Begin::default()
                };
                encode_frame(&mut out, 0, &begin, &[]);
            }
            Some(Performative::Attach(ours)) => {
                self.attaches.fetch_add(1, Ordering::Relaxed);
                self.in_part.fetch_add(usize::from(ours.incomplete_unsettled), Ordering::Relaxed);
                let mut attach = Attach::new("s", 0, Role::Receiver);
                attach.target = Some(amqp_codec::Target::new("queue").into());
                attach.incomplete_unsettled = self.is_never_whole;
                if !self.is_never_whole && !is_first && !self.is_whole.load(Ordering::Relaxed) {
                    let other = (Value::Binary(Bytes::from_static(b"of another")), Value::Null);
                    attach.unsettled = Some([other].into_iter().collect());
                    attach.incomplete_unsettled = true;
                }
                encode_frame(&mut out, 0, &attach, &[]);
                let credit = Flow {
                    next_incoming_id: Some(0),
                    incoming_window: 100,
                    outgoing_window: 100,
                    handle: Some(0),
                    delivery_count: ours.initial_delivery_count,
                    link_credit: Some(100),
                    ..Flow::default()
                };
                encode_frame(&mut out, 0, &credit, &[]);
            }
            Some(Performative::Detach(_)) => {
                encode_frame(&mut out, 0, &Detach { handle: 0, closed: false, error: None }, &[]);
            }
            _ => {}
        }
        out
    }
}

async fn next_frame(far: &mut DuplexStream) -> Option<AmqpFrame> {
    let mut size = [0; 4];
    far.read_exact(&mut size).await.ok()?;
    let mut frame = size.to_vec();
    frame.resize(u32::from_be_bytes(size) as usize, 0);
    far.read_exact(&mut frame[4..]).await.ok()?;
    AmqpFrame::decode(&Bytes::from(frame), &DecodeLimits::performative()).ok()
}

impl Hooks for Deaf {
    type Context = ();
    type Error = RecoveryError;
    async fn connect(&self, _: &Attempt<'_>) -> Result<Established<()>, RecoveryError> {
        let (near, far) = tokio::io::duplex(PIPE);
        let is_first = self.attaches.load(Ordering::Relaxed) == 0;
        tokio::spawn(self.clone().serve(far, is_first));
        let connection = Connection::over(near, no_sasl()).await.unwrap();
        let session = connection.begin(SessionOptions::new()).await?;
        Ok(Established::new(connection, session, ()))
    }
    async fn attend(&self, _: &Live<()>) -> Parting<RecoveryError> {
        std::future::pending().await
    }
    fn lost(&self, _: &Live<()>, reason: RecoveryError) -> RecoveryError {
        reason
    }
    fn verdict(&self, error: &RecoveryError) -> Verdict {
        error.verdict()
    }
}
