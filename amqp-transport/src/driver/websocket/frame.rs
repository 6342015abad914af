//! Frames of WebSockets (RFC 6455 §5): headers, masks, and the rules about both. Pure.
//!
//! Nothing here logs: what a frame carries is its users' secret.

use bytes::{BufMut, BytesMut};

use crate::engine::Side;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(octet: u8) -> Option<Self> {
        Some(match octet {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    const fn octet(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What comes before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Option<Mask>,
    /// Octets of the payload.
    pub(super) length: u64,
    /// Octets of the header itself.
    pub(super) size: usize,
}

impl Header {
    /// The header at the front of the octets, none while it is not whole. `side` is who reads. Lengths in more octets
    /// than they need are taken: they mean what they say.
    pub(super) fn parse(octets: &[u8], side: Side) -> Result<Option<Self>, Fault> {
        let [first, second, rest @ ..] = octets else { return Ok(None) };
        let is_final = first & FINAL != 0;
        let opcode = Opcode::of(first & 0x0f).ok_or(Fault::protocol("an opcode that nobody knows"))?;
        if first & RESERVED != 0 {
            return Err(Fault::protocol("bits of an extension that was not agreed on"));
        }
        // RFC 6455 §5.1
        let is_masked = second & MASKED != 0;
        match (side, is_masked) {
            (Side::Listener, false) => return Err(Fault::protocol("a client's frame without a mask")),
            (Side::Client, true) => return Err(Fault::protocol("a server's frame with a mask")),
            _ => {}
        }
        let Some((length, rest)) = length(second & !MASKED, rest) else { return Ok(None) };
        if length > MAX_LENGTH {
            return Err(Fault::protocol("a length of more than 63 bits"));
        }
        if opcode.is_control() && (!is_final || length > MAX_CONTROL) {
            return Err(Fault::protocol("a control frame that is long or in fragments"));
        }
        let (mask, rest) = match rest.split_first_chunk() {
            Some((mask, rest)) if is_masked => (Some(Mask(*mask)), rest),
            None if is_masked => return Ok(None),
            _ => (None, rest),
        };
        let size = octets.len().saturating_sub(rest.len());
        Ok(Some(Self { is_final, opcode, mask, length, size }))
    }
}

/// A payload's length by the second octet and what follows it.
fn length(short: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short {
        LENGTH_16 => rest.split_first_chunk().map(|(long, rest)| (u16::from_be_bytes(*long).into(), rest)),
        LENGTH_64 => rest.split_first_chunk().map(|(long, rest)| (u64::from_be_bytes(*long), rest)),
        short => Some((short.into(), rest)),
    }
}

/// Appends a whole message, or a control frame, in one frame.
pub(super) fn push<'a>(
    out: &mut BytesMut,
    opcode: Opcode,
    mask: Option<Mask>,
    pieces: impl Iterator<Item = &'a [u8]> + Clone,
) {
    let length: usize = pieces.clone().map(<[u8]>::len).sum();
    out.reserve(length.saturating_add(MAX_HEADER));
    out.put_u8(FINAL | opcode.octet());
    let is_masked = if mask.is_some() { MASKED } else { 0 };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < LENGTH_16 => out.put_u8(is_masked | short),
        (_, Ok(long)) => {
            out.put_u8(is_masked | LENGTH_16);
            out.put_u16(long);
        }
        _ => {
            out.put_u8(is_masked | LENGTH_64);
            out.put_u64(u64::try_from(length).unwrap_or(u64::MAX));
        }
    }
    if let Some(Mask(octets)) = mask {
        out.put_slice(&octets);
    }
    let start = out.len();
    pieces.for_each(|piece| out.put_slice(piece));
    if let (Some(mut mask), Some(payload)) = (mask, out.get_mut(start..)) {
        mask.apply(payload);
    }
}

/// What a client's octets are changed with, so that nobody between can be made to take them for something else
/// (RFC 6455 §10.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask(pub(super) [u8; 4]);

impl Mask {
    /// Puts the mask on or takes it off. The next call goes on where this one ends.
    pub(super) fn apply(&mut self, octets: &mut [u8]) {
        let [a, b, c, d] = self.0;
        // As wide as registers are.
        let wide = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
        for block in octets.chunks_mut(wide.len()) {
            block.iter_mut().zip(wide).for_each(|(octet, mask)| *octet ^= mask);
        }
        self.0.rotate_left(octets.len() % 4);
    }
}

/// What a peer did wrong: the code of the close that tells it so (RFC 6455 §7.4.1), and our words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: u16,
    pub(super) what: &'static str,
}

impl Fault {
    pub(super) const fn protocol(what: &'static str) -> Self {
        Self { code: 1002, what }
    }

    pub(super) const fn unsupported(what: &'static str) -> Self {
        Self { code: 1003, what }
    }

    pub(super) const fn text(what: &'static str) -> Self {
        Self { code: 1007, what }
    }

    pub(super) const fn too_large(what: &'static str) -> Self {
        Self { code: 1009, what }
    }
}

/// The close of a connection whose work is done.
pub(super) const NORMAL: u16 = 1000;
/// Octets of the longest payload of a control frame (RFC 6455 §5.5).
const MAX_CONTROL: u64 = 125;
/// The longest payload there is (RFC 6455 §5.2).
const MAX_LENGTH: u64 = u64::MAX >> 1;
/// Octets of the longest header.
const MAX_HEADER: usize = 14;
/// Bits of the first octet: the message's last frame, and those of extensions.
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
/// The bit of the second octet that says that there is a mask.
const MASKED: u8 = 0x80;
/// What stands for a length in two octets, and in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
