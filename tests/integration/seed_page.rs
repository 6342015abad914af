//! Each row of the tables in Microsoft's page "Communicate with your IoT hub by using the AMQP Protocol" as a test of
//! its own, over real TLS sockets. The links of the tables are attached by bare AMQP clients with the addresses as the
//! page spells them; what the page describes in words is done with the profile's clients.

use std::{collections::HashSet, time::Duration};

use amqp_codec::{Message, Outcome, ValueRef};
use amqp_transport::client::{AttachError, ReceiverOptions, Sasl, SenderOptions, SessionOptions};
use iothub_profile::{
    ConnectionString,
    connection_string::Credential,
    device::{CommandOptions, DeviceClient},
    error::ErrorKind,
    events::{EventsReader, ReaderOptions, StartPosition},
    host::HostName,
    message::{Ack, C2dMessage, FeedbackStatus, TelemetryMessage},
    sas::{self, KeyRule},
    service::ServiceClient,
    supervisor::{AuthMode, ConnectionStatus, ReconnectPolicy},
};
use tokio::time::timeout;
use workspace_tests::{
    hub::{Auth, DEVICE, Hub, Role, command, key_of, now},
    relay::Relay,
};

/// No step of these tests takes longer unless something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {PATIENCE:?}"),
    }
}

// ---- Service client: links ------------------------------------------------------------------------------------------

#[tokio::test]
async fn service_sender_link_messages_devicebound() {
    let hub = Hub::start().await;
    let service = hub.connect(Role::Service, Auth::Cbs).await;
    let sender = service.sender("/messages/devicebound").await;
    let outcome = soon("sending", sender.send(&command("m1", DEVICE, "full", "do it"))).await.unwrap();
    assert_eq!(outcome, Outcome::Accepted);
    let unknown = soon("sending", sender.send(&command("m2", "nobody", "none", "do it"))).await.unwrap();
    let Outcome::Rejected(Some(error)) = unknown else { panic!("not rejected but {unknown:?}") };
    assert_eq!(error.condition.0.as_str(), "amqp:not-found");
}

#[tokio::test]
async fn service_receiver_link_messages_service_bound_feedback() {
    let hub = Hub::start().await;
    let service = hub.connect(Role::Service, Auth::Cbs).await;
    let feedback = service.receiver("/messages/serviceBound/feedback").await;
    let sender = service.sender("/messages/devicebound").await;
    sender.send(&command("m1", DEVICE, "full", "do it")).await.unwrap();
    let device = hub.connect(Role::Device, Auth::Cbs).await;
    let commands = device.receiver(&format!("/devices/{DEVICE}/messages/devicebound")).await;
    soon("the command", commands.recv()).await.unwrap().accept().unwrap();

    let delivery = soon("the feedback", feedback.recv()).await.unwrap();
    let message = delivery.message().unwrap();
    let content_type = message.properties.as_ref().and_then(|properties| properties.content_type.as_ref());
    assert_eq!(
        content_type.map(|symbol| symbol.as_str()),
        Some("application/vnd.microsoft.iothub.feedback.json")
    );
    let records: serde_json::Value = serde_json::from_slice(&message.body_bytes().unwrap()).unwrap();
    assert_eq!(records[0]["statusCode"], "Success");
    assert_eq!(records[0]["deviceId"], DEVICE);
    assert_eq!(records[0]["originalMessageId"], "m1");
    delivery.accept().unwrap();
}

#[tokio::test]
async fn service_receiver_link_messages_events_partition_is_redirected() {
    let hub = Hub::start().await;
    for auth in [Auth::Cbs, Auth::Plain] {
        let service = hub.connect(Role::Service, auth).await;
        let address = "/messages/events/ConsumerGroups/$Default/Partitions/0";
        let refused = service.session.attach_receiver(ReceiverOptions::new("events", address)).await;
        let Err(AttachError::Redirect(redirect)) = refused else { panic!("not redirected but {refused:?}") };
        assert!(redirect.hostname.is_some() && redirect.network_host.is_some());
        assert_eq!(redirect.port, Some(hub.emulator.port()));
        let target = redirect.address.unwrap();
        assert!(target.starts_with("amqps://"), "{target}");
        assert!(target.ends_with("/ConsumerGroups/$Default/Partitions/0"), "{target}");
    }
}

