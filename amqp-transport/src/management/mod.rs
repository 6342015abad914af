//! Requests to a management node such as `$management` (AMQP Management 1.0 working draft).
//!
//! Owns the request and the response as both sides see them ([`ManagementRequest`], [`ManagementResponse`]).
//! Sans-IO; it never knows what an entity type means.

mod error;
mod query;
mod request;
mod response;

pub use error::{ManagementError, ManagementRequestError};
pub use query::QueryResult;
pub use request::ManagementRequest;
pub use response::{ManagementResponse, refusal, response};

/// Address of a container's management node, as a rule.
// MG-005
pub const NODE: &str = "$management";
