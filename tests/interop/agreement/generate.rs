//! Random values of every AMQP type, in typed notation.

use serde_json::{Value as Json, json};
use workspace_tests::sim::rng::Rng;
use workspace_tests::typed::hex;

/// Some values; every type comes up in turn, and arrays with every element type in turn.
pub(super) fn values(seed: u64, count: usize) -> Vec<Json> {
    let mut rng = Rng::new(seed);
    (0..count)
        .map(|number| match TYPES[number % TYPES.len()] {
            "array" => {
                let element = TYPES[number / TYPES.len() % (TYPES.len() - 1)];
                array(&mut rng, element, DEPTH)
            }
            name => draw(&mut rng, name, DEPTH),
        })
        .collect()
}

/// A value that is neither described nor holds others.
pub(super) fn scalar(rng: &mut Rng, name: &str) -> Json {
    match name {
        "null" => json!(["null"]),
        "boolean" => json!([name, rng.one_in(2)]),
        "ubyte" => json!([name, unsigned(rng, 8)]),
        "ushort" => json!([name, unsigned(rng, 16)]),
        "uint" => json!([name, unsigned(rng, 32)]),
        "ulong" => json!([name, unsigned(rng, 64)]),
        "byte" => json!([name, signed(rng, 8)]),
        "short" => json!([name, signed(rng, 16)]),
        "int" => json!([name, signed(rng, 32)]),
        "long" | "timestamp" => json!([name, signed(rng, 64)]),
        "float" => {
            let drawn = rng.word();
            let edges =
                [0, 1 << 31, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0001, 0x7f80_0001, 1, 0x7f7f_ffff];
            let bits = if rng.one_in(2) { rng.pick(&edges) } else { drawn };
            json!([name, { "bits": format!("{bits:08x}") }])
        }
        "double" => {
            let drawn = rng.next();
            let infinity = 0x7ff_u64 << 52;
            let edges =
                [0, 1 << 63, infinity, infinity | 1 << 63, infinity | 1 << 51, infinity | 1, 1, infinity - 1];
            let bits = if rng.one_in(2) { rng.pick(&edges) } else { drawn };
            json!([name, { "bits": format!("{bits:016x}") }])
        }
        "decimal32" => json!([name, { "bits": octets(rng, 4) }]),
        "decimal64" => json!([name, { "bits": octets(rng, 8) }]),
        "decimal128" => json!([name, { "bits": octets(rng, 16) }]),
        "char" => {
            let edges = ['\0', 'a', 'é', '\u{d7ff}', '\u{e000}', '\u{ffff}', '\u{10000}', '😀', '\u{10ffff}'];
            json!([name, u32::from(rng.pick(&edges))])
        }
        "uuid" => {
            let digits = octets(rng, 16);
            let (a, b, c, d, e) =
                (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]);
            json!([name, format!("{a}-{b}-{c}-{d}-{e}")])
        }
        "binary" => {
            let length = length(rng);
            json!([name, { "hex": octets(rng, length) }])
        }
        "string" => json!([
            name,
            text(rng, &['a', ' ', '"', '\\', '\0', '\n', 'é', '€', '\u{2028}', '😀', '\u{10ffff}'])
        ]),
        _ => json!(["symbol", text(rng, &['a', 'Z', '0', ':', '.', '-', '_', '*', ' ', '\u{7f}'])]),
    }
}

