//! The first bytes of a stream, kept to tell a person what the peer speaks when it is not what was expected.
//!
//! Owns the wrapper around every socket; it never changes, delays or holds back a byte.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a peer's first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spoken {
    /// The stream ended before a byte came.
    Nothing,
    /// An AMQP protocol header, with its protocol id and version.
    Amqp {
        /// 0 AMQP, 2 TLS, 3 SASL (`AMQP 1.0 §2.2`).
        id: u8,
        /// Major, minor, revision.
        version: [u8; 3],
    },
    /// A TLS record.
    Tls,
    /// A line of HTTP.
    Http,
    /// Something else: the first bytes, zeros after the end.
    Other([u8; 8]),
}

impl Spoken {
    /// Recognises a protocol by up to eight first bytes.
    #[must_use]
    pub fn recognise(first: &[u8]) -> Self {
        match first {
            [] => Self::Nothing,
            [b'A', b'M', b'Q', b'P', rest @ ..] => {
                let at = |index: usize| rest.get(index).copied().unwrap_or_default();
                // AMQP 0-9-1 has 0, 0, 9, 1 here; anything before 1.0 is told apart by its version.
                Self::Amqp { id: at(0), version: [at(1), at(2), at(3)] }
            }
            // A TLS record: content type alert or handshake, then major version 3.
            [0x15 | 0x16, 0x03, ..] | [0x15 | 0x16] => Self::Tls,
            _ if HTTP_STARTS.iter().any(|start| first.starts_with(start)) => Self::Http,
            _ => {
                let mut bytes = [0; 8];
                for (to, from) in bytes.iter_mut().zip(first) {
                    *to = *from;
                }
                Self::Other(bytes)
            }
        }
    }
}

impl std::fmt::Display for Spoken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Amqp { id: 0, version: [1, 0, 0] } => f.write_str("plain AMQP 1.0"),
            Self::Amqp { id: 3, version: [1, 0, 0] } => f.write_str("plain AMQP 1.0 (SASL)"),
            Self::Amqp { id: 2, version: [1, 0, 0] } => f.write_str("AMQP 1.0 asking to start TLS in band"),
            Self::Amqp { id, version: [major, minor, revision] } => {
                write!(f, "AMQP protocol {id} version {major}.{minor}.{revision}")
            }
            Self::Tls => f.write_str("TLS"),
            Self::Http => f.write_str("HTTP"),
            Self::Other(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
        }
    }
}

/// A stream that remembers its first eight incoming bytes.
#[derive(Debug)]
pub(crate) struct FirstBytes<IO> {
    io: IO,
    first: [u8; 8],
    seen: u8,
}

impl<IO> FirstBytes<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self { io, first: [0; 8], seen: 0 }
    }

    pub(crate) fn spoken(&self) -> Spoken {
        Spoken::recognise(self.first.get(..usize::from(self.seen)).unwrap_or_default())
    }

    fn remember(&mut self, bytes: &[u8]) {
        let room = self.first.iter_mut().skip(usize::from(self.seen));
        let mut kept = 0;
        for (to, from) in room.zip(bytes) {
            *to = *from;
            kept += 1;
        }
        self.seen = self.seen.saturating_add(kept);
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for FirstBytes<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.io).poll_read(cx, buf);
        if usize::from(this.seen) < this.first.len() {
            this.remember(buf.filled().get(before..).unwrap_or_default());
        }
        result
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for FirstBytes<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

const HTTP_STARTS: &[&[u8]] = &[b"GET ", b"POST", b"PUT ", b"HEAD", b"HTTP", b"CONN", b"OPTI", b"PRI "];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_the_peer_speaks() {
        assert_eq!(Spoken::recognise(b"AMQP\x00\x01\x00\x00").to_string(), "plain AMQP 1.0");
        assert_eq!(Spoken::recognise(b"AMQP\x00\x00\x09\x01").to_string(), "AMQP protocol 0 version 0.9.1");
        assert_eq!(Spoken::recognise(&[0x16, 3, 1, 0, 5]), Spoken::Tls);
        assert_eq!(Spoken::recognise(b"GET / HT"), Spoken::Http);
        assert_eq!(Spoken::recognise(b""), Spoken::Nothing);
        assert_eq!(Spoken::recognise(b"SSH-2.0-").to_string(), "\"SSH-2.0-\"");
    }

    #[tokio::test]
    async fn remembers_bytes_that_come_one_by_one() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = FirstBytes::new(near);
        far.write_all(b"AMQP\x03\x01\x00\x00rest").await.unwrap();
        let mut byte = [0];
        for _ in 0..12 {
            near.read_exact(&mut byte).await.unwrap();
        }
        assert_eq!(near.spoken(), Spoken::Amqp { id: 3, version: [1, 0, 0] });
    }
}
