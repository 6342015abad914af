//! What the task writes: one batch of the engine's output after the other, as much at once as the stream takes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Driver, HEARTBEAT, Progress};
use crate::driver::clock;
use crate::driver::shared::State;

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    /// Takes the next batch of output when the last one is written.
    pub(super) fn collect(&mut self, state: &mut State, now: Instant) {
        if state.is_cut || !self.out.is_empty() || !state.engine.poll_transmit(now, &mut self.out) {
            return;
        }
        state.taken_batch = state.taken_batch.saturating_add(1);
        self.batch = state.taken_batch;
        if let Some(trace) = &mut self.trace {
            trace.outward(&self.out);
        }
        // What the engine wants to say once output has gone, such as that senders may go on.
        state.dispatch_all();
    }

    /// Writes all that is pending, as much at once as the stream takes.
    pub(in crate::driver) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Progress> {
        let mut progress = Progress::None;
        while self.out.has_remaining() {
            let Poll::Ready(written) = self.poll_write_once(cx) else { break };
            let written = written?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.out.advance(written);
            self.written_batch = self.batch;
            self.stalled_since = None;
            self.is_used |= written > HEARTBEAT;
            self.counts.bytes_out = self.counts.bytes_out.saturating_add(written);
            self.counts.writes = self.counts.writes.saturating_add(1);
            self.needs_flush = true;
            progress = Progress::Some;
        }
        if self.needs_flush
            && !self.out.has_remaining()
            && let Poll::Ready(flushed) = Pin::new(&mut self.io).poll_flush(cx)
        {
            flushed?;
            self.needs_flush = false;
        }
        if !self.needs_flush && !self.out.has_remaining() {
            self.stalled_since = None;
        } else if self.stalled_since.is_none() {
            self.stalled_since = Some(clock::now());
        }
        Ok(progress)
    }

    pub(super) fn poll_write_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if self.out.chunk().len() == self.out.remaining() || !io.is_write_vectored() {
            return io.poll_write(cx, self.out.chunk());
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = self.out.chunks_vectored(&mut pieces);
        io.poll_write_vectored(cx, pieces.get(..count).unwrap_or_default())
    }
}

/// Pieces of one vectored write.
const PIECES: usize = 64;
