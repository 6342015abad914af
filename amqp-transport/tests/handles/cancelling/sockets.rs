//! What needs real sockets: connecting, listening, and recovery's own way to an address.

use std::time::Duration;

use amqp_transport::Connection;
use amqp_transport::recovery::{Direct, PeerAddress, RecoveringConnection, RecoveryOptions};
use amqp_transport::server::Listener;
use tokio::time::timeout;

use super::{at_every_await_point, dropped_after};
use crate::support::*;

const PATIENCE: Duration = Duration::from_secs(10);

async fn listener() -> (Listener, u16) {
    let listener = Listener::bind(("127.0.0.1", 0), server_options()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

// cancels client::connect: connect
// cancels recovery::connection: open
// cancels recovery::hooks: open, open_at
#[tokio::test]
async fn a_dropped_connect_closes_its_socket() {
    must_end_within(RUNNING);
    for is_recovering in [false, true] {
        at_every_await_point(async |polls| {
            let (listener, port) = listener().await;
            let serving = tokio::spawn(async move {
                let Ok(accepted) = timeout(PATIENCE, listener.accept()).await else { return };
                if let Ok(server) = accepted.unwrap().handshake().await {
                    timeout(PATIENCE, server.connection().closed()).await.expect("the socket is closed");
                }
            });
            let direct = Direct::new(client_options());
            let addresses = [PeerAddress::new("127.0.0.1", port)];
            let recovering = RecoveringConnection::open(addresses, RecoveryOptions::new(), direct);
            let is_ready = match is_recovering {
                true => match dropped_after(polls, recovering).await {
                    Some(connection) => {
                        connection.unwrap().close().await;
                        true
                    }
                    None => false,
                },
                false => dropped_after(polls, Connection::connect(("127.0.0.1", port), client_options()))
                    .await
                    .map(|connection| connection.unwrap())
                    .is_some(),
            };
            if polls == 0 {
                serving.abort();
            } else {
                serving.await.expect("the peer is not left waiting");
            }
            is_ready
        })
        .await;
    }
}

// cancels server::listener: bind, accept, handshake
#[tokio::test]
async fn a_dropped_accept_loses_no_socket_and_a_dropped_handshake_closes_its_own() {
    must_end_within(RUNNING);
    at_every_await_point(async |polls| {
        let bound = dropped_after(polls, Listener::bind(("127.0.0.1", 0), server_options())).await;
        let Some(listener) = bound else { return false };
        drop(listener.unwrap());
        true
    })
    .await;
    at_every_await_point(async |polls| {
        let (listener, port) = listener().await;
        let connecting =
            tokio::spawn(async move { Connection::connect(("127.0.0.1", port), client_options()).await });
        let first = dropped_after(polls, listener.accept()).await;
        let is_ready = first.is_some();
        let accepted = match first {
            Some(accepted) => accepted.unwrap(),
            None => timeout(PATIENCE, listener.accept()).await.expect("it is still there").unwrap(),
        };
        let server = accepted.handshake().await.unwrap();
        connecting.await.unwrap().unwrap();
        drop(server);
        is_ready
    })
    .await;
    at_every_await_point(async |polls| {
        let (listener, port) = listener().await;
        let connecting =
            tokio::spawn(async move { Connection::connect(("127.0.0.1", port), client_options()).await });
        let accepted = listener.accept().await.unwrap();
        let server = dropped_after(polls, accepted.handshake()).await;
        let is_ready = server.map(|server| server.unwrap());
        let client = timeout(PATIENCE, connecting).await.expect("the socket is closed").unwrap();
        if let (None, Ok(client)) = (&is_ready, client) {
            timeout(PATIENCE, client.closed()).await.expect("the socket is closed");
        }
        is_ready.is_some()
    })
    .await;
}
