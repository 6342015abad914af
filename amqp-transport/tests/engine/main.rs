//! The engine against itself and against literal frames: no sockets, no runtime, its own clock.

mod connection;
mod deliveries;
mod flow;
mod links;
mod pair;
mod sasl;
mod script;
mod sessions;
mod timing;
