//! The head of an HTTP/1.1 message, as far as a proxy's answer and a WebSocket's upgrade need it.
//!
//! Owns the bounds on what is read of it. It reads no body, folds no lines and knows no other version.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::handle::stream::Spoken;

/// A head that was read whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// The request line or status line.
    pub(crate) first: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

/// Why a head could not be read.
#[derive(Debug)]
pub(crate) enum HeadError {
    TooLong,
    /// The peer speaks another protocol.
    #[cfg_attr(
        not(feature = "websocket"),
        expect(dead_code, reason = "a proxy is not told what to speak instead")
    )]
    NotHttp(Spoken),
    Malformed(&'static str),
    Lost(io::Error),
}

impl<'a> Head<'a> {
    /// Reads a head without the empty line behind it.
    pub(crate) fn parse(octets: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(octets).map_err(|_| "a head that is no text")?;
        if text.chars().any(|character| character.is_control() && !matches!(character, '\r' | '\n' | '\t')) {
            return Err("a control character in the head");
        }
        let mut lines = text.split("\r\n");
        let first = lines.next().filter(|line| !line.is_empty()).ok_or("no first line")?;
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or("a line without a field name")?;
            if name.is_empty() || name.contains([' ', '\t', '\r', '\n']) {
                return Err("a malformed field name");
            }
            if value.contains(['\r', '\n']) {
                return Err("a line that ends in half");
            }
            if fields.len() >= MAX_FIELDS {
                return Err("too many fields");
            }
            fields.push((name, value.trim()));
        }
        if first.contains(['\r', '\n']) {
            Err("a line that ends in half")
        } else {
            Ok(Self { first, fields })
        }
    }

    /// The status of a response; its reason is for people.
    pub(crate) fn status(&self) -> Result<u16, &'static str> {
        let mut parts = self.first.split(' ');
        if !matches!(parts.next(), Some("HTTP/1.1" | "HTTP/1.0")) {
            return Err("it is no HTTP/1.1 response");
        }
        let status = parts.next().filter(|text| text.len() == 3).and_then(|text| text.parse().ok());
        status.filter(|status| (100..600).contains(status)).ok_or("it has no status")
    }
}

#[cfg_attr(
    not(any(test, feature = "websocket")),
    expect(dead_code, reason = "a proxy's answer is its status alone")
)]
impl<'a> Head<'a> {
    /// The value of a field that comes once.
    pub(crate) fn field(&self, name: &str) -> Result<Option<&'a str>, &'static str> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err("a field came twice"),
        }
    }

    /// The elements of a list, whether in one field or in several.
    pub(crate) fn list(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values(name).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }

    /// Whether a list has an element, whatever the case.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|item| item.eq_ignore_ascii_case(token))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// Reads until a head is whole, and takes it out of the buffer; what came behind it stays there.
pub(crate) async fn read_head<IO>(io: &mut IO, buffer: &mut BytesMut) -> Result<BytesMut, HeadError>
where
    IO: AsyncRead + Unpin,
{
    let mut seen = 0;
    loop {
        let start = usize::saturating_sub(seen, END.len());
        let found = buffer.get(start..).and_then(|new| new.windows(END.len()).position(|four| four == END));
        if let Some(at) = found.map(|at| start.saturating_add(at)) {
            if at > MAX_HEAD {
                return Err(HeadError::TooLong);
            }
            let mut head = buffer.split_to(at.saturating_add(END.len()));
            head.truncate(at);
            return Ok(head);
        }
        if buffer.len() > MAX_HEAD {
            return Err(HeadError::TooLong);
        }
        // Not waited for: such a peer may wait for us as well.
        if let spoken @ (Spoken::Amqp { .. } | Spoken::Tls) = Spoken::recognise(buffer) {
            return Err(HeadError::NotHttp(spoken));
        }
        seen = buffer.len();
        buffer.reserve(READ_AT_ONCE);
        let read = io.read_buf(buffer).await.map_err(HeadError::Lost)?;
        if read == 0 {
            return Err(match buffer.is_empty() {
                true => HeadError::Lost(io::ErrorKind::UnexpectedEof.into()),
                false => HeadError::Malformed("it ends within its head"),
            });
        }
    }
}

/// Octets of the longest head that is read.
pub(crate) const MAX_HEAD: usize = 8 * 1024;
/// Fields of the longest head that is read.
const MAX_FIELDS: usize = 64;
const READ_AT_ONCE: usize = 1024;
const END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn a_head_is_read_by_the_letter() {
        let head =
            Head::parse(b"HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\nX:\r\nConnection: a, Upgrade\r\n");
        assert_eq!(head, Err("a line without a field name"));
        let head =
            Head::parse(b"HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\nX:\r\nConnection: a, Upgrade");
        let head = head.unwrap();
        assert_eq!(head.status(), Ok(101));
        assert!(head.has_token("connection", "upgrade") && !head.has_token("upgrade", "web"));
        assert_eq!((head.field("x"), head.field("y")), (Ok(Some("")), Ok(None)));
        for wrong in [
            &b""[..],
            b"\r\nA: b",
            b"HTTP/1.1 200 OK\r\n folded: x",
            b"HTTP/1.1 200 OK\r\nA b: x",
            b"HTTP/1.1 200 OK\r\nA: x\ny",
            b"HTTP/1.1 200 OK\nA: x",
            b"HTTP/1.1 200 OK\r\nA: \x00",
            b"HTTP/1.1 200 \xff",
        ] {
            assert!(Head::parse(wrong).is_err(), "{}", wrong.escape_ascii());
        }
        for wrong in ["HTTP/2 200", "HTTP/1.1", "HTTP/1.1 2000 OK", "HTTP/1.1 abc", "SSH-2.0 200"] {
            assert!(Head::parse(wrong.as_bytes()).unwrap().status().is_err(), "{wrong}");
        }
        assert!(Head::parse(b"G\r\nA: 1\r\na: 2").unwrap().field("A").is_err());
        let many = format!("G{}", "\r\nA: b".repeat(MAX_FIELDS + 1));
        assert_eq!(Head::parse(many.as_bytes()), Err("too many fields"));
    }

    #[tokio::test]
    async fn a_head_is_found_however_it_is_cut_and_the_rest_stays() {
        for chunk in [1, 3, 100] {
            let (mut near, mut far) = tokio::io::duplex(64);
            let writing = tokio::spawn(async move {
                for piece in b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nrest".chunks(chunk) {
                    far.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                far
            });
            let mut buffer = BytesMut::new();
            let head = read_head(&mut near, &mut buffer).await.unwrap();
            assert_eq!(head, &b"HTTP/1.1 200 OK\r\nA: b"[..]);
            assert!(b"rest".starts_with(&buffer));
            drop(writing.await);
        }
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_given_up() {
        let (mut near, mut far) = tokio::io::duplex(MAX_HEAD * 2);
        far.write_all(&vec![b'a'; MAX_HEAD + 10]).await.unwrap();
        assert!(matches!(read_head(&mut near, &mut BytesMut::new()).await, Err(HeadError::TooLong)));
        let (mut near, mut far) = tokio::io::duplex(64);
        far.write_all(b"HTTP/1.1 200").await.unwrap();
        drop(far);
        let cut = read_head(&mut near, &mut BytesMut::new()).await;
        assert!(matches!(cut, Err(HeadError::Malformed(_))));
        let (mut near, far) = tokio::io::duplex(64);
        drop(far);
        assert!(matches!(read_head(&mut near, &mut BytesMut::new()).await, Err(HeadError::Lost(_))));
    }
}
