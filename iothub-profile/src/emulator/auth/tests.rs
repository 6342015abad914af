use super::*;
use crate::sas::sign;

const HOST: &str = "myhub.azure-devices.net";
const K1: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const K2: &str = "YW4taW90aHViLWVtdWxhdG9yLXNlcnZpY2Uta2V5ISE=";
const NOW_MS: i64 = 1_600_000_000_000;

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add_device("dev1", Some(K1), 0).unwrap();
    registry.add_device("dev+1 a@b", Some(K1), 0).unwrap();
    for name in ["iothubowner", "service", "device", "registryRead"] {
        registry.set_policy(name, K2, Rights::of_well_known(name).unwrap()).unwrap();
    }
    registry
}

fn names() -> Names {
    Names::new(HOST, Some("iothub-ns-myhub-1-0123456789.servicebus.windows.net"))
}

fn check(token: &str, audience: Option<&str>) -> Result<Grant, AuthError> {
    check_token(&registry(), &names(), token, audience, NOW_MS)
}

fn token(resource: &str, key: &str, rule: KeyRule, policy: Option<&str>) -> String {
    sign(resource, &SharedAccessKey::new(key), rule, 1_700_000_000, policy).unwrap().expose().to_owned()
}

fn hub_token(resource: &str, policy: &str) -> String {
    token(resource, K2, KeyRule::Base64Decoded, Some(policy))
}

#[test]
fn a_device_token_in_every_spelling_gives_its_device() {
    let tokens = [
        (
            "sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=i%2BYmMcSSZc4KzBi6ejz3l0iL%2B2sN0CE3q6vSm837h2g%3D",
            "dev1",
        ),
        ("sr=myhub.azure-devices.net/devices/dev1&sig=MXrV7dIYA4Nv1boM3d4kgQQtxA3MyMN/BRPwZ8fvsA0=", "dev1"),
        (
            "sig=RJRcCUqtVrPh3B2AcgzWH%2fb14hBj0KSr5nbyILn3XTg%3d&sr=myhub.azure-devices.net%2Fdevices%2Fdev%2B1+a%40b",
            "dev+1 a@b",
        ),
    ];
    for (fields, device) in tokens {
        let grant = check(&format!("SharedAccessSignature {fields}&se=1700000000&skn="), None).unwrap();
        assert_eq!(grant.scope, Scope::device(device));
        assert_eq!(grant.holder, Holder::Device(device.to_owned()));
        assert_eq!(grant.expires_ms, Some(1_700_000_000_000));
    }
}

#[test]
fn a_policy_token_gives_what_the_policy_may() {
    let grant = check(&hub_token(HOST, "service"), Some("https://myhub.azure-devices.net")).unwrap();
    let need = |segments: &[&str], right| Need { scope: Scope::hub(segments), right };
    assert!(grant.allows(&need(&["messages", "devicebound"], Rights::SERVICE_CONNECT), NOW_MS));
    assert!(!grant.allows(&need(&["devices", "dev1", "messages", "events"], Rights::DEVICE_CONNECT), NOW_MS));
    assert!(!grant.allows(&need(&["messages", "devicebound"], Rights::SERVICE_CONNECT), 1_700_000_000_000));
}

#[test]
fn a_device_key_never_opens_a_service_endpoint() {
    let grant =
        check(&token(&format!("{HOST}/devices/dev1"), K1, KeyRule::Base64Decoded, None), None).unwrap();
    let scope = Scope::hub(&["devices", "dev1", "messages", "events"]);
    assert!(grant.allows(&Need { scope: scope.clone(), right: Rights::DEVICE_CONNECT }, NOW_MS));
    assert!(!grant.allows(&Need { scope, right: Rights::SERVICE_CONNECT }, NOW_MS));
}

