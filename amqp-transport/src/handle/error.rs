//! What can go wrong with an operation on a connection, session, link or message, as the application sees it.
//!
//! Owns one error type per operation. Each says its scope and whose fault it was, and keeps the peer's own words
//! whole; none invents a verdict the peer did not give.

mod connecting;
mod endpoints;
mod messages;

#[cfg(feature = "websocket")]
pub use connecting::WebSocketError;
pub use connecting::{ConnectError, ConnectStage, ProxyError, TlsError};
pub use endpoints::{AttachError, DetachReason, EndError, EndReason, OpenError};
pub use messages::{Blocked, RecvError, SendError, SettleError};

use crate::error::{ConnectionError, RemoteError};

/// The peer's own error within a connection's end.
fn remote_of(error: &ConnectionError) -> Option<&RemoteError> {
    match error {
        ConnectionError::Remote(error) => Some(error),
        _ => None,
    }
}

/// Whether the peer's condition means "not now" rather than "never".
fn is_retryable_remote(error: &RemoteError) -> bool {
    RETRYABLE_CONDITIONS.contains(&error.condition.as_str())
}

const RETRYABLE_CONDITIONS: &[&str] = &[
    "amqp:connection:forced",
    "amqp:link:detach-forced",
    "amqp:internal-error",
    "amqp:resource-limit-exceeded",
    "com.microsoft:server-busy",
    "com.microsoft:timeout",
    "com.microsoft:operation-cancelled",
];
