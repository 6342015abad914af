//! A global allocator that keeps count of the octets in use, for benchmarks of memory rather than of time.
#![expect(
    unsafe_code,
    reason = "a global allocator can only be written with an unsafe impl; it forwards to System"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Install as `#[global_allocator]`; [`in_use`] tells what was asked for and not given back.
#[derive(Debug)]
pub struct TrackingAllocator;

// SAFETY: every call is forwarded unchanged to `System`, which upholds the contract; counting touches atomics only.
unsafe impl GlobalAlloc for TrackingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's obligations are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        IN_USE.fetch_add(new_size, Relaxed);
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Octets allocated at this moment, without what the allocator itself adds to each allocation.
pub fn in_use() -> usize {
    IN_USE.load(Relaxed)
}

static IN_USE: AtomicUsize = AtomicUsize::new(0);
