//! Feedback as a service receives it.

use std::sync::Arc;

use amqp_codec::DeliveryState;
use amqp_transport::{client::Delivery, recovery::Received};

use crate::{
    error::{Error, ErrorKind},
    message::{FeedbackRecord, ReceivedMessage, parse_feedback},
    supervisor::{
        HubReceiver, Live, failure,
        links::{self, QueueLink},
    },
};

/// Receives feedback, over as many connections as it takes.
#[derive(Debug)]
pub struct FeedbackReceiver {
    link: HubReceiver<QueueLink>,
}

/// Some records that came in one message, locked for this receiver until it is settled or its lock lapses.
#[derive(Debug)]
pub struct FeedbackBatch {
    records: Vec<FeedbackRecord>,
    delivery: Delivery,
    live: Arc<Live>,
}

impl FeedbackReceiver {
    pub(crate) fn new(link: HubReceiver<QueueLink>) -> Self {
        Self { link }
    }

    /// The next batch; waits for one, through lost connections.
    ///
    /// # Errors
    /// When the link or connection failed for good, or the message is no readable feedback: that one is left unsettled
    /// and receiving can go on.
    ///
    /// # Cancel safety
    /// Safe: no batch is lost.
    pub async fn recv(&self) -> Result<FeedbackBatch, Error> {
        let Received { delivery, live } = links::next_of_queue(&self.link).await?;
        let unreadable =
            || Error::new(ErrorKind::Protocol, "a message of the feedback queue could not be read");
        let message = delivery.message().map_err(|error| unreadable().with_source(error))?;
        let records = parse_feedback(&ReceivedMessage::new(message))
            .map_err(|error| unreadable().with_source(error))?;
        Ok(FeedbackBatch { records, delivery, live })
    }

    /// Detaches the link.
    ///
    /// # Cancel safety
    /// Safe: the link is detached in the background.
    pub async fn close(&self) {
        self.link.detach().await;
    }
}

impl FeedbackBatch {
    /// The records, in the hub's order.
    pub fn records(&self) -> &[FeedbackRecord] {
        &self.records
    }

    /// Tells the hub that the batch was worked off, and waits until the hub has confirmed it.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::error::ErrorKind::Refused) when the lock was lost before: the batch may be delivered
    /// again, or has been. `OutcomeUnknown` when the connection was lost before the hub confirmed.
    ///
    /// # Cancel safety
    /// Dropped after the first poll the batch is completed all the same, unconfirmed.
    pub async fn complete(self) -> Result<(), Error> {
        self.settle(DeliveryState::Accepted).await
    }

    /// Gives the batch back to the hub's queue.
    ///
    /// # Errors
    /// As for [`FeedbackBatch::complete`].
    ///
    /// # Cancel safety
    /// As for [`FeedbackBatch::complete`].
    pub async fn abandon(self) -> Result<(), Error> {
        self.settle(DeliveryState::Released).await
    }

    async fn settle(self, state: DeliveryState) -> Result<(), Error> {
        // A connection that is to be closed in good order waits for the confirmation.
        let _in_flight = self.live.finish();
        failure::of_confirmation(self.delivery.settle_confirmed(state).await)
    }
}
