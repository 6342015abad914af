//! SASL mechanisms and the exchange's messages, both roles (AMQP 1.0 §5.3). Sans-IO.
//!
//! Owns what a mechanism says and how a listener reads an initial response. It never decides who is let in, and it
//! never prints a secret.

mod exchange;
mod mechanism;
mod request;

pub(crate) use exchange::{ClientExchange, ClientStep, ListenerExchange, ListenerStep};
pub use mechanism::{Anonymous, ClientMechanism, External, Mssbcbs, Plain};
pub use request::{MalformedResponse, SaslRequest};
