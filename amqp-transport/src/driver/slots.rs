//! Sessions and links as their handles see them: a slot for each, found by the handle's key and by the engine's id.
//!
//! Owns how a slot comes and goes, and what its end means for those who wait on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use amqp_codec::{Begin, DeliveryTag, Fields};
use bytes::Bytes;

use super::answers::Asker;
use super::inbox::Inbox;
use super::parting::{Gate, Patience};
use super::shared::State;
use super::survivors::Survivor;
use super::termini::{Attachment, reach};
use super::wait::WaitQueue;
use crate::engine::{DetachKind, KeptAttach, LinkId, SessionId, SuspendedLink};
use crate::handle::error::{DetachReason, EndReason};
use crate::handle::options::Draining;

/// A session as its handle sees it.
#[derive(Debug)]
pub(crate) struct SessionSlot {
    pub(crate) id: SessionId,
    pub(crate) phase: SessionPhase,
    /// Whose it is, and so what becomes of it when its handles are gone.
    pub(crate) owner: Owner,
    /// Handles of it; without any, the slot goes with the session's end.
    pub(crate) holders: usize,
    /// Whether this side has ended it.
    pub(crate) is_ending: bool,
    /// The peer's begin, where somebody may look at it.
    pub(crate) remote_begin: Option<Arc<Begin>>,
    pub(crate) life: WaitQueue,
}

/// Who began a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This side: it is ended when its last handle is gone.
    Us,
    /// The peer: it lives as long as the peer wants.
    Peer,
}

#[derive(Clone, Debug)]
pub(crate) enum SessionPhase {
    Beginning,
    Begun,
    Ended(EndReason),
}

/// A link as its handle sees it.
#[derive(Debug)]
pub(crate) struct LinkSlot {
    pub(crate) id: LinkId,
    /// The session it belongs to.
    pub(crate) session: Option<SessionId>,
    pub(crate) phase: LinkPhase,
    /// Why this side has detached it, while the peer's answer is awaited. In a box of its own, as is what follows it.
    pub(crate) parted: Option<Box<DetachReason>>,
    /// Whether the handle is gone, so that the slot goes with the link.
    pub(crate) is_orphan: bool,
    /// The peer's attach.
    pub(crate) attach: Option<KeptAttach>,
    /// Senders waiting for their turn, or receivers waiting for a message.
    pub(crate) queue: WaitQueue,
    /// Those who wait for attach, detach, drain or a confirmation.
    pub(crate) life: WaitQueue,
    pub(crate) inbox: Inbox,
    /// What the peer told last with its flows, and how often it told.
    pub(crate) told: Option<Box<(u64, Fields)>>,
    /// Sender: whether messages may still be handed over.
    pub(crate) gate: Gate,
    /// Sender: the peer wants its credit back once nobody waits to send.
    pub(crate) is_drain_requested: bool,
    /// Sender: who answers that.
    pub(crate) draining: Draining,
    /// Sender: how many tasks say that they have nothing to send.
    pub(crate) idle: u32,
    /// Sender: messages of this link in `pending`.
    pub(crate) in_flight: u32,
    /// Sender: one of those; each knows its neighbours.
    pub(crate) first_pending: Option<u64>,
    /// What is left of a link that may be resumed, until its handle takes it.
    pub(crate) suspended: Option<Box<SuspendedLink>>,
    /// Whether nobody will: its messages end with it.
    pub(crate) is_given_up: bool,
    /// Sender on a control link: transactions that nobody will discharge.
    pub(crate) abandoned_transactions: Vec<Bytes>,
    /// Receiver: deliveries of before, until they are taken over.
    pub(crate) survivors: BTreeMap<DeliveryTag, Survivor>,
    /// Listener: under which name the termini know it.
    pub(crate) terminus: Option<Box<Attachment>>,
}

