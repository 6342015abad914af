//! What must hold for any octets. Run by fuzzers and, over known inputs, by ordinary tests.
//!
//! Each function panics where an invariant does not hold; refusing the octets is always fine.
#![expect(clippy::panic, reason = "a broken invariant is reported by panicking")]

use alloc::vec::Vec;
use core::fmt::Debug;

use bytes::{Bytes, BytesMut};

use crate::{
    AmqpFrame, Decode, DecodeLimits, Encode, FrameHeader, FullList, Message, MessageView, Performative,
    ProtocolHeader, SaslPerformative, Value, dump, frame, from_bytes, message::batch, to_bytes,
};

/// Everything below, on the same octets.
pub fn fuzz_all(data: &[u8]) {
    fuzz_value(data);
    fuzz_performative(data);
    fuzz_frame(data);
    fuzz_message(data);
}

/// A value that is accepted survives a round trip, its encoding is stable and its length is what the counter says.
pub fn fuzz_value(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    check_round_trip::<Value>(&bytes, &DecodeLimits::message());
    let strict = from_bytes::<Value>(&bytes, &DecodeLimits::message().strict());
    let lenient = from_bytes::<Value>(&bytes, &DecodeLimits::message());
    // Leniency only ever accepts more, and never reads differently.
    if strict.is_ok() {
        assert_same(&strict, &lenient);
    }
}

/// The same for performatives of both layers, also with full lists.
pub fn fuzz_performative(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    check_round_trip::<Performative>(&bytes, &DecodeLimits::performative());
    check_round_trip::<SaslPerformative>(&bytes, &DecodeLimits::performative());
}

/// A frame that is accepted survives a round trip, and its line can be written.
pub fn fuzz_frame(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let limits = DecodeLimits::performative();
    if let Some(octets) = data.first_chunk()
        && let Ok(header) = ProtocolHeader::parse(octets)
    {
        assert_same(&header.encode().as_slice(), &octets.as_slice());
    }
    if let Ok(Some(header)) = FrameHeader::parse(data)
        && (header.body_offset() < frame::FRAME_HEADER_LEN
            || u64::from(header.size) < u64::from(header.doff) * 4)
    {
        panic!("frame header outside its frame");
    }
    // The line must be writable for anything.
    let line = alloc::format!("{}", dump::FrameLine(&bytes));
    drop(line);
    let Ok(frame) = AmqpFrame::decode(&bytes, &limits) else { return };
    let Some(performative) = &frame.performative else { return };
    let mut out = BytesMut::new();
    frame::encode_frame(&mut out, frame.channel, performative, &frame.payload);
    assert_same(&AmqpFrame::decode(&out.freeze(), &limits), &Ok(frame.clone()));
}

/// A message that is accepted survives a round trip, and the view agrees with it.
pub fn fuzz_message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let limits = DecodeLimits::message();
    let view = MessageView::parse(bytes.clone(), &limits);
    if let Ok(view) = &view {
        // Nothing may panic on access, whatever is inside.
        let found = view.application_property("a");
        if let (Ok(Some(found)), Ok(Some(all))) = (found, view.application_properties()) {
            assert_same(&Some(&found), &all.get("a"));
        }
        if let Ok(messages) = batch::messages(bytes.clone(), &limits) {
            assert_same(&messages.collect::<Vec<_>>(), &view.body_data().collect());
        }
    }
    let Ok(message) = Message::decode(&bytes, &limits) else { return };
    let Ok(view) = view else { panic!("the view refuses what the message accepts") };
    assert_same(&view.properties(), &Ok(message.properties.as_deref().cloned()));
    assert_same(&view.footer(), &Ok(message.footer.clone()));
    let encoded = to_bytes(&message);
    assert_same(&message.encoded_len(), &encoded.len());
    assert_same(&Message::decode(&encoded, &limits), &Ok(message));
}

fn check_round_trip<T: Decode + Encode + PartialEq + Debug>(bytes: &Bytes, limits: &DecodeLimits) {
    let Ok(value) = from_bytes::<T>(bytes, limits) else { return };
    let encoded = to_bytes(&value);
    assert_same(&value.encoded_len(), &encoded.len());
    let again = match from_bytes::<T>(&encoded, limits) {
        Ok(again) => again,
        Err(error) => panic!("own encoding is refused: {error}"),
    };
    assert_same(&again, &value);
    assert_same(&to_bytes(&again), &encoded);
    let full = to_bytes(&FullList(&value));
    assert_same(&from_bytes::<T>(&full, limits), &Ok(value));
}

fn assert_same<T: PartialEq + Debug>(left: &T, right: &T) {
    assert!(left == right, "{left:?} is not {right:?}");
}
