//! A message whose sections are found at once and decoded when asked for.

use core::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{
    APPLICATION_PROPERTIES, DATA, DELIVERY_ANNOTATIONS, FOOTER, HEADER, Header, MESSAGE_ANNOTATIONS, Message,
    MessageIdRef, PROPERTIES, Properties, SEQUENCE, VALUE,
    sections::{Section, Walker},
    write_section,
};
use crate::{
    collection::{Annotations, ApplicationProperties, Entries, Keys, List},
    composite::Composite,
    cursor::{Cursor, Decode, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    limits::DecodeLimits,
    number::Timestamp,
    quick,
    sink::Encode,
    text::TextRef,
    value::Value,
    value_ref::ValueRef,
};

/// A message that is decoded on access, where it lies.
///
/// [`parse`](Self::parse) walks the sections once and checks their order and extent; what is inside a section is checked
/// when it is asked for. Nothing is allocated, copied or counted until then. Single fields, properties and annotations are
/// borrowed from the message; [`body_bytes`](Self::body_bytes) and the whole sections are for keeping.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    bytes: &'a Bytes,
    limits: &'a DecodeLimits,
    places: Places,
}

/// Where the sections of a message are, in octets from its start. There is always a descriptor before a section's content, so
/// 0 says that there is none.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    header: usize,
    delivery_annotations: usize,
    message_annotations: usize,
    /// Where the first section behind header and annotations starts.
    bare: usize,
    properties: usize,
    application_properties: usize,
    /// The descriptor of the first body section.
    bodies_start: usize,
    /// The content of the first body section.
    body: usize,
    /// The end of the last body section.
    bodies_end: usize,
    bodies: usize,
    body_kind: u8,
    footer: usize,
}

impl<'a> MessageView<'a> {
    /// Finds the sections of a message.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets are not a sequence of sections in legal order (M-001, M-003).
    #[inline]
    pub fn parse(bytes: &'a Bytes, limits: &'a DecodeLimits) -> Result<Self, DecodeError> {
        let places = match Places::of_usual(bytes, limits) {
            Some(places) => places,
            None => Places::of_any(bytes, limits)?,
        };
        Ok(Self { bytes, limits, places })
    }

