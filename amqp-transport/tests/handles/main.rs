//! The client and server handles over in-memory pipes with a paused clock, and over loopback TCP and TLS.

mod connecting;
mod flow;
mod links;
mod losing;
mod settling;
mod sockets;
mod support;
#[cfg(feature = "tls")]
mod tls;