// ---- Device client: links -------------------------------------------------------------------------------------------

#[tokio::test]
async fn device_receiver_link_messages_devicebound() {
    let hub = Hub::start().await;
    let service = hub.connect(Role::Service, Auth::Cbs).await;
    let sender = service.sender("/messages/devicebound").await;
    sender.send(&command("m1", DEVICE, "none", "do it")).await.unwrap();
    let device = hub.connect(Role::Device, Auth::Cbs).await;
    let commands = device.receiver(&format!("/devices/{DEVICE}/messages/devicebound")).await;
    let delivery = soon("the command", commands.recv()).await.unwrap();
    let message = delivery.message().unwrap();
    assert_eq!(message.body_bytes().as_deref(), Some(b"do it".as_slice()));
    let to = message.properties.as_ref().and_then(|properties| properties.to.as_ref());
    assert_eq!(to.map(|to| to.as_str()), Some("/devices/dev1/messages/devicebound"));
    let annotations = message.message_annotations.as_ref().unwrap();
    assert!(matches!(annotations.get("x-opt-sequence-number"), Some(ValueRef::Ulong(_))));
    delivery.accept().unwrap();
}

#[tokio::test]
async fn device_sender_link_messages_events() {
    let hub = Hub::start().await;
    let device = hub.connect(Role::Device, Auth::Cbs).await;
    let sender = device.sender(&format!("/devices/{DEVICE}/messages/events")).await;
    let outcome = soon("sending", sender.send(&Message::data("21.5"))).await.unwrap();
    assert_eq!(outcome, Outcome::Accepted);
    let others = SenderOptions::new("others", "/devices/somebody-else/messages/events");
    let refused = device.session.attach_sender(others).await;
    assert!(matches!(refused, Err(AttachError::Refused(_))), "another device's link: {refused:?}");
}

#[tokio::test]
async fn device_sender_link_messages_service_bound_feedback() {
    let hub = Hub::start().await;
    let device = hub.connect(Role::Device, Auth::Cbs).await;
    let sender = device.sender("/messages/serviceBound/feedback").await;
    let report = format!(
        r#"[{{"originalMessageId":"m1","description":"Success","statusCode":"Success","deviceId":"{DEVICE}"}}]"#
    );
    let outcome = soon("sending", sender.send(&Message::data(report))).await.unwrap();
    assert_eq!(outcome, Outcome::Accepted);
    let outcome = soon("sending", sender.send(&Message::data("no feedback"))).await.unwrap();
    assert!(matches!(outcome, Outcome::Rejected(Some(_))), "{outcome:?}");

    let service = ServiceClient::open(&hub.service(), hub.options()).await.unwrap();
    let feedback = service.feedback().await.unwrap();
    let batch = soon("the feedback", feedback.recv()).await.unwrap();
    assert_eq!(batch.records()[0].original_message_id, "m1");
    batch.complete().await.unwrap();
}

// ---- Authentication -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_device_authenticates_with_sasl_plain() {
    let hub = Hub::start().await;
    let device = hub.connect(Role::Device, Auth::Plain).await;
    let sender = device.sender(&format!("/devices/{DEVICE}/messages/events")).await;
    assert_eq!(sender.send(&Message::data("21.5")).await.unwrap(), Outcome::Accepted);
}

#[tokio::test]
async fn a_service_authenticates_with_sasl_plain() {
    let hub = Hub::start().await;
    let service = hub.connect(Role::Service, Auth::Plain).await;
    let sender = service.sender("/messages/devicebound").await;
    assert_eq!(sender.send(&command("m1", DEVICE, "none", "do it")).await.unwrap(), Outcome::Accepted);
}

#[tokio::test]
async fn a_device_authenticates_with_claims() {
    let hub = Hub::start().await;
    let device = hub.connect(Role::Device, Auth::Cbs).await;
    device.receiver(&format!("/devices/{DEVICE}/messages/devicebound")).await;
}

#[tokio::test]
async fn a_service_authenticates_with_claims() {
    let hub = Hub::start().await;
    let service = hub.connect(Role::Service, Auth::Cbs).await;
    service.receiver("/messages/serviceBound/feedback").await;
}

