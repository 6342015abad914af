//! The cases by amqp-codec.

use std::hint::black_box;

use amqp_codec::{
    ApplicationProperties, BodyRef, Bytes, BytesMut, Cursor, Decode, DecodeLimits, DeliveryTag, Encode,
    Entries, Frames, Header, Message, MessageParts, MessageView, Performative, Properties, Timestamp,
    Transfer, Uuid, Value, encode_frame, from_bytes, to_bytes,
};

use crate::cases::{FRAMES, Work};

/// The case of this name.
pub(crate) fn work(name: &str) -> Option<Work> {
    Some(match name {
        "transfer-encode" => encode(transfer()),
        "transfer-decode" => {
            let octets = to_bytes(&transfer());
            let limits = DecodeLimits::performative();
            repeat(move || {
                let performative = Performative::decode(&mut Cursor::new(black_box(&octets), &limits));
                black_box(&performative.unwrap());
            })
        }
        "frame-decode" => frame_decode(),
        "telemetry-encode" => encode(telemetry()),
        "telemetry-build-encode" => {
            let mut buffer = BytesMut::with_capacity(1024);
            repeat(move || {
                buffer.clear();
                encode_from_parts(&mut buffer);
                black_box(&buffer);
            })
        }
        "telemetry-view" => telemetry_view(),
        "telemetry-decode" => decode(&telemetry()),
        "map-encode" => encode(map()),
        "map-build-encode" => {
            let mut buffer = BytesMut::with_capacity(1 << 13);
            repeat(move || {
                buffer.clear();
                map().encode(&mut buffer);
                black_box(&buffer);
            })
        }
        "map-iterate" => {
            let octets = to_bytes(&map());
            let limits = DecodeLimits::message();
            repeat(move || {
                for entry in Entries::new(black_box(&octets), &limits).unwrap() {
                    black_box(&entry.unwrap());
                }
            })
        }
        "map-decode" => {
            let octets = to_bytes(&map());
            let limits = DecodeLimits::message();
            repeat(move || {
                black_box(&from_bytes::<ApplicationProperties>(black_box(&octets), &limits).unwrap());
            })
        }
        "data-1k-encode" => encode(Message::data(vec![0x5a; 1_024])),
        "data-1k-view" => {
            let octets = to_bytes(&Message::data(vec![0x5a; 1_024]));
            let limits = DecodeLimits::message();
            repeat(move || {
                let view = MessageView::parse(black_box(&octets), &limits).unwrap();
                black_box(&view.body_octets().unwrap());
            })
        }
        "data-1k-decode" => decode(&Message::data(vec![0x5a; 1_024])),
        "data-64k-decode" => decode(&Message::data(vec![0x5a; 65_536])),
        _ => return None,
    })
}

fn repeat(mut once: impl FnMut() + 'static) -> Work {
    Box::new(move |count| (0..count).for_each(|_| once()))
}

fn encode(value: impl Encode + 'static) -> Work {
    let mut buffer = BytesMut::with_capacity(1 << 17);
    repeat(move || {
        buffer.clear();
        black_box(&value).encode(&mut buffer);
        black_box(&buffer);
    })
}

fn decode(message: &Message) -> Work {
    let octets = to_bytes(message);
    let limits = DecodeLimits::message();
    repeat(move || {
        black_box(&Message::decode(black_box(&octets), &limits)).as_ref().unwrap();
    })
}

/// What a reader of telemetry does: body, message-id and one application property.
fn telemetry_view() -> Work {
    let octets = to_bytes(&telemetry());
    let limits = DecodeLimits::message();
    repeat(move || {
        let view = MessageView::parse(black_box(&octets), &limits).unwrap();
        black_box(&view.body_bytes().unwrap());
        black_box(&view.message_id().unwrap());
        black_box(&view.application_property("region").unwrap());
    })
}

/// Frames of the stream buffer, which is frozen stretch by stretch as a connection does.
fn frame_decode() -> Work {
    let mut frame = BytesMut::new();
    encode_frame(&mut frame, 0, &transfer(), &[0x5a; 256]);
    let stretch = frame.repeat(FRAMES);
    let limits = DecodeLimits::performative();
    let mut stream = BytesMut::new();
    Box::new(move |count| {
        let mut left = count;
        while left > 0 {
            stream.extend_from_slice(&stretch);
            let chunk = stream.split().freeze();
            for frame in Frames::new(black_box(&chunk), &limits, u32::MAX) {
                black_box(&frame).as_ref().unwrap();
                left = left.saturating_sub(1);
            }
        }
    })
}

fn transfer() -> Transfer {
    Transfer {
        handle: 0,
        delivery_id: Some(12_345),
        delivery_tag: DeliveryTag::new(&[1, 2, 3, 4]),
        message_format: Some(0),
        settled: Some(false),
        ..Transfer::default()
    }
}

fn telemetry() -> Message {
    Message::data(Bytes::from_static(&[0x5a; 256]))
        .with_header(Header { durable: true, ..Header::default() })
        .with_message_annotation("iothub-connection-device-id", "device-0001")
        .with_message_annotation("iothub-enqueuedtime", Timestamp(1_700_000_000_000))
        .with_message_annotation("x-opt-sequence-number", 123_456_i64)
        .with_properties(properties())
        .with_application_property("temperatureAlert", "true")
        .with_application_property("level", 3_i32)
        .with_application_property("ratio", 0.5_f64)
        .with_application_property("region", "westeurope")
        .with_application_property("seq", 99_u64)
}

/// The same message, written without being built.
fn encode_from_parts(buffer: &mut BytesMut) {
    let message = MessageParts {
        header: Some(&Header { durable: true, ..Header::default() }),
        message_annotations: &[
            ("iothub-connection-device-id", black_box("device-0001").into()),
            ("iothub-enqueuedtime", Timestamp(1_700_000_000_000).into()),
            ("x-opt-sequence-number", 123_456_i64.into()),
        ],
        properties: Some(&properties()),
        application_properties: &[
            ("temperatureAlert", black_box("true").into()),
            ("level", 3_i32.into()),
            ("ratio", 0.5_f64.into()),
            ("region", "westeurope".into()),
            ("seq", 99_u64.into()),
        ],
        body: BodyRef::Data(black_box(&[0x5a; 256])),
        ..MessageParts::default()
    };
    message.encode(buffer);
}

fn properties() -> Properties {
    Properties {
        message_id: Some("8f2b1d3e-7f39-4b0a-9a52-0c6c8f6f6b10".into()),
        to: Some("/devices/device-0001/messages/events".into()),
        subject: Some("telemetry".into()),
        content_type: Some("application/json".into()),
        creation_time: Some(Timestamp(1_700_000_000_000)),
        ..Properties::default()
    }
}

fn map() -> ApplicationProperties {
    let mut map = ApplicationProperties::new();
    for i in 0..100_u8 {
        let value = match i % 8 {
            0 => Value::from(format!("value-{i}")),
            1 => Value::Int(i32::from(i) * 1_000),
            2 => Value::Ulong(u64::from(i)),
            3 => Value::Double(f64::from(i)),
            4 => Value::Boolean(i % 16 == 4),
            5 => Value::Timestamp(Timestamp(1_700_000_000_000 + i64::from(i))),
            6 => Value::Uuid(Uuid([i; 16])),
            _ => Value::from(vec![i; 16]),
        };
        map.insert(format!("key-{i}"), value);
    }
    map
}
