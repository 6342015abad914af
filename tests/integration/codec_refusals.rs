//! What the codec alone has to refuse: recorded inputs of another implementation's fuzzing, and hostile octets.

use std::path::{Path, PathBuf};

use amqp_codec::{AmqpFrame, Bytes, DecodeLimits, Frames, Message, MessageView};
use serde_json::Value as Json;

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
        let _ = (AmqpFrame::decode(&bytes, &limits), MessageView::parse(bytes, &DecodeLimits::message()));
        count += 1;
    }
    assert!(count > 90, "{count} inputs");
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
