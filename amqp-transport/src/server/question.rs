//! What the peer asks of a server, until it is answered.
//!
//! Owns that every question is answered once: by a refusal, when the application lets it go without a word.

use amqp_codec::Error;

use crate::driver::listening::{AttachRequest, SessionRequest, unanswered};
use crate::engine::{self, SessionId};
use crate::error::ConnectionError;
use crate::handle::connection::Connection;

/// Something that can be refused.
pub(super) trait Request {
    /// What the peer is told when nobody has answered.
    const UNANSWERED: &'static str;

    /// The session it is about.
    fn session(&self) -> SessionId;

    /// Refuses it, where the peer has not given it up meanwhile.
    fn refuse(&self, engine: &mut engine::Connection, error: Error);
}

impl Request for AttachRequest {
    const UNANSWERED: &'static str = "the application gave no answer to the attach";

    fn session(&self) -> SessionId {
        self.session
    }

    fn refuse(&self, engine: &mut engine::Connection, error: Error) {
        // Stale: the peer has given up meanwhile.
        let _ = engine.refuse_attach(self.link, error);
    }
}

impl Request for SessionRequest {
    const UNANSWERED: &'static str = "the application gave no answer to the begin";

    fn session(&self) -> SessionId {
        self.session
    }

    fn refuse(&self, engine: &mut engine::Connection, error: Error) {
        // Its links go with it, and must not come up before that is known: it is answered when it has ended. Stale: the
        // peer has ended it meanwhile.
        let _ = engine.end(self.session, Some(error));
    }
}

/// A request of the peer's. Dropped without an answer it is refused.
#[derive(Debug)]
pub(super) struct Question<R: Request> {
    pub(super) connection: Connection,
    pub(super) request: R,
    is_answered: bool,
}

impl<R: Request> Question<R> {
    pub(super) fn new(connection: Connection, request: R) -> Self {
        Self { connection, request, is_answered: false }
    }

    /// The application has answered: whatever comes of it, nobody else does.
    pub(super) fn answer(&mut self) {
        self.is_answered = true;
    }

    pub(super) fn refuse(&mut self, error: Error) {
        self.answer();
        let refused: Result<(), ConnectionError> = self.connection.shared().with(|state| {
            self.request.refuse(&mut state.engine, error);
            state.is_touched = true;
        });
        // Poisoned: the connection is over anyway.
        drop(refused);
    }
}

impl<R: Request> Drop for Question<R> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.refuse(unanswered(R::UNANSWERED));
        }
    }
}
