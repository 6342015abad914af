//! What all clients can be told about connecting.

use std::{fs, path::Path, sync::Arc, time::Duration};

use amqp_transport::client::{Proxy, ProxyRules};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    clock::{Clock, SystemClock},
    credential::CredentialProvider,
    error::{Error, ErrorKind},
    host::HostName,
};

/// Settings of a client's connection. The defaults suit Azure: the system's certificate authorities, claims-based
/// security, tokens of one hour, reconnecting for as long as the client lives.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub(crate) extra_roots: Vec<CertificateDer<'static>>,
    pub(crate) tls_config: Option<Arc<ClientConfig>>,
    pub(crate) auth: AuthMode,
    pub(crate) address: Option<HostName>,
    pub(crate) carrier: Carrier,
    pub(crate) proxy: ProxySetting,
    pub(crate) token_lifetime: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) operation_timeout: Duration,
    pub(crate) reconnect: ReconnectPolicy,
    pub(crate) product: String,
    pub(crate) provider: Option<Arc<dyn CredentialProvider>>,
    pub(crate) redirect_hosts: Vec<HostName>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What AMQP travels in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Carrier {
    /// TLS over TCP, on port 5671.
    #[default]
    Tcp,
    /// A WebSocket within TLS, on port 443: for networks that let nothing else out.
    WebSocket,
}

/// Which proxy connections go through.
#[derive(Clone, Debug, Default)]
pub(crate) enum ProxySetting {
    #[default]
    None,
    Via(Proxy),
    ByRules(ProxyRules),
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuthMode {
    /// Claims-based security: the token is put on `$cbs` and renewed on the live connection.
    #[default]
    Cbs,
    /// SASL PLAIN with the token as password; renewed by reconnecting. An event hub to which the hub redirects is
    /// always given a token by claims-based security.
    SaslPlain,
}

/// What happens when a connection is lost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReconnectPolicy {
    /// Connect again, with growing pauses, for as long as the client lives.
    #[default]
    Forever,
    /// Connect again for this long, then fail.
    For(Duration),
    /// Fail at once.
    Never,
}

impl ClientOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            extra_roots: Vec::new(),
            tls_config: None,
            auth: AuthMode::default(),
            address: None,
            carrier: Carrier::default(),
            proxy: ProxySetting::default(),
            token_lifetime: DEFAULT_TOKEN_LIFETIME,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            operation_timeout: DEFAULT_OPERATION_TIMEOUT,
            reconnect: ReconnectPolicy::default(),
            product: concat!("iothub-profile/", env!("CARGO_PKG_VERSION")).to_owned(),
            provider: None,
            redirect_hosts: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Trusts the certificate authorities of a PEM file besides the system's.
    ///
    /// # Errors
    /// When the file cannot be read or has no certificate.
    pub fn with_ca_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let pem = fs::read(path).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("cannot read the certificate authority {}", path.display()))
                .with_source(error)
        })?;
        self.with_ca_pem(&pem).map_err(|error| error.during(&path.display().to_string()))
    }

    /// Trusts the certificate authorities of a PEM text besides the system's.
    ///
    /// # Errors
    /// When the text has no certificate or a malformed one.
    pub fn with_ca_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        let mut found = 0_usize;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| {
                Error::new(ErrorKind::Usage, "a certificate of the authority's file is malformed")
            })?;
            self.extra_roots.push(certificate);
            found = found.saturating_add(1);
        }
        if found == 0 {
            return Err(Error::new(ErrorKind::Usage, "the authority's file has no certificate in PEM form"));
        }
        Ok(self)
    }

    /// Uses this TLS configuration in place of one made from roots; client certificates come this way. It must not be
    /// one that skips verification where credentials are worth anything.
    #[must_use]
    pub fn with_tls_config(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls_config = Some(config);
        self
    }

    /// How to authenticate; [`AuthMode::Cbs`] by default.
    #[must_use]
    pub fn with_auth(mut self, auth: AuthMode) -> Self {
        self.auth = auth;
        self
    }

    /// Connects to this address in place of the host of the connection string, whose name is still verified.
    #[must_use]
    pub fn with_address(mut self, address: HostName) -> Self {
        self.address = Some(address);
        self
    }

    /// What AMQP travels in; [`Carrier::Tcp`] by default. With [`Carrier::WebSocket`] the port is 443 where none is
    /// written, and where 5671 is.
    #[must_use]
    pub fn with_carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// Connects through this HTTP proxy, to the hub and to the event hub it redirects to. A proxy that cannot be used is
    /// an error, never a direct connection. None by default, whatever the environment says.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = ProxySetting::Via(proxy);
        self
    }

    /// Connects through the proxy that these rules name for a host, if they name one;
    /// [`ProxyRules::from_environment`] follows `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    #[must_use]
    pub fn with_proxy_rules(mut self, rules: ProxyRules) -> Self {
        self.proxy = ProxySetting::ByRules(rules);
        self
    }

    /// How long tokens last; one hour by default. They are renewed at 85 % of it.
    #[must_use]
    pub fn with_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// How long one attempt to connect may take up to AMQP's `open`, and once more up to the accepted token; 30 seconds
    /// by default.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an operation waits for a connection, a link, credit or an answer; four minutes by default.
    #[must_use]
    pub fn with_operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// What happens when the connection is lost; [`ReconnectPolicy::Forever`] by default.
    #[must_use]
    pub fn with_reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// The text sent as `com.microsoft:client-version` on every link; this crate's name and version by default.
    #[must_use]
    pub fn with_product(mut self, product: impl Into<String>) -> Self {
        self.product = product.into();
        self
    }

    /// Takes tokens from this provider in place of the connection string's key.
    #[must_use]
    pub fn with_credential_provider(mut self, provider: Arc<dyn CredentialProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Also follows redirects to this host with credentials. The hub's own host and Azure's event hubs are followed
    /// anyhow, others never: not even a neighbour of the hub's in the same domain.
    #[must_use]
    pub fn with_redirect_host(mut self, host: HostName) -> Self {
        self.redirect_hosts.push(host);
        self
    }

    /// The wall clock for tokens; the system's by default.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// True where the caller gave the TLS configuration.
    pub(crate) fn has_tls_config(&self) -> bool {
        self.tls_config.is_some()
    }

    /// The TLS configuration these options stand for.
    ///
    /// # Errors
    /// When no certificate authority can be found at all, or one of the caller's cannot be used.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = &self.tls_config {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &self.extra_roots {
            roots.add(certificate.clone()).map_err(|error| {
                Error::new(ErrorKind::Usage, "a certificate of the authority's file cannot be used")
                    .with_source(error)
            })?;
        }
        // The function honours SSL_CERT_FILE and SSL_CERT_DIR. Certificates it cannot use are of no concern here.
        let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::new(ErrorKind::Tls, "this system has no certificate authorities to trust")
                .with_hint("install the system's CA certificates, set SSL_CERT_FILE, or name a CA file"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Tls, "TLS cannot be set up").with_source(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// IoT Hub: what the SDKs ask for.
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What the SDKs wait for an operation.
const DEFAULT_OPERATION_TIMEOUT: Duration = Duration::from_secs(240);
