//! Claims-based security: tokens put on the node `$cbs` authorise a connection (AMQP CBS 1.0 working draft).
//!
//! Owns the messages of both sides ([`PutToken`], [`DeleteToken`], [`CbsRequest`], [`CbsServer`]), what can go wrong ([`CbsError`]) and when a token
//! is to be renewed ([`renew_in`]). Sans-IO; it never signs or checks a token, and never prints one.

mod delete_token;
mod error;
mod put_token;
mod renewal;
mod server;

pub use delete_token::{CbsRequest, DeleteToken};
pub use error::{CbsError, CbsRequestError};
pub use put_token::PutToken;
pub use renewal::renew_in;
pub use server::CbsServer;

/// Address of the node that takes tokens.
// CBS-001
pub const NODE: &str = "$cbs";
