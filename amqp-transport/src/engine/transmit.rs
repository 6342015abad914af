//! Octets on their way to the socket, as the driver takes them from the engine.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// A batch of output: one contiguous buffer, with large payloads spliced in as pieces of their own.
///
/// The driver keeps one and hands it to [`poll_transmit`](super::Connection::poll_transmit) again and again; its
/// buffer is swapped with the engine's, so that neither allocates in steady state. It is a [`Buf`]: write it with
/// `write_buf`, or vectored through [`Buf::chunks_vectored`].
#[derive(Default)]
pub struct Transmit {
    pub(crate) buffer: BytesMut,
    /// Large payloads, each with the octets of `buffer` that go before it.
    pub(crate) splices: VecDeque<Splice>,
    pub(crate) spliced: usize,
}

pub(crate) struct Splice {
    pub(crate) before: usize,
    pub(crate) payload: Bytes,
}

impl fmt::Debug for Transmit {
    // The octets of messages and frames may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit").field("octets", &self.remaining()).finish_non_exhaustive()
    }
}

impl Transmit {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether everything is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.splices.is_empty()
    }

    /// Gives the buffer's memory back; for a connection that falls idle. Does nothing while octets remain.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.buffer = BytesMut::new();
            self.splices = VecDeque::new();
        }
    }
}

impl Buf for Transmit {
    fn remaining(&self) -> usize {
        self.buffer.len() + self.spliced
    }

    fn chunk(&self) -> &[u8] {
        match self.splices.front() {
            Some(splice) if splice.before == 0 => &splice.payload,
            Some(splice) => self.buffer.get(..splice.before).unwrap_or_default(),
            None => &self.buffer,
        }
    }

    fn advance(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let Some(splice) = self.splices.front_mut() else {
                self.buffer.advance(left);
                return;
            };
            if splice.before > 0 {
                let step = left.min(splice.before);
                splice.before -= step;
                self.buffer.advance(step);
                left -= step;
            }
            if splice.before == 0 {
                let step = left.min(splice.payload.len());
                splice.payload.advance(step);
                self.spliced -= step;
                left -= step;
                if splice.payload.is_empty() {
                    self.splices.pop_front();
                } else {
                    return;
                }
            }
        }
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut from = 0;
        let mut push = |piece: &'a [u8]| match out.get_mut(used) {
            Some(slot) if !piece.is_empty() => {
                *slot = IoSlice::new(piece);
                used += 1;
                true
            }
            Some(_) => true,
            None => false,
        };
        for splice in &self.splices {
            let end = from + splice.before;
            if !push(self.buffer.get(from..end).unwrap_or_default()) || !push(&splice.payload) {
                return used;
            }
            from = end;
        }
        push(self.buffer.get(from..).unwrap_or_default());
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Transmit {
        let mut splices = VecDeque::new();
        splices.push_back(Splice { before: 2, payload: Bytes::from_static(b"LARGE") });
        splices.push_back(Splice { before: 0, payload: Bytes::from_static(b"more") });
        Transmit { buffer: BytesMut::from(&b"abcd"[..]), splices, spliced: 9 }
    }

    #[test]
    fn pieces_come_in_order_however_they_are_taken() {
        for step in 1..14 {
            let mut transmit = sample();
            let mut got = Vec::new();
            while transmit.has_remaining() {
                let take = step.min(transmit.chunk().len());
                got.extend_from_slice(&transmit.chunk()[..take]);
                transmit.advance(take);
            }
            assert_eq!(got, b"abLARGEmorecd");
        }
        let mut whole = sample();
        assert_eq!(whole.copy_to_bytes(13), &b"abLARGEmorecd"[..]);
        assert!(whole.is_empty());
    }

    #[test]
    fn vectored_pieces_cover_everything() {
        let transmit = sample();
        let mut slices = [IoSlice::new(&[]); 8];
        let used = transmit.chunks_vectored(&mut slices);
        let all: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect();
        assert_eq!(all, b"abLARGEmorecd");
        let mut two = [IoSlice::new(&[]); 2];
        assert_eq!(transmit.chunks_vectored(&mut two), 2);
    }
}
