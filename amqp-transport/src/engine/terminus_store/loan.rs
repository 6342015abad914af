//! Links that are out of their store for an attach that may fail: meanwhile their time goes on.

use std::time::Instant;

use super::super::suspended::SuspendedLink;
use super::term::Term;
use super::{Kept, LinkEnd, LossCause, LostTerminus, TerminusKey, TerminusPlace, TerminusStore};

/// A link that is out of its store for an attach that is to go on with it: meanwhile the store counts its time on. Give it
/// back to [`put_back`](TerminusStore::put_back), or to [`end_loan`](TerminusStore::end_loan) where the link is not.
#[derive(Debug)]
#[must_use = "the store remembers a loan until it is told its end"]
pub struct Loan {
    number: u64,
}

impl<L: AsRef<SuspendedLink>> TerminusStore<L> {
    /// Takes a link out for an attach that may fail.
    pub fn lend(&mut self, key: &TerminusKey) -> Option<(L, Loan)> {
        let number = *self.by_key.get(key)?;
        let Kept { link, term, .. } = self.remove(number)?;
        Some((link, self.lend_for(number, key, term)))
    }

    /// As [`lend`](Self::lend) for a link that is taken from where it is attached, as one whose name is attached anew.
    // L-002
    pub fn lend_stolen(
        &mut self,
        key: &TerminusKey,
        link: &SuspendedLink,
        place: TerminusPlace,
        now: Instant,
    ) -> Loan {
        let term = Term::new(link, place, LinkEnd::Stolen, self.limits.time, now);
        let number = self.next_number();
        self.lend_for(number, key, term)
    }

    /// Keeps a link again that was not attached after all: for the rest of its time, as if it had never been out. Gives
    /// back what is not kept, or no longer, as [`keep`](Self::keep) does.
    // L-016: an attach that failed is no attach, and stops no time.
    #[must_use = "deliveries of a link that is not kept are to be dealt with"]
    pub fn put_back(&mut self, key: TerminusKey, link: L, loan: Loan, now: Instant) -> Vec<LostTerminus<L>> {
        let Some(mut term) = self.finish_loan(&key, &loan) else {
            return vec![LostTerminus { key, link, cause: LossCause::Replaced }];
        };
        // The attach for which it was stolen is over.
        if let Some((LinkEnd::Detached, _)) = term.waits_for {
            term.start(now);
        }
        let mut lost = Vec::new();
        self.admit(loan.number, key, link, term, now, &mut lost);
        lost
    }

    /// A link that is out does not come back: it is attached again, or given up.
    pub fn end_loan(&mut self, key: &TerminusKey, loan: &Loan) {
        self.finish_loan(key, loan);
    }

    fn lend_for(&mut self, number: u64, key: &TerminusKey, term: Term) -> Loan {
        self.recall(key);
        if let Some((_, place)) = term.waits_for {
            self.waiting.insert((place, number));
        }
        self.lent.insert(number, term);
        self.lent_by_key.insert(key.clone(), number);
        Loan { number }
    }

    /// Forgets the loan of a link, so that it is not kept again.
    pub(super) fn recall(&mut self, key: &TerminusKey) -> Option<Term> {
        let number = self.lent_by_key.remove(key)?;
        let term = self.lent.remove(&number)?;
        if let Some((_, place)) = term.waits_for {
            self.waiting.remove(&(place, number));
        }
        Some(term)
    }

    /// Forgets a loan; `None` when the link's name has begun anew since.
    fn finish_loan(&mut self, key: &TerminusKey, loan: &Loan) -> Option<Term> {
        self.lent_by_key.get(key).filter(|number| **number == loan.number)?;
        self.recall(key)
    }
}
