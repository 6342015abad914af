//! A message whose sections are found at once and decoded when asked for.

use core::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{
    DELIVERY_ANNOTATIONS, Header, MESSAGE_ANNOTATIONS, Message, MessageId, Properties,
    sections::{BodyKind, Section, Walker, decode_header, decode_properties},
    write_section,
};
use crate::{
    collection::{AnnotationKey, Annotations, ApplicationProperties, Entries, Keys, List, MapKey},
    cursor::{Cursor, Decode, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    limits::DecodeLimits,
    number::Timestamp,
    quick,
    sink::Encode,
    terminus::Address,
    text::{Str, Symbol},
    value::Value,
};

/// A message that is decoded on access.
///
/// [`parse`](Self::parse) walks the sections once and checks their order and extent; what is inside a section is checked
/// when it is asked for. Nothing is allocated until then, and looking up one property allocates nothing but what its
/// value needs.
#[derive(Clone, Debug)]
pub struct MessageView {
    bytes: Bytes,
    limits: DecodeLimits,
    header: Extent,
    delivery_annotations: Extent,
    message_annotations: Extent,
    properties: Extent,
    application_properties: Extent,
    footer: Extent,
    /// Where the first section behind header and annotations starts.
    bare: usize,
    /// From the first body section's descriptor to the end of the last.
    body: Range<usize>,
    body_kind: Option<BodyKind>,
    body_sections: usize,
}

/// Where the content of a section starts. There is always a descriptor before it, so 0 says that there is no section.
type Extent = usize;

impl MessageView {
    /// Finds the sections of a message.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets are not a sequence of sections in legal order (M-001, M-003).
    #[inline]
    pub fn parse(bytes: Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut places = [0; 6];
        let [header, delivery_annotations, message_annotations, properties, application_properties, footer] =
            &mut places;
        let (mut bare, mut body, mut body_kind, mut body_sections) = (0, 0..0, None, 0);
        let mut walker = Walker::new(&bytes, limits);
        let mut section_start = 0;
        while let Some(section) = walker.next_section()? {
            let content = walker.cursor.offset();
            walker.cursor.skip_value()?;
            let end = walker.cursor.offset();
            match section {
                Section::Header => (*header, bare) = (content, end),
                Section::DeliveryAnnotations => (*delivery_annotations, bare) = (content, end),
                Section::MessageAnnotations => (*message_annotations, bare) = (content, end),
                Section::Properties => *properties = content,
                Section::ApplicationProperties => *application_properties = content,
                Section::Body(kind) => {
                    if body_kind.is_none() {
                        body.start = section_start;
                    }
                    body.end = end;
                    body_kind = Some(kind);
                    body_sections += 1;
                }
                Section::Footer => *footer = content,
            }
            section_start = end;
        }
        walker.finish()?;
        let [header, delivery_annotations, message_annotations, properties, application_properties, footer] =
            places;
        Ok(Self {
            bytes,
            limits: *limits,
            header,
            delivery_annotations,
            message_annotations,
            properties,
            application_properties,
            footer,
            bare,
            body,
            body_kind,
            body_sections,
        })
    }

    /// The encoded message.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The octets behind header and annotations, exactly as encoded: the bare message (AMQP 1.0 §3.2), which intermediaries
    /// pass on unchanged, and the footer.
    pub fn bare_message(&self) -> Bytes {
        self.bytes.slice(self.bare..)
    }

    /// The header section.
    ///
    /// # Errors
    /// [`DecodeError`] if it is malformed.
    pub fn header(&self) -> Result<Option<Header>, DecodeError> {
        self.read(self.header, decode_header)
    }

    /// The delivery annotations.
    ///
    /// # Errors
    /// [`DecodeError`] if they are malformed.
    pub fn delivery_annotations(&self) -> Result<Option<Annotations>, DecodeError> {
        self.read(self.delivery_annotations, Annotations::decode)
    }

    /// The message annotations.
    ///
    /// # Errors
    /// [`DecodeError`] if they are malformed.
    pub fn message_annotations(&self) -> Result<Option<Annotations>, DecodeError> {
        self.read(self.message_annotations, Annotations::decode)
    }

    /// The standard properties.
    ///
    /// # Errors
    /// [`DecodeError`] if they are malformed.
    pub fn properties(&self) -> Result<Option<Properties>, DecodeError> {
        self.read(self.properties, decode_properties)
    }

    /// The application properties.
    ///
    /// # Errors
    /// [`DecodeError`] if they are malformed.
    pub fn application_properties(&self) -> Result<Option<ApplicationProperties>, DecodeError> {
        self.read(self.application_properties, ApplicationProperties::decode)
    }

    /// The footer.
    ///
    /// # Errors
    /// [`DecodeError`] if it is malformed.
    pub fn footer(&self) -> Result<Option<Annotations>, DecodeError> {
        self.read(self.footer, Annotations::decode)
    }

    /// One application property, found without decoding the others.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets up to it are malformed.
    pub fn application_property(&self, key: &str) -> Result<Option<Value>, DecodeError> {
        self.find::<Str>(self.application_properties, key)
    }

    /// One message annotation with a symbol key, found without decoding the others.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets up to it are malformed.
    pub fn message_annotation(&self, key: &str) -> Result<Option<Value>, DecodeError> {
        self.find::<AnnotationKey>(self.message_annotations, key)
    }

    /// The content of the data sections in order; none if the body is of another kind.
    pub fn body_data(&self) -> BodyData {
        let is_data = self.body_kind == Some(BodyKind::Data);
        let range = if is_data { self.body.clone() } else { 0..0 };
        BodyData { rest: self.bytes.slice(range), limits: self.limits }
    }

    /// The value of an amqp-value body; `None` if the body is of another kind.
    ///
    /// # Errors
    /// [`DecodeError`] if it is malformed.
    pub fn body_value(&self) -> Result<Option<Value>, DecodeError> {
        if self.body_kind != Some(BodyKind::Value) {
            return Ok(None);
        }
        let mut cursor = self.cursor_at(self.body.start);
        crate::described::read_code(&mut cursor, "amqp-value")?;
        Value::decode(&mut cursor).map(Some)
    }

    /// The octets of a data body, several sections joined; `None` for other bodies. One section is not copied.
    ///
    /// # Errors
    /// [`DecodeError`] if a section is malformed.
    #[inline]
    pub fn body_bytes(&self) -> Result<Option<Bytes>, DecodeError> {
        if self.body_kind != Some(BodyKind::Data) {
            return Ok(None);
        }
        if self.body_sections == 1 {
            let mut cursor = Cursor::within(&self.bytes, self.body.clone(), &self.limits);
            crate::described::read_code(&mut cursor, "data")?;
            return Bytes::decode(&mut cursor).map(Some);
        }
        let mut joined = BytesMut::with_capacity(self.body.len());
        for section in self.body_data() {
            joined.extend_from_slice(&section?);
        }
        Ok(Some(joined.freeze()))
    }

    /// The lists of a sequence body in order; none if the body is of another kind.
    pub fn body_sequences(&self) -> BodySequences<'_> {
        let is_sequence = self.body_kind == Some(BodyKind::Sequence);
        let range = if is_sequence { self.body.clone() } else { 0..0 };
        BodySequences(Cursor::within(&self.bytes, range, &self.limits))
    }

    /// The application properties one by one, where they lie; none if there is no such section.
    ///
    /// # Errors
    /// [`DecodeError`] if the section is not a map. An entry that is malformed is an error of the iterator's.
    pub fn iter_application_properties(&self) -> Result<Option<Entries<'_>>, DecodeError> {
        self.entries(self.application_properties, Keys::Strings)
    }

    /// The message annotations one by one, where they lie; none if there is no such section.
    ///
    /// # Errors
    /// As [`iter_application_properties`](Self::iter_application_properties).
    pub fn iter_message_annotations(&self) -> Result<Option<Entries<'_>>, DecodeError> {
        self.entries(self.message_annotations, Keys::Annotations)
    }

    /// The delivery annotations one by one, where they lie; none if there is no such section.
    ///
    /// # Errors
    /// As [`iter_application_properties`](Self::iter_application_properties).
    pub fn iter_delivery_annotations(&self) -> Result<Option<Entries<'_>>, DecodeError> {
        self.entries(self.delivery_annotations, Keys::Annotations)
    }

    /// The footer's entries one by one, where they lie; none if there is no such section.
    ///
    /// # Errors
    /// As [`iter_application_properties`](Self::iter_application_properties).
    pub fn iter_footer(&self) -> Result<Option<Entries<'_>>, DecodeError> {
        self.entries(self.footer, Keys::Annotations)
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
        out.extend_from_slice(self.bytes.get(self.bare..).unwrap_or_default());
    }

    /// The whole message, decoded.
    ///
    /// # Errors
    /// [`DecodeError`] if any section is malformed.
    pub fn to_message(&self) -> Result<Message, DecodeError> {
        Message::decode(&self.bytes, &self.limits)
    }

    fn cursor_at(&self, start: usize) -> Cursor<'_> {
        Cursor::within(&self.bytes, start..self.bytes.len(), &self.limits)
    }

    #[inline]
    fn read<T>(
        &self,
        start: Extent,
        decode: impl FnOnce(&mut Cursor<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if start == 0 { Ok(None) } else { decode(&mut self.cursor_at(start)).map(Some) }
    }

    fn entries(&self, start: Extent, keys: Keys) -> Result<Option<Entries<'_>>, DecodeError> {
        if start == 0 { Ok(None) } else { Entries::open(self.cursor_at(start), keys).map(Some) }
    }

    /// One field of the properties, the ones before it stepped over.
    #[inline]
    fn property<T: Decode>(&self, index: usize) -> Result<Option<T>, DecodeError> {
        if self.properties == 0 {
            return Ok(None);
        }
        if let Some(field) = self.usual_property(index) {
            let Some(range) = field else { return Ok(None) };
            return T::decode(&mut Cursor::within(&self.bytes, range, &self.limits)).map(Some);
        }
        let mut cursor = self.cursor_at(self.properties);
        let count = cursor.open_list("properties")?;
        if index >= count {
            return Ok(None);
        }
        for _ in 0..index {
            cursor.skip_value()?;
        }
        if cursor.peek() == Some(code::NULL) { Ok(None) } else { T::decode(&mut cursor).map(Some) }
    }

    /// Where a field of the properties is, if all before it is usual; `Some(None)` if it is null or absent.
    #[inline]
    fn usual_property(&self, index: usize) -> Option<Option<Range<usize>>> {
        let octets = self.bytes.get(self.properties..)?;
        let (count, mut fields) = quick::compound(octets, code::LIST8, code::LIST32)?;
        if index >= count {
            return Some(None);
        }
        for _ in 0..index {
            fields = quick::skip(fields)?;
        }
        if fields.first() == Some(&code::NULL) {
            return Some(None);
        }
        Some(Some(self.range_of(fields)))
    }

    /// Where the value of a text key is, if all before it is usual; `Some(None)` if there is no such key.
    #[inline]
    fn usual_entry(&self, start: usize, constructor: u8, key: &str) -> Option<Option<Range<usize>>> {
        let octets = self.bytes.get(start..)?;
        let (count, mut entries) = quick::compound(octets, code::MAP8, code::MAP32)?;
        for _ in 0..count / 2 {
            let (own, value) = quick::short_text(entries, constructor)?;
            if own == key.as_bytes() {
                return Some(Some(self.range_of(value)));
            }
            entries = quick::skip(value)?;
        }
        Some(None)
    }

    /// Where in the message a part of it lies.
    #[inline]
    fn range_of(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr());
        start..start.wrapping_add(part.len())
    }

    fn find<K: MapKey>(&self, start: Extent, key: &str) -> Result<Option<Value>, DecodeError> {
        if start == 0 {
            return Ok(None);
        }
        if let Some(place) = self.usual_entry(start, K::SHORT, key) {
            let Some(range) = place else { return Ok(None) };
            let value = Value::decode(&mut Cursor::within(&self.bytes, range, &self.limits))?;
            if K::allows(&value) {
                return Ok(Some(value));
            }
        }
        let mut cursor = self.cursor_at(start);
        let width = match cursor.read_u8()? {
            code::MAP8 => Width::One,
            code::MAP32 => Width::Four,
            other => return Err(cursor.wrong_type(other, "map")),
        };
        let scope = cursor.open_counted(width, "map")?;
        for _ in 0..scope.count / 2 {
            // Only a key of the right type can match; its octets are compared where they are.
            if K::reads_as(&mut cursor, key)? {
                let value = Value::decode(&mut cursor)?;
                if !K::allows(&value) {
                    return Err(cursor.error(DecodeErrorKind::InvalidChoice, "map value"));
                }
                return Ok(Some(value));
            }
            cursor.skip_value()?;
        }
        Ok(None)
    }
}

