//! A link that is not attached, as octets: what of a terminus is to survive the loss of its container
//! (AMQP 1.0 §2.6.6, §3.5.5).
//!
//! Pure data, in an AMQP encoding of its own: a list, described by a symbol that tells its form. It opens no file and knows
//! no clock; whoever writes octets down answers for where they are and who reads them, for they hold messages.

use std::collections::BTreeSet;
use std::time::Duration;

use amqp_codec::{
    Decode, DecodeError, DecodeLimits, DeliveryTag, Encode, ReceiverSettleMode, Role, SenderSettleMode, Str,
    Symbol, Value, ValueIter, ValueRef, from_bytes, to_bytes,
};
use bytes::{BufMut, Bytes, BytesMut};

use super::suspended::{Repeats, SuspendedLink, UnsettledDelivery};
use super::terminus_store::{TerminusKey, TerminusLimits, bare_weight, delivery_weight};

/// What is written down of a link that is not attached, and read back by a later process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TerminusRecord {
    /// Which link.
    pub key: TerminusKey,
    /// What is left of it: its termini, and what of its deliveries is unsettled.
    pub link: SuspendedLink,
    /// How long it is still kept, counted from when it is kept again: nobody's clock runs while nothing runs. Who wants the
    /// time between to count takes it off.
    pub time: Duration,
}

/// Why octets are no record, or a record no octets.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// They are not what AMQP encodes, or not whole.
    #[error("the octets of the record are damaged: {0}")]
    Damaged(#[source] DecodeError),
    /// They are some other value, or a record in a form that this version does not know.
    #[error("the octets are no terminus record in a form that is known here")]
    Unknown,
    /// This field is missing, of another type, or at odds with the others.
    #[error("the field {0} of the terminus record is missing or makes no sense")]
    Field(&'static str),
    /// It takes more memory than [`TerminusLimits::octets_per_identity`], or more octets than the encoding counts.
    #[error("the terminus record is larger than the limits allow")]
    TooLarge,
}

impl TerminusRecord {
    /// A record of a link that is kept so long. Its name and its role are those of the key.
    #[must_use]
    pub fn new(key: TerminusKey, mut link: SuspendedLink, time: Duration) -> Self {
        link.name.clone_from(&key.name);
        link.role = key.role;
        Self { key, link, time }
    }

    /// The record as octets.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`] above 4 GiB.
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        let Self { key, link, time } = self;
        let mut deliveries = ListWriter::default();
        for delivery in &link.deliveries {
            deliveries.push_list(write_delivery(delivery))?;
        }
        let mut fields = ListWriter::default();
        fields.optional(key.identity.as_ref());
        fields.push(&key.container_id);
        fields.push(&key.name);
        fields.push(&key.role);
        fields.push(&u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        fields.optional(link.source.as_ref());
        fields.optional(link.target.as_ref());
        fields.push(&link.snd_settle_mode);
        fields.push(&link.rcv_settle_mode);
        fields.push(&link.delivery_count);
        fields.push(&link.next_tag);
        fields.push(&(link.repeats == Repeats::Forbidden));
        fields.push_list(deliveries)?;
        let fields = fields.finish()?;
        let mut octets = BytesMut::with_capacity(fields.len() + FORM.len() + 3);
        octets.put_u8(0);
        Symbol::from_static(FORM).encode(&mut octets);
        octets.put_slice(&fields);
        Ok(octets.freeze())
    }

    /// Reads a record back, of at most [`TerminusLimits::octets_per_identity`], counted as a store counts it: what one has
    /// [written](super::TerminusStore::records) is read under the limits that it was kept under.
    ///
    /// # Errors
    /// What is wrong with the octets. None that are wrong are taken for less than they were: a record is read whole, or not.
    pub fn decode(octets: &Bytes, limits: &TerminusLimits) -> Result<Self, RecordError> {
        let mut room = Room(limits.octets_per_identity);
        // No record is longer than what it says weighs.
        if octets.len() > room.0 {
            return Err(RecordError::TooLarge);
        }
        // Every value has an octet at least.
        let decode = DecodeLimits { max_nodes: octets.len(), ..DecodeLimits::message() };
        let value: Value = from_bytes(octets, &decode).map_err(RecordError::Damaged)?;
        let ValueRef::Described(described) = value.view() else { return Err(RecordError::Unknown) };
        let ValueRef::Symbol(form) = described.descriptor() else { return Err(RecordError::Unknown) };
        let ValueRef::List(list) = described.value() else { return Err(RecordError::Unknown) };
        if form.as_str() != FORM {
            return Err(RecordError::Unknown);
        }
        let mut fields = Fields(list.iter());
        let identity: Option<Str> = fields.optional("identity")?;
        let (container_id, name) = (fields.required("container-id")?, fields.required("name")?);
        let role: Role = fields.required("role")?;
        let key = TerminusKey { identity, container_id, name, role };
        let time = Duration::from_millis(fields.required("time")?);
        let mut link = SuspendedLink::new(key.name.clone(), role);
        link.source = fields.optional("source")?;
        link.target = fields.optional("target")?;
        link.snd_settle_mode = fields.required::<SenderSettleMode>("snd-settle-mode")?;
        link.rcv_settle_mode = fields.required::<ReceiverSettleMode>("rcv-settle-mode")?;
        link.delivery_count = fields.required("delivery-count")?;
        link.next_tag = fields.required("next-tag")?;
        if fields.required("forbids-repeats")? {
            link.forbid_repeats();
        }
        let Some(ValueRef::List(deliveries)) = fields.0.next() else {
            return Err(RecordError::Field("deliveries"));
        };
        fields.finish()?;
        room.take(bare_weight(&key, &link))?;
        let mut tags = BTreeSet::new();
        for delivery in deliveries.iter() {
            let delivery = read_delivery(delivery)?;
            room.take(delivery_weight(&delivery))?;
            // D-001: a tag names one delivery.
            if !tags.insert(delivery.tag) {
                return Err(RecordError::Field("delivery-tag"));
            }
            link.deliveries.push(delivery);
        }
        Ok(Self { key, link, time })
    }
}

fn write_delivery(delivery: &UnsettledDelivery) -> ListWriter {
    let flags = [
        (delivery.is_whole, WHOLE),
        (delivery.is_concluded, CONCLUDED),
        (delivery.is_absent_there, ABSENT_THERE),
    ];
    let flags = flags.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag);
    let mut fields = ListWriter::default();
    fields.push(&delivery.tag);
    fields.optional(delivery.state.as_ref());
    fields.push(&delivery.message_format);
    fields.optional(delivery.payload.as_ref());
    fields.push(&flags);
    fields
}

