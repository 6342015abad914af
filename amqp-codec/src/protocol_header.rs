//! The eight octets before everything else (AMQP 1.0 §2.2).

use nom::{
    IResult, Parser,
    bytes::complete::{tag, take},
    combinator::map_opt,
    error::Error as NomError,
};

use crate::error::{DecodeError, DecodeErrorKind};

/// A protocol header: which layer is to be spoken, and in which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProtocolHeader {
    /// The layer.
    pub id: ProtocolId,
    /// The major version.
    pub major: u8,
    /// The minor version.
    pub minor: u8,
    /// The revision.
    pub revision: u8,
}

/// A layer that a protocol header can announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtocolId {
    /// AMQP frames (0).
    Amqp,
    /// TLS (2).
    Tls,
    /// SASL frames (3).
    Sasl,
}

impl ProtocolId {
    /// The octet.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Amqp => 0,
            Self::Tls => 2,
            Self::Sasl => 3,
        }
    }

    const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            0 => Some(Self::Amqp),
            2 => Some(Self::Tls),
            3 => Some(Self::Sasl),
            _ => None,
        }
    }
}

impl ProtocolHeader {
    /// AMQP 1.0.0.
    pub const AMQP: Self = Self::of(ProtocolId::Amqp);
    /// TLS below AMQP 1.0.0.
    pub const TLS: Self = Self::of(ProtocolId::Tls);
    /// SASL below AMQP 1.0.0.
    pub const SASL: Self = Self::of(ProtocolId::Sasl);

    /// Octets of a header.
    pub const LEN: usize = 8;

    const fn of(id: ProtocolId) -> Self {
        Self { id, major: 1, minor: 0, revision: 0 }
    }

    /// Reads a header of a version that this crate speaks.
    ///
    /// # Errors
    /// [`DecodeErrorKind::NotProtocolHeader`] if the octets are something else, and
    /// [`DecodeErrorKind::UnsupportedProtocol`], with what was offered, for other ids and versions.
    pub fn parse(octets: &[u8; Self::LEN]) -> Result<Self, DecodeError> {
        let fail = |kind| DecodeError { kind, offset: 0, what: "protocol header" };
        // F-001: "AMQP", id, major, minor, revision.
        let (_, [id, major, minor, revision]) =
            fields(octets).map_err(|_| fail(DecodeErrorKind::NotProtocolHeader))?;
        match (ProtocolId::from_octet(id), major, minor, revision) {
            (Some(id), 1, 0, 0) => Ok(Self { id, major, minor, revision }),
            _ => Err(fail(DecodeErrorKind::UnsupportedProtocol { id, major, minor, revision })),
        }
    }

    /// The octets.
    pub const fn encode(&self) -> [u8; Self::LEN] {
        [b'A', b'M', b'Q', b'P', self.id.octet(), self.major, self.minor, self.revision]
    }
}

impl core::fmt::Display for ProtocolHeader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = match self.id {
            ProtocolId::Amqp => "AMQP",
            ProtocolId::Tls => "TLS",
            ProtocolId::Sasl => "SASL",
        };
        write!(f, "{name} {}.{}.{}", self.major, self.minor, self.revision)
    }
}

fn fields(input: &[u8]) -> IResult<&[u8], [u8; 4], NomError<&[u8]>> {
    let (input, _) = tag(&b"AMQP"[..]).parse(input)?;
    map_opt(take(4_usize), |octets: &[u8]| octets.first_chunk().copied()).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_others_say_what_they_are() {
        for header in [ProtocolHeader::AMQP, ProtocolHeader::TLS, ProtocolHeader::SASL] {
            assert_eq!(ProtocolHeader::parse(&header.encode()), Ok(header));
        }
        assert_eq!(
            ProtocolHeader::parse(b"GET / HT").map_err(|e| e.kind),
            Err(DecodeErrorKind::NotProtocolHeader)
        );
        assert_eq!(
            ProtocolHeader::parse(b"AMQP\x00\x00\x09\x01").map_err(|e| e.kind),
            Err(DecodeErrorKind::UnsupportedProtocol { id: 0, major: 0, minor: 9, revision: 1 })
        );
    }
}
