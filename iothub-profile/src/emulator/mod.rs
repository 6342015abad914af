//! A local Azure IoT Hub with its built-in event hub, behind one TLS port, for tests, demos and development.
//!
//! Owns the hub's side of the protocol: devices and policies, token checks, command queues with locks, feedback,
//! partitions, redirects. It is an independent second reading of that protocol: it must never use the crate's device,
//! service or telemetry clients, or our own tests against it would prove nothing.
//!
//! Everything lives in memory and ends with the [`Emulator`]. Not emulated, and refused as such: device twins and direct
//! methods, client certificates, sending to the event hub itself, the registry over HTTPS. A link for file notifications
//! is accepted and stays silent.
//!
//! What a device's message on `/messages/serviceBound/feedback` means is nowhere written down, and no SDK sends one. Here
//! it is taken for feedback the device reports itself: a JSON array (or one object) of feedback records that name this
//! very device and a known status is accepted and passed on to the service; anything else is rejected with
//! `amqp:not-allowed`.

mod auth;
mod builder;
mod certificate;
mod claims;
mod command_message;
mod commands;
mod deadlines;
mod error;
mod feedback;
mod filter;
mod followers;
mod hub;
mod link;
mod listener;
mod management;
mod partition;
mod peer;
mod readers;
mod registry;
mod route;
mod scope;
mod settings;
mod steal;
mod telemetry;
#[cfg(test)]
mod tests;
mod time;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use self::{
    certificate::Certificate,
    hub::{Hub, lock},
    listener::Phase,
    registry::Registry,
    scope::Names,
};
use crate::{
    clock::{Clock as _, SystemClock, unix_millis},
    host::AMQPS_PORT,
};

pub use self::{builder::EmulatorBuilder, error::EmulatorError, registry::Rights};

/// A running hub. Dropping it ends it at once, like [`kill`](Self::kill).
pub struct Emulator {
    hub: Arc<Hub>,
    host: String,
    trust_pem: String,
    phase: watch::Sender<Phase>,
    server: Mutex<Option<JoinHandle<()>>>,
    time_keeper: JoinHandle<()>,
}

impl Emulator {
    /// Begins the description of a hub.
    #[must_use]
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    pub(crate) async fn start(builder: EmulatorBuilder) -> Result<Self, EmulatorError> {
        let registry = registry_of(&builder)?;
        let names = Names::new(&builder.host, builder.event_hub_host.as_deref());
        let certificate = match &builder.certificate {
            Some((chain, key)) => Certificate::given(chain, key)?,
            None => Certificate::make(&certificate_names(&names))?,
        };
        let trust_pem = certificate.trust_pem.clone();
        let address = SocketAddr::new(builder.address, builder.port);
        let listen = |source| EmulatorError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(listen)?;
        let port = socket.local_addr().map_err(listen)?.port();
        let hub = Arc::new(Hub::new(names, port, registry, builder.settings));
        let (phase, watched) = watch::channel(Phase::Running);
        let server = tokio::spawn(listener::run(socket, Arc::clone(&hub), certificate, watched));
        let kept = Arc::clone(&hub);
        let time_keeper = tokio::spawn(async move { kept.keep_time().await });
        tracing::info!(host = builder.host, port, "emulated hub is listening");
        let server = Mutex::new(Some(server));
        Ok(Self { hub, host: builder.host, trust_pem, phase, server, time_keeper })
    }

