//! What the task reads: octets from the stream into the chunk, and from there into the engine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Driver, HEARTBEAT, Reading, lost};
use crate::driver::listening::Role;
use crate::driver::shared::State;
use crate::engine::InputStatus;
use crate::handle::stream::Spoken;

/// What reading gave.
pub(super) enum Input {
    /// Octets, in the current chunk.
    Octets,
    /// Nothing at this moment.
    Nothing,
    End,
    Failed(io::Error),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Input {
        if self.read != Reading::Open {
            return Input::Nothing;
        }
        self.chunks.make_room();
        let chunk = &mut self.chunks.current;
        let room = chunk.capacity().saturating_sub(chunk.len());
        match poll_read_into(Pin::new(&mut self.io), cx, chunk) {
            Poll::Pending => Input::Nothing,
            Poll::Ready(Ok(0)) => {
                self.read = Reading::Ended;
                Input::End
            }
            Poll::Ready(Ok(count)) => {
                self.counts.bytes_in = self.counts.bytes_in.saturating_add(count);
                self.counts.reads = self.counts.reads.saturating_add(1);
                if let Some(trace) = &mut self.trace {
                    let before = self.chunks.current.len().saturating_sub(count);
                    trace.inward(self.chunks.current.get(before..).unwrap_or_default());
                }
                self.chunks.note_read(count, room);
                self.is_used |= count > HEARTBEAT;
                Input::Octets
            }
            Poll::Ready(Err(error)) => {
                self.read = Reading::Ended;
                Input::Failed(error)
            }
        }
    }

    pub(super) fn feed(&mut self, state: &mut State, now: Instant, input: Input) {
        if matches!(input, Input::Octets) || self.read == Reading::Blocked {
            self.read = loop {
                match state.engine.handle_input(now, &mut self.chunks.current) {
                    InputStatus::NeedMore => break Reading::Open,
                    InputStatus::Finished => break Reading::Ignored,
                    InputStatus::Blocked => {
                        if !state.dispatch_next() {
                            break Reading::Blocked;
                        }
                        state.dispatch_all();
                    }
                }
            };
        }
        match input {
            Input::End => {
                self.name_short_answer(state, now);
                state.engine.handle_eof(now);
            }
            Input::Failed(error) => self.cut(state, lost(&error)),
            Input::Octets | Input::Nothing => {}
        }
    }

    /// A peer that speaks TLS answers a plain header with an alert, one octet shorter than a header, and leaves. Filled
    /// up it is the wrong header that it is meant to be, which says more than that the stream ended.
    pub(super) fn name_short_answer(&mut self, state: &mut State, now: Instant) {
        let answer = &mut self.chunks.current;
        let is_short = answer.len() < PROTOCOL_HEADER && Spoken::recognise(answer) == Spoken::Tls;
        if is_short && matches!(state.role, Role::Client) && state.remote_open.is_none() {
            answer.resize(PROTOCOL_HEADER, 0);
            // The header decides; nothing follows it.
            let _ = state.engine.handle_input(now, answer);
        }
    }
}

/// Reads into the spare room of a buffer, without giving it up when nothing comes.
pub(in crate::driver) fn poll_read_into<IO: AsyncRead>(
    io: Pin<&mut IO>,
    cx: &mut Context<'_>,
    chunk: &mut bytes::BytesMut,
) -> Poll<io::Result<usize>> {
    // `tokio_util`'s way without `unsafe`: read through the future of `read_buf`, which keeps no state.
    let mut io = io;
    let read = tokio::io::AsyncReadExt::read_buf(&mut io, chunk);
    tokio::pin!(read);
    read.poll(cx)
}

/// Octets of a protocol header.
const PROTOCOL_HEADER: usize = 8;
