//! Our codec and the codecs of others on random values of every type, in both directions.
//!
//! Ours are encoded by us, decoded by the peer, compared, encoded by the peer and decoded by us. Theirs are made and
//! encoded by the peer, decoded by us, compared, encoded by us and decoded by the peer. What a peer is known to get wrong
//! or cannot express is listed with it by name; whatever else differs fails, and so does a name that nothing needs.

mod generate;
mod process;
pub(crate) mod serde_amqp;

use std::collections::BTreeMap;

use amqp_codec::{DecodeLimits, Value, from_bytes, to_bytes};
use serde_json::Value as Json;
use workspace_tests::typed::{hex, unhex, value};

use process::Program;
use serde_amqp::SerdeAmqp;

/// Somebody else's codec.
trait Peer {
    /// What the peer reads in each of some encoded values, and how it writes what it has read.
    fn check(&mut self, encoded: &[String]) -> Vec<Answer>;

    /// Random values of the peer's own.
    fn make(&mut self, seed: u64, count: usize) -> Vec<Answer>;
}

/// What a peer says of one value.
#[derive(Clone, Debug, Default)]
struct Answer {
    /// In typed notation; absent if the peer could not read it.
    value: Option<Json>,
    /// The peer's encoding; absent if it could not write it.
    hex: Option<String>,
    error: Option<String>,
}

/// Something that a peer is known to read or write differently.
struct Deviation {
    name: &'static str,
    reason: &'static str,
    /// Whether a value is of the kind concerned, itself or somewhere within.
    concerns: fn(&Json) -> bool,
}

#[test]
#[ignore = "needs python-qpid-proton; run by tests/interop/run.sh"]
fn agreement_qpid_proton() {
    let python = std::env::var_os("INTEROP_PYTHON").expect("INTEROP_PYTHON");
    agree("qpid-proton", &mut Program::new(python, "proton_values.py"), PROTON);
}

#[test]
#[ignore = "needs rhea; run by tests/interop/run.sh"]
fn agreement_rhea() {
    agree("rhea", &mut Program::new("node", "rhea_values.js"), RHEA);
}

#[test]
#[ignore = "takes some seconds; run by tests/interop/run.sh"]
fn agreement_serde_amqp() {
    agree("serde_amqp", &mut SerdeAmqp, SERDE_AMQP);
}

const PROTON: &[Deviation] = &[
    Deviation {
        name: "compound descriptors",
        reason: "a descriptor that is a list, map, array or described value is refused",
        concerns: |json| anywhere(json, &|node| kind(node) == "described" && is_compound(&node[1])),
    },
    Deviation {
        name: "described described values in a collection",
        reason: "what follows one is taken into it",
        concerns: |json| anywhere(json, &is_described_twice),
    },
    SIGNALLING_NAN,
];

const RHEA: &[Deviation] = &[
    SIGNALLING_NAN,
    Deviation {
        name: "signalling NaN in an array",
        reason: "doubles in a JavaScript array lose the signal",
        concerns: |json| anywhere(json, &|node| element_type(node) == "double"),
    },
    Deviation {
        name: "arrays of arrays",
        reason: "read, but not written: the writer does not know the inner element type",
        concerns: |json| anywhere(json, &|node| element_type(node) == "array" && has_items(node)),
    },
    Deviation {
        name: "described described values",
        reason: "one descriptor is kept for each value",
        concerns: |json| anywhere(json, &is_described_twice),
    },
    Deviation {
        name: "timestamps beyond a Date",
        reason: "a JavaScript Date ends 8.64e15 ms from the epoch",
        concerns: |json| {
            anywhere(json, &|node| kind(node) == "timestamp" && !is_within(node, 8_640_000_000_000_000))
        },
    },
    Deviation {
        name: "integers just beyond 2^53",
        reason: "numbers up to 2^53 + 2^32 are read as doubles",
        concerns: |json| {
            anywhere(json, &|node| {
                matches!(kind(node), "long" | "ulong")
                    && !is_within(node, 1 << 53)
                    && is_within(node, (1 << 53) + (1 << 32))
            })
        },
    },
];

