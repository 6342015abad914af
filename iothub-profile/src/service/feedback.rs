//! Feedback as a service receives it.

use crate::{
    error::{Error, ErrorKind},
    message::FeedbackRecord,
};

/// Receives feedback, over as many connections as it takes.
#[derive(Debug)]
pub struct FeedbackReceiver {
    _private: (),
}

/// Some records that came in one message, locked for this receiver until it is settled or its lock lapses.
#[derive(Debug)]
pub struct FeedbackBatch {
    records: Vec<FeedbackRecord>,
}

impl FeedbackReceiver {
    /// The next batch; waits for one, through lost connections.
    ///
    /// # Errors
    /// When the link or connection failed for good, or the message is no readable feedback: that one is left unsettled
    /// and receiving can go on.
    ///
    /// # Cancel safety
    /// Safe: no batch is lost.
    pub async fn recv(&self) -> Result<FeedbackBatch, Error> {
        Err(Error::new(ErrorKind::Usage, "the service client is not built yet"))
    }

    /// Detaches the link.
    ///
    /// # Cancel safety
    /// Safe: the link is detached in the background.
    pub async fn close(&self) {}
}

impl FeedbackBatch {
    /// The records, in the hub's order.
    pub fn records(&self) -> &[FeedbackRecord] {
        &self.records
    }

    /// Tells the hub that the batch was worked off, and waits until the hub has confirmed it.
    ///
    /// # Errors
    /// When the hub did not confirm: the lock had lapsed, or the connection was lost (outcome unknown).
    ///
    /// # Cancel safety
    /// Dropped after the first poll the batch is completed all the same, unconfirmed.
    pub async fn complete(self) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Usage, "the service client is not built yet"))
    }

    /// Gives the batch back to the hub's queue.
    ///
    /// # Errors
    /// As for [`FeedbackBatch::complete`].
    ///
    /// # Cancel safety
    /// As for [`FeedbackBatch::complete`].
    pub async fn abandon(self) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Usage, "the service client is not built yet"))
    }
}