    /// The hub's host name, without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.hub.port
    }

    /// PEM text of what a client must trust: the authority made on the spot, or the certificate chain that was given.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.trust_pem
    }

    /// Connection string of a shared access policy; `None` for an unknown one. It holds the policy's key.
    #[must_use]
    pub fn connection_string(&self, policy: &str) -> Option<String> {
        let key = self.policy_key(policy)?;
        let host = self.host_name(&self.host);
        Some(format!("HostName={host};SharedAccessKeyName={policy};SharedAccessKey={key}"))
    }

    /// Event Hubs connection string of a shared access policy for the built-in endpoint; `None` for an unknown policy. It
    /// holds the policy's key.
    #[must_use]
    pub fn event_hub_connection_string(&self, policy: &str) -> Option<String> {
        let key = self.policy_key(policy)?;
        let names = &self.hub.names;
        let (host, entity) = (self.host_name(&names.event_hub), &names.entity);
        Some(format!(
            "Endpoint=sb://{host}/;SharedAccessKeyName={policy};SharedAccessKey={key};EntityPath={entity}"
        ))
    }

    /// Connection string of a device; `None` for an unknown one. It holds the device's primary key.
    #[must_use]
    pub fn device_connection_string(&self, device_id: &str) -> Option<String> {
        let key = self.hub.with_registry(|registry| {
            registry.device(device_id).map(|device| device.primary_key.expose().to_owned())
        })?;
        let host = self.host_name(&self.host);
        Some(format!("HostName={host};DeviceId={device_id};SharedAccessKey={key}"))
    }

    /// Ids of the registered devices, in order.
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        self.hub.with_registry(|registry| registry.device_ids().map(str::to_owned).collect())
    }

    /// Names of the shared access policies, in order.
    #[must_use]
    pub fn policies(&self) -> Vec<String> {
        self.hub.with_registry(|registry| registry.policy_names().map(str::to_owned).collect())
    }

    /// Name of the built-in event hub, the first segment of its paths.
    #[must_use]
    pub fn event_hub_name(&self) -> &str {
        &self.hub.names.entity
    }

    /// Registers another device while running; without a key it gets a new one.
    ///
    /// # Errors
    /// The id is taken or not allowed, or the key is not base64.
    pub fn add_device(&self, id: &str, key: Option<&str>) -> Result<(), EmulatorError> {
        let now_ms = self.hub.now().wall_ms;
        self.hub.registry.write().unwrap_or_else(PoisonError::into_inner).add_device(id, key, now_ms)
    }

    /// Throws away every pending command of a device and returns how many there were; their feedback says `Purged`.
    pub fn purge_commands(&self, device_id: &str) -> usize {
        self.hub.purge_commands(device_id)
    }

    /// Stops listening, closes every connection in good order (`amqp:connection:forced`, as Azure does when it moves a
    /// hub) and waits until all have ended, at most ten seconds. Calling it again does nothing.
    ///
    /// # Cancel safety
    /// When dropped, whatever has not ended yet ends by itself.
    pub async fn stop(&self) {
        self.advance(Phase::Stopping);
        let server = lock(&self.server).take();
        if let Some(server) = server {
            // What has not ended by then is cut off.
            let _ = tokio::time::timeout(STOP_PATIENCE, server).await;
        }
        self.kill();
    }

    /// Drops every socket at once, as a crash would: no detach, no close, and nothing more is settled.
    pub fn kill(&self) {
        self.advance(Phase::Killed);
        if let Some(server) = lock(&self.server).take() {
            server.abort();
        }
        self.time_keeper.abort();
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let is_later = to > *phase;
            if is_later {
                *phase = to;
            }
            is_later
        });
    }

    fn policy_key(&self, policy: &str) -> Option<String> {
        self.hub.with_registry(|registry| {
            registry.policy(policy).map(|policy| policy.primary_key.expose().to_owned())
        })
    }

    /// The host with its port, which is left out where it is the one everybody expects.
    fn host_name(&self, host: &str) -> String {
        if self.port() == AMQPS_PORT { host.to_owned() } else { format!("{host}:{}", self.port()) }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("host", &self.host)
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

fn registry_of(builder: &EmulatorBuilder) -> Result<Registry, EmulatorError> {
    let now_ms = unix_millis(SystemClock.now());
    let mut registry = Registry::new();
    for (id, key) in &builder.devices {
        registry.add_device(id, key.as_deref(), now_ms)?;
    }
    for (name, key, rights) in &builder.policies {
        registry.set_policy(name, key, *rights)?;
    }
    Ok(registry)
}

fn certificate_names(names: &Names) -> Vec<String> {
    let mut all = names.hub.clone();
    if !all.contains(&names.event_hub) {
        all.push(names.event_hub.clone());
    }
    all
}

/// How long an orderly stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
