//! What an application chooses before it connects.

use std::time::Duration;

use amqp_codec::{Fields, Multiple, Str, Symbol};

#[cfg(feature = "tls")]
use super::tls_options::TlsOptions;
use crate::engine::{ConnectionConfig, Limits, SaslLayer};
use crate::sasl;
use crate::secret::Secret;

/// Settings of a client's connection (`AMQP 1.0 §2.7.1`).
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    container_id: Str,
    pub(crate) hostname: Option<Str>,
    max_frame_size: u32,
    channel_max: u16,
    idle_time_out: Option<Duration>,
    properties: Option<Fields>,
    offered_capabilities: Multiple<Symbol>,
    desired_capabilities: Multiple<Symbol>,
    sasl: Sasl,
    limits: Limits,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) connect_timeout: Duration,
}

/// How a client authenticates (`AMQP 1.0 §5.3`). There is no downgrade: a peer that does not offer the mechanism, or
/// leaves SASL out, ends the attempt.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Sasl {
    /// No SASL layer at all.
    None,
    /// ANONYMOUS (RFC 4505): the SASL layer without credentials.
    #[default]
    Anonymous,
    /// PLAIN (RFC 4616). Only over TLS or a trusted pipe: the password travels as it is.
    Plain {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// EXTERNAL (RFC 4422): the identity is the TLS certificate's.
    External,
    /// MSSBCBS: no credentials now, a token on `$cbs` later.
    Mssbcbs,
}

impl ConnectOptions {
    /// The defaults under this container-id, which should be unique to the application's instance.
    pub fn new(container_id: impl Into<Str>) -> Self {
        let defaults = ConnectionConfig::new("");
        Self {
            container_id: container_id.into(),
            hostname: None,
            max_frame_size: defaults.max_frame_size,
            channel_max: defaults.channel_max,
            idle_time_out: defaults.idle_time_out,
            properties: None,
            offered_capabilities: Multiple::default(),
            desired_capabilities: Multiple::default(),
            sasl: Sasl::default(),
            limits: defaults.limits,
            #[cfg(feature = "tls")]
            tls: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
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
        self.max_frame_size = bytes;
        self
    }

    /// The highest channel number, one less than the number of sessions. Default 255.
    #[must_use]
    pub fn channel_max(mut self, channel_max: u16) -> Self {
        self.channel_max = channel_max;
        self
    }

    /// Silence of the peer after which the connection is given up; `None` waits for ever. Default 240 s.
    #[must_use]
    pub fn idle_time_out(mut self, time_out: Option<Duration>) -> Self {
        self.idle_time_out = time_out;
        self
    }

    /// `open.properties`. Default none.
    #[must_use]
    pub fn properties(mut self, properties: Fields) -> Self {
        self.properties = Some(properties);
        self
    }

    /// `open.offered-capabilities`. Default none.
    #[must_use]
    pub fn offered_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.offered_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
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

    /// Bounds on memory, time and counts. Default finite, see [`Limits`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Speaks TLS before AMQP. Default not.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Time for TCP, TLS, SASL and `open` together. Default 30 s.
    #[must_use]
    pub fn connect_timeout(mut self, time_out: Duration) -> Self {
        self.connect_timeout = time_out;
        self
    }

    /// The engine's settings, with `host` where no hostname was chosen.
    pub(crate) fn config(self, host: Option<&str>) -> ConnectionConfig {
        let mut config = ConnectionConfig::new(self.container_id);
        config.hostname = self.hostname.or_else(|| host.map(|host| Str::from(host.to_owned())));
        config.max_frame_size = self.max_frame_size;
        config.channel_max = self.channel_max;
        config.idle_time_out = self.idle_time_out;
        config.properties = self.properties;
        config.offered_capabilities = self.offered_capabilities;
        config.desired_capabilities = self.desired_capabilities;
        config.limits = self.limits;
        // The deadline over all stages is kept outside the engine and tells which stage was late.
        let handshake = self.connect_timeout.saturating_add(Duration::from_secs(1));
        config.limits.handshake_time_out = config.limits.handshake_time_out.max(handshake);
        config.sasl = match self.sasl {
            Sasl::None => SaslLayer::None,
            Sasl::Anonymous => SaslLayer::Client(Box::new(sasl::Anonymous::default())),
            Sasl::Plain { user, password } => SaslLayer::Client(Box::new(sasl::Plain::new(user, password))),
            Sasl::External => SaslLayer::Client(Box::new(sasl::External::default())),
            Sasl::Mssbcbs => SaslLayer::Client(Box::new(sasl::Mssbcbs)),
        };
        config
    }
}

/// Time to connect by default: long enough for a slow radio link, short enough for a person to wait.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
