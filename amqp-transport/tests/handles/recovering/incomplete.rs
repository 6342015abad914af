//! A peer whose unsettled map is never whole (`AMQP 1.0 §2.7.3`, incomplete-unsettled).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amqp_codec::{Attach, Begin, Detach, Open, Role, encode_frame};
use amqp_transport::Connection;
use amqp_transport::client::{DetachReason, SenderOptions, SessionOptions};
use amqp_transport::recovery::{
    Attempt, Established, Hooks, Live, Parting, RecoveringConnection, RecoveryError, SendFailure, Unsettled,
    Verdict,
};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::net::*;
use crate::support::*;

// what is told in parts is resumed again while it becomes less; one that never does is no progress.
#[tokio::test(start_paused = true)]
async fn a_peer_whose_map_is_never_whole_is_not_attached_to_without_end() {
    let attaches = Arc::new(AtomicUsize::new(0));
    let limit = Duration::from_secs(60);
    let options = options().link_attempts(5).operation_timeout(limit);
    let net = Incomplete(Arc::clone(&attaches));
    let connection = RecoveringConnection::open(addresses("a"), options, net).await.unwrap();
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
    let attaches = attaches.load(Ordering::Relaxed);
    assert!(attaches <= 6, "{attaches} attaches");
    // It paused between them.
    assert!(began.elapsed() > Duration::from_millis(100) && began.elapsed() < limit, "{:?}", began.elapsed());
}

#[derive(Clone, Debug)]
struct Incomplete(Arc<AtomicUsize>);

/// Answers every attach with an unsettled map that is not whole.
async fn serve(mut far: DuplexStream, attaches: Arc<AtomicUsize>) {
    let mut header = [0; 8];
    far.read_exact(&mut header).await.unwrap();
    far.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
    loop {
        let mut size = [0; 4];
        if far.read_exact(&mut size).await.is_err() {
            return;
        }
        let mut rest = vec![0; u32::from_be_bytes(size) as usize - 4];
        far.read_exact(&mut rest).await.unwrap();
        if rest.len() <= 4 {
            continue;
        }
        let mut out = BytesMut::new();
        match rest[6] {
            0x10 => {
                encode_frame(&mut out, 0, &Open::new("raw"), &[]);
            }
            0x11 => {
                let begin = Begin {
                    remote_channel: Some(0),
                    incoming_window: 100,
                    outgoing_window: 100,
                    ..Begin::default()
                };
                encode_frame(&mut out, 0, &begin, &[]);
            }
            0x12 => {
                attaches.fetch_add(1, Ordering::Relaxed);
                let mut attach = Attach::new("s", 0, Role::Receiver);
                attach.target = Some(amqp_codec::Target::new("queue").into());
                attach.incomplete_unsettled = true;
                encode_frame(&mut out, 0, &attach, &[]);
            }
            0x16 => {
                let detach = Detach { handle: 0, closed: false, error: None };
                encode_frame(&mut out, 0, &detach, &[]);
            }
            _ => {}
        }
        if far.write_all(&out).await.is_err() {
            return;
        }
    }
}

impl Hooks for Incomplete {
    type Context = ();
    type Error = RecoveryError;
    async fn connect(&self, _: &Attempt<'_>) -> Result<Established<()>, RecoveryError> {
        let (near, far) = tokio::io::duplex(PIPE);
        tokio::spawn(serve(far, Arc::clone(&self.0)));
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
