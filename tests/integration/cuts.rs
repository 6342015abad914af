//! A network that fails again and again: nothing reported accepted is lost, nothing is read twice or out of order, and
//! no command that was confirmed comes again.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use iothub_profile::{
    device::{CommandOptions, DeviceClient},
    error::ErrorKind,
    events::{EventsReader, ReaderOptions},
    host::HostName,
    message::{C2dMessage, TelemetryMessage},
    service::ServiceClient,
};
use tokio::time::timeout;
use workspace_tests::{
    hub::{DEVICE, Hub},
    relay::Relay,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn address_of(relay: &Relay) -> HostName {
    HostName::parse("127.0.0.1").unwrap().with_port(relay.port())
}

#[tokio::test]
async fn telemetry_survives_cuts_on_both_sides_of_the_hub() {
    let hub = Hub::start().await;
    let device_side = Relay::start(hub.emulator.port()).await.unwrap();
    let reader_side = Relay::start(hub.emulator.port()).await.unwrap();
    let options = hub.options().with_address(address_of(&device_side));
    let device = DeviceClient::open(&hub.device(DEVICE), options).await.unwrap();
    let string = hub.emulator.event_hub_connection_string("service").unwrap().parse().unwrap();
    let options = hub.options().with_address(address_of(&reader_side));
    let mut reader = EventsReader::open(&string, options, ReaderOptions::new()).await.unwrap();

    let (mut accepted, mut unknown, mut unsent) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut under_way = VecDeque::new();
    for number in 0..MESSAGES {
        let message = TelemetryMessage::new(number.to_string());
        under_way.push_back((number, device.send_with_receipt(&message).await.unwrap()));
        if number % 1_001 == 1_000 {
            device_side.cut();
        }
        if number % 1_301 == 1_300 {
            reader_side.cut();
        }
        let room = if number + 1 == MESSAGES { 0 } else { PIPELINE };
        while under_way.len() > room {
            let (number, receipt) = under_way.pop_front().unwrap();
            match timeout(PATIENCE, receipt).await.expect("an outcome in time") {
                Ok(()) => assert!(accepted.insert(number)),
                // Handed over, and still waiting for the socket when that was cut.
                Err(error) if error.kind() == ErrorKind::Unreachable => assert!(unsent.insert(number)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
                    assert!(unknown.insert(number));
                }
            }
        }
    }
    // The last message goes when all is quiet, so that reading can end with it.
    device.send(&TelemetryMessage::new("end")).await.unwrap();

    let mut read = Vec::new();
    loop {
        let event = timeout(PATIENCE, reader.recv()).await.expect("an event in time").unwrap();
        match std::str::from_utf8(&event.body()).unwrap() {
            "end" => break,
            number => read.push(number.parse::<u32>().unwrap()),
        }
    }
    assert!(read.is_sorted_by(|earlier, later| earlier < later), "in order, and none twice");
    let read: BTreeSet<u32> = read.into_iter().collect();
    assert!(accepted.is_subset(&read), "lost: {:?}", accepted.difference(&read));
    assert!(read.iter().all(|number| accepted.contains(number) || unknown.contains(number)));
    assert_eq!(accepted.len() + unknown.len() + unsent.len(), usize::try_from(MESSAGES).unwrap());
}

// A hub that hung up before TLS was agreed on ended the client for good.
#[tokio::test]
async fn a_client_gave_up_when_its_hub_hung_up_on_it_while_connecting_again() {
    let hub = Hub::start().await;
    let relay = Relay::start(hub.emulator.port()).await.unwrap();
    let options = hub.options().with_address(address_of(&relay));
    let device = DeviceClient::open(&hub.device(DEVICE), options).await.unwrap();
    device.send(&TelemetryMessage::new("before")).await.unwrap();
    relay.hang_up(2);
    relay.cut();
    let sent = timeout(PATIENCE, device.send(&TelemetryMessage::new("after"))).await.expect("in time");
    // What was handed over before the cut was noticed may be lost; the client goes on.
    if let Err(error) = sent {
        assert!(matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Unreachable), "{error}");
        timeout(PATIENCE, device.send(&TelemetryMessage::new("again"))).await.expect("in time").unwrap();
    }
    assert_eq!(relay.hang_ups(), 0);
}

#[tokio::test]
async fn a_confirmed_command_never_comes_again() {
    let hub = Hub::of(workspace_tests::hub::builder().lock_duration(Duration::from_millis(500))).await;
    let relay = Relay::start(hub.emulator.port()).await.unwrap();
    let options = hub.options().with_address(address_of(&relay));
    let device = DeviceClient::open(&hub.device(DEVICE), options).await.unwrap();
    let commands = device.commands(CommandOptions::new().with_credit(4)).await.unwrap();
    let service = ServiceClient::open(&hub.service(), hub.options()).await.unwrap();
    for number in 0..COMMANDS {
        service
            .send_command(DEVICE, &C2dMessage::new("go").with_message_id(number.to_string()))
            .await
            .unwrap();
    }
    let (mut confirmed, mut doubtful) = (BTreeSet::new(), BTreeSet::new());
    let mut received = 0_u32;
    while confirmed.union(&doubtful).count() < COMMANDS {
        let command = timeout(PATIENCE, commands.recv()).await.expect("a command in time").unwrap();
        let id = command.message_id().unwrap();
        assert!(!confirmed.contains(&id), "command {id} was confirmed and came again");
        received += 1;
        if received.is_multiple_of(8) && received < MOST_CUTS * 8 {
            relay.cut();
        }
        match timeout(PATIENCE, command.complete()).await.expect("an answer in time") {
            Ok(()) => {
                doubtful.remove(&id);
                assert!(confirmed.insert(id));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
                doubtful.insert(id);
            }
        }
    }
    assert!(confirmed.len() >= COMMANDS / 2, "most were confirmed: {}", confirmed.len());
}

const MESSAGES: u32 = 6_000;
const PIPELINE: usize = 100;
const COMMANDS: usize = 40;

/// A client that is cut off again and again pauses longer each time, as it should.
const MOST_CUTS: u32 = 5;
