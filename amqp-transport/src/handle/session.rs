//! The session handle, and attaching links to it.

use std::future::poll_fn;
use std::sync::Arc;

use amqp_codec::{Begin, Error};

use super::connection::{Connection, ConnectionInner, SessionPlace};
use super::error::{AttachError, DetachReason, EndError, EndReason};
use super::options::{ReceiverOptions, SenderOptions};
use super::receiver::Receiver;
use super::sender::Sender;
use crate::driver::answers::Asker;
use crate::driver::link::LinkInner;
use crate::driver::parting::Patience;
use crate::driver::pending::Before;
use crate::driver::slots::{LinkPhase, SessionPhase, WasUsable};
use crate::engine::{EngineError, LinkConfig, Retention, SessionId, SessionStats};
use crate::error::ConnectionError;

/// A session (`AMQP 1.0 §2.5`): a pair of windows in which links exist. Clones are the same session.
///
/// When the last handle that belongs to it is gone, links included, the session is ended by the connection's task, after
/// the messages that were handed over have left. One that the peer began, and a listener accepted, lives as long as the
/// peer wants.
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<SessionInner>,
}

/// The count of handles: its drop ends the session.
#[derive(Debug)]
pub(crate) struct SessionInner {
    pub(crate) connection: Arc<ConnectionInner>,
    pub(crate) key: usize,
    pub(crate) id: SessionId,
}

impl SessionInner {
    pub(crate) fn new(connection: Arc<ConnectionInner>, key: usize, id: SessionId) -> Self {
        Self { connection, key, id }
    }
}

impl Drop for SessionInner {
    fn drop(&mut self) {
        // Poisoned: ended already.
        let _ = self.connection.shared.with(|state| state.drop_session(self.key));
    }
}

impl Session {
    pub(crate) fn new(inner: Arc<SessionInner>) -> Self {
        Self { inner }
    }

    /// The handle of a slot in which it is counted already.
    pub(crate) fn of(connection: &Connection, key: usize, id: SessionId) -> Self {
        Self::new(Arc::new(SessionInner::new(Arc::clone(connection.inner()), key, id)))
    }

    /// A handle of a session that the peer began, whether or not it still lives.
    pub(crate) fn of_peer(connection: &Connection, id: SessionId) -> Result<Self, ConnectionError> {
        let key = connection.shared().with(|state| state.hold_session(id))?;
        Ok(Self::of(connection, key, id))
    }

