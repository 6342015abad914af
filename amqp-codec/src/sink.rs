//! The writer under every encoder.
//!
//! Owns the one place where sizes are back-patched. The same encoding code runs against a real buffer and against a
//! counter, so that a length can never disagree with the octets.

use alloc::boxed::Box;

use bytes::{Bytes, BytesMut};

use crate::format_code as code;

/// A value that can be written as AMQP octets, in their smallest legal form.
pub trait Encode {
    /// Writes the value, constructor included.
    fn encode(&self, out: &mut impl Sink);

    /// How many octets [`encode`](Self::encode) writes. The same code runs against a counter.
    fn encoded_len(&self) -> usize {
        let mut counter = Counter::default();
        self.encode(&mut counter);
        counter.position()
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        (**self).encode(out);
    }
}

impl<T: Encode + ?Sized> Encode for Box<T> {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        (**self).encode(out);
    }
}

/// Encodes a value into a buffer of its own.
pub fn to_bytes(value: &impl Encode) -> Bytes {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    out.freeze()
}

/// Writes composites with every field present: trailing nulls are kept and defaults are spelled out.
///
/// The specification lets a writer drop trailing nulls (AMQP 1.0 §1.4), but Microsoft's Python Event Hubs client reads
/// fields by position and fails on a shortened open, begin, attach or transfer. A server that wants to serve it wraps what
/// it sends.
#[derive(Clone, Copy, Debug)]
pub struct FullList<T>(pub T);

impl<T: Encode> Encode for FullList<T> {
    fn encode(&self, out: &mut impl Sink) {
        self.0.encode(&mut FullLists(out));
    }
}

/// The three kinds of compound values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compound {
    /// A list (0xc0, 0xd0).
    List,
    /// A map (0xc1, 0xd1).
    Map,
    /// An array (0xe0, 0xf0).
    Array,
}

impl Compound {
    pub(crate) const fn codes(self) -> (u8, u8) {
        match self {
            Self::List => (code::LIST8, code::LIST32),
            Self::Map => (code::MAP8, code::MAP32),
            Self::Array => (code::ARRAY8, code::ARRAY32),
        }
    }
}

/// Somewhere to write octets, with the means to fix a compound's header after its content is known.
///
/// Implemented for [`BytesMut`] and [`Counter`]. Values larger than 4 GiB have no AMQP encoding; their sizes saturate.
pub trait Sink {
    /// Appends one octet.
    fn byte(&mut self, octet: u8);

    /// Appends octets.
    fn write(&mut self, octets: &[u8]);

    /// Appends a constructor and the octets of fixed width that follow it.
    #[inline]
    // T-002: the octets of a number, the highest first.
    fn tagged<const N: usize>(&mut self, constructor: u8, octets: [u8; N]) {
        self.byte(constructor);
        self.write(&octets);
    }

    /// Appends the first `length` of some octets; where it is cheaper, all are copied and the others dropped again.
    #[inline]
    fn write_front<const N: usize>(&mut self, octets: &[u8; N], length: usize) {
        self.write(octets.get(..length).unwrap_or(octets));
    }

    /// Octets in the sink.
    fn position(&self) -> usize;

    /// Drops everything from `position` on.
    fn truncate(&mut self, position: usize);

    /// Completes a compound whose three-octet header was reserved at `start` by [`begin_compound`](Self::begin_compound):
    /// the short form where it fits, else the content moves up by six octets and the long form is written.
    fn end_compound(&mut self, start: usize, kind: Compound, count: usize);

    /// Overwrites the four octets at `position` with a big-endian number.
    fn patch_u32(&mut self, position: usize, number: u32);

    /// Overwrites the octet at `position`.
    fn patch_u8(&mut self, position: usize, octet: u8);

    /// Shortens `items` array elements from `start` on, each with a four-octet size and count, to one octet each.
    fn compact_items(&mut self, start: usize, items: usize);

    /// Whether composites keep trailing nulls and defaults; see [`FullList`].
    #[inline]
    fn full_lists(&self) -> bool {
        false
    }

    /// Reserves the header of a compound and returns where it starts.
    #[inline]
    fn begin_compound(&mut self) -> usize {
        let start = self.position();
        self.write(&[0; SHORT_HEADER]);
        start
    }
}

impl Sink for BytesMut {
    #[inline]
    fn byte(&mut self, octet: u8) {
        self.extend_from_slice(&[octet]);
    }

    #[inline]
    fn write(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }

    #[inline(always)]
    fn tagged<const N: usize>(&mut self, constructor: u8, octets: [u8; N]) {
        // One append: as many octets as the widest constructor needs, the surplus dropped again.
        let mut all = [constructor; 17];
        if let Some(place) = all.get_mut(1..=N) {
            place.copy_from_slice(&octets);
        }
        match N {
            1 => self.extend_from_slice(&all[..2]),
            2 => self.extend_from_slice(&all[..3]),
            4 => self.extend_from_slice(&all[..5]),
            8 => self.extend_from_slice(&all[..9]),
            _ => self.extend_from_slice(all.get(..=N).unwrap_or(&all)),
        }
    }

