//! The connection: the only dispatcher, and the engine's whole interface.
//!
//! Owns all state of one connection, and the run of inputs and outputs. `commands` has what a caller asks for,
//! `getters` what it sees; `input` reads frames and hands each to who owns its thing; `lifecycle` starts and ends.

mod commands;
mod getters;
mod greeting;
mod input;
mod lifecycle;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_codec::{Open, Str};
use bytes::{Bytes, BytesMut};

use super::config::{ConnectionConfig, Side};
use super::endpoint_state::Endpoint;
use super::event::{Event, EventQueue, Events};
use super::ids::{LinkId, Lowest, Slots};
use super::link::Link;
use super::output::Output;
use super::session::Session;
use super::stats::Stalls;
use super::timers::{Timer, Timers};
use super::transmit::Transmit;
use crate::error::ConnectionError;
use crate::sasl::{ClientExchange, ListenerExchange};

/// One AMQP connection, client or listener.
///
/// # The contract
/// Call commands at will, feed inputs as they come, and after every call (or batch of calls) drain the outputs in
/// this order: [`poll_transmit`](Self::poll_transmit) and write what it gives, [`poll_event`](Self::poll_event) until
/// `None`, then arm one timer for [`poll_timeout`](Self::poll_timeout).
///
/// A client calls [`open`](Self::open) right after [`new`](Self::new); a listener when it has seen
/// [`Event::Opened`] (or at once, if every peer is welcome).
///
/// When the connection fails, one close leaves where the protocol has one, [`Event::Closed`] is the last event, every
/// later command answers with the same error, and [`is_finished`](Self::is_finished) tells when the socket may be
/// dropped: write what `poll_transmit` still gives, then go on feeding input (the peer's close) until it is true.
pub struct Connection {
    pub(super) side: Side,
    pub(super) config: ConnectionConfig,
    /// The latest instant seen.
    pub(super) now: Instant,
    pub(super) phase: Phase,
    pub(super) endpoint: Endpoint,
    /// Whether our AMQP header is written: frames may follow.
    pub(super) may_write_frames: bool,
    pub(super) wants_open: bool,
    /// Whether the octets read can no longer be split into frames.
    pub(super) is_deaf: bool,
    pub(super) failure: Option<ConnectionError>,
    /// Whether [`Event::Closed`] has been queued.
    pub(super) has_told_closed: bool,
    pub(super) output: Output,
    pub(super) events: EventQueue,
    pub(super) timers: Timers,
    pub(super) heartbeat_interval: Option<Duration>,
    pub(super) remote_open: Option<Arc<Open>>,
    pub(super) remote_channel_max: u16,
    pub(super) sessions: Slots<Session>,
    pub(super) links: Slots<Link>,
    /// Session slots by our channels and by the peer's.
    pub(super) local_channels: Vec<Option<u32>>,
    /// Our channels that no session has.
    pub(super) free_channels: Lowest,
    pub(super) remote_channels: Vec<Option<u32>>,
    /// Link slots by role and name.
    pub(super) names: BTreeMap<(bool, Str), u32>,
    /// Session slots that owe dispositions or flows.
    pub(super) dirty: Vec<u32>,
    /// Links whose large message may go on, in turn.
    pub(super) sending: VecDeque<LinkId>,
    /// Links turned away by full output.
    pub(super) output_waiters: VecDeque<LinkId>,
    pub(super) partial_bytes: usize,
    /// Whether the session of the delivery that came last holds nearly as many unsettled ones as it may.
    pub(super) is_crowded: bool,
    /// What the peer's attaches count, over all links.
    pub(super) attach_octets: usize,
    /// What its begins count, over all sessions.
    pub(super) begin_octets: usize,
    /// Whole frames that wait because events were too many.
    pub(super) backlog: Bytes,
    /// Session slots whose answer to an echo has to wait for its time.
    pub(super) late_echoes: Vec<u32>,
    pub(super) frames_in: u64,
    pub(super) stalls: Stalls,
    pub(super) echoes_coalesced: u64,
}

