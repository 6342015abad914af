//! Connection strings of devices, modules, service policies and event hubs.
//!
//! Owns reading and writing `Key=Value;Key=Value` texts. Errors name the key at fault and never show a value, since a
//! value may be a secret. IoT Hub: "Control access to IoT Hub"; Event Hubs: "Get an Event Hubs connection string".

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    credential::{CredentialProvider, DeviceKey, PolicyKey, ReadyToken},
    host::HostName,
    sas::{SasToken, SharedAccessKey},
};

mod error;
mod grammar;

#[cfg(test)]
mod tests;

pub use error::ConnectionStringError;
use grammar::{Field, Fields};

/// A connection string of one of three kinds. `Debug` and `Display` hide keys and signatures;
/// [`ConnectionString::expose`] writes the whole text.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConnectionString {
    /// Of a device, or of a module on it: has a `DeviceId`.
    Device(DeviceString),
    /// Of a hub's policy, for services.
    Service(ServiceString),
    /// Of an event hub: has an `Endpoint`.
    EventHubs(EventHubsString),
}

/// A device's or module's connection string.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceString {
    /// The hub.
    pub host: HostName,
    /// The gateway to connect to in the hub's place, if any. Tokens stay signed for the hub.
    pub gateway: Option<HostName>,
    /// The device's id, not encoded.
    pub device_id: String,
    /// The module's id, for a module.
    pub module_id: Option<String>,
    /// How it authenticates.
    pub credential: Credential,
}

/// A service policy's connection string.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceString {
    /// The hub.
    pub host: HostName,
    /// The policy's name, none for a ready-made token that does not say.
    pub policy: Option<String>,
    /// How it authenticates.
    pub credential: Credential,
}

/// An Event Hubs connection string.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventHubsString {
    /// The namespace's host.
    pub endpoint: HostName,
    /// The event hub's name, where the string has one.
    pub entity_path: Option<String>,
    /// The policy's name, none for a ready-made token that does not say.
    pub policy: Option<String>,
    /// How it authenticates.
    pub credential: Credential,
    /// Whether the string points at an emulator, which speaks plain TCP on port 5672.
    pub transport: EventHubsTransport,
}

/// What an Event Hubs endpoint speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EventHubsTransport {
    /// AMQP over TLS.
    #[default]
    Tls,
    /// Plain TCP: `UseDevelopmentEmulator=true`.
    DevelopmentEmulator,
}

/// What a connection string authenticates with.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Credential {
    /// The device's or module's own key.
    Key(SharedAccessKey),
    /// A policy's key.
    Policy {
        /// The policy's name.
        name: String,
        /// Its key.
        key: SharedAccessKey,
    },
    /// A ready-made token.
    Token(SasToken),
    /// A client certificate, given elsewhere.
    X509,
}

impl ConnectionString {
    /// Reads a connection string. Keys match in any case and order; a semicolon at the end is allowed.
    ///
    /// # Errors
    /// For unknown, doubled, missing or contradicting keys and impossible values, naming the key.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let mut fields = Fields::parse(text)?;
        let kind = if fields.has(Field::Endpoint) {
            Self::EventHubs(EventHubsString::from_fields(&mut fields)?)
        } else if fields.has(Field::DeviceId) {
            Self::Device(DeviceString::from_fields(&mut fields)?)
        } else {
            Self::Service(ServiceString::from_fields(&mut fields)?)
        };
        fields.finish()?;
        Ok(kind)
    }

    /// The host to which tokens belong: the hub, or the namespace of the event hub.
    pub fn host(&self) -> &HostName {
        match self {
            Self::Device(device) => &device.host,
            Self::Service(service) => &service.host,
            Self::EventHubs(event_hubs) => &event_hubs.endpoint,
        }
    }

    /// What it authenticates with.
    pub fn credential(&self) -> &Credential {
        match self {
            Self::Device(device) => &device.credential,
            Self::Service(service) => &service.credential,
            Self::EventHubs(event_hubs) => &event_hubs.credential,
        }
    }

    /// The whole text, with its secrets.
    pub fn expose(&self) -> String {
        self.write(|secret| secret.to_owned())
    }

    fn write(&self, show: impl Fn(&str) -> String) -> String {
        let mut parts = Vec::new();
        match self {
            Self::Device(device) => {
                parts.push(format!("HostName={}", device.host));
                parts.extend(device.gateway.as_ref().map(|host| format!("GatewayHostName={host}")));
                parts.push(format!("DeviceId={}", device.device_id));
                parts.extend(device.module_id.as_ref().map(|id| format!("ModuleId={id}")));
                device.credential.write(&mut parts, show);
            }
            Self::Service(service) => {
                parts.push(format!("HostName={}", service.host));
                service.credential.write(&mut parts, show);
            }
            Self::EventHubs(event_hubs) => {
                parts.push(format!("Endpoint=sb://{}/", event_hubs.endpoint));
                event_hubs.credential.write(&mut parts, show);
                parts.extend(event_hubs.entity_path.as_ref().map(|path| format!("EntityPath={path}")));
                if event_hubs.transport == EventHubsTransport::DevelopmentEmulator {
                    parts.push("UseDevelopmentEmulator=true".to_owned());
                }
            }
        }
        parts.join(";")
    }
}

