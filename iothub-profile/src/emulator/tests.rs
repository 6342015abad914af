//! The emulator over real TLS sockets, driven by the transport's plain AMQP client.

mod endings;

use std::time::Duration;

use amqp_codec::{
    ApplicationProperties, Body, DeliveryState, Described, ErrorCondition, Message, Outcome, Properties,
    ReceiverSettleMode, Sections, SenderSettleMode, Source, Timestamp, Value, ValueRef,
};
use amqp_transport::{
    AttachError, ConnectOptions, Connection, CreditMode, OnDrop, Receiver, ReceiverOptions, Sasl, Secret,
    Sender, SenderOptions, Session, SessionOptions, Settlement, client::TlsOptions,
};

use super::{Emulator, EmulatorBuilder, Rights};
use crate::sas::{KeyRule, SharedAccessKey, sign};

const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
const HOST: &str = "test-hub.azure-devices.net";
const FAR: u64 = 4_000_000_000;

fn builder() -> EmulatorBuilder {
    Emulator::builder()
        .host(HOST)
        .device("dev1", Some(KEY))
        .device("dev+1 a@b", Some(KEY))
        .policy("service", KEY, Rights::SERVICE_CONNECT)
        .policy("device", KEY, Rights::DEVICE_CONNECT)
        .partitions(2)
        .feedback_interval(Duration::ZERO)
}

fn tls(emulator: &Emulator) -> TlsOptions {
    TlsOptions::trusting_pem(emulator.ca_pem().as_bytes()).unwrap().server_name(HOST)
}

async fn try_connect(
    emulator: &Emulator,
    sasl: Sasl,
) -> Result<(Connection, Session), amqp_transport::ConnectError> {
    let options = ConnectOptions::new("test").hostname(HOST).sasl(sasl).tls(tls(emulator));
    let connection = Connection::connect(("127.0.0.1", emulator.port()), options).await?;
    let session = connection.begin(SessionOptions::new()).await.unwrap();
    Ok((connection, session))
}

async fn connect(emulator: &Emulator, sasl: Sasl) -> (Connection, Session) {
    try_connect(emulator, sasl).await.unwrap()
}

fn token(resource: &str, policy: Option<&str>, expiry: u64) -> String {
    let rule = if resource.contains("://") { KeyRule::Text } else { KeyRule::Base64Decoded };
    sign(resource, &SharedAccessKey::new(KEY), rule, expiry, policy).unwrap().expose().to_owned()
}

fn device_plain(id: &str) -> Sasl {
    let token = token(&format!("{HOST}/devices/{id}"), None, FAR);
    Sasl::Plain { user: format!("{id}@sas.test-hub"), password: Secret::new(token) }
}

fn service_plain() -> Sasl {
    let password = Secret::new(token(HOST, Some("service"), FAR));
    Sasl::Plain { user: "service@sas.root.test-hub".to_owned(), password }
}

fn event_hub_plain() -> Sasl {
    Sasl::Plain { user: "service".to_owned(), password: Secret::new(KEY) }
}

async fn sender(session: &Session, address: &str) -> Result<Sender, AttachError> {
    session.attach_sender(SenderOptions::new(address.to_owned(), address)).await
}

async fn receiver(
    session: &Session,
    source: impl Into<amqp_transport::LinkSource>,
) -> Result<Receiver, AttachError> {
    let options = ReceiverOptions::new("receiver", source).on_drop(OnDrop::LeaveUnsettled);
    session.attach_receiver(options).await
}

