//! What must hold whatever a peer sends: the engine comes to an end, answers within bounds, and says last that it is
//! closed. For fuzzing and for tests over recorded inputs; it exists under `cfg(fuzzing)` and the private feature
//! `__fuzzing`, and is no part of the stable interface.
#![expect(clippy::panic, reason = "a broken rule is reported by panicking")]

mod pair;
mod record;

use std::time::{Duration, Instant};

pub use pair::fuzz_pair;
pub use record::{fuzz_terminus_record, record_limits};

use amqp_codec::{DeliveryState, Error, ErrorCondition, SaslCode, Source, Symbol, Target};
use bytes::{Buf, BytesMut};

use super::{
    AttachReply, Connection, ConnectionConfig, DetachKind, Event, InputStatus, LinkConfig, LinkId, Outgoing,
    SaslLayer, SessionConfig, Settlement, Settling, Side, Transmit, WithoutSasl,
};

/// A listener that grants whatever it is asked reads `data` from its peer, whole and then octet by octet.
///
/// `start` is any instant: the time that passes is the engine's own.
///
/// # Panics
/// When a rule of the engine's contract does not hold.
pub fn fuzz_listener(data: &[u8], start: Instant) {
    for chunk in [usize::MAX, 1, 7] {
        let mechanisms = ["ANONYMOUS", "PLAIN"].into_iter().map(Symbol::from_static).collect();
        let mut config = ConnectionConfig::new("listener");
        config.sasl = SaslLayer::Listener { mechanisms, without_sasl: WithoutSasl::Allow };
        Application::new(Connection::new(Side::Listener, config, start), start).run(data, chunk);
    }
}

/// A client that opens a session and a link each way reads `data` from its peer, whole and then octet by octet.
///
/// `start` is any instant: the time that passes is the engine's own.
///
/// # Panics
/// When a rule of the engine's contract does not hold.
pub fn fuzz_client(data: &[u8], start: Instant) {
    for chunk in [usize::MAX, 1, 7] {
        let mut connection = Connection::new(Side::Client, ConnectionConfig::new("client"), start);
        let opened = connection.open();
        assert!(opened.is_ok(), "a client opens at once: {opened:?}");
        Application::new(connection, start).run(data, chunk);
    }
}

/// An application that does what the engine's events ask for.
struct Application {
    connection: Connection,
    side: Side,
    now: Instant,
    transmit: Transmit,
    written: usize,
    events: usize,
    is_closed: bool,
}

impl Application {
    fn new(connection: Connection, now: Instant) -> Self {
        let side = if connection.config().container_id == "client" { Side::Client } else { Side::Listener };
        Self { connection, side, now, transmit: Transmit::new(), written: 0, events: 0, is_closed: false }
    }

    fn run(mut self, data: &[u8], chunk: usize) {
        let mut input = BytesMut::new();
        self.drain_outputs();
        for piece in data.chunks(chunk.min(data.len().max(1))) {
            input.extend_from_slice(piece);
            self.feed(&mut input);
            self.now = self.now.checked_add(Duration::from_millis(1)).unwrap_or(self.now);
        }
        assert!(self.events <= 64 + 64 * data.len(), "{} events from {} octets", self.events, data.len());
        self.connection.handle_eof(self.now);
        self.drain_outputs();
        assert!(self.is_closed, "the last event is that the connection is closed");
        for _ in 0..16 {
            let Some(deadline) = self.connection.poll_timeout() else { break };
            self.now = self.now.max(deadline);
            self.connection.handle_timeout(self.now);
            self.drain_outputs();
        }
        assert!(
            self.connection.is_finished(),
            "after the end of the stream and all time-outs nothing is left to do"
        );
        assert!(self.written <= (1 << 20) + 1024 * data.len(), "{} octets for {}", self.written, data.len());
    }

