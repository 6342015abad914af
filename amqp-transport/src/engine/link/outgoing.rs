//! What our side says of a link's attach: asked for, accepted, refused, and held back until the peer's begin has come.

use amqp_codec::{Attach, Encode, Error, ErrorCondition, Role, Str};

use super::super::config::{AttachReply, DetachKind, LinkConfig};
use super::super::connection::Connection;
use super::super::endpoint_state::{Endpoint, Half};
use super::super::event::{DetachCause, Event};
use super::super::ids::{LinkId, SessionId};
use super::super::kept::KeptAttach;
use super::super::retained::Termini;
use super::super::violation::{EngineError, Violation};
use super::holding::Held;
use super::{Link, LinkKind, name_key};

impl Connection {
    pub(in super::super) fn attach_link(
        &mut self,
        session: SessionId,
        config: LinkConfig,
    ) -> Result<LinkId, EngineError> {
        self.require_open()?;
        if self.session_mut(session)?.endpoint.local != Half::Open {
            return Err(EngineError::State("the session is not begun"));
        }
        if self.names.contains_key(&name_key(config.role, &config.name)) {
            // S-036
            return Err(EngineError::NameInUse);
        }
        if config.resume.as_ref().is_some_and(|link| link.role != config.role || link.name != config.name) {
            return Err(EngineError::State("the suspended link has another name or role"));
        }
        let frame_limit = self.output.frame_limit();
        let mut config = config;
        if let Some(resume) = &config.resume {
            config.initial_delivery_count = resume.delivery_count;
        }
        let id = self.insert_link(session.index, config.role, config.name.clone(), &config)?;
        let Some(link) = self.links.get_mut(id.index) else { return Err(EngineError::Stale) };
        link.endpoint = Endpoint::opened_here();
        let resume = config.resume.take();
        let unsettled = resume.as_ref().map(|resume| resume.deliveries.clone());
        let termini = Termini { source: config.source.clone(), target: config.target.clone() };
        link.retain(config.retention, resume, termini);
        let mut attach = Attach {
            name: config.name,
            handle: link.local_handle,
            role: config.role,
            snd_settle_mode: config.snd_settle_mode,
            rcv_settle_mode: config.rcv_settle_mode,
            source: config.source,
            target: config.target,
            // L-027
            initial_delivery_count: (config.role == Role::Sender).then_some(config.initial_delivery_count),
            max_message_size: config.max_message_size,
            offered_capabilities: config.offered_capabilities,
            desired_capabilities: config.desired_capabilities,
            properties: config.properties,
            ..Attach::default()
        };
        if let Some(unsettled) = unsettled {
            link.tell_unsettled(&mut attach, &unsettled, frame_limit, None);
        }
        self.request_attach(id, attach)?;
        Ok(id)
    }

