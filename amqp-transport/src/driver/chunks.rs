//! The read buffer: a chunk that frames are sliced from, and chunks that wait until their slices are gone.
//!
//! Owns when memory is taken, reused and given back. Slices pin their whole chunk, so chunks stay small until the
//! traffic asks for more, and an idle connection keeps next to nothing.

use std::collections::VecDeque;

use bytes::BytesMut;

/// Where octets are read into.
pub(crate) struct Chunks {
    /// The chunk in use: octets that were read and not consumed, then room.
    pub(crate) current: BytesMut,
    /// Chunks handed out in slices, oldest first; each can be used again when its slices are gone.
    resting: VecDeque<BytesMut>,
    /// The size of the next chunk.
    size: usize,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { current: BytesMut::new(), resting: VecDeque::new(), size: SMALLEST }
    }

    /// Makes room to read into.
    pub(crate) fn make_room(&mut self) {
        let room = self.current.capacity().saturating_sub(self.current.len());
        if room >= self.size / 4 && room >= self.frame_rest().min(LARGEST) {
            return;
        }
        // Room for the octets that are there, too: chunks of one size fit each other's traffic. What is there is doubled at
        // least, so that a very large frame is moved only a few times.
        let held = self.current.len();
        let want = self.size.max(held.saturating_add(self.frame_rest())).max(held.saturating_mul(2));
        if self.current.try_reclaim(want.saturating_sub(held)) {
            return;
        }
        let mut next = self.take_resting(want);
        next.extend_from_slice(&self.current);
        let mut old = std::mem::replace(&mut self.current, next);
        old.clear();
        if self.resting.len() < RESTING_BYTES / self.size {
            self.resting.push_back(old);
        }
    }

    /// What is missing of the frame that has begun, within reason: its size is the peer's word, checked by the engine
    /// when it has the first octets.
    fn frame_rest(&self) -> usize {
        let size = match self.current.first_chunk::<4>() {
            // A protocol header, not a size.
            None | Some(b"AMQP") => 0,
            Some(size) => u32::from_be_bytes(*size),
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(LARGEST);
        size.saturating_sub(self.current.len())
    }

    /// Learns from a read: one that filled its room asks for larger chunks.
    pub(crate) fn note_read(&mut self, count: usize, room: usize) {
        if count >= room {
            self.size = self.size.saturating_mul(4).min(LARGEST);
        }
    }

    /// Gives memory back; for a connection that has fallen idle.
    pub(crate) fn rest(&mut self) {
        self.resting = VecDeque::new();
        self.size = IDLE;
        if self.current.is_empty() {
            self.current = BytesMut::new();
        }
    }

    fn take_resting(&mut self, want: usize) -> BytesMut {
        // Slices go in the order they came, so the oldest chunks are the first to be free.
        let free = self.resting.iter_mut().take(LOOKED_AT).position(|chunk| chunk.try_reclaim(want));
        let chunk = free.and_then(|at| self.resting.remove(at));
        chunk.unwrap_or_else(|| BytesMut::with_capacity(want))
    }
}

/// The chunk of an idle connection, in bytes: room for heartbeats, and for the start of whatever comes.
const IDLE: usize = 512;
/// The first chunk of a connection, in bytes.
const SMALLEST: usize = 4 * 1024;
/// The largest chunk, in bytes; larger frames grow theirs as they arrive.
const LARGEST: usize = 256 * 1024;
/// Memory kept for reuse by a busy connection, in bytes.
const RESTING_BYTES: usize = 2 * 1024 * 1024;
/// Resting chunks looked at before a new one is made.
const LOOKED_AT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_reused_once_its_slices_are_gone() {
        let mut chunks = Chunks::new();
        chunks.make_room();
        let first = chunks.current.as_ptr();
        chunks.current.resize(SMALLEST, 7);
        let held = chunks.current.split_to(SMALLEST).freeze();
        chunks.make_room();
        assert_ne!(chunks.current.as_ptr(), first, "the first chunk is pinned");
        drop(held);
        chunks.current.resize(SMALLEST, 7);
        let second = chunks.current.split_to(SMALLEST).freeze();
        chunks.make_room();
        assert_eq!(chunks.current.as_ptr(), first, "the first chunk is free again");
        drop(second);
    }

    #[test]
    fn chunks_are_reused_by_traffic_that_leaves_a_part_of_a_frame_in_each() {
        let mut chunks = Chunks::new();
        chunks.size = LARGEST;
        chunks.make_room();
        let mut held = VecDeque::new();
        for round in 0..100 {
            let capacity = chunks.current.capacity();
            assert_eq!(
                capacity, LARGEST,
                "a chunk of another size does not fit all that comes, round {round}"
            );
            chunks.current.resize(capacity, 0);
            // The application lags two chunks behind, and a rest of some octets waits for what follows.
            held.push_back(chunks.current.split_to(capacity - 600 * round).freeze());
            if held.len() > 2 {
                held.pop_front();
            }
            chunks.make_room();
        }
        assert!(chunks.resting.len() <= 3, "{} chunks rest where three are in use", chunks.resting.len());
    }

    #[test]
    fn a_partial_frame_moves_with_its_octets() {
        let mut chunks = Chunks::new();
        chunks.make_room();
        chunks.current.resize(SMALLEST, 1);
        let _held = chunks.current.split_to(SMALLEST - 10).freeze();
        chunks.make_room();
        assert_eq!(&chunks.current[..], &[1; 10]);
        assert!(chunks.current.capacity() >= SMALLEST);
    }

    #[test]
    fn room_is_made_for_a_frame_that_has_begun_and_for_no_header() {
        let mut chunks = Chunks::new();
        chunks.make_room();
        chunks.current.extend_from_slice(&100_000u32.to_be_bytes());
        chunks.make_room();
        assert!(chunks.current.capacity() >= 100_000);
        let mut chunks = Chunks::new();
        chunks.make_room();
        chunks.current.extend_from_slice(b"AMQP");
        chunks.make_room();
        assert!(chunks.current.capacity() <= 2 * SMALLEST);
    }

    #[test]
    fn traffic_grows_chunks_and_idleness_shrinks_them() {
        let mut chunks = Chunks::new();
        for _ in 0..4 {
            chunks.make_room();
            chunks.note_read(SMALLEST, SMALLEST);
        }
        chunks.make_room();
        assert!(chunks.current.capacity() >= SMALLEST);
        assert_eq!(chunks.size, LARGEST);
        chunks.rest();
        assert_eq!((chunks.current.capacity(), chunks.size), (0, IDLE));
    }
}
