use super::*;

const K1: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const K2: &str = "YW4taW90aHViLWVtdWxhdG9yLXNlcnZpY2Uta2V5ISE=";
const EVENT_HUB: &str = "sb://iothub-ns-myhub-1-0123456789.servicebus.windows.net/myhub";

fn signature_of(resource: &str, key: &str, rule: KeyRule, expiry: u64, policy: Option<&str>) -> String {
    let token = sign(resource, &SharedAccessKey::new(key), rule, expiry, policy).unwrap();
    percent_decode(&parse(token.expose()).unwrap().signature)
}

#[test]
fn signatures_equal_those_of_other_sdks() {
    for (number, resource, key, rule, expiry, policy, expected) in VECTORS {
        assert_eq!(signature_of(resource, key, *rule, *expiry, *policy), *expected, "vector {number}");
    }
    let partition_under_decoded_key = format!("{EVENT_HUB}/ConsumerGroups/$Default/Partitions/0");
    assert_eq!(
        signature_of(
            &partition_under_decoded_key,
            K2,
            KeyRule::Base64Decoded,
            1_893_456_000,
            Some("service")
        ),
        "rJSUoe3BZ3cDCYcrYnKP0xZ+fU2tJHMUcJDaObR/HUo=",
        "vector 8"
    );
}

/// Number, resource, key, rule, expiry, policy and signature.
type Vector = (u8, &'static str, &'static str, KeyRule, u64, Option<&'static str>, &'static str);

/// Tokens that other SDKs made over the same input, numbered as they were collected.
const VECTORS: &[Vector] = &[
    (
        1,
        "myhub.azure-devices.net/devices/dev1",
        K1,
        KeyRule::Base64Decoded,
        1_700_000_000,
        None,
        "i+YmMcSSZc4KzBi6ejz3l0iL+2sN0CE3q6vSm837h2g=",
    ),
    (
        2,
        "myhub.azure-devices.net/devices/dev+1 a@b",
        K1,
        KeyRule::Base64Decoded,
        1_700_000_000,
        None,
        "nYMmGEFAH+fDMts4fzlwzYRZj24LgrXf0MTyPgLWkew=",
    ),
    (
        3,
        "myhub.azure-devices.net/devices/dev1/modules/modA",
        K1,
        KeyRule::Base64Decoded,
        1_700_003_600,
        None,
        "iqGoOqA7oMnFOcDSAticK89yI/UeO+tX4JYo+jLXNyM=",
    ),
    (
        4,
        "myhub.azure-devices.net",
        K2,
        KeyRule::Base64Decoded,
        1_893_456_000,
        Some("service"),
        "aK2R40+og/0s3QTOTwFRYTUG7uHxn7vT6/iOpvrZmMk=",
    ),
    (
        5,
        "myhub.azure-devices.net/messages/events",
        K2,
        KeyRule::Base64Decoded,
        1_893_456_000,
        Some("iothubowner"),
        "SM0tJJr59U0B9N8hNJc4FXUzQ6FlY5Mcu68IAJ0H6vo=",
    ),
    (
        6,
        "myhub.azure-devices.net/devices/dev1",
        K2,
        KeyRule::Base64Decoded,
        1_893_456_000,
        Some("device"),
        "BAW6JmobDAzHuozoK1Q6QMJQcg+TQtZzXEgMHQ97TLo=",
    ),
    (
        7,
        EVENT_HUB,
        K2,
        KeyRule::Base64Decoded,
        1_893_456_000,
        Some("iothubowner"),
        "3NrviFb9gXatTc9J0KeByug4H6xr3dcr5GMz546ZurI=",
    ),
    (
        10,
        EVENT_HUB,
        K2,
        KeyRule::Text,
        1_893_456_000,
        Some("iothubowner"),
        "wnAPCVq6rCOiYWPEq6RrsJv9k+F44wVYUF/90uCWEVU=",
    ),
    (
        11,
        PARTITION,
        K2,
        KeyRule::Text,
        1_893_456_000,
        Some("service"),
        "+cN7QgtHRkWXY5FQTNsOdUodLfaS8XtOTFJnjVrcAH0=",
    ),
];

const PARTITION: &str = "amqps://iothub-ns-myhub-1-0123456789.servicebus.windows.net:5671/myhub/ConsumerGroups/$Default/Partitions/0";

#[test]
fn a_device_token_is_spelled_as_the_sdks_spell_it() {
    let resource = "myhub.azure-devices.net/devices/dev1";
    let token =
        sign(resource, &SharedAccessKey::new(K1), KeyRule::Base64Decoded, 1_700_000_000, None).unwrap();
    assert_eq!(
        token.expose(),
        "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=i%2BYmMcSSZc4KzBi6ejz3l0iL%2B2sN0CE3q6vSm837h2g%3D&se=1700000000"
    );
    assert_eq!((token.resource(), token.expiry()), (resource, 1_700_000_000));
}

