//! What can be seen of a connection, a session and a link from outside: counters and gauges, copied out when asked for.

use super::connection::Connection;
use super::ids::{LinkId, SessionId};
use super::link::LinkKind;

/// What a connection has done, and what it holds this moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames read, empty ones and SASL's included.
    pub frames_in: u64,
    /// Frames written, empty ones and SASL's included.
    pub frames_out: u64,
    /// How often a send was turned away, by what held it.
    pub stalls: Stalls,
    /// Flows asked for by the peer that were answered together with another (S-031).
    pub echoes_coalesced: u64,
    /// Sessions, at any stage.
    pub sessions: usize,
    /// Links, at any stage.
    pub links: usize,
    /// Octets that wait for the socket; large messages that are still leaving not counted.
    pub queued_output: usize,
    /// Octets among them, or about to join them, that are owed to the peer: no messages.
    pub owed_output: usize,
    /// Events that wait to be polled; those of messages that are settled together count once.
    pub queued_events: usize,
    /// Octets of messages, and of begins, in those events.
    pub queued_event_octets: usize,
    /// Octets of messages whose last frame has not come.
    pub partial_octets: usize,
}

/// Sends that were turned away. Each counts once however long it waits, and again if it is tried again too early.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stalls {
    /// For want of link credit.
    pub credit: u64,
    /// For want of session window.
    pub window: u64,
    /// For too many unsettled deliveries.
    pub unsettled: u64,
    /// For too many octets that wait for the socket.
    pub output: u64,
    /// For a large message of the same link that was still leaving.
    pub busy: u64,
}

/// A session's windows and what is unsettled in it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Transfer frames the peer may still send.
    pub incoming_window: u32,
    /// Transfer frames we may still send.
    pub remote_incoming_window: u32,
    /// What the peer announced to send at most.
    pub remote_outgoing_window: u32,
    /// Deliveries of ours that are unsettled.
    pub unsettled_outgoing: usize,
    /// Deliveries of the peer's that are unsettled.
    pub unsettled_incoming: usize,
    /// Links that wait for window or for unsettled room.
    pub waiting_links: usize,
    /// Dispositions that wait to leave, ranges counted once.
    pub queued_dispositions: usize,
}

/// A link's credit and what has passed over it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Deliveries that may still start.
    pub credit: u32,
    /// The delivery-count: where counting started, plus deliveries, plus credit given back.
    pub delivery_count: u32,
    /// Messages the sending end says it has waiting.
    pub available: u32,
    /// Deliveries that are unsettled.
    pub unsettled: usize,
    /// Octets of the messages that went or came, however they ended.
    pub octets: u64,
}

impl Connection {
    /// What the connection has done and what it holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let owed = self.dirty.iter().filter_map(|index| self.sessions.get(*index));
        Stats {
            frames_in: self.frames_in,
            frames_out: self.output.frames(),
            stalls: self.stalls,
            echoes_coalesced: self.echoes_coalesced,
            sessions: self.sessions.len(),
            links: self.links.len(),
            queued_output: self.output.len(),
            owed_output: owed.fold(self.output.owed(), |sum, session| sum.saturating_add(session.owed())),
            queued_events: self.events.len(),
            queued_event_octets: self.events.octets(),
            partial_octets: self.partial_bytes,
        }
    }

    /// A session's windows; `None` for a stale id.
    #[must_use]
    pub fn session_stats(&self, session: SessionId) -> Option<SessionStats> {
        let session = self.sessions.checked(session.index, session.generation)?;
        Some(SessionStats {
            incoming_window: session.window.incoming_window(),
            remote_incoming_window: session.window.remote_incoming_window(),
            remote_outgoing_window: session.window.remote_outgoing_window(),
            unsettled_outgoing: session.outgoing.len(),
            unsettled_incoming: session.incoming.as_ref().map_or(0, |incoming| incoming.len()),
            waiting_links: session.waiters.len() + session.halted.len(),
            queued_dispositions: session.dispositions.len(),
        })
    }

    /// A link's credit and counters; `None` for a stale id.
    #[must_use]
    pub fn link_stats(&self, link: LinkId) -> Option<LinkStats> {
        let link = self.links.checked(link.index, link.generation)?;
        Some(match &link.kind {
            LinkKind::Sender(sender) => LinkStats {
                credit: sender.credit.credit(),
                delivery_count: sender.credit.delivery_count(),
                available: sender.credit.available,
                unsettled: link.unsettled,
                octets: sender.octets,
            },
            LinkKind::Receiver(receiver) => LinkStats {
                credit: receiver.credit.credit(),
                delivery_count: receiver.credit.delivery_count(),
                available: receiver.credit.available,
                unsettled: link.unsettled,
                octets: receiver.octets,
            },
        })
    }
}
