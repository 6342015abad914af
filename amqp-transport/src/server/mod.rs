//! Accepting AMQP connections: a listener, the handshake with its authenticator, and the links that peers attach.
//!
//! Owns the server's options and the way from an accepted socket to a [`ServerConnection`]; what follows is the
//! handles'. It never decides by itself who is let in.

mod accept;
mod asking;
mod authenticator;
mod connection;
mod control;
mod exchange;
mod handshake;
mod incoming;
mod incoming_session;
mod listener;
mod options;
mod question;
mod request_node;
mod termini;
#[cfg(feature = "websocket")]
mod websocket_options;

pub use accept::AcceptOptions;
pub use asking::{AskingMechanism, PendingStep};
pub use authenticator::{Authenticator, SaslDecision, SaslIdentity, SaslPeer, SaslPolicy};
pub use connection::ServerConnection;
pub use control::{ControlDemand, ControlReceiver};
pub use handshake::HandshakeError;
pub use incoming::{Incoming, IncomingAttach};
pub use incoming_session::IncomingSession;
pub use listener::{IncomingConnection, Listener};
pub use options::ListenerOptions;
pub use request_node::RequestNode;
pub use termini::{LostLink, Termini};
#[cfg(feature = "websocket")]
pub use websocket_options::WebSocketAccept;

pub use crate::driver::shared::DecidesSessions;
#[cfg(feature = "websocket")]
pub use crate::driver::websocket::Subprotocol;
pub use crate::engine::{ListStyle, LossCause, SessionId, TerminusKey, TerminusLimits};
#[cfg(feature = "websocket")]
pub use crate::handle::error::WebSocketError;
pub use crate::handle::options::Draining;
pub use crate::handle::session::Session;
pub use crate::handle::suspended::{ResumeError, SuspendedSender};
pub use crate::handle::suspended_receiver::SuspendedReceiver;
pub use crate::sasl::{SaslRequest, ServerMechanism, ServerStep};
