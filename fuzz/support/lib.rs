//! What fuzz targets of decoders share: a bound on the memory that octets of a stranger may cost.
//!
//! Replaces the allocator of every target that names it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use amqp_codec::Bytes;

/// Most memory that may be in use at once, as a multiple of the input, or of its own bound.
const PER_OCTET: usize = 4;
/// And whatever the input is.
const CONSTANT: usize = 4 * 1024;

/// A way to decode octets, and its name.
pub type Way<'a> = (&'a str, &'a dyn Fn(&Bytes));

/// Decodes octets in some ways and stops if one of them takes more memory than octets of their number may cost.
///
/// # Panics
/// If it takes more.
pub fn bounded<const N: usize>(data: &[u8], ways: [Way<'_>; N]) {
    bounded_by(data.len(), data, ways);
}

/// As [`bounded`], where not the number of the octets but what they stand for has this bound.
///
/// # Panics
/// If it takes more.
pub fn bounded_by<const N: usize>(most: usize, data: &[u8], ways: [Way<'_>; N]) {
    let bytes = Bytes::copy_from_slice(data);
    // The first clone of a buffer gives it a reference count of its own, whoever clones it.
    let _shared = bytes.clone();
    let limit = PER_OCTET.saturating_mul(most).saturating_add(CONSTANT);
    for (name, decode) in ways {
        IN_USE.set(0);
        PEAK.set(0);
        decode(&bytes);
        let cost = usize::try_from(PEAK.get()).unwrap_or_default();
        assert!(cost <= limit, "{name}: {cost} octets of memory for {} octets", data.len());
    }
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
    let in_use = IN_USE.get().saturating_add(i64::try_from(size).unwrap_or(i64::MAX));
    IN_USE.set(in_use);
    PEAK.set(PEAK.get().max(in_use));
}

fn remove(size: usize) {
    IN_USE.set(IN_USE.get().saturating_sub(i64::try_from(size).unwrap_or(i64::MAX)));
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
