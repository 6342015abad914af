//! Commands as a device receives and answers them.

use std::{ops::Deref, sync::Arc};

use amqp_codec::{DeliveryState, Rejected};
use amqp_transport::{client::Delivery, recovery::Received};

use crate::{
    error::{Error, ErrorKind},
    message::ReceivedCommand,
    supervisor::{
        HubReceiver, Live, failure,
        links::{self, Ahead, QueueLink},
    },
};

/// How commands are received.
#[derive(Clone, Debug)]
pub struct CommandOptions {
    ahead: Ahead,
}

impl CommandOptions {
    /// Ten commands ahead.
    pub fn new() -> Self {
        Self { ahead: Ahead::Upto(DEFAULT_CREDIT) }
    }

    /// How many commands the hub may send ahead of their being taken, at least one. Each is locked for this device
    /// meanwhile, so keep it small; ten by default.
    #[must_use]
    pub fn with_credit(mut self, commands: u32) -> Self {
        self.ahead = Ahead::Upto(commands.max(1));
        self
    }

    /// Asks for a command only when [`CommandReceiver::recv`] waits for one, so that none is locked that nobody takes. Each
    /// costs a round trip.
    #[must_use]
    pub fn one_by_one(mut self) -> Self {
        self.ahead = Ahead::OnDemand;
        self
    }

    pub(crate) fn ahead(&self) -> Ahead {
        self.ahead
    }
}

impl Default for CommandOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Receives commands, over as many connections as it takes.
#[derive(Debug)]
pub struct CommandReceiver {
    link: HubReceiver<QueueLink>,
}

/// A received command, locked for this device until it is settled or its lock lapses. Dropped unsettled it stays
/// locked and is delivered again after the lock has lapsed; that does not count as an abandonment.
#[derive(Debug)]
pub struct Command {
    message: ReceivedCommand,
    delivery: Delivery,
    live: Arc<Live>,
}

impl CommandReceiver {
    pub(crate) fn new(link: HubReceiver<QueueLink>) -> Self {
        Self { link }
    }

    /// The next command; waits for one, through lost connections.
    ///
    /// # Errors
    /// When the link or connection failed for good, or the message cannot be read: that one is rejected and receiving
    /// can go on.
    ///
    /// # Cancel safety
    /// Safe: no command is lost.
    pub async fn recv(&self) -> Result<Command, Error> {
        let Received { delivery, live } = links::next_of_queue(&self.link).await?;
        match delivery.message() {
            Ok(message) => Ok(Command { message: ReceivedCommand::new(message), delivery, live }),
            Err(error) => {
                let _ = delivery.reject(None);
                Err(Error::new(ErrorKind::Protocol, "a command could not be read and was rejected")
                    .with_source(error))
            }
        }
    }

    /// Detaches the link. Commands fetched ahead stay locked until their lock lapses.
    ///
    /// # Cancel safety
    /// Safe: the link is detached in the background.
    pub async fn close(&self) {
        self.link.detach().await;
    }
}

impl Command {
    /// What the service sent and the hub stamped on it.
    pub fn message(&self) -> &ReceivedCommand {
        &self.message
    }

    /// Tells the hub that the command was carried out, and waits until the hub has confirmed it.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::error::ErrorKind::Refused) when the lock was lost before: the command may be delivered
    /// again, or has been. `OutcomeUnknown` when the connection was lost before the hub confirmed.
    ///
    /// # Cancel safety
    /// Dropped after the first poll the command is completed all the same, unconfirmed.
    pub async fn complete(self) -> Result<(), Error> {
        self.settle(DeliveryState::Accepted).await
    }

    /// Tells the hub to drop the command: it is dead-lettered, and the service may hear of it.
    ///
    /// # Errors
    /// As for [`Command::complete`].
    ///
    /// # Cancel safety
    /// As for [`Command::complete`].
    pub async fn reject(self) -> Result<(), Error> {
        self.settle(DeliveryState::Rejected(Rejected::default())).await
    }

    /// Gives the command back to the hub's queue, which counts it; after ten times by default the hub gives up.
    ///
    /// # Errors
    /// As for [`Command::complete`].
    ///
    /// # Cancel safety
    /// As for [`Command::complete`].
    pub async fn abandon(self) -> Result<(), Error> {
        self.settle(DeliveryState::Released).await
    }

    async fn settle(self, state: DeliveryState) -> Result<(), Error> {
        // A connection that is to be closed in good order waits for the confirmation.
        let _in_flight = self.live.finish();
        failure::of_confirmation(self.delivery.settle_confirmed(state).await)
    }
}

impl Deref for Command {
    type Target = ReceivedCommand;

    fn deref(&self) -> &Self::Target {
        &self.message
    }
}

/// Small, because commands fetched ahead are locked.
const DEFAULT_CREDIT: u32 = 10;
