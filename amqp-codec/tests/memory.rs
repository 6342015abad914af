//! What decoding costs whoever is sent damaged octets: never a panic, and memory in proportion to the octets.
//!
//! A binary of its own, because it replaces the allocator.
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::path::Path;

use amqp_codec::{
    AmqpFrame, Bytes, DecodeLimits, Entries, Message, MessageView, Performative, SaslPerformative, Value,
    from_bytes, to_bytes,
};

/// Most memory that may be in use at once: so many times the input, and a constant.
const PER_OCTET: usize = 4;
const CONSTANT: usize = 4 * 1024;

/// Octets up to which each is changed into all others, and beyond which into those that differ in a bit or start compounds.
const SHORT: usize = 1_024;

#[test]
fn every_prefix_and_every_damaged_octet_costs_memory_in_proportion() {
    for (id, octets) in vectors() {
        for end in 0..=octets.len() {
            check(&id, &octets[..end]);
        }
        let mut damaged = octets.clone();
        for place in 0..octets.len() {
            let all = octets.len() <= SHORT;
            let is_tried = |change: &u8| {
                all || (change ^ octets[place]).is_power_of_two()
                    || [0x00, 0xc0, 0xd1, 0xf0, 0xff].contains(change)
            };
            for change in (0..=u8::MAX).filter(is_tried) {
                damaged[place] = change;
                check(&id, &damaged);
            }
            damaged[place] = octets[place];
        }
    }
}

#[test]
fn a_count_that_promises_much_allocates_little() {
    // Lists, maps and arrays that claim 2^31 elements, or as many as there are octets left.
    for constructor in [0xd0, 0xd1, 0xf0] {
        for count in [0x8000_0000_u32, 0xffff_fffe, 0x0400] {
            let mut octets = vec![constructor, 0, 0, 0x04, 0x04];
            octets.extend(count.to_be_bytes());
            // The first element is none, so that all there is to be seen is the room made in advance.
            octets.extend([0x01; 1_024]);
            check("claim", &octets);
        }
    }
}

/// A list, map or array in its long form.
fn long(constructor: u8, count: usize, content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
    let count = u32::try_from(count).unwrap().to_be_bytes();
    [&[constructor][..], &size, &count, content].concat()
}

#[test]
fn what_is_many_values_in_few_octets_costs_memory_in_proportion() {
    const MANY: usize = 20_000;
    let keys = |long: bool| -> Vec<u8> {
        let key = |i: usize| {
            let text = format!("{i:05}");
            let head: &[u8] = if long { &[0xb3, 0, 0, 0, 5] } else { &[0xa3, 5] };
            [head, text.as_bytes(), &[0x40]].concat()
        };
        (0..MANY).flat_map(key).collect()
    };
    let nested = |inner: Vec<u8>| (0..60).fold(inner, |inner, _| long(0xd0, 1, &inner));
    let mut cases = vec![
        ("nulls", long(0xd0, MANY, &[0x40; MANY])),
        ("empty lists", long(0xd0, MANY, &[0x45; MANY])),
        ("lists of nothing in two octets more", long(0xd0, MANY, &[0xc0, 1, 0].repeat(MANY))),
        ("arrays without a constructor, which grow", long(0xd0, MANY, &[0xe0, 1, 0].repeat(MANY))),
        ("numbers with a shorter form", long(0xd0, MANY, &[0x52, 0].repeat(MANY))),
        ("nulls, nested", nested(long(0xd0, MANY, &[0x40; MANY]))),
        ("numbers with a shorter form, nested", nested(long(0xd0, MANY, &[0x52, 0].repeat(MANY)))),
        ("entries of two octets with equal keys", long(0xd1, 2 * MANY, &[0x40; 2 * MANY])),
        ("entries with keys that differ", long(0xd1, 2 * MANY, &keys(false))),
        ("entries with keys that have a shorter form", long(0xd1, 2 * MANY, &keys(true))),
        ("booleans", long(0xf0, MANY, &[&[0x56][..], &[0, 1].repeat(MANY / 2)].concat())),
        ("empty symbols", long(0xf0, MANY, &[&[0xa3][..], &[0; MANY]].concat())),
        ("empty long symbols", long(0xf0, MANY, &[&[0xb3][..], &[0; 4 * MANY]].concat())),
        ("lists in an array", long(0xf0, MANY, &[&[0xc0][..], &[2, 1, 0x40].repeat(MANY)].concat())),
        (
            "long lists in an array",
            long(0xf0, MANY, &[&[0xd0][..], &[0, 0, 0, 4, 0, 0, 0, 0].repeat(MANY)].concat()),
        ),
        ("described elements", long(0xf0, MANY, &[&[0x00, 0x00, 0x40, 0x40, 0x50][..], &[1; MANY]].concat())),
        ("described values", long(0xd0, MANY, &[0x00, 0x40, 0x40].repeat(MANY))),
        ("descriptors of descriptors", [[0x00, 0x40].repeat(60), vec![0x40]].concat()),
    ];
    let bodies: Vec<_> =
        cases.iter().map(|(name, octets)| (*name, [&[0, 0x53, 0x77], &octets[..]].concat())).collect();
    let annotations =
        [&[0, 0x53, 0x72][..], &long(0xd1, 2 * MANY, &keys(true)), &[0, 0x53, 0x75, 0xa0, 0]].concat();
    cases.extend(bodies);
    cases.extend([
        ("annotations", annotations),
        ("data sections", [0, 0x53, 0x75, 0xa0, 0].repeat(9_000)),
        ("long data sections", [0, 0x53, 0x75, 0xb0, 0, 0, 0, 0].repeat(9_000)),
        ("sequence sections", [0, 0x53, 0x76, 0x45].repeat(9_000)),
        ("long sequence sections", [0, 0x53, 0x76, 0xc0, 3, 1, 0x52, 0].repeat(9_000)),
    ]);
    for (name, octets) in &cases {
        check(name, octets);
        for end in [octets.len() / 2, octets.len() - 1] {
            check(name, &octets[..end]);
        }
    }
}

