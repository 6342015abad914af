//! The resource a token is for, in any of the spellings that SDKs put into tokens and `put-token` requests.

use std::fmt;

use super::segment::Segment;
use crate::{host::HostName, sas::percent_decode};

/// A host and the path below it, normalised so that the six shapes of the same resource compare equal: raw,
/// percent-encoded, with scheme and port, with a trailing slash.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resource {
    /// The host, with the port where one was written.
    pub host: HostName,
    /// The path's segments, each still possibly encoded.
    pub path: Vec<Segment>,
}

impl Resource {
    /// Reads a resource: `host`, `host/devices/id`, `host%2Fdevices%2Fid`, `amqps://host:5671/`, `sb://host/entity`, …
    /// `None` where no host can be found or the text is longer than any resource.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_RESOURCE {
            return None;
        }
        // A whole resource encoded as one word has no slash of its own.
        let decoded;
        let text = if text.contains('%') && !text.contains('/') {
            decoded = percent_decode(text);
            decoded.as_str()
        } else {
            text
        };
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = HostName::parse(host).or_else(|_| HostName::parse(&percent_decode(host))).ok()?;
        let path = path.split('/').filter(|segment| !segment.is_empty()).map(Segment::received).collect();
        Some(Self { host, path })
    }

    /// True where the path of `self` is a prefix of the other's by whole segments and both name the same host:
    /// `/a/b` covers `/a/b/c` but not `/a/bc`. Ports do not count. IoT Hub: "shared access signatures", scope.
    pub fn covers(&self, other: &Self) -> bool {
        self.host.name() == other.host.name() && self.covers_path(other)
    }

    /// As [`Resource::covers`], over the paths alone.
    pub fn covers_path(&self, other: &Self) -> bool {
        self.path.len() <= other.path.len()
            && self.path.iter().zip(&other.path).all(|(mine, theirs)| same_segment(mine, theirs))
    }

    /// The path's segments decoded, for matching by words.
    pub fn decoded_path(&self) -> Vec<String> {
        self.path.iter().map(Segment::decoded).collect()
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.path.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

/// Ids keep their case, words do not: a segment that is equal but for case is a word of the path only when it is one
/// of the known words.
fn same_segment(mine: &Segment, theirs: &Segment) -> bool {
    mine.may_equal(theirs)
        || (mine.as_str().eq_ignore_ascii_case(theirs.as_str())
            && WORDS.iter().any(|word| mine.as_str().eq_ignore_ascii_case(word)))
}

const WORDS: [&str; 11] = [
    "devices",
    "modules",
    "messages",
    "events",
    "devicebound",
    "servicebound",
    "feedback",
    "consumergroups",
    "partitions",
    "publishers",
    "$management",
];

/// No resource of a hub is longer.
const MAX_RESOURCE: usize = 4096;
