//! Whether large messages are still leaving, for whoever wants them gone before an end.
//!
//! Owns the question alone: the engine itself ends at once what it is told to end.

use super::connection::Connection;
use super::ids::{LinkId, SessionId};
use super::link::LinkKind;

impl Connection {
    /// Whether a large message is still leaving a link, frame by frame.
    #[must_use]
    pub fn is_link_busy(&self, link: LinkId) -> bool {
        match self.links.checked(link.index, link.generation).map(|link| &link.kind) {
            Some(LinkKind::Sender(sender)) => sender.large.is_some(),
            _ => false,
        }
    }

    /// Whether a large message is still leaving a link of a session.
    #[must_use]
    pub fn is_session_busy(&self, session: SessionId) -> bool {
        let Some(owner) = self.sessions.checked(session.index, session.generation) else { return false };
        let is_of = |id: &&LinkId| self.links.get(id.index).is_some_and(|link| link.session == session.index);
        // Every message that has begun to leave stands in line for its next frame, or waits for the window.
        self.sending.iter().filter(is_of).chain(&owner.halted).any(|id| self.is_link_busy(*id))
    }

    /// Whether a large message is still leaving any link.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let halted =
            self.sessions.indices().filter_map(|index| self.sessions.get(index)).flat_map(|s| &s.halted);
        self.sending.iter().chain(halted).any(|id| self.is_link_busy(*id))
    }
}
