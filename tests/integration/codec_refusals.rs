//! What the codec alone has to refuse: recorded inputs of another implementation's fuzzing, and hostile octets.

use std::path::{Path, PathBuf};

use amqp_codec::{
    AmqpFrame, Bytes, Cursor, Decode, DecodeError, DecodeErrorKind as Kind, DecodeLimits, FrameHeader,
    Frames, Message, MessageView, Performative, ProtocolHeader, SaslPerformative, Value,
};
use serde_json::Value as Json;
use workspace_tests::typed::{text, unhex};

/// Where `AMQP_CORPORA` names a folder that holds them.
#[test]
fn no_recorded_message_of_a_fuzzer_is_a_message() {
    let Some(corpora) = std::env::var_os("AMQP_CORPORA") else { return };
    let mut accepted = Vec::new();
    let mut count = 0;
    for path in files(&PathBuf::from(corpora).join("qpid-proton/fuzz-message-decode")) {
        let octets = Bytes::from(std::fs::read(&path).unwrap());
        count += 1;
        // Strict and lenient, owned and viewed: none of the deviations that are let pass makes a message of one.
        for limits in [DecodeLimits::message(), DecodeLimits::message().strict()] {
            if let Ok(message) = Message::decode(&octets, &limits) {
                accepted.push((path.clone(), limits.strictness, octets.len(), format!("{message:?}")));
            }
        }
    }
    assert_eq!(count, 320);
    assert!(accepted.is_empty(), "of {count}: {accepted:#?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Whatever a hostile peer sends, the walk over its frames ends, and within the octets.
#[test]
fn every_hostile_input_is_walked_to_its_end() {
    let text = include_str!("../data/hostile-inputs.json");
    let json: Json = serde_json::from_str(text).unwrap();
    let mut count = 0;
    for octets in hex_strings(&json) {
        let bytes = Bytes::from(octets);
        let limits = DecodeLimits::performative();
        let mut frames = Frames::new(&bytes, &limits, 1 << 20);
        let walked = frames.by_ref().count();
        assert!(walked <= bytes.len() / 8 + 1, "{walked} frames in {} octets", bytes.len());
        assert!(frames.position() <= bytes.len());
        let _ = (
            AmqpFrame::decode(&bytes, &limits),
            MessageView::parse(&bytes, &DecodeLimits::message()).is_ok(),
        );
        count += 1;
    }
    assert!(count > 90, "{count} inputs");
}

/// Every hostile input that the codec alone can judge, with the kind of the error and its offset.
#[test]
fn hostile_octets_are_refused_where_they_go_wrong() {
    let mut wrong = Vec::new();
    for (id, kind, offset) in REFUSED {
        let error = read_as_it_comes(id).unwrap_err();
        if (error.kind, error.offset) != (*kind, *offset) {
            wrong.push(format!("{id}: {:?} at {}", error.kind, error.offset));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for id in ACCEPTED {
        assert_eq!(read_as_it_comes(id), Ok(()), "{id}");
    }
    // Whatever else is in the file is wrong only where connections, sessions and links are known.
    let judged = |id: &&str| REFUSED.iter().any(|(refused, ..)| refused == id) || ACCEPTED.contains(id);
    let cases = cases();
    let left: Vec<&str> = cases.iter().map(|case| text(case, "id")).filter(|id| !judged(id)).collect();
    for id in &left {
        assert_eq!(read_as_it_comes(id), Ok(()), "{id}");
        let layer = text(cases.iter().find(|case| text(case, "id") == *id).unwrap(), "layer");
        assert!(["conn", "session", "link", "sasl"].contains(&layer), "{id} is the codec's to judge");
    }
}

/// Most of the hostile values stand where an open has a map, and are refused for their type alone. As a value of any type
/// each is refused for what is wrong with it.
#[test]
fn hostile_values_are_refused_for_what_is_wrong_with_them() {
    let mut wrong = Vec::new();
    for (id, kind, offset) in REFUSED_AS_VALUES {
        let octets = octets(id);
        let limits = DecodeLimits::message();
        let mut cursor = Cursor::within(&octets, 8..octets.len(), &limits);
        match Value::decode(&mut cursor) {
            Err(error) if (error.kind, error.offset) == (*kind, *offset) => {}
            other => wrong.push(format!("{id}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // T-007: a descriptor may be any value, so that a described one is strange and legal.
    let octets = octets("C17");
    let limits = DecodeLimits::message().strict();
    assert!(Value::decode(&mut Cursor::within(&octets, 8..octets.len(), &limits)).is_ok());
}

const REFUSED: &[(&str, Kind, usize)] = &[
    ("F01", Kind::InvalidFrameSize, 0),
    ("F02", Kind::InvalidFrameSize, 0),
    ("F03", Kind::InvalidDataOffset, 4),
    ("F07", Kind::FrameTooLarge, 0),
    ("F09", Kind::FrameTooLarge, 0),
    ("F10", Kind::UnknownFrameType(2), 5),
    ("F11", Kind::UnexpectedFrameType, 5),
    ("F13", Kind::UnknownDescriptor, 11),
    ("F14", Kind::UnknownDescriptor, 11),
    ("F15", Kind::WrongType(0x53), 8),
    ("F17", Kind::UnsupportedProtocol { id: 0, major: 0, minor: 9, revision: 1 }, 0),
    // Count and size are judged before anything is kept.
    ("C01", Kind::WrongType(0xf0), 25),
    ("C03", Kind::WrongType(0xf0), 25),
    ("C04", Kind::WrongType(0xf0), 25),
    ("C05", Kind::Truncated, 30),
    ("C07", Kind::SizeMismatch, 27),
    ("C09", Kind::SizeMismatch, 32),
    ("C11", Kind::WrongType(0xb1), 25),
    ("C12", Kind::WrongType(0xb3), 25),
    ("C13", Kind::UnknownDescriptor, 9),
    ("C15", Kind::WrongType(0xd0), 31),
    ("C16", Kind::WrongType(0xf0), 31),
    ("C17", Kind::WrongType(0xf0), 25),
    ("C19", Kind::InvalidConstructor(0x3f), 25),
    ("C20", Kind::WrongType(0x56), 25),
    ("C21", Kind::WrongType(0x73), 25),
    ("C23", Kind::WrongType(0xa1), 25),
    ("C24", Kind::WrongType(0xa3), 25),
    ("C25", Kind::WrongType(0xe0), 25),
    ("C27", Kind::MissingField, 12),
    ("C31", Kind::WrongType(0x52), 14),
    ("C32", Kind::TrailingOctets, 17),
    ("C33", Kind::DuplicateKey, 40),
    ("S12", Kind::MissingField, 20),
    ("L05", Kind::TagTooLong, 51),
    // Offsets in a message count from its first octet.
    ("L17", Kind::Truncated, 3),
    ("L19", Kind::TooManySections, 50_000),
    ("L20", Kind::SectionOrder, 7),
    ("L21", Kind::SectionOrder, 7),
    ("A03", Kind::MissingField, 17),
    ("A04", Kind::InvalidChoice, 16),
    ("A07", Kind::EmptySaslFrame, 8),
    ("A08", Kind::FrameTooLarge, 0),
    ("A12", Kind::WrongType(0x40), 23),
];

const ACCEPTED: &[&str] = &["F05", "F06", "F18", "F19", "F21", "F22", "C08", "C28", "C29", "A11"];

const REFUSED_AS_VALUES: &[(&str, Kind, usize)] = &[
    ("C01", Kind::TooManyZeroWidth, 35),
    ("C03", Kind::TooManyZeroWidth, 35),
    ("C04", Kind::CountTooLarge, 35),
    ("C05", Kind::Truncated, 30),
    ("C07", Kind::SizeMismatch, 27),
    ("C11", Kind::Truncated, 30),
    ("C12", Kind::Truncated, 30),
    ("C13", Kind::TooDeep, 73),
    ("C15", Kind::TooDeep, 590),
    ("C16", Kind::TooDeep, 590),
    ("C19", Kind::InvalidConstructor(0x3f), 25),
    ("C20", Kind::InvalidBoolean, 26),
    ("C21", Kind::InvalidChar, 30),
    ("C23", Kind::InvalidUtf8, 29),
    ("C24", Kind::InvalidAscii, 28),
    ("C33", Kind::DuplicateKey, 40),
];

/// What reading says of a case: headers, frames and the messages in transfers, in the order in which they come.
fn read_as_it_comes(id: &str) -> Result<(), DecodeError> {
    let cases = cases();
    let case = cases.iter().find(|case| text(case, "id") == id).unwrap();
    let octets = unhex(text(case, "hex"));
    if let Some(header) = octets.first_chunk()
        && octets.starts_with(b"AMQP")
    {
        return ProtocolHeader::parse(header).map(|_| ());
    }
    // Before an open, 512 octets are all that may be sent.
    let most = if ["hdr", "sasl_hdr"].contains(&text(case, "prelude")) && octets.len() < 512 {
        512
    } else {
        1 << 20
    };
    FrameHeader::parse_limited(&octets, most)?;
    let limits = DecodeLimits::performative();
    if text(case, "prelude") == "sasl_hdr" {
        let mut rest = octets;
        while let Some(header) = FrameHeader::parse_limited(&rest, most)? {
            let frame = rest.split_to(usize::try_from(header.size).unwrap().min(rest.len()));
            SaslPerformative::decode_frame(&frame, &limits)?;
        }
        return Ok(());
    }
    // What goes over several frames is put together by a link, which the codec does not know.
    let mut is_split = false;
    for frame in Frames::new(&octets, &limits, most) {
        let frame = frame?;
        if let Some(Performative::Transfer(transfer)) = &frame.performative {
            is_split |= transfer.more;
            if !is_split && !transfer.aborted {
                Message::decode(&frame.payload, &DecodeLimits::message())?;
            }
        }
    }
    Ok(())
}

fn octets(id: &str) -> Bytes {
    unhex(text(cases().iter().find(|case| text(case, "id") == id).unwrap(), "hex"))
}

fn cases() -> Vec<Json> {
    let file: Json = serde_json::from_str(include_str!("../data/hostile-inputs.json")).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// Every string of hexadecimal digits in the file, wherever it stands.
fn hex_strings(json: &Json) -> Vec<Vec<u8>> {
    match json {
        Json::String(text) => {
            let digits: Vec<u8> = text.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
            if digits.len() < 8 || digits.len() % 2 == 1 || !digits.iter().all(u8::is_ascii_hexdigit) {
                return Vec::new();
            }
            let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            vec![digits.chunks_exact(2).map(pair).collect()]
        }
        Json::Array(items) => items.iter().flat_map(hex_strings).collect(),
        Json::Object(fields) => fields.values().flat_map(hex_strings).collect(),
        _ => Vec::new(),
    }
}
