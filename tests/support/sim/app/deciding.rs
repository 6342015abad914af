//! The sender's last word: what the receiver told is settled by the application, with that state or another.

use amqp_codec::DeliveryState;
use amqp_transport::engine::{DeliveryId, LinkId};

use super::super::ledger::{Ledger, Status};
use super::super::rng::Rng;
use super::{App, Undecided, work};

impl App {
    /// The receiver has told its outcome of a message of ours: once, and as it did.
    pub(super) fn told(
        &mut self,
        id: LinkId,
        delivery: DeliveryId,
        number: usize,
        state: DeliveryState,
        ledger: &mut Ledger,
    ) {
        let link = self.link(id);
        assert!(link.decides, "{id:?} settles by itself");
        assert!(link.undecided.iter().all(|known| known.delivery != delivery), "{delivery:?} told twice");
        let message = &mut ledger.messages[number];
        message.is_told = true;
        assert!(message.link == link.number && !message.is_settled, "message {number} was sent settled");
        assert!(message.verdict.is_none(), "message {number} is settled already");
        let is_so = message.outcome.as_ref() == Some(&state);
        link.undecided.push(Undecided { delivery, message: number, wanted: state });
        self.check(is_so, || format!("an outcome of message {number} that nobody told"));
    }

    /// Settles some of what is undecided, as the receiver wants it or otherwise.
    pub(super) fn decide_some(&mut self, rng: &mut Rng, ledger: &mut Ledger) {
        let Some(id) = self.pick(rng, |link| !link.undecided.is_empty()) else { return };
        for _ in 0..=rng.below(self.link(id).undecided.len()) {
            let link = self.link(id);
            if link.undecided.is_empty() {
                return;
            }
            let place = rng.below(link.undecided.len());
            let undecided = link.undecided.remove(place);
            let verdict = if rng.one_in(2) { work::outcome(rng) } else { undecided.wanted.clone() };
            self.decide(id, &undecided, verdict, ledger);
        }
    }

    /// Settles all that is undecided on a link as the receiver wants it.
    pub(super) fn decide_all(&mut self, id: LinkId, ledger: &mut Ledger) {
        for undecided in std::mem::take(&mut self.link(id).undecided) {
            self.decide(id, &undecided, undecided.wanted.clone(), ledger);
        }
    }

    fn decide(&mut self, id: LinkId, undecided: &Undecided, verdict: DeliveryState, ledger: &mut Ledger) {
        // One that its receiver has settled meanwhile has its own event to come; an aborted one has none.
        if self.engine.settle_sent(id, undecided.delivery, verdict.clone()).unwrap() {
            let message = &mut ledger.messages[undecided.message];
            assert_eq!(message.status, Status::Sent, "message {} settled again", undecided.message);
            message.status = Status::Settled;
            message.verdict = Some(verdict);
            ledger.outcomes += 1;
        }
    }
}
