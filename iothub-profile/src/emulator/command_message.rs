//! Commands as messages: what the service sent to the hub, and what the hub sends on to the device.

use std::sync::Arc;

use amqp_codec::{
    DecodeLimits, Error, ErrorCondition, Message, MessageId, MessageView, Timestamp, Value, ValueRef,
};
use bytes::Bytes;

use super::{
    commands::{Ack, LockedCommand, NewCommand},
    scope::decodings,
    settings::MAX_COMMAND_SIZE,
    telemetry::{metered_size, undecodable},
};
use crate::path::HubAddress;

/// Reads a command and the device it is for; `exists` tells which devices there are.
pub(crate) fn read(
    payload: &Bytes,
    now_ms: i64,
    exists: impl Fn(&str) -> bool,
) -> Result<(String, NewCommand), Error> {
    let limits = DecodeLimits::message();
    let view = MessageView::parse(payload, &limits).map_err(undecodable)?;
    let size = metered_size(&view)?;
    if size > MAX_COMMAND_SIZE {
        let words = format!("the command has {size} bytes, a hub takes {MAX_COMMAND_SIZE}");
        return Err(Error::new(ErrorCondition::MESSAGE_SIZE_EXCEEDED).with_description(words));
    }
    // Copied, so that a command that waits for its device for an hour does not hold a whole read buffer.
    let message = Message::decode(&Bytes::copy_from_slice(payload), &limits).map_err(undecodable)?;
    let properties = message.properties.as_ref();
    let to = properties.and_then(|properties| properties.to.as_deref()).unwrap_or_default();
    let device_id = device_of(to, exists)?;
    let ack = match message.application_property("iothub-ack") {
        None | Some(ValueRef::Null) => Ack::None,
        Some(value) => value
            .as_str()
            .and_then(Ack::parse)
            .ok_or_else(|| invalid("iothub-ack is none, positive, negative or full"))?,
    };
    let ttl_ms = message.header.as_ref().and_then(|header| header.ttl).map(i64::from);
    let expiry = properties.and_then(|properties| properties.absolute_expiry_time).map(|Timestamp(ms)| ms);
    let expires_ms = expiry.or_else(|| ttl_ms.map(|ttl| now_ms.saturating_add(ttl)));
    let message_id =
        properties.and_then(|properties| properties.message_id.as_ref()).map(MessageId::to_string);
    Ok((device_id, NewCommand { message: Arc::new(message), message_id, ack, expires_ms }))
}

/// What the device gets: the service's message with the hub's annotations, in exactly the types that SDKs look for.
pub(crate) fn for_device(command: &LockedCommand) -> Bytes {
    let mut message = Message::clone(&command.message);
    let annotations = message.message_annotations.get_or_insert_default();
    annotations.insert("x-opt-sequence-number", Value::Ulong(command.sequence_number));
    annotations.insert("iothub-enqueuedtime", Value::Timestamp(Timestamp(command.enqueued_ms)));
    annotations.insert("iothub-deliverycount", Value::Ubyte(command.delivery_count));
    message.header = None;
    message.delivery_annotations = None;
    amqp_codec::to_bytes(&message)
}

/// The device named by a command's `to`, in whatever encoding.
fn device_of(to: &str, exists: impl Fn(&str) -> bool) -> Result<String, Error> {
    let Ok(HubAddress::DeviceBound(identity)) = HubAddress::parse(to) else {
        return Err(invalid("the property `to` must be /devices/{id}/messages/devicebound"));
    };
    let candidates = decodings(identity.device.as_str());
    let found = candidates.iter().find(|id| exists(id)).cloned();
    found.ok_or_else(|| {
        let words = format!("device {:?} is not registered", identity.device.decoded());
        Error::new(ErrorCondition::NOT_FOUND).with_description(words)
    })
}

fn invalid(words: &'static str) -> Error {
    Error::new(ErrorCondition::INVALID_FIELD).with_description(words)
}

