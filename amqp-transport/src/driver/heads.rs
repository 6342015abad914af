//! The heads of the last frames, in a ring of fixed size.
//!
//! Owns sixteen octets of each frame: its header and the beginning of its performative. That is too little to reach a
//! password or a message's octets, and enough to see what was said last. It allocates once and never decodes while
//! frames pass.

use std::fmt;

/// Which way a frame went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Direction {
    #[default]
    In,
    Out,
}

impl Direction {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    pub(crate) fn arrow(self) -> &'static str {
        match self {
            Self::In => "<-",
            Self::Out => "->",
        }
    }
}

/// The ring.
#[derive(Clone, Default)]
pub(crate) struct Heads {
    ring: Box<Ring>,
    cutters: [Cutter; 2],
}

/// Fixed memory: 120 heads of 17 octets and a position, less than 2 KiB.
#[derive(Clone)]
struct Ring {
    heads: [Head; HEADS],
    next: usize,
    count: u64,
}

#[derive(Clone, Copy, Default)]
struct Head {
    direction: Direction,
    octets: [u8; HEAD],
}

/// Where one direction is within a frame.
#[derive(Clone, Default)]
struct Cutter {
    head: [u8; HEAD],
    have: usize,
    /// Octets of the frame after its head that are still to come.
    skip: usize,
}

impl Default for Ring {
    fn default() -> Self {
        Self { heads: [Head::default(); HEADS], next: 0, count: 0 }
    }
}

impl Heads {
    /// Octets on their way, cut anywhere.
    pub(crate) fn note(&mut self, direction: Direction, mut octets: &[u8]) {
        let [inward, outward] = &mut self.cutters;
        let cutter = match direction {
            Direction::In => inward,
            Direction::Out => outward,
        };
        while !octets.is_empty() {
            let skipped = cutter.skip.min(octets.len());
            cutter.skip = cutter.skip.saturating_sub(skipped);
            octets = octets.get(skipped..).unwrap_or_default();
            octets = cutter.gather(octets);
            if let Some(head) = cutter.whole() {
                self.ring.push(Head { direction, octets: head });
            }
        }
    }
}

impl Cutter {
    /// Takes what is missing of the present frame's head.
    fn gather<'a>(&mut self, mut octets: &'a [u8]) -> &'a [u8] {
        while self.have < self.wanted()
            && let Some((first, rest)) = octets.split_first()
        {
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *first;
            }
            self.have = self.have.saturating_add(1);
            octets = rest;
        }
        octets
    }

    /// The octets of this frame's head: fewer than all where the frame itself is shorter.
    fn wanted(&self) -> usize {
        if self.have < FRAME_HEADER { FRAME_HEADER } else { self.size().clamp(FRAME_HEADER, HEAD) }
    }

    /// The frame's size; that of a protocol header is its own.
    fn size(&self) -> usize {
        match self.head {
            [b'A', b'M', b'Q', b'P', ..] => FRAME_HEADER,
            [a, b, c, d, ..] => usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX),
        }
    }

    /// The head once it is whole; the rest of the frame will be skipped.
    fn whole(&mut self) -> Option<[u8; HEAD]> {
        if self.have < FRAME_HEADER || self.have < self.wanted() {
            return None;
        }
        self.skip = self.size().saturating_sub(self.have);
        self.have = 0;
        Some(std::mem::take(&mut self.head))
    }
}

