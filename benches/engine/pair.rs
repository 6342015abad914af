//! Two engines back to back in memory, and a pipe of octets each way.

use std::time::Instant;

use amqp_codec::Target;
use amqp_transport::engine::{
    AttachReply, Connection, ConnectionConfig, Event, InputStatus, Limits, LinkConfig, LinkId, SessionConfig,
    SessionId, Side, Transmit,
};
use bytes::{Buf, BytesMut};

pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    /// How both ends' sessions are.
    sessions: SessionConfig,
    now: Instant,
    transmit: Transmit,
    to_server: BytesMut,
    to_client: BytesMut,
}

impl Pair {
    /// Both ends open.
    pub(crate) fn new(limits: &Limits, sessions: SessionConfig) -> Self {
        let now = Instant::now();
        let config = |name| {
            let mut config = ConnectionConfig::new(name);
            config.limits = limits.clone();
            config
        };
        let mut pair = Self {
            client: Connection::new(Side::Client, config("c"), now),
            server: Connection::new(Side::Listener, config("s"), now),
            sessions,
            now,
            transmit: Transmit::new(),
            to_server: BytesMut::with_capacity(1 << 20),
            to_client: BytesMut::with_capacity(1 << 20),
        };
        pair.client.open().unwrap();
        pair.server.open().unwrap();
        pair.settle_down();
        pair
    }

    /// Begins a session that both ends have.
    pub(crate) fn session(&mut self) -> SessionId {
        let session = self.client.begin(self.sessions.clone()).unwrap();
        self.settle_down();
        session
    }

    /// Attaches a sending link and gives both ends' ids of it.
    pub(crate) fn link(&mut self, session: SessionId, name: &str) -> (LinkId, LinkId) {
        let target = Target { address: Some("q".into()), ..Target::default() };
        let link = self.client.attach(session, LinkConfig::sender(name.to_owned(), target)).unwrap();
        let theirs = self.settle_down().unwrap();
        (link, theirs)
    }

    /// Carries octets both ways, accepting all, until nothing moves; gives the link that was attached last.
    pub(crate) fn settle_down(&mut self) -> Option<LinkId> {
        let mut attached = None;
        loop {
            let there = self.forward();
            while let Some(event) = self.server.poll_event() {
                match event {
                    Event::SessionRequested { session, .. } => {
                        self.server.accept_session(session, self.sessions.clone()).unwrap();
                    }
                    Event::AttachRequested { link, attach, .. } => {
                        self.server.accept_attach(link, AttachReply::granting(&attach)).unwrap();
                        attached = Some(link);
                    }
                    _ => {}
                }
            }
            let back = self.back();
            while self.client.poll_event().is_some() {}
            if there + back == 0 {
                return attached;
            }
        }
    }

    /// Carries what the client has to say; gives the octets.
    pub(crate) fn forward(&mut self) -> usize {
        carry(self.now, &mut self.client, &mut self.transmit, &mut self.server, &mut self.to_server)
    }

    /// Carries what the server has to say; gives the octets.
    pub(crate) fn back(&mut self) -> usize {
        carry(self.now, &mut self.server, &mut self.transmit, &mut self.client, &mut self.to_client)
    }
}

fn carry(
    now: Instant,
    from: &mut Connection,
    transmit: &mut Transmit,
    to: &mut Connection,
    pipe: &mut BytesMut,
) -> usize {
    let mut moved = 0;
    while from.poll_transmit(now, transmit) {
        while transmit.has_remaining() {
            let chunk = transmit.chunk();
            pipe.extend_from_slice(chunk);
            let count = chunk.len();
            transmit.advance(count);
            moved += count;
        }
    }
    if moved > 0 {
        assert_ne!(to.handle_input(now, pipe), InputStatus::Finished);
    }
    moved
}
