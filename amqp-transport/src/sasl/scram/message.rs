//! The grammar of SCRAM's messages (RFC 5802 §7), as far as it is used. Bounds are checked here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::bearer::read_saslname;
use super::{MAX_NONCE, MAX_SALT, MAX_USER, MIN_NONCE};

/// A message that is not what SCRAM says. Which part was wrong is told to nobody but our own side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed(pub(super) &'static str);

/// client-first-message, as a server reads it.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    /// `n,a=…,` as it came; repeated by `c=` later.
    pub(super) gs2_header: &'a str,
    pub(super) authzid: Option<String>,
    /// client-first-message-bare as it came, part of what is signed.
    pub(super) bare: &'a str,
    pub(super) user: String,
    pub(super) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let text = text(octets)?;
        let (flag, rest) = text.split_once(',').ok_or(Malformed("no gs2-header"))?;
        // `y`: the client could bind the channel and believes that we cannot, which is true.
        if flag != "n" && flag != "y" {
            return Err(Malformed("a channel binding that was not offered"));
        }
        let (authzid, bare) = rest.split_once(',').ok_or(Malformed("no gs2-header"))?;
        let header_length = text.len().saturating_sub(bare.len());
        let gs2_header = text.get(..header_length).ok_or(Malformed("no gs2-header"))?;
        let authzid = match authzid {
            "" => None,
            other => Some(name(other.strip_prefix("a=").ok_or(Malformed("an unknown gs2 attribute"))?)?),
        };
        let mut attributes = bare.split(',');
        let user = name(attribute(attributes.next(), "n=", "no user name")?)?;
        let nonce = read_nonce(attribute(attributes.next(), "r=", "no nonce")?)?;
        no_mandatory_extension(attributes)?;
        Ok(Self { gs2_header, authzid, bare, user, nonce })
    }
}

/// server-first-message, as a client reads it.
#[derive(Debug)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let mut attributes = text(octets)?.split(',');
        let nonce = read_nonce(attribute(attributes.next(), "r=", "no nonce")?)?;
        let salt = decode(attribute(attributes.next(), "s=", "no salt")?, MAX_SALT)?;
        if salt.is_empty() {
            return Err(Malformed("an empty salt"));
        }
        let iterations = attribute(attributes.next(), "i=", "no iteration count")?;
        if !iterations.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(Malformed("an iteration count that is no number"));
        }
        let iterations = iterations.parse().map_err(|_| Malformed("an iteration count that is no number"))?;
        no_mandatory_extension(attributes)?;
        Ok(Self { nonce, salt, iterations })
    }
}

/// client-final-message, as a server reads it.
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    /// What `c=` holds.
    pub(super) binding: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) proof: Vec<u8>,
    /// The message up to the proof, part of what is signed.
    pub(super) without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let text = text(octets)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Malformed("no proof"))?;
        let mut attributes = without_proof.split(',');
        let binding = decode(attribute(attributes.next(), "c=", "no channel binding")?, MAX_BINDING)?;
        let nonce = attribute(attributes.next(), "r=", "no nonce")?;
        no_mandatory_extension(attributes)?;
        Ok(Self { binding, nonce, proof: decode(proof, MAX_PROOF)?, without_proof })
    }
}

/// server-final-message, as a client reads it: the signature, or the server's word on what is wrong.
#[derive(Debug)]
pub(super) enum ServerFinal<'a> {
    Signature(Vec<u8>),
    Error(&'a str),
}

impl<'a> ServerFinal<'a> {
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let first = text(octets)?.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            return Ok(Self::Error(error));
        }
        let signature = first.strip_prefix("v=").ok_or(Malformed("neither a signature nor an error"))?;
        Ok(Self::Signature(decode(signature, MAX_PROOF)?))
    }
}

pub(super) fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

fn decode(text: &str, limit: usize) -> Result<Vec<u8>, Malformed> {
    // Four characters for three octets, looked at before anything is allocated.
    if text.len() / 4 > limit / 3 + 1 {
        return Err(Malformed("too long a field"));
    }
    STANDARD.decode(text).map_err(|_| Malformed("invalid base64"))
}

fn text(octets: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(octets).map_err(|_| Malformed("no utf-8"))
}

fn attribute<'a>(
    part: Option<&'a str>,
    key: &'static str,
    missing: &'static str,
) -> Result<&'a str, Malformed> {
    part.and_then(|part| part.strip_prefix(key)).ok_or(Malformed(missing))
}

fn name(escaped: &str) -> Result<String, Malformed> {
    if escaped.len() > MAX_USER {
        return Err(Malformed("too long a name"));
    }
    read_saslname(escaped).map_err(|_| Malformed("a malformed name"))
}

/// A nonce of printable ASCII (a comma cannot be in it any more), within its bounds.
pub(super) fn read_nonce(nonce: &str) -> Result<&str, Malformed> {
    let is_printable = nonce.bytes().all(|octet| matches!(octet, b'!'..=b'+' | b'-'..=b'~'));
    if is_printable && (MIN_NONCE..=MAX_NONCE).contains(&nonce.len()) {
        Ok(nonce)
    } else {
        Err(Malformed("a malformed nonce"))
    }
}

// RFC 5802 §5.1: `m=` anywhere is an extension that must be understood; others are ignored.
fn no_mandatory_extension<'a>(mut rest: impl Iterator<Item = &'a str>) -> Result<(), Malformed> {
    if rest.any(|attribute| attribute.starts_with("m=")) {
        return Err(Malformed("a mandatory extension"));
    }
    Ok(())
}

/// Octets of the longest channel binding read: a gs2-header with the longest name.
const MAX_BINDING: usize = 3 * MAX_USER;
/// Octets of the longest proof or signature read.
const MAX_PROOF: usize = 64;
