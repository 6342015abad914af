//! Where the sections of a message are, found in one walk.
//!
//! Owns the order and extent of sections. It never looks inside one.

use bytes::Bytes;

use crate::{
    error::DecodeError,
    format_code as code,
    limits::DecodeLimits,
    message::{
        APPLICATION_PROPERTIES, DATA, DELIVERY_ANNOTATIONS, FOOTER, HEADER, MESSAGE_ANNOTATIONS, PROPERTIES,
        SEQUENCE, VALUE,
        sections::{Section, Walker},
    },
    quick,
};

/// Where the sections of a message are, in octets from its start. There is always a descriptor before a section's content, so
/// 0 says that there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    pub(super) header: usize,
    pub(super) delivery_annotations: usize,
    pub(super) message_annotations: usize,
    /// Where the first section behind header and annotations starts.
    pub(super) bare: usize,
    pub(super) properties: usize,
    pub(super) application_properties: usize,
    /// The descriptor of the first body section.
    pub(super) bodies_start: usize,
    /// The content of the first body section.
    pub(super) body: usize,
    /// The end of the last body section.
    pub(super) bodies_end: usize,
    pub(super) bodies: usize,
    pub(super) body_kind: u8,
    pub(super) footer: usize,
}

impl Places {
    /// The sections of a message in which all descriptors have their short form and nothing is wrong.
    // M-001, M-003: each section is only looked for where it may stand.
    #[inline]
    pub(super) fn of_usual(bytes: &Bytes, limits: &DecodeLimits) -> Option<Self> {
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
    pub(super) fn of_any(bytes: &Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
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

/// Most sections of a message that are not its body.
const OTHER_SECTIONS: usize = 6;
