//! What an application does: one random thing at a time, or, when the run settles down, all that it owes.

use amqp_codec::{
    DeliveryState, Error, ErrorCondition, Fields, Modified, Received, ReceiverSettleMode, Role,
    SenderSettleMode, Source, Str, Target, TargetArchetype,
};
use amqp_transport::engine::{
    AttachReply, DetachKind, LinkConfig, LinkEnd, LinkId, Outgoing, Payload, Settlement, Settling, Side,
    TrySendError,
};

use super::super::ledger::{Ledger, Status};
use super::super::plan::Plan;
use super::super::rng::Rng;
use super::super::termini::Expiry;
use super::{App, AppLink, AppSession, State, keeping, taking, transacting};

impl App {
    /// Does one random thing.
    pub(crate) fn act(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        if plan.transacts && self.side == Side::Client && rng.one_in(6) {
            self.transact(rng, ledger);
            return;
        }
        match rng.below(64) {
            0..4 => self.begin(plan, rng, ledger),
            4..10 => self.attach(plan, rng, ledger),
            10..17 => self.answer_one(plan, rng, ledger),
            17..31 => self.send_something(plan, rng, ledger),
            31..42 if plan.hoards && !rng.one_in(40) => self.send_something(plan, rng, ledger),
            31..39 => self.settle_some(rng, ledger),
            39..42 => self.decide_some(rng, ledger),
            42..52 => self.grant(plan, rng),
            52 => self.ask_drain(rng),
            53 if rng.one_in(2) => self.ask(rng),
            53 => self.ask_drain(rng),
            54..57 => self.give_back(rng),
            57..59 => self.abort(rng, ledger),
            59..61 if plan.churns => self.detach(plan, rng, ledger),
            61 if plan.churns && rng.one_in(2) => self.end(rng, ledger),
            62 if rng.one_in(2) => self.tell_state(rng, ledger),
            62 => {
                if let Some(link) = self.pick(rng, |link| link.is_sender) {
                    self.offer(link, rng.word(), ledger);
                }
            }
            63 if plan.closes && rng.one_in(20) => self.close(rng, ledger),
            _ => {}
        }
    }

    /// Does one of the things that are done on a connection beside another.
    pub(crate) fn carry_on(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        match rng.below(4) {
            0 => self.send_something(plan, rng, ledger),
            1 => self.settle_some(rng, ledger),
            2 => self.decide_some(rng, ledger),
            _ => self.grant(plan, rng),
        }
    }

    pub(super) fn pick(&self, rng: &mut Rng, wants: impl Fn(&AppLink) -> bool) -> Option<LinkId> {
        self.pick_any(rng, |link| !link.is_control && wants(link))
    }

    /// As [`pick`](Self::pick), those to coordinators not left out.
    pub(super) fn pick_any(&self, rng: &mut Rng, wants: impl Fn(&AppLink) -> bool) -> Option<LinkId> {
        if self.engine.failure().is_some() {
            return None;
        }
        let fit = |link: &&AppLink| link.state == State::Open && !link.is_taken && wants(link);
        let count = self.links.iter().filter(fit).count();
        let picked = self.links.iter().filter(fit).nth(rng.below(count))?.id;
        // What the engine knows and the application has not heard yet makes an id stale.
        self.engine.link_session(picked).map(|_| picked)
    }

    fn begin(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        let is_client = self.side == Side::Client;
        let may_begin = is_client || (plan.listener_attaches && rng.one_in(5));
        if !may_begin {
            return;
        }
        if self.sessions.len() < 4
            && let Ok(id) = self.engine.begin(plan.session(rng))
        {
            self.sessions.push(AppSession { id, state: State::Asked });
            // A client takes no sessions.
            let (_, peer) = self.places();
            ledger.course.has_ended[peer] |= !is_client;
        }
    }

    fn attach(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        if self.side == Side::Listener && !(plan.listener_attaches && rng.one_in(5)) {
            return;
        }
        let is_sender = plan.client_sends_only || rng.one_in(2);
        // Attaches of one name that cross would make one link.
        let names = match self.side {
            Side::Client => ["a", "b", "c", "d", "e"],
            Side::Listener => ["v", "w", "x", "y", "z"],
        };
        let (mut is_sender, mut name) = (is_sender, rng.pick(&names).into());
        // What was there before is more often wanted than something new.
        if self.side == Side::Client
            && !rng.one_in(3)
            && let Some(kept) = self.kept.keys().nth(rng.below(self.kept.len()))
        {
            (is_sender, name) = kept.clone();
        }
        self.attach_named(is_sender, name, plan, rng, ledger);
    }

