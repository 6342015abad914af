//! The receiving half of a link: its state. Transfers come in at `transfers`, flows leave by `credit`, and
//! `dispositions` ends the deliveries.

mod credit;
mod dispositions;
mod transfers;

use std::fmt;

use amqp_codec::{DeliveryState, DeliveryTag, Transfer};
use bytes::Bytes;

use super::ids::LinkId;
use super::retained::Survivors;
use super::suspended::UnsettledDelivery;
use super::tags::HighestTag;
use super::window::ReceiverCredit;
use credit::Echo;

pub(super) use transfers::{add_partial, check_size, hold_id, invalid, skip_id};

/// A receiver's state.
#[derive(Debug)]
pub(crate) struct ReceiverState {
    pub(crate) credit: ReceiverCredit,
    pub(crate) partial: Option<Box<Partial>>,
    /// What is kept for resuming the link.
    pub(crate) survivors: Option<Box<Survivors>>,
    highest_tag: HighestTag,
    /// The transaction under which messages are to be acquired.
    pub(crate) acquiring: Option<Bytes>,
    /// Octets of whole messages that came.
    pub(crate) octets: u64,
    pub(crate) echo: Echo,
}

/// A delivery whose last frame has not come.
pub(crate) struct Partial {
    pub(crate) id: u32,
    pub(crate) tag: DeliveryTag,
    pub(crate) message_format: Option<u32>,
    pub(crate) is_settled: bool,
    pub(crate) state: Option<Box<DeliveryState>>,
    pub(crate) octets: Vec<u8>,
    pub(crate) transfers: u32,
    pub(crate) kind: PartialKind,
}

/// Where a delivery comes from.
#[derive(Debug)]
pub(crate) enum PartialKind {
    /// It is a new one.
    Fresh,
    /// It goes on from before the link was resumed.
    Resumed(Box<UnsettledDelivery>),
    /// The sender resumes what we know nothing of: it is dropped (D-019).
    Ignored,
}

/// An unsettled delivery of the peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IncomingEntry {
    pub(crate) link: LinkId,
    pub(crate) tag: DeliveryTag,
}

impl Partial {
    /// A delivery by its first frame; `octets` are those of its message that came.
    pub(crate) fn begun(
        (id, tag): (u32, DeliveryTag),
        transfer: &mut Transfer,
        octets: Vec<u8>,
        kind: PartialKind,
    ) -> Self {
        Self {
            id,
            tag,
            message_format: transfer.message_format,
            is_settled: transfer.settled == Some(true),
            state: transfer.state.take(),
            octets,
            transfers: 1,
            kind,
        }
    }
}

impl fmt::Debug for Partial {
    // The octets of messages and frames may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partial")
            .field("id", &self.id)
            .field("octets", &self.octets.len())
            .field("transfers", &self.transfers)
            .finish_non_exhaustive()
    }
}

impl ReceiverState {
    pub(crate) fn new() -> Self {
        Self {
            credit: ReceiverCredit::new(),
            partial: None,
            survivors: None,
            highest_tag: HighestTag::default(),
            acquiring: None,
            octets: 0,
            echo: Echo::default(),
        }
    }
}
