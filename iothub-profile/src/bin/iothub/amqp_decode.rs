//! `iothub amqp decode`: octets of AMQP 1.0 on standard input as typed JSON, or as a line for people.
//!
//! Owns the notation: `[type, value]`, with maps as lists of pairs, floats and decimals by their bits, octets in
//! hexadecimal, and `["described", descriptor, value]`. It speaks to nobody.

use std::fmt::Write as _;
use std::io::Read;

use amqp_codec::{
    ArrayRef, Cursor, Decode, DecodeError, DecodeErrorKind, DecodeLimits, FrameHeader, FrameType,
    MessageView, ProtocolHeader, Value as Amqp, ValueRef, ValueType, dump,
};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::amqp_args::{AmqpDecodeArgs, DecodeAs};
use crate::exit::{Class, End, Failure};
use crate::output::tell;

/// Most octets that are read: more than any frame or message of a hub.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// Most array elements without octets that are shown one by one.
const MAX_UNWRITTEN: usize = 256;

/// Prints what the octets on standard input mean.
///
/// # Errors
/// They cannot be read, are more than 64 MiB, are not hexadecimal where that was said, or do not decode: the error names the offset.
pub(crate) fn run(args: &AmqpDecodeArgs) -> Result<End, Failure> {
    let input = read(std::io::stdin().lock(), MAX_INPUT)?;
    let octets = if args.hex { unhex(&input)? } else { input };
    let octets = Bytes::from(octets);
    let text = show(&octets, args.kind, args.dump).map_err(|error| {
        Failure::new(Class::Failed, format!("the input does not decode: {error}"))
            .fault("the input, or what --as says it is")
            .retry("does not help until this is corrected")
            .advice("see that the octets are whole, and are what --as says")
    })?;
    tell(&text);
    Ok(End::Done)
}

/// All input, or an error where there is more than the limit: half a frame would decode to something misleading.
fn read(input: impl Read, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    // One more, to tell the end from the limit.
    input
        .take(limit.saturating_add(1))
        .read_to_end(&mut octets)
        .map_err(|error| Failure::new(Class::Failed, format!("cannot read standard input: {error}")))?;
    if u64::try_from(octets.len()).is_ok_and(|length| length <= limit) {
        return Ok(octets);
    }
    Err(Failure::new(Class::Usage, format!("the input is longer than {limit} octets"))
        .fault("the input")
        .advice("give a part of it that can be read by itself"))
}

