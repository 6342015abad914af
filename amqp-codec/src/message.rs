//! Messages (AMQP 1.0 §3.2).
//!
//! Owns the sections and their order. [`Message`] owns decoded sections, [`MessageView`] finds them and decodes what is
//! asked for; both read through the one walker in `sections`.

pub mod batch;
mod body;
mod id;
mod parts;
mod sections;
mod view;

use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

use bytes::{Bytes, BytesMut};

pub use body::{Body, DataSections, IntoDataSections, IntoSequences, Sequences};
pub use id::{MessageId, MessageIdRef};
pub use parts::{BodyRef, MessageParts};
pub use sections::{Header, Properties};
pub use view::{BodyData, BodySequences, MessageView};

use crate::{
    collection::{AnnotationKey, Annotations, ApplicationProperties, OrderedMap},
    composite::Composite,
    cursor::{Cursor, Decode},
    delivery_state::Modified,
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    limits::DecodeLimits,
    primitive::encode_sized_head,
    sink::{Encode, Sink},
    text::{Str, Symbol},
    value::Value,
    value_ref::ValueRef,
};
use body::Span;
use sections::{Section, Walker};

/// A message with all its sections decoded.
///
/// The sections other than the body are fields of [`Sections`] and reached as if they were the message's own:
/// `message.properties`. They lie in one box that is made when the first of them is set, so that a message is seven words
/// to move, and one of data alone allocates nothing.
///
/// Compared by content: absent sections are not equal to empty ones.
// M-011: delivery annotations are apart from the others. M-022: the footer is behind the body.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The body.
    pub body: Body,
    sections: Option<Box<Sections>>,
}

/// The sections of a message other than its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// How the message is to be delivered.
    pub header: Option<Header>,
    /// Annotations for the next hop only.
    pub delivery_annotations: Option<Annotations>,
    /// Annotations for all hops.
    pub message_annotations: Option<Annotations>,
    /// The standard properties.
    pub properties: Option<Properties>,
    /// The sender's own properties.
    pub application_properties: Option<ApplicationProperties>,
    /// What can only be known after the body, such as a hash.
    pub footer: Option<Annotations>,
}

impl Message {
    /// A message of a body and other sections.
    pub fn new(body: Body, sections: Sections) -> Self {
        Self { body, sections: Some(Box::new(sections)) }
    }

    /// A message with octets as its body.
    pub fn data(body: impl Into<Bytes>) -> Self {
        Self { body: Body::Data(body.into()), sections: None }
    }

    /// A message with a value as its body.
    pub fn value(body: impl Into<Value>) -> Self {
        Self { body: Body::Value(body.into()), sections: None }
    }

    /// Decodes a whole message. Octets of the body share `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets are not a message (M-001, M-003).
    #[inline]
    pub fn decode(bytes: &Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        match sections::lone_data(bytes) {
            Some(start) => Ok(Self { body: Body::Data(bytes.slice(start..)), sections: None }),
            None => Self::decode_sections(bytes, limits),
        }
    }

    #[inline(never)]
    fn decode_sections(bytes: &Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut message = Self::default();
        let mut walker = Walker::new(bytes, limits);
        let mut span = Span::default();
        while let Some(section) = walker.next_section()? {
            if let Section::Body(kind) = section {
                span.add(walker.section_start);
                message.body.read_section(kind, &mut walker.cursor, &mut span)?;
            } else {
                message.read_section(section, &mut walker.cursor)?;
            }
        }
        walker.finish()?;
        message.body.complete(bytes, &span);
        Ok(message)
    }

    fn read_section(&mut self, section: Section, cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
        let sections = self.sections.get_or_insert_default();
        match section {
            Section::Header => sections.header.insert(Header::default()).read_list(cursor)?,
            Section::DeliveryAnnotations => {
                sections.delivery_annotations = Some(Annotations::decode(cursor)?)
            }
            Section::MessageAnnotations => sections.message_annotations = Some(Annotations::decode(cursor)?),
            Section::Properties => sections.properties.insert(Properties::default()).read_list(cursor)?,
            Section::ApplicationProperties => {
                sections.application_properties = Some(ApplicationProperties::decode(cursor)?);
            }
            Section::Footer => sections.footer = Some(Annotations::decode(cursor)?),
            Section::Body(_) => {}
        }
        Ok(())
    }

