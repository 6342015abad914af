//! Links: attach, detach, and flow's link half, for both roles.

mod holding;
mod incoming;

use amqp_codec::{
    Attach, DeliveryState, Detach, Encode, Error, ErrorCondition, Fields, Flow, ReceiverSettleMode, Role,
    SenderSettleMode, Str, Value,
};

use super::config::{AttachReply, DetachKind, LinkConfig, Settling};
use super::connection::Connection;
use super::endpoint_state::{Endpoint, Half};
use super::event::{DetachCause, Event};
use super::ids::{LinkId, SessionId};
use super::kept::KeptAttach;
use super::receiver::ReceiverState;
use super::retained::Termini;
use super::sender::SenderState;
use super::violation::{EngineError, Violation};
use holding::Held;

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    /// The session's slot.
    pub(crate) session: u32,
    pub(crate) endpoint: Endpoint,
    pub(crate) kind: LinkKind,
    name: Str,
    pub(crate) local_handle: u32,
    pub(crate) remote_handle: Option<u32>,
    pub(crate) snd_settle_mode: SenderSettleMode,
    pub(crate) rcv_settle_mode: ReceiverSettleMode,
    pub(crate) settling: Settling,
    pub(crate) remote_attach: Option<KeptAttach>,
    /// What that counts against the bound on attaches.
    attach_octets: usize,
    /// What a delivery ends in that ends without a state (L-052).
    pub(crate) default_outcome: Option<Box<DeliveryState>>,
    /// Largest message: the peer's bound for a sender, ours for a receiver.
    pub(crate) max_message_size: Option<u64>,
    /// Deliveries in the session's table that belong to this link.
    pub(crate) unsettled: usize,
    /// Whether its attach waits for the peer's begin.
    is_held_back: bool,
    /// Whether a flow of this link waits to leave.
    pub(crate) owes_flow: bool,
    /// Whether it waits for the time at which echoes may be answered again.
    pub(crate) owes_echo: bool,
    /// The peer's attach had no terminus: its detach, with the reason, follows (L-008).
    is_refused: bool,
    /// We refused it: its end is no news.
    is_silent: bool,
    /// We have closed it for good.
    is_closing: bool,
    /// The termini as last agreed, where the link may be resumed.
    pub(crate) termini: Option<Box<Termini>>,
    detach_cause: DetachCause,
    detach_error: Option<Box<Error>>,
}

/// What only one role has.
#[derive(Debug)]
pub(crate) enum LinkKind {
    Sender(SenderState),
    Receiver(ReceiverState),
}

impl LinkKind {
    fn new(role: Role, initial_delivery_count: u32) -> Self {
        match role {
            Role::Sender => Self::Sender(SenderState::new(initial_delivery_count)),
            Role::Receiver => Self::Receiver(ReceiverState::new()),
        }
    }

    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Sender(_) => Role::Sender,
            Self::Receiver(_) => Role::Receiver,
        }
    }
}

impl Link {
    fn key(&self) -> (bool, Str) {
        name_key(self.kind.role(), &self.name)
    }

    pub(crate) fn name(&self) -> &Str {
        &self.name
    }

    /// Whether we have closed it for good.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Whether the peer took its attach back before we answered it, which the application has heard.
    fn is_given_up(&self) -> bool {
        self.is_silent && self.endpoint.local == Half::Idle && self.endpoint.remote == Half::Closed
    }

    /// The sender's state.
    pub(crate) fn sender(&mut self) -> Result<&mut SenderState, EngineError> {
        match &mut self.kind {
            LinkKind::Sender(sender) => Ok(sender),
            LinkKind::Receiver(_) => Err(EngineError::Role),
        }
    }

    /// The receiver's state.
    pub(crate) fn receiver(&mut self) -> Result<&mut ReceiverState, EngineError> {
        match &mut self.kind {
            LinkKind::Receiver(receiver) => Ok(receiver),
            LinkKind::Sender(_) => Err(EngineError::Role),
        }
    }

    /// Whether messages may pass.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        self.endpoint.is_open() && !self.is_refused
    }
}

