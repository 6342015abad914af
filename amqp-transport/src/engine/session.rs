//! Sessions: begin, flow, end, and what a session owes its peer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use amqp_codec::{
    Attach, Begin, DeliveryState, Disposition, End, Error, ErrorCondition, Flow, Modified, Rejected,
};

use super::config::{SessionConfig, Side};
use super::connection::Connection;
use super::delivery::{PendingDisposition, Unsettled};
use super::endpoint_state::{Endpoint, Half};
use super::event::{DetachCause, EndCause, Event};
use super::ids::{LinkId, Lowest, SessionId};
use super::link::LinkKind;
use super::output::Output;
use super::receiver::IncomingEntry;
use super::sender::OutgoingEntry;
use super::tags::Tags;
use super::timers::Timer;
use super::violation::{EngineError, Violation};
use super::window::{SessionWindow, WindowError};

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) endpoint: Endpoint,
    pub(crate) local_channel: u16,
    pub(crate) remote_channel: Option<u16>,
    /// Whether the peer began it: then it may not know our begin yet when it sends flows (S-021).
    is_begun_by_peer: bool,
    /// Whether a link of ours ever was stolen before its attach was answered.
    pub(crate) has_stolen_unanswered: bool,
    end_cause: EndCause,
    end_error: Option<Error>,
    pub(crate) window: SessionWindow,
    pub(crate) outgoing: Unsettled<OutgoingEntry>,
    /// Starts with the first delivery-id the peer uses.
    pub(crate) incoming: Option<Unsettled<IncomingEntry>>,
    /// The tags of `incoming`.
    pub(crate) tags: Tags,
    /// Link slots by our handles and by the peer's.
    pub(crate) local_handles: Vec<Option<u32>>,
    pub(crate) remote_handles: Vec<Option<u32>>,
    /// Our handles that no link has.
    pub(crate) free_handles: Lowest,
    /// Attaches of ours that wait for the peer's begin.
    pub(crate) held_back: VecDeque<(LinkId, Box<Attach>)>,
    pub(crate) local_handle_max: u32,
    pub(crate) remote_handle_max: u32,
    pub(crate) dispositions: VecDeque<PendingDisposition>,
    owes_flow: bool,
    link_flows: Vec<LinkId>,
    is_dirty: bool,
    /// When a flow last left for an echo alone, and what is to be told when the next may.
    last_echo: Option<Instant>,
    owes_echo: bool,
    late_links: Vec<LinkId>,
    /// Links turned away by the window or the bound on unsettled deliveries, first come first served.
    pub(crate) waiters: VecDeque<LinkId>,
    /// Links with a large message halted by the window.
    pub(crate) halted: VecDeque<LinkId>,
}

impl Session {
    fn new(id: SessionId, endpoint: Endpoint, local_channel: u16, config: &SessionConfig) -> Self {
        Self {
            id,
            endpoint,
            local_channel,
            remote_channel: None,
            is_begun_by_peer: false,
            has_stolen_unanswered: false,
            end_cause: EndCause::Local,
            end_error: None,
            window: SessionWindow::new(
                config.next_outgoing_id,
                config.outgoing_window,
                config.incoming_window.max(1),
            ),
            outgoing: Unsettled::new(config.next_outgoing_id),
            incoming: None,
            tags: Tags::default(),
            local_handles: Vec::new(),
            remote_handles: Vec::new(),
            free_handles: Lowest::default(),
            held_back: VecDeque::new(),
            local_handle_max: config.handle_max.min(HANDLE_CEILING),
            remote_handle_max: u32::MAX,
            dispositions: VecDeque::new(),
            owes_flow: false,
            link_flows: Vec::new(),
            is_dirty: false,
            last_echo: None,
            owes_echo: false,
            late_links: Vec::new(),
            waiters: VecDeque::new(),
            halted: VecDeque::new(),
        }
    }

    /// The link on one of the peer's handles.
    #[inline]
    pub(crate) fn remote_link(&self, handle: u32) -> Option<u32> {
        self.remote_handles.get(handle as usize).copied().flatten()
    }

    /// Takes the lowest free handle of ours (L-005), if both sides allow it.
    pub(crate) fn take_handle(&mut self) -> Option<u32> {
        let max = self.local_handle_max.min(self.remote_handle_max);
        self.free_handles.take(max)
    }

    /// Counts deliveries of the peer's whose link is over.
    pub(crate) fn abandon_incoming(&mut self, count: usize, is_dead: impl Fn(LinkId) -> bool) {
        let Some(incoming) = &mut self.incoming else { return };
        let tags = &mut self.tags;
        incoming.abandon(count, |entry| {
            let is_dead = is_dead(entry.link);
            if is_dead {
                tags.remove(entry.link, entry.tag);
            }
            is_dead
        });
    }

