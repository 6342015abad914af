//! The device's side: telemetry to the hub and commands from it.

mod commands;
mod receipt;

use std::sync::Arc;

use tokio::sync::watch;

pub use commands::{Command, CommandOptions, CommandReceiver};
pub use receipt::SendReceipt;

use crate::{
    connection_string::{ConnectionString, Credential, DeviceString},
    error::{Error, ErrorKind},
    message::TelemetryMessage,
    path::{HubAddress, Identity},
    supervisor::{
        ClientOptions, ConnectionStatus, HubSender, Supervisor,
        endpoint::Target,
        links::{QueueLink, SenderLink},
        sending,
    },
};

/// A device's or module's connection to its hub, kept alive: its token is renewed before it ends, a lost connection
/// is made again together with its links. Share it by reference or `Arc`.
#[derive(Debug)]
pub struct DeviceClient {
    identity: DeviceString,
    supervisor: Arc<Supervisor>,
    telemetry: HubSender<SenderLink>,
}

impl DeviceClient {
    /// Connects and authenticates as the device or module of a connection string.
    ///
    /// # Errors
    /// When the connection string is no device's, the host cannot be reached, or the credential is refused.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up.
    pub async fn open(connection_string: &ConnectionString, options: ClientOptions) -> Result<Self, Error> {
        let ConnectionString::Device(identity) = connection_string else {
            return Err(Error::new(
                ErrorKind::Usage,
                "the connection string has no DeviceId, it is not a device's",
            )
            .with_hint("use the connection string of a device: HostName=…;DeviceId=…;SharedAccessKey=…"));
        };
        if identity.credential == Credential::X509 && !options.has_tls_config() {
            return Err(Error::new(ErrorKind::Usage, "a device with x509=true needs its client certificate")
                .with_hint("give a TLS configuration with the certificate and its key"));
        }
        let target = Target::device(identity, &options);
        let supervisor = Supervisor::open(target, options).await?;
        let address = HubAddress::DeviceEvents(path_identity(identity)).to_string();
        let telemetry = supervisor.sender(SenderLink::new(address, &supervisor));
        Ok(Self { identity: identity.clone(), supervisor, telemetry })
    }

    /// The device's id.
    pub fn device_id(&self) -> &str {
        &self.identity.device_id
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
    /// connection and for the hub's credit, up to the operation timeout. Nothing that may have been taken is ever
    /// sent again by itself.
    ///
    /// # Errors
    /// The message was not sent: it is too large, the link is refused, or there is no connection.
    ///
    /// # Cancel safety
    /// Safe: dropped before it is ready, nothing is sent.
    pub async fn send_with_receipt(&self, message: &TelemetryMessage) -> Result<SendReceipt, Error> {
        Ok(SendReceipt::new(sending::hand_over(&self.telemetry, message.as_amqp()).await?))
    }

    /// Opens the link on which commands arrive.
    ///
    /// # Errors
    /// When the link is refused or there is no connection.
    ///
    /// # Cancel safety
    /// Safe: a link that was opened meanwhile is detached.
    pub async fn commands(&self, options: CommandOptions) -> Result<CommandReceiver, Error> {
        let address = HubAddress::DeviceBound(path_identity(&self.identity)).to_string();
        let queue = QueueLink::new(address, options.ahead(), &self.supervisor);
        let link = self.supervisor.receiver(queue);
        link.attached().await?;
        Ok(CommandReceiver::new(link))
    }

    /// What the connection is doing.
    pub fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.supervisor.status()
    }

    /// Waits for what is under way, then closes the connection.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed in the background.
    pub async fn close(&self) {
        self.supervisor.close().await;
    }
}

fn path_identity(string: &DeviceString) -> Identity {
    Identity::new(&string.device_id, string.module_id.as_deref())
}
