//! What makes the transport's recovery speak IoT Hub: authenticating, renewing tokens, following redirects, throttling.
//!
//! Owns what hubs mean by their errors and how their links are attached. The loop that connects again is the transport's;
//! knows nothing of what messages mean.

pub(crate) mod endpoint;
pub(crate) mod failure;
pub(crate) mod hooks;
pub(crate) mod links;
mod options;
pub(crate) mod sending;

use std::sync::Arc;

use amqp_transport::{
    client::{ReceiverOptions, SenderOptions},
    recovery::{
        Blueprint, PeerAddress, RecoveringConnection, RecoveringReceiver, RecoveringSender, RecoveryOptions,
        RecoveryStatus,
    },
};
use tokio::sync::watch;

pub use amqp_transport::client::{Proxy, ProxyError, ProxyRules};
pub use options::{AuthMode, Carrier, ClientOptions, ReconnectPolicy};

use crate::error::Error;
use endpoint::Target;
use hooks::{HubContext, HubHooks};

/// The state of a client's connection. Changes come through [`tokio::sync::watch`]; only the latest is kept.
pub type ConnectionStatus = RecoveryStatus<Error>;

/// One connection while it lives.
pub(crate) type Live = amqp_transport::recovery::Live<HubContext>;

/// A link that sends and comes back.
pub(crate) type HubSender<B> = RecoveringSender<HubHooks, B>;

/// A link that receives and comes back.
pub(crate) type HubReceiver<B> = RecoveringReceiver<HubHooks, B>;

/// The owner's end of a supervised connection. When it and all of its links are dropped, the connection is closed in the
/// background.
#[derive(Debug)]
pub(crate) struct Supervisor {
    connection: RecoveringConnection<HubHooks>,
}

impl Supervisor {
    /// Connects for the first time and keeps the connection from then on.
    pub(crate) async fn open(target: Target, mut options: ClientOptions) -> Result<Arc<Self>, Error> {
        options.tls_config = Some(options.tls()?);
        let address = target.address();
        let address = PeerAddress::new(address.name(), address.port_or_default());
        let recovery = recovery_options(&target, &options);
        let hooks = HubHooks::new(target, options);
        Ok(Arc::new(Self { connection: RecoveringConnection::open([address], recovery, hooks).await? }))
    }

    /// The settings of the client.
    pub(crate) fn options(&self) -> &ClientOptions {
        self.connection.hooks().options()
    }

    /// A link that sends, attached when it is first used.
    pub(crate) fn sender<B>(&self, blueprint: B) -> HubSender<B>
    where
        B: Blueprint<HubHooks, Options = SenderOptions>,
    {
        self.connection.sender(blueprint)
    }

    /// A link that receives, attached when it is first used.
    pub(crate) fn receiver<B>(&self, blueprint: B) -> HubReceiver<B>
    where
        B: Blueprint<HubHooks, Options = ReceiverOptions>,
    {
        self.connection.receiver(blueprint)
    }

    /// The connection, once there is one that works; fails when there never will be.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Error> {
        self.connection.live().await
    }

    /// Changes of the connection's status.
    pub(crate) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.connection.status()
    }

    /// Lets what is under way end, closes the connection and waits for that.
    pub(crate) async fn close(&self) {
        self.connection.close().await;
    }
}

/// What the client's options mean to the transport's recovery.
fn recovery_options(target: &Target, options: &ClientOptions) -> RecoveryOptions {
    let recovery = RecoveryOptions::new()
        .attempt_timeout(options.connect_timeout.saturating_mul(target.steps()))
        .operation_timeout(options.operation_timeout);
    match options.reconnect {
        ReconnectPolicy::Forever => recovery,
        ReconnectPolicy::For(limit) => recovery.time(limit),
        ReconnectPolicy::Never => recovery.attempts(0),
    }
}

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests;