    /// The encoded message.
    pub const fn bytes(&self) -> &'a Bytes {
        self.bytes
    }

    /// The octets behind header and annotations, exactly as encoded: the bare message (AMQP 1.0 §3.2), which intermediaries
    /// pass on unchanged, and the footer.
    pub fn bare_message(&self) -> Bytes {
        self.bytes.slice(self.places.bare..)
    }

    /// The header section.
    ///
    /// # Errors
    /// [`DecodeError`] if it is malformed.
    pub fn header(&self) -> Result<Option<Header>, DecodeError> {
        self.read(self.places.header, Header::decode_list)
    }

    /// The delivery annotations.
    ///
    /// # Errors
    /// [`DecodeError`] if they are malformed.
    pub fn delivery_annotations(&self) -> Result<Option<Annotations>, DecodeError> {
        self.read(self.places.delivery_annotations, Annotations::decode)
    }

    /// The message annotations.
    ///
    /// # Errors
    /// [`DecodeError`] if they are malformed.
    pub fn message_annotations(&self) -> Result<Option<Annotations>, DecodeError> {
        self.read(self.places.message_annotations, Annotations::decode)
    }

    /// The standard properties.
    ///
    /// # Errors
    /// [`DecodeError`] if they are malformed.
    pub fn properties(&self) -> Result<Option<Properties>, DecodeError> {
        self.read(self.places.properties, Properties::decode_list)
    }

    /// The application properties.
    ///
    /// # Errors
    /// [`DecodeError`] if they are malformed.
    pub fn application_properties(&self) -> Result<Option<ApplicationProperties>, DecodeError> {
        self.read(self.places.application_properties, ApplicationProperties::decode)
    }

    /// The footer.
    ///
    /// # Errors
    /// [`DecodeError`] if it is malformed.
    pub fn footer(&self) -> Result<Option<Annotations>, DecodeError> {
        self.read(self.places.footer, Annotations::decode)
    }

    /// One application property, found without decoding the others; the first, where keys are equal.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets up to it are malformed.
    #[inline]
    pub fn application_property(&self, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        self.find(self.places.application_properties, Keys::Strings, key)
    }

    /// One message annotation with a symbol key, found without decoding the others; the first, where keys are equal.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets up to it are malformed.
    #[inline]
    pub fn message_annotation(&self, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        self.find(self.places.message_annotations, Keys::Annotations, key)
    }

    /// One message annotation with a reserved key, found without decoding the others.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets up to it are malformed.
    pub fn message_annotation_ulong(&self, key: u64) -> Result<Option<ValueRef<'a>>, DecodeError> {
        for entry in self.iter_message_annotations()?.into_iter().flatten() {
            let (own, value) = entry?;
            if own == ValueRef::Ulong(key) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

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

    /// The application properties one by one, where they lie; none if there is no such section.
    ///
    /// # Errors
    /// [`DecodeError`] if the section is not a map. An entry that is malformed is an error of the iterator's.
    pub fn iter_application_properties(&self) -> Result<Option<Entries<'a>>, DecodeError> {
        self.entries(self.places.application_properties, Keys::Strings)
    }

    /// The message annotations one by one, where they lie; none if there is no such section.
    ///
    /// # Errors
    /// As [`iter_application_properties`](Self::iter_application_properties).
    pub fn iter_message_annotations(&self) -> Result<Option<Entries<'a>>, DecodeError> {
        self.entries(self.places.message_annotations, Keys::Annotations)
    }

    /// The delivery annotations one by one, where they lie; none if there is no such section.
    ///
    /// # Errors
    /// As [`iter_application_properties`](Self::iter_application_properties).
    pub fn iter_delivery_annotations(&self) -> Result<Option<Entries<'a>>, DecodeError> {
        self.entries(self.places.delivery_annotations, Keys::Annotations)
    }

    /// The footer's entries one by one, where they lie; none if there is no such section.
    ///
    /// # Errors
    /// As [`iter_application_properties`](Self::iter_application_properties).
    pub fn iter_footer(&self) -> Result<Option<Entries<'a>>, DecodeError> {
        self.entries(self.places.footer, Keys::Annotations)
    }

    /// Appends the message to `out` with another header and other annotations: the bare message and the footer are
    /// copied as they were received, octet by octet, as an intermediary must (AMQP 1.0 §3.2).
    // M-002: not an octet between annotations and end is touched.
    pub fn forward(
        &self,
        out: &mut BytesMut,
        header: Option<&Header>,
        delivery_annotations: Option<&Annotations>,
        message_annotations: Option<&Annotations>,
    ) {
        if let Some(header) = header {
            header.encode(out);
        }
        if let Some(annotations) = delivery_annotations {
            write_section(out, DELIVERY_ANNOTATIONS, annotations);
        }
        if let Some(annotations) = message_annotations {
            write_section(out, MESSAGE_ANNOTATIONS, annotations);
        }
        out.extend_from_slice(self.bytes.get(self.places.bare..).unwrap_or_default());
    }

    /// The whole message, decoded.
    ///
    /// # Errors
    /// [`DecodeError`] if any section is malformed.
    pub fn to_message(&self) -> Result<Message, DecodeError> {
        Message::decode(self.bytes, self.limits)
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
    pub(super) const fn has_other_body_than_data(&self) -> bool {
        self.places.bodies > 0 && self.places.body_kind != DATA
    }

    #[inline(always)]
    fn cursor_at(&self, start: usize) -> Cursor<'a> {
        Cursor::within(self.bytes, start..self.bytes.len(), self.limits)
    }

    #[inline]
    fn read<T>(
        &self,
        start: usize,
        decode: impl FnOnce(&mut Cursor<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if start == 0 { Ok(None) } else { decode(&mut self.cursor_at(start)).map(Some) }
    }

    fn entries(&self, start: usize, keys: Keys) -> Result<Option<Entries<'a>>, DecodeError> {
        if start == 0 { Ok(None) } else { Entries::open(self.cursor_at(start), keys).map(Some) }
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

    /// One field of the properties, the ones before it stepped over.
    #[inline]
    fn property<T>(
        &self,
        index: usize,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let start = self.places.properties;
        if start == 0 {
            return Ok(None);
        }
        match self.property_at(start, index)? {
            Some(mut cursor) => read(&mut cursor).map(Some),
            None => Ok(None),
        }
    }

    /// A cursor at a field of the properties; `None` if it is null or absent.
    #[inline]
    fn property_at(&self, start: usize, index: usize) -> Result<Option<Cursor<'a>>, DecodeError> {
        let octets = self.bytes.get(start..).unwrap_or_default();
        let Some(field) = usual_field(octets, index) else { return self.any_property_at(start, index) };
        Ok(field.map(|octets| Cursor::at(self.bytes, octets, self.limits)))
    }

    #[inline(never)]
    fn any_property_at(&self, start: usize, index: usize) -> Result<Option<Cursor<'a>>, DecodeError> {
        let mut cursor = self.cursor_at(start);
        let count = cursor.open_list("properties")?;
        // T-010: more fields than there are.
        if count > Properties::FIELDS.len() {
            return Err(cursor.error(DecodeErrorKind::TooManyFields, "properties"));
        }
        if index >= count {
            return Ok(None);
        }
        for _ in 0..index {
            cursor.skip_value()?;
        }
        Ok((cursor.peek() != Some(code::NULL)).then_some(cursor))
    }

    /// Where in the message a part of it lies.
    #[inline]
    fn range_of(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr());
        start..start.wrapping_add(part.len())
    }

    #[inline]
    fn find(&self, start: usize, keys: Keys, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        if start == 0 {
            return Ok(None);
        }
        let octets = self.bytes.get(start..).unwrap_or_default();
        let constructor = if keys == Keys::Annotations { code::SYMBOL8 } else { code::STRING8 };
        match usual_entry(octets, constructor, key) {
            Some(value) => Ok(value),
            None => self.find_any(start, keys, key),
        }
    }

    #[inline(never)]
    fn find_any(&self, start: usize, keys: Keys, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        let mut cursor = self.cursor_at(start);
        let width = match cursor.read_u8()? {
            code::MAP8 => Width::One,
            code::MAP32 => Width::Four,
            other => return Err(cursor.wrong_type(other, "map")),
        };
        let scope = cursor.open_counted(width, "map")?;
        // T-037: keys and values come in pairs.
        if !scope.count.is_multiple_of(2) {
            return Err(cursor.error(DecodeErrorKind::OddMapCount, "map"));
        }
        for _ in 0..scope.count / 2 {
            // Only a key of the right type can match; its octets are compared where they are.
            let own = match (keys, cursor.peek()) {
                (Keys::Annotations, Some(code::ULONG | code::SMALL_ULONG | code::ULONG0)) => {
                    cursor.skip_value()?;
                    None
                }
                (Keys::Annotations, _) => Some(TextRef::read_symbol(&mut cursor)?),
                _ => Some(TextRef::read_string(&mut cursor)?),
            };
            if own.is_none_or(|own| own != *key) {
                cursor.skip_value()?;
                continue;
            }
            let value = ValueRef::read(&mut cursor)?;
            // M-018: application properties are simple values.
            if keys == Keys::Strings && !value.is_simple() {
                return Err(cursor.error(DecodeErrorKind::InvalidChoice, "map value"));
            }
            return Ok(Some(value));
        }
        cursor.close(&scope, "map")?;
        Ok(None)
    }
}

