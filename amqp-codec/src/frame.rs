//! Frames (AMQP 1.0 §2.3).
//!
//! Owns the eight octets of a frame's header, and frames as a whole. It assembles nothing: whoever reads the stream
//! brings a whole frame.

use core::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::{
    cursor::{Cursor, Decode},
    error::{DecodeError, DecodeErrorKind},
    limits::DecodeLimits,
    performative::{Performative, Transfer, transfer},
    sasl::SaslPerformative,
    sink::{Encode, Sink, saturate},
};

/// The frame size that every peer must accept, in octets (AMQP 1.0 §2.8.19).
pub const MIN_MAX_FRAME_SIZE: u32 = 512;

/// Octets of a frame's fixed header.
pub const FRAME_HEADER_LEN: usize = 8;

/// The fixed header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// F-011: size, data offset, type, and two octets of the type's own.
pub struct FrameHeader {
    /// The whole frame in octets, this header included.
    pub size: u32,
    /// Where the body starts, in words of four octets, at least 2.
    pub doff: u8,
    /// What kind of frame.
    pub frame_type: FrameType,
    /// The channel; without meaning in SASL frames.
    pub channel: u16,
}

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// An AMQP frame (0).
    Amqp,
    /// A SASL frame (1).
    Sasl,
}

impl FrameHeader {
    /// Reads a header from the start of a stream; `None` while there are too few octets (F-019).
    ///
    /// # Errors
    /// [`DecodeError`] for sizes below 8, data offsets outside the frame and unknown types. What can be seen to be wrong
    /// is refused before all eight octets are there.
    #[inline]
    pub fn parse(octets: &[u8]) -> Result<Option<Self>, DecodeError> {
        Self::parse_limited(octets, u32::MAX)
    }

    /// As [`parse`](Self::parse), refusing frames larger than `max_frame_size` octets.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`DecodeErrorKind::FrameTooLarge`].
    #[inline]
    pub fn parse_limited(octets: &[u8], max_frame_size: u32) -> Result<Option<Self>, DecodeError> {
        let Some((size, rest)) = octets.split_first_chunk::<4>() else { return Ok(None) };
        let size = u32::from_be_bytes(*size);
        // F-012: the size counts the eight octets of the header.
        if size < 8 {
            return Err(fault(DecodeErrorKind::InvalidFrameSize, 0));
        }
        // F-020: seen at the fourth octet, before anything is buffered.
        if size > max_frame_size {
            return Err(fault(DecodeErrorKind::FrameTooLarge, 0));
        }
        let Some(&[doff, frame_type, high, low]) = rest.first_chunk::<4>() else { return Ok(None) };
        // F-013: the body starts behind the header and inside the frame.
        if doff < 2 || u32::from(doff) * 4 > size {
            return Err(fault(DecodeErrorKind::InvalidDataOffset, 4));
        }
        let frame_type = match frame_type {
            0 => FrameType::Amqp,
            1 => FrameType::Sasl,
            // F-015: no other types.
            other => return Err(fault(DecodeErrorKind::UnknownFrameType(other), 5)),
        };
        Ok(Some(Self { size, doff, frame_type, channel: u16::from_be_bytes([high, low]) }))
    }

    /// Where the body starts, in octets.
    #[inline]
    pub const fn body_offset(&self) -> usize {
        self.doff as usize * 4
    }
}

/// A whole AMQP frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmqpFrame {
    /// The channel.
    pub channel: u16,
    /// What it says; `None` for an empty frame, which only shows that the peer is alive (F-017).
    pub performative: Option<Performative>,
    /// What follows a transfer: a part of a message.
    pub payload: Bytes,
}

impl AmqpFrame {
    /// Decodes exactly one frame. Payload, tags and binaries share `frame`.
    ///
    /// # Errors
    /// [`DecodeError`] if `frame` is not one whole AMQP frame.
    pub fn decode(frame: &Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(frame, limits);
        let header = enter_frame(&mut cursor, frame, FrameType::Amqp)?;
        Self::read_body(header.channel, &mut cursor)
    }

    #[inline(always)]
    fn read_body(channel: u16, cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        if cursor.remaining() == 0 {
            return Ok(Self { channel, performative: None, payload: Bytes::new() });
        }
        let performative = Performative::decode(cursor)?;
        // F-018, T-048: only a transfer carries a payload.
        if !matches!(performative, Performative::Transfer(_)) {
            cursor.finish("frame")?;
        }
        Ok(Self { channel, performative: Some(performative), payload: cursor.rest() })
    }
}

/// The whole AMQP frames at the start of some octets, one after the other.
///
/// A reader of a stream freezes what it has read and decodes all frames in it: a payload costs one reference count, and
/// nothing else is shared or copied. Ends behind the last whole frame, or at the first error.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a Bytes,
    limits: &'a DecodeLimits,
    max_frame_size: u32,
    position: usize,
}

impl<'a> Frames<'a> {
    /// The frames in `bytes`, none of them larger than `max_frame_size` octets.
    pub const fn new(bytes: &'a Bytes, limits: &'a DecodeLimits, max_frame_size: u32) -> Self {
        Self { bytes, limits, max_frame_size, position: 0 }
    }