impl Connection {
    pub(super) fn attach_link(
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
            link.tell_unsettled(&mut attach, &unsettled, frame_limit);
        }
        self.request_attach(id, attach)?;
        Ok(id)
    }

    // L-045, L-046, L-049, L-050: the application says which node, mode and filters are in force.
    pub(super) fn accept_attached(&mut self, id: LinkId, reply: AttachReply) -> Result<(), EngineError> {
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
        if let Some(unsettled) = unsettled {
            link.tell_unsettled(&mut attach, &unsettled, frame_limit);
        }
        let theirs = link.remote_attach.clone();
        self.write_attach(id, &attach)?;
        self.count_attach(id.index, Held::Once);
        let theirs = theirs.and_then(|theirs| theirs.get());
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
    pub(super) fn refuse_attached(&mut self, id: LinkId, error: Error) -> Result<(), EngineError> {
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

    // L-013, L-014: whoever wants a suspended link gone attaches it anew and closes it; nothing does so by itself.
    pub(super) fn detach_link(
        &mut self,
        id: LinkId,
        kind: DetachKind,
        error: Option<Error>,
        cause: DetachCause,
    ) -> Result<(), EngineError> {
        let link = self.link_mut(id)?;
        match link.endpoint.local {
            Half::Closed => return Ok(()),
            Half::Idle => return Err(EngineError::State("the attach is not answered")),
            Half::Open => {}
        }
        if link.is_held_back {
            // The peer has not heard of it.
            self.finish_link_as(id.index, kind, cause, error);
            return Ok(());
        }
        link.endpoint.local = Half::Closed;
        // Of our own accord, that is; a peer's close is answered with one.
        link.is_closing = kind.is_closed() && matches!(cause, DetachCause::Local | DetachCause::Violation);
        // What it asked for is not kept for a peer that may never answer.
        link.remote_attach = None;
        link.detach_cause = cause;
        link.detach_error = if cause == DetachCause::Local { None } else { error.clone().map(Box::new) };
        if let LinkKind::Sender(sender) = &mut link.kind {
            sender.large = None;
        }
        let handle = link.local_handle;
        let index = link.session;
        self.count_attach(id.index, Held::Name);
        let Some(session) = self.sessions.get_mut(index) else { return Err(EngineError::Stale) };
        session.flush_dispositions(&mut self.output);
        let channel = session.local_channel;
        let closed = kind.is_closed();
        self.write_with_error(channel, error, |error| Detach { handle, closed, error });
        Ok(())
    }

    fn insert_link(
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
    pub(super) fn release_attaches(&mut self, session: u32) {
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

    pub(super) fn link_mut(&mut self, id: LinkId) -> Result<&mut Link, EngineError> {
        if let Some(failure) = &self.failure {
            return Err(EngineError::Closed(failure.clone()));
        }
        self.links.checked_mut(id.index, id.generation).ok_or(EngineError::Stale)
    }

    /// Detaches a link whose peer broke a rule of it (L-015).
    pub(super) fn link_fault(&mut self, index: u32, fault: Violation) -> Result<(), Violation> {
        let Some(link) = self.links.get(index) else { return Ok(()) };
        let id = link.id;
        let is_receiver = link.kind.role() == Role::Receiver;
        self.release_partial(index);
        let error = fault.to_wire();
        // An unanswered attach has nothing to detach yet; the session bears the fault.
        self.detach_link(id, DetachKind::Closed, Some(error.clone()), DetachCause::Violation)
            .map_err(|_| fault)?;
        if is_receiver {
            self.events.push(Event::LinkFailed { link: id, error });
        }
        Ok(())
    }

    pub(super) fn finish_link(&mut self, index: u32, cause: DetachCause, error: Option<Error>) {
        self.finish_link_as(index, DetachKind::Suspended, cause, error);
    }

    /// Forgets a link and says so, unless nobody has heard of it or it was refused by us.
    fn finish_link_as(&mut self, index: u32, kind: DetachKind, cause: DetachCause, error: Option<Error>) {
        let Some(link) = self.links.get(index) else { return };
        let id = link.id;
        let is_silent = link.is_silent;
        let may_be_resumed = match cause {
            // The detach that answers a refusal closes nothing that was, and one of our own saying that is no wish of
            // the peer's either.
            DetachCause::Refused | DetachCause::NoHandle | DetachCause::Stolen => true,
            _ if link.is_closing => false,
            // A refusal closes what never was attached, and destroys nothing of what was before.
            _ => kind == DetachKind::Suspended || link.is_refused,
        };
        if may_be_resumed && let Some(state) = self.suspend(index) {
            self.events.push(Event::LinkSuspended { link: id, state });
        }
        self.forget_link(index);
        if !is_silent {
            self.events.push(Event::LinkDetached { link: id, kind, cause, error });
        }
    }

    /// Takes a link out of every table.
    pub(super) fn forget_link(&mut self, index: u32) {
        self.release_partial(index);
        let Some(link) = self.links.remove(index) else { return };
        self.attach_octets = self.attach_octets.saturating_sub(link.attach_octets);
        let key = link.key();
        if self.names.get(&key) == Some(&index) {
            self.names.remove(&key);
        }
        let Some(session) = self.sessions.get_mut(link.session) else { return };
        if let Some(slot) = session.local_handles.get_mut(link.local_handle as usize) {
            *slot = None;
            session.free_handles.give_back(link.local_handle);
        }
        if let Some(handle) = link.remote_handle
            && let Some(slot) = session.remote_handles.get_mut(handle as usize)
        {
            *slot = None;
        }
        self.abandon_unsettled(link.session, link.kind.role(), link.unsettled);
    }

    /// Lets go of the deliveries of a link that is in no table any more.
    fn abandon_unsettled(&mut self, session_index: u32, role: Role, unsettled: usize) {
        let Some(session) = self.sessions.get_mut(session_index).filter(|_| unsettled > 0) else { return };
        let had_room = session.outgoing.len() < self.config.limits.unsettled;
        let links = &self.links;
        let is_dead = |id: LinkId| links.checked(id.index, id.generation).is_none();
        match role {
            Role::Sender => session.outgoing.abandon(unsettled, |entry| is_dead(entry.link)),
            Role::Receiver => session.abandon_incoming(unsettled, is_dead),
        }
        if !had_room {
            self.wake_session(session_index);
        }
    }

    /// A flow's link half.
    pub(super) fn handle_link_flow(&mut self, index: u32, flow: &Flow) -> Result<(), Violation> {
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        if link.endpoint.is_discarding() {
            return Ok(());
        }
        if flow.echo {
            let session = link.session;
            self.owe_echo(session, Some(index));
        }
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        if let Some(properties) = flow.properties.clone().filter(|_| link.is_usable()) {
            self.events.push(Event::LinkState { link: link.id, properties });
        }
        match &mut link.kind {
            LinkKind::Sender(_) => self.sender_flow(index, flow),
            LinkKind::Receiver(_) => self.receiver_flow(index, flow),
        }
        Ok(())
    }

    /// Sees to it that a flow of this link leaves with the next output.
    // S-031: however often the peer asks, one answer a turn leaves.
    pub(super) fn owe_link_flow(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index) else { return };
        if link.owes_flow {
            return;
        }
        link.owes_flow = true;
        if let Some(session) = self.sessions.get_mut(link.session) {
            session.owe_link_flow(link.id, &mut self.dirty);
        }
    }

    /// Writes a link's flow; `false` when there is none to write any more.
    // S-028: link fields stand beside a handle only. L-023: each role tells what is its own to set.
    pub(super) fn write_link_flow(&mut self, session: u32, id: LinkId) -> bool {
        let Some(link) = self.links.checked_mut(id.index, id.generation) else { return false };
        link.owes_flow = false;
        // L-008: a link that is being refused gets no credit.
        if link.endpoint.local != Half::Open || link.is_refused || link.is_held_back {
            return false;
        }
        let Some(session) = self.sessions.get_mut(session) else { return false };
        let mut flow = session.flow();
        flow.handle = Some(link.local_handle);
        match &mut link.kind {
            LinkKind::Sender(sender) => {
                flow.delivery_count = Some(sender.credit.delivery_count());
                flow.link_credit = Some(sender.credit.credit());
                flow.available = Some(sender.credit.available);
                flow.drain = sender.credit.drain;
            }
            LinkKind::Receiver(receiver) => {
                // L-019: unknown until the sender's attach has come.
                flow.delivery_count =
                    (link.endpoint.remote != Half::Idle).then(|| receiver.credit.delivery_count());
                flow.link_credit = Some(receiver.credit.credit());
                flow.drain = receiver.credit.draining;
                flow.echo = receiver.echo.on_flow();
                if receiver.credit.credit() > 0 {
                    let id = receiver.acquiring.clone().map(Value::Binary);
                    flow.properties = id.map(|id| Fields::default().with("txn-id", id));
                }
            }
        }
        self.output.frame(session.local_channel, &flow).is_ok()
    }
}

/// What a frame's header adds to a performative, in octets.
const ATTACH_MARGIN: usize = 8;

/// The key of a link's name: a sender and a receiver may share one (L-001).
fn name_key(role: Role, name: &Str) -> (bool, Str) {
    (role == Role::Sender, name.clone())
}
