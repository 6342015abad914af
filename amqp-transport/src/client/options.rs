//! What an application chooses before it connects.

use std::time::Duration;

use amqp_codec::{Fields, Multiple, Str, Symbol};

use super::proxy::{Proxy, ProxyChoice, ProxyRules};
use super::sasl::Sasl;
#[cfg(feature = "tls")]
use super::tls_options::TlsOptions;
#[cfg(feature = "websocket")]
use super::websocket_options::WebSocketOptions;
use crate::driver::trace::LastFrames;
use crate::engine::{ConnectionConfig, Limits};
use crate::error::SaslFailure;
use crate::handle::opening::Opening;
use crate::sasl::Channel;

/// Settings of a client's connection (`AMQP 1.0 §2.7.1`).
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    opening: Opening,
    pub(crate) hostname: Option<Str>,
    desired_capabilities: Multiple<Symbol>,
    sasl: Sasl,
    pub(crate) secrets_channel: Channel,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsOptions>,
    #[cfg(feature = "websocket")]
    pub(crate) websocket: Option<WebSocketOptions>,
    pub(crate) proxy: ProxyChoice,
    pub(crate) connect_timeout: Duration,
    pub(crate) last_frames: LastFrames,
}

impl ConnectOptions {
    /// The defaults under this container-id, which should be unique to the application's instance.
    pub fn new(container_id: impl Into<Str>) -> Self {
        Self {
            opening: Opening::new(container_id.into()),
            hostname: None,
            desired_capabilities: Multiple::default(),
            sasl: Sasl::default(),
            secrets_channel: Channel::Open,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "websocket")]
            websocket: None,
            proxy: ProxyChoice::Direct,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            last_frames: LastFrames::default(),
        }
    }

    /// The host that is meant, for `open.hostname` and `sasl-init.hostname`. Default the host that is connected to.
    #[must_use]
    pub fn hostname(mut self, hostname: impl Into<Str>) -> Self {
        self.hostname = Some(hostname.into());
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

    /// Silence of the peer after which the connection is given up; `None` waits for ever. Default 240 s.
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

    /// `open.desired-capabilities`. Default none.
    #[must_use]
    pub fn desired_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.desired_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// How to authenticate. Default [`Sasl::Anonymous`].
    #[must_use]
    pub fn sasl(mut self, sasl: Sasl) -> Self {
        self.sasl = sasl;
        self
    }

    /// Lets mechanisms that show a password or token be used without TLS: whoever reads along can then log in. For
    /// networks that nobody else is on. Default they are not used there.
    #[must_use]
    pub fn allow_secrets_without_tls(mut self) -> Self {
        self.secrets_channel = Channel::Private;
        self
    }

    /// Bounds on memory, time and counts. Default finite, see [`Limits`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.opening.limits = limits;
        self
    }

    /// Speaks TLS before AMQP. Default not.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Speaks AMQP over a WebSocket, after TLS where there is TLS. Default not.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn websocket(mut self, websocket: WebSocketOptions) -> Self {
        self.websocket = Some(websocket);
        self
    }

    /// Connects through this proxy. One that cannot be used is an error: there is no direct connection instead. Default
    /// none, whatever the environment says.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = ProxyChoice::Via(proxy);
        self
    }

    /// Connects through the proxy that these rules name for the host, if they name one. With
    /// [`ProxyRules::from_environment`] these are the user's own settings.
    #[must_use]
    pub fn proxy_rules(mut self, rules: ProxyRules) -> Self {
        self.proxy = ProxyChoice::ByRules(rules);
        self
    }

    /// Time for TCP, a proxy, TLS, a WebSocket, SASL and `open` together. Default 30 s.
    #[must_use]
    pub fn connect_timeout(mut self, time_out: Duration) -> Self {
        self.connect_timeout = time_out;
        self
    }

    /// Whether the heads of the last frames are kept, 2 KiB for the connection, and can be asked for once it has failed
    /// ([`Connection::last_frames`](crate::Connection::last_frames)), or was never open
    /// ([`ConnectError::last_frames`](crate::ConnectError::last_frames)). Default off.
    #[must_use]
    pub fn last_frames(mut self, last_frames: LastFrames) -> Self {
        self.last_frames = last_frames;
        self
    }

    /// The engine's settings, with `host` where no hostname was chosen.
    pub(crate) fn config(self, host: Option<&str>) -> Result<ConnectionConfig, SaslFailure> {
        let mut config = self.opening.config(self.connect_timeout);
        // C-007, A-013: the host alone, without scheme and port; the same for open, init and TLS.
        config.hostname = self.hostname.or_else(|| host.map(|host| Str::from(host.to_owned())));
        config.desired_capabilities = self.desired_capabilities;
        config.sasl = self.sasl.layer(self.secrets_channel)?;
        Ok(config)
    }
}

/// Time to connect by default: long enough for a slow radio link, short enough for a person to wait.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