#[tokio::test]
async fn no_link_opens_without_claims() {
    let hub = Hub::start().await;
    let connection = hub.open(Sasl::Anonymous).await;
    let session = connection.begin(SessionOptions::new()).await.unwrap();
    let refused = session.attach_sender(SenderOptions::new("s", "/messages/devicebound")).await;
    let Err(AttachError::Refused(error)) = refused else { panic!("not refused but {refused:?}") };
    assert_eq!(error.condition.0.as_str(), "amqp:unauthorized-access");
}

#[tokio::test]
async fn the_profiles_clients_work_over_both_ways_of_authenticating() {
    let hub = Hub::start().await;
    for auth in [AuthMode::Cbs, AuthMode::SaslPlain] {
        let options = hub.options().with_auth(auth);
        let device = DeviceClient::open(&hub.device(DEVICE), options.clone()).await.unwrap();
        let service = ServiceClient::open(&hub.service(), options).await.unwrap();
        device.send(&TelemetryMessage::new("21.5")).await.unwrap();
        service.send_command(DEVICE, &C2dMessage::new("do it")).await.unwrap();
        let commands = device.commands(CommandOptions::new()).await.unwrap();
        soon("the command", commands.recv()).await.unwrap().complete().await.unwrap();
        device.close().await;
        service.close().await;
        assert!(matches!(*device.status().borrow(), ConnectionStatus::Closed));
    }
}

// ---- Commands and feedback ------------------------------------------------------------------------------------------

#[tokio::test]
async fn every_way_a_command_can_end_comes_back_as_feedback() {
    let hub = Hub::of(workspace_tests::hub::builder().max_delivery_count(2)).await;
    let service = ServiceClient::open(&hub.service(), hub.options()).await.unwrap();
    let feedback = service.feedback().await.unwrap();
    let device = DeviceClient::open(&hub.device(DEVICE), hub.options()).await.unwrap();
    for id in ["completed", "rejected", "abandoned"] {
        let command = C2dMessage::new(id).with_message_id(id).with_ack(Ack::Full);
        service.send_command(DEVICE, &command).await.unwrap();
    }
    let commands = device.commands(CommandOptions::new()).await.unwrap();
    let device_side = tokio::spawn(async move {
        let mut abandoned = 0;
        loop {
            let command = commands.recv().await.unwrap();
            match command.message_id().as_deref() {
                Some("completed") => command.complete().await.unwrap(),
                Some("rejected") => command.reject().await.unwrap(),
                Some("abandoned") => {
                    abandoned += 1;
                    assert!(abandoned <= 3, "given up after the count is exceeded");
                    command.abandon().await.unwrap();
                }
                other => panic!("an unexpected command {other:?}"),
            }
        }
    });
    let mut statuses = Vec::new();
    while statuses.len() < 3 {
        let batch = soon("the feedback", feedback.recv()).await.unwrap();
        for record in batch.records() {
            assert_eq!(record.device_id, DEVICE);
            statuses.push((record.original_message_id.clone(), record.status.clone()));
        }
        batch.complete().await.unwrap();
    }
    statuses.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        statuses,
        [
            ("abandoned".to_owned(), FeedbackStatus::DeliveryCountExceeded),
            ("completed".to_owned(), FeedbackStatus::Success),
            ("rejected".to_owned(), FeedbackStatus::Rejected),
        ]
    );
    device_side.abort();
}

#[tokio::test]
async fn refusals_have_their_class() {
    let hub = Hub::start().await;
    let service = ServiceClient::open(&hub.service(), hub.options()).await.unwrap();
    let unknown = service.send_command("nobody", &C2dMessage::new("do it")).await.unwrap_err();
    assert_eq!((unknown.kind(), unknown.condition()), (ErrorKind::Refused, Some("amqp:not-found")));
    let large = service.send_command(DEVICE, &C2dMessage::new(vec![b'x'; 65 * 1024])).await.unwrap_err();
    assert_eq!(large.kind(), ErrorKind::TooLarge, "{large}");
    for _ in 0..50 {
        service.send_command(DEVICE, &C2dMessage::new("do it")).await.unwrap();
    }
    let full = service.send_command(DEVICE, &C2dMessage::new("do it")).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Quota, "{full}");
    let device = DeviceClient::open(&hub.device(DEVICE), hub.options()).await.unwrap();
    let large = device.send(&TelemetryMessage::new(vec![b'x'; 257 * 1024])).await.unwrap_err();
    assert_eq!(large.kind(), ErrorKind::TooLarge, "{large}");
    device.send(&TelemetryMessage::new("the link is still good")).await.unwrap();
}

