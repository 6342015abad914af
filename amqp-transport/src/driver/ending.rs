//! The end of a connection's task: the last octets out, the stream shut down, the peer's end awaited.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite};

use super::clock;
use super::task::{Driver, PASSES, Reading, poll_read_into};

/// How far the connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The engine is at work.
    Running,
    /// The engine is done: write the rest and shut the stream down, until then.
    Writing(Instant),
    /// The stream is shut down: wait for the peer's end, so that no reset overtakes our last octets.
    Lingering(Instant),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    /// The connection's end: the last octets out, the stream shut down, the peer's end awaited.
    pub(super) fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Ending::Writing(until) = self.ending {
            let is_written = self.write_rest(cx).is_ok();
            let is_over =
                |this: &mut Self, cx: &mut Context<'_>| clock::now() >= until || this.poll_timer(cx);
            if is_written && (self.out.has_remaining() || self.needs_flush) && !is_over(self, cx) {
                return Poll::Pending;
            }
            // TLS: this is its close_notify.
            let shut = Pin::new(&mut self.io).poll_shutdown(cx);
            if is_written && shut.is_pending() && !is_over(self, cx) {
                return Poll::Pending;
            }
            if self.finish() {
                // Nothing was left to say that a reset could overtake.
                return Poll::Ready(());
            }
            self.ending = Ending::Lingering(until);
        }
        // Read to the peer's end: octets unread when the socket closes would turn into a reset.
        for _ in 0..PASSES {
            // A stream that always has something to read must not put its deadline off.
            let is_late = matches!(self.ending, Ending::Lingering(until) if clock::now() >= until);
            if is_late || self.read == Reading::Ended {
                return Poll::Ready(());
            }
            self.chunks.current.clear();
            self.chunks.make_room();
            match poll_read_into(Pin::new(&mut self.io), cx, &mut self.chunks.current) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.poll_timer(cx) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is left, the engine's last words included.
    fn write_rest(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            self.poll_write(cx)?;
            if self.out.has_remaining() {
                return Ok(());
            }
            let now = clock::now();
            let out = &mut self.out;
            let taken = self.shared.with(|state| !state.is_cut && state.engine.poll_transmit(now, out));
            // Poisoned: there is nothing to say any more.
            if !taken.unwrap_or(false) {
                return Ok(());
            }
            if let Some(trace) = &mut self.trace {
                trace.outward(&self.out);
            }
        }
    }

    /// Tells that the socket is done with; `true` when what was left to write had been thrown away.
    pub(super) fn finish(&mut self) -> bool {
        let finished = self.shared.with(|state| {
            self.counts.add_to(&mut state.stats);
            state.finish_socket();
            state.is_cut
        });
        // Poisoned: nobody waits any more.
        finished.unwrap_or(true)
    }
}
