//! The cases by fe2o3's codec.

use std::hint::black_box;

use bytes::{BufMut, BytesMut};
use fe2o3_amqp::frames::amqp::{FrameBody, FrameDecoder};
use fe2o3_amqp_types::definitions::{DeliveryTag, Handle};
use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{
    ApplicationProperties, Data, Header, Message, MessageAnnotations, Properties,
};
use fe2o3_amqp_types::performatives::{Performative, Transfer};
use fe2o3_amqp_types::primitives::{Binary, OrderedMap, Timestamp, Uuid, Value};
use serde::Serialize;
use tokio_util::codec::Decoder;

use crate::cases::{FRAMES, Work};

/// The case of this name.
pub(crate) fn work(name: &str) -> Option<Work> {
    Some(match name {
        "transfer-encode" => encode(transfer()),
        "transfer-decode" => {
            let octets = serde_amqp::to_vec(&transfer()).unwrap();
            repeat(move || {
                black_box(&serde_amqp::from_slice::<Performative>(black_box(&octets)).unwrap());
            })
        }
        "frame-decode" => frame_decode(),
        "telemetry-encode" => encode(Serializable(telemetry())),
        "telemetry-build-encode" => {
            let mut buffer = BytesMut::with_capacity(1024);
            repeat(move || {
                encode_into(&mut buffer, &Serializable(telemetry()));
                black_box(&buffer);
            })
        }
        "telemetry-decode" => decode(telemetry()),
        "map-encode" => encode(map()),
        "map-build-encode" => {
            let mut buffer = BytesMut::with_capacity(1 << 13);
            repeat(move || {
                encode_into(&mut buffer, &map());
                black_box(&buffer);
            })
        }
        "map-decode" => {
            let octets = serde_amqp::to_vec(&map()).unwrap();
            repeat(move || {
                let map: OrderedMap<String, Value> = serde_amqp::from_slice(black_box(&octets)).unwrap();
                black_box(&map);
            })
        }
        "data-1k-encode" => encode(Serializable(data(1_024))),
        "data-1k-decode" => decode(data(1_024)),
        "data-64k-decode" => decode(data(65_536)),
        _ => return None,
    })
}

fn repeat(mut once: impl FnMut() + 'static) -> Work {
    Box::new(move |count| (0..count).for_each(|_| once()))
}

fn encode_into(buffer: &mut BytesMut, value: &impl Serialize) {
    buffer.clear();
    let mut serializer = serde_amqp::ser::Serializer::from(buffer.writer());
    value.serialize(&mut serializer).unwrap();
}

fn encode(value: impl Serialize + 'static) -> Work {
    let mut buffer = BytesMut::with_capacity(1 << 17);
    repeat(move || {
        encode_into(&mut buffer, black_box(&value));
        black_box(&buffer);
    })
}

fn decode(message: Message<Data>) -> Work {
    let octets = serde_amqp::to_vec(&Serializable(message)).unwrap();
    repeat(move || {
        let message = serde_amqp::from_slice::<Deserializable<Message<Data>>>(black_box(&octets));
        black_box(&message).as_ref().unwrap();
    })
}

/// What its connection does: frames of the stream buffer are split off behind their length and decoded.
fn frame_decode() -> Work {
    let mut frame = vec![2, 0, 0, 0];
    frame.extend(serde_amqp::to_vec(&transfer()).unwrap());
    frame.extend([0x5a; 256]);
    let stretch = frame.repeat(FRAMES);
    let length = frame.len();
    let mut stream = BytesMut::new();
    let mut left = 0;
    repeat(move || {
        if left == 0 {
            stream.extend_from_slice(&stretch);
            left = FRAMES;
        }
        left -= 1;
        let mut frame = stream.split_to(length);
        let frame = FrameDecoder {}.decode(&mut frame).unwrap().unwrap();
        if let FrameBody::Transfer { performative, payload, .. } = frame.body {
            black_box((&performative, &payload));
        }
    })
}

fn transfer() -> Transfer {
    Transfer {
        handle: Handle(0),
        delivery_id: Some(12_345),
        delivery_tag: Some(DeliveryTag::from(vec![1, 2, 3, 4])),
        message_format: Some(0),
        settled: Some(false),
        more: false,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
    }
}

fn telemetry() -> Message<Data> {
    Message::builder()
        .header(Header { durable: true, ..Default::default() })
        .message_annotations(
            MessageAnnotations::builder()
                .insert("iothub-connection-device-id", "device-0001")
                .insert(
                    "iothub-enqueuedtime",
                    Value::Timestamp(Timestamp::from_milliseconds(1_700_000_000_000)),
                )
                .insert("x-opt-sequence-number", Value::Long(123_456))
                .build(),
        )
        .properties(
            Properties::builder()
                .message_id("8f2b1d3e-7f39-4b0a-9a52-0c6c8f6f6b10".to_owned())
                .to("/devices/device-0001/messages/events".to_owned())
                .subject("telemetry")
                .content_type("application/json")
                .creation_time(Timestamp::from_milliseconds(1_700_000_000_000))
                .build(),
        )
        .application_properties(
            ApplicationProperties::builder()
                .insert("temperatureAlert", "true")
                .insert("level", 3_i32)
                .insert("ratio", 0.5_f64)
                .insert("region", "westeurope")
                .insert("seq", 99_u64)
                .build(),
        )
        .data(Binary::from(vec![0x5a; 256]))
        .build()
}

fn data(length: usize) -> Message<Data> {
    Message::builder().data(Binary::from(vec![0x5a; length])).build()
}

fn map() -> OrderedMap<String, Value> {
    let mut map = OrderedMap::new();
    for i in 0..100_u8 {
        let value = match i % 8 {
            0 => Value::String(format!("value-{i}")),
            1 => Value::Int(i32::from(i) * 1_000),
            2 => Value::Ulong(u64::from(i)),
            3 => Value::Double(f64::from(i).into()),
            4 => Value::Bool(i % 16 == 4),
            5 => Value::Timestamp(Timestamp::from_milliseconds(1_700_000_000_000 + i64::from(i))),
            6 => Value::Uuid(Uuid::from([i; 16])),
            _ => Value::Binary(Binary::from(vec![i; 16])),
        };
        map.insert(format!("key-{i}"), value);
    }
    map
}
