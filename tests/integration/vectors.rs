//! Every codec vector, both ways.

use amqp_codec::{
    AmqpFrame, Array, Attach, Begin, Bytes, COMPOSITES, Close, Coordinator, Cursor, Declare, Decode,
    DecodeError, DecodeLimits, DeleteOnClose, DeleteOnNoLinks, DeleteOnNoLinksOrMessages, DeleteOnNoMessages,
    DeliveryState, Described, Detach, Discharge, Disposition, Encode, End, Flow, FrameHeader, FullList,
    Message, MessageView, Open, Performative, ProtocolHeader, SaslPerformative, Source, Target, Transfer,
    Value, from_bytes, to_bytes,
};
use serde_json::Value as Json;
use workspace_tests::typed::{hex, text, unhex, value};

/// Invalid vectors that the lenient default accepts, and why.
const LENIENT: &[(&str, &str)] = &[
    ("NV-107", "an empty array without a constructor: serde_amqp and fe2o3 write it"),
    ("NV-160", "link fields of a flow without a handle: dropped, they mean nothing there"),
    ("NV-203", "a message without a body section: sent by several peers for an empty body"),
];

fn vectors() -> Vec<Json> {
    let text = include_str!("../data/vectors.json");
    let Json::Object(mut file) = serde_json::from_str(text).unwrap() else { panic!("not an object") };
    let Some(Json::Array(vectors)) = file.remove("vectors") else { panic!("no vectors") };
    vectors
}

fn strict() -> DecodeLimits {
    DecodeLimits::message().strict()
}

/// A composite in the one form that the typed encoder writes: numeric descriptor, defaults and trailing nulls dropped,
/// one-element arrays as their element.
fn normal(value: Value) -> Value {
    match value {
        Value::Described(described) => {
            let code = described.code();
            let (descriptor, value) = described.into_parts();
            let descriptor = code.map_or(descriptor, Value::Ulong);
            let spec = COMPOSITES.iter().find(|spec| Some(spec.code) == code);
            let inner = match (value, spec) {
                (Value::List(items), Some(spec)) => {
                    let fields = items.into_iter().zip(spec.fields);
                    let mut items: Vec<Value> =
                        fields.map(|(item, field)| normal_field(item, field)).collect();
                    while items.last().is_some_and(Value::is_null) {
                        items.pop();
                    }
                    Value::from(items)
                }
                (other, _) => normal(other),
            };
            Described::new(descriptor, inner).into()
        }
        Value::List(items) => Value::List(items.into_iter().map(normal).collect()),
        Value::Map(map) => Value::Map(map.into_iter().map(|(key, value)| (key, normal(value))).collect()),
        other => other,
    }
}

fn normal_field(value: Value, field: &amqp_codec::FieldSpec) -> Value {
    let default = match field.default {
        Some("mixed") => Some(Value::Ubyte(2)),
        Some("first") => Some(Value::Ubyte(0)),
        Some("none") => Some(Value::Uint(0)),
        Some("session-end") => Some(Value::symbol("session-end")),
        Some("false") => Some(Value::Boolean(false)),
        Some(digits) => Some(match field.type_name {
            "ubyte" => Value::Ubyte(digits.parse().unwrap()),
            "ushort" => Value::Ushort(digits.parse().unwrap()),
            _ => Value::Uint(digits.parse().unwrap()),
        }),
        None => None,
    };
    if default.as_ref() == Some(&value) {
        return Value::Null;
    }
    // SASL mechanisms always leave as an array.
    match (value, field.mandatory) {
        (Value::Array(array), false) if field.multiple && array.is_empty() => Value::Null,
        (Value::Array(array), false) if field.multiple && array.len() == 1 => {
            array.iter().next().unwrap().to_value()
        }
        (Value::Symbol(symbol), true) if field.multiple => Array::new(vec![symbol.into()]).unwrap().into(),
        (value, _) => normal(value),
    }
}

