//! The only writer of octets: headers, frames and payloads on their way out, in order.

use std::collections::VecDeque;
use std::{fmt, mem};

use amqp_codec::{Encode, FullList, ProtocolHeader, SaslPerformative, Transfer};
use bytes::{Bytes, BytesMut};

use super::config::{ListStyle, Pieces};
use super::transmit::{Splice, Transmit};

/// Output not yet taken by the driver.
pub(crate) struct Output {
    buffer: BytesMut,
    splices: VecDeque<Splice>,
    /// Octets in splices.
    spliced: usize,
    /// Octets of the buffer that go before the last splice.
    marked: usize,
    /// Octets of frames other than transfers.
    owed: usize,
    /// Frames written so far.
    frames: u64,
    style: ListStyle,
    frame_limit: u32,
}

/// A frame that the peer would not take; it was not written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FrameTooLarge {
    pub(crate) size: usize,
    pub(crate) limit: u32,
}

impl fmt::Debug for Output {
    // The octets of messages and frames may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("octets", &self.len())
            .field("owed", &self.owed)
            .field("frame_limit", &self.frame_limit)
            .finish_non_exhaustive()
    }
}

impl Output {
    pub(crate) fn new(style: ListStyle) -> Self {
        // F-021: what every peer takes, until its open says more.
        Self {
            buffer: BytesMut::new(),
            splices: VecDeque::new(),
            spliced: 0,
            marked: 0,
            owed: 0,
            frames: 0,
            style,
            frame_limit: u32::MAX,
        }
    }

    /// The largest frame the peer takes (F-022, F-025).
    pub(crate) fn set_frame_limit(&mut self, limit: u32) {
        self.frame_limit = limit;
    }

    pub(crate) fn frame_limit(&self) -> u32 {
        self.frame_limit
    }

    pub(crate) fn header(&mut self, header: ProtocolHeader) {
        self.buffer.extend_from_slice(&header.encode());
    }

    pub(crate) fn sasl(&mut self, body: &SaslPerformative) {
        let start = self.begin_frame(FRAME_TYPE_SASL, 0);
        body.encode(&mut self.buffer);
        self.end_frame(start, 0);
    }

    /// Writes one frame without payload, or says that it is too large.
    pub(crate) fn frame(&mut self, channel: u16, body: &impl Encode) -> Result<(), FrameTooLarge> {
        let start = self.begin_frame(FRAME_TYPE_AMQP, channel);
        match self.style {
            ListStyle::Compact => body.encode(&mut self.buffer),
            ListStyle::Full => FullList(body).encode(&mut self.buffer),
        }
        let size = self.buffer.len() - start;
        if size > limit(self.frame_limit) {
            self.buffer.truncate(start);
            return Err(FrameTooLarge { size, limit: self.frame_limit });
        }
        self.end_frame(start, 0);
        self.owed += size;
        Ok(())
    }

    // C-028: an empty frame on channel 0.
    pub(crate) fn empty_frame(&mut self) {
        let start = self.begin_frame(FRAME_TYPE_AMQP, 0);
        self.end_frame(start, 0);
    }

    /// Writes a whole transfer that is known to fit.
    #[inline]
    pub(crate) fn transfer(&mut self, channel: u16, transfer: &Transfer, (head, body): (&[u8], &[u8])) {
        let start = self.begin_frame(FRAME_TYPE_AMQP, channel);
        self.encode_transfer(transfer);
        self.buffer.extend_from_slice(head);
        self.buffer.extend_from_slice(body);
        self.end_frame(start, 0);
    }

    /// Writes a whole transfer that is known to fit, with a body that travels by itself.
    pub(crate) fn spliced_transfer(&mut self, channel: u16, transfer: &Transfer, head: &[u8], body: Bytes) {
        let start = self.begin_frame(FRAME_TYPE_AMQP, channel);
        self.encode_transfer(transfer);
        self.buffer.extend_from_slice(head);
        self.splice(start, body);
    }

    /// Ends a frame with a piece that travels by itself.
    fn splice(&mut self, start: usize, piece: Bytes) {
        self.end_frame(start, piece.len());
        self.spliced += piece.len();
        self.splices.push_back(Splice { before: self.buffer.len() - self.marked, payload: piece });
        self.marked = self.buffer.len();
    }

    /// Writes one transfer frame with as much of the payload as fits, and takes that much off it. Sets `more` when
    /// some is left (F-027).
    pub(crate) fn partial_transfer(&mut self, channel: u16, transfer: &mut Transfer, payload: &mut Pieces) {
        let start = self.begin_frame(FRAME_TYPE_AMQP, channel);
        // The performative is measured in its longer form; leaving `more` out can only shorten it.
        transfer.more = true;
        self.encode_transfer(transfer);
        let head = self.buffer.len() - start;
        // F-024: a peer without a bound does not make one link's message hold up the others.
        let room = limit(self.frame_limit).min(LARGEST_FRAME).saturating_sub(head);
        if payload.len() <= room {
            self.buffer.truncate(start + FRAME_HEADER_SIZE);
            transfer.more = false;
            self.encode_transfer(transfer);
        }
        let head = payload.head.split_to(payload.head.len().min(room));
        self.buffer.extend_from_slice(&head);
        let room = room - head.len();
        let piece = payload.body.split_to(payload.body.len().min(room));
        if piece.len() < SPLICE_FROM {
            self.buffer.extend_from_slice(&piece);
            self.end_frame(start, 0);
        } else {
            self.splice(start, piece);
        }
    }

