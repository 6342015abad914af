//! `amqp-codec` where there is no standard library.
//!
//! A library for C with a panic handler and an allocator of its own. If anything in its tree brought the standard library
//! in, there would be two panic handlers and the compiler would refuse it. It is only built; nothing calls it.
#![no_std]

extern crate alloc;

use alloc::alloc::{GlobalAlloc, Layout};
use core::{panic::PanicInfo, ptr, slice};

use amqp_codec::{AmqpFrame, Bytes, DecodeLimits, Message, MessageView, Value, from_bytes, to_bytes};

/// Goes through values, messages and frames, so that they are all compiled to the end.
///
/// # Safety
/// `octets` points to `length` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn amqp_round_trip(octets: *const u8, length: usize) -> usize {
    let octets = Bytes::copy_from_slice(unsafe { slice::from_raw_parts(octets, length) });
    let limits = DecodeLimits::message();
    let value = from_bytes::<Value>(&octets, &limits).map(|value| to_bytes(&value).len());
    let message = Message::decode(&octets, &limits).map(|message| to_bytes(&message).len());
    let view = MessageView::parse(&octets, &limits).map(|view| view.body_data().count());
    let frame = AmqpFrame::decode(&octets, &limits).map(|frame| frame.payload.len());
    [value, message, view, frame, through_serde(&octets)].into_iter().flatten().sum()
}

#[cfg(feature = "serde")]
fn through_serde(octets: &Bytes) -> Result<usize, amqp_codec::DecodeError> {
    let value = from_bytes::<Value>(octets, &DecodeLimits::message())?;
    let text: Option<&str> = amqp_codec::serde::from_value(&value).ok();
    Ok(amqp_codec::serde::to_value(&text).map_or(0, |value| to_bytes(&value).len()))
}

#[cfg(not(feature = "serde"))]
fn through_serde(_: &Bytes) -> Result<usize, amqp_codec::DecodeError> {
    Ok(0)
}

/// An allocator that has nothing to give.
struct Nothing;

unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOTHING: Nothing = Nothing;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
