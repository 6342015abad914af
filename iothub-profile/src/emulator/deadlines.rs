//! What time demands next, and of whom: one deadline for each that has any.
//!
//! Pure state: the time is passed in, and what is due is done elsewhere.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

/// Who has a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timed {
    /// The commands of this device.
    Commands(Arc<str>),
    /// The hub's feedback.
    Feedback,
}

/// Every deadline, the next one at hand.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    of: HashMap<Timed, Instant>,
    in_order: BTreeSet<(Instant, Timed)>,
}

impl Deadlines {
    /// Sets somebody's deadline, or takes it away. Says whether the next of all deadlines is earlier now than it was.
    pub(crate) fn set(&mut self, timed: &Timed, deadline: Option<Instant>) -> bool {
        let before = self.next();
        if let Some(known) = self.of.remove(timed) {
            self.in_order.remove(&(known, timed.clone()));
        }
        if let Some(deadline) = deadline {
            self.of.insert(timed.clone(), deadline);
            self.in_order.insert((deadline, timed.clone()));
        }
        self.next().is_some_and(|next| before.is_none_or(|before| next < before))
    }

    /// Takes away the deadlines that have come at `now`, and says whose they were.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Timed> {
        let mut due = Vec::new();
        while self.next().is_some_and(|next| next <= now) {
            let Some((_, timed)) = self.in_order.pop_first() else { break };
            self.of.remove(&timed);
            due.push(timed);
        }
        due
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::emulator::time::Now;

    #[test]
    fn everybody_has_one_deadline_and_only_what_is_due_is_taken() {
        let (mut deadlines, now) = (Deadlines::default(), Now::origin().instant);
        let after = |seconds| now + Duration::from_secs(seconds);
        let (a, b) = (Timed::Commands("a".into()), Timed::Commands("b".into()));
        assert!(deadlines.set(&a, Some(after(10))));
        assert!(!deadlines.set(&b, Some(after(20))), "a's comes first");
        assert!(deadlines.set(&b, Some(after(5))));
        assert!(!deadlines.set(&b, Some(after(30))), "later is not earlier");
        assert_eq!(deadlines.take_due(after(9)), []);
        assert_eq!(deadlines.take_due(after(10)), [a]);
        assert_eq!(deadlines.next(), Some(after(30)));
        assert!(!deadlines.set(&Timed::Feedback, Some(after(30))));
        assert_eq!(deadlines.take_due(after(30)), [b, Timed::Feedback]);
        assert_eq!(deadlines.next(), None);
    }
}
