//! What becomes of the deliveries that came: our outcomes out, the sender's settlements in.
//!
//! Owns the end of every unsettled delivery of the peer's while its link lives.

use amqp_codec::{DeliveryState, Disposition, Role};

use super::super::config::Settlement;
use super::super::connection::Connection;
use super::super::delivery::{Visit, queue_disposition};
use super::super::endpoint_state::Half;
use super::super::event::Event;
use super::super::ids::{DeliveryId, LinkId};
use super::super::link::LinkKind;
use super::super::violation::EngineError;
use super::ReceiverState;

impl Connection {
    pub(crate) fn settle_delivery(
        &mut self,
        id: LinkId,
        delivery: DeliveryId,
        state: &DeliveryState,
        settlement: Settlement,
    ) -> Result<(), EngineError> {
        if let Some(failure) = &self.failure {
            return Err(EngineError::Closed(failure.clone()));
        }
        let Some(link) = self.links.checked_mut(id.index, id.generation) else {
            return Err(EngineError::Stale);
        };
        if link.kind.role() != Role::Receiver {
            return Err(EngineError::Role);
        }
        if link.endpoint.local != Half::Open {
            return Err(EngineError::State("the link is being detached"));
        }
        let Some(session) = self.sessions.get_mut(link.session) else { return Err(EngineError::Stale) };
        let Some(incoming) = &mut session.incoming else { return Ok(()) };
        // D-023: the sender has settled it; nothing is left to say.
        let Some(entry) = incoming.get(delivery.0) else { return Ok(()) };
        if entry.link != id {
            return Err(EngineError::State("the delivery is another link's"));
        }
        let is_settled = settlement.is_settled();
        let tag = entry.tag;
        if let LinkKind::Receiver(ReceiverState { survivors: Some(survivors), .. }) = &mut link.kind {
            if is_settled {
                survivors.release(&tag);
            } else {
                survivors.tell(&tag, state);
            }
        }
        if is_settled {
            session.tags.remove(id, tag);
            incoming.forget(delivery.0);
            link.unsettled = link.unsettled.saturating_sub(1);
        }
        queue_disposition(&mut session.dispositions, Role::Receiver, delivery.0, is_settled, Some(state));
        session.mark_dirty(&mut self.dirty);
        Ok(())
    }

    /// What the sender settles of the deliveries we hold.
    pub(in super::super) fn remote_settlements(&mut self, index: u32, last: u32, disposition: Disposition) {
        if !disposition.settled {
            return;
        }
        let Some(session) = self.sessions.get_mut(index) else { return };
        let Some(incoming) = &mut session.incoming else { return };
        let (links, events, tags) = (&mut self.links, &mut self.events, &mut session.tags);
        incoming.visit_range(disposition.first, last, |id, entry| {
            tags.remove(entry.link, entry.tag);
            let Some(link) = links.checked_mut(entry.link.index, entry.link.generation) else {
                return Visit::Bury;
            };
            link.unsettled = link.unsettled.saturating_sub(1);
            if let LinkKind::Receiver(ReceiverState { survivors: Some(survivors), .. }) = &mut link.kind {
                survivors.release(&entry.tag);
            }
            events.push(Event::RemoteSettled {
                link: entry.link,
                delivery: DeliveryId(id),
                state: disposition.state.clone(),
            });
            Visit::Remove
        });
    }
}
