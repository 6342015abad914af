//! TLS over loopback, and what goes wrong with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp_codec::Outcome;
use amqp_transport::client::{ConnectError, Connection, SenderOptions, TlsError, TlsOptions};
use amqp_transport::server::{AcceptOptions, HandshakeError, Listener, ServerConnection};
use amqp_transport::{ConnectionError, Spoken};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::support::*;

/// A certificate of its own authority for `localhost`.
struct Identity {
    pem: String,
    config: Arc<ServerConfig>,
}

fn identity() -> Identity {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    Identity { pem: certificate.pem(), config: Arc::new(config) }
}

fn trusting(identity: &Identity) -> TlsOptions {
    TlsOptions::trusting_pem(identity.pem.as_bytes()).unwrap().server_name("localhost")
}

async fn listen(identity: &Identity) -> (Listener, u16) {
    let options =
        server_options().tls(Arc::clone(&identity.config)).handshake_timeout(Duration::from_secs(5));
    let listener = Listener::bind(("127.0.0.1", 0), options).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn attempt(
    tls: TlsOptions,
    identity: &Identity,
) -> (Result<Connection, ConnectError>, Result<ServerConnection, HandshakeError>) {
    let (listener, port) = listen(identity).await;
    let serving = async { listener.accept().await.unwrap().handshake().await };
    tokio::join!(Connection::connect(("127.0.0.1", port), client_options().tls(tls)), serving)
}

// C-007: TLS, then AMQP; the host that was asked for, without its port, is the host that is meant.
#[tokio::test]
async fn messages_cross_tls_and_it_ends_in_good_order() {
    must_end_within(RUNNING);
    let identity = identity();
    let (client, server) = attempt(trusting(&identity), &identity).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!(server.remote_open().hostname.as_deref(), Some("127.0.0.1"));
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let receiving = tokio::spawn(async move {
        for number in 0..2_000 {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(number_of(&delivery.message().unwrap()), number);
            delivery.accept().unwrap();
        }
        receiver
    });
    let mut receipts = Vec::new();
    for number in 0..2_000 {
        receipts.push(sender.send_with_receipt(&numbered(number)).await.unwrap());
    }
    for receipt in receipts {
        assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    }
    receiving.await.unwrap();
    client.close().await.unwrap();
    assert!(matches!(server.next().await, Err(ConnectionError::ClosedByPeer)));
}

/// Keeps the name that each client asks for, and shows all of them the same certificate.
#[derive(Debug)]
struct Asked {
    names: Mutex<Vec<Option<String>>>,
    shown: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Asked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.names.lock().unwrap().push(hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.shown))
    }
}

// by whatever way the stream came. An address is no name, and is asked for by none. A-013, C-006: TLS, SASL and open
// mean the same host.
#[tokio::test]
async fn tls_asks_for_the_host_that_was_asked_for() {
    must_end_within(RUNNING);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["localhost", "broker.example", "127.0.0.1"].map(str::to_owned);
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let shown = CertifiedKey::from_der(vec![certificate.der().clone()], private, &provider).unwrap();
    let asked = Arc::new(Asked { names: Mutex::default(), shown: Arc::new(shown) });
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&asked) as Arc<dyn ResolvesServerCert>);
    let trusting = || TlsOptions::trusting_pem(certificate.pem().as_bytes()).unwrap();
    let server = || server_options().tls(Arc::new(config.clone()));

    let (near, far) = tokio::io::duplex(PIPE);
    let client = client_options().hostname("broker.example").tls(trusting());
    let (_ours, theirs) = pair_over(near, far, client, server()).await;
    assert_eq!(theirs.remote_open().hostname.as_deref(), Some("broker.example"));
    assert_eq!(theirs.identity().hostname.as_deref(), Some("broker.example"));

    let listener = Listener::bind(("127.0.0.1", 0), server()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["localhost", "127.0.0.1"] {
        let serving = async { listener.accept().await.unwrap().handshake().await };
        let client = client_options().tls(trusting());
        let (ours, theirs) = tokio::join!(Connection::connect((host, port), client), serving);
        ours.unwrap();
        let theirs = theirs.unwrap();
        assert_eq!(theirs.remote_open().hostname.as_deref(), Some(host));
        assert_eq!(theirs.identity().hostname.as_deref(), Some(host));
    }
    let asked = asked.names.lock().unwrap().clone();
    assert_eq!(asked, [Some("broker.example".to_owned()), Some("localhost".to_owned()), None]);
}

#[tokio::test]
async fn an_unknown_authority_is_named() {
    must_end_within(RUNNING);
    let (client, server) = attempt(trusting(&identity()), &identity()).await;
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(TlsError::UnknownAuthority)), "{error}");
    assert!(!error.is_retryable());
    assert!(matches!(server, Err(HandshakeError::Tls(_))));
}

#[tokio::test]
async fn a_wrong_name_is_named() {
    must_end_within(RUNNING);
    let identity = identity();
    let (client, _) = attempt(trusting(&identity).server_name("other.example"), &identity).await;
    let error = client.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Tls(TlsError::NameMismatch { expected }) if expected == "other.example"),
        "{error}"
    );
}

