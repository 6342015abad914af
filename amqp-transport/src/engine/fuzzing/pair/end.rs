//! One end: an engine, and an application that does one thing at a time and holds every event to what the other did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_codec::{
    Attach, Coordinator, DeliveryState, Error, ErrorCondition, Fields, ReceiverSettleMode, Role,
    SenderSettleMode, Source, Str, Target, TargetArchetype, TransactionalState, Value,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::ledger::{Fate, Ledger, number_of, pick, state};
use crate::engine::{
    AttachReply, Connection, DeliveryId, DetachCause, DetachKind, EndCause, Event, IncomingDelivery,
    LinkConfig, LinkId, Outgoing, Payload, Retention, SessionConfig, SessionId, Settlement, Settling,
    SuspendedLink, Transmit, TrySendError,
};
use crate::error::ConnectionError;

pub(super) struct End {
    pub(super) engine: Connection,
    is_client: bool,
    pub(super) input: BytesMut,
    transmit: Transmit,
    /// Written, and not read by the other end yet.
    pub(super) written: BytesMut,
    sessions: Vec<SessionId>,
    asked_sessions: Vec<SessionId>,
    pub(super) links: Vec<Known>,
    asked_links: Vec<(LinkId, Arc<Attach>)>,
    /// Links that are not attached, by role and name.
    pub(super) kept: BTreeMap<(bool, Str), Box<SuspendedLink>>,
    pub(super) events: u64,
    pub(super) last_heard: Instant,
    now: Instant,
    pub(super) is_cut: bool,
    pub(super) is_end_told: bool,
    pub(super) is_closed: bool,
    has_closed: bool,
}

/// A link that has not been told to be over.
pub(super) struct Known {
    pub(super) id: LinkId,
    session: SessionId,
    pub(super) name: Str,
    pub(super) is_sender: bool,
    is_attached: bool,
    is_leaving: bool,
    /// Receiver: deliveries that are unsettled as far as the application knows.
    held: Vec<(DeliveryId, u32)>,
    /// The last message that came, or that was sent.
    last: Option<u32>,
    /// Sender: messages whose end is to come.
    sent: Vec<(DeliveryId, u32)>,
    /// Sender: whether a message was turned away and `Writable` has not come.
    is_blocked: bool,
    is_drain_asked: bool,
    /// The last thing that the other end said beside credit.
    heard: u64,
}

impl Known {
    fn new(id: LinkId, session: SessionId, name: Str, is_sender: bool) -> Self {
        Self {
            id,
            session,
            name,
            is_sender,
            is_attached: false,
            is_leaving: false,
            held: Vec::new(),
            last: None,
            sent: Vec::new(),
            is_blocked: false,
            is_drain_asked: false,
            heard: 0,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.is_attached && !self.is_leaving
    }
}

/// Commands.
impl End {
    pub(super) fn new(engine: Connection, now: Instant) -> Self {
        let is_client = engine.config().container_id == "client";
        Self {
            engine,
            is_client,
            input: BytesMut::new(),
            transmit: Transmit::new(),
            written: BytesMut::new(),
            sessions: Vec::new(),
            asked_sessions: Vec::new(),
            links: Vec::new(),
            asked_links: Vec::new(),
            kept: BTreeMap::new(),
            events: 0,
            last_heard: now,
            now,
            is_cut: false,
            is_end_told: false,
            is_closed: false,
            has_closed: false,
        }
    }

    /// A link of this kind, by an octet.
    fn chosen(&mut self, which: u8, wants: impl Fn(&Known) -> bool) -> Option<&mut Known> {
        let count = self.links.iter().filter(|link| wants(link)).count();
        let place = usize::from(which).checked_rem(count)?;
        self.links.iter_mut().filter(|link| wants(link)).nth(place)
    }

    pub(super) fn begin(&mut self, wish: u8) {
        if self.is_client
            && self.sessions.len() < 4
            && let Ok(session) = self.engine.begin(session_config(wish))
        {
            self.sessions.push(session);
        }
    }

