//! What of the links that are kept is to survive the loss of this container (AMQP 1.0 §3.5.5), and its way back.

use std::time::{Duration, Instant};

use amqp_codec::{Role, TargetArchetype, TerminusDurability};

use super::super::suspended::SuspendedLink;
use super::super::terminus_record::TerminusRecord;
use super::term::Term;
use super::{LossCause, LostTerminus, TerminusKey, TerminusStore};

impl<L: AsRef<SuspendedLink>> TerminusStore<L> {
    /// What is to survive this container of all that is kept, in the order in which it came: of a terminus of durability
    /// `unsettled-state` everything, of one of durability `configuration` all but its deliveries, of others nothing; nor of one
    /// that the end of all connections ends.
    // L-016, L-053
    #[must_use]
    pub fn records(&self, now: Instant) -> Vec<TerminusRecord> {
        let record = |(key, link, term): (&TerminusKey, &SuspendedLink, &Term)| {
            let time = self.time_left(term, now);
            let next_tag = link.free_tag();
            let mut link = match link.durability() {
                TerminusDurability::None => return None,
                _ if time.is_zero() => return None,
                TerminusDurability::Configuration => link.bare(),
                TerminusDurability::UnsettledState => link.clone(),
            };
            // A tag of a delivery that is not written down may be remembered by the receiver.
            link.next_tag = next_tag;
            Some(TerminusRecord::new(key.clone(), link, time))
        };
        self.kept
            .values()
            .map(|kept| (&kept.key, kept.link.as_ref(), &kept.term))
            .filter_map(record)
            .collect()
    }

    /// Keeps a link that was read back, for so long. Otherwise as [`keep`](Self::keep), but that nothing that is kept or out
    /// under its name gives way: it is newer.
    // L-016
    #[must_use = "deliveries of a link that is not kept are to be dealt with"]
    pub fn restore(
        &mut self,
        key: TerminusKey,
        link: L,
        time: Duration,
        now: Instant,
    ) -> Vec<LostTerminus<L>> {
        if self.by_key.contains_key(&key) || self.lent_by_key.contains_key(&key) {
            return vec![LostTerminus { key, link, cause: LossCause::Replaced }];
        }
        let mut lost = Vec::new();
        let (number, term) = (self.next_number(), Term::rest(time.min(self.limits.time), now));
        self.admit(number, key, link, term, now, &mut lost);
        lost
    }

    /// How long a link is kept if all connections end now.
    fn time_left(&self, term: &Term, now: Instant) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(now);
        let left = term.deadline.map_or(self.limits.time, left);
        if term.waits_for.is_some() { left.min(term.time_out) } else { left }
    }
}

impl SuspendedLink {
    /// What of our terminus is to survive the loss of this container; whoever writes links down asks this
    /// (AMQP 1.0 §3.5.5).
    // L-053
    #[must_use]
    pub fn durability(&self) -> TerminusDurability {
        match (self.role, &self.source, &self.target) {
            (Role::Sender, Some(source), _) => source.durable,
            (Role::Receiver, _, Some(TargetArchetype::Target(target))) => target.durable,
            _ => TerminusDurability::None,
        }
    }
}
