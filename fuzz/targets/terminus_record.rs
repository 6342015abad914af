//! Records of kept links, as a later process reads them.
#![no_main]

use std::time::Instant;

use amqp_transport::engine::TerminusRecord;
use amqp_transport::engine::fuzzing::{fuzz_terminus_record, record_limits};
use workspace_fuzz::bounded_by;

#[expect(clippy::disallowed_methods, reason = "any instant will do; time is passed in from here on")]
fn start() -> Instant {
    Instant::now()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = record_limits();
    let read = |octets: &_| drop(TerminusRecord::decode(octets, &limits));
    bounded_by(limits.octets_per_identity, data, [("record", &read)]);
    fuzz_terminus_record(data, start());
});
