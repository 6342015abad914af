//! SASL from end to end: every mechanism, the client's choice, and what is refused rather than weakened.

use std::sync::Arc;
use std::time::Duration;

use amqp_codec::{ProtocolHeader, Symbol};
use amqp_transport::client::{ConnectError, ConnectOptions, Connection, CustomSasl, Sasl};
use amqp_transport::sasl::{ClientMechanism, Exposure};
use amqp_transport::server::{
    AskingMechanism, HandshakeError, Listener, PendingStep, SaslDecision, SaslPeer, SaslPolicy, SaslRequest,
    ServerConnection, ServerMechanism, ServerStep,
};
use amqp_transport::{ConnectionError, SaslFailure, Secret};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

async fn attempt(
    sasl: Sasl,
    policy: SaslPolicy,
) -> (Result<Connection, ConnectError>, Result<ServerConnection, HandshakeError>) {
    let (near, far) = tokio::io::duplex(PIPE);
    let server = server_options().sasl(policy);
    tokio::join!(Connection::over(near, client_options().sasl(sasl)), ServerConnection::over(far, &server))
}

fn failure(result: Result<Connection, ConnectError>) -> SaslFailure {
    match result.unwrap_err() {
        ConnectError::Lost { reason: ConnectionError::Sasl(failure), .. } => failure,
        other => panic!("not a failure of SASL: {other}"),
    }
}

fn policy(names: &[&'static str]) -> SaslPolicy {
    let decide = |request: &SaslRequest, _: &SaslPeer| match request {
        SaslRequest::Plain { authcid, password, .. } if password.expose() == "right" => {
            SaslDecision::accept(authcid.clone())
        }
        SaslRequest::Bearer { user, token, .. } if token.expose() == "right" => {
            SaslDecision::Accept { identity: user.clone() }
        }
        SaslRequest::Anonymous { .. } => SaslDecision::Accept { identity: None },
        _ => SaslDecision::Refuse,
    };
    SaslPolicy::new(names.iter().map(|name| Symbol::from_static(name)), Arc::new(decide))
}

fn plain(password: &str) -> Sasl {
    Sasl::Plain { user: "ann".to_owned(), password: Secret::new(password) }
}

// Scenario 17: a refused token takes one round more, and what the server objects is told.
#[tokio::test(start_paused = true)]
async fn bearer_tokens_are_taken_and_refused() {
    must_end_within(PAUSED);
    let of = |token: &str| {
        let token = Secret::new(token);
        [
            Sasl::Xoauth2 { user: "ann".to_owned(), token: token.clone() },
            Sasl::OauthBearer { user: Some("ann".to_owned()), token },
        ]
    };
    for sasl in of("right") {
        let (client, server) = attempt(sasl, policy(&["XOAUTH2", "OAUTHBEARER"])).await;
        client.unwrap();
        assert_eq!(server.unwrap().identity().user.as_deref(), Some("ann"));
    }
    for sasl in of("wrong") {
        let (client, server) = attempt(sasl, policy(&["XOAUTH2", "OAUTHBEARER"])).await;
        let failure = failure(client);
        assert!(failure.is_auth() && !failure.is_retryable());
        assert!(failure.to_string().contains("invalid_token"), "{failure}");
        assert!(matches!(server, Err(HandshakeError::Refused { .. })));
    }
}

// Scenario 16, A-007: a token of 6,000 characters in one frame.
#[tokio::test(start_paused = true)]
async fn a_long_token_passes() {
    must_end_within(PAUSED);
    let token = "t".repeat(6_000);
    let (client, server) =
        attempt(Sasl::OauthBearer { user: None, token: Secret::new(token) }, policy(&["OAUTHBEARER"])).await;
    assert!(failure(client).is_auth());
    assert!(matches!(server, Err(HandshakeError::Refused { .. })));
}

// our order, whatever the server's.
#[tokio::test(start_paused = true)]
async fn the_first_of_several_that_both_know_is_used() {
    must_end_within(PAUSED);
    let several = || Sasl::FirstOf(vec![plain("right"), Sasl::Anonymous]);
    let (_client, server) = attempt(several(), policy(&["ANONYMOUS", "PLAIN"])).await;
    assert_eq!(server.unwrap().identity().mechanism.as_deref(), Some("PLAIN"));
    let (_client, server) = attempt(several(), policy(&["ANONYMOUS"])).await;
    assert_eq!(server.unwrap().identity().mechanism.as_deref(), Some("ANONYMOUS"));
    let (client, _server) = attempt(several(), policy(&["GSSAPI"])).await;
    let failure = failure(client);
    assert_eq!(
        failure,
        SaslFailure::MechanismNotOffered {
            wanted: "PLAIN or ANONYMOUS".to_owned(),
            offered: "GSSAPI".to_owned()
        }
    );
    let nothing = Sasl::FirstOf(vec![Sasl::Anonymous, Sasl::None]);
    assert!(attempt(nothing, policy(&["ANONYMOUS"])).await.0.is_err());
}

// no password on a socket without TLS, unless the caller says so.
#[tokio::test]
async fn a_password_does_not_travel_without_tls() {
    must_end_within(RUNNING);
    let listener = Listener::bind(("127.0.0.1", 0), server_options().sasl(policy(&["PLAIN"]))).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = client_options().sasl(plain("right"));
    let serving = async { listener.accept().await.unwrap().handshake().await };
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), options.clone()), serving);
    assert_eq!(failure(client), SaslFailure::NeedsTls { mechanism: "PLAIN".to_owned() });
    assert!(server.is_err());

    let allowed = options.allow_secrets_without_tls();
    let serving = async { listener.accept().await.unwrap().handshake().await };
    let (client, server) = tokio::join!(Connection::connect(("127.0.0.1", port), allowed), serving);
    client.unwrap();
    server.unwrap();
}