    /// Makes the changes that a consumer asks for as it gives a message back (AMQP 1.0 §3.4.5): a failed delivery raises
    /// `delivery-count`, annotations are set. That the message must not come back to that consumer is the caller's to obey.
    pub fn modify(&mut self, modified: &Modified) {
        if modified.delivery_failed == Some(true) {
            let header = self.header.get_or_insert_default();
            header.delivery_count = header.delivery_count.saturating_add(1);
        }
        for (key, value) in modified.message_annotations.iter().flat_map(OrderedMap::iter) {
            self.message_annotations.get_or_insert_default().insert(key.to_symbol(), value);
        }
    }

    /// The octets of a data body, several sections joined; `None` for other bodies. One section is not copied.
    pub fn body_bytes(&self) -> Option<Bytes> {
        match &self.body {
            Body::Data(data) => Some(data.clone()),
            Body::DataSections(sections) => {
                let mut joined = BytesMut::with_capacity(sections.iter().map(<[u8]>::len).sum());
                sections.iter().for_each(|section| joined.extend_from_slice(section));
                Some(joined.freeze())
            }
            Body::Empty | Body::Sequence(_) | Body::Value(_) => None,
        }
    }

    /// The value of an application property.
    pub fn application_property(&self, key: &str) -> Option<ValueRef<'_>> {
        self.application_properties.as_ref()?.get(key)
    }

    /// The value of a message annotation.
    pub fn message_annotation(&self, key: &str) -> Option<ValueRef<'_>> {
        self.message_annotations.as_ref()?.get(key)
    }

    /// The message with another body.
    #[must_use]
    pub fn with_body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    /// The message with this header.
    #[must_use]
    pub fn with_header(mut self, header: Header) -> Self {
        self.header = Some(header);
        self
    }

    /// The message with these properties.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = Some(properties);
        self
    }

    /// The message with one more application property.
    #[must_use]
    pub fn with_application_property(mut self, key: impl Into<Str>, value: impl Into<Value>) -> Self {
        self.application_properties.get_or_insert_default().insert(key, value);
        self
    }

    /// The message with one more message annotation.
    #[must_use]
    pub fn with_message_annotation(mut self, key: impl Into<AnnotationKey>, value: impl Into<Value>) -> Self {
        self.message_annotations.get_or_insert_default().insert(key, value);
        self
    }

    /// The message with one more delivery annotation.
    #[must_use]
    pub fn with_delivery_annotation(
        mut self,
        key: impl Into<AnnotationKey>,
        value: impl Into<Value>,
    ) -> Self {
        self.delivery_annotations.get_or_insert_default().insert(key, value);
        self
    }

    /// The message with this id.
    #[must_use]
    pub fn with_message_id(mut self, id: impl Into<MessageId>) -> Self {
        self.properties.get_or_insert_default().message_id = Some(id.into());
        self
    }

    /// The message with this correlation id.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<MessageId>) -> Self {
        self.properties.get_or_insert_default().correlation_id = Some(id.into());
        self
    }

    /// The message with the address of the node it is for.
    #[must_use]
    pub fn with_to(mut self, to: impl Into<Str>) -> Self {
        self.properties.get_or_insert_default().to = Some(to.into());
        self
    }

    /// The message with the address to which answers go.
    #[must_use]
    pub fn with_reply_to(mut self, reply_to: impl Into<Str>) -> Self {
        self.properties.get_or_insert_default().reply_to = Some(reply_to.into());
        self
    }

    /// The message with this content type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<Symbol>) -> Self {
        self.properties.get_or_insert_default().content_type = Some(content_type.into());
        self
    }
}