    pub(crate) fn mark_dirty(&mut self, dirty: &mut Vec<u32>) {
        if !self.is_dirty {
            self.is_dirty = true;
            dirty.push(self.id.index);
        }
    }

    pub(crate) fn owe_flow(&mut self, dirty: &mut Vec<u32>) {
        self.owes_flow = true;
        self.mark_dirty(dirty);
    }

    /// Adds a link to those whose flow leaves with the next output.
    pub(crate) fn owe_link_flow(&mut self, link: LinkId, dirty: &mut Vec<u32>) {
        self.link_flows.push(link);
        self.mark_dirty(dirty);
    }

    /// Octets, about, of the dispositions and flows that wait.
    pub(crate) fn owed(&self) -> usize {
        OWED_FRAME * (self.dispositions.len() + self.link_flows.len())
    }

    /// Writes the dispositions that wait.
    pub(crate) fn flush_dispositions(&mut self, output: &mut Output) {
        while let Some(pending) = self.dispositions.pop_front() {
            let last = (pending.last != pending.first).then_some(pending.last);
            let mut disposition = Disposition {
                role: pending.role,
                first: pending.first,
                last,
                settled: pending.is_settled,
                state: pending.state,
                batchable: false,
            };
            if output.frame(self.local_channel, &disposition).is_err() {
                // A state too large for the peer's frames: its outcome must come through, its details cannot.
                disposition.state = disposition.state.map(without_details);
                let _ = output.frame(self.local_channel, &disposition);
            }
        }
    }

    /// The session half of a flow (S-030). Telling it opens our window anew (S-024).
    pub(crate) fn flow(&mut self) -> Flow {
        self.window.replenish();
        let knows_peer = self.endpoint.remote != Half::Idle;
        Flow {
            next_incoming_id: knows_peer.then(|| self.window.next_incoming_id()),
            incoming_window: self.window.incoming_window(),
            next_outgoing_id: self.window.next_outgoing_id(),
            outgoing_window: self.window.outgoing_window(),
            ..Flow::default()
        }
    }

    /// Whether something waits for a chance to send.
    fn has_waiters(&self) -> bool {
        !self.waiters.is_empty() || !self.halted.is_empty()
    }
}

impl Connection {
    pub(super) fn begin_session(&mut self, config: &SessionConfig) -> Result<SessionId, EngineError> {
        self.require_open()?;
        let channel = self.take_channel()?;
        let id = self.insert_session(Endpoint::opened_here(), channel, config);
        self.write_begin(id, None, config)?;
        Ok(id)
    }

    pub(super) fn accept_begun(&mut self, id: SessionId, config: &SessionConfig) -> Result<(), EngineError> {
        self.require_open()?;
        let session = self.session_mut(id)?;
        if session.endpoint.local != Half::Idle {
            return Err(EngineError::State("the session is answered already"));
        }
        session.endpoint.local = Half::Open;
        session.local_handle_max = config.handle_max.min(HANDLE_CEILING);
        session.outgoing = Unsettled::new(config.next_outgoing_id);
        session.window.configure(
            config.next_outgoing_id,
            config.outgoing_window,
            config.incoming_window.max(1),
        );
        let remote_channel = session.remote_channel;
        self.write_begin(id, remote_channel, config)?;
        self.answer_given_up(id.index);
        Ok(())
    }

    // S-009: an end that crossed ours is its answer. S-010, S-012: what comes before it is dropped.
    pub(super) fn end_session(
        &mut self,
        id: SessionId,
        cause: EndCause,
        error: Option<Error>,
    ) -> Result<(), EngineError> {
        if let Some(failure) = &self.failure {
            return Err(EngineError::Closed(failure.clone()));
        }
        let session = self.session_mut(id)?;
        match session.endpoint.local {
            Half::Closed => return Ok(()),
            Half::Idle => {
                // The peer is told with an answering begin and an end.
                self.accept_begun(id, &SessionConfig::default())?;
            }
            Half::Open => {}
        }
        self.drop_links(id, error.as_ref());
        let Some(session) = self.sessions.get_mut(id.index) else { return Err(EngineError::Stale) };
        session.flush_dispositions(&mut self.output);
        session.endpoint.local = Half::Closed;
        session.end_cause = cause;
        session.end_error = if cause == EndCause::Violation { error.clone() } else { None };
        let channel = session.local_channel;
        self.write_with_error(channel, error, |error| End { error });
        Ok(())
    }

