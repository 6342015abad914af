//! Messages, whole and on access.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| amqp_codec::fuzzing::fuzz_message(data));
