//! What the transport's errors mean to the owner of a client: a class, whether a retry helps, and what to do.

use amqp_codec::{DeliveryState, ErrorCondition, Outcome, Rejected};
use amqp_transport::{
    ConnectionError, RemoteError,
    cbs::CbsError,
    client::{
        AttachError, ConnectError, DetachReason, EndReason, OpenError, ProxyError, SendError, SettleError,
        TlsError,
    },
    management::ManagementError,
    recovery::{LinkVerdict, RecoveryError},
    request_response::{RequestError, Status},
};

use crate::{
    error::{Error, ErrorKind, Fate, Retry},
    host::HostName,
};

// What recovery says by itself; what its hooks say is in the profile's words already.
impl From<RecoveryError> for Error {
    fn from(error: RecoveryError) -> Self {
        match &error {
            RecoveryError::Lost(lost) => of_lost_connection(lost),
            RecoveryError::Closed => Self::new(ErrorKind::Closed, "the client is closed"),
            RecoveryError::Begin(begin) => of_begin(begin),
            RecoveryError::Attach { address, error } => of_attach(error, address),
            RecoveryError::SessionEnded(EndReason::Remote(remote)) => of_remote(remote, "the session"),
            RecoveryError::SessionEnded(_) | RecoveryError::Condemned => {
                Self::new(ErrorKind::Unreachable, "the session ended")
            }
            RecoveryError::TimedOut { .. } | RecoveryError::NotConnected => {
                Self::new(ErrorKind::Unreachable, error.to_string())
            }
            other => Self::new(ErrorKind::Protocol, other.to_string()),
        }
    }
}

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
        ConnectError::Tls(tls) => of_tls(tls, &host),
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

