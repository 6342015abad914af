//! The deliveries of a suspended receiver by their tags, so that deciding about each of many is no search through all.
//!
//! Owns where each is and which are forgotten. The link stays plain data, its deliveries in their order.

use amqp_codec::{DeliveryState, DeliveryTag};

use crate::engine::{SuspendedLink, UnsettledDelivery};

/// A link with its deliveries, each found by its tag.
#[derive(Debug)]
pub(super) struct Holding {
    link: Box<SuspendedLink>,
    /// Where they are, by tag, once one was looked for; four octets each.
    places: Vec<u32>,
    /// Which of them are forgotten, once one is. They leave the link together, since each that leaves moves all behind it.
    forgotten: Vec<bool>,
    /// All before this place are.
    first: usize,
    #[cfg(test)]
    probes: usize,
}

impl Holding {
    pub(super) fn new(link: Box<SuspendedLink>) -> Self {
        Self {
            link,
            places: Vec::new(),
            forgotten: Vec::new(),
            first: 0,
            #[cfg(test)]
            probes: 0,
        }
    }

    /// The link without what was forgotten.
    pub(super) fn tidy(&mut self) -> &SuspendedLink {
        if !self.forgotten.is_empty() {
            let mut forgotten = std::mem::take(&mut self.forgotten).into_iter();
            self.link.deliveries.retain(|_| forgotten.next() != Some(true));
            self.places = Vec::new();
            self.first = 0;
        }
        &self.link
    }

    /// The link, which may have deliveries yet that are forgotten, but for one that [`tidy`](Self::tidy) has seen since.
    pub(super) fn link(&self) -> &SuspendedLink {
        &self.link
    }

    /// A copy of the link without what was forgotten.
    pub(super) fn to_link(&self) -> Box<SuspendedLink> {
        let mut link = self.link.bare();
        link.deliveries = self.deliveries().cloned().collect();
        Box::new(link)
    }

    /// What is not forgotten, oldest first.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = &UnsettledDelivery> {
        let held = |(place, delivery)| (!self.is_forgotten(place)).then_some(delivery);
        self.link.deliveries.iter().enumerate().skip(self.first).filter_map(held)
    }

    /// The same, to be decided about.
    pub(super) fn deliveries_mut(&mut self) -> impl Iterator<Item = &mut UnsettledDelivery> {
        self.tidy();
        self.link.deliveries.iter_mut()
    }

    /// Notes what is made of a delivery; `false` when it is not held.
    pub(super) fn set_state(&mut self, tag: &DeliveryTag, state: DeliveryState) -> bool {
        let place = self.first_of(tag).into_iter().flat_map(|at| self.places_of(at, tag)).next();
        let found = place.and_then(|place| self.link.deliveries.get_mut(place));
        found.is_some_and(|delivery| {
            delivery.state = Some(state);
            true
        })
    }

    /// Lets go of a delivery; `false` when it is not held.
    pub(super) fn forget(&mut self, tag: &DeliveryTag) -> bool {
        let Some(at) = self.first_of(tag) else { return false };
        // One, but in a link that an application made up.
        let places: Vec<usize> = self.places_of(at, tag).collect();
        self.forgotten.resize(self.link.deliveries.len(), false);
        for place in &places {
            if let Some(is_forgotten) = self.forgotten.get_mut(*place) {
                *is_forgotten = true;
            }
        }
        while self.is_forgotten(self.first) {
            self.first += 1;
        }
        !places.is_empty()
    }

    fn is_forgotten(&self, place: usize) -> bool {
        self.forgotten.get(place).copied().unwrap_or(false)
    }

    /// Where in `places` a tag is.
    fn first_of(&mut self, tag: &DeliveryTag) -> Option<usize> {
        let deliveries = &self.link.deliveries;
        if self.places.len() != deliveries.len() {
            self.places = (0..u32::try_from(deliveries.len()).ok()?).collect();
            self.places.sort_by_key(|place| tag_at(deliveries, *place));
        }
        #[cfg(test)]
        let probes = &mut self.probes;
        let at = self.places.partition_point(|place| {
            #[cfg(test)]
            {
                *probes += 1;
            }
            tag_at(deliveries, *place) < Some(*tag)
        });
        (at < self.places.len()).then_some(at)
    }

    /// The places of a tag from there on.
    fn places_of(&self, at: usize, tag: &DeliveryTag) -> impl Iterator<Item = usize> {
        let places = self.places.get(at..).unwrap_or_default().iter();
        let same = places.take_while(|place| tag_at(&self.link.deliveries, **place) == Some(*tag));
        same.filter_map(|place| usize::try_from(*place).ok()).filter(|place| !self.is_forgotten(*place))
    }
}

