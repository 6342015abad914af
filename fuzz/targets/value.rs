//! Values of every type, read in both ways.
#![no_main]

use amqp_codec::{DecodeLimits, Value, from_bytes};
use workspace_fuzz::bounded;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bounded(data, [("value", &|octets| drop(from_bytes::<Value>(octets, &DecodeLimits::message())))]);
    amqp_codec::fuzzing::fuzz_value(data);
});