impl fmt::Debug for Connection {
    // The octets of messages and frames may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("side", &self.side)
            .field("phase", &self.phase)
            .field("endpoint", &self.endpoint)
            .field("failure", &self.failure)
            .field("sessions", &self.sessions.len())
            .field("links", &self.links.len())
            .field("events", &self.events.len())
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// How far the connection's opening has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// The peer's first header is awaited.
    Header,
    /// SASL frames, as the client.
    ClientSasl(Box<ClientExchange>),
    /// SASL frames, as the listener.
    ListenerSasl(Box<ListenerExchange>),
    /// SASL is through, the peer's AMQP header is awaited.
    SecondHeader,
    /// AMQP frames.
    Frames,
    /// Nothing more is read or written.
    Over,
}

/// What became of the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum InputStatus {
    /// All whole frames are consumed; read more.
    NeedMore,
    /// Input is left because events must be polled (or a SASL decision made) first. Do so, then call again with
    /// the same buffer; do not read more before.
    Blocked,
    /// The input side is over: nothing more will be read. The rest of the buffer is dropped.
    Finished,
}

impl Connection {
    /// A connection at its very start. A client's header is ready to be transmitted.
    pub fn new(side: Side, config: ConnectionConfig, now: Instant) -> Self {
        let mut connection = Self {
            side,
            now,
            phase: Phase::Header,
            endpoint: Endpoint::new(),
            may_write_frames: false,
            wants_open: false,
            is_deaf: false,
            failure: None,
            has_told_closed: false,
            output: Output::new(config.list_style),
            events: EventQueue::default(),
            timers: Timers::default(),
            heartbeat_interval: None,
            remote_open: None,
            remote_channel_max: 0,
            sessions: Slots::default(),
            links: Slots::default(),
            local_channels: Vec::new(),
            free_channels: Lowest::default(),
            remote_channels: Vec::new(),
            names: BTreeMap::new(),
            dirty: Vec::new(),
            sending: VecDeque::new(),
            output_waiters: VecDeque::new(),
            partial_bytes: 0,
            is_crowded: false,
            attach_octets: 0,
            begin_octets: 0,
            backlog: Bytes::new(),
            late_echoes: Vec::new(),
            frames_in: 0,
            stalls: Stalls::default(),
            echoes_coalesced: 0,
            config,
        };
        connection.timers.set(Timer::Handshake, Some(now + connection.config.limits.handshake_time_out));
        connection.start();
        connection
    }

    /// Takes the octets read so far. Whole frames are consumed, the rest stays in the buffer for the next call.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> InputStatus {
        self.now = self.now.max(now);
        if !input.is_empty() {
            self.heard();
        }
        self.consume(input)
    }

    /// The stream ended. [`Event::Closed`] follows if it has not come yet (C-035).
    pub fn handle_eof(&mut self, now: Instant) {
        self.now = self.now.max(now);
        // C-035: only after our own close is a silent end in order.
        let reason = self.failure.clone().unwrap_or(ConnectionError::EndOfStream);
        self.finish(reason);
    }

    /// The instant of [`poll_timeout`](Self::poll_timeout) has come. Early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.take_due(self.now) {
            self.expired(timer);
        }
    }

    /// Moves pending output into `out`, if `out` is empty; `true` when `out` holds octets to write afterwards.
    /// Batches dispositions, flows and large payloads as late as here.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Transmit) -> bool {
        self.now = self.now.max(now);
        if !out.is_empty() {
            return true;
        }
        if self.failure.is_none() {
            self.flush_sessions();
            self.send_large();
        }
        if self.output.is_empty() {
            return false;
        }
        self.output.hand_over(out);
        self.wake_output_waiters();
        self.note_transmitted();
        true
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The next event, with those that go along with it. Cheaper than [`poll_event`](Self::poll_event) one by one where peers
    /// settle many messages by one disposition.
    #[inline]
    pub fn poll_events(&mut self) -> Option<Events> {
        self.events.pop_events()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Gives back the memory of empty buffers; for a connection that has fallen idle.
    pub fn shrink(&mut self) {
        self.output.shrink();
        self.events.shrink();
    }
}
