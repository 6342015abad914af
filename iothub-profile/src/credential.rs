//! Where tokens come from.
//!
//! A provider is asked anew at each connect and each renewal. It signs only what its key can sign and says so where it
//! cannot; it never hands out a key. IoT Hub: "Control access to IoT Hub by using shared access signatures".

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    clock::unix_seconds,
    path::Resource,
    sas::{self, KeyRule, SasError, SasToken, SharedAccessKey},
};

/// What a token is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// The resource: host and path for a hub, a full URI for an event hub.
    pub resource: &'a str,
    /// How the resource's owner derives HMAC keys.
    pub rule: KeyRule,
    /// The time now.
    pub now: SystemTime,
    /// How long the token should last from now.
    pub lifetime: Duration,
}

/// Gives out tokens. Implement it to keep keys elsewhere, for example in a hardware module.
pub trait CredentialProvider: fmt::Debug + Send + Sync {
    /// A token for the request.
    ///
    /// # Errors
    /// When this provider cannot sign for the resource, or what it has is expired or malformed.
    fn token(&self, request: &TokenRequest<'_>) -> Result<SasToken, CredentialError>;

    /// The policy whose key signs, where it is one; SASL PLAIN user names carry it.
    fn policy(&self) -> Option<&str> {
        None
    }
}

/// Why there is no token.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The key or token text is malformed.
    #[error(transparent)]
    Sas(#[from] SasError),
    /// The ready-made token has ended.
    #[error("the shared access signature expired {ago} seconds ago; make a new one")]
    Expired {
        /// Seconds since its end.
        ago: u64,
    },
    /// The ready-made token was signed for something else.
    #[error("the shared access signature is for \"{has}\" and cannot be used for \"{wanted}\"")]
    OtherResource {
        /// What the token is for.
        has: String,
        /// What was asked.
        wanted: String,
    },
    /// A device's key cannot sign for an event hub.
    #[error("a device's own key cannot sign for an event hub; use the connection string of a policy")]
    DeviceKey,
    /// A token made elsewhere for a hub was to be used for the event hub behind it, which wants one of its own.
    #[error(
        "the ready-made shared access signature is for the hub \"{has}\" and cannot be used for its event hub, whose tokens \
         are signed in another way; use the connection string of a policy with its key, or an Event Hubs connection string"
    )]
    HubToken {
        /// What the token is for.
        has: String,
    },
    /// There is neither key nor token.
    #[error("the connection string has no key and no shared access signature to authenticate with")]
    Nothing,
}

/// A device's or module's own key.
#[derive(Clone, Debug)]
pub struct DeviceKey {
    key: SharedAccessKey,
}

/// A policy and its key.
#[derive(Clone, Debug)]
pub struct PolicyKey {
    policy: String,
    key: SharedAccessKey,
}

/// A token made elsewhere, good for what it was signed for until it ends.
#[derive(Clone, Debug)]
pub struct ReadyToken {
    token: SasToken,
}

impl TokenRequest<'_> {
    /// When the wanted token should end, in seconds since 1970 UTC; at least one second from now.
    pub fn expiry(&self) -> u64 {
        unix_seconds(self.now).saturating_add(self.lifetime.as_secs().max(1))
    }
}

impl DeviceKey {
    /// A provider over a device's own key.
    pub fn new(key: SharedAccessKey) -> Self {
        Self { key }
    }
}

impl CredentialProvider for DeviceKey {
    fn token(&self, request: &TokenRequest<'_>) -> Result<SasToken, CredentialError> {
        match request.rule {
            KeyRule::Base64Decoded => {
                Ok(sas::sign(request.resource, &self.key, request.rule, request.expiry(), None)?)
            }
            KeyRule::Text => Err(CredentialError::DeviceKey),
        }
    }
}

impl PolicyKey {
    /// A provider over a policy's key.
    pub fn new(policy: impl Into<String>, key: SharedAccessKey) -> Self {
        Self { policy: policy.into(), key }
    }
}