// A-023 seen from the client, scenario 11: SASL is not given up because the peer does without.
#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_sasl_out_is_left() {
    must_end_within(PAUSED);
    let (near, mut far) = tokio::io::duplex(PIPE);
    let answering = async move {
        far.write_all(&ProtocolHeader::AMQP.encode()).await.unwrap();
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        sent
    };
    let (client, sent) =
        tokio::join!(Connection::over(near, client_options().sasl(plain("right"))), answering);
    assert_eq!(failure(client), SaslFailure::LeftOut);
    assert_eq!(sent, ProtocolHeader::SASL.encode(), "nothing but our header went out");
}

// what requires SASL and offers none lets nobody in, with SASL or without.
#[tokio::test(start_paused = true)]
async fn a_policy_without_mechanisms_is_no_open_door() {
    must_end_within(PAUSED);
    for sasl in [Sasl::None, Sasl::Anonymous] {
        let (client, server) = attempt(sasl, SaslPolicy::empty()).await;
        assert!(client.is_err() && server.is_err());
    }
}

/// PLAIN as a client says it that leaves the initial response out.
#[derive(Debug)]
struct Late;

impl ClientMechanism for Late {
    fn name(&self) -> &'static str {
        "PLAIN"
    }

    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        Ok(None)
    }

    fn respond(&mut self, challenge: &[u8]) -> Result<Bytes, SaslFailure> {
        assert!(challenge.is_empty());
        Ok(Bytes::from_static(b"\0ann\0right"))
    }
}

//
#[tokio::test(start_paused = true)]
async fn an_initial_response_that_was_left_out_is_asked_for() {
    must_end_within(PAUSED);
    let (client, server) = attempt(Sasl::Custom(CustomSasl::new(|| Late)), policy(&["PLAIN"])).await;
    client.unwrap();
    assert_eq!(server.unwrap().identity().user.as_deref(), Some("ann"));
}

/// Counts down together, as both sides of a mechanism.
#[derive(Debug)]
struct Countdown(u8);

impl ClientMechanism for Countdown {
    fn name(&self) -> &'static str {
        "X-COUNTDOWN"
    }

    fn exposure(&self) -> Exposure {
        Exposure::Nothing
    }

    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        Ok(Some(Bytes::copy_from_slice(&[self.0])))
    }

    fn respond(&mut self, challenge: &[u8]) -> Result<Bytes, SaslFailure> {
        Ok(challenge.iter().map(|number| number - 1).collect())
    }

    fn finish(&mut self, additional_data: Option<&[u8]>) -> Result<(), SaslFailure> {
        assert_eq!(additional_data, Some(&b"lift-off"[..]));
        Ok(())
    }
}

impl ServerMechanism for Countdown {
    fn start(&mut self, initial_response: Option<&[u8]>) -> ServerStep {
        self.step(initial_response.unwrap_or_default())
    }

    fn step(&mut self, response: &[u8]) -> ServerStep {
        match response {
            [0] => ServerStep::Accept {
                identity: Some("rocket".to_owned()),
                additional_data: Some(Bytes::from_static(b"lift-off")),
            },
            [1..=200] => ServerStep::Challenge(Bytes::copy_from_slice(response)),
            _ => ServerStep::Refuse,
        }
    }
}

fn countdown(from: u8) -> Sasl {
    Sasl::Custom(CustomSasl::new(move || Countdown(from)))
}

