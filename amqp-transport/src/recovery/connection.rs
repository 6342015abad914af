//! The owner's handle of a recovering connection.

use std::sync::Arc;

use tokio::sync::watch;

use super::blueprint::Blueprint;
use super::hooks::{Direct, Hooks};
use super::keeper::{self, Core, Progress};
use super::live::Live;
use super::options::{PeerAddress, RecoveryOptions};
use super::receiver::RecoveringReceiver;
use super::sender::RecoveringSender;
use super::session::{Place, RecoveringSession};
use super::status::RecoveryStatus;
use crate::handle::options::{ReceiverOptions, SenderOptions, SessionOptions};

/// A connection that is made again when it is lost, with the links on it. Clones are the same connection.
///
/// When the last handle is gone, senders and receivers included, it is closed in good order in the background.
#[derive(Debug)]
pub struct RecoveringConnection<H: Hooks = Direct> {
    owner: Arc<Owner<H>>,
}

/// The count of handles: its drop closes the connection.
#[derive(Debug)]
struct Owner<H: Hooks> {
    core: Arc<Core<H>>,
}

impl<H: Hooks> Drop for Owner<H> {
    fn drop(&mut self) {
        self.core.closing.send_replace(true);
    }
}

impl<H: Hooks> Clone for RecoveringConnection<H> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<H: Hooks> RecoveringConnection<H> {
    /// Connects for the first time, trying each address once in order, and keeps the connection from then on. Needs a
    /// tokio runtime.
    ///
    /// # Errors
    /// What the last address had to say, one that may pass before one that may not; [`NoAddress`](super::RecoveryError::NoAddress) without
    /// any address.
    ///
    /// # Cancel safety
    /// Safe: the attempt is given up.
    pub async fn open(
        addresses: impl IntoIterator<Item = PeerAddress>,
        options: RecoveryOptions,
        hooks: H,
    ) -> Result<Self, H::Error> {
        let core = Arc::new(Core::new(addresses.into_iter().collect(), options, hooks));
        let mut progress = Progress::default();
        let live = core.round(&mut progress, &mut Vec::new()).await?;
        core.publish_live(&live);
        tokio::spawn(keeper::run(Arc::clone(&core), progress, Some(live)));
        Ok(Self { owner: Arc::new(Owner { core }) })
    }

    /// Begins to connect in the background, with pauses and bounds as after a loss. Operations wait for it. Needs a
    /// tokio runtime.
    pub fn start(
        addresses: impl IntoIterator<Item = PeerAddress>,
        options: RecoveryOptions,
        hooks: H,
    ) -> Self {
        let core = Arc::new(Core::new(addresses.into_iter().collect(), options, hooks));
        tokio::spawn(keeper::run(Arc::clone(&core), Progress::default(), None));
        Self { owner: Arc::new(Owner { core }) }
    }

    /// A link that sends and comes back by itself. It is attached when it is first used, see
    /// [`RecoveringSender::attached`].
    pub fn sender<B: Blueprint<H, Options = SenderOptions>>(&self, blueprint: B) -> RecoveringSender<H, B> {
        RecoveringSender::new(self.clone(), Place::First, blueprint)
    }

    /// A link that receives and comes back by itself, with its credit. It is attached when it is first used, see
    /// [`RecoveringReceiver::attached`].
    pub fn receiver<B: Blueprint<H, Options = ReceiverOptions>>(
        &self,
        blueprint: B,
    ) -> RecoveringReceiver<H, B> {
        RecoveringReceiver::new(self.clone(), Place::First, blueprint)
    }

    /// A further session, with windows of its own, for links besides those of the one that the hooks begin. It is begun
    /// when it is first used, see [`RecoveringSession::begun`].
    #[must_use]
    pub fn session(&self, options: SessionOptions) -> RecoveringSession<H> {
        RecoveringSession::new(self.clone(), options)
    }

    /// The present connection; waits for one where there is none and the options say so
    /// ([`WhileDown`](super::WhileDown)). Its links are not restored by themselves.
    ///
    /// # Errors
    /// When there will not be one any more, or is none now and waiting was not chosen.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn live(&self) -> Result<Arc<Live<H::Context>>, H::Error> {
        self.owner.core.live().await
    }

    /// What it is doing: to look at, or to wait for changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<RecoveryStatus<H::Error>> {
        self.owner.core.status.subscribe()
    }

    /// The settings it was made with.
    #[must_use]
    pub fn options(&self) -> &RecoveryOptions {
        &self.owner.core.options
    }

    /// The layer above.
    #[must_use]
    pub fn hooks(&self) -> &H {
        &self.owner.core.hooks
    }

    /// Lets what is under way end, closes the connection and waits for that; both are bounded by the options. Operations
    /// that wait fail with [`Closed`](super::RecoveryError::Closed). Idempotent.
    ///
    /// # Cancel safety
    /// Safe: once polled, closing goes on in the background.
    pub async fn close(&self) {
        self.owner.core.closing.send_replace(true);
        let mut status = self.owner.core.status.subscribe();
        // The sender lives in `core`, so waiting ends only with the status.
        let _ = status.wait_for(RecoveryStatus::is_final).await;
    }
}
