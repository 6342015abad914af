//! Performatives, delivery states, errors, SASL frames and protocol headers.

use std::collections::{BTreeMap, HashSet};

use amqp_codec::{
    AmqpFrame, Attach, Begin, Bytes, Close, Coordinator, Declared, DecodeErrorKind, DeliveryState,
    DeliveryTag, Described, Detach, Disposition, DistributionMode, End, Error, ErrorCondition, Fields, Flow,
    Frames, Modified, NotAnOutcome, NotAscii, Open, Outcome, Performative, ProtocolHeader, Rejected, Role,
    SaslChallenge, SaslCode, SaslMechanisms, SaslOutcome, SaslPerformative, SerialNumber, Source, Symbol,
    Target, TargetArchetype, TerminusExpiryPolicy, TransactionalState, Transfer, to_bytes,
};

use super::{decode, refusal};

#[test]
fn performatives_have_the_codes_and_names_of_the_specification() {
    // F-016: the nine codes, in the order of their numbers.
    let all: [(u8, &str, Performative); 9] = [
        (0x10, "open", Open::new("c").into()),
        (0x11, "begin", Begin::default().into()),
        (0x12, "attach", Attach::new("l", 0, Role::Sender).into()),
        (0x13, "flow", Flow::default().into()),
        (0x14, "transfer", Transfer::default().into()),
        (0x15, "disposition", Disposition::default().into()),
        (0x16, "detach", Detach { handle: 0, closed: false, error: None }.into()),
        (0x17, "end", End::default().into()),
        (0x18, "close", Close::default().into()),
    ];
    for (code, name, performative) in all {
        assert_eq!((performative.code(), performative.name()), (code.into(), name));
        let encoded = to_bytes(&performative);
        assert_eq!(encoded[..3], [0, 0x53, code], "{name}");
        assert_eq!(decode::<Performative>(&encoded), performative);
        // T-005: the symbol names the same composite.
        let symbol = format!("amqp:{name}:list");
        let length = u8::try_from(symbol.len()).unwrap();
        let named = [&[0, 0xa3, length][..], symbol.as_bytes(), &encoded[3..]].concat();
        assert_eq!(decode::<Performative>(&named), performative);
    }
    assert_eq!(refusal::<Performative>(&[0, 0x53, 0x19, 0x45]), DecodeErrorKind::UnknownDescriptor);
    assert_eq!(refusal::<Performative>(&[0, 0x53, 0x24, 0x45]), DecodeErrorKind::UnknownDescriptor);
}

#[test]
fn delivery_tags_are_compared_and_kept_by_their_octets_alone() {
    let (short, long) = (DeliveryTag::new(&[1]).unwrap(), DeliveryTag::new(&[1, 0]).unwrap());
    assert!(short != long, "zeros at the end count");
    let mut seen: HashSet<DeliveryTag> = [short, long, 258_u32.into()].into();
    assert!(!seen.insert(DeliveryTag::new(&[0, 0, 1, 2]).unwrap()), "equal tags have equal hashes");
    let sorted: BTreeMap<DeliveryTag, &str> =
        [(long, "long"), (DeliveryTag::default(), "none"), (short, "short")].into();
    assert_eq!(sorted.into_values().collect::<Vec<_>>(), ["none", "short", "long"]);
    assert_eq!(long.partial_cmp(&short), Some(std::cmp::Ordering::Greater));
    // Of up to 32 octets, in a list of any width.
    let transfer = |tag: &[u8]| {
        let length = u8::try_from(tag.len()).unwrap();
        let header = [0, 0x53, 0x14, 0xd0, 0, 0, 0, length + 8, 0, 0, 0, 3, 0x43, 0x43, 0xa0, length];
        [&header[..], tag].concat()
    };
    for length in [0, 1, 4, 8, 31, 32] {
        let Performative::Transfer(read) = decode(&transfer(&vec![9; length])) else { panic!("no transfer") };
        assert_eq!(read.delivery_tag, DeliveryTag::new(&vec![9; length]), "{length} octets");
    }
    assert_eq!(refusal::<Performative>(&transfer(&[9; 33])), DecodeErrorKind::TagTooLong);
    assert_eq!((format!("{long:?}"), long.as_ref()), ("0x0100".to_owned(), &[1, 0][..]));
}

