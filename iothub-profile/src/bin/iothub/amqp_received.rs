//! A message from a broker, as it is printed: cells of a table, a JSON object, or its body alone.

use amqp_codec::{Body, Message, ValueRef};
use amqp_transport::Delivery;
use serde_json::{Map, Value, json};

use crate::amqp_decode::typed;
use crate::amqp_failure::broker_failure;
use crate::amqp_values::{insert_annotations, json_of};
use crate::exit::{Class, Failure};
use crate::output::{Record, body_cell, insert_body, insert_text};
use crate::values::time_text;

/// A message as it is printed.
#[derive(Debug)]
pub(crate) struct Received {
    message: Message,
    format: u32,
    is_settled: bool,
}

impl Received {
    /// Reads the message of a delivery.
    ///
    /// # Errors
    /// It is no message.
    pub(crate) fn new(delivery: &Delivery) -> Result<Self, Failure> {
        let message = delivery.message().map_err(|error| {
            broker_failure(Class::Failed, format!("the broker sent what is no message: {error}"))
                .fault("the message, or who sent it")
                .retry("does not help as long as the message is there")
                .advice("take the message out of the queue by the broker's own means")
        })?;
        Ok(Self { message, format: delivery.message_format(), is_settled: delivery.is_settled() })
    }

    /// The octets of a data body, or the text of a body that is a string.
    fn octets(&self) -> Option<Vec<u8>> {
        match &self.message.body {
            Body::Value(value) => value.as_str().map(|text| text.as_bytes().to_vec()),
            Body::Empty => Some(Vec::new()),
            _ => self.message.body_bytes().map(|octets| octets.to_vec()),
        }
    }

    /// The body of a message that is neither octets nor text, in the notation of `amqp decode`.
    fn body_value(&self) -> Value {
        match &self.message.body {
            Body::Value(value) => typed(value.view()),
            Body::Sequence(lists) => lists.iter().map(|list| typed(ValueRef::List(list))).collect(),
            _ => Value::Null,
        }
    }

    fn insert_properties(&self, object: &mut Map<String, Value>) {
        let Some(properties) = &self.message.properties else { return };
        for (name, id) in
            [("message_id", &properties.message_id), ("correlation_id", &properties.correlation_id)]
        {
            insert_text(object, name, id.as_ref().map(ToString::to_string));
        }
        let user = properties.user_id.as_ref().map(|user| String::from_utf8_lossy(user).into_owned());
        insert_text(object, "user_id", user);
        let texts = [
            ("to", &properties.to),
            ("subject", &properties.subject),
            ("reply_to", &properties.reply_to),
            ("group_id", &properties.group_id),
            ("reply_to_group_id", &properties.reply_to_group_id),
        ];
        for (name, text) in texts {
            insert_text(object, name, text.as_ref().map(ToString::to_string));
        }
        for (name, symbol) in
            [("content_type", &properties.content_type), ("content_encoding", &properties.content_encoding)]
        {
            insert_text(object, name, symbol.as_ref().map(ToString::to_string));
        }
        for (name, time) in [
            ("absolute_expiry_time", properties.absolute_expiry_time),
            ("creation_time", properties.creation_time),
        ] {
            insert_text(object, name, time.map(|time| time_text(time.0)));
        }
        if let Some(sequence) = properties.group_sequence {
            object.insert("group_sequence".into(), sequence.into());
        }
    }

    fn insert_header(&self, object: &mut Map<String, Value>) {
        let Some(header) = &self.message.header else { return };
        let mut fields = json!({
            "durable": header.durable,
            "priority": header.priority,
            "first_acquirer": header.first_acquirer,
            "delivery_count": header.delivery_count,
        });
        if let (Some(ttl), Value::Object(fields)) = (header.ttl, &mut fields) {
            fields.insert("ttl_ms".into(), ttl.into());
        }
        object.insert("header".into(), fields);
    }
}

impl Record for Received {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("MESSAGE ID", 36), ("SUBJECT", 16), ("BYTES", 8), ("BODY", 0)];

    fn cells(&self) -> Vec<String> {
        let octets = self.octets();
        let properties = self.message.properties.as_ref();
        let id = properties.and_then(|properties| properties.message_id.as_ref()).map(ToString::to_string);
        let subject = properties.and_then(|properties| properties.subject.as_ref()).map(ToString::to_string);
        vec![
            id.unwrap_or_default(),
            subject.unwrap_or_default(),
            octets.as_ref().map(|octets| octets.len().to_string()).unwrap_or_default(),
            octets.map_or_else(|| self.body_value().to_string(), |octets| body_cell(&octets)),
        ]
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        self.insert_header(&mut object);
        self.insert_properties(&mut object);
        insert_annotations(&mut object, "delivery_annotations", self.message.delivery_annotations.as_ref());
        insert_annotations(&mut object, "message_annotations", self.message.message_annotations.as_ref());
        if let Some(properties) = &self.message.application_properties {
            let entries = properties.iter().map(|(name, value)| (name.to_string(), json_of(value)));
            object.insert("properties".into(), Value::Object(entries.collect()));
        }
        insert_annotations(&mut object, "footer", self.message.footer.as_ref());
        if self.format != 0 {
            object.insert("message_format".into(), self.format.into());
        }
        if self.is_settled {
            object.insert("settled".into(), true.into());
        }
        match self.octets() {
            Some(octets) => insert_body(&mut object, &octets),
            None => drop(object.insert("body_value".into(), self.body_value())),
        }
        object.into()
    }

    fn raw(&self) -> Vec<u8> {
        self.octets().unwrap_or_else(|| self.body_value().to_string().into_bytes())
    }
}
