//! One end: an engine, and an application that does one thing at a time and holds every event to what the other did.
//!
//! Owns what the application knows, and what must hold of it. `links` and `messages` have what it does, `events` what it is told.

mod events;
mod links;
mod messages;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use amqp_codec::{Attach, Str};
use bytes::{Buf, BufMut, BytesMut};

use super::ledger::Ledger;
use crate::engine::{Connection, DeliveryId, LinkId, SessionId, SuspendedLink, Transmit};

pub(super) struct End {
    pub(super) engine: Connection,
    is_client: bool,
    pub(super) input: BytesMut,
    transmit: Transmit,
    /// Written, and not read by the other end yet.
    pub(super) written: BytesMut,
    sessions: Vec<SessionId>,
    asked_sessions: Vec<SessionId>,
    pub(super) links: Vec<Known>,
    asked_links: Vec<(LinkId, Arc<Attach>)>,
    /// Links that are not attached, by role and name.
    pub(super) kept: BTreeMap<(bool, Str), Box<SuspendedLink>>,
    pub(super) events: u64,
    pub(super) last_heard: Instant,
    now: Instant,
    pub(super) is_cut: bool,
    pub(super) is_end_told: bool,
    pub(super) is_closed: bool,
    has_closed: bool,
}

/// A link that has not been told to be over.
pub(super) struct Known {
    pub(super) id: LinkId,
    session: SessionId,
    pub(super) name: Str,
    pub(super) is_sender: bool,
    is_attached: bool,
    is_leaving: bool,
    /// Receiver: deliveries that are unsettled as far as the application knows.
    held: Vec<(DeliveryId, u32)>,
    /// The last message that came, or that was sent.
    last: Option<u32>,
    /// Sender: messages whose end is to come.
    sent: Vec<(DeliveryId, u32)>,
    /// Sender: whether a message was turned away and `Writable` has not come.
    is_blocked: bool,
    is_drain_asked: bool,
    /// The last thing that the other end said beside credit.
    heard: u64,
}

impl Known {
    fn new(id: LinkId, session: SessionId, name: Str, is_sender: bool) -> Self {
        Self {
            id,
            session,
            name,
            is_sender,
            is_attached: false,
            is_leaving: false,
            held: Vec::new(),
            last: None,
            sent: Vec::new(),
            is_blocked: false,
            is_drain_asked: false,
            heard: 0,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.is_attached && !self.is_leaving
    }
}

impl End {
    pub(super) fn new(engine: Connection, now: Instant) -> Self {
        let is_client = engine.config().container_id == "client";
        Self {
            engine,
            is_client,
            input: BytesMut::new(),
            transmit: Transmit::new(),
            written: BytesMut::new(),
            sessions: Vec::new(),
            asked_sessions: Vec::new(),
            links: Vec::new(),
            asked_links: Vec::new(),
            kept: BTreeMap::new(),
            events: 0,
            last_heard: now,
            now,
            is_cut: false,
            is_end_told: false,
            is_closed: false,
            has_closed: false,
        }
    }

    /// A link of this kind, by an octet.
    fn chosen(&mut self, which: u8, wants: impl Fn(&Known) -> bool) -> Option<&mut Known> {
        let count = self.links.iter().filter(|link| wants(link)).count();
        let place = usize::from(which).checked_rem(count)?;
        self.links.iter_mut().filter(|link| wants(link)).nth(place)
    }

    fn is_resumed(&self, id: LinkId, ledger: &Ledger) -> bool {
        self.links.iter().any(|link| link.id == id && ledger.is_resumed(&link.name))
    }

    /// Takes what the engine wants to write.
    pub(super) fn collect(&mut self, now: Instant) {
        self.now = now;
        let mut rounds = 0;
        while self.engine.poll_transmit(now, &mut self.transmit) {
            let size = self.transmit.remaining();
            assert!(size > 0, "something was announced to be written");
            if self.is_cut {
                self.transmit.advance(size);
            } else {
                self.written.put(&mut self.transmit);
            }
            rounds += 1;
            assert!(rounds < 10_000, "output without end");
        }
    }

    fn known(&mut self, id: LinkId) -> &mut Known {
        match self.links.iter_mut().find(|link| link.id == id) {
            Some(link) => link,
            None => panic!("an event of {id:?}, which is not known (any more)"),
        }
    }
}

/// What must hold.
impl End {
    /// At any time: windows and credit within what was granted, memory within its bounds.
    pub(super) fn judge(&self) {
        let (stats, limits) = (self.engine.stats(), &self.engine.config().limits);
        let bound = limits.output_high_water + limits.owed_output + MOST_AT_ONCE;
        assert!(stats.queued_output <= bound, "{} octets of output", stats.queued_output);
        assert!(stats.partial_octets <= limits.partial_delivery_bytes, "{} octets", stats.partial_octets);
        assert!(stats.queued_events <= limits.pending_events + MOST_EVENTS, "{} events", stats.queued_events);
        for session in self.sessions.iter().filter_map(|session| self.engine.session_stats(*session)) {
            assert!(session.incoming_window <= MOST_WINDOW, "{session:?}");
            assert!(session.remote_incoming_window <= MOST_WINDOW, "{session:?}");
            assert!(session.unsettled_outgoing <= limits.unsettled, "{session:?}");
            assert!(session.unsettled_incoming <= limits.unsettled, "{session:?}");
        }
        for link in self.links.iter().filter_map(|link| self.engine.link_stats(link.id)) {
            assert!(link.credit <= 0x7fff_ffff, "{link:?}");
        }
    }

    /// When all is settled, everything sent has an end, and whoever waited was told to go on.
    pub(super) fn judge_completion(&self, ledger: &Ledger) {
        for link in self.links.iter().filter(|link| link.is_usable()) {
            assert!(!link.is_blocked, "{:?} was never told to go on", link.name);
            assert!(link.held.is_empty(), "{:?} holds {:?} still", link.name, link.held);
            if ledger.is_resumed(&link.name) {
                continue;
            }
            assert!(link.sent.is_empty(), "messages {:?} of {:?} have no end", link.sent, link.name);
            let unsettled = self.engine.link_stats(link.id).map(|stats| stats.unsettled);
            assert_eq!(unsettled, Some(0), "unsettled on {:?}", link.name);
        }
    }
}

const MOST_WINDOW: u32 = 2_048;
/// What one poll for output may add to what waited: a batch of large messages and the answers to what was just read.
const MOST_AT_ONCE: usize = 1 << 20;
/// Events that a single frame may cause.
const MOST_EVENTS: usize = 4_000;
