//! The hub's identities: devices with their keys, and shared access policies with their rights.
//!
//! Owns who exists and with which secret. It never checks a token (`auth` does) and knows nothing of links.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{BitOr, BitOrAssign},
};

use uuid::Uuid;

use super::error::EmulatorError;
use crate::sas::SharedAccessKey;

/// What a shared access policy allows (IoT Hub: Control access to IoT Hub with SAS, "permissions").
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Nothing at all.
    pub const NONE: Self = Self(0);
    /// Reading the identity registry.
    pub const REGISTRY_READ: Self = Self(1);
    /// Changing the identity registry.
    pub const REGISTRY_WRITE: Self = Self(2);
    /// The service-facing endpoints: commands, feedback, telemetry.
    pub const SERVICE_CONNECT: Self = Self(4);
    /// The device-facing endpoints, for any device in the token's scope.
    pub const DEVICE_CONNECT: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);

    /// Rights of the five policies that every hub is created with; `None` for any other name.
    #[must_use]
    pub fn of_well_known(policy: &str) -> Option<Self> {
        WELL_KNOWN.iter().find(|(name, _)| *name == policy).map(|(_, rights)| *rights)
    }

    /// Whether every right in `other` is in `self`.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::REGISTRY_READ, "RegistryRead"),
            (Self::REGISTRY_WRITE, "RegistryWrite"),
            (Self::SERVICE_CONNECT, "ServiceConnect"),
            (Self::DEVICE_CONNECT, "DeviceConnect"),
        ];
        f.debug_set()
            .entries(names.iter().filter(|(right, _)| self.contains(*right)).map(|(_, name)| name))
            .finish()
    }
}

/// One registered device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) primary_key: SharedAccessKey,
    pub(crate) secondary_key: SharedAccessKey,
    /// Tells one registration of an id from the next one; digits, as Azure writes them.
    pub(crate) generation_id: String,
}

/// One shared access policy.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) primary_key: SharedAccessKey,
    pub(crate) secondary_key: SharedAccessKey,
    pub(crate) rights: Rights,
}

/// Every identity the hub knows.
#[derive(Debug)]
pub(crate) struct Registry {
    devices: BTreeMap<String, Device>,
    policies: BTreeMap<String, Policy>,
}

impl Registry {
    /// The five well-known policies with new keys, and no device.
    pub(crate) fn new() -> Self {
        let policies =
            WELL_KNOWN.iter().map(|(name, rights)| ((*name).to_owned(), Policy::new(new_key(), *rights)));
        Self { devices: BTreeMap::new(), policies: policies.collect() }
    }

    /// Registers a device; without a key it gets a new one.
    pub(crate) fn add_device(
        &mut self,
        id: &str,
        key: Option<&str>,
        now_ms: i64,
    ) -> Result<(), EmulatorError> {
        if !is_valid_id(id) {
            return Err(EmulatorError::DeviceId { id: id.to_owned() });
        }
        if self.devices.contains_key(id) {
            return Err(EmulatorError::DeviceExists { id: id.to_owned() });
        }
        if self.devices.len() >= MAX_DEVICES {
            return Err(EmulatorError::Setting {
                setting: "device",
                reason: format!("at most {MAX_DEVICES} devices"),
            });
        }
        let primary_key = key.map_or_else(|| Ok(new_key()), |text| given_key(text, id))?;
        let device = Device { primary_key, secondary_key: new_key(), generation_id: generation_id(now_ms) };
        self.devices.insert(id.to_owned(), device);
        Ok(())
    }

    /// Adds a policy or replaces the one of that name.
    pub(crate) fn set_policy(&mut self, name: &str, key: &str, rights: Rights) -> Result<(), EmulatorError> {
        self.policies.insert(name.to_owned(), Policy::new(given_key(key, name)?, rights));
        Ok(())
    }

    /// Looks a device up by its exact id (ids are case-sensitive).
    pub(crate) fn device(&self, id: &str) -> Option<&Device> {
        self.devices.get(id)
    }

    /// Looks a policy up by its exact name.
    pub(crate) fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.get(name)
    }

    /// Every device id, in order.
    pub(crate) fn device_ids(&self) -> impl Iterator<Item = &str> {
        self.devices.keys().map(String::as_str)
    }

    /// Every policy's name, in order.
    pub(crate) fn policy_names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }
}

