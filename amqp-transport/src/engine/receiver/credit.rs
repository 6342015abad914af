//! Credit out: what the sender may send, what it is asked, and what it answers.
//!
//! Owns the link's flows of a receiver. The arithmetic of credit is `window`'s.

use amqp_codec::{Flow, SerialNumber};

use super::super::connection::Connection;
use super::super::endpoint_state::Half;
use super::super::event::Event;
use super::super::ids::LinkId;
use super::super::link::LinkKind;
use super::super::violation::EngineError;
use super::super::window::{ReceiverCredit, later};

/// What we ask the sender to answer. One flow at a time asks, so that an answer is known to be one of what was told before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Echo {
    /// How often was asked.
    asked: u32,
    /// What the flow asked that has left and is not answered.
    sent: Option<u32>,
    /// Where credit ends at most by what was told since that flow; unknown before the sender's attach.
    told: Option<SerialNumber>,
    /// The last question of the caller's that was answered; others are our own.
    heard: u32,
    /// Whether one is to ask that has not left.
    is_owed: bool,
}

impl Echo {
    /// Whether the flow that leaves now, which tells of this credit where the sender's count is known, is to ask.
    pub(crate) fn on_flow(&mut self, credit: Option<&ReceiverCredit>) -> bool {
        let limit = credit.map(ReceiverCredit::limit);
        let is_due = self.is_owed && self.sent.is_none();
        if is_due {
            self.sent = Some(self.asked);
            self.told = limit;
            self.is_owed = false;
        } else {
            // The answer may be given after more was told.
            self.told =
                self.told.zip(credit).map(|(told, credit)| later(credit.at_least(told), credit.limit()));
        }
        is_due
    }

    /// Takes what was asked as answered, unless the sender's flow knows of more credit than it was told: that one
    /// crossed ours. Returns the number of the caller's question, if it was one.
    // L-030
    fn answered(&mut self, credit: &mut ReceiverCredit, flow: &Flow) -> Option<u32> {
        let has_crossed =
            self.told.is_some_and(|told| credit.is_beyond(told, flow.delivery_count, flow.link_credit));
        if has_crossed {
            return None;
        }
        let number = self.sent.take()?;
        if let Some(told) = self.told {
            credit.confirm(told);
        }
        (std::mem::replace(&mut self.heard, number) != number).then_some(number)
    }

    /// Asks on our own account, unless a question is under way.
    fn ask(&mut self) -> bool {
        let is_new = self.sent.is_none() && !self.is_owed;
        self.is_owed |= is_new;
        is_new
    }
}

impl Connection {
    pub(in super::super) fn receiver_flow(&mut self, index: u32, flow: &Flow) {
        let Some(link) = self.links.get_mut(index) else { return };
        if let LinkKind::Receiver(receiver) = &mut link.kind {
            receiver.credit.on_flow(flow.delivery_count, flow.available);
            if let Some(number) = receiver.echo.answered(&mut receiver.credit, flow) {
                self.events.push(Event::FlowAnswered { link: link.id, number });
            }
            if receiver.echo.is_owed && receiver.echo.sent.is_none() {
                self.owe_link_flow(index);
            }
        }
        self.note_drained(index);
    }

    // L-030: a credit of none stops the link.
    pub(in super::super) fn grant_credit(&mut self, id: LinkId, credit: u32) -> Result<(), EngineError> {
        let receiver = self.link_mut(id)?.receiver()?;
        receiver.credit.grant(credit);
        // a flow without it ends it.
        receiver.acquiring = None;
        receiver.credit.draining = false;
        self.owe_link_flow(id.index);
        Ok(())
    }

    // L-030: an echo tells when a credit stands.
    pub(in super::super) fn ask_link(&mut self, id: LinkId) -> Result<u32, EngineError> {
        let receiver = self.link_mut(id)?.receiver()?;
        receiver.echo.asked = receiver.echo.asked.wrapping_add(1);
        receiver.echo.is_owed = true;
        let number = receiver.echo.asked;
        self.owe_link_flow(id.index);
        Ok(number)
    }

    // L-028: a credit that nothing came for is given back.
    pub(in super::super) fn drain_link(&mut self, id: LinkId) -> Result<(), EngineError> {
        let link = self.link_mut(id)?;
        // Told to be over, though our half of it waits for its session.
        if link.endpoint.remote == Half::Closed {
            return Err(EngineError::Stale);
        }
        let receiver = link.receiver()?;
        receiver.credit.draining = true;
        if receiver.credit.credit() > 0 {
            self.owe_link_flow(id.index);
        }
        self.note_drained(id.index);
        Ok(())
    }

    /// The last credit of a drain may be used up by deliveries, too. Credit that was lowered before may still be used by a
    /// sender that has not heard of it: then it is asked.
    // L-026, L-028
    pub(super) fn note_drained(&mut self, link_index: u32) {
        let Some(link) = self.links.get_mut(link_index) else { return };
        let id = link.id;
        let LinkKind::Receiver(receiver) = &mut link.kind else { return };
        if !receiver.credit.draining || receiver.credit.credit() > 0 || receiver.partial.is_some() {
            return;
        }
        if !receiver.credit.is_known() {
            if receiver.echo.ask() {
                self.owe_link_flow(link_index);
            }
            return;
        }
        receiver.credit.draining = false;
        self.events.push(Event::Drained { link: id });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The answer was taken for one that crossed the question, and whoever waited for it waited for ever.
    #[test]
    fn the_largest_credit_after_a_question_is_answered_like_any_other() {
        const LARGEST: u32 = i32::MAX.cast_unsigned();
        let mut credit = ReceiverCredit::new();
        let mut echo = Echo { asked: 1, is_owed: true, ..Echo::default() };
        credit.grant(5);
        credit.grant(1);
        assert!(echo.on_flow(Some(&credit)));
        // They were on their way.
        credit.on_delivery(0).unwrap();
        credit.on_delivery(0).unwrap();
        credit.grant(LARGEST);
        assert!(!echo.on_flow(Some(&credit)));
        credit.grant(0);
        assert!(!echo.on_flow(Some(&credit)));
        let flow = Flow { delivery_count: Some(2), link_credit: Some(LARGEST), ..Flow::default() };
        credit.on_flow(flow.delivery_count, None);
        assert_eq!(echo.answered(&mut credit, &flow), Some(1));
    }
}
