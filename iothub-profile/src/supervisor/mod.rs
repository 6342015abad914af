//! What keeps a client connected: connecting, authenticating, renewing tokens, connecting again.
//!
//! Owns the connection of each client and tells its status. Knows nothing of messages.

mod options;
mod status;

pub use options::{AuthMode, ClientOptions, ReconnectPolicy};
pub use status::ConnectionStatus;
