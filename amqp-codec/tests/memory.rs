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
/// The same where values become owned: a null is one octet on the wire and forty in memory, and while a list grows its old
/// and its new, twice as large room are both there.
const PER_OWNED_OCTET: usize = 3 * size_of::<Value>();
const CONSTANT: usize = 4 * 1024;

#[test]
fn every_prefix_and_every_damaged_octet_costs_memory_in_proportion() {
    for (id, octets) in vectors() {
        for end in 0..=octets.len() {
            check(&id, &octets[..end]);
        }
        let mut damaged = octets.clone();
        for place in 0..octets.len() {
            let changes = (0..8).map(|bit| octets[place] ^ 1 << bit).chain([0x00, 0xc0, 0xd1, 0xf0, 0xff]);
            for change in changes {
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
        let is_owned = matches!(kind, "value" | "message");
        let limit = (if is_owned { PER_OWNED_OCTET } else { PER_OCTET }) * octets.len() + CONSTANT;
        assert!(cost <= limit, "{id} as {kind}: {cost} octets of memory for {octets:02x?}");
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
