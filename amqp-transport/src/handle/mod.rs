//! The handles an application holds: connection, session, sender, receiver, delivery.
//!
//! Owns what a handle means: who waits for what, what is cancelled by dropping a future, what happens when the last
//! handle goes. It never touches a socket; it locks the shared state for a moment, acts on the engine and leaves the
//! rest to the driver.

pub(crate) mod batch;
pub(crate) mod connection;
pub(crate) mod delivery;
pub(crate) mod error;
pub(crate) mod line;
pub(crate) mod link_state;
pub(crate) mod opening;
pub(crate) mod options;
pub(crate) mod receipt;
pub(crate) mod receiver;
pub(crate) mod sender;
pub(crate) mod sending;
pub(crate) mod session;
#[cfg(feature = "futures")]
pub(crate) mod sink;
pub(crate) mod stats;
pub(crate) mod stream;
#[cfg(feature = "futures")]
pub(crate) mod streams;
pub(crate) mod suspended;
pub(crate) mod suspended_receiver;
pub(crate) mod transaction;