impl Ring {
    fn push(&mut self, head: Head) {
        if let Some(place) = self.heads.get_mut(self.next) {
            *place = head;
        }
        self.next = self.next.saturating_add(1) % HEADS;
        self.count = self.count.saturating_add(1);
    }
}

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = usize::try_from(self.ring.count).unwrap_or(usize::MAX).min(HEADS);
        let (newer, older) = self.ring.heads.split_at(self.ring.next.min(HEADS));
        let in_order = older.iter().chain(newer);
        write!(f, "the last {kept} of {} frames", self.ring.count)?;
        for head in in_order.skip(HEADS.saturating_sub(kept)) {
            write!(f, "\n{} {head}", head.direction.arrow())?;
        }
        Ok(())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, offset, kind, channel_high, channel_low, performative @ ..] = self.octets;
        if [a, b, c, d] == *b"AMQP" {
            return write!(f, "header {offset} {kind}.{channel_high}.{channel_low}");
        }
        let (size, channel) =
            (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([channel_high, channel_low]));
        match kind {
            0 => write!(f, "{channel}: ")?,
            1 => f.write_str("sasl: ")?,
            other => write!(f, "type {other}: ")?,
        }
        let name = match performative {
            _ if size <= u32::from(offset).saturating_mul(4) => "(empty)",
            [0x00, 0x53, code, ..] if offset == 2 => name(code),
            _ => "?",
        };
        write!(f, "{name} {size} octets")?;
        if name == "?" {
            write!(f, " {:02x?}", &performative)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heads").field("count", &self.ring.count).finish_non_exhaustive()
    }
}

/// A performative by the code of its descriptor.
fn name(code: u8) -> &'static str {
    let spec = amqp_codec::COMPOSITES.iter().find(|spec| spec.code == u64::from(code));
    spec.map_or("?", |spec| spec.name)
}

/// Octets kept of each frame.
const HEAD: usize = 16;
/// Frames kept of both directions together.
const HEADS: usize = 120;
/// Octets of a frame's header, and of a protocol header.
const FRAME_HEADER: usize = 8;

#[cfg(test)]
mod tests {
    use amqp_codec::{Open, SaslInit, SaslPerformative, Transfer, encode_frame, encode_sasl_frame};
    use bytes::{Bytes, BytesMut};

    use super::*;

    fn stream() -> BytesMut {
        let mut stream = BytesMut::from(&b"AMQP\x03\x01\x00\x00"[..]);
        let init = SaslInit {
            mechanism: "PLAIN".into(),
            initial_response: Some(Bytes::from_static(b"\0u\0hunter2")),
            hostname: None,
        };
        encode_sasl_frame(&mut stream, &SaslPerformative::from(init));
        encode_frame(&mut stream, 0, &Open::new("c"), &[]);
        amqp_codec::encode_empty_frame(&mut stream);
        encode_frame(&mut stream, 7, &Transfer { handle: 1, ..Transfer::default() }, &[b'x'; 5000]);
        stream
    }

    #[test]
    fn heads_are_cut_wherever_octets_break() {
        let stream = stream();
        let mut whole = Heads::default();
        whole.note(Direction::Out, &stream);
        let told = whole.to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "the last 5 of 5 frames");
        assert_eq!(lines[1], "-> header 3 1.0.0");
        assert!(lines[2].starts_with("-> sasl: sasl-init "), "{told}");
        assert!(lines[3].starts_with("-> 0: open "), "{told}");
        assert_eq!(lines[4], "-> 0: (empty) 8 octets");
        assert!(lines[5].starts_with("-> 7: transfer 50"), "{told}");
        for cut in 0..stream.len() {
            let mut heads = Heads::default();
            heads.note(Direction::Out, &stream[..cut]);
            heads.note(Direction::Out, &stream[cut..]);
            assert_eq!(heads.to_string(), told, "cut at {cut}");
        }
    }

    #[test]
    fn the_ring_keeps_the_last_in_fixed_memory_and_no_secret() {
        let mut heads = Heads::default();
        for _ in 0..100 {
            heads.note(Direction::Out, &stream());
            heads.note(Direction::In, &stream());
        }
        let told = heads.to_string();
        assert_eq!(told.lines().count(), 1 + HEADS);
        assert!(told.starts_with("the last 120 of 1000 frames"), "{told}");
        assert!(size_of::<Ring>() <= 2048 + 16, "{}", size_of::<Ring>());
        let kept: Vec<u8> = heads.ring.heads.iter().flat_map(|head| head.octets).collect();
        assert!(!kept.windows(4).any(|window| window == b"hunt"), "a password is out of reach");
    }

    #[test]
    fn octets_that_are_no_frames_do_no_harm() {
        let mut heads = Heads::default();
        for octets in [&[0_u8; 64][..], &[0xff; 64], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
            heads.note(Direction::In, octets);
        }
        assert!(!heads.to_string().is_empty());
    }
}