impl Places {
    /// The sections of a message in which all descriptors have their short form and nothing is wrong.
    // M-001, M-003: each section is only looked for where it may stand.
    #[inline]
    fn of_usual(bytes: &Bytes, limits: &DecodeLimits) -> Option<Self> {
        let mut steps = Steps { whole: bytes, rest: bytes };
        let header = steps.section(HEADER)?;
        let delivery_annotations = steps.section(DELIVERY_ANNOTATIONS)?;
        let message_annotations = steps.section(MESSAGE_ANNOTATIONS)?;
        let bare = if steps.rest.len() < bytes.len() { steps.offset() } else { 0 };
        let properties = steps.section(PROPERTIES)?;
        let application_properties = steps.section(APPLICATION_PROPERTIES)?;
        let bodies_start = steps.offset();
        let (mut body, mut bodies, mut body_kind) = (0, 0, 0);
        if let [_, _, kind @ (DATA | SEQUENCE | VALUE), ..] = steps.rest {
            body_kind = *kind;
            body = steps.section(body_kind)?;
            bodies = usize::from(body != 0);
            while body_kind != VALUE && steps.section(body_kind)? != 0 {
                bodies += 1;
            }
        }
        let bodies_end = steps.offset();
        let footer = steps.section(FOOTER)?;
        let is_whole = steps.rest.is_empty() && bodies <= limits.max_sections.saturating_sub(OTHER_SECTIONS);
        (is_whole && bodies > 0).then_some(Self {
            header,
            delivery_annotations,
            message_annotations,
            bare,
            properties,
            application_properties,
            bodies_start,
            body,
            bodies_end,
            bodies,
            body_kind,
            footer,
        })
    }

    /// The same for any message, or what is wrong with it.
    #[inline(never)]
    fn of_any(bytes: &Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut places = Self::default();
        let mut walker = Walker::new(bytes, limits);
        let mut start = 0;
        while let Some(section) = walker.next_section()? {
            let content = walker.cursor.offset();
            walker.cursor.skip_value()?;
            let end = walker.cursor.offset();
            match section {
                Section::Header => (places.header, places.bare) = (content, end),
                Section::DeliveryAnnotations => (places.delivery_annotations, places.bare) = (content, end),
                Section::MessageAnnotations => (places.message_annotations, places.bare) = (content, end),
                Section::Properties => places.properties = content,
                Section::ApplicationProperties => places.application_properties = content,
                Section::Body(kind) => {
                    if places.bodies == 0 {
                        (places.bodies_start, places.body) = (start, content);
                    }
                    places.bodies += 1;
                    places.bodies_end = end;
                    places.body_kind = kind.descriptor();
                }
                Section::Footer => places.footer = content,
            }
            start = end;
        }
        walker.finish()?;
        Ok(places)
    }
}

