//! What a controller asks, and what a resource does under transactions.

use amqp_codec::{
    Coordinator, DeliveryState, Fields, ReceiverSettleMode, SenderSettleMode, Target, TargetArchetype,
};
use amqp_transport::engine::{LinkConfig, LinkId, SessionId, Settlement};
use amqp_transport::transaction::{
    ControlLink, ControlRequest, WorkPlace, outcome_in, posted_in, transaction_of,
};

use super::super::ledger::{Control, Ledger, Message, Status};
use super::super::plan::Plan;
use super::super::rng::Rng;
use super::{App, AppLink, State, keeping};

/// A transaction that its controller has declared and not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    pub(crate) number: usize,
    pub(crate) link: LinkId,
    pub(crate) session: SessionId,
    pub(crate) is_discharging: bool,
}

/// The controller.
impl App {
    pub(super) fn transact(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        match rng.below(5) {
            0 if self.links.iter().filter(|link| link.is_control).count() < 3 => {
                self.attach_control(rng, ledger)
            }
            0..2 => {
                if let Some(id) = self.pick_any(rng, |link| link.is_control && link.queue.len() < 3) {
                    self.request(id, Control::Declare, rng, ledger);
                }
            }
            _ => {
                let Some(declared) = self.declared.get(rng.below(self.declared.len())).copied() else {
                    return;
                };
                self.discharge(declared, rng.one_in(2), rng, ledger);
            }
        }
    }

    fn attach_control(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        let sessions = self.sessions.iter().filter(|session| session.state == State::Open);
        let count = sessions.clone().count();
        let Some(session) = sessions.map(|session| session.id).nth(rng.below(count)) else { return };
        let number = ledger.add_link();
        // Its name is nobody else's: a link of this kind is neither resumed nor taken.
        let name: amqp_codec::Str = format!("control {number}").into();
        let mut config = LinkConfig::sender(name.clone(), Target::default());
        config.target = Some(TargetArchetype::Coordinator(Coordinator::default()));
        config.snd_settle_mode = SenderSettleMode::Unsettled;
        config.initial_delivery_count = Plan::number(rng);
        let mut properties = Fields::default();
        properties.insert("number", number as u64);
        config.properties = Some(properties);
        let Ok(id) = self.engine.attach(session, config) else { return };
        self.links.push(AppLink {
            snd_settle_mode: SenderSettleMode::Unsettled,
            rcv_settle_mode: ReceiverSettleMode::First,
            is_control: true,
            ..AppLink::new(id, session, name, true, number, State::Asked)
        });
    }

    fn request(&mut self, id: LinkId, control: Control, rng: &mut Rng, ledger: &mut Ledger) {
        let number = self.link(id).number;
        let message = ledger.add_message(number, rng, 0, false);
        ledger.messages[message].control = Some(control);
        self.link(id).queue.push_back(message);
        self.flush(id, ledger);
    }

    /// Ends a transaction. To commit, all that was posted must be known to have arrived.
    fn discharge(&mut self, declared: Declared, fail: bool, rng: &mut Rng, ledger: &mut Ledger) {
        let is_under_way = |message: &Message| {
            message.transaction == Some(declared.number) && message.status == Status::Sent
        };
        let is_usable = self.links.iter().any(|link| link.id == declared.link && link.state == State::Open);
        let is_usable = is_usable && self.engine.link_session(declared.link).is_some();
        if declared.is_discharging || !is_usable || (!fail && ledger.messages.iter().any(is_under_way)) {
            return;
        }
        for known in self.declared.iter_mut().filter(|known| known.number == declared.number) {
            known.is_discharging = true;
        }
        self.request(declared.link, Control::Discharge { transaction: declared.number, fail }, rng, ledger);
    }

    /// Ends all transactions.
    pub(super) fn discharge_all(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        for declared in self.declared.clone() {
            // Of what was posted on a link that waits to be resumed nothing is heard here.
            let is_away = |message: &Message| {
                let is_sent = message.transaction == Some(declared.number) && message.status == Status::Sent;
                is_sent && self.links.iter().all(|link| link.number != message.link)
            };
            let fail = ledger.messages.iter().any(is_away);
            self.discharge(declared, fail, rng, ledger);
        }
    }

