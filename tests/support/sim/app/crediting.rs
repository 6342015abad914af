//! Credit as receivers give it, take it back and ask after it; and what senders say of it.

use amqp_codec::Fields;
use amqp_transport::engine::{Event, LinkId};

use super::super::ledger::Ledger;
use super::super::plan::Plan;
use super::super::rng::Rng;
use super::{App, AppLink, Ask, Known, State};

/// What is done with it.
impl App {
    pub(super) fn grant(&mut self, plan: &Plan, rng: &mut Rng) {
        let credit = rng.pick(&[0, 1, 1, 2, 5, 40, 0x7fff_ffff]);
        let credit = if plan.hoards { credit.max(40) } else { credit };
        if let Some(id) = self.pick(rng, |link| !link.is_sender) {
            self.give_credit(id, credit);
            self.link(id).is_draining = false;
        }
        // Before the attach is answered, too: then without a count.
        let asked = self.links.iter().filter(|link| !link.is_sender && link.state == State::Asked);
        for id in asked.filter(|_| rng.one_in(2)).map(|link| link.id).collect::<Vec<_>>() {
            self.give_credit(id, credit);
        }
    }

    /// Gives a receiver so much credit from now on.
    pub(super) fn give_credit(&mut self, id: LinkId, credit: u32) {
        let before = self.engine.link_credit(id);
        if self.engine.set_credit(id, credit).is_err() {
            return;
        }
        let link = self.link(id);
        link.was_lowered |= credit < before;
        if credit > before {
            link.known = if link.known == Known::None { Known::Granted } else { Known::Unknown };
        }
        if credit > 0 {
            link.is_dry = false;
            for ask in &mut link.asked {
                ask.is_stop = false;
            }
        }
    }

    pub(super) fn ask_drain(&mut self, rng: &mut Rng) {
        let Some(id) = self.pick(rng, |link| !link.is_sender) else { return };
        // The end of a drain before would be taken for that of this one.
        self.poll();
        let is_end = |event: &Event| matches!(event, Event::Drained { link } if *link == id);
        if !self.events.iter().any(is_end) {
            self.engine.drain(id).unwrap();
            self.link(id).is_draining = true;
        }
    }

    /// Asks a sender to answer; mostly so as to hear that it knows that there is no more credit.
    pub(super) fn ask(&mut self, rng: &mut Rng) {
        let Some(id) = self.pick(rng, |link| !link.is_sender && !link.is_draining) else { return };
        if !rng.one_in(3) {
            self.give_credit(id, 0);
        }
        self.ask_on(id);
    }

    fn ask_on(&mut self, id: LinkId) {
        let number = self.engine.ask(id).unwrap();
        let has_none = self.engine.link_credit(id) == 0;
        let link = self.link(id);
        let is_stop = has_none && link.known == Known::Used;
        let is_next = link.asked.last().is_none_or(|last| last.number < number);
        assert!(is_next, "{id:?} asks by the number {number} again: {:?}", link.asked);
        link.asked.push(Ask { number, is_stop });
    }

    /// Asks on every link.
    pub(crate) fn ask_all(&mut self) {
        let open = |link: &&AppLink| !link.is_sender && link.state == State::Open;
        for id in self.links.iter().filter(open).map(|link| link.id).collect::<Vec<_>>() {
            self.ask_on(id);
        }
    }

    /// Says something beside credit, with the next flow: a flow that nobody has asked for.
    pub(super) fn tell_state(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        let Some(id) = self.pick(rng, |_| true) else { return };
        let (own, _) = self.places();
        let number = self.link(id).number;
        let said = &mut ledger.links[number].said[own];
        *said += 1;
        let mut properties = Fields::default();
        properties.insert("said", *said);
        self.engine.set_link_state(id, Some(properties)).unwrap();
    }

    /// What the peer says beside credit: the last it said, or what it said before that.
    pub(super) fn state_told(&mut self, id: LinkId, properties: &Fields, ledger: &Ledger) {
        let (_, peer) = self.places();
        let link = self.link(id);
        let said = properties.get("said").and_then(|said| said.as_u64());
        let is_so =
            said.is_some_and(|said| (link.heard..=ledger.links[link.number].said[peer]).contains(&said));
        link.heard = said.unwrap_or(link.heard);
        self.check(is_so, || format!("{id:?} is told {properties:?}"));
    }

    /// Says how many messages wait on a link.
    pub(super) fn offer(&mut self, id: LinkId, available: u32, ledger: &mut Ledger) {
        self.engine.set_available(id, available).unwrap();
        let number = self.link(id).number;
        ledger.links[number].available = available;
    }
}

/// What is heard of it.
impl App {
    // L-025, L-028: whoever has asked for all of it, and was told that it is so, gets nothing more.
    pub(super) fn drained(&mut self, id: LinkId) {
        let credit = self.engine.link_credit(id);
        let link = self.link(id);
        if std::mem::take(&mut link.is_draining) {
            if !link.was_lowered || link.known == Known::Used {
                link.dry_up(false);
            }
            assert_eq!(credit, 0, "{id:?} is drained, and has credit");
        }
    }

    // L-030: an answer is given once, and to what was asked.
    pub(super) fn answered(&mut self, id: LinkId, number: u32) {
        let link = self.link(id);
        let is_asked = link.asked.iter().any(|ask| ask.number == number);
        let is_stop = link.asked.iter().any(|ask| ask.number <= number && ask.is_stop);
        link.asked.retain(|ask| ask.number > number);
        if is_stop {
            link.dry_up(true);
        }
        assert!(
            is_asked,
            "{id:?} hears an answer to question {number}, which was not asked or answered before"
        );
    }
}

impl AppLink {
    /// The sender is known to have no credit.
    fn dry_up(&mut self, may_finish: bool) {
        (self.is_dry, self.may_finish, self.known, self.was_lowered) = (true, may_finish, Known::None, false);
    }

    /// Something comes: is there credit for it, as far as the sender knows?
    pub(super) fn judge_dry(&mut self, octets: usize, is_honest: bool) {
        let id = self.id;
        if self.known == Known::Granted {
            self.known = Known::Used;
        }
        let is_rest = self.is_dry && octets > LARGEST_WHOLE && std::mem::take(&mut self.may_finish);
        let is_due = !self.is_dry || is_rest || !is_honest;
        assert!(is_due, "{id:?}: a delivery after the sender knew that there is no credit");
    }
}

/// Octets of a message that fits into every frame.
const LARGEST_WHOLE: usize = 300;
