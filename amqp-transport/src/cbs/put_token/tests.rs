use super::*;
use crate::cbs::CbsServer;

fn put() -> PutToken {
    PutToken {
        token_type: Str::from("example:token"),
        name: Str::from("host/devices/d"),
        token: Secret::from("SharedAccessSignature sr=x&sig=secret"),
        expiration: Some(Timestamp(1_700_000_000_000)),
    }
}

#[test]
fn a_request_has_the_drafts_properties_and_reads_back() {
    // CBS-002, CBS-003, CBS-004, CBS-009
    let message = put().to_message(MessageId::from("cbs-1"), "replies");
    let properties = message.properties.clone().unwrap();
    assert_eq!(properties.message_id, Some(MessageId::from("cbs-1")));
    assert_eq!(properties.reply_to.unwrap(), "replies");
    assert_eq!(properties.to.unwrap(), "$cbs");
    let application = message.application_properties.clone().unwrap();
    assert_eq!(application.get("operation"), Some("put-token".into()));
    assert_eq!(application.get("type"), Some("example:token".into()));
    assert_eq!(application.get("name"), Some("host/devices/d".into()));
    assert_eq!(application.get("expiration"), Some(ValueRef::Timestamp(Timestamp(1_700_000_000_000))));
    assert_eq!(message.body, Body::Value(Value::from("SharedAccessSignature sr=x&sig=secret")));

    let read = CbsServer::parse_request(&message).unwrap();
    assert_eq!((read.token_type.as_str(), read.name.as_str()), ("example:token", "host/devices/d"));
    assert_eq!(read.token.expose(), "SharedAccessSignature sr=x&sig=secret");
    assert_eq!(read.expiration, Some(Timestamp(1_700_000_000_000)));
}

#[test]
fn the_token_is_never_printed() {
    assert!(!format!("{:?}", put()).contains("secret"));
}

#[test]
fn an_expiration_is_optional() {
    let put = PutToken { expiration: None, ..put() };
    let message = put.to_message(MessageId::Ulong(0), "r");
    assert_eq!(message.application_properties.as_ref().unwrap().get("expiration"), None);
    assert_eq!(CbsServer::parse_request(&message).unwrap().expiration, None);
}

#[test]
fn malformed_requests_name_their_fault_and_get_a_status() {
    let good = put().to_message(MessageId::Ulong(0), "r");
    let changed = |key: &'static str, value: Value| {
        let mut message = good.clone();
        message.application_properties.as_mut().unwrap().insert(key, value);
        CbsServer::parse_request(&message).unwrap_err()
    };
    let refused = changed("operation", Value::from("delete-everything"));
    assert_eq!(refused.status().code, 501);
    for (key, value) in [("operation", Value::Int(1)), ("type", Value::Null), ("name", Value::Boolean(true))]
    {
        let error = changed(key, value);
        assert_eq!(error, CbsRequestError::MissingProperty { key });
        assert_eq!(error.status().code, 400);
    }
    assert_eq!(changed("expiration", Value::from("soon")), CbsRequestError::BadExpiration);
    let no_body = good.clone().with_body(Body::Empty);
    assert_eq!(CbsServer::parse_request(&no_body).unwrap_err(), CbsRequestError::BadBody);
    assert!(CbsServer::parse_request(&Message::default()).is_err());
}

#[test]
fn any_2xx_is_success_and_anything_else_is_told() {
    // CBS-006, CBS-007
    let request = put().to_message(MessageId::Ulong(4), "r");
    for code in 200..=299 {
        assert_eq!(PutToken::read_reply(&CbsServer::response(&request, code, "OK")), Ok(()));
    }
    for code in [-200, 0, 100, 199, 300, 1_200] {
        let refused = PutToken::read_reply(&CbsServer::response(&request, code, "no"));
        assert_eq!(refused, Err(CbsError::Refused(Status::new(code, "no"))));
    }
    let refused = PutToken::read_reply(&CbsServer::response(&request, 401, "expired")).unwrap_err();
    assert_eq!(refused, CbsError::Refused(Status::new(401, "expired")));
    assert!(refused.is_auth() && !refused.is_retryable());
    let busy = PutToken::read_reply(&CbsServer::response(&request, 503, "busy")).unwrap_err();
    assert!(busy.is_retryable() && !busy.is_auth());
    assert!(matches!(
        PutToken::read_reply(&Message::default()),
        Err(CbsError::Request(RequestError::Malformed(_)))
    ));
}
