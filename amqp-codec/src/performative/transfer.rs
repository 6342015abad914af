//! The transfer performative and the delivery tag (AMQP 1.0 §2.7.5, §2.8.7).

use alloc::boxed::Box;
use core::{fmt, hash};

use crate::{
    composite::composite,
    cursor::{Cursor, Decode},
    delivery_state::DeliveryState,
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    performative::ReceiverSettleMode,
    primitive::encode_sized,
    sink::{Encode, Sink},
};

composite! {
    /// Carries a delivery, or a part of it; the payload follows in the frame.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Transfer = 0x14, "amqp:transfer:list", "transfer" {
        /// The link.
        handle: required u32, "handle" "handle";
        /// The delivery's number in the session; must be set in the first frame of a delivery.
        delivery_id: optional u32, "delivery-id" "delivery-number";
        /// The delivery's name on the link; must be set in the first frame of a delivery.
        delivery_tag: optional DeliveryTag, "delivery-tag" "delivery-tag";
        /// The format of the payload, 0 for AMQP messages; must be set in the first frame of a delivery.
        message_format: optional u32, "message-format" "message-format";
        /// Whether the sender has settled the delivery.
        settled: optional bool, "settled" "boolean";
        /// Whether more frames of this delivery follow. Default false.
        more: defaulted bool = false, "more" "boolean" "false";
        /// How the receiver is to settle this delivery, where it differs from the link's mode.
        rcv_settle_mode: optional ReceiverSettleMode, "rcv-settle-mode" "receiver-settle-mode";
        /// The delivery's state at the sender; boxed, because nearly no transfer has one.
        state: optional Box<DeliveryState>, "state" "*";
        /// Whether this resumes a delivery of an earlier attach. Default false.
        resume: defaulted bool = false, "resume" "boolean" "false";
        /// Whether the delivery is given up; the receiver forgets what it has of it. Default false.
        aborted: defaulted bool = false, "aborted" "boolean" "false";
        /// Whether the receiver may take its time with the disposition. Default false.
        batchable: defaulted bool = false, "batchable" "boolean" "false";
    }
}

/// The name of a delivery on its link: up to 32 octets, kept in place.
#[derive(Clone, Copy, Default)]
pub struct DeliveryTag {
    octets: [u8; Self::MAX_LEN],
    len: u8,
}

impl DeliveryTag {
    /// Most octets a tag may have.
    pub const MAX_LEN: usize = 32;

    /// A tag of these octets; `None` if there are more than 32.
    #[inline]
    pub fn new(tag: &[u8]) -> Option<Self> {
        let mut octets = [0; Self::MAX_LEN];
        octets.get_mut(..tag.len())?.copy_from_slice(tag);
        Some(Self { octets, len: u8::try_from(tag.len()).ok()? })
    }

    /// A tag of up to eight octets, as counters are, or of sixteen, as uuids are: copies of a fixed width keep it in
    /// registers until it is at its place.
    #[inline(always)]
    fn of_usual_length(tag: &[u8]) -> Option<Self> {
        let (head, tail) = if let Ok(octets) = <[u8; 4]>::try_from(tag) {
            (u64::from(u32::from_le_bytes(octets)), 0)
        } else if let Ok(octets) = <[u8; 8]>::try_from(tag) {
            (u64::from_le_bytes(octets), 0)
        } else if let Some((head, tail)) = tag.split_first_chunk::<8>() {
            (u64::from_le_bytes(*head), u64::from_le_bytes(tail.try_into().ok()?))
        } else {
            (tag.iter().rev().fold(0, |all, octet| all << 8 | u64::from(*octet)), 0)
        };
        let mut octets = [0; Self::MAX_LEN];
        let (front, back) = octets.split_first_chunk_mut::<8>()?;
        *front = head.to_le_bytes();
        *back.first_chunk_mut()? = tail.to_le_bytes();
        Some(Self { octets, len: u8::try_from(tag.len()).ok()? })
    }

    /// The octets.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl From<u32> for DeliveryTag {
    /// Four octets, big-endian.
    #[inline]
    fn from(number: u32) -> Self {
        let mut octets = [0; Self::MAX_LEN];
        if let Some(head) = octets.first_chunk_mut() {
            *head = number.to_be_bytes();
        }
        Self { octets, len: 4 }
    }
}