    /// Attaches a link, or resumes the one of its name that is kept.
    pub(super) fn attach_named(
        &mut self,
        is_sender: bool,
        name: Str,
        plan: &Plan,
        rng: &mut Rng,
        ledger: &mut Ledger,
    ) {
        // Until a begin is answered, how many handles the peer takes is not known; one it must.
        let links = &self.links;
        let has_link = |session: &AppSession| links.iter().any(|link| link.session == session.id);
        let live = |session: &&AppSession| match session.state {
            State::Asked => !has_link(session),
            state => state == State::Open,
        };
        let count = self.sessions.iter().filter(live).count();
        let Some(session) = self.sessions.iter().filter(live).nth(rng.below(count)).map(|session| session.id)
        else {
            return;
        };
        let keeps = plan.keeps && self.side == Side::Client;
        // What is left of a link comes with its end: before that, a new one could not go on with it.
        if keeps && self.links.iter().any(|link| link.is_sender == is_sender && link.name == name) {
            return;
        }
        let before = if keeps { self.taken_up(is_sender, &name, plan, rng, ledger) } else { None };
        let Expiry { policy: expiry_policy, seconds: timeout } =
            if keeps { Expiry::draw(rng) } else { Expiry::default() };
        let address = Some("q".into());
        let mut config = if is_sender {
            LinkConfig::sender(name.clone(), Target { address, expiry_policy, timeout, ..Target::default() })
        } else {
            LinkConfig::receiver(
                name.clone(),
                Source { address, expiry_policy, timeout, ..Source::default() },
            )
        };
        config.snd_settle_mode =
            rng.pick(&[SenderSettleMode::Unsettled, SenderSettleMode::Settled, SenderSettleMode::Mixed]);
        config.rcv_settle_mode = rng.pick(&[ReceiverSettleMode::First, ReceiverSettleMode::Second]);
        config.initial_delivery_count = Plan::number(rng);
        config.max_message_size = rng.pick(&[None, None, Some(2_000)]).filter(|_| !plan.keeps);
        config.settling = rng.pick(&[Settling::Automatic, Settling::ByApplication]);
        let settling = config.settling;
        let keeping = keeping::drawn(before.as_ref(), keeps, rng);
        config.retention = keeping::retention(keeping);
        if let Some(before) = &before {
            config.snd_settle_mode = before.state.snd_settle_mode;
            config.rcv_settle_mode = before.state.rcv_settle_mode;
            config.resume = Some(keeping::handed(before, ledger));
        }
        let number = ledger.add_link();
        ledger.links[number].is_marked = plan.keeps;
        let mut properties = Fields::default();
        properties.insert("number", number as u64);
        config.properties = Some(properties);
        let (snd_settle_mode, rcv_settle_mode) = (config.snd_settle_mode, config.rcv_settle_mode);
        let Ok(id) = self.engine.attach(session, config) else {
            self.kept.extend(before.map(|before| ((is_sender, name), before)));
            return;
        };
        // A client takes no links.
        ledger.links[number].is_refused = self.side == Side::Listener;
        let mut link = AppLink {
            snd_settle_mode,
            rcv_settle_mode,
            keeping,
            decides: settling == Settling::ByApplication,
            ..AppLink::new(id, session, name, is_sender, number, State::Asked)
        };
        link.goes_on(before, ledger);
        self.links.push(link);
    }

