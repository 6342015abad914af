//! Connections that break: who is told what.

use std::time::Duration;

use amqp_codec::{Begin, End, Open, Outcome, encode_frame};
use amqp_transport::client::{DetachReason, RecvError, SenderOptions};
use amqp_transport::engine::{Limits, Settlement};
use amqp_transport::server::{AcceptOptions, ServerConnection};
use amqp_transport::{ConnectionError, SendError};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_lost_connection_ends_every_wait() {
    let (near, far, relay) = breakable();
    let (client, server) = pair_over(near, far, client_options(), server_options()).await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
    let held = receiver.recv().await.unwrap();
    relay.abort();
    let error = receipt.await.unwrap_err();
    assert!(matches!(&error, SendError::OutcomeUnknown(DetachReason::Lost(_))), "{error}");
    assert!(matches!(receiver.recv().await, Err(RecvError::Lost(_))));
    assert!(matches!(sender.send(&numbered(2)).await, Err(SendError::Lost(_))));
    assert!(held.accept().is_err());
    assert!(client.closed().await.is_retryable());
    assert!(client.close().await.is_err(), "it did not close in good order");
    assert!(matches!(server.next().await, Err(error) if error.is_retryable()));
}

#[tokio::test(start_paused = true)]
async fn a_settled_message_that_is_cut_is_not_told_as_sent_for_the_one_before_it() {
    let (near, far, relay) = breakable();
    let (client, server) = pair_over(near, far, client_options(), server_options()).await;
    let session = session(&client).await;
    let (sender, _receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    sender.ready().await.unwrap();
    relay.abort();
    let data = |octets: usize| amqp_codec::to_bytes(&amqp_codec::Message::data(vec![0; octets]));
    // In one frame, and in several.
    let whole = sender.try_send_encoded(data(20_000), 0, Settlement::Settled).unwrap();
    let cut = sender.try_send_encoded(data(500_000), 0, Settlement::Settled).unwrap();
    drop(whole);
    let error = cut.await.unwrap_err();
    assert!(matches!(error, SendError::OutcomeUnknown(_) | SendError::Lost(_)), "{error}");
}

/// Bytes let through by the relay before it cuts both ways.
async fn cut_after(bytes: usize) -> (usize, usize, usize, usize) {
    let (near, relay_near) = tokio::io::duplex(2_000);
    let (relay_far, far) = tokio::io::duplex(2_000);
    let relay = tokio::spawn(async move {
        let (mut near_read, mut near_write) = tokio::io::split(relay_near);
        let (mut far_read, mut far_write) = tokio::io::split(relay_far);
        let back = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut far_read, &mut near_write).await;
        });
        let mut left = bytes;
        let mut buffer = [0; 512];
        while left > 0 {
            let Ok(count @ 1..) = near_read.read(&mut buffer).await else { break };
            let count = count.min(left);
            left -= count;
            if far_write.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        // What was delivered gets the time to be answered; then both ways are cut.
        tokio::time::sleep(Duration::from_millis(20)).await;
        back.abort();
    });
    let (client, server) = pair_over(near, far, client_options(), server_options()).await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let accepting = tokio::spawn(async move {
        let mut taken = 0usize;
        while let Ok(delivery) = receiver.recv().await {
            taken += 1;
            // The outcome of one on its way when the connection breaks is unknown to the sender, not accepted.
            let _ = delivery.accept();
        }
        taken
    });
    let (mut accepted, mut not_sent, mut unknown) = (0, 0, 0);
    let mut receipts = Vec::new();
    for number in 0..2_000 {
        match sender.send_with_receipt(&numbered(number)).await {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => {
                assert!(error.is_not_sent(), "{error}");
                not_sent += 1;
            }
        }
    }
    for receipt in receipts {
        match receipt.await {
            Ok(Outcome::Accepted) => accepted += 1,
            Err(SendError::OutcomeUnknown(_)) => unknown += 1,
            Err(SendError::Lost(_)) => not_sent += 1,
            other => panic!("{other:?}"),
        }
    }
    let taken = accepting.await.unwrap();
    relay.await.unwrap();
    (accepted, unknown, not_sent, taken)
}

#[tokio::test(start_paused = true)]
async fn a_killed_peer_leaves_every_message_accounted_for() {
    for bytes in [3_000, 10_000, 30_001] {
        let (accepted, unknown, not_sent, taken) = cut_after(bytes).await;
        assert_eq!(accepted + unknown + not_sent, 2_000, "cut after {bytes}");
        assert!(not_sent > 0, "cut after {bytes}: some were never handed to the socket");
        assert!(accepted <= taken, "accepted {accepted} of {taken} that arrived");
        assert!(taken <= accepted + unknown, "{taken} arrived, {accepted} accepted, {unknown} unknown");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_what_it_is_owed_is_given_up() {
    must_end_within(PAUSED);
    let (mut near, far) = tokio::io::duplex(2_000);
    let mut limits = Limits::default();
    limits.owed_output = 4_096;
    let options = server_options().limits(limits).idle_time_out(None);
    let flooding = tokio::spawn(async move {
        near.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
        let mut frames = BytesMut::new();
        encode_frame(&mut frames, 0, &Open::new("flood"), &[]);
        // Each session is owed a begin and an end.
        for _ in 0..2_000 {
            let begin =
                Begin { next_outgoing_id: 0, incoming_window: 1, outgoing_window: 1, ..Begin::default() };
            encode_frame(&mut frames, 0, &begin, &[]);
            encode_frame(&mut frames, 0, &End::default(), &[]);
        }
        let written = near.write_all(&frames).await;
        (near, written)
    });
    let server = ServerConnection::over(far, &options).await.unwrap();
    let start = tokio::time::Instant::now();
    let reason = server.connection().closed().await;
    assert!(matches!(reason, ConnectionError::Timeout { .. }), "{reason}");
    assert!((29..40).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let (_near, written) = flooding.await.unwrap();
    assert!(written.is_err(), "reading had paused, and then the stream was closed");
}

#[tokio::test(start_paused = true)]
async fn a_client_given_up_during_its_handshake_has_its_stream_closed() {
    must_end_within(PAUSED);
    let (mut near, far) = tokio::io::duplex(2_000);
    near.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
    let options = server_options().handshake_timeout(Duration::from_secs(3));
    assert!(ServerConnection::over(far, &options).await.is_err());
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), near.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the stream is still open");
}

#[tokio::test]
async fn a_runtime_that_stops_leaves_nobody_waiting() {
    must_end_within(RUNNING);
    let (near, far) = tokio::io::duplex(PIPE);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.spawn(async move {
        let server = ServerConnection::over(far, &server_options()).await.unwrap();
        server.connection().closed().await
    });
    let client =
        runtime.spawn(amqp_transport::Connection::over(near, client_options())).await.unwrap().unwrap();
    assert!(client.is_open());
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.closed().await }
    });
    runtime.shutdown_background();
    let reason = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert!(!matches!(reason, ConnectionError::Closed), "{reason}");
    drop(server);
}
