//! Connecting through an HTTP proxy, and what happens when it does not work.

use std::time::Duration;

use amqp_transport::Secret;
use amqp_transport::client::{ConnectError, ConnectOptions, Connection, Proxy, ProxyError, ProxyRules};
use amqp_transport::server::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

/// A proxy that says `answer` to one client, and what it was asked. On 200 it connects on.
async fn proxy(answer: &'static [u8]) -> (Proxy, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(client.read_u8().await.unwrap());
        }
        let asked = String::from_utf8(asked).unwrap();
        client.write_all(answer).await.unwrap();
        if answer.starts_with(b"HTTP/1.1 200") {
            let target = asked.split(' ').nth(1).unwrap().to_owned();
            let mut server = TcpStream::connect(target).await.unwrap();
            // Either side may go first.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        } else {
            // Held until the client has gone, so that what it sees is the answer and not an end.
            let _ = client.read_to_end(&mut Vec::new()).await;
        }
        asked
    });
    (Proxy::new("127.0.0.1", port).unwrap(), serving)
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";

async fn through(options: ConnectOptions) {
    let listener = Listener::bind(("127.0.0.1", 0), server_options()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async { listener.accept().await.unwrap().handshake().await };
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), options), serving);
    server.unwrap();
    client.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_connection_goes_through_the_proxy_with_its_credentials() {
    must_end_within(RUNNING);
    let (proxy, asked) = proxy(ESTABLISHED).await;
    let proxy = proxy.credentials("Aladdin", Secret::new("open sesame")).unwrap();
    through(client_options().proxy(proxy)).await;
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("CONNECT 127.0.0.1:"), "{asked}");
    assert!(asked.contains("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{asked}");
}

#[tokio::test]
async fn rules_name_the_proxy_or_none() {
    must_end_within(RUNNING);
    let (proxy, asked) = proxy(ESTABLISHED).await;
    let address = format!("{proxy:?}");
    let port = address.split("port: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let rules = move |no_proxy: &'static str| {
        let port = port.clone();
        ProxyRules::from_variables(move |name| match name {
            "HTTPS_PROXY" => Some(format!("http://127.0.0.1:{port}")),
            "NO_PROXY" => Some(no_proxy.to_owned()),
            _ => None,
        })
    };
    through(client_options().proxy_rules(rules("127.0.0.0/8"))).await;
    assert!(!asked.is_finished(), "nobody asked the proxy");
    through(client_options().proxy_rules(rules("example.com"))).await;
    assert!(asked.await.unwrap().starts_with("CONNECT "));
}

async fn failing(answer: &'static [u8]) -> ProxyError {
    let (proxy, _asked) = proxy(answer).await;
    let options = client_options().proxy(proxy).connect_timeout(Duration::from_secs(5));
    match Connection::connect(("broker.invalid", 5671), options).await.unwrap_err() {
        ConnectError::Proxy(error) => error,
        other => panic!("not the proxy's fault: {other}"),
    }
}

#[tokio::test]
async fn what_the_proxy_says_is_told() {
    must_end_within(RUNNING);
    let error =
        failing(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n").await;
    assert!(matches!(&error, ProxyError::Unauthorized { had_credentials: false, .. }), "{error}");
    assert!(error.to_string().contains("wants credentials") && !error.is_retryable(), "{error}");
    let error = failing(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    assert!(matches!(&error, ProxyError::Refused { status: 503, .. }) && error.is_retryable(), "{error}");
    let error = failing(b"SSH-2.0-OpenSSH\r\n\r\n").await;
    assert!(matches!(&error, ProxyError::Malformed { .. }), "{error}");
    let endless: &'static [u8] = vec![b'a'; 10_000].leak();
    let error = failing(endless).await;
    assert!(error.to_string().contains("too long"), "{error}");
}

// A proxy that was configured and cannot be used never ends in a direct connection.
#[tokio::test]
async fn there_is_no_way_around_a_proxy_that_is_not_there() {
    must_end_within(RUNNING);
    let listener = Listener::bind(("127.0.0.1", 0), server_options()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
    let options = client_options().proxy(Proxy::new("127.0.0.1", nobody).unwrap());
    let error = Connection::connect(("127.0.0.1", port), options.clone()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Proxy(ProxyError::Unreachable { .. })), "{error}");
    assert!(error.is_retryable());
    let unreadable = ProxyRules::from_variables(|_| Some("socks5://x:1".to_owned()));
    let error = Connection::connect(("127.0.0.1", port), client_options().proxy_rules(unreadable)).await;
    assert!(matches!(error, Err(ConnectError::Proxy(ProxyError::Address { .. }))));
    let (near, _far) = tokio::io::duplex(64);
    let error = Connection::over(near, options).await;
    assert!(matches!(error, Err(ConnectError::Proxy(ProxyError::StreamGiven))));
    assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
}

#[tokio::test]
async fn a_proxy_that_never_answers_costs_the_connect_timeout() {
    must_end_within(RUNNING);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = client_options()
        .proxy(Proxy::new("127.0.0.1", port).unwrap())
        .connect_timeout(Duration::from_millis(200));
    let error = Connection::connect(("broker.invalid", 5671), options).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }) && error.to_string().contains("proxy"), "{error}");
}
