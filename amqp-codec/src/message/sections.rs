//! The sections of a message and the walk over them.
//!
//! Owns the order of sections (M-001): nothing else decides what may follow what.

use bytes::Bytes;

use super::{
    APPLICATION_PROPERTIES, DATA, DELIVERY_ANNOTATIONS, FOOTER, HEADER, MESSAGE_ANNOTATIONS, MessageId,
    PROPERTIES, SEQUENCE, VALUE, misplaced,
};
use crate::{
    composite::composite,
    cursor::{Cursor, Result},
    described::read_code,
    error::DecodeErrorKind,
    format_code as code,
    limits::DecodeLimits,
    number::Timestamp,
    terminus::Address,
    text::{Str, Symbol},
};

composite! {
    /// How a message is to be delivered (AMQP 1.0 §3.2.1). An absent header means all the defaults.
    // M-005, M-007: what is absent has its default; a priority is any octet.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Header = 0x70, "amqp:header:list", "header" {
        /// Whether the message must survive. Default false.
        durable: defaulted bool = false, "durable" "boolean" "false";
        /// Higher goes first. Default 4.
        priority: defaulted u8 = 4, "priority" "ubyte" "4";
        /// How long the message lives, in milliseconds.
        ttl: optional u32, "ttl" "milliseconds";
        /// Whether nobody else has acquired it before. Default false.
        first_acquirer: defaulted bool = false, "first-acquirer" "boolean" "false";
        /// How many deliveries have failed before. Default 0.
        delivery_count: defaulted u32 = 0, "delivery-count" "uint" "0";
    }
}

composite! {
    /// The standard properties of a message (AMQP 1.0 §3.2.4).
    #[derive(Clone, Debug, PartialEq, Eq)]
    Properties = 0x73, "amqp:properties:list", "properties" {
        /// The message's own id.
        message_id: optional MessageId, "message-id" "*";
        /// Who made the message.
        user_id: optional Bytes, "user-id" "binary";
        /// The node it is for.
        to: optional Address, "to" "*";
        /// What it is about.
        subject: optional Str, "subject" "string";
        /// The node to which answers go.
        reply_to: optional Address, "reply-to" "*";
        /// What it answers or belongs to.
        correlation_id: optional MessageId, "correlation-id" "*";
        /// The media type of the body.
        content_type: optional Symbol, "content-type" "symbol";
        /// How the body is encoded beyond that.
        content_encoding: optional Symbol, "content-encoding" "symbol";
        /// When the message is to be considered expired.
        absolute_expiry_time: optional Timestamp, "absolute-expiry-time" "timestamp";
        /// When it was made.
        creation_time: optional Timestamp, "creation-time" "timestamp";
        /// The group it belongs to.
        group_id: optional Str, "group-id" "string";
        /// Its place in the group.
        group_sequence: optional u32, "group-sequence" "sequence-no";
        /// The group to which answers belong.
        reply_to_group_id: optional Str, "reply-to-group-id" "string";
    }
}

/// A section of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Header,
    DeliveryAnnotations,
    MessageAnnotations,
    Properties,
    ApplicationProperties,
    Body(BodyKind),
    Footer,
}

/// The three kinds of body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    Data,
    Sequence,
    Value,
}

impl BodyKind {
    pub(super) const fn descriptor(self) -> u8 {
        match self {
            Self::Data => DATA,
            Self::Sequence => SEQUENCE,
            Self::Value => VALUE,
        }
    }
}

impl Section {
    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            HEADER => Self::Header,
            DELIVERY_ANNOTATIONS => Self::DeliveryAnnotations,
            MESSAGE_ANNOTATIONS => Self::MessageAnnotations,
            PROPERTIES => Self::Properties,
            APPLICATION_PROPERTIES => Self::ApplicationProperties,
            DATA => Self::Body(BodyKind::Data),
            SEQUENCE => Self::Body(BodyKind::Sequence),
            VALUE => Self::Body(BodyKind::Value),
            FOOTER => Self::Footer,
            _ => return None,
        })
    }

    /// The section's place in the order.
    const fn rank(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::DeliveryAnnotations => 2,
            Self::MessageAnnotations => 3,
            Self::Properties => 4,
            Self::ApplicationProperties => 5,
            Self::Body(_) => 6,
            Self::Footer => 7,
        }
    }
}

