//! What each peer's codec is known to get wrong, or cannot express, by name.

use serde_json::Value as Json;

/// Something that a peer is known to read or write differently.
pub(crate) struct Deviation {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    /// Whether a value is of the kind concerned, itself or somewhere within.
    pub(crate) concerns: fn(&Json) -> bool,
}

pub(crate) const PROTON: &[Deviation] = &[
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

pub(crate) const RHEA: &[Deviation] = &[
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

pub(crate) const SERDE_AMQP: &[Deviation] = &[
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
pub(crate) const SIGNALLING_NAN: Deviation = Deviation {
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

pub(crate) fn is_described_twice(json: &Json) -> bool {
    kind(json) == "described" && kind(&json[2]) == "described"
}

pub(crate) fn is_compound(json: &Json) -> bool {
    matches!(kind(json), "list" | "map" | "array" | "described")
}

/// The element type of an array; nothing for other nodes.
pub(crate) fn element_type(json: &Json) -> &str {
    if kind(json) == "array" { json[1]["element_type"].as_str().unwrap_or_default() } else { "" }
}

pub(crate) fn items(array: &Json) -> &[Json] {
    array[1]["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn has_items(array: &Json) -> bool {
    !items(array).is_empty()
}

/// Whether an integer is no further from zero than this.
pub(crate) fn is_within(json: &Json, most: u64) -> bool {
    let distance = json[1].as_i64().map(i64::unsigned_abs).or_else(|| json[1].as_u64());
    distance.is_some_and(|distance| distance <= most)
}

/// Whether a node in typed notation, or any within it, is of a kind.
pub(crate) fn anywhere(json: &Json, is: &dyn Fn(&Json) -> bool) -> bool {
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
pub(crate) fn kind(json: &Json) -> &str {
    json[0].as_str().unwrap_or_default()
}