/// Decodes as `T`, checks that its re-encoding means the same as the octets, and that every way of writing agrees.
fn check_typed<T: Decode + Encode + PartialEq + std::fmt::Debug>(id: &str, octets: &Bytes) {
    let typed: T = from_bytes(octets, &strict()).unwrap_or_else(|error| panic!("{id}: {error}"));
    let generic: Value = from_bytes(octets, &strict()).unwrap();
    let encoded = to_bytes(&typed);
    assert_eq!(from_bytes::<Value>(&encoded, &strict()), Ok(normal(generic)), "{id}: {typed:?}");
    assert_eq!(typed.encoded_len(), encoded.len(), "{id}: counted");
    let full = to_bytes(&FullList(&typed));
    assert_eq!(from_bytes::<T>(&full, &strict()).as_ref(), Ok(&typed), "{id}: full list {}", hex(&full));
}

fn check_composite(id: &str, octets: &Bytes) {
    let generic: Value = from_bytes(octets, &strict()).unwrap();
    let code = generic.as_described().and_then(Described::code).unwrap();
    match code {
        Open::CODE => check_typed::<Open>(id, octets),
        Begin::CODE => check_typed::<Begin>(id, octets),
        Attach::CODE => check_typed::<Attach>(id, octets),
        Flow::CODE => check_typed::<Flow>(id, octets),
        Transfer::CODE => check_typed::<Transfer>(id, octets),
        Disposition::CODE => check_typed::<Disposition>(id, octets),
        Detach::CODE => check_typed::<Detach>(id, octets),
        End::CODE => check_typed::<End>(id, octets),
        Close::CODE => check_typed::<Close>(id, octets),
        amqp_codec::Error::CODE => check_typed::<amqp_codec::Error>(id, octets),
        Source::CODE => check_typed::<Source>(id, octets),
        Target::CODE => check_typed::<Target>(id, octets),
        Coordinator::CODE => check_typed::<Coordinator>(id, octets),
        Declare::CODE => check_typed::<Declare>(id, octets),
        Discharge::CODE => check_typed::<Discharge>(id, octets),
        DeleteOnClose::CODE => check_typed::<DeleteOnClose>(id, octets),
        DeleteOnNoLinks::CODE => check_typed::<DeleteOnNoLinks>(id, octets),
        DeleteOnNoMessages::CODE => check_typed::<DeleteOnNoMessages>(id, octets),
        DeleteOnNoLinksOrMessages::CODE => check_typed::<DeleteOnNoLinksOrMessages>(id, octets),
        0x23..=0x27 | 0x33 | 0x34 => check_typed::<DeliveryState>(id, octets),
        other => panic!("{id}: composite {other:#x}"),
    }
    if (0x10..=0x18).contains(&code) {
        check_typed::<Performative>(id, octets);
    }
}

/// A sequence of section values as a message, read in both ways and written again.
fn check_message(id: &str, octets: &Bytes, sections: &[Value]) {
    let message = Message::decode(octets, &strict()).unwrap_or_else(|error| panic!("{id}: {error}"));
    let encoded = to_bytes(&message);
    let limits = strict();
    let mut cursor = Cursor::new(&encoded, &limits);
    for section in sections {
        assert_eq!(Value::decode(&mut cursor), Ok(normal(section.clone())), "{id}");
    }
    assert_eq!(cursor.remaining(), 0, "{id}");
    assert_eq!(message.encoded_len(), encoded.len(), "{id}");
    let view = MessageView::parse(octets, &limits).unwrap();
    assert_eq!(view.to_message().as_ref(), Ok(&message), "{id}");
    assert_eq!(view.header(), Ok(message.header.clone()), "{id}");
    assert_eq!(view.properties(), Ok(message.properties.clone()), "{id}");
    assert_eq!(view.application_properties(), Ok(message.application_properties.clone()), "{id}");
    assert_eq!(view.message_annotations(), Ok(message.message_annotations.clone()), "{id}");
    assert_eq!(view.footer(), Ok(message.footer.clone()), "{id}");
    for (key, value) in message.application_properties.iter().flatten() {
        assert_eq!(view.application_property(key.as_str()), Ok(Some(value)), "{id}: {key}");
    }
    let joined: Result<Vec<Bytes>, DecodeError> = view.body_data().collect();
    assert_eq!(joined.unwrap().concat(), message.body_bytes().unwrap_or_default(), "{id}");
}

