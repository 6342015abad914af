//! AMQP 1.0 types and framing.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
