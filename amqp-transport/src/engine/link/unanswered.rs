//! Links whose detach the peer has not answered, when nobody waits for that any more.

use super::super::config::DetachKind;
use super::super::connection::Connection;
use super::super::endpoint_state::Half;
use super::super::event::{DetachCause, Event};
use super::super::ids::LinkId;
use super::super::violation::EngineError;
use super::LinkKind;

impl Connection {
    /// Waits no longer for the peer's answer to an attach or a detach of ours. The wire's half of the link stays until it
    /// comes: its handle and its name are taken (L-004), and what the peer still says of it is dropped.
    pub(in super::super) fn give_up(&mut self, id: LinkId) -> Result<(), EngineError> {
        let link = self.link_mut(id)?;
        if link.endpoint.local == Half::Open && link.endpoint.remote == Half::Open {
            return Err(EngineError::State("the link is attached"));
        }
        if link.endpoint.local == Half::Open {
            // L-011: what an earlier attach of it has left at the peer is not to be destroyed by this one.
            let kind = if link.termini.is_some() { DetachKind::Suspended } else { DetachKind::Closed };
            self.detach_link(id, kind, None, DetachCause::Unanswered)?;
        }
        let Ok(link) = self.link_mut(id) else { return Ok(()) };
        if link.endpoint.local != Half::Closed {
            return Err(EngineError::State("the attach is not answered"));
        }
        let (is_closing, is_silent) = (link.is_closing, link.is_silent);
        let cause = match link.detach_cause {
            DetachCause::Local => DetachCause::Unanswered,
            other => other,
        };
        let error = link.detach_error.take().map(|error| *error);
        if !is_closing && let Some(state) = self.suspend(id.index) {
            self.events.push(Event::LinkSuspended { link: id, state });
        }
        if !is_silent {
            let kind = if is_closing { DetachKind::Closed } else { DetachKind::Suspended };
            self.events.push(Event::LinkDetached { link: id, kind, cause, error });
        }
        self.supersede(id.index);
        Ok(())
    }

    /// Leaves of a link no more than what waits for the peer's detach: its id is stale, and its deliveries are its
    /// successor's to settle.
    pub(super) fn supersede(&mut self, index: u32) {
        let Some(mut link) = self.links.remove(index) else { return };
        let (role, unsettled) = (link.kind.role(), std::mem::take(&mut link.unsettled));
        link.kind = LinkKind::new(role, 0);
        link.is_silent = true;
        let (owner, handle, remote_handle) = (link.session, link.local_handle, link.remote_handle);
        let key = link.key();
        let before = index;
        let (index, generation) = self.links.insert(link);
        if let Some(named) = self.names.get_mut(&key).filter(|named| **named == before) {
            *named = index;
        }
        if let Some(link) = self.links.get_mut(index) {
            link.id = LinkId { index, generation };
        }
        let Some(session) = self.sessions.get_mut(owner) else { return };
        if let Some(slot) = session.local_handles.get_mut(handle as usize) {
            *slot = Some(index);
        }
        if let Some(slot) = remote_handle.and_then(|handle| session.remote_handles.get_mut(handle as usize)) {
            *slot = Some(index);
        }
        self.abandon_unsettled(owner, role, unsettled);
    }
}
