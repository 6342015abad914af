//! The same octets against a listener: it is as strict, and what only a server may say ends it. And what becomes of the
//! connections beside it: nothing.

use std::time::Duration;

use amqp_codec::Outcome;
use amqp_transport::client::{Connection as Client, SenderOptions, SessionOptions};
use amqp_transport::server::{AcceptOptions, Incoming, ListenerOptions, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Where a listener differs from a client, and why.
const OTHERWISE: &[(&[&str], Expect)] = &[
    // An attach that a client never asked for is what a listener is there for.
    (&["S14"], Alive),
    // A choice of mechanism is the client's to send, and waits for the application's word.
    (&["A06"], Waits),
    // A list of mechanisms is not.
    (&["A11"], Abort),
];

fn expected(case: &Case) -> &'static Expect {
    let of = |table: &'static [(&[&str], Expect)]| {
        table.iter().find(|(ids, _)| ids.contains(&case.id.as_str())).map(|(_, expect)| expect)
    };
    of(OTHERWISE).or_else(|| of(EXPECTED)).unwrap_or_else(|| panic!("{} is in no group", case.id))
}

#[test]
fn every_hostile_input_is_answered_by_a_listener_too() {
    for case in &cases() {
        attack(case, Side::Listener, expected(case));
    }
}

#[test]
fn a_listener_hands_an_attach_to_its_application() {
    let victim = Victim::attacked_as(Side::Listener, &case("S14"), usize::MAX);
    assert!(victim.events.iter().any(|event| matches!(event, Event::AttachRequested { .. })));
}

#[test]
fn what_is_looked_at_by_name_is_the_same_for_a_listener() {
    let of = |id: &str| Victim::attacked_as(Side::Listener, &case(id), usize::MAX);
    assert_eq!(of("F06").closed(), Some(&ConnectionError::ClosedByPeer));
    assert_eq!(of("S12").closed().and_then(ConnectionError::condition), Some(ErrorCondition::DECODE_ERROR));
    let mut fast = of("S06");
    let before = fast.written.len();
    fast.advance(Duration::from_secs(10));
    assert!((90..=101).contains(&((fast.written.len() - before) / 8)));
    let echoes = of("S23");
    assert_eq!(echoes.frames.iter().filter(|frame| matches!(frame, Performative::Flow(_))).count(), 1);
    let refused = of("L25");
    assert!(
        refused
            .events
            .iter()
            .any(|event| matches!(event, Event::LinkDetached { cause: DetachCause::Refused, .. }))
    );
}

#[test]
fn what_never_completes_is_given_up_by_a_listener_too() {
    for id in ["F09", "F19", "A08"] {
        let mut victim = Victim::attacked_as(Side::Listener, &case(id), usize::MAX);
        victim.advance(Duration::from_secs(60));
        assert!(matches!(victim.closed(), Some(ConnectionError::Timeout { .. })), "{id}");
        assert!(victim.engine.is_finished(), "{id}");
    }
}

/// A server in good company: one connection that works, whatever is done to the others.
#[tokio::test(start_paused = true)]
async fn a_hostile_connection_does_nothing_to_the_one_beside_it() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let options = ListenerOptions::new("us");
    let (client, server) =
        tokio::join!(Client::over(near, client_options()), ServerConnection::over(far, &options));
    let (client, server) = (client.unwrap(), server.unwrap());
    let session = client.begin(SessionOptions::new()).await.unwrap();
    let accepting = async {
        let Incoming::Attach(attach) = server.next().await.unwrap() else { panic!("not an attach") };
        attach.accept_receiver(AcceptOptions::new()).unwrap()
    };
    let (sender, receiver) = tokio::join!(session.attach_sender(SenderOptions::new("good", "/q")), accepting);
    let sender = sender.unwrap();
    let taking = tokio::spawn(async move {
        while let Ok(delivery) = receiver.recv().await {
            delivery.accept().unwrap();
        }
    });
    for case in &cases() {
        let prelude = bytes_of(file()["preludes"][&case.prelude].as_str().unwrap());
        let attack = case.octets.repeat(case.repeat.min(50));
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let options = options.clone();
        let victim = tokio::spawn(async move {
            let Ok(connection) = ServerConnection::over(far, &options).await else { return };
            let _ = connection.connection().closed().await;
        });
        let hostile = async {
            let _ = near.write_all(&prelude).await;
            let _ = near.write_all(&attack).await;
            let _ = near.shutdown().await;
            let _ = near.read_to_end(&mut Vec::new()).await;
        };
        let message = Message::data(case.id.clone());
        let (outcome, ended) = tokio::join!(sender.send(&message), async {
            hostile.await;
            tokio::time::timeout(Duration::from_secs(120), victim).await
        });
        assert_eq!(outcome.unwrap(), Outcome::Accepted, "{}", case.id);
        assert!(matches!(ended, Ok(Ok(()))), "{}: the attacked connection has no end", case.id);
    }
    client.close().await.unwrap();
    taking.await.unwrap();
}

fn client_options() -> amqp_transport::client::ConnectOptions {
    amqp_transport::client::ConnectOptions::new("good")
}
