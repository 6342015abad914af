//! How a listener takes WebSockets.

use crate::driver::websocket::{DEFAULT_MAX_MESSAGE, Subprotocol};

/// Settings of a listener's WebSockets (OASIS amqp-wsb v1.0).
#[derive(Clone, Debug)]
pub struct WebSocketAccept {
    pub(crate) paths: Option<Vec<String>>,
    pub(crate) subprotocols: Vec<Subprotocol>,
    pub(crate) max_message_size: usize,
    pub(crate) takes_plain: bool,
    pub(crate) origins: Option<Vec<String>>,
}

impl WebSocketAccept {
    /// Any path and either subprotocol, on the port on which peers without a WebSocket are taken too: the first octets
    /// tell which it is.
    #[must_use]
    pub fn new() -> Self {
        Self {
            paths: None,
            subprotocols: vec![Subprotocol::Amqp, Subprotocol::AmqpWsb10],
            max_message_size: DEFAULT_MAX_MESSAGE,
            takes_plain: true,
            origins: None,
        }
    }

    /// Takes nothing but WebSockets on this port.
    #[must_use]
    pub fn only(mut self) -> Self {
        self.takes_plain = false;
        self
    }

    /// Takes these paths alone; others get HTTP status 404. Default any.
    #[must_use]
    pub fn paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.paths = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Takes requests of web pages from these origins alone, each as `https://host` or `https://host:port`; others get HTTP
    /// status 403 (RFC 6455 §10.2). Peers that are no browsers name no origin and are taken. Default any: a listener that
    /// asks for no credentials and can be reached from where people browse should name those it knows, or none.
    #[must_use]
    pub fn origins<O: Into<String>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Takes these subprotocols alone, the preferred one first; others get HTTP status 400. Default `amqp`, then
    /// `AMQPWSB10`.
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: impl IntoIterator<Item = Subprotocol>) -> Self {
        self.subprotocols = subprotocols.into_iter().collect();
        self
    }

    /// The largest WebSocket message taken, in bytes. It has no relation to AMQP's frames and messages: a peer may pack
    /// many into one. Before the peer's open it is 16 KiB at most. Default 4 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }
}

impl Default for WebSocketAccept {
    fn default() -> Self {
        Self::new()
    }
}
