//! How a client asks for a WebSocket.

use crate::driver::websocket::{DEFAULT_MAX_MESSAGE, Subprotocol};

/// Settings of a client's WebSocket (OASIS amqp-wsb v1.0). With TLS this is `wss://`, without it `ws://`.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    pub(crate) path: String,
    pub(crate) subprotocols: Vec<Subprotocol>,
    pub(crate) max_message_size: usize,
}

impl WebSocketOptions {
    /// This path on the host that is connected to, beginning with `/`, and the subprotocol `amqp`.
    pub fn new(path: impl Into<String>) -> Self {
        let subprotocols = vec![Subprotocol::Amqp];
        Self { path: path.into(), subprotocols, max_message_size: DEFAULT_MAX_MESSAGE }
    }

    /// The subprotocols offered, the preferred one first; the server must take one of them. Default `amqp` (WS-001).
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: impl IntoIterator<Item = Subprotocol>) -> Self {
        self.subprotocols = subprotocols.into_iter().collect();
        self
    }

    /// The largest WebSocket message taken, in bytes. It has no relation to AMQP's frames and messages: a peer may pack
    /// many into one. Default 4 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }
}