fn check_frame(id: &str, octets: &Bytes, json: &Json, smallest: &str) {
    let header = FrameHeader::parse(octets).unwrap().unwrap();
    assert_eq!(u64::from(header.size), json["size"].as_u64().unwrap(), "{id}");
    assert_eq!(u64::from(header.doff), json["doff"].as_u64().unwrap(), "{id}");
    assert_eq!(u64::from(header.channel), json["channel"].as_u64().unwrap(), "{id}");
    let expected = (!json["performative"].is_null()).then(|| value(&json["performative"]));
    let mut out = amqp_codec::BytesMut::new();
    if json["type"] == 1 {
        let performative = SaslPerformative::decode_frame(octets, &strict()).unwrap();
        assert_eq!(Value::of(&performative).ok(), expected.map(normal), "{id}");
        amqp_codec::encode_sasl_frame(&mut out, &performative);
        assert_eq!(SaslPerformative::decode_frame(&out.freeze(), &strict()), Ok(performative), "{id}");
        return;
    }
    let frame = AmqpFrame::decode(octets, &strict()).unwrap_or_else(|error| panic!("{id}: {error}"));
    assert_eq!(hex(&frame.payload), text(json, "payload_hex"), "{id}");
    match &frame.performative {
        Some(performative) => {
            assert_eq!(Value::of(performative).ok(), expected.map(normal), "{id}");
            amqp_codec::encode_frame(&mut out, frame.channel, performative, &frame.payload);
        }
        None => {
            assert_eq!(expected, None, "{id}");
            out.extend_from_slice(&[0, 0, 0, 8, 2, 0]);
            out.extend_from_slice(&frame.channel.to_be_bytes());
        }
    }
    if !smallest.is_empty() {
        assert_eq!(hex(&out), smallest, "{id}");
    }
}

fn check_valid(vector: &Json) {
    let (id, category) = (text(vector, "id"), text(vector, "category"));
    let octets = unhex(text(vector, "hex"));
    let smallest = vector["smallest_hex"].as_str().unwrap_or_default();
    let typed = &vector["value"];
    match category {
        "frame" => return check_frame(id, &octets, &typed[1], smallest),
        "protocol-header" => {
            let header = ProtocolHeader::parse(octets.as_ref().try_into().unwrap()).unwrap();
            assert_eq!(u64::from(header.id.octet()), typed[1]["id"].as_u64().unwrap(), "{id}");
            assert_eq!(header.encode(), octets.as_ref(), "{id}");
            return;
        }
        "message" => {
            let sections: Vec<Value> = typed[1].as_array().unwrap().iter().map(value).collect();
            check_message(id, &octets, &sections);
            let encoded: Vec<u8> = sections.iter().flat_map(to_bytes).collect();
            assert_eq!(hex(&encoded), smallest, "{id}");
            return;
        }
        _ => {}
    }
    // T-024: all encodings mean one value, and the smallest is written.
    let expected = value(typed);
    let decoded: Value = from_bytes(&octets, &strict()).unwrap_or_else(|error| panic!("{id}: {error}"));
    assert_eq!(decoded, expected, "{id}");
    let encoded = to_bytes(&decoded);
    assert_eq!(hex(&encoded), smallest, "{id}");
    assert_eq!(decoded.encoded_len(), encoded.len(), "{id}");
    assert_eq!(from_bytes::<Value>(&encoded, &strict()), Ok(expected.clone()), "{id}");
    // What other implementations wrote for the same value means the same.
    for (peer, other) in vector["other_legal_reencodings"].as_object().into_iter().flatten() {
        // Long ones are abbreviated in the file.
        let Some(other) = other.as_str().filter(|other| other.is_ascii()).map(unhex) else { continue };
        assert_eq!(from_bytes::<Value>(&other, &strict()), Ok(expected.clone()), "{id}: {peer}");
    }
    match category.split('/').next().unwrap() {
        "performative" | "composite" => check_composite(id, &octets),
        "sasl" => check_typed::<SaslPerformative>(id, &octets),
        "section" => check_section(id, &octets, expected),
        _ => {}
    }
}

