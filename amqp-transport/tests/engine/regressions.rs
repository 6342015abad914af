//! What the simulator found: each test is named after what went wrong.

use amqp_codec::Role;
use amqp_transport::engine::{
    AttachReply, DetachCause, DetachKind, EngineError, Event, LinkConfig, SessionConfig,
};

use crate::pair::{Pair, config, target};

// L-012: the detach was forgotten, and the peer waited for its answer as long as the session lived.
#[test]
fn a_link_given_up_before_its_session_is_accepted_is_answered() {
    let mut pair = Pair::opened();
    pair.server.is_accepting = false;
    let session = pair.client.engine.begin(SessionConfig::default()).unwrap();
    let ours = pair.client.engine.attach(session, LinkConfig::sender("L", target("q"))).unwrap();
    pair.client.engine.detach(ours, DetachKind::Closed, None).unwrap();
    pair.run();
    let requested = pair.server.take(|event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    let (theirs, attach) = pair
        .server
        .take(|event| match event {
            Event::AttachRequested { link, attach, .. } => Some((*link, attach.clone())),
            _ => None,
        })
        .unwrap();
    assert_eq!(attach.role, Role::Sender);
    assert_eq!(pair.server.detached(), Some((theirs, DetachCause::Remote, None)));
    let reply = AttachReply::granting(&attach);
    assert_eq!(pair.server.engine.accept_attach(theirs, reply), Err(EngineError::Stale));
    assert_eq!(pair.client.detached(), None);
    pair.server.engine.accept_session(requested.unwrap(), SessionConfig::default()).unwrap();
    pair.run();
    let (link, cause, _) = pair.client.detached().unwrap();
    assert_eq!((link, cause), (ours, DetachCause::Local));
    // The name is free again.
    pair.client.engine.attach(session, LinkConfig::sender("L", target("q"))).unwrap();
    pair.run();
    assert!(pair.server.requested().is_some());
    assert_eq!(pair.server.detached(), None);
}

// Output that left after the end started the heartbeat anew: frames on a finished connection, for ever.
#[test]
fn nothing_is_due_after_the_end_though_output_was_left() {
    let mut pair = Pair::opened_with(config("client"), config("server"));
    let session = pair.client.engine.begin(SessionConfig::default()).unwrap();
    pair.client.engine.handle_eof(pair.now);
    assert!(pair.client.engine.is_finished());
    assert!(pair.client.write_once(pair.now), "the begin of {session:?} was waiting");
    assert_eq!(pair.client.engine.poll_timeout(), None);
}
