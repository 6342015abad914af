//! The bounds-checked reader under every decoder.
//!
//! Owns position, depth and node budget. Reads from a slice, and hands out parts of the owning [`Bytes`] without copying
//! them. It never allocates and never reads outside the compound it is in.

mod compound;

use alloc::boxed::Box;
use core::ops::Range;

use bytes::Bytes;

use crate::{
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    limits::DecodeLimits,
    quick,
};

pub(crate) use compound::{Scope, Width};

/// What decoding returns.
pub(crate) type Result<T> = core::result::Result<T, DecodeError>;

/// A value that can be read from a [`Cursor`].
pub trait Decode: Sized {
    /// Reads one value, constructor included.
    ///
    /// # Errors
    /// [`DecodeError`] where the octets are not such a value; the cursor is then of no further use.
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError>;
}

impl<T: Decode> Decode for Box<T> {
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        T::decode(cursor).map(Self::new)
    }
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// As [`Decode::decode`], and [`DecodeErrorKind::TrailingOctets`] if octets follow the value.
pub fn from_bytes<T: Decode>(bytes: &Bytes, limits: &DecodeLimits) -> core::result::Result<T, DecodeError> {
    let mut cursor = Cursor::new(bytes, limits);
    let value = T::decode(&mut cursor)?;
    cursor.finish("value")?;
    Ok(value)
}

