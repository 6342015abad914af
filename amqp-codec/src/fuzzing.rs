//! What must hold for any octets. Run by fuzzers and, over known inputs, by ordinary tests.
//!
//! Each function panics where an invariant does not hold; refusing the octets is always fine.
#![expect(clippy::panic, reason = "a broken invariant is reported by panicking")]

use alloc::vec::Vec;
use core::fmt::Debug;

use bytes::{Bytes, BytesMut};

use crate::{
    AmqpFrame, Array, BatchBuilder, Cursor, Decode, DecodeError, DecodeErrorKind, DecodeLimits, Described,
    Encode, Entries, FrameHeader, Frames, FullList, List, Map, Message, MessageView, Performative,
    ProtocolHeader, SaslPerformative, Transfer, Value, ValueRef, dump, frame, from_bytes, message::batch,
    to_bytes,
};

/// Everything below, on the same octets.
pub fn fuzz_all(data: &[u8]) {
    fuzz_value(data);
    fuzz_performative(data);
    fuzz_sasl(data);
    fuzz_frame(data);
    fuzz_message(data);
    fuzz_batch(data);
}

/// A value that is accepted survives a round trip, its encoding is stable and its length is what the counter says.
pub fn fuzz_value(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    check_round_trip::<Value>(&bytes, &DecodeLimits::message());
    let strict = from_bytes::<Value>(&bytes, &DecodeLimits::message().strict());
    let lenient = from_bytes::<Value>(&bytes, &DecodeLimits::message());
    // Leniency only ever accepts more, and never reads differently.
    if let Ok(value) = &strict {
        assert_same(&strict, &lenient);
        // What is written is the smallest form, so that no legal one is smaller.
        assert!(value.encoded_len() <= data.len(), "{value:?} has grown");
    }
    // What is read where it lies is what is read into memory.
    let limits = DecodeLimits::message();
    let mut cursor = Cursor::new(&bytes, &limits);
    let borrowed = ValueRef::read(&mut cursor).map(|value| value.to_value());
    if let (Ok(value), Ok(borrowed)) = (&lenient, &borrowed) {
        assert_same(borrowed, value);
    }
    if let Ok(value) = &lenient {
        assert_same(&borrowed.as_ref(), &Ok(value));
        check_entries(&bytes, value, &limits);
        check_walk(value);
    }
}

/// Walked, given up piece by piece and built again from its pieces, a value is the same.
fn check_walk(value: &Value) {
    let again = match value.clone() {
        Value::List(list) => {
            assert_same(&list.iter().map(|item| item.to_value()).collect::<List>(), &list);
            assert_same(&list.iter().count(), &list.len());
            Value::List(list.into_iter().inspect(check_walk).collect())
        }
        Value::Map(map) => {
            assert_same(
                &map.iter().map(|(key, value)| (key.to_value(), value.to_value())).collect::<Map>(),
                &map,
            );
            assert_same(&map.iter().count(), &map.len());
            let mut again = Map::new();
            for (key, value) in map {
                check_walk(&value);
                again.insert(key, value);
            }
            Value::Map(again)
        }
        Value::Array(array) => {
            assert_same(&array.iter().count(), &array.len());
            let items = array.iter().map(|item| item.to_value()).collect();
            let again = Array::new(items).unwrap_or_else(|_| Array::empty(array.element_type()));
            if array.descriptor().is_none() { Value::Array(again) } else { value.clone() }
        }
        Value::Described(described) => {
            let (descriptor, value) = described.into_parts();
            check_walk(&value);
            Described::new(descriptor, value).into()
        }
        other => other,
    };
    assert_same(&again, value);
    // Small octets, not only equal ones.
    assert_same(&to_bytes(&again), &to_bytes(value));
}

fn check_entries(bytes: &Bytes, value: &Value, limits: &DecodeLimits) {
    let Value::Map(map) = value else { return };
    let Ok(entries) = Entries::new(bytes, limits) else { panic!("a map without entries") };
    let mut count = 0;
    for (entry, (key, value)) in entries.zip(map) {
        let entry = entry.map(|(key, value)| (key.to_value(), value.to_value()));
        assert_same(&entry, &Ok((key.to_value(), value.to_value())));
        count += 1;
    }
    assert_same(&count, &map.len());
}

/// The same for performatives, also with full lists; the short way to a transfer reads what the long one reads.
pub fn fuzz_performative(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let limits = DecodeLimits::performative();
    check_round_trip::<Performative>(&bytes, &limits);
    let transfer = from_bytes::<Transfer>(&bytes, &limits);
    match from_bytes::<Performative>(&bytes, &limits) {
        Ok(Performative::Transfer(short)) => assert_same(&transfer, &Ok(short)),
        other => assert!(transfer.is_err(), "a transfer, but {other:?}"),
    }
}

