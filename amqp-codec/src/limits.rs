//! What a decoder is willing to read.
//!
//! Owns every bound on peer-driven memory and time in this crate, and the one list of lenient exceptions.

/// Bounds of one decode. All are finite by default; a count or size declared by the peer never allocates by itself.
///
/// | what a peer can drive | bound |
/// |---|---|
/// | length of a binary, string, symbol or compound | the octets that are there; nothing is allocated for a length |
/// | elements a list, map or array claims | the octets that are there, one each at least; then `max_nodes` |
/// | elements of an array without octets | `max_zero_width_count`, kept as one value and a count |
/// | nesting | `max_depth`; stepping over a value takes no stack at all |
/// | keys of a map | `max_nodes`; equal ones are found in O(n log n) at worst |
/// | unsettled deliveries that an attach tells | `max_unsettled_nodes` |
/// | sections of a message | `max_sections` |
/// | frame size | the caller's maximum, [`FrameHeader::parse_limited`](crate::FrameHeader::parse_limited) |
///
/// Walking over an array without octets gives as many elements as it claims, each time: whoever walks into what is nested
/// bounds their sum ([`ArrayRef::unwritten_len`](crate::ArrayRef::unwritten_len)).
///
/// Collections and described values stay encoded, so that a value or a message takes at most four octets of memory a
/// received octet, and 4 KiB, both while it is decoded and after; what is read where it lies
/// ([`MessageView`](crate::MessageView), [`Entries`](crate::Entries), [`ValueRef`](crate::ValueRef)) takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Deepest nesting of lists, maps, arrays and described values. Default 32 for performatives, 64 for messages.
    pub max_depth: usize,
    /// Most values inside collections. Default 1,024 for performatives, 262,144 for messages.
    pub max_nodes: usize,
    /// Most values inside an attach's map of unsettled deliveries, which has as many entries as both ends hold messages and
    /// is not counted against `max_nodes`; an entry is three values, and up to a dozen where it tells an outcome. What
    /// bounds it in practice is the frame. Default 524,288.
    pub max_unsettled_nodes: usize,
    /// Most elements of an array whose elements occupy no octets (they are kept as a value and a count).
    /// Default 65,536, and no more than that: larger arrays are written in a form with octets.
    pub max_zero_width_count: u32,
    /// Most sections of one message. Default 10,000.
    pub max_sections: usize,
    /// What to do with the few deviations real peers are known for. Default [`Strictness::Lenient`].
    pub strictness: Strictness,
}

/// How to treat the known deviations of real peers.
///
/// `Lenient` accepts exactly these, and nothing else that `Strict` refuses:
/// 1. an empty array without an element constructor (`e0 01 00`), which serde_amqp and fe2o3 write (T-042), except inside
///    of another array;
/// 2. a message with other sections but without a body, which several peers send for an empty body (M-003); no octets at
///    all are no message;
/// 3. a flow that sets link fields without a handle: they mean nothing there and are dropped, where closing the
///    connection would punish a harmless habit (AMQP 1.0 §2.7.4).
///
/// Where peers differ in other ways, both refuse or both accept, because no real peer needs the exception:
/// - a map with two equal keys is refused when it becomes owned (T-038); an iterator over entries does not compare keys;
/// - a list with more elements than its type has fields is refused (T-010);
/// - octets left over in a compound are refused (T-036), although serde_amqp reads them;
/// - a composite without its trailing nulls, or with all of them, is accepted;
/// - the optional `symbol` form of a descriptor is accepted wherever the numeric one is (T-005).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Accept the deviations listed above.
    #[default]
    Lenient,
    /// Refuse whatever the specification does not allow.
    Strict,
}

impl DecodeLimits {
    /// The limits for performatives and SASL frames.
    pub const fn performative() -> Self {
        Self {
            max_depth: 32,
            max_nodes: 1_024,
            max_unsettled_nodes: 524_288,
            max_zero_width_count: 65_536,
            max_sections: 10_000,
            strictness: Strictness::Lenient,
        }
    }

    /// The limits for messages.
    pub const fn message() -> Self {
        Self { max_depth: 64, max_nodes: 262_144, ..Self::performative() }
    }

    /// The same limits without the lenient exceptions.
    #[must_use]
    pub const fn strict(self) -> Self {
        Self { strictness: Strictness::Strict, ..self }
    }

    /// Most elements without octets: what is asked for, as far as it is what the encoder keeps to.
    pub(crate) fn zero_width_count(&self) -> u32 {
        self.max_zero_width_count.min(u32::try_from(ZERO_WIDTH_COUNT).unwrap_or(u32::MAX))
    }

    /// Whether the lenient exceptions are off.
    pub const fn is_strict(&self) -> bool {
        matches!(self.strictness, Strictness::Strict)
    }
}

impl Default for DecodeLimits {
    /// [`DecodeLimits::message`].
    fn default() -> Self {
        Self::message()
    }
}

/// Most elements that are written without octets of their own, so that the default limits read what this crate writes.
pub(crate) const ZERO_WIDTH_COUNT: usize = 65_536;
