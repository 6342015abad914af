use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::error::SaslFailure;
use crate::sasl::{ClientMechanism, ServerMechanism, ServerStep};
use crate::secret::Secret;

const PENCIL: &str = "pencil";

fn client(hash: ScramHash, nonce: &str) -> ScramClient {
    ScramClient::new(hash, "user", Secret::from(PENCIL), nonce).unwrap()
}

fn store(hash: ScramHash, salt: &'static [u8]) -> Arc<dyn ScramStore> {
    let keys = ScramKeys::derive(hash, &Secret::from(PENCIL), salt, 4_096).unwrap();
    Arc::new(move |user: &str, asked: ScramHash| (user == "user" && asked == hash).then(|| keys.clone()))
}

fn server(hash: ScramHash, salt: &'static [u8], nonce: &str) -> ScramServer {
    ScramServer::new(hash, store(hash, salt), ScramDecoy::new([7; 32]), nonce).unwrap()
}

struct Vector {
    hash: ScramHash,
    client_nonce: &'static str,
    server_nonce: &'static str,
    salt: &'static [u8],
    client_first: &'static str,
    server_first: &'static str,
    client_final: &'static str,
    server_final: &'static str,
}

/// RFC 5802 §5 and RFC 7677 §3.
const VECTORS: [Vector; 2] = [
    Vector {
        hash: ScramHash::Sha1,
        client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
        server_nonce: "3rfcNHYJY1ZVvWVs7j",
        salt: &[0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a, 0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76],
        client_first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    },
    Vector {
        hash: ScramHash::Sha256,
        client_nonce: "rOprNGfwEbeRWgbNEkqO",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        salt: &[
            0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81,
        ],
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    },
];

//
#[test]
fn both_sides_speak_as_the_rfcs_examples() {
    for vector in VECTORS {
        let mut client = client(vector.hash, vector.client_nonce);
        let mut server = server(vector.hash, vector.salt, vector.server_nonce);
        let first = client.initial_response().unwrap().unwrap();
        assert_eq!(first, vector.client_first);
        let challenge = ServerStep::Challenge(Bytes::from(vector.server_first));
        assert_eq!(server.start(Some(&first)), challenge);
        let last = client.respond(vector.server_first.as_bytes()).unwrap();
        assert_eq!(last, vector.client_final);
        let accepted = ServerStep::Accept {
            identity: Some("user".to_owned()),
            additional_data: Some(Bytes::from(vector.server_final)),
        };
        assert_eq!(server.step(&last), accepted);
        client.finish(Some(vector.server_final.as_bytes())).unwrap();
    }
}

/// Runs an exchange between our own two sides; what the server said at last, and the client's verdict on it.
fn run(client: &mut ScramClient, server: &mut ScramServer) -> (ServerStep, Result<(), SaslFailure>) {
    let first = client.initial_response().unwrap().unwrap();
    let ServerStep::Challenge(challenge) = server.start(Some(&first)) else {
        return (ServerStep::Refuse, Ok(()));
    };
    let last = server.step(&client.respond(&challenge).unwrap());
    let verdict = match &last {
        ServerStep::Accept { additional_data, .. } => client.finish(additional_data.as_deref()),
        _ => Ok(()),
    };
    (last, verdict)
}

#[test]
fn every_hash_works_and_a_wrong_password_does_not() {
    for hash in [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512] {
        let (salt, nonce) = (b"a salt of sixteen", "abcdefghijklmnop");
        let (last, verdict) = run(&mut client(hash, nonce), &mut server(hash, salt, nonce));
        assert!(matches!(last, ServerStep::Accept { .. }) && verdict.is_ok());
        let mut wrong = ScramClient::new(hash, "user", Secret::from("guess"), nonce).unwrap();
        assert_eq!(run(&mut wrong, &mut server(hash, salt, nonce)).0, ServerStep::Refuse);
    }
}

