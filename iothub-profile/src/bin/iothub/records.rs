//! Hub messages as the verbs print them: events, commands and feedback records.

use std::time::SystemTime;

use amqp_codec::ValueRef as AmqpValue;
use iothub_profile::clock::unix_millis;
use iothub_profile::message::{FeedbackRecord, ReceivedCommand, ReceivedEvent, ReceivedMessage};
use serde_json::{Map, Value};

use crate::output::{Record, body_cell, insert_body, insert_text};
use crate::values::time_text;

impl Record for ReceivedEvent {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("PART", 4), ("SEQUENCE", 8), ("ENQUEUED", 24), ("DEVICE", 16), ("BYTES", 6), ("BODY", 0)];

    fn cells(&self) -> Vec<String> {
        let body = self.body();
        vec![
            self.partition().to_owned(),
            self.sequence_number().map(|number| number.to_string()).unwrap_or_default(),
            self.enqueued_time().map(written).unwrap_or_default(),
            self.device_id().unwrap_or_default().to_owned(),
            body.len().to_string(),
            body_cell(&body),
        ]
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("partition".into(), self.partition().into());
        if let Some(number) = self.sequence_number() {
            object.insert("sequence_number".into(), number.into());
        }
        insert_text(&mut object, "offset", self.offset());
        insert_text(&mut object, "enqueued_time", self.enqueued_time().map(written));
        insert_text(&mut object, "device_id", self.device_id());
        insert_text(&mut object, "module_id", self.module_id());
        insert_message(&mut object, self);
        object.into()
    }

    fn raw(&self) -> Vec<u8> {
        self.body().to_vec()
    }
}

impl Record for ReceivedCommand {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("SEQUENCE", 8), ("ENQUEUED", 24), ("DELIVERY", 8), ("MESSAGE ID", 36), ("BYTES", 6), ("BODY", 0)];

    fn cells(&self) -> Vec<String> {
        let body = self.body();
        vec![
            self.sequence_number().map(|number| number.to_string()).unwrap_or_default(),
            self.enqueued_time().map(written).unwrap_or_default(),
            self.delivery_count().map(|count| count.to_string()).unwrap_or_default(),
            self.message_id().unwrap_or_default(),
            body.len().to_string(),
            body_cell(&body),
        ]
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        if let Some(number) = self.sequence_number() {
            object.insert("sequence_number".into(), number.into());
        }
        insert_text(&mut object, "enqueued_time", self.enqueued_time().map(written));
        if let Some(count) = self.delivery_count() {
            object.insert("delivery_count".into(), count.into());
        }
        insert_text(&mut object, "to", self.to());
        insert_message(&mut object, self);
        object.into()
    }

    fn raw(&self) -> Vec<u8> {
        self.body().to_vec()
    }
}

impl Record for FeedbackRecord {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("TIME", 24), ("STATUS", 21), ("DEVICE", 16), ("MESSAGE ID", 0)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.enqueued_time.clone().unwrap_or_default(),
            self.status.to_string(),
            self.device_id.clone(),
            self.original_message_id.clone(),
        ]
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        insert_text(&mut object, "original_message_id", Some(self.original_message_id.as_str()));
        insert_text(&mut object, "status", Some(self.status.as_str()));
        insert_text(&mut object, "device_id", Some(self.device_id.as_str()));
        insert_text(&mut object, "device_generation_id", self.device_generation_id.as_deref());
        insert_text(&mut object, "enqueued_time", self.enqueued_time.as_deref());
        insert_text(&mut object, "description", self.description.as_deref());
        object.into()
    }

    fn raw(&self) -> Vec<u8> {
        format!("{} {}", self.status, self.original_message_id).into_bytes()
    }
}

/// What every message may carry, its body last.
fn insert_message(object: &mut Map<String, Value>, message: &ReceivedMessage) {
    insert_text(object, "message_id", message.message_id());
    insert_text(object, "correlation_id", message.correlation_id());
    insert_text(object, "user_id", message.user_id());
    insert_text(object, "content_type", message.content_type());
    insert_text(object, "content_encoding", message.content_encoding());
    insert_text(object, "expires", message.expiry().map(written));
    let properties: Map<String, Value> =
        message.application_properties().map(|(name, value)| (name.to_owned(), json_of(value))).collect();
    object.insert("properties".into(), properties.into());
    insert_body(object, &message.body());
}

/// A property's value in JSON; hubs take text alone, other senders are shown as near as JSON comes.
fn json_of(value: AmqpValue<'_>) -> Value {
    if let Some(text) = value.as_str() {
        return text.into();
    }
    match value {
        AmqpValue::Null => Value::Null,
        AmqpValue::Boolean(truth) => truth.into(),
        AmqpValue::Float(number) => f64::from(number).into(),
        AmqpValue::Double(number) => number.into(),
        AmqpValue::Symbol(symbol) => symbol.as_str().into(),
        AmqpValue::Timestamp(time) => time_text(time.0).into(),
        AmqpValue::Uuid(id) => uuid::Uuid::from_bytes(id.0).to_string().into(),
        other => match (other.as_i64(), other.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => format!("{other:?}").into(),
        },
    }
}

fn written(time: SystemTime) -> String {
    time_text(unix_millis(time))
}
