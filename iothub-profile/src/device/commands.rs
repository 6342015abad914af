//! Commands as a device receives and answers them.

use std::ops::Deref;

use crate::{
    error::{Error, ErrorKind},
    message::ReceivedCommand,
};

/// How commands are received.
#[derive(Clone, Debug)]
pub struct CommandOptions {
    credit: u32,
}

impl CommandOptions {
    /// Ten commands ahead.
    pub fn new() -> Self {
        Self { credit: DEFAULT_CREDIT }
    }

    /// How many commands the hub may send ahead of their being taken. Each is locked for this device meanwhile, so
    /// keep it small; ten by default.
    #[must_use]
    pub fn with_credit(mut self, commands: u32) -> Self {
        self.credit = commands;
        self
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
    _private: (),
}

/// A received command, locked for this device until it is settled or its lock lapses. Dropped unsettled it stays
/// locked and is delivered again after the lock has lapsed; that does not count as an abandonment.
#[derive(Debug)]
pub struct Command {
    message: ReceivedCommand,
}

impl CommandReceiver {
    /// The next command; waits for one, through lost connections.
    ///
    /// # Errors
    /// When the link or connection failed for good.
    ///
    /// # Cancel safety
    /// Safe: no command is lost.
    pub async fn recv(&self) -> Result<Command, Error> {
        Err(Error::new(ErrorKind::Usage, "the device client is not built yet"))
    }

    /// Detaches the link. Commands fetched ahead stay locked until their lock lapses.
    ///
    /// # Cancel safety
    /// Safe: the link is detached in the background.
    pub async fn close(&self) {}
}

impl Command {
    /// What the service sent and the hub stamped on it.
    pub fn message(&self) -> &ReceivedCommand {
        &self.message
    }

    /// Tells the hub that the command was carried out, and waits until the hub has confirmed it.
    ///
    /// # Errors
    /// When the hub did not confirm: the lock had lapsed, or the connection was lost (outcome unknown).
    ///
    /// # Cancel safety
    /// Dropped after the first poll the command is completed all the same, unconfirmed.
    pub async fn complete(self) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Usage, "the device client is not built yet"))
    }

    /// Tells the hub to drop the command: it is dead-lettered, and the service may hear of it.
    ///
    /// # Errors
    /// As for [`Command::complete`].
    ///
    /// # Cancel safety
    /// As for [`Command::complete`].
    pub async fn reject(self) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Usage, "the device client is not built yet"))
    }

    /// Gives the command back to the hub's queue, which counts it; after ten times by default the hub gives up.
    ///
    /// # Errors
    /// As for [`Command::complete`].
    ///
    /// # Cancel safety
    /// As for [`Command::complete`].
    pub async fn abandon(self) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Usage, "the device client is not built yet"))
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
