//! Frames by their octets: what is one, what is none, and how large they are.

use amqp_codec::{AmqpFrame, DecodeLimits, Open, Performative, ProtocolHeader, Transfer, encode_frame};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{ConnectionConfig, Event, Outgoing, Settlement, Side};
use bytes::{Bytes, BytesMut};

use crate::pair::{Pair, config};
use crate::script::{Script, begin, last};

const FRAMING: &str = "amqp:connection:framing-error";

/// A frame as its parts: size as it is unless given, data offset, type, channel, and all that follows.
fn raw(size: Option<u32>, doff: u8, frame_type: u8, channel: u16, rest: &[u8]) -> Vec<u8> {
    let size = size.unwrap_or_else(|| u32::try_from(rest.len() + 8).unwrap());
    let mut frame = size.to_be_bytes().to_vec();
    frame.extend_from_slice(&[doff, frame_type]);
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(rest);
    frame
}

// Scenario 5, F-011, F-014, C-028: a sign of life with octets in its header that mean nothing, on any channel.
#[test]
fn an_empty_frame_may_have_an_extended_header() {
    let mut script = Script::open_client();
    script.events();
    for channel in [0, 7] {
        script.octets(&raw(None, 4, 0, channel, b"whatever"));
        script.octets(&raw(None, 2, 0, channel, b""));
    }
    assert!(script.end.engine.is_open() && script.names().is_empty() && script.events().is_empty());
    // With a body behind it, too.
    script.octets(&raw(None, 3, 0, 0, &[b"skip", &[0x00, 0x53, 0x18, 0x45][..]].concat()));
    assert_eq!(script.end.closed(), Some(ConnectionError::ClosedByPeer));
}