macro_rules! properties {
    ($($(#[$meta:meta])* $name:ident: $type:ty = $index:literal;)*) => {
        /// Single fields of the properties, read without decoding the others.
        impl MessageView {
            $(
                $(#[$meta])*
                ///
                /// # Errors
                /// [`DecodeError`] if the octets up to it are malformed.
                #[inline]
                pub fn $name(&self) -> Result<Option<$type>, DecodeError> {
                    self.property($index)
                }
            )*
        }
    };
}

properties! {
    /// The message's own id.
    message_id: MessageId = 0;
    /// Who made the message.
    user_id: Bytes = 1;
    /// The node it is for.
    to: Address = 2;
    /// What it is about.
    subject: Str = 3;
    /// The node to which answers go.
    reply_to: Address = 4;
    /// What it answers or belongs to.
    correlation_id: MessageId = 5;
    /// The media type of the body.
    content_type: Symbol = 6;
    /// How the body is encoded beyond that.
    content_encoding: Symbol = 7;
    /// When the message is to be considered expired.
    absolute_expiry_time: Timestamp = 8;
    /// When it was made.
    creation_time: Timestamp = 9;
    /// The group it belongs to.
    group_id: Str = 10;
    /// Its place in the group.
    group_sequence: u32 = 11;
    /// The group to which answers belong.
    reply_to_group_id: Str = 12;
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