/// The same for SASL performatives, alone and in frames.
pub fn fuzz_sasl(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let limits = DecodeLimits::performative();
    check_round_trip::<SaslPerformative>(&bytes, &limits);
    let Ok(performative) = SaslPerformative::decode_frame(&bytes, &limits) else { return };
    let mut out = BytesMut::new();
    frame::encode_sasl_frame(&mut out, &performative);
    assert_same(&SaslPerformative::decode_frame(&out.freeze(), &limits), &Ok(performative));
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
    // A walk over frames ends, stays in the buffer and reads what is read frame by frame.
    let mut frames = Frames::new(&bytes, &limits, u32::MAX);
    let mut start = 0;
    while let Some(frame) = frames.next() {
        let end = frames.position();
        if frame.is_ok() {
            assert_same(&AmqpFrame::decode(&bytes.slice(start..end), &limits), &frame);
        }
        start = end;
    }
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
    let view = MessageView::parse(&bytes, &limits);
    if let Ok(view) = &view {
        // Nothing may panic on access, whatever is inside.
        let found = view.application_property("a");
        if let Ok(Some(all)) = view.application_properties() {
            assert_same(&found, &Ok(all.get("a")));
        }
        check_view(view);
    }
    let Ok(message) = Message::decode(&bytes, &limits) else { return };
    let Ok(view) = view else { panic!("the view refuses what the message accepts") };
    assert_same(&view.properties(), &Ok(message.properties.clone()));
    assert_same(&view.footer(), &Ok(message.footer.clone()));
    let encoded = to_bytes(&message);
    assert_same(&message.encoded_len(), &encoded.len());
    assert_same(&Message::decode(&encoded, &limits), &Ok(message));
}

/// Single fields and borrowed entries agree with whole sections.
fn check_view(view: &MessageView<'_>) {
    if let Ok(Some(properties)) = view.properties() {
        assert_same(&view.message_id().map(|id| id.map(|id| id.to_id())), &Ok(properties.message_id));
        assert_same(&view.to().map(|to| to.map(|to| to.to_str())), &Ok(properties.to));
        assert_same(&view.correlation_id().map(|id| id.map(|id| id.to_id())), &Ok(properties.correlation_id));
        assert_same(&view.creation_time(), &Ok(properties.creation_time));
        assert_same(
            &view.reply_to_group_id().map(|id| id.map(|id| id.to_str())),
            &Ok(properties.reply_to_group_id),
        );
    }
    check_forms(view.application_properties().map(|all| all.map(as_map)), view.iter_application_properties());
    check_forms(view.message_annotations().map(|all| all.map(as_map)), view.iter_message_annotations());
    let _ = (view.body_bytes(), view.body_sequences().count());
    let mut forwarded = BytesMut::new();
    view.forward(&mut forwarded, None, None, None);
    assert_same(&forwarded.freeze(), &view.bare_message());
}

fn as_map(entries: impl Encode) -> Map {
    match from_bytes(&to_bytes(&entries), &DecodeLimits::message()) {
        Ok(map) => map,
        Err(error) => panic!("own encoding is refused: {error}"),
    }
}

/// What is read entry by entry is what is read at once, and refused where that is, keys that are equal and the number of
/// entries aside.
fn check_forms(owned: Result<Option<Map>, DecodeError>, entries: Result<Option<Entries<'_>>, DecodeError>) {
    let entries: Result<Option<Vec<_>>, _> =
        entries.and_then(|entries| entries.map(Iterator::collect).transpose());
    match (owned, entries) {
        (Ok(owned), entries) => {
            let owned: Option<Vec<_>> = owned.as_ref().map(|owned| owned.iter().collect());
            assert_same(&entries, &Ok(owned));
        }
        (Err(error), Ok(_)) => assert!(
            matches!(error.kind, DecodeErrorKind::DuplicateKey | DecodeErrorKind::TooManyNodes),
            "entries are read, but all at once are refused: {error}"
        ),
        (Err(_), Err(_)) => {}
    }
}

/// The messages of a batch are the content of its data sections; taken out and put in again they are the same.
pub fn fuzz_batch(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let limits = DecodeLimits::message();
    let Ok(messages) = batch::messages(bytes.clone(), &limits) else { return };
    let messages: Vec<_> = messages.collect();
    if let Ok(view) = MessageView::parse(&bytes, &limits) {
        assert_same(&messages, &view.body_data().collect());
    }
    let mut builder = BatchBuilder::new(usize::MAX);
    let mut added = Vec::new();
    for message in messages.into_iter().flatten() {
        if let Ok(message) = Message::decode(&message, &limits)
            && builder.try_add(&message).is_ok()
        {
            added.push(Ok(to_bytes(&message)));
        }
    }
    assert_same(&builder.len(), &added.len());
    if let Ok(again) = batch::messages(builder.finish(), &limits) {
        assert_same(&again.collect(), &added);
    }
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
