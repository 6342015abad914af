//! From a URL and its options to a session with any AMQP 1.0 broker. It knows no hub.

use std::path::Path;
use std::sync::Arc;

use amqp_codec::ReceiverSettleMode;
use amqp_transport::client::{Proxy, ProxyRules, TlsOptions, WebSocketOptions};
use amqp_transport::sasl::scram::ScramHash;
use amqp_transport::{ConnectOptions, Connection, OpenError, Sasl, Secret, Session, SessionOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::amqp_args::{LinkArgs, Mechanism, ReceiverSettle};
use crate::amqp_failure::{broker_failure, connect_failure, lost, unanswered};
use crate::amqp_url::BrokerUrl;
use crate::args::Global;
use crate::connect::{authorities, read};
use crate::exit::{Class, Failure};

/// What the options say about the broker, checked.
#[derive(Debug)]
pub(crate) struct Broker {
    address: String,
    options: ConnectOptions,
    host: String,
    port: u16,
}

impl Broker {
    /// Reads URL and options.
    ///
    /// # Errors
    /// They contradict each other, or name a file that cannot be used.
    pub(crate) fn new(global: &Global, args: &LinkArgs) -> Result<Self, Failure> {
        let mut url = BrokerUrl::parse(&args.url).map_err(|fault| {
            Failure::new(Class::Usage, format!("the broker's URL cannot be used: {fault}"))
                .advice("write amqp://USER:PASSWORD@HOST:PORT/ADDRESS, or amqps:// for TLS")
        })?;
        let address = match &args.address {
            Some(address) => address.clone(),
            None if !url.path.is_empty() && !url.scheme.is_websocket() => url.path.clone(),
            None => {
                let advice = if url.scheme.is_websocket() {
                    "name the queue, or another node, with --address; the URL's path is the WebSocket's"
                } else {
                    "put the queue, or another node, behind the host, amqp://HOST/QUEUE, or give --address"
                };
                return Err(Failure::new(Class::Usage, "no address is given").advice(advice));
            }
        };
        if let Some(path) = &args.password_file {
            url.password = Some(Secret::new(read(path, "the password file")?.trim_end_matches(['\r', '\n'])));
        }
        let id = || format!("iothub-{}", uuid::Uuid::new_v4());
        let mut options = ConnectOptions::new(args.container_id.clone().unwrap_or_else(id))
            .hostname(args.hostname.clone().unwrap_or_else(|| url.host.clone()))
            .sasl(sasl(&url, args)?)
            .max_frame_size(args.max_frame_size)
            .idle_time_out(Some(args.idle_timeout))
            .limits(limits())
            .connect_timeout(global.connect_timeout);
        if url.scheme.is_secure() {
            options = options.tls(tls(global, args, &url)?);
        } else if args.client_cert.is_some() || global.ca.is_some() {
            let what = "certificates are for amqps:// and wss://, and the URL says neither";
            return Err(Failure::new(Class::Usage, what));
        }
        if global.websocket && !url.scheme.is_websocket() {
            let what = "--websocket asks for a WebSocket, and the URL for plain AMQP";
            return Err(Failure::new(Class::Usage, what)
                .advice("write ws:// or wss:// in the URL, and name the node with --address"));
        }
        if url.scheme.is_websocket() {
            options = options.websocket(WebSocketOptions::new(format!("/{}", url.path)));
        }
        if args.allow_plain_without_tls {
            options = options.allow_secrets_without_tls();
        }
        match args.proxy.as_deref() {
            Some("env") => options = options.proxy_rules(ProxyRules::from_environment()),
            Some(proxy) => {
                let proxy =
                    Proxy::parse(proxy).map_err(|error| Failure::new(Class::Usage, error.to_string()))?;
                options = options.proxy(proxy);
            }
            None => {}
        }
        let (host, port) = match &global.connect_to {
            Some(address) => (address.name().to_owned(), address.port().unwrap_or(url.port)),
            None => (url.host.clone(), url.port),
        };
        Ok(Self { address, options, host, port })
    }

    /// The node's address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Connects and begins a session.
    ///
    /// # Errors
    /// The connection, or the broker's refusal.
    pub(crate) async fn connect(&self, args: &LinkArgs) -> Result<(Connection, Session), Failure> {
        let connecting = Connection::connect((&self.host, self.port), self.options.clone());
        let connection = connecting.await.map_err(|error| connect_failure(&error))?;
        let begun = tokio::time::timeout(args.timeout, connection.begin(SessionOptions::new())).await;
        match begun.map_err(|_| unanswered("the session"))? {
            Ok(session) => Ok((connection, session)),
            Err(OpenError::Lost(reason)) => Err(lost(&reason)),
            Err(OpenError::Unanswered) => Err(unanswered("the session")),
            Err(other) => Err(broker_failure(Class::Refused, other.to_string())),
        }
    }
}

/// The link's name: the one given, or one of its own.
pub(crate) fn link_name(args: &LinkArgs) -> String {
    args.link_name.clone().unwrap_or_else(|| format!("link-{}", uuid::Uuid::new_v4()))
}

/// The settle mode asked for.
pub(crate) fn receiver_mode(args: &LinkArgs) -> ReceiverSettleMode {
    match args.rcv_settle {
        ReceiverSettle::First => ReceiverSettleMode::First,
        ReceiverSettle::Second => ReceiverSettleMode::Second,
    }
}

fn sasl(url: &BrokerUrl, args: &LinkArgs) -> Result<Sasl, Failure> {
    let hash = match (args.sasl, &url.user, &args.client_cert) {
        (Some(Mechanism::None), ..) => return Ok(Sasl::None),
        (Some(Mechanism::Anonymous), ..) | (None, None, None) => return Ok(Sasl::Anonymous),
        (Some(Mechanism::External), ..) | (None, None, Some(_)) => return Ok(Sasl::External),
        (Some(Mechanism::ScramSha1), ..) => Some(ScramHash::Sha1),
        (Some(Mechanism::ScramSha256), ..) => Some(ScramHash::Sha256),
        (Some(Mechanism::ScramSha512), ..) => Some(ScramHash::Sha512),
        (Some(Mechanism::Plain), ..) | (None, Some(_), _) => None,
    };
    let (Some(user), Some(password)) = (&url.user, &url.password) else {
        return Err(Failure::new(Class::Usage, "this way to authenticate needs a user and a password")
            .advice("write amqp://USER:PASSWORD@HOST, or give the password with --password-file"));
    };
    let scram = |hash| Sasl::Scram { hash, user: user.clone(), password: password.clone() };
    let plain = Sasl::Plain { user: user.clone(), password: password.clone() };
    Ok(match (hash, args.sasl) {
        (Some(hash), _) => scram(hash),
        (None, Some(_)) => plain,
        (None, None) => {
            let best = [ScramHash::Sha512, ScramHash::Sha256, ScramHash::Sha1].map(scram);
            // SCRAM takes printable ASCII alone.
            let is_ascii =
                user.bytes().chain(password.expose().bytes()).all(|octet| (0x20..0x7f).contains(&octet));
            Sasl::FirstOf(best.into_iter().filter(|_| is_ascii).chain([plain]).collect())
        }
    })
}

/// Bounds for messages as large as the command sends and takes.
fn limits() -> amqp_transport::Limits {
    let mut limits = amqp_transport::Limits::default();
    limits.partial_delivery_bytes = PARTIAL_BYTES;
    limits.credit_overrun = OVERRUN;
    limits.inbox_bytes = INBOX_BYTES;
    limits
}

fn tls(global: &Global, args: &LinkArgs, url: &BrokerUrl) -> Result<TlsOptions, Failure> {
    let mut roots = RootCertStore::empty();
    let unusable = |path: &Path, what: &str| {
        Failure::new(Class::Usage, format!("{} holds no {what} that can be used", path.display()))
    };
    if let Some(path) = authorities(global)? {
        for certificate in certificates(&path)? {
            roots.add(certificate).map_err(|_| unusable(&path, "certificate"))?;
        }
    }
    // Certificates of the system that cannot be used are of no concern here.
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: rustls::Error| Failure::new(Class::Tls, format!("TLS cannot be set up: {error}"));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots);
    let config = match (&args.client_cert, &args.client_key) {
        (Some(chain), Some(key_path)) => {
            let text = read(key_path, "the client's key")?;
            let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
                .map_err(|_| unusable(key_path, "private key"))?;
            config
                .with_client_auth_cert(certificates(chain)?, key)
                .map_err(|_| unusable(chain, "certificate for the key"))?
        }
        _ => config.with_no_client_auth(),
    };
    Ok(TlsOptions::new(Arc::new(config)).server_name(url.host.clone()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let text = read(path, "the certificates")?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Failure::new(Class::Usage, format!("{} holds no certificate in PEM form", path.display()))),
    }
}

/// Messages beyond the credit that are put up with: RabbitMQ 3 sends such.
const OVERRUN: u32 = 1_000;
/// Octets of messages that wait to be printed; a connection holds four times as much at most. Credit is granted so that
/// brokers whose messages do not grow suddenly stay far below that.
const INBOX_BYTES: usize = 256 * 1024 * 1024;
/// Octets of messages that have not arrived whole: the largest that `--max-message-size` allows, and its frames.
const PARTIAL_BYTES: usize = 300 * 1024 * 1024;