/// A position between sections, kept in registers.
struct Steps<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
}

impl Steps<'_> {
    #[inline(always)]
    const fn offset(&self) -> usize {
        self.whole.len().wrapping_sub(self.rest.len())
    }

    /// Steps over this section if it comes next, and says where its content starts; 0 if another comes. `None` where the
    /// octets end inside it.
    #[inline(always)]
    fn section(&mut self, descriptor: u8) -> Option<usize> {
        let [code::DESCRIBED, code::SMALL_ULONG, next, content @ ..] = self.rest else { return Some(0) };
        if *next != descriptor {
            return Some(0);
        }
        let start = self.whole.len().wrapping_sub(content.len());
        self.rest = match content {
            [code::LIST8 | code::MAP8 | code::BINARY8, size, rest @ ..] => rest.get(usize::from(*size)..)?,
            _ => skip_large(content)?,
        };
        Some(start)
    }
}

/// Steps over a section's content that is not the shortest.
fn skip_large(content: &[u8]) -> Option<&[u8]> {
    quick::skip(content)
}

/// The octets from a field of a list on, if all before it is usual; `Some(None)` if it is null or absent.
#[inline]
fn usual_field(list: &[u8], index: usize) -> Option<Option<&[u8]>> {
    let (count, mut fields) = quick::compound(list, code::LIST8, code::LIST32)?;
    if count > Properties::FIELDS.len() {
        return None;
    }
    if index >= count {
        return Some(None);
    }
    for _ in 0..index {
        fields = quick::skip(fields)?;
    }
    let constructor = *fields.first()?;
    Some((constructor != code::NULL).then_some(fields))
}

/// The value of a text key, if it and all before it is usual; `Some(None)` if there is no such key.
#[inline]
fn usual_entry<'a>(map: &'a [u8], constructor: u8, key: &str) -> Option<Option<ValueRef<'a>>> {
    let (count, mut entries) = quick::compound(map, code::MAP8, code::MAP32)?;
    if !count.is_multiple_of(2) {
        return None;
    }
    for _ in 0..count / 2 {
        let (own, value) = quick::short_text(entries, constructor)?;
        if own == key.as_bytes() {
            return Some(Some(quick::value(value)?.0));
        }
        entries = quick::skip(value)?;
    }
    entries.is_empty().then_some(None)
}

fn binary<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    cursor.read_sized(code::BINARY8, code::BINARY32, "binary")
}

macro_rules! properties {
    ($($(#[$meta:meta])* $name:ident: $type:ty = $index:literal, $read:expr;)*) => {
        /// Single fields of the properties, read without decoding the others.
        impl<'a> MessageView<'a> {
            $(
                $(#[$meta])*
                ///
                /// # Errors
                /// [`DecodeError`] if the octets up to it are malformed.
                #[inline]
                pub fn $name(&self) -> Result<Option<$type>, DecodeError> {
                    self.property($index, $read)
                }
            )*
        }
    };
}

properties! {
    /// The message's own id.
    message_id: MessageIdRef<'a> = 0, MessageIdRef::read;
    /// Who made the message.
    user_id: &'a [u8] = 1, binary;
    /// The node it is for.
    to: TextRef<'a> = 2, TextRef::read_string;
    /// What it is about.
    subject: TextRef<'a> = 3, TextRef::read_string;
    /// The node to which answers go.
    reply_to: TextRef<'a> = 4, TextRef::read_string;
    /// What it answers or belongs to.
    correlation_id: MessageIdRef<'a> = 5, MessageIdRef::read;
    /// The media type of the body.
    content_type: TextRef<'a> = 6, TextRef::read_symbol;
    /// How the body is encoded beyond that.
    content_encoding: TextRef<'a> = 7, TextRef::read_symbol;
    /// When the message is to be considered expired.
    absolute_expiry_time: Timestamp = 8, Timestamp::decode;
    /// When it was made.
    creation_time: Timestamp = 9, Timestamp::decode;
    /// The group it belongs to.
    group_id: TextRef<'a> = 10, TextRef::read_string;
    /// Its place in the group.
    group_sequence: u32 = 11, u32::decode;
    /// The group to which answers belong.
    reply_to_group_id: TextRef<'a> = 12, TextRef::read_string;
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

/// Most sections of a message that are not its body.
const OTHER_SECTIONS: usize = 6;