    fn feed(&mut self, input: &mut BytesMut) {
        // Each round consumes a frame or an event; a round that does neither would go on for ever.
        for _ in 0..=input.len() + 64 {
            let before = (input.len(), self.events);
            let status = self.connection.handle_input(self.now, input);
            self.drain_outputs();
            match status {
                InputStatus::NeedMore | InputStatus::Finished => return,
                InputStatus::Blocked => assert_ne!(before, (input.len(), self.events), "blocked by nothing"),
            }
        }
        panic!("the input is never used up");
    }

    fn drain_outputs(&mut self) {
        loop {
            while self.connection.poll_transmit(self.now, &mut self.transmit) {
                let size = self.transmit.remaining();
                assert!(size > 0, "something was announced to be written");
                self.written += size;
                self.transmit.advance(size);
            }
            let Some(event) = self.connection.poll_event() else { return };
            assert!(!self.is_closed, "{event:?} after the connection was closed");
            self.events += 1;
            self.obey(event);
        }
    }

    /// Answers an event. What a peer has undone in between may be refused by the engine, and never panics.
    fn obey(&mut self, event: Event) {
        let connection = &mut self.connection;
        match event {
            Event::SaslInit { .. } | Event::SaslResponse { .. } => {
                let _ = connection.sasl_outcome(SaslCode::Ok, None);
            }
            Event::Opened { .. } if self.side == Side::Listener => {
                let _ = connection.open();
            }
            Event::Opened { .. } => {
                if let Ok(session) = connection.begin(SessionConfig::default()) {
                    let _ = connection.attach(session, LinkConfig::sender("out", Target::new("node")));
                    let _ = connection.attach(session, LinkConfig::receiver("in", Source::new("node")));
                }
            }
            Event::SessionRequested { session, .. } => {
                let _ = connection.accept_session(session, SessionConfig::default());
            }
            Event::AttachRequested { link, attach, .. } if attach.name.starts_with('!') => {
                let error = Error { condition: ErrorCondition::NOT_FOUND, description: None, info: None };
                let _ = connection.refuse_attach(link, error);
            }
            Event::AttachRequested { link, attach, .. } => {
                let mut reply = AttachReply::granting(&attach);
                if attach.name.starts_with('~') {
                    reply.settling = Settling::ByApplication;
                }
                let _ = connection.accept_attach(link, reply);
                let _ = connection.set_credit(link, 100);
                if attach.name.starts_with('<') {
                    let _ = connection.detach(link, DetachKind::Suspended, None);
                    let _ = connection.give_up_link(link);
                }
            }
            Event::LinkAttached { link, .. } => {
                let _ = connection.set_credit(link, 100);
            }
            // Says it back; what says that it is enough is the end of the link.
            Event::LinkState { link, properties } if properties.get("enough").is_none() => {
                let _ = connection.set_link_state(link, Some(properties));
            }
            Event::LinkState { link, .. } => {
                let _ = connection.set_link_state(link, None);
                let _ = connection.detach(link, DetachKind::Closed, None);
                let _ = connection.give_up_link(link);
            }
            Event::Writable { link } => Self::send(connection, link),
            Event::OutcomeTold { link, delivery, state, .. } => {
                let _ = connection.settle_sent(link, delivery, state);
            }
            Event::DrainRequested { link } => {
                let _ = connection.drained(link);
            }
            Event::Delivery { link, delivery } => {
                let state = if delivery.message.first() == Some(&0) {
                    DeliveryState::Released
                } else {
                    DeliveryState::Accepted
                };
                let _ = connection.settle(link, delivery.id, state, Settlement::Settled);
            }
            Event::Closed { .. } => self.is_closed = true,
            _ => {}
        }
    }

    fn send(connection: &mut Connection, link: LinkId) {
        for user in 0..4 {
            let settlement = if user % 2 == 0 { Settlement::Unsettled } else { Settlement::Settled };
            if connection.try_send(link, Outgoing::new(&b"\x00Su\xa0\x01x"[..], settlement, user)).is_err() {
                return;
            }
        }
    }
}
