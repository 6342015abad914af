//! Messages that do not leave at once: cut frame by frame, one link in turn with the others.
//!
//! Owns what is left of such a message. It never decides whether a message may start, and never settles one but by
//! aborting it.

use std::{fmt, mem};

use amqp_codec::Transfer;

use super::super::config::Pieces;
use super::super::connection::Connection;
use super::super::event::Event;
use super::super::ids::{DeliveryId, LinkId};
use super::super::link::LinkKind;
use super::super::output::Output;
use super::super::session::Session;
use super::super::violation::EngineError;

/// A message that does not leave at once: larger than a frame, or than is copied.
pub(crate) struct Large {
    transfer: Transfer,
    payload: Pieces,
    user: u32,
    has_started: bool,
    is_aborted: bool,
}

impl fmt::Debug for Large {
    // The octets of messages and frames may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Large")
            .field("delivery_id", &self.transfer.delivery_id)
            .field("octets", &self.payload.len())
            .field("is_aborted", &self.is_aborted)
            .finish_non_exhaustive()
    }
}

impl Large {
    /// A message of which nothing is written yet, and whose end is nobody's news.
    pub(crate) fn new(transfer: Transfer, payload: impl Into<Pieces>, user: u32) -> Self {
        Self { transfer, payload: payload.into(), user, has_started: false, is_aborted: false }
    }

    /// Writes the next frame; `true` when more follow.
    pub(crate) fn cut(&mut self, session: &mut Session, output: &mut Output) -> bool {
        self.transfer.aborted |= self.is_aborted;
        output.partial_transfer(session.local_channel, &mut self.transfer, &mut self.payload);
        session.window.on_sent();
        if self.transfer.more && !mem::replace(&mut self.has_started, true) {
            // Continuations repeat the number alone (D-002 to D-004, D-006).
            self.transfer.delivery_tag = None;
            self.transfer.message_format = None;
            self.transfer.state = None;
            self.transfer.resume = false;
        }
        self.transfer.more
    }

    /// Whether this is that delivery's message.
    pub(super) fn is_of(&self, delivery: DeliveryId) -> bool {
        self.transfer.delivery_id == Some(delivery.0)
    }
}

impl Connection {
    pub(in super::super) fn abort_large(&mut self, id: LinkId) -> Result<(), EngineError> {
        let link = self.link_mut(id)?;
        let session = link.session;
        let sender = link.sender()?;
        let Some(large) = &mut sender.large else { return Ok(()) };
        large.payload = Pieces::default();
        large.is_aborted = true;
        let Some(delivery_id) = large.transfer.delivery_id else { return Ok(()) };
        // D-012: an aborted delivery is settled.
        if let Some(owner) = self.sessions.get_mut(session)
            && let Some(entry) = owner.outgoing.remove(delivery_id)
            && let Some(link) = self.links.get_mut(id.index)
        {
            link.unsettled = link.unsettled.saturating_sub(1);
            if link.forget_sent(entry) {
                self.end_incomplete(id.index);
            }
            self.wake_crowded(session);
        }
        Ok(())
    }

    /// Cuts frames from large messages, one a link in turn, until the batch is full.
    pub(in super::super) fn send_large(&mut self) {
        while self.output.len() < BATCH {
            let Some(id) = self.sending.pop_front() else { break };
            self.send_piece(id);
        }
    }

    /// Cuts one frame from a link's large message, and lets the link stand in line for the next.
    pub(in super::super) fn send_piece(&mut self, id: LinkId) {
        let Some(link) = self.links.checked_mut(id.index, id.generation) else { return };
        let Some(session) = self.sessions.get_mut(link.session) else { return };
        let LinkKind::Sender(sender) = &mut link.kind else { return };
        let Some(large) = &mut sender.large else { return };
        if !session.window.can_send() {
            session.halted.push_back(id);
            return;
        }
        if large.cut(session, &mut self.output) {
            self.sending.push_back(id);
            return;
        }
        let Some(done) = sender.large.take() else { return };
        let has_turn = mem::take(&mut sender.wants_turn) && sender.credit.credit() > 0;
        // D-012: what was given up has not been sent, and is over all the same for who waits for its end.
        self.events.push(match done.is_aborted {
            true => Event::Aborted { link: id, user: done.user },
            false => Event::Sent { link: id, user: done.user },
        });
        if has_turn {
            self.tell_writable(id);
        }
    }
}

/// Octets of large messages put into one batch of output.
const BATCH: usize = 256 * 1024;