    fn insert_session(&mut self, endpoint: Endpoint, channel: u16, config: &SessionConfig) -> SessionId {
        let placeholder = SessionId { index: 0, generation: 0 };
        let (index, generation) = self.sessions.insert(Session::new(placeholder, endpoint, channel, config));
        let id = SessionId { index, generation };
        if let Some(session) = self.sessions.get_mut(index) {
            session.id = id;
        }
        let place = usize::from(channel);
        if self.local_channels.len() <= place {
            self.local_channels.resize(place + 1, None);
        }
        if let Some(slot) = self.local_channels.get_mut(place) {
            *slot = Some(index);
        }
        id
    }

    // S-001, C-008, C-009: the lowest channel both sides allow.
    fn take_channel(&mut self) -> Result<u16, EngineError> {
        let max = self.config.channel_max.min(self.remote_channel_max);
        self.free_channels
            .take(u32::from(max))
            .and_then(|channel| u16::try_from(channel).ok())
            .ok_or(EngineError::NoChannel { limit: u32::from(max) + 1 })
    }

    // S-002: an answer names the peer's channel, a request none. S-004: ours is our own.
    fn write_begin(
        &mut self,
        id: SessionId,
        remote_channel: Option<u16>,
        config: &SessionConfig,
    ) -> Result<(), EngineError> {
        let channel = self.session_mut(id)?.local_channel;
        let begin = Begin {
            remote_channel,
            next_outgoing_id: config.next_outgoing_id,
            incoming_window: config.incoming_window.max(1),
            outgoing_window: config.outgoing_window,
            handle_max: config.handle_max.min(HANDLE_CEILING),
            offered_capabilities: config.offered_capabilities.clone(),
            desired_capabilities: config.desired_capabilities.clone(),
            properties: config.properties.clone(),
        };
        self.output.frame(channel, &begin).map_err(|too_large| {
            self.forget_session(id.index);
            EngineError::FrameTooLarge { size: too_large.size, limit: too_large.limit }
        })
    }

    /// The session a frame's channel names. `None` when the frame is to be dropped.
    #[inline]
    pub(super) fn remote_session(&self, channel: u16) -> Result<Option<u32>, Violation> {
        match self.remote_channels.get(usize::from(channel)).copied().flatten() {
            Some(index) => Ok(Some(index)),
            // S-006
            None => Err(Violation::connection(
                ErrorCondition::NOT_ALLOWED,
                "a frame on a channel without a session",
            )),
        }
    }

    pub(super) fn handle_begin(&mut self, channel: u16, begin: Begin) -> Result<(), Violation> {
        // C-008
        if channel > self.config.channel_max {
            return Err(Violation::framing("a begin on a channel above channel-max"));
        }
        let place = usize::from(channel);
        if self.remote_channels.get(place).is_some_and(Option::is_some) {
            // S-005
            return Err(Violation::framing("a begin on a channel that has a session"));
        }
        let index = match begin.remote_channel {
            Some(ours) => self.match_begin(ours)?,
            None => self.request_session()?,
        };
        if self.remote_channels.len() <= place {
            self.remote_channels.resize(place + 1, None);
        }
        if let Some(slot) = self.remote_channels.get_mut(place) {
            *slot = Some(index);
        }
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        session.remote_channel = Some(channel);
        session.endpoint.remote = Half::Open;
        session.remote_handle_max = begin.handle_max;
        session.window.on_begin(begin.next_outgoing_id, begin.incoming_window, begin.outgoing_window);
        let id = session.id;
        if !session.is_begun_by_peer {
            if session.endpoint.is_open() {
                self.events.push(Event::SessionBegun { session: id });
                self.release_attaches(index);
                self.wake_session(index);
            }
        } else if self.side == Side::Listener {
            self.events.push(Event::SessionRequested { session: id, begin: Arc::new(begin) });
        } else {
            let error =
                Violation::session(ErrorCondition::NOT_ALLOWED, "this client takes no sessions").to_wire();
            let _ = self.end_session(id, EndCause::Local, Some(error));
        }
        Ok(())
    }

    // S-003: an answer must name a begin of ours that waits for one.
    fn match_begin(&self, ours: u16) -> Result<u32, Violation> {
        self.local_channels
            .get(usize::from(ours))
            .copied()
            .flatten()
            .filter(|index| {
                self.sessions.get(*index).is_some_and(|session| session.endpoint.remote == Half::Idle)
            })
            .ok_or_else(|| {
                Violation::connection(ErrorCondition::NOT_ALLOWED, "a begin that answers no begin of ours")
            })
    }