//
#[tokio::test(start_paused = true)]
async fn a_mechanism_of_ones_own_has_its_rounds_within_the_bound() {
    must_end_within(PAUSED);
    let own = || {
        SaslPolicy::empty().mechanism(Symbol::from_static("X-COUNTDOWN"), |_| Some(Box::new(Countdown(0))))
    };
    let (client, server) = attempt(countdown(16), own()).await;
    client.unwrap();
    assert_eq!(server.unwrap().identity().user.as_deref(), Some("rocket"));
    let (client, server) = attempt(countdown(17), own()).await;
    assert!(client.is_err());
    assert!(matches!(
        server,
        Err(HandshakeError::Lost {
            reason: ConnectionError::Sasl(SaslFailure::TooManyRounds { limit: 16 }),
            ..
        })
    ));
    let (client, server) = attempt(countdown(201), own()).await;
    assert!(failure(client).is_auth());
    assert!(matches!(server, Err(HandshakeError::Refused { .. })));

    let cannot = SaslPolicy::empty().mechanism(Symbol::from_static("X-COUNTDOWN"), |_| None);
    let (client, _) = attempt(countdown(1), cannot).await;
    assert!(failure(client).is_retryable());
}

#[cfg(feature = "scram")]
mod scram {
    use amqp_transport::sasl::scram::{ScramDecoy, ScramHash, ScramKeys, ScramStore};

    use super::*;

    fn users() -> SaslPolicy {
        let hashes = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];
        let keys = hashes.map(|hash| ScramKeys::derive(hash, &Secret::new("right"), b"salt", 4_096).unwrap());
        let find = move |user: &str, hash: ScramHash| {
            keys.iter().find(|keys| user == "ann" && keys.hash() == hash).cloned()
        };
        let store: Arc<dyn ScramStore> = Arc::new(find);
        SaslPolicy::empty().scram(hashes, &store, &ScramDecoy::new([9; 32]))
    }

    fn scram(hash: ScramHash, user: &str, password: &str) -> Sasl {
        Sasl::Scram { hash, user: user.to_owned(), password: Secret::new(password) }
    }

    //
    #[tokio::test(start_paused = true)]
    async fn scram_lets_in_who_knows_the_password() {
        must_end_within(PAUSED);
        for hash in [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512] {
            let (client, server) = attempt(scram(hash, "ann", "right"), users()).await;
            client.unwrap();
            let server = server.unwrap();
            assert_eq!(server.identity().user.as_deref(), Some("ann"));
            assert_eq!(server.identity().mechanism.as_deref(), Some(hash.mechanism()));
            for (user, password) in [("ann", "wrong"), ("bob", "right")] {
                let (client, server) = attempt(scram(hash, user, password), users()).await;
                assert!(failure(client).is_auth());
                assert!(matches!(server, Err(HandshakeError::Refused { .. })));
            }
        }
    }

    // No downgrade: SCRAM goes without TLS, and PLAIN does not take its place.
    #[tokio::test]
    async fn scram_needs_no_tls_and_plain_is_no_way_around() {
        must_end_within(RUNNING);
        let offering =
            |options: amqp_transport::server::ListenerOptions| Listener::bind(("127.0.0.1", 0), options);
        let listener = offering(server_options().sasl(users())).await.unwrap();
        let sasl = Sasl::FirstOf(vec![plain("right"), scram(ScramHash::Sha256, "ann", "right")]);
        let options = client_options().sasl(sasl);
        let serving = async { listener.accept().await.unwrap().handshake().await };
        let port = listener.local_addr().unwrap().port();
        let (client, server) =
            tokio::join!(Connection::connect(("127.0.0.1", port), options.clone()), serving);
        client.unwrap();
        server.unwrap();

        let listener = offering(server_options().sasl(policy(&["PLAIN"]))).await.unwrap();
        let serving = async { listener.accept().await.unwrap().handshake().await };
        let port = listener.local_addr().unwrap().port();
        let (client, _) = tokio::join!(Connection::connect(("127.0.0.1", port), options), serving);
        assert_eq!(failure(client), SaslFailure::NeedsTls { mechanism: "PLAIN".to_owned() });
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_scram_cannot_prepare_are_refused_before_anything_is_sent() {
        must_end_within(PAUSED);
        let (client, _) = attempt(scram(ScramHash::Sha256, "\u{e4}nn", "right"), users()).await;
        assert!(failure(client).to_string().contains("ascii"));
    }
}

/// A SCRAM or other answer that comes after a while of asking, and tells when its asking is given up.
struct Asking(tokio::sync::mpsc::Sender<()>);

impl Drop for Asking {
    fn drop(&mut self) {
        // Nobody looks.
        let _ = self.0.try_send(());
    }
}

/// Decides after so long.
fn asking(after: Duration) -> (SaslPolicy, tokio::sync::mpsc::Receiver<()>) {
    let (over, is_over) = tokio::sync::mpsc::channel(8);
    let policy = SaslPolicy::asking([Symbol::from_static("PLAIN")], move |request, _| {
        let asking = Asking(over.clone());
        async move {
            let _asking = asking;
            tokio::time::sleep(after).await;
            match request {
                SaslRequest::Plain { authcid, password, .. } if password.expose() == "right" => {
                    SaslDecision::accept(authcid)
                }
                _ => SaslDecision::Refuse,
            }
        }
    });
    (policy, is_over)
}

