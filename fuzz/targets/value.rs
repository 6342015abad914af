//! Values of every type, read in both ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| amqp_codec::fuzzing::fuzz_value(data));
