//! The public interface of the crate as its users meet it, held to octets that were written by hand.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where something is wrong"
)]

mod collections;
mod conversions;
mod dumps;
mod maps;
mod messages;
mod protocol;
mod texts;
mod values;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use amqp_codec::{Bytes, Cursor, Decode, DecodeErrorKind, DecodeLimits, Value, from_bytes};

/// The limits of a reader that forgives nothing.
const STRICT: DecodeLimits = DecodeLimits::message().strict();

fn decode<T: Decode>(octets: &[u8]) -> T {
    from_bytes(&Bytes::copy_from_slice(octets), &STRICT)
        .unwrap_or_else(|error| panic!("{octets:02x?}: {error}"))
}

fn refusal<T: Decode>(octets: &[u8]) -> DecodeErrorKind {
    match from_bytes::<T>(&Bytes::copy_from_slice(octets), &STRICT) {
        Ok(_) => panic!("{octets:02x?} is taken"),
        Err(error) => error.kind,
    }
}

/// Looks at a value where it lies, in the encoding it has.
fn look<T>(octets: &[u8], at: impl FnOnce(amqp_codec::ValueRef<'_>) -> T) -> T {
    let octets = Bytes::copy_from_slice(octets);
    let mut cursor = Cursor::new(&octets, &STRICT);
    let value = amqp_codec::ValueRef::read(&mut cursor).unwrap();
    cursor.finish("value").unwrap();
    at(value)
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The value of every valid vector that is a single value, with its octets.
fn vectors() -> Vec<(String, Bytes, Value)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/vectors.json");
    let text = std::fs::read_to_string(path).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let all = all["vectors"].as_array().unwrap().iter();
    let octets_of = |hex: &str| -> Bytes {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let mut vectors = Vec::new();
    for vector in all.filter(|vector| vector["valid"] == true) {
        let octets = octets_of(vector["hex"].as_str().unwrap());
        if let Ok(value) = from_bytes::<Value>(&octets, &DecodeLimits::message()) {
            let id = vector["id"].as_str().unwrap().to_owned();
            if let Some(smallest) = vector["smallest_hex"].as_str() {
                vectors.push((id.clone(), octets_of(smallest), value.clone()));
            }
            vectors.push((id, octets, value));
        }
    }
    assert!(vectors.len() > 300, "{} vectors", vectors.len());
    vectors
}
