//! The service's side: commands to devices and feedback about them.

mod feedback;

use std::sync::Arc;

use tokio::sync::watch;

pub use feedback::{FeedbackBatch, FeedbackReceiver};

use crate::{
    connection_string::ConnectionString,
    error::{Error, ErrorKind},
    message::C2dMessage,
    path::HubAddress,
    supervisor::{
        ClientOptions, ConnectionStatus, HubSender, Supervisor,
        endpoint::Target,
        failure,
        links::{Ahead, QueueLink, SenderLink},
        sending,
    },
};

/// A service's connection to a hub, kept alive: its token is renewed before it ends, a lost connection is made again
/// together with its links. Share it by reference or `Arc`.
#[derive(Debug)]
pub struct ServiceClient {
    supervisor: Arc<Supervisor>,
    commands: HubSender<SenderLink>,
}

impl ServiceClient {
    /// Connects and authenticates with the policy of a connection string.
    ///
    /// # Errors
    /// When the connection string is no service's, the host cannot be reached, or the credential is refused.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up.
    pub async fn open(connection_string: &ConnectionString, options: ClientOptions) -> Result<Self, Error> {
        let ConnectionString::Service(service) = connection_string else {
            return Err(Error::new(ErrorKind::Usage, "the connection string is not that of a hub's policy").with_hint(
                "use the connection string of a policy: HostName=…;SharedAccessKeyName=…;SharedAccessKey=…",
            ));
        };
        let target = Target::service(service, &options)?;
        let supervisor = Supervisor::open(target, options).await?;
        let address = HubAddress::ServiceDeviceBound.to_string();
        let commands = supervisor.sender(SenderLink::new(address, &supervisor));
        Ok(Self { supervisor, commands })
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
    pub async fn send_command(&self, device_id: &str, command: &C2dMessage) -> Result<(), Error> {
        self.send_to(device_id, None, command).await
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
        device_id: &str,
        module_id: &str,
        command: &C2dMessage,
    ) -> Result<(), Error> {
        self.send_to(device_id, Some(module_id), command).await
    }

    /// Opens the link on which feedback arrives. A hub has one queue of feedback, shared by all its receivers.
    ///
    /// # Errors
    /// When the link is refused or there is no connection.
    ///
    /// # Cancel safety
    /// Safe: a link that was opened meanwhile is detached.
    pub async fn feedback(&self) -> Result<FeedbackReceiver, Error> {
        let address = HubAddress::Feedback.to_string();
        let queue = QueueLink::new(address, Ahead::Upto(FEEDBACK_CREDIT), &self.supervisor);
        let link = self.supervisor.receiver(queue);
        link.attached().await?;
        Ok(FeedbackReceiver::new(link))
    }

    /// What the connection is doing.
    pub fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.supervisor.status()
    }

    /// Closes the connection.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed in the background.
    pub async fn close(&self) {
        self.supervisor.close().await;
    }

    async fn send_to(
        &self,
        device_id: &str,
        module_id: Option<&str>,
        command: &C2dMessage,
    ) -> Result<(), Error> {
        let message = command.to_amqp(device_id, module_id);
        let receipt = sending::hand_over(&self.commands, &message).await?;
        match receipt.await {
            Ok(outcome) => failure::of_outcome(&outcome),
            Err(error) => Err(failure::of_send(&error)),
        }
    }
}

/// Batches fetched ahead; each is locked for this receiver and holds up to 64 records.
const FEEDBACK_CREDIT: u32 = 10;