/// A position in some octets, with the limits that hold there.
#[derive(Debug)]
pub struct Cursor<'a> {
    bytes: &'a Bytes,
    /// What is left of the innermost open compound.
    rest: &'a [u8],
    limits: &'a DecodeLimits,
    depth_left: usize,
    nodes_left: usize,
    is_in_array: bool,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    #[inline]
    pub fn new(bytes: &'a Bytes, limits: &'a DecodeLimits) -> Self {
        Self::at(bytes, bytes, limits)
    }

    /// A cursor at a part of `bytes`, which it sees nothing beyond; offsets count from the start of `bytes`. A range that is
    /// not in `bytes` is empty.
    #[inline]
    pub fn within(bytes: &'a Bytes, range: Range<usize>, limits: &'a DecodeLimits) -> Self {
        Self::at(bytes, bytes.get(range).unwrap_or_default(), limits)
    }

    /// A cursor at `rest`, a part of `bytes`.
    #[inline(always)]
    pub(crate) fn at(bytes: &'a Bytes, rest: &'a [u8], limits: &'a DecodeLimits) -> Self {
        Self {
            bytes,
            rest,
            limits,
            depth_left: limits.max_depth,
            nodes_left: limits.max_nodes,
            is_in_array: false,
        }
    }

    /// Octets from the start of the buffer.
    #[inline]
    pub fn offset(&self) -> usize {
        self.rest.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr())
    }

    /// Octets left in the innermost open compound.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The limits in force.
    #[inline]
    pub const fn limits(&self) -> &'a DecodeLimits {
        self.limits
    }

    /// Takes everything that is left, without copying: the payload after a performative.
    #[inline]
    pub fn rest(&mut self) -> Bytes {
        let (taken, end) = self.rest.split_at(self.rest.len());
        self.rest = end;
        self.share(taken)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TrailingOctets`] otherwise.
    #[inline]
    pub fn finish(&self, what: &'static str) -> core::result::Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingOctets, what)) }
    }

    /// Steps over one value without looking inside it: its extent is what its constructor and size say.
    ///
    /// # Errors
    /// [`DecodeError`] where the octets end before the value or its constructor is unassigned.
    #[inline]
    pub fn skip_value(&mut self) -> core::result::Result<(), DecodeError> {
        match quick::skip(self.rest) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => self.skip_any_value(),
        }
    }

    #[inline(never)]
    fn skip_any_value(&mut self) -> Result<()> {
        // A described value is a descriptor and a value, so `0x00` adds one to what is still to be skipped.
        let mut pending = 1_usize;
        while pending > 0 {
            let constructor = self.read_u8()?;
            if constructor == code::DESCRIBED {
                pending = pending.saturating_add(1);
                continue;
            }
            self.skip_body(constructor)?;
            pending -= 1;
        }
        Ok(())
    }

    /// Steps over the octets after a constructor other than `0x00`.
    #[inline]
    pub(crate) fn skip_body(&mut self, constructor: u8) -> Result<()> {
        let length = match code::LAYOUTS.get(usize::from(constructor)).copied().flatten() {
            Some(code::Layout::Fixed(width)) => usize::from(width),
            Some(code::Layout::Sized8) => usize::from(self.read_u8()?),
            Some(code::Layout::Sized32) => self.read_length32()?,
            None => return Err(self.error_before(DecodeErrorKind::InvalidConstructor(constructor), "value")),
        };
        self.take(length).map(|_| ())
    }

    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next `N` octets of the buffer, even where the innermost open compound ends before.
    #[inline(always)]
    pub(crate) fn window<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.rest.first_chunk().or_else(|| self.bytes.get(self.offset()..)?.first_chunk())
    }

    /// What is left of the innermost open compound.
    #[inline]
    pub(crate) const fn peek_all(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    pub(crate) fn read_u8(&mut self) -> Result<u8> {
        match self.rest.split_first() {
            Some((&first, rest)) => {
                self.rest = rest;
                Ok(first)
            }
            None => Err(self.truncated()),
        }
    }

    #[inline(always)]
    pub(crate) fn read_array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(*chunk)
            }
            None => Err(self.truncated()),
        }
    }

    #[inline]
    pub(crate) fn read_length32(&mut self) -> Result<usize> {
        let length = u32::from_be_bytes(self.read_array()?);
        usize::try_from(length).map_err(|_| self.truncated())
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.truncated()),
        }
    }

    /// The octets of a one- or four-octet-sized value of the kind whose constructors are given.
    #[inline]
    pub(crate) fn read_sized(&mut self, small: u8, large: u8, what: &'static str) -> Result<&'a [u8]> {
        let constructor = self.read_u8()?;
        if constructor == small {
            let length = usize::from(self.read_u8()?);
            self.take(length)
        } else if constructor == large {
            let length = self.read_length32()?;
            self.take(length)
        } else {
            Err(self.wrong_type(constructor, what))
        }
    }

    /// Octets of this cursor as a part of the owning buffer, without a copy.
    #[inline]
    pub(crate) fn share(&self, part: &'a [u8]) -> Bytes {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr());
        // Whatever a cursor hands out lies in its buffer; nothing is taken of another one.
        if part.len() > self.bytes.len() || start > self.bytes.len() - part.len() {
            return Bytes::new();
        }
        self.bytes.slice(start..start + part.len())
    }

    /// Everything read since `start`, an earlier [`offset`](Self::offset).
    pub(crate) fn since(&self, start: usize) -> Bytes {
        let end = self.offset();
        self.bytes.slice(start.min(end)..end)
    }

    /// Counts one value against the node budget.
    #[inline]
    pub(crate) fn spend_node(&mut self, what: &'static str) -> Result<()> {
        match self.nodes_left.checked_sub(1) {
            Some(left) => {
                self.nodes_left = left;
                Ok(())
            }
            None => Err(self.error(DecodeErrorKind::TooManyNodes, what)),
        }
    }

    /// Reads something under a node budget of its own; what is left of the other stays.
    pub(crate) fn with_nodes<T>(
        &mut self,
        nodes: usize,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let outer = core::mem::replace(&mut self.nodes_left, nodes);
        let value = read(self)?;
        self.nodes_left = outer;
        Ok(value)
    }

    /// Whether the node budget allows for so many values more.
    #[inline]
    pub(crate) const fn can_spend(&self, nodes: usize) -> bool {
        nodes <= self.nodes_left
    }

    /// Counts values that [`can_spend`](Self::can_spend) allowed.
    #[inline]
    pub(crate) const fn spend_nodes(&mut self, nodes: usize) {
        self.nodes_left = self.nodes_left.saturating_sub(nodes);
    }

    /// Continues at `rest`, an end of what is left of the innermost open compound.
    #[inline(always)]
    pub(crate) const fn advance_to(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// Gives up what is left.
    pub(crate) fn finish_early(&mut self) {
        self.rest = &[];
    }

    /// An error at the current position.
    #[cold]
    pub(crate) fn error(&self, kind: DecodeErrorKind, what: &'static str) -> DecodeError {
        DecodeError { kind, offset: self.offset(), what }
    }

    /// An error about the octet just read.
    #[cold]
    pub(crate) fn error_before(&self, kind: DecodeErrorKind, what: &'static str) -> DecodeError {
        DecodeError { kind, offset: self.offset().saturating_sub(1), what }
    }

    /// The error for a constructor, just read, that is not one of the wanted type's.
    #[cold]
    pub(crate) fn wrong_type(&self, constructor: u8, what: &'static str) -> DecodeError {
        let known = constructor == code::DESCRIBED || code::layout(constructor).is_some();
        let kind = if known {
            DecodeErrorKind::WrongType(constructor)
        } else {
            DecodeErrorKind::InvalidConstructor(constructor)
        };
        self.error_before(kind, what)
    }

    #[cold]
    fn truncated(&self) -> DecodeError {
        self.error(DecodeErrorKind::Truncated, "value")
    }
}