fn tag_at(deliveries: &[UnsettledDelivery], place: u32) -> Option<DeliveryTag> {
    let place = usize::try_from(place).ok()?;
    deliveries.get(place).map(|delivery| delivery.tag)
}

#[cfg(test)]
mod tests {
    use amqp_codec::Role;

    use super::*;

    const MANY: u64 = 65_536;

    fn holding(tags: impl IntoIterator<Item = u64>) -> Holding {
        let mut link = SuspendedLink::new("L", Role::Receiver);
        link.deliveries = tags.into_iter().map(|tag| UnsettledDelivery::new(tag.into())).collect();
        Holding::new(Box::new(link))
    }

    fn tags(link: &SuspendedLink) -> Vec<DeliveryTag> {
        link.deliveries.iter().map(|delivery| delivery.tag).collect()
    }

    // Each was looked for from the first on, and each that left moved all behind it.
    #[test]
    fn deciding_about_each_of_very_many_deliveries_looks_at_few_for_each() {
        let mut held = holding((0..MANY).rev());
        for tag in (0..MANY).map(DeliveryTag::from) {
            assert!(held.set_state(&tag, DeliveryState::Accepted));
        }
        for tag in (0..MANY - 1).map(DeliveryTag::from) {
            assert!(held.forget(&tag));
        }
        assert!(held.probes <= 2 * 65_536 * 18, "{}", held.probes);
        assert_eq!(held.link().deliveries.len(), 65_536, "nothing is moved until the link is looked at");
        assert_eq!(tags(held.tidy()), [DeliveryTag::from(MANY - 1)]);
    }

    // `while let Some(tag) = tags().next()`: each call would pass over all that are forgotten.
    #[test]
    fn the_oldest_delivery_is_found_at_once_behind_all_that_are_forgotten() {
        let mut held = holding(0..MANY);
        for tag in (0..MANY).map(DeliveryTag::from) {
            assert_eq!(held.deliveries().next().map(|delivery| delivery.tag), Some(tag));
            assert!(held.forget(&tag));
            assert_eq!(u64::try_from(held.first).ok().map(DeliveryTag::from), tag_after(&tag));
        }
        assert_eq!(held.deliveries().count(), 0);
        assert!(held.tidy().deliveries.is_empty());
    }

    fn tag_after(tag: &DeliveryTag) -> Option<DeliveryTag> {
        let number = tag.as_slice().first_chunk().map(|octets| u64::from_be_bytes(*octets));
        number.map(|number| DeliveryTag::from(number + 1))
    }

    #[test]
    fn what_is_forgotten_is_gone_wherever_one_looks_and_the_order_of_the_others_stays() {
        let mut held = holding([5, 3, 9, 1, 7]);
        assert!(held.set_state(&3u64.into(), DeliveryState::Released));
        for tag in [9u64, 5] {
            assert!(held.forget(&tag.into()) && !held.forget(&tag.into()));
            assert!(!held.set_state(&tag.into(), DeliveryState::Accepted));
        }
        assert!(!held.forget(&4u64.into()) && !held.forget(&99u64.into()));
        let left = [3u64, 1, 7].map(DeliveryTag::from);
        assert_eq!(held.deliveries().map(|delivery| delivery.tag).collect::<Vec<_>>(), left);
        let copy = held.to_link();
        assert_eq!(tags(&copy), left);
        assert_eq!(copy.deliveries.first().and_then(|one| one.state.clone()), Some(DeliveryState::Released));
        assert_eq!(tags(held.tidy()), left);
        // Places are others now.
        assert!(held.set_state(&7u64.into(), DeliveryState::Accepted) && held.forget(&3u64.into()));
        assert_eq!(
            held.deliveries_mut().map(|delivery| delivery.tag).collect::<Vec<_>>(),
            [1u64, 7].map(DeliveryTag::from)
        );
    }

    // In a link that an application made up a tag may be there twice.
    #[test]
    fn a_tag_that_is_there_twice_is_forgotten_at_once() {
        let mut held = holding([1, 2, 1]);
        assert!(held.forget(&1u64.into()) && !held.forget(&1u64.into()));
        assert_eq!(tags(held.tidy()), [DeliveryTag::from(2u64)]);
    }
}
