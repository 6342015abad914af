//! What a caller may see of a connection and its links. It never changes anything.

use std::sync::Arc;

use amqp_codec::{Attach, Open, SenderSettleMode};
use bytes::Bytes;

use super::super::config::ConnectionConfig;
use super::super::ids::{DeliveryId, LinkId, SessionId};
use super::super::kept::KeptAttach;
use super::super::link::{Link, LinkKind};
use super::super::window::{ceiling, room};
use super::{Connection, Phase};
use crate::error::ConnectionError;

impl Connection {
    /// Whether both opens are exchanged and no close has been sent or received.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.endpoint.is_open() && self.failure.is_none()
    }

    /// Whether nothing more will be read or written: the socket may be dropped, after a last
    /// [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether the caller should stop reading for now: too much that we owe the peer is unsent, written out or not.
    #[must_use]
    pub fn is_read_paused(&self) -> bool {
        let limit = self.config.limits.owed_output;
        let mut owed = self.output.owed();
        let mut sessions = self.dirty.iter().filter_map(|index| self.sessions.get(*index));
        owed > limit
            || sessions.any(|session| {
                owed = owed.saturating_add(session.owed());
                owed > limit
            })
    }

    /// Why the connection is over, once it is.
    #[must_use]
    pub fn failure(&self) -> Option<&ConnectionError> {
        self.failure.as_ref()
    }

    /// The peer's open, once it has come.
    #[must_use]
    pub fn remote_open(&self) -> Option<&Arc<Open>> {
        self.remote_open.as_ref()
    }

    /// The peer's attach, once it has come; decoded anew each time.
    #[must_use]
    pub fn remote_attach(&self, link: LinkId) -> Option<Attach> {
        self.link(link)?.remote_attach.as_ref()?.get()
    }

    /// The peer's attach as it is kept, for those who keep it longer than the link.
    #[must_use]
    pub fn kept_attach(&self, link: LinkId) -> Option<KeptAttach> {
        self.link(link)?.remote_attach.clone()
    }

    /// The session of a link.
    #[must_use]
    pub fn link_session(&self, link: LinkId) -> Option<SessionId> {
        self.sessions.get(self.link(link)?.session).map(|session| session.id)
    }

    /// How much credit a receiver may have at this moment so that its link takes no more than its share of what its session
    /// holds unsettled ([`Limits::unsettled`](super::super::Limits::unsettled)): half of what the session's other links leave of
    /// about three quarters of that, less what it holds. Credit that others have and have not used is not counted. No bound for a link whose sender settles
    /// everything itself; 0 for a stale id.
    #[must_use]
    pub fn unsettled_room(&self, link: LinkId) -> u32 {
        let Some((of_link, held)) = self.unsettled_incoming(link) else { return 0 };
        match self.link(link) {
            Some(link) if link.snd_settle_mode == SenderSettleMode::Settled => u32::MAX,
            // Less than is held before deliveries are given back: what others have of credit may come as well.
            _ => u32::try_from(room(ceiling(self.unsettled_ceiling()), held, of_link)).unwrap_or(u32::MAX),
        }
    }

    /// How many unsettled deliveries a session is to hold at most.
    #[inline]
    pub(crate) fn unsettled_ceiling(&self) -> usize {
        ceiling(self.config.limits.unsettled)
    }

    /// The unsettled deliveries of a link and those of the peer's in its session.
    #[inline]
    pub(crate) fn unsettled_incoming(&self, link: LinkId) -> Option<(usize, usize)> {
        let link = self.link(link)?;
        let session = self.sessions.get(link.session)?;
        Some((link.unsettled, session.incoming.as_ref().map_or(0, |incoming| incoming.len())))
    }

    /// The credit left on a link: for a sender what it may send, for a receiver what may still come. 0 for a stale id.
    #[must_use]
    pub fn link_credit(&self, link: LinkId) -> u32 {
        self.link(link).map_or(0, |link| match &link.kind {
            LinkKind::Sender(sender) => sender.credit.credit(),
            LinkKind::Receiver(receiver) => receiver.credit.credit(),
        })
    }

    /// The messages the peer says it has for a receiver; 0 when unknown.
    #[must_use]
    pub fn link_available(&self, link: LinkId) -> u32 {
        self.link(link).map_or(0, |link| match &link.kind {
            LinkKind::Sender(_) => 0,
            LinkKind::Receiver(receiver) => receiver.credit.available,
        })
    }

    /// Receiver: whether a delivery is still unsettled on both sides.
    #[must_use]
    pub fn is_unsettled(&self, link: LinkId, delivery: DeliveryId) -> bool {
        let session = self.link(link).and_then(|link| self.sessions.get(link.session));
        session
            .and_then(|session| session.incoming.as_ref()?.get(delivery.0))
            .is_some_and(|entry| entry.link == link)
    }

    /// Sender: the transaction under which the peer wants what it has credit for.
    #[must_use]
    pub fn link_acquiring(&self, link: LinkId) -> Option<Bytes> {
        match &self.link(link)?.kind {
            LinkKind::Sender(sender) if sender.credit.credit() > 0 => sender.acquiring.clone(),
            _ => None,
        }
    }

    /// The largest message the peer takes on a sending link; `None` without bound.
    #[must_use]
    pub fn link_max_message_size(&self, link: LinkId) -> Option<u64> {
        self.link(link)?.max_message_size
    }

    /// Octets waiting for [`poll_transmit`](Self::poll_transmit), large messages that are still leaving not counted.
    #[must_use]
    pub fn queued_output(&self) -> usize {
        self.output.len()
    }

    /// The settings given at the start.
    #[must_use]
    pub fn config(&self) -> &ConnectionConfig {
        &self.config
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.checked(id.index, id.generation)
    }
}