// ---- Telemetry and its redirect -------------------------------------------------------------------------------------

#[tokio::test]
async fn the_redirect_is_followed_and_every_partition_read() {
    let hub = Hub::start().await;
    let device = DeviceClient::open(&hub.device(DEVICE), hub.options()).await.unwrap();
    for number in 0..20 {
        let message = TelemetryMessage::new(number.to_string()).with_property("number", number.to_string());
        device.send(&message).await.unwrap();
    }
    let mut reader = EventsReader::open(&hub.service(), hub.options(), ReaderOptions::new()).await.unwrap();
    assert_eq!(reader.partition_ids(), ["0", "1"]);
    let mut numbers = Vec::new();
    let mut sequence_numbers = Vec::new();
    for _ in 0..20 {
        let event = soon("an event", reader.recv()).await.unwrap();
        assert_eq!(event.device_id(), Some(DEVICE));
        assert!(event.enqueued_time().is_some() && event.offset().is_some());
        assert_eq!(
            event.property("number").and_then(|value| value.as_str()).map(str::as_bytes),
            Some(&*event.body())
        );
        numbers.push(String::from_utf8(event.body().to_vec()).unwrap());
        sequence_numbers.push(event.sequence_number().unwrap());
    }
    assert_eq!(numbers, (0..20).map(|number| number.to_string()).collect::<Vec<_>>(), "in order, once each");
    let partition = if reader.partition_info("0").await.unwrap().is_empty { "1" } else { "0" };
    let info = reader.partition_info(partition).await.unwrap();
    assert_eq!(Some(&info.last_enqueued_sequence_number), sequence_numbers.last());
}

#[tokio::test]
async fn reading_starts_where_the_selector_says() {
    let hub = Hub::start().await;
    let device = DeviceClient::open(&hub.device(DEVICE), hub.options()).await.unwrap();
    for number in 0..10 {
        device.send(&TelemetryMessage::new(number.to_string())).await.unwrap();
    }
    let mut all = EventsReader::open(&hub.service(), hub.options(), ReaderOptions::new()).await.unwrap();
    let mut events = Vec::new();
    for _ in 0..10 {
        events.push(soon("an event", all.recv()).await.unwrap());
    }
    let fifth = &events[5];
    let sequence_number = fifth.sequence_number().unwrap();
    for (position, first) in [
        (StartPosition::Earliest, "0"),
        (StartPosition::AfterSequenceNumber(sequence_number), "6"),
        (StartPosition::FromSequenceNumber(sequence_number), "5"),
        (StartPosition::AfterOffset(fifth.offset().unwrap().to_owned()), "6"),
        (StartPosition::AfterTime(fifth.enqueued_time().unwrap() - Duration::from_secs(3600)), "0"),
    ] {
        let options = ReaderOptions::new().with_position(position.clone());
        let mut reader = EventsReader::open(&hub.service(), hub.options(), options).await.unwrap();
        let event = soon("an event", reader.recv()).await.unwrap();
        assert_eq!(event.body(), first, "{position}");
    }
    let options = ReaderOptions::new().with_position(StartPosition::Latest);
    let mut latest = EventsReader::open(&hub.service(), hub.options(), options).await.unwrap();
    device.send(&TelemetryMessage::new("new")).await.unwrap();
    assert_eq!(soon("an event", latest.recv()).await.unwrap().body(), "new");
}

#[tokio::test]
async fn an_event_hubs_connection_string_needs_no_redirect() {
    let hub = Hub::start().await;
    let device = DeviceClient::open(&hub.device(DEVICE), hub.options()).await.unwrap();
    device.send(&TelemetryMessage::new("21.5")).await.unwrap();
    let string = hub.emulator.event_hub_connection_string("service").unwrap().parse().unwrap();
    let mut reader = EventsReader::open(&string, hub.options(), ReaderOptions::new()).await.unwrap();
    assert_eq!(soon("an event", reader.recv()).await.unwrap().body(), "21.5");
}

