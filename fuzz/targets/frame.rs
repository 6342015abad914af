//! AMQP frames, one and several.
#![no_main]

use amqp_codec::{AmqpFrame, DecodeLimits, Frames};
use workspace_fuzz::bounded;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = DecodeLimits::performative();
    let one = |octets: &_| drop(AmqpFrame::decode(octets, &limits));
    let several = |octets: &_| Frames::new(octets, &limits, u32::MAX).for_each(drop);
    bounded(data, [("one", &one), ("several", &several)]);
    amqp_codec::fuzzing::fuzz_frame(data);
});