/// A section on its own, completed to a message.
fn check_section(id: &str, octets: &Bytes, section: Value) {
    let code = section.as_described().and_then(Described::code).unwrap();
    let body = Described::new(0x75_u64, Bytes::from_static(b"x"));
    let (octets, sections) = match code {
        0x75..=0x77 => (octets.clone(), vec![section]),
        0x78 => ([to_bytes(&body), octets.clone()].concat().into(), vec![body.into(), section]),
        _ => ([octets.clone(), to_bytes(&body)].concat().into(), vec![section, body.into()]),
    };
    check_message(id, &octets, &sections);
}

#[test]
fn every_valid_vector_decodes_to_its_value_and_encodes_smallest() {
    let vectors = vectors();
    let valid: Vec<&Json> = vectors.iter().filter(|vector| vector["valid"] == true).collect();
    assert_eq!(valid.len(), 336);
    valid.into_iter().for_each(check_valid);
}

/// Whether the entry point that must refuse a vector does.
fn is_accepted(vector: &Json, strict: bool) -> bool {
    let octets = unhex(text(vector, "hex"));
    let set = |limits: DecodeLimits| if strict { limits.strict() } else { limits };
    let performative = set(DecodeLimits::performative());
    let message = set(DecodeLimits::message());
    match text(vector, "level") {
        "value" => Value::decode(&mut Cursor::new(&octets, &message)).is_ok(),
        "single-value" => from_bytes::<Value>(&octets, &message).is_ok(),
        "message" => Message::decode(&octets, &message).is_ok(),
        "header" => octets.as_ref().try_into().is_ok_and(|octets| ProtocolHeader::parse(octets).is_ok()),
        "frame" => match FrameHeader::parse_limited(&octets, 1 << 20) {
            Err(_) => false,
            Ok(_) if text(vector, "category") == "invalid/sasl" || text(vector, "id") == "NV-130" => {
                SaslPerformative::decode_frame(&octets, &performative).is_ok()
            }
            Ok(_) => AmqpFrame::decode(&octets, &performative).is_ok(),
        },
        other => panic!("level {other}"),
    }
}

#[test]
fn every_invalid_vector_is_refused_when_strict() {
    let vectors = vectors();
    let invalid: Vec<&Json> = vectors.iter().filter(|vector| vector["valid"] == false).collect();
    assert_eq!(invalid.len(), 160);
    for vector in invalid {
        assert!(!is_accepted(vector, true), "{} is accepted: {}", vector["id"], vector["reason"]);
    }
}

#[test]
fn the_lenient_default_accepts_exactly_the_listed_deviations() {
    let vectors = vectors();
    let accepted: Vec<&str> = vectors
        .iter()
        .filter(|vector| vector["valid"] == false && is_accepted(vector, false))
        .map(|vector| text(vector, "id"))
        .collect();
    let listed: Vec<&str> = LENIENT.iter().map(|(id, _)| *id).collect();
    assert_eq!(accepted, listed);
}

#[test]
fn framing_errors_and_decode_errors_have_the_conditions_the_vectors_name() {
    for vector in vectors().iter().filter(|vector| vector["level"] == "frame") {
        let octets = unhex(text(vector, "hex"));
        let error = FrameHeader::parse_limited(&octets, 1 << 20)
            .and_then(|_| AmqpFrame::decode(&octets, &DecodeLimits::performative().strict()))
            .err();
        let expected = text(vector, "expected_error");
        if let Some(error) = error
            && ["amqp:connection:framing-error", "amqp:decode-error"].contains(&expected)
        {
            assert_eq!(error.condition().as_str(), expected, "{}: {error}", vector["id"]);
        }
    }
}

#[test]
fn cut_and_changed_vectors_keep_every_invariant() {
    for vector in vectors() {
        let octets = unhex(text(&vector, "hex"));
        amqp_codec::fuzzing::fuzz_all(&octets);
        for index in 0..octets.len().min(512) {
            let cut = octets.slice(..index);
            amqp_codec::fuzzing::fuzz_all(&cut);
            let mut changed = octets.to_vec();
            for change in [0x00, 0xff, changed[index].wrapping_add(1), changed[index] ^ 0x80] {
                changed[index] = change;
                amqp_codec::fuzzing::fuzz_all(&changed);
            }
        }
    }
}
