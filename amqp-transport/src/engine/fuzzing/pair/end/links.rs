//! What the application of an end does about sessions and links.

use amqp_codec::{
    Coordinator, Error, ErrorCondition, ReceiverSettleMode, Role, SenderSettleMode, Source, Str, Target,
    TargetArchetype,
};

use super::super::ledger::{Ledger, pick};
use super::{End, Known, MOST_WINDOW};
use crate::engine::{
    AttachReply, DeliveryId, DetachKind, LinkConfig, LinkId, Retention, SessionConfig, Settling,
    SuspendedLink,
};

impl End {
    pub(in super::super) fn begin(&mut self, wish: u8) {
        if self.is_client
            && self.sessions.len() < 4
            && let Ok(session) = self.engine.begin(session_config(wish))
        {
            self.sessions.push(session);
        }
    }

    pub(in super::super) fn attach(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
        let place = usize::from(which >> 4).checked_rem(self.sessions.len());
        let Some(session) = place.and_then(|place| self.sessions.get(place)).copied() else { return };
        let is_sender = wish & 1 == 0;
        let name = Str::from(format!("link {}", which & 7));
        let mut config = if is_sender {
            LinkConfig::sender(name.clone(), Target::new("node"))
        } else {
            LinkConfig::receiver(name.clone(), Source::new("node"))
        };
        let modes = [SenderSettleMode::Mixed, SenderSettleMode::Unsettled, SenderSettleMode::Settled];
        config.snd_settle_mode = pick(wish >> 1, &modes);
        config.rcv_settle_mode = rcv_settle_mode(wish >> 3);
        config.settling = settling(wish >> 4);
        config.retention = retention(wish >> 5);
        config.initial_delivery_count = if wish & 0x80 == 0 { 0 } else { u32::MAX - 2 };
        if which & 8 != 0 && is_sender && wish & 0x40 != 0 {
            config.target = Some(TargetArchetype::Coordinator(Coordinator::default()));
        }
        let mut known = Known::new(LinkId { index: 0, generation: 0 }, session, name.clone(), is_sender);
        // What is not resumed now never is: a fresh link counts its tags anew.
        config.resume = self.kept.remove(&(is_sender, name)).filter(|_| which & 8 == 0);
        if let Some(before) = &config.resume {
            ledger.resume(&before.name);
            config.retention = retention(1);
            config.snd_settle_mode = before.snd_settle_mode;
            config.rcv_settle_mode = before.rcv_settle_mode;
            known.sent = unsettled_of(before);
        }
        if let Ok(id) = self.engine.attach(session, config) {
            self.links.push(Known { id, ..known });
        }
    }

    /// Answers a request of the other end.
    pub(in super::super) fn answer(&mut self, wish: u8, ledger: &mut Ledger) {
        if let Some(session) = self.asked_sessions.pop() {
            if self.engine.accept_session(session, session_config(wish)).is_ok() {
                self.sessions.push(session);
            }
            return;
        }
        let Some((id, attach)) = self.asked_links.pop() else { return };
        let Some(session) = self.engine.link_session(id) else { return };
        if wish % 16 == 15 {
            // What was told of the link before is heard before its id is stale.
            self.poll(ledger, self.now);
            let error = Error::new(ErrorCondition::NOT_FOUND);
            if self.engine.refuse_attach(id, error).is_ok() {
                self.links.retain(|link| link.id != id);
            }
            return;
        }
        let is_sender = attach.role == Role::Receiver;
        let mut reply = AttachReply::granting(&attach);
        reply.settling = settling(wish);
        reply.retention = retention(wish >> 1);
        reply.initial_delivery_count = if wish & 4 == 0 { 0 } else { u32::MAX - 1 };
        let before = self.kept.remove(&(is_sender, attach.name.clone()));
        // Without a map the other end has nothing of before.
        reply.resume = before.filter(|_| attach.unsettled.is_some());
        let mut known = Known::new(id, session, attach.name.clone(), is_sender);
        if let Some(before) = &reply.resume {
            reply.retention = retention(1);
            known.sent = unsettled_of(before);
        }
        if attach.unsettled.is_some() {
            ledger.resume(&attach.name);
        }
        if self.engine.accept_attach(id, reply).is_ok() {
            known.is_attached = true;
            self.links.retain(|link| link.id != id);
            self.links.push(known);
        }
    }

    pub(in super::super) fn answer_all(&mut self, ledger: &mut Ledger) {
        while !self.asked_sessions.is_empty() || !self.asked_links.is_empty() {
            self.answer(0, ledger);
        }
    }

    /// Waits no longer for the other end's answer to an attach or a detach.
    pub(in super::super) fn give_up(&mut self, which: u8) {
        let Some(id) = self.chosen(which, |link| !link.is_usable()).map(|link| link.id) else { return };
        let _ = self.engine.give_up_link(id);
    }

    pub(in super::super) fn detach(&mut self, which: u8) {
        let kind = if which & 0x80 == 0 { DetachKind::Suspended } else { DetachKind::Closed };
        let Some(id) = self.chosen(which & 0x7f, |link| !link.is_leaving).map(|link| link.id) else { return };
        if self.engine.detach(id, kind, None).is_ok()
            && let Some(link) = self.links.iter_mut().find(|link| link.id == id)
        {
            link.is_leaving = true;
        }
    }

    pub(in super::super) fn end_session(&mut self, which: u8) {
        let place = usize::from(which).checked_rem(self.sessions.len());
        let Some(session) = place.and_then(|place| self.sessions.get(place)).copied() else { return };
        if self.engine.end(session, None).is_ok() {
            for link in self.links.iter_mut().filter(|link| link.session == session) {
                link.is_leaving = true;
            }
        }
    }

    pub(in super::super) fn close(&mut self) {
        self.has_closed = true;
        self.engine.close(None);
    }
}

fn session_config(wish: u8) -> SessionConfig {
    SessionConfig {
        incoming_window: pick(wish, &[MOST_WINDOW, 1, 2, 10]),
        outgoing_window: pick(wish >> 2, &[2_048, 1, 0]),
        next_outgoing_id: pick(wish >> 4, &[0, u32::MAX - 2, 0x7fff_fffe]),
        ..SessionConfig::default()
    }
}

fn rcv_settle_mode(wish: u8) -> ReceiverSettleMode {
    if wish & 1 == 0 { ReceiverSettleMode::First } else { ReceiverSettleMode::Second }
}

fn settling(wish: u8) -> Settling {
    if wish & 1 == 0 { Settling::Automatic } else { Settling::ByApplication }
}

fn retention(wish: u8) -> Retention {
    if wish & 1 == 0 { Retention::Forget } else { Retention::Keep { payload_octets: 50_000 } }
}

/// Messages of a sender whose end the application does not know.
fn unsettled_of(link: &SuspendedLink) -> Vec<(DeliveryId, u32)> {
    if link.role == Role::Receiver {
        return Vec::new();
    }
    let open = link.deliveries.iter().filter(|delivery| !delivery.is_concluded);
    // Their new ids are not known: none of these is ever used.
    open.map(|delivery| (DeliveryId(0), delivery.user)).collect()
}
