//! Messages from borrowed parts, their bodies, ids and batches, and views of them.

use amqp_codec::{
    Annotations, BatchBuilder, Body, BodyRef, Bytes, DataSections, DecodeErrorKind, DecodeLimits, Encode,
    FullList, Header, List, Message, MessageId, MessageIdRef, MessageParts, MessageView, Properties,
    Sequences, Timestamp, Uuid, Value, ValueRef, message::batch, to_bytes,
};

use super::{STRICT, decode, refusal};

#[test]
fn a_message_from_parts_is_the_message_that_was_built() {
    let header = Header { durable: true, ttl: Some(60_000), ..Header::default() };
    let properties = Properties {
        message_id: Some("m".into()),
        content_type: Some("text/plain".into()),
        creation_time: Some(Timestamp(1)),
        ..Properties::default()
    };
    let parts = MessageParts {
        header: Some(&header),
        delivery_annotations: &[("x-opt-hop", 1_u64.into())],
        message_annotations: &[("x-opt-key", "k".into()), ("x-opt-seq", 9_i64.into())],
        properties: Some(&properties),
        application_properties: &[("unit", "°C".into()), ("level", 3_i32.into())],
        body: BodyRef::Data(b"21.5"),
        footer: &[("x-opt-crc", ValueRef::from(&[1_u8, 2][..]))],
    };
    let mut built = Message::data("21.5")
        .with_header(header.clone())
        .with_delivery_annotation("x-opt-hop", 1_u64)
        .with_message_annotation("x-opt-key", "k")
        .with_message_annotation("x-opt-seq", 9_i64)
        .with_properties(properties.clone())
        .with_application_property("unit", "°C")
        .with_application_property("level", 3_i32);
    built.footer = Some(Annotations::new().with("x-opt-crc", vec![1_u8, 2]));
    let encoded = to_bytes(&parts);
    assert_eq!(encoded, to_bytes(&built));
    assert_eq!(parts.encoded_len(), encoded.len());
    assert_eq!(Message::decode(&encoded, &STRICT), Ok(built));
}

#[test]
fn parts_that_are_left_out_take_no_octets() {
    assert_eq!(to_bytes(&MessageParts::default()).as_ref(), &[0, 0x53, 0x75, 0xa0, 0]);
    let value = MessageParts { body: BodyRef::Value(ValueRef::Null), ..MessageParts::default() };
    assert_eq!(to_bytes(&value).as_ref(), &[0, 0x53, 0x77, 0x40]);
    let key = "k".repeat(300);
    let long = MessageParts { application_properties: &[(&key, true.into())], ..MessageParts::default() };
    let encoded = to_bytes(&long);
    assert_eq!(encoded[..17], [0, 0x53, 0x74, 0xd1, 0, 0, 1, 0x36, 0, 0, 0, 2, 0xb1, 0, 0, 1, 0x2c]);
    let message = Message::decode(&encoded, &STRICT).unwrap();
    assert_eq!(message.application_property(&key), Some(true.into()));
}

// M-019, M-020: what a message may have as its body, its parts may.
#[test]
fn parts_are_written_with_every_body_that_a_message_has() {
    fn written(body: BodyRef<'_>) -> Bytes {
        to_bytes(&MessageParts { body, ..MessageParts::default() })
    }

    let sections: DataSections = [&b"ab"[..], b"", b"c"].into_iter().collect();
    let data = Message::default().with_body(Body::DataSections(sections));
    assert_eq!(written(BodyRef::DataSections(&[b"ab", b"", b"c"])), to_bytes(&data));
    let lists: [List; 2] = [vec![1_i32.into(), true.into()].into(), List::default()];
    let sequence = Message::default().with_body(Body::Sequence(lists.iter().cloned().collect()));
    assert_eq!(written(BodyRef::Sequence(&[lists[0].view(), lists[1].view()])), to_bytes(&sequence));
    // M-003: and none of them is left without a section.
    assert_eq!(written(BodyRef::DataSections(&[])).as_ref(), &[0, 0x53, 0x75, 0xa0, 0]);
    assert_eq!(written(BodyRef::Sequence(&[])).as_ref(), &[0, 0x53, 0x76, 0x45]);
}

