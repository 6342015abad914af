//! SAS tokens.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| iothub_profile::fuzzing::fuzz_sas(data));