#[test]
fn a_user_who_does_not_exist_is_answered_like_one_who_does() {
    let ask = |user: &str, nonce: &str| {
        let mut client = ScramClient::new(ScramHash::Sha256, user, Secret::from(PENCIL), nonce).unwrap();
        let mut server = server(ScramHash::Sha256, b"sixteen octets..", nonce);
        let first = client.initial_response().unwrap().unwrap();
        let ServerStep::Challenge(challenge) = server.start(Some(&first)) else { panic!("no challenge") };
        let challenge = String::from_utf8(challenge.to_vec()).unwrap();
        (challenge.clone(), server.step(&client.respond(challenge.as_bytes()).unwrap()))
    };
    let (known, _) = ask("user", "abcdefghijklmnop");
    let (unknown, refused) = ask("nobody", "abcdefghijklmnop");
    assert_eq!(refused, ServerStep::Refuse);
    assert_eq!(unknown.len(), known.len());
    let salt = |text: &str| text.split(',').nth(1).unwrap().to_owned();
    assert_ne!(salt(&unknown), salt(&known));
    // The same again, whenever it is asked; another for another name.
    assert_eq!(salt(&ask("nobody", "ponmlkjihgfedcba").0), salt(&unknown));
    assert_ne!(salt(&ask("noone", "abcdefghijklmnop").0), salt(&unknown));
}

#[test]
fn a_server_that_cannot_prove_itself_is_refused() {
    let vector = &VECTORS[1];
    let proven = || {
        let mut client = client(vector.hash, vector.client_nonce);
        client.initial_response().unwrap();
        client.respond(vector.server_first.as_bytes()).unwrap();
        client
    };
    assert!(proven().finish(None).is_err());
    assert!(proven().finish(Some(b"v=")).is_err());
    assert!(proven().finish(Some(b"v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")).is_err());
    let mut refused = proven();
    let error = refused.finish(Some(b"e=unknown-user\x1b")).unwrap_err().to_string();
    assert!(error.contains("unknown-user") && !error.contains('\u{1b}'), "{error}");
    // Success without a question asked proves nothing either.
    assert!(client(vector.hash, vector.client_nonce).finish(Some(vector.server_final.as_bytes())).is_err());

    // the signature may come as a challenge, and then the outcome says no more.
    let mut client = proven();
    assert_eq!(client.respond(vector.server_final.as_bytes()), Ok(Bytes::new()));
    assert_eq!(client.finish(None), Ok(()));
    assert!(client.respond(vector.server_final.as_bytes()).is_err());
}

#[test]
fn what_a_server_may_make_a_client_compute_is_bounded() {
    let nonce = VECTORS[1].client_nonce;
    for (first, what) in [
        ("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095", "out of bounds"),
        ("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001", "out of bounds"),
        ("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999999999999", "no number"),
        ("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=+4096", "no number"),
        ("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,m=x", "mandatory"),
        ("s=,i=4096", "empty salt"),
        ("s=*,i=4096", "base64"),
        ("i=4096", "no salt"),
    ] {
        let challenge = format!("r={nonce}server,{first}");
        let error = client(ScramHash::Sha256, nonce).respond(challenge.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(what), "{first}: {error}");
    }
    let long = format!("r={nonce}server,s={},i=4096", "A".repeat(4_000));
    assert!(client(ScramHash::Sha256, nonce).respond(long.as_bytes()).is_err());
    for nonce in ["another-nonce-altogether", VECTORS[1].client_nonce] {
        let challenge = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let error = client(ScramHash::Sha256, VECTORS[1].client_nonce).respond(challenge.as_bytes());
        assert!(error.unwrap_err().to_string().contains("does not continue ours"));
    }
    let few = client(ScramHash::Sha256, nonce)
        .iterations(1..=10)
        .respond(format!("r={nonce}server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=10").as_bytes());
    assert!(few.is_ok());
}

#[test]
fn a_server_cannot_make_a_client_compute_for_seconds() {
    let nonce = VECTORS[1].client_nonce;
    for (count, is_taken) in [(DEFAULT_MAX_ITERATIONS + 1, false), (MAX_ITERATIONS, false), (10_000, true)] {
        let challenge = format!("r={nonce}server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}");
        let answer = client(ScramHash::Sha256, nonce).respond(challenge.as_bytes());
        assert_eq!(answer.is_ok(), is_taken, "{count}");
    }
}