/// The text with every secret replaced by `***`.
impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write(|_| "***".to_owned()))
    }
}

impl FromStr for ConnectionString {
    type Err = ConnectionStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Credential {
    /// The provider that gives out tokens made with this credential; none for a certificate.
    pub fn provider(&self) -> Option<Arc<dyn CredentialProvider>> {
        match self {
            Self::Key(key) => Some(Arc::new(DeviceKey::new(key.clone()))),
            Self::Policy { name, key } => Some(Arc::new(PolicyKey::new(name.clone(), key.clone()))),
            Self::Token(token) => Some(Arc::new(ReadyToken::new(token.clone()))),
            Self::X509 => None,
        }
    }

    fn write(&self, parts: &mut Vec<String>, show: impl Fn(&str) -> String) {
        match self {
            Self::Key(key) => parts.push(format!("SharedAccessKey={}", show(key.expose()))),
            Self::Policy { name, key } => {
                parts.push(format!("SharedAccessKeyName={name}"));
                parts.push(format!("SharedAccessKey={}", show(key.expose())));
            }
            Self::Token(token) => parts.push(format!("SharedAccessSignature={}", show(token.expose()))),
            Self::X509 => parts.push("x509=true".to_owned()),
        }
    }
}

impl DeviceString {
    /// The resource its tokens are signed for: `{host}/devices/{id}[/modules/{id}]`, without the port.
    /// A policy's key signs for the same resource.
    pub fn resource(&self) -> String {
        let device = format!("{}/devices/{}", self.host.name(), self.device_id);
        match &self.module_id {
            Some(module) => format!("{device}/modules/{module}"),
            None => device,
        }
    }

    fn from_fields(fields: &mut Fields<'_>) -> Result<Self, ConnectionStringError> {
        let host = host_of(fields, Field::HostName)?.ok_or(ConnectionStringError::MissingKey("HostName"))?;
        let device_id =
            id_of(fields, Field::DeviceId)?.ok_or(ConnectionStringError::MissingKey("DeviceId"))?;
        let module_id = id_of(fields, Field::ModuleId)?;
        let gateway = host_of(fields, Field::GatewayHostName)?;
        let credential = credential_of(fields, KeyText::Base64)?
            .ok_or(ConnectionStringError::MissingKey("SharedAccessKey"))?;
        Ok(Self { host, gateway, device_id, module_id, credential })
    }
}

impl ServiceString {
    /// The resource its tokens are signed for: the hub as a whole.
    pub fn resource(&self) -> String {
        self.host.name().to_owned()
    }