// A single field is found in front of what is wrong; whole sections are judged.
#[test]
fn octets_left_over_in_a_section_are_seen_by_whoever_asks_for_all_of_it() {
    let body = [0, 0x53, 0x75, 0xa0, 0];
    // A list of one field with two octets behind it, and a map of one entry with two.
    let properties = [0, 0x53, 0x73, 0xc0, 6, 1, 0xa1, 1, b'm', 0x41, 0x41];
    let annotations = [0, 0x53, 0x72, 0xc1, 7, 2, 0xa3, 1, b'k', 0x41, 0x41, 0x41];
    let octets = Bytes::from([&properties[..], &body].concat());
    let view = MessageView::parse(&octets, &STRICT).unwrap();
    assert_eq!(view.message_id().map(|id| id.map(|id| id.to_id())), Ok(Some("m".into())));
    assert_eq!(view.correlation_id(), Ok(None));
    assert_eq!(view.properties().unwrap_err().kind, DecodeErrorKind::SizeMismatch);
    assert_eq!(view.to_message().unwrap_err().kind, DecodeErrorKind::SizeMismatch);
    let octets = Bytes::from([&annotations[..], &body].concat());
    let view = MessageView::parse(&octets, &STRICT).unwrap();
    assert_eq!(view.message_annotation("k"), Ok(Some(true.into())));
    assert_eq!(view.message_annotation("j").unwrap_err().kind, DecodeErrorKind::SizeMismatch);
    assert_eq!(view.message_annotation_ulong(1).unwrap_err().kind, DecodeErrorKind::SizeMismatch);
    assert_eq!(view.message_annotations().unwrap_err().kind, DecodeErrorKind::SizeMismatch);
    assert_eq!(view.to_message().unwrap_err().kind, DecodeErrorKind::SizeMismatch);
}

#[test]
fn data_in_several_sections_is_one_stream() {
    // M-019: in the order of the sections.
    let octets = Bytes::from_static(&[
        0, 0x53, 0x75, 0xa0, 2, 1, 2, 0, 0x53, 0x75, 0xa0, 0, 0, 0x53, 0x75, 0xa0, 1, 3,
    ]);
    let message = Message::decode(&octets, &STRICT).unwrap();
    assert_eq!(message.body_bytes().as_deref(), Some(&[1, 2, 3][..]));
    let Body::DataSections(sections) = message.body.clone() else { panic!("{message:?}") };
    assert_eq!((sections.len(), sections.is_empty(), DataSections::default().is_empty()), (3, false, true));
    assert_eq!(sections.iter().collect::<Vec<_>>(), [&[1, 2][..], &[], &[3]]);
    assert_eq!(format!("{sections:?}"), "[2, 0, 1]", "how many octets, but not which");
    let own: DataSections = [&[1_u8, 2][..], &[], &[3]].into_iter().collect();
    assert_eq!((to_bytes(&own), &own), (octets.clone(), &sections));
    let given_up: Vec<Bytes> = sections.into_iter().collect();
    assert_eq!(given_up, [&[1, 2][..], &[], &[3]]);
    assert_eq!(given_up[2].as_ptr(), octets[17..].as_ptr(), "each is a part of what was received");
    assert_eq!(to_bytes(&message), octets);
}

