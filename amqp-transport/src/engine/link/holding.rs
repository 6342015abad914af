//! What the peer's attaches make this side hold, counted against one bound.
//!
//! Owns the count. A link holds its attach encoded, and while it waits for its answer the decoded one is held as well; of a
//! link that waits for the peer's detach no more than the name is left.

use amqp_codec::ErrorCondition;

use super::super::connection::Connection;
use super::super::violation::Violation;

/// How much of a peer's attach is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Encoded and decoded: it waits for its answer.
    Twice,
    Once,
    /// The link's name alone.
    Name,
}

impl Connection {
    /// Counts what a link holds from here on. `false` when the connection holds more than it may.
    pub(super) fn count_attach(&mut self, index: u32, held: Held) -> bool {
        let Some(link) = self.links.get_mut(index) else { return true };
        let octets = link.remote_attach.as_ref().map_or(0, |attach| attach.len());
        let held = match held {
            Held::Twice => octets.saturating_mul(2),
            Held::Once => octets,
            Held::Name => link.name.len(),
        };
        let held = held.saturating_sub(FREE);
        let before = std::mem::replace(&mut link.attach_octets, held);
        self.attach_octets = self.attach_octets.saturating_sub(before).saturating_add(held);
        self.attach_octets <= self.config.limits.attach_bytes
    }

    /// Lets go of what a link that is to be refused makes this side hold, its name included: a peer that never answers the
    /// refusal must not make it hold more for that.
    pub(super) fn strip_refused(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index) else { return };
        let key = link.key();
        link.name = Default::default();
        if self.names.get(&key) == Some(&index) {
            self.names.remove(&key);
        }
        self.count_attach(index, Held::Name);
    }
}

pub(super) fn too_many_octets() -> Violation {
    Violation::link(
        ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
        "the attaches of this connection's links are more octets than are kept of one connection",
    )
}

/// Octets of each link's attach that are not counted: the bound on links is theirs.
const FREE: usize = 512;
