//! The body of a message.
//!
//! Owns bodies of several sections, which stay encoded as collections do: thousands of sections of a few octets take no
//! more memory than their octets.

use alloc::{string::String, vec::Vec};
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::{DATA, SEQUENCE, sections::BodyKind, write_section};
use crate::{
    collection::{List, ListRef, Packed, Raw, check, checked_value},
    cursor::{Cursor, Decode},
    error::DecodeError,
    format_code as code,
    primitive::encode_sized,
    sink::{Encode, Sink},
    value::Value,
    value_ref::ValueRef,
};

/// The body of a message.
// M-020, M-021: lists that follow each other; one value of any type.
///
/// Equal by what is in it: data in one section is the same in either form, and no sections are no body.
#[derive(Clone, Debug, Default)]
// A tag of a whole word, for the reason that `Value` has one.
#[repr(usize)]
pub enum Body {
    /// No body section. Not legal, yet sent by some peers (see [`Strictness`](crate::Strictness)).
    #[default]
    Empty,
    /// Octets in one data section.
    Data(Bytes),
    /// Octets in several data sections, which form one stream (M-019). Written with at least two, or read as such.
    DataSections(DataSections),
    /// One or several sequence sections.
    Sequence(Sequences),
    /// One value.
    Value(Value),
}

impl Body {
    /// The data sections, of which there is one at least; nothing for other bodies.
    fn data(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let (one, several) = match self {
            Self::Data(data) => (Some(data.as_ref()), None),
            Self::DataSections(sections) if !sections.is_empty() => (None, Some(sections.iter())),
            _ => return None,
        };
        Some(one.into_iter().chain(several.into_iter().flatten()))
    }

    /// Whether nothing is written for it.
    const fn has_no_section(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::DataSections(sections) => sections.is_empty(),
            Self::Sequence(sections) => sections.is_empty(),
            Self::Data(_) | Self::Value(_) => false,
        }
    }

    /// One more body section, its descriptor read.
    #[inline]
    pub(super) fn read_section(
        &mut self,
        kind: BodyKind,
        cursor: &mut Cursor<'_>,
        span: &mut Span,
    ) -> Result<(), DecodeError> {
        match kind {
            BodyKind::Data => {
                let data = Bytes::decode(cursor)?;
                let is_first = span.sections == 1;
                *self = if is_first { Self::Data(data) } else { Self::DataSections(DataSections::new()) };
            }
            BodyKind::Sequence => {
                span.is_minimal &= check::list_value(cursor)?.is_minimal;
                *self = Self::Sequence(Sequences::new());
            }
            BodyKind::Value => *self = Self::Value(Value::decode(cursor)?),
        }
        span.end = cursor.offset();
        Ok(())
    }

    /// Puts several sections in their place, now that it is known where the last one ends.
    #[inline]
    pub(super) fn complete(&mut self, message: &Bytes, span: &Span) {
        match self {
            Self::DataSections(sections) => *sections = DataSections(packed(message, span, DATA)),
            Self::Sequence(sections) => *sections = Sequences(packed(message, span, SEQUENCE)),
            _ => {}
        }
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => a == b,
            (Self::Sequence(a), Self::Sequence(b)) => a == b,
            _ => match (self.data(), other.data()) {
                (Some(a), Some(b)) => a.eq(b),
                _ => self.has_no_section() && other.has_no_section(),
            },
        }
    }
}

impl Eq for Body {}

impl From<String> for Body {
    /// A string value.
    fn from(text: String) -> Self {
        Self::Value(text.into())
    }
}

impl From<Bytes> for Body {
    /// Octets in one data section.
    fn from(data: Bytes) -> Self {
        Self::Data(data)
    }
}

impl From<Vec<u8>> for Body {
    /// Octets in one data section.
    fn from(data: Vec<u8>) -> Self {
        Self::Data(data.into())
    }
}

impl From<Value> for Body {
    /// One value.
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<List> for Body {
    /// One sequence section.
    fn from(list: List) -> Self {
        Self::Sequence(Sequences::from_iter([list]))
    }
}

/// The data sections of a body, encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct DataSections(Packed);

/// The sequence sections of a body, encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Sequences(Packed);

/// Body sections of a message that is being decoded.
#[derive(Debug)]
pub(super) struct Span {
    /// Where the first one's descriptor starts.
    start: usize,
    /// Behind the last one.
    end: usize,
    sections: u32,
    /// Whether all values in them are encoded in the smallest form, headers of sections aside.
    is_minimal: bool,
}

impl Default for Span {
    fn default() -> Self {
        Self { start: 0, end: 0, sections: 0, is_minimal: true }
    }
}

impl Span {
    /// One section more, which starts here.
    pub(super) const fn add(&mut self, start: usize) {
        if self.sections == 0 {
            self.start = start;
        }
        self.sections = self.sections.saturating_add(1);
    }
}

impl DataSections {
    /// No sections.
    pub const fn new() -> Self {
        Self(Packed::new())
    }

    /// Adds a section.
    pub fn push(&mut self, data: impl AsRef<[u8]>) {
        self.0.push(&DataSection(data.as_ref()));
    }

