//! Clients over the time of several tokens, against the emulator.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::timeout;

use crate::{
    clock::{Clock, SystemClock, unix_seconds},
    connection_string::ConnectionString,
    credential::{CredentialError, CredentialProvider, TokenRequest},
    device::DeviceClient,
    emulator::Emulator,
    message::TelemetryMessage,
    sas::{self, KeyRule, SasToken, SharedAccessKey},
    supervisor::{AuthMode, ClientOptions, ConnectionStatus},
};

const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
const PATIENCE: Duration = Duration::from_secs(30);

/// A clock one hour ahead: tokens of seconds are renewed all the time, and the hub sees none of them expire.
#[derive(Debug)]
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> SystemTime {
        SystemClock.now() + Duration::from_secs(3600)
    }
}

/// A clock that stands still: a token of a second is about to be renewed after 0.85 s and is never seen to expire.
#[derive(Debug)]
struct Standing(SystemTime);

impl Clock for Standing {
    fn now(&self) -> SystemTime {
        self.0
    }
}

async fn hub() -> (Emulator, ConnectionString, ClientOptions) {
    let emulator = Emulator::builder().device("dev1", Some(KEY)).start().await.unwrap();
    let string = emulator.device_connection_string("dev1").unwrap().parse().unwrap();
    let options = ClientOptions::new().with_ca_pem(emulator.ca_pem().as_bytes()).unwrap();
    (emulator, string, options)
}

async fn connected_for_the(number: u64, device: &DeviceClient) {
    let is_it = |status: &ConnectionStatus| matches!(status, ConnectionStatus::Connected { generation } if *generation >= number);
    timeout(PATIENCE, device.status().wait_for(is_it)).await.expect("renewals do not stall").unwrap();
}

#[tokio::test]
async fn every_message_of_steady_senders_is_accepted_over_planned_reconnects() {
    let (_emulator, string, options) = hub().await;
    let options = options
        .with_auth(AuthMode::SaslPlain)
        .with_clock(Arc::new(Ahead))
        .with_token_lifetime(Duration::from_secs(2));
    let device = Arc::new(DeviceClient::open(&string, options).await.unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let (device, is_over) = (Arc::clone(&device), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut sent = 0_u32;
                while !is_over.load(Ordering::Relaxed) {
                    device.send(&TelemetryMessage::new("steady")).await.unwrap();
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    connected_for_the(5, &device).await;
    is_over.store(true, Ordering::Relaxed);
    for sender in senders {
        assert!(sender.await.expect("every message is accepted") > 0);
    }
    device.close().await;
}

#[tokio::test]
async fn receipts_that_nobody_awaits_do_not_hold_up_a_planned_reconnect() {
    let (_emulator, string, options) = hub().await;
    let options = options
        .with_auth(AuthMode::SaslPlain)
        .with_clock(Arc::new(Ahead))
        .with_token_lifetime(Duration::from_secs(2));
    let device = DeviceClient::open(&string, options).await.unwrap();
    let mut receipts = VecDeque::new();
    let sending = async {
        loop {
            receipts.push_back(device.send_with_receipt(&TelemetryMessage::new("window")).await.unwrap());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // Far less than the limit of one drain.
    let limit = Duration::from_secs(9);
    tokio::select! {
        () = sending => {}
        done = timeout(limit, connected_for_the(3, &device)) => done.expect("a drain waits for receipts"),
    }
    for receipt in receipts {
        receipt.await.expect("the hub took it before the connection was closed");
    }
    device.close().await;
}

/// A provider that keeps a token until it is nearly over, later than a client asks for the next.
#[derive(Debug)]
struct Caching {
    asked: AtomicU32,
}

impl CredentialProvider for Caching {
    fn token(&self, request: &TokenRequest<'_>) -> Result<SasToken, CredentialError> {
        let is_kept = self.asked.fetch_add(1, Ordering::SeqCst) < 3;
        let expiry = request.expiry() + if is_kept { 0 } else { 1000 };
        Ok(sas::sign(request.resource, &SharedAccessKey::new(KEY), KeyRule::Base64Decoded, expiry, None)?)
    }
}

#[tokio::test]
async fn a_provider_that_has_nothing_fresher_yet_is_asked_again() {
    let (_emulator, string, options) = hub().await;
    let provider = Arc::new(Caching { asked: AtomicU32::new(0) });
    let options = options
        .with_clock(Arc::new(Standing(UNIX_EPOCH + Duration::from_secs(unix_seconds(Ahead.now())))))
        .with_token_lifetime(Duration::from_secs(1))
        .with_credential_provider(Arc::clone(&provider) as Arc<dyn CredentialProvider>);
    let device = DeviceClient::open(&string, options).await.unwrap();
    let is_renewed = async {
        while provider.asked.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, is_renewed).await.expect("it is asked until it has a fresh token");
    device.send(&TelemetryMessage::new("still here")).await.unwrap();
    let status = device.status().borrow().clone();
    assert!(matches!(status, ConnectionStatus::Connected { generation: 1 }), "{status}");
    device.close().await;
}