// Scenario 6, F-012, F-013, F-015, F-020: what cannot be a frame closes the connection, and nothing behind it is read.
#[test]
fn what_is_no_frame_is_a_framing_error() {
    for (what, octets) in [
        ("too small", raw(Some(7), 2, 0, 0, b"")),
        ("too large", raw(Some(65_537), 2, 0, 0, b"")),
        ("offset in the header", raw(None, 1, 0, 0, b"")),
        ("offset behind the end", raw(None, 3, 0, 0, b"")),
        ("a type of its own", raw(None, 2, 2, 0, b"")),
        ("a type of SASL's", raw(None, 2, 1, 0, &[0x00, 0x53, 0x41, 0x45])),
    ] {
        let mut script = Script::open_client();
        script.octets(&octets);
        assert_eq!(last(&mut script), ("close", Some(FRAMING.into())), "{what}");
        // Frames can no longer be told apart: even a close is not looked for.
        script.octets(&raw(None, 2, 0, 0, &[0x00, 0x53, 0x18, 0x45]));
        assert!(script.names().is_empty() && !script.end.engine.is_finished(), "{what}");
    }
    // The size alone is enough.
    let mut script = Script::open_client();
    script.octets(&[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(last(&mut script), ("close", Some(FRAMING.into())));
}

// F-016, F-018: one of nine performatives, and a payload behind a transfer only.
#[test]
fn a_body_is_one_of_nine_performatives() {
    for body in [
        &[0x00, 0x53, 0x19, 0x45][..],
        &[0x00, 0x53, 0x24, 0x45],
        &[0x00, 0x53, 0x41, 0x45],
        &[0x45],
        &[0x00, 0x53, 0x18, 0x45, 0xff],
    ] {
        let mut script = Script::open_client();
        script.octets(&raw(None, 2, 0, 0, body));
        assert_eq!(last(&mut script), ("close", Some("amqp:decode-error".into())), "{body:?}");
    }
}

// Scenarios 7 and 8, F-019: reads of nothing, of an octet, of less than a header and of many frames are all the same.
#[test]
fn reads_may_be_of_any_size() {
    let mut octets = BytesMut::from(&ProtocolHeader::AMQP.encode()[..]);
    encode_frame(&mut octets, 0, &Open::new("p"), &[]);
    for channel in 0..20 {
        octets.extend_from_slice(&raw(None, 2, 0, channel, b""));
    }
    encode_frame(&mut octets, 0, &begin(None, 10), &[]);
    let mut told = Vec::new();
    for step in [1, 2, 3, 7, 8, 9, 13, 1_000] {
        let mut script = Script::new(Side::Listener, ConnectionConfig::new("s"));
        for piece in octets.chunks(step) {
            script.octets(&[]);
            script.octets(piece);
            script.octets(&[]);
        }
        told.push(format!("{:?}", script.events()));
    }
    assert!(told[0].contains("SessionRequested"), "{}", told[0]);
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:#?}");
}

// F-001, F-002: the header is eight octets, and what follows it is of its version or nothing.
#[test]
fn a_header_of_another_version_is_followed_by_nothing() {
    let mut script = Script::new(Side::Listener, ConnectionConfig::new("s"));
    script.octets(b"AMQP\x00\x00\x09\x01 octets of another protocol");
    assert_eq!(script.skip_header(), ProtocolHeader::AMQP.encode());
    assert!(script.frames().is_empty() && script.end.engine.is_finished());
    let reason = script.end.closed();
    assert!(matches!(
        reason,
        Some(ConnectionError::HeaderMismatch { offered: [b'A', b'M', b'Q', b'P', 0, 0, 9, 1] })
    ));
}

/// The sizes of the frames that a message of this many octets leaves in.
fn frames_of(message: usize, ours: u32, theirs: u32) -> Vec<usize> {
    let (mut client, mut server) = (config("c"), config("s"));
    (client.max_frame_size, server.max_frame_size) = (ours, theirs);
    let mut pair = Pair::opened_with(client, server);
    let session = pair.session();
    let (link, _) = pair.sending(session, "L", 1);
    pair.client.written.clear();
    let payload = Bytes::from(vec![7; message]);
    pair.client.engine.try_send(link, Outgoing::new(payload, Settlement::Settled, 0)).unwrap();
    pair.run();
    assert_eq!(pair.server.delivery().unwrap().1.message.len(), message);
    let mut octets = &pair.client.written[..];
    let mut sizes = Vec::new();
    while let Some(size) = octets.first_chunk::<4>() {
        let size = usize::try_from(u32::from_be_bytes(*size)).unwrap();
        sizes.push(size);
        octets = &octets[size..];
    }
    sizes
}

// Scenario 99, C-004, F-022, F-025, F-027: the peer's bound is what counts, never our own; frames are filled to it.
#[test]
fn frames_are_as_large_as_the_peer_takes() {
    assert_eq!(frames_of(5_000, 65_536, 512).iter().max(), Some(&512));
    assert_eq!(frames_of(5_000, 512, 65_536).len(), 1);
    assert_eq!(frames_of(5_000, 512, 4_096)[0], 4_096);
}

// F-024: without a bound of the peer's our own frames still have one, so that links take turns.
#[test]
fn a_peer_without_a_bound_gets_frames_of_a_sensible_size() {
    let sizes = frames_of(3_500_000, 65_536, u32::MAX);
    assert_eq!(sizes.iter().max(), Some(&(1024 * 1024)));
    assert_eq!(sizes.len(), 4);
}

// F-021, F-026: before the peer's open nothing larger than 512 octets leaves, whatever there is to say.
#[test]
fn nothing_large_is_said_before_the_peers_open() {
    let mut settings = config("c");
    settings.properties = Some(amqp_codec::Fields::new().with("long", "x".repeat(2_000)));
    let mut script = Script::new(Side::Client, settings);
    script.end.engine.open().unwrap();
    script.skip_header();
    let frames = script.frames();
    assert_eq!(frames.len(), 1);
    assert!(script.end.written.len() <= 8 + 512, "{}", script.end.written.len());
    assert!(matches!(&frames[0].performative, Some(Performative::Open(open)) if open.properties.is_none()));
}

// Scenario 79, D-002, D-003: continuations bear the payload's next piece, once, and no second tag.
#[test]
fn continuations_repeat_nothing_but_the_id() {
    let (client, mut server) = (config("c"), config("s"));
    server.max_frame_size = 512;
    let mut pair = Pair::opened_with(client, server);
    let session = pair.session();
    let (link, _) = pair.sending(session, "L", 1);
    pair.client.written.clear();
    let payload: Vec<u8> = (0..2_000_u32).flat_map(u32::to_be_bytes).collect();
    pair.client.engine.try_send(link, Outgoing::new(&payload[..], Settlement::Unsettled, 0)).unwrap();
    pair.run();
    let mut octets = Bytes::from(pair.client.written.clone());
    let mut joined = Vec::new();
    let mut transfers: Vec<Transfer> = Vec::new();
    while let Some(size) = octets.first_chunk::<4>() {
        let frame = octets.split_to(usize::try_from(u32::from_be_bytes(*size)).unwrap());
        let frame = AmqpFrame::decode(&frame, &DecodeLimits::performative()).unwrap();
        joined.extend_from_slice(&frame.payload);
        match frame.performative {
            Some(Performative::Transfer(transfer)) => transfers.push(transfer),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(joined, payload);
    let (first, others) = transfers.split_first().unwrap();
    assert!(first.delivery_tag.is_some() && first.message_format.is_some() && first.more);
    assert!(others.iter().all(|other| other.delivery_tag.is_none() && other.message_format.is_none()));
    assert!(others.iter().all(|other| other.delivery_id.is_none_or(|id| Some(id) == first.delivery_id)));
    assert!(matches!(pair.server.delivery(), Some((_, delivery)) if delivery.message == payload));
    assert!(pair.server.take(|event| matches!(event, Event::Delivery { .. }).then_some(())).is_none());
}