fn draw(rng: &mut Rng, name: &str, depth: usize) -> Json {
    match name {
        "list" => {
            // More than an octet can count, now and then.
            let count = if depth == DEPTH && rng.one_in(20) { 300 } else { rng.below(6) };
            json!([name, (0..count).map(|_| anything(rng, depth - 1)).collect::<Vec<_>>()])
        }
        "map" => {
            let mut entries: Vec<Json> = Vec::new();
            for _ in 0..rng.below(6) {
                let key = rng.pick(KEYS);
                let key = scalar(rng, key);
                if !entries.iter().any(|entry| entry[0] == key) {
                    let value = anything(rng, depth - 1);
                    entries.push(json!([key, value]));
                }
            }
            json!([name, entries])
        }
        "array" => {
            let choices = if depth > 1 { &TYPES[..TYPES.len() - 1] } else { SCALARS };
            let element = rng.pick(choices);
            array(rng, element, depth)
        }
        "described" => {
            let descriptor = match rng.below(8) {
                0..4 => scalar(rng, "ulong"),
                4..7 => scalar(rng, "symbol"),
                _ => anything(rng, depth - 1),
            };
            json!([name, descriptor, anything(rng, depth - 1)])
        }
        _ => scalar(rng, name),
    }
}

fn array(rng: &mut Rng, element: &str, depth: usize) -> Json {
    let count = rng.pick(&[0, 1, 2, 3, 5, 40]);
    let items: Vec<Json> = (0..count).map(|_| draw(rng, element, depth - 1)).collect();
    let descriptor = if rng.one_in(10) { scalar(rng, "symbol") } else { Json::Null };
    json!(["array", { "element_type": element, "element_descriptor": descriptor, "items": items }])
}

fn anything(rng: &mut Rng, depth: usize) -> Json {
    let name = rng.pick(if depth > 0 { TYPES } else { SCALARS });
    draw(rng, name, depth)
}

fn unsigned(rng: &mut Rng, bits: u32) -> u64 {
    let most = u64::MAX >> (64 - bits);
    let edges = [0, 1, 127, 128, 255, 256, 1 << 53, (1 << 53) + 1, most - 1, most];
    let drawn = rng.next() & most;
    if rng.one_in(2) { rng.pick(&edges).min(most) } else { drawn }
}

fn signed(rng: &mut Rng, bits: u32) -> i64 {
    let (least, most) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
    let edges = [0, 1, -1, 127, 128, -128, -129, 255, 256, 1 << 53, -(1 << 53) - 1, least, least + 1, most];
    let drawn = rng.next().cast_signed() >> (64 - bits);
    if rng.one_in(2) { rng.pick(&edges).clamp(least, most) } else { drawn }
}

fn octets(rng: &mut Rng, count: usize) -> String {
    hex(&(0..count).map(|_| rng.octet()).collect::<Vec<_>>())
}

fn text(rng: &mut Rng, letters: &[char]) -> String {
    let count = length(rng);
    (0..count).map(|_| rng.pick(letters)).collect()
}

/// Mostly short; around the edge of what an octet can say; seldom more than two octets can.
fn length(rng: &mut Rng) -> usize {
    match rng.below(100) {
        0..70 => rng.below(24),
        70..98 => rng.pick(&[0, 1, 22, 23, 127, 128, 254, 255, 256, 257, 1_000]),
        _ => 70_000,
    }
}

const DEPTH: usize = 3;

const SCALARS: &[&str] = &[
    "null",
    "boolean",
    "ubyte",
    "ushort",
    "uint",
    "ulong",
    "byte",
    "short",
    "int",
    "long",
    "float",
    "double",
    "decimal32",
    "decimal64",
    "decimal128",
    "char",
    "timestamp",
    "uuid",
    "binary",
    "string",
    "symbol",
];

/// The last of them cannot be the element type of an array.
const TYPES: &[&str] = &[
    "null",
    "boolean",
    "ubyte",
    "ushort",
    "uint",
    "ulong",
    "byte",
    "short",
    "int",
    "long",
    "float",
    "double",
    "decimal32",
    "decimal64",
    "decimal128",
    "char",
    "timestamp",
    "uuid",
    "binary",
    "string",
    "symbol",
    "list",
    "map",
    "array",
    "described",
];

const KEYS: &[&str] = &[
    "string",
    "string",
    "symbol",
    "symbol",
    "ulong",
    "uint",
    "int",
    "long",
    "uuid",
    "binary",
    "boolean",
    "char",
    "timestamp",
];
