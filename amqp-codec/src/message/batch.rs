//! The batched message format of Azure Event Hubs and IoT Hub: one delivery that carries several messages, each encoded
//! in a data section of its own.

use bytes::{Bytes, BytesMut};

use super::{BodyData, DATA, MessageView};
use crate::{
    collection::Annotations,
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    limits::DecodeLimits,
    message::{MESSAGE_ANNOTATIONS, write_section},
    primitive::encode_sized_head,
    sink::{Encode, Sink},
};

/// The message format of a batch.
pub const BATCHED_MESSAGE_FORMAT: u32 = 0x8001_3700;

/// Collects messages into one batch of bounded size.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    out: BytesMut,
    max_size: usize,
    count: usize,
}

/// A message does not fit into the batch; the caller sends the batch and starts another, or gives up the message when it
/// does not fit an empty one. Trying again on the same batch does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch would take {size} octets of {limit}")]
pub struct BatchFull {
    /// What the batch would have taken, in octets.
    pub size: usize,
    /// What it may take, in octets.
    pub limit: usize,
}

impl BatchBuilder {
    /// An empty batch of at most `max_size` octets.
    pub fn new(max_size: usize) -> Self {
        Self { out: BytesMut::new(), max_size, count: 0 }
    }

    /// An empty batch whose envelope carries message annotations, such as a partition key.
    ///
    /// # Errors
    /// [`BatchFull`] if they alone are larger than `max_size` octets.
    pub fn with_annotations(max_size: usize, annotations: &Annotations) -> Result<Self, BatchFull> {
        let mut batch = Self::new(max_size);
        write_section(&mut batch.out, MESSAGE_ANNOTATIONS, annotations);
        if batch.out.len() > max_size {
            return Err(BatchFull { size: batch.out.len(), limit: max_size });
        }
        Ok(batch)
    }

    /// Adds a message: a [`Message`](crate::Message), or [`MessageParts`](crate::MessageParts) that somebody else owns.
    ///
    /// # Errors
    /// [`BatchFull`] if it does not fit; the batch is as it was.
    pub fn try_add(&mut self, message: &impl Encode) -> Result<(), BatchFull> {
        self.begin(message.encoded_len())?;
        message.encode(&mut self.out);
        Ok(())
    }

    /// Adds a message that is encoded already, which is not looked into.
    ///
    /// # Errors
    /// [`BatchFull`] if it does not fit; the batch is as it was.
    pub fn try_add_encoded(&mut self, message: &[u8]) -> Result<(), BatchFull> {
        self.begin(message.len())?;
        self.out.write(message);
        Ok(())
    }

    /// Writes what stands before a message of this length.
    fn begin(&mut self, length: usize) -> Result<(), BatchFull> {
        let header = if u8::try_from(length).is_ok() { 5 } else { 8 };
        let size = self.out.len().saturating_add(header).saturating_add(length);
        if size > self.max_size {
            return Err(BatchFull { size, limit: self.max_size });
        }
        self.out.reserve(header + length);
        self.out.write(&[code::DESCRIBED, code::SMALL_ULONG, DATA]);
        encode_sized_head(&mut self.out, code::BINARY8, code::BINARY32, length);
        self.count += 1;
        Ok(())
    }

    /// How many messages are in the batch.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What the batch takes so far, in octets.
    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// The payload, to be sent with [`BATCHED_MESSAGE_FORMAT`].
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }
}

/// The encoded messages of a batch, each sharing the batch's buffer.
///
/// # Errors
/// [`DecodeError`] if the payload is not a message, or if its body is a value or a sequence; the iterator's items are errors
/// where a section is malformed.
pub fn messages(payload: Bytes, limits: &DecodeLimits) -> Result<BodyData, DecodeError> {
    let view = MessageView::parse(&payload, limits)?;
    if view.has_other_body_than_data() {
        let what = "body of a batch";
        return Err(DecodeError { kind: DecodeErrorKind::SectionOrder, offset: 0, what });
    }
    Ok(view.body_data())
}
