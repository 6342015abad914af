//! Two engines joined by two pipes that chop octets anywhere, with a clock of their own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use amqp_codec::{DeliveryState, Source, Target};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{
    AttachReply, Connection, ConnectionConfig, DeliveryId, DetachCause, Event, IncomingDelivery, InputStatus,
    LinkConfig, LinkId, Outgoing, SessionConfig, SessionId, Settlement, Side, Transmit,
};
use bytes::{Buf, BytesMut};

/// One end: an engine, what it has read and not consumed, what it has told.
pub(crate) struct End {
    pub(crate) engine: Connection,
    pub(crate) input: BytesMut,
    /// Whether the engine waits for its events to be polled.
    is_blocked: bool,
    pub(crate) events: VecDeque<Event>,
    transmit: Transmit,
    /// Octets it wrote that the other end has not read.
    pub(crate) wire: VecDeque<u8>,
    /// All octets it ever wrote.
    pub(crate) written: Vec<u8>,
    /// Whether it hands out what it is asked for by itself.
    pub(crate) is_accepting: bool,
    /// What it grants sessions it is asked for.
    pub(crate) session: SessionConfig,
}

/// Both ends.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) now: Instant,
    seed: u64,
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the test's own clock")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

impl End {
    pub(crate) fn new(side: Side, config: ConnectionConfig, now: Instant) -> Self {
        Self {
            engine: Connection::new(side, config, now),
            input: BytesMut::new(),
            is_blocked: false,
            events: VecDeque::new(),
            transmit: Transmit::new(),
            wire: VecDeque::new(),
            written: Vec::new(),
            is_accepting: side == Side::Listener,
            session: SessionConfig::default(),
        }
    }

    /// Takes outputs; the accepting end answers requests as they come. `true` if anything happened.
    pub(crate) fn pump(&mut self, now: Instant) -> bool {
        let mut is_active = false;
        while self.write_once(now) {
            is_active = true;
        }
        while let Some(event) = self.engine.poll_event() {
            is_active = true;
            if self.is_accepting {
                self.accept(&event);
            }
            self.events.push_back(event);
        }
        is_active
    }

    /// Takes one batch of output; `false` when there is none.
    pub(crate) fn write_once(&mut self, now: Instant) -> bool {
        if !self.engine.poll_transmit(now, &mut self.transmit) {
            return false;
        }
        while self.transmit.has_remaining() {
            let chunk = self.transmit.chunk();
            self.wire.extend(chunk);
            self.written.extend_from_slice(chunk);
            let count = chunk.len();
            self.transmit.advance(count);
        }
        true
    }

    fn accept(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } => self.engine.open().unwrap(),
            Event::SessionRequested { session, .. } => {
                self.engine.accept_session(*session, self.session.clone()).unwrap();
            }
            Event::AttachRequested { link, attach, .. } => {
                self.engine.accept_attach(*link, AttachReply::granting(attach)).unwrap();
            }
            _ => {}
        }
    }

    pub(crate) fn feed(&mut self, now: Instant, octets: &[u8]) -> InputStatus {
        self.input.extend_from_slice(octets);
        let status = self.engine.handle_input(now, &mut self.input);
        self.is_blocked = status == InputStatus::Blocked;
        status
    }

    /// The first event the picker wants; those before it stay.
    pub(crate) fn take<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        let (at, found) =
            self.events.iter().enumerate().find_map(|(at, event)| pick(event).map(|found| (at, found)))?;
        self.events.remove(at);
        Some(found)
    }

    pub(crate) fn delivery(&mut self) -> Option<(LinkId, IncomingDelivery)> {
        self.take(|event| match event {
            Event::Delivery { link, delivery } => Some((*link, delivery.clone())),
            _ => None,
        })
    }

    pub(crate) fn settled(&mut self) -> Option<(u32, Option<DeliveryState>)> {
        self.take(|event| match event {
            Event::Settled { user, state, .. } => Some((*user, state.clone())),
            _ => None,
        })
    }

    pub(crate) fn writable(&mut self) -> Option<LinkId> {
        self.take(|event| match event {
            Event::Writable { link } => Some(*link),
            _ => None,
        })
    }

    pub(crate) fn detached(&mut self) -> Option<(LinkId, DetachCause, Option<amqp_codec::Error>)> {
        self.take(|event| match event {
            Event::LinkDetached { link, cause, error, .. } => Some((*link, *cause, error.clone())),
            _ => None,
        })
    }

    pub(crate) fn closed(&mut self) -> Option<ConnectionError> {
        self.take(|event| match event {
            Event::Closed { reason } => Some(reason.clone()),
            _ => None,
        })
    }

    pub(crate) fn requested(&mut self) -> Option<LinkId> {
        self.take(|event| match event {
            Event::AttachRequested { link, .. } => Some(*link),
            _ => None,
        })
    }

    pub(crate) fn send(
        &mut self,
        link: LinkId,
        payload: &[u8],
        settlement: Settlement,
        user: u32,
    ) -> DeliveryId {
        self.engine.try_send(link, Outgoing::new(payload, settlement, user)).unwrap()
    }
}

