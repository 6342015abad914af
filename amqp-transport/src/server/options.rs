//! What an application chooses before it listens.

#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Duration;

use amqp_codec::{Fields, Multiple, Str, Symbol};

use super::authenticator::SaslPolicy;
use super::termini::Termini;
#[cfg(feature = "websocket")]
use super::websocket_options::WebSocketAccept;
use crate::driver::listening::DecidesSessions;
use crate::driver::trace::LastFrames;
use crate::engine::{ConnectionConfig, Limits, ListStyle, SaslLayer, WithoutSasl};
use crate::handle::opening::Opening;
use crate::handle::options::SessionOptions;

/// Settings of a listener and of the connections it accepts.
///
/// `open` is answered before the application sees the peer's: container-id, properties and capabilities are those of the
/// listener, whatever host the peer asks for. A server of several hosts has a listener's options for each, or says what
/// differs where links are attached.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    opening: Opening,
    list_style: ListStyle,
    pub(crate) sasl: SaslPolicy,
    pub(crate) session: SessionOptions,
    pub(crate) decides_sessions: DecidesSessions,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    #[cfg(feature = "websocket")]
    pub(crate) websocket: Option<WebSocketAccept>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) last_frames: LastFrames,
    pub(crate) termini: Option<Termini>,
}

impl ListenerOptions {
    /// The defaults under this container-id: plain AMQP, open to all.
    pub fn new(container_id: impl Into<Str>) -> Self {
        Self {
            opening: Opening::new(container_id.into()),
            list_style: ListStyle::default(),
            sasl: SaslPolicy::open_to_all(),
            session: SessionOptions::default(),
            decides_sessions: DecidesSessions::default(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "websocket")]
            websocket: None,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            last_frames: LastFrames::default(),
            termini: None,
        }
    }

    /// Whether the heads of the last frames are kept, 2 KiB for the connection, and can be asked for once it has failed
    /// ([`Connection::last_frames`](crate::Connection::last_frames)), or was never open
    /// ([`HandshakeError::last_frames`](super::HandshakeError::last_frames)). Default off.
    #[must_use]
    pub fn last_frames(mut self, last_frames: LastFrames) -> Self {
        self.last_frames = last_frames;
        self
    }

    /// Where links that are lost or suspended are kept, until their peers attach them anew or their termini expire
    /// (`AMQP 1.0 §2.6.6`). Several listeners may share one. A link that a peer attaches under a name that it has on another
    /// connection is taken over from there (`AMQP 1.0 §2.6.1`). Default none: each connection is on its own.
    #[must_use]
    pub fn termini(mut self, termini: Termini) -> Self {
        self.termini = Some(termini);
        self
    }

    /// Speaks TLS before AMQP, with the caller's settings. Default plain.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Takes WebSockets, after TLS where there is TLS. Default none.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn websocket(mut self, websocket: WebSocketAccept) -> Self {
        self.websocket = Some(websocket);
        self
    }

    /// Who is let in. Default [`SaslPolicy::open_to_all`].
    #[must_use]
    pub fn sasl(mut self, sasl: SaslPolicy) -> Self {
        self.sasl = sasl;
        self
    }

    /// The largest frame taken, in bytes, at least 512. Default 64 KiB.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: u32) -> Self {
        self.opening.max_frame_size = bytes;
        self
    }

    /// The highest channel number, one less than the number of sessions. Default 255.
    #[must_use]
    pub fn channel_max(mut self, channel_max: u16) -> Self {
        self.opening.channel_max = channel_max;
        self
    }

    /// Silence of a peer after which its connection is given up; `None` waits for ever. Default 240 s.
    #[must_use]
    pub fn idle_time_out(mut self, time_out: Option<Duration>) -> Self {
        self.opening.idle_time_out = time_out;
        self
    }

    /// `open.properties`. Default none.
    #[must_use]
    pub fn properties(mut self, properties: Fields) -> Self {
        self.opening.properties = Some(properties);
        self
    }

    /// `open.offered-capabilities`. Default none.
    #[must_use]
    pub fn offered_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.opening.offered_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// How lists are written; some old clients need every field. Default the compact form.
    #[must_use]
    pub fn full_lists(mut self, style: ListStyle) -> Self {
        self.list_style = style;
        self
    }

    /// Bounds on memory, time and counts. Default finite, see [`Limits`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.opening.limits = limits;
        self
    }

    /// How sessions that peers begin are accepted. Default [`SessionOptions::new`].
    #[must_use]
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Who decides about sessions that peers begin. Default [`DecidesSessions::Library`].
    #[must_use]
    pub fn decides_sessions(mut self, who: DecidesSessions) -> Self {
        self.decides_sessions = who;
        self
    }

    /// Time for TLS, a WebSocket's upgrade, headers, SASL and `open` together. Default 30 s.
    #[must_use]
    pub fn handshake_timeout(mut self, time_out: Duration) -> Self {
        self.handshake_timeout = time_out;
        self
    }

    /// The engine's settings for one connection.
    pub(crate) fn config(&self) -> ConnectionConfig {
        let mut config = self.opening.clone().config(self.handshake_timeout);
        config.list_style = self.list_style;
        // a SASL layer without a mechanism does not exist; where it is required all the same, nobody is let in.
        if !(self.sasl.mechanisms.is_empty() && self.sasl.allows_no_sasl) {
            let without_sasl =
                if self.sasl.allows_no_sasl { WithoutSasl::Allow } else { WithoutSasl::Refuse };
            config.sasl = SaslLayer::Listener { mechanisms: self.sasl.mechanisms.clone(), without_sasl };
        }
        config
    }
}

/// Time for a handshake by default.
const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
