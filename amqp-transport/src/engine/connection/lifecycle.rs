//! How a connection starts, stays alive, fails and ends.

use std::mem;
use std::time::Duration;

use amqp_codec::{Close, Encode, Error, MIN_MAX_FRAME_SIZE, Open, ProtocolHeader, SaslCode};
use bytes::Bytes;

use super::super::config::{SaslLayer, Side};
use super::super::endpoint_state::Half;
use super::super::event::Event;
use super::super::timers::Timer;
use super::super::violation::{EngineError, wire_error};
use super::{Connection, Phase};
use crate::error::{ConnectionError, SaslFailure};
use crate::sasl::{ClientExchange, ListenerExchange};

impl Connection {
    /// A client speaks first (F-004).
    pub(super) fn start(&mut self) {
        if self.side == Side::Listener {
            return;
        }
        if matches!(self.config.sasl, SaslLayer::Client(_)) {
            self.output.header(ProtocolHeader::SASL);
        } else {
            self.output.header(ProtocolHeader::AMQP);
            self.may_write_frames = true;
        }
    }

    pub(super) fn client_headers_agree(&mut self) {
        match mem::take(&mut self.config.sasl) {
            SaslLayer::Client(choice) => {
                let hostname = self.config.hostname.clone();
                let exchange = ClientExchange::new(choice, hostname, self.config.limits.sasl_rounds);
                self.phase = Phase::ClientSasl(Box::new(exchange));
            }
            _ => self.enter_frames(),
        }
    }

    // a new header follows the outcome.
    pub(super) fn client_authenticated(&mut self) {
        self.events.push(Event::Authenticated);
        self.output.header(ProtocolHeader::AMQP);
        self.may_write_frames = true;
        self.phase = Phase::SecondHeader;
        self.write_open();
    }

    pub(super) fn sasl_decision(&mut self) -> Result<&mut ListenerExchange, EngineError> {
        match &mut self.phase {
            Phase::ListenerSasl(exchange) if exchange.awaits_decision() => Ok(exchange),
            _ => Err(EngineError::State("no sasl answer is due")),
        }
    }

    pub(super) fn conclude_sasl(&mut self, code: SaslCode, additional_data: Option<Bytes>) {
        self.output.sasl(&ListenerExchange::outcome(code, additional_data));
        if code == SaslCode::Ok {
            self.phase = Phase::SecondHeader;
        } else {
            //
            self.finish(ConnectionError::Sasl(SaslFailure::Outcome { code, detail: None }));
        }
    }

    /// Both AMQP headers are exchanged.
    pub(super) fn enter_frames(&mut self) {
        self.phase = Phase::Frames;
        self.may_write_frames = true;
        self.write_open();
    }

    /// Writes our open, once it is wanted and headers allow.
    // C-001, C-015: right behind our header, without waiting for the peer.
    // C-016: however much the peer has said already.
    pub(super) fn write_open(&mut self) {
        if !self.wants_open || !self.may_write_frames || self.endpoint.local != Half::Idle {
            return;
        }
        let config = &self.config;
        let mut open = Open {
            container_id: config.container_id.clone(),
            hostname: config.hostname.clone(),
            // F-023
            max_frame_size: config.max_frame_size.max(MIN_MAX_FRAME_SIZE),
            channel_max: config.channel_max,
            // C-026: half of what we really allow.
            idle_time_out: config.idle_time_out.map(|allowed| millis(allowed / 2)),
            offered_capabilities: config.offered_capabilities.clone(),
            desired_capabilities: config.desired_capabilities.clone(),
            properties: config.properties.clone(),
            ..Open::default()
        };
        // F-026: before the peer's open says more, 512 octets are all it must take; properties can be done without.
        let is_long = self.endpoint.remote == Half::Idle && open.encoded_len() + 8 > MAX_EARLY_OPEN;
        if is_long {
            open.properties = None;
        }
        let _ = self.output.frame(0, &open);
        self.endpoint.local = Half::Open;
        self.note_opened();
    }

    pub(super) fn note_opened(&mut self) {
        if self.endpoint.is_open() {
            self.timers.set(Timer::Handshake, None);
        }
    }

    // C-004: what needs the peer's bounds waits for its open.
    pub(in super::super) fn require_open(&self) -> Result<(), EngineError> {
        if let Some(failure) = &self.failure {
            return Err(EngineError::Closed(failure.clone()));
        }
        if self.endpoint.is_open() { Ok(()) } else { Err(EngineError::NotOpen) }
    }

    /// The peer was heard (C-024).
    pub(super) fn heard(&mut self) {
        if self.endpoint.remote == Half::Open
            && !matches!(self.phase, Phase::Over)
            && let Some(allowed) = self.config.idle_time_out
        {
            self.timers.set(Timer::PeerSilence, Some(self.now + allowed));
        }
    }