    /// Where the next frame starts, in octets: what is from here on has not been read.
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The next frame, if it is a transfer as nearly every sender writes it. Anything else, and anything that is wrong, is
    /// left to [`read_any`](Self::read_any).
    #[inline(always)]
    fn read_usual(&mut self) -> Option<(u16, Transfer, Range<usize>)> {
        let rest = self.bytes.get(self.position..)?;
        let [a, b, c, d, 2, 0, high, low, ..] = rest else { return None };
        let size = u32::from_be_bytes([*a, *b, *c, *d]);
        if size > self.max_frame_size || self.limits.max_depth == 0 {
            return None;
        }
        let end = usize::try_from(size).ok()?;
        let (transfer, payload) = transfer::read_usual(rest.get(FRAME_HEADER_LEN..end)?)?;
        let length = payload.len();
        let end = self.position.wrapping_add(end);
        self.position = end;
        Some((u16::from_be_bytes([*high, *low]), transfer, end.wrapping_sub(length)..end))
    }

    #[inline(never)]
    fn read_any(&mut self) -> Option<Result<AmqpFrame, DecodeError>> {
        let frame = self.read();
        if frame.is_err() {
            self.bytes = &NO_BYTES;
        }
        frame.transpose()
    }

    fn read(&mut self) -> Result<Option<AmqpFrame>, DecodeError> {
        let start = self.position;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let shift = |error: DecodeError| DecodeError { offset: error.offset.saturating_add(start), ..error };
        let Some(header) = FrameHeader::parse_limited(rest, self.max_frame_size).map_err(shift)? else {
            return Ok(None);
        };
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        if rest.len() < size {
            return Ok(None);
        }
        if header.frame_type != FrameType::Amqp {
            return Err(shift(fault(DecodeErrorKind::UnexpectedFrameType, 5)));
        }
        let end = start + size;
        let cursor = &mut Cursor::within(self.bytes, start + header.body_offset()..end, self.limits);
        let frame = AmqpFrame::read_body(header.channel, cursor)?;
        self.position = end;
        Ok(Some(frame))
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<AmqpFrame, DecodeError>;

    // Always: a frame is put together where its user looks at it, or is moved once more.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some((channel, transfer, payload)) = self.read_usual() {
            // Put together where it is returned: a frame is large, and each move of it costs as much as decoding it.
            let payload = self.bytes.slice(payload);
            let performative = Some(Performative::Transfer(transfer));
            return Some(Ok(AmqpFrame { channel, performative, payload }));
        }
        self.read_any()
    }
}

impl SaslPerformative {
    /// Decodes exactly one SASL frame.
    ///
    /// # Errors
    /// [`DecodeError`] if `frame` is not one whole SASL frame; an empty one is an error too (AMQP 1.0 §5.3.1).
    pub fn decode_frame(frame: &Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(frame, limits);
        enter_frame(&mut cursor, frame, FrameType::Sasl)?;
        if cursor.remaining() == 0 {
            return Err(cursor.error(DecodeErrorKind::EmptySaslFrame, "frame"));
        }
        let performative = Self::decode(&mut cursor)?;
        cursor.finish("frame")?;
        Ok(performative)
    }
}

/// Appends an AMQP frame: its size is set when its body has been written.
#[inline]
pub fn encode_frame(out: &mut BytesMut, channel: u16, body: &impl Encode, payload: &[u8]) {
    let start = out.len();
    let [high, low] = channel.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 0, 2, 0, high, low]);
    body.encode(out);
    out.extend_from_slice(payload);
    let size = saturate(out.len().saturating_sub(start));
    out.patch_u32(start, size);
}

/// Appends a SASL frame.
pub fn encode_sasl_frame(out: &mut BytesMut, body: &impl Encode) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 2, 1, 0, 0]);
    body.encode(out);
    let size = saturate(out.len().saturating_sub(start));
    out.patch_u32(start, size);
}

/// Appends an empty AMQP frame, which only keeps the connection alive.
pub fn encode_empty_frame(out: &mut BytesMut) {
    out.extend_from_slice(&[0, 0, 0, 8, 2, 0, 0, 0]);
}

/// Reads the header and steps over the extended header, whose content is ignored (F-014).
fn enter_frame(
    cursor: &mut Cursor<'_>,
    frame: &Bytes,
    frame_type: FrameType,
) -> Result<FrameHeader, DecodeError> {
    let header = FrameHeader::parse(frame)?.ok_or_else(|| fault(DecodeErrorKind::Truncated, 0))?;
    if usize::try_from(header.size) != Ok(frame.len()) {
        return Err(fault(DecodeErrorKind::InvalidFrameSize, 0));
    }
    if header.frame_type != frame_type {
        return Err(fault(DecodeErrorKind::UnexpectedFrameType, 5));
    }
    cursor.take(header.body_offset())?;
    Ok(header)
}

#[cold]
const fn fault(kind: DecodeErrorKind, offset: usize) -> DecodeError {
    DecodeError { kind, offset, what: "frame header" }
}

/// Where an iterator that met an error goes on: nowhere.
static NO_BYTES: Bytes = Bytes::new();

#[cfg(test)]
mod tests;