    /// Its id, to be told from others of the connection.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.inner.id
    }

    /// The peer's begin: its windows, handle-max, capabilities and properties. `None` only for a session that a listener
    /// accepted without asking its application
    /// ([`DecidesSessions::Library`](crate::server::DecidesSessions::Library)).
    // S-027
    #[must_use]
    pub fn remote_begin(&self) -> Option<Arc<Begin>> {
        let (key, shared) = (self.inner.key, &self.inner.connection.shared);
        shared.with(|state| state.sessions.get(key).and_then(|slot| slot.remote_begin.clone())).ok().flatten()
    }

    /// The connection the session belongs to.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::of(Arc::clone(&self.inner.connection))
    }

    /// Attaches a link that sends and waits for the peer's answer (`AMQP 1.0 §2.6.3`).
    ///
    /// # Errors
    /// [`AttachError::Refused`] or [`AttachError::Redirect`] by the peer; [`AttachError::Unanswered`] when it says neither
    /// within [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out) (60 s), and then the link is detached by
    /// the connection's task; [`AttachError::SessionEnded`], [`AttachError::Lost`]; [`AttachError::Invalid`] when no handle is
    /// free.
    ///
    /// # Cancel safety
    /// Safe: a link whose future is dropped is detached by the connection's task.
    pub async fn attach_sender(&self, options: SenderOptions) -> Result<Sender, AttachError> {
        let name = options.config.name.clone();
        let mode = options.config.snd_settle_mode;
        let keeps = options.config.retention != Retention::Forget;
        let sender = Sender::new(self.attach(options.config).await?, name, mode);
        Ok(if keeps { sender.keeping() } else { sender })
    }

    /// Attaches a link that receives and waits for the peer's answer (`AMQP 1.0 §2.6.3`). Credit is granted at once
    /// where the options say so.
    ///
    /// # Errors
    /// As [`attach_sender`](Self::attach_sender).
    ///
    /// # Cancel safety
    /// Safe: a link whose future is dropped is detached by the connection's task.
    pub async fn attach_receiver(&self, options: ReceiverOptions) -> Result<Receiver, AttachError> {
        let name = options.config.name.clone();
        let inner = self.attach(options.config).await?;
        inner.start_receiving(options.credit, options.at_first);
        Ok(Receiver::new(inner, name, options.on_drop))
    }

    /// Ends the session with all its links and waits for the peer's answer. Idempotent.
    ///
    /// Nothing more can be sent from here on, but what was handed over leaves first, for at most
    /// [`Limits::leave_time_out`](crate::engine::Limits::leave_time_out): of a message that the peer has not taken by then
    /// the rest is not sent, and it ends with [`SendError::OutcomeUnknown`](super::error::SendError::OutcomeUnknown), like
    /// all whose outcome has not come.
    ///
    /// # Errors
    /// [`EndError::Unanswered`] when the peer has not answered within
    /// [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out) (60 s) of the end: on this side the session is over
    /// all the same. [`EndError::Lost`] when the connection is lost before.
    ///
    /// # Cancel safety
    /// Safe: once polled, ending goes on in the connection's task.
    pub async fn end(&self) -> Result<(), EndError> {
        self.end_inner(None).await
    }

    /// Ends the session and tells the peer why. Otherwise as [`end`](Self::end).
    ///
    /// # Errors
    /// As [`end`](Self::end).
    ///
    /// # Cancel safety
    /// As [`end`](Self::end).
    pub async fn end_with_error(&self, error: Error) -> Result<(), EndError> {
        self.end_inner(Some(error)).await
    }

    async fn end_inner(&self, error: Option<Error>) -> Result<(), EndError> {
        self.inner
            .connection
            .shared
            .with(|state| state.part_session(self.inner.key, error, Patience::Limited))?;
        match self.ended().await {
            EndReason::Lost(error)
                if !matches!(error, ConnectionError::Closed | ConnectionError::ClosedByPeer) =>
            {
                Err(EndError::Lost(error))
            }
            EndReason::Unanswered => Err(EndError::Unanswered),
            _ => Ok(()),
        }
    }

    /// Waits until the session is over and says why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ended(&self) -> EndReason {
        let mut place = SessionPlace { inner: &self.inner, place: None };
        let ended = poll_fn(|cx| {
            place.poll(cx, |phase| match phase {
                SessionPhase::Ended(reason) => Some(reason.clone()),
                _ => None,
            })
        });
        match ended.await {
            Ok(reason) => reason,
            Err(error) => EndReason::Lost(error),
        }
    }

    /// The session's windows and what is unsettled in it; `None` once it has ended.
    #[must_use]
    pub fn stats(&self) -> Option<SessionStats> {
        let stats = self.inner.connection.shared.with(|state| {
            let slot = state.sessions.get(self.inner.key)?;
            // One whose end the peer has not answered is none of ours.
            let is_over = matches!(slot.phase, SessionPhase::Ended(_));
            state.engine.session_stats(self.inner.id).filter(|_| !is_over)
        });
        stats.ok().flatten()
    }

    pub(crate) async fn attach(&self, config: LinkConfig) -> Result<Arc<LinkInner>, AttachError> {
        let link = self.start_attach(config, Before::default())?;
        Self::attached(&link).await?;
        Ok(link)
    }

    /// Attaches a link, with what it brings along where it resumes another.
    pub(crate) fn start_attach(
        &self,
        mut config: LinkConfig,
        before: Before<'_>,
    ) -> Result<Arc<LinkInner>, AttachError> {
        let started = self.inner.connection.shared.with(|state| {
            if let Some(SessionPhase::Ended(reason)) =
                state.sessions.get(self.inner.key).map(|slot| &slot.phase)
            {
                return Err((session_over(reason), Vec::new()));
            }
            if state.is_session_parting(self.inner.key) {
                return Err((AttachError::SessionEnded(EndReason::Local), Vec::new()));
            }
            state.attach_resumed(config.resume.take(), before, |state, resume| {
                config.resume = resume;
                let id = state.engine.attach(self.inner.id, config).map_err(attach_error)?;
                state.is_touched = true;
                let key = state.add_link(id, LinkPhase::Attaching);
                state.expect_answer(Asker::Link(key));
                Ok((key, (id, key)))
            })
        })?;
        let (id, key) = started.map_err(|(error, _)| error)?;
        let connection = Arc::clone(&self.inner.connection);
        Ok(Arc::new(LinkInner::new(connection, Some(Arc::clone(&self.inner)), key, id)))
    }

    /// Waits until the peer has answered an attach.
    pub(crate) async fn attached(link: &LinkInner) -> Result<(), AttachError> {
        link.wait(|slot| match &slot.phase {
            LinkPhase::Attaching => None,
            LinkPhase::Attached => Some(Ok(())),
            // It was attached, and its handle says what to do next.
            LinkPhase::Detached(end) if matches!(end.reason, DetachReason::Incomplete) => Some(Ok(())),
            LinkPhase::Detached(end) => Some(Err(refusal(&end.reason, end.was_usable))),
        })
        .await
        .map_err(AttachError::Lost)?
    }
}

fn refusal(reason: &DetachReason, was_usable: WasUsable) -> AttachError {
    match reason {
        DetachReason::Remote(error) => match error.redirect() {
            Some(redirect) => AttachError::Redirect(redirect),
            None => AttachError::Refused(error.clone()),
        },
        DetachReason::Lost(error) => AttachError::Lost(error.clone()),
        DetachReason::Unanswered => AttachError::Unanswered,
        DetachReason::SessionEnded(reason) => session_over(reason),
        other if was_usable == WasUsable::Refused => {
            AttachError::Invalid(format!("refused without an error, {other}"))
        }
        other => AttachError::Invalid(other.to_string()),
    }
}

fn session_over(reason: &EndReason) -> AttachError {
    match reason {
        EndReason::Lost(error) => AttachError::Lost(error.clone()),
        other => AttachError::SessionEnded(other.clone()),
    }
}

fn attach_error(error: EngineError) -> AttachError {
    match error {
        EngineError::Closed(reason) => AttachError::Lost(reason),
        EngineError::NameInUse => AttachError::NameInUse,
        EngineError::Stale => AttachError::SessionEnded(EndReason::Local),
        other => AttachError::Invalid(other.to_string()),
    }
}
