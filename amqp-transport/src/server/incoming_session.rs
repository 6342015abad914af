//! A session that a peer began, waiting for the application's answer.

use std::sync::Arc;

use amqp_codec::{Begin, Error};

use super::question::{Question, Request};
use crate::driver::listening::{Role, SessionRequest};
use crate::engine::SessionId;
use crate::handle::connection::Connection;
use crate::handle::error::OpenError;
use crate::handle::options::SessionOptions;
use crate::handle::session::Session;

/// A session that a peer began (`AMQP 1.0 §2.5.1`). Dropped without an answer it is refused.
///
/// Until it is answered its window is shut, and links that the peer attaches in it wait.
#[derive(Debug)]
#[must_use = "a session that is dropped is refused"]
pub struct IncomingSession {
    question: Question<SessionRequest>,
}

impl IncomingSession {
    pub(crate) fn new(connection: Connection, request: SessionRequest) -> Self {
        Self { question: Question::new(connection, request) }
    }

    /// The peer's begin: its windows, handle-max, capabilities and properties.
    // S-027
    #[must_use]
    pub fn remote_begin(&self) -> &Begin {
        &self.question.request.begin
    }

    /// The session's id, the same as that of the links in it
    /// ([`IncomingAttach::session_id`](super::IncomingAttach::session_id)).
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.question.request.session()
    }

    /// The connection the session belongs to.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.question.connection
    }

    /// Accepts the session with these windows, limits and capabilities. It lives as long as the peer wants, whether or not
    /// the handle is kept; with it the session can be ended, watched, and given links of this side's.
    ///
    /// # Errors
    /// [`OpenError::Limit`] when the peer has ended it meanwhile, or the answer does not fit the peer's frames, which ends
    /// it with `amqp:frame-size-too-small`; [`OpenError::Lost`] when the connection is gone.
    pub fn accept(mut self, options: SessionOptions) -> Result<Session, OpenError> {
        self.question.answer();
        let id = self.session_id();
        let Question { connection, request, .. } = &self.question;
        let key = connection.shared().with(|state| {
            if let Some(error) = state.failure() {
                return Err(OpenError::Lost(error));
            }
            let accepted = state.engine.accept_session(id, options.config);
            state.is_touched = true;
            // One that was not accepted ends, and its links go with it: they must not come up before that is known.
            if accepted.is_ok()
                && let Role::Listener(listener) = &mut state.role
            {
                listener.answer_session(id, &mut state.wakes);
            }
            accepted.map_err(|error| OpenError::Limit(error.to_string()))?;
            let key = state.hold_session(id);
            if let Some(slot) = state.sessions.get_mut(key) {
                slot.remote_begin = Some(Arc::clone(&request.begin));
            }
            Ok(key)
        })??;
        Ok(Session::of(connection, key, id))
    }

    /// Refuses the session: it is answered and ended at once, with this error.
    pub fn refuse(mut self, error: impl Into<Error>) {
        self.question.refuse(error.into());
    }
}