#[cfg(test)]
mod tests {
    use amqp_codec::{Header, Properties};

    use super::*;
    use crate::emulator::commands::LockToken;

    fn command(to: &str) -> Message {
        Message::data("on").with_message_id("m1").with_to(to.to_owned())
    }

    fn read(message: &Message) -> Result<(String, NewCommand), Error> {
        super::read(&amqp_codec::to_bytes(message), 1000, |id| ["dev1", "dev+1 a@b"].contains(&id))
    }

    #[test]
    fn a_command_names_its_device_in_any_encoding() {
        for (to, device) in [
            ("/devices/dev1/messages/devicebound", "dev1"),
            ("/devices/dev1/messages/deviceBound", "dev1"),
            ("/devices/dev%2B1%20a%40b/messages/devicebound", "dev+1 a@b"),
            ("amqps://myhub.azure-devices.net:5671/devices/dev%2B1+a%40b/messages/deviceBound", "dev+1 a@b"),
        ] {
            assert_eq!(read(&command(to)).unwrap().0, device, "{to}");
        }
        assert_eq!(
            read(&command("/devices/dev9/messages/devicebound")).unwrap_err().condition,
            ErrorCondition::NOT_FOUND
        );
        for to in ["", "dev1", "/devices/dev1/messages/events"] {
            assert_eq!(read(&command(to)).unwrap_err().condition, ErrorCondition::INVALID_FIELD, "{to}");
        }
    }

    #[test]
    fn ack_and_expiry_are_read() {
        let to = "/devices/dev1/messages/devicebound";
        let plain = read(&command(to)).unwrap().1;
        assert_eq!((plain.ack, plain.expires_ms, plain.message_id.as_deref()), (Ack::None, None, Some("m1")));
        let full = read(&command(to).with_application_property("iothub-ack", "full")).unwrap().1;
        assert_eq!(full.ack, Ack::Full);
        let wrong = read(&command(to).with_application_property("iothub-ack", "maybe"));
        assert_eq!(wrong.unwrap_err().condition, ErrorCondition::INVALID_FIELD);
        let properties = Properties {
            absolute_expiry_time: Some(Timestamp(5000)),
            ..command(to).properties.clone().unwrap()
        };
        let header = Header { ttl: Some(10), ..Header::default() };
        assert_eq!(read(&command(to).with_properties(properties)).unwrap().1.expires_ms, Some(5000));
        assert_eq!(read(&command(to).with_header(header)).unwrap().1.expires_ms, Some(1010));
    }

    #[test]
    fn a_command_over_64_kib_is_refused() {
        let to = "/devices/dev1/messages/devicebound";
        let large = command(to).with_body(amqp_codec::Body::Data(vec![0; 64 * 1024].into()));
        assert_eq!(read(&large).unwrap_err().condition, ErrorCondition::MESSAGE_SIZE_EXCEEDED);
    }

    #[test]
    fn the_device_gets_the_types_that_sdks_look_for() {
        let locked = LockedCommand {
            lock: LockToken::new(),
            message: Arc::new(
                command("/devices/dev1/messages/devicebound").with_application_property("iothub-ack", "full"),
            ),
            sequence_number: 3,
            enqueued_ms: 99,
            delivery_count: 2,
        };
        let sent = Message::decode(&for_device(&locked), &DecodeLimits::message()).unwrap();
        assert_eq!(sent.message_annotation("x-opt-sequence-number"), Some(ValueRef::Ulong(3)));
        assert_eq!(sent.message_annotation("iothub-enqueuedtime"), Some(ValueRef::Timestamp(Timestamp(99))));
        assert_eq!(sent.message_annotation("iothub-deliverycount"), Some(ValueRef::Ubyte(2)));
        assert_eq!(sent.application_property("iothub-ack"), Some("full".into()));
        assert_eq!(sent.properties, locked.message.properties);
    }
}
