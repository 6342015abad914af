//! Accepting AMQP connections: a listener, the handshake with its authenticator, and the links that peers attach.
//!
//! Owns the server's options and the way from an accepted socket to a [`ServerConnection`]; what follows is the
//! handles'. It never decides by itself who is let in.
//!
//! # Examples
//! Users who prove their passwords by SCRAM (feature `scram`), a queue that takes whatever comes, one that has moved, and a
//! management node:
#![cfg_attr(feature = "scram", doc = "```no_run")]
#![cfg_attr(not(feature = "scram"), doc = "```ignore")]
//! use std::sync::Arc;
//! use amqp_codec::{ErrorCondition, Map, Message, Role, Value};
//! use amqp_transport::management::{ManagementRequest, refusal, response};
//! use amqp_transport::request_response::{Dialect, Status};
//! use amqp_transport::sasl::scram::{ScramDecoy, ScramHash, ScramKeys, ScramStore};
//! use amqp_transport::server::{AcceptOptions, Incoming, Listener, ListenerOptions, RequestNode, SaslPolicy, ServerConnection};
//! use amqp_transport::{Redirect, Secret};
//!
//! struct Users(ScramKeys); // what a database would hold
//!
//! impl ScramStore for Users {
//!     fn keys(&self, user: &str, hash: ScramHash) -> Option<ScramKeys> {
//!         (user == "ada" && hash == self.0.hash()).then(|| self.0.clone())
//!     }
//! }
//!
//! async fn answer(request: Message) -> Message {
//!     match ManagementRequest::from_message(&request) {
//!         Ok(asked) if asked.operation.as_str() == "READ" => {
//!             response(&request, Value::Map(Map::default()), Dialect::default())
//!         }
//!         Ok(_) => refusal(&request, &Status::new(501, "not implemented"), Dialect::default()),
//!         Err(error) => refusal(&request, &Status::new(400, error.to_string()), Dialect::default()),
//!     }
//! }
//!
//! async fn serve(connection: ServerConnection) {
//!     let management = RequestNode::new(answer);
//!     while let Ok(Incoming::Attach(attach)) = connection.next().await {
//!         match attach.address() {
//!             Some("$management") => drop(management.take(attach)),
//!             Some("moved") => attach.redirect(Redirect::new("other.example", 5671).with_address("queue")),
//!             Some("queue") if attach.attach().role == Role::Sender => {
//!                 let Ok(receiver) = attach.accept_receiver(AcceptOptions::new()) else { continue };
//!                 tokio::spawn(async move {
//!                     while let Ok(delivery) = receiver.recv().await {
//!                         let _ = delivery.accept();
//!                     }
//!                 });
//!             }
//!             _ => attach.refuse(ErrorCondition::NOT_FOUND),
//!         }
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = ScramKeys::derive(ScramHash::Sha256, &Secret::new("pencil"), b"sixteen random..", 4096)?;
//! let store: Arc<dyn ScramStore> = Arc::new(Users(keys));
//! let policy = SaslPolicy::empty().scram([ScramHash::Sha256], &store, &ScramDecoy::new([7; 32])); // a secret of your own
//! let listener = Listener::bind("127.0.0.1:5672", ListenerOptions::new("my-broker").sasl(policy)).await?;
//! loop {
//!     let incoming = listener.accept().await?;
//!     tokio::spawn(async move {
//!         match incoming.handshake().await {
//!             Ok(connection) => serve(connection).await,
//!             Err(error) => eprintln!("not let in: {error}"),
//!         }
//!     });
//! }
//! # }
//! ```

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

pub use crate::driver::listening::DecidesSessions;
#[cfg(feature = "websocket")]
pub use crate::driver::websocket::Subprotocol;
pub use crate::engine::{
    ListStyle, LossCause, RecordError, SessionId, TerminusKey, TerminusLimits, TerminusRecord,
};
#[cfg(feature = "websocket")]
pub use crate::handle::error::WebSocketError;
pub use crate::handle::options::Draining;
pub use crate::handle::session::Session;
pub use crate::handle::suspended::{ResumeError, SuspendedSender};
pub use crate::handle::suspended_receiver::SuspendedReceiver;
pub use crate::sasl::{SaslRequest, ServerMechanism, ServerStep};
