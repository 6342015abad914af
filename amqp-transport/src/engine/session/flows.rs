//! What a session owes its peer, and what the peer's flows let go on: dispositions and flows out, flows in.
//!
//! Owns the order in which they leave, the answers to echoes, and the waking of links that waited for the window. The
//! arithmetic of windows is `window`'s.

use std::time::Instant;

use amqp_codec::{DeliveryState, Disposition, Error, ErrorCondition, Flow, Modified, Rejected};

use super::super::connection::Connection;
use super::super::endpoint_state::Half;
use super::super::ids::LinkId;
use super::super::link::LinkKind;
use super::super::output::Output;
use super::super::timers::Timer;
use super::super::violation::Violation;
use super::{Session, unattached_handle, window_violation};

impl Session {
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
    pub(in super::super) fn handle_flow(&mut self, channel: u16, flow: &Flow) -> Result<(), Violation> {
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
    pub(in super::super) fn owe_echo(&mut self, index: u32, link: Option<u32>) {
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
    pub(in super::super) fn answer_late_echoes(&mut self) {
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
    pub(in super::super) fn wake_session(&mut self, index: u32) {
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
    pub(in super::super) fn flush_sessions(&mut self) {
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