impl Policy {
    fn new(primary_key: SharedAccessKey, rights: Rights) -> Self {
        Self { primary_key, secondary_key: new_key(), rights }
    }
}

/// IoT Hub: Understand the identity registry, "deviceId": up to 128 of these ASCII characters.
pub(crate) fn is_valid_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || ID_PUNCTUATION.contains(&byte);
    (1..=MAX_ID_LENGTH).contains(&id.len()) && id.bytes().all(allowed)
}

fn given_key(text: &str, owner: &str) -> Result<SharedAccessKey, EmulatorError> {
    let key = SharedAccessKey::new(text);
    if key.is_base64() { Ok(key) } else { Err(EmulatorError::Key { owner: owner.to_owned() }) }
}

/// A new key of 32 bytes, out of two random identifiers (244 bits of randomness).
fn new_key() -> SharedAccessKey {
    SharedAccessKey::from_bytes(&[Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat())
}

fn generation_id(now_ms: i64) -> String {
    // Azure writes a .NET tick count here; milliseconds and a random tail tell registrations apart as well.
    format!("{now_ms}{:05}", Uuid::new_v4().as_u128() % 100_000)
}

/// The policies of every new hub.
const WELL_KNOWN: [(&str, Rights); 5] = [
    ("iothubowner", Rights::ALL),
    ("service", Rights::SERVICE_CONNECT),
    ("device", Rights::DEVICE_CONNECT),
    ("registryRead", Rights::REGISTRY_READ),
    ("registryReadWrite", Rights(Rights::REGISTRY_READ.0 | Rights::REGISTRY_WRITE.0)),
];

/// Longest device id.
const MAX_ID_LENGTH: usize = 128;

/// Azure allows `-:.+%_#*?!(),=@;$'`; the space is ours, so that the demanded id `dev+1 a@b` can exist.
const ID_PUNCTUATION: &[u8] = b"-:.+%_#*?!(),=@;$' ";

/// A hub holds a million devices; so does this one, which bounds its memory.
const MAX_DEVICES: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn the_five_policies_have_their_rights() {
        let registry = Registry::new();
        assert_eq!(registry.policy_names().count(), 5);
        assert!(registry.policy("iothubowner").unwrap().rights.contains(Rights::ALL));
        let service = registry.policy("service").unwrap().rights;
        assert!(service.contains(Rights::SERVICE_CONNECT) && !service.contains(Rights::DEVICE_CONNECT));
        let device = registry.policy("device").unwrap().rights;
        assert!(device.contains(Rights::DEVICE_CONNECT) && !device.contains(Rights::SERVICE_CONNECT));
        assert_eq!(
            format!("{:?}", Rights::of_well_known("registryReadWrite").unwrap()),
            r#"{"RegistryRead", "RegistryWrite"}"#
        );
    }

    #[test]
    fn devices_are_unique_and_their_ids_checked() {
        let mut registry = Registry::new();
        for id in ["dev1", "dev+1 a@b", "100%", "a#b", "a;b=c"] {
            registry.add_device(id, Some(KEY), 0).unwrap();
        }
        assert!(matches!(registry.add_device("dev1", None, 0), Err(EmulatorError::DeviceExists { .. })));
        for id in ["", "a/b", "ä", &"x".repeat(129)] {
            assert!(matches!(registry.add_device(id, None, 0), Err(EmulatorError::DeviceId { .. })), "{id}");
        }
        assert!(matches!(registry.add_device("k", Some("not base64!"), 0), Err(EmulatorError::Key { .. })));
    }

    #[test]
    fn keys_are_never_printed() {
        let mut registry = Registry::new();
        registry.add_device("dev1", Some(KEY), 0).unwrap();
        assert!(!format!("{registry:?}").contains("AAECAw"));
    }

    #[test]
    fn generated_keys_are_base64_of_32_bytes_and_differ() {
        let (one, other) = (new_key(), new_key());
        assert_eq!(one.expose().len(), 44);
        assert!(one.is_base64());
        assert_ne!(one, other);
    }
}