impl CredentialProvider for PolicyKey {
    fn token(&self, request: &TokenRequest<'_>) -> Result<SasToken, CredentialError> {
        Ok(sas::sign(request.resource, &self.key, request.rule, request.expiry(), Some(&self.policy))?)
    }

    fn policy(&self) -> Option<&str> {
        Some(&self.policy)
    }
}

impl ReadyToken {
    /// A provider that gives out this token while it lasts.
    pub fn new(token: SasToken) -> Self {
        Self { token }
    }
}

impl CredentialProvider for ReadyToken {
    fn token(&self, request: &TokenRequest<'_>) -> Result<SasToken, CredentialError> {
        let now = unix_seconds(request.now);
        if self.token.is_expired_at(now) {
            return Err(CredentialError::Expired { ago: now.saturating_sub(self.token.expiry()) });
        }
        let has = self.token.resource();
        if request.rule == KeyRule::Text && is_hubs(has) {
            return Err(CredentialError::HubToken { has: has.to_owned() });
        }
        let covered = match (Resource::parse(has), Resource::parse(request.resource)) {
            (Some(has), Some(wanted)) => has.covers(&wanted),
            _ => false,
        };
        if covered {
            Ok(self.token.clone())
        } else {
            Err(CredentialError::OtherResource { has: has.to_owned(), wanted: request.resource.to_owned() })
        }
    }
}

/// True for what a hub's tokens are signed for: a host without a scheme, and not an event hub's. Event Hubs' resources
/// are URIs.
fn is_hubs(resource: &str) -> bool {
    !resource.contains("://")
        && Resource::parse(resource).is_some_and(|resource| !resource.host.is_azure_event_hub())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn request(resource: &str, rule: KeyRule) -> TokenRequest<'_> {
        TokenRequest {
            resource,
            rule,
            now: UNIX_EPOCH + Duration::from_secs(1000),
            lifetime: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_device_key_signs_for_hubs_only() {
        let provider = DeviceKey::new(SharedAccessKey::new(KEY));
        let token = provider.token(&request("h/devices/d", KeyRule::Base64Decoded)).unwrap();
        assert_eq!((token.resource(), token.expiry()), ("h/devices/d", 1060));
        assert_eq!(provider.token(&request("sb://h/e", KeyRule::Text)), Err(CredentialError::DeviceKey));
    }

    #[test]
    fn a_hubs_ready_token_offered_to_its_event_hub_is_told_to_be_of_no_use_there() {
        let key = SharedAccessKey::new(KEY);
        let ready =
            |resource| ReadyToken::new(sas::sign(resource, &key, KeyRule::Text, 2000, Some("p")).unwrap());
        // An emulated hub and its event hub have one host, so that the resource alone would fit.
        let at_event_hub = request("sb://localhost/hub", KeyRule::Text);
        let refused = ready("localhost").token(&at_event_hub).unwrap_err();
        assert_eq!(refused, CredentialError::HubToken { has: "localhost".to_owned() });
        assert!(refused.to_string().contains("Event Hubs connection string"), "{refused}");
        assert!(ready("sb://localhost/hub").token(&at_event_hub).is_ok());
        let azure = "ns.servicebus.windows.net/hub";
        assert!(ready(azure).token(&request(&format!("sb://{azure}"), KeyRule::Text)).is_ok());
    }

    #[test]
    fn a_ready_token_is_given_only_for_what_it_covers_and_while_it_lasts() {
        let key = SharedAccessKey::new(KEY);
        let ready = |expiry| {
            ReadyToken::new(sas::sign("h", &key, KeyRule::Base64Decoded, expiry, Some("p")).unwrap())
        };
        assert!(ready(2000).token(&request("h/messages", KeyRule::Base64Decoded)).is_ok());
        assert!(matches!(
            ready(2000).token(&request("other/messages", KeyRule::Base64Decoded)),
            Err(CredentialError::OtherResource { .. })
        ));
        let expired = ready(990).token(&request("h", KeyRule::Base64Decoded));
        assert_eq!(expired, Err(CredentialError::Expired { ago: 10 }));
    }
}
