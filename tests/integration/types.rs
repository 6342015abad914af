//! The rules of types and messages, one by one, each by octets that keep it and octets that break it.
//!
//! The vectors hold far more cases; here each is under the rule that it is about.

use amqp_codec::{
    AnnotationKeyRef, Array, Attach, Begin, Body, Bytes, COMPOSITES, Decode, DecodeErrorKind, DecodeLimits,
    DeleteOnClose, DeliveryState, Described, Detach, Error, ErrorCondition, Header, LifetimePolicy, List,
    Map, Message, MessageId, MessageView, Open, Outcome, Properties, Received, SaslMechanisms,
    SenderSettleMode, Source, Str, Symbol, TerminusDurability, TerminusExpiryPolicy, Uuid, Value, ValueType,
    from_bytes, to_bytes,
};

/// A rule, octets of a value, and the smallest octets of the same.
const READ: &[(&str, &str, &str)] = &[
    ("T-001", "94000102030405060708090a0b0c0d0e0f", "94000102030405060708090a0b0c0d0e0f"),
    ("T-002", "8100000000000f4241", "8100000000000f4241"),
    ("T-003", "00a10178a10179", "00a10178a10179"),
    ("T-003", "0000a10178a1017940", "0000a10178a1017940"),
    ("T-005", "0080000000000000002445", "00532445"),
    ("T-006", "00800000468c0000000445", "00800000468c0000000445"),
    ("T-007", "00a10178a10179", "00a10178a10179"),
    ("T-020", "40", "40"),
    ("T-021", "5601", "41"),
    ("T-021", "5600", "42"),
    ("T-022", "50ff", "50ff"),
    ("T-022", "60ffff", "60ffff"),
    ("T-022", "52ff", "52ff"),
    ("T-022", "53ff", "53ff"),
    ("T-023", "54ff", "54ff"),
    ("T-023", "71ffffffff", "54ff"),
    ("T-023", "5580", "5580"),
    ("T-024", "7000000000", "43"),
    ("T-024", "5200", "43"),
    ("T-024", "43", "43"),
    ("T-024", "800000000000000000", "44"),
    ("T-026", "7280000000", "7280000000"),
    ("T-026", "827ff8000000000123", "827ff8000000000123"),
    ("T-026", "7200000001", "7200000001"),
    ("T-027", "7432800001", "7432800001"),
    ("T-027", "8478000000000000ff", "8478000000000000ff"),
    ("T-028", "730010ffff", "730010ffff"),
    ("T-029", "83ffffffffffffffff", "83ffffffffffffffff"),
    ("T-030", "9800112233445566778899aabbccddeeff", "9800112233445566778899aabbccddeeff"),
    ("T-031", "a000", "a000"),
    ("T-031", "b00000000161", "a00161"),
    ("T-032", "a10300410a", "a10300410a"),
    ("T-033", "a104efbbbf78", "a104efbbbf78"),
    ("T-034", "b300000003414243", "a303414243"),
    ("T-035", "45", "45"),
    ("T-035", "c00100", "45"),
    ("T-035", "d00000000400000000", "45"),
    ("T-035", "d0000000050000000141", "c0020141"),
    ("T-037", "d10000000700000002520141", "c10402520141"),
    ("T-040", "e00402520102", "e00402520102"),
    ("T-041", "e00a027000000001000000ff", "e004025201ff"),
    ("T-041", "e00a02700000000100000100", "e00a02700000000100000100"),
    ("T-044", "e0050200532445", "e0050200532445"),
    ("T-045", "e00802c0020141020142", "e00802c0020141020142"),
];

/// A rule, and octets that are no value by it.
const REFUSED: &[(&str, &str)] = &[
    ("T-004", "01"),
    ("T-004", "3f"),
    ("T-004", "57"),
    ("T-004", "d2"),
    ("T-003", "00"),
    ("T-021", "5602"),
    ("T-028", "730000d800"),
    ("T-028", "7300110000"),
    ("T-032", "a102c080"),
    ("T-032", "a103eda080"),
    ("T-034", "a30180"),
    ("T-036", "c0030141ff"),
    ("T-036", "c00000"),
    ("T-036", "c0020241"),
    ("T-037", "c1020141"),
    ("T-038", "c10704520541520542"),
    ("T-038", "c10a04520541700000000542"),
    ("T-042", "e00100"),
    ("T-043", "f0000000057fffffff40"),
    ("T-046", "b07fffffff"),
    ("T-046", "d0ffffffffffffffff"),
];

