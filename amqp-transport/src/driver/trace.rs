//! The frame trace: one line for each frame, at TRACE under the target `amqp::frame`, or on standard error where the
//! environment variable `AMQP_TRACE_FRAMES` asks for it.
//!
//! Owns copies of octets on their way, and only while someone listens. It shows performatives and never a message's
//! octets, so that neither bodies nor the tokens in them are told; SASL responses and tokens elsewhere are redacted by
//! the codec's dump.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use amqp_codec::FrameHeader;
use amqp_codec::dump::FrameLine;
use bytes::{Buf, Bytes, BytesMut};
use tracing::{Level, trace};

use super::heads::{Direction, Heads};
use crate::engine::Transmit;

/// What is done with frames on their way.
pub(crate) struct FrameTrace {
    lines: Option<Lines>,
    pub(crate) heads: Option<Heads>,
}

/// Cuts both directions into frames and tells of each.
struct Lines {
    /// Tells the connections of a process apart.
    connection: u64,
    listeners: Listeners,
    inward: BytesMut,
    outward: BytesMut,
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listeners {
    Subscriber,
    StandardError,
    Both,
}

/// Whether the heads of the last frames are kept for when the connection fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LastFrames {
    /// Nothing is kept.
    #[default]
    Off,
    /// The heads of the last 120 frames of both directions, in 2 KiB.
    Heads,
}

impl FrameTrace {
    /// A trace if someone listens at the connection's start, or the last frames are to be kept.
    pub(crate) fn if_wanted(last_frames: LastFrames) -> Option<Box<Self>> {
        let is_subscribed = tracing::enabled!(target: "amqp::frame", Level::TRACE);
        let listeners = match (is_subscribed, is_on_standard_error()) {
            (true, true) => Some(Listeners::Both),
            (true, false) => Some(Listeners::Subscriber),
            (false, true) => Some(Listeners::StandardError),
            (false, false) => None,
        };
        let lines = listeners.map(|listeners| Lines {
            connection: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            listeners,
            inward: BytesMut::new(),
            outward: BytesMut::new(),
        });
        let heads = (last_frames == LastFrames::Heads).then(Heads::default);
        (lines.is_some() || heads.is_some()).then(|| Box::new(Self { lines, heads }))
    }

    /// Octets that were read.
    pub(crate) fn inward(&mut self, octets: &[u8]) {
        if let Some(heads) = &mut self.heads {
            heads.note(Direction::In, octets);
        }
        if let Some(lines) = &mut self.lines {
            lines.inward.extend_from_slice(octets);
            lines.tell(Direction::In);
        }
    }

    /// A batch that is going to be written.
    pub(crate) fn outward(&mut self, batch: &Transmit) {
        let mut pieces = [std::io::IoSlice::new(&[]); PIECES];
        let count = batch.chunks_vectored(&mut pieces);
        for piece in pieces.iter().take(count) {
            if let Some(heads) = &mut self.heads {
                heads.note(Direction::Out, piece);
            }
            if let Some(lines) = &mut self.lines {
                lines.outward.extend_from_slice(piece);
            }
        }
        if let Some(lines) = &mut self.lines {
            lines.tell(Direction::Out);
        }
    }
}

impl Lines {
    fn tell(&mut self, direction: Direction) {
        let octets = match direction {
            Direction::In => &mut self.inward,
            Direction::Out => &mut self.outward,
        };
        while let Some(unit) = next_unit(octets) {
            let (connection, size, text) = (self.connection, unit.len(), line(&unit));
            if self.listeners != Listeners::StandardError {
                trace!(
                    target: "amqp::frame",
                    connection,
                    direction = direction.word(),
                    size,
                    performative = performative(&text),
                    "{} {text}",
                    direction.arrow()
                );
            }
            if self.listeners != Listeners::Subscriber {
                // Nobody can be told that nobody can be told.
                let _ = writeln!(std::io::stderr().lock(), "amqp[{connection}] {} {text}", direction.arrow());
            }
        }
    }
}

/// A protocol header or a whole frame from the front of the octets. Octets that are neither are given up.
fn next_unit(octets: &mut BytesMut) -> Option<Bytes> {
    let size = if octets.starts_with(b"AMQP") {
        HEADER_LEN
    } else {
        match FrameHeader::parse(octets) {
            Ok(Some(header)) => usize::try_from(header.size).ok()?,
            Ok(None) => return None,
            Err(_) => octets.len(),
        }
    };
    (octets.len() >= size && size > 0).then(|| octets.split_to(size).freeze())
}

fn line(unit: &Bytes) -> String {
    if unit.starts_with(b"AMQP") {
        return format!("header \"{}\"", unit.escape_ascii());
    }
    FrameLine(unit).to_string()
}

/// The name between `@` and `(` of a frame's line: `transfer`, `sasl-init`; empty for anything else.
fn performative(line: &str) -> &str {
    let name = line.split_once('@').and_then(|(before, rest)| before.ends_with(": ").then_some(rest));
    name.and_then(|rest| rest.split_once('(')).map_or("", |(name, _)| name)
}

/// Whether the environment asks for the trace on standard error; asked once in a process.
fn is_on_standard_error() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| {
        let value = std::env::var(TRACE_FRAMES).unwrap_or_default();
        !matches!(value.as_str(), "" | "0" | "off" | "json")
    })
}

/// The environment variable that switches the trace. Other forms than text are for the program to write, which hears of
/// frames as a subscriber.
const TRACE_FRAMES: &str = "AMQP_TRACE_FRAMES";
/// Connections traced so far.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
/// Octets of a protocol header.
const HEADER_LEN: usize = 8;
/// Pieces of a batch that are traced; more is rare and only costs the trace.
const PIECES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_cut_wherever_octets_break() {
        let mut frame = BytesMut::new();
        amqp_codec::encode_empty_frame(&mut frame);
        let mut stream = b"AMQP\x00\x01\x00\x00".to_vec();
        stream.extend_from_slice(&frame);
        for cut in 0..stream.len() {
            let mut octets = BytesMut::from(&stream[..cut]);
            let mut units: Vec<Bytes> = std::iter::from_fn(|| next_unit(&mut octets)).collect();
            octets.extend_from_slice(&stream[cut..]);
            units.extend(std::iter::from_fn(|| next_unit(&mut octets)));
            assert_eq!(units.len(), 2, "cut at {cut}");
            assert_eq!(line(&units[0]), "header \"AMQP\\x00\\x01\\x00\\x00\"");
        }
    }

    #[test]
    fn a_line_names_its_performative() {
        assert_eq!(performative("3: @transfer(20) [handle=1] (3 octets)"), "transfer");
        assert_eq!(performative("sasl: @sasl-init(65) [mechanism=:PLAIN]"), "sasl-init");
        for other in ["0: (empty)", "header \"AMQP\"", "<incomplete frame>", "0: <bad @x(1)>"] {
            assert_eq!(performative(other), "", "{other}");
        }
    }
}
