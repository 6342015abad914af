//! Readers over the end of a hub, against the emulator.

use std::time::Duration;

use tokio::time::timeout;

use super::{EventsReader, ReaderOptions, StartPosition};
use crate::{
    connection_string::ConnectionString,
    device::DeviceClient,
    emulator::{Emulator, EmulatorError, Rights},
    message::TelemetryMessage,
    supervisor::{ClientOptions, ConnectionStatus},
};

const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
const PATIENCE: Duration = Duration::from_secs(30);
/// Enough to fall into more than one partition.
const DEVICES: u32 = 6;
const LONG: Duration = Duration::from_secs(1);

/// Starts a hub again and again, each time empty, on one port with one certificate.
struct Site {
    certificate: String,
    key: String,
}

impl Site {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    async fn start(&self, port: u16) -> Emulator {
        self.start_with(port, 1).await
    }

    async fn start_with(&self, port: u16, partitions: u16) -> Emulator {
        let builder = || {
            let devices = (1..=DEVICES).map(|number| format!("dev{number}"));
            devices
                .fold(Emulator::builder(), |builder, device| builder.device(&device, Some(KEY)))
                .port(port)
                .tls(&self.certificate, &self.key)
                .policy("service", KEY, Rights::SERVICE_CONNECT)
                .partitions(partitions)
        };
        // A hub that was killed leaves its port a moment later.
        loop {
            match builder().start().await {
                Err(EmulatorError::Listen { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                started => return started.unwrap(),
            }
        }
    }

    fn options(&self) -> ClientOptions {
        ClientOptions::new().with_ca_pem(self.certificate.as_bytes()).unwrap()
    }

    async fn send(&self, hub: &Emulator, texts: &[&str]) {
        self.send_as(hub, "dev1", texts).await;
    }

    async fn send_as(&self, hub: &Emulator, device: &str, texts: &[&str]) {
        let string: ConnectionString = hub.device_connection_string(device).unwrap().parse().unwrap();
        let device = DeviceClient::open(&string, self.options()).await.unwrap();
        for text in texts {
            device.send(&TelemetryMessage::new((*text).to_owned())).await.unwrap();
        }
        device.close().await;
    }

    async fn reader(&self, hub: &Emulator, position: StartPosition) -> EventsReader {
        let string = hub.connection_string("service").unwrap().parse().unwrap();
        let reading = ReaderOptions::new().with_position(position);
        EventsReader::open(&string, self.options(), reading).await.unwrap()
    }
}

async fn read(reader: &mut EventsReader, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let event = timeout(PATIENCE, reader.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("only {texts:?} came")).unwrap();
        texts.push(String::from_utf8(event.body().to_vec()).unwrap());
    }
    texts
}

#[tokio::test]
async fn a_reader_that_outlives_its_hub_reads_the_next_ones_events_from_their_start() {
    let site = Site::new();
    let hub = site.start(0).await;
    let port = hub.port();
    let mut follower = site.reader(&hub, StartPosition::Latest).await;
    site.send(&hub, &["a", "b", "c"]).await;
    let mut from_here = site.reader(&hub, StartPosition::Latest).await;
    let (mut told, mut told_here) = (follower.restarts(), from_here.restarts());
    assert_eq!(read(&mut follower, 3).await, ["a", "b", "c"]);
    hub.kill();
    let hub = site.start(port).await;
    // Fewer than before for the one, as many as before for the other: neither number tells where to go on.
    site.send(&hub, &["d"]).await;
    assert_eq!(read(&mut follower, 1).await, ["d"]);
    assert_eq!(read(&mut from_here, 1).await, ["d"]);
    site.send(&hub, &["e", "f", "g", "h"]).await;
    assert_eq!(read(&mut follower, 4).await, ["e", "f", "g", "h"]);
    for told in [&mut told, &mut told_here] {
        let restart = told.try_recv().expect("it is told");
        assert_eq!(restart.position, StartPosition::AfterSequenceNumber(2));
        assert_eq!(restart.to_string(), "partition 0 counts anew: reading from its start");
        assert!(told.try_recv().is_err(), "once");
    }
    follower.close().await;
    from_here.close().await;
}

#[tokio::test]
async fn a_new_hub_that_has_already_more_events_than_the_old_one_is_known_for_another() {
    let site = Site::new();
    let hub = site.start(0).await;
    let port = hub.port();
    let mut reader = site.reader(&hub, StartPosition::Earliest).await;
    site.send(&hub, &["a"]).await;
    assert_eq!(read(&mut reader, 1).await, ["a"]);
    hub.kill();
    // The reader's next attempt is so far away that the new hub is further by then than the reader had come.
    let is_late = |status: &ConnectionStatus| matches!(status, ConnectionStatus::Reconnecting { pause, .. } if *pause > LONG);
    timeout(PATIENCE, reader.status().wait_for(is_late)).await.unwrap().unwrap();
    let hub = site.start(port).await;
    site.send(&hub, &["b", "c", "d"]).await;
    assert_eq!(read(&mut reader, 3).await, ["b", "c", "d"], "none is passed over");
    reader.close().await;
}

#[tokio::test]
async fn partitions_that_were_not_there_before_are_read_by_a_reader_of_all() {
    let site = Site::new();
    let hub = site.start(0).await;
    let port = hub.port();
    let mut reader = site.reader(&hub, StartPosition::Latest).await;
    assert_eq!(reader.partition_ids(), ["0"]);
    site.send(&hub, &["a"]).await;
    assert_eq!(read(&mut reader, 1).await, ["a"]);
    hub.kill();
    let hub = site.start_with(port, 4).await;
    let devices: Vec<String> = (1..=DEVICES).map(|number| format!("dev{number}")).collect();
    for device in &devices {
        site.send_as(&hub, device, &[device]).await;
    }
    let mut came = read(&mut reader, devices.len()).await;
    came.sort();
    assert_eq!(came, devices);
    let status = reader.status();
    drop(reader);
    let is_over = async {
        let mut status = status;
        let _ = status.wait_for(ConnectionStatus::is_final).await;
    };
    timeout(PATIENCE, is_over).await.expect("nothing keeps a reader that was dropped");
}
