//! From the command line to the library: which connection string, which authorities, and what a failure of the
//! library means for the person who typed the command.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use iothub_profile::supervisor::{AuthMode, Carrier, ClientOptions, ConnectionStatus, Proxy, ProxyRules};
use iothub_profile::{ConnectionString, Error, ErrorKind};
use tokio::sync::watch;

use crate::args::Global;
use crate::exit::{Class, Failure};
use crate::hub_args::{Auth, AuthArgs};
use crate::output::note;

/// The connection string: from its option, its file, or the environment, in this order.
///
/// # Errors
/// None is given, its file cannot be read, or it is malformed; a malformed one is never repeated.
pub(crate) fn connection_string(global: &Global) -> Result<ConnectionString, Failure> {
    let text = match (&global.connection_string, &global.connection_string_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => read(path, "the connection string file")?,
        (None, None) => std::env::var(VARIABLE).map_err(|_| {
            Failure::new(Class::Usage, "no connection string is given").advice(format!(
                "give --connection-string, --connection-string-file, or set {VARIABLE}; `iothub emulator` prints some"
            ))
        })?,
    };
    ConnectionString::parse(text.trim()).map_err(|error| failure(&error.into()))
}

/// The connection string, which must be a device's.
///
/// # Errors
/// As [`connection_string`], and when it is another kind.
pub(crate) fn device_string(global: &Global) -> Result<ConnectionString, Failure> {
    match connection_string(global)? {
        string @ ConnectionString::Device(_) => Ok(string),
        _ => Err(wrong_kind("a device's (with DeviceId)")),
    }
}

/// The connection string, which must be a service's.
///
/// # Errors
/// As [`connection_string`], and when it is another kind.
pub(crate) fn service_string(global: &Global) -> Result<ConnectionString, Failure> {
    match connection_string(global)? {
        string @ ConnectionString::Service(_) => Ok(string),
        _ => Err(wrong_kind("a policy's (with SharedAccessKeyName)")),
    }
}

/// The connection string of something that can read telemetry: a hub's policy, or an event hub.
///
/// # Errors
/// As [`connection_string`], and when it is a device's.
pub(crate) fn reader_string(global: &Global) -> Result<ConnectionString, Failure> {
    match connection_string(global)? {
        ConnectionString::Device(_) => Err(wrong_kind("a policy's or an event hub's")),
        string => Ok(string),
    }
}

/// How the clients connect, by the options of the command line.
///
/// # Errors
/// The file of certificate authorities cannot be used.
pub(crate) fn options(global: &Global, auth: &AuthArgs) -> Result<ClientOptions, Failure> {
    let mut options = ClientOptions::new()
        .with_auth(match auth.auth {
            Auth::Cbs => AuthMode::Cbs,
            Auth::Plain => AuthMode::SaslPlain,
        })
        .with_connect_timeout(global.connect_timeout)
        .with_operation_timeout(OPERATION_TIMEOUT)
        .with_product(concat!("iothub-command/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = authorities(global)? {
        options = options.with_ca_file(path).map_err(|error| failure(&error))?;
    }
    if let Some(address) = &global.connect_to {
        options = options.with_address(address.clone());
    }
    if global.websocket {
        options = options.with_carrier(Carrier::WebSocket);
    }
    match global.proxy.as_deref() {
        Some("env") => options = options.with_proxy_rules(ProxyRules::from_environment()),
        // Read here and not with the command line, which repeats what it cannot read: there may be a password in it.
        Some(address) => {
            options = options.with_proxy(
                Proxy::parse(address)
                    .map_err(|error| Failure::new(Class::Usage, error.to_string()).advice(PROXY_ADVICE))?,
            )
        }
        None => {}
    }
    Ok(options)
}

/// Closes a client, and does not wait for a peer that does not answer.
pub(crate) async fn close(closing: impl Future<Output = ()>) {
    // What is not closed in time ends with the process.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
}

/// Tells a person about lost and regained connections for as long as the client lives.
pub(crate) fn narrate(mut status: watch::Receiver<ConnectionStatus>) {
    tokio::spawn(async move {
        let mut is_lost = false;
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().clone();
            if now.is_final() {
                return;
            }
            let was_lost = std::mem::replace(&mut is_lost, !now.is_connected());
            if is_lost || was_lost {
                note(&now.to_string());
            }
        }
    });
}

