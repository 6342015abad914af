//! How sessions begin and end, and which channels they have.
//!
//! Owns the tables of channels. What is told within a session is no concern of its.

use amqp_codec::{Begin, End, Error, ErrorCondition};

use super::super::config::{SessionConfig, Side};
use super::super::connection::Connection;
use super::super::delivery::Unsettled;
use super::super::endpoint_state::{Endpoint, Half};
use super::super::event::{DetachCause, EndCause, Event};
use super::super::ids::SessionId;
use super::super::violation::{EngineError, Violation};
use super::{HANDLE_CEILING, Session};

impl Connection {
    pub(in super::super) fn begin_session(
        &mut self,
        config: &SessionConfig,
    ) -> Result<SessionId, EngineError> {
        self.require_open()?;
        let channel = self.take_channel()?;
        let id = self.insert_session(Endpoint::opened_here(), channel, config);
        self.write_begin(id, None, config).inspect_err(|_| self.forget_session(id.index))?;
        Ok(id)
    }

    pub(in super::super) fn accept_begun(
        &mut self,
        id: SessionId,
        config: &SessionConfig,
    ) -> Result<(), EngineError> {
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
        if let Err(too_large) = self.write_begin(id, remote_channel, config) {
            self.refuse_begun(id)?;
            return Err(too_large);
        }
        self.answer_given_up(id.index);
        Ok(())
    }

    /// The answer that was to be given fits no frame of the peer's, which waits for one: it gets a bare one, and an end.
    fn refuse_begun(&mut self, id: SessionId) -> Result<(), EngineError> {
        self.session_mut(id)?.endpoint.local = Half::Idle;
        let reason = "the answer is larger than a frame that the peer takes";
        let error = Violation::session(ErrorCondition::FRAME_SIZE_TOO_SMALL, reason).to_wire();
        self.end_session(id, EndCause::Local, Some(error))
    }

    // S-009: an end that crossed ours is its answer. S-010, S-012: what comes before it is dropped.
    pub(in super::super) fn end_session(
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
        let written = self.output.frame(channel, &begin);
        written
            .map_err(|too_large| EngineError::FrameTooLarge { size: too_large.size, limit: too_large.limit })
    }

    pub(in super::super) fn handle_begin(&mut self, channel: u16, begin: Begin) -> Result<(), Violation> {
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
        if session.is_begun_by_peer {
            // Until its application is told.
            session.is_unheard = true;
            return self.tell_request(id, begin);
        }
        if session.endpoint.is_open() {
            let begin = self.keep_begin(index, begin)?;
            self.events.push(Event::SessionBegun { session: id, begin });
            self.release_attaches(index);
            self.wake_session(index);
        }
        Ok(())
    }

    fn tell_request(&mut self, id: SessionId, begin: Begin) -> Result<(), Violation> {
        if self.side == Side::Client {
            let error =
                Violation::session(ErrorCondition::NOT_ALLOWED, "this client takes no sessions").to_wire();
            let _ = self.end_session(id, EndCause::Local, Some(error));
            return Ok(());
        }
        let begin = self.keep_begin(id.index, begin)?;
        if let Some(session) = self.sessions.get_mut(id.index) {
            session.is_unheard = false;
        }
        self.events.push(Event::SessionRequested { session: id, begin });
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

    pub(in super::super) fn handle_end(&mut self, channel: u16, end: End) -> Result<(), Violation> {
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
        let is_known = self.sessions.get(index).is_some_and(|session| !session.is_unheard);
        self.forget_session(index);
        if is_known {
            self.events.push(Event::SessionEnded { session: id, cause, error });
        }
        Ok(())
    }

    /// Takes a session out of every table.
    pub(in super::super) fn forget_session(&mut self, index: u32) {
        let Some(session) = self.sessions.remove(index) else { return };
        self.begin_octets = self.begin_octets.saturating_sub(session.begin_octets);
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
}
