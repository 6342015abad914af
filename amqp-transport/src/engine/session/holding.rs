//! What the peer's begins make this side hold, counted against one bound.
//!
//! Owns the count. Whoever is told of a begin may keep it for as long as its session lasts, so that long it counts.

use std::sync::Arc;

use amqp_codec::{Begin, DecodeLimits, Encode, ErrorCondition, from_bytes, to_bytes};
use bytes::Bytes;

use super::super::connection::Connection;
use super::super::violation::Violation;

impl Connection {
    /// A begin as it is told: counted until its session is forgotten, and without the read chunk in which it came, of which
    /// its properties would keep all.
    pub(super) fn keep_begin(&mut self, index: u32, begin: Begin) -> Result<Arc<Begin>, Violation> {
        if is_plain(&begin) {
            return Ok(Arc::new(begin));
        }
        let held = begin.encoded_len().saturating_sub(FREE);
        let total = self.begin_octets.saturating_add(held);
        let Some(session) = self.sessions.get_mut(index).filter(|_| total <= self.config.limits.begin_bytes)
        else {
            return Err(too_many_octets());
        };
        session.begin_octets = held;
        self.begin_octets = total;
        let octets = Bytes::copy_from_slice(&to_bytes(&begin));
        // What was decoded within these limits is within them still: it is written in its smallest form.
        Ok(Arc::new(from_bytes(&octets, &DecodeLimits::performative()).unwrap_or(begin)))
    }
}

/// Whether nothing in it is of the peer's own length.
fn is_plain(begin: &Begin) -> bool {
    begin.properties.is_none()
        && begin.offered_capabilities.is_empty()
        && begin.desired_capabilities.is_empty()
}

fn too_many_octets() -> Violation {
    Violation::session(
        ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
        "the begins of this connection's sessions are more octets than are kept of one connection",
    )
}

/// Octets of each session's begin that are not counted: the bound on channels is theirs.
const FREE: usize = 512;
