//! A session that a peer began, waiting for the application's answer.

use amqp_codec::{Begin, Error};

use crate::driver::shared::{Role, SessionRequest, unanswered};
use crate::engine::SessionId;
use crate::error::ConnectionError;
use crate::handle::connection::Connection;
use crate::handle::error::OpenError;
use crate::handle::options::SessionOptions;

/// A session that a peer began (`AMQP 1.0 §2.5.1`). Dropped without an answer it is refused.
///
/// Until it is answered its window is shut, and links that the peer attaches in it wait.
#[derive(Debug)]
#[must_use = "a session that is dropped is refused"]
pub struct IncomingSession {
    connection: Connection,
    request: SessionRequest,
    is_answered: bool,
}

impl IncomingSession {
    pub(crate) fn new(connection: Connection, request: SessionRequest) -> Self {
        Self { connection, request, is_answered: false }
    }

    /// The peer's begin: its windows, handle-max, capabilities and properties.
    // S-027
    #[must_use]
    pub fn remote_begin(&self) -> &Begin {
        &self.request.begin
    }

    /// The session's id, the same as that of the links in it
    /// ([`IncomingAttach::session_id`](super::IncomingAttach::session_id)).
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.request.session
    }

    /// The connection the session belongs to.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Accepts the session with these windows, limits and capabilities. It lives as long as the peer wants.
    ///
    /// # Errors
    /// [`OpenError::Limit`] when the peer has ended it meanwhile, or the answer does not fit the peer's frames;
    /// [`OpenError::Lost`] when the connection is gone.
    pub fn accept(mut self, options: SessionOptions) -> Result<SessionId, OpenError> {
        self.is_answered = true;
        let id = self.request.session;
        self.connection.shared().with(|state| {
            if let Some(error) = state.failure() {
                return Err(OpenError::Lost(error));
            }
            let accepted = state.engine.accept_session(id, options.config);
            state.is_touched = true;
            if let Role::Listener(listener) = &mut state.role {
                listener.answer_session(id, &mut state.wakes);
            }
            accepted.map(|()| id).map_err(|error| OpenError::Limit(error.to_string()))
        })?
    }

    /// Refuses the session: it is answered and ended at once, with this error.
    pub fn refuse(mut self, error: Error) {
        self.refuse_inner(error);
    }

    fn refuse_inner(&mut self, error: Error) {
        self.is_answered = true;
        let id = self.request.session;
        let refused: Result<(), ConnectionError> = self.connection.shared().with(|state| {
            // Stale: the peer has ended it meanwhile.
            let _ = state.engine.end(id, Some(error));
            // Its links go with it, and must not come up before that is known.
            state.is_touched = true;
        });
        // Poisoned: the connection is over anyway.
        drop(refused);
    }
}

impl Drop for IncomingSession {
    fn drop(&mut self) {
        if !self.is_answered {
            self.refuse_inner(unanswered("the application gave no answer to the begin"));
        }
    }
}