    // C-010, C-027: half of what the peer asks for, but never a storm.
    // C-031: the peer's time-out alone decides about our heartbeats.
    pub(super) fn start_heartbeats(&mut self, idle_time_out: Option<u32>) {
        let Some(asked) = idle_time_out.filter(|asked| *asked > 0) else { return };
        let interval = Duration::from_millis(u64::from(asked) / 2);
        let interval = interval.max(self.config.limits.min_heartbeat_interval);
        self.heartbeat_interval = Some(interval);
        self.timers.set(Timer::Heartbeat, Some(self.now + interval));
    }

    /// Output went to the socket.
    pub(super) fn note_transmitted(&mut self) {
        if matches!(self.phase, Phase::Over) {
            // What waited when the connection ended has left: nothing more is due.
            return;
        }
        if self.endpoint.local == Half::Closed {
            // C-019, C-029: from our close on only the peer's is waited for.
            self.timers.set(Timer::Heartbeat, None);
            if self.timers.get(Timer::Close).is_none() {
                self.timers.set(Timer::Close, Some(self.now + self.config.limits.close_time_out));
            }
        } else if let Some(interval) = self.heartbeat_interval {
            self.timers.set(Timer::Heartbeat, Some(self.now + interval));
        }
    }

    pub(super) fn expired(&mut self, timer: Timer) {
        match timer {
            Timer::Handshake => self.fail(ConnectionError::Timeout { what: "the opening of the connection" }),
            Timer::Frame => self.fail(ConnectionError::Timeout { what: "a frame" }),
            // C-025
            Timer::PeerSilence => self.fail(ConnectionError::IdleTimeout),
            Timer::Heartbeat => {
                if self.endpoint.local == Half::Open && self.output.is_empty() {
                    self.output.empty_frame();
                }
            }
            Timer::Echo => self.answer_late_echoes(),
            Timer::Close => {
                let reason = self.failure.clone().unwrap_or(ConnectionError::Closed);
                self.finish(reason);
            }
        }
    }

    /// Writes our close, after an open if none has left yet (C-017, C-018).
    pub(super) fn write_close(&mut self, error: Option<Error>) {
        if !self.may_write_frames || self.endpoint.local == Half::Closed || matches!(self.phase, Phase::Over)
        {
            return;
        }
        self.wants_open = true;
        self.write_open();
        for index in self.sessions.indices().collect::<Vec<_>>() {
            if let Some(session) = self.sessions.get_mut(index)
                && session.endpoint.local == Half::Open
            {
                session.flush_dispositions(&mut self.output);
            }
        }
        // C-020: on channel 0. C-034: nothing is written from here on.
        self.write_with_error(0, error, |error| Close { error });
        self.endpoint.local = Half::Closed;
    }

    // C-037, S-037: the reason, or none.
    /// Writes a frame that carries an error, without its details if it would be too large.
    pub(in super::super) fn write_with_error<F: Encode>(
        &mut self,
        channel: u16,
        error: Option<Error>,
        frame: impl Fn(Option<Error>) -> F,
    ) {
        if self.output.frame(channel, &frame(error.clone())).is_err() {
            let bare = error.map(|error| Error::new(error.condition));
            let _ = self.output.frame(channel, &frame(bare));
        }
    }

    /// The connection failed by the peer's fault or its silence: says so once, then only waits for the peer's close.
    pub(super) fn fail(&mut self, error: ConnectionError) {
        if self.failure.is_some() {
            // Our own close is under way; a peer that fails meanwhile is not waited for.
            let reason = self.failure.clone().unwrap_or(error);
            self.finish(reason);
            return;
        }
        if !self.may_write_frames || !matches!(self.phase, Phase::Frames) {
            self.finish(error);
            return;
        }
        // What has not left is told as not sent: it must not follow.
        self.output.cut_transfers();
        self.write_close(Some(wire_error(&error)));
        self.failure = Some(error.clone());
        self.suspend_all();
        self.tell_closed(error);
        self.timers.clear();
        // C-019: counted from here, whether or not the close gets through to a peer that does not read.
        self.timers.set(Timer::Close, Some(self.now + self.config.limits.close_time_out));
        self.drop_endpoints();
    }

    /// Nothing more is read or written, but what already waits for output, messages left out.
    pub(super) fn finish(&mut self, reason: ConnectionError) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.output.cut_transfers();
        let reason = self.failure.get_or_insert(reason).clone();
        self.suspend_all();
        self.tell_closed(reason);
        self.timers.clear();
        self.drop_endpoints();
        self.backlog = Bytes::new();
    }

    fn tell_closed(&mut self, reason: ConnectionError) {
        if !mem::replace(&mut self.has_told_closed, true) {
            self.events.push(Event::Closed { reason });
        }
    }

    pub(super) fn drop_endpoints(&mut self) {
        self.sessions.clear();
        self.links.clear();
        self.names.clear();
        self.local_channels.clear();
        self.remote_channels.clear();
        self.dirty.clear();
        self.sending.clear();
        self.output_waiters.clear();
        self.late_echoes.clear();
        self.partial_bytes = 0;
        self.attach_octets = 0;
        self.begin_octets = 0;
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// What every peer takes before it has said more.
const MAX_EARLY_OPEN: usize = 512;
