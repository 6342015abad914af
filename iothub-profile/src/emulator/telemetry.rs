//! Telemetry from a device to an event: sizes, batches, and what the hub notes on every event it stores.
//!
//! Owns the hub's annotations. What the device wrote from its properties on is stored octet by octet as it came.

use amqp_codec::{
    Annotations, BATCHED_MESSAGE_FORMAT, Body, DecodeLimits, Encode, Error, ErrorCondition, Message,
    MessageView, Sections, Str, Timestamp, Value,
};
use bytes::{Bytes, BytesMut};

use super::{
    auth::{Grant, Holder},
    partition::Stamp,
    settings::MAX_TELEMETRY_SIZE,
};

/// Who sends, as the hub notes it on every event.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    device_id: Str,
    module_id: Option<Str>,
    generation_id: Str,
    auth_method: Str,
}

impl Origin {
    /// What is noted about a device or module that was let in by `grant`.
    pub(crate) fn new(
        device_id: &str,
        module_id: Option<&str>,
        generation_id: String,
        grant: &Grant,
    ) -> Self {
        let scope = match (&grant.holder, module_id) {
            (Holder::Policy { .. }, _) => "hub",
            (Holder::Device(_), None) => "device",
            (Holder::Device(_), Some(_)) => "module",
        };
        let auth_method =
            format!(r#"{{"scope":"{scope}","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}}"#);
        Self {
            device_id: Str::from(device_id.to_owned()),
            module_id: module_id.map(|id| Str::from(id.to_owned())),
            generation_id: Str::from(generation_id),
            auth_method: Str::from(auth_method),
        }
    }
}

/// One event, ready to be stamped.
#[derive(Debug)]
pub(crate) struct NewEvent {
    annotations: Annotations,
    bare: Bytes,
}

impl NewEvent {
    /// Reads what a device sent: one message, or a batch of them. Either all of it is good or none is taken.
    pub(crate) fn read(payload: &Bytes, message_format: u32, into: &mut Vec<Self>) -> Result<(), Error> {
        let limits = DecodeLimits::message();
        if message_format != BATCHED_MESSAGE_FORMAT {
            let view = read_view(payload, &limits)?;
            if payload.len() > MAX_TELEMETRY_SIZE {
                check_size(metered_size(&view)?)?;
            }
            into.push(Self::of(&view)?);
            return Ok(());
        }
        let before = into.len();
        let result = Self::read_batch(payload, &limits, into);
        if result.is_err() {
            into.truncate(before);
        }
        result
    }

    fn read_batch(payload: &Bytes, limits: &DecodeLimits, into: &mut Vec<Self>) -> Result<(), Error> {
        let envelope = read_view(payload, limits)?;
        let (mut size, mut count) = (0_usize, 0_usize);
        for message in envelope.body_data() {
            let message = message.map_err(undecodable)?;
            let view = read_view(&message, limits)?;
            size = size.saturating_add(metered_size(&view)?);
            count = count.saturating_add(1);
            into.push(Self::of(&view)?);
        }
        if count == 0 {
            return Err(
                Error::new(ErrorCondition::INVALID_FIELD).with_description("the batch holds no message")
            );
        }
        check_size(size)
    }

    /// The stored form: the device's own annotations, the hub's over them, and the rest as it came.
    pub(crate) fn encode(mut self, stamp: &Stamp, origin: &Origin) -> Bytes {
        let mut note = |key: &'static str, value: Value| {
            self.annotations.insert(key, value);
        };
        note("x-opt-sequence-number", Value::Long(stamp.sequence_number));
        note("x-opt-offset", Value::from(stamp.offset.to_string()));
        note("x-opt-enqueued-time", Value::Timestamp(Timestamp(stamp.enqueued_ms)));
        note("x-opt-partition-key", Value::String(origin.device_id.clone()));
        note("iothub-connection-device-id", Value::String(origin.device_id.clone()));
        if let Some(module_id) = &origin.module_id {
            note("iothub-connection-module-id", Value::String(module_id.clone()));
        }
        note("iothub-connection-auth-generation-id", Value::String(origin.generation_id.clone()));
        note("iothub-connection-auth-method", Value::String(origin.auth_method.clone()));
        note("iothub-enqueuedtime", Value::Timestamp(Timestamp(stamp.enqueued_ms)));
        note("iothub-message-source", Value::from("Telemetry"));
        let sections = Sections { message_annotations: Some(self.annotations), ..Sections::default() };
        let head = Message::new(Body::Empty, sections);
        let mut out = BytesMut::with_capacity(self.bare.len().saturating_add(ANNOTATIONS_SIZE));
        head.encode(&mut out);
        out.extend_from_slice(&self.bare);
        out.freeze()
    }

