//! AMQP 1.0 over any stream: a sans-IO engine with SASL, and (feature `tokio`) a driver with client and server handles.
//!
//! [`engine`] and [`sasl`] know no sockets and no clock. [`client`] and [`server`] are what applications use.
#![forbid(unsafe_code)]

pub mod cbs;
#[cfg(feature = "tokio")]
pub mod client;
#[cfg(feature = "tokio")]
mod driver;
pub mod engine;
mod error;
#[cfg(feature = "tokio")]
mod handle;
pub mod management;
pub mod recovery;
pub mod request_response;
pub mod sasl;
mod secret;
#[cfg(feature = "tokio")]
pub mod server;
pub mod transaction;

pub use error::{ConnectionError, Redirect, RemoteError, SaslFailure};
pub use secret::Secret;
#[cfg(feature = "tokio")]
pub use {
    client::{
        AttachError, Blocked, ConnectError, ConnectOptions, ConnectStage, Connection, ConnectionStats,
        CreditMode, Delivery, DetachReason, EndError, EndReason, LastFrames, LinkSource, LinkTarget, OnDrop,
        OpenError, Receipt, Receiver, ReceiverOptions, RecvError, ResumeError, Sasl, SendError, Sender,
        SenderOptions, Session, SessionOptions, SettleError, Spoken, SuspendedReceiver, SuspendedSender,
        TlsError, Undecided,
    },
    engine::{Limits, Settlement, Settling},
};

/// What fuzz targets and tests share; no part of the stable interface.
#[cfg(all(feature = "websocket", any(fuzzing, feature = "__fuzzing")))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::driver::websocket::fuzzing::fuzz_websocket;
}
