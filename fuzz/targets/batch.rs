//! Batches of messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| amqp_codec::fuzzing::fuzz_batch(data));