/// Steps from section to section, checking their order.
pub(super) struct Walker<'a> {
    /// At a section's content after [`next_section`](Self::next_section), which the caller then reads or steps over.
    pub(super) cursor: Cursor<'a>,
    /// Where the section starts that was found last.
    pub(super) section_start: usize,
    sections: usize,
    /// Of the last section; 0 before the first.
    rank: u8,
    last_body: Option<BodyKind>,
}

impl<'a> Walker<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a Bytes, limits: &'a DecodeLimits) -> Self {
        Self { cursor: Cursor::new(bytes, limits), section_start: 0, sections: 0, rank: 0, last_body: None }
    }

    /// The next section, with the cursor at its content.
    #[inline(always)]
    pub(super) fn next_section(&mut self) -> Result<Option<Section>> {
        if self.cursor.remaining() == 0 {
            return Ok(None);
        }
        self.sections += 1;
        if self.sections > self.cursor.limits().max_sections {
            return Err(self.cursor.error(DecodeErrorKind::TooManySections, "message"));
        }
        self.section_start = self.cursor.offset();
        let section = read_section_code(&mut self.cursor)?;
        self.check_order(section)?;
        self.rank = section.rank();
        if let Section::Body(kind) = section {
            self.last_body = Some(kind);
        }
        Ok(Some(section))
    }

    /// Checks that there was a body. What has no section at all is no message to anybody (M-003).
    #[inline]
    pub(super) fn finish(&self) -> Result<()> {
        if self.last_body.is_some() || (self.sections > 0 && !self.cursor.limits().is_strict()) {
            return Ok(());
        }
        Err(self.cursor.error(DecodeErrorKind::MissingBody, "message"))
    }

    // M-001, M-003: ascending order, each once, but for several data or several sequence sections.
    #[inline]
    fn check_order(&self, section: Section) -> Result<()> {
        let is_ordered = match section {
            Section::Body(kind) if self.rank == section.rank() => {
                kind != BodyKind::Value && self.last_body == Some(kind)
            }
            _ => section.rank() > self.rank,
        };
        if is_ordered { Ok(()) } else { Err(misplaced(&self.cursor)) }
    }
}

/// Where the octets start in a message that is one data section and nothing else, in the usual form: the most frequent message
/// needs no walk.
#[inline]
pub(super) fn lone_data(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [code::DESCRIBED, code::SMALL_ULONG, DATA, code::BINARY8, length, data @ ..]
            if data.len() == usize::from(*length) =>
        {
            Some(5)
        }
        [code::DESCRIBED, code::SMALL_ULONG, DATA, code::BINARY32, a, b, c, d, data @ ..]
            if u32::try_from(data.len()) == Ok(u32::from_be_bytes([*a, *b, *c, *d])) =>
        {
            Some(8)
        }
        _ => None,
    }
}

/// A section's descriptor: nearly always three octets, otherwise any legal form.
#[inline(always)]
fn read_section_code(cursor: &mut Cursor<'_>) -> Result<Section> {
    if let [code::DESCRIBED, code::SMALL_ULONG, number, ..] = cursor.peek_all()
        && let Some(section) = Section::from_code(*number)
    {
        cursor.take(3)?;
        return Ok(section);
    }
    let number = read_code(cursor, "message")?;
    u8::try_from(number)
        .ok()
        .and_then(Section::from_code)
        .ok_or_else(|| cursor.error(DecodeErrorKind::UnknownDescriptor, "message"))
}
