//! Tasks that wait for something, first come, first served.
//!
//! Owns the queue behind every `.await` of the handles. It never wakes or drops a waker itself: both may run code of
//! the user's, so they are handed to [`Wakes`], which acts after the connection's lock is released.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use amqp_codec::Outcome;

use super::link::LinkInner;
use super::pending::Origin;
use super::termini::Registry;
use crate::handle::error::SendError;

/// A place in a [`WaitQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// Where a waiting task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Still waiting.
    Waiting,
    /// Woken: it may try.
    Notified,
}

/// Wakers to be woken, and wakers to be dropped, once the lock is released. The first of each costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
    dropped: Option<Waker>,
    more_dropped: Vec<Waker>,
    /// Messages whose receipts wait on another connection, or another link of this one.
    elsewhere: Vec<Elsewhere>,
}

/// What is done with a link once the lock is released.
#[derive(Debug)]
enum Elsewhere {
    /// A message of its ends.
    Ends(Origin, Result<Outcome, SendError>),
    /// It may be nobody's any more, and its drop takes the lock.
    Drops { _link: Arc<LinkInner> },
    /// They may be nobody's any more, and what they keep takes locks when it is dropped.
    LeavesTermini { _registry: Arc<Registry> },
}

impl Wakes {
    /// Whether there is nothing to do. Later wakers are there only beside a first one.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none() && self.dropped.is_none() && self.elsewhere.is_empty()
    }

    pub(crate) fn wake(&mut self, waker: Waker) {
        match &self.first {
            None => self.first = Some(waker),
            // A task that waits for many outcomes is woken once.
            Some(first) if first.will_wake(&waker) => self.discard(waker),
            Some(_) if self.rest.last().is_some_and(|last| last.will_wake(&waker)) => self.discard(waker),
            Some(_) => self.rest.push(waker),
        }
    }

    pub(crate) fn discard(&mut self, waker: Waker) {
        if self.dropped.is_none() {
            self.dropped = Some(waker);
        } else {
            self.more_dropped.push(waker);
        }
    }

    /// Ends a message for a receipt that waits elsewhere, once the lock is released.
    pub(crate) fn resolve(&mut self, origin: Origin, result: Result<Outcome, SendError>) {
        self.elsewhere.push(Elsewhere::Ends(origin, result));
    }

    /// Drops a hold on a link, which may be the last, once the lock is released.
    pub(crate) fn drop_link(&mut self, link: Arc<LinkInner>) {
        self.elsewhere.push(Elsewhere::Drops { _link: link });
    }

    /// Drops a hold on a registry, which may be the last, once the lock is released.
    pub(crate) fn leave_termini(&mut self, registry: Arc<Registry>) {
        self.elsewhere.push(Elsewhere::LeavesTermini { _registry: registry });
    }

    /// Wakes and drops everything. Call it without a lock.
    pub(crate) fn fire(&mut self) {
        if let Some(first) = self.first.take() {
            first.wake();
        }
        for waker in self.rest.drain(..) {
            waker.wake();
        }
        self.dropped = None;
        self.more_dropped.clear();
        for elsewhere in mem::take(&mut self.elsewhere) {
            if let Elsewhere::Ends(origin, result) = elsewhere {
                origin.resolve(result);
            }
        }
    }
}

/// A doubly linked list of waiting tasks inside a vector.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    nodes: Vec<Node>,
    free: Key,
    head: Key,
    tail: Key,
    len: u32,
    notified: u32,
}

/// A node's index, or none. Every link has two of these queues, so they are kept small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(u32);

impl Key {
    const NONE: Self = Self(u32::MAX);

    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::NONE
    }
}

#[derive(Debug)]
struct Node {
    waker: Option<Waker>,
    turn: Turn,
    previous: Key,
    next: Key,
}