const SERDE_AMQP: &[Deviation] = &[
    Deviation {
        name: "other descriptors",
        reason: "a descriptor is an ulong or a symbol",
        concerns: |json| {
            anywhere(json, &|node| kind(node) == "described" && !matches!(kind(&node[1]), "ulong" | "symbol"))
        },
    },
    Deviation {
        name: "described array elements",
        reason: "an element constructor cannot be described",
        concerns: |json| {
            anywhere(json, &|node| kind(node) == "array" && !node[1]["element_descriptor"].is_null())
        },
    },
    Deviation {
        name: "empty arrays",
        reason: "the element constructor is forgotten, and in a collection it is read as the next value",
        concerns: |json| anywhere(json, &|node| kind(node) == "array" && !has_items(node)),
    },
    Deviation {
        name: "array elements without octets",
        reason: "nulls and equal booleans behind one constructor are refused, and nulls are written with octets",
        concerns: |json| anywhere(json, &|node| matches!(element_type(node), "null" | "boolean")),
    },
    Deviation {
        name: "collections in arrays",
        reason: "lists, maps and arrays are expected to have a constructor each",
        concerns: |json| anywhere(json, &|node| matches!(element_type(node), "list" | "map" | "array")),
    },
    Deviation {
        name: "strings in arrays",
        reason: "a length is counted in characters instead of octets",
        concerns: |json| {
            anywhere(json, &|node| {
                let is_wide = |item: &Json| item[1].as_str().is_some_and(|text| !text.is_ascii());
                element_type(node) == "string" && items(node).iter().any(is_wide)
            })
        },
    },
    Deviation {
        name: "timestamps, uuids and decimals in maps",
        reason: "what is written after one is taken for another of its kind, or the encoder panics",
        concerns: |json| {
            let sticks =
                |node: &Json| matches!(kind(node), "timestamp" | "uuid") || kind(node).starts_with("decimal");
            anywhere(json, &|node| {
                let entries = node[1].as_array().map(Vec::as_slice).unwrap_or_default();
                kind(node) == "map" && entries.iter().any(|entry| sticks(&entry[0]) || sticks(&entry[1]))
            })
        },
    },
];

/// Of peers in languages whose only float is a double.
const SIGNALLING_NAN: Deviation = Deviation {
    name: "signalling float NaN",
    reason: "a float becomes a double and back, which makes a signalling NaN a quiet one",
    concerns: |json| {
        anywhere(json, &|node| {
            let bits = node[1]["bits"]
                .as_str()
                .and_then(|bits| u32::from_str_radix(bits, 16).ok())
                .unwrap_or_default();
            kind(node) == "float" && bits & 0x7fc0_0000 == 0x7f80_0000 && bits & 0x003f_ffff != 0
        })
    },
};

fn is_described_twice(json: &Json) -> bool {
    kind(json) == "described" && kind(&json[2]) == "described"
}

fn is_compound(json: &Json) -> bool {
    matches!(kind(json), "list" | "map" | "array" | "described")
}

/// The element type of an array; nothing for other nodes.
fn element_type(json: &Json) -> &str {
    if kind(json) == "array" { json[1]["element_type"].as_str().unwrap_or_default() } else { "" }
}