#[test]
fn what_a_client_may_say_first_is_bounded() {
    let refused = [
        "p=tls-unique,,n=user,r=abcdefghijklmnop",
        "n,a=other,n=user,r=abcdefghijklmnop",
        "n,x,n=user,r=abcdefghijklmnop",
        "n,,m=x,n=user,r=abcdefghijklmnop",
        "n,,n=user,r=abcdefghijklmnop,m=x",
        "n,,n=,r=abcdefghijklmnop",
        "n,,n=us=er,r=abcdefghijklmnop",
        "n,,n=user,r=short",
        "n,,n=user",
        "n,",
        "",
    ];
    let server = || server(ScramHash::Sha256, b"salt", "qrstuvwxyzabcdef");
    for first in refused {
        assert_eq!(server().start(Some(first.as_bytes())), ServerStep::Refuse, "{first}");
    }
    let long = format!("n,,n={},r=abcdefghijklmnop", "u".repeat(257));
    assert_eq!(server().start(Some(long.as_bytes())), ServerStep::Refuse);
    for taken in ["y,,n=user,r=abcdefghijklmnop", "n,a=user,n=user,r=abcdefghijklmnop,x=1"] {
        assert!(matches!(server().start(Some(taken.as_bytes())), ServerStep::Challenge(_)), "{taken}");
    }
    // RFC 4422 §5: what goes first and was left out is asked for.
    let mut asked = server();
    assert_eq!(asked.start(None), ServerStep::Challenge(Bytes::new()));
    assert!(matches!(asked.step(b"n,,n=user,r=abcdefghijklmnop"), ServerStep::Challenge(_)));
}

// What `c=` repeats shows that nobody stripped a channel binding on the way.
#[test]
fn a_changed_header_or_nonce_is_noticed() {
    let vector = &VECTORS[1];
    let last = |text: &str| {
        let mut server = server(vector.hash, vector.salt, vector.server_nonce);
        server.start(Some(vector.client_first.as_bytes()));
        server.step(text.as_bytes())
    };
    assert!(matches!(last(vector.client_final), ServerStep::Accept { .. }));
    assert_eq!(last(&vector.client_final.replace("c=biws", "c=eSws")), ServerStep::Refuse);
    assert_eq!(last(&vector.client_final.replace("fuxFIlj", "fuxFIlk")), ServerStep::Refuse);
    assert_eq!(last("c=biws"), ServerStep::Refuse);
}

#[test]
fn names_and_passwords_that_need_preparation_are_refused() {
    let nonce = "abcdefghijklmnop";
    for (user, password) in [("", "p"), ("u", ""), ("\u{fc}ser", "p"), ("u", "p\u{1}"), ("u\0", "p")] {
        let made = ScramClient::new(ScramHash::Sha256, user, Secret::from(password), nonce);
        assert_eq!(made.unwrap_err(), ScramError::NeedsPreparation);
    }
    assert_eq!(
        ScramClient::new(ScramHash::Sha256, "u", Secret::from("p"), "a,b").unwrap_err(),
        ScramError::Nonce
    );
    let odd = ScramClient::new(ScramHash::Sha256, "a,b=c", Secret::from("p"), nonce).unwrap();
    let said = { odd }.initial_response().unwrap().unwrap();
    assert!(said.starts_with(b"n,,n=a=2Cb=3Dc,r="), "{said:?}");
}

#[test]
fn keys_are_stored_and_read_back_and_never_printed() {
    let keys = ScramKeys::derive(ScramHash::Sha256, &Secret::from(PENCIL), b"salt", 4_096).unwrap();
    let (stored, server_key) = (keys.stored_key().to_vec(), keys.server_key().to_vec());
    let back = ScramKeys::from_parts(ScramHash::Sha256, keys.salt(), keys.iterations(), &stored, &server_key);
    assert_eq!(back.unwrap().stored_key(), stored);
    for (salt, iterations, error) in [
        (&b""[..], 4_096, ScramError::Salt),
        (&[0; MAX_SALT + 1], 4_096, ScramError::Salt),
        (b"salt", 1_000, ScramError::Iterations),
    ] {
        let made = ScramKeys::from_parts(ScramHash::Sha256, salt, iterations, &stored, &server_key);
        assert_eq!(made.unwrap_err(), error);
    }
    assert!(ScramKeys::from_parts(ScramHash::Sha512, b"salt", 4_096, &stored, &server_key).is_err());
    let client = client(ScramHash::Sha256, "abcdefghijklmnop");
    let server = server(ScramHash::Sha256, b"salt", "abcdefghijklmnop");
    let printed = format!("{keys:?} {client:?} {server:?} {:?}", ScramDecoy::new([1; 32]));
    assert!(!printed.contains(PENCIL) && !printed.contains("73616c74"), "{printed}");
    assert!(!printed.contains(&format!("{:?}", stored)), "{printed}");
}
