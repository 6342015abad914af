//! What must hold of SASL whatever a peer sends: no panic, an end within bounds, and nobody authenticated who has not
//! proven anything. For fuzzing and for tests over recorded inputs; no part of the stable interface.
#![expect(clippy::panic, reason = "a broken rule is reported by panicking")]

#[cfg(feature = "scram")]
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_codec::{SaslCode, Symbol};
use bytes::{Buf, Bytes, BytesMut};

use super::{
    Anonymous, Channel, Choice, ClientMechanism, External, Mssbcbs, OauthBearer, Plain, SaslRequest, Xoauth2,
};
#[cfg(feature = "scram")]
use super::{
    ServerMechanism, ServerStep,
    scram::{ScramClient, ScramDecoy, ScramHash, ScramKeys, ScramServer},
};
use crate::engine::{
    Connection, ConnectionConfig, Event, InputStatus, SaslLayer, Side, Transmit, WithoutSasl,
};
use crate::secret::Secret;

/// Both roles and every mechanism read `data`, as frames and as the mechanisms' own messages.
///
/// `start` is any instant: the time that passes is the engine's own.
///
/// # Panics
/// When a rule does not hold.
pub fn fuzz_sasl(data: &[u8], start: Instant) {
    for name in NAMES {
        // What it says of the data is its own affair; reading ends, and says nothing of it when printed.
        if let Ok(request) = SaslRequest::parse(name, Some(data)) {
            let _ = format!("{request:?}");
        }
    }
    let messages: Vec<&[u8]> = data.split(|octet| *octet == b'\n').collect();
    for mechanism in clients() {
        client_answers(mechanism, &messages);
    }
    #[cfg(feature = "scram")]
    scram_servers(&messages);
    for chunk in [usize::MAX, 1] {
        client_connects(data, chunk, start);
        listener_accepts(data, chunk, start);
    }
}

fn clients() -> Vec<Box<dyn ClientMechanism>> {
    #[cfg_attr(not(feature = "scram"), expect(unused_mut, reason = "more follow with scram"))]
    let mut clients: Vec<Box<dyn ClientMechanism>> = vec![
        Box::new(Anonymous::default()),
        Box::new(External::default()),
        Box::new(Mssbcbs),
        Box::new(Plain::new("user", secret())),
        Box::new(Xoauth2::new("user", secret())),
        Box::new(OauthBearer::new(secret())),
    ];
    #[cfg(feature = "scram")]
    for hash in HASHES {
        if let Ok(client) = ScramClient::new(hash, "user", secret(), NONCE) {
            // Few iterations: the fuzzer's time is for other things.
            clients.push(Box::new(client.iterations(1..=64)));
        }
    }
    clients
}

fn client_answers(mut mechanism: Box<dyn ClientMechanism>, messages: &[&[u8]]) {
    assert!(mechanism.initial_response().is_ok(), "good credentials can be said");
    let mut said = 0;
    for message in messages {
        let Ok(answer) = mechanism.respond(message) else { break };
        said += answer.len();
        assert!(answer.len() <= 1_024 + 2 * message.len(), "{} octets for {}", answer.len(), message.len());
    }
    assert!(said <= 4_096 + 2 * messages.iter().map(|message| message.len()).sum::<usize>(), "{said} octets");
    let last = messages.last().copied();
    let is_done = mechanism.finish(last).is_ok();
    assert!(
        !(is_done && mechanism.name().starts_with("SCRAM")),
        "a server without the password's keys has proven itself"
    );
    assert!(mechanism.refusal().is_none_or(|refusal| refusal.len() <= 8_192), "an objection without end");
    let printed = format!("{mechanism:?}");
    assert!(!printed.contains(SECRET), "a secret is printed: {printed}");
}

/// Who proves nothing is not let in: nobody knows a password to these keys.
#[cfg(feature = "scram")]
fn scram_servers(messages: &[&[u8]]) {
    for hash in HASHES {
        let find = move |user: &str, hash: ScramHash| {
            let octets = [7; 64];
            let key = octets.get(..hash_length(hash))?;
            (user == "user").then(|| ScramKeys::from_parts(hash, b"salt", 4_096, key, key).ok()).flatten()
        };
        let made = ScramServer::new(hash, Arc::new(find), ScramDecoy::new([3; 32]), NONCE);
        let Ok(mut server) = made else { panic!("the nonce is good") };
        let mut step = server.start(messages.first().copied());
        for message in messages.iter().skip(1) {
            match &step {
                ServerStep::Challenge(challenge) => assert!(challenge.len() <= 1_024, "{}", challenge.len()),
                ServerStep::Accept { .. } => panic!("let in without a proof"),
                _ => break,
            }
            step = server.step(message);
        }
        assert!(!matches!(step, ServerStep::Accept { .. }), "let in without a proof");
    }
}

