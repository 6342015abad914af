//! Batches of messages.
#![no_main]

use amqp_codec::{Bytes, DecodeLimits, message::batch};
use workspace_fuzz::bounded;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = DecodeLimits::message();
    let taken_out =
        |octets: &Bytes| batch::messages(octets.clone(), &limits).into_iter().flatten().for_each(drop);
    bounded(data, [("batch", &taken_out)]);
    amqp_codec::fuzzing::fuzz_batch(data);
});
