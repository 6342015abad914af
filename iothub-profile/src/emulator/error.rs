//! What can go wrong when an emulator is built or started.

/// Why an [`Emulator`](super::Emulator) could not be built, started or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// A setting is outside what the emulator can do; nothing was started.
    #[error("invalid emulator setting {setting}: {reason}")]
    Setting {
        /// The builder method whose value was wrong.
        setting: &'static str,
        /// What was wrong with it.
        reason: String,
    },
    /// A device or policy key is not base64 of at least one byte.
    #[error("the key of {owner} is not base64")]
    Key {
        /// The device or policy the key was meant for.
        owner: String,
    },
    /// A device with this id is registered already.
    #[error("device {id} is registered already")]
    DeviceExists {
        /// The device id.
        id: String,
    },
    /// The id has characters or a length that a hub does not allow.
    #[error("{id:?} is not a valid device id")]
    DeviceId {
        /// The refused id.
        id: String,
    },
    /// The certificate or its key could not be made, read or used.
    #[error("the emulator's certificate is unusable: {reason}")]
    Certificate {
        /// What was wrong with it.
        reason: String,
    },
    /// The listening socket could not be opened; retrying helps when the port is only taken for now.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: std::net::SocketAddr,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}
