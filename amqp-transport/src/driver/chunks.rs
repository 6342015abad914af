//! The read buffer: a chunk that frames are sliced from, and chunks that wait until their slices are gone.
//!
//! Owns when memory is taken, reused and given back. Slices pin their whole chunk, so chunks stay small until the
//! traffic asks for more, and an idle connection keeps next to nothing.

use bytes::BytesMut;

/// Where octets are read into.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// The chunk in use: octets that were read and not consumed, then room.
    pub(crate) current: BytesMut,
    /// Chunks handed out in slices; each can be used again when its slices are gone.
    resting: Vec<BytesMut>,
    /// The size of the next chunk.
    size: usize,
    was_used: bool,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { current: BytesMut::new(), resting: Vec::new(), size: SMALLEST, was_used: false }
    }

    /// Makes room to read into.
    pub(crate) fn make_room(&mut self) {
        let room = self.current.capacity().saturating_sub(self.current.len());
        if room >= self.size / 4 && room > 0 {
            return;
        }
        // A frame larger than a chunk grows its chunk as it arrives.
        let want = self.size.max(self.current.len().saturating_mul(2));
        let additional = want.saturating_sub(self.current.len());
        if self.current.try_reclaim(additional) {
            return;
        }
        let mut next = self.take_resting(want);
        next.extend_from_slice(&self.current);
        let mut old = std::mem::replace(&mut self.current, next);
        old.clear();
        if self.resting.len() < RESTING && old.capacity() > 0 {
            self.resting.push(old);
        }
    }

    /// Learns from a read: one that filled its room asks for larger chunks. Heartbeats are no traffic.
    pub(crate) fn note_read(&mut self, count: usize, room: usize) {
        self.was_used |= count > HEARTBEAT;
        if count >= room {
            self.size = self.size.saturating_mul(4).min(LARGEST);
        }
    }

    /// Gives memory back if nothing was read since the last call.
    pub(crate) fn rest(&mut self) {
        if self.was_used {
            self.was_used = false;
            return;
        }
        self.resting = Vec::new();
        self.size = SMALLEST;
        if self.current.is_empty() {
            self.current = BytesMut::new();
        }
    }

    fn take_resting(&mut self, want: usize) -> BytesMut {
        let free = self.resting.iter_mut().position(|chunk| chunk.try_reclaim(want));
        match free {
            Some(at) => self.resting.swap_remove(at),
            None => BytesMut::with_capacity(want),
        }
    }
}

/// The first chunk of a connection, in bytes.
const SMALLEST: usize = 4 * 1024;
/// The largest chunk, in bytes.
const LARGEST: usize = 64 * 1024;
/// Octets of an empty frame.
const HEARTBEAT: usize = 8;
/// Chunks kept for reuse.
const RESTING: usize = 16;

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
        chunks.rest();
        assert_eq!((chunks.current.capacity(), chunks.size), (0, SMALLEST));
    }
}
