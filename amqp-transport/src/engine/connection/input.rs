//! From octets to performatives: AMQP frames, and the dispatch of each. What comes before them is `greeting`'s.

use std::ops::Range;
use std::sync::Arc;

use amqp_codec::{
    Close, Cursor, Decode, DecodeError, DecodeErrorKind, DecodeLimits, Disposition, ErrorCondition, Flow,
    FrameHeader, FrameType, MIN_MAX_FRAME_SIZE, Open, Performative, Transfer,
};
use bytes::{Buf, Bytes, BytesMut};

use super::super::endpoint_state::Half;
use super::super::event::{EndCause, Event};
use super::super::timers::Timer;
use super::super::violation::{Scope, Violation};
use super::{Connection, InputStatus, Phase};
use crate::error::{ConnectionError, RemoteError};

/// What one step of reading did.
pub(super) enum Step {
    /// Something was consumed: go on.
    Again,
    /// Nothing more can be done with these octets.
    NeedMore,
    /// The application has to act first.
    Blocked,
}

impl Connection {
    /// Reads until the octets, or the room for events, run out.
    pub(in super::super) fn consume(&mut self, input: &mut BytesMut) -> InputStatus {
        let mut has_consumed = false;
        let status = loop {
            if matches!(self.phase, Phase::Over) {
                input.clear();
                break InputStatus::Finished;
            }
            if self.is_deaf {
                // Frames can no longer be told apart: what comes is read and dropped, so that our close gets through.
                input.clear();
                break InputStatus::NeedMore;
            }
            match self.step(input) {
                Step::Again => has_consumed = true,
                Step::NeedMore => break InputStatus::NeedMore,
                Step::Blocked => break InputStatus::Blocked,
            }
        };
        self.watch_frame(has_consumed, input.is_empty() || status != InputStatus::NeedMore);
        status
    }

    /// A frame that was begun must become whole in time, however slowly its octets trickle (C-024).
    fn watch_frame(&mut self, has_consumed: bool, is_between_frames: bool) {
        if is_between_frames {
            self.timers.set(Timer::Frame, None);
        } else if has_consumed || self.timers.get(Timer::Frame).is_none() {
            self.timers.set(Timer::Frame, Some(self.now + self.config.limits.frame_time_out));
        }
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        match &self.phase {
            Phase::Header | Phase::SecondHeader => self.header_step(input),
            Phase::ListenerSasl(exchange) if exchange.awaits_decision() => {
                if input.is_empty() {
                    Step::NeedMore
                } else {
                    Step::Blocked
                }
            }
            Phase::ClientSasl(_) | Phase::ListenerSasl(_) => self.sasl_step(input),
            Phase::Frames => self.frames_step(input),
            Phase::Over => Step::NeedMore,
        }
    }

    /// As many whole AMQP frames as there are, up to a bound.
    fn frames_step(&mut self, input: &mut BytesMut) -> Step {
        if !self.backlog.is_empty() {
            let chunk = std::mem::take(&mut self.backlog);
            return self.dispatch(chunk);
        }
        // The peer's open changes what may follow, so it is taken by itself.
        let (limit, count) = if self.endpoint.remote == Half::Idle {
            (self.config.limits.pre_open_frame_size, 1)
        } else {
            (self.config.max_frame_size.max(MIN_MAX_FRAME_SIZE), FRAMES_AT_ONCE)
        };
        let (end, fault) = whole_frames(input, limit, count);
        if end == 0 {
            return match fault {
                Some(fault) => {
                    self.is_deaf = true;
                    self.fail(ConnectionError::Violation(fault));
                    Step::Again
                }
                None => Step::NeedMore,
            };
        }
        let chunk = input.split_to(end).freeze();
        self.dispatch(chunk)
    }