#[tokio::test]
async fn an_unknown_partition_or_group_is_refused() {
    let hub = Hub::start().await;
    let options = ReaderOptions::new().with_partitions(["7"]);
    let error = EventsReader::open(&hub.service(), hub.options(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let options = ReaderOptions::new().with_group("nobody");
    let error = EventsReader::open(&hub.service(), hub.options(), options).await.unwrap_err();
    assert_eq!((error.kind(), error.condition()), (ErrorKind::Refused, Some("amqp:not-found")), "{error}");
}

// ---- Additional notes: renewal and reconnecting ---------------------------------------------------------------------

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let hub = Hub::start().await;
    let lifetime = Duration::from_secs(3);
    for auth in [AuthMode::Cbs, AuthMode::SaslPlain] {
        let options = hub.options().with_auth(auth).with_token_lifetime(lifetime);
        let device = DeviceClient::open(&hub.device(DEVICE), options).await.unwrap();
        device.send(&TelemetryMessage::new("before")).await.unwrap();
        tokio::time::sleep(lifetime + Duration::from_secs(1)).await;
        device.send(&TelemetryMessage::new("after")).await.unwrap();
        let status = device.status().borrow().clone();
        let ConnectionStatus::Connected { generation } = status else { panic!("{status}") };
        match auth {
            AuthMode::Cbs => assert_eq!(generation, 1, "renewed on the live link"),
            _ => assert!(generation >= 2, "renewed by connecting again"),
        }
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_ends_the_client() {
    let hub = Hub::start().await;
    let ConnectionString::Device(mut string) = hub.device(DEVICE) else { panic!("no device's string") };
    let key = key_of(&hub.device(DEVICE));
    let token = sas::sign(&string.resource(), &key, KeyRule::Base64Decoded, now() + 2, None).unwrap();
    string.credential = Credential::Token(token);
    let device = DeviceClient::open(&ConnectionString::Device(string), hub.options()).await.unwrap();
    device.send(&TelemetryMessage::new("before")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let error = soon("sending", device.send(&TelemetryMessage::new("after"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credential, "{error}");
    let last = device.status().borrow().clone();
    assert!(
        matches!(&last, ConnectionStatus::Failed(error) if error.kind() == ErrorKind::Credential),
        "{last}"
    );
}

#[tokio::test]
async fn a_dropped_connection_is_made_again_with_its_links() {
    let hub = Hub::start().await;
    let relay = Relay::start(hub.emulator.port()).await.unwrap();
    let relayed =
        || hub.options().with_address(HostName::parse("127.0.0.1").unwrap().with_port(relay.port()));
    let device = DeviceClient::open(&hub.device(DEVICE), relayed()).await.unwrap();
    let commands = device.commands(CommandOptions::new()).await.unwrap();
    let service = ServiceClient::open(&hub.service(), relayed()).await.unwrap();
    let feedback = service.feedback().await.unwrap();
    let string = hub.emulator.event_hub_connection_string("service").unwrap().parse().unwrap();
    let mut reader = EventsReader::open(&string, relayed(), ReaderOptions::new()).await.unwrap();
    for round in 1..=3_u64 {
        let text = round.to_string();
        soon("sending", device.send(&TelemetryMessage::new(text.clone()))).await.unwrap();
        assert_eq!(
            soon("the event", reader.recv()).await.unwrap().body(),
            text,
            "after the last one, none twice"
        );
        let command = C2dMessage::new(text.clone()).with_message_id(text.clone()).with_ack(Ack::Full);
        soon("commanding", service.send_command(DEVICE, &command)).await.unwrap();
        let command = soon("the command", commands.recv()).await.unwrap();
        assert_eq!(command.body(), text);
        command.complete().await.unwrap();
        let batch = soon("the feedback", feedback.recv()).await.unwrap();
        assert_eq!(batch.records()[0].original_message_id, text);
        batch.complete().await.unwrap();

        relay.cut();
        for mut status in [device.status(), service.status(), reader.status()] {
            let again = |status: &ConnectionStatus| matches!(status, ConnectionStatus::Connected { generation } if *generation > round);
            soon("connecting again", status.wait_for(again)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn messages_under_way_when_the_connection_dies_end_honestly() {
    let hub = Hub::start().await;
    let relay = Relay::start(hub.emulator.port()).await.unwrap();
    let address = HostName::parse("127.0.0.1").unwrap().with_port(relay.port());
    let options = hub.options().with_address(address);
    let device = DeviceClient::open(&hub.device(DEVICE), options).await.unwrap();
    let mut receipts = Vec::new();
    for number in 0..2_000_u32 {
        receipts.push((
            number,
            device.send_with_receipt(&TelemetryMessage::new(number.to_string())).await.unwrap(),
        ));
        if number == 1_000 {
            relay.cut();
        }
    }
    let (mut accepted, mut unknown) = (HashSet::new(), HashSet::new());
    for (number, receipt) in receipts {
        match soon("an outcome", receipt).await {
            Ok(()) => assert!(accepted.insert(number)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
                assert!(unknown.insert(number));
            }
        }
    }
    let mut reader = EventsReader::open(&hub.service(), hub.options(), ReaderOptions::new()).await.unwrap();
    let mut read = HashSet::new();
    while let Ok(event) = timeout(Duration::from_secs(1), reader.recv()).await {
        let number: u32 = String::from_utf8(event.unwrap().body().to_vec()).unwrap().parse().unwrap();
        assert!(read.insert(number), "{number} came twice");
    }
    assert!(accepted.is_subset(&read), "everything reported accepted is there");
    assert!(read.iter().all(|number| accepted.contains(number) || unknown.contains(number)));
}

#[tokio::test]
async fn a_client_that_may_not_connect_again_fails_with_the_cause() {
    let hub = Hub::start().await;
    for policy in [ReconnectPolicy::Never, ReconnectPolicy::For(Duration::from_millis(300))] {
        let relay = Relay::start(hub.emulator.port()).await.unwrap();
        let address = HostName::parse("127.0.0.1").unwrap().with_port(relay.port());
        let options = hub.options().with_address(address).with_reconnect(policy);
        let device = DeviceClient::open(&hub.device(DEVICE), options).await.unwrap();
        device.send(&TelemetryMessage::new("before")).await.unwrap();
        drop(relay);
        let mut status = device.status();
        let last = soon("the end", status.wait_for(ConnectionStatus::is_final)).await.unwrap().clone();
        assert!(
            matches!(&last, ConnectionStatus::Failed(error) if error.kind() == ErrorKind::Unreachable),
            "{last}"
        );
        let error = soon("sending", device.send(&TelemetryMessage::new("after"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        soon("closing", device.close()).await;
    }
}

#[tokio::test]
async fn a_hub_that_was_restarted_is_found_again() {
    let hub = Hub::start().await;
    let first = Relay::start(hub.emulator.port()).await.unwrap();
    let port = first.port();
    let address = HostName::parse("127.0.0.1").unwrap().with_port(port);
    let device = DeviceClient::open(&hub.device(DEVICE), hub.options().with_address(address)).await.unwrap();
    device.send(&TelemetryMessage::new("before")).await.unwrap();
    drop(first);
    let mut status = device.status();
    let is_trying =
        |status: &ConnectionStatus| matches!(status, ConnectionStatus::Reconnecting { attempt: 3.., .. });
    soon("the third attempt", status.wait_for(is_trying)).await.unwrap();
    let _second = Relay::start_at(port, hub.emulator.port()).await.unwrap();
    soon("sending", device.send(&TelemetryMessage::new("after"))).await.unwrap();
}

// ---- Secrets --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn no_client_prints_a_secret() {
    let hub = Hub::start().await;
    let (device_string, service_string) = (hub.device(DEVICE), hub.service());
    let device =
        DeviceClient::open(&device_string, hub.options().with_auth(AuthMode::SaslPlain)).await.unwrap();
    let service = ServiceClient::open(&service_string, hub.options()).await.unwrap();
    let reader = EventsReader::open(&service_string, hub.options(), ReaderOptions::new()).await.unwrap();
    let printed = format!("{device:?} {service:?} {reader:?} {device_string} {service_string:?}");
    for string in [&device_string, &service_string] {
        assert!(!printed.contains(key_of(string).expose()));
    }
    assert!(!printed.contains("sig="), "no token either");
}