    fn request_session(&mut self) -> Result<u32, Violation> {
        let channel = self.take_channel().map_err(|_| {
            Violation::connection(
                ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
                "no channel is left to answer a begin",
            )
        })?;
        // Until we answer, our window is shut: nothing but attaches and flows may come (C-015).
        let id = self.insert_session(Endpoint::opened_there(), channel, &SessionConfig::default());
        if let Some(session) = self.sessions.get_mut(id.index) {
            session.is_begun_by_peer = true;
            session.window.configure(0, 0, 0);
        }
        Ok(id.index)
    }

    pub(super) fn handle_end(&mut self, channel: u16, end: End) -> Result<(), Violation> {
        let Some(index) = self.remote_session(channel)? else { return Ok(()) };
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        let id = session.id;
        session.endpoint.remote = Half::Closed;
        let (cause, error) = if session.endpoint.local == Half::Closed {
            (session.end_cause, session.end_error.take().or(end.error))
        } else {
            // S-008: the end is answered, and takes the links along.
            self.drop_links(id, end.error.as_ref());
            let _ = self.end_session(id, EndCause::Remote, None);
            (EndCause::Remote, end.error)
        };
        // A session that a client turned away is nothing its application has heard of.
        let is_known = self.side == Side::Listener
            || self.sessions.get(index).is_some_and(|session| !session.is_begun_by_peer);
        self.forget_session(index);
        if is_known {
            self.events.push(Event::SessionEnded { session: id, cause, error });
        }
        Ok(())
    }

    /// Takes a session out of every table.
    pub(super) fn forget_session(&mut self, index: u32) {
        let Some(session) = self.sessions.remove(index) else { return };
        if let Some(slot) = self.local_channels.get_mut(usize::from(session.local_channel)) {
            *slot = None;
            self.free_channels.give_back(u32::from(session.local_channel));
        }
        if let Some(remote) = session.remote_channel
            && let Some(slot) = self.remote_channels.get_mut(usize::from(remote))
        {
            *slot = None;
        }
    }

    /// Lets go of every link of a session that ends.
    fn drop_links(&mut self, id: SessionId, error: Option<&Error>) {
        let Some(session) = self.sessions.get_mut(id.index) else { return };
        // All at once, not link by link.
        session.outgoing.clear();
        if let Some(incoming) = &mut session.incoming {
            incoming.clear();
        }
        session.tags.clear();
        let links: Vec<u32> = session.local_handles.iter().copied().flatten().collect();
        for index in links {
            if let Some(link) = self.links.get_mut(index) {
                link.unsettled = 0;
            }
            self.finish_link(index, DetachCause::SessionEnded, error.cloned());
        }
    }

    pub(super) fn handle_flow(&mut self, channel: u16, flow: &Flow) -> Result<(), Violation> {
        let Some(index) = self.remote_session(channel)? else { return Ok(()) };
        let Some(session) = self.sessions.get_mut(index) else { return Ok(()) };
        if session.endpoint.is_discarding() {
            return Ok(());
        }
        // S-030: whoever has answered our begin knows our ids.
        if flow.next_incoming_id.is_none() && !session.is_begun_by_peer {
            return Err(Violation::session(ErrorCondition::INVALID_FIELD, "a flow without next-incoming-id"));
        }
        session
            .window
            .on_flow(flow.next_incoming_id, flow.incoming_window, flow.next_outgoing_id, flow.outgoing_window)
            .map_err(window_violation)?;
        match flow.handle {
            // L-031: both halves of a link's flow count.
            Some(handle) => {
                let link = session.remote_link(handle).ok_or_else(unattached_handle)?;
                self.handle_link_flow(link, flow)?;
            }
            None if flow.echo => self.owe_echo(index, None),
            None => {}
        }
        self.wake_session(index);
        Ok(())
    }

