//! The client and server handles over in-memory pipes with a paused clock, and over loopback TCP and TLS.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests and their helpers fail by panicking"
)]

mod answering;
mod brokering;
mod cancelling;
mod connecting;
mod crowded;
mod ending;
mod flow;
mod idle;
mod inbox;
mod links;
mod losing;
mod parting;
mod proxy;
mod recovering;
mod requests;
mod resuming;
mod routing;
mod sasl;
mod seeing;
mod sessions;
mod settling;
mod sockets;
#[cfg(feature = "futures")]
mod streams;
mod support;
mod termini;
#[cfg(feature = "tls")]
mod tls;
mod transactions;
mod turns;
#[cfg(feature = "websocket")]
mod websocket;