/// A composite with these fields.
fn composite(code: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    [&[0, 0x53, code][..], &long(0xd0, fields.len(), &fields.concat())].concat()
}

#[test]
fn performatives_and_sasl_frames_of_many_symbols_cost_memory_in_proportion() {
    let null = || vec![0x40];
    for many in [1, 10, 100, 170, 1_000, 1_024, 20_000] {
        let symbols = [
            long(0xf0, many, &[&[0xa3][..], &vec![0; many]].concat()),
            long(0xf0, many, &[&[0xb3][..], &vec![0; 4 * many]].concat()),
            long(0xf0, many, &[&[0xa3][..], &[1, b'x'].repeat(many)].concat()),
            [&[0xb3, 0, 0, 0, 1][..], b"x"].concat(),
        ];
        for symbols in symbols {
            let several = |count| vec![symbols.clone(); count];
            let open = [vec![vec![0xa1, 0], null(), null(), null(), null()], several(4)].concat();
            let terminus =
                |code, nulls, count| composite(code, &[vec![null(); nulls], several(count)].concat());
            let attach = [
                vec![vec![0xa1, 0], vec![0x43], vec![0x41], null(), null()],
                vec![terminus(0x28, 9, 2), terminus(0x29, 6, 1)],
                vec![null(), null(), vec![0x43], null()],
                several(2),
            ]
            .concat();
            let begin = [vec![null(), vec![0x43], vec![0x43], vec![0x43], null()], several(2)].concat();
            for (name, code, fields) in [
                ("open", 0x10, open),
                ("begin", 0x11, begin),
                ("attach", 0x12, attach),
                ("sasl-mechanisms", 0x40, several(1)),
            ] {
                let octets = composite(code, &fields);
                check(name, &octets);
                let size = u32::try_from(octets.len() + 8).unwrap().to_be_bytes();
                check(name, &[&size[..], &[2, u8::from(code == 0x40), 0, 0], &octets].concat());
            }
        }
    }
}

#[test]
fn performatives_of_many_entries_cost_memory_in_proportion() {
    for many in [1, 100, 255, 300, 20_000] {
        let keys: Vec<u8> = (0..many)
            .flat_map(|i| [&[0xa3, 5][..], format!("{i:05}").as_bytes(), &[0x40]].concat())
            .collect();
        let numbers = [0x52, 0].repeat(many);
        let fields = [
            long(0xd1, 2 * many, &keys),
            long(0xd1, 2, &[&[0xa3, 1, b'k'][..], &long(0xd0, many, &numbers)].concat()),
            long(0xd1, 2, &[&[0xa3, 1, b'k'][..], &[0x00, 0x40].repeat(30), &[0x40]].concat()),
        ];
        for fields in fields {
            let error = composite(0x1d, &[[&[0xa3, 1][..], b"e"].concat(), vec![0xa1, 0], fields.clone()]);
            let rejected = composite(0x25, std::slice::from_ref(&error));
            let modified = composite(0x27, &[vec![0x41], vec![0x41], fields.clone()]);
            let numbers = || vec![vec![0x41], vec![0x43], vec![0x43], vec![0x41]];
            let transfer = [vec![vec![0x43]], vec![vec![0x40]; 6], vec![rejected.clone()]].concat();
            for (name, code, list) in [
                ("close", 0x18, vec![error.clone()]),
                ("detach", 0x16, vec![vec![0x43], vec![0x41], error]),
                ("transfer", 0x14, transfer),
                ("disposition of rejected", 0x15, [numbers(), vec![rejected]].concat()),
                ("disposition of modified", 0x15, [numbers(), vec![modified]].concat()),
                ("open", 0x10, [vec![vec![0xa1, 0]], vec![vec![0x40]; 8], vec![fields.clone()]].concat()),
            ] {
                check(name, &composite(code, &list));
            }
        }
    }
}