    fn of(view: &MessageView<'_>) -> Result<Self, Error> {
        // Readers must be able to decode whatever is stored.
        view.properties().map_err(undecodable)?;
        view.application_properties().map_err(undecodable)?;
        let mut annotations = view.message_annotations().map_err(undecodable)?.unwrap_or_default();
        annotations.retain(|key, _| !key.as_str().is_some_and(is_hubs_own));
        Ok(Self { annotations, bare: view.bare_message() })
    }
}

/// What a message counts against the hub's limits: its body, the values of its system properties, and the names and values
/// of its application properties (IoT Hub: Create and read IoT Hub messages). Annotations count here as they are, since
/// the hub stores them.
pub(crate) fn metered_size(view: &MessageView<'_>) -> Result<usize, Error> {
    let mut size: usize = 0;
    for section in view.body_data() {
        size = size.saturating_add(section.map_err(undecodable)?.len());
    }
    if let Some(body) = view.body_value().map_err(undecodable)? {
        size = size.saturating_add(body.encoded_len());
    }
    if let Some(properties) = view.properties().map_err(undecodable)? {
        let texts = [
            properties.to,
            properties.reply_to,
            properties.subject,
            properties.group_id,
            properties.reply_to_group_id,
        ];
        let ids = [properties.message_id, properties.correlation_id]
            .into_iter()
            .flatten()
            .map(|id| id.to_string().len());
        let symbols = [properties.content_type, properties.content_encoding]
            .into_iter()
            .flatten()
            .map(|text| text.len());
        let texts = texts.into_iter().flatten().map(|text| text.len());
        let user_id = properties.user_id.map_or(0, |id| id.len());
        size = ids.chain(symbols).chain(texts).fold(size.saturating_add(user_id), usize::saturating_add);
    }
    if let Some(annotations) = view.message_annotations().map_err(undecodable)? {
        size = size.saturating_add(annotations.encoded_len());
    }
    for (key, value) in view.application_properties().map_err(undecodable)?.unwrap_or_default().iter() {
        let value = value.as_str().map_or_else(|| value.encoded_len(), str::len);
        size = size.saturating_add(key.len()).saturating_add(value);
    }
    Ok(size)
}

/// The refusal of octets that are not a message.
pub(crate) fn undecodable(error: amqp_codec::DecodeError) -> Error {
    Error::new(ErrorCondition::DECODE_ERROR).with_description(error.to_string())
}

fn read_view<'a>(payload: &'a Bytes, limits: &'a DecodeLimits) -> Result<MessageView<'a>, Error> {
    MessageView::parse(payload, limits).map_err(undecodable)
}

fn check_size(size: usize) -> Result<(), Error> {
    if size <= MAX_TELEMETRY_SIZE {
        return Ok(());
    }
    let words = format!("the message has {size} bytes, a hub takes {MAX_TELEMETRY_SIZE}");
    Err(Error::new(ErrorCondition::MESSAGE_SIZE_EXCEEDED).with_description(words))
}

/// Annotations that only the hub may write.
fn is_hubs_own(key: &str) -> bool {
    key.starts_with("iothub-connection-")
        || [
            "x-opt-sequence-number",
            "x-opt-offset",
            "x-opt-enqueued-time",
            "x-opt-partition-key",
            "x-opt-publisher",
        ]
        .contains(&key)
}

/// Room for the hub's annotations, so that an event is allocated once.
const ANNOTATIONS_SIZE: usize = 512;

#[cfg(test)]
mod tests {
    use amqp_codec::BatchBuilder;

    use super::*;
    use crate::emulator::scope::Scope;

    const STAMP: Stamp = Stamp { sequence_number: 7, offset: 4096, enqueued_ms: 1_700_000_000_000 };

    fn origin(holder: Holder, module: Option<&str>) -> Origin {
        Origin::new(
            "dev1",
            module,
            "42".to_owned(),
            &Grant { scope: Scope::device("dev1"), holder, expires_ms: None },
        )
    }

    fn device_origin() -> Origin {
        origin(Holder::Device("dev1".to_owned()), None)
    }

    fn read(payload: &Bytes, format: u32) -> Result<Vec<NewEvent>, Error> {
        let mut events = Vec::new();
        NewEvent::read(payload, format, &mut events).map(|()| events)
    }

    fn encoded(message: &Message) -> Bytes {
        amqp_codec::to_bytes(message)
    }

