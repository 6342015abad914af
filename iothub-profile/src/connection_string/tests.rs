use proptest::prelude::*;

use super::*;
use crate::{host::HostNameError, sas::SasError};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn error(text: &str) -> ConnectionStringError {
    ConnectionString::parse(text).unwrap_err()
}

#[test]
fn a_device_string_in_any_order_and_case() {
    let text = format!(" deviceid=dev+1 a@b; SharedAccessKey={KEY};HostName=MyHub.azure-devices.net:15671; ");
    let ConnectionString::Device(device) = ConnectionString::parse(&text).unwrap() else {
        panic!("not a device")
    };
    assert_eq!(device.host.to_string(), "myhub.azure-devices.net:15671");
    assert_eq!(device.device_id, "dev+1 a@b");
    assert_eq!(device.credential, Credential::Key(SharedAccessKey::new(KEY)));
    assert_eq!(device.resource(), "myhub.azure-devices.net/devices/dev+1 a@b");
}

#[test]
fn module_gateway_token_and_certificate() {
    let token = "SharedAccessSignature sr=h&sig=YQ%3D%3D&se=5";
    let text =
        format!("HostName=h;DeviceId=d;ModuleId=m;GatewayHostName=edge:8883;SharedAccessSignature={token}");
    let ConnectionString::Device(device) = ConnectionString::parse(&text).unwrap() else {
        panic!("not a device")
    };
    assert_eq!(device.module_id.as_deref(), Some("m"));
    assert_eq!(device.gateway.as_ref().map(ToString::to_string).as_deref(), Some("edge:8883"));
    assert!(matches!(&device.credential, Credential::Token(token) if token.expiry() == 5));
    assert_eq!(device.resource(), "h/devices/d/modules/m");
    let x509 = ConnectionString::parse("HostName=h;DeviceId=d;x509=true").unwrap();
    assert_eq!(x509.credential(), &Credential::X509);
    assert!(x509.credential().provider().is_none());
}

#[test]
fn a_service_string_names_its_policy() {
    let text = format!("HostName=h;SharedAccessKeyName=service;SharedAccessKey={KEY}");
    let ConnectionString::Service(service) = ConnectionString::parse(&text).unwrap() else {
        panic!("no service")
    };
    assert_eq!(service.policy.as_deref(), Some("service"));
    let provider = service.credential.provider().unwrap();
    assert_eq!(provider.policy(), Some("service"));
}

#[test]
fn an_event_hubs_string_takes_any_key_text() {
    let text = "Endpoint=sb://ns.example.net:5672/;SharedAccessKeyName=p;SharedAccessKey=not base64!;EntityPath=e;UseDevelopmentEmulator=true";
    let ConnectionString::EventHubs(hub) = ConnectionString::parse(text).unwrap() else {
        panic!("no event hub")
    };
    assert_eq!(
        (hub.endpoint.to_string().as_str(), hub.entity_path.as_deref()),
        ("ns.example.net:5672", Some("e"))
    );
    assert_eq!(hub.transport, EventHubsTransport::DevelopmentEmulator);
    assert_eq!(ConnectionString::parse(text).unwrap().expose(), text);
}

#[test]
fn each_fault_names_its_key() {
    use ConnectionStringError as E;
    let missing = E::MissingKey;
    for (text, expected) in [
        ("", E::Empty),
        ("  ", E::Empty),
        ("HostName", E::NotAPair { position: 1 }),
        ("HostName=h;DeviceId", E::NotAPair { position: 2 }),
        ("HostName=h;;DeviceId=d", E::NotAPair { position: 2 }),
        ("HostName=h;Colour=red", E::UnknownKey("Colour".into())),
        ("HostName=h;HostName=h", E::DuplicateKey("HostName")),
        ("HostName=h", missing("SharedAccessKey")),
        ("HostName=h;DeviceId=d", missing("SharedAccessKey")),
        ("HostName=h;SharedAccessKeyName=p", missing("SharedAccessKey")),
        ("DeviceId=d;SharedAccessKey=YQ==", missing("HostName")),
        ("HostName=h;SharedAccessKey=YQ==", missing("DeviceId or SharedAccessKeyName")),
        ("HostName=h;ModuleId=m;SharedAccessKey=YQ==", missing("DeviceId")),
        ("HostName=h;DeviceId=;SharedAccessKey=YQ==", E::EmptyValue("DeviceId")),
        ("HostName=h;DeviceId=d;SharedAccessKey=", E::EmptyValue("SharedAccessKey")),
        ("HostName=h;DeviceId=d;SharedAccessKey=?", E::NotBase64("SharedAccessKey")),
        (
            "HostName=h h;DeviceId=d;SharedAccessKey=YQ==",
            E::Host { key: "HostName", error: HostNameError::Character },
        ),
        ("HostName=h;DeviceId=d;SharedAccessSignature=x", E::Token(SasError::NotAToken)),
        ("HostName=h;DeviceId=d;SharedAccessKey=YQ==;x509=true", E::Conflict("SharedAccessKey", "x509")),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    assert!(matches!(
        error("HostName=h;DeviceId=a/b;SharedAccessKey=YQ=="),
        E::Value { key: "DeviceId", .. }
    ));
    assert!(matches!(error("HostName=h;DeviceId=d;x509=maybe"), E::Value { key: "x509", .. }));
    assert!(matches!(
        error("HostName=h;DeviceId=d;SharedAccessKey=YQ==;EntityPath=e"),
        E::Value { key: "EntityPath", .. }
    ));
    assert_eq!(error(&"x=".repeat(5000)), E::TooLong);
}

#[test]
fn errors_and_printed_forms_show_no_secret() {
    for text in [
        KEY.to_owned(),
        format!("HostName=h;{KEY}"),
        format!("HostName=h;DeviceId=d;SharedAccessKey={KEY}?"),
        format!("HostName=h;SharedAccessKey={KEY}"),
        format!("HostName=h;SharedAccessKey={KEY};SharedAccessKey={KEY}"),
    ] {
        let error = error(&text);
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains(&KEY[..12]), "{printed}");
    }
    let string = ConnectionString::parse(&format!("HostName=h;DeviceId=d;SharedAccessKey={KEY}")).unwrap();
    assert_eq!(string.to_string(), "HostName=h;DeviceId=d;SharedAccessKey=***");
    assert!(!format!("{string:?} {string:#?}").contains(&KEY[..12]));
}

proptest! {
    #[test]
    fn a_written_string_is_read_back(
        host in "[a-z][a-z0-9-]{0,20}(\\.[a-z]{1,8}){0,2}",
        port in proptest::option::of(1_u16..),
        device in "[!-.0-:<-~]{1,64}",
        module in proptest::option::of("[!-.0-:<-~]{1,64}"),
        key in proptest::collection::vec(any::<u8>(), 1..64),
    ) {
        let host = HostName::parse(&host).unwrap();
        let string = ConnectionString::Device(DeviceString {
            host: match port { Some(port) => host.with_port(port), None => host },
            gateway: None,
            device_id: device,
            module_id: module,
            credential: Credential::Key(SharedAccessKey::from_bytes(&key)),
        });
        prop_assert_eq!(ConnectionString::parse(&string.expose()), Ok(string));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = ConnectionString::parse(&text);
    }
}
