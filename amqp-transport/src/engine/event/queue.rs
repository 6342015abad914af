//! The events that wait to be polled.

use std::collections::VecDeque;

use amqp_codec::{DeliveryState, Encode};

use super::Event;
use crate::engine::delivery::is_same;
use crate::engine::ids::LinkId;

/// Events not yet polled, with the octets they hold.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    queue: VecDeque<Events>,
    octets: usize,
}

/// An event with those that go along with it: peers settle by ranges, and there are many messages in one.
#[derive(Clone, Debug)]
pub enum Events {
    /// One event.
    One(Event),
    /// As many [`Event::Settled`] as messages were settled.
    Settled(SettledRun),
}

/// Messages of one link that are settled in the same state, and whose numbers follow one another.
#[derive(Clone, Debug)]
pub struct SettledRun {
    link: LinkId,
    first: u32,
    count: u32,
    state: Option<DeliveryState>,
}

impl SettledRun {
    /// The link.
    #[must_use]
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// The caller's numbers of the messages, in the order of their deliveries.
    pub fn users(&self) -> impl Iterator<Item = u32> + use<> {
        let first = self.first;
        (0..self.count).map(move |at| first.wrapping_add(at))
    }

    /// The state in which they were settled, as in [`Event::Settled`].
    #[must_use]
    pub fn state(&self) -> Option<&DeliveryState> {
        self.state.as_ref()
    }

    /// Adds a message, if it goes on from those here.
    fn grow(&mut self, link: LinkId, user: u32, state: Option<&DeliveryState>) -> bool {
        let goes_on = self.link == link
            && self.first.wrapping_add(self.count) == user
            && self.count < u32::MAX
            && is_same(self.state.as_ref(), state);
        self.count += u32::from(goes_on);
        goes_on
    }
}

impl EventQueue {
    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        self.octets = self.octets.saturating_add(octets(&event));
        debug_assert!(!matches!(event, Event::Settled { .. }), "settled messages have their own way in");
        self.queue.push_back(Events::One(event));
    }

    /// Adds an [`Event::Settled`]; the only way to do so.
    #[inline]
    pub(crate) fn push_settled(&mut self, link: LinkId, user: u32, state: Option<&DeliveryState>) {
        if let Some(Events::Settled(run)) = self.queue.back_mut()
            && run.grow(link, user, state)
        {
            return;
        }
        self.queue.push_back(Events::Settled(SettledRun {
            link,
            first: user,
            count: 1,
            state: state.cloned(),
        }));
    }

    /// The next event, with those that go along with it.
    #[inline]
    pub(crate) fn pop_events(&mut self) -> Option<Events> {
        let queued = self.queue.pop_front()?;
        if let Events::One(event) = &queued {
            self.octets = self.octets.saturating_sub(octets(event));
        }
        Some(queued)
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if let Some(Events::Settled(run)) = self.queue.front_mut()
            && run.count > 1
        {
            let event = Event::Settled { link: run.link, user: run.first, state: run.state.clone() };
            (run.first, run.count) = (run.first.wrapping_add(1), run.count - 1);
            return Some(event);
        }
        Some(match self.pop_events()? {
            Events::One(event) => event,
            Events::Settled(SettledRun { link, first, state, .. }) => {
                Event::Settled { link, user: first, state }
            }
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Gives memory back while nothing waits.
    pub(crate) fn shrink(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }
}

/// What an event holds that is counted.
#[inline]
fn octets(event: &Event) -> usize {
    match event {
        Event::Delivery { delivery, .. } => delivery.message.len(),
        Event::LinkState { properties, .. } => properties.encoded_len(),
        // A peer may begin and end sessions as often as it likes.
        Event::SessionRequested { begin, .. } | Event::SessionBegun { begin, .. } => begin.encoded_len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_settled_one_after_the_other_are_one_entry_and_as_many_events() {
        let link = |index| LinkId { index, generation: 0 };
        let mut queue = EventQueue::default();
        let accepted = Some(&DeliveryState::Accepted);
        for user in [u32::MAX, 0, 1] {
            queue.push_settled(link(0), user, accepted);
        }
        queue.push_settled(link(1), 2, accepted);
        queue.push_settled(link(1), 3, None);
        queue.push(Event::Authenticated);
        queue.push_settled(link(1), 4, None);
        assert_eq!(queue.len(), 5);
        let next = |queue: &mut EventQueue| match queue.pop() {
            Some(Event::Settled { link, user, state }) => Some((link.index, user, state.is_some())),
            _ => None,
        };
        assert_eq!(next(&mut queue), Some((0, u32::MAX, true)));
        let Some(Events::Settled(run)) = queue.pop_events() else { panic!("no run") };
        assert_eq!((run.users().collect::<Vec<_>>(), run.state()), (vec![0, 1], accepted));
        assert_eq!((next(&mut queue), next(&mut queue)), (Some((1, 2, true)), Some((1, 3, false))));
        assert!(matches!(queue.pop(), Some(Event::Authenticated)));
        assert_eq!((next(&mut queue), queue.len()), (Some((1, 4, false)), 0));
    }
}
