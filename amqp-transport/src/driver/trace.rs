//! The frame trace: one line for each frame, at TRACE under the target `amqp::frame`.
//!
//! Owns copies of octets on their way, and only while someone listens. Secrets of SASL and tokens are redacted by the
//! codec's dump.

use amqp_codec::FrameHeader;
use amqp_codec::dump::FrameLine;
use bytes::{Buf, Bytes, BytesMut};
use tracing::{Level, trace};

use crate::engine::Transmit;

/// Cuts both directions into frames and tells of each.
#[derive(Default)]
pub(crate) struct FrameTrace {
    inward: BytesMut,
    outward: BytesMut,
}

impl FrameTrace {
    /// A trace if someone listens at the connection's start.
    pub(crate) fn if_enabled() -> Option<Box<Self>> {
        tracing::enabled!(target: "amqp::frame", Level::TRACE).then(Box::default)
    }

    /// Octets that were read.
    pub(crate) fn inward(&mut self, octets: &[u8]) {
        self.inward.extend_from_slice(octets);
        while let Some(unit) = next_unit(&mut self.inward) {
            trace!(target: "amqp::frame", "<- {}", line(&unit));
        }
    }

    /// A batch that is going to be written.
    pub(crate) fn outward(&mut self, batch: &Transmit) {
        let mut pieces = [std::io::IoSlice::new(&[]); PIECES];
        let count = batch.chunks_vectored(&mut pieces);
        for piece in pieces.iter().take(count) {
            self.outward.extend_from_slice(piece);
        }
        while let Some(unit) = next_unit(&mut self.outward) {
            trace!(target: "amqp::frame", "-> {}", line(&unit));
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
}
