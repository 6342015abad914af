//! The codec benchmark's cases by ntex-amqp-codec: prints `CASE NANOSECONDS` for each, medians of short turns.

use std::hint::black_box;
use std::time::Instant;

use ntex_amqp_codec::protocol::{
    Frame, Header, MessageId, Transfer, TransferBody, TransferInner,
};
use ntex_amqp_codec::types::{Str, Symbol, Variant, VariantMap};
use ntex_amqp_codec::{AmqpCodec, AmqpFrame, Decode, Encode, Message};
use ntex_bytes::{BytePages, ByteString, Bytes, BytesMut};
use ntex_codec::Decoder;

fn main() {
    let frame = AmqpFrame::new(0, Frame::Transfer(transfer(None)));
    let octets = encoded(&frame);
    let codec = AmqpCodec::<AmqpFrame>::new();
    measure("transfer-encode", || {
        let mut pages = BytePages::default();
        black_box(&frame).encode(&mut pages);
        black_box(&pages);
    });
    measure("transfer-decode", || {
        let mut buffer = BytesMut::copy_from_slice(&octets);
        black_box(codec.decode(&mut buffer).unwrap());
    });
    let payload = TransferBody::Data(Bytes::from(vec![0x5a; 256]));
    let octets = encoded(&AmqpFrame::new(0, Frame::Transfer(transfer(Some(payload)))));
    measure("frame-decode", || {
        let mut buffer = BytesMut::copy_from_slice(&octets);
        black_box(codec.decode(&mut buffer).unwrap());
    });
    measure("telemetry-build-encode", || {
        let mut pages = BytePages::default();
        telemetry().encode(&mut pages);
        black_box(&pages);
    });
    message("telemetry", &telemetry());
    message("data-1k", &Message::with_body(Bytes::from(vec![0x5a; 1_024])));
    message("data-64k", &Message::with_body(Bytes::from(vec![0x5a; 65_536])));
    measure("map-build-encode", || {
        let mut pages = BytePages::default();
        map().encode(&mut pages);
        black_box(&pages);
    });
    let map = map();
    let shared = Bytes::copy_from_slice(&encoded(&map));
    measure("map-encode", || {
        let mut pages = BytePages::default();
        black_box(&map).encode(&mut pages);
        black_box(&pages);
    });
    measure("map-decode", || {
        black_box(Variant::decode(&mut shared.clone()).unwrap());
    });
}

fn message(name: &str, message: &Message) {
    let shared = Bytes::copy_from_slice(&encoded(message));
    measure(&format!("{name}-encode"), || {
        let mut pages = BytePages::default();
        black_box(message).encode(&mut pages);
        black_box(&pages);
    });
    measure(&format!("{name}-decode"), || {
        black_box(Message::decode(&mut shared.clone()).unwrap());
    });
}

fn measure(name: &str, mut once: impl FnMut()) {
    let mut turn = |count: u32| {
        let start = Instant::now();
        (0..count).for_each(|_| once());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    };
    turn(64);
    let fastest = (0..5).map(|_| turn(16)).fold(f64::INFINITY, f64::min);
    let count = (50_000.0 / fastest).max(1.0) as u32;
    let mut turns: Vec<f64> = (0..101).map(|_| turn(count)).collect();
    turns.sort_by(f64::total_cmp);
    println!("{name} {:.1}", turns[turns.len() / 2]);
}

fn encoded<T: Encode>(value: &T) -> Vec<u8> {
    let mut pages = BytePages::default();
    value.encode(&mut pages);
    pages.freeze().to_vec()
}

fn transfer(body: Option<TransferBody>) -> Transfer {
    Transfer(Box::new(TransferInner {
        handle: 0,
        delivery_id: Some(12_345),
        delivery_tag: Some(Bytes::copy_from_slice(&[1, 2, 3, 4])),
        message_format: Some(0),
        settled: Some(false),
        more: false,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
        body,
    }))
}

fn telemetry() -> Message {
    let time = chrono::DateTime::from_timestamp_millis(1_700_000_000_000).unwrap();
    let mut message = Message::with_body(Bytes::from_static(&[0x5a; 256]));
    message.set_header(Header { durable: true, priority: 4, ttl: None, first_acquirer: false, delivery_count: 0 });
    let text = |text| Variant::from(ByteString::from_static(text));
    message.add_message_annotation(Symbol::from_static("iothub-connection-device-id"), text("device-0001"));
    message.add_message_annotation(Symbol::from_static("iothub-enqueuedtime"), Variant::Timestamp(time));
    message.add_message_annotation(Symbol::from_static("x-opt-sequence-number"), Variant::Long(123_456));
    message.set_properties(|properties| {
        let id = ByteString::from_static("8f2b1d3e-7f39-4b0a-9a52-0c6c8f6f6b10");
        properties.message_id = Some(MessageId::String(id));
        properties.to = Some(ByteString::from_static("/devices/device-0001/messages/events"));
        properties.subject = Some(ByteString::from_static("telemetry"));
        properties.content_type = Some(Symbol::from_static("application/json"));
        properties.creation_time = Some(time);
    });
    message.set_app_property(Str::from_static("temperatureAlert"), text("true"));
    message.set_app_property(Str::from_static("level"), Variant::Int(3));
    message.set_app_property(Str::from_static("ratio"), Variant::Double(0.5.into()));
    message.set_app_property(Str::from_static("region"), text("westeurope"));
    message.set_app_property(Str::from_static("seq"), Variant::Ulong(99));
    message
}

fn map() -> Variant {
    let entries = (0..100_u8).map(|i| {
        let value = match i % 8 {
            0 => Variant::from(ByteString::from(format!("value-{i}"))),
            1 => Variant::Int(i32::from(i) * 1_000),
            2 => Variant::Ulong(u64::from(i)),
            3 => Variant::Double(f64::from(i).into()),
            4 => Variant::Boolean(i % 16 == 4),
            5 => {
                let time = chrono::DateTime::from_timestamp_millis(1_700_000_000_000 + i64::from(i));
                Variant::Timestamp(time.unwrap())
            }
            6 => Variant::Uuid(uuid::Uuid::from_bytes([i; 16])),
            _ => Variant::Binary(Bytes::from(vec![i; 16])),
        };
        (Variant::from(ByteString::from(format!("key-{i}"))), value)
    });
    Variant::Map(VariantMap::new(entries.collect()))
}