    /// Handles each frame of a chunk of whole ones, until events are too many. With few unsettled deliveries left that a
    /// session may hold, the caller sees each before the next one comes, and may give it back.
    fn dispatch(&mut self, mut chunk: Bytes) -> Step {
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            if self.events.len() >= self.config.limits.pending_events
                || self.events.octets() >= self.config.limits.buffered_bytes
                || (self.is_crowded && self.events.len() > 0)
            {
                chunk.advance(at);
                self.backlog = chunk;
                return Step::Blocked;
            }
            let header = match FrameHeader::parse(rest) {
                Ok(Some(header)) => header,
                Ok(None) => return Step::Again,
                Err(error) => {
                    self.is_deaf = true;
                    self.fail(ConnectionError::Violation(Violation::decode(error)));
                    return Step::Again;
                }
            };
            self.frames_in = self.frames_in.wrapping_add(1);
            let end = at + header.size as usize;
            let body = (at + usize::from(header.doff) * 4).min(end)..end;
            at = end;
            if let Err(violation) = self.handle_frame(&header, &chunk, body) {
                self.punish(header.channel, violation);
            }
            if matches!(self.phase, Phase::Over) || self.is_deaf {
                break;
            }
        }
        Step::Again
    }

    /// Answers a broken rule at its scope.
    fn punish(&mut self, channel: u16, violation: Violation) {
        if violation.scope() == Scope::Connection {
            self.fail(ConnectionError::Violation(violation));
            return;
        }
        let session = self
            .remote_channels
            .get(usize::from(channel))
            .copied()
            .flatten()
            .and_then(|index| self.sessions.get(index))
            .map(|session| session.id);
        let error = violation.to_wire();
        let is_ended = session
            .is_some_and(|session| self.end_session(session, EndCause::Violation, Some(error)).is_ok());
        if !is_ended {
            self.fail(ConnectionError::Violation(violation));
        }
    }

    /// Handles a frame whose body is a part of a chunk: what it keeps of that is counted once, where it is kept.
    fn handle_frame(
        &mut self,
        header: &FrameHeader,
        chunk: &Bytes,
        range: Range<usize>,
    ) -> Result<(), Violation> {
        if header.frame_type != FrameType::Amqp {
            // F-015; no other layer than AMQP's is left.
            self.is_deaf = true;
            return Err(Violation::framing("a frame of another type than AMQP's"));
        }
        let body = chunk.get(range.clone()).unwrap_or_default();
        // F-017, C-028: a sign of life.
        if body.is_empty() {
            return Ok(());
        }
        let channel = header.channel;
        let limits = DecodeLimits::performative();
        let mut cursor = Cursor::within(chunk, range.clone(), &limits);
        // Whoever reads of a fault looks for it in its frame.
        let located =
            |error: DecodeError| DecodeError { offset: error.offset.saturating_sub(range.start), ..error };
        let fault = |error| Violation::decode(located(error));
        // C-033: after our close only the peer's counts.
        if self.endpoint.local == Half::Closed {
            if let Ok(Performative::Close(close)) = Performative::decode(&mut cursor) {
                self.handle_close(close);
            } else if is_close(body) {
                self.handle_close(Close::default());
            }
            return Ok(());
        }
        if self.endpoint.remote == Half::Open {
            // Those that come by the million are decoded without passing through the big enum.
            match body.first_chunk() {
                Some(&[0x00, 0x53, TRANSFER]) => {
                    let mut transfer = match Transfer::decode(&mut cursor) {
                        Ok(transfer) => transfer,
                        Err(error) if error.kind == DecodeErrorKind::TagTooLong => {
                            let (handle, id) =
                                numbers_of(&chunk.slice(range.clone())).ok_or_else(|| fault(error))?;
                            return self.handle_long_tag(channel, handle, id);
                        }
                        Err(error) => return Err(fault(error)),
                    };
                    return self.handle_transfer(channel, &mut transfer, cursor.rest());
                }
                Some(&[0x00, 0x53, DISPOSITION]) => {
                    let disposition = Disposition::decode(&mut cursor).map_err(fault)?;
                    cursor.finish("disposition").map_err(fault)?;
                    return self.handle_disposition(channel, disposition);
                }
                Some(&[0x00, 0x53, FLOW]) => {
                    let flow = Flow::decode(&mut cursor).map_err(fault)?;
                    cursor.finish("flow").map_err(fault)?;
                    return self.handle_flow(channel, &flow);
                }
                _ => {}
            }
        }
        let performative = match Performative::decode(&mut cursor) {
            Ok(performative) => performative,
            Err(error) if is_close(body) => {
                // Whatever its reason was meant to say, it is a close.
                self.handle_broken_close(located(error));
                return Ok(());
            }
            Err(error) => return Err(fault(error)),
        };
        if let Performative::Transfer(mut transfer) = performative {
            self.require_opened()?;
            return self.handle_transfer(channel, &mut transfer, cursor.rest());
        }
        // T-048, F-018: only a transfer carries more.
        cursor.finish("frame").map_err(fault)?;
        if let Performative::Open(open) = performative {
            return self.handle_open(channel, *open);
        }
        self.require_opened()?;
        match performative {
            Performative::Begin(begin) => self.handle_begin(channel, *begin),
            Performative::Attach(attach) => self.handle_attach(channel, *attach),
            Performative::Flow(flow) => self.handle_flow(channel, &flow),
            Performative::Disposition(disposition) => self.handle_disposition(channel, disposition),
            Performative::Detach(detach) => self.handle_detach(channel, detach),
            Performative::End(end) => self.handle_end(channel, end),
            Performative::Close(close) => {
                self.handle_close(close);
                Ok(())
            }
            Performative::Open(_) | Performative::Transfer(_) => Ok(()),
        }
    }

    // C-001, C-003, C-036
    fn require_opened(&self) -> Result<(), Violation> {
        if self.endpoint.remote == Half::Open {
            Ok(())
        } else {
            Err(Violation::connection(ErrorCondition::ILLEGAL_STATE, "a frame before open"))
        }
    }

    fn handle_open(&mut self, channel: u16, open: Open) -> Result<(), Violation> {
        if self.endpoint.remote != Half::Idle {
            return Err(Violation::connection(ErrorCondition::ILLEGAL_STATE, "a second open"));
        }
        // C-002
        if channel != 0 {
            return Err(Violation::connection(
                ErrorCondition::NOT_ALLOWED,
                "an open on another channel than 0",
            ));
        }
        let max_frame_size = open.max_frame_size;
        // F-023
        if max_frame_size < MIN_MAX_FRAME_SIZE {
            return Err(Violation::connection(ErrorCondition::INVALID_FIELD, "max-frame-size below 512"));
        }
        self.endpoint.remote = Half::Open;
        self.output.set_frame_limit(max_frame_size);
        self.remote_channel_max = open.channel_max;
        self.start_heartbeats(open.idle_time_out);
        self.heard();
        let remote = Arc::new(open);
        self.remote_open = Some(Arc::clone(&remote));
        self.events.push(Event::Opened { remote });
        self.note_opened();
        Ok(())
    }

    // C-021, C-023
    fn handle_close(&mut self, close: Close) {
        self.endpoint.remote = Half::Closed;
        let was_closing = self.failure.is_some();
        if !was_closing {
            self.write_close(None);
        }
        let reason = match (close.error, self.failure.take()) {
            // Both closed at once: the peer's reason says more than that we wanted to close, too.
            (Some(error), None | Some(ConnectionError::Closed)) => {
                ConnectionError::Remote(RemoteError::from(error))
            }
            (_, Some(failure)) => failure,
            (None, None) => ConnectionError::ClosedByPeer,
        };
        self.finish(reason);
    }

    fn handle_broken_close(&mut self, error: DecodeError) {
        self.endpoint.remote = Half::Closed;
        self.write_close(None);
        self.finish(ConnectionError::Violation(Violation::decode(error)));
    }
}