fn condition<T>(result: Result<T, AttachError>) -> ErrorCondition {
    match result {
        Err(AttachError::Refused(error)) => error.condition,
        Err(other) => panic!("refused in another way: {other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

fn rejection(outcome: Outcome) -> ErrorCondition {
    match outcome {
        Outcome::Rejected(Some(error)) => error.condition,
        other => panic!("not rejected: {other:?}"),
    }
}

async fn recv(receiver: &Receiver) -> amqp_transport::Delivery {
    tokio::time::timeout(Duration::from_secs(10), receiver.recv()).await.expect("nothing came").unwrap()
}

/// Puts a token and returns the status code of the answer.
async fn put_token(session: &Session, name: &str, token: &str) -> i32 {
    let replies =
        session.attach_receiver(ReceiverOptions::new("cbs-in", "$cbs").target("cbs")).await.unwrap();
    let requests = session.attach_sender(SenderOptions::new("cbs-out", "$cbs")).await.unwrap();
    let mut keys = ApplicationProperties::default();
    keys.insert("operation", "put-token");
    keys.insert("type", "servicebus.windows.net:sastoken");
    keys.insert("name", name.to_owned());
    let sections = Sections {
        properties: Some(Properties { message_id: Some(7_u64.into()), ..Properties::default() }),
        application_properties: Some(keys),
        ..Sections::default()
    };
    let request = Message::new(Body::Value(Value::from(token.to_owned())), sections);
    assert_eq!(requests.send(&request).await.unwrap(), Outcome::Accepted);
    let delivery = recv(&replies).await;
    let answer = delivery.message().unwrap();
    delivery.accept().unwrap();
    let correlation_id = answer.properties.as_ref().and_then(|properties| properties.correlation_id.as_ref());
    assert_eq!(correlation_id, Some(&7_u64.into()), "the id keeps its type");
    let properties = answer.application_properties.as_ref().unwrap();
    assert!(properties.get("status-description").is_some());
    let Some(ValueRef::Int(status)) = properties.get("status-code") else { panic!("no int status-code") };
    requests.detach().await.unwrap();
    replies.detach().await.unwrap();
    status
}

fn partition_address(emulator: &Emulator, partition: &str) -> String {
    format!("{}/ConsumerGroups/$Default/Partitions/{partition}", emulator.event_hub_name())
}

#[tokio::test]
async fn telemetry_goes_from_a_device_to_a_reader() {
    let emulator = builder().start().await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let events = sender(&session, "/devices/dev1/messages/events").await.unwrap();
    for n in 0..10 {
        assert_eq!(events.send(&Message::data(format!("event {n}"))).await.unwrap(), Outcome::Accepted);
    }
    let (_reader, session) = connect(&emulator, event_hub_plain()).await;
    let mut bodies = Vec::new();
    for partition in ["0", "1"] {
        let reader = receiver(&session, partition_address(&emulator, partition)).await.unwrap();
        while let Ok(Ok(delivery)) = tokio::time::timeout(Duration::from_millis(300), reader.recv()).await {
            let event = delivery.message().unwrap();
            assert_eq!(event.message_annotation("iothub-connection-device-id"), Some("dev1".into()));
            assert_eq!(
                event.message_annotation("x-opt-sequence-number"),
                Some(ValueRef::Long(bodies.len() as i64))
            );
            bodies.push(event.body_bytes().unwrap());
            delivery.accept().unwrap();
        }
        reader.detach().await.unwrap();
    }
    let expected: Vec<String> = (0..10).map(|n| format!("event {n}")).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn a_token_put_on_cbs_opens_the_links_of_its_device_only() {
    let emulator = builder().start().await.unwrap();
    for sasl in [Sasl::None, Sasl::Anonymous, Sasl::Mssbcbs] {
        let (_connection, session) = connect(&emulator, sasl).await;
        let address = "/devices/dev1/messages/events";
        assert_eq!(condition(sender(&session, address).await), ErrorCondition::UNAUTHORIZED_ACCESS);
        let resource = format!("{HOST}/devices/dev1");
        assert_eq!(put_token(&session, &resource, &token(&resource, None, FAR)).await, 200);
        sender(&session, address).await.unwrap();
        let other = sender(&session, "/devices/dev%2B1%20a%40b/messages/events").await;
        assert_eq!(condition(other), ErrorCondition::UNAUTHORIZED_ACCESS);
        assert_eq!(
            condition(sender(&session, "/messages/devicebound").await),
            ErrorCondition::UNAUTHORIZED_ACCESS
        );
    }
}

#[tokio::test]
async fn bad_tokens_are_refused_with_their_status() {
    let emulator = builder().start().await.unwrap();
    let (_connection, session) = connect(&emulator, Sasl::Anonymous).await;
    let put = async |resource: &str, policy, expiry| {
        put_token(&session, resource, &token(resource, policy, expiry)).await
    };
    assert_eq!(put(&format!("{HOST}/devices/dev9"), None, FAR).await, 404);
    assert_eq!(put(&format!("{HOST}/devices/dev1"), None, 1_000_000_000).await, 401);
    assert_eq!(put(HOST, Some("nobody"), FAR).await, 401);
    assert_eq!(put("other.azure-devices.net", Some("service"), FAR).await, 401);
    assert_eq!(put_token(&session, HOST, "Bearer x").await, 400);
}

#[tokio::test]
async fn plain_users_are_let_in_or_not() {
    let emulator = builder().start().await.unwrap();
    let (_connection, session) = connect(&emulator, device_plain("dev+1 a@b")).await;
    sender(&session, "/devices/dev+1 a@b/messages/events").await.unwrap();
    let (_connection, session) = connect(&emulator, service_plain()).await;
    sender(&session, "/messages/devicebound").await.unwrap();
    assert_eq!(
        condition(sender(&session, "/devices/dev1/messages/events").await),
        ErrorCondition::UNAUTHORIZED_ACCESS
    );

    let whole_host = match device_plain("dev1") {
        Sasl::Plain { password, .. } => Sasl::Plain { user: format!("dev1@sas.{HOST}"), password },
        other => other,
    };
    let error = try_connect(&emulator, whole_host).await.unwrap_err();
    assert!(error.is_auth(), "{error}");
}

#[tokio::test]
async fn readers_at_the_hub_are_redirected_to_the_event_hub() {
    let emulator = builder().start().await.unwrap();
    let (_connection, session) = connect(&emulator, service_plain()).await;
    let address = format!("amqps://{HOST}/messages/events/ConsumerGroups/$Default/Partitions/0");
    let Err(AttachError::Redirect(redirect)) = receiver(&session, address).await else {
        panic!("not redirected")
    };
    let there = format!("amqps://{HOST}:{}/{}", emulator.port(), partition_address(&emulator, "0"));
    assert_eq!(redirect.hostname.as_deref(), Some(HOST));
    assert_eq!(redirect.port, Some(emulator.port()));
    assert_eq!(redirect.address.as_deref(), Some(there.as_str()));

    let (_connection, session) = connect(&emulator, Sasl::Anonymous).await;
    assert_eq!(condition(receiver(&session, there.clone()).await), ErrorCondition::UNAUTHORIZED_ACCESS);
    assert_eq!(put_token(&session, &there, &token(&there, Some("service"), FAR)).await, 200);
    receiver(&session, there).await.unwrap();
    let (_connection, session) = connect(&emulator, device_plain("dev1")).await;
    assert_eq!(condition(receiver(&session, "/messages/events").await), ErrorCondition::UNAUTHORIZED_ACCESS);
}

#[tokio::test]
async fn a_reader_is_refused_for_its_own_reason() {
    let emulator = builder().start().await.unwrap();
    let (_connection, session) = connect(&emulator, event_hub_plain()).await;
    let entity = emulator.event_hub_name();
    let unknown_partition = receiver(&session, partition_address(&emulator, "2")).await;
    assert_eq!(condition(unknown_partition), ErrorCondition::NOT_FOUND);
    let unknown_group = receiver(&session, format!("{entity}/ConsumerGroups/nobody/Partitions/0")).await;
    assert_eq!(condition(unknown_group), ErrorCondition::NOT_FOUND);
    let filter = Described::new(0x468C_0000_0004_u64, "x > 5");
    let bad_filter = Source::new(partition_address(&emulator, "0"))
        .with_filter("apache.org:selector-filter:string", filter);
    assert_eq!(condition(receiver(&session, bad_filter).await), ErrorCondition::INVALID_FIELD);
    assert_eq!(condition(sender(&session, entity).await), ErrorCondition::UNAUTHORIZED_ACCESS);
}

#[tokio::test]
async fn telemetry_over_the_limit_is_rejected_and_the_link_lives() {
    let emulator = builder().start().await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let events = sender(&session, "/devices/dev1/messages/events").await.unwrap();
    let outcome = events.send(&Message::data(vec![0; 256 * 1024 + 1])).await.unwrap();
    assert_eq!(rejection(outcome), ErrorCondition::MESSAGE_SIZE_EXCEEDED);
    assert_eq!(events.send(&Message::data("small")).await.unwrap(), Outcome::Accepted);
}

fn command(id: &str) -> Message {
    Message::data("on")
        .with_message_id(id.to_owned())
        .with_to("/devices/dev1/messages/devicebound")
        .with_application_property("iothub-ack", "full")
}

#[tokio::test]
async fn a_command_ends_as_the_device_says_and_the_service_is_told() {
    let emulator = builder().max_delivery_count(2).start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    let commands = sender(&session, "/messages/devicebound").await.unwrap();
    let feedback = receiver(&session, "/messages/serviceBound/feedback").await.unwrap();
    for id in ["complete", "reject", "abandon"] {
        assert_eq!(commands.send(&command(id)).await.unwrap(), Outcome::Accepted);
    }
    let soon = Properties {
        absolute_expiry_time: Some(Timestamp(1)),
        ..command("expire").properties.clone().unwrap()
    };
    assert_eq!(commands.send(&command("expire").with_properties(soon)).await.unwrap(), Outcome::Accepted);
    let unknown = commands.send(&command("x").with_to("/devices/dev9/messages/devicebound")).await.unwrap();
    assert_eq!(rejection(unknown), ErrorCondition::NOT_FOUND);

    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let inbox = receiver(&session, "/devices/dev1/messages/deviceBound").await.unwrap();
    for _ in 0..4 {
        let delivery = recv(&inbox).await;
        assert_eq!(delivery.tag().as_slice().len(), 16, "the tag is a GUID");
        let message = delivery.message().unwrap();
        let id = message
            .properties
            .as_ref()
            .and_then(|properties| properties.message_id.clone())
            .unwrap()
            .to_string();
        match id.as_str() {
            "complete" => delivery.accept().unwrap(),
            "reject" => delivery.reject(None).unwrap(),
            _ => delivery.release().unwrap(),
        }
    }
    let mut told = Vec::new();
    while told.len() < 4 {
        let delivery = recv(&feedback).await;
        let message = delivery.message().unwrap();
        let records: serde_json::Value = serde_json::from_slice(&message.body_bytes().unwrap()).unwrap();
        for record in records.as_array().unwrap() {
            let text = |key: &str| record[key].as_str().unwrap().to_owned();
            told.push(format!("{}: {}", text("originalMessageId"), text("statusCode")));
        }
        delivery.accept().unwrap();
    }
    told.sort();
    assert_eq!(
        told,
        ["abandon: DeliveryCountExceeded", "complete: Success", "expire: Expired", "reject: Rejected"]
    );
}

#[tokio::test]
async fn the_fifty_first_command_is_rejected() {
    let emulator = builder().start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    let commands = sender(&session, "/messages/devicebound").await.unwrap();
    for n in 0..50 {
        assert_eq!(commands.send(&command(&n.to_string())).await.unwrap(), Outcome::Accepted);
    }
    let outcome = commands.send(&command("51")).await.unwrap();
    assert_eq!(rejection(outcome), ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert_eq!(emulator.purge_commands("dev1"), 50);
}

#[tokio::test]
async fn a_lapsed_lock_brings_the_command_again() {
    let emulator = builder().lock_duration(Duration::from_millis(200)).start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    sender(&session, "/messages/devicebound").await.unwrap().send(&command("a")).await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let inbox = receiver(&session, "/devices/dev1/messages/devicebound").await.unwrap();
    let first = recv(&inbox).await;
    let second = recv(&inbox).await;
    assert_ne!(first.tag().as_slice(), second.tag().as_slice());
    assert_eq!(
        second.message().unwrap().message_annotation("iothub-deliverycount"),
        Some(ValueRef::Ubyte(0))
    );
    first.accept().unwrap();
    second.accept().unwrap();
}

#[tokio::test]
async fn a_settlement_after_the_lock_has_lapsed_is_told_to_be_too_late() {
    let emulator = builder().lock_duration(Duration::from_millis(200)).start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    sender(&session, "/messages/devicebound").await.unwrap().send(&command("a")).await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let options = ReceiverOptions::new("r", "/devices/dev1/messages/devicebound")
        .rcv_settle_mode(ReceiverSettleMode::Second)
        .on_drop(OnDrop::LeaveUnsettled);
    let inbox = session.attach_receiver(options).await.unwrap();
    let first = recv(&inbox).await;
    let second = recv(&inbox).await;
    assert!(first.accept_confirmed().await.is_err(), "the lock was lost");
    second.accept_confirmed().await.unwrap();
    assert_eq!(emulator.purge_commands("dev1"), 0);
}

#[tokio::test]
async fn a_settlement_told_just_before_the_end_of_the_link_counts() {
    let emulator = builder().start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    let commands = sender(&session, "/messages/devicebound").await.unwrap();
    for n in 0..5 {
        commands.send(&command(&n.to_string())).await.unwrap();
        let (connection, session) = connect(&emulator, device_plain("dev1")).await;
        let inbox = receiver(&session, "/devices/dev1/messages/devicebound").await.unwrap();
        recv(&inbox).await.accept().unwrap();
        connection.close().await.unwrap();
    }
    let done = async {
        while emulator.hub.commands_of("dev1").unwrap().len() > 0 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(5), done).await.expect("a completed command is still pending");
}

#[tokio::test]
async fn a_device_reports_feedback_itself() {
    let emulator = builder().start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    let feedback = receiver(&session, "/messages/serviceBound/feedback").await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let link = sender(&session, "/messages/serviceBound/feedback").await.unwrap();
    let record = |device: &str| {
        format!(r#"[{{"originalMessageId":"m","statusCode":"Success","deviceId":"{device}"}}]"#)
    };
    assert_eq!(link.send(&Message::data(record("dev1"))).await.unwrap(), Outcome::Accepted);
    let other = link.send(&Message::data(record("dev2"))).await.unwrap();
    assert_eq!(rejection(other), ErrorCondition::NOT_ALLOWED);
    let delivery = recv(&feedback).await;
    assert!(
        String::from_utf8_lossy(&delivery.message().unwrap().body_bytes().unwrap())
            .contains(r#""originalMessageId":"m""#)
    );
    let (_connection, session) = connect(&emulator, Sasl::Anonymous).await;
    assert_eq!(
        condition(sender(&session, "/messages/servicebound/feedback").await),
        ErrorCondition::UNAUTHORIZED_ACCESS
    );
}

#[tokio::test]
async fn a_device_that_connects_again_takes_its_links_over() {
    let emulator = builder().start().await.unwrap();
    let address = "/devices/dev1/messages/events";
    let (_first, session) = connect(&emulator, device_plain("dev1")).await;
    let first = sender(&session, address).await.unwrap();
    let (_second, session) = connect(&emulator, device_plain("dev1")).await;
    let second = sender(&session, address).await.unwrap();
    let reason = first.detached().await;
    assert_eq!(reason.remote().unwrap().condition, ErrorCondition::STOLEN, "{reason:?}");
    assert_eq!(second.send(&Message::data("x")).await.unwrap(), Outcome::Accepted);
}

#[tokio::test]
async fn a_link_ends_with_its_token_and_lives_on_with_a_new_one() {
    let emulator = builder().start().await.unwrap();
    let (_connection, session) = connect(&emulator, Sasl::None).await;
    let resource = format!("{HOST}/devices/dev1");
    let now = crate::clock::unix_seconds(crate::clock::Clock::now(&crate::clock::SystemClock));
    assert_eq!(put_token(&session, &resource, &token(&resource, None, now + 2)).await, 200);
    let events = sender(&session, "/devices/dev1/messages/events").await.unwrap();
    assert_eq!(put_token(&session, &resource, &token(&resource, None, now + 4)).await, 200);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(events.send(&Message::data("still here")).await.unwrap(), Outcome::Accepted);
    let reason = events.detached().await;
    assert_eq!(reason.remote().unwrap().condition, ErrorCondition::UNAUTHORIZED_ACCESS, "{reason:?}");
}

#[tokio::test]
async fn management_tells_about_the_event_hub_in_its_own_types() {
    let emulator = builder().start().await.unwrap();
    let (_connection, session) = connect(&emulator, event_hub_plain()).await;
    let replies =
        session.attach_receiver(ReceiverOptions::new("in", "$management").target("me")).await.unwrap();
    let requests = session.attach_sender(SenderOptions::new("out", "$management")).await.unwrap();
    let ask = async |kind: &'static str, partition: Option<&'static str>| {
        let mut request = Message::value(Value::Null).with_message_id("q").with_reply_to("me");
        let name = emulator.event_hub_name().to_owned();
        for (key, value) in [("operation", "READ".to_owned()), ("name", name), ("type", kind.to_owned())] {
            request = request.with_application_property(key, value);
        }
        if let Some(partition) = partition {
            request = request.with_application_property("partition", partition);
        }
        requests.send(&request).await.unwrap();
        let delivery = recv(&replies).await;
        let answer = delivery.message().unwrap();
        delivery.accept().unwrap();
        let status = answer.application_property("status-code").map(Value::from);
        let Body::Value(body) = answer.body else { panic!("no value") };
        (status, body)
    };
    let (status, hub) = ask("com.microsoft:eventhub", None).await;
    assert_eq!(status, Some(Value::Int(200)));
    let hub = hub.as_map().unwrap().clone();
    assert_eq!(hub.get_str("partition_count"), Some(ValueRef::Int(2)));
    assert_eq!(hub.get_str("partition_ids").and_then(|value| value.as_array()).map(|ids| ids.len()), Some(2));
    let (_, partition) = ask("com.microsoft:partition", Some("1")).await;
    let partition = partition.as_map().unwrap().clone();
    assert_eq!(partition.get_str("begin_sequence_number"), Some(ValueRef::Long(0)));
    assert_eq!(partition.get_str("is_partition_empty"), Some(ValueRef::Boolean(true)));
    assert_eq!(ask("com.microsoft:partition", Some("9")).await.0, Some(Value::Int(404)));
}

#[tokio::test]
async fn a_stop_is_told_and_a_kill_is_not() {
    let emulator = builder().start().await.unwrap();
    let (connection, _session) = connect(&emulator, device_plain("dev1")).await;
    emulator.stop().await;
    let reason = connection.closed().await;
    assert_eq!(reason.condition(), Some(ErrorCondition::CONNECTION_FORCED), "{reason:?}");

    let emulator = builder().start().await.unwrap();
    let (connection, _session) = connect(&emulator, device_plain("dev1")).await;
    emulator.kill();
    let reason = tokio::time::timeout(Duration::from_secs(5), connection.closed()).await.expect("still open");
    assert_eq!(reason.condition(), None, "{reason:?}");
}

#[tokio::test]
async fn a_reader_follows_live_and_misses_nothing() {
    const COUNT: usize = 20_000;
    let emulator = builder().partitions(1).start().await.unwrap();
    let (_reader, session) = connect(&emulator, event_hub_plain()).await;
    let options = ReceiverOptions::new("r", partition_address(&emulator, "0")).credit(CreditMode::Auto(1000));
    let reader = session.attach_receiver(options).await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let events = sender(&session, "/devices/dev1/messages/events").await.unwrap();
    let sending = tokio::spawn(async move {
        let mut receipts = Vec::new();
        for n in 0..COUNT {
            let payload = amqp_codec::to_bytes(&Message::data(format!("{n:0>250}")));
            receipts.push(events.send_encoded(payload, 0, Settlement::Unsettled).await.unwrap());
        }
        for receipt in receipts {
            assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
        }
    });
    for n in 0..COUNT {
        let delivery = recv(&reader).await;
        assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), format!("{n:0>250}"));
        delivery.settle_with(DeliveryState::Accepted).unwrap();
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn what_was_sent_settled_before_a_close_is_stored() {
    let emulator = builder().partitions(1).start().await.unwrap();
    let (device, session) = connect(&emulator, device_plain("dev1")).await;
    let options =
        SenderOptions::new("s", "/devices/dev1/messages/events").snd_settle_mode(SenderSettleMode::Settled);
    let events = session.attach_sender(options).await.unwrap();
    for n in 0..500 {
        events.send(&Message::data(format!("{n}"))).await.unwrap();
    }
    device.close().await.unwrap();
    let (_reader, session) = connect(&emulator, event_hub_plain()).await;
    let reader = receiver(&session, partition_address(&emulator, "0")).await.unwrap();
    for n in 0..500 {
        let delivery = recv(&reader).await;
        assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), format!("{n}"));
        delivery.accept().unwrap();
    }
}

#[tokio::test]
async fn a_plain_client_on_the_tls_port_is_cut_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let emulator = builder().start().await.unwrap();
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", emulator.port())).await.unwrap();
    socket.write_all(b"AMQP\0\x01\0\0").await.unwrap();
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "still open");
    assert!(!answer.starts_with(b"AMQP"));
}

#[tokio::test]
async fn an_open_carries_azures_values() {
    let emulator = builder().start().await.unwrap();
    let (connection, _session) = connect(&emulator, Sasl::None).await;
    let open = connection.remote_open();
    assert!(open.container_id.starts_with("DeviceGateway_") && open.container_id.len() == 46);
    assert_eq!((open.max_frame_size, open.channel_max), (65_536, 8191));
}

#[tokio::test]
async fn a_device_is_told_only_when_live_readers_have_its_message() {
    let emulator = builder().partitions(1).start().await.unwrap();
    let (_reader, session) = connect(&emulator, event_hub_plain()).await;
    let reader = receiver(&session, partition_address(&emulator, "0")).await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let events = sender(&session, "/devices/dev1/messages/events").await.unwrap();
    let mut receipt = events.send_with_receipt(&Message::data("x")).await.unwrap();
    let delivery = recv(&reader).await;
    let early = tokio::time::timeout(Duration::from_millis(50), &mut receipt).await;
    assert!(early.is_err(), "told before the reader confirmed");
    delivery.accept().unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);

    // A reader that never confirms holds nobody up for long.
    let receipt = events.send_with_receipt(&Message::data("y")).await.unwrap();
    let _unsettled = recv(&reader).await;
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(5), receipt).await.unwrap().unwrap(),
        Outcome::Accepted
    );
}

#[tokio::test]
async fn what_was_accepted_before_a_kill_has_been_read() {
    let emulator = builder().partitions(1).start().await.unwrap();
    let (_reader, session) = connect(&emulator, event_hub_plain()).await;
    let reader = receiver(&session, partition_address(&emulator, "0")).await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let events = sender(&session, "/devices/dev1/messages/events").await.unwrap();
    let sending = tokio::spawn(async move {
        let mut receipts = Vec::new();
        while let Ok(receipt) = events.send_with_receipt(&Message::data(vec![0; 300])).await {
            receipts.push(receipt);
        }
        let mut accepted = 0;
        for receipt in receipts {
            accepted += usize::from(matches!(receipt.await, Ok(Outcome::Accepted)));
        }
        accepted
    });
    let mut read = 0;
    while let Ok(delivery) = reader.recv().await {
        delivery.accept().unwrap_or_default();
        read += 1;
        if read == 3000 {
            emulator.kill();
        }
    }
    let accepted = sending.await.unwrap();
    assert!((1..=read).contains(&accepted), "{accepted} accepted, {read} read");
}
