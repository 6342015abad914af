//! The device's side: telemetry to the hub and commands from it.

mod commands;
mod receipt;

use tokio::sync::watch;

pub use commands::{Command, CommandOptions, CommandReceiver};
pub use receipt::SendReceipt;

use crate::{
    connection_string::ConnectionString,
    error::{Error, ErrorKind},
    message::TelemetryMessage,
    supervisor::{ClientOptions, ConnectionStatus},
};

/// A device's or module's connection to its hub, kept alive: its token is renewed before it ends, a lost connection
/// is made again together with its links. Share it by reference or `Arc`.
#[derive(Debug)]
pub struct DeviceClient {
    status: watch::Receiver<ConnectionStatus>,
}

impl DeviceClient {
    /// Connects and authenticates as the device or module of a connection string.
    ///
    /// # Errors
    /// When the connection string is no device's, the host cannot be reached, or the credential is refused.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up.
    pub async fn open(_connection_string: &ConnectionString, _options: ClientOptions) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Usage, "the device client is not built yet"))
    }

    /// The device's id.
    pub fn device_id(&self) -> &str {
        ""
    }

    /// Sends a message and waits until the hub has taken it.
    ///
    /// # Errors
    /// As for [`DeviceClient::send_with_receipt`] and [`SendReceipt`].
    ///
    /// # Cancel safety
    /// Dropped before the message was handed over, nothing is sent; afterwards it goes out and its outcome is
    /// discarded.
    pub async fn send(&self, message: &TelemetryMessage) -> Result<(), Error> {
        self.send_with_receipt(message).await?.await
    }

    /// Hands a message over and gives a receipt, a future of its outcome, so that many can be under way. Waits for a
    /// connection and for the hub's credit, up to the operation timeout. Nothing is resent by itself.
    ///
    /// # Errors
    /// The message was not sent: it is too large, the link is refused, or there is no connection.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, nothing is sent.
    pub async fn send_with_receipt(&self, _message: &TelemetryMessage) -> Result<SendReceipt, Error> {
        Err(Error::new(ErrorKind::Usage, "the device client is not built yet"))
    }

    /// Opens the link on which commands arrive.
    ///
    /// # Errors
    /// When the link is refused or there is no connection.
    ///
    /// # Cancel safety
    /// Safe: a link that was opened meanwhile is detached.
    pub async fn commands(&self, _options: CommandOptions) -> Result<CommandReceiver, Error> {
        Err(Error::new(ErrorKind::Usage, "the device client is not built yet"))
    }

    /// What the connection is doing.
    pub fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.clone()
    }

    /// Waits for what is under way, then closes the connection.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed in the background.
    pub async fn close(&self) {}
}
