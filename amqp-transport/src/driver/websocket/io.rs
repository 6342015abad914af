//! A stream of octets over a WebSocket's binary messages.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig, WebSocketContext};

use super::super::stream::BoxedStream;

/// A WebSocket whose upgrade is through. It is polled by one task alone.
pub(crate) struct WebSocketIo {
    io: BoxedStream,
    context: WebSocketContext,
    role: Role,
    /// What is left of the message being read.
    incoming: Bytes,
    /// The WebSocket is closed, or its stream ended: nothing more is read.
    is_at_end: bool,
    /// Octets taken over by the library wait for room in the socket.
    is_blocked: bool,
    is_closing: bool,
    /// What raises the limit on messages, and to how many octets.
    raise: Option<(Arc<AtomicBool>, usize)>,
}

impl WebSocketIo {
    /// Goes on behind the upgrade, with the octets that were read beyond it.
    pub(crate) fn new(io: BoxedStream, read_ahead: &[u8], role: Role, max_message_size: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(MESSAGE)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(max_message_size))
            .max_frame_size(Some(max_message_size));
        let context = WebSocketContext::from_partially_read(read_ahead.to_vec(), role, Some(config));
        let incoming = Bytes::new();
        Self {
            io,
            context,
            role,
            incoming,
            is_at_end: false,
            is_blocked: false,
            is_closing: false,
            raise: None,
        }
    }

    /// Takes messages of up to `max_message_size` octets once `opened` is set.
    pub(crate) fn raised_when(mut self, opened: Arc<AtomicBool>, max_message_size: usize) -> Self {
        self.raise = Some((opened, max_message_size));
        self
    }

    fn raise_limit(&mut self) {
        let is_opened = |(opened, _): &mut (Arc<AtomicBool>, usize)| opened.load(Ordering::Relaxed);
        if let Some((_, limit)) = self.raise.take_if(is_opened) {
            self.context.set_config(|config| {
                config.max_message_size = Some(limit);
                config.max_frame_size = Some(limit);
            });
        }
    }

    /// The library's context, and the stream as it wants it.
    fn parts<'a, 'b>(&'a mut self, cx: &'a mut Context<'b>) -> (&'a mut WebSocketContext, Polled<'a, 'b>) {
        (&mut self.context, Polled { io: &mut self.io, cx })
    }

    /// Waits for the next octets; none at the end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.raise_limit();
        for _ in 0..MESSAGES {
            if self.is_at_end || !self.incoming.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let (context, mut stream) = self.parts(cx);
            match context.read(&mut stream) {
                // WS-003, WS-004; WS-008: an empty one carries nothing.
                Ok(Message::Binary(octets)) => self.incoming = octets,
                // WS-003
                Ok(Message::Text(_)) => {
                    return self.give_up(cx, CloseCode::Unsupported, "the peer sent a text message");
                }
                // WS-007: answered by the library, and no traffic of AMQP's.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                // WS-006: without AMQP's own close before it, this is a loss as the end of a socket is.
                Ok(Message::Close(_)) => {
                    let (context, mut stream) = self.parts(cx);
                    // The answer is on its way, or the peer has gone.
                    let _ = context.flush(&mut stream);
                    self.is_at_end = true;
                }
                Err(error) => match sorted(error) {
                    Fault::Blocked => return Poll::Pending,
                    Fault::End => self.is_at_end = true,
                    Fault::Io(error) => return Poll::Ready(Err(error)),
                    Fault::Peer(code, what) => return self.give_up(cx, code, &what),
                },
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells the peer what it did, as far as the socket takes that at once.
    fn give_up(&mut self, cx: &mut Context<'_>, code: CloseCode, what: &str) -> Poll<io::Result<()>> {
        self.is_at_end = true;
        let (context, mut stream) = self.parts(cx);
        let frame = CloseFrame { code, reason: what.to_owned().into() };
        // The connection is given up whether or not the peer hears why.
        let _ = context.close(&mut stream, Some(frame));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)))
    }

    /// Hands one message to the library once it has nothing waiting.
    fn poll_send(&mut self, cx: &mut Context<'_>, octets: impl FnOnce() -> Bytes) -> Poll<io::Result<usize>> {
        if self.is_blocked && self.poll_rest(cx)?.is_pending() {
            return Poll::Pending;
        }
        if self.is_at_end || !self.context.can_write() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let octets = octets();
        let count = octets.len();
        let (context, mut stream) = self.parts(cx);
        match context.write(&mut stream, Message::Binary(octets)).map_err(sorted) {
            Ok(()) => {}
            // Taken all the same: it leaves when there is room.
            Err(Fault::Blocked) => self.is_blocked = true,
            Err(fault) => return Poll::Ready(Err(fault.into_io())),
        }
        Poll::Ready(Ok(count))
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (context, mut stream) = self.parts(cx);
        match context.flush(&mut stream).map_err(sorted) {
            Ok(()) | Err(Fault::End) => {
                self.is_blocked = false;
                Poll::Ready(Ok(()))
            }
            Err(Fault::Blocked) => Poll::Pending,
            Err(fault) => Poll::Ready(Err(fault.into_io())),
        }
    }
}

