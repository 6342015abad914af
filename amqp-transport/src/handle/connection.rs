//! The connection handle, the same for clients and for accepted connections.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use amqp_codec::{Error, Open};

use super::error::{EndReason, OpenError};
use super::options::SessionOptions;
use super::session::{Session, SessionInner};
use super::stats::ConnectionStats;
use crate::driver::answers::Asker;
use crate::driver::shared::{Shared, State};
use crate::driver::slots::{Owner, SessionPhase};
use crate::driver::wait::Place;
use crate::engine::EngineError;
use crate::error::ConnectionError;

/// An open AMQP connection. Clones are the same connection.
///
/// When the last handle that belongs to it is gone (connections, sessions, links, receipts and deliveries), it is
/// closed in good order by its task, without anyone waiting for that, as [`close`](Self::close) does it.
#[derive(Clone, Debug)]
pub struct Connection {
    inner: Arc<ConnectionInner>,
}

/// The count of handles: its drop closes the connection.
#[derive(Debug)]
pub(crate) struct ConnectionInner {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for ConnectionInner {
    fn drop(&mut self) {
        // Poisoned: closed already.
        let _ = self.shared.with(|state| state.close(None));
    }
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { inner: Arc::new(ConnectionInner { shared }) }
    }

    pub(crate) fn of(inner: Arc<ConnectionInner>) -> Self {
        Self { inner }
    }

    pub(crate) fn inner(&self) -> &Arc<ConnectionInner> {
        &self.inner
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Begins a session (`AMQP 1.0 §2.5.1`) and waits for the peer to answer.
    ///
    /// # Errors
    /// [`OpenError::Refused`] when the peer ends it at once, [`OpenError::Unanswered`] when it does not answer within
    /// [`Limits::answer_time_out`](crate::engine::Limits::answer_time_out) (60 s), and then the session is ended by the
    /// connection's task; [`OpenError::Limit`] when no channel is free, [`OpenError::Lost`] when the connection is gone.
    ///
    /// # Cancel safety
    /// Safe: a session whose future is dropped is ended by the connection's task.
    pub async fn begin(&self, options: SessionOptions) -> Result<Session, OpenError> {
        let (id, key) = self.shared().with(|state| {
            if let Some(error) = state.failure() {
                return Err(OpenError::Lost(error));
            }
            if state.partings.is_closing() {
                return Err(OpenError::Lost(ConnectionError::Closed));
            }
            let id = state.engine.begin(options.config).map_err(open_error)?;
            state.is_touched = true;
            let key = state.add_session(id, SessionPhase::Beginning, Owner::Us);
            state.expect_answer(Asker::Session(key));
            Ok((id, key))
        })??;
        let inner = Arc::new(SessionInner::new(Arc::clone(&self.inner), key, id));
        let mut place = SessionPlace { inner: &inner, place: None };
        poll_fn(|cx| place.poll_begun(cx)).await?;
        drop(place);
        Ok(Session::new(inner))
    }

    /// Closes the connection and waits until the peer has answered and the stream is ended, or until the engine's
    /// close time-out. Idempotent; a connection that is over already is closed.
    ///
    /// Nothing more can be sent from here on, but what was handed over leaves first, for at most
    /// [`Limits::leave_time_out`](crate::engine::Limits::leave_time_out): of a message that the peer has not taken by then
    /// the rest is not sent, and it ends with [`SendError::OutcomeUnknown`](super::error::SendError::OutcomeUnknown), like
    /// all whose outcome has not come.
    ///
    /// # Errors
    /// What ended the connection instead, when it was lost before the peer answered.
    ///
    /// # Cancel safety
    /// Safe: once polled, closing goes on in the connection's task.
    pub async fn close(&self) -> Result<(), ConnectionError> {
        self.close_inner(None).await
    }

    /// Closes the connection and tells the peer why. Otherwise as [`close`](Self::close).
    ///
    /// # Errors
    /// As [`close`](Self::close).
    ///
    /// # Cancel safety
    /// As [`close`](Self::close).
    pub async fn close_with_error(&self, error: Error) -> Result<(), ConnectionError> {
        self.close_inner(Some(error)).await
    }

    async fn close_inner(&self, error: Option<Error>) -> Result<(), ConnectionError> {
        self.shared().with(|state| state.close(error))?;
        let reason = wait_for(self.shared(), |state| {
            state.is_socket_done.then(|| state.failure().unwrap_or(ConnectionError::Closed))
        })
        .await?;
        match reason {
            ConnectionError::Closed | ConnectionError::ClosedByPeer => Ok(()),
            other => Err(other),
        }
    }

    /// Waits until the connection is over and says why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn closed(&self) -> ConnectionError {
        match wait_for(self.shared(), |state| state.failure()).await {
            Ok(reason) | Err(reason) => reason,
        }
    }