    fn answer_one(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        if let Some(session) = self.sessions.iter_mut().find(|session| session.state == State::Requested) {
            if self.engine.accept_session(session.id, plan.session(rng)).is_ok() {
                session.state = State::Open;
            }
            return;
        }
        let waiting = |link: &&AppLink| link.state == State::Requested;
        let count = self.links.iter().filter(waiting).count();
        let Some(id) = self.links.iter().filter(waiting).nth(rng.below(count)).map(|link| link.id) else {
            return;
        };
        let is_refused = plan.churns && rng.one_in(6);
        let initial_delivery_count = Plan::number(rng);
        let max_message_size = rng.pick(&[None, None, Some(2_000)]).filter(|_| !plan.keeps);
        let settling = rng.pick(&[Settling::Automatic, Settling::ByApplication]);
        let link = self.link(id);
        let (number, session, request) = (link.number, link.session, link.request.clone());
        let Some(attach) = request else { return };
        let is_control = matches!(attach.target, Some(TargetArchetype::Coordinator(_)));
        // Nothing is granted from nowhere, or to nowhere: an honest peer never asks for that.
        let is_refused = is_refused || attach.source.is_none() || attach.target.is_none();
        if is_refused {
            if self.engine.refuse_attach(id, Error::new(ErrorCondition::NOT_FOUND)).is_ok() {
                ledger.links[number].is_refused = true;
                self.links.retain(|link| link.id != id);
            }
            return;
        }
        let mut reply = AttachReply::granting(&attach);
        reply.initial_delivery_count = initial_delivery_count;
        reply.max_message_size = max_message_size;
        reply.settling = settling;
        let before = self.answering(&attach, rng, ledger);
        let keeping = keeping::drawn(before.as_ref(), plan.keeps && !is_control, rng);
        reply.retention = keeping::retention(keeping);
        reply.resume = before.as_ref().map(|before| keeping::handed(before, ledger));
        if self.engine.accept_attach(id, reply).is_ok() {
            let link = self.link(id);
            link.state = State::Open;
            link.decides = settling == Settling::ByApplication;
            link.keeping = keeping;
            link.is_control = is_control;
            link.expiry = taking::expiry_of(&attach);
            link.goes_on(before, ledger);
            if is_control {
                self.give_credit(id, CONTROL_CREDIT);
            }
            self.flush(id, ledger);
        } else if let Some(before) = before {
            let key = (before.state.role == Role::Sender, before.state.name.clone());
            let place = self.place(session);
            self.keep(key, before, (place, LinkEnd::Stolen), ledger);
        }
    }

    fn send_something(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        let Some(id) = self.pick(rng, |link| link.is_sender && link.queue.len() < 20) else { return };
        let is_impatient = self.is_impatient;
        let session = self.link(id).session;
        let joined = self.joined(session);
        let link = self.link(id);
        let count = rng.below(if plan.hoards { 12 } else { 3 });
        for _ in 0..=count {
            let is_settled = match link.snd_settle_mode {
                SenderSettleMode::Settled => true,
                SenderSettleMode::Unsettled => false,
                SenderSettleMode::Mixed => rng.one_in(2),
            };
            let largest = if rng.one_in(4) { plan.largest_message } else { plan.largest_message.min(30) };
            let len = if rng.one_in(10) { 0 } else { rng.below(largest) };
            let message = ledger.add_message(link.number, rng, len, is_settled);
            link.queue.push_back(message);
            if !is_settled && let Some(transaction) = joined.filter(|_| rng.one_in(2)) {
                let message = &mut ledger.messages[message];
                (message.is_work, message.transaction) = (true, Some(transaction));
            }
        }
        if is_impatient {
            link.is_blocked = false;
        }
        self.flush(id, ledger);
    }

