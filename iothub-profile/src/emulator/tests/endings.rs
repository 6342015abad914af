//! How links end, and what a peer can and cannot do to the hub and to others.

use super::*;

const INBOX: &str = "/devices/dev1/messages/devicebound";
const EVENTS: &str = "/devices/dev1/messages/events";
const FEEDBACK: &str = "/messages/serviceBound/feedback";

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), so).await.expect(what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_completed_just_before_a_detach_does_not_come_again() {
    let emulator = builder().start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    let commands = sender(&session, "/messages/devicebound").await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    for n in 0..30 {
        commands.send(&command(&n.to_string())).await.unwrap();
        let inbox = receiver(&session, INBOX).await.unwrap();
        recv(&inbox).await.accept().unwrap();
        inbox.detach().await.unwrap();
        let queue = emulator.hub.commands_of("dev1").unwrap();
        eventually("a completed command is still pending", || queue.len() == 0).await;
    }
}

#[tokio::test]
async fn feedback_settled_just_before_a_detach_does_not_come_again() {
    let emulator = builder().start().await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let reports = sender(&session, FEEDBACK).await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    for n in 0..10 {
        let record = format!(r#"{{"originalMessageId":"{n}","statusCode":"Success","deviceId":"dev1"}}"#);
        reports.send(&Message::data(record)).await.unwrap();
        let feedback = receiver(&session, FEEDBACK).await.unwrap();
        recv(&feedback).await.accept().unwrap();
        feedback.detach().await.unwrap();
        eventually("settled feedback is still there", || emulator.hub.feedback_len() == 0).await;
    }
}

#[tokio::test]
async fn a_command_completed_just_before_a_stop_counts() {
    let emulator = builder().start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    let commands = sender(&session, "/messages/devicebound").await.unwrap();
    commands.send(&command("a")).await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let inbox = receiver(&session, INBOX).await.unwrap();
    recv(&inbox).await.accept().unwrap();
    // Another link's answer proves that the outcome has come in.
    sender(&session, EVENTS).await.unwrap();
    emulator.stop().await;
    assert_eq!(emulator.hub.commands_of("dev1").unwrap().len(), 0);
}

#[tokio::test]
async fn telemetry_at_a_reader_is_not_told_to_be_released_when_the_link_is_stolen() {
    let emulator = builder().partitions(1).start().await.unwrap();
    let (_reader, session) = connect(&emulator, event_hub_plain()).await;
    let reader = receiver(&session, partition_address(&emulator, "0")).await.unwrap();
    let (_first, session) = connect(&emulator, device_plain("dev1")).await;
    let events = sender(&session, EVENTS).await.unwrap();
    let receipt = events.send_with_receipt(&Message::data("x")).await.unwrap();
    let _held = recv(&reader).await;
    let (_second, session) = connect(&emulator, device_plain("dev1")).await;
    let _thief = sender(&session, EVENTS).await.unwrap();
    assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
    let reason = events.detached().await;
    assert_eq!(reason.remote().unwrap().condition, ErrorCondition::STOLEN);
}

#[tokio::test]
async fn a_connection_without_a_token_gets_few_links_and_small_requests() {
    let emulator = builder().start().await.unwrap();
    let (_connection, session) = connect(&emulator, Sasl::Anonymous).await;
    let mut links = Vec::new();
    for n in 0..8 {
        links.push(session.attach_sender(SenderOptions::new(format!("l{n}"), "$cbs")).await.unwrap());
    }
    let ninth = session.attach_sender(SenderOptions::new("l8", "$cbs")).await;
    assert_eq!(condition(ninth), ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    let link = links.pop().unwrap();
    assert_eq!(link.max_message_size(), Some(64 * 1024));
    // Without a link for answers the hub takes no more than it has granted.
    let mut taken = 0;
    let request = Message::data(vec![0_u8; 60_000]);
    while let Ok(sent) =
        tokio::time::timeout(Duration::from_millis(200), link.send_with_receipt(&request)).await
    {
        drop(sent.unwrap());
        taken += 1;
        assert!(taken < 30, "{taken} requests taken that nobody can answer");
    }
}

#[tokio::test]
async fn a_connection_that_shows_no_token_in_time_is_closed() {
    let emulator = builder().claim_timeout(Duration::from_millis(300)).start().await.unwrap();
    let (silent, _session) = connect(&emulator, Sasl::Anonymous).await;
    let (claimed, session) = connect(&emulator, Sasl::Anonymous).await;
    let resource = format!("{HOST}/devices/dev1");
    assert_eq!(put_token(&session, &resource, &token(&resource, None, FAR)).await, 200);
    let (named, _session) = connect(&emulator, device_plain("dev1")).await;
    let reason = tokio::time::timeout(Duration::from_secs(5), silent.closed()).await.expect("still open");
    assert!(format!("{reason:?}").contains("unauthorized"), "{reason:?}");
    for connection in [claimed, named] {
        assert!(tokio::time::timeout(Duration::from_millis(500), connection.closed()).await.is_err());
    }
}

#[tokio::test]
async fn a_message_id_without_end_does_not_block_the_feedback_of_the_hub() {
    let emulator = builder().start().await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let reports = sender(&session, FEEDBACK).await.unwrap();
    let record = |id: &str| {
        Message::data(format!(r#"{{"originalMessageId":"{id}","statusCode":"Success","deviceId":"dev1"}}"#))
    };
    let outcome = reports.send(&record(&"x".repeat(700_000))).await.unwrap();
    assert_eq!(rejection(outcome), ErrorCondition::NOT_ALLOWED);
    assert_eq!(reports.send(&record(&"x".repeat(128))).await.unwrap(), Outcome::Accepted);
    let (_service, session) = connect(&emulator, service_plain()).await;
    let feedback = receiver(&session, FEEDBACK).await.unwrap();
    recv(&feedback).await.accept().unwrap();
}

#[tokio::test]
async fn a_receiver_of_small_messages_gets_feedback_in_small_messages_and_is_told_when_that_is_not_small_enough()
 {
    let emulator = builder().start().await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let reports = sender(&session, FEEDBACK).await.unwrap();
    let record = r#"{"originalMessageId":"m","statusCode":"Success","deviceId":"dev1"}"#;
    let records = format!("[{}]", [record; 40].join(","));
    assert_eq!(reports.send(&Message::data(records.clone())).await.unwrap(), Outcome::Accepted);
    let (_service, session) = connect(&emulator, service_plain()).await;
    let options = ReceiverOptions::new("small", FEEDBACK).max_message_size(4096);
    let feedback = session.attach_receiver(options).await.unwrap();
    let mut count = 0;
    while count < 40 {
        let delivery = recv(&feedback).await;
        let body = delivery.message().unwrap().body_bytes().unwrap();
        count += serde_json::from_slice::<Vec<serde_json::Value>>(&body).unwrap().len();
        delivery.accept().unwrap();
    }
    feedback.detach().await.unwrap();
    assert_eq!(reports.send(&Message::data(records)).await.unwrap(), Outcome::Accepted);
    let options = ReceiverOptions::new("tiny", FEEDBACK).max_message_size(64);
    let tiny = session.attach_receiver(options).await.unwrap();
    let reason = tokio::time::timeout(Duration::from_secs(5), tiny.detached()).await.expect("left waiting");
    assert_eq!(reason.remote().unwrap().condition, ErrorCondition::MESSAGE_SIZE_EXCEEDED, "{reason:?}");
}

#[tokio::test]
async fn a_receiver_that_asks_for_settled_commands_gets_them_unsettled() {
    let emulator = builder().start().await.unwrap();
    let (_service, session) = connect(&emulator, service_plain()).await;
    let commands = sender(&session, "/messages/devicebound").await.unwrap();
    let settled = ReceiverOptions::new("f", FEEDBACK).snd_settle_mode(SenderSettleMode::Settled);
    let feedback = session.attach_receiver(settled).await.unwrap();
    commands.send(&command("a")).await.unwrap();
    let (_device, session) = connect(&emulator, device_plain("dev1")).await;
    let settled = ReceiverOptions::new("c", INBOX).snd_settle_mode(SenderSettleMode::Settled);
    let inbox = session.attach_receiver(settled).await.unwrap();
    assert_eq!(inbox.remote_attach().unwrap().snd_settle_mode, SenderSettleMode::Unsettled);
    let delivery = recv(&inbox).await;
    assert!(!delivery.is_settled());
    delivery.accept().unwrap();
    recv(&feedback).await.accept().unwrap();
}

#[tokio::test]
async fn a_token_put_again_with_a_shorter_life_ends_its_links_when_it_ends() {
    let emulator = builder().start().await.unwrap();
    let (_connection, session) = connect(&emulator, Sasl::Anonymous).await;
    let resource = format!("{HOST}/devices/dev1");
    assert_eq!(put_token(&session, &resource, &token(&resource, None, FAR)).await, 200);
    let events = sender(&session, EVENTS).await.unwrap();
    let soon = u64::try_from(emulator.hub.now().wall_ms).unwrap() / 1000 + 2;
    assert_eq!(put_token(&session, &resource, &token(&resource, None, soon)).await, 200);
    let reason =
        tokio::time::timeout(Duration::from_secs(5), events.detached()).await.expect("still attached");
    assert_eq!(reason.remote().unwrap().condition, ErrorCondition::UNAUTHORIZED_ACCESS, "{reason:?}");
}