impl AsyncRead for WebSocketIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poll_message(cx)?.is_pending() {
            return Poll::Pending;
        }
        let count = this.incoming.len().min(buf.remaining());
        buf.put_slice(this.incoming.get(..count).unwrap_or_default());
        this.incoming.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocketIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let piece = buf.get(..buf.len().min(MESSAGE)).unwrap_or_default();
        self.get_mut().poll_send(cx, || Bytes::copy_from_slice(piece))
    }

    // WS-004: what is written at once travels in one message, whatever its pieces.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, || {
            let mut message =
                BytesMut::with_capacity(bufs.iter().map(|buf| buf.len()).sum::<usize>().min(MESSAGE));
            for buf in bufs {
                let room = MESSAGE.saturating_sub(message.len());
                message.extend_from_slice(buf.get(..buf.len().min(room)).unwrap_or_default());
            }
            message.freeze()
        })
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
        if !this.is_closing {
            this.is_closing = true;
            let (context, mut stream) = this.parts(cx);
            let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            match context.close(&mut stream, Some(frame)).map_err(sorted) {
                Ok(()) | Err(Fault::End | Fault::Blocked) => {}
                Err(fault) => return Poll::Ready(Err(fault.into_io())),
            }
        }
        if this.poll_rest(cx)?.is_pending() {
            return Poll::Pending;
        }
        // RFC 6455 §7.1.1: the server ends the stream below; a client waits for that.
        match this.role {
            Role::Server => Pin::new(&mut this.io).poll_shutdown(cx),
            Role::Client => Poll::Ready(Ok(())),
        }
    }
}

/// A stream for a library that reads and writes without waiting: what is not there at once would block.
struct Polled<'a, 'b> {
    io: &'a mut BoxedStream,
    cx: &'a mut Context<'b>,
}

impl Read for Polled<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        match Pin::new(&mut *self.io).poll_read(self.cx, &mut buf) {
            Poll::Ready(read) => read.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.io).poll_write(self.cx, buf) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match Pin::new(&mut *self.io).poll_flush(self.cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// What an error of the library's means.
enum Fault {
    Blocked,
    /// Closed in good order, or the stream ended: the engine tells which it was.
    End,
    Io(io::Error),
    /// The peer broke the protocol: the code that tells it so, and our words.
    Peer(CloseCode, String),
}

impl Fault {
    fn into_io(self) -> io::Error {
        match self {
            Self::Blocked => io::ErrorKind::WouldBlock.into(),
            Self::End => io::ErrorKind::BrokenPipe.into(),
            Self::Io(error) => error,
            Self::Peer(_, what) => io::Error::new(io::ErrorKind::InvalidData, what),
        }
    }
}

fn sorted(error: tungstenite::Error) -> Fault {
    use tungstenite::Error;
    use tungstenite::error::ProtocolError;
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => Fault::Blocked,
        Error::Io(error) => Fault::Io(error),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Fault::End,
        Error::Capacity(error) => {
            Fault::Peer(CloseCode::Size, format!("the peer's WebSocket message is too large: {error}"))
        }
        Error::Utf8(_) => Fault::Peer(CloseCode::Invalid, "the peer sent a text that is none".to_owned()),
        error => Fault::Peer(CloseCode::Protocol, format!("the peer broke the WebSocket protocol: {error}")),
    }
}

/// Octets of the largest message we send, and of what the library gathers before it writes.
const MESSAGE: usize = 64 * 1024;
/// Octets the library may hold: what it gathers, one message more, and control frames.
const MAX_WRITE_BUFFER: usize = 4 * MESSAGE;
/// Octets read at once.
const READ_BUFFER: usize = 16 * 1024;
/// Messages looked at before other tasks have their turn.
const MESSAGES: usize = 64;
