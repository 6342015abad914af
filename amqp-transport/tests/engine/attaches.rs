//! What the peer's attaches make an engine hold is bounded, whatever their number.

use amqp_codec::{
    Attach, Begin, Detach, ErrorCondition, Fields, Performative, Role, Symbol, Target, TargetArchetype, Value,
};
use amqp_transport::engine::{AttachReply, Event, LinkId, SessionConfig};

use crate::script::Script;

/// An attach of about so many octets.
fn attach(number: u32, octets: usize) -> Attach {
    let mut attach = Attach::new(number.to_string(), number, Role::Sender);
    attach.target = Some(TargetArchetype::Target(Target::new("/x")));
    attach.initial_delivery_count = Some(0);
    let padding = Value::from("x".repeat(octets));
    attach.properties = Some(Fields::default().with(Symbol::from_static("padding"), padding));
    attach
}

fn begun() -> Script {
    let mut script = Script::open_listener();
    let begin = Begin { incoming_window: 10, outgoing_window: 10, ..Begin::default() };
    script.frame(0, &begin);
    let session = script
        .end
        .take(|event| match event {
            Event::SessionRequested { session, .. } => Some(*session),
            _ => None,
        })
        .unwrap();
    script.end.engine.accept_session(session, SessionConfig::default()).unwrap();
    script.written();
    script
}

fn requested(script: &mut Script) -> Option<(LinkId, std::sync::Arc<Attach>)> {
    script.end.take(|event| match event {
        Event::AttachRequested { link, attach, .. } => Some((*link, attach.clone())),
        _ => None,
    })
}

/// The conditions of the detaches that were written.
fn refusals(script: &mut Script) -> Vec<ErrorCondition> {
    script
        .written()
        .into_iter()
        .filter_map(|frame| match frame {
            Performative::Detach(detach) => detach.error.map(|error| error.condition),
            _ => None,
        })
        .collect()
}

// Thousands of attaches of a frame each made a listener hold a gibibyte for one connection.
#[test]
fn large_attaches_are_refused_when_those_that_are_kept_are_too_many_octets() {
    let mut script = begun();
    // Each waits with 120 KB for its answer, and is kept with 60 KB.
    for number in 0..200 {
        script.frame(0, &attach(number, 60_000));
        if let Some((link, attach)) = requested(&mut script) {
            script.end.engine.accept_attach(link, AttachReply::granting(&attach)).unwrap();
        }
    }
    let refused = refusals(&mut script);
    assert!(refused.iter().all(|condition| *condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED));
    // 4 MiB of 60 KB each, the last of which came when it still was twice as much.
    assert_eq!(200 - refused.len(), 69);
    assert_eq!(script.end.closed(), None);

    // Small ones are bounded by their number alone.
    script.frame(0, &attach(200, 100));
    assert!(requested(&mut script).is_some());
    // What is detached makes room.
    script.frame(0, &Detach { handle: 0, closed: true, error: None });
    script.frame(0, &Detach { handle: 1, closed: true, error: None });
    script.frame(0, &attach(0, 60_000));
    assert!(requested(&mut script).is_some());
}

#[test]
fn attaches_that_wait_for_an_answer_count_in_both_of_their_forms() {
    let mut script = begun();
    for number in 0..100 {
        script.frame(0, &attach(number, 60_000));
    }
    let waiting = std::iter::from_fn(|| requested(&mut script)).count();
    assert_eq!(waiting, 35);
    assert_eq!(refusals(&mut script).len(), 65);
}

// The name outlived the refusal until the peer answered it, which it need not.
#[test]
fn refused_attaches_with_long_names_are_not_held_for_a_peer_that_never_answers() {
    let mut script = begun();
    for number in 0..200 {
        let mut attach = attach(number, 10);
        attach.name = format!("{number}{}", "n".repeat(30_000)).into();
        script.frame(0, &attach);
    }
    assert_eq!(std::iter::from_fn(|| requested(&mut script)).count(), 70);
    let refused = refusals(&mut script);
    assert_eq!(refused.len(), 130);
    // A name that was refused is free, though the refusal is not answered.
    let mut again = attach(500, 10);
    again.name = "199".into();
    script.frame(0, &again);
    assert!(requested(&mut script).is_some());
}
