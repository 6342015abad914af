//! A stream of octets over a WebSocket's binary messages.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::super::random;
use super::super::stream::BoxedStream;
use super::frame::{self, Fault, Mask, Opcode};
use super::incoming::{Incoming, Stop, check_close};
use crate::engine::Side;

/// A WebSocket whose upgrade is through. It is polled by one task alone.
pub(crate) struct WebSocketIo {
    io: BoxedStream,
    side: Side,
    incoming: Incoming,
    /// Octets read and not looked at, masked as they came.
    input: BytesMut,
    /// Whole frames that wait for room in the socket.
    output: BytesMut,
    masks: Masks,
    /// What the last ping said, until it is answered.
    pong: Option<Vec<u8>>,
    /// A pong or a close waits for room in the socket, which reading sees to as well.
    is_control_waiting: bool,
    /// The WebSocket is closed, or its stream ended: nothing more is read.
    is_at_end: bool,
    /// Our close is said: nothing follows it.
    is_closed: bool,
}

impl WebSocketIo {
    /// Goes on behind the upgrade, with the octets that were read beyond it.
    pub(crate) fn new(io: BoxedStream, read_ahead: &[u8], side: Side, max_message_size: usize) -> Self {
        Self {
            io,
            side,
            incoming: Incoming::new(side, max_message_size),
            input: BytesMut::from(read_ahead),
            output: BytesMut::new(),
            masks: Masks::default(),
            pong: None,
            is_control_waiting: false,
            is_at_end: false,
            is_closed: false,
        }
    }

    /// Waits for octets of the stream below.
    fn poll_refill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.reserve(READ_BUFFER);
        if ready!(pin!(self.io.read_buf(&mut self.input)).poll(cx))? == 0 {
            self.is_at_end = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts one frame behind what waits already.
    fn push<'a>(&mut self, opcode: Opcode, pieces: impl Iterator<Item = &'a [u8]> + Clone) -> io::Result<()> {
        let mask = match self.side {
            Side::Client => Some(self.masks.next()?),
            Side::Listener => None,
        };
        frame::push(&mut self.output, opcode, mask, pieces);
        Ok(())
    }

    /// Writes what waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits, a pong that is owed behind it, and flushes the stream below.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if let Some(said) = self.pong.take().filter(|_| !self.is_closed) {
            self.push(Opcode::Pong, std::iter::once(&said[..]))?;
            ready!(self.poll_drain(cx))?;
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.is_control_waiting = false;
        Poll::Ready(Ok(()))
    }

    /// Writes control frames as far as the socket takes them at once.
    fn hurry(&mut self, cx: &mut Context<'_>) {
        self.is_control_waiting = true;
        // A stream that is broken says so to whoever reads or writes next.
        let _ = self.poll_rest(cx);
    }

    fn close(&mut self, code: &[u8], reason: &str) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        self.is_closed = true;
        self.push(Opcode::Close, [code, reason.as_bytes()].into_iter())
    }

    // WS-006: without AMQP's own close before it, this is a loss as the end of a socket is.
    fn take_close(&mut self, cx: &mut Context<'_>, payload: &[u8]) -> io::Result<()> {
        if let Err(fault) = check_close(payload) {
            return self.give_up(cx, fault);
        }
        self.is_at_end = true;
        self.close(payload.get(..2).unwrap_or_default(), "")?;
        self.hurry(cx);
        Ok(())
    }

    /// Tells the peer what it did, as far as the socket takes that at once.
    fn give_up(&mut self, cx: &mut Context<'_>, fault: Fault) -> io::Result<()> {
        self.is_at_end = true;
        self.close(&fault.code.to_be_bytes(), fault.what)?;
        self.hurry(cx);
        let what = match fault.code {
            PROTOCOL_ERROR => format!("the peer broke the WebSocket protocol: {}", fault.what),
            _ => fault.what.to_owned(),
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }

    /// Takes one message over once there is room for it.
    fn poll_send<'a>(
        &mut self,
        cx: &mut Context<'_>,
        pieces: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Poll<io::Result<usize>> {
        if self.output.len() >= MESSAGE {
            ready!(self.poll_drain(cx))?;
        }
        if self.is_at_end || self.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = pieces.scan(MESSAGE, |room, piece: &[u8]| {
            let piece = piece.get(..piece.len().min(*room)).unwrap_or_default();
            *room = room.saturating_sub(piece.len());
            Some(piece)
        });
        let count = room.clone().map(<[u8]>::len).sum();
        self.push(Opcode::Binary, room)?;
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for WebSocketIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_control_waiting {
            this.hurry(cx);
        }
        let before = buf.filled().len();
        for _ in 0..STOPS {
            if this.is_at_end {
                return Poll::Ready(Ok(()));
            }
            match this.incoming.read(&mut this.input, buf) {
                Ok(Stop::Empty) if buf.filled().len() == before => ready!(this.poll_refill(cx))?,
                Ok(Stop::Empty | Stop::Full) => return Poll::Ready(Ok(())),
                // WS-007: only the last of several needs its answer (RFC 6455 §5.5.3).
                Ok(Stop::Ping(said)) => {
                    this.pong = Some(said);
                    this.hurry(cx);
                }
                Ok(Stop::Close(payload)) => this.take_close(cx, &payload)?,
                // It is found again once what came before it is taken.
                Err(_) if buf.filled().len() > before => return Poll::Ready(Ok(())),
                Err(fault) => return Poll::Ready(this.give_up(cx, fault)),
            }
        }
        if buf.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncWrite for WebSocketIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, std::iter::once(buf))
    }

    // WS-004: what is written at once travels in one message, whatever its pieces.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, bufs.iter().map(|buf| &**buf))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_rest(cx)
    }

    // WS-006: the closing handshake begins here; the peer's half of it is the end that is read.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.close(&frame::NORMAL.to_be_bytes(), "")?;
        ready!(this.poll_rest(cx))?;
        // RFC 6455 §7.1.1: the server ends the stream below; a client waits for that.
        match this.side {
            Side::Listener => Pin::new(&mut this.io).poll_shutdown(cx),
            Side::Client => Poll::Ready(Ok(())),
        }
    }
}

/// Random masks, drawn many at once: each draw is a call to the system.
#[derive(Default)]
struct Masks {
    octets: [[u8; 4]; MASKS],
    left: usize,
}

impl Masks {
    fn next(&mut self) -> io::Result<Mask> {
        if self.left == 0 {
            random::fill(self.octets.as_flattened_mut())
                .ok_or_else(|| io::Error::other("there are no random numbers"))?;
            self.left = MASKS;
        }
        self.left = self.left.saturating_sub(1);
        Ok(Mask(self.octets.get(self.left).copied().unwrap_or_default()))
    }
}

/// The code of a close that blames the peer's frames.
const PROTOCOL_ERROR: u16 = Fault::protocol("").code;
/// Octets of the largest message we send, and of what is gathered before it is written.
const MESSAGE: usize = 64 * 1024;
/// Octets read at once.
const READ_BUFFER: usize = 16 * 1024;
/// Reads and control frames of one poll before other tasks have their turn.
const STOPS: usize = 64;
/// Masks drawn at once.
const MASKS: usize = 32;
