//! AMQP 1.0 engine.
#![forbid(unsafe_code)]

pub mod recovery;
