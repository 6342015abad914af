//! The events that wait to be polled.

use std::collections::VecDeque;

use super::Event;

/// Events not yet polled, with the octets they hold.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    queue: VecDeque<Event>,
    octets: usize,
}

impl EventQueue {
    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        if let Event::Delivery { delivery, .. } = &event {
            self.octets += delivery.message.len();
        }
        self.queue.push_back(event);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        if let Event::Delivery { delivery, .. } = &event {
            self.octets = self.octets.saturating_sub(delivery.message.len());
        }
        Some(event)
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
