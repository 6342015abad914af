//! A message whose sections are found at once and decoded when asked for.
//!
//! Owns the sections as wholes. `places` finds them, `fields` reads single entries of them, `bodies` hands the body out.

mod bodies;
mod fields;
mod places;

use bytes::{Bytes, BytesMut};

use super::{DELIVERY_ANNOTATIONS, Header, MESSAGE_ANNOTATIONS, Message, Properties, write_section};
use crate::{
    collection::{Annotations, ApplicationProperties, Entries, Keys},
    composite::Composite,
    cursor::{Cursor, Decode},
    error::DecodeError,
    format_code as code,
    limits::DecodeLimits,
    sink::Encode,
};
use places::Places;

pub use bodies::{BodyData, BodySequences};

/// A message that is decoded on access, where it lies.
///
/// [`parse`](Self::parse) walks the sections once and checks their order and extent; what is inside a section is checked
/// when it is asked for. Nothing is allocated, copied or counted until then. Single fields, properties and annotations are
/// borrowed from the message; [`body_bytes`](Self::body_bytes) and the whole sections are for keeping.
///
/// A single field or entry is found by looking at what comes before it, and at nothing behind it: in a section that is
/// malformed only there, octets left over behind the last field included, it is found where the whole section, and
/// [`to_message`](Self::to_message), are errors. Whoever passes judgement on a message asks for these.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    bytes: &'a Bytes,
    limits: &'a DecodeLimits,
    places: Places,
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
}

fn binary<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    cursor.read_sized(code::BINARY8, code::BINARY32, "binary")
}