#[test]
fn conditions_are_any_symbols_and_the_known_ones_have_names() {
    // T-018: any symbol is a condition.
    let own = ErrorCondition::new(String::from("com.example:full")).unwrap();
    assert!(own == "com.example:full" && own == *"com.example:full" && own != "com.example:empty");
    assert_eq!(own, ErrorCondition::from(Symbol::from("com.example:full")));
    assert_eq!(
        (own.to_string(), format!("{own:?}")),
        ("com.example:full".into(), "\"com.example:full\"".into())
    );
    assert_eq!(ErrorCondition::new("é"), Err(NotAscii));
    assert_eq!(ErrorCondition::default().as_str(), "amqp:internal-error");
    assert_eq!(decode::<ErrorCondition>(&[0xa3, 1, b'x']), ErrorCondition::from("x"));
    // C-038, C-040, S-032, L-043: 13 of the protocol, 3 of connections, 4 of sessions, 5 of links; 3 of transactions.
    let of = |start: &str| ErrorCondition::KNOWN.iter().filter(|name| name.starts_with(start)).count();
    let counts = ["amqp:connection:", "amqp:session:", "amqp:link:", "amqp:transaction:", "amqp:"].map(of);
    assert_eq!(counts, [3, 4, 5, 3, 28]);
}

#[test]
fn errors_are_shown_with_their_words_if_they_have_any() {
    let error = Error::new(ErrorCondition::NOT_FOUND);
    assert_eq!(error.to_string(), "amqp:not-found");
    assert_eq!(error.clone().with_description("").to_string(), "amqp:not-found");
    let told = error.with_description("no such queue").with_info(Fields::new().with("queue", "q"));
    assert_eq!(told.to_string(), "amqp:not-found (no such queue)");
    let octets = to_bytes(&told);
    assert_eq!(octets[..5], [0, 0x53, 0x1d, 0xc0, 45]);
    assert_eq!(decode::<Error>(&octets), told);
}

#[test]
fn states_are_outcomes_only_if_a_delivery_can_end_in_them() {
    // M-026 to M-030: four outcomes; received is none.
    let error = Error::new(ErrorCondition::DECODE_ERROR);
    let modified =
        Modified { delivery_failed: Some(true), undeliverable_here: None, message_annotations: None };
    let table: [(&[u8], Outcome); 4] = [
        (&[0, 0x53, 0x24, 0x45], Outcome::Accepted),
        (&[0, 0x53, 0x25, 0x45], Outcome::Rejected(None)),
        (&[0, 0x53, 0x26, 0x45], Outcome::Released),
        (&[0, 0x53, 0x27, 0xc0, 2, 1, 0x41], Outcome::Modified(modified)),
    ];
    for (octets, outcome) in table {
        assert_eq!(to_bytes(&outcome).as_ref(), octets);
        assert_eq!(decode::<Outcome>(octets), outcome);
        let state = DeliveryState::from(outcome.clone());
        assert_eq!((state.is_outcome(), decode::<DeliveryState>(octets)), (true, state.clone()));
        assert_eq!(Outcome::try_from(state), Ok(outcome.clone()));
        // The outcome that a transaction will have when it commits.
        let within =
            TransactionalState { txn_id: Bytes::from_static(&[1]), outcome: Some(Box::new(outcome.clone())) };
        let within = DeliveryState::TransactionalState(within);
        assert!(!within.is_outcome());
        assert_eq!(decode::<DeliveryState>(&to_bytes(&within)), within);
        assert_eq!(Outcome::try_from(within), Ok(outcome));
    }
    let rejected = Outcome::Rejected(Some(error.clone()));
    assert_eq!(
        DeliveryState::from(rejected),
        DeliveryState::Rejected(Rejected { error: Some(error.clone()) })
    );
    assert_eq!(to_bytes(&Outcome::Rejected(Some(error.clone()))), to_bytes(&DeliveryState::rejected(error)));
    // The fifth, by which a transaction begins; it is told at once, so it is no outcome within one.
    let declared: DeliveryState = decode(&[0, 0x53, 0x33, 0xc0, 4, 1, 0xa0, 1, 7]);
    assert_eq!(declared, DeliveryState::Declared(Declared { txn_id: Bytes::from_static(&[7]) }));
    assert_eq!(to_bytes(&declared).as_ref(), &[0, 0x53, 0x33, 0xc0, 4, 1, 0xa0, 1, 7]);
    assert_eq!((declared.is_outcome(), Outcome::try_from(declared)), (true, Err(NotAnOutcome)));
    let received = [0, 0x53, 0x23, 0xc0, 3, 2, 0x43, 0x44];
    assert_eq!(refusal::<Outcome>(&received), DecodeErrorKind::UnknownDescriptor);
    assert_eq!(Outcome::try_from(decode::<DeliveryState>(&received)), Err(NotAnOutcome));
    let undecided = TransactionalState { txn_id: Bytes::new(), outcome: None };
    assert_eq!(Outcome::try_from(DeliveryState::TransactionalState(undecided)), Err(NotAnOutcome));
}