    /// The content of the sections in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        contents(self.0.raw()).filter_map(|(_, data)| data.as_binary())
    }

    /// How many sections there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Sequences {
    /// No sections.
    pub const fn new() -> Self {
        Self(Packed::new())
    }

    /// Adds a section.
    pub fn push(&mut self, list: &List) {
        self.0.push(&SequenceSection(list.view()));
    }

    /// The lists of the sections in order.
    pub fn iter(&self) -> impl Iterator<Item = ListRef<'_>> {
        contents(self.0.raw()).filter_map(|(_, list)| list.as_list())
    }

    /// How many sections there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Shares the sections if they are in their smallest form, else writes them anew.
fn packed(message: &Bytes, span: &Span, descriptor: u8) -> Packed {
    let octets = message.get(span.start..span.end).unwrap_or_default();
    let usual = [code::DESCRIBED, code::SMALL_ULONG, descriptor];
    let raw = Raw { octets, count: span.sections, is_minimal: span.is_minimal };
    let is_minimal = span.is_minimal
        && contents(raw).all(|(section, content)| {
            let length = section.len().checked_sub(usual.len());
            section.starts_with(&usual) && length == Some(content.encoded_len())
        });
    if is_minimal {
        return Packed::of(message.slice_ref(octets), span.sections);
    }
    let mut out = BytesMut::with_capacity(octets.len());
    contents(raw).for_each(|(_, content)| write_section(&mut out, descriptor, &content));
    Packed::of(out.freeze(), span.sections)
}

/// The octets of each section, and what is in it.
fn contents(raw: Raw<'_>) -> impl Iterator<Item = (&[u8], ValueRef<'_>)> {
    let mut rest = raw.octets;
    core::iter::from_fn(move || {
        let (_, content) = checked_value(rest.strip_prefix(&[code::DESCRIBED])?, raw.is_minimal)?;
        let (content, behind) = checked_value(content, raw.is_minimal)?;
        let section = rest.get(..rest.len().checked_sub(behind.len())?)?;
        rest = behind;
        Some((section, content))
    })
}

struct DataSection<'a>(&'a [u8]);

impl Encode for DataSection<'_> {
    fn encode(&self, out: &mut impl Sink) {
        out.write(&[code::DESCRIBED, code::SMALL_ULONG, DATA]);
        encode_sized(out, code::BINARY8, code::BINARY32, self.0);
    }
}

struct SequenceSection<'a>(ListRef<'a>);

impl Encode for SequenceSection<'_> {
    fn encode(&self, out: &mut impl Sink) {
        write_section(out, SEQUENCE, &self.0);
    }
}

/// What is left of sections that are given up.
#[derive(Clone, Debug)]
struct Rest(Bytes);

impl Iterator for Rest {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let raw = Raw { octets: &self.0, count: 0, is_minimal: true };
        let (section, content) = contents(raw).next()?;
        let (length, content) = (section.len(), content.to_shared(&self.0));
        self.0.advance(length);
        Some(content)
    }
}

/// The content of data sections that are given up, each a part of what was received.
#[derive(Clone, Debug)]
pub struct IntoDataSections(Rest);

impl Iterator for IntoDataSections {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.0.next()?.try_into().ok()
    }
}

/// The lists of sequence sections that are given up, each a part of what was received.
#[derive(Clone, Debug)]
pub struct IntoSequences(Rest);

impl Iterator for IntoSequences {
    type Item = List;

    fn next(&mut self) -> Option<List> {
        self.0.next()?.try_into().ok()
    }
}

impl IntoIterator for DataSections {
    type Item = Bytes;
    type IntoIter = IntoDataSections;

    /// The content of the sections, each a part of what was received.
    fn into_iter(self) -> Self::IntoIter {
        IntoDataSections(Rest(self.0.into_shared()))
    }
}

impl IntoIterator for Sequences {
    type Item = List;
    type IntoIter = IntoSequences;

    /// The lists of the sections, each a part of what was received.
    fn into_iter(self) -> Self::IntoIter {
        IntoSequences(Rest(self.0.into_shared()))
    }
}

impl Default for DataSections {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Sequences {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: AsRef<[u8]>> FromIterator<B> for DataSections {
    fn from_iter<I: IntoIterator<Item = B>>(sections: I) -> Self {
        let mut all = Self::new();
        sections.into_iter().for_each(|data| all.push(data));
        all
    }
}

impl FromIterator<List> for Sequences {
    fn from_iter<I: IntoIterator<Item = List>>(sections: I) -> Self {
        let mut all = Self::new();
        sections.into_iter().for_each(|list| all.push(&list));
        all
    }
}

impl Encode for DataSections {
    /// The sections, descriptors and all.
    fn encode(&self, out: &mut impl Sink) {
        out.write(self.0.raw().octets);
    }
}

impl Encode for Sequences {
    /// The sections, descriptors and all.
    fn encode(&self, out: &mut impl Sink) {
        out.write(self.0.raw().octets);
    }
}

impl fmt::Debug for DataSections {
    /// How many octets there are; not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(<[u8]>::len)).finish()
    }
}

impl fmt::Debug for Sequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
