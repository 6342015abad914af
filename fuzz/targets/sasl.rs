//! SASL performatives, their frames, and every mechanism of both sides.
#![no_main]

use std::time::Instant;

use amqp_codec::{DecodeLimits, SaslPerformative, from_bytes};
use amqp_transport::sasl::fuzzing::fuzz_sasl;
use workspace_fuzz::bounded;

#[expect(clippy::disallowed_methods, reason = "any instant will do; time is passed in from here on")]
fn start() -> Instant {
    Instant::now()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = DecodeLimits::performative();
    let alone = |octets: &_| drop(from_bytes::<SaslPerformative>(octets, &limits));
    let framed = |octets: &_| drop(SaslPerformative::decode_frame(octets, &limits));
    bounded(data, [("performative", &alone), ("frame", &framed)]);
    amqp_codec::fuzzing::fuzz_sasl(data);
    fuzz_sasl(data, start());
});
