use amqp_codec::{Outcome, Symbol};
use amqp_transport::{ConnectionError, RemoteError};

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

#[test]
fn a_link_that_the_hub_had_not_answered_in_time_was_given_up_for_good() {
    for error in [AttachError::Unanswered, AttachError::NameInUse] {
        let failure = of_attach(&error, "a");
        assert_eq!((failure.kind(), failure.is_retryable()), (ErrorKind::Unreachable, true), "{failure}");
        assert!(matches!(attach_end(&error, "a"), LinkVerdict::AttachAgain(_)), "{error}");
    }
    let invalid = AttachError::Invalid("too long".into());
    assert!(matches!(attach_end(&invalid, "a"), LinkVerdict::GiveUp(_)));
    for reason in [DetachReason::Unanswered, DetachReason::Incomplete, DetachReason::AnotherTooLarge] {
        assert!(matches!(link_end(&reason, "a"), LinkVerdict::AttachAgain(_)), "{reason}");
    }
    assert!(matches!(link_end(&DetachReason::Stolen, "a"), LinkVerdict::GiveUp(_)));
}
