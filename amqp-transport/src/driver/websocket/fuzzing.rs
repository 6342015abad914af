//! What must hold of WebSockets whatever a peer sends: no panic, an end within bounds, no more written than there is
//! reason for. For fuzzing and for tests over recorded inputs; no part of the stable interface.
#![expect(clippy::panic, reason = "a broken rule is reported by panicking")]

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Accepted, Subprotocol, WebSocketIo, upgrade};
use crate::client::{Proxy, WebSocketOptions};
use crate::driver::http_head::Head;
use crate::driver::proxy;
use crate::engine::Side;
use crate::server::WebSocketAccept;

/// The upgrade of both sides, a proxy's answer, and the frames of both sides read `data`.
///
/// # Panics
/// When a rule does not hold.
pub fn fuzz_websocket(data: &[u8]) {
    if let Ok(head) = Head::parse(data) {
        let both = [Subprotocol::Amqp, Subprotocol::AmqpWsb10];
        let answer = upgrade::respond(&head, &WebSocketAccept::new());
        assert!(answer.text.ends_with("\r\n\r\n") && answer.text.len() < 512, "{:?}", answer.text);
        let is_granted = answer.text.starts_with("HTTP/1.1 101 ");
        assert_eq!(is_granted, answer.refused.is_none(), "granted and refused at once");
        let _ = upgrade::check_response(&head, KEY, &both);
    }
    for chunk in [usize::MAX, 1, 7] {
        for side in [Side::Client, Side::Listener] {
            let (stream, _written) = Scripted::new(data, chunk);
            frames(WebSocketIo::new(Box::new(stream), &[], side, LIMIT), data.len());
        }
        let options = WebSocketAccept::new().max_message_size(LIMIT);
        let (stream, _written) = Scripted::new(data, chunk);
        if let Ok(Accepted::WebSocket(io)) = ready(super::accept(Box::new(stream), &options)) {
            frames(*io, data.len());
        }
        let (stream, _written) = Scripted::new(data, chunk);
        let asked = ready(super::connect(Box::new(stream), &WebSocketOptions::new("/"), "host"));
        assert!(asked.is_err(), "a key that nobody knew was answered");
        let (stream, written) = Scripted::new(data, chunk);
        if let Ok(proxy) = Proxy::new("proxy", 3128) {
            let _ = ready(proxy::connect(Box::new(stream), &proxy, "host", 5671));
        }
        assert!(written.load(Ordering::Relaxed) < 512, "a request without end");
    }
}

/// Reads to the end, writing a little after each piece, and closes.
fn frames(mut io: WebSocketIo, size: usize) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut buffer = [0; 1_024];
    let mut read = 0;
    for _ in 0..=4 * size + 64 {
        let mut room = ReadBuf::new(&mut buffer);
        match Pin::new(&mut io).poll_read(&mut cx, &mut room) {
            Poll::Ready(Ok(())) if room.filled().is_empty() => break,
            Poll::Ready(Ok(())) => read += room.filled().len(),
            Poll::Ready(Err(_)) => break,
            // It gave others their turn.
            Poll::Pending => {}
        }
        let _ = Pin::new(&mut io).poll_write(&mut cx, b"AMQP");
        let _ = Pin::new(&mut io).poll_flush(&mut cx);
    }
    assert!(read <= size, "{read} octets out of {size}");
    let mut room = ReadBuf::new(&mut buffer);
    let again = Pin::new(&mut io).poll_read(&mut cx, &mut room);
    assert!(matches!(again, Poll::Ready(Ok(()))) && room.filled().is_empty(), "it goes on after its end");
    assert!(Pin::new(&mut io).poll_shutdown(&mut cx).is_ready(), "closing waits for nobody here");
}

/// The result of what never has to wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits although everything is there"),
    }
}

/// A peer that has said all it will ever say, and takes whatever it is told.
struct Scripted {
    left: Vec<u8>,
    at: usize,
    chunk: usize,
    written: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(data: &[u8], chunk: usize) -> (Self, Arc<AtomicUsize>) {
        let written = Arc::new(AtomicUsize::new(0));
        (Self { left: data.to_vec(), at: 0, chunk, written: Arc::clone(&written) }, written)
    }
}

impl AsyncRead for Scripted {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = this.left.get(this.at..).unwrap_or_default();
        let count = rest.len().min(buf.remaining()).min(this.chunk);
        buf.put_slice(rest.get(..count).unwrap_or_default());
        this.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written.fetch_add(buf.len(), Ordering::Relaxed);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Octets of the largest message taken here.
const LIMIT: usize = 4_096;
