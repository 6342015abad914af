//! The codec's tables and the codec itself against the specification's facts: all 72 types, 125 fields and 13 constants.

use amqp_codec::{
    Array, Bytes, COMPOSITES, Decimal32, Decimal64, Decimal128, Decode, DecodeErrorKind, DecodeLimits,
    DeliveryState, Described, LifetimePolicy, List, Map, Message, MessageId, Outcome, Performative,
    ProtocolHeader, RESTRICTED, SaslPerformative, Source, Target, TargetArchetype, Timestamp, Uuid, Value,
    from_bytes, to_bytes,
};
use serde_json::Value as Json;
use workspace_tests::typed::text;

fn spec() -> Json {
    serde_json::from_str(include_str!("../data/spec-types.json")).unwrap()
}

fn types<'a>(spec: &'a Json, class: &str) -> Vec<&'a Json> {
    spec["types"].as_array().unwrap().iter().filter(|ty| ty["class"] == class).collect()
}

fn array<'a>(facts: &'a Json, key: &str) -> &'a [Json] {
    facts[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn code(facts: &Json) -> u64 {
    u64::from_str_radix(text(&facts["descriptor"], "ulong").trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn the_composite_types_are_those_of_the_specification() {
    let spec = spec();
    let composites = types(&spec, "composite");
    assert_eq!(composites.len(), COMPOSITES.len());
    for facts in composites {
        let name = text(facts, "name");
        let table = COMPOSITES.iter().find(|table| table.name == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(text(facts, "source"), "list", "{name}");
        assert_eq!(table.code, code(facts), "{name}");
        assert_eq!(table.symbol, text(&facts["descriptor"], "symbol"), "{name}");
        let fields = array(facts, "fields");
        assert_eq!(table.fields.len(), fields.len(), "{name}");
        for (row, facts) in table.fields.iter().zip(fields) {
            assert_eq!(row.name, text(facts, "name"), "{name}");
            assert_eq!(row.type_name, text(facts, "type"), "{name}.{}", row.name);
            assert_eq!(row.mandatory, facts["mandatory"].as_bool().unwrap(), "{name}.{}", row.name);
            assert_eq!(row.multiple, facts["multiple"].as_bool().unwrap(), "{name}.{}", row.name);
            assert_eq!(row.default, facts["default"].as_str(), "{name}.{}", row.name);
        }
    }
}

#[test]
fn the_restricted_types_are_those_of_the_specification() {
    let spec = spec();
    let restricted = types(&spec, "restricted");
    assert_eq!(restricted.len(), RESTRICTED.len());
    for (facts, row) in restricted.into_iter().zip(RESTRICTED) {
        let name = text(facts, "name");
        assert_eq!(row.name, name);
        assert_eq!(row.source, text(facts, "source"), "{name}");
        let provides: Vec<_> = array(facts, "provides").iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(row.provides, provides, "{name}");
        let descriptor = facts.get("descriptor").map(|descriptor| (code(facts), text(descriptor, "symbol")));
        assert_eq!(row.descriptor, descriptor, "{name}");
        let choices: Vec<_> = array(facts, "choices")
            .iter()
            .map(|choice| (text(choice, "name"), text(choice, "value")))
            .collect();
        let own: Vec<_> = row.choices.iter().map(|(name, value)| (*name, value.trim_matches('"'))).collect();
        assert_eq!(own, choices, "{name}");
    }
}

#[test]
fn the_constants_are_those_of_the_specification() {
    let octets = |header: ProtocolHeader| [header.major, header.minor, header.revision].map(u32::from);
    let [
        [major, minor, revision],
        [tls_major, tls_minor, tls_revision],
        [sasl_major, sasl_minor, sasl_revision],
    ] = [ProtocolHeader::AMQP, ProtocolHeader::TLS, ProtocolHeader::SASL].map(octets);
    let own = [
        ("PORT", u32::from(amqp_codec::PORT)),
        ("SECURE-PORT", u32::from(amqp_codec::SECURE_PORT)),
        ("MAJOR", major),
        ("MINOR", minor),
        ("REVISION", revision),
        ("MIN-MAX-FRAME-SIZE", amqp_codec::MIN_MAX_FRAME_SIZE),
        ("MESSAGE-FORMAT", amqp_codec::MESSAGE_FORMAT),
        ("TLS-MAJOR", tls_major),
        ("TLS-MINOR", tls_minor),
        ("TLS-REVISION", tls_revision),
        ("SASL-MAJOR", sasl_major),
        ("SASL-MINOR", sasl_minor),
        ("SASL-REVISION", sasl_revision),
    ];
    let spec = spec();
    let facts = array(&spec, "constants")
        .iter()
        .map(|constant| (text(constant, "name"), text(constant, "value").parse().unwrap()));
    assert_eq!(facts.collect::<Vec<_>>(), own);
}

/// What the specification says provides an archetype is what the decoder of the archetype knows, and nothing else.
#[test]
fn every_archetype_is_provided_by_the_composites_that_the_specification_names() {
    fn knows<T: Decode>(octets: &Bytes) -> bool {
        from_bytes::<T>(octets, &DecodeLimits::performative()).is_ok()
    }
    fn is_section(octets: &Bytes) -> bool {
        let result = Message::decode(octets, &DecodeLimits::message());
        result.err().is_none_or(|error| error.kind != DecodeErrorKind::UnknownDescriptor)
    }
    // States of extensions are kept as they are.
    fn is_state(octets: &Bytes) -> bool {
        let result = from_bytes::<DeliveryState>(octets, &DecodeLimits::performative());
        result.is_ok_and(|state| !matches!(state, DeliveryState::Unknown(_)))
    }
    type Knows = fn(&Bytes) -> bool;
    let archetypes: &[(&str, Knows)] = &[
        ("frame", knows::<Performative>),
        ("sasl-frame", knows::<SaslPerformative>),
        ("delivery-state", is_state),
        ("outcome", knows::<Outcome>),
        ("source", knows::<Source>),
        ("target", knows::<TargetArchetype>),
        ("lifetime-policy", knows::<LifetimePolicy>),
        ("section", is_section),
    ];
    let spec = spec();
    for facts in array(&spec, "types").iter().filter(|facts| facts.get("descriptor").is_some()) {
        let least = array(facts, "fields").iter().map(|field| least_of(&spec, field));
        let octets = to_bytes(&Described::new(code(facts), least.collect::<List>()));
        let known: Vec<_> =
            archetypes.iter().filter(|(_, knows)| knows(&octets)).map(|(name, _)| *name).collect();
        let mut provided: Vec<_> =
            array(facts, "provides").iter().map(|name| name.as_str().unwrap()).collect();
        // Only a coordinator answers with it, and to a declare alone: a state of its own here, and no `Outcome`.
        if text(facts, "name") == "declared" {
            provided.retain(|name| *name != "outcome");
        }
        provided.sort_by_key(|name| archetypes.iter().position(|(own, _)| own == name));
        assert_eq!(known, provided, "{}", text(facts, "name"));
    }
}

/// Each field of each composite, with each primitive type in it: taken if the chain of restricted types ends there.
#[test]
fn every_field_takes_the_source_of_its_type_and_nothing_else() {
    let spec = spec();
    let mut tried = 0;
    for facts in types(&spec, "composite") {
        let fields = array(facts, "fields");
        let least: Vec<Value> = fields.iter().map(|field| least_of(&spec, field)).collect();
        for (place, field) in fields.iter().enumerate() {
            let name = format!("{}.{}", text(facts, "name"), text(field, "name"));
            let Some(source) = primitive_of(&spec, text(field, "type")) else { continue };
            for (kind, sample) in samples() {
                let mut list = least.clone();
                list[place] = sample;
                let octets = to_bytes(&Described::new(code(facts), List::from(list)));
                assert_eq!(is_taken(text(facts, "name"), &octets), kind == source, "{name} of {kind}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1_800, "{tried}");
}

/// Message ids are of any of the types that provide one, and addresses and transaction ids of the one.
#[test]
fn archetypes_of_plain_types_are_provided_by_those_the_specification_names() {
    let spec = spec();
    let provided = |archetype: &str| -> Vec<String> {
        let provides = |facts: &&&Json| array(facts, "provides").contains(&archetype.into());
        types(&spec, "restricted")
            .iter()
            .filter(provides)
            .map(|facts| text(facts, "source").to_owned())
            .collect()
    };
    let takes_address = |octets: &Bytes| {
        let value = from_bytes::<Value>(octets, &DecodeLimits::message()).unwrap();
        let target = to_bytes(&Described::new(Target::CODE, List::from(vec![value])));
        from_bytes::<Target>(&target, &DecodeLimits::performative()).is_ok()
    };
    for (kind, sample) in samples() {
        let octets = to_bytes(&sample);
        let is_in = |archetype| provided(archetype).iter().any(|source| source == kind);
        let is_id = from_bytes::<MessageId>(&octets, &DecodeLimits::message()).is_ok();
        assert_eq!(is_id, is_in("message-id"), "message-id of {kind}");
        assert_eq!(takes_address(&octets), is_in("address"), "address of {kind}");
    }
}

/// Whether a composite decodes.
fn is_taken(name: &str, octets: &Bytes) -> bool {
    fn decodes<T: Decode>(octets: &Bytes) -> bool {
        from_bytes::<T>(octets, &DecodeLimits::message()).is_ok()
    }
    use amqp_codec::{
        Accepted, Attach, Begin, Close, Coordinator, Declare, Declared, DeleteOnClose, Detach, Discharge,
        Disposition, End, Error, Flow, Header, Modified, Open, Properties, Received, Rejected, Released,
        SaslChallenge, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse, TransactionalState, Transfer,
    };
    match name {
        "open" => decodes::<Open>(octets),
        "begin" => decodes::<Begin>(octets),
        "attach" => decodes::<Attach>(octets),
        "flow" => decodes::<Flow>(octets),
        "transfer" => decodes::<Transfer>(octets),
        "disposition" => decodes::<Disposition>(octets),
        "detach" => decodes::<Detach>(octets),
        "end" => decodes::<End>(octets),
        "close" => decodes::<Close>(octets),
        "error" => decodes::<Error>(octets),
        "header" => decodes::<Header>(octets),
        "properties" => decodes::<Properties>(octets),
        "received" => decodes::<Received>(octets),
        "accepted" => decodes::<Accepted>(octets),
        "rejected" => decodes::<Rejected>(octets),
        "released" => decodes::<Released>(octets),
        "modified" => decodes::<Modified>(octets),
        "source" => decodes::<Source>(octets),
        "target" => decodes::<Target>(octets),
        "coordinator" => decodes::<Coordinator>(octets),
        "declare" => decodes::<Declare>(octets),
        "discharge" => decodes::<Discharge>(octets),
        "declared" => decodes::<Declared>(octets),
        "transactional-state" => decodes::<TransactionalState>(octets),
        "sasl-mechanisms" => decodes::<SaslMechanisms>(octets),
        "sasl-init" => decodes::<SaslInit>(octets),
        "sasl-challenge" => decodes::<SaslChallenge>(octets),
        "sasl-response" => decodes::<SaslResponse>(octets),
        "sasl-outcome" => decodes::<SaslOutcome>(octets),
        "delete-on-close" => decodes::<DeleteOnClose>(octets),
        other => panic!("{other} has no fields"),
    }
}

/// The primitive type at the end of a chain of restricted types; none for a composite or any type.
fn primitive_of<'a>(spec: &'a Json, name: &'a str) -> Option<&'a str> {
    match array(spec, "types").iter().find(|facts| facts["name"] == name) {
        Some(facts) if facts["class"] == "composite" => None,
        Some(facts) => primitive_of(spec, text(facts, "source")),
        None => (name != "*").then_some(name),
    }
}

/// What a field holds at least: nothing unless it is mandatory.
fn least_of(spec: &Json, field: &Json) -> Value {
    if field["mandatory"] != true {
        return Value::Null;
    }
    // The only mandatory fields of any type are ids of transactions.
    let kind = primitive_of(spec, text(field, "type")).unwrap_or("binary");
    samples().into_iter().find(|(name, _)| *name == kind).unwrap().1
}

/// A value of each primitive type but null, among the choices where the type has some.
fn samples() -> Vec<(&'static str, Value)> {
    vec![
        ("boolean", true.into()),
        ("ubyte", 1_u8.into()),
        ("ushort", 1_u16.into()),
        ("uint", 1_u32.into()),
        ("ulong", 1_u64.into()),
        ("byte", 1_i8.into()),
        ("short", 1_i16.into()),
        ("int", 1_i32.into()),
        ("long", 1_i64.into()),
        ("float", 1_f32.into()),
        ("double", 1_f64.into()),
        ("decimal32", Decimal32([0; 4]).into()),
        ("decimal64", Decimal64([0; 8]).into()),
        ("decimal128", Decimal128([0; 16]).into()),
        ("char", 'x'.into()),
        ("timestamp", Timestamp(1).into()),
        ("uuid", Uuid([1; 16]).into()),
        ("binary", Bytes::from_static(b"x").into()),
        ("string", "never".into()),
        ("symbol", Value::symbol("never")),
        ("list", List::new().into()),
        ("map", Map::new().into()),
        ("array", Array::new(vec![1_u32.into()]).unwrap().into()),
    ]
}
