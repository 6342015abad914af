//! What a client says when something is wrong: the class of the failure, no hang, and no secret in the message.

use std::time::Duration;

use iothub_profile::{
    ConnectionString, Error,
    connection_string::Credential,
    device::{CommandOptions, DeviceClient},
    error::ErrorKind,
    events::{EventsReader, ReaderOptions, StartPosition},
    host::HostName,
    message::{C2dMessage, TelemetryMessage},
    sas::{self, KeyRule, SharedAccessKey},
    service::ServiceClient,
    supervisor::{AuthMode, ClientOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use workspace_tests::hub::{DEVICE, Hub, builder, key_of, now};

const PATIENCE: Duration = Duration::from_secs(15);

async fn open_device(string: &ConnectionString, options: ClientOptions) -> Result<DeviceClient, Error> {
    timeout(PATIENCE, DeviceClient::open(string, options)).await.expect("an answer in time")
}

/// The device's first message, through a client that may only fail at its first link.
async fn first_message(string: &ConnectionString, options: ClientOptions) -> Result<(), Error> {
    let device = open_device(string, options).await?;
    timeout(PATIENCE, device.send(&TelemetryMessage::new("21.5"))).await.expect("an answer in time")
}

fn changed(string: &ConnectionString, change: impl FnOnce(&mut Credential, &mut String)) -> ConnectionString {
    let ConnectionString::Device(mut device) = string.clone() else { panic!("no device's string") };
    change(&mut device.credential, &mut device.device_id);
    ConnectionString::Device(device)
}

#[tokio::test]
async fn a_wrong_key_is_a_matter_of_the_credential() {
    let hub = Hub::start().await;
    let wrong = SharedAccessKey::from_bytes(b"another key than the device's own");
    for auth in [AuthMode::Cbs, AuthMode::SaslPlain] {
        let string =
            changed(&hub.device(DEVICE), |credential, _| *credential = Credential::Key(wrong.clone()));
        let error = first_message(&string, hub.options().with_auth(auth)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credential, "{auth:?}: {error}");
        assert!(error.hint().is_some() && !error.is_retryable());
        assert!(!format!("{error} {error:?}").contains(wrong.expose()));
    }
}

#[tokio::test]
async fn an_expired_token_is_told_before_anything_is_sent() {
    let hub = Hub::start().await;
    let resource = format!("localhost/devices/{DEVICE}");
    let key = key_of(&hub.device(DEVICE));
    let token = sas::sign(&resource, &key, KeyRule::Base64Decoded, now() - 100, None).unwrap();
    let string = changed(&hub.device(DEVICE), |credential, _| *credential = Credential::Token(token));
    let error = first_message(&string, hub.options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credential);
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn an_unknown_device_or_policy_is_refused() {
    let hub = Hub::start().await;
    for auth in [AuthMode::Cbs, AuthMode::SaslPlain] {
        let options = hub.options().with_auth(auth);
        let string = changed(&hub.device(DEVICE), |_, device| *device = "nobody".to_owned());
        let error = first_message(&string, options.clone()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Credential | ErrorKind::Refused), "{auth:?}: {error}");
        let ConnectionString::Service(mut service) = hub.service() else { panic!("no service's string") };
        let Credential::Policy { name, .. } = &mut service.credential else { panic!("no policy") };
        *name = "nobody".to_owned();
        service.policy = Some("nobody".to_owned());
        let string = ConnectionString::Service(service);
        let opening = ServiceClient::open(&string, options);
        let error = timeout(PATIENCE, opening).await.expect("an answer in time").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credential, "{auth:?}: {error}");
    }
}

#[tokio::test]
async fn a_policy_without_the_right_is_refused() {
    let hub = Hub::start().await;
    let string = hub.emulator.connection_string("registryRead").unwrap().parse().unwrap();
    let service = ServiceClient::open(&string, hub.options()).await.unwrap();
    let error = service.send_command(DEVICE, &C2dMessage::new("do it")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credential, "{error}");
}

#[tokio::test]
async fn a_stranger_with_tls_is_not_trusted() {
    let hub = Hub::start().await;
    let error = first_message(&hub.device(DEVICE), ClientOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "an authority that is not known: {error}");

    let other_name = Hub::of(builder().host("other.example.net")).await;
    let address = HostName::parse("127.0.0.1").unwrap().with_port(other_name.emulator.port());
    let text = other_name.emulator.device_connection_string(DEVICE).unwrap();
    let text = text.replace("other.example.net", "myhub.example.net");
    let options = other_name.options().with_address(address);
    let error = first_message(&text.parse().unwrap(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "a certificate for another name: {error}");
}

#[tokio::test]
async fn a_closed_port_cannot_be_reached() {
    let hub = Hub::start().await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let address = HostName::parse("127.0.0.1").unwrap().with_port(port);
    let error = first_message(&hub.device(DEVICE), hub.options().with_address(address)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.is_retryable() && error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_named_as_such() {
    let hub = Hub::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = HostName::parse("127.0.0.1").unwrap().with_port(listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 16];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = first_message(&hub.device(DEVICE), hub.options().with_address(address)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
}

#[tokio::test]
async fn a_silent_server_does_not_hang_the_client() {
    let hub = Hub::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = HostName::parse("127.0.0.1").unwrap().with_port(listener.local_addr().unwrap().port());
    let options = hub.options().with_address(address).with_connect_timeout(Duration::from_millis(300));
    let error = first_message(&hub.device(DEVICE), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn ids_that_need_encoding_work_everywhere() {
    for id in ["dev+1 a@b", "100%", "a#b?c=d", "%41", "dev%2B1", "$a*b'c"] {
        let hub = Hub::of(builder().device(id, None)).await;
        let service = ServiceClient::open(&hub.service(), hub.options()).await.unwrap();
        let mut reader =
            EventsReader::open(&hub.service(), hub.options(), ReaderOptions::new()).await.unwrap();
        for auth in [AuthMode::Cbs, AuthMode::SaslPlain] {
            let device = open_device(&hub.device(id), hub.options().with_auth(auth)).await.unwrap();
            device.send(&TelemetryMessage::new("21.5")).await.unwrap();
            let event = timeout(PATIENCE, reader.recv()).await.expect("the event in time").unwrap();
            assert_eq!(event.device_id(), Some(id));
            service.send_command(id, &C2dMessage::new("do it")).await.unwrap();
            let commands = device.commands(CommandOptions::new()).await.unwrap();
            let command = timeout(PATIENCE, commands.recv()).await.expect("the command in time").unwrap();
            command.complete().await.unwrap();
            device.close().await;
        }
    }
}

#[tokio::test]
async fn a_bad_position_is_refused() {
    let hub = Hub::start().await;
    let options = ReaderOptions::new().with_position(StartPosition::AfterOffset("not an offset".to_owned()));
    let string = hub.service();
    let opening = EventsReader::open(&string, hub.options(), options);
    let error = timeout(PATIENCE, opening).await.expect("an answer in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[tokio::test]
async fn a_connection_string_of_another_kind_is_a_usage_error() {
    let hub = Hub::start().await;
    let device = DeviceClient::open(&hub.service(), hub.options()).await.unwrap_err();
    let service = ServiceClient::open(&hub.device(DEVICE), hub.options()).await.unwrap_err();
    let reader =
        EventsReader::open(&hub.device(DEVICE), hub.options(), ReaderOptions::new()).await.unwrap_err();
    for error in [device, service, reader] {
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.hint().is_some());
    }
}
