//! Links that outlive their attach: what both ends keep of them is what their applications know, and after they are
//! resumed nothing is lost, and nothing comes twice but what its receiver had let go of.

use std::collections::BTreeSet;

use amqp_codec::{Attach, DeliveryState, DeliveryTag, Outcome, Role, Str, TransactionalState};
use amqp_transport::engine::{DeliveryId, IncomingDelivery, LinkEnd, LinkId, Retention, SuspendedLink};
use bytes::Bytes;

use super::super::ledger::{Ledger, Status, number_of};
use super::super::plan::Plan;
use super::super::rng::Rng;
use super::{App, AppLink, Held, Keeping, Kept, State};

/// What is heard of them.
impl App {
    /// The engine hands out what is left of a link: exactly what its application knows to be open.
    pub(super) fn suspended(&mut self, id: LinkId, state: Box<SuspendedLink>, ledger: &Ledger) {
        let is_honest = self.is_honest;
        let link = self.link(id);
        assert!(link.suspended.is_none(), "{id:?} is handed out twice");
        assert_eq!(state.role == Role::Sender, link.is_sender, "the role of {id:?}");
        assert_eq!(state.name, link.name, "the name of {id:?}");
        if is_honest && link.is_sender {
            let open = state.deliveries.iter().filter(|delivery| !delivery.is_concluded);
            let open: BTreeSet<_> = open.map(|delivery| delivery.user as usize).collect();
            assert_eq!(open, ledger.open_on(link.number), "what {id:?} keeps is not what is open");
        } else if is_honest {
            let told = |held: &Held| held.told.clone();
            let whole = state.deliveries.iter().filter(|delivery| delivery.is_whole);
            let mut whole: Vec<_> =
                whole.map(|delivery| (delivery.tag, delivery.state.clone().filter(is_decision))).collect();
            let held = link.held.iter().chain(&link.awaited);
            let mut known: Vec<_> = held.map(|held| (held.tag, told(held))).collect();
            whole.sort_by_key(|(tag, _)| *tag);
            known.sort_by_key(|(tag, _)| *tag);
            assert_eq!(whole, known, "what {id:?} keeps is not what is held");
        }
        link.suspended = Some(state);
    }

    /// A link is over: it is kept, or what was open on it is given up.
    pub(super) fn part_with(&mut self, link: AppLink, end: LinkEnd, ledger: &mut Ledger) {
        if link.is_control {
            self.end_control(link.id, link.number, ledger);
        }
        let AppLink { number, keeping, expiry, mut held, queue, .. } = link;
        held.extend(link.awaited);
        // What is left of it is with whom it was taken by, or nowhere.
        if link.is_taken && end != LinkEnd::Stolen {
            if link.is_sender {
                ledger.lose(number);
            }
            return;
        }
        let Some(state) = link.suspended else {
            let_go(link.is_sender, number, &held, ledger);
            return;
        };
        assert!(keeping.is_on || !self.is_honest, "{:?} was not to be kept", link.id);
        if link.is_sender {
            ledger.lose_settled(number);
        }
        let kept = Kept { state, number, keeping, expiry, held, queue };
        let place = self.place(link.session);
        self.keep((link.is_sender, link.name), kept, (place, end), ledger);
    }

    /// A delivery that the application has whole has a new id.
    pub(super) fn resumed(
        &mut self,
        id: LinkId,
        delivery: DeliveryId,
        tag: DeliveryTag,
        ledger: &mut Ledger,
    ) {
        let is_honest = self.is_honest;
        let link = self.link(id);
        assert!(!link.is_sender, "a delivery at its sender");
        link.judge_dry(usize::MAX, is_honest);
        let place = link.awaited.iter().position(|held| held.tag == tag);
        if let Some(place) = place {
            let held = link.awaited.remove(place);
            link.held.push(Held { id: delivery, ..held });
            ledger.resumed += 1;
        }
        self.check(place.is_some(), || format!("{tag:?} is resumed, which nobody holds"));
    }

    /// The sender has settled a delivery of before, or takes it back.
    pub(super) fn settled_before(&mut self, id: LinkId, tag: DeliveryTag, ledger: &mut Ledger) {
        let link = self.link(id);
        // Of one that is not whole the application knows nothing.
        let Some(place) = link.awaited.iter().position(|held| held.tag == tag) else { return };
        let held = link.awaited.remove(place);
        if let Some(message) = ledger.messages.get_mut(held.message) {
            message.is_let_go = true;
            message.is_over_there |= held.told.is_none();
            ledger.resumed += 1;
        }
    }

    /// A message can neither be concluded nor sent again.
    pub(super) fn unresolved(&mut self, id: LinkId, number: usize, ledger: &mut Ledger) {
        let link = self.link(id);
        let (on, keeping, resumes) = (link.number, link.keeping, link.resumes);
        let message = &mut ledger.messages[number];
        assert!(message.link == on && !message.is_settled, "message {number} was sent settled");
        assert_eq!(message.status, Status::Sent, "message {number} has an end");
        (message.status, message.is_unresolved) = (Status::Lost, true);
        let may_be = message.is_work || !keeping.is_ample || keeping.forbids_repeats;
        self.check(resumes && may_be, || format!("message {number} could have been sent again"));
    }

