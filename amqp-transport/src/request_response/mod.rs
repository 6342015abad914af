//! Requests over a pair of links: what `$cbs` and `$management` have in common.
//!
//! Owns the correlation of replies with requests ([`Requests`]), the message of a request, the status a reply carries ([`Status`]) and the
//! rules a server follows when it answers ([`reply`]). Sans-IO: time comes in as an argument, messages go in and
//! out as values. It never knows what an operation means, never sends anything and never generates randomness.

mod error;
mod reply;
mod request;
mod requests;
mod status;

pub use error::{MalformedReply, RequestError};
pub use reply::{Correlation, reply};
pub(crate) use request::request;
pub use requests::{Requests, TooManyPending};
pub use status::{Dialect, Status};