fn items(array: &Json) -> &[Json] {
    array[1]["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has_items(array: &Json) -> bool {
    !items(array).is_empty()
}

/// Whether an integer is no further from zero than this.
fn is_within(json: &Json, most: u64) -> bool {
    let distance = json[1].as_i64().map(i64::unsigned_abs).or_else(|| json[1].as_u64());
    distance.is_some_and(|distance| distance <= most)
}

fn agree(peer: &str, codec: &mut dyn Peer, known: &'static [Deviation]) {
    let seed = std::env::var("INTEROP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let mut verdict = Verdict::new(known);

    let ours = generate::values(seed, COUNT);
    let encoded: Vec<String> = ours.iter().map(|typed| hex(&to_bytes(&value(typed)))).collect();
    let answers = codec.check(&encoded);
    assert_eq!(answers.len(), ours.len(), "{peer} answers every line");
    for ((typed, encoded), answer) in ours.iter().zip(&encoded).zip(answers) {
        verdict.count(typed, encoded, read_and_written(typed, &answer));
    }
    let ours = verdict.agreed;

    let theirs = codec.make(seed, COUNT);
    assert_eq!(theirs.len(), COUNT, "{peer} makes as many values as were asked for");
    let mut kept = Vec::new();
    for answer in theirs {
        let typed = answer.value.expect("what the peer has made");
        let Some(encoded) = answer.hex else {
            verdict.count(&typed, "", Err(format!("not written: {:?}", answer.error)));
            continue;
        };
        match decode(&encoded) {
            Ok(read) if read == value(&typed) => kept.push((typed, hex(&to_bytes(&read)))),
            other => verdict.count(&typed, &encoded, Err(format!("we read {other:?}"))),
        }
    }
    let encoded: Vec<String> = kept.iter().map(|(_, encoded)| encoded.clone()).collect();
    for ((typed, encoded), answer) in kept.iter().zip(codec.check(&encoded)) {
        verdict.count(typed, encoded, read_and_written(typed, &answer));
    }
    verdict.conclude(peer, ours, seed);
}

/// Whether a peer has read an encoding of ours as what it means, and written it so that we read the same again.
fn read_and_written(typed: &Json, answer: &Answer) -> Result<(), String> {
    let meant = value(typed);
    let Some(read) = &answer.value else { return Err(format!("not read: {}", text(&answer.error))) };
    if read != typed {
        let (read, typed) = (read.to_string(), typed.to_string());
        let same = read.chars().zip(typed.chars()).take_while(|(read, typed)| read == typed).count();
        let from = |text: &str| text.chars().skip(same.saturating_sub(60)).collect::<String>();
        return Err(format!(
            "read after {same} characters as {:.200}, not {:.200}",
            from(&read),
            from(&typed)
        ));
    }
    let Some(written) = &answer.hex else { return Err(format!("not written: {}", text(&answer.error))) };
    match decode(written) {
        Ok(again) if again == meant => Ok(()),
        Ok(again) => Err(format!("written as {written}: {again:?}")),
        Err(error) => Err(format!("written as {written}: {error}")),
    }
}

fn decode(encoded: &str) -> Result<Value, amqp_codec::DecodeError> {
    from_bytes(&unhex(encoded), &DecodeLimits::message())
}

fn text(error: &Option<String>) -> &str {
    error.as_deref().unwrap_or("no reason given")
}

/// What has been counted.
struct Verdict {
    known: &'static [Deviation],
    agreed: usize,
    deviated: BTreeMap<&'static str, usize>,
    differences: Vec<[String; 3]>,
}

impl Verdict {
    fn new(known: &'static [Deviation]) -> Self {
        Self { known, agreed: 0, deviated: BTreeMap::new(), differences: Vec::new() }
    }

    fn count(&mut self, typed: &Json, encoded: &str, result: Result<(), String>) {
        let Err(difference) = result else {
            self.agreed += 1;
            return;
        };
        match self.known.iter().find(|deviation| (deviation.concerns)(typed)) {
            Some(deviation) => *self.deviated.entry(deviation.name).or_default() += 1,
            None => self.differences.push([typed.to_string(), encoded.to_owned(), difference]),
        }
    }

    fn conclude(self, peer: &str, ours: usize, seed: u64) {
        for difference in self.differences.iter().take(SHOWN) {
            let parts =
                difference.each_ref().map(|part| part.chars().take(SHOWN_OF_EACH).collect::<String>());
            println!("DIFFERS {}", parts.join("\n  "));
        }
        for deviation in self.known {
            let count = self.deviated.get(deviation.name).copied().unwrap_or_default();
            println!("DEVIATION {peer}: {} ({count} values): {}", deviation.name, deviation.reason);
        }
        let listed: usize = self.deviated.values().sum();
        println!(
            "AGREED {ours} of our {COUNT} values and {} of its own both ways; {listed} in {} listed deviations (seed {seed})",
            self.agreed - ours,
            self.known.len(),
        );
        let idle: Vec<_> = self
            .known
            .iter()
            .map(|known| known.name)
            .filter(|name| !self.deviated.contains_key(name))
            .collect();
        assert!(self.differences.is_empty(), "{} values differ", self.differences.len());
        assert!(idle.is_empty(), "no value needs {idle:?}");
    }
}

/// Whether a node in typed notation, or any within it, is of a kind.
fn anywhere(json: &Json, is: &dyn Fn(&Json) -> bool) -> bool {
    let within =
        |nodes: &Json| nodes.as_array().is_some_and(|nodes| nodes.iter().any(|node| anywhere(node, is)));
    if is(json) {
        return true;
    }
    match kind(json) {
        "list" => within(&json[1]),
        "map" => json[1].as_array().is_some_and(|entries| entries.iter().any(within)),
        "array" => {
            within(&json[1]["items"])
                || (!json[1]["element_descriptor"].is_null() && anywhere(&json[1]["element_descriptor"], is))
        }
        "described" => anywhere(&json[1], is) || anywhere(&json[2], is),
        _ => false,
    }
}

/// The name of a node's type.
fn kind(json: &Json) -> &str {
    json[0].as_str().unwrap_or_default()
}

/// Values of each side; every type comes up in turn.
const COUNT: usize = 4_000;
const SEED: u64 = 1;

/// How many unexplained differences are printed.
const SHOWN: usize = 20;
const SHOWN_OF_EACH: usize = 400;
