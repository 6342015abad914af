//! A message that is written from borrowed parts, without being built first.

use super::{
    APPLICATION_PROPERTIES, DATA, DELIVERY_ANNOTATIONS, FOOTER, Header, MESSAGE_ANNOTATIONS, Properties,
    SEQUENCE, VALUE, write_section,
};
use crate::{
    collection::{List, ListRef},
    format_code as code,
    primitive::encode_sized,
    sink::{Compound, Encode, Sink},
    value_ref::ValueRef,
};

/// The parts of a message that somebody else owns. Encoding them allocates nothing; sections that are left out are not
/// written.
///
/// ```
/// use amqp_codec::{BodyRef, BytesMut, DecodeLimits, Encode, Message, MessageParts};
///
/// let mut buffer = BytesMut::new();
/// let parts = MessageParts {
///     application_properties: &[("unit", "°C".into()), ("level", 3.into())],
///     body: BodyRef::Data(b"21.5"),
///     ..MessageParts::default()
/// };
/// parts.encode(&mut buffer);
/// let message = Message::decode(&buffer.freeze(), &DecodeLimits::message())?;
/// assert_eq!(message.application_property("unit").and_then(|unit| unit.as_str()), Some("°C"));
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
///
/// Keys are written as they come: it is the caller who keeps them different, and symbols (the keys of annotations and of
/// the footer) within ASCII. Numbers as keys of annotations, which the specification keeps for itself (AMQP 1.0 §3.2.10),
/// are for a [`Message`](super::Message) alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageParts<'a> {
    /// How the message is to be delivered.
    pub header: Option<&'a Header>,
    /// Annotations for the next hop only; no section if there are none.
    pub delivery_annotations: &'a [(&'a str, ValueRef<'a>)],
    /// Annotations for all hops; no section if there are none.
    pub message_annotations: &'a [(&'a str, ValueRef<'a>)],
    /// The standard properties.
    pub properties: Option<&'a Properties>,
    /// The sender's own properties; no section if there are none.
    pub application_properties: &'a [(&'a str, ValueRef<'a>)],
    /// The body.
    pub body: BodyRef<'a>,
    /// What can only be known after the body; no section if there is nothing.
    pub footer: &'a [(&'a str, ValueRef<'a>)],
}

/// The body of [`MessageParts`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BodyRef<'a> {
    /// Octets in one data section.
    Data(&'a [u8]),
    /// Octets in several data sections, which form one stream (M-019). Where there are none, one without octets is
    /// written: no message is without a body.
    DataSections(&'a [&'a [u8]]),
    /// One sequence section a list. Where there are none, one without values is written.
    Sequence(&'a [ListRef<'a>]),
    /// One value.
    Value(ValueRef<'a>),
}

impl Default for BodyRef<'_> {
    /// A data section without octets.
    fn default() -> Self {
        Self::Data(&[])
    }
}

impl Encode for MessageParts<'_> {
    fn encode(&self, out: &mut impl Sink) {
        if let Some(header) = self.header {
            header.encode(out);
        }
        write_map(out, DELIVERY_ANNOTATIONS, self.delivery_annotations, SYMBOLS);
        write_map(out, MESSAGE_ANNOTATIONS, self.message_annotations, SYMBOLS);
        if let Some(properties) = self.properties {
            properties.encode(out);
        }
        write_map(out, APPLICATION_PROPERTIES, self.application_properties, STRINGS);
        match self.body {
            BodyRef::Data(data) => write_data(out, data),
            BodyRef::DataSections([]) => write_data(out, &[]),
            BodyRef::DataSections(sections) => sections.iter().for_each(|data| write_data(out, data)),
            BodyRef::Sequence([]) => write_section(out, SEQUENCE, &List::default()),
            BodyRef::Sequence(lists) => lists.iter().for_each(|list| write_section(out, SEQUENCE, list)),
            BodyRef::Value(value) => write_section(out, VALUE, &value),
        }
        write_map(out, FOOTER, self.footer, SYMBOLS);
    }
}

#[inline]
fn write_data(out: &mut impl Sink, data: &[u8]) {
    out.write(&[code::DESCRIBED, code::SMALL_ULONG, DATA]);
    encode_sized(out, code::BINARY8, code::BINARY32, data);
}

fn write_map(
    out: &mut impl Sink,
    descriptor: u8,
    entries: &[(&str, ValueRef<'_>)],
    (small, large): (u8, u8),
) {
    if entries.is_empty() {
        return;
    }
    out.write(&[code::DESCRIBED, code::SMALL_ULONG, descriptor]);
    let start = out.begin_compound();
    for (key, value) in entries {
        encode_sized(out, small, large, key.as_bytes());
        value.encode(out);
    }
    out.end_compound(start, Compound::Map, entries.len().saturating_mul(2));
}

const SYMBOLS: (u8, u8) = (code::SYMBOL8, code::SYMBOL32);
const STRINGS: (u8, u8) = (code::STRING8, code::STRING32);
