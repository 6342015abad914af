//! What the hub says itself: error conditions, statuses and outcomes.

use amqp_codec::Outcome;
use amqp_transport::{RemoteError, request_response::Status};

use crate::error::{Error, ErrorKind, Fate, Retry};

/// What a node answered with a status that is no success; `not_found` is what it means that there is no such thing.
pub(super) fn of_status(status: &Status, what: &str, not_found: ErrorKind) -> Error {
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

pub(super) const CREDENTIAL_HINT: &str =
    "check the key, the policy's name and its rights, the device id, and this machine's clock";

pub(super) const TOKEN_ENDED_HINT: &str =
    "try again, with a fresh token; if that is refused, the refusal says why";

const QUOTA_HINT: &str =
    "a limit of the hub is reached, such as 50 commands waiting for one device; let some be worked off";

const LINK_QUOTA_HINT: &str =
    "a limit of the hub is reached; close another reader of the same kind, or read as another consumer group";

const NOT_FOUND_HINT: &str = "check the device id, or the names of the consumer group and the partition";
