//! Connecting to an AMQP peer: over TCP, over TLS, or over any stream that is there already.
//!
//! Owns the client's options and the way from an address to an open [`Connection`]; what follows is the handles'.

mod cbs;
mod connect;
mod management;
mod options;
mod request_link;
#[cfg(feature = "tls")]
mod tls_options;

pub use cbs::CbsClient;
pub use management::ManagementClient;
pub use options::{ConnectOptions, Sasl};
#[cfg(feature = "tls")]
pub use tls_options::TlsOptions;

pub use crate::handle::connection::Connection;
pub use crate::handle::delivery::Delivery;
pub use crate::handle::error::{
    AttachError, Blocked, ConnectError, ConnectStage, DetachReason, EndReason, OpenError, RecvError,
    SendError, SettleError, TlsError,
};
pub use crate::handle::options::{
    CreditMode, LinkSource, LinkTarget, OnDrop, ReceiverOptions, SenderOptions, SessionOptions,
};
pub use crate::handle::receipt::{Receipt, Undecided};
pub use crate::handle::receiver::Receiver;
pub use crate::handle::sender::Sender;
pub use crate::handle::session::Session;
pub use crate::handle::stats::ConnectionStats;
pub use crate::handle::stream::Spoken;