    /// Sends what waits on a link until the engine says to wait.
    pub(super) fn flush(&mut self, id: LinkId, ledger: &mut Ledger) {
        let side = self.side;
        let session = self.link(id).session;
        let open = self.declared.iter().filter(|known| known.session == session && !known.is_discharging);
        let open: Vec<_> = open.map(|known| known.number).collect();
        let place = self.links.iter().position(|link| link.id == id).unwrap();
        let link = &mut self.links[place];
        while let Some(number) = link.queue.front().copied().filter(|_| !link.is_blocked) {
            if link.state != State::Open {
                return;
            }
            let octets = ledger.octets(number);
            // What has waited too long is no work any more.
            let posted = ledger.messages[number].transaction;
            if posted.is_some_and(|posted| !open.contains(&posted)) {
                (ledger.messages[number].transaction, ledger.messages[number].is_work) = (None, false);
            }
            let state = transacting::posted(number, ledger);
            let message = &mut ledger.messages[number];
            let settlement = if message.is_settled { Settlement::Settled } else { Settlement::Unsettled };
            let payload =
                if number % 2 == 0 { Payload::Slice(&octets) } else { Payload::Bytes(octets.clone().into()) };
            let mut outgoing = Outgoing::new(payload, settlement, u32::try_from(number).unwrap());
            outgoing.message_format = message.format;
            outgoing.tag = message.tag;
            outgoing.state = state;
            match self.engine.try_send(id, outgoing) {
                Ok(_) => {
                    link.queue.pop_front();
                    link.last_sent = Some(number);
                    message.status = Status::Sent;
                    ledger.links[link.number].order.push_back(number);
                }
                Err(TrySendError::TooLarge { .. }) => {
                    link.queue.pop_front();
                    message.status = Status::Lost;
                }
                // What ended it comes as an event.
                Err(TrySendError::Link(_)) => return,
                Err(TrySendError::SettleMode) => panic!("the {side:?} may not send as its link says"),
                Err(_) => link.is_blocked = true,
            }
        }
    }

    /// Says something of some of the deliveries held, in any order.
    fn settle_some(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        let Some(id) = self.pick(rng, |link| !link.held.is_empty()) else { return };
        let count = 1 + rng.below(self.link(id).held.len());
        let is_uniform = rng.one_in(2);
        let mut outcome = outcome(rng);
        for _ in 0..count {
            if !is_uniform {
                outcome = self::outcome(rng);
            }
            let is_in_order = is_uniform || rng.one_in(2);
            let link = self.link(id);
            let is_second = link.rcv_settle_mode == ReceiverSettleMode::Second;
            let place = if is_in_order { 0 } else { rng.below(link.held.len()) };
            let Some(held) = link.held.get(place).cloned() else { return };
            if rng.one_in(12) && held.told.is_none() {
                // How far it has come is looked at when the link is resumed: that must make sense.
                let is_kept = ledger.messages.get(held.message).is_some_and(|message| message.is_marked);
                let section_number = if is_kept { 0 } else { rng.word() };
                let state = DeliveryState::Received(Received { section_number, section_offset: 1 });
                if let Some(message) = ledger.messages.get_mut(held.message) {
                    message.progress.push(state.clone());
                }
                let result = self.engine.settle(id, held.id, state, Settlement::Unsettled);
                self.must(result);
                continue;
            }
            self.tell(id, place, held.told.unwrap_or_else(|| outcome.clone()), is_second, ledger);
        }
    }

    /// Gives an outcome; leaves the settling to the sender where the mode says so.
    fn tell(
        &mut self,
        id: LinkId,
        place: usize,
        outcome: DeliveryState,
        is_second: bool,
        ledger: &mut Ledger,
    ) {
        let held = self.link(id).held[place].clone();
        let is_work = ledger.messages.get(held.message).is_some_and(|message| message.is_work);
        let outcome = if is_work && held.told.is_none() {
            transacting::outcome_of(held.message, outcome, ledger)
        } else {
            outcome
        };
        if let Some(message) = ledger.messages.get_mut(held.message) {
            message.outcome = Some(outcome.clone());
        }
        let settlement =
            if is_second && held.told.is_none() { Settlement::Unsettled } else { Settlement::Settled };
        let result = self.engine.settle(id, held.id, outcome.clone(), settlement);
        self.must(result);
        if settlement == Settlement::Settled {
            let number = self.link(id).number;
            if let Some(message) = ledger.messages.get_mut(held.message) {
                message.is_let_go = true;
                // Its sender may have ended the session and gone on elsewhere: then it does not hear this.
                message.is_settled_there = message.link == number;
            }
            let held = self.link(id).held.remove(place);
            if held.told.is_some() {
                self.link(id).crossed.push(held);
            }
        } else {
            self.link(id).held[place].told = Some(outcome);
        }
    }

    fn give_back(&mut self, rng: &mut Rng) {
        if let Some(id) = self.pick(rng, |link| link.is_drain_asked) {
            self.engine.drained(id).unwrap();
            self.link(id).is_drain_asked = false;
        }
    }