    /// Whether both sides have opened the connection and neither has closed it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared().with(|state| state.engine.is_open()).unwrap_or(false)
    }

    /// The peer's `open` (`AMQP 1.0 §2.7.1`): its container-id, limits, capabilities and properties.
    #[must_use]
    pub fn remote_open(&self) -> Arc<Open> {
        let open = self.shared().with(|state| state.remote_open.clone());
        // A handle exists only after the peer's open has come; the empty one stands in for a lost state.
        open.ok().flatten().unwrap_or_else(|| Arc::new(Open::new("")))
    }

    /// How many messages were handed over on this connection's links and have no outcome yet, whether or not anybody waits
    /// for it. For those who let what is under way end before they close.
    #[must_use]
    pub fn undecided_messages(&self) -> usize {
        self.shared().with(|state| state.undecided_messages()).unwrap_or(0)
    }

    /// What the connection has done so far and what it holds. Costs a walk over the messages without an outcome.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        self.shared()
            .with(|state| ConnectionStats {
                undecided_messages: state.undecided_messages(),
                inbox_octets: state.inbox_octets,
                withheld_links: state.withheld.len(),
                crowded_links: state.crowded.len(),
                engine: state.engine.stats(),
                ..state.stats
            })
            .unwrap_or_default()
    }

    /// The heads of the last frames of both directions, a line each, of a connection that has failed and was made with
    /// [`LastFrames::Heads`](crate::LastFrames). They hold neither messages nor credentials.
    #[must_use]
    pub fn last_frames(&self) -> Option<String> {
        self.shared().with(|state| state.heads.as_ref().map(ToString::to_string)).ok().flatten()
    }
}

/// Waits on a connection until `ready` gives a value.
pub(crate) async fn wait_for<T>(
    shared: &Shared,
    mut ready: impl FnMut(&mut State) -> Option<T>,
) -> Result<T, ConnectionError> {
    let mut place = LifePlace { shared, place: None };
    poll_fn(move |cx| {
        place
            .shared
            .with(|state| {
                if let Some(value) = ready(state) {
                    return Poll::Ready(value);
                }
                state.life.wait(&mut place.place, cx.waker(), &mut state.wakes);
                Poll::Pending
            })
            .map_or_else(|error| Poll::Ready(Err(error)), |poll| poll.map(Ok))
    })
    .await
}

/// A place among those who wait on the connection, given up when the future is dropped.
struct LifePlace<'a> {
    shared: &'a Shared,
    place: Option<Place>,
}

impl Drop for LifePlace<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            // Poisoned: nobody waits any more.
            let _ = self.shared.with(|state| state.life.leave(&mut self.place, &mut state.wakes));
        }
    }
}

/// A place among those who wait on a session.
pub(crate) struct SessionPlace<'a> {
    pub(crate) inner: &'a SessionInner,
    pub(crate) place: Option<Place>,
}

impl SessionPlace<'_> {
    fn poll_begun(&mut self, cx: &Context<'_>) -> Poll<Result<(), OpenError>> {
        self.poll(cx, |phase| match phase {
            SessionPhase::Beginning => None,
            SessionPhase::Begun => Some(Ok(())),
            SessionPhase::Ended(reason) => Some(Err(refusal(reason))),
        })
        .map_err(OpenError::Lost)?
    }

    pub(crate) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        ready: impl FnOnce(&SessionPhase) -> Option<T>,
    ) -> Poll<Result<T, ConnectionError>> {
        let (key, place) = (self.inner.key, &mut self.place);
        let polled = self.inner.connection.shared.with(|state| {
            let Some(slot) = state.sessions.get_mut(key) else {
                return Poll::Ready(Err(ConnectionError::Closed));
            };
            if let Some(value) = ready(&slot.phase) {
                return Poll::Ready(Ok(value));
            }
            slot.life.wait(place, cx.waker(), &mut state.wakes);
            Poll::Pending
        });
        polled.unwrap_or_else(|error| Poll::Ready(Err(error)))
    }
}

impl Drop for SessionPlace<'_> {
    fn drop(&mut self) {
        let (key, place) = (self.inner.key, &mut self.place);
        if place.is_some() {
            // Poisoned: nobody waits any more.
            let _ = self.inner.connection.shared.with(|state| {
                if let Some(slot) = state.sessions.get_mut(key) {
                    slot.life.leave(place, &mut state.wakes);
                }
            });
        }
    }
}

fn refusal(reason: &EndReason) -> OpenError {
    match reason {
        EndReason::Remote(error) => OpenError::Refused(error.clone()),
        EndReason::Lost(error) => OpenError::Lost(error.clone()),
        EndReason::Unanswered => OpenError::Unanswered,
        other => OpenError::Limit(other.to_string()),
    }
}

fn open_error(error: EngineError) -> OpenError {
    match error {
        EngineError::Closed(reason) => OpenError::Lost(reason),
        other => OpenError::Limit(other.to_string()),
    }
}