impl LinkSlot {
    /// Why nothing passes on it any more, whether or not the peer has answered that.
    pub(crate) fn over(&self) -> Option<&DetachReason> {
        match &self.phase {
            LinkPhase::Detached(end) => Some(&end.reason),
            LinkPhase::Attaching | LinkPhase::Attached => self.parted.as_deref(),
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        matches!(self.phase, LinkPhase::Attached) && self.parted.is_none()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum LinkPhase {
    Attaching,
    Attached,
    /// Over, and whether the peer refused it before it was usable.
    Detached(Box<Detachment>),
}

/// How a link ended. In a box of its own: most links have not.
#[derive(Clone, Debug)]
pub(crate) struct Detachment {
    pub(crate) reason: DetachReason,
    pub(crate) was_usable: WasUsable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WasUsable {
    Yes,
    Refused,
}

impl State {
    /// A session with its first handle.
    pub(crate) fn add_session(&mut self, id: SessionId, phase: SessionPhase, owner: Owner) -> usize {
        let slot = SessionSlot {
            id,
            phase,
            owner,
            holders: 1,
            is_ending: false,
            remote_begin: None,
            life: WaitQueue::default(),
        };
        let key = self.sessions.insert(slot);
        remember(&mut self.session_keys, id.index(), key);
        key
    }

    /// Another handle of a session that the peer began; the first of one that nobody has held yet.
    pub(crate) fn hold_session(&mut self, id: SessionId) -> usize {
        if let Some(key) = self.session_key(id)
            && let Some(slot) = self.sessions.get_mut(key)
        {
            slot.holders = slot.holders.saturating_add(1);
            return key;
        }
        let phase = match (&self.failure, self.engine.session_stats(id)) {
            (Some(error), _) => SessionPhase::Ended(EndReason::Lost(error.clone())),
            (None, Some(_)) => SessionPhase::Begun,
            // Nobody held it, so that nobody here has ended it.
            (None, None) => SessionPhase::Ended(EndReason::ByPeer),
        };
        self.add_session(id, phase, Owner::Peer)
    }

    pub(crate) fn add_link(&mut self, id: LinkId, phase: LinkPhase) -> usize {
        let session = self.engine.link_session(id);
        let slot = LinkSlot {
            id,
            session,
            phase,
            parted: None,
            is_orphan: false,
            attach: None,
            queue: WaitQueue::default(),
            life: WaitQueue::default(),
            inbox: Inbox::default(),
            told: None,
            gate: self.gate_of(session),
            is_drain_requested: false,
            draining: Draining::default(),
            idle: 0,
            in_flight: 0,
            first_pending: None,
            suspended: None,
            is_given_up: false,
            abandoned_transactions: Vec::new(),
            survivors: BTreeMap::new(),
            terminus: None,
        };
        let key = self.links.insert(slot);
        remember(&mut self.link_keys, id.index(), key);
        key
    }

    pub(crate) fn session_key(&self, id: SessionId) -> Option<usize> {
        let key = *self.session_keys.get(id.index())?;
        self.sessions.get(key).filter(|slot| slot.id == id).map(|_| key)
    }

    pub(crate) fn link_key(&self, id: LinkId) -> Option<usize> {
        let key = *self.link_keys.get(id.index())?;
        self.links.get(key).filter(|slot| slot.id == id).map(|_| key)
    }

    /// Ends a link for its handles.
    pub(crate) fn finish_link(&mut self, key: usize, reason: DetachReason, was_usable: WasUsable) {
        self.partings.forget_link(key);
        self.answers.forget(Asker::Link(key));
        // Over already: messages that have not ended wait for it to be resumed, here or elsewhere.
        if self.links.get(key).is_none_or(|slot| matches!(slot.phase, LinkPhase::Detached(..))) {
            return;
        }
        self.resolve_link(key, &reason);
        let Some(slot) = self.links.get_mut(key) else { return };
        let (is_orphan, end) = (slot.is_orphan, reach(&reason));
        slot.phase = LinkPhase::Detached(Box::new(Detachment { reason, was_usable }));
        if slot.inbox.expected > 0 {
            self.granting = self.granting.saturating_sub(1);
        }
        for waker in slot.inbox.confirmations.values_mut().filter_map(|waiting| waiting.waker.take()) {
            self.wakes.wake(waker);
        }
        slot.queue.notify_all(&mut self.wakes);
        slot.life.notify_all(&mut self.wakes);
        if slot.terminus.is_some() {
            self.keep_terminus(key, end);
        }
        if is_orphan {
            self.links.remove(key);
        }
    }

    /// Ends a session for its handles. Its links have been ended before.
    pub(crate) fn finish_session(&mut self, key: usize, reason: EndReason) {
        self.partings.forget_session(key);
        self.answers.forget(Asker::Session(key));
        let Some(slot) = self.sessions.get_mut(key) else { return };
        if matches!(slot.phase, SessionPhase::Ended(_)) {
            return;
        }
        slot.phase = SessionPhase::Ended(reason);
        slot.life.notify_all(&mut self.wakes);
        if slot.holders == 0 {
            self.sessions.remove(key);
        }
    }

    /// A sender or receiver handle is gone: detach, best effort, once what was handed over has left.
    pub(crate) fn drop_link(&mut self, key: usize) {
        drop(self.take_inbox(key));
        for (_, message) in self.restored.remove(&key).unwrap_or_default() {
            self.discard_pending(message);
        }
        let Some(slot) = self.links.get_mut(key) else { return };
        if let LinkPhase::Detached(end) = &slot.phase {
            let reason = end.reason.clone();
            slot.suspended = None;
            self.resolve_link(key, &reason);
            self.links.remove(key);
            return;
        }
        slot.is_orphan = true;
        slot.is_given_up = true;
        self.part_link(key, DetachKind::Closed, None, Patience::Long);
    }

    /// A session handle is gone. With the last of one that this side began it is ended, best effort, once what was handed
    /// over has left.
    pub(crate) fn drop_session(&mut self, key: usize) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.holders = slot.holders.saturating_sub(1);
        if slot.holders > 0 {
            return;
        }
        match (&slot.phase, slot.owner) {
            (SessionPhase::Ended(_), _) => {
                self.sessions.remove(key);
            }
            (_, Owner::Us) => self.part_session(key, None, Patience::Long),
            (_, Owner::Peer) => {}
        }
    }

    /// Whether this side is ending the session of a link.
    pub(crate) fn is_session_ending(&self, link: usize) -> bool {
        let session = self.links.get(link).and_then(|slot| slot.session);
        let key = session.and_then(|session| self.session_key(session));
        key.and_then(|key| self.sessions.get(key)).is_some_and(|slot| slot.is_ending)
    }
}

fn remember(keys: &mut Vec<usize>, index: usize, key: usize) {
    if keys.len() <= index {
        keys.resize(index.saturating_add(1), usize::MAX);
    }
    if let Some(slot) = keys.get_mut(index) {
        *slot = key;
    }
}