#[test]
fn secrets_of_a_dialogue_are_not_shown() {
    let challenge =
        SaslPerformative::from(SaslChallenge { challenge: Bytes::from_static(b"r=nonce,s=salt") });
    assert_eq!(format!("{challenge:?}"), "Challenge(SaslChallenge { challenge: <redacted> })");
}

#[test]
fn headers_say_which_protocol_they_open() {
    // F-001: name, id, version.
    let shown = [b"AMQP\0\x01\0\0", b"AMQP\x02\x01\0\0", b"AMQP\x03\x01\0\0"]
        .map(|octets| ProtocolHeader::parse(octets).unwrap().to_string());
    assert_eq!(shown, ["AMQP 1.0.0", "TLS 1.0.0", "SASL 1.0.0"]);
}

#[test]
fn a_peer_is_told_whether_the_frame_or_what_is_in_it_is_wrong() {
    // F-012, F-013, F-015, F-016: what is wrong with a frame itself, and what is wrong within one.
    let limits = amqp_codec::DecodeLimits::performative();
    for (frame, condition) in [
        (&[0, 0, 0, 7, 2, 0, 0, 0][..], ErrorCondition::FRAMING_ERROR),
        (&[0, 0, 0, 8, 1, 0, 0, 0], ErrorCondition::FRAMING_ERROR),
        (&[0, 0, 0, 8, 2, 9, 0, 0], ErrorCondition::FRAMING_ERROR),
        (&[0, 0, 0, 8, 2, 1, 0, 0], ErrorCondition::FRAMING_ERROR),
        (&[0, 0, 0, 9, 2, 0, 0, 0, 0x40], ErrorCondition::DECODE_ERROR),
        (&[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x99, 0x45], ErrorCondition::DECODE_ERROR),
    ] {
        let error = AmqpFrame::decode(&Bytes::from_static(frame), &limits).unwrap_err();
        assert_eq!(error.condition(), condition, "{frame:02x?}: {error}");
    }
    // an empty frame of SASL is an error.
    let empty =
        SaslPerformative::decode_frame(&Bytes::from_static(&[0, 0, 0, 8, 2, 1, 0, 0]), &limits).unwrap_err();
    assert_eq!(
        (empty.kind, empty.condition()),
        (DecodeErrorKind::EmptySaslFrame, ErrorCondition::FRAMING_ERROR)
    );
    assert_eq!(
        ProtocolHeader::parse(b"AMQP\x04\x01\0\0").unwrap_err().condition(),
        ErrorCondition::FRAMING_ERROR
    );
}

#[test]
fn a_stream_of_frames_is_walked_until_something_is_wrong_or_missing() {
    // A transfer as usual with three octets of payload, an empty frame, a flow, a transfer with a long list.
    let transfer = [0, 0, 0, 20, 2, 0, 0, 1, 0, 0x53, 0x14, 0xc0, 4, 2, 0x43, 0x52, 7, 1, 2, 3];
    let empty = [0, 0, 0, 8, 2, 0, 0, 2];
    let flow = [0, 0, 0, 20, 2, 0, 0, 3, 0, 0x53, 0x13, 0xc0, 7, 4, 0x40, 0x52, 9, 0x43, 0x52, 8];
    let long = [0, 0, 0, 24, 2, 0, 0, 4, 0, 0x53, 0x14, 0xd0, 0, 0, 0, 7, 0, 0, 0, 2, 0x43, 0x52, 7, 9];
    let sasl = [0, 0, 0, 8, 2, 1, 0, 0];
    let limits = amqp_codec::DecodeLimits::performative();
    let walk = |octets: &[&[u8]], max_frame_size: u32| {
        let octets = Bytes::from(octets.concat());
        let mut frames = Frames::new(&octets, &limits, max_frame_size);
        let found: Vec<_> = frames
            .by_ref()
            .map(|frame| match frame {
                Ok(AmqpFrame { channel, performative, payload }) => {
                    Ok((channel, performative.map(|performative| performative.name()), payload.to_vec()))
                }
                Err(error) => Err((error.kind, error.offset)),
            })
            .collect();
        (found, frames.position())
    };
    let (one, two) = (Ok((1, Some("transfer"), vec![1, 2, 3])), Ok((2, None, vec![])));
    let (three, four) = (Ok((3, Some("flow"), vec![])), Ok((4, Some("transfer"), vec![9])));
    let all = [one.clone(), two.clone(), three, four];
    assert_eq!(walk(&[&transfer, &empty, &flow, &long], 512), (all.to_vec(), 72));
    // What is not there yet is left where it is.
    assert_eq!(walk(&[&transfer, &empty[..7]], 512), (vec![one.clone()], 20));
    assert_eq!(walk(&[&transfer, &long[..20]], 512), (vec![one.clone()], 20));
    // A-004, F-022: no frame of SASL after the dialogue, and none that is larger than was agreed.
    let fault = Err((DecodeErrorKind::UnexpectedFrameType, 25));
    assert_eq!(walk(&[&transfer, &sasl, &transfer], 512), (vec![one.clone(), fault], 20));
    let (found, position) = walk(&[&empty, &transfer], 19);
    assert_eq!((position, found.first()), (8, Some(&two)));
    assert!(matches!(found.get(1), Some(Err((DecodeErrorKind::FrameTooLarge, 8..=11)))), "{found:?}");
}

