//! The octets of a collection, as every kind of it keeps them.
//!
//! Owns one invariant: what an owned collection keeps is the smallest encoding of its content, so that two are equal if
//! their octets are, and encoding one is a copy. Octets that came in another form are rewritten once, when they are decoded.

use alloc::{borrow::Cow, boxed::Box};
use core::{cmp::Ordering, hash};

use bytes::{Bytes, BytesMut};

use super::{edit::Index, walk};
use crate::sink::{Compound, Encode, Sink, saturate};

/// The content of an owned collection behind its count.
#[derive(Debug)]
pub(crate) struct Packed {
    /// A part of what was received, or a rewritten one; empty while there is an own one.
    shared: Bytes,
    /// What is being built.
    own: Option<Box<Own>>,
    /// Values, or entries, or elements.
    count: u32,
}

/// A collection that is being built.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) octets: BytesMut,
    /// Where keys are, for maps with many.
    pub(super) index: Index,
}

/// Octets that have been checked, and what is known of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    pub(crate) octets: &'a [u8],
    /// Values, or entries, or elements.
    pub(crate) count: u32,
    /// Whether they are the smallest encoding of what they mean.
    pub(crate) is_minimal: bool,
}

impl Packed {
    pub(crate) const fn new() -> Self {
        Self::of(Bytes::new(), 0)
    }

    /// Octets that are minimal.
    pub(crate) const fn of(octets: Bytes, count: u32) -> Self {
        Self { shared: octets, own: None, count }
    }

    /// Content that has been checked: shared by `share` if it is minimal already, else what `write` makes of it.
    #[inline]
    pub(crate) fn of_raw<'a>(
        raw: Raw<'a>,
        share: impl FnOnce(&'a [u8]) -> Bytes,
        write: fn(Raw<'a>, &mut BytesMut),
    ) -> Self {
        if raw.is_minimal { Self::of(share(raw.octets), raw.count) } else { Self::rewritten(raw, write) }
    }

    /// Content with octets of its own.
    #[cold]
    pub(crate) fn rewritten<'a>(raw: Raw<'a>, write: fn(Raw<'a>, &mut BytesMut)) -> Self {
        // The smallest form is hardly ever longer than another one.
        let mut octets = BytesMut::with_capacity(raw.octets.len());
        write(raw, &mut octets);
        Self::of(octets.freeze(), raw.count)
    }

    #[inline]
    pub(crate) fn raw(&self) -> Raw<'_> {
        let octets = match &self.own {
            None => self.shared.as_ref(),
            Some(own) => own.octets.as_ref(),
        };
        Raw { octets, count: self.count, is_minimal: true }
    }

    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What to append to; whoever appends sets the count.
    pub(super) fn own(&mut self) -> &mut Own {
        let shared = core::mem::take(&mut self.shared);
        self.own.get_or_insert_with(|| {
            let mut octets = BytesMut::with_capacity(FIRST_CAPACITY.max(shared.len().saturating_mul(2)));
            octets.extend_from_slice(&shared);
            Box::new(Own { octets, index: Index::default() })
        })
    }

    pub(super) const fn set_count(&mut self, count: u32) {
        self.count = count;
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Appends one value.
    pub(crate) fn push(&mut self, value: &impl Encode) {
        value.encode(&mut self.own().octets);
        self.count = self.count.saturating_add(1);
    }

    /// The octets in a buffer that can be shared.
    pub(crate) fn into_shared(self) -> Bytes {
        match self.own {
            None => self.shared,
            Some(own) => own.octets.freeze(),
        }
    }
}

impl Clone for Packed {
    /// Shares what is shared, and copies once what is being built.
    fn clone(&self) -> Self {
        match &self.own {
            None => Self::of(self.shared.clone(), self.count),
            Some(own) => Self::of(Bytes::copy_from_slice(&own.octets), self.count),
        }
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.raw().octets == other.raw().octets
    }
}

impl Eq for Packed {}

impl hash::Hash for Packed {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.count.hash(state);
        self.raw().octets.hash(state);
    }
}

impl<'a> Raw<'a> {
    pub(crate) const EMPTY: Self = Self { octets: &[], count: 0, is_minimal: true };

    pub(crate) fn len(self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// Writes values in their smallest form, one after the other.
    pub(crate) fn write_values<S: Sink>(self, out: &mut S) {
        if self.is_minimal {
            return out.write(self.octets);
        }
        let mut rest = self.octets;
        while let Some((value, behind)) = walk::value(rest, false) {
            value.encode(out);
            rest = behind;
        }
    }

    /// Writes a compound with `count` elements, whose content `write` knows how to write.
    #[inline]
    pub(crate) fn write_compound<S: Sink>(
        self,
        out: &mut S,
        kind: Compound,
        count: usize,
        write: fn(Self, &mut S),
    ) {
        if self.is_minimal {
            write_header(out, kind, self.octets.len(), count);
            return out.write(self.octets);
        }
        let start = out.begin_compound();
        write(self, out);
        out.end_compound(start, kind, count);
    }

    /// The smallest encoding of the content.
    pub(crate) fn minimal(self, write: fn(Self, &mut BytesMut)) -> Cow<'a, [u8]> {
        if self.is_minimal {
            return Cow::Borrowed(self.octets);
        }
        let mut octets = BytesMut::with_capacity(self.octets.len());
        write(self, &mut octets);
        Cow::Owned(octets.into())
    }

    pub(crate) fn compare(self, other: Self, write: fn(Self, &mut BytesMut)) -> Ordering {
        let by_octets = self.minimal(write).cmp(&other.minimal(write));
        by_octets.then(self.count.cmp(&other.count))
    }
}

/// Constructor, size and count of a compound whose content is known.
#[inline]
pub(crate) fn write_header(out: &mut impl Sink, kind: Compound, content: usize, count: usize) {
    let (short, long) = kind.codes();
    if let (Ok(size), Ok(count)) = (u8::try_from(content.saturating_add(1)), u8::try_from(count)) {
        return out.write(&[short, size, count]);
    }
    let [a, b, c, d] = saturate(content.saturating_add(4)).to_be_bytes();
    let [e, f, g, h] = saturate(count).to_be_bytes();
    out.write(&[long, a, b, c, d, e, f, g, h]);
}

/// Order and equality by the smallest encoding, which is what an owned collection has already.
macro_rules! ordered_by_octets {
    ($owned:ty, $borrowed:ty, $write:expr) => {
        impl PartialOrd for $owned {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $owned {
            /// By their octets: a total order for lookups.
            fn cmp(&self, other: &Self) -> Ordering {
                self.view().cmp(&other.view())
            }
        }

        impl PartialEq for $borrowed {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }

        impl Eq for $borrowed {}

        impl PartialOrd for $borrowed {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $borrowed {
            /// By the octets of their smallest encodings: a total order for lookups.
            fn cmp(&self, other: &Self) -> Ordering {
                self.raw().compare(other.raw(), $write)
            }
        }
    };
}

pub(crate) use ordered_by_octets;

/// Room that is made for the first value, in octets.
const FIRST_CAPACITY: usize = 64;
