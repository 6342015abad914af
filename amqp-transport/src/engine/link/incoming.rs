//! What the peer says of links: attaches and detaches, asked for or not.

use std::sync::Arc;

use amqp_codec::{Attach, Detach, ErrorCondition, Role, Str};

use super::super::config::{DetachKind, LinkConfig, Side};
use super::super::connection::Connection;
use super::super::endpoint_state::{Endpoint, Half};
use super::super::event::{DetachCause, Event};
use super::super::ids::LinkId;
use super::super::session::unattached_handle;
use super::super::violation::Violation;
use super::holding::{Held, too_many_octets};
use super::{LinkKind, name_key};
use crate::engine::kept::KeptAttach;

impl Connection {
    pub(in super::super) fn handle_attach(&mut self, channel: u16, attach: Attach) -> Result<(), Violation> {
        let Some(session_index) = self.remote_session(channel)? else { return Ok(()) };
        let Some(session) = self.sessions.get(session_index) else { return Ok(()) };
        if session.endpoint.is_discarding() {
            return Ok(());
        }
        // S-026
        if attach.handle > session.local_handle_max {
            return Err(Violation::framing("an attach with a handle above handle-max"));
        }
        // S-033
        if session.remote_link(attach.handle).is_some() {
            return Err(Violation::session(ErrorCondition::HANDLE_IN_USE, "an attach with a handle in use"));
        }
        let role = attach.role.peer();
        let known = self.names.get(&name_key(role, &attach.name)).copied();
        let is_awaited = |index: &u32| {
            self.links
                .get(*index)
                .is_some_and(|link| link.session == session_index && link.endpoint.remote == Half::Idle)
        };
        // Attaches are answered in their order: one that lost its name before its successor was asked for.
        let stolen = self.stolen_unanswered(session_index, role, &attach.name);
        let awaited = stolen.or_else(|| known.filter(is_awaited));
        match (awaited, known) {
            (Some(index), _) => {
                self.map_remote_handle(index, attach.handle);
                self.attach_answered(index, attach)
            }
            (None, Some(index)) => {
                self.steal(index);
                self.attach_requested(session_index, role, attach)
            }
            (None, None) => self.attach_requested(session_index, role, attach),
        }
    }

    // L-006, L-033, L-034: the answer to our attach.
    fn attach_answered(&mut self, index: u32, attach: Attach) -> Result<(), Violation> {
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        link.endpoint.remote = Half::Open;
        let id = link.id;
        let attach = Arc::new(attach);
        let is_discarding = link.endpoint.local != Half::Open;
        link.remote_attach = (!is_discarding).then(|| KeptAttach::new(&attach));
        match &mut link.kind {
            LinkKind::Sender(_) => {
                link.rcv_settle_mode = attach.rcv_settle_mode;
                link.max_message_size = attach.max_message_size.filter(|max| *max > 0);
                link.default_outcome =
                    attach.source.as_ref().and_then(|source| source.default_outcome.clone()).map(Box::new);
                link.is_refused = attach.target.is_none();
            }
            LinkKind::Receiver(receiver) => {
                link.snd_settle_mode = attach.snd_settle_mode;
                link.is_refused = attach.source.is_none();
                match attach.initial_delivery_count {
                    Some(count) => receiver.credit.start_at(count),
                    None if link.is_refused || is_discarding => {}
                    // L-027
                    None => return self.link_fault(index, no_initial_count()),
                }
            }
        }
        let is_over = is_discarding || link.is_refused;
        if !self.count_attach(index, Held::Once) && !is_over {
            return self.link_fault(index, too_many_octets());
        }
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        if is_over {
            let key = link.key();
            if is_discarding && self.names.get(&key) == Some(&index) {
                self.names.remove(&key);
            }
            return Ok(());
        }
        match (&link.kind, &mut link.termini) {
            // L-010: what either side has authority over.
            (LinkKind::Sender(_), Some(termini)) => termini.target.clone_from(&attach.target),
            (LinkKind::Receiver(_), Some(termini)) => termini.source.clone_from(&attach.source),
            (_, None) => {}
        }
        self.events.push(Event::LinkAttached { link: id, attach: Arc::clone(&attach) });
        self.begin_resuming(id, attach.unsettled.as_ref(), attach.incomplete_unsettled);
        Ok(())
    }