    #[test]
    fn an_event_carries_the_hubs_annotations_and_the_devices_octets() {
        let sent = Message::data("21.5")
            .with_message_id("m1")
            .with_application_property("room", "1")
            .with_message_annotation("dt-subject", "thermostat")
            .with_message_annotation("iothub-connection-device-id", "somebody else")
            .with_message_annotation("x-opt-publisher", "somebody else");
        let mut events = read(&encoded(&sent), 0).unwrap();
        let stored = events.pop().unwrap().encode(&STAMP, &device_origin());
        let mut bare = sent;
        bare.message_annotations = None;
        let bare = encoded(&bare);
        assert!(stored.ends_with(&bare), "what the device wrote is not touched");
        let event = Message::decode(&stored, &DecodeLimits::message()).unwrap();
        let annotation = |key: &str| event.message_annotation(key).map(Value::from);
        assert_eq!(annotation("x-opt-sequence-number"), Some(Value::Long(7)));
        assert_eq!(annotation("x-opt-offset"), Some(Value::from("4096")));
        assert_eq!(annotation("x-opt-enqueued-time"), Some(Value::Timestamp(Timestamp(1_700_000_000_000))));
        assert_eq!(annotation("iothub-connection-device-id"), Some(Value::from("dev1")));
        assert_eq!(annotation("iothub-connection-auth-generation-id"), Some(Value::from("42")));
        assert_eq!(annotation("iothub-message-source"), Some(Value::from("Telemetry")));
        assert_eq!(annotation("dt-subject"), Some(Value::from("thermostat")));
        assert_eq!(annotation("x-opt-publisher"), None);
        assert_eq!(event.body_bytes().unwrap(), "21.5");
    }

    #[test]
    fn the_auth_method_tells_who_signed() {
        let policy =
            Holder::Policy { name: "device".to_owned(), rights: super::super::Rights::DEVICE_CONNECT };
        assert!(origin(policy, None).auth_method.contains(r#""scope":"hub""#));
        assert!(device_origin().auth_method.contains(r#""scope":"device","type":"sas""#));
        assert!(
            origin(Holder::Device("dev1".to_owned()), Some("m")).auth_method.contains(r#""scope":"module""#)
        );
    }

    #[test]
    fn a_batch_becomes_its_messages() {
        let mut batch = BatchBuilder::new(10_000);
        for body in ["a", "b", "c"] {
            batch.try_add(&Message::data(body)).unwrap();
        }
        let events = read(&batch.finish(), BATCHED_MESSAGE_FORMAT).unwrap();
        let bodies = events.into_iter().map(|event| {
            Message::decode(&event.encode(&STAMP, &device_origin()), &DecodeLimits::message())
                .unwrap()
                .body_bytes()
                .unwrap()
        });
        assert_eq!(bodies.collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_message_of_exactly_the_limit_is_taken_and_one_more_byte_is_not() {
        let message = |size: usize| encoded(&Message::data(vec![0_u8; size]));
        assert!(read(&message(256 * 1024), 0).is_ok());
        assert_eq!(
            read(&message(256 * 1024 + 1), 0).unwrap_err().condition,
            ErrorCondition::MESSAGE_SIZE_EXCEEDED
        );
        let named = Message::data(vec![0_u8; 256 * 1024 - 4]).with_application_property("key", "xy");
        assert_eq!(read(&encoded(&named), 0).unwrap_err().condition, ErrorCondition::MESSAGE_SIZE_EXCEEDED);
    }

    #[test]
    fn annotations_by_the_ten_thousand_are_read_in_no_time_and_count_as_octets() {
        let annotated = |count: u64| {
            let annotations: Annotations = (0..count).map(|key| (key, Value::Null)).collect();
            let annotations = annotations.with("x-opt-offset", "mine");
            let mut message = Message::data("x");
            message.message_annotations = Some(annotations);
            encoded(&message)
        };
        // Each costs ten octets; a search per entry would take a minute.
        let mut events = read(&annotated(20_000), 0).unwrap();
        let stored = events.pop().unwrap().encode(&STAMP, &device_origin());
        let event = Message::decode(&stored, &DecodeLimits::message()).unwrap();
        assert_eq!(event.message_annotation("x-opt-offset"), Some("4096".into()));
        assert_eq!(event.message_annotations.as_ref().unwrap().len(), 20_009);
        let many = read(&annotated(40_000), 0).unwrap_err();
        assert_eq!(many.condition, ErrorCondition::MESSAGE_SIZE_EXCEEDED);
    }

    #[test]
    fn octets_that_are_no_message_are_refused() {
        for (octets, format) in [(&b"hello"[..], 0), (b"", BATCHED_MESSAGE_FORMAT)] {
            assert!(read(&Bytes::from_static(octets), format).is_err());
        }
        let mut batch = Vec::from(&encoded(&Message::data(encoded(&Message::data("good"))))[..]);
        batch.extend_from_slice(&encoded(&Message::data("bad")));
        let mut events = Vec::new();
        assert!(NewEvent::read(&Bytes::from(batch), BATCHED_MESSAGE_FORMAT, &mut events).is_err());
        assert!(events.is_empty(), "nothing of a batch is taken when one message of it is bad");
    }
}
