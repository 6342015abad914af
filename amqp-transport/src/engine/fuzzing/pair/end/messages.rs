//! What the application of an end does about messages: sends, grants, settles, and takes back.

use amqp_codec::{DeliveryState, Fields, TransactionalState, Value};
use bytes::Bytes;

use super::super::ledger::{Fate, Ledger, pick, state};
use super::End;
use crate::engine::{DeliveryId, LinkId, Outgoing, Payload, Settlement, TrySendError};

impl End {
    pub(in super::super) fn send(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
        let from_client = self.is_client;
        let Some(link) = self.chosen(which, |link| link.is_sender) else { return };
        let (id, name) = (link.id, link.name.clone());
        let is_settled = wish & 1 != 0;
        let len = pick(wish >> 1, &[0, 500, 40, 5_000, 1_000, 40_000]);
        for _ in 0..1 << (wish >> 6) {
            let number = ledger.add(&name, from_client, len, is_settled);
            let octets = ledger.octets(number);
            let body = octets.slice(8..);
            let settlement = if is_settled { Settlement::Settled } else { Settlement::Unsettled };
            let payload = match wish >> 4 & 3 {
                0 => Payload::Slice(&octets),
                1 => Payload::Parts { head: &octets[..8], body: &body },
                _ => Payload::Bytes(octets.clone()),
            };
            let mut outgoing = Outgoing::new(payload, settlement, number);
            if wish & 0x30 == 0x30 {
                let state = TransactionalState { txn_id: Bytes::from_static(b"txn"), outcome: None };
                outgoing.state = Some(Box::new(DeliveryState::TransactionalState(state)));
            }
            let result = self.engine.try_send(id, outgoing);
            let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
            match result {
                Ok(delivery) => {
                    link.last = Some(number);
                    if !is_settled {
                        link.sent.push((delivery, number));
                    }
                }
                Err(error) => {
                    ledger.take_back();
                    let is_final = matches!(
                        error,
                        TrySendError::Link(_) | TrySendError::SettleMode | TrySendError::TooLarge { .. }
                    );
                    link.is_blocked |= !is_final;
                    return;
                }
            }
        }
    }

    pub(in super::super) fn grant(&mut self, which: u8, wish: u8) {
        let credit = pick(wish, &[1, 0, 2, 5, 40, 0x7fff_ffff]);
        if let Some(id) = self.chosen(which, |link| !link.is_sender).map(|link| link.id) {
            let _ = self.engine.set_credit(id, credit);
        }
    }

    pub(in super::super) fn drain(&mut self, which: u8) {
        if let Some(id) = self.chosen(which, |link| !link.is_sender).map(|link| link.id) {
            let _ = self.engine.drain(id);
        }
    }

    pub(in super::super) fn give_back(&mut self, which: u8) {
        if let Some(link) = self.chosen(which, |link| link.is_drain_asked) {
            link.is_drain_asked = false;
            let id = link.id;
            let _ = self.engine.drained(id);
        }
    }

    pub(in super::super) fn acquire(&mut self, which: u8) {
        if let Some(id) = self.chosen(which, |link| !link.is_sender).map(|link| link.id) {
            let _ = self.engine.set_acquiring(id, Bytes::from_static(b"txn"));
        }
        if let Some(id) = self.chosen(which, |link| link.is_sender).map(|link| link.id) {
            let _ = self.engine.set_available(id, u32::from(which));
        }
    }

    /// Says something beside credit, at times more than a frame takes, or nothing more.
    pub(in super::super) fn tell_state(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
        let from_client = self.is_client;
        let Some(link) = self.chosen(which, |_| true) else { return };
        let (id, name) = (link.id, link.name.clone());
        let said = ledger.say(&name, from_client);
        let mut properties = Fields::default();
        properties.insert("said", said);
        properties
            .insert("more", Value::Binary(Bytes::from(vec![wish; pick(wish, &[0, 10, 300, 600, 900])])));
        let _ = self.engine.set_link_state(id, Some(properties).filter(|_| wish < 240));
    }

