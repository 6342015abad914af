//! serde_amqp, the codec of fe2o3-amqp, in this process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fe2o3_amqp_types::primitives::{Array, OrderedMap, Symbol, Timestamp, Uuid, Value};
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{Dec32, Dec64, Dec128};
use serde_json::{Value as Json, json};
use workspace_tests::typed::{hex, text, unhex};

use super::deviations::{anywhere, kind};
use super::{Answer, Peer, generate};

pub(super) struct SerdeAmqp;

impl Peer for SerdeAmqp {
    fn check(&mut self, encoded: &[String]) -> Vec<Answer> {
        let check = |encoded: &String| match guarded(|| serde_amqp::from_slice::<Value>(&unhex(encoded))) {
            Ok(value) => written(&value),
            Err(error) => Answer { error: Some(error), ..Answer::default() },
        };
        encoded.iter().map(check).collect()
    }

    fn make(&mut self, seed: u64, count: usize) -> Vec<Answer> {
        // Other values than those it was asked to check.
        let mut made = generate::values(!seed, count * 4);
        made.retain(is_expressible);
        made.truncate(count);
        made.iter().map(|typed| written(&value(typed))).collect()
    }
}

/// A value in typed notation, and its encoding.
fn written(value: &Value) -> Answer {
    let encoded = guarded(|| serde_amqp::to_vec(value));
    Answer {
        value: Some(typed(value)),
        error: encoded.as_ref().err().cloned(),
        hex: encoded.ok().map(|octets| hex(&octets)),
    }
}

/// A panic of theirs is an error like others, and its message is not printed.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, serde_amqp::Error>) -> Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    match result {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it panics".to_owned()),
    }
}

/// Whether its types have room for a value at all: descriptors are numbers or symbols, and array elements have none.
fn is_expressible(json: &Json) -> bool {
    !anywhere(json, &|node| match kind(node) {
        "described" => !matches!(kind(&node[1]), "ulong" | "symbol"),
        "array" => {
            !node[1]["element_descriptor"].is_null() || node[1]["items"].as_array().is_none_or(Vec::is_empty)
        }
        _ => false,
    })
}

fn typed(value: &Value) -> Json {
    match value {
        Value::Null => json!(["null"]),
        Value::Bool(v) => json!(["boolean", v]),
        Value::Ubyte(v) => json!(["ubyte", v]),
        Value::Ushort(v) => json!(["ushort", v]),
        Value::Uint(v) => json!(["uint", v]),
        Value::Ulong(v) => json!(["ulong", v]),
        Value::Byte(v) => json!(["byte", v]),
        Value::Short(v) => json!(["short", v]),
        Value::Int(v) => json!(["int", v]),
        Value::Long(v) => json!(["long", v]),
        Value::Float(v) => json!(["float", { "bits": hex(&v.0.to_be_bytes()) }]),
        Value::Double(v) => json!(["double", { "bits": hex(&v.0.to_be_bytes()) }]),
        Value::Decimal32(v) => json!(["decimal32", { "bits": hex(v.as_inner()) }]),
        Value::Decimal64(v) => json!(["decimal64", { "bits": hex(v.as_inner()) }]),
        Value::Decimal128(v) => json!(["decimal128", { "bits": hex(v.as_inner()) }]),
        Value::Char(v) => json!(["char", u32::from(*v)]),
        Value::Timestamp(v) => json!(["timestamp", v.milliseconds()]),
        Value::Uuid(v) => json!(["uuid", amqp_codec::Uuid(*v.as_inner()).to_string()]),
        Value::Binary(v) => json!(["binary", { "hex": hex(v) }]),
        Value::String(v) => json!(["string", v]),
        Value::Symbol(v) => json!(["symbol", v.as_str()]),
        Value::List(v) => json!(["list", v.iter().map(typed).collect::<Vec<_>>()]),
        Value::Map(v) => {
            json!(["map", v.iter().map(|(key, value)| json!([typed(key), typed(value)])).collect::<Vec<_>>()])
        }
        Value::Array(v) => {
            let items: Vec<Json> = v.iter().map(typed).collect();
            // Its arrays do not know what they would hold.
            let element = items.first().map_or("null", kind);
            json!(["array", { "element_type": element, "element_descriptor": null, "items": items }])
        }
        Value::Described(v) => {
            let descriptor = match &v.descriptor {
                Descriptor::Name(name) => json!(["symbol", name.as_str()]),
                Descriptor::Code(code) => json!(["ulong", code]),
            };
            json!(["described", descriptor, typed(&v.value)])
        }
    }
}

fn value(json: &Json) -> Value {
    let content = &json[1];
    let octets = |key: &str| unhex(text(content, key));
    let signed = || content.as_i64().unwrap();
    let unsigned = || content.as_u64().unwrap();
    let items = |json: &Json| json.as_array().unwrap().iter().map(value).collect::<Vec<_>>();
    match kind(json) {
        "null" => Value::Null,
        "boolean" => Value::Bool(content.as_bool().unwrap()),
        "ubyte" => Value::Ubyte(unsigned().try_into().unwrap()),
        "ushort" => Value::Ushort(unsigned().try_into().unwrap()),
        "uint" => Value::Uint(unsigned().try_into().unwrap()),
        "ulong" => Value::Ulong(unsigned()),
        "byte" => Value::Byte(signed().try_into().unwrap()),
        "short" => Value::Short(signed().try_into().unwrap()),
        "int" => Value::Int(signed().try_into().unwrap()),
        "long" => Value::Long(signed()),
        "float" => f32::from_be_bytes(octets("bits")[..].try_into().unwrap()).into(),
        "double" => f64::from_be_bytes(octets("bits")[..].try_into().unwrap()).into(),
        "decimal32" => Value::Decimal32(Dec32::try_from(&octets("bits")[..]).unwrap()),
        "decimal64" => Value::Decimal64(Dec64::try_from(&octets("bits")[..]).unwrap()),
        "decimal128" => Value::Decimal128(Dec128::try_from(&octets("bits")[..]).unwrap()),
        "char" => Value::Char(char::from_u32(unsigned().try_into().unwrap()).unwrap()),
        "timestamp" => Value::Timestamp(Timestamp::from_milliseconds(signed())),
        "uuid" => {
            let octets = unhex(&content.as_str().unwrap().replace('-', ""));
            Value::Uuid(Uuid::try_from(&octets[..]).unwrap())
        }
        "binary" => Value::Binary(octets("hex").to_vec().into()),
        "string" => Value::String(content.as_str().unwrap().to_owned()),
        "symbol" => Value::Symbol(Symbol::new(content.as_str().unwrap())),
        "list" => Value::List(items(content)),
        "map" => {
            let mut map = OrderedMap::new();
            for entry in content.as_array().unwrap() {
                map.insert(value(&entry[0]), value(&entry[1]));
            }
            Value::Map(map)
        }
        "array" => Value::Array(Array(items(&content["items"]))),
        _ => {
            let descriptor = match kind(content) {
                "ulong" => Descriptor::Code(content[1].as_u64().unwrap()),
                _ => Descriptor::Name(Symbol::new(content[1].as_str().unwrap())),
            };
            Value::Described(Box::new(Described { descriptor, value: value(&json[2]) }))
        }
    }
}
