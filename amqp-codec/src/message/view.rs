//! A message whose sections are found at once and decoded when asked for.

use core::ops::Range;

use bytes::Bytes;

use super::{
    Header, Message, Properties,
    sections::{BodyKind, Section, Walker, decode_header, decode_properties},
};
use crate::{
    collection::{AnnotationKey, Annotations, ApplicationProperties, MapKey},
    cursor::{Cursor, Decode, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    limits::DecodeLimits,
    text::Str,
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
    /// Where the first section behind header and annotations starts.
    bare: usize,
    /// From the first body section's descriptor to the end of the last.
    body: Range<usize>,
    body_kind: Option<BodyKind>,
    footer: Extent,
}

/// Where the content of a section starts; `None` if there is no such section.
type Extent = Option<usize>;

impl MessageView {
    /// Finds the sections of a message.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets are not a sequence of sections in legal order (M-001, M-003).
    pub fn parse(bytes: Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut view = Self {
            bytes: Bytes::new(),
            limits: *limits,
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: None,
            application_properties: None,
            bare: 0,
            body: 0..0,
            body_kind: None,
            footer: None,
        };
        let mut walker = Walker::new(&bytes, limits);
        let mut section_start = 0;
        while let Some((section, mut cursor)) = walker.next_section()? {
            let content = cursor.offset();
            cursor.skip_value()?;
            walker.resume(&cursor);
            let end = cursor.offset();
            match section {
                Section::Header => view.header = Some(content),
                Section::DeliveryAnnotations => view.delivery_annotations = Some(content),
                Section::MessageAnnotations => view.message_annotations = Some(content),
                Section::Properties => view.properties = Some(content),
                Section::ApplicationProperties => view.application_properties = Some(content),
                Section::Body(kind) => {
                    if view.body_kind.is_none() {
                        view.body.start = section_start;
                    }
                    view.body.end = end;
                    view.body_kind = Some(kind);
                }
                Section::Footer => view.footer = Some(content),
            }
            if matches!(section, Section::Header | Section::DeliveryAnnotations | Section::MessageAnnotations)
            {
                view.bare = end;
            }
            section_start = end;
        }
        walker.finish()?;
        view.bytes = bytes;
        Ok(view)
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
        self.read(Some(self.body.start), |cursor| {
            crate::described::read_code(cursor, "amqp-value")?;
            Value::decode(cursor)
        })
    }

    /// The whole message, decoded.
    ///
    /// # Errors
    /// [`DecodeError`] if any section is malformed.
    pub fn to_message(&self) -> Result<Message, DecodeError> {
        Message::decode(&self.bytes, &self.limits)
    }

    fn cursor_at(&self, start: usize) -> Result<Cursor<'_>, DecodeError> {
        let mut cursor = Cursor::new(&self.bytes, &self.limits);
        cursor.take(start)?;
        Ok(cursor)
    }

    fn read<T>(
        &self,
        start: Extent,
        decode: impl FnOnce(&mut Cursor<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        start.map(|start| decode(&mut self.cursor_at(start)?)).transpose()
    }

    fn find<K: MapKey>(&self, start: Extent, key: &str) -> Result<Option<Value>, DecodeError> {
        let Some(start) = start else { return Ok(None) };
        let mut cursor = self.cursor_at(start)?;
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