    fn abort(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        // Only while it is certain that it has not left: every event is known.
        if !self.events.is_empty() || self.poll() > 0 {
            return;
        }
        let Some(limit) = self.engine.remote_open().map(|open| open.max_frame_size) else { return };
        let is_leaving = |number: usize| {
            let message = &ledger.messages[number];
            let is_large = message.len > usize::try_from(limit).unwrap();
            is_large && !message.has_told_sent && matches!(message.status, Status::Sent | Status::Settled)
        };
        let Some(id) = self.pick(rng, |link| link.last_sent.is_some_and(is_leaving)) else { return };
        let Some(number) = self.link(id).last_sent else { return };
        ledger.messages[number].status = Status::Aborted;
        self.engine.abort_send(id).unwrap();
    }

    fn detach(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        let count = self.links.len();
        let Some(link) = self.links.get_mut(rng.below(count)) else { return };
        let is_closed = rng.one_in(if plan.keeps { 5 } else { 2 });
        let kind = if is_closed { DetachKind::Closed } else { DetachKind::Suspended };
        let error = rng.one_in(3).then(|| Error::new(ErrorCondition::DETACH_FORCED));
        if matches!(link.state, State::Asked | State::Open)
            && self.engine.detach(link.id, kind, error).is_ok()
        {
            link.is_closing = is_closed;
            link.state = State::Leaving;
            let own = if self.side == Side::Client { 0 } else { 1 };
            ledger.links[link.number].is_detached_by[own] = true;
        }
    }

    fn end(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        let count = self.sessions.len();
        let Some(session) = self.sessions.get_mut(rng.below(count)) else { return };
        let error = rng.one_in(3).then(|| Error::new(ErrorCondition::INTERNAL_ERROR));
        if self.engine.end(session.id, error).is_ok() {
            session.state = State::Leaving;
            ledger.course.has_ended[if self.side == Side::Client { 0 } else { 1 }] = true;
        }
    }

    pub(crate) fn close(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        let (own, _) = self.places();
        let error = rng.one_in(2).then(|| Error::new(ErrorCondition::CONNECTION_FORCED));
        ledger.course.has_closed[own] = true;
        ledger.course.has_closed_badly[own] |= error.is_some();
        self.engine.close(error);
    }

    /// Leaves everything in good order but the connection.
    pub(crate) fn leave(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger, ends: bool) {
        for _ in 0..64 {
            self.detach(plan, rng, ledger);
            if ends {
                self.end(rng, ledger);
            }
        }
    }

    /// Answers what is asked.
    pub(crate) fn answer_all(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        let calm = Plan { churns: false, ..plan.clone() };
        for _ in 0..self.sessions.len() + self.links.len() {
            self.answer_one(&calm, rng, ledger);
        }
    }

    /// Gives credit where little is left, an outcome to everything held, and credit back where it is asked for.
    pub(crate) fn settle_all(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        if self.engine.failure().is_some() {
            return;
        }
        for place in 0..self.links.len() {
            let link = &self.links[place];
            let (id, is_sender, is_second) =
                (link.id, link.is_sender, link.rcv_settle_mode == ReceiverSettleMode::Second);
            if link.state != State::Open || self.engine.link_session(id).is_none() {
                continue;
            }
            if is_sender {
                self.decide_all(id, ledger);
                let link = &self.links[place];
                if link.is_drain_asked {
                    self.engine.drained(id).unwrap();
                    self.links[place].is_drain_asked = false;
                }
                continue;
            }
            if self.engine.link_credit(id) < 5 && !link.is_draining {
                self.give_credit(id, 60);
            }
            let mut at = 0;
            while let Some(held) = self.links[place].held.get(at) {
                if held.told.is_some() {
                    at += 1;
                    continue;
                }
                self.tell(id, at, DeliveryState::Accepted, is_second, ledger);
            }
        }
        self.discharge_all(rng, ledger);
    }
}

pub(super) fn outcome(rng: &mut Rng) -> DeliveryState {
    match rng.below(8) {
        0 => DeliveryState::Released,
        1 => DeliveryState::rejected(Error::new(ErrorCondition::DECODE_ERROR)),
        2 => DeliveryState::Modified(Modified { delivery_failed: Some(true), ..Modified::default() }),
        _ => DeliveryState::Accepted,
    }
}

/// What a coordinator grants its controllers.
const CONTROL_CREDIT: u32 = 10_000;
