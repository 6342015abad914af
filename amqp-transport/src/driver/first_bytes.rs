//! A stream that keeps its first bytes, to tell what the peer speaks when it is not TLS.
//!
//! It never changes, delays or holds back a byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::stream::writes_go_on;
use crate::handle::stream::Spoken;

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

writes_go_on!(FirstBytes<IO>, IO);

#[cfg(test)]
mod tests {
    use super::*;

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