    // L-003, L-006: a link that the peer starts.
    fn attach_requested(&mut self, session: u32, role: Role, attach: Attach) -> Result<(), Violation> {
        let settings = LinkConfig {
            snd_settle_mode: attach.snd_settle_mode,
            rcv_settle_mode: attach.rcv_settle_mode,
            ..LinkConfig::unnamed(role)
        };
        let id = self.insert_link(session, role, attach.name.clone(), &settings).map_err(|_| {
            Violation::session(
                ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
                "more links than this container carries",
            )
        })?;
        self.map_remote_handle(id.index, attach.handle);
        let attach = Arc::new(attach);
        let Some(link) = self.links.get_mut(id.index) else { return Ok(()) };
        link.endpoint.remote = Half::Open;
        link.remote_attach = Some(KeptAttach::new(&attach));
        match &mut link.kind {
            LinkKind::Sender(_) => link.max_message_size = attach.max_message_size.filter(|max| *max > 0),
            LinkKind::Receiver(receiver) => match attach.initial_delivery_count {
                Some(count) => receiver.credit.start_at(count),
                None => return self.refuse_unheard(id, no_initial_count()),
            },
        }
        if self.side == Side::Client {
            return self.refuse_unheard(
                id,
                Violation::link(ErrorCondition::NOT_ALLOWED, "this client takes no links"),
            );
        }
        if !self.count_attach(id.index, Held::Twice) {
            self.refuse_unheard(id, too_many_octets())?;
            self.strip_refused(id.index);
            return Ok(());
        }
        let Some(session) = self.sessions.get(session).map(|session| session.id) else { return Ok(()) };
        self.events.push(Event::AttachRequested { link: id, session, attach });
        Ok(())
    }

    fn map_remote_handle(&mut self, index: u32, handle: u32) {
        let Some(link) = self.links.get_mut(index) else { return };
        link.remote_handle = Some(handle);
        let Some(session) = self.sessions.get_mut(link.session) else { return };
        let place = handle as usize;
        if session.remote_handles.len() <= place {
            session.remote_handles.resize(place + 1, None);
        }
        if let Some(slot) = session.remote_handles.get_mut(place) {
            *slot = Some(index);
        }
    }

    // L-002: the newer attach wins. L-009: what is unsettled on a link that may be resumed is handed out first, so that
    // whoever answers the new attach can go on with it.
    pub(in super::super) fn steal(&mut self, index: u32) {
        let Some(link) = self.links.get(index) else { return };
        let (id, is_closing, key) = (link.id, link.is_closing(), link.key());
        // One that is held back ends at once, for good, and says so itself.
        let (role, was_open) = (link.kind.role(), link.endpoint.local == Half::Open && !link.is_held_back);
        if link.endpoint.remote == Half::Idle
            && let Some(session) = self.sessions.get_mut(link.session)
        {
            session.has_stolen_unanswered = true;
        }
        if self.names.get(&key) == Some(&index) {
            self.names.remove(&key);
        }
        let error = Violation::link(ErrorCondition::STOLEN, "the link was attached anew").to_wire();
        if self.detach_link(id, DetachKind::Closed, Some(error.clone()), DetachCause::Stolen).is_err() {
            // Never answered: nothing was promised, the application hears that it is gone.
            self.finish_link(index, DetachCause::Stolen, None);
        } else if !is_closing && let Some(state) = self.suspend(index) {
            self.events.push(Event::LinkSuspended { link: id, state });
            self.events.push(Event::LinkDetached {
                link: id,
                kind: DetachKind::Suspended,
                cause: DetachCause::Stolen,
                error: Some(error),
            });
            self.supersede(index);
        } else if was_open {
            let cause = DetachCause::Stolen;
            self.events.push(Event::LinkFailed { link: id, role, cause, error: Some(error) });
        }
    }

