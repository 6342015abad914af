//! Outcomes that come too late: whoever completes a command that is not locked for it any more must not believe that it is
//! done, for it will be delivered again, or has been to somebody else.

use std::time::Duration;

use amqp_codec::{DeliveryState, ErrorCondition, ReceiverSettleMode};
use amqp_transport::{
    SettleError,
    client::{OnDrop, ReceiverOptions},
};
use iothub_profile::{
    device::{Command, CommandOptions, CommandReceiver, DeviceClient},
    error::{Error, ErrorKind},
    message::{Ack, C2dMessage},
    service::ServiceClient,
};
use tokio::time::timeout;
use workspace_tests::hub::{Auth, DEVICE, Hub, Role, builder};

#[tokio::test]
async fn a_command_completed_after_its_lock_lapsed_does_not_read_as_done() {
    let hub = Hub::of(builder().lock_duration(SHORT)).await;
    let (_device, commands) = listening(&hub).await;
    send(&hub, &["one"]).await;
    let late = next(&commands).await;
    let again = next(&commands).await;
    assert_eq!(again.message_id(), late.message_id(), "the lock lapsed: the command came again");
    must_be_late(late.complete().await);
    assert_eq!(hub.emulator.purge_commands(DEVICE), 1, "the late outcome has done nothing to the command");
    must_be_late(again.complete().await);
}

#[tokio::test]
async fn a_command_completed_in_time_is_recorded_before_the_device_is_told() {
    let hub = Hub::start().await;
    let (_device, commands) = listening(&hub).await;
    for _ in 0..20 {
        send(&hub, &["one"]).await;
        next(&commands).await.complete().await.unwrap();
        assert_eq!(hub.emulator.purge_commands(DEVICE), 0, "a completed command is still there");
        send(&hub, &["two"]).await;
        next(&commands).await.reject().await.unwrap();
        assert_eq!(hub.emulator.purge_commands(DEVICE), 0, "a rejected command is still there");
        send(&hub, &["three"]).await;
        next(&commands).await.abandon().await.unwrap();
        next(&commands).await.complete().await.unwrap();
    }
}

#[tokio::test]
async fn no_outcome_of_a_purged_command_reads_as_taken() {
    let hub = Hub::start().await;
    let (_device, commands) = listening(&hub).await;
    send(&hub, &["one", "two", "three"]).await;
    let held = [next(&commands).await, next(&commands).await, next(&commands).await];
    assert_eq!(hub.emulator.purge_commands(DEVICE), 3);
    let [one, two, three] = held;
    must_be_late(one.complete().await);
    must_be_late(two.reject().await);
    must_be_late(three.abandon().await);
}

#[tokio::test]
async fn feedback_completed_after_its_lock_lapsed_does_not_read_as_done() {
    let hub = Hub::of(builder().lock_duration(SHORT)).await;
    let (_device, commands) = listening(&hub).await;
    let service = ServiceClient::open(&hub.service(), hub.options()).await.unwrap();
    let feedback = service.feedback().await.unwrap();
    let command = C2dMessage::new("go").with_message_id("one").with_ack(Ack::Full);
    service.send_command(DEVICE, &command).await.unwrap();
    next(&commands).await.complete().await.unwrap();
    let late = timeout(PATIENCE, feedback.recv()).await.expect("feedback in time").unwrap();
    let again = timeout(PATIENCE, feedback.recv()).await.expect("the lock lapsed: feedback again").unwrap();
    must_be_late(late.complete().await);
    again.complete().await.unwrap();
}

// What the wire says, which Microsoft's SDKs take for a lost lock.
#[tokio::test]
async fn a_late_outcome_is_answered_with_rejected_and_not_found() {
    let hub = Hub::start().await;
    let bare = hub.connect(Role::Device, Auth::Plain).await;
    let address = format!("/devices/{DEVICE}/messages/devicebound");
    let options = ReceiverOptions::new("r", address.as_str())
        .rcv_settle_mode(ReceiverSettleMode::Second)
        .on_drop(OnDrop::LeaveUnsettled);
    let receiver = bare.session.attach_receiver(options).await.unwrap();
    send(&hub, &["one"]).await;
    let delivery = timeout(PATIENCE, receiver.recv()).await.expect("a command in time").unwrap();
    hub.emulator.purge_commands(DEVICE);
    let answer = timeout(PATIENCE, delivery.accept_confirmed()).await.expect("an answer in time");
    let Err(SettleError::Overruled(Some(DeliveryState::Rejected(rejected)))) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(rejected.error.unwrap().condition, ErrorCondition::NOT_FOUND);
}

fn must_be_late(answer: Result<(), Error>) {
    let error = answer.expect_err("it must not read as done");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("lock"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("again")), "{error}");
}

async fn listening(hub: &Hub) -> (DeviceClient, CommandReceiver) {
    let device = DeviceClient::open(&hub.device(DEVICE), hub.options()).await.unwrap();
    let commands = device.commands(CommandOptions::new()).await.unwrap();
    (device, commands)
}

async fn send(hub: &Hub, ids: &[&'static str]) {
    let service = ServiceClient::open(&hub.service(), hub.options()).await.unwrap();
    for id in ids {
        service.send_command(DEVICE, &C2dMessage::new("go").with_message_id(*id)).await.unwrap();
    }
}

async fn next(commands: &CommandReceiver) -> Command {
    timeout(PATIENCE, commands.recv()).await.expect("a command in time").unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);

/// A lock that lapses soon, and is long enough to complete a command within it.
const SHORT: Duration = Duration::from_millis(400);
