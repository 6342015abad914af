//! SASL performatives, their frames, and every mechanism of both sides.
#![no_main]

use std::time::Instant;

use amqp_transport::sasl::fuzzing::fuzz_sasl;

#[expect(clippy::disallowed_methods, reason = "any instant will do; time is passed in from here on")]
fn start() -> Instant {
    Instant::now()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    amqp_codec::fuzzing::fuzz_sasl(data);
    fuzz_sasl(data, start());
});
