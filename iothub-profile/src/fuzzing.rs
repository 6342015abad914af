//! Invariants of the text grammars, for fuzzing and for tests over the same inputs. Never part of the public surface:
//! it exists under `cfg(fuzzing)` and the private feature `__fuzzing`.

use crate::connection_string::ConnectionString;
use crate::path::{Address, HubAddress, Resource};
use crate::sas::{self, KeyRule, SharedAccessKey};

/// A connection string that is read is written again so that it reads the same, and shows no secret.
///
/// # Panics
/// When it does not.
pub fn fuzz_connection_string(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(read) = ConnectionString::parse(text) else { return };
    let written = read.expose();
    let again = ConnectionString::parse(&written);
    assert_eq!(again.as_ref(), Ok(&read), "{written:?} reads otherwise than what it was written from");
    assert!(ConnectionString::parse(&read.to_string()).is_ok() || read.to_string().contains("***"));
}

/// An address that is read is written again so that it reads the same.
///
/// # Panics
/// When it does not.
pub fn fuzz_address(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(address) = Address::parse(text) {
        let written = address.node.to_string();
        assert_eq!(HubAddress::parse(&written).as_ref(), Ok(&address.node), "{written:?}");
        if let Some(host) = address.host {
            let uri = address.node.to_uri(&host);
            assert_eq!(HubAddress::parse(&uri).as_ref(), Ok(&address.node), "{uri:?}");
        }
    }
    if let Some(resource) = Resource::parse(text) {
        assert!(resource.covers(&resource), "a resource covers itself: {text:?}");
    }
}

/// A token that is read verifies under no key but the one that signed it, and its parts are the received text.
///
/// # Panics
/// When it does.
pub fn fuzz_sas(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let key = SharedAccessKey::from_bytes(b"a key that signed none of these.");
    if let Ok(token) = sas::parse(text) {
        assert!(text.contains(token.resource()), "the resource is a part of the text: {text:?}");
        assert!(sas::verify(&token, &key, KeyRule::Base64Decoded).is_err(), "{text:?} verifies");
    }
    let Ok(signed) = sas::sign(text, &key, KeyRule::Base64Decoded, 1_700_000_000, None) else { return };
    let token = sas::parse(signed.expose());
    let verified = token.as_ref().map(|token| sas::verify(token, &key, KeyRule::Base64Decoded));
    assert!(text.is_empty() || verified == Ok(Ok(())), "a token for {text:?} does not verify");
}