#[test]
fn lists_of_a_sequence_body_are_kept_apart() {
    // M-020: several sections; the second is not in its smallest form.
    let octets =
        Bytes::from_static(&[0, 0x53, 0x76, 0x45, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x76, 0xc0, 2, 1, 0x41]);
    let smallest = [0, 0x53, 0x76, 0x45, 0, 0x53, 0x76, 0xc0, 2, 1, 0x41];
    let message = Message::decode(&octets, &STRICT).unwrap();
    assert_eq!((to_bytes(&message).as_ref(), message.body_bytes()), (&smallest[..], None));
    let Body::Sequence(sequences) = &message.body else { panic!("{message:?}") };
    assert_eq!((sequences.len(), sequences.is_empty(), Sequences::default().is_empty()), (2, false, true));
    assert_eq!(sequences.iter().map(|list| list.len()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(format!("{sequences:?}"), "[[], [Boolean(true)]]");
    let own: Sequences = [List::new(), List::from(vec![true.into()])].into_iter().collect();
    assert_eq!(&own, sequences);
    assert_eq!(own.into_iter().collect::<Vec<_>>(), [List::new(), List::from(vec![true.into()])]);
    let view = MessageView::parse(&octets, &STRICT).unwrap();
    let lists: Result<Vec<List>, _> = view.body_sequences().collect();
    assert_eq!(lists, Ok(sequences.clone().into_iter().collect()));
    assert_eq!((view.body_bytes(), view.body_octets(), view.body_data().count()), (Ok(None), Ok(None), 0));
    assert_eq!(view.bytes(), &octets);
}

#[test]
fn a_damaged_body_section_ends_the_iterator_with_an_error() {
    let lists = Bytes::from_static(&[0, 0x53, 0x76, 0x45, 0, 0x53, 0x76, 0x40]);
    let view = MessageView::parse(&lists, &STRICT).unwrap();
    let found: Vec<_> = view.body_sequences().map(|list| list.map_err(|error| error.kind)).collect();
    assert_eq!(found, [Ok(List::new()), Err(DecodeErrorKind::WrongType(0x40))]);
    let data = Bytes::from_static(&[0, 0x53, 0x75, 0xa0, 0, 0, 0x53, 0x75, 0x41]);
    let view = MessageView::parse(&data, &STRICT).unwrap();
    let found: Vec<_> = view.body_data().map(|data| data.map_err(|error| error.kind)).collect();
    assert_eq!(found, [Ok(Bytes::new()), Err(DecodeErrorKind::WrongType(0x41))]);
    assert_eq!(view.body_bytes().unwrap_err().kind, DecodeErrorKind::WrongType(0x41));
    let one = data.slice(5..);
    let view = MessageView::parse(&one, &STRICT).unwrap();
    assert_eq!(
        view.body_octets().map_err(|error| (error.kind, error.offset)),
        Err((DecodeErrorKind::WrongType(0x41), 3))
    );
}

#[test]
fn ids_are_of_four_types_that_are_shown_and_written_as_what_they_are() {
    // M-013, M-024: these four and no other, never equal to each other.
    let uuid = Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    let uuid_octets = [&[0x98][..], &uuid.0].concat();
    let table: [(MessageId, &[u8], &str); 4] = [
        (7_u64.into(), &[0x53, 7], "7"),
        (uuid.into(), &uuid_octets, "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (Bytes::from_static(&[0xab, 1]).into(), &[0xa0, 2, 0xab, 1], "ab01"),
        ("seven".into(), &[0xa1, 5, b's', b'e', b'v', b'e', b'n'], "seven"),
    ];
    for (id, octets, shown) in &table {
        assert_eq!((to_bytes(id).as_ref(), id.to_string().as_str()), (*octets, *shown));
        assert_eq!(&decode::<MessageId>(octets), id);
        assert_eq!(Value::from(id.clone()), decode::<Value>(octets));
        let message =
            to_bytes(&Message::data("").with_message_id(id.clone()).with_correlation_id(id.clone()));
        let view = MessageView::parse(&message, &STRICT).unwrap();
        let seen: MessageIdRef<'_> = view.message_id().unwrap().unwrap();
        assert_eq!((&seen.to_id(), view.correlation_id()), (id, Ok(Some(seen))));
        let text = (*shown == "seven").then_some("seven");
        assert_eq!((id.as_str(), seen.as_str()), (text, text));
        assert_eq!(table.iter().filter(|(other, ..)| other == id).count(), 1);
    }
    assert_eq!(MessageId::from(String::from("seven")), MessageId::from(amqp_codec::Str::from("seven")));
    assert_eq!(refusal::<MessageId>(&[0x52, 7]), DecodeErrorKind::WrongType(0x52));
}

#[test]
fn a_batch_carries_annotations_only_if_they_fit() {
    let annotations = Annotations::new().with("x-opt-partition-key", "k");
    // Descriptor 3, map 3, key 2 + 19, value 2 + 1.
    let full = BatchBuilder::with_annotations(29, &annotations).unwrap_err();
    assert_eq!((full.size, full.limit), (30, 29));
    assert_eq!(full.to_string(), "batch would take 30 octets of 29");
    let mut batch = BatchBuilder::with_annotations(100, &annotations).unwrap();
    assert_eq!((batch.size(), batch.len(), batch.is_empty()), (30, 0, true));
    batch.try_add(&Message::data("a")).unwrap();
    assert_eq!((batch.size(), batch.len(), batch.is_empty()), (41, 1, false));
    let payload = batch.finish();
    assert_eq!(payload[30..], [0, 0x53, 0x75, 0xa0, 6, 0, 0x53, 0x75, 0xa0, 1, b'a']);
    let envelope = MessageView::parse(&payload, &STRICT).unwrap();
    assert_eq!(envelope.message_annotations(), Ok(Some(annotations)));
    let inner: Vec<Bytes> = batch::messages(payload.clone(), &STRICT).unwrap().map(Result::unwrap).collect();
    assert_eq!(inner, [to_bytes(&Message::data("a"))]);
}

#[test]
fn a_view_finds_fields_in_every_form_of_a_list() {
    // T-011, T-035: a list of no octets, a short and a long one; `to` is the third field.
    let text = |list: &[u8]| Bytes::from([&[0, 0x53, 0x73][..], list, &[0, 0x53, 0x77, 0x40]].concat());
    for (list, to) in [
        (&[0x45][..], None),
        (&[0xc0, 1, 0], None),
        (&[0xc0, 3, 2, 0x40, 0x40], None),
        (&[0xc0, 4, 3, 0x40, 0x40, 0x40], None),
        (&[0xc0, 6, 3, 0x40, 0x40, 0xa1, 1, b'q'], Some("q")),
        (&[0xd0, 0, 0, 0, 9, 0, 0, 0, 3, 0x40, 0x40, 0xa1, 1, b'q'], Some("q")),
        (&[0xd0, 0, 0, 0, 12, 0, 0, 0, 3, 0x40, 0x40, 0xb1, 0, 0, 0, 1, b'q'], Some("q")),
    ] {
        let octets = text(list);
        let view = MessageView::parse(&octets, &STRICT).unwrap();
        assert_eq!(view.to().map(|to| to.map(|to| to.as_str())), Ok(to), "{list:02x?}");
        assert_eq!(view.reply_to(), Ok(None), "{list:02x?}");
    }
    let octets = text(&[0xc1, 1, 0]);
    let view = MessageView::parse(&octets, &STRICT).unwrap();
    assert_eq!(view.to().unwrap_err().kind, DecodeErrorKind::WrongType(0xc1));
}

#[test]
fn a_view_finds_entries_in_every_form_of_a_map() {
    let octets = |section: u8, map: &[u8]| {
        Bytes::from([&[0, 0x53, section][..], map, &[0, 0x53, 0x77, 0x40]].concat())
    };
    for (map, value) in [
        (&[0xc1, 1, 0][..], Ok(None)),
        (&[0xc1, 5, 2, 0xa1, 1, b'k', 0x41], Ok(Some(Value::from(true)))),
        (&[0xd1, 0, 0, 0, 8, 0, 0, 0, 2, 0xa1, 1, b'k', 0x41], Ok(Some(true.into()))),
        (&[0xd1, 0, 0, 0, 11, 0, 0, 0, 2, 0xb1, 0, 0, 0, 1, b'k', 0x41], Ok(Some(true.into()))),
        (&[0xc1, 12, 4, 0xb1, 0, 0, 0, 1, b'j', 0x40, 0xa1, 1, b'k', 0x41], Ok(Some(true.into()))),
        // M-018: simple values, and string keys.
        (&[0xd1, 0, 0, 0, 11, 0, 0, 0, 2, 0xb1, 0, 0, 0, 1, b'k', 0x45], Err(DecodeErrorKind::InvalidChoice)),
        (&[0xc1, 5, 2, 0xa3, 1, b'k', 0x41], Err(DecodeErrorKind::WrongType(0xa3))),
        (&[0x45], Err(DecodeErrorKind::WrongType(0x45))),
    ] {
        let octets = octets(0x74, map);
        let view = MessageView::parse(&octets, &STRICT).unwrap();
        let found = view.application_property("k").map(|found| found.map(|value| value.to_value()));
        assert_eq!(found.map_err(|error| error.kind), value, "{map:02x?}");
    }
    // M-023: numbers among the keys of annotations are stepped over.
    for map in [
        &[0xc1, 8, 4, 0x53, 1, 0x40, 0xa3, 1, b'k', 0x41][..],
        &[0xc1, 7, 4, 0x44, 0x40, 0xa3, 1, b'k', 0x41],
        &[0xd1, 0, 0, 0, 21, 0, 0, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 0x40, 0xb3, 0, 0, 0, 1, b'k', 0x41],
    ] {
        let octets = octets(0x72, map);
        let view = MessageView::parse(&octets, &STRICT).unwrap();
        let found = view.message_annotation("k").map(|found| found.map(|value| value.to_value()));
        assert_eq!(found, Ok(Some(true.into())), "{map:02x?}");
        assert_eq!(view.message_annotation("j"), Ok(None));
        assert_eq!(view.application_property("k"), Ok(None), "there is no such section");
    }
}

#[test]
fn sections_with_every_field_spelled_out_mean_the_same() {
    let message = Message::value(1_u32).with_header(Header::default()).with_to("q");
    let full = to_bytes(&FullList(&message));
    assert!(full.len() > to_bytes(&message).len());
    assert_eq!(Message::decode(&full, &DecodeLimits::default().strict()), Ok(message));
}

#[test]
fn sections_are_found_whatever_form_their_descriptors_have() {
    // T-005: the number in nine octets, or the symbol; one of each before what follows in the shortest form.
    let long = |code: u8| [0, 0x80, 0, 0, 0, 0, 0, 0, 0, code].to_vec();
    let symbol = |name: &str| {
        let text = format!("amqp:{name}");
        [&[0, 0xa3, u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
    };
    let annotations = |key: u8| [0xc1, 5, 2, 0xa3, 1, key, 0x41];
    let bare = [
        [symbol("properties:list"), vec![0xc0, 6, 3, 0x40, 0x40, 0xa1, 1, b'q']].concat(),
        [long(0x74), vec![0xc1, 5, 2, 0xa1, 1, b'p', 0x41]].concat(),
        [long(0x75), vec![0xb0, 0, 0, 0, 2, 7, 8]].concat(),
        [long(0x78), annotations(b'f').to_vec()].concat(),
    ]
    .concat();
    let octets = Bytes::from(
        [
            [symbol("header:list"), vec![0xc0, 2, 1, 0x41]].concat(),
            [long(0x71), annotations(b'd').to_vec()].concat(),
            [long(0x72), annotations(b'm').to_vec()].concat(),
            bare.clone(),
        ]
        .concat(),
    );
    let view = MessageView::parse(&octets, &STRICT).unwrap();
    assert_eq!(view.header(), Ok(Some(Header { durable: true, ..Header::default() })));
    assert_eq!(view.delivery_annotations(), Ok(Some(Annotations::new().with("d", true))));
    assert_eq!(view.message_annotation("m"), Ok(Some(true.into())));
    assert_eq!(view.bare_message(), bare);
    assert_eq!(view.to().map(|to| to.map(|to| to.as_str())), Ok(Some("q")));
    assert_eq!(view.application_property("p"), Ok(Some(true.into())));
    assert_eq!(
        (view.body_octets(), view.body_bytes()),
        (Ok(Some(&[7, 8][..])), Ok(Some(Bytes::from_static(&[7, 8]))))
    );
    assert_eq!(view.footer(), Ok(Some(Annotations::new().with("f", true))));
    let mut forwarded = amqp_codec::BytesMut::new();
    view.forward(&mut forwarded, None, Some(&Annotations::new().with("n", true)), None);
    // M-002: the bare message as it came; the annotations are the forwarder's own.
    let expected = [&[0, 0x53, 0x71][..], &annotations(b'n'), &bare].concat();
    assert_eq!(forwarded, expected);
    let message = Message::decode(&octets, &STRICT).unwrap();
    assert_eq!(view.to_message().as_ref(), Ok(&message));
    let smallest = to_bytes(&message);
    let view = MessageView::parse(&smallest, &STRICT).unwrap();
    assert_eq!(view.to_message(), Ok(message));
}

#[test]
fn sections_out_of_order_or_twice_are_refused() {
    // M-001, M-003.
    let header = &[0, 0x53, 0x70, 0x45][..];
    let (properties, value, footer) =
        (&[0, 0x53, 0x73, 0x45][..], &[0, 0x53, 0x77, 0x40][..], &[0, 0x53, 0x78, 0xc1, 1, 0][..]);
    let (data, sequence) = (&[0, 0x53, 0x75, 0xa0, 0][..], &[0, 0x53, 0x76, 0x45][..]);
    for sections in [
        &[properties, header, value][..],
        &[header, header, value],
        &[value, properties],
        &[value, value],
        &[data, sequence],
        &[data, footer, data],
        &[footer, value],
    ] {
        let octets = Bytes::from(sections.concat());
        for limits in [DecodeLimits::message(), STRICT] {
            let error = MessageView::parse(&octets, &limits).unwrap_err();
            assert_eq!(error.kind, DecodeErrorKind::SectionOrder, "{octets:02x?}");
            assert_eq!(Message::decode(&octets, &limits), Err(error), "{octets:02x?}");
        }
    }
}

#[test]
fn a_view_steps_over_what_it_is_not_asked_for() {
    // A described value where the id should be, in lists of both widths.
    let fields = [0, 0x53, 1, 0x41, 0x40, 0xa1, 1, b'q'];
    for header in [&[0xc0, 9, 3][..], &[0xd0, 0, 0, 0, 12, 0, 0, 0, 3]] {
        let octets = Bytes::from([&[0, 0x53, 0x73], header, &fields, &[0, 0x53, 0x75, 0xa0, 0]].concat());
        let view = MessageView::parse(&octets, &STRICT).unwrap();
        assert_eq!(view.to().map(|to| to.map(|to| to.as_str())), Ok(Some("q")));
        assert_eq!(view.message_id().unwrap_err().kind, DecodeErrorKind::WrongType(0));
    }
    let without = to_bytes(&Message::data(""));
    let view = MessageView::parse(&without, &STRICT).unwrap();
    assert_eq!((view.to(), view.message_id(), view.creation_time()), (Ok(None), Ok(None), Ok(None)));
}

#[test]
fn the_head_of_a_message_and_its_trailing_data_are_the_message() {
    for length in [0, 1, 255, 256, 70_000] {
        let message = Message::data(vec![7; length]).with_application_property("p", 1_u32);
        let data = message.trailing_data().unwrap();
        assert_eq!(data.len(), length);
        let mut head = amqp_codec::BytesMut::new();
        message.encode_head(&mut head);
        assert_eq!([&head[..], data].concat(), to_bytes(&message), "{length} octets");
    }
    // A footer comes behind the data; other bodies are no octets.
    let mut footed = Message::data("x");
    footed.footer = Some(Annotations::new().with("f", true));
    let sections: DataSections = ["x", "y"].into_iter().collect();
    for message in [footed, Message::value("x"), Message::default().with_body(Body::DataSections(sections))] {
        assert_eq!(message.trailing_data(), None);
        let mut whole = amqp_codec::BytesMut::new();
        message.encode_head(&mut whole);
        assert_eq!(whole, to_bytes(&message));
    }
}