#[tokio::test]
async fn a_plain_client_on_the_tls_port_is_named_on_both_sides() {
    must_end_within(RUNNING);
    let identity = identity();
    let (listener, port) = listen(&identity).await;
    let serving = async { listener.accept().await.unwrap().handshake().await };
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), client_options()), serving);
    let server = server.unwrap_err();
    assert!(
        matches!(server, HandshakeError::NotTls { spoken: Spoken::Amqp { id: 3, version: [1, 0, 0] } }),
        "{server}"
    );
    assert!(server.to_string().contains("plain AMQP 1.0"), "{server}");
    let client = client.unwrap_err();
    // The alert that answers is one octet shorter than a header.
    assert!(matches!(client, ConnectError::NotAmqp(Spoken::Tls)), "{client}");
}

#[tokio::test]
async fn a_tls_client_on_a_plain_port_is_told() {
    must_end_within(RUNNING);
    let identity = identity();
    let listener = Listener::bind(("127.0.0.1", 0), server_options()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async { listener.accept().await.unwrap().handshake().await };
    let options = client_options().tls(trusting(&identity));
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), options), serving);
    assert!(matches!(server, Err(HandshakeError::NotAmqp { spoken: Spoken::Tls })), "{server:?}");
    let client = client.unwrap_err();
    assert!(matches!(client, ConnectError::Tls(TlsError::NotTls(Spoken::Amqp { .. }))), "{client}");
}

#[tokio::test]
async fn an_end_without_close_notify_is_a_loss() {
    must_end_within(RUNNING);
    let identity = identity();
    let (_listener, port) = listen(&identity).await;
    drop(_listener);
    // A relay that cuts the stream under TLS.
    let (listener, target) = listen(&identity).await;
    let relay = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let relaying = tokio::spawn(async move {
        let (mut near, _) = relay.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(("127.0.0.1", target)).await.unwrap();
        let _ = tokio::time::timeout(
            Duration::from_millis(300),
            tokio::io::copy_bidirectional(&mut near, &mut far),
        )
        .await;
        let _ = near.shutdown().await;
    });
    let serving = async { listener.accept().await.unwrap().handshake().await };
    let options = client_options().tls(trusting(&identity));
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), options), serving);
    let (client, _server) = (client.unwrap(), server.unwrap());
    let reason = client.closed().await;
    assert!(!matches!(reason, ConnectionError::Closed | ConnectionError::ClosedByPeer), "{reason}");
    assert!(reason.is_retryable(), "{reason}");
    relaying.await.unwrap();
}

// WS-005: TLS comes from wss, and the WebSocket is inside.
#[cfg(feature = "websocket")]
#[tokio::test]
async fn a_websocket_runs_inside_tls() {
    must_end_within(RUNNING);
    use amqp_transport::client::WebSocketOptions;
    use amqp_transport::server::WebSocketAccept;
    let identity = identity();
    let options = server_options().tls(Arc::clone(&identity.config)).websocket(WebSocketAccept::new());
    let listener = Listener::bind(("127.0.0.1", 0), options).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async { listener.accept().await.unwrap().handshake().await };
    let options = client_options().tls(trusting(&identity)).websocket(WebSocketOptions::new("/amqp"));
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), options), serving);
    let (client, server) = (client.unwrap(), server.unwrap());
    let session = session(&client).await;
    let (sender, receiver) =
        sending(&session, &server, SenderOptions::new("s", "/x"), AcceptOptions::new()).await;
    let taking = async { receiver.recv().await.unwrap().accept().unwrap() };
    let message = numbered(7);
    let (sent, ()) = tokio::join!(sender.send(&message), taking);
    assert_eq!(sent.unwrap(), Outcome::Accepted);
    client.close().await.unwrap();
    assert!(matches!(server.next().await, Err(ConnectionError::ClosedByPeer)));
}

/// A listener that asks for a client certificate of this authority, and a client that has one.
fn mutual() -> (Arc<ServerConfig>, TlsOptions, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "device-7");
    let certificate = params.self_signed(&key).unwrap();
    let private = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let own = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own_certificate = params.self_signed(&own).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![own_certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der())),
        )
        .unwrap();
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(own_certificate.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_client_auth_cert(vec![certificate.der().clone()], private())
        .unwrap();
    (Arc::new(server), TlsOptions::new(Arc::new(client)).server_name("localhost"), certificate.der().to_vec())
}

// EXTERNAL means the certificate, which the authenticator is shown.
#[tokio::test]
async fn external_is_decided_by_the_clients_certificate() {
    must_end_within(RUNNING);
    use amqp_transport::client::Sasl;
    use amqp_transport::server::{SaslDecision, SaslPeer, SaslPolicy, SaslRequest};
    let (config, tls, certificate) = mutual();
    let decide = move |request: &SaslRequest, peer: &SaslPeer| match request {
        SaslRequest::External { authzid } if authzid.is_empty() && peer.is_encrypted => {
            match peer.certificates.first() {
                Some(shown) if *shown == certificate => SaslDecision::accept("device-7"),
                _ => SaslDecision::Refuse,
            }
        }
        _ => SaslDecision::Refuse,
    };
    let policy = SaslPolicy::new([amqp_codec::Symbol::from_static("EXTERNAL")], Arc::new(decide));
    let listener = Listener::bind(("127.0.0.1", 0), server_options().tls(config).sasl(policy)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async { listener.accept().await.unwrap().handshake().await };
    let options = client_options().tls(tls).sasl(Sasl::External);
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), options), serving);
    client.unwrap();
    assert_eq!(server.unwrap().identity().user.as_deref(), Some("device-7"));
}
