//! Messages, whole and on access.
#![no_main]

use amqp_codec::{DecodeLimits, Message, MessageView};
use workspace_fuzz::bounded;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = DecodeLimits::message();
    let whole = |octets: &_| drop(Message::decode(octets, &limits));
    let view = |octets: &_| {
        let _ = MessageView::parse(octets, &limits).map(|view| view.application_property("a").is_ok());
    };
    bounded(data, [("whole", &whole), ("view", &view)]);
    amqp_codec::fuzzing::fuzz_message(data);
});
