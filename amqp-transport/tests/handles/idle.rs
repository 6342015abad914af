//! A connection on which nothing happens.

use std::time::Duration;

use amqp_transport::client::SenderOptions;
use amqp_transport::server::AcceptOptions;

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