impl Deref for Message {
    type Target = Sections;

    /// The sections, all absent if none was ever set.
    #[inline]
    fn deref(&self) -> &Sections {
        self.sections.as_deref().unwrap_or(&NO_SECTIONS)
    }
}

impl DerefMut for Message {
    #[inline]
    fn deref_mut(&mut self) -> &mut Sections {
        self.sections.get_or_insert_default()
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.body == other.body && **self == **other
    }
}

impl Eq for Message {}

impl Encode for Message {
    fn encode(&self, out: &mut impl Sink) {
        if let Some(sections) = &self.sections {
            sections.encode_before_body(out);
        }
        match &self.body {
            Body::Empty => {}
            Body::Data(data) => write_section(out, DATA, data),
            Body::DataSections(sections) => sections.encode(out),
            Body::Sequence(sections) => sections.encode(out),
            Body::Value(value) => write_section(out, VALUE, value),
        }
        if let Some(footer) = self.sections.as_ref().and_then(|sections| sections.footer.as_ref()) {
            write_section(out, FOOTER, footer);
        }
    }
}

impl Message {
    /// The octets with which the encoded message ends: those of a body that is one data section with no footer behind
    /// it. A large one can be sent behind [`encode_head`](Self::encode_head) without being copied.
    pub fn trailing_data(&self) -> Option<&Bytes> {
        let has_footer = self.sections.as_ref().is_some_and(|sections| sections.footer.is_some());
        match &self.body {
            Body::Data(data) if !has_footer => Some(data),
            _ => None,
        }
    }

    /// Encodes the message up to its [`trailing_data`](Self::trailing_data), or all of it where there is none.
    pub fn encode_head(&self, out: &mut impl Sink) {
        let Some(data) = self.trailing_data() else { return self.encode(out) };
        if let Some(sections) = &self.sections {
            sections.encode_before_body(out);
        }
        out.write(&[code::DESCRIBED, code::SMALL_ULONG, DATA]);
        encode_sized_head(out, code::BINARY8, code::BINARY32, data.len());
    }
}

impl Sections {
    fn encode_before_body(&self, out: &mut impl Sink) {
        if let Some(header) = &self.header {
            header.encode(out);
        }
        if let Some(annotations) = &self.delivery_annotations {
            write_section(out, DELIVERY_ANNOTATIONS, annotations);
        }
        if let Some(annotations) = &self.message_annotations {
            write_section(out, MESSAGE_ANNOTATIONS, annotations);
        }
        if let Some(properties) = &self.properties {
            properties.encode(out);
        }
        if let Some(properties) = &self.application_properties {
            write_section(out, APPLICATION_PROPERTIES, properties);
        }
    }
}

#[inline]
pub(crate) fn write_section(out: &mut impl Sink, descriptor: u8, content: &impl Encode) {
    out.write(&[code::DESCRIBED, code::SMALL_ULONG, descriptor]);
    content.encode(out);
}

/// The error of a section that may not come here.
pub(crate) fn misplaced(cursor: &Cursor<'_>) -> DecodeError {
    cursor.error(DecodeErrorKind::SectionOrder, "message")
}

/// What a message without a box has.
static NO_SECTIONS: Sections = Sections {
    header: None,
    delivery_annotations: None,
    message_annotations: None,
    properties: None,
    application_properties: None,
    footer: None,
};

pub(crate) const HEADER: u8 = 0x70;
pub(crate) const DELIVERY_ANNOTATIONS: u8 = 0x71;
pub(crate) const MESSAGE_ANNOTATIONS: u8 = 0x72;
pub(crate) const PROPERTIES: u8 = 0x73;
pub(crate) const APPLICATION_PROPERTIES: u8 = 0x74;
pub(crate) const DATA: u8 = 0x75;
pub(crate) const SEQUENCE: u8 = 0x76;
pub(crate) const VALUE: u8 = 0x77;
pub(crate) const FOOTER: u8 = 0x78;

#[cfg(test)]
mod tests;
