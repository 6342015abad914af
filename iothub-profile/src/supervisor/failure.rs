//! What the transport's errors mean to the owner of a client: a class, whether a retry helps, and what to do.

use amqp_codec::{DeliveryState, ErrorCondition, Rejected};
use amqp_transport::{
    cbs::CbsError,
    client::{AttachError, DetachReason, EndReason, SendError, SettleError},
    management::ManagementError,
    recovery::{LinkVerdict, RecoveryError},
    request_response::RequestError,
};

use crate::error::{Error, ErrorKind, Fate};

mod condition;
mod connecting;

#[cfg(test)]
mod tests;

use condition::{TOKEN_ENDED_HINT, of_status};
pub(crate) use condition::{of_outcome, of_remote};
use connecting::of_connection;
pub(crate) use connecting::{of_begin, of_connect, of_lost_connection};

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
        // Not answered in time, or the name is still in use.
        other if other.is_retryable() => Error::new(ErrorKind::Unreachable, format!("{what}: {other}")),
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
        other if other.is_retryable() => {
            LinkVerdict::AttachAgain(Error::new(ErrorKind::Unreachable, format!("{what}: {other}")))
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

fn unknown(reason: &DetachReason) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        format!("the message was under way and the hub may or may not have taken it: {reason}"),
    )
    .with_hint("look whether it arrived before sending it again, or make sending it twice harmless")
}
