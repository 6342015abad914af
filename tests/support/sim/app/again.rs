//! What an application does on the connection after a loss: it says again what nobody knows the end of.

use std::collections::VecDeque;

use amqp_codec::{Fields, ReceiverSettleMode, SenderSettleMode, Target};
use amqp_transport::engine::{LinkConfig, Settling};

use super::super::ledger::Ledger;
use super::super::plan::Plan;
use super::super::rng::Rng;
use super::{App, AppLink, AppSession, State};

impl App {
    /// Begins a session and attaches a sender for the messages of unknown end; `false` when the connection is gone.
    pub(crate) fn say_again(&mut self, plan: &Plan, rng: &mut Rng, ledger: &mut Ledger) -> bool {
        let Ok(session) = self.engine.begin(plan.session(rng)) else { return false };
        self.sessions.push(AppSession { id: session, state: State::Asked });
        let unknown = ledger.unknown();
        if unknown.is_empty() {
            return true;
        }
        let mut config =
            LinkConfig::sender("again", Target { address: Some("q".into()), ..Target::default() });
        config.snd_settle_mode = rng.pick(&[SenderSettleMode::Unsettled, SenderSettleMode::Mixed]);
        config.rcv_settle_mode = rng.pick(&[ReceiverSettleMode::First, ReceiverSettleMode::Second]);
        config.initial_delivery_count = Plan::number(rng);
        let (snd_settle_mode, rcv_settle_mode) = (config.snd_settle_mode, config.rcv_settle_mode);
        let number = ledger.add_link();
        let mut properties = Fields::default();
        properties.insert("number", number as u64);
        config.properties = Some(properties);
        let Ok(id) = self.engine.attach(session, config) else { return false };
        let queue: VecDeque<usize> =
            unknown.into_iter().map(|message| ledger.repeat(message, number)).collect();
        self.links.push(AppLink {
            snd_settle_mode,
            rcv_settle_mode,
            queue,
            decides: Settling::default() == Settling::ByApplication,
            ..AppLink::new(id, session, "again".into(), true, number, State::Asked)
        });
        true
    }
}