fn unhex(text: &str) -> Bytes {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn strict() -> DecodeLimits {
    DecodeLimits::message().strict()
}

fn read<T: Decode>(hex: &str) -> Result<T, amqp_codec::DecodeError> {
    from_bytes(&unhex(hex), &strict())
}

fn kind_of<T: Decode + std::fmt::Debug>(hex: &str) -> DecodeErrorKind {
    read::<T>(hex).unwrap_err().kind
}

/// A composite with these fields, whatever they are.
fn composite<T: Decode>(code: u64, fields: Vec<Value>) -> Result<T, amqp_codec::DecodeError> {
    from_bytes(&to_bytes(&Described::new(code, List::from(fields))), &strict())
}

#[test]
fn values_are_read_in_every_form_and_written_in_the_smallest() {
    for (rule, octets, smallest) in READ {
        let value: Value = read(octets).unwrap_or_else(|error| panic!("{rule} {octets}: {error}"));
        assert_eq!(to_bytes(&value), unhex(smallest), "{rule} {octets}");
        assert_eq!(read::<Value>(smallest), Ok(value), "{rule} {octets}");
    }
}

#[test]
fn octets_that_break_a_rule_are_no_value() {
    for (rule, octets) in REFUSED {
        assert!(read::<Value>(octets).is_err(), "{rule} {octets}");
    }
    // T-043: many elements without octets are one value and a count, and cost nothing.
    let Value::Array(array) = read("f0000000050000ffff40").unwrap() else { panic!("no array") };
    assert_eq!(array.len(), 65_535);
    // T-047: a value within a value within a value, as deep as nobody needs.
    let nested = format!("{}40", "00a10178".repeat(200));
    assert_eq!(kind_of::<Value>(&nested), DecodeErrorKind::TooDeep);
}

// T-039: maps that differ in order only are not equal, and come back in their order.
#[test]
fn a_map_keeps_its_order() {
    let map = |keys: [u32; 2]| keys.into_iter().map(|key| (Value::from(key), Value::Null)).collect::<Map>();
    assert_ne!(map([1, 2]), map([2, 1]));
    assert_eq!(
        read::<Value>("c10704520240520140").map(|value| to_bytes(&value)),
        Ok(unhex("c10704520240520140"))
    );
}

// T-005, T-007: the number in any width or the symbol in any width; nothing else.
#[test]
fn composites_are_known_by_number_and_by_symbol() {
    let symbol: String = "amqp:accepted:list".bytes().map(|octet| format!("{octet:02x}")).collect();
    for descriptor in ["5324", "800000000000000024", &format!("a312{symbol}"), &format!("b300000012{symbol}")]
    {
        // T-011: no fields at all, in each of the three lists.
        for list in ["45", "c00100", "d00000000400000000"] {
            let state = read::<DeliveryState>(&format!("00{descriptor}{list}"));
            assert_eq!(state, Ok(DeliveryState::Accepted), "{descriptor} {list}");
        }
    }
    assert_eq!(to_bytes(&DeliveryState::Accepted), unhex("00532445"));
    assert_eq!(kind_of::<DeliveryState>("00a1017845"), DecodeErrorKind::UnknownDescriptor);
}

// T-008 to T-010, T-012: fields by their places; as many as there are, and none that must be there missing.
#[test]
fn fields_have_their_places() {
    let begin: Begin = read("005311c0080440520152025203").unwrap();
    assert_eq!((begin.next_outgoing_id, begin.incoming_window, begin.outgoing_window), (1, 2, 3));
    assert_eq!(read::<Begin>("005311c00a06405201520252034040"), Ok(begin));
    assert_eq!(kind_of::<Received>("005323c00403434440"), DecodeErrorKind::TooManyFields);
    assert_eq!(kind_of::<Begin>("005311c006034052015202"), DecodeErrorKind::MissingField);
    assert_eq!(kind_of::<Begin>("005311c00704405201405203"), DecodeErrorKind::MissingField);
    // T-025: an ulong is no uint, whatever its value.
    assert!(matches!(kind_of::<Begin>("005311c0080440530152025203"), DecodeErrorKind::WrongType(0x53)));
    // L-032, C-005: name, handle and role; a container-id, which may be empty.
    assert_eq!(
        composite::<Attach>(0x12, vec!["L".into(), 0_u32.into()]).unwrap_err().kind,
        DecodeErrorKind::MissingField
    );
    assert!(composite::<Attach>(0x12, vec!["L".into(), 0_u32.into(), false.into()]).is_ok());
    assert_eq!(composite::<Open>(0x10, vec![]).unwrap_err().kind, DecodeErrorKind::MissingField);
    assert_eq!(composite::<Open>(0x10, vec!["".into()]).unwrap().container_id, "");
}

// T-013, M-005, M-007: a default spelled out, as null and left out are the same.
#[test]
fn defaults_are_the_same_however_they_are_said() {
    let said = vec![false.into(), 4_u8.into(), Value::Null, false.into(), 0_u32.into()];
    let header: Header = composite(0x70, said).unwrap();
    assert_eq!(composite::<Header>(0x70, vec![Value::Null; 5]), Ok(header.clone()));
    assert_eq!(composite::<Header>(0x70, vec![]), Ok(header.clone()));
    assert_eq!((header.durable, header.priority, header.ttl, header.delivery_count), (false, 4, None, 0));
    assert_eq!(composite::<Header>(0x70, vec![true.into(), 255_u8.into()]).unwrap().priority, 255);
    // L-042: a detach suspends unless it says more. M-031: a terminus expires with its session, at once.
    assert!(!composite::<Detach>(0x16, vec![7_u32.into()]).unwrap().closed);
    assert!(composite::<Detach>(0x16, vec![]).is_err());
    let source: Source = composite(0x28, vec![]).unwrap();
    assert_eq!((source.expiry_policy, source.timeout), (TerminusExpiryPolicy::SessionEnd, 0));
    // C-006: no hostname is none. C-009: no bound on channels is the largest there is.
    let open = composite::<Open>(0x10, vec!["c".into()]).unwrap();
    assert_eq!((open.hostname, open.channel_max), (None, 65_535));
}

// T-014 to T-016
#[test]
fn a_field_of_several_values_is_null_a_value_or_an_array() {
    let source = |outcomes: Value| {
        let mut fields = vec![Value::Null; 9];
        fields.push(outcomes);
        composite::<Source>(0x28, fields).map(|source| source.outcomes.into_iter().collect::<Vec<Symbol>>())
    };
    let (a, b) = (Symbol::from_static("a"), Symbol::from_static("b"));
    let array = |symbols: &[&Symbol]| {
        let items = symbols.iter().map(|symbol| Value::from((*symbol).clone())).collect();
        Value::from(Array::new(items).unwrap())
    };
    assert_eq!(source(Value::Null), Ok(vec![]));
    assert_eq!(source(a.clone().into()), Ok(vec![a.clone()]));
    assert_eq!(source(array(&[&a])), Ok(vec![a.clone()]));
    assert_eq!(source(array(&[&a, &b])), Ok(vec![a.clone(), b]));
    assert_eq!(source(Array::empty(ValueType::Symbol).into()), Ok(vec![]));
    assert!(source(Value::List(List::from(vec![a.into()]))).is_err());
    // Mandatory: at least one.
    for none in [Value::Null, Array::empty(ValueType::Symbol).into()] {
        assert_eq!(
            composite::<SaslMechanisms>(0x40, vec![none]).unwrap_err().kind,
            DecodeErrorKind::MissingField
        );
    }
}

// T-017, T-019, M-030: seven states, of which five are outcomes and received is progress; nothing else is one.
#[test]
fn the_tables_say_what_may_stand_for_a_state() {
    let one = |code: u64| {
        let fields = match code {
            0x23 => vec![0_u32.into(), 0_u64.into()],
            0x33 | 0x34 => vec![Bytes::from_static(b"txn").into()],
            _ => vec![],
        };
        composite::<DeliveryState>(code, fields)
    };
    let states: Vec<u64> =
        COMPOSITES.iter().map(|spec| spec.code).filter(|code| one(*code).is_ok()).collect();
    assert_eq!(states, [0x23, 0x24, 0x25, 0x26, 0x27, 0x33, 0x34]);
    let outcomes: Vec<u64> = states.into_iter().filter(|code| one(*code).unwrap().is_outcome()).collect();
    assert_eq!(outcomes, [0x24, 0x25, 0x26, 0x27, 0x33]);
    assert!(Outcome::try_from(one(0x23).unwrap()).is_err());
    // D-035: a section, counted from 0, and octets of it.
    assert_eq!(one(0x23), Ok(DeliveryState::Received(Received { section_number: 0, section_offset: 0 })));
}

// T-018, L-053, L-047: choices are closed, error conditions are open.
#[test]
fn choices_are_closed_and_conditions_open() {
    let durable = |number: u32| {
        composite::<Source>(0x28, vec![Value::Null, number.into()]).map(|source| source.durable)
    };
    assert_eq!(durable(2), Ok(TerminusDurability::UnsettledState));
    assert!(durable(3).is_err());
    let mode = |number: u8| {
        composite::<Attach>(0x12, vec!["L".into(), 0_u32.into(), false.into(), number.into()])
            .map(|attach| attach.snd_settle_mode)
    };
    assert_eq!(mode(1), Ok(SenderSettleMode::Settled));
    assert!(mode(3).is_err());
    let error: Error = composite(0x1d, vec![Value::symbol("example:own")]).unwrap();
    assert_eq!(error.condition.as_str(), "example:own");
    assert_eq!(read::<LifetimePolicy>("00532b45"), Ok(LifetimePolicy::DeleteOnClose(DeleteOnClose {})));
    assert!(read::<LifetimePolicy>("00532445").is_err());
    let modes = Array::new(vec![Value::symbol("move"), Value::symbol("copy")]).unwrap();
    let node = amqp_codec::Fields::new()
        .with("lifetime-policy", Described::new(0x2b_u64, Value::List(List::default())))
        .with("supported-dist-modes", Value::from(modes));
    let source = Source { dynamic: true, dynamic_node_properties: Some(node), ..Source::default() };
    assert_eq!(from_bytes::<Source>(&to_bytes(&source), &strict()), Ok(source));
    // C-038, C-040, S-032, L-043: the names that the standard gives.
    for (name, condition) in [
        ("amqp:connection:forced", ErrorCondition::CONNECTION_FORCED),
        ("amqp:connection:framing-error", ErrorCondition::FRAMING_ERROR),
        ("amqp:connection:redirect", ErrorCondition::CONNECTION_REDIRECT),
        ("amqp:internal-error", ErrorCondition::INTERNAL_ERROR),
        ("amqp:session:window-violation", ErrorCondition::WINDOW_VIOLATION),
        ("amqp:session:errant-link", ErrorCondition::ERRANT_LINK),
        ("amqp:session:handle-in-use", ErrorCondition::HANDLE_IN_USE),
        ("amqp:session:unattached-handle", ErrorCondition::UNATTACHED_HANDLE),
        ("amqp:link:detach-forced", ErrorCondition::DETACH_FORCED),
        ("amqp:link:transfer-limit-exceeded", ErrorCondition::TRANSFER_LIMIT_EXCEEDED),
        ("amqp:link:message-size-exceeded", ErrorCondition::MESSAGE_SIZE_EXCEEDED),
        ("amqp:link:redirect", ErrorCondition::LINK_REDIRECT),
        ("amqp:link:stolen", ErrorCondition::STOLEN),
    ] {
        assert_eq!(condition.as_str(), name);
    }
    // two names differ from their values.
    for symbol in ["amqp:transaction:rollback", "amqp:transaction:timeout", "amqp:transaction:unknown-id"] {
        assert!(ErrorCondition::KNOWN.contains(&symbol), "{symbol}");
    }
}

// C-014: keys are symbols. L-051: a filter is described; one that is not is read and comes back as it came.
#[test]
fn fields_have_symbols_for_keys() {
    let open = |properties: Map| {
        let mut fields = vec![Value::from("c")];
        fields.resize(9, Value::Null);
        fields.push(Value::Map(properties));
        composite::<Open>(0x10, fields)
    };
    let unknown = open([(Value::symbol("unheard-of"), Value::from(1_u32))].into_iter().collect()).unwrap();
    assert_eq!(unknown.properties.unwrap().get("unheard-of"), Some(1_u32.into()));
    assert!(open([(Value::from("text"), Value::from(1_u32))].into_iter().collect()).is_err());

    let selector = Described::new(0x0000_468c_0000_0004_u64, Value::from("a = 1"));
    let source = Source::new("q").with_filter("selector", selector.clone()).with_filter("bare", "a = 1");
    let read: Source = from_bytes(&to_bytes(&source), &strict()).unwrap();
    let filter = read.filter.as_ref().unwrap();
    assert_eq!(filter.get("selector"), Some(Value::from(selector).view()));
    assert_eq!(filter.get("bare"), Some("a = 1".into()));
    assert_eq!(read, source);
}

/// A section of a message: its code, and what it holds.
fn section(code: u64, value: impl Into<Value>) -> Bytes {
    to_bytes(&Described::new(code, value))
}

fn message(sections: &[Bytes]) -> Result<Message, amqp_codec::DecodeError> {
    Message::decode(&sections.concat().into(), &strict())
}

// M-001, M-003, M-019 to M-022, scenario 86: the order, each once, a body of one kind.
#[test]
fn sections_have_an_order_and_a_body_of_one_kind() {
    let empty = || Value::Map(Map::default());
    let list = |item: u32| Value::List(List::from(vec![item.into()]));
    let head = section(0x70, Value::List(List::from(vec![])));
    let (delivery, annotations, properties) =
        (section(0x71, empty()), section(0x72, empty()), section(0x73, Value::List(List::from(vec![]))));
    let (application, footer) = (section(0x74, empty()), section(0x78, empty()));
    let (data, sequence, value) =
        (section(0x75, Bytes::from_static(b"ab")), section(0x76, list(1)), section(0x77, Value::Null));
    let all = [
        head.clone(),
        delivery,
        annotations.clone(),
        properties.clone(),
        application,
        data.clone(),
        footer.clone(),
    ];
    assert!(message(&all).is_ok());
    assert_eq!(message(&[data.clone(), data.clone()]).unwrap().body_bytes().unwrap(), "abab");
    let sequences = message(&[sequence.clone(), section(0x76, list(2))]).unwrap().body;
    assert_eq!(
        sequences,
        Body::Sequence([1_u32, 2].map(|item| List::from_iter([item])).into_iter().collect())
    );
    for (_, octets, _) in READ {
        let value: Value = read(octets).unwrap();
        assert_eq!(message(&[section(0x77, value.clone())]).unwrap().body, Body::Value(value));
    }
    for wrong in [
        &[properties.clone(), annotations, data.clone()][..],
        &[head.clone(), head, data.clone()],
        &[data.clone(), value.clone()],
        &[value.clone(), value],
        &[sequence, data.clone()],
        &[footer.clone(), data.clone()],
        &[data.clone(), footer.clone(), footer],
        &[properties],
        &[section(0x76, Value::Null)],
        &[section(0x24, Value::List(List::from(vec![])))],
    ] {
        assert!(message(wrong).is_err(), "{wrong:?}");
    }
    let many = vec![data; strict().max_sections + 1];
    assert!(message(&many).is_err(), "sections without a bound");
}

// M-011, M-013, M-018, M-023, M-024
#[test]
fn keys_and_ids_have_their_types() {
    let data = section(0x75, Bytes::new());
    let annotated = |code: u64, key: Value| {
        let map: Map = [(key, Value::Null)].into_iter().collect();
        message(&[section(code, Value::Map(map)), data.clone()])
    };
    for code in [0x71, 0x72] {
        assert!(annotated(code, Value::symbol("x-opt-a")).is_ok());
        assert!(annotated(code, 5_u64.into()).is_ok());
        assert!(annotated(code, "text".into()).is_err());
    }
    let delivery = annotated(0x71, Value::symbol("x-opt-a")).unwrap().delivery_annotations.clone().unwrap();
    assert!(
        delivery
            .iter()
            .any(|(key, _)| matches!(key, AnnotationKeyRef::Symbol(symbol) if symbol == "x-opt-a"))
    );
    let application = |key: Value, value: Value| {
        let map: Map = [(key, value)].into_iter().collect();
        message(&[section(0x74, Value::Map(map)), data.clone()])
    };
    assert!(application("k".into(), 1_u32.into()).is_ok());
    assert!(application(Value::symbol("k"), 1_u32.into()).is_err());
    assert!(application(Value::Null, 1_u32.into()).is_err());
    assert!(application("k".into(), Value::List(List::from(vec![]))).is_err());
    let id = |id: Value| {
        let sections = [section(0x73, Value::List(List::from(vec![id]))), data.clone()];
        message(&sections).map(|message| message.properties.clone().unwrap().message_id.unwrap())
    };
    let uuid = Uuid([7; 16]);
    let ids = [
        id(7_u64.into()).unwrap(),
        id(uuid.into()).unwrap(),
        id(Bytes::from_static(b"7").into()).unwrap(),
        id("7".into()).unwrap(),
    ];
    for (at, first) in ids.iter().enumerate() {
        assert_eq!(ids.iter().position(|second| second == first), Some(at));
    }
    assert_ne!(ids[1], MessageId::from(Str::from(uuid.to_string())));
    assert!(id(Value::symbol("7")).is_err());
    assert!(id(7_u32.into()).is_err());
    assert_eq!(Properties::FIELDS.len(), 13);
}

// M-002, scenario 87: an intermediary changes header and annotations, and not an octet of what is between.
#[test]
fn the_bare_message_passes_untouched() {
    // A long list header and a wide number: legal, and not how it would be written here.
    let bare = unhex("005373d0000000050000000140005374c10100005375b00000000161");
    let whole: Bytes =
        [section(0x70, Value::List(List::from(vec![true.into()]))), bare.clone()].concat().into();
    let limits = strict();
    let view = MessageView::parse(&whole, &limits).unwrap();
    assert_eq!(view.bare_message(), bare);
    let mut out = amqp_codec::BytesMut::new();
    view.forward(&mut out, Some(&Header { delivery_count: 1, ..Header::default() }), None, None);
    assert!(out.ends_with(&bare));
    assert_ne!(to_bytes(&view.to_message().unwrap()), out.freeze(), "the octets would have been others");
}

// Scenario 95: the ends of time.
#[test]
fn times_at_the_ends_of_the_range_come_back() {
    for milliseconds in [i64::MIN, -1, 0, 253_402_300_799_999, 253_402_300_800_000, i64::MAX] {
        let properties =
            Properties { absolute_expiry_time: Some(milliseconds.into()), ..Properties::default() };
        let message = Message::data("x").with_properties(properties);
        assert_eq!(Message::decode(&to_bytes(&message), &strict()), Ok(message));
    }
}

// Scenario 96, T-040, T-041, T-044, T-045: arrays of what is seldom in arrays.
#[test]
fn arrays_hold_maps_arrays_and_elements_without_octets() {
    let maps: Vec<Value> =
        (0..3_u32).map(|n| Value::Map([(Value::from(n), Value::Null)].into_iter().collect())).collect();
    let inner = || Value::from(Array::new(vec![1_u32.into(), 70_000_u32.into()]).unwrap());
    let described = Array::new(vec![Value::List(List::from(vec![]))]).unwrap().with_descriptor(0x24_u64);
    for array in [
        Array::new(maps).unwrap(),
        Array::new(vec![inner(), inner()]).unwrap(),
        Array::new(vec![Value::Null; 4]).unwrap(),
        Array::new(vec![true.into(), true.into()]).unwrap(),
        described,
    ] {
        let value = Value::from(array);
        assert_eq!(from_bytes::<Value>(&to_bytes(&value), &strict()), Ok(value));
    }
}

// Scenario 98: a header that says what is the default anyway, octet by octet.
#[test]
fn a_header_that_spells_out_false_is_read() {
    let message = message(&[unhex("005370c0020142"), section(0x75, Bytes::new())]).unwrap();
    assert_eq!(message.header, Some(Header::default()));
    assert_eq!(message.header.as_ref().map(|header| header.durable), Some(false));
}