#[test]
fn an_end_of_a_link_knows_the_other_end() {
    assert_eq!((Role::Sender.peer(), Role::Receiver.peer()), (Role::Receiver, Role::Sender));
    // L-027: the sender tells its delivery count; a receiver's would be ignored.
    assert_eq!(Attach::new("l", 0, Role::Sender).initial_delivery_count, Some(0));
    assert_eq!(Attach::new("l", 0, Role::Receiver).initial_delivery_count, None);
}

#[test]
fn a_target_has_an_address_and_a_coordinator_has_none() {
    let target = TargetArchetype::from(Target::new("q"));
    assert_eq!(target.address().map(|address| address.as_str()), Some("q"));
    let coordinator: TargetArchetype = decode(&[0, 0x53, 0x30, 0x45]);
    assert_eq!(coordinator, TargetArchetype::from(Coordinator::default()));
    assert_eq!(coordinator.address(), None);
    assert_eq!(SerialNumber::from(u32::MAX).next(), SerialNumber::from(0));
}

#[test]
fn a_source_keeps_what_extensions_put_into_it() {
    // L-049, L-050, L-052: modes, filters and outcomes that nobody has heard of survive.
    let source = Source {
        distribution_mode: Some(DistributionMode(Symbol::from("x-mode"))),
        default_outcome: Some(DeliveryState::Released),
        outcomes: ["amqp:accepted:list", "x:outcome"].into_iter().collect(),
        ..Source::new("q").with_filter("x:filter", Described::new(Symbol::from("x:filter"), "a > 1"))
    };
    let octets = to_bytes(&source);
    assert!(octets.windows(8).any(|octets| octets == b"\xa3\x06x-mode"));
    assert_eq!(decode::<Source>(&octets), source);
    assert_eq!(
        (to_bytes(&DistributionMode::COPY).as_ref(), DistributionMode::MOVE.0.as_str()),
        (&b"\xa3\x04copy"[..], "move")
    );
    // T-018: an expiry policy is one of four.
    assert_eq!(refusal::<TerminusExpiryPolicy>(b"\xa3\x05later"), DecodeErrorKind::InvalidChoice);
}

#[test]
fn the_end_of_a_dialogue_is_read_from_a_frame_of_its_own() {
    // one performative and no payload, whatever octets 6 and 7 are.
    let octets = Bytes::from_static(&[0, 0, 0, 16, 2, 1, 0, 0, 0, 0x53, 0x44, 0xc0, 3, 1, 0x50, 1]);
    let limits = amqp_codec::DecodeLimits::performative();
    let outcome = SaslOutcome { code: SaslCode::Auth, additional_data: None };
    assert_eq!(SaslPerformative::decode_frame(&octets, &limits), Ok(outcome.clone().into()));
    let numbered = Bytes::from([&octets[..6], &[0xab, 0xcd], &octets[8..]].concat());
    assert_eq!(SaslPerformative::decode_frame(&numbered, &limits), Ok(outcome.into()));
    let longer = Bytes::from([&[0, 0, 0, 17][..], &octets[4..], &[0x40]].concat());
    assert_eq!(
        SaslPerformative::decode_frame(&longer, &limits).map_err(|error| error.kind),
        Err(DecodeErrorKind::TrailingOctets)
    );
    // What is no dialogue is told apart by its descriptor.
    assert_eq!(refusal::<SaslPerformative>(&[0, 0x53, 0x45, 0x45]), DecodeErrorKind::UnknownDescriptor);
}

#[test]
fn mechanisms_are_an_array_even_if_there_is_only_one() {
    let mechanisms = SaslMechanisms { sasl_server_mechanisms: ["PLAIN"].into_iter().collect() };
    let octets = b"\0\x53\x40\xc0\x0b\x01\xe0\x08\x01\xa3\x05PLAIN";
    assert_eq!(to_bytes(&mechanisms).as_ref(), octets);
    assert_eq!(decode::<SaslMechanisms>(octets), mechanisms);
    // A bare symbol is one value too (T-014).
    assert_eq!(decode::<SaslMechanisms>(b"\0\x53\x40\xc0\x08\x01\xa3\x05PLAIN"), mechanisms);
}