    pub(super) fn attach(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
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
    pub(super) fn answer(&mut self, wish: u8, ledger: &mut Ledger) {
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

    pub(super) fn answer_all(&mut self, ledger: &mut Ledger) {
        while !self.asked_sessions.is_empty() || !self.asked_links.is_empty() {
            self.answer(0, ledger);
        }
    }

    pub(super) fn send(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
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

    pub(super) fn grant(&mut self, which: u8, wish: u8) {
        let credit = pick(wish, &[1, 0, 2, 5, 40, 0x7fff_ffff]);
        if let Some(id) = self.chosen(which, |link| !link.is_sender).map(|link| link.id) {
            let _ = self.engine.set_credit(id, credit);
        }
    }

    pub(super) fn drain(&mut self, which: u8) {
        if let Some(id) = self.chosen(which, |link| !link.is_sender).map(|link| link.id) {
            let _ = self.engine.drain(id);
        }
    }

    pub(super) fn give_back(&mut self, which: u8) {
        if let Some(link) = self.chosen(which, |link| link.is_drain_asked) {
            link.is_drain_asked = false;
            let id = link.id;
            let _ = self.engine.drained(id);
        }
    }

    pub(super) fn acquire(&mut self, which: u8) {
        if let Some(id) = self.chosen(which, |link| !link.is_sender).map(|link| link.id) {
            let _ = self.engine.set_acquiring(id, Bytes::from_static(b"txn"));
        }
        if let Some(id) = self.chosen(which, |link| link.is_sender).map(|link| link.id) {
            let _ = self.engine.set_available(id, u32::from(which));
        }
    }

    /// Says something beside credit, at times more than a frame takes, or nothing more.
    pub(super) fn tell_state(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
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

    /// Waits no longer for the other end's answer to an attach or a detach.
    pub(super) fn give_up(&mut self, which: u8) {
        let Some(id) = self.chosen(which, |link| !link.is_usable()).map(|link| link.id) else { return };
        let _ = self.engine.give_up_link(id);
    }

    /// Says something of a delivery, or of all that a link holds.
    pub(super) fn settle(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
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
    pub(super) fn settle_sent(&mut self, which: u8, wish: u8, ledger: &mut Ledger) {
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

    fn is_resumed(&self, id: LinkId, ledger: &Ledger) -> bool {
        self.links.iter().any(|link| link.id == id && ledger.is_resumed(&link.name))
    }

    pub(super) fn detach(&mut self, which: u8) {
        let kind = if which & 0x80 == 0 { DetachKind::Suspended } else { DetachKind::Closed };
        let Some(id) = self.chosen(which & 0x7f, |link| !link.is_leaving).map(|link| link.id) else { return };
        if self.engine.detach(id, kind, None).is_ok()
            && let Some(link) = self.links.iter_mut().find(|link| link.id == id)
        {
            link.is_leaving = true;
        }
    }

    pub(super) fn end_session(&mut self, which: u8) {
        let place = usize::from(which).checked_rem(self.sessions.len());
        let Some(session) = place.and_then(|place| self.sessions.get(place)).copied() else { return };
        if self.engine.end(session, None).is_ok() {
            for link in self.links.iter_mut().filter(|link| link.session == session) {
                link.is_leaving = true;
            }
        }
    }

    pub(super) fn abort_send(&mut self, which: u8, ledger: &mut Ledger) {
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

    pub(super) fn close(&mut self) {
        self.has_closed = true;
        self.engine.close(None);
    }

    /// Grants and settles all there is; whether there was any.
    pub(super) fn settle_all(&mut self, ledger: &mut Ledger) -> bool {
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

    /// Takes what the engine wants to write.
    pub(super) fn collect(&mut self, now: Instant) {
        self.now = now;
        let mut rounds = 0;
        while self.engine.poll_transmit(now, &mut self.transmit) {
            let size = self.transmit.remaining();
            assert!(size > 0, "something was announced to be written");
            if self.is_cut {
                self.transmit.advance(size);
            } else {
                self.written.put(&mut self.transmit);
            }
            rounds += 1;
            assert!(rounds < 10_000, "output without end");
        }
    }
}

/// Events.
impl End {
    pub(super) fn poll(&mut self, ledger: &mut Ledger, now: Instant) {
        self.now = now;
        while let Some(event) = self.engine.poll_event() {
            assert!(!self.is_closed, "{event:?} after the last event");
            self.events += 1;
            self.handle(event, ledger);
        }
    }

    fn known(&mut self, id: LinkId) -> &mut Known {
        match self.links.iter_mut().find(|link| link.id == id) {
            Some(link) => link,
            None => panic!("an event of {id:?}, which is not known (any more)"),
        }
    }

    fn handle(&mut self, event: Event, ledger: &mut Ledger) {
        match event {
            Event::Opened { .. } => {
                let _ = self.engine.open();
            }
            Event::SessionRequested { session, .. } => self.asked_sessions.push(session),
            Event::SessionEnded { session, cause, error } => {
                assert_ne!(cause, EndCause::Violation, "an honest end is accused: {error:?}");
                assert!(
                    self.links.iter().all(|link| link.session != session),
                    "{session:?} ends before its links"
                );
                self.sessions.retain(|known| *known != session);
                self.asked_sessions.retain(|known| *known != session);
            }
            Event::AttachRequested { link, session, attach } => {
                let is_sender = attach.role == Role::Receiver;
                self.links.push(Known::new(link, session, attach.name.clone(), is_sender));
                self.asked_links.push((link, attach));
            }
            Event::LinkAttached { link, .. } => self.known(link).is_attached = true,
            Event::LinkSuspended { link, state } => {
                let link = self.known(link);
                let key = (link.is_sender, link.name.clone());
                self.kept.insert(key, state);
            }
            Event::LinkDetached { link, cause, error, .. } => {
                assert_ne!(cause, DetachCause::Violation, "an honest end is accused: {error:?}");
                self.known(link);
                self.links.retain(|known| known.id != link);
                self.asked_links.retain(|known| known.0 != link);
            }
            Event::Writable { link } => self.known(link).is_blocked = false,
            Event::Sent { link, user } => {
                self.known(link);
                let has_left = std::mem::replace(&mut ledger.message(user).has_left, true);
                assert!(!has_left || self.is_resumed(link, ledger), "message {user} leaves twice");
            }
            Event::Aborted { link, user } => {
                self.known(link);
                // One that is resumed may have left before, on the link that was lost.
                let has_left = ledger.message(user).has_left && !self.is_resumed(link, ledger);
                assert!(!has_left, "message {user} is given up after it has left");
            }
            Event::DrainRequested { link } => self.known(link).is_drain_asked = true,
            Event::Drained { link } | Event::FlowAnswered { link, .. } | Event::LinkFailed { link, .. } => {
                self.known(link);
            }
            Event::LinkState { link, properties } => self.state_told(link, &properties, ledger),
            Event::Delivery { link, delivery } => self.delivered(link, delivery, ledger),
            Event::DeliveryResumed { link, delivery, tag } => {
                let from_client = !self.is_client;
                let link = self.known(link);
                if let Some(number) = ledger.by_tag(&link.name, from_client, tag) {
                    link.held.push((delivery, number));
                }
            }
            Event::Settled { link, user, state } => {
                self.settled(link, user, state.as_ref(), Fate::Settled, ledger)
            }
            Event::Unresolved { link, user } => self.settled(link, user, None, Fate::Unresolved, ledger),
            Event::OutcomeTold { link, user, state, .. } | Event::StateChanged { link, user, state } => {
                self.known(link);
                let message = ledger.message(user);
                assert!(message.told.contains(&state), "{state:?} of message {user} that nobody told");
            }
            Event::RemoteSettled { link, delivery, .. } => {
                self.known(link).held.retain(|held| held.0 != delivery);
            }
            Event::Closed { reason } => self.closed(&reason),
            _ => {}
        }
    }

    fn delivered(&mut self, id: LinkId, delivery: IncomingDelivery, ledger: &mut Ledger) {
        let from_client = !self.is_client;
        let link = self.known(id);
        assert!(!link.is_sender, "a delivery at its sender");
        let number = number_of(&delivery.message);
        let may_repeat = ledger.is_resumed(&link.name);
        assert_eq!(delivery.message, ledger.octets(number), "message {number} arrives differently");
        ledger.note_tag(&link.name, from_client, delivery.tag, number);
        let message = ledger.message(number);
        assert!(
            message.name == link.name && message.from_client == from_client,
            "message {number} on another link"
        );
        if message.is_settled || !may_repeat {
            assert!(!message.is_delivered, "message {number} is delivered twice");
        }
        assert!(may_repeat || link.last.is_none_or(|last| last < number), "message {number} out of order");
        assert!(delivery.is_settled || !message.is_settled, "message {number} was sent settled");
        assert!(
            !delivery.is_settled || message.is_settled || message.fate != Fate::Open,
            "message {number} comes settled, which nobody did"
        );
        assert_ne!(message.fate, Fate::Aborted, "message {number} was taken back");
        message.is_delivered = true;
        link.last = Some(number);
        if !delivery.is_settled {
            link.held.push((delivery.id, number));
        }
    }

    /// What the other end says beside credit: the last it said, or what it said before that.
    fn state_told(&mut self, id: LinkId, properties: &Fields, ledger: &Ledger) {
        let from_client = !self.is_client;
        let link = self.known(id);
        // What is acquired under a transaction is told there, too.
        let Some(said) = properties.get("said").and_then(|said| said.as_u64()) else {
            assert!(properties.get("txn-id").is_some(), "{:?} is told {properties:?}", link.name);
            return;
        };
        let most = ledger.said(&link.name, from_client);
        assert!((link.heard..=most).contains(&said), "{:?} is told {said} of {most}", link.name);
        link.heard = said;
    }

    fn settled(
        &mut self,
        id: LinkId,
        number: u32,
        state: Option<&DeliveryState>,
        fate: Fate,
        ledger: &mut Ledger,
    ) {
        let link = self.known(id);
        link.sent.retain(|sent| sent.1 != number);
        let message = ledger.message(number);
        assert!(!message.is_settled && message.name == link.name, "message {number} was sent settled");
        assert_eq!(message.fate, Fate::Open, "message {number} is settled again");
        message.fate = fate;
        if fate == Fate::Settled {
            let is_told = state.is_some_and(|state| message.told.contains(state));
            assert!(
                is_told,
                "message {number} is settled with {state:?}; its receiver said {:?}",
                message.told
            );
        }
    }

    fn closed(&mut self, reason: &ConnectionError) {
        let silence = self.now.saturating_duration_since(self.last_heard);
        match reason {
            ConnectionError::IdleTimeout => {
                let patience = self.engine.config().idle_time_out.unwrap_or(Duration::MAX);
                assert!(silence >= patience, "given up after {silence:?}");
            }
            ConnectionError::Closed => assert!(self.has_closed, "closed by nobody"),
            ConnectionError::Remote(error) => {
                let is_time = error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED;
                assert!(is_time, "an honest end is accused: {error:?}");
            }
            ConnectionError::ClosedByPeer
            | ConnectionError::EndOfStream
            | ConnectionError::Timeout { .. } => {}
            other => panic!("an honest end is accused: {other:?}"),
        }
        self.is_closed = true;
        self.links.clear();
        self.sessions.clear();
        self.asked_links.clear();
        self.asked_sessions.clear();
    }
}

/// What must hold.
impl End {
    /// At any time: windows and credit within what was granted, memory within its bounds.
    pub(super) fn judge(&self) {
        let (stats, limits) = (self.engine.stats(), &self.engine.config().limits);
        let bound = limits.output_high_water + limits.owed_output + MOST_AT_ONCE;
        assert!(stats.queued_output <= bound, "{} octets of output", stats.queued_output);
        assert!(stats.partial_octets <= limits.partial_delivery_bytes, "{} octets", stats.partial_octets);
        assert!(stats.queued_events <= limits.pending_events + MOST_EVENTS, "{} events", stats.queued_events);
        for session in self.sessions.iter().filter_map(|session| self.engine.session_stats(*session)) {
            assert!(session.incoming_window <= MOST_WINDOW, "{session:?}");
            assert!(session.remote_incoming_window <= MOST_WINDOW, "{session:?}");
            assert!(session.unsettled_outgoing <= limits.unsettled, "{session:?}");
            assert!(session.unsettled_incoming <= limits.unsettled, "{session:?}");
        }
        for link in self.links.iter().filter_map(|link| self.engine.link_stats(link.id)) {
            assert!(link.credit <= 0x7fff_ffff, "{link:?}");
        }
    }

    /// When all is settled, everything sent has an end, and whoever waited was told to go on.
    pub(super) fn judge_completion(&self, ledger: &Ledger) {
        for link in self.links.iter().filter(|link| link.is_usable()) {
            assert!(!link.is_blocked, "{:?} was never told to go on", link.name);
            assert!(link.held.is_empty(), "{:?} holds {:?} still", link.name, link.held);
            if ledger.is_resumed(&link.name) {
                continue;
            }
            assert!(link.sent.is_empty(), "messages {:?} of {:?} have no end", link.sent, link.name);
            let unsettled = self.engine.link_stats(link.id).map(|stats| stats.unsettled);
            assert_eq!(unsettled, Some(0), "unsettled on {:?}", link.name);
        }
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

const MOST_WINDOW: u32 = 2_048;
/// What one poll for output may add to what waited: a batch of large messages and the answers to what was just read.
const MOST_AT_ONCE: usize = 1 << 20;
/// Events that a single frame may cause.
const MOST_EVENTS: usize = 4_000;
