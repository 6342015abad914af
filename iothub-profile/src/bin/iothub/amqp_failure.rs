//! What the failures of a connection to any broker mean to a person: a class, whose fault it is, whether a retry helps and
//! what to do.
//!
//! Owns the mapping from the transport's errors to the command's classes. It knows no hub.

use std::error::Error as _;

use amqp_codec::ErrorCondition;
use amqp_transport::client::{ProxyError, TlsError, WebSocketError};
use amqp_transport::{
    AttachError, ConnectError, ConnectionError, DetachReason, EndReason, SaslFailure, Spoken,
};

use crate::exit::{Class, Failure};

/// What a failed connect means.
pub(crate) fn connect_failure(error: &ConnectError) -> Failure {
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
        ConnectError::Tls(_) if error.is_retryable() => broker_failure(Class::Tls, what)
            .fault("the host or the network: TLS was cut off before it was agreed on")
            .retry("may help, later")
            .advice("check the URL's host and port, and that the broker is running"),
        ConnectError::Tls(TlsError::OutsideValidity) => broker_failure(Class::Tls, what)
            .fault("the broker's certificate, or this machine's clock")
            .advice("set the clock, or have the broker show a certificate that is valid now"),
        ConnectError::Tls(TlsError::Alert(_)) => broker_failure(Class::Tls, what)
            .fault("what this command shows the broker, or asks of it, to agree on TLS")
            .advice("give the certificate that the broker wants with --client-cert and --client-key"),
        ConnectError::Tls(TlsError::NotTls(_)) => broker_failure(Class::Tls, what)
            .fault("the URL's scheme, or its port")
            .advice("write amqp:// or ws:// for a port without TLS, or give the port that has it"),
        ConnectError::Tls(_) => broker_failure(Class::Tls, what),
        ConnectError::NotAmqp(Spoken::Tls) => broker_failure(Class::Tls, what)
            .fault("the URL's scheme, or its port")
            .advice("the port speaks TLS: write amqps:// instead of amqp://"),
        ConnectError::NotAmqp(spoken) if *spoken != Spoken::Nothing => {
            broker_failure(Class::Unreachable, what)
                .fault("the URL's host or port: something else answers there")
                .retry("does not help until this is corrected")
                .advice("give the port on which the broker speaks AMQP")
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
        ConnectError::WebSocket(_) if !error.is_retryable() => broker_failure(Class::Unreachable, what)
            .fault("the URL's path or port, or what the server lets in there")
            .retry("does not help until this is corrected")
            .advice("check the URL's path, host and port against those of the broker's WebSocket"),
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
        ConnectionError::Sasl(failure) if failure.is_retryable() => broker_failure(Class::Credential, words)
            .fault("the broker: it cannot tell whom to let in")
            .retry("may help, later")
            .advice("see what the broker's log says"),
        ConnectionError::Sasl(_) | ConnectionError::HeaderMismatch { .. } => {
            broker_failure(Class::Credential, words)
                .fault("the way to authenticate, on which this command and the broker do not agree")
                .advice("choose another mechanism with --sasl")
        }
        // An alert may come once the handshake is over: a broker that wants a certificate says so then.
        ConnectionError::Tls { .. } => broker_failure(Class::Tls, words)
            .fault("what either side shows the other to agree on TLS")
            .advice("see what the broker wants; --client-cert and --client-key give a certificate, --ca an authority"),
        ConnectionError::Remote(error) if error.condition == ErrorCondition::UNAUTHORIZED_ACCESS => {
            broker_failure(Class::Credential, words)
        }
        ConnectionError::Remote(_) if !reason.is_retryable() => broker_failure(Class::Refused, words),
        ConnectionError::Violation(_) => of_the_broker(broker_failure(Class::Unreachable, words)),
        _ => broker_failure(Class::Unreachable, words),
    }
}

/// What a link that was not attached means.
pub(crate) fn attach_failure(error: &AttachError) -> Failure {
    match error {
        AttachError::Lost(reason) => lost(reason),
        AttachError::Unanswered => unanswered("the link"),
        AttachError::SessionEnded(EndReason::Violation(_) | EndReason::OverLimit(_)) => {
            of_the_broker(broker_failure(Class::Refused, error.to_string()))
        }
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
        DetachReason::Unanswered | DetachReason::SessionEnded(EndReason::Unanswered) => {
            broker_failure(Class::Unreachable, format!("the link is over: {reason}"))
        }
        other => {
            let words = match other {
                DetachReason::SessionEnded(_) | DetachReason::Violation(_) | DetachReason::NotRetained => {
                    other.to_string()
                }
                _ => format!("the link was {other}"),
            };
            let failure = broker_failure(Class::Refused, words);
            let failure = match other {
                DetachReason::Violation(_)
                | DetachReason::OverLimit(_)
                | DetachReason::SessionEnded(EndReason::Violation(_) | EndReason::OverLimit(_)) => {
                    of_the_broker(failure)
                }
                _ => failure,
            };
            if other.is_retryable() { failure.retry("may help, later") } else { failure }
        }
    }
}

