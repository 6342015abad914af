//! The only room with sockets, TLS, a clock and sleeping.
//!
//! Owns one task per connection that moves octets between a stream and the engine, and the state that task shares with
//! the handles. It never waits for anything while it holds the lock, and it spawns nothing else.

pub(crate) mod chunks;
pub(crate) mod clock;
pub(crate) mod dispatch;
#[cfg(feature = "tls")]
mod first_bytes;
mod inbox;
pub(crate) mod link;
pub(crate) mod shared;
mod slab;
mod task;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod trace;
pub(crate) mod wait;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use shared::Shared;

/// Starts the task of a connection.
pub(crate) fn spawn<IO>(io: IO, shared: Arc<Shared>)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    tokio::spawn(task::Driver::new(io, shared));
}
