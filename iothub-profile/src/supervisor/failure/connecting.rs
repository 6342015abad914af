//! What it means that there is no connection, or none any more.

use amqp_transport::{
    ConnectionError,
    client::{ConnectError, OpenError, ProxyError, TlsError},
};

use super::condition::{CREDENTIAL_HINT, TOKEN_ENDED_HINT, of_remote};
use crate::{
    error::{Error, ErrorKind, Retry},
    host::HostName,
};

/// A connection that could not be opened.
pub(crate) fn of_connect(error: &ConnectError, address: &HostName) -> Error {
    let port = address.port_or_default();
    let host = address.clone().with_port(port);
    match error {
        ConnectError::Unreachable { source, .. } => {
            Error::new(ErrorKind::Unreachable, format!("cannot reach {host}: {source}")).with_hint(
                "check the host name and its port, and that the hub is running and not behind a firewall",
            )
        }
        ConnectError::Timeout { stage, .. } => {
            Error::new(ErrorKind::Unreachable, format!("cannot connect to {host}: {stage} took too long"))
                .with_hint(
                    "check the host name and its port, and that the hub is running and not behind a firewall",
                )
        }
        ConnectError::Tls(tls) => of_tls(tls, error, &host),
        ConnectError::NotAmqp(spoken) => {
            Error::new(ErrorKind::Tls, format!("{host} does not speak AMQP over TLS, it sent {spoken}"))
                .with_hint("check the port: IoT Hub listens on 5671")
        }
        ConnectError::Proxy(proxy) => of_proxy(proxy, error, &host),
        ConnectError::WebSocket(websocket) => {
            let retry = if error.is_retryable() { Retry::Helps } else { Retry::Useless };
            Error::new(ErrorKind::Unreachable, format!("no WebSocket with {host}: {websocket}"))
                .with_hint("check the host and the port: hubs serve WebSockets on 443; without --websocket none is needed")
                .with_retry(retry)
        }
        ConnectError::Lost { reason: lost, .. } => {
            of_connection(lost).during(&format!("connecting to {host}"))
        }
        other => Error::new(ErrorKind::Unreachable, format!("cannot connect to {host}: {other}")),
    }
}

fn of_proxy(proxy: &ProxyError, error: &ConnectError, host: &HostName) -> Error {
    let hint = match proxy {
        ProxyError::Address { .. } => "give the proxy as http://host:port, or http://user:password@host:port",
        ProxyError::Unauthorized { .. } => {
            "give the proxy's user and password: http://user:password@host:port"
        }
        _ => {
            "check the proxy's address, and that it connects to this host and port; without a proxy there is no attempt"
        }
    };
    let kind = match proxy {
        ProxyError::Address { .. } | ProxyError::Unauthorized { .. } => ErrorKind::Usage,
        _ => ErrorKind::Unreachable,
    };
    let retry = if error.is_retryable() { Retry::Helps } else { Retry::Useless };
    Error::new(kind, format!("cannot connect to {host} through the proxy: {proxy}"))
        .with_hint(hint)
        .with_retry(retry)
}

fn of_tls(tls: &TlsError, error: &ConnectError, host: &HostName) -> Error {
    let hint = match tls {
        _ if error.is_retryable() => "check the host name and its port, and that the hub is running",
        TlsError::UnknownAuthority => {
            "name the authority's certificate (--ca FILE or SSL_CERT_FILE) if this hub has one of its own"
        }
        TlsError::NameMismatch { .. } => "use the host name that the certificate was made for",
        TlsError::OutsideValidity => "check this machine's clock and the hub's certificate",
        TlsError::NotTls(_) => "check the port: IoT Hub listens with TLS on 5671, and on 443 for WebSockets",
        _ => "check the host, the port and the certificate authorities that are trusted",
    };
    let retry = if error.is_retryable() { Retry::Helps } else { Retry::Useless };
    Error::new(ErrorKind::Tls, format!("no trusted TLS session with {host}: {tls}"))
        .with_hint(hint)
        .with_retry(retry)
}

/// A session that could not be begun.
pub(crate) fn of_begin(error: &OpenError) -> Error {
    match error {
        OpenError::Refused(remote) => of_remote(remote, "the session"),
        OpenError::Lost(lost) => of_connection(lost),
        other => Error::new(ErrorKind::Unreachable, other.to_string()),
    }
}

/// A connection that ended.
pub(crate) fn of_connection(error: &ConnectionError) -> Error {
    if error.is_auth() {
        let refused = Error::new(ErrorKind::Credential, format!("the hub refused the credential: {error}"))
            .with_hint(CREDENTIAL_HINT);
        return match error {
            ConnectionError::Remote(remote) => refused.with_condition(remote.condition.0.as_str()),
            _ => refused,
        };
    }
    match error {
        ConnectionError::Remote(remote) => of_remote(remote, "the connection"),
        ConnectionError::Closed => Error::new(ErrorKind::Closed, "the connection was closed by this side"),
        ConnectionError::Violation(_) => {
            Error::new(ErrorKind::Protocol, error.to_string()).with_retry(Retry::Useless)
        }
        ConnectionError::Sasl(_) => Error::new(ErrorKind::Credential, error.to_string())
            .with_retry(if error.is_retryable() { Retry::Helps } else { Retry::Useless }),
        ConnectionError::Tls { .. } => Error::new(ErrorKind::Tls, error.to_string()),
        ConnectionError::HeaderMismatch { .. } => Error::new(ErrorKind::Protocol, error.to_string()),
        _ => Error::new(ErrorKind::Unreachable, error.to_string()).with_retry(Retry::Helps),
    }
}

/// A connection that ended after it was open and authenticated. That the credential does not count any more says no more
/// than that it has ended, or was taken away: connecting again, with a fresh token, helps or tells the reason.
pub(crate) fn of_lost_connection(error: &ConnectionError) -> Error {
    if !error.is_auth() {
        return of_connection(error);
    }
    let ended = Error::new(ErrorKind::Unreachable, format!("the hub ended the connection: {error}"))
        .with_hint(TOKEN_ENDED_HINT);
    match error {
        ConnectionError::Remote(remote) => ended.with_condition(remote.condition.0.as_str()),
        _ => ended,
    }
}
