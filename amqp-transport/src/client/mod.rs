//! Connecting to an AMQP peer: over TCP, over TLS, over WebSocket, through a proxy, or over any stream that is there already.
//!
//! Owns the client's options and the way from an address to an open [`Connection`]; what follows is the handles'.

mod cbs;
mod connect;
mod management;
mod options;
pub(crate) mod proxy;
mod request_link;
mod sasl;
#[cfg(feature = "tls")]
mod tls_options;
#[cfg(feature = "websocket")]
mod websocket_options;

pub use cbs::CbsClient;
pub use management::ManagementClient;
pub use options::ConnectOptions;
pub use proxy::{Proxy, ProxyRules};
pub use sasl::{CustomSasl, Sasl};
#[cfg(feature = "tls")]
pub use tls_options::TlsOptions;
#[cfg(feature = "websocket")]
pub use websocket_options::WebSocketOptions;

pub use crate::driver::trace::LastFrames;
#[cfg(feature = "websocket")]
pub use crate::driver::websocket::Subprotocol;
pub use crate::engine::{LinkStats, SessionStats, Stalls};
pub use crate::handle::connection::Connection;
pub use crate::handle::delivery::Delivery;
#[cfg(feature = "websocket")]
pub use crate::handle::error::WebSocketError;
pub use crate::handle::error::{
    AttachError, Blocked, ConnectError, ConnectStage, DetachReason, EndError, EndReason, OpenError,
    ProxyError, RecvError, SendError, SettleError, TlsError,
};
pub use crate::handle::link_state::{LinkState, LinkStateError};
pub use crate::handle::options::{
    CreditMode, LinkSource, LinkTarget, OnDrop, ReceiverOptions, SenderOptions, SessionOptions,
};
pub use crate::handle::receipt::{Receipt, Undecided};
pub use crate::handle::receiver::Receiver;
pub use crate::handle::sender::Sender;
pub use crate::handle::session::Session;
#[cfg(feature = "futures")]
pub use crate::handle::sink::{MessageSink, Outlet, SinkError};
pub use crate::handle::stats::ConnectionStats;
pub use crate::handle::stream::Spoken;
#[cfg(feature = "futures")]
pub use crate::handle::streams::{Deliveries, Inlet};
pub use crate::handle::suspended::{ResumeError, SuspendedSender};
pub use crate::handle::suspended_receiver::SuspendedReceiver;
pub use crate::handle::transaction::{Transaction, TransactionError, Transactions};
