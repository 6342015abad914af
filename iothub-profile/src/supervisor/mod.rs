//! What keeps a client connected: connecting, authenticating, renewing tokens, connecting again.
//!
//! Owns the connection of each client and tells its status; links come back by themselves. Knows nothing of
//! what messages mean.

pub(crate) mod endpoint;
pub(crate) mod failure;
pub(crate) mod live;
mod options;
pub(crate) mod receiving;
pub(crate) mod restored;
mod run;
pub(crate) mod sending;
mod status;

use std::sync::Arc;

use tokio::sync::watch;

pub use options::{AuthMode, ClientOptions, ReconnectPolicy};
pub use status::ConnectionStatus;

use crate::{error::Error, supervisor::live::Live};
use endpoint::Target;
use run::Shared;

/// The owner's end of a supervised connection. Dropping the last one closes the connection in the background.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
}

impl Supervisor {
    /// Connects for the first time and keeps the connection from then on.
    pub(crate) async fn open(target: Target, mut options: ClientOptions) -> Result<Arc<Self>, Error> {
        options.tls_config = Some(options.tls()?);
        let shared = Arc::new(Shared::new(target, options));
        let live = shared.establish(1).await?;
        shared.publish_live(&live);
        tokio::spawn(run::run(Arc::clone(&shared), live));
        Ok(Arc::new(Self { shared }))
    }

    /// The settings of the client.
    pub(crate) fn options(&self) -> &ClientOptions {
        &self.shared.options
    }

    /// The connection, once there is one that works; fails when there never will be.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Error> {
        self.shared.live().await
    }

    /// Changes of the connection's status.
    pub(crate) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.shared.status.subscribe()
    }

    /// Lets what is under way end, closes the connection and waits for that.
    pub(crate) async fn close(&self) {
        self.shared.closing.send_replace(true);
        let mut status = self.shared.status.subscribe();
        // The sender lives in `shared`, so waiting ends only with the status.
        let _ = status.wait_for(ConnectionStatus::is_final).await;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests;