impl Pair {
    pub(crate) fn new(client: ConnectionConfig, server: ConnectionConfig) -> Self {
        let now = start();
        Self {
            client: End::new(Side::Client, client, now),
            server: End::new(Side::Listener, server, now),
            now,
            seed: 1,
        }
    }

    /// Octets are cut at places that follow from the seed.
    pub(crate) fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed | 1;
        self
    }

    /// Moves octets and events until nothing more happens.
    pub(crate) fn run(&mut self) {
        loop {
            let mut is_active = self.client.pump(self.now) | self.server.pump(self.now);
            is_active |= Self::carry(&mut self.seed, self.now, &mut self.client, &mut self.server);
            is_active |= Self::carry(&mut self.seed, self.now, &mut self.server, &mut self.client);
            if !is_active {
                return;
            }
        }
    }

    fn carry(seed: &mut u64, now: Instant, from: &mut End, to: &mut End) -> bool {
        if from.wire.is_empty() {
            // What waited for events to be polled, or for a decision.
            return to.is_blocked && to.feed(now, &[]) != InputStatus::Blocked;
        }
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let small = usize::try_from(*seed % 40).unwrap() + 1;
        let size = if seed.is_multiple_of(3) { from.wire.len() } else { small };
        let octets: Vec<u8> = from.wire.drain(..size.min(from.wire.len())).collect();
        let _ = to.feed(now, &octets);
        true
    }

    /// Lets time pass, firing timers of both ends in order.
    pub(crate) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        loop {
            let next = [self.client.engine.poll_timeout(), self.server.engine.poll_timeout()];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.client.engine.handle_timeout(self.now);
            self.server.engine.handle_timeout(self.now);
            self.run();
        }
        self.now = until;
    }

    /// A pair with both opens exchanged.
    pub(crate) fn opened() -> Self {
        Self::opened_with(config("client"), config("server"))
    }

    pub(crate) fn opened_with(client: ConnectionConfig, server: ConnectionConfig) -> Self {
        let mut pair = Self::new(client, server);
        pair.client.engine.open().unwrap();
        pair.run();
        assert!(pair.client.engine.is_open() && pair.server.engine.is_open());
        pair
    }

    pub(crate) fn session(&mut self) -> SessionId {
        self.session_with(SessionConfig::default())
    }

    pub(crate) fn session_with(&mut self, config: SessionConfig) -> SessionId {
        let session = self.client.engine.begin(config).unwrap();
        self.run();
        let begun = self.client.take(|event| match event {
            Event::SessionBegun { session, .. } => Some(*session),
            _ => None,
        });
        assert_eq!(begun, Some(session));
        session
    }

    /// Attaches and returns both ends' ids of the link.
    pub(crate) fn attach(&mut self, session: SessionId, config: LinkConfig) -> (LinkId, LinkId) {
        let ours = self.client.engine.attach(session, config).unwrap();
        self.run();
        let attached = self.client.take(|event| match event {
            Event::LinkAttached { link, .. } => Some(*link),
            _ => None,
        });
        assert_eq!(attached, Some(ours));
        (ours, self.server.requested().unwrap())
    }

    /// A link on which the client sends, with this much credit.
    pub(crate) fn sending(
        &mut self,
        session: SessionId,
        name: &'static str,
        credit: u32,
    ) -> (LinkId, LinkId) {
        let (ours, theirs) = self.attach(session, LinkConfig::sender(name, target("q")));
        self.server.engine.set_credit(theirs, credit).unwrap();
        self.run();
        (ours, theirs)
    }

    /// A link on which the client receives, with this much credit.
    pub(crate) fn receiving(
        &mut self,
        session: SessionId,
        name: &'static str,
        credit: u32,
    ) -> (LinkId, LinkId) {
        let (ours, theirs) = self.attach(session, LinkConfig::receiver(name, source("q")));
        self.client.engine.set_credit(ours, credit).unwrap();
        self.run();
        (ours, theirs)
    }
}

pub(crate) fn config(container_id: &'static str) -> ConnectionConfig {
    ConnectionConfig::new(container_id)
}

pub(crate) fn target(address: &'static str) -> Target {
    Target { address: Some(address.into()), ..Target::default() }
}

pub(crate) fn source(address: &'static str) -> Source {
    Source { address: Some(address.into()), ..Source::default() }
}