#[test]
fn a_grant_is_the_narrower_of_token_and_audience() {
    let device = "myhub.azure-devices.net%2Fdevices%2Fdev1";
    assert_eq!(check(&hub_token(HOST, "device"), Some(device)).unwrap().scope, Scope::device("dev1"));
    let narrow = token(&format!("{HOST}/devices/dev1"), K2, KeyRule::Base64Decoded, Some("device"));
    assert_eq!(
        check(&narrow, Some("amqps://myhub.azure-devices.net:5671/")).unwrap().scope,
        Scope::device("dev1")
    );
    let elsewhere = check(&narrow, Some("myhub.azure-devices.net/messages/events"));
    assert!(matches!(elsewhere, Err(AuthError::Scope { .. })), "{elsewhere:?}");
}

#[test]
fn event_hub_tokens_use_the_keys_text_and_hub_tokens_its_bytes() {
    let entity = "sb://iothub-ns-myhub-1-0123456789.servicebus.windows.net/myhub";
    assert!(check(&token(entity, K2, KeyRule::Text, Some("iothubowner")), Some(entity)).is_ok());
    let wrong = check(&token(entity, K2, KeyRule::Base64Decoded, Some("iothubowner")), None);
    assert!(matches!(wrong, Err(AuthError::Signature(_))), "{wrong:?}");
    let wrong = check(&token(HOST, K2, KeyRule::Text, Some("iothubowner")), None);
    assert!(matches!(wrong, Err(AuthError::Signature(_))), "{wrong:?}");
}

#[test]
fn a_bad_token_is_refused_for_its_own_reason() {
    let device = |id: &str| format!("{HOST}/devices/{id}");
    let cases = [
        (token(&device("dev9"), K1, KeyRule::Base64Decoded, None), 404),
        (token(&device("dev1"), K2, KeyRule::Base64Decoded, None), 401),
        (token(HOST, K2, KeyRule::Base64Decoded, Some("nobody")), 401),
        (token("other.azure-devices.net", K2, KeyRule::Base64Decoded, Some("service")), 401),
        (token(HOST, K2, KeyRule::Base64Decoded, None), 401),
        ("Bearer x".to_owned(), 400),
    ];
    for (text, status) in cases {
        let error = check(&text, None).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
        assert!(!error.to_string().contains(K2));
    }
    let old = sign(HOST, &SharedAccessKey::new(K2), KeyRule::Base64Decoded, 1_600_000_000, Some("service"))
        .unwrap();
    assert_eq!(check(old.expose(), None), Err(AuthError::Expired(1_600_000_000)));
}

#[test]
fn plain_users_are_devices_policies_and_event_hub_policies() {
    let plain = |user: &str, password: &str| check_plain(&registry(), &names(), user, password, NOW_MS);
    let device_token = token(&format!("{HOST}/devices/dev1"), K1, KeyRule::Base64Decoded, None);
    assert_eq!(plain("dev1@sas.myhub", &device_token).unwrap().scope, Scope::device("dev1"));
    let module = plain("dev1/m@sas.myhub", &device_token).unwrap();
    assert_eq!(module.scope, Scope::hub(&["devices", "dev1", "modules", "m"]));
    assert_eq!(
        plain("service@sas.root.myhub", &hub_token(HOST, "service")).unwrap().scope,
        Scope::Hub(vec![])
    );
    assert_eq!(plain("service", K2).unwrap().scope, Scope::EventHub(vec![]));

    for (user, password) in [("dev1@sas.myhub", &device_token), ("service", &K2.to_owned())] {
        let grant = plain(user, password).unwrap();
        assert_eq!(Grant::from_text(&grant.to_text(), &registry()), Some(grant));
    }

    assert!(matches!(plain("dev1@sas.myhub.azure-devices.net", &device_token), Err(AuthError::UserName(_))));
    assert!(matches!(plain("dev+1 a@b@sas.myhub", &device_token), Err(AuthError::Scope { .. })));
    assert!(matches!(plain("dev9@sas.myhub", &device_token), Err(AuthError::UnknownDevice(_))));
    assert!(matches!(
        plain("device@sas.root.myhub", &hub_token(HOST, "service")),
        Err(AuthError::OtherUser { .. })
    ));
    assert!(matches!(plain("service", K1), Err(AuthError::Key(_))));
}