impl WaitQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many were woken and have not come back yet.
    pub(crate) fn notified(&self) -> usize {
        usize::try_from(self.notified).unwrap_or(usize::MAX)
    }

    /// Whether someone waits who has not been woken.
    pub(crate) fn has_waiting(&self) -> bool {
        self.len > self.notified
    }

    /// Waits at `place`, or at the end of the queue when there is none yet.
    pub(crate) fn wait(&mut self, place: &mut Option<Place>, waker: &Waker, wakes: &mut Wakes) {
        let Some(Place(key)) = *place else {
            *place = Some(self.push_back(waker.clone()));
            return;
        };
        let Some(node) = self.node(Key(key)) else { return };
        let was_notified = node.turn == Turn::Notified;
        node.turn = Turn::Waiting;
        match &node.waker {
            Some(old) if old.will_wake(waker) => {}
            _ => {
                if let Some(old) = node.waker.replace(waker.clone()) {
                    wakes.discard(old);
                }
            }
        }
        if was_notified {
            self.notified = self.notified.saturating_sub(1);
        }
    }

    /// Where the task at `place` stands.
    pub(crate) fn turn(&self, place: Place) -> Turn {
        self.nodes.get(Key(place.0).index()).map_or(Turn::Notified, |node| node.turn)
    }

    /// Leaves the queue. `true` when a wake-up given to this place was not used and should go to another.
    pub(crate) fn leave(&mut self, place: &mut Option<Place>, wakes: &mut Wakes) -> bool {
        let Some(Place(key)) = place.take() else { return false };
        let free = self.free;
        let Some(node) = self.node(Key(key)) else { return false };
        let (previous, next) = (node.previous, node.next);
        let was_notified = node.turn == Turn::Notified;
        if let Some(waker) = node.waker.take() {
            wakes.discard(waker);
        }
        node.next = free;
        node.previous = Key::NONE;
        self.free = Key(key);
        match self.node(previous) {
            Some(node) => node.next = next,
            None => self.head = next,
        }
        match self.node(next) {
            Some(node) => node.previous = previous,
            None => self.tail = previous,
        }
        self.len = self.len.saturating_sub(1);
        if was_notified {
            self.notified = self.notified.saturating_sub(1);
        }
        was_notified
    }

    /// Wakes the first `count` tasks of the queue, those woken before included in the count.
    pub(crate) fn notify(&mut self, count: usize, wakes: &mut Wakes) {
        let mut at = self.head;
        let mut left = count;
        while left > 0
            && let Some(node) = self.nodes.get_mut(at.index())
        {
            if node.turn == Turn::Waiting {
                node.turn = Turn::Notified;
                self.notified = self.notified.saturating_add(1);
                if let Some(waker) = node.waker.take() {
                    wakes.wake(waker);
                }
            }
            at = node.next;
            left = left.saturating_sub(1);
        }
    }

    /// Lets other tasks have their turn without giving up this one's, which is woken again at once.
    pub(crate) fn pause(&mut self, place: &mut Option<Place>, waker: &Waker, wakes: &mut Wakes) {
        self.wait(place, waker, wakes);
        if let Some(Place(key)) = *place
            && let Some(node) = self.node(Key(key))
        {
            node.turn = Turn::Notified;
            if let Some(waker) = node.waker.take() {
                wakes.wake(waker);
            }
            self.notified = self.notified.saturating_add(1);
        }
    }

    pub(crate) fn notify_all(&mut self, wakes: &mut Wakes) {
        self.notify(usize::MAX, wakes);
    }

    fn push_back(&mut self, waker: Waker) -> Place {
        let node = Node { waker: Some(waker), turn: Turn::Waiting, previous: self.tail, next: Key::NONE };
        let free = self.free;
        let key = match self.node(free) {
            Some(slot) => {
                let next = slot.next;
                *slot = node;
                self.free = next;
                free
            }
            None => {
                if self.nodes.len() == self.nodes.capacity() {
                    // Hardly ever more than one waits.
                    self.nodes.reserve_exact(self.nodes.len().max(1));
                }
                self.nodes.push(node);
                // Nobody has four thousand million tasks.
                Key(u32::try_from(self.nodes.len().saturating_sub(1)).unwrap_or(u32::MAX))
            }
        };
        let tail = self.tail;
        match self.node(tail) {
            Some(tail) => tail.next = key,
            None => self.head = key,
        }
        self.tail = key;
        self.len = self.len.saturating_add(1);
        Place(key.0)
    }

    fn node(&mut self, key: Key) -> Option<&mut Node> {
        self.nodes.get_mut(key.index())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waiting(queue: &mut WaitQueue, wakes: &mut Wakes) -> (Option<Place>, Arc<Count>) {
        let count = Arc::new(Count::default());
        let mut place = None;
        queue.wait(&mut place, &Waker::from(Arc::clone(&count)), wakes);
        (place, count)
    }

    #[test]
    fn only_the_first_are_woken_and_a_wake_is_not_lost_with_its_task() {
        let (mut queue, mut wakes) = (WaitQueue::default(), Wakes::default());
        let (mut a, count_a) = waiting(&mut queue, &mut wakes);
        let (b, count_b) = waiting(&mut queue, &mut wakes);
        let (mut c, count_c) = waiting(&mut queue, &mut wakes);
        queue.notify(1, &mut wakes);
        queue.notify(1, &mut wakes);
        wakes.fire();
        let counts = || [&count_a, &count_b, &count_c].map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(counts(), [1, 0, 0]);
        assert!(!queue.leave(&mut c, &mut wakes), "c was not woken");
        assert!(queue.leave(&mut a, &mut wakes), "a was woken and did not use it");
        queue.notify(1, &mut wakes);
        wakes.fire();
        assert_eq!(counts(), [1, 1, 0]);
        assert_eq!(queue.turn(b.unwrap()), Turn::Notified);
        assert!(!queue.has_waiting());
    }

    #[test]
    fn who_waits_again_keeps_the_place() {
        let (mut queue, mut wakes) = (WaitQueue::default(), Wakes::default());
        let (mut a, count_a) = waiting(&mut queue, &mut wakes);
        let (_b, count_b) = waiting(&mut queue, &mut wakes);
        queue.notify(1, &mut wakes);
        wakes.fire();
        queue.wait(&mut a, &Waker::from(Arc::clone(&count_a)), &mut wakes);
        queue.notify(1, &mut wakes);
        wakes.fire();
        assert_eq!((count_a.0.load(Ordering::Relaxed), count_b.0.load(Ordering::Relaxed)), (2, 0));
    }
}