fn of_tls(error: &TlsError, host: &HostName) -> Error {
    let hint = match error {
        TlsError::UnknownAuthority => {
            "name the authority's certificate (--ca FILE or SSL_CERT_FILE) if this hub has one of its own"
        }
        TlsError::NameMismatch { .. } => "use the host name that the certificate was made for",
        TlsError::OutsideValidity => "check this machine's clock and the hub's certificate",
        TlsError::NotTls(_) => "check the port: IoT Hub listens with TLS on 5671",
        _ => "check the host, the port and the certificate authorities that are trusted",
    };
    let retry = if matches!(error, TlsError::Truncated) { Retry::Helps } else { Retry::Useless };
    Error::new(ErrorKind::Tls, format!("no trusted TLS session with {host}: {error}"))
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

/// A link that the peer did not let attach.
pub(crate) fn of_attach(error: &AttachError, address: &str) -> Error {
    let what = format!("the link to {address}");
    match error {
        AttachError::Refused(remote) => of_remote(remote, &what),
        AttachError::Redirect(_) => {
            Error::new(ErrorKind::Refused, format!("the hub redirected {what}, which is not expected there"))
        }
        AttachError::SessionEnded(EndReason::Remote(remote)) => of_remote(remote, "the session"),
        AttachError::SessionEnded(_) => {
            Error::new(ErrorKind::Unreachable, format!("the session ended while {what} was attached"))
        }
        AttachError::Lost(lost) => of_connection(lost),
        other => Error::new(ErrorKind::Protocol, format!("{what}: {other}")),
    }
}

/// What it means that a link could not be attached.
pub(crate) fn attach_end(error: &AttachError, address: &str) -> LinkVerdict<Error> {
    let failure = of_attach(error, address);
    match error {
        AttachError::Lost(_) => LinkVerdict::Reconnect,
        AttachError::SessionEnded(_) if failure.is_retryable() => LinkVerdict::Reconnect,
        _ if failure.is_retryable() => LinkVerdict::AttachAgain(failure),
        _ => LinkVerdict::GiveUp(failure),
    }
}

/// What the end of a link means for those who use it.
pub(crate) fn link_end(reason: &DetachReason, address: &str) -> LinkVerdict<Error> {
    let what = format!("the link to {address}");
    match reason {
        DetachReason::Lost(_) | DetachReason::SessionEnded(_) => LinkVerdict::Reconnect,
        DetachReason::ByPeer => {
            LinkVerdict::AttachAgain(Error::new(ErrorKind::Unreachable, format!("the hub detached {what}")))
        }
        // The link was there, so the right was: its token has ended, and connecting brings a fresh one or the reason.
        DetachReason::Remote(remote) if remote.condition == ErrorCondition::UNAUTHORIZED_ACCESS => {
            LinkVerdict::Reconnect
        }
        DetachReason::Remote(remote) => {
            let error = of_remote(remote, &what);
            if error.is_retryable() { LinkVerdict::AttachAgain(error) } else { LinkVerdict::GiveUp(error) }
        }
        DetachReason::Local => {
            LinkVerdict::GiveUp(Error::new(ErrorKind::Closed, format!("{what} is closed")))
        }
        other => LinkVerdict::GiveUp(Error::new(ErrorKind::Protocol, format!("{what}: {other}"))),
    }
}

/// A message that was handed over and has no outcome, or one that was refused before.
pub(crate) fn of_send(error: &SendError) -> Error {
    let fate = match error {
        SendError::TooLarge { .. } => Fate::Refused,
        SendError::OutcomeUnknown(DetachReason::Remote(remote))
            if remote.condition == ErrorCondition::MESSAGE_SIZE_EXCEEDED =>
        {
            Fate::Refused
        }
        SendError::OutcomeUnknown(_) | SendError::NoOutcome => Fate::Unknown,
        _ => Fate::NotSent,
    };
    told_of_send(error).with_fate(fate)
}

fn told_of_send(error: &SendError) -> Error {
    match error {
        SendError::TooLarge { size, limit } => Error::new(
            ErrorKind::TooLarge,
            format!("the message has {size} bytes and the hub takes at most {limit}; it was not sent"),
        ),
        SendError::OutcomeUnknown(DetachReason::Remote(remote))
            if remote.condition == ErrorCondition::MESSAGE_SIZE_EXCEEDED =>
        {
            of_remote(remote, "the message")
        }
        SendError::OutcomeUnknown(reason) => unknown(reason),
        SendError::NoOutcome => Error::new(
            ErrorKind::OutcomeUnknown,
            "the hub settled the message without saying what became of it",
        ),
        SendError::Lost(lost) => of_lost_connection(lost).during("not sent"),
        // The link was there, so the right was: the token has ended. See `link_end`.
        SendError::Detached(DetachReason::Remote(remote))
            if remote.condition == ErrorCondition::UNAUTHORIZED_ACCESS =>
        {
            Error::new(ErrorKind::Unreachable, format!("not sent: the hub ended the link: {remote}"))
                .with_condition(remote.condition.0.as_str())
                .with_hint(TOKEN_ENDED_HINT)
        }
        SendError::Detached(reason) => match reason.remote() {
            Some(remote) => of_remote(remote, "the link").during("not sent"),
            None => Error::new(ErrorKind::Unreachable, error.to_string()),
        },
        other => Error::new(ErrorKind::Protocol, other.to_string()),
    }
}

/// What the hub says to an outcome that it was told and is to confirm.
pub(crate) fn of_confirmation(confirmation: Result<(), SettleError>) -> Result<(), Error> {
    let error = match confirmation {
        // Some hubs settle a rejected or abandoned message with a plain "accepted": the outcome was taken.
        Ok(()) | Err(SettleError::Overruled(Some(DeliveryState::Accepted))) => return Ok(()),
        Err(error) => error,
    };
    let failure = match &error {
        SettleError::Overruled(state) => Error::new(ErrorKind::Refused, not_taken(state.as_ref())),
        SettleError::Lost(lost) => {
            Error::new(ErrorKind::OutcomeUnknown, format!("the hub has not confirmed: {lost}"))
        }
        other => Error::new(ErrorKind::OutcomeUnknown, format!("the hub has not confirmed: {other}")),
    };
    Err(failure.with_hint("the message may be delivered again"))
}

/// Why the hub did not take an outcome, from the state with which it settled the message instead.
fn not_taken(settled: Option<&DeliveryState>) -> String {
    let what = "the hub did not take the outcome";
    match settled {
        Some(DeliveryState::Rejected(Rejected { error: Some(error) }))
            if error.condition != ErrorCondition::NOT_FOUND =>
        {
            format!("{what}: {error}")
        }
        // Azure's word for a lock that is not held is not-found; one settled before the outcome was told is not held either.
        _ => format!("{what}: the lock on the message was lost before it was told"),
    }
}

/// A token that the peer did not take.
pub(crate) fn of_cbs(error: &CbsError, resource: &str) -> Error {
    match error {
        // Whoever does not exist has no credential: an unknown device is told like a wrong key.
        CbsError::Refused(status) => {
            of_status(status, &format!("the token for {resource}"), ErrorKind::Credential)
        }
        CbsError::Request(request) => of_request(request, "putting the token"),
        other => Error::new(ErrorKind::Protocol, other.to_string()),
    }
}

/// A question that a management node did not answer.
pub(crate) fn of_management(error: &ManagementError, what: &str) -> Error {
    match error {
        ManagementError::Refused(status) => of_status(status, what, ErrorKind::Refused),
        ManagementError::Request(RequestError::Lost(lost)) => of_lost_connection(lost).during(what),
        ManagementError::Request(request) => of_request(request, what),
        other => Error::new(ErrorKind::Protocol, other.to_string()),
    }
}

fn of_status(status: &Status, what: &str, not_found: ErrorKind) -> Error {
    let text = status.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    let message = format!("the hub refused {what} with status {}{text}", status.code);
    let error = match status.code {
        401 | 403 => Error::new(ErrorKind::Credential, message).with_hint(CREDENTIAL_HINT),
        404 => Error::new(not_found, message).with_hint(NOT_FOUND_HINT),
        429 => Error::new(ErrorKind::Quota, message).with_retry(Retry::Helps),
        _ if status.is_retryable() => Error::new(ErrorKind::Refused, message).with_retry(Retry::Helps),
        _ => Error::new(ErrorKind::Refused, message),
    };
    match &status.condition {
        Some(condition) => error.with_condition(condition.0.as_str()),
        None => error,
    }
}

fn of_request(error: &RequestError, what: &str) -> Error {
    match error {
        RequestError::Lost(lost) => of_connection(lost).during(what),
        RequestError::Detached(Some(remote)) => of_remote(remote, what),
        RequestError::NotTaken(outcome) => of_outcome(outcome).err().unwrap_or_else(|| {
            Error::new(ErrorKind::Protocol, format!("{what}: the hub took the request and did not answer"))
        }),
        RequestError::Malformed(_) | RequestError::TooLarge { .. } => {
            Error::new(ErrorKind::Protocol, format!("{what}: {error}"))
        }
        _ => Error::new(ErrorKind::Unreachable, format!("{what}: {error}")),
    }
}

/// What the hub made of a message: nothing to complain of where it took it.
pub(crate) fn of_outcome(outcome: &Outcome) -> Result<(), Error> {
    let error = match outcome {
        Outcome::Accepted => return Ok(()),
        Outcome::Rejected(Some(error)) => of_remote(&RemoteError::from(error.clone()), "the message"),
        Outcome::Rejected(None) => {
            Error::new(ErrorKind::Refused, "the hub rejected the message without a reason")
        }
        _ => Error::new(ErrorKind::Refused, "the hub gave the message back without taking it")
            .with_retry(Retry::Helps),
    };
    Err(error.with_fate(Fate::Refused))
}

/// The peer's own error about something.
pub(crate) fn of_remote(remote: &RemoteError, what: &str) -> Error {
    let condition = remote.condition.0.as_str();
    let description = remote.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    let message = format!("the hub refused {what} with {condition}{description}");
    let (kind, retry, hint) = classify(condition);
    let error = Error::new(kind, message).with_retry(retry).with_condition(condition);
    match hint {
        // Commands in a queue are no business of whoever wanted a link.
        Some(QUOTA_HINT) if what.starts_with("the link") => error.with_hint(LINK_QUOTA_HINT),
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The class of an error condition. IoT Hub: "Troubleshoot error codes"; where the SDKs differ, the careful reading.
fn classify(condition: &str) -> (ErrorKind, Retry, Option<&'static str>) {
    use ErrorKind as Kind;
    use Retry::{Helps, Useless};
    match condition {
        "amqp:not-found" | "com.microsoft:iot-hub-not-found-error" => {
            (Kind::Refused, Useless, Some(NOT_FOUND_HINT))
        }
        "amqp:unauthorized-access" | "com.microsoft:auth-failed" => {
            (Kind::Credential, Useless, Some(CREDENTIAL_HINT))
        }
        "amqp:link:message-size-exceeded" => {
            (Kind::TooLarge, Useless, Some("a hub takes up to 256 KiB from a device and 64 KiB as a command"))
        }
        "amqp:resource-limit-exceeded" | "com.microsoft:quota-exceeded" => {
            (Kind::Quota, Useless, Some(QUOTA_HINT))
        }
        "com.microsoft:device-container-throttled" | "com.microsoft:server-busy" => {
            (Kind::Quota, Helps, None)
        }
        "amqp:link:stolen" => {
            (Kind::Refused, Useless, Some("another client with the same identity has taken over"))
        }
        "amqp:internal-error"
        | "amqp:resource-locked"
        | "amqp:connection:forced"
        | "amqp:connection:framing-error"
        | "amqp:connection:redirect"
        | "amqp:session:window-violation"
        | "amqp:session:errant-link"
        | "amqp:session:handle-in-use"
        | "amqp:session:unattached-handle"
        | "amqp:link:detach-forced"
        | "amqp:link:transfer-limit-exceeded"
        | "com.microsoft:timeout"
        | "com.microsoft:link-creation-conflict"
        | "com.microsoft:operation-cancelled"
        | "com.microsoft:container-close" => (Kind::Unreachable, Helps, None),
        _ => (Kind::Refused, Useless, None),
    }
}

fn unknown(reason: &DetachReason) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        format!("the message was under way and the hub may or may not have taken it: {reason}"),
    )
    .with_hint("look whether it arrived before sending it again, or make sending it twice harmless")
}

const CREDENTIAL_HINT: &str =
    "check the key, the policy's name and its rights, the device id, and this machine's clock";

const TOKEN_ENDED_HINT: &str = "try again, with a fresh token; if that is refused, the refusal says why";

const QUOTA_HINT: &str =
    "a limit of the hub is reached, such as 50 commands waiting for one device; let some be worked off";

const LINK_QUOTA_HINT: &str =
    "a limit of the hub is reached; close another reader of the same kind, or read as another consumer group";

const NOT_FOUND_HINT: &str = "check the device id, or the names of the consumer group and the partition";

#[cfg(test)]
mod tests {
    use amqp_codec::Symbol;

    use super::*;

    fn remote(condition: &str) -> RemoteError {
        let condition = ErrorCondition(Symbol::new(condition).unwrap());
        RemoteError::from(amqp_codec::Error { condition, description: None, info: None })
    }

    #[test]
    fn conditions_have_the_class_a_person_expects() {
        for (condition, kind, retryable) in [
            ("amqp:not-found", ErrorKind::Refused, false),
            ("amqp:unauthorized-access", ErrorKind::Credential, false),
            ("amqp:resource-limit-exceeded", ErrorKind::Quota, false),
            ("com.microsoft:device-container-throttled", ErrorKind::Quota, true),
            ("amqp:link:message-size-exceeded", ErrorKind::TooLarge, false),
            ("amqp:link:stolen", ErrorKind::Refused, false),
            ("amqp:connection:forced", ErrorKind::Unreachable, true),
            ("something:new", ErrorKind::Refused, false),
        ] {
            let error = of_remote(&remote(condition), "it");
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{condition}");
            assert_eq!(error.condition(), Some(condition));
        }
    }

    #[test]
    fn an_unknown_outcome_is_never_called_anything_else() {
        let lost = SendError::OutcomeUnknown(DetachReason::Lost(ConnectionError::EndOfStream));
        assert_eq!(of_send(&lost).kind(), ErrorKind::OutcomeUnknown);
        assert_eq!(of_send(&lost).fate(), Some(Fate::Unknown), "it must not be sent again");
        assert_eq!(of_send(&SendError::NoOutcome).kind(), ErrorKind::OutcomeUnknown);
    }

    #[test]
    fn a_token_that_ends_on_a_live_connection_is_a_lost_connection_and_no_wrong_credential() {
        let expired = ConnectionError::Remote(remote("amqp:unauthorized-access"));
        assert_eq!(of_connection(&expired).kind(), ErrorKind::Credential, "while connecting it is one");
        let detached = DetachReason::Remote(remote("amqp:unauthorized-access"));
        for error in [
            of_lost_connection(&expired),
            of_send(&SendError::Lost(expired.clone())),
            of_send(&SendError::Detached(detached)),
        ] {
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unreachable, true), "{error}");
            assert_eq!(error.condition(), Some("amqp:unauthorized-access"));
        }
    }

    #[test]
    fn the_fate_of_a_message_is_told_by_proof_and_not_by_the_class_of_its_error() {
        let stolen = || DetachReason::Remote(remote("amqp:link:stolen"));
        let fate = |error| of_send(&error).fate();
        assert_eq!(fate(SendError::Detached(stolen())), Some(Fate::NotSent));
        assert_eq!(fate(SendError::OutcomeUnknown(stolen())), Some(Fate::Unknown));
        assert_eq!(fate(SendError::TooLarge { size: 2, limit: 1 }), Some(Fate::Refused));
        let internal = amqp_codec::Error::new(ErrorCondition::INTERNAL_ERROR);
        let rejected = of_outcome(&Outcome::Rejected(Some(internal))).unwrap_err();
        assert_eq!((rejected.kind(), rejected.fate()), (ErrorKind::Unreachable, Some(Fate::Refused)));
    }

    #[test]
    fn a_reader_too_many_is_not_told_of_waiting_commands() {
        let limit = remote("amqp:resource-limit-exceeded");
        assert!(of_remote(&limit, "the link to a").hint().unwrap().contains("reader"));
        assert!(of_remote(&limit, "the message").hint().unwrap().contains("50 commands"));
    }

    #[test]
    fn an_outcome_counts_only_when_the_hub_went_along_with_it() {
        let rejected = DeliveryState::Rejected(Rejected::default());
        assert!(of_confirmation(Ok(())).is_ok());
        assert!(of_confirmation(Err(SettleError::Overruled(Some(DeliveryState::Accepted)))).is_ok());
        let not_found = DeliveryState::rejected(amqp_codec::Error::new(ErrorCondition::NOT_FOUND));
        for lapsed in [Some(rejected), Some(not_found), Some(DeliveryState::Released), None] {
            let error = of_confirmation(Err(SettleError::Overruled(lapsed))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.to_string().contains("lock on the message was lost"), "{error}");
        }
        let internal = DeliveryState::rejected(amqp_codec::Error::new(ErrorCondition::INTERNAL_ERROR));
        let error = of_confirmation(Err(SettleError::Overruled(Some(internal)))).unwrap_err();
        assert!(error.to_string().contains("internal-error"), "{error}");
        let lost = SettleError::Lost(ConnectionError::EndOfStream);
        assert_eq!(of_confirmation(Err(lost)).unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    }

    #[test]
    fn only_an_accepted_message_was_taken() {
        assert!(of_outcome(&Outcome::Accepted).is_ok());
        assert_eq!(of_outcome(&Outcome::Rejected(None)).unwrap_err().kind(), ErrorKind::Refused);
        assert!(of_outcome(&Outcome::Released).unwrap_err().is_retryable());
    }
}
