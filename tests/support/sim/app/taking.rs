//! Links that one connection takes from another of the same container, and what a listener keeps of those that nobody has.

use amqp_codec::{Attach, Role, TargetArchetype};
use amqp_transport::engine::{LinkEnd, SessionId, TerminusPlace};

use super::super::ledger::Ledger;
use super::super::termini::{Expiry, Key};
use super::{App, Kept, State};

impl App {
    /// Names of links that are asked for and not answered.
    pub(crate) fn asked_for(&self) -> Vec<Key> {
        let asked = self.links.iter().filter(|link| link.state == State::Requested);
        asked.map(|link| (link.is_sender, link.name.clone())).collect()
    }

    /// The listener: another connection attaches this link, so that it is taken from this one, with all that is left of it.
    // L-002
    pub(crate) fn give_over(&mut self, key: &Key, ledger: &mut Ledger) {
        self.poll();
        while self.handle_event(ledger) {}
        let is_it = |state| matches!(state, State::Open | State::Leaving);
        let found = self
            .links
            .iter_mut()
            .find(|link| (link.is_sender, &link.name) == (key.0, &key.1) && is_it(link.state));
        let Some(link) = found else { return };
        if self.engine.failure().is_some() {
            return;
        }
        let (id, is_kept) = (link.id, link.keeping.is_on && link.state == State::Open);
        link.is_taken = true;
        ledger.thefts += 1;
        self.engine.steal_link(id).unwrap();
        self.poll();
        while self.handle_event(ledger) {}
        // Not to be kept: what it held is let go of now.
        if let Some(link) = self.links.iter_mut().find(|link| link.id == id) {
            assert!(!is_kept, "{id:?} was to be kept, and what is left of it is not handed out");
            link.state = State::Leaving;
            for held in link.held.drain(..).chain(link.awaited.drain(..)) {
                ledger.let_go(held.message);
            }
        }
    }

    /// The client: another of its connections attaches these links; whoever has them here gets nothing more of them.
    pub(crate) fn lose_to(&mut self, other: &[Key], ledger: &mut Ledger) {
        for link in &mut self.links {
            let is_it =
                other.iter().any(|(is_sender, name)| *is_sender == link.is_sender && *name == link.name);
            if is_it && !std::mem::replace(&mut link.is_taken, true) {
                for held in link.held.iter().chain(&link.awaited) {
                    ledger.let_go(held.message);
                }
            }
        }
    }

    /// Every link of this end, by name.
    pub(crate) fn names(&self) -> Vec<Key> {
        self.links.iter().map(|link| (link.is_sender, link.name.clone())).collect()
    }

    /// Where a session is, among all of a listener's.
    pub(super) fn place(&self, session: SessionId) -> TerminusPlace {
        TerminusPlace { connection: self.connection, session }
    }

    /// What is left of a link waits until it is resumed, or for as long as its terminus lasts.
    pub(super) fn keep(&mut self, key: Key, kept: Kept, at: (TerminusPlace, LinkEnd), ledger: &mut Ledger) {
        let mut lost = Vec::new();
        if let Some(termini) = &mut self.termini {
            lost = termini.keep(key.clone(), &kept.state, kept.expiry, at, self.now);
        }
        let before = self.kept.insert(key, kept);
        self.check(before.is_none(), || format!("a link is kept twice: {before:?}"));
        self.lose_kept(&lost, ledger);
    }

    /// Lets go of what has expired.
    pub(crate) fn expire(&mut self, ledger: &mut Ledger) {
        let Some(termini) = &mut self.termini else { return };
        let lost = termini.expire(self.now);
        self.lose_kept(&lost, ledger);
    }

    /// From here on links are kept until they are resumed.
    pub(crate) fn stop_expiring(&mut self, ledger: &mut Ledger) {
        self.expire(ledger);
        if let Some(mut termini) = self.termini.take() {
            for (key, kept) in &mut self.kept {
                kept.state = termini.take(key);
            }
        }
    }

    fn lose_kept(&mut self, lost: &[Key], ledger: &mut Ledger) {
        for key in lost {
            let Some(kept) = self.kept.remove(key) else { panic!("{key:?} was not kept") };
            kept.give_up(ledger);
            ledger.expiries += 1;
        }
    }
}

/// How long the peer wants our end of a link to last.
pub(super) fn expiry_of(attach: &Attach) -> Expiry {
    match (attach.role, &attach.source, &attach.target) {
        (Role::Receiver, Some(source), _) => Expiry { policy: source.expiry_policy, seconds: source.timeout },
        (Role::Sender, _, Some(TargetArchetype::Target(target))) => {
            Expiry { policy: target.expiry_policy, seconds: target.timeout }
        }
        _ => Expiry::default(),
    }
}