    /// Answers an echo: at once, or together with the others of its time.
    // S-031: however often the peer asks.
    pub(super) fn owe_echo(&mut self, index: u32, link: Option<u32>) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let due = session.last_echo.map(|last| last + self.config.limits.echo_interval);
        let Some(due) = due.filter(|due| *due > self.now) else {
            session.last_echo = Some(self.now);
            match link {
                Some(link) => self.owe_link_flow(link),
                None => session.owe_flow(&mut self.dirty),
            }
            return;
        };
        if !session.owes_echo && session.late_links.is_empty() {
            self.late_echoes.push(index);
            let nearest = self.timers.get(Timer::Echo).map_or(due, |set| set.min(due));
            self.timers.set(Timer::Echo, Some(nearest));
        } else {
            self.echoes_coalesced = self.echoes_coalesced.wrapping_add(1);
        }
        match link.and_then(|link| self.links.get_mut(link)) {
            Some(link) if !link.owes_echo => {
                link.owes_echo = true;
                session.late_links.push(link.id);
            }
            Some(_) => {}
            None => session.owes_echo = true,
        }
    }

    /// The time has come for flows that were asked for too soon.
    pub(super) fn answer_late_echoes(&mut self) {
        let mut next: Option<Instant> = None;
        for index in std::mem::take(&mut self.late_echoes) {
            let Some(session) = self.sessions.get_mut(index) else { continue };
            let due = session.last_echo.map(|last| last + self.config.limits.echo_interval);
            if let Some(due) = due.filter(|due| *due > self.now) {
                self.late_echoes.push(index);
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            session.last_echo = Some(self.now);
            if std::mem::take(&mut session.owes_echo) {
                session.owe_flow(&mut self.dirty);
            }
            for id in std::mem::take(&mut session.late_links) {
                if let Some(link) = self.links.checked_mut(id.index, id.generation) {
                    link.owes_echo = false;
                    self.owe_link_flow(id.index);
                }
            }
        }
        self.timers.set(Timer::Echo, next);
    }

    /// Tells those that wait for this session's window, if it is open.
    pub(super) fn wake_session(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        if !session.has_waiters() || !session.window.can_send() {
            return;
        }
        // Halted messages first, one frame each: whoever is woken next shall not take the whole window.
        for halted in std::mem::take(&mut session.halted) {
            self.send_piece(halted);
        }
        let Some(session) = self.sessions.get_mut(index) else { return };
        for waiter in std::mem::take(&mut session.waiters) {
            if let Some(link) = self.links.checked_mut(waiter.index, waiter.generation)
                && let LinkKind::Sender(sender) = &mut link.kind
            {
                sender.is_waiting = false;
                self.tell_writable(waiter);
            }
        }
    }

    /// Writes what sessions owe: dispositions first, then flows.
    pub(super) fn flush_sessions(&mut self) {
        while let Some(index) = self.dirty.pop() {
            let Some(session) = self.sessions.get_mut(index) else { continue };
            session.is_dirty = false;
            if session.endpoint.local != Half::Open {
                session.dispositions.clear();
                for id in session.link_flows.drain(..) {
                    if let Some(link) = self.links.checked_mut(id.index, id.generation) {
                        link.owes_flow = false;
                    }
                }
                continue;
            }
            session.flush_dispositions(&mut self.output);
            let mut has_told = false;
            for id in session.link_flows.drain(..).collect::<Vec<_>>() {
                has_told |= self.write_link_flow(index, id);
            }
            let Some(session) = self.sessions.get_mut(index) else { continue };
            if session.owes_flow && !has_told {
                let _ = self.output.frame(session.local_channel, &session.flow());
            }
            session.owes_flow = false;
        }
    }

    pub(super) fn session_mut(&mut self, id: SessionId) -> Result<&mut Session, EngineError> {
        self.sessions.checked_mut(id.index, id.generation).ok_or(EngineError::Stale)
    }
}

pub(super) fn unattached_handle() -> Violation {
    // S-029, S-034
    Violation::session(ErrorCondition::UNATTACHED_HANDLE, "a frame for a handle without a link")
}

pub(super) fn window_violation(error: WindowError) -> Violation {
    match error {
        WindowError::Exceeded => {
            Violation::session(ErrorCondition::WINDOW_VIOLATION, "more transfers than the incoming window")
        }
        WindowError::Rewound => {
            Violation::session(ErrorCondition::INVALID_FIELD, "next-outgoing-id went back")
        }
        WindowError::Ahead => {
            Violation::session(ErrorCondition::INVALID_FIELD, "next-incoming-id is ahead of what was sent")
        }
    }
}

/// The same outcome without texts and maps.
pub(crate) fn without_details(state: DeliveryState) -> DeliveryState {
    match state {
        DeliveryState::Rejected(Rejected { error: Some(error) }) => DeliveryState::Rejected(Rejected {
            error: Some(Error { condition: error.condition, description: None, info: None }),
        }),
        DeliveryState::Modified(modified) => {
            DeliveryState::Modified(Modified { message_annotations: None, ..modified })
        }
        other => other,
    }
}

/// What a frame that is not written yet counts as owed, in octets.
const OWED_FRAME: usize = 64;
/// Highest handle ever allowed: links are found in a table indexed by handle, eight octets each, which must not grow at a
/// peer's will.
const HANDLE_CEILING: u32 = 0xF_FFFF;
