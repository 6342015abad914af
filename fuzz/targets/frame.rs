//! AMQP frames, one and several.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| amqp_codec::fuzzing::fuzz_frame(data));