    // L-045, L-046, L-049, L-050: the application says which node, mode and filters are in force.
    pub(in super::super) fn accept_attached(
        &mut self,
        id: LinkId,
        reply: AttachReply,
    ) -> Result<(), EngineError> {
        self.require_open()?;
        let frame_limit = self.output.frame_limit();
        let mut reply = reply;
        let link = self.answerable(id)?;
        let role = link.kind.role();
        let resume = reply.resume.take().filter(|resume| resume.role == role && resume.name == link.name);
        if let Some(resume) = &resume {
            reply.initial_delivery_count = resume.delivery_count;
        }
        let unsettled = resume.as_ref().map(|resume| resume.deliveries.clone());
        let termini = Termini { source: reply.source.clone(), target: reply.target.clone() };
        link.retain(reply.retention, resume, termini);
        link.snd_settle_mode = reply.snd_settle_mode;
        link.rcv_settle_mode = reply.rcv_settle_mode;
        link.settling = reply.settling;
        match &mut link.kind {
            LinkKind::Sender(sender) => {
                sender.credit.start_at(reply.initial_delivery_count);
                link.default_outcome =
                    reply.source.as_ref().and_then(|source| source.default_outcome.clone()).map(Box::new);
            }
            LinkKind::Receiver(_) => link.max_message_size = reply.max_message_size.filter(|max| *max > 0),
        }
        let mut attach = Attach {
            name: link.name.clone(),
            handle: link.local_handle,
            role,
            snd_settle_mode: reply.snd_settle_mode,
            rcv_settle_mode: reply.rcv_settle_mode,
            source: reply.source,
            target: reply.target,
            initial_delivery_count: (role == Role::Sender).then_some(reply.initial_delivery_count),
            max_message_size: reply.max_message_size,
            offered_capabilities: reply.offered_capabilities,
            desired_capabilities: reply.desired_capabilities,
            properties: reply.properties,
            ..Attach::default()
        };
        link.endpoint.local = Half::Open;
        let theirs = link.remote_attach.as_ref().and_then(KeptAttach::get);
        if let Some(unsettled) = unsettled {
            let theirs = theirs.as_ref().and_then(|theirs| theirs.unsettled.as_ref());
            link.tell_unsettled(&mut attach, &unsettled, frame_limit, theirs);
        }
        self.write_attach(id, &attach)?;
        self.count_attach(id.index, Held::Once);
        if let Some(theirs) = theirs {
            self.begin_resuming(id, theirs.unsettled.as_ref(), theirs.incomplete_unsettled);
        }
        self.announce_credit(id);
        // Credit that was granted before the answer.
        if self.link_credit(id) > 0 && role == Role::Receiver {
            self.owe_link_flow(id.index);
        }
        Ok(())
    }

    // L-007: our terminus stays null, and the detach with the reason follows at once.
    // L-035: what does not exist is null in the answer.
    pub(in super::super) fn refuse_attached(&mut self, id: LinkId, error: Error) -> Result<(), EngineError> {
        self.require_open()?;
        let link = self.answerable(id)?;
        let role = link.kind.role();
        let theirs = link.remote_attach.as_ref().and_then(KeptAttach::get);
        let mut attach = Attach::new(link.name.clone(), link.local_handle, role);
        attach.snd_settle_mode = link.snd_settle_mode;
        attach.rcv_settle_mode = link.rcv_settle_mode;
        if let Some(theirs) = theirs {
            match role {
                Role::Sender => attach.target = theirs.target,
                Role::Receiver => attach.source = theirs.source,
            }
        }
        link.endpoint.local = Half::Open;
        if self.write_attach(id, &attach).is_err() {
            // Too large an echo of the peer's terminus: the refusal needs none.
            (attach.source, attach.target) = (None, None);
            self.write_attach(id, &attach)?;
        }
        self.detach_link(id, DetachKind::Closed, Some(error), DetachCause::Local)?;
        if let Some(link) = self.links.get_mut(id.index) {
            link.is_silent = true;
        }
        Ok(())
    }

    pub(super) fn insert_link(
        &mut self,
        session: u32,
        role: Role,
        name: Str,
        config: &LinkConfig,
    ) -> Result<LinkId, EngineError> {
        let limit = self.config.limits.links;
        let no_handle = EngineError::NoHandle { limit: u32::try_from(limit).unwrap_or(u32::MAX) };
        if self.links.len() >= limit {
            return Err(no_handle);
        }
        let owner = self.sessions.get_mut(session).ok_or(EngineError::Stale)?;
        let local_handle = owner.take_handle().ok_or(no_handle)?;
        let (index, generation) = self.links.insert(Link {
            id: LinkId { index: 0, generation: 0 },
            session,
            endpoint: Endpoint::new(),
            kind: LinkKind::new(role, config.initial_delivery_count),
            name,
            local_handle,
            remote_handle: None,
            snd_settle_mode: config.snd_settle_mode,
            rcv_settle_mode: config.rcv_settle_mode,
            settling: config.settling,
            remote_attach: None,
            attach_octets: 0,
            default_outcome: None,
            max_message_size: config.max_message_size.filter(|max| role == Role::Receiver && *max > 0),
            unsettled: 0,
            state_told: None,
            is_held_back: false,
            owes_flow: false,
            owes_echo: false,
            is_refused: false,
            is_silent: false,
            is_closing: false,
            termini: None,
            detach_cause: DetachCause::Local,
            detach_error: None,
        });
        let id = LinkId { index, generation };
        if let Some(link) = self.links.get_mut(index) {
            link.id = id;
            self.names.insert(link.key(), index);
        }
        let place = local_handle as usize;
        if owner.local_handles.len() <= place {
            owner.local_handles.resize(place + 1, None);
        }
        if let Some(slot) = owner.local_handles.get_mut(place) {
            *slot = Some(index);
        }
        Ok(id)
    }

