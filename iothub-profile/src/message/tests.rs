use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use amqp_codec::{Message, MessageId, Properties, Symbol, Timestamp, Value};
use proptest::prelude::*;

use super::*;

fn feedback(body: impl Into<Vec<u8>>) -> ReceivedMessage {
    let mut message = Message::data(bytes::Bytes::from(body.into()));
    message.properties = Some(Properties {
        content_type: Some(Symbol::new(FEEDBACK_CONTENT_TYPE).unwrap()),
        ..Properties::default()
    });
    ReceivedMessage::new(message)
}

#[test]
fn telemetry_puts_each_property_where_the_hub_looks_for_it() {
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let message = TelemetryMessage::new("body")
        .with_message_id("m")
        .with_correlation_id("c")
        .with_user_id("u")
        .with_content_type("application/json")
        .unwrap()
        .with_content_encoding("utf-8")
        .unwrap()
        .with_creation_time(time)
        .with_expiry(time)
        .with_component("thermostat")
        .with_property("k", "v1")
        .with_property("k", "v2");
    let received = ReceivedMessage::new(message.as_amqp().clone());
    assert_eq!(received.body(), "body");
    assert_eq!(received.message_id().as_deref(), Some("m"));
    assert_eq!(received.correlation_id().as_deref(), Some("c"));
    assert_eq!(received.user_id().as_deref(), Some("u"));
    assert_eq!(received.content_type(), Some("application/json"));
    assert_eq!(received.content_encoding(), Some("utf-8"));
    assert_eq!(received.expiry(), Some(time));
    assert_eq!(received.annotation_text(names::COMPONENT), Some("thermostat"));
    let created = received.property(names::CREATION_TIME).and_then(|value| value.as_str());
    assert_eq!(created, Some("2023-11-14T22:13:20.123Z"));
    assert_eq!(received.application_properties().filter(|(name, _)| *name == "k").count(), 1);
    assert_eq!(received.property("k").and_then(|value| value.as_str()), Some("v2"));
    assert_eq!(
        TelemetryMessage::new("").with_content_type("é"),
        Err(MessageError::NotAscii("the content type"))
    );
}

#[test]
fn a_command_is_addressed_with_an_encoded_id() {
    let command = C2dMessage::new("body").with_ack(Ack::Full);
    let sent = ReceivedCommand::new(command.to_amqp("dev+1 a@b", None));
    assert_eq!(sent.to(), Some("/devices/dev%2B1%20a%40b/messages/devicebound"));
    assert_eq!(sent.message_id().as_deref(), command.message_id());
    assert_eq!(sent.ack(), Ack::Full);
    let module = ReceivedCommand::new(command.to_amqp("d", Some("m")));
    assert_eq!(module.to(), Some("/devices/d/modules/m/messages/devicebound"));
    assert_ne!(C2dMessage::new("").message_id(), C2dMessage::new("").message_id());
}

#[test]
fn a_received_command_shows_what_the_hub_stamped() {
    let message = Message::data("b")
        .with_message_annotation(names::SEQUENCE_NUMBER, Value::Ulong(7))
        .with_message_annotation(names::DELIVERY_COUNT, Value::Ubyte(2))
        .with_message_annotation(names::IOTHUB_ENQUEUED_TIME, Value::Timestamp(Timestamp(5)));
    let command = ReceivedCommand::new(message);
    assert_eq!((command.sequence_number(), command.delivery_count()), (Some(7), Some(2)));
    assert_eq!(command.enqueued_time(), Some(UNIX_EPOCH + Duration::from_millis(5)));
    assert_eq!(command.ack(), Ack::None);
    let wrong = ReceivedCommand::new(Message::data("b").with_message_annotation(names::SEQUENCE_NUMBER, "7"));
    assert_eq!(wrong.sequence_number(), None, "a property of another type is absent");
}

#[test]
fn an_event_shows_its_place_and_its_device() {
    let message = Message::data("b")
        .with_message_annotation(names::SEQUENCE_NUMBER, Value::Long(12))
        .with_message_annotation(names::OFFSET, "4096")
        .with_message_annotation(names::ENQUEUED_TIME, Value::Timestamp(Timestamp(1000)))
        .with_message_annotation(names::CONNECTION_DEVICE_ID, "dev1");
    let event = ReceivedEvent::new(message, Arc::from("3"));
    assert_eq!((event.partition(), event.sequence_number(), event.offset()), ("3", Some(12), Some("4096")));
    assert_eq!(
        (event.device_id(), event.enqueued_time()),
        (Some("dev1"), Some(UNIX_EPOCH + Duration::from_secs(1)))
    );
}

#[test]
fn feedback_records_are_read_with_all_their_fields() {
    let body = r#"[{"originalMessageId":"m1","description":"Success","statusCode":"Success","deviceId":"d1","deviceGenerationId":"635","enqueuedTimeUtc":"2015-07-28T16:24:48.789Z"},
        {"originalMessageId":"m2","statusCode":"Unheard","deviceId":"d2"}]"#;
    let records = parse_feedback(&feedback(body)).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].status, FeedbackStatus::Success);
    assert_eq!(records[0].enqueued_time.as_deref(), Some("2015-07-28T16:24:48.789Z"));
    assert_eq!(records[1].status, FeedbackStatus::Other("Unheard".to_owned()));
}

#[test]
fn hostile_feedback_is_an_error() {
    let deep = "[".repeat(100_000);
    for (body, error) in [
        ("", FeedbackError::Json),
        ("{}", FeedbackError::NotRecords),
        ("[1]", FeedbackError::NotRecords),
        (deep.as_str(), FeedbackError::Json),
        (r#"[{"statusCode":"Success","deviceId":"d"}]"#, FeedbackError::MissingField("originalMessageId")),
        (r#"[{"originalMessageId":"m","deviceId":"d"}]"#, FeedbackError::MissingField("statusCode")),
        (
            r#"[{"originalMessageId":"m","statusCode":"Success","deviceId":7}]"#,
            FeedbackError::MissingField("deviceId"),
        ),
    ] {
        assert_eq!(parse_feedback(&feedback(body)), Err(error));
    }
    assert_eq!(parse_feedback(&feedback(vec![b' '; (1 << 20) + 1])), Err(FeedbackError::TooLarge));
    assert_eq!(parse_feedback(&ReceivedMessage::new(Message::data("[]"))), Err(FeedbackError::ContentType));
}

#[test]
fn ids_of_every_type_are_shown_as_text() {
    let shown = |id: MessageId| {
        let mut message = Message::data("");
        message.properties = Some(Properties { message_id: Some(id), ..Properties::default() });
        ReceivedMessage::new(message).message_id()
    };
    assert_eq!(shown(MessageId::Ulong(7)).as_deref(), Some("7"));
    assert_eq!(shown(MessageId::Binary(bytes::Bytes::from_static(&[1, 0xab]))).as_deref(), Some("01ab"));
    let id = shown(MessageId::Uuid(amqp_codec::Uuid([0x11; 16])));
    assert_eq!(id.as_deref(), Some("11111111-1111-1111-1111-111111111111"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_feedback_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_feedback(&feedback(body));
    }
}
