//! The service's side: commands to devices and feedback about them.

mod feedback;

use tokio::sync::watch;

pub use feedback::{FeedbackBatch, FeedbackReceiver};

use crate::{
    connection_string::ConnectionString,
    error::{Error, ErrorKind},
    message::C2dMessage,
    supervisor::{ClientOptions, ConnectionStatus},
};

/// A service's connection to a hub, kept alive: its token is renewed before it ends, a lost connection is made again
/// together with its links. Share it by reference or `Arc`.
#[derive(Debug)]
pub struct ServiceClient {
    status: watch::Receiver<ConnectionStatus>,
}

impl ServiceClient {
    /// Connects and authenticates with the policy of a connection string.
    ///
    /// # Errors
    /// When the connection string is no service's, the host cannot be reached, or the credential is refused.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up.
    pub async fn open(_connection_string: &ConnectionString, _options: ClientOptions) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Usage, "the service client is not built yet"))
    }

    /// Sends a command to a device and waits until the hub has queued it.
    ///
    /// # Errors
    /// When the hub refuses it (no such device, queue full, too large), or the connection is lost: then the kind tells
    /// whether it was sent.
    ///
    /// # Cancel safety
    /// Dropped before the command was handed over, nothing is sent; afterwards it goes out and its outcome is
    /// discarded.
    pub async fn send_command(&self, _device_id: &str, _command: &C2dMessage) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Usage, "the service client is not built yet"))
    }

    /// Sends a command to a module of a device; otherwise as [`ServiceClient::send_command`].
    ///
    /// # Errors
    /// As for [`ServiceClient::send_command`].
    ///
    /// # Cancel safety
    /// As for [`ServiceClient::send_command`].
    pub async fn send_module_command(
        &self,
        _device_id: &str,
        _module_id: &str,
        _command: &C2dMessage,
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Usage, "the service client is not built yet"))
    }

    /// Opens the link on which feedback arrives. A hub has one queue of feedback, shared by all its receivers.
    ///
    /// # Errors
    /// When the link is refused or there is no connection.
    ///
    /// # Cancel safety
    /// Safe: a link that was opened meanwhile is detached.
    pub async fn feedback(&self) -> Result<FeedbackReceiver, Error> {
        Err(Error::new(ErrorKind::Usage, "the service client is not built yet"))
    }

    /// What the connection is doing.
    pub fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.clone()
    }

    /// Closes the connection.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed in the background.
    pub async fn close(&self) {}
}
