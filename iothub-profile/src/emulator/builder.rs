//! How an emulator is described before it is started.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{
    Emulator,
    error::EmulatorError,
    registry::Rights,
    settings::{MAX_PARTITIONS, Settings},
};

/// Describes an emulated hub; [`start`](Self::start) opens its port.
///
/// Without any call it is a hub named `localhost` on a free loopback port, with no device, Azure's five policies with new
/// keys, four partitions, and a certificate authority made on the spot.
#[derive(Clone)]
pub struct EmulatorBuilder {
    pub(crate) host: String,
    pub(crate) event_hub_host: Option<String>,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) certificate: Option<(String, String)>,
    pub(crate) devices: Vec<(String, Option<String>)>,
    pub(crate) policies: Vec<(String, String, Rights)>,
    pub(crate) settings: Settings,
}

impl EmulatorBuilder {
    pub(super) fn new() -> Self {
        Self {
            host: "localhost".to_owned(),
            event_hub_host: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            certificate: None,
            devices: Vec::new(),
            policies: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Host name of the hub, such as `my-hub.azure-devices.net`; its first label is the hub's short name. Default `localhost`.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = name.into();
        self
    }

    /// Host name that telemetry readers are redirected to. Default: the hub's own, since both share one port.
    #[must_use]
    pub fn event_hub_host(mut self, name: impl Into<String>) -> Self {
        self.event_hub_host = Some(name.into());
        self
    }

    /// Network address to listen on. Default 127.0.0.1.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// Port to listen on; 0, the default, takes any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Certificate chain and private key, both PEM text. Default: made on the spot by an authority of its own, for the host
    /// names, `localhost` and 127.0.0.1.
    #[must_use]
    pub fn tls(mut self, certificate_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        self.certificate = Some((certificate_pem.into(), key_pem.into()));
        self
    }

    /// Registers a device; without a key it gets a new one, to be had from
    /// [`Emulator::device_connection_string`]. May be called many times.
    #[must_use]
    pub fn device(mut self, id: impl Into<String>, key: Option<&str>) -> Self {
        self.devices.push((id.into(), key.map(str::to_owned)));
        self
    }

    /// Adds a shared access policy, or gives one of the well-known five a key and rights of your own.
    #[must_use]
    pub fn policy(mut self, name: impl Into<String>, key: impl Into<String>, rights: Rights) -> Self {
        self.policies.push((name.into(), key.into(), rights));
        self
    }

    /// Partitions of the built-in event hub, 1 to 32. Default 4.
    #[must_use]
    pub fn partitions(mut self, count: u16) -> Self {
        self.settings.partitions = count;
        self
    }

    /// Adds a consumer group to the built-in event hub, which always has `$Default`.
    #[must_use]
    pub fn consumer_group(mut self, name: impl Into<String>) -> Self {
        self.settings.consumer_groups.push(name.into());
        self
    }

    /// Longest time a feedback record waits for others to share a message with. Default 15 s.
    #[must_use]
    pub fn feedback_interval(mut self, interval: Duration) -> Self {
        self.settings.feedback_interval = interval;
        self
    }

    /// How long a command or a feedback message stays locked for whoever received it. Default 60 s.
    #[must_use]
    pub fn lock_duration(mut self, duration: Duration) -> Self {
        self.settings.lock_duration = duration;
        self
    }

    /// Life of a command that names no expiry. Default 1 h.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.settings.default_ttl = ttl;
        self
    }

    /// Abandons after which the hub gives a command up, 1 to 100. Default 10.
    #[must_use]
    pub fn max_delivery_count(mut self, count: u8) -> Self {
        self.settings.max_delivery_count = count;
        self
    }

    /// Bytes a partition keeps before its oldest events go. Default 256 MiB.
    #[must_use]
    pub fn retention_bytes(mut self, bytes: usize) -> Self {
        self.settings.retention_bytes = bytes;
        self
    }

    /// Events a partition keeps before its oldest go. Default 2,000,000.
    #[must_use]
    pub fn retention_events(mut self, events: usize) -> Self {
        self.settings.retention_events = events;
        self
    }

    /// How long a client may take for TLS, SASL and open. Default 30 s.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handshake_timeout = timeout;
        self
    }

    /// How long a connection may go on without having shown a token or key, be it by SASL or on `$cbs`. Default 60 s.
    #[must_use]
    pub fn claim_timeout(mut self, timeout: Duration) -> Self {
        self.settings.claim_timeout = timeout;
        self
    }

    /// Opens the port and starts serving on the current tokio runtime.
    ///
    /// # Errors
    /// A setting, key, id or certificate that cannot be used, or a port that cannot be opened.
    ///
    /// # Cancel safety
    /// Nothing is left running when the future is dropped before it is ready.
    pub async fn start(self) -> Result<Emulator, EmulatorError> {
        self.check()?;
        Emulator::start(self).await
    }

    fn check(&self) -> Result<(), EmulatorError> {
        let wrong =
            |setting, reason: &str| Err(EmulatorError::Setting { setting, reason: reason.to_owned() });
        if self.host.is_empty() || self.host.contains(['/', ' ', ':']) {
            return wrong("host", "a host name without scheme, port or path is needed");
        }
        if !(1..=MAX_PARTITIONS).contains(&self.settings.partitions) {
            return wrong("partitions", "1 to 32 are possible");
        }
        if !(1..=100).contains(&self.settings.max_delivery_count) {
            return wrong("max_delivery_count", "1 to 100 are possible");
        }
        if self.settings.retention_bytes == 0 || self.settings.retention_events == 0 {
            return wrong("retention", "at least one event must fit");
        }
        Ok(())
    }
}

impl fmt::Debug for EmulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devices: Vec<&str> = self.devices.iter().map(|(id, _)| id.as_str()).collect();
        let policies: Vec<&str> = self.policies.iter().map(|(name, ..)| name.as_str()).collect();
        f.debug_struct("EmulatorBuilder")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("devices", &devices)
            .field("policies", &policies)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
