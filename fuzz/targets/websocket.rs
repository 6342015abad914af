//! The upgrade to a WebSocket, a proxy's answer, and WebSocket frames, both sides.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| amqp_transport::fuzzing::fuzz_websocket(data));