/// A failure for what the broker sent, as this side sees it.
fn of_the_broker(failure: Failure) -> Failure {
    failure
        .fault("the broker: it sent what is not allowed, or more than this command holds")
        .retry("does not help as it stands")
        .advice("see what was said with --trace-frames, and tell the broker's makers")
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

/// The failure of a link that the broker did not answer in time.
pub(crate) fn unanswered(what: &str) -> Failure {
    broker_failure(Class::Unreachable, format!("the broker did not answer {what} in time"))
}

#[cfg(test)]
mod tests {
    use amqp_codec::SaslCode;
    use amqp_transport::RemoteError;

    use super::*;

    fn remote(condition: ErrorCondition) -> RemoteError {
        RemoteError::from(amqp_codec::Error::new(condition))
    }

    #[test]
    fn a_certificate_was_blamed_for_the_wrong_port_and_for_a_host_that_hung_up() {
        let tls = ConnectError::Tls;
        let refused = |status| ConnectError::WebSocket(WebSocketError::Refused { status });
        for (error, class, fault, retry) in [
            (ConnectError::NotAmqp(Spoken::Tls), Class::Tls, "the URL's scheme", "does not help"),
            (
                ConnectError::NotAmqp(Spoken::Http),
                Class::Unreachable,
                "the URL's host or port",
                "does not help",
            ),
            (tls(TlsError::NotTls(Spoken::Http)), Class::Tls, "the URL's scheme", "does not help"),
            (tls(TlsError::NotTls(Spoken::Nothing)), Class::Tls, "the host or the network", "may help"),
            (tls(TlsError::Other("reset".into())), Class::Tls, "the host or the network", "may help"),
            (tls(TlsError::OutsideValidity), Class::Tls, "the broker's certificate", "does not help"),
            (tls(TlsError::Alert("x".into())), Class::Tls, "what this command shows", "does not help"),
            (tls(TlsError::UnknownAuthority), Class::Tls, "the certificate or the port", "does not help"),
            (ConnectError::NotAmqp(Spoken::Nothing), Class::Unreachable, "the address", "helps"),
            (refused(404), Class::Unreachable, "the URL's path", "does not help"),
            (refused(503), Class::Unreachable, "the address", "helps"),
        ] {
            let failure = connect_failure(&error);
            let text = failure.to_string();
            assert_eq!(failure.class(), class, "{text}");
            assert!(text.contains(&format!("fault: {fault}")), "{text}");
            assert!(text.contains(&format!("retry: {retry}")), "{text}");
        }
    }

    #[test]
    fn the_password_was_blamed_where_nobody_had_asked_for_it() {
        let busy = SaslFailure::Outcome { code: SaslCode::SysTemp, detail: None };
        let busy = lost(&ConnectionError::Sasl(busy)).to_string();
        assert!(busy.contains("fault: the broker") && busy.contains("retry: may help"), "{busy}");
        let other = ConnectionError::HeaderMismatch { offered: *b"AMQP\x03\x01\x00\x00" };
        let other = lost(&other).to_string();
        assert!(other.contains("fault: the way to authenticate") && other.contains("--sasl"), "{other}");
        let wrong = SaslFailure::Outcome { code: SaslCode::Auth, detail: None };
        let wrong = lost(&ConnectionError::Sasl(wrong)).to_string();
        assert!(wrong.contains("fault: the user, the password"), "{wrong}");
    }

    #[test]
    fn the_request_was_blamed_for_what_the_broker_had_sent() {
        let sent = DetachReason::Violation(remote(ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
        let text = detached(&sent).to_string();
        assert!(text.contains("fault: the broker") && !text.contains("what the broker says"), "{text}");
        let session = EndReason::Violation(remote(ErrorCondition::NOT_ALLOWED));
        let text = detached(&DetachReason::SessionEnded(session.clone())).to_string();
        assert!(text.contains("fault: the broker"), "{text}");
        let text = attach_failure(&AttachError::SessionEnded(session)).to_string();
        assert!(text.contains("fault: the broker"), "{text}");
        let said = DetachReason::Remote(remote(ErrorCondition::NOT_ALLOWED));
        let text = detached(&said).to_string();
        assert!(text.contains("fault: the request") && text.contains("what the broker says"), "{text}");
    }

    #[test]
    fn the_request_was_blamed_for_a_broker_that_did_not_answer() {
        for failure in [
            attach_failure(&AttachError::Unanswered),
            detached(&DetachReason::Unanswered),
            detached(&DetachReason::SessionEnded(EndReason::Unanswered)),
        ] {
            assert_eq!(failure.class(), Class::Unreachable, "{failure}");
            assert!(!failure.to_string().contains("the request, as"), "{failure}");
        }
    }
}
