//! What a peer speaks, told from its first bytes when it is not what was expected.

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
}