#[test]
fn attaches_that_tell_many_deliveries_cost_memory_in_proportion() {
    for many in [1, 32, 340, 1_000, 20_000, 60_000_u32] {
        for state in
            [&[0x40][..], &[0x00, 0x53, 0x24, 0x45], &[0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x24, 0xc0, 1, 0]]
        {
            for head in [&[0xa0, 4][..], &[0xb0, 0, 0, 0, 4]] {
                let entries: Vec<u8> =
                    (0..many).flat_map(|tag| [head, &tag.to_be_bytes(), state].concat()).collect();
                let map = long(0xd1, 2 * many as usize, &entries);
                let fields = [vec![0xa1, 0], vec![0x43], vec![0x41]];
                let attach = [&fields[..], &vec![vec![0x40]; 4], &[map]].concat();
                check("attach", &composite(0x12, &attach));
            }
        }
    }
}

#[test]
fn a_borrowed_walk_allocates_nothing() {
    for (id, octets) in vectors() {
        let octets = Bytes::from(octets);
        let limits = DecodeLimits::message();
        let cost = cost(|| {
            if let Ok(entries) = Entries::new(&octets, &limits) {
                entries.for_each(|entry| {
                    black_box(&entry);
                });
            }
        });
        assert_eq!(cost, 0, "{id}");
    }
}

#[test]
fn reading_a_view_allocates_nothing() {
    let message = Message::data(vec![0x5a; 256])
        .with_message_id("an id that is longer than what is kept in place")
        .with_message_annotation("x-opt-a", "a value that is longer than what is kept in place")
        .with_application_property("region", "a value that is longer than what is kept in place");
    let octets = to_bytes(&message);
    // The first clone of a buffer gives it a reference count of its own, whoever clones it.
    let _shared = octets.clone();
    let limits = DecodeLimits::message();
    let cost = cost(|| {
        let view = MessageView::parse(&octets, &limits).unwrap();
        assert!(view.message_id().unwrap().is_some());
        assert!(view.message_annotation("x-opt-a").unwrap().is_some());
        assert!(view.application_property("region").unwrap().is_some());
        assert_eq!(view.iter_application_properties().unwrap().unwrap().count(), 1);
        assert_eq!(view.body_octets().unwrap().unwrap().len(), 256);
        assert_eq!(view.body_bytes().unwrap().unwrap().len(), 256);
        assert!(view.header().unwrap().is_none());
    });
    assert_eq!(cost, 0);
}

fn check(id: &str, octets: &[u8]) {
    let bytes = Bytes::copy_from_slice(octets);
    // The first clone of a buffer gives it a reference count of its own, whoever clones it.
    let _shared = bytes.clone();
    let message = DecodeLimits::message();
    let performative = DecodeLimits::performative();
    let costs = [
        ("value", cost(|| drop(black_box(from_bytes::<Value>(&bytes, &message))))),
        ("performative", cost(|| drop(black_box(from_bytes::<Performative>(&bytes, &performative))))),
        ("sasl", cost(|| drop(black_box(from_bytes::<SaslPerformative>(&bytes, &performative))))),
        ("frame", cost(|| drop(black_box(AmqpFrame::decode(&bytes, &performative))))),
        ("message", cost(|| drop(black_box(Message::decode(&bytes, &message))))),
        (
            "view",
            cost(|| {
                black_box(MessageView::parse(&bytes, &message).is_ok());
            }),
        ),
    ];
    for (kind, cost) in costs {
        let limit = PER_OCTET * octets.len() + CONSTANT;
        assert!(
            cost <= limit,
            "{id} as {kind}: {cost} octets of memory for {} octets: {:02x?}",
            octets.len(),
            octets.get(..64).unwrap_or(octets)
        );
    }
}

/// The most memory that was in use at once while `work` ran, in octets.
fn cost(work: impl FnOnce()) -> usize {
    IN_USE.set(0);
    PEAK.set(0);
    work();
    usize::try_from(PEAK.get()).unwrap()
}

/// Name and octets of every vector. The file is plain enough to be read without a JSON parser.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/vectors.json");
    let text = std::fs::read_to_string(path).unwrap();
    let field = |part: &str, name: &str| {
        let value = part.split_once(name)?.1.split_once('"')?.1;
        Some(value.split_once('"')?.0.to_owned())
    };
    let mut vectors = Vec::new();
    for part in text.split("\"id\"").skip(1) {
        let id = part.split('"').nth(1).unwrap().to_owned();
        let Some(hex) = field(part, "\"hex\":") else { continue };
        let octets = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
        vectors.push((id, octets.collect()));
    }
    assert!(vectors.len() > 400, "{} vectors", vectors.len());
    vectors
}

thread_local! {
    static IN_USE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Counts what each thread has in use.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn add(size: usize) {
    let in_use = IN_USE.get() + i64::try_from(size).unwrap_or(i64::MAX);
    IN_USE.set(in_use);
    PEAK.set(PEAK.get().max(in_use));
}

fn remove(size: usize) {
    IN_USE.set(IN_USE.get() - i64::try_from(size).unwrap_or(i64::MAX));
}

// SAFETY: every call is forwarded unchanged to `System`, which upholds the contract; counting touches cells only.
#[expect(
    unsafe_code,
    reason = "a global allocator can only be written with an unsafe impl; it forwards to System"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's obligations are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        remove(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