    /// Octets waiting.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() + self.spliced
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.splices.is_empty()
    }

    /// Frames written so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Octets waiting that are no transfers.
    pub(crate) fn owed(&self) -> usize {
        self.owed
    }

    /// Hands everything over by swapping buffers; `out` must be empty.
    pub(crate) fn hand_over(&mut self, out: &mut Transmit) {
        debug_assert!(out.is_empty(), "output handed over onto unwritten octets");
        out.buffer.clear();
        mem::swap(&mut out.buffer, &mut self.buffer);
        mem::swap(&mut out.splices, &mut self.splices);
        out.spliced = mem::take(&mut self.spliced);
        self.marked = 0;
        self.owed = 0;
    }

    /// Takes the transfers off what waits, as if they had never been sent. Only for a connection that is failing: their
    /// numbers are used up.
    pub(crate) fn cut_transfers(&mut self) {
        let old = mem::take(&mut self.buffer);
        let mut splices = mem::take(&mut self.splices).into_iter();
        (self.spliced, self.marked) = (0, 0);
        let mut rest = &old[..];
        // Octets from here to the next large payload, which is the end of the frame that it belongs to.
        let mut splice = splices.next();
        let mut before = splice.as_ref().map_or(0, |splice| splice.before);
        while let Some(size) = waiting_frame(rest) {
            let inside = match &splice {
                Some(owner) if before < size => owner.payload.len(),
                _ => 0,
            };
            let Some((frame, after)) = rest.split_at_checked(size - inside) else { break };
            rest = after;
            before = before.saturating_sub(frame.len());
            if inside > 0 {
                splice = splices.next();
                before = splice.as_ref().map_or(0, |splice| splice.before);
            }
            if !is_transfer(frame) {
                self.buffer.extend_from_slice(frame);
            }
        }
    }

    /// Gives memory back while nothing waits.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.buffer = BytesMut::new();
            self.splices = VecDeque::new();
        }
    }

    #[inline]
    fn encode_transfer(&mut self, transfer: &Transfer) {
        match self.style {
            ListStyle::Compact => transfer.encode(&mut self.buffer),
            ListStyle::Full => FullList(transfer).encode(&mut self.buffer),
        }
    }

    #[inline]
    fn begin_frame(&mut self, frame_type: u8, channel: u16) -> usize {
        let start = self.buffer.len();
        let [high, low] = channel.to_be_bytes();
        self.buffer.extend_from_slice(&[0, 0, 0, 0, DATA_OFFSET, frame_type, high, low]);
        start
    }

    #[inline]
    fn end_frame(&mut self, start: usize, beyond: usize) {
        // Bounded by the peer's frame limit, itself a u32.
        let size = u32::try_from(self.buffer.len() - start + beyond).unwrap_or(u32::MAX);
        self.frames = self.frames.wrapping_add(1);
        if let Some(place) = self.buffer.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *place = size.to_be_bytes();
        }
    }
}

/// The length of the frame, or protocol header, at the start of waiting output.
fn waiting_frame(waiting: &[u8]) -> Option<usize> {
    let first = waiting.first_chunk::<4>()?;
    if first == b"AMQP" { Some(FRAME_HEADER_SIZE) } else { usize::try_from(u32::from_be_bytes(*first)).ok() }
}

fn is_transfer(frame: &[u8]) -> bool {
    frame.first_chunk::<4>().is_some_and(|first| first != b"AMQP")
        && frame.get(5) == Some(&FRAME_TYPE_AMQP)
        && frame.get(FRAME_HEADER_SIZE..).is_some_and(|body| body.starts_with(&TRANSFER))
}

/// A frame limit as a number of octets.
pub(crate) fn limit(frame_limit: u32) -> usize {
    usize::try_from(frame_limit).unwrap_or(usize::MAX)
}

/// What a transfer's header and performative take at most, as long as it carries no state.
pub(crate) const HEAD_ROOM: usize = 128;
const DATA_OFFSET: u8 = 2;
const FRAME_HEADER_SIZE: usize = 8;
const FRAME_TYPE_AMQP: u8 = 0;
/// How the body of a transfer starts.
const TRANSFER: [u8; 3] = [0x00, 0x53, 0x14];
const FRAME_TYPE_SASL: u8 = 1;
/// The largest frame of ours, whatever the peer takes.
const LARGEST_FRAME: usize = 1024 * 1024;
/// Pieces from this size on travel by themselves; smaller ones are cheaper copied.
const SPLICE_FROM: usize = 8 * 1024;
