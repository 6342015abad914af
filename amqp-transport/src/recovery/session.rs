//! Further sessions of a recovering connection, begun anew on each connection that carries them.

use std::sync::Arc;

use tokio::time::timeout;

use super::blueprint::Blueprint;
use super::connection::RecoveringConnection;
use super::error::RecoveryError;
use super::hooks::{Direct, Hooks};
use super::live::Live;
use super::receiver::RecoveringReceiver;
use super::sender::RecoveringSender;
use crate::handle::error::{DetachReason, EndReason, OpenError};
use crate::handle::options::{ReceiverOptions, SenderOptions, SessionOptions};
use crate::handle::session::Session;

/// A session besides the first of a recovering connection, with windows of its own (`AMQP 1.0 §2.5.6`), so that its links
/// and those of others do not hold each other up. Clones are the same session.
///
/// It is begun when a link in it is first attached, and begun anew on the next connection. Unlike the first session, which
/// a connection is not kept without, one that its peer ends is begun anew on the same connection, after a pause, when one
/// of its links is attached again; links of other sessions notice nothing. It ends when the last handle of it is gone, its
/// senders and receivers included.
#[derive(Debug)]
pub struct RecoveringSession<H: Hooks = Direct> {
    connection: RecoveringConnection<H>,
    further: Arc<Further>,
}

impl<H: Hooks> Clone for RecoveringSession<H> {
    fn clone(&self) -> Self {
        Self { connection: self.connection.clone(), further: Arc::clone(&self.further) }
    }
}

impl<H: Hooks> RecoveringSession<H> {
    pub(super) fn new(connection: RecoveringConnection<H>, options: SessionOptions) -> Self {
        Self { connection, further: Arc::new(Further { options, begun: tokio::sync::Mutex::default() }) }
    }

    /// A link in this session that sends and comes back by itself, see [`RecoveringConnection::sender`].
    pub fn sender<B: Blueprint<H, Options = SenderOptions>>(&self, blueprint: B) -> RecoveringSender<H, B> {
        RecoveringSender::new(self.connection.clone(), self.place(), blueprint)
    }

    /// A link in this session that receives and comes back by itself, see [`RecoveringConnection::receiver`].
    pub fn receiver<B: Blueprint<H, Options = ReceiverOptions>>(
        &self,
        blueprint: B,
    ) -> RecoveringReceiver<H, B> {
        RecoveringReceiver::new(self.connection.clone(), self.place(), blueprint)
    }

    /// The session on the present connection, begun where it is not yet, within the operation time-out. Links attached in
    /// it directly are not restored.
    ///
    /// # Errors
    /// When it is refused, or there is no connection in time.
    ///
    /// # Cancel safety
    /// Safe: a session that was begun by a dropped call is ended again.
    pub async fn begun(&self) -> Result<Session, H::Error> {
        let begun = async {
            loop {
                let live = self.connection.live().await?;
                match self.further.on(&live).await {
                    Ok(session) => return Ok(session),
                    Err(OpenError::Lost(_)) => live.condemn(),
                    Err(error) => return Err(RecoveryError::Begin(error).into()),
                }
            }
        };
        timeout(self.connection.options().operation_timeout, begun)
            .await
            .unwrap_or_else(|_| Err(RecoveryError::TimedOut { what: "beginning the session" }.into()))
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &RecoveringConnection<H> {
        &self.connection
    }

    fn place(&self) -> Place {
        Place::Further(Arc::clone(&self.further))
    }
}

/// The session in which a recovering link is attached.
#[derive(Debug)]
pub(super) enum Place {
    /// The one that the hooks begin.
    First,
    /// One besides it.
    Further(Arc<Further>),
}

impl Place {
    /// The session on this connection.
    pub(super) async fn on<C>(&self, live: &Live<C>) -> Result<Session, OpenError> {
        match self {
            Self::First => Ok(live.session().clone()),
            Self::Further(further) => further.on(live).await,
        }
    }

    pub(super) fn is_further(&self) -> bool {
        matches!(self, Self::Further(_))
    }

    /// Whether a link ended with its session alone, while the connection and its other sessions go on.
    pub(super) fn is_left_alone(&self, reason: &DetachReason) -> bool {
        let is_ended = |reason: &EndReason| !matches!(reason, EndReason::Lost(_));
        self.is_further() && matches!(reason, DetachReason::SessionEnded(reason) if is_ended(reason))
    }
}

/// A session that is begun on one connection after the other.
#[derive(Debug)]
pub(super) struct Further {
    options: SessionOptions,
    begun: tokio::sync::Mutex<Option<Begun>>,
}

#[derive(Debug)]
struct Begun {
    generation: u64,
    session: Session,
}

impl Further {
    async fn on<C>(&self, live: &Live<C>) -> Result<Session, OpenError> {
        // Held while it is begun, so that it is begun once.
        let mut begun = self.begun.lock().await;
        if let Some(begun) = &*begun
            && begun.generation == live.generation()
            && begun.session.stats().is_some()
        {
            return Ok(begun.session.clone());
        }
        let session = live.connection().begin(self.options.clone()).await?;
        *begun = Some(Begun { generation: live.generation(), session: session.clone() });
        Ok(session)
    }
}
