//! What two engines do with each other.
#![no_main]

use std::time::Instant;

use amqp_transport::engine::fuzzing::fuzz_pair;

#[expect(clippy::disallowed_methods, reason = "any instant will do; time is passed in from here on")]
fn start() -> Instant {
    Instant::now()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_pair(data, start()));
