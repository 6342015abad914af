//! A local Azure IoT Hub with its built-in event hub, behind one TLS port, for tests, demos and development.
//!
//! Owns the hub's side of the protocol: devices and policies, token checks, command queues with locks, feedback,
//! partitions, redirects. It is an independent second reading of that protocol: it must never use the crate's device,
//! service or telemetry clients, or our own tests against it would prove nothing.
//!
//! Everything lives in memory and ends with the [`Emulator`].
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
mod error;
mod feedback;
mod filter;
mod hub;
mod partition;
mod readers;
mod registry;
mod scope;
mod settings;
mod steal;
mod telemetry;
mod time;

pub use self::{builder::EmulatorBuilder, error::EmulatorError, registry::Rights};

/// A running hub. Dropping it ends it at once, like [`kill`](Self::kill).
#[derive(Debug)]
pub struct Emulator {
    host: String,
    port: u16,
    trust_pem: String,
}

impl Emulator {
    /// Begins the description of a hub.
    #[must_use]
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    pub(crate) async fn start(_builder: EmulatorBuilder) -> Result<Self, EmulatorError> {
        Err(EmulatorError::Setting { setting: "start", reason: "not available yet".to_owned() })
    }

    /// The hub's host name, without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// PEM text of what a client must trust: the authority made on the spot, or the certificate chain that was given.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.trust_pem
    }

    /// Connection string of a shared access policy; `None` for an unknown one. It holds the policy's key.
    #[must_use]
    pub fn connection_string(&self, policy: &str) -> Option<String> {
        let _ = policy;
        None
    }

    /// Event Hubs connection string of a shared access policy for the built-in endpoint; `None` for an unknown policy.
    #[must_use]
    pub fn event_hub_connection_string(&self, policy: &str) -> Option<String> {
        let _ = policy;
        None
    }

    /// Connection string of a device; `None` for an unknown one. It holds the device's primary key.
    #[must_use]
    pub fn device_connection_string(&self, device_id: &str) -> Option<String> {
        let _ = device_id;
        None
    }

    /// Ids of the registered devices, in order.
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        Vec::new()
    }

    /// Names of the shared access policies, in order.
    #[must_use]
    pub fn policies(&self) -> Vec<String> {
        Vec::new()
    }

    /// Registers another device while running; without a key it gets a new one.
    ///
    /// # Errors
    /// The id is taken or not allowed, or the key is not base64.
    pub fn add_device(&self, id: &str, key: Option<&str>) -> Result<(), EmulatorError> {
        let _ = (id, key);
        Ok(())
    }

    /// Throws away every pending command of a device and returns how many there were; their feedback says `Purged`.
    pub fn purge_commands(&self, device_id: &str) -> usize {
        let _ = device_id;
        0
    }

    /// Ends every connection with an orderly close, stops listening and waits for both. Calling it again does nothing.
    ///
    /// # Cancel safety
    /// When dropped, whatever has not ended yet ends by itself.
    pub async fn stop(&self) {}

    /// Drops every socket at once, as a crash would: no detach, no close, and nothing more is settled.
    pub fn kill(&self) {}
}