    fn from_fields(fields: &mut Fields<'_>) -> Result<Self, ConnectionStringError> {
        let host = host_of(fields, Field::HostName)?.ok_or(ConnectionStringError::MissingKey("HostName"))?;
        if fields.has(Field::ModuleId) {
            return Err(ConnectionStringError::MissingKey("DeviceId"));
        }
        let (policy, credential) = policy_credential_of(fields, KeyText::Base64)?;
        Ok(Self { host, policy, credential })
    }
}

impl EventHubsString {
    fn from_fields(fields: &mut Fields<'_>) -> Result<Self, ConnectionStringError> {
        let endpoint = endpoint_of(fields)?;
        let entity_path = fields.take_filled(Field::EntityPath)?.map(str::to_owned);
        let transport = match fields.take_filled(Field::UseDevelopmentEmulator)? {
            None => EventHubsTransport::Tls,
            Some(value) if value.eq_ignore_ascii_case("false") => EventHubsTransport::Tls,
            Some(value) if value.eq_ignore_ascii_case("true") => EventHubsTransport::DevelopmentEmulator,
            Some(_) => {
                return Err(ConnectionStringError::Value {
                    key: "UseDevelopmentEmulator",
                    problem: "is neither true nor false",
                });
            }
        };
        let (policy, credential) = policy_credential_of(fields, KeyText::Any)?;
        Ok(Self { endpoint, entity_path, policy, credential, transport })
    }
}

/// What a key's text must be.
#[derive(Clone, Copy, Eq, PartialEq)]
enum KeyText {
    Base64,
    Any,
}

fn host_of(fields: &mut Fields<'_>, key: Field) -> Result<Option<HostName>, ConnectionStringError> {
    let Some(text) = fields.take_filled(key)? else { return Ok(None) };
    HostName::parse(text).map(Some).map_err(|error| ConnectionStringError::Host { key: key.name(), error })
}

fn endpoint_of(fields: &mut Fields<'_>) -> Result<HostName, ConnectionStringError> {
    let text = fields.take_filled(Field::Endpoint)?.ok_or(ConnectionStringError::MissingKey("Endpoint"))?;
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.strip_suffix('/').unwrap_or(rest);
    HostName::parse(host).map_err(|error| ConnectionStringError::Host { key: "Endpoint", error })
}

fn id_of(fields: &mut Fields<'_>, key: Field) -> Result<Option<String>, ConnectionStringError> {
    let Some(id) = fields.take_filled(key)? else { return Ok(None) };
    let problem = if id.chars().count() > MAX_ID {
        "is longer than 128 characters"
    } else if id.chars().any(|c| c.is_control() || c == '/') {
        "has a character that ids cannot have"
    } else {
        return Ok(Some(id.to_owned()));
    };
    Err(ConnectionStringError::Value { key: key.name(), problem })
}

/// The credential of a string that must name a policy or carry a ready-made token.
fn policy_credential_of(
    fields: &mut Fields<'_>,
    text: KeyText,
) -> Result<(Option<String>, Credential), ConnectionStringError> {
    match credential_of(fields, text)? {
        Some(Credential::Policy { name, key }) => Ok((Some(name.clone()), Credential::Policy { name, key })),
        Some(Credential::Token(token)) => {
            let policy =
                crate::sas::parse(token.expose()).ok().and_then(|parsed| parsed.policy().map(str::to_owned));
            Ok((policy, Credential::Token(token)))
        }
        Some(Credential::Key(_)) => Err(ConnectionStringError::MissingKey("DeviceId or SharedAccessKeyName")),
        Some(Credential::X509) => Err(ConnectionStringError::MissingKey("DeviceId")),
        None => Err(ConnectionStringError::MissingKey("SharedAccessKey")),
    }
}

fn credential_of(
    fields: &mut Fields<'_>,
    text: KeyText,
) -> Result<Option<Credential>, ConnectionStringError> {
    let policy = fields.take_filled(Field::SharedAccessKeyName)?.map(str::to_owned);
    let key = fields.take_filled(Field::SharedAccessKey)?.map(SharedAccessKey::new);
    let token = fields.take_filled(Field::SharedAccessSignature)?;
    let x509 = match fields.take_filled(Field::X509)? {
        Some(value) if value.eq_ignore_ascii_case("true") => true,
        Some(value) if value.eq_ignore_ascii_case("false") => false,
        Some(_) => {
            return Err(ConnectionStringError::Value { key: "x509", problem: "is neither true nor false" });
        }
        None => false,
    };
    match (key, token, x509) {
        (Some(_), Some(_), _) => {
            Err(ConnectionStringError::Conflict("SharedAccessKey", "SharedAccessSignature"))
        }
        (Some(_), None, true) => Err(ConnectionStringError::Conflict("SharedAccessKey", "x509")),
        (None, Some(_), true) => Err(ConnectionStringError::Conflict("SharedAccessSignature", "x509")),
        (Some(key), None, false) => {
            if text == KeyText::Base64 && !key.is_base64() {
                return Err(ConnectionStringError::NotBase64("SharedAccessKey"));
            }
            Ok(Some(match policy {
                Some(name) => Credential::Policy { name, key },
                None => Credential::Key(key),
            }))
        }
        (None, Some(token), false) => SasToken::from_text(token)
            .map(|token| Some(Credential::Token(token)))
            .map_err(ConnectionStringError::Token),
        (None, None, true) => Ok(Some(Credential::X509)),
        (None, None, false) if policy.is_some() => Err(ConnectionStringError::MissingKey("SharedAccessKey")),
        (None, None, false) => Ok(None),
    }
}

/// No connection string is longer: ids of 128 characters, a host of 253 and a token of a few hundred.
const MAX_LENGTH: usize = 8192;

/// IoT Hub: ids have up to 128 characters.
const MAX_ID: usize = 128;