/// Octets of hexadecimal digits, white space between them left out.
fn unhex(text: &[u8]) -> Result<Vec<u8>, Failure> {
    let wrong = |what: &str| {
        Failure::new(Class::Usage, format!("the input is not hexadecimal: {what}"))
            .fault("the input, or --hex")
            .advice("give pairs of hexadecimal digits alone, or leave --hex out for the octets themselves")
    };
    let digits: Option<Vec<u8>> = text
        .iter()
        .filter(|octet| !octet.is_ascii_whitespace())
        .map(|octet| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.ok_or_else(|| wrong("it has other characters"))?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong("it has an odd number of digits"));
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The text for some octets.
fn show(octets: &Bytes, kind: DecodeAs, as_dump: bool) -> Result<String, DecodeError> {
    let limits = DecodeLimits::message();
    if as_dump {
        return match kind {
            DecodeAs::Frame => {
                frame(octets, &limits)?;
                Ok(dump::FrameLine(octets).to_string())
            }
            DecodeAs::Header => protocol_header(octets).map(|header| header.to_string()),
            DecodeAs::Value => values(octets, &limits).map(|values| lines(&values)),
            DecodeAs::Message => sections(octets, &limits).map(|values| lines(&values)),
        };
    }
    let json = match kind {
        DecodeAs::Value => {
            let values = values(octets, &limits)?;
            return Ok(values
                .iter()
                .map(|value| typed(value.view()).to_string())
                .collect::<Vec<_>>()
                .join("\n"));
        }
        DecodeAs::Message => {
            let sections: Vec<_> =
                sections(octets, &limits)?.iter().map(|value| typed(value.view())).collect();
            json!(["message", sections])
        }
        DecodeAs::Frame => frame(octets, &limits)?,
        DecodeAs::Header => header(octets)?,
    };
    Ok(json.to_string())
}

fn lines(values: &[Amqp]) -> String {
    values.iter().map(|value| dump::ValueLine(value).to_string()).collect::<Vec<_>>().join("\n")
}

/// All values in the octets; at least one.
fn values(octets: &Bytes, limits: &DecodeLimits) -> Result<Vec<Amqp>, DecodeError> {
    let mut cursor = Cursor::new(octets, limits);
    let mut values = vec![Amqp::decode(&mut cursor)?];
    while cursor.remaining() > 0 {
        values.push(Amqp::decode(&mut cursor)?);
    }
    Ok(values)
}

/// The sections of a message as they are, their order checked.
fn sections(octets: &Bytes, limits: &DecodeLimits) -> Result<Vec<Amqp>, DecodeError> {
    MessageView::parse(octets, limits)?.to_message()?;
    values(octets, limits)
}

fn header(octets: &Bytes) -> Result<Value, DecodeError> {
    let ProtocolHeader { id, major, minor, revision } = protocol_header(octets)?;
    let id = id.octet();
    Ok(json!(["protocol-header", { "id": id, "major": major, "minor": minor, "revision": revision }]))
}

fn protocol_header(octets: &Bytes) -> Result<ProtocolHeader, DecodeError> {
    let truncated =
        DecodeError { kind: DecodeErrorKind::Truncated, offset: octets.len(), what: "protocol header" };
    ProtocolHeader::parse(octets.as_ref().try_into().map_err(|_| truncated)?)
}

fn frame(octets: &Bytes, limits: &DecodeLimits) -> Result<Value, DecodeError> {
    let fault = |kind, offset| DecodeError { kind, offset, what: "frame" };
    let Some(header) = FrameHeader::parse(octets)? else {
        return Err(fault(DecodeErrorKind::Truncated, octets.len()));
    };
    if usize::try_from(header.size) != Ok(octets.len()) {
        return Err(fault(DecodeErrorKind::InvalidFrameSize, 0));
    }
    let mut cursor = Cursor::within(octets, header.body_offset()..octets.len(), limits);
    let performative =
        if cursor.remaining() == 0 { Value::Null } else { typed(Amqp::decode(&mut cursor)?.view()) };
    let payload = cursor.rest();
    let extended = octets.get(8..header.body_offset()).unwrap_or_default();
    Ok(json!(["frame", {
        "size": header.size,
        "doff": header.doff,
        "type": if header.frame_type == FrameType::Sasl { 1 } else { 0 },
        "channel": header.channel,
        "extended_header_hex": hex(extended),
        "performative": performative,
        "payload_hex": hex(&payload),
    }]))
}

/// A value as `[type, value]`.
pub(crate) fn typed(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => json!(["null"]),
        ValueRef::Boolean(v) => json!(["boolean", v]),
        ValueRef::Ubyte(v) => json!(["ubyte", v]),
        ValueRef::Ushort(v) => json!(["ushort", v]),
        ValueRef::Uint(v) => json!(["uint", v]),
        ValueRef::Ulong(v) => json!(["ulong", v]),
        ValueRef::Byte(v) => json!(["byte", v]),
        ValueRef::Short(v) => json!(["short", v]),
        ValueRef::Int(v) => json!(["int", v]),
        ValueRef::Long(v) => json!(["long", v]),
        ValueRef::Float(v) => json!(["float", { "bits": hex(&v.to_be_bytes()), "text": format!("{v:?}") }]),
        ValueRef::Double(v) => json!(["double", { "bits": hex(&v.to_be_bytes()), "text": format!("{v:?}") }]),
        ValueRef::Decimal32(v) => json!(["decimal32", { "bits": hex(&v.0) }]),
        ValueRef::Decimal64(v) => json!(["decimal64", { "bits": hex(&v.0) }]),
        ValueRef::Decimal128(v) => json!(["decimal128", { "bits": hex(&v.0) }]),
        ValueRef::Char(v) => json!(["char", u32::from(v)]),
        ValueRef::Timestamp(v) => json!(["timestamp", v.0]),
        ValueRef::Uuid(v) => json!(["uuid", v.to_string()]),
        ValueRef::Binary(v) => json!(["binary", { "hex": hex(v) }]),
        ValueRef::String(v) => json!(["string", v.as_str()]),
        ValueRef::Symbol(v) => json!(["symbol", v.as_str()]),
        ValueRef::List(v) => json!(["list", v.iter().map(typed).collect::<Vec<_>>()]),
        ValueRef::Map(v) => {
            let entries: Vec<_> = v.iter().map(|(key, value)| json!([typed(key), typed(value)])).collect();
            json!(["map", entries])
        }
        ValueRef::Array(v) => array(v),
        ValueRef::Described(v) => json!(["described", typed(v.descriptor()), typed(v.value())]),
    }
}

/// An array. Many elements without octets are shown by one of them and their `count`; `element_descriptors` are all of
/// them where there is more than one.
fn array(array: ArrayRef<'_>) -> Value {
    let is_abbreviated = array.unwritten_len() > MAX_UNWRITTEN;
    let shown = if is_abbreviated { 1 } else { usize::MAX };
    let mut json = json!({
        "element_type": type_name(array.element_type()),
        "element_descriptor": array.descriptor().map(typed),
        "items": array.iter().take(shown).map(typed).collect::<Vec<_>>(),
    });
    let descriptors: Vec<_> = array.descriptors().map(typed).collect();
    if let Some(fields) = json.as_object_mut() {
        if is_abbreviated {
            fields.insert("count".to_owned(), array.len().into());
        }
        if descriptors.len() > 1 {
            fields.insert("element_descriptors".to_owned(), descriptors.into());
        }
    }
    json!(["array", json])
}

