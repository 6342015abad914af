//! Sessions: the state of one, and how frames find it.
//!
//! Owns the tables of handles and what is unsettled in both directions. `lifecycle` begins and ends sessions, `flows`
//! writes what they owe, `holding` bounds what is kept of the peer's begins.

mod flows;
mod holding;
mod lifecycle;

use std::collections::VecDeque;
use std::time::Instant;

use amqp_codec::{Attach, Error, ErrorCondition};

use super::config::SessionConfig;
use super::connection::Connection;
use super::delivery::{PendingDisposition, Unsettled};
use super::endpoint_state::Endpoint;
use super::event::EndCause;
use super::ids::{LinkId, Lowest, SessionId};
use super::receiver::IncomingEntry;
use super::sender::OutgoingEntry;
use super::tags::Tags;
use super::violation::{EngineError, Violation};
use super::window::{SessionWindow, WindowError};

pub(super) use flows::without_details;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) endpoint: Endpoint,
    pub(crate) local_channel: u16,
    pub(crate) remote_channel: Option<u16>,
    /// Whether the peer began it: then it may not know our begin yet when it sends flows (S-021).
    is_begun_by_peer: bool,
    /// Whether it was turned away before anybody was told of it: then its end is no news.
    is_unheard: bool,
    /// What the peer's begin counts against the bound on them.
    begin_octets: usize,
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
            is_unheard: false,
            begin_octets: 0,
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
}

impl Connection {
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

/// Highest handle ever allowed: links are found in a table indexed by handle, eight octets each, which must not grow at a
/// peer's will.
const HANDLE_CEILING: u32 = 0xF_FFFF;
