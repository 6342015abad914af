//! A stream under TLS that is read in large pieces.
//!
//! Owns the octets that came and that TLS has not asked for. TLS asks for four KiB at a time, which is a system call for
//! each quarter of a record; what is here saves all but one of sixteen. It never delays an octet, and keeps no memory
//! while little comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::stream::writes_go_on;
use super::task::poll_read_into;

/// A stream that takes all that is there, once there is more than it was asked for.
#[derive(Debug)]
pub(crate) struct ReadAhead<IO> {
    io: IO,
    ahead: BytesMut,
    /// Reads that may yet give little before the memory is given back; none while there is no memory.
    patience: u8,
}

impl<IO> ReadAhead<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self { io, ahead: BytesMut::new(), patience: 0 }
    }
}

impl<IO: AsyncRead + Unpin> ReadAhead<IO> {
    /// Reads into the caller's buffer; one that is filled asks for reading ahead.
    fn poll_directly(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.remaining() == 0 {
            self.patience = PATIENCE;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.ahead.reserve(AHEAD);
        let count = ready!(poll_read_into(Pin::new(&mut self.io), cx, &mut self.ahead))?;
        self.patience = if count > LITTLE { PATIENCE } else { self.patience.saturating_sub(1) };
        Poll::Ready(Ok(count))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ReadAhead<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if this.patience == 0 {
                return this.poll_directly(cx, buf);
            }
            ready!(this.poll_fill(cx))?;
        }
        let count = this.ahead.len().min(buf.remaining());
        buf.put_slice(this.ahead.get(..count).unwrap_or_default());
        this.ahead.advance(count);
        if this.ahead.is_empty() && this.patience == 0 {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

writes_go_on!(ReadAhead<IO>, IO);

/// Octets read at once, where there are so many.
const AHEAD: usize = 64 * 1024;
/// A read of no more than this needs no memory of its own.
const LITTLE: usize = 4 * 1024;
/// How many such reads in a row give the memory back.
const PATIENCE: u8 = 8;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn octets_come_in_order_whatever_is_asked_for() {
        let (near, mut far) = tokio::io::duplex(100_000);
        let mut near = ReadAhead::new(near);
        let sent: Vec<u8> = (0..90_000_u32).map(|at| at.to_be_bytes()[3] ^ at.to_be_bytes()[2]).collect();
        far.write_all(&sent).await.unwrap();
        drop(far);
        let mut got = Vec::new();
        for size in [1, 7, 4_096, 1_000, 4_096, 60_000].into_iter().cycle() {
            let mut piece = vec![0; size];
            let count = near.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            got.extend_from_slice(&piece[..count]);
        }
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn one_read_takes_all_that_is_there_once_more_is_there_than_was_asked_for() {
        let (near, mut far) = tokio::io::duplex(AHEAD);
        let mut near = ReadAhead::new(near);
        far.write_all(&[7; 30_000]).await.unwrap();
        let mut piece = [0; LITTLE];
        near.read_exact(&mut piece).await.unwrap();
        assert_eq!(near.ahead.len(), 0, "nobody knew that there is more");
        near.read_exact(&mut piece).await.unwrap();
        assert_eq!(near.ahead.len(), 30_000 - 2 * LITTLE);
    }

    #[tokio::test]
    async fn memory_is_given_back_when_little_comes() {
        let (near, mut far) = tokio::io::duplex(AHEAD);
        let mut near = ReadAhead::new(near);
        far.write_all(&[7; 30_000]).await.unwrap();
        let mut piece = [0; LITTLE];
        for _ in 0..7 {
            near.read_exact(&mut piece).await.unwrap();
        }
        assert_eq!(near.ahead.len(), 30_000 - 7 * LITTLE);
        near.read_exact(&mut piece[..30_000 - 7 * LITTLE]).await.unwrap();
        for _ in 0..PATIENCE {
            assert!(near.ahead.capacity() > 0);
            far.write_all(&[7; 100]).await.unwrap();
            assert_eq!(near.read(&mut piece).await.unwrap(), 100);
        }
        assert_eq!((near.ahead.capacity(), near.patience), (0, 0));
    }
}
