//! Connection strings.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iothub_profile::fuzzing::fuzz_connection_string(data));