impl From<u64> for DeliveryTag {
    /// Eight octets, big-endian.
    #[inline]
    fn from(number: u64) -> Self {
        let mut octets = [0; Self::MAX_LEN];
        if let Some(head) = octets.first_chunk_mut() {
            *head = number.to_be_bytes();
        }
        Self { octets, len: 8 }
    }
}

impl AsRef<[u8]> for DeliveryTag {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for DeliveryTag {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for DeliveryTag {}

impl PartialOrd for DeliveryTag {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DeliveryTag {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl hash::Hash for DeliveryTag {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for DeliveryTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.as_slice().iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// A transfer as nearly every sender writes it: short list, no state, no settle mode. Anything else, and anything that is
/// wrong, is left to the table's decoder. With it what follows it.
#[inline(always)]
pub(crate) fn read_usual(octets: &[u8]) -> Option<(Transfer, &[u8])> {
    let [0x00, code::SMALL_ULONG, 0x14, code::LIST8, size, rest @ ..] = octets else {
        return None;
    };
    let (list, rest) = rest.split_at_checked(usize::from(*size))?;
    let (count, octets) = list.split_first()?;
    if *count > 11 {
        return None;
    }
    let mut fields = UsualFields { octets, left: *count };
    let transfer = Transfer {
        handle: fields.uint()??,
        delivery_id: fields.uint()?,
        delivery_tag: fields.tag()?,
        message_format: fields.uint()?,
        settled: fields.boolean()?,
        more: fields.boolean()?.unwrap_or(false),
        rcv_settle_mode: fields.null()?,
        state: fields.null()?,
        resume: fields.boolean()?.unwrap_or(false),
        aborted: fields.boolean()?.unwrap_or(false),
        batchable: fields.boolean()?.unwrap_or(false),
    };
    fields.octets.is_empty().then_some((transfer, rest))
}

/// The fields of a short list, each `None` where it is not of its usual form, and `Some(None)` where it is null or absent.
struct UsualFields<'a> {
    octets: &'a [u8],
    left: u8,
}

impl<'a> UsualFields<'a> {
    /// The constructor of the next field, and what is behind it.
    #[inline(always)]
    fn next(&mut self) -> Option<Option<(u8, &'a [u8])>> {
        let Some(left) = self.left.checked_sub(1) else { return Some(None) };
        self.left = left;
        let (constructor, rest) = self.octets.split_first()?;
        if *constructor == code::NULL {
            self.octets = rest;
            return Some(None);
        }
        Some(Some((*constructor, rest)))
    }

    #[inline(always)]
    fn uint(&mut self) -> Option<Option<u32>> {
        let Some((constructor, rest)) = self.next()? else { return Some(None) };
        let number = match constructor {
            code::SMALL_UINT => {
                let (number, rest) = rest.split_first()?;
                self.octets = rest;
                u32::from(*number)
            }
            code::UINT => {
                let (number, rest) = rest.split_first_chunk()?;
                self.octets = rest;
                u32::from_be_bytes(*number)
            }
            code::UINT0 => {
                self.octets = rest;
                0
            }
            _ => return None,
        };
        Some(Some(number))
    }

    #[inline(always)]
    fn boolean(&mut self) -> Option<Option<bool>> {
        let Some((constructor, rest)) = self.next()? else { return Some(None) };
        self.octets = rest;
        match constructor {
            code::TRUE => Some(Some(true)),
            code::FALSE => Some(Some(false)),
            _ => None,
        }
    }

    #[inline(always)]
    fn tag(&mut self) -> Option<Option<DeliveryTag>> {
        let Some((constructor, rest)) = self.next()? else { return Some(None) };
        if constructor != code::BINARY8 {
            return None;
        }
        let (length, rest) = rest.split_first()?;
        let (tag, rest) = rest.split_at_checked(usize::from(*length))?;
        self.octets = rest;
        DeliveryTag::of_usual_length(tag).map(Some)
    }

    #[inline(always)]
    fn null<T>(&mut self) -> Option<Option<T>> {
        if self.next()?.is_none() { Some(None) } else { None }
    }
}

impl Decode for DeliveryTag {
    #[inline]
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let octets = cursor.read_sized(code::BINARY8, code::BINARY32, "delivery-tag")?;
        let tag = Self::of_usual_length(octets).or_else(|| Self::new(octets));
        tag.ok_or_else(|| cursor.error(DecodeErrorKind::TagTooLong, "delivery-tag"))
    }
}

impl Encode for DeliveryTag {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        encode_sized(out, code::BINARY8, code::BINARY32, self.as_slice());
    }
}