/// How many octets are whole frames, and what is wrong behind them.
pub(super) fn whole_frames(input: &[u8], limit: u32, count: usize) -> (usize, Option<Violation>) {
    let mut end = 0;
    for _ in 0..count {
        let Some(size) = input.get(end..).and_then(<[u8]>::first_chunk).map(|size| u32::from_be_bytes(*size))
        else {
            break;
        };
        // F-012, F-020, F-022: seen as soon as the size is.
        if size < 8 {
            return (end, Some(Violation::framing("a frame of less than 8 octets")));
        }
        if size > limit {
            return (end, Some(Violation::framing("a frame above max-frame-size")));
        }
        let next = end + size as usize;
        if next > input.len() {
            break;
        }
        end = next;
    }
    (end, None)
}

fn is_close(body: &[u8]) -> bool {
    body.starts_with(&[0x00, 0x53, CLOSE])
}

/// Handle and delivery-id of a transfer that does not decode for what stands behind them.
fn numbers_of(body: &Bytes) -> Option<(u32, Option<u32>)> {
    let fields = match body.get(3)? {
        0xc0 => 6,
        0xd0 => 12,
        _ => return None,
    };
    let (limits, octets) = (DecodeLimits::performative(), body.slice(fields..));
    let mut cursor = Cursor::new(&octets, &limits);
    let handle = u32::decode(&mut cursor).ok()?;
    Some((handle, u32::decode(&mut cursor).ok()))
}

const FLOW: u8 = 0x13;
const TRANSFER: u8 = 0x14;
const DISPOSITION: u8 = 0x15;
const CLOSE: u8 = 0x18;
/// Frames taken off the input in one go.
const FRAMES_AT_ONCE: usize = 1_024;
