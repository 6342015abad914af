//! From a URL and its options to a session with any AMQP 1.0 broker, and what its failures mean to a person.
//!
//! Owns the mapping from the transport's errors to the command's classes. It knows no hub.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;

use amqp_codec::{ErrorCondition, ReceiverSettleMode};
use amqp_transport::client::{
    Proxy, ProxyError, ProxyRules, TlsError, TlsOptions, WebSocketError, WebSocketOptions,
};
use amqp_transport::sasl::scram::ScramHash;
use amqp_transport::{
    AttachError, ConnectError, ConnectOptions, Connection, ConnectionError, DetachReason, Sasl, SaslFailure,
    Secret, Session, SessionOptions, Spoken,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::amqp_args::{LinkArgs, Mechanism, ReceiverSettle};
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
            Err(amqp_transport::OpenError::Lost(reason)) => Err(lost(&reason)),
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

/// The failure of a link that the broker did not answer in time.
pub(crate) fn unanswered(what: &str) -> Failure {
    broker_failure(Class::Unreachable, format!("the broker did not answer {what} in time"))
}

/// What a failed connect means.
fn connect_failure(error: &ConnectError) -> Failure {
    let mut what = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !what.contains(&text) {
            what = format!("{what}: {text}");
        }
        source = cause.source();
    }
    match error {
        ConnectError::Lost { reason, .. } => lost(reason),
        ConnectError::Tls(TlsError::NotTls(_)) => broker_failure(Class::Tls, what)
            .fault("the URL's scheme, or its port")
            .advice("write amqp:// or ws:// for a port without TLS, or give the port that has it"),
        ConnectError::Tls(_) => broker_failure(Class::Tls, what),
        ConnectError::NotAmqp(Spoken::Tls) => {
            broker_failure(Class::Tls, what).advice("the port speaks TLS: write amqps:// instead of amqp://")
        }
        ConnectError::WebSocket(WebSocketError::NotHttp(spoken)) => {
            let failure = broker_failure(Class::Unreachable, what).fault("the URL's scheme, or its port");
            let failure = failure.retry("does not help until this is corrected");
            failure.advice(if *spoken == Spoken::Tls {
                "write wss:// instead of ws://"
            } else {
                "write amqp:// instead of ws://, or give the port that has WebSockets"
            })
        }
        ConnectError::Proxy(ProxyError::Address { .. } | ProxyError::Unauthorized { .. }) => {
            broker_failure(Class::Usage, what)
                .fault("the proxy's address, user or password")
                .advice("give the proxy as http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT")
        }
        ConnectError::Proxy(_) => broker_failure(Class::Unreachable, what).advice(
            "check the host and the port that --proxy gives, and that the proxy connects to the broker",
        ),
        _ => broker_failure(Class::Unreachable, what)
            .advice("check the URL's host and port, and that the broker is running"),
    }
}

/// What a lost connection means.
pub(crate) fn lost(reason: &ConnectionError) -> Failure {
    let words = reason.to_string();
    match reason {
        ConnectionError::Sasl(failure) if failure.is_auth() => {
            broker_failure(Class::Credential, format!("the broker does not accept the credentials: {words}"))
                .advice("check the URL's user and password, or the client certificate")
        }
        ConnectionError::Sasl(SaslFailure::NeedsTls { .. }) => broker_failure(Class::Credential, words)
            .fault("the URL's scheme: nothing hides the password on the way")
            .advice("use amqps://, or, where nobody else is on the network, --allow-plain-without-tls"),
        ConnectionError::Sasl(SaslFailure::MechanismNotOffered { .. }) => {
            broker_failure(Class::Credential, words)
                .fault("the way to authenticate, which the broker does not have")
                .advice(
                    "choose one that it offers with --sasl, or leave the user out of the URL for anonymous",
                )
        }
        ConnectionError::Sasl(_) | ConnectionError::HeaderMismatch { .. } => {
            broker_failure(Class::Credential, words).advice("choose another mechanism with --sasl")
        }
        ConnectionError::Tls { .. } => broker_failure(Class::Tls, words),
        ConnectionError::Remote(error) if error.condition == ErrorCondition::UNAUTHORIZED_ACCESS => {
            broker_failure(Class::Credential, words)
        }
        ConnectionError::Remote(_) if !reason.is_retryable() => broker_failure(Class::Refused, words),
        _ => broker_failure(Class::Unreachable, words),
    }
}

/// What a link that was not attached means.
pub(crate) fn attach_failure(error: &AttachError) -> Failure {
    match error {
        AttachError::Lost(reason) => lost(reason),
        AttachError::Redirect(redirect) => {
            let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
            let host = redirect.hostname.as_deref().or(redirect.network_host.as_deref()).unwrap_or_default();
            broker_failure(Class::Refused, error.to_string())
                .advice(format!("use the host {host}{port} in the URL"))
        }
        other if other.condition() == Some(&ErrorCondition::UNAUTHORIZED_ACCESS) => {
            broker_failure(Class::Credential, other.to_string())
        }
        other => broker_failure(Class::Refused, other.to_string())
            .advice("check the address in the URL, and the rights of its user"),
    }
}

/// What a link that went away in the middle means.
pub(crate) fn detached(reason: &DetachReason) -> Failure {
    match reason {
        DetachReason::Lost(reason) => lost(reason),
        other => {
            let words = match other {
                DetachReason::SessionEnded(_) | DetachReason::Violation(_) | DetachReason::NotRetained => {
                    other.to_string()
                }
                _ => format!("the link was {other}"),
            };
            let failure = match other {
                DetachReason::Violation(error)
                    if error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED =>
                {
                    broker_failure(Class::TooLarge, words)
                        .fault("more and larger messages than this command holds at once")
                        .advice("give a smaller --credit")
                }
                _ => broker_failure(Class::Refused, words),
            };
            if other.is_retryable() { failure.retry("may help, later") } else { failure }
        }
    }
}

/// A failure in words that fit any broker.
pub(crate) fn broker_failure(class: Class, what: impl Into<String>) -> Failure {
    let failure = Failure::new(class, what);
    match class {
        Class::Credential => failure
            .fault("the user, the password or the certificate, or the rights they have")
            .advice("check the URL's user and password, and the rights the broker gives them"),
        Class::Refused => {
            failure.fault("the request, as the broker sees it").advice("see what the broker says above")
        }
        Class::Unreachable => failure.advice("check the broker and the network to it"),
        Class::TooLarge => failure
            .fault("the message's size, or the broker's room")
            .advice("make the message smaller, or take messages from the queue"),
        Class::OutcomeUnknown => failure
            .fault("the network or the broker: the connection or the link broke in between")
            .advice("look at what arrived, with `iothub amqp receive`, before sending again"),
        _ => failure,
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
