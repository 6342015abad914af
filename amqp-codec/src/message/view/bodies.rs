//! The body of a message: data, sequences or one value.
//!
//! Owns what is handed out of the body sections, as parts of the message where they are data.

use core::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{MessageView, binary};
use crate::{
    collection::List,
    cursor::{Cursor, Decode},
    error::DecodeError,
    format_code as code,
    limits::DecodeLimits,
    message::{DATA, SEQUENCE, VALUE},
    value::Value,
};

impl<'a> MessageView<'a> {
    /// The content of the data sections in order; none if the body is of another kind.
    pub fn body_data(&self) -> BodyData {
        let range = self.bodies_of(DATA);
        BodyData { rest: self.bytes.slice(range), limits: *self.limits }
    }

    /// The value of an amqp-value body; `None` if the body is of another kind.
    ///
    /// # Errors
    /// [`DecodeError`] if it is malformed.
    pub fn body_value(&self) -> Result<Option<Value>, DecodeError> {
        self.read(self.body_of(VALUE), Value::decode)
    }

    /// The octets of a data body, several sections joined; `None` for other bodies. One section is not copied: it costs one
    /// reference count.
    ///
    /// # Errors
    /// [`DecodeError`] if a section is malformed.
    #[inline]
    pub fn body_bytes(&self) -> Result<Option<Bytes>, DecodeError> {
        if self.places.bodies > 1 {
            return self.joined_data();
        }
        Ok(self.body_octets()?.map(|octets| self.bytes.slice(self.range_of(octets))))
    }

    /// The octets of a body of one data section, where they lie; `None` for several sections and for other bodies.
    ///
    /// # Errors
    /// [`DecodeError`] if the section is malformed.
    #[inline]
    pub fn body_octets(&self) -> Result<Option<&'a [u8]>, DecodeError> {
        let start = self.body_of(DATA);
        if start == 0 || self.places.bodies != 1 {
            return Ok(None);
        }
        let section = self.bytes.get(start..self.places.bodies_end).unwrap_or_default();
        if let [code::BINARY32, _, _, _, _, octets @ ..] | [code::BINARY8, _, octets @ ..] = section {
            return Ok(Some(octets));
        }
        binary(&mut self.cursor_at(start)).map(Some)
    }

    /// The lists of a sequence body in order; none if the body is of another kind.
    pub fn body_sequences(&self) -> BodySequences<'a> {
        let range = self.bodies_of(SEQUENCE);
        BodySequences(Cursor::within(self.bytes, range, self.limits))
    }

    /// Where the content of the first body section starts, if the body is of this kind.
    #[inline(always)]
    const fn body_of(&self, kind: u8) -> usize {
        if self.places.body_kind == kind { self.places.body } else { 0 }
    }

    /// The body sections, descriptors included; nothing if they are of another kind.
    const fn bodies_of(&self, kind: u8) -> Range<usize> {
        if self.places.body_kind == kind { self.places.bodies_start..self.places.bodies_end } else { 0..0 }
    }

    /// Whether there is a body of one value or of sequences.
    pub(in super::super) const fn has_other_body_than_data(&self) -> bool {
        self.places.bodies > 0 && self.places.body_kind != DATA
    }

    #[inline(never)]
    fn joined_data(&self) -> Result<Option<Bytes>, DecodeError> {
        if self.places.body_kind != DATA {
            return Ok(None);
        }
        let mut joined = BytesMut::with_capacity(self.bodies_of(DATA).len());
        for section in self.body_data() {
            joined.extend_from_slice(&section?);
        }
        Ok(Some(joined.freeze()))
    }

    /// Where in the message a part of it lies.
    #[inline]
    fn range_of(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr());
        start..start.wrapping_add(part.len())
    }
}

/// The lists of sequence sections, one after the other; see [`MessageView::body_sequences`]. Ends at the first error.
#[derive(Debug)]
pub struct BodySequences<'a>(Cursor<'a>);

impl Iterator for BodySequences<'_> {
    type Item = Result<List, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.remaining() == 0 {
            return None;
        }
        let list =
            crate::described::read_code(&mut self.0, "amqp-sequence").and_then(|_| List::decode(&mut self.0));
        if list.is_err() {
            self.0.finish_early();
        }
        Some(list)
    }
}

/// The content of data sections, one after the other; see [`MessageView::body_data`].
#[derive(Clone, Debug)]
pub struct BodyData {
    rest: Bytes,
    limits: DecodeLimits,
}

impl BodyData {
    fn take_section(&mut self) -> Result<Bytes, DecodeError> {
        let mut cursor = Cursor::new(&self.rest, &self.limits);
        crate::described::read_code(&mut cursor, "data")?;
        let data = Bytes::decode(&mut cursor)?;
        let rest = cursor.rest();
        self.rest = rest;
        Ok(data)
    }
}

impl Iterator for BodyData {
    type Item = Result<Bytes, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let data = self.take_section();
        if data.is_err() {
            self.rest = Bytes::new();
        }
        Some(data)
    }
}