    /// A transaction that a message on a link of this session may be posted under.
    pub(super) fn joined(&self, session: SessionId) -> Option<usize> {
        let open = self.declared.iter().filter(|known| known.session == session && !known.is_discharging);
        open.map(|known| known.number).next_back()
    }

    /// The answer to a request of ours.
    pub(super) fn control_answered(
        &mut self,
        id: LinkId,
        control: Control,
        state: Option<&DeliveryState>,
        ledger: &Ledger,
    ) {
        ledger.judge_answer(control, state);
        match (control, state) {
            (Control::Declare, Some(DeliveryState::Declared(declared))) => {
                let number = ledger.transactions.iter().rposition(|known| known.id == declared.txn_id);
                let Some(number) = number else { panic!("a transaction that nobody knows") };
                let session = self.link(id).session;
                self.declared.push(Declared { number, link: id, session, is_discharging: false });
            }
            (Control::Discharge { transaction, .. }, _) => {
                self.declared.retain(|known| known.number != transaction);
            }
            _ => {}
        }
    }
}

/// The resource.
impl App {
    /// The coordinator is told which connection is its own.
    pub(crate) fn settle_in(&mut self) {
        if let Some(desk) = &mut self.desk {
            desk.connection = self.connection;
        }
    }

    /// Answers a control message, and settles it.
    pub(super) fn coordinate(&mut self, id: LinkId, number: usize, ledger: &mut Ledger) {
        let owner = self.control_link(id);
        let octets = ledger.octets(number);
        let request = ControlRequest::from_message(&octets.into(), false).unwrap();
        let now = self.now;
        let Some(desk) = &mut self.desk else { panic!("a request to no coordinator") };
        let state = desk.answer(owner, &request, now, ledger);
        let Some(place) = self.link(id).held.iter().position(|held| held.message == number) else { return };
        let held = self.link(id).held.remove(place);
        let message = &mut ledger.messages[number];
        message.outcome = Some(state.clone());
        message.is_let_go = true;
        // What has ended the link meanwhile is among the events.
        message.is_settled_there = self.engine.settle(id, held.id, state, Settlement::Settled).is_ok();
    }

    /// Takes a message for the transaction that it was posted under.
    pub(super) fn take_work(
        &mut self,
        id: LinkId,
        number: usize,
        state: &DeliveryState,
        ledger: &mut Ledger,
    ) {
        let place = self.control_link(id).place;
        let (Some(desk), Some(txn_id)) = (&mut self.desk, transaction_of(state)) else { return };
        let octets = ledger.messages[number].len;
        let result = desk.enlist((number, octets), txn_id, place, self.now, ledger);
        ledger.messages[number].refusal = result.err();
    }

    /// A control link is over.
    pub(super) fn end_control(&mut self, id: LinkId, number: usize, ledger: &mut Ledger) {
        self.declared.retain(|known| known.link != id);
        if let Some(desk) = &mut self.desk {
            desk.release(number as u64, ledger);
        }
    }

    fn control_link(&mut self, id: LinkId) -> ControlLink {
        let connection = self.connection;
        let link = self.link(id);
        let place = WorkPlace { connection, session: link.session.index() as u64 };
        ControlLink { link: link.number as u64, place }
    }
}

/// The state under which a message is posted.
pub(super) fn posted(number: usize, ledger: &Ledger) -> Option<Box<DeliveryState>> {
    let message = &ledger.messages[number];
    let state = match message.transaction {
        Some(transaction) => posted_in(ledger.transactions[transaction].id.clone()),
        None => keeping::work(None),
    };
    message.is_work.then(|| Box::new(state))
}

/// An outcome of a message that was posted under a transaction: final only with it, or that it is none of its work.
pub(super) fn outcome_of(number: usize, outcome: DeliveryState, ledger: &Ledger) -> DeliveryState {
    let message = &ledger.messages[number];
    let Some(transaction) = message.transaction else { return keeping::work(Some(outcome)) };
    match (message.refusal, outcome.try_into()) {
        (None, Ok(outcome)) => outcome_in(ledger.transactions[transaction].id.clone(), outcome),
        (Some(fault), _) => DeliveryState::rejected(fault.to_wire()),
        (None, Err(_)) => panic!("no outcome"),
    }
}