    /// Says something of a delivery, or of all that a link holds.
    pub(in super::super) fn settle(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
        let Some(link) = self.chosen(which, |link| !link.held.is_empty()) else { return };
        let (id, count) = (link.id, link.held.len());
        let settlement = if wish & 0x80 == 0 { Settlement::Settled } else { Settlement::Unsettled };
        let place = usize::from(which >> 3) % count;
        let places = if wish & 0x40 == 0 { place..place + 1 } else { 0..count };
        let held: Vec<_> = link.held.get(places).unwrap_or_default().to_vec();
        for (delivery, number) in held {
            self.tell(id, delivery, number, &state(wish & 0x3f), settlement, ledger);
        }
    }

    fn tell(
        &mut self,
        id: LinkId,
        delivery: DeliveryId,
        number: u32,
        state: &DeliveryState,
        settlement: Settlement,
        ledger: &mut Ledger,
    ) {
        if self.engine.settle(id, delivery, state.clone(), settlement).is_err() {
            return;
        }
        ledger.message(number).told.push(state.clone());
        if settlement == Settlement::Settled
            && let Some(link) = self.links.iter_mut().find(|link| link.id == id)
        {
            link.held.retain(|held| held.0 != delivery);
        }
    }

    /// Settles what was sent, one or all.
    pub(in super::super) fn settle_sent(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
        let Some(link) = self.chosen(which, |link| !link.sent.is_empty()) else { return };
        let (id, sent) = (link.id, link.sent.clone());
        let place = usize::from(wish >> 4) % sent.len();
        let places = if wish & 8 == 0 { place..place + 1 } else { 0..sent.len() };
        for (delivery, number) in sent.get(places).unwrap_or_default() {
            self.conclude(id, *delivery, *number, state(wish & 7), ledger);
        }
    }

    fn conclude(
        &mut self,
        id: LinkId,
        delivery: DeliveryId,
        number: u32,
        state: DeliveryState,
        ledger: &mut Ledger,
    ) {
        // Ids of before a resumption name other deliveries now, or none.
        if self.is_resumed(id, ledger) {
            return;
        }
        if self.engine.settle_sent(id, delivery, state) != Ok(true) {
            return;
        }
        let message = ledger.message(number);
        assert_eq!(message.fate, Fate::Open, "message {number} is settled again");
        message.fate = Fate::SettledHere;
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            link.sent.retain(|sent| sent.1 != number);
        }
    }

    pub(in super::super) fn abort_send(&mut self, which: u8, ledger: &mut Ledger) {
        let Some(link) = self.chosen(which, |link| link.is_sender) else { return };
        let (id, last) = (link.id, link.last);
        if !self.engine.is_link_busy(id) || self.engine.abort_send(id).is_err() {
            return;
        }
        let is_resumed = self.is_resumed(id, ledger);
        let link = self.known(id);
        // On a link that was resumed it may have been another one.
        if let Some(number) = last.filter(|_| !is_resumed) {
            link.sent.retain(|sent| sent.1 != number);
            ledger.message(number).fate = Fate::Aborted;
        }
    }

    /// Grants and settles all there is; whether there was any.
    pub(in super::super) fn settle_all(&mut self, ledger: &mut Ledger) -> bool {
        let mut is_active = false;
        let links: Vec<_> = self.links.iter().filter(|link| link.is_usable()).map(|link| link.id).collect();
        for id in links {
            let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { continue };
            if link.is_sender {
                for (delivery, number) in link.sent.clone() {
                    let told = ledger.message(number).told.last().cloned();
                    if let Some(told) = told {
                        self.conclude(id, delivery, number, told, ledger);
                    }
                }
                self.give_back_all(id);
                continue;
            }
            if self.engine.link_credit(id) < 5 {
                is_active |= self.engine.set_credit(id, 60).is_ok();
            }
            let held = self.links.iter().find(|link| link.id == id).map(|link| link.held.clone());
            for (delivery, number) in held.unwrap_or_default() {
                is_active = true;
                self.tell(id, delivery, number, &DeliveryState::Accepted, Settlement::Settled, ledger);
            }
        }
        is_active
    }

    fn give_back_all(&mut self, id: LinkId) {
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id && link.is_drain_asked) {
            link.is_drain_asked = false;
            let _ = self.engine.drained(id);
        }
    }
}
