use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::*;
use crate::client::{ConnectOptions, Connection, SessionOptions};
use crate::engine::UnsettledDelivery;
use crate::server::{AcceptOptions, Incoming, ListenerOptions, ServerConnection};

/// Longer than anything takes that ends at all.
const PATIENCE: Duration = Duration::from_secs(600);

/// A sender of an earlier process with so many messages.
fn left(messages: u32) -> SuspendedSender {
    let mut link = SuspendedLink::new("L", Role::Sender);
    for number in 0..messages {
        let payload = Some(Bytes::from_static(b"\0\x53\x75\xa0\x01x"));
        link.deliveries.push(UnsettledDelivery { payload, ..UnsettledDelivery::new(number.into()) });
    }
    SuspendedSender::from_link(link).unwrap()
}

/// Messages that the connection remembers, decided or not.
fn remembered(connection: &Connection) -> usize {
    connection.shared().with(|state| state.pending.values().count() + state.restored.len()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn receipts_of_an_earlier_process_that_nobody_takes_are_forgotten() {
    let (near, far) = tokio::io::duplex(65_536);
    let options = ListenerOptions::new("server");
    let (client, server) = tokio::join!(
        Connection::over(near, ConnectOptions::new("client")),
        ServerConnection::over(far, &options)
    );
    let (client, server) = (client.unwrap(), server.unwrap());
    let session = client.begin(SessionOptions::new()).await.unwrap();
    let next_attach = async || match timeout(PATIENCE, server.next()).await.unwrap().unwrap() {
        Incoming::Attach(attach) => attach,
        other => panic!("not an attach: {other:?}"),
    };
    // Given up before its attach is answered.
    let attaching = session.resume_sender(SenderOptions::new("L", "/q"), left(3));
    assert!(timeout(Duration::from_secs(1), attaching).await.is_err());
    drop(next_attach().await);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(remembered(&client), 0);
    // Attached, and dropped once they have ended; and before.
    for taken in [3, 1] {
        let accepting = async { next_attach().await.accept_receiver(AcceptOptions::new()).unwrap() };
        let (sender, receiver) =
            tokio::join!(session.resume_sender(SenderOptions::new("L", "/q"), left(3)), accepting);
        let sender = sender.unwrap();
        for _ in 0..taken {
            timeout(PATIENCE, receiver.recv()).await.unwrap().unwrap().reject(None).unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(remembered(&client), 3);
        drop(sender);
        sleep(Duration::from_secs(1)).await;
        drop(receiver);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(remembered(&client), 0);
    }
}