#[cfg(feature = "scram")]
fn hash_length(hash: ScramHash) -> usize {
    match hash {
        ScramHash::Sha1 => 20,
        ScramHash::Sha256 => 32,
        ScramHash::Sha512 => 64,
    }
}

/// A client that may choose among all, over an open channel: no secret leaves it whatever the server offers.
fn client_connects(data: &[u8], chunk: usize, start: Instant) {
    let choice = clients().into_iter().fold(Choice::new(Channel::Open), Choice::or);
    let mut config = ConnectionConfig::new("client");
    config.sasl = SaslLayer::Client(choice);
    let written = run(Side::Client, config, data, chunk, start);
    let is_told = written.windows(SECRET.len()).any(|octets| octets == SECRET.as_bytes());
    assert!(!is_told, "a secret on an open channel");
}

/// A listener whose mechanisms take rounds: as many as the data says, and not without end.
fn listener_accepts(data: &[u8], chunk: usize, start: Instant) {
    let mut config = ConnectionConfig::new("listener");
    let mechanisms = NAMES.into_iter().map(Symbol::from_static).collect();
    config.sasl = SaslLayer::Listener { mechanisms, without_sasl: WithoutSasl::Refuse };
    run(Side::Listener, config, data, chunk, start);
}

/// Runs a connection over its peer's octets until the stream ends; what it wrote.
fn run(side: Side, config: ConnectionConfig, data: &[u8], chunk: usize, start: Instant) -> Vec<u8> {
    let rounds = config.limits.sasl_rounds;
    let mut connection = Connection::new(side, config, start);
    let (mut input, mut written, mut asked) = (BytesMut::new(), Vec::new(), 0);
    let mut now = start;
    if side == Side::Client {
        assert!(connection.open().is_ok(), "a client opens at once");
    }
    for piece in data.chunks(chunk.min(data.len().max(1))) {
        input.extend_from_slice(piece);
        now = now.checked_add(Duration::from_millis(1)).unwrap_or(now);
        for _ in 0..=input.len() + 64 {
            let status = connection.handle_input(now, &mut input);
            asked += drain(&mut connection, now, &mut written);
            if status != InputStatus::Blocked {
                break;
            }
        }
    }
    connection.handle_eof(now);
    drain(&mut connection, now, &mut written);
    assert!(asked <= rounds + 1, "{asked} questions");
    assert!(connection.is_finished(), "nothing is left to do once the stream has ended");
    written
}

/// Writes what is due and answers what is asked; how many questions there were.
fn drain(connection: &mut Connection, now: Instant, written: &mut Vec<u8>) -> u32 {
    let (mut asked, mut transmit) = (0, Transmit::new());
    loop {
        while connection.poll_transmit(now, &mut transmit) {
            let octets: Bytes = transmit.copy_to_bytes(transmit.remaining());
            written.extend_from_slice(&octets);
        }
        let Some(event) = connection.poll_event() else { return asked };
        let response = match event {
            Event::SaslInit { initial_response, .. } => initial_response.unwrap_or_default().into_bytes(),
            Event::SaslResponse { response } => response.into_bytes(),
            _ => continue,
        };
        asked += 1;
        // Refused where the peer has gone on meanwhile, or has had its rounds.
        let _ = match response.first() {
            Some(b'n') => connection.sasl_outcome(SaslCode::Ok, None),
            Some(b'x') => connection.sasl_outcome(SaslCode::Auth, None),
            _ => connection.sasl_challenge(response),
        };
    }
}

fn secret() -> Secret {
    Secret::from(SECRET)
}

const SECRET: &str = "correct horse";
#[cfg(feature = "scram")]
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";
#[cfg(feature = "scram")]
const HASHES: [ScramHash; 3] = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];
const NAMES: [&str; 8] =
    ["ANONYMOUS", "EXTERNAL", "MSSBCBS", "PLAIN", "XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256", "X-OTHER"];