/// The file of trusted authorities, checked to exist: the option's, else `SSL_CERT_FILE`'s, else none.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn authorities(global: &Global) -> Result<Option<PathBuf>, Failure> {
    let path = match &global.ca {
        Some(path) => path.clone(),
        None => match std::env::var_os("SSL_CERT_FILE") {
            Some(path) if !path.is_empty() => path.into(),
            _ => return Ok(None),
        },
    };
    let text = read(&path, "the file of certificate authorities")?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Failure::new(
            Class::Usage,
            format!("{} holds no certificate in PEM form", path.display()),
        )
        .advice("give the authority's certificate, the file that `iothub emulator` names"));
    }
    Ok(Some(path))
}

/// What a failure of the library means here.
pub(crate) fn failure(error: &Error) -> Failure {
    let class = match error.kind() {
        ErrorKind::Usage => Class::Usage,
        ErrorKind::Credential => Class::Credential,
        ErrorKind::Tls => Class::Tls,
        ErrorKind::Unreachable | ErrorKind::Protocol => Class::Unreachable,
        ErrorKind::Refused => Class::Refused,
        ErrorKind::TooLarge | ErrorKind::Quota => Class::TooLarge,
        ErrorKind::OutcomeUnknown => Class::OutcomeUnknown,
        _ => Class::Failed,
    };
    let mut what = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !what.contains(&cause_text) {
            what = format!("{what}: {cause_text}");
        }
        source = cause.source();
    }
    if let Some(condition) = error.condition().filter(|condition| !what.contains(condition)) {
        what = format!("{what} ({condition})");
    }
    let failure = Failure::new(class, what);
    let failure = match error.kind() {
        ErrorKind::Protocol => {
            failure.fault("the hub, or what answers in its place: it does not keep to the protocol")
        }
        ErrorKind::Tls if error.is_retryable() => {
            failure.fault("the host or the network: TLS was cut off before it was agreed on")
        }
        _ => failure,
    };
    let failure = match error.kind() {
        _ if error.is_retryable() => failure.retry("may help, later"),
        ErrorKind::Quota => failure.retry("helps later, when the limit is not used up any more"),
        _ if class == Class::Unreachable => failure.retry("does not help as it stands"),
        _ => failure,
    };
    match error.hint() {
        Some(hint) => failure.advice(hint),
        None => failure,
    }
}

/// Reads a small text file that the command line names.
pub(crate) fn read(path: &Path, what: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(Class::Usage, format!("cannot read {what} {}: {error}", path.display()))
            .advice("give the path of a text file that exists and may be read")
    })
}

fn wrong_kind(wanted: &str) -> Failure {
    Failure::new(Class::Usage, format!("this verb needs {wanted} connection string, and got another kind"))
        .advice("use the connection string of the device, or of the policy, that this verb acts for")
}

/// How long one operation may wait for the hub.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an orderly close may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
const VARIABLE: &str = "IOTHUB_CONNECTION_STRING";
const PROXY_ADVICE: &str = "give --proxy http://host:port, http://user:password@host:port, or env";

#[cfg(test)]
mod tests {
    use iothub_profile::error::Retry;

    use super::*;

    #[test]
    fn a_failure_names_its_causes_once_and_its_condition() {
        let error = Error::new(ErrorKind::Refused, "the hub refused the link")
            .with_condition("amqp:not-found")
            .with_source(Error::new(ErrorKind::Refused, "no consumer group `x`"))
            .with_hint("create the group");
        let failure = failure(&error);
        assert_eq!(failure.class(), Class::Refused);
        let text = failure.to_string();
        assert!(
            text.starts_with("error: the hub refused the link: no consumer group `x` (amqp:not-found)\n"),
            "{text}"
        );
        assert!(text.contains("to do: create the group"));
    }

    #[test]
    fn the_network_was_blamed_for_a_hub_that_breaks_the_protocol_and_a_certificate_for_a_host_that_hung_up() {
        let broken = failure(&Error::new(ErrorKind::Protocol, "the peer broke the protocol")).to_string();
        assert!(broken.contains("fault: the hub") && broken.contains("retry: does not help"), "{broken}");
        let cut = Error::new(ErrorKind::Tls, "reset").with_retry(Retry::Helps);
        let cut = failure(&cut).to_string();
        assert!(cut.contains("fault: the host or the network") && cut.contains("retry: may help"), "{cut}");
        let port = Error::new(ErrorKind::Tls, "it does not speak TLS").with_hint("check the port");
        let port = failure(&port).to_string();
        assert!(port.contains("to do: check the port") && port.contains("retry: does not help"), "{port}");
    }
}
