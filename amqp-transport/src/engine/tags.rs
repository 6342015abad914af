//! Which delivery-tags are in use on the links of a session (D-001), at a cost that does not grow with what is unsettled.
//!
//! Nearly every sender counts its tags upwards, and a tag above all that came before on its link is new without a look
//! at any other. The first that does not rise makes the session keep a set of what is unsettled, until nothing is: the
//! set is built by one walk over deliveries that have all come since the last.

use std::collections::BTreeSet;

use amqp_codec::DeliveryTag;

use super::ids::LinkId;

/// The tags of a session's unsettled deliveries, as far as they must be known.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    set: Option<BTreeSet<(LinkId, DeliveryTag)>>,
}

/// The highest tag of a link since it last had nothing unsettled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HighestTag(Option<DeliveryTag>);

impl HighestTag {
    /// Notes a tag; `true` when it is above all before it.
    fn rises_to(&mut self, tag: DeliveryTag) -> bool {
        let rises = self.0.is_none_or(|highest| is_below(&highest, &tag));
        if rises {
            self.0 = Some(tag);
        }
        rises
    }
}

impl Tags {
    /// Takes a tag into use; `false` when it is in use already.
    ///
    /// `link_unsettled` and `session_unsettled` count what is unsettled before it, and `held` gives that, walked only
    /// where a set must be built.
    pub(crate) fn insert<I: Iterator<Item = (LinkId, DeliveryTag)>>(
        &mut self,
        (link, tag): (LinkId, DeliveryTag),
        highest: &mut HighestTag,
        link_unsettled: usize,
        session_unsettled: usize,
        held: impl FnOnce() -> I,
    ) -> bool {
        if link_unsettled == 0 {
            *highest = HighestTag::default();
        }
        if session_unsettled == 0 {
            self.set = None;
        }
        if !highest.rises_to(tag) && self.set.is_none() {
            self.set = Some(held().collect());
        }
        self.set.as_mut().is_none_or(|set| set.insert((link, tag)))
    }

    /// The delivery is settled: its tag may be used again.
    #[inline]
    pub(crate) fn remove(&mut self, link: LinkId, tag: DeliveryTag) {
        if let Some(set) = &mut self.set {
            set.remove(&(link, tag));
        }
    }

    /// Nothing is unsettled any more.
    pub(crate) fn clear(&mut self) {
        self.set = None;
    }
}

/// Counters grow in length before they grow in their first octet, be they binary or text.
fn is_below(low: &DeliveryTag, high: &DeliveryTag) -> bool {
    let (low, high) = (low.as_slice(), high.as_slice());
    // What most senders count with is compared as the number that it is.
    match (<[u8; 4]>::try_from(low), <[u8; 4]>::try_from(high)) {
        (Ok(low), Ok(high)) => u32::from_be_bytes(low) < u32::from_be_bytes(high),
        _ => (low.len(), low) < (high.len(), high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32) -> LinkId {
        LinkId { index, generation: 0 }
    }

    fn tag(text: &str) -> DeliveryTag {
        DeliveryTag::new(text.as_bytes()).unwrap()
    }

    // D-001
    #[test]
    fn a_counting_sender_costs_no_walk_and_a_repeated_tag_is_found_however_old() {
        let mut tags = Tags::default();
        let mut highest = HighestTag::default();
        let mut held = Vec::new();
        for number in 0..1_000 {
            let tag = tag(&number.to_string());
            let never = || -> std::vec::IntoIter<_> { panic!("walked for a tag that rises") };
            assert!(tags.insert((link(0), tag), &mut highest, held.len(), held.len(), never));
            held.push((link(0), tag));
        }
        let all = || held.clone().into_iter();
        assert!(!tags.insert((link(0), tag("3")), &mut highest, 1_000, 1_000, all));
        // Another link's is another delivery.
        let mut other = HighestTag::default();
        let never = || -> std::vec::IntoIter<_> { panic!("walked twice") };
        assert!(tags.insert((link(1), tag("3")), &mut other, 0, 1_000, never));
        tags.remove(link(0), tag("3"));
        assert!(tags.insert((link(0), tag("3")), &mut highest, 999, 1_000, never));
    }

    #[test]
    fn a_link_with_nothing_unsettled_counts_anew() {
        let (mut tags, mut highest) = (Tags::default(), HighestTag::default());
        let never = || -> std::vec::IntoIter<_> { panic!("walked") };
        assert!(tags.insert((link(0), tag("9")), &mut highest, 0, 5, never));
        assert!(tags.insert((link(0), tag("0")), &mut highest, 0, 5, never));
        assert!(tags.set.is_none());
    }
}
