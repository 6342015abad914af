//! The only room with sockets, TLS, WebSocket, a clock and sleeping.
//!
//! Owns one task per connection that moves octets between a stream and the engine, and the state that task shares with
//! the handles. It never waits for anything while it holds the lock, and it spawns nothing else.

pub(crate) mod answers;
pub(crate) mod chunks;
pub(crate) mod clock;
pub(crate) mod dispatch;
mod ending;
#[cfg(feature = "tls")]
mod first_bytes;
mod heads;
mod http_head;
pub(crate) mod inbox;
pub(crate) mod link;
pub(crate) mod listening;
pub(crate) mod parting;
pub(crate) mod pending;
pub(crate) mod proxy;
#[cfg(any(feature = "scram", feature = "websocket"))]
pub(crate) mod random;
#[cfg(feature = "tls")]
mod read_ahead;
pub(crate) mod ring;
mod room;
pub(crate) mod shared;
mod slab;
pub(crate) mod slots;
pub(crate) mod stream;
pub(crate) mod survivors;
mod task;
pub(crate) mod termini;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod trace;
pub(crate) mod wait;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;

use std::sync::Arc;

use shared::Shared;
use stream::Stream;

/// Starts the task of a connection.
pub(crate) fn spawn<IO: Stream + 'static>(io: IO, shared: Arc<Shared>) {
    tokio::spawn(task::Driver::new(io, shared));
}
