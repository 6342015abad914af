//! What a program prints of the engine tells no secret that passes through it.

use std::fmt::Debug;

use amqp_transport::Secret;
use amqp_transport::engine::{Event, Outgoing, Payload, SaslLayer, Settlement, Transmit, WithoutSasl};
use amqp_transport::sasl::{Channel, Choice, Plain};
use bytes::Bytes;

use crate::pair::{Pair, config};

const SECRET: &str = "hunter2-SharedAccessSignature";

/// The secret as text, and as the list of numbers that octets are printed as.
fn tells_nothing(shown: &impl Debug) {
    let numbers = format!("{:?}", SECRET.as_bytes());
    for text in [format!("{shown:?}"), format!("{shown:#?}")] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.replace(['\n', ' '], "").contains(&numbers.replace(' ', "")), "{text}");
    }
}

#[test]
fn a_password_is_not_printed_on_its_way_out_or_in() {
    let mut client = config("c");
    client.sasl = SaslLayer::Client(Choice::only(Channel::Private, Plain::new("user", Secret::new(SECRET))));
    let mut server = config("s");
    server.sasl = SaslLayer::Listener { mechanisms: vec!["PLAIN".into()], without_sasl: WithoutSasl::Refuse };
    let mut pair = Pair::new(client, server);
    let mut asked = None;
    for _ in 0..200 {
        tells_nothing(&pair.client.engine);
        tells_nothing(&pair.server.engine);
        let mut transmit = Transmit::new();
        if pair.client.engine.poll_transmit(pair.now, &mut transmit) {
            tells_nothing(&transmit);
            let octets: Vec<u8> = transmit_octets(transmit);
            let _ = pair.server.feed(pair.now, &octets);
            tells_nothing(&pair.server.engine);
        }
        pair.server.pump(pair.now);
        let answer: Vec<u8> = pair.server.wire.drain(..).collect();
        if !answer.is_empty() {
            let _ = pair.client.feed(pair.now, &answer);
        }
        asked = asked.or_else(|| {
            pair.server.take(|event| matches!(event, Event::SaslInit { .. }).then(|| event.clone()))
        });
    }
    let asked = asked.unwrap();
    tells_nothing(&asked);
    assert!(format!("{asked:?}").contains("PLAIN"), "what is no secret is told");
    tells_nothing(&Event::SaslResponse { response: Bytes::from_static(SECRET.as_bytes()).into() });
}

fn transmit_octets(mut transmit: Transmit) -> Vec<u8> {
    use bytes::Buf;
    transmit.copy_to_bytes(transmit.remaining()).to_vec()
}

#[test]
fn a_message_is_not_printed_on_its_way_out_or_in() {
    // Small enough to be copied, large enough to be spliced, and in several frames.
    for size in [0, 20_000, 200_000] {
        let mut pair = Pair::opened();
        let session = pair.session();
        let (ours, theirs) = pair.sending(session, "L", 10);
        let message = [SECRET.as_bytes(), &vec![0; size]].concat();
        tells_nothing(&Payload::Bytes(Bytes::from(message.clone())));
        let outgoing = Outgoing::new(&message[..], Settlement::Unsettled, 0);
        tells_nothing(&outgoing);
        pair.client.engine.try_send(ours, outgoing).unwrap();
        tells_nothing(&pair.client.engine);
        pair.run();
        tells_nothing(&pair.server.engine);
        let (link, delivery) = pair.server.delivery().unwrap();
        assert_eq!((link, delivery.message.len()), (theirs, message.len()));
        tells_nothing(&delivery);
        tells_nothing(&Event::Delivery { link, delivery });
    }
}