    /// Which message has come on a link that was resumed; those of before come first, and again only where their
    /// receiver had let go of them.
    pub(super) fn which(
        &mut self,
        id: LinkId,
        delivery: &IncomingDelivery,
        ledger: &mut Ledger,
    ) -> Option<usize> {
        let link = self.link(id);
        let number = number_of(&delivery.message)?;
        if ledger.links[link.number].order.contains(&number) {
            link.has_new = true;
            let due = ledger.next_due(link.number);
            assert_eq!(due, Some(number), "message {number} out of order");
            return due;
        }
        ledger.resumed += 1;
        assert!(!link.has_new, "message {number} of before was overtaken");
        let is_awaited = link.awaited.iter().any(|held| held.tag == delivery.tag);
        let message = ledger.messages.get_mut(number)?;
        assert!(!message.is_settled && !message.is_work, "message {number} must not be sent again");
        if std::mem::take(&mut message.is_delivered) {
            assert!(message.is_let_go && !is_awaited, "message {number} comes again, and is held still");
            assert!(!message.is_told, "message {number} comes again, and its sender knows its outcome");
            assert!(!message.is_over_there, "message {number} comes again, and was told to be settled");
            assert!(!message.may_not_repeat, "message {number} comes again, which was forbidden");
            (message.is_let_go, message.is_settled_there, message.outcome) = (false, false, None);
        }
        Some(number)
    }
}

/// What is done with them.
impl App {
    /// A link of before that is to be attached; now and then it is given up.
    pub(super) fn taken_up(
        &mut self,
        is_sender: bool,
        name: &Str,
        plan: &Plan,
        rng: &mut Rng,
        ledger: &mut Ledger,
    ) -> Option<Kept> {
        let key = (is_sender, name.clone());
        // One that is attached is not kept.
        let kept = self.kept.remove(&key)?;
        if plan.churns && rng.one_in(8) {
            kept.give_up(ledger);
            return None;
        }
        Some(kept)
    }

    /// Our half of the link that the peer attaches, if it is resumed.
    pub(super) fn answering(&mut self, attach: &Attach, rng: &mut Rng, ledger: &mut Ledger) -> Option<Kept> {
        let key = (attach.role == Role::Receiver, attach.name.clone());
        self.expire(ledger);
        let mut kept = self.kept.remove(&key)?;
        if let Some(termini) = &mut self.termini {
            kept.state = termini.take(&key);
        }
        let is_like_before = kept.state.snd_settle_mode == attach.snd_settle_mode
            && kept.state.rcv_settle_mode == attach.rcv_settle_mode;
        // A peer that has nothing of before may be told what there was all the same.
        if is_like_before && (attach.unsettled.is_some() || rng.one_in(2)) {
            return Some(kept);
        }
        kept.give_up(ledger);
        None
    }

    /// Attaches what is kept, as far as there are sessions and handles for it.
    pub(crate) fn take_up_all(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) {
        let calm = Plan { churns: false, ..plan.clone() };
        let keys: Vec<_> = self.kept.keys().cloned().collect();
        for (is_sender, name) in keys {
            if !self.sessions.iter().any(|session| session.state == State::Open) {
                return;
            }
            self.attach_named(is_sender, name, &calm, rng, ledger);
        }
    }
}

impl AppLink {
    /// Goes on with what was open.
    pub(super) fn goes_on(&mut self, before: Option<Kept>, ledger: &mut Ledger) {
        let Some(before) = before else { return };
        if self.is_sender {
            ledger.carry_over(before.number, self.number);
        }
        self.resumes = true;
        ledger.resumptions += u64::from(!before.state.deliveries.is_empty());
        self.queue = before.queue;
        self.awaited = before.held;
    }
}

impl Kept {
    /// Nobody will go on with it.
    pub(crate) fn give_up(self, ledger: &mut Ledger) {
        let_go(self.state.role == Role::Sender, self.number, &self.held, ledger);
    }

    /// Whether both settle in the same modes.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.state.snd_settle_mode == other.state.snd_settle_mode
            && self.state.rcv_settle_mode == other.state.rcv_settle_mode
    }

    /// Whether something on it waits for its end.
    pub(crate) fn has_more(&self) -> bool {
        !self.queue.is_empty() || !self.state.deliveries.is_empty()
    }
}

fn let_go(is_sender: bool, number: usize, held: &[Held], ledger: &mut Ledger) {
    if is_sender {
        ledger.lose(number);
        return;
    }
    for held in held {
        ledger.let_go(held.message);
    }
}

/// How a link is kept: as before, if there was a before.
pub(super) fn drawn(before: Option<&Kept>, keeps: bool, rng: &mut Rng) -> Keeping {
    let is_on = keeps && !rng.one_in(4);
    let drawn = Keeping { is_on, is_ample: is_on && !rng.one_in(6), forbids_repeats: is_on && rng.one_in(6) };
    before.map_or(drawn, |before| before.keeping)
}

pub(super) fn retention(keeping: Keeping) -> Retention {
    match keeping {
        Keeping { is_on: false, .. } => Retention::Forget,
        Keeping { is_ample: true, .. } => Retention::Keep { payload_octets: 1 << 30 },
        Keeping { .. } => Retention::Keep { payload_octets: 300 },
    }
}

/// What is handed to the engine for an attach that resumes.
pub(super) fn handed(before: &Kept, ledger: &mut Ledger) -> Box<SuspendedLink> {
    let mut state = before.state.clone();
    if before.keeping.forbids_repeats && state.role == Role::Sender {
        state.forbid_repeats();
        for number in ledger.open_on(before.number) {
            ledger.messages[number].may_not_repeat = true;
        }
    }
    state
}

/// A state within the one transaction there is.
pub(super) fn work(outcome: Option<DeliveryState>) -> DeliveryState {
    let outcome = outcome.and_then(|outcome| Outcome::try_from(outcome).ok()).map(Box::new);
    DeliveryState::TransactionalState(TransactionalState { txn_id: Bytes::from_static(b"work"), outcome })
}

/// Whether a state is more than how far a delivery has come.
fn is_decision(state: &DeliveryState) -> bool {
    !matches!(state, DeliveryState::Received(_))
}
