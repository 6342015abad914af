//! Values in the typed notation of `tests/data/vectors.json`: `[type, value]`, maps as lists of pairs, floats and
//! decimals by their bits, octets in hexadecimal, `["described", descriptor, value]`.
//!
//! Owns the reading of the notation only, so that a test compares what a decoder made of octets with what somebody else
//! says they mean.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops where the notation is broken"
)]

use amqp_codec::{
    Array, Bytes, Decimal32, Decimal64, Decimal128, Described, List, Map, Str, Symbol, Timestamp, Uuid,
    Value, ValueType,
};
use serde_json::Value as Json;

/// The text of a field.
pub fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_else(|| panic!("{key} in {json}"))
}

/// Octets of hexadecimal digits.
pub fn unhex(text: &str) -> Bytes {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Octets as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .map(|half| char::from(DIGITS[usize::from(half)]))
        .collect()
}

/// The value that typed JSON means.
pub fn value(json: &Json) -> Value {
    let content = &json[1];
    match json[0].as_str().unwrap() {
        "null" => Value::Null,
        "boolean" => Value::Boolean(content.as_bool().unwrap()),
        "ubyte" => Value::Ubyte(number(content)),
        "ushort" => Value::Ushort(number(content)),
        "uint" => Value::Uint(number(content)),
        "ulong" => Value::Ulong(number(content)),
        "byte" => Value::Byte(number(content)),
        "short" => Value::Short(number(content)),
        "int" => Value::Int(number(content)),
        "long" => Value::Long(number(content)),
        "float" => Value::Float(f32::from_be_bytes(bits(content))),
        "double" => Value::Double(f64::from_be_bytes(bits(content))),
        "decimal32" => Value::Decimal32(Decimal32(bits(content))),
        "decimal64" => Value::Decimal64(Decimal64(bits(content))),
        "decimal128" => Value::Decimal128(Decimal128(bits(content))),
        "char" => Value::Char(character(content)),
        "timestamp" => Value::Timestamp(Timestamp(number(content))),
        "uuid" => {
            let octets = unhex(&content.as_str().unwrap().replace('-', ""));
            Value::Uuid(Uuid(octets.as_ref().try_into().unwrap()))
        }
        "binary" => Value::Binary(unhex(text(content, "hex"))),
        "string" => Value::String(Str::copy_from(content.as_str().unwrap())),
        "symbol" => Value::Symbol(Symbol::new(content.as_str().unwrap()).unwrap()),
        "list" => Value::List(content.as_array().unwrap().iter().map(value).collect::<List>()),
        "map" => {
            let entries = content.as_array().unwrap().iter();
            Value::Map(entries.map(|entry| (value(&entry[0]), value(&entry[1]))).collect::<Map>())
        }
        "array" => array(content).into(),
        "described" => Described::new(value(content), value(&json[2])).into(),
        other => panic!("type {other}"),
    }
}

fn number<T: TryFrom<i128>>(json: &Json) -> T
where
    T::Error: std::fmt::Debug,
{
    let number = json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from));
    let number = number.or_else(|| json.as_str()?.parse().ok()).unwrap_or_else(|| panic!("number: {json}"));
    T::try_from(number).unwrap()
}

fn bits<const N: usize>(json: &Json) -> [u8; N] {
    unhex(text(json, "bits")).as_ref().try_into().unwrap()
}

fn character(json: &Json) -> char {
    match json {
        Json::Number(_) => char::from_u32(number(json)).unwrap(),
        Json::String(text) if text.chars().count() == 1 => text.chars().next().unwrap(),
        Json::String(text) => {
            char::from_u32(u32::from_str_radix(text.trim_start_matches("U+"), 16).unwrap()).unwrap()
        }
        other => char::from_u32(number(other.get("code").unwrap_or_else(|| panic!("char {other}")))).unwrap(),
    }
}

fn array(json: &Json) -> Array {
    let items: Vec<Value> = json["items"].as_array().unwrap().iter().map(value).collect();
    let array = if items.is_empty() {
        Array::empty(value_type(text(json, "element_type")))
    } else {
        Array::new(items).unwrap()
    };
    if json["element_descriptor"].is_null() {
        array
    } else {
        array.with_descriptor(value(&json["element_descriptor"]))
    }
}

fn value_type(name: &str) -> ValueType {
    *TYPES
        .iter()
        .find(|kind| format!("{kind:?}").eq_ignore_ascii_case(name))
        .unwrap_or_else(|| panic!("type {name}"))
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

const TYPES: [ValueType; 24] = [
    ValueType::Null,
    ValueType::Boolean,
    ValueType::Ubyte,
    ValueType::Ushort,
    ValueType::Uint,
    ValueType::Ulong,
    ValueType::Byte,
    ValueType::Short,
    ValueType::Int,
    ValueType::Long,
    ValueType::Float,
    ValueType::Double,
    ValueType::Decimal32,
    ValueType::Decimal64,
    ValueType::Decimal128,
    ValueType::Char,
    ValueType::Timestamp,
    ValueType::Uuid,
    ValueType::Binary,
    ValueType::String,
    ValueType::Symbol,
    ValueType::List,
    ValueType::Map,
    ValueType::Array,
];