fn read_delivery(value: ValueRef<'_>) -> Result<UnsettledDelivery, RecordError> {
    let ValueRef::List(list) = value else { return Err(RecordError::Field("deliveries")) };
    let mut fields = Fields(list.iter());
    let tag: DeliveryTag = fields.required("delivery-tag")?;
    let mut delivery = UnsettledDelivery::new(tag);
    delivery.state = fields.optional("state")?;
    delivery.message_format = fields.required("message-format")?;
    delivery.payload = match fields.0.next() {
        Some(ValueRef::Binary(message)) => Some(Bytes::copy_from_slice(message)),
        Some(ValueRef::Null) => None,
        _ => return Err(RecordError::Field("payload")),
    };
    let flags: u8 = fields.required("flags")?;
    if flags > (WHOLE | CONCLUDED | ABSENT_THERE) {
        return Err(RecordError::Field("flags"));
    }
    delivery.is_whole = flags & WHOLE != 0;
    delivery.is_concluded = flags & CONCLUDED != 0;
    delivery.is_absent_there = flags & ABSENT_THERE != 0;
    fields.finish()?;
    Ok(delivery)
}

/// Memory that may be taken, in octets.
struct Room(usize);

impl Room {
    fn take(&mut self, octets: usize) -> Result<(), RecordError> {
        self.0 = self.0.checked_sub(octets).ok_or(RecordError::TooLarge)?;
        Ok(())
    }
}

/// The fields of a list, in their order.
struct Fields<'a>(ValueIter<'a>);

impl Fields<'_> {
    fn optional<T: Decode>(&mut self, name: &'static str) -> Result<Option<T>, RecordError> {
        match self.0.next() {
            None => Err(RecordError::Field(name)),
            Some(ValueRef::Null) => Ok(None),
            Some(value) => {
                let read = from_bytes(&to_bytes(&value), &DecodeLimits::message());
                read.map(Some).map_err(|_| RecordError::Field(name))
            }
        }
    }

    fn required<T: Decode>(&mut self, name: &'static str) -> Result<T, RecordError> {
        self.optional(name)?.ok_or(RecordError::Field(name))
    }

    fn finish(mut self) -> Result<(), RecordError> {
        if self.0.next().is_some() { Err(RecordError::Unknown) } else { Ok(()) }
    }
}

/// A list of any length.
#[derive(Default)]
struct ListWriter {
    octets: BytesMut,
    count: u32,
}

impl ListWriter {
    fn push(&mut self, value: &impl Encode) {
        value.encode(&mut self.octets);
        self.count = self.count.saturating_add(1);
    }

    fn optional(&mut self, value: Option<&impl Encode>) {
        match value {
            Some(value) => self.push(value),
            None => self.push(&Value::Null),
        }
    }

    fn push_list(&mut self, list: Self) -> Result<(), RecordError> {
        self.octets.put_slice(&list.finish()?);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn finish(self) -> Result<BytesMut, RecordError> {
        let len = self.octets.len().saturating_add(size_of::<u32>());
        let size = u32::try_from(len).map_err(|_| RecordError::TooLarge)?;
        let mut list = BytesMut::with_capacity(len.saturating_add(5));
        list.put_u8(LIST32);
        list.put_u32(size);
        list.put_u32(self.count);
        list.put_slice(&self.octets);
        Ok(list)
    }
}

/// The form that is written here.
const FORM: &str = "amqp-transport:terminus-record:1";
/// The constructor of a list with wide size and count (AMQP 1.0 §1.6.22).
const LIST32: u8 = 0xd0;
const WHOLE: u8 = 1;
const CONCLUDED: u8 = 2;
const ABSENT_THERE: u8 = 4;

#[cfg(test)]
mod tests;
