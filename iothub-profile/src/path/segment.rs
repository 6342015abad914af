//! One segment of a path, which may be an id with characters that need encoding.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::sas::percent_encode;

/// A path segment as it stands on the wire. Ids may contain `%` themselves, so whether a received segment is encoded
/// cannot be told from its text: readers try [`Segment::candidates`] in order.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Segment(String);

impl Segment {
    /// The segment that stands for an id, percent-encoded.
    pub fn from_id(id: &str) -> Self {
        Self(percent_encode(id))
    }

    /// A segment as received, kept as it is.
    pub fn received(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id after one percent-decoding; the raw text where that gives no UTF-8.
    pub fn decoded(&self) -> String {
        percent_decode_str(&self.0)
            .decode_utf8()
            .map_or_else(|_| self.0.clone(), std::borrow::Cow::into_owned)
    }

    /// What the id may be, most literal first: the raw text, then the decoded one where it differs.
    pub fn candidates(&self) -> impl Iterator<Item = String> + use<> {
        let decoded = self.decoded();
        let second = (decoded != self.0).then_some(decoded);
        std::iter::once(self.0.clone()).chain(second)
    }

    /// True where this segment may stand for the id.
    pub fn may_be(&self, id: &str) -> bool {
        self.0 == id || (self.0.contains('%') && self.decoded() == id)
    }

    /// True where the two segments may stand for the same id.
    pub fn may_equal(&self, other: &Self) -> bool {
        self.may_be(&other.0) || other.may_be(&self.0) || self.decoded() == other.decoded()
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device, or a module of one, as named in a path.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// The device's id.
    pub device: Segment,
    /// The module's id, none for the device itself.
    pub module: Option<Segment>,
}

impl Identity {
    /// The identity of a device, or of a module when `module_id` is given.
    pub fn new(device_id: &str, module_id: Option<&str>) -> Self {
        Self { device: Segment::from_id(device_id), module: module_id.map(Segment::from_id) }
    }
}

/// `/devices/{id}` or `/devices/{id}/modules/{id}`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/devices/{}", self.device)?;
        match &self.module {
            Some(module) => write!(f, "/modules/{module}"),
            None => Ok(()),
        }
    }
}
