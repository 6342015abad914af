//! The octets under both types of text: in place or shared, checked and copied without a call where they are short.
//!
//! Owns the two forms, and what makes one type of text differ from the other. What is text to callers is the two types'.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    cursor::{Cursor, Result},
    error::DecodeErrorKind,
    format_code as code,
    primitive::encode_sized,
    sink::Sink,
};

/// Octets of text.
#[derive(Clone)]
pub(super) enum Text {
    /// Constructor, length and octets as on the wire; what lies behind them has no meaning.
    Short([u8; SHORT]),
    /// Octets of any length, shared.
    Shared(Bytes),
}

impl Text {
    pub(super) const fn empty(constructor: u8) -> Self {
        let mut short = [0; SHORT];
        short[0] = constructor;
        Self::Short(short)
    }

    /// In place if it is short enough.
    #[inline]
    pub(super) fn short(constructor: u8, octets: &[u8]) -> Option<Self> {
        let mut short = [0; SHORT];
        let [head, length, place @ ..] = &mut short;
        copy_short(place.get_mut(..octets.len())?, octets);
        *head = constructor;
        *length = u8::try_from(octets.len()).ok()?;
        Some(Self::Short(short))
    }

    pub(super) fn copy_from(constructor: u8, octets: &[u8]) -> Self {
        Self::short(constructor, octets).unwrap_or_else(|| Self::Shared(Bytes::copy_from_slice(octets)))
    }

    pub(super) fn from_vec(constructor: u8, octets: Vec<u8>) -> Self {
        Self::short(constructor, &octets).unwrap_or_else(|| Self::Shared(Bytes::from(octets)))
    }

    #[inline]
    pub(super) fn as_octets(&self) -> &[u8] {
        match self {
            Self::Short([_, length, octets @ ..]) => octets.get(..usize::from(*length)).unwrap_or_default(),
            Self::Shared(octets) => octets,
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Short(_) => Bytes::copy_from_slice(self.as_octets()),
            Self::Shared(octets) => octets,
        }
    }

    /// The same text behind another constructor.
    pub(super) const fn relabelled(mut self, constructor: u8) -> Self {
        if let Self::Short([head, ..]) = &mut self {
            *head = constructor;
        }
        self
    }

    #[inline(always)]
    pub(super) fn encode(&self, out: &mut impl Sink, small: u8, large: u8) {
        match self {
            Self::Short(short) => {
                let [_, length, ..] = short;
                out.write_front(short, usize::from(*length) + 2);
            }
            Self::Shared(octets) => encode_sized(out, small, large, octets),
        }
    }

    /// A text, constructor included, whose octets pass `is_valid`.
    #[inline(always)]
    pub(super) fn read(cursor: &mut Cursor<'_>, kind: &Kind) -> Result<Self> {
        if let [head, length, rest @ ..] = cursor.peek_all()
            && *head == kind.small
            && let Some((octets, rest)) = rest.split_at_checked(usize::from(*length))
        {
            if !is_ascii(octets) && !(kind.is_valid)(octets) {
                return Err(cursor.error(kind.fault, kind.name));
            }
            // One copy of fixed width takes constructor, length and text at once. The window may look beyond the compound;
            // the text does not.
            let window = if octets.len() <= SHORT - 2 { cursor.window::<SHORT>() } else { None };
            cursor.advance_to(rest);
            return Ok(match window {
                Some(short) => Self::Short(*short),
                None => Self::keep(cursor, octets, kind),
            });
        }
        let octets = cursor.read_sized(kind.small, kind.large, kind.name)?;
        if !is_ascii(octets) && !(kind.is_valid)(octets) {
            return Err(cursor.error(kind.fault, kind.name));
        }
        Ok(Self::keep(cursor, octets, kind))
    }

    /// In place if it is short, else a part of what is read.
    #[inline]
    pub(super) fn keep<'a>(cursor: &Cursor<'a>, octets: &'a [u8], kind: &Kind) -> Self {
        Self::short(kind.small, octets).unwrap_or_else(|| Self::Shared(cursor.share(octets)))
    }
}

/// What makes one type of text differ from the other.
pub(crate) struct Kind {
    pub(super) small: u8,
    pub(super) large: u8,
    pub(super) name: &'static str,
    pub(super) fault: DecodeErrorKind,
    /// Asked for octets that are not all ASCII.
    pub(super) is_valid: fn(&[u8]) -> bool,
}

// T-033: nothing is stripped, a byte order mark neither.
// T-032: well-formed UTF-8 only.
pub(crate) const STRING: Kind = Kind {
    small: code::STRING8,
    large: code::STRING32,
    name: "string",
    fault: DecodeErrorKind::InvalidUtf8,
    is_valid: |octets| core::str::from_utf8(octets).is_ok(),
};

// T-034: seven bits only.
pub(crate) const SYMBOL: Kind = Kind {
    small: code::SYMBOL8,
    large: code::SYMBOL32,
    name: "symbol",
    fault: DecodeErrorKind::InvalidAscii,
    is_valid: |_| false,
};

/// Whether all octets are below 0x80. Most text is short: four overlapping reads at most up to 32 octets.
#[inline(always)]
pub(crate) fn is_ascii(octets: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (octets.first_chunk::<8>(), octets.last_chunk::<8>()) {
        if let (Some(front), Some(back)) = (octets.first_chunk::<16>(), octets.last_chunk::<16>()) {
            let both = u128::from_ne_bytes(*front) | u128::from_ne_bytes(*back);
            return both & 0x8080_8080_8080_8080_8080_8080_8080_8080 == 0 && is_middle_ascii(octets);
        }
        return (u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last)) & 0x8080_8080_8080_8080 == 0;
    }
    if let (Some(first), Some(last)) = (octets.first_chunk::<4>(), octets.last_chunk::<4>()) {
        return (u32::from_ne_bytes(*first) | u32::from_ne_bytes(*last)) & 0x8080_8080 == 0;
    }
    octets.iter().fold(0, |all, octet| all | octet) < 0x80
}

/// Whether what is between the first and the last 16 octets is ASCII.
#[inline(always)]
fn is_middle_ascii(octets: &[u8]) -> bool {
    match octets.get(16..octets.len().saturating_sub(16)) {
        Some(middle) if !middle.is_empty() => middle.is_ascii(),
        _ => true,
    }
}

/// Copies without a call for lengths that short text has. Both are of one length.
#[inline]
fn copy_short(to: &mut [u8], from: &[u8]) {
    macro_rules! overlapping {
        ($width:literal) => {
            if let (Some(first), Some(last)) = (from.first_chunk::<$width>(), from.last_chunk::<$width>()) {
                if let Some(place) = to.first_chunk_mut::<$width>() {
                    *place = *first;
                }
                if let Some(place) = to.last_chunk_mut::<$width>() {
                    *place = *last;
                }
                return;
            }
        };
    }
    overlapping!(16);
    overlapping!(8);
    overlapping!(4);
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// Constructor, length and 22 octets: as much as fits beside the shared form.
const SHORT: usize = 24;