    /// A link of ours that lost its name to another before its attach was answered: the answer is still its own.
    fn stolen_unanswered(&self, session_index: u32, role: Role, name: &Str) -> Option<u32> {
        let session = self.sessions.get(session_index).filter(|session| session.has_stolen_unanswered)?;
        session.local_handles.iter().copied().flatten().find(|index| {
            self.links.get(*index).is_some_and(|link| {
                link.endpoint == Endpoint { local: Half::Closed, remote: Half::Idle }
                    && link.key() == name_key(role, name)
            })
        })
    }

    pub(in super::super) fn handle_detach(&mut self, channel: u16, detach: Detach) -> Result<(), Violation> {
        let Some(session_index) = self.remote_session(channel)? else { return Ok(()) };
        let Some(session) = self.sessions.get(session_index) else { return Ok(()) };
        if session.endpoint.is_discarding() {
            return Ok(());
        }
        let index = session.remote_link(detach.handle).ok_or_else(unattached_handle)?;
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        if link.endpoint.remote == Half::Closed {
            // Detached already, and our answer waits for the session to be accepted.
            return Err(unattached_handle());
        }
        let id = link.id;
        link.endpoint.remote = Half::Closed;
        let kind = DetachKind::from_closed(detach.closed);
        match link.endpoint.local {
            Half::Closed => {
                let (cause, ours) = (link.detach_cause, link.detach_error.take());
                self.finish_link_as(index, kind, cause, ours.map(|ours| *ours).or(detach.error));
            }
            Half::Open => {
                let cause = if link.is_refused { DetachCause::Refused } else { DetachCause::Remote };
                // L-012: the same closed flag goes back.
                let _ = self.detach_link(id, kind, None, cause);
                self.finish_link_as(index, kind, cause, detach.error);
            }
            Half::Idle => {
                // Given up before our answer: both halves still have to be exchanged, as soon as our begin is out.
                link.is_silent = true;
                self.events.push(Event::LinkDetached {
                    link: id,
                    kind,
                    cause: DetachCause::Remote,
                    error: detach.error,
                });
                if self.is_accepted(session_index) {
                    self.answer_one_given_up(index);
                }
            }
        }
        Ok(())
    }

    fn is_accepted(&self, session_index: u32) -> bool {
        self.sessions.get(session_index).is_some_and(|session| session.endpoint.local == Half::Open)
    }

    /// Answers the links that the peer gave up before we could, once the session is accepted.
    pub(in super::super) fn answer_given_up(&mut self, session_index: u32) {
        if !self.is_accepted(session_index) {
            return;
        }
        let links: Vec<u32> = self
            .sessions
            .get(session_index)
            .map(|session| session.local_handles.iter().copied().flatten().collect())
            .unwrap_or_default();
        for index in links {
            self.answer_one_given_up(index);
        }
    }

    fn answer_one_given_up(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index).filter(|link| link.is_given_up()) else { return };
        let id = link.id;
        link.is_silent = false;
        let error = Violation::link(ErrorCondition::NOT_FOUND, "given up before it was accepted").to_wire();
        let _ = self.refuse_attached(id, error);
        self.forget_link(index);
    }

    /// Refuses an attach before the application has heard of it.
    fn refuse_unheard(&mut self, id: LinkId, fault: Violation) -> Result<(), Violation> {
        let error = fault.to_wire();
        self.refuse_attached(id, error).map_err(|_| {
            self.forget_link(id.index);
            Violation::session(fault.condition(), fault.detail().to_owned())
        })
    }
}

fn no_initial_count() -> Violation {
    Violation::link(ErrorCondition::INVALID_FIELD, "a sender's attach without initial-delivery-count")
}