    #[inline(always)]
    fn write_front<const N: usize>(&mut self, octets: &[u8; N], length: usize) {
        let end = self.len() + length;
        self.extend_from_slice(octets);
        Self::truncate(self, end);
    }

    #[inline]
    fn position(&self) -> usize {
        self.len()
    }

    #[inline]
    fn truncate(&mut self, position: usize) {
        Self::truncate(self, position);
    }

    #[inline]
    fn end_compound(&mut self, start: usize, kind: Compound, count: usize) {
        let content = self.len().saturating_sub(start + SHORT_HEADER);
        let (short, _) = kind.codes();
        let (Ok(size), Ok(count8)) = (u8::try_from(content + 1), u8::try_from(count)) else {
            return widen(self, start, kind, count);
        };
        if let Some(header) = self.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *header = [short, size, count8];
        }
    }

    #[inline]
    fn patch_u32(&mut self, position: usize, number: u32) {
        if let Some(place) = self.get_mut(position..).and_then(<[u8]>::first_chunk_mut) {
            *place = number.to_be_bytes();
        }
    }

    #[inline]
    fn patch_u8(&mut self, position: usize, octet: u8) {
        if let Some(place) = self.get_mut(position) {
            *place = octet;
        }
    }

    fn compact_items(&mut self, start: usize, items: usize) {
        let (mut from, mut to) = (start, start);
        for _ in 0..items {
            let header = self.get(from..).and_then(<[u8]>::first_chunk::<8>).copied();
            let Some([_, _, high, low, _, _, _, count]) = header else { break };
            // Only called when every size, less the three octets that the count loses, fits one octet.
            let content = usize::from(u16::from_be_bytes([high, low])).saturating_sub(4);
            let body = from + 8;
            if let (Some(header), Ok(size)) =
                (self.get_mut(to..).and_then(<[u8]>::first_chunk_mut), u8::try_from(content + 1))
            {
                *header = [size, count];
            }
            self.copy_within(body..body + content, to + 2);
            from = body + content;
            to += 2 + content;
        }
        self.truncate(to);
    }
}

/// A sink that only counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    position: usize,
}

impl Sink for Counter {
    #[inline]
    fn byte(&mut self, _octet: u8) {
        self.position += 1;
    }

    #[inline]
    fn write(&mut self, octets: &[u8]) {
        self.position += octets.len();
    }

    #[inline]
    fn position(&self) -> usize {
        self.position
    }

    #[inline]
    fn truncate(&mut self, position: usize) {
        self.position = self.position.min(position);
    }

    #[inline]
    fn end_compound(&mut self, start: usize, _kind: Compound, count: usize) {
        let content = self.position.saturating_sub(start + SHORT_HEADER);
        if content + 1 > usize::from(u8::MAX) || count > usize::from(u8::MAX) {
            self.position += LONG_HEADER - SHORT_HEADER;
        }
    }

    #[inline]
    fn patch_u32(&mut self, _position: usize, _number: u32) {}

    #[inline]
    fn patch_u8(&mut self, _position: usize, _octet: u8) {}

    #[inline]
    fn compact_items(&mut self, _start: usize, items: usize) {
        self.position = self.position.saturating_sub(items * 6);
    }
}

/// A sink in which composites keep all their fields.
struct FullLists<'a, S>(&'a mut S);

impl<S: Sink> Sink for FullLists<'_, S> {
    fn byte(&mut self, octet: u8) {
        self.0.byte(octet);
    }

    fn write(&mut self, octets: &[u8]) {
        self.0.write(octets);
    }

    fn position(&self) -> usize {
        self.0.position()
    }

    fn truncate(&mut self, position: usize) {
        self.0.truncate(position);
    }

    fn end_compound(&mut self, start: usize, kind: Compound, count: usize) {
        self.0.end_compound(start, kind, count);
    }

    fn patch_u32(&mut self, position: usize, number: u32) {
        self.0.patch_u32(position, number);
    }

    fn patch_u8(&mut self, position: usize, octet: u8) {
        self.0.patch_u8(position, octet);
    }

    fn compact_items(&mut self, start: usize, items: usize) {
        self.0.compact_items(start, items);
    }

    fn full_lists(&self) -> bool {
        true
    }
}

/// Replaces the short header reserved at `start` by a long one, moving the content up.
#[cold]
fn widen(out: &mut BytesMut, start: usize, kind: Compound, count: usize) {
    let end = out.len();
    let body = start + SHORT_HEADER;
    out.extend_from_slice(&[0; LONG_HEADER - SHORT_HEADER]);
    out.copy_within(body..end, start + LONG_HEADER);
    let (_, long) = kind.codes();
    let size = saturate(end.saturating_sub(body) + 4).to_be_bytes();
    let count = saturate(count).to_be_bytes();
    if let Some(header) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        let [a, b, c, d] = size;
        let [e, f, g, h] = count;
        *header = [long, a, b, c, d, e, f, g, h];
    }
}

/// A length as the wire has it.
#[inline]
pub(crate) fn saturate(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

const SHORT_HEADER: usize = 3;
const LONG_HEADER: usize = 9;