#[test]
fn spellings_of_other_sdks_verify() {
    let spellings = [
        // Node's order of fields.
        (
            "SharedAccessSignature sr=myhub.azure-devices.net&sig=aK2R40%2Bog%2F0s3QTOTwFRYTUG7uHxn7vT6%2FiOpvrZmMk%3D&skn=service&se=1893456000",
            K2,
            Some("service"),
        ),
        // Python leaves slashes of the signature raw.
        (
            "SharedAccessSignature sr=myhub.azure-devices.net&sig=aK2R40%2Bog/0s3QTOTwFRYTUG7uHxn7vT6/iOpvrZmMk%3D&se=1893456000&skn=service",
            K2,
            Some("service"),
        ),
        // Lower-case hex, an empty policy, several blanks, field names in capitals.
        (
            "SharedAccessSignature   SIG=i%2bYmMcSSZc4KzBi6ejz3l0iL%2b2sN0CE3q6vSm837h2g%3d&SE=1700000000&SKN=&SR=myhub.azure-devices.net%2Fdevices%2Fdev1",
            K1,
            None,
        ),
        // Nothing encoded at all, as C and old Java write it (vector 9).
        (
            "SharedAccessSignature sr=myhub.azure-devices.net/devices/dev1&sig=MXrV7dIYA4Nv1boM3d4kgQQtxA3MyMN/BRPwZ8fvsA0=&se=1700000000",
            K1,
            None,
        ),
        // `+` for a space in the resource (vector 2b).
        (
            "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev%2B1+a%40b&sig=RJRcCUqtVrPh3B2AcgzWH/b14hBj0KSr5nbyILn3XTg=&se=1700000000",
            K1,
            None,
        ),
    ];
    for (text, key, policy) in spellings {
        let token = parse(text).unwrap();
        assert_eq!(token.policy(), policy);
        assert_eq!(verify(&token, &SharedAccessKey::new(key), KeyRule::Base64Decoded), Ok(()), "{text}");
        assert_eq!(verify(&token, &SharedAccessKey::new(key), KeyRule::Text), Err(SasError::Signature));
    }
    let form = parse(spellings[4].0).unwrap();
    assert_eq!(form.resource_form_decoded(), "myhub.azure-devices.net/devices/dev+1 a@b");
}

#[test]
fn a_changed_resource_expiry_or_key_is_refused() {
    let token = sign("h/devices/d", &SharedAccessKey::new(K1), KeyRule::Base64Decoded, 50, None).unwrap();
    for (from, to) in [("devices%2Fd", "devices%2Fe"), ("se=50", "se=51"), ("se=50", "se=050")] {
        let forged = parse(&token.expose().replace(from, to)).unwrap();
        assert_eq!(
            verify(&forged, &SharedAccessKey::new(K1), KeyRule::Base64Decoded),
            Err(SasError::Signature),
            "{to}"
        );
    }
    let genuine = parse(token.expose()).unwrap();
    assert_eq!(verify(&genuine, &SharedAccessKey::new(K2), KeyRule::Base64Decoded), Err(SasError::Signature));
    assert_eq!(
        verify(&genuine, &SharedAccessKey::new("?"), KeyRule::Base64Decoded),
        Err(SasError::KeyNotBase64)
    );
}

#[test]
fn malformed_tokens_are_named_without_their_text() {
    for (text, error) in [
        ("", SasError::NotAToken),
        ("SharedAccessSignature", SasError::NotAToken),
        ("Bearer abc", SasError::NotAToken),
        ("SharedAccessSignature sig=a&se=1", SasError::MissingField("sr")),
        ("SharedAccessSignature sr=a&se=1", SasError::MissingField("sig")),
        ("SharedAccessSignature sr=a&sig=b", SasError::MissingField("se")),
        ("SharedAccessSignature sr=a&sig=b&se=", SasError::MissingField("se")),
        ("SharedAccessSignature sr=a&sr=a&sig=b&se=1", SasError::DuplicateField("sr")),
        ("SharedAccessSignature sr=a&sig=b&se=-1", SasError::Expiry),
        ("SharedAccessSignature sr=a&sig=b&se=99999999999999999999999", SasError::Expiry),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
}

#[test]
fn nothing_prints_a_secret() {
    let key = SharedAccessKey::new(K1);
    let token = sign("h/devices/d", &key, KeyRule::Base64Decoded, 50, Some("p")).unwrap();
    let parsed = parse(token.expose()).unwrap();
    let printed = format!("{key:?} {token:?} {parsed:?}");
    assert!(!printed.contains(K1) && !printed.contains(&parsed.signature), "{printed}");
    assert!(!printed.contains(&percent_decode(&parsed.signature)), "{printed}");
}