    /// Writes the attach of a link of ours, or keeps it until the peer's begin has told how many links it takes.
    // S-026: a handle above the peer's handle-max costs the connection. Of a begin that has not come, 0 alone is safe.
    fn request_attach(&mut self, id: LinkId, attach: Attach) -> Result<(), EngineError> {
        let Some(link) = self.links.get_mut(id.index) else { return Err(EngineError::Stale) };
        let Some(session) = self.sessions.get_mut(link.session) else { return Err(EngineError::Stale) };
        if session.endpoint.remote != Half::Idle || link.local_handle == 0 {
            return self.write_attach(id, &attach);
        }
        let (size, limit) = (attach.encoded_len() + ATTACH_MARGIN, self.output.frame_limit());
        if size > usize::try_from(limit).unwrap_or(usize::MAX) {
            self.forget_link(id.index);
            return Err(EngineError::FrameTooLarge { size, limit });
        }
        link.is_held_back = true;
        session.held_back.push_back((id, Box::new(attach)));
        Ok(())
    }

    /// The peer's begin has come: attaches that waited for it leave, as far as it has handles for them.
    pub(in super::super) fn release_attaches(&mut self, session: u32) {
        let Some(owner) = self.sessions.get_mut(session) else { return };
        let max = owner.remote_handle_max;
        for (id, attach) in std::mem::take(&mut owner.held_back) {
            let Some(link) = self.links.checked_mut(id.index, id.generation) else { continue };
            link.is_held_back = false;
            if link.local_handle > max {
                self.finish_link(id.index, DetachCause::NoHandle, None);
                continue;
            }
            if let Err(error) = self.write_attach(id, &attach) {
                let error =
                    Violation::link(ErrorCondition::FRAME_SIZE_TOO_SMALL, error.to_string()).to_wire();
                self.events.push(Event::LinkDetached {
                    link: id,
                    kind: DetachKind::Closed,
                    cause: DetachCause::NoHandle,
                    error: Some(error),
                });
                continue;
            }
            // Credit that was granted meanwhile.
            let has_credit = self.link_credit(id) > 0;
            if has_credit {
                self.owe_link_flow(id.index);
            }
        }
    }

    fn write_attach(&mut self, id: LinkId, attach: &Attach) -> Result<(), EngineError> {
        let Some(link) = self.links.get(id.index) else { return Err(EngineError::Stale) };
        let Some(session) = self.sessions.get(link.session) else { return Err(EngineError::Stale) };
        let is_request = link.endpoint.remote == Half::Idle;
        self.output.frame(session.local_channel, attach).map_err(|too_large| {
            if is_request {
                self.forget_link(id.index);
            } else if let Some(link) = self.links.get_mut(id.index) {
                link.endpoint.local = Half::Idle;
            }
            EngineError::FrameTooLarge { size: too_large.size, limit: too_large.limit }
        })
    }

    /// A link whose attach waits for our answer, on a session that is answered.
    fn answerable(&mut self, id: LinkId) -> Result<&mut Link, EngineError> {
        let Some(link) = self.links.checked_mut(id.index, id.generation) else {
            return Err(EngineError::Stale);
        };
        if link.is_given_up() {
            return Err(EngineError::Stale);
        }
        if link.endpoint.local != Half::Idle {
            return Err(EngineError::State("the attach is answered already"));
        }
        match self.sessions.get(link.session) {
            Some(session) if session.endpoint.local == Half::Open => Ok(link),
            _ => Err(EngineError::State("the session is not accepted yet")),
        }
    }
}

/// What a frame's header adds to a performative, in octets.
const ATTACH_MARGIN: usize = 8;
