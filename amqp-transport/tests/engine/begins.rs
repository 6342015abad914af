//! What the peer's begins make an engine hold is bounded, whatever their number and however often they come.

use amqp_codec::{
    Begin, End, ErrorCondition, Fields, Open, Performative, ProtocolHeader, Symbol, Value, encode_frame,
};
use amqp_transport::engine::{EndCause, Event, InputStatus, SessionConfig, SessionId, Side};
use bytes::BytesMut;

use crate::pair::config;
use crate::script::{Script, begin, condition, last};

/// So many of `large` fit into 1 MiB.
const FITTING: usize = 17;

/// A begin of some 60 KB.
fn large(remote_channel: Option<u16>) -> Begin {
    let padding = Value::from("x".repeat(60_000));
    let properties = Some(Fields::default().with(Symbol::from_static("padding"), padding));
    Begin { properties, ..begin(remote_channel, 10) }
}

/// Sessions the application was asked for.
fn requested(script: &mut Script) -> Vec<SessionId> {
    let asked = |event: Event| match event {
        Event::SessionRequested { session, .. } => Some(session),
        _ => None,
    };
    script.events().into_iter().filter_map(asked).collect()
}

/// The conditions of the ends that were written.
fn refusals(script: &mut Script) -> Vec<String> {
    let ends = script.written().into_iter().filter(|frame| matches!(frame, Performative::End(_)));
    ends.map(|end| condition(&end).unwrap_or_default()).collect()
}

/// How many large begins the peer may still have kept, each on a channel of its own from this one on. All are ended.
fn room(script: &mut Script, first: u16) -> usize {
    for channel in first..first + 30 {
        script.frame(channel, &large(None));
    }
    let room = requested(script).len();
    for channel in first..first + 30 {
        script.frame(channel, &End::default());
    }
    room
}

const EXCEEDED: &str = "amqp:resource-limit-exceeded";

// 256 begins of a frame each made a listener hold 16 MiB for one connection, and with a channel-max of its own far more.
#[test]
fn large_begins_are_refused_when_those_that_are_kept_are_too_many_octets() {
    let mut script = Script::open_listener();
    for channel in 0..30 {
        script.frame(channel, &large(None));
    }
    let sessions = requested(&mut script);
    assert_eq!(sessions.len(), FITTING);
    assert_eq!(refusals(&mut script), vec![EXCEEDED; 30 - FITTING]);
    for session in sessions {
        script.end.engine.accept_session(session, SessionConfig::default()).unwrap();
    }
    // What was refused is nothing the application has heard of, and its channel is free once the peer has answered.
    script.frame(29, &End::default());
    assert!(script.events().is_empty());
    // Those without properties are bounded by channel-max alone.
    script.frame(29, &begin(None, 10));
    assert_eq!(requested(&mut script).len(), 1);
    // What is ended makes room.
    script.frame(0, &End::default());
    assert_eq!(script.events().len(), 1);
    assert_eq!(room(&mut script, 30), 1);
    assert_eq!(script.end.closed(), None);
}

#[test]
fn large_answers_to_begins_end_their_sessions_when_those_that_are_kept_are_too_many_octets() {
    let mut script = Script::open_client();
    script.events();
    for _ in 0..2 {
        for _ in 0..30 {
            script.end.engine.begin(SessionConfig::default()).unwrap();
        }
        script.written();
        for channel in 0..30 {
            script.frame(channel, &large(Some(channel)));
        }
        let begun = script.events();
        assert!(begun.iter().all(|event| matches!(event, Event::SessionBegun { .. })));
        assert_eq!(begun.len(), FITTING);
        assert_eq!(refusals(&mut script), vec![EXCEEDED; 30 - FITTING]);
        // All that the peer ends is given back: the next round is as the first.
        for channel in 0..30 {
            script.frame(channel, &End::default());
        }
        let ends = script.events().into_iter().filter_map(|event| match event {
            Event::SessionEnded { cause, error, .. } => Some((cause, error.map(|error| error.condition))),
            _ => None,
        });
        let violation = (EndCause::Violation, Some(ErrorCondition::RESOURCE_LIMIT_EXCEEDED));
        let (over, others): (Vec<_>, Vec<_>) = ends.partition(|end| *end == violation);
        assert_eq!((over.len(), others.len()), (30 - FITTING, FITTING));
        assert!(others.iter().all(|end| *end == (EndCause::Remote, None)), "{others:?}");
    }
}

#[test]
fn begins_and_ends_without_end_neither_use_up_the_room_nor_win_any() {
    for is_answered in [false, true] {
        let mut script = Script::open_listener();
        for _ in 0..100 {
            script.frame(0, &large(None));
            for session in requested(&mut script).into_iter().filter(|_| is_answered) {
                script.end.engine.accept_session(session, SessionConfig::default()).unwrap();
            }
            script.frame(0, &End::default());
            script.events();
            script.written();
        }
        for _ in 0..2 {
            assert_eq!(room(&mut script, 0), FITTING);
            script.events();
        }
    }
}

// They were counted as their number alone, of which there may be 65,536.
#[test]
fn begins_whose_events_nobody_polls_halt_the_input() {
    let mut script = Script::open_listener();
    let mut pairs = BytesMut::new();
    for _ in 0..400 {
        encode_frame(&mut pairs, 0, &large(None), &[]);
        encode_frame(&mut pairs, 0, &End::default(), &[]);
    }
    assert_eq!(script.end.feed(script.now, &pairs), InputStatus::Blocked);
    let held = script.end.engine.stats().queued_event_octets;
    assert!((16 << 20..(16 << 20) + 65_536).contains(&held), "{held}");
    let mut polled = 0;
    while !script.events().is_empty() {
        polled += 1;
        let _ = script.end.feed(script.now, &[]);
    }
    assert!(polled > 1);
    assert_eq!(script.end.engine.stats().queued_event_octets, 0);
}

#[test]
fn a_begin_that_is_kept_does_not_keep_what_it_was_read_with() {
    let mut script = Script::open_listener();
    let mut input = BytesMut::with_capacity(65_536);
    let fields = Fields::default().with(Symbol::from_static("tenant"), "t1");
    let capabilities = [Symbol::from_static("a capability that is long enough to be shared")];
    let sent = Begin {
        properties: Some(fields),
        offered_capabilities: capabilities.into_iter().collect(),
        ..begin(None, 10)
    };
    encode_frame(&mut input, 0, &sent, &[]);
    assert_eq!(script.end.engine.handle_input(script.now, &mut input), InputStatus::NeedMore);
    let told = script.events().into_iter().find_map(|event| match event {
        Event::SessionRequested { begin, .. } => Some(begin),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some(&sent));
    assert!(input.try_reclaim(65_000), "the read chunk is held");
}

// A listener that has not opened has no session to end.
#[test]
fn a_begin_that_is_too_large_before_the_listener_has_opened_closes_the_connection() {
    let mut listener = config("s");
    listener.limits.begin_bytes = 0;
    let mut script = Script::new(Side::Listener, listener);
    script.octets(&ProtocolHeader::AMQP.encode());
    script.frame(0, &Open::new("p"));
    script.frame(0, &large(None));
    script.skip_header();
    assert_eq!(last(&mut script), ("close", Some(EXCEEDED.to_owned())));
}