fn over_anything(sasl: Sasl) -> ConnectOptions {
    client_options().sasl(sasl).allow_secrets_without_tls()
}

async fn attempt_asking(
    sasl: Sasl,
    policy: SaslPolicy,
) -> (Result<Connection, ConnectError>, Result<ServerConnection, HandshakeError>) {
    let (near, far) = tokio::io::duplex(PIPE);
    let server = server_options().sasl(policy);
    tokio::join!(Connection::over(near, over_anything(sasl)), ServerConnection::over(far, &server))
}

// A password database could not be asked but by blocking the task.
#[tokio::test(start_paused = true)]
async fn who_is_let_in_may_be_asked_of_others_while_the_connection_waits() {
    must_end_within(PAUSED);
    let (policy, _over) = asking(Duration::from_secs(5));
    let (client, server) = attempt_asking(plain("right"), policy.clone()).await;
    client.unwrap();
    assert!(server.unwrap().identity().user.is_some());
    let (client, server) = attempt_asking(plain("wrong"), policy).await;
    assert!(failure(client).is_auth());
    assert!(matches!(server, Err(HandshakeError::Refused { .. })));
}

#[tokio::test(start_paused = true)]
async fn asking_is_given_up_when_the_handshake_takes_too_long() {
    must_end_within(PAUSED);
    let (policy, mut over) = asking(Duration::from_secs(1_000));
    let (near, far) = tokio::io::duplex(PIPE);
    let options = server_options().sasl(policy).handshake_timeout(Duration::from_secs(7));
    let client = tokio::spawn(Connection::over(near, over_anything(plain("right"))));
    let began = tokio::time::Instant::now();
    let refused = ServerConnection::over(far, &options).await;
    assert!(matches!(refused, Err(HandshakeError::Timeout { .. })), "{refused:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(7));
    over.recv().await.unwrap();
    assert!(client.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn asking_is_given_up_when_the_peer_has_gone() {
    must_end_within(PAUSED);
    let (policy, mut over) = asking(Duration::from_secs(1_000));
    let (near, far) = tokio::io::duplex(PIPE);
    let options = server_options().sasl(policy);
    let leaving =
        tokio::time::timeout(Duration::from_secs(2), Connection::over(near, over_anything(plain("right"))));
    let began = tokio::time::Instant::now();
    let (_, lost) = tokio::join!(leaving, ServerConnection::over(far, &options));
    assert!(matches!(lost, Err(HandshakeError::Lost { .. })), "{lost:?}");
    over.recv().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
}

/// The countdown, which looks every number up.
#[derive(Debug)]
struct SlowCountdown(Countdown);

impl AskingMechanism for SlowCountdown {
    fn start<'a>(&'a mut self, initial_response: Option<&'a [u8]>) -> PendingStep<'a> {
        self.step(initial_response.unwrap_or_default())
    }

    fn step<'a>(&'a mut self, response: &'a [u8]) -> PendingStep<'a> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            ServerMechanism::step(&mut self.0, response)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_of_ones_own_may_ask_others_at_every_step() {
    must_end_within(PAUSED);
    let policy = SaslPolicy::empty().asking_mechanism(Symbol::from_static("X-COUNTDOWN"), |_| {
        Some(Box::new(SlowCountdown(Countdown(0))))
    });
    let (client, server) = attempt(countdown(9), policy).await;
    client.unwrap();
    assert_eq!(server.unwrap().identity().user.as_deref(), Some("rocket"));
}

#[cfg(feature = "scram")]
#[tokio::test(start_paused = true)]
async fn scram_keys_may_be_asked_for() {
    must_end_within(PAUSED);
    use amqp_transport::sasl::scram::{ScramDecoy, ScramHash, ScramKeys};
    let hash = ScramHash::Sha256;
    let keys = ScramKeys::derive(hash, &Secret::new("right"), b"salt", 4_096).unwrap();
    let find = move |user: String, _: ScramHash| {
        let keys = (user == "ann").then(|| keys.clone());
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            keys
        }
    };
    let policy = SaslPolicy::empty().scram_asking([hash], find, &ScramDecoy::new([9; 32]));
    for (user, password, is_right) in
        [("ann", "right", true), ("ann", "wrong", false), ("bob", "right", false)]
    {
        let sasl = Sasl::Scram { hash, user: user.to_owned(), password: Secret::new(password) };
        let (client, server) = attempt(sasl, policy.clone()).await;
        assert_eq!((client.is_ok(), server.is_ok()), (is_right, is_right), "{user}, {password}");
    }
}
