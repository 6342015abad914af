//! Host names of hubs, with an optional port, and the names derived from them.
//!
//! Decides nothing about trust; redirects do that with [`HostName::is_azure_event_hub`] and a list of their own.

use std::{fmt, str::FromStr};

/// The port of AMQP over TLS, used where a host name carries none.
pub const AMQPS_PORT: u16 = 5671;

/// A host name, lower-cased, with the port if one was written: `myhub.azure-devices.net` or `localhost:15671`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HostName {
    name: String,
    port: Option<u16>,
}

/// Why a text is not a host name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostNameError {
    /// There is nothing where the host name should be.
    #[error("the host name is empty")]
    Empty,
    /// A character that no host name has, such as a space or a slash.
    #[error("the host name has a character that host names cannot have")]
    Character,
    /// What follows the colon is not a port between 1 and 65535.
    #[error("the port after the host name is not a number between 1 and 65535")]
    Port,
}

impl HostName {
    /// A host name without a port, or with one after a colon; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// When the text is empty, has characters that no host name has, or an impossible port.
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let (name, port) = split_port(text.trim())?;
        if name.is_empty() {
            return Err(HostNameError::Empty);
        }
        if name.len() > MAX_HOST_NAME || !name.bytes().all(is_host_byte) {
            return Err(HostNameError::Character);
        }
        Ok(Self { name: name.to_ascii_lowercase(), port })
    }

    /// The same host on another port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The name alone, lower-cased, without port or brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port that was written, if any.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port to connect to: the one written, else [`AMQPS_PORT`].
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(AMQPS_PORT)
    }

    /// The hub's short name, its first label: `myhub` of `myhub.azure-devices.net`. SASL PLAIN user names carry it.
    pub fn short_name(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }

    /// True for the event hubs of Azure's public and sovereign clouds.
    pub fn is_azure_event_hub(&self) -> bool {
        AZURE_EVENT_HUB_SUFFIXES.iter().any(|suffix| self.name.ends_with(suffix))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = self.name.contains(':');
        if bracketed {
            write!(f, "[{}]", self.name)?;
        } else {
            f.write_str(&self.name)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), HostNameError> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, after) = rest.split_once(']').ok_or(HostNameError::Character)?;
        if !name.contains(':') {
            return Err(HostNameError::Character);
        }
        match after.strip_prefix(':') {
            Some(port) => (name, Some(port)),
            None if after.is_empty() => (name, None),
            None => return Err(HostNameError::Character),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(HostNameError::Character),
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    let Some(digits) = port else { return Ok((name, None)) };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostNameError::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(HostNameError::Port),
        Ok(port) => Ok((name, Some(port))),
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':')
}

/// The longest name DNS allows.
const MAX_HOST_NAME: usize = 253;

const AZURE_EVENT_HUB_SUFFIXES: [&str; 4] = [
    ".servicebus.windows.net",
    ".servicebus.chinacloudapi.cn",
    ".servicebus.usgovcloudapi.net",
    ".servicebus.cloudapi.de",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_name_is_the_first_label_without_the_port() {
        let host = HostName::parse("MyHub.azure-devices.net:5671").unwrap();
        assert_eq!(
            (host.short_name(), host.name(), host.port()),
            ("myhub", "myhub.azure-devices.net", Some(5671))
        );
        assert_eq!(host.to_string(), "myhub.azure-devices.net:5671");
        assert_eq!(HostName::parse("localhost").unwrap().port_or_default(), 5671);
    }

    #[test]
    fn impossible_hosts_are_named() {
        for (text, error) in [
            ("", HostNameError::Empty),
            (":1", HostNameError::Empty),
            ("a b", HostNameError::Character),
            ("a/b", HostNameError::Character),
            ("a:b:c", HostNameError::Character),
            ("[1]", HostNameError::Character),
            ("a:", HostNameError::Port),
            ("a:0", HostNameError::Port),
            ("a:+1", HostNameError::Port),
            ("a:65536", HostNameError::Port),
        ] {
            assert_eq!(HostName::parse(text), Err(error), "{text}");
        }
        let six = HostName::parse("[::1]:5").unwrap();
        assert_eq!((six.name(), six.to_string().as_str()), ("::1", "[::1]:5"));
    }

    #[test]
    fn an_azure_event_hub_is_known_by_the_end_of_its_name() {
        let host = |text: &str| HostName::parse(text).unwrap();
        assert!(host("x.servicebus.windows.net").is_azure_event_hub());
        assert!(!host("servicebus.windows.net.evil.org").is_azure_event_hub());
    }
}
