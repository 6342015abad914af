//! A connection on which nothing happens.

use std::time::Duration;

use amqp_codec::{Open, encode_empty_frame, encode_frame};
use amqp_transport::ConnectionError;
use amqp_transport::client::{ConnectOptions, Connection, SenderOptions, SessionOptions};
use amqp_transport::server::AcceptOptions;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_idle_connection_wakes_only_to_give_its_buffers_back() {
    let (client, server) =
        pair_with(client_options().idle_time_out(None), server_options().idle_time_out(None)).await;
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    sender.send_settled(&numbered(1)).await.unwrap();
    receiver.recv().await.unwrap().accept().unwrap();
    let wakes = || client.stats().wakes + server.connection().stats().wakes;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let busy = wakes();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let rested = wakes();
    assert!(rested - busy <= 4, "{} wake-ups to see that nothing happens", rested - busy);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(wakes(), rested, "nothing is due in an hour");
    sender.send_settled(&numbered(2)).await.unwrap();
    assert_eq!(number_of(&receiver.recv().await.unwrap().message().unwrap()), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_with_a_time_out_wakes_for_heartbeats_alone() {
    let time_out = Some(Duration::from_secs(240));
    let (client, server) =
        pair_with(client_options().idle_time_out(time_out), server_options().idle_time_out(time_out)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let wakes = || client.stats().wakes + server.connection().stats().wakes;
    let rested = wakes();
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(wakes(), rested, "no heartbeat is due yet");
    tokio::time::sleep(Duration::from_secs(1_145)).await;
    // Half of the time-out is announced, and a heartbeat comes in half of that: twenty from each end in twenty minutes,
    // each of which wakes both.
    let woken = wakes() - rested;
    assert!((40..=120).contains(&woken), "{woken} wake-ups for 40 heartbeats");
    assert!(client.is_open());
}

/// Time until a connection is given up whose peer sends a heartbeat each ten seconds, and every `pause` takes as many
/// octets as it is told to, and how it ended.
async fn time_until_given_up(
    options: ConnectOptions,
    announced: Option<u32>,
    taken: usize,
    pause: Duration,
) -> Option<(Duration, ConnectionError)> {
    // Little enough for begins alone to fill it.
    let (near, far) = tokio::io::duplex(200);
    let (mut reading, mut writing) = tokio::io::split(far);
    let mut said = BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
    encode_frame(&mut said, 0, &Open { idle_time_out: announced, ..Open::new("talks") }, &[]);
    writing.write_all(&said).await.unwrap();
    let client = Connection::over(near, options.sasl(amqp_transport::Sasl::None)).await.unwrap();
    let talking = tokio::spawn(async move {
        let mut heartbeat = BytesMut::new();
        encode_empty_frame(&mut heartbeat);
        while writing.write_all(&heartbeat).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    });
    let listening = tokio::spawn(async move {
        let mut octets = vec![0; taken];
        loop {
            tokio::time::sleep(pause).await;
            if taken > 0 && reading.read_exact(&mut octets).await.is_err() {
                break;
            }
        }
    });
    for _ in 0..100 {
        let beginning = client.clone();
        tokio::spawn(async move { beginning.begin(SessionOptions::new()).await.map(drop) });
    }
    let since = Instant::now();
    let closed = tokio::time::timeout(Duration::from_secs(3_000), client.closed()).await.ok();
    talking.abort();
    listening.abort();
    closed.map(|reason| (since.elapsed(), reason))
}

// C-030: the peer said how long it bears to hear nothing, and has heard nothing for as long.
#[tokio::test(start_paused = true)]
async fn a_peer_that_talked_and_never_read_held_a_connection_open_for_ever() {
    must_end_within(PAUSED);
    let never = Duration::from_secs(1);
    for (announced, ours, expected) in [
        (Some(60_000), Some(240), Some(60)),
        (Some(10_000), Some(240), Some(30)),
        (None, Some(100), Some(100)),
        (Some(60_000), None, Some(60)),
        (Some(0), None, None),
    ] {
        let options = client_options().idle_time_out(ours.map(Duration::from_secs));
        let given_up = time_until_given_up(options, announced, 0, never).await;
        let Some((elapsed, reason)) = given_up else {
            assert_eq!(expected, None, "{announced:?}, {ours:?}");
            continue;
        };
        assert_eq!(elapsed.as_secs(), expected.unwrap(), "{announced:?}, {ours:?}");
        assert!(matches!(reason, ConnectionError::Timeout { .. }), "{reason}");
    }
    // An octet now and then is progress enough.
    let slow = time_until_given_up(client_options(), Some(60_000), 1, Duration::from_secs(50)).await;
    assert!(slow.is_none(), "{slow:?}");
}
