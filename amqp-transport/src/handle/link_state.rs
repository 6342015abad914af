//! What both ends of a link tell each other with their flows beside credit (`AMQP 1.0 §2.7.4`).
//!
//! Owns how it is told and heard of; what it means is agreed on by the applications, by capabilities of the link for
//! instance.

use std::sync::Arc;

use amqp_codec::Fields;

use super::error::DetachReason;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::driver::link::LinkInner;
use crate::engine::EngineError;
use crate::error::ConnectionError;

/// What the peer told with its flows: the latest only, as with a watch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinkState {
    /// How many flows of the link have told something, this one included.
    pub number: u64,
    /// What it told. Bounded by [`Limits::link_state_bytes`](crate::engine::Limits::link_state_bytes).
    pub properties: Fields,
}

/// Why nothing can be told or heard of.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkStateError {
    /// The flow would not fit a frame of the peer's; fewer properties do.
    #[error("a flow with these properties has {size} octets, the peer takes {limit}")]
    TooLarge {
        /// Octets of the frame, at most.
        size: usize,
        /// What the peer takes.
        limit: u32,
    },
    /// The link is detached.
    #[error("the link is detached: {0}")]
    Detached(DetachReason),
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] ConnectionError),
}

impl Sender {
    /// Tells the peer these properties with the next flow, which leaves at once, and with all flows after it; `None` ends
    /// that.
    ///
    /// # Errors
    /// When they do not fit a frame, the link is detached or the connection is gone.
    pub fn set_link_state(&self, properties: Option<Fields>) -> Result<(), LinkStateError> {
        tell(&self.link, properties)
    }

    /// What the peer told last with its flows; `None` where it has told nothing.
    #[must_use]
    pub fn link_state(&self) -> Option<LinkState> {
        told(&self.link)
    }

    /// Waits until the peer's flows have told more often than `number`, and gives what they told last; 0 waits for the
    /// first.
    ///
    /// # Errors
    /// When the link is detached or the connection is gone.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn link_state_after(&self, number: u64) -> Result<LinkState, LinkStateError> {
        told_after(&self.link, number).await
    }
}

impl Receiver {
    /// As [`Sender::set_link_state`].
    ///
    /// # Errors
    /// As [`Sender::set_link_state`].
    pub fn set_link_state(&self, properties: Option<Fields>) -> Result<(), LinkStateError> {
        tell(self.link(), properties)
    }

    /// As [`Sender::link_state`].
    #[must_use]
    pub fn link_state(&self) -> Option<LinkState> {
        told(self.link())
    }

    /// As [`Sender::link_state_after`].
    ///
    /// # Errors
    /// As [`Sender::link_state_after`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn link_state_after(&self, number: u64) -> Result<LinkState, LinkStateError> {
        told_after(self.link(), number).await
    }
}

fn tell(link: &Arc<LinkInner>, properties: Option<Fields>) -> Result<(), LinkStateError> {
    link.connection.shared.with(|state| {
        let Some(slot) = state.links.get(link.key) else {
            return Err(LinkStateError::Detached(DetachReason::Local));
        };
        if let Some(reason) = slot.over() {
            return Err(over(reason));
        }
        state.is_touched = true;
        state.engine.set_link_state(slot.id, properties).map_err(|error| match error {
            EngineError::FrameTooLarge { size, limit } => LinkStateError::TooLarge { size, limit },
            EngineError::Closed(error) => LinkStateError::Lost(error),
            // The link's end is on its way as an event.
            _ => LinkStateError::Detached(DetachReason::Local),
        })
    })?
}

fn told(link: &Arc<LinkInner>) -> Option<LinkState> {
    link.look(|slot| slot.told.as_deref().map(state)).flatten()
}

async fn told_after(link: &Arc<LinkInner>, number: u64) -> Result<LinkState, LinkStateError> {
    link.wait(|slot| match slot.told.as_deref() {
        Some(told) if told.0 > number => Some(Ok(state(told))),
        _ => slot.over().map(|reason| Err(over(reason))),
    })
    .await?
}

fn state((number, properties): &(u64, Fields)) -> LinkState {
    LinkState { number: *number, properties: properties.clone() }
}

fn over(reason: &DetachReason) -> LinkStateError {
    match reason {
        DetachReason::Lost(error) => LinkStateError::Lost(error.clone()),
        other => LinkStateError::Detached(other.clone()),
    }
}