/// The specification's name of a type.
fn type_name(kind: ValueType) -> String {
    format!("{kind:?}").to_lowercase()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a string does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Vec<Value> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/vectors.json");
        let mut file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        serde_json::from_value(file["vectors"].take()).unwrap()
    }

    fn kind(name: &str) -> DecodeAs {
        match name {
            "message" => DecodeAs::Message,
            "frame" => DecodeAs::Frame,
            "protocol-header" | "header" => DecodeAs::Header,
            _ => DecodeAs::Value,
        }
    }

    /// The words beside a float's bits are for people, and every writer has its own.
    fn without_text(mut json: Value) -> Value {
        match &mut json {
            Value::Object(fields) => {
                fields.remove("text");
                fields.values_mut().for_each(|field| *field = without_text(field.take()));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| *item = without_text(item.take())),
            _ => {}
        }
        json
    }

    #[test]
    fn every_valid_vector_is_shown_in_the_vectors_own_notation() {
        let mut shown = 0;
        for vector in vectors() {
            if vector["valid"] != json!(true) {
                continue;
            }
            let octets = Bytes::from(unhex(vector["hex"].as_str().unwrap().as_bytes()).unwrap());
            let kind = kind(vector["value"][0].as_str().unwrap());
            let text = show(&octets, kind, false).unwrap();
            let own: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(without_text(own), without_text(vector["value"].clone()), "{}", vector["id"]);
            assert!(!show(&octets, kind, true).unwrap().is_empty(), "{}", vector["id"]);
            shown += 1;
        }
        assert!(shown > 300, "{shown}");
    }

    #[test]
    fn the_readable_form_is_no_json() {
        let shown = |octets: &'static [u8], kind| show(&Bytes::from_static(octets), kind, true).unwrap();
        assert_eq!(shown(b"AMQP\x00\x01\x00\x00", DecodeAs::Header), "AMQP 1.0.0");
        assert_eq!(shown(b"AMQP\x03\x01\x00\x00", DecodeAs::Header), "SASL 1.0.0");
        assert_eq!(shown(&[0, 0, 0, 8, 2, 0, 0, 7], DecodeAs::Frame), "7: (empty)");
        let described = [0x00, 0x53, 0x77, 0xa1, 1, b'x'];
        let message = show(&Bytes::copy_from_slice(&described), DecodeAs::Message, true).unwrap();
        assert_eq!(message, shown(&[0x00, 0x53, 0x77, 0xa1, 1, b'x'], DecodeAs::Value));
        assert!(!message.starts_with('['), "{message}");
    }

    #[test]
    fn an_error_says_where() {
        let octets = Bytes::from_static(&[0xc0, 0x03, 0x01, 0xa1, 0x05]);
        let error = show(&octets, DecodeAs::Value, false).unwrap_err().to_string();
        assert!(error.contains("at octet 5"), "{error}");
        assert!(show(&Bytes::from_static(b"HTTP/1.1"), DecodeAs::Header, false).is_err());
        assert!(show(&Bytes::new(), DecodeAs::Frame, false).is_err());
    }

    #[test]
    fn an_array_without_octets_is_shown_by_one_element_and_a_count() {
        let octets = Bytes::from_static(&[0xf0, 0, 0, 0, 5, 0, 0, 0xff, 0xff, 0x43]);
        let text = show(&octets, DecodeAs::Value, false).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json[1]["items"], json!([["uint", 0]]), "{text}");
        assert_eq!(json[1]["count"], 65_535);
    }

    #[test]
    fn all_descriptors_of_elements_are_shown() {
        let octets = Bytes::from_static(&[0xe0, 9, 1, 0, 0x53, 1, 0, 0x53, 2, 0x50, 7]);
        let text = show(&octets, DecodeAs::Value, false).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json[1]["element_descriptors"], json!([["ulong", 1], ["ulong", 2]]), "{text}");
    }

    #[test]
    fn input_over_the_limit_is_an_error_and_not_cut() {
        assert_eq!(read(&[1_u8, 2][..], 2).unwrap(), [1, 2]);
        assert!(read(&[1_u8, 2, 3][..], 2).is_err());
    }

    #[test]
    fn hexadecimal_may_have_white_space_and_nothing_else() {
        assert_eq!(unhex(b"00 53\n75").unwrap(), [0x00, 0x53, 0x75]);
        for wrong in [&b"0"[..], b"0x00"] {
            let told = unhex(wrong).unwrap_err().to_string();
            assert!(told.contains("fault: the input, or --hex"), "{told}");
        }
    }
}
