//! Performatives.
#![no_main]

use amqp_codec::{DecodeLimits, Performative, from_bytes};
use workspace_fuzz::bounded;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = DecodeLimits::performative();
    bounded(data, [("performative", &|octets| drop(from_bytes::<Performative>(octets, &limits)))]);
    amqp_codec::fuzzing::fuzz_performative(data);
});
