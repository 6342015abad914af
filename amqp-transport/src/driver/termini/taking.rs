//! What is left of a link is taken from its connection: when it ends, by its own handle, or by another that steals it.

use std::sync::Arc;

use amqp_codec::Role as LinkRole;

use super::{Member, Registry, Suspended};
use crate::driver::clock;
use crate::driver::link::LinkInner;
use crate::driver::listening::Role;
use crate::driver::shared::State;
use crate::driver::slots::{LinkPhase, WasUsable};
use crate::engine::{LinkEnd, Loan, SessionId};
use crate::handle::error::DetachReason;
use crate::handle::suspended::SuspendedSender;
use crate::handle::suspended_receiver::{SuspendedReceiver, Waiting};

impl State {
    /// The connection's part in its listener's termini.
    pub(crate) fn member(&self) -> Option<Arc<Member>> {
        match &self.role {
            Role::Listener(listener) => listener.termini.clone(),
            Role::Client => None,
        }
    }

    /// A link that the termini know is over: they keep what is left of it.
    pub(crate) fn keep_terminus(&mut self, key: usize, end: LinkEnd) {
        let Some(member) = self.member() else { return };
        let Some(slot) = self.links.get_mut(key) else { return };
        let Some(attachment) = slot.terminus.take() else { return };
        let session = slot.session;
        let left = match slot.suspended.as_ref().map(|suspended| suspended.role) {
            Some(LinkRole::Receiver) => {
                SuspendedReceiver::left_of(self, key, &attachment.link, Waiting::GoesAlong)
                    .map(Suspended::Receiver)
            }
            // Its handle is being dropped, and waits for the lock: nobody may resume it.
            Some(LinkRole::Sender) => attachment.link.upgrade().and_then(|link| {
                let left = self.take_sender(&link);
                self.wakes.drop_link(link);
                left
            }),
            None => None,
        };
        member.ended(&attachment, left.zip(session), end);
        if let Some(slot) = self.links.get_mut(key) {
            slot.terminus = Some(attachment);
        }
    }

    /// What the termini keep of a link, for its own handle, which takes it from them.
    pub(crate) fn reclaim(&mut self, key: usize) -> Option<Suspended> {
        let registry = self.member()?.registry()?;
        let attachment = self.links.get(key).and_then(|slot| slot.terminus.as_ref());
        let left = attachment.and_then(|attachment| registry.reclaim(attachment));
        self.wakes.leave_termini(registry);
        left
    }

    fn take_sender(&mut self, link: &Arc<LinkInner>) -> Option<Suspended> {
        let slot = self.links.get(link.key)?;
        let LinkPhase::Detached(end) = &slot.phase else { return None };
        let reason = end.reason.clone();
        let (left, origins) = self.take_suspended(link)?;
        Some(Suspended::Sender(SuspendedSender::new(link, left, origins, reason)))
    }

    // L-002
    fn give_over(&mut self, link: &Arc<LinkInner>, stealing: Stealing) -> Option<(Suspended, Option<Loan>)> {
        let member = self.member()?;
        let slot = self.links.get_mut(link.key)?;
        let attachment = slot.terminus.take()?;
        let (id, is_attached) = (slot.id, !matches!(slot.phase, LinkPhase::Detached(_)));
        let session = slot.session;
        if let Some(registry) = member.registry() {
            registry.lock().forget(&attachment);
            self.wakes.leave_termini(registry);
        }
        if is_attached {
            // Stale: its end is among the events.
            let _ = self.engine.steal_link(id);
            self.is_touched = true;
            self.dispatch_all();
            self.finish_link(link.key, DetachReason::Stolen, WasUsable::Yes);
        }
        let left = match self.links.get(link.key)?.suspended.as_ref()?.role {
            LinkRole::Receiver => {
                SuspendedReceiver::left_of(self, link.key, &Arc::downgrade(link), Waiting::GoesAlong)
                    .map(Suspended::Receiver)?
            }
            LinkRole::Sender => self.take_sender(link)?,
        };
        // Under this connection's lock, so that its end, and its session's, are heard from here on.
        let lend = |(registry, session): (Arc<Registry>, SessionId)| {
            let place = member.place(session);
            let loan = registry.lock().store.lend_stolen(&attachment.key, left.look(), place, clock::now());
            self.wakes.leave_termini(registry);
            loan
        };
        let loan = match stealing {
            Stealing::ToGoOn => member.registry().zip(session).map(lend),
            Stealing::ToReplace => None,
        };
        Some((left, loan))
    }
}

/// For what a link is taken from its connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stealing {
    /// Another goes on with it.
    ToGoOn,
    /// Another has replaced it.
    ToReplace,
}

/// Takes a link from its connection, and what is left of it. Call it without a lock.
pub(super) fn steal(link: &Arc<LinkInner>, stealing: Stealing) -> Option<(Suspended, Option<Loan>)> {
    // Poisoned: nothing is left.
    link.connection.shared.with(|state| state.give_over(link, stealing)).ok().flatten()
}

/// How far the end of a link reaches.
// L-016
pub(crate) fn reach(reason: &DetachReason) -> LinkEnd {
    match reason {
        DetachReason::Lost(_) => LinkEnd::ConnectionClosed,
        DetachReason::SessionEnded(_) => LinkEnd::SessionEnded,
        DetachReason::Stolen => LinkEnd::Stolen,
        _ => LinkEnd::Detached,
    }
}
