//! Real sockets on the loopback interface.

use std::time::Duration;

use amqp_codec::{Outcome, SenderSettleMode};
use amqp_transport::client::{ConnectError, Connection, CreditMode, SenderOptions};
use amqp_transport::server::{AcceptOptions, Listener, ServerConnection};

use crate::support::*;

async fn over_tcp() -> (Connection, ServerConnection) {
    let listener = Listener::bind(("127.0.0.1", 0), server_options()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async { listener.accept().await.unwrap().handshake().await.unwrap() };
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), client_options()), serving);
    (client.unwrap(), server)
}

async fn ten_thousand(mode: SenderSettleMode) {
    const COUNT: u32 = 10_000;
    let (client, server) = over_tcp().await;
    let session = session(&client).await;
    let options = SenderOptions::new("s", "/x").snd_settle_mode(mode);
    let accept = AcceptOptions::new().credit(CreditMode::Auto(2_000));
    let (sender, receiver) = sending(&session, &server, options, accept).await;
    let receiving = tokio::spawn(async move {
        for number in 0..COUNT {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(number_of(&delivery.message().unwrap()), number);
            delivery.accept().unwrap();
        }
        receiver
    });
    let mut receipts = std::collections::VecDeque::new();
    for number in 0..COUNT {
        if receipts.len() == 1_000 {
            let receipt: amqp_transport::Receipt = receipts.pop_front().unwrap();
            assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
        }
        receipts.push_back(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    for receipt in receipts {
        assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    }
    receiving.await.unwrap();
    client.close().await.unwrap();
}

/// On one thread the driver has no turn before the burst is complete, so the count does not hang on the machine's load.
#[tokio::test]
async fn a_burst_leaves_in_one_batch() {
    must_end_within(RUNNING);
    let (client, server) = over_tcp().await;
    let session = session(&client).await;
    let accept = AcceptOptions::new().credit(CreditMode::Auto(1_000)).max_message_size(1_024);
    let (sender, receiver) = sending(&session, &server, SenderOptions::new("s", "/x"), accept).await;
    // The first message shows that the credit has come.
    let first = sender.send_with_receipt(&numbered(0)).await.unwrap();
    receiver.recv().await.unwrap().accept().unwrap();
    assert_eq!(first.await.unwrap(), Outcome::Accepted);
    let before = client.stats().writes;
    let mut receipts = Vec::new();
    for number in 1..=500 {
        receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    for number in 1..=500 {
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(number_of(&delivery.message().unwrap()), number);
        delivery.accept().unwrap();
    }
    for receipt in receipts {
        assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    }
    let writes = client.stats().writes - before;
    assert!(writes <= 10, "{writes} writes for 500 messages");
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unsettled_messages() {
    must_end_within(RUNNING);
    ten_thousand(SenderSettleMode::Unsettled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_settled_messages() {
    must_end_within(RUNNING);
    ten_thousand(SenderSettleMode::Settled).await;
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    must_end_within(RUNNING);
    let listener = Listener::bind(("127.0.0.1", 0), server_options()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = Connection::connect(("127.0.0.1", port), client_options()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Unreachable { .. }) && error.is_retryable(), "{error}");
    assert!(error.to_string().contains(&port.to_string()));
}

#[tokio::test]
async fn outcomes_given_just_before_close_arrive() {
    must_end_within(RUNNING);
    for _ in 0..50 {
        let (client, server) = over_tcp().await;
        let session = session(&client).await;
        let (sender, receiver) =
            sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
        let mut receipts = Vec::new();
        for number in 0..20 {
            receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
        }
        for _ in 0..20 {
            receiver.recv().await.unwrap().accept().unwrap();
        }
        let (closed, ()) = tokio::join!(server.close(None), async {
            for receipt in receipts {
                assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
            }
        });
        closed.unwrap();
    }
}

#[tokio::test]
async fn a_peer_whose_process_dies_is_noticed_at_once() {
    must_end_within(RUNNING);
    let listener = Listener::bind(("127.0.0.1", 0), server_options()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let connecting =
        dying.spawn(async move { Connection::connect(("127.0.0.1", port), client_options()).await.unwrap() });
    let server = listener.accept().await.unwrap().handshake().await.unwrap();
    let _client = connecting.await.unwrap();
    dying.shutdown_background();
    let reason = tokio::time::timeout(Duration::from_secs(5), server.connection().closed()).await.unwrap();
    assert!(reason.is_retryable(), "{reason}");
}
