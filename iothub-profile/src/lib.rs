//! Azure IoT Hub over AMQP 1.0: devices, services, telemetry, and a local hub.
//!
//! The pure parts (no sockets, no clock of their own) are always there: [`connection_string`], [`sas`], [`credential`],
//! [`host`], [`path`], [`message`], [`error`]. The clients for devices, services and telemetry readers come with the
//! feature `client` (on by default), a local hub for tests and development with the feature `emulator`.
//!
//! This crate knows IoT Hub's words and leaves AMQP's handles, windows and frames to `amqp-transport`.
#![forbid(unsafe_code)]

pub mod clock;
pub mod connection_string;
pub mod credential;
#[cfg(feature = "client")]
pub mod device;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod error;
#[cfg(feature = "client")]
pub mod events;
#[cfg(any(fuzzing, feature = "__fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod message;
pub mod path;
pub mod sas;
#[cfg(feature = "client")]
pub mod service;
#[cfg(feature = "client")]
pub mod supervisor;

pub use connection_string::ConnectionString;
pub use error::{Error, ErrorKind, Fate};
pub use host::HostName;
pub use sas::SharedAccessKey;
