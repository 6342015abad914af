//! Links that come back after their connection was lost.
//!
//! Owns which link there is, which were before it, and what becomes of each at its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::Backoff;
use super::attaching::NotAttached;
use super::blueprint::{Blueprint, Keeping, LinkOptions};
use super::connection::RecoveringConnection;
use super::error::RecoveryError;
use super::hooks::{Hooks, LinkEnd, LinkVerdict};
use super::live::Live;
use super::session::Place;
use crate::handle::error::{DetachReason, EndReason};

/// A link on whatever connection there is.
#[derive(Debug)]
pub(super) struct Restored<H: Hooks, B: Blueprint<H>> {
    pub(super) connection: RecoveringConnection<H>,
    pub(super) blueprint: B,
    /// The session that it is attached in.
    pub(super) place: Place,
    slot: Mutex<Slot<H, B>>,
    pub(super) opening: Arc<tokio::sync::Mutex<()>>,
    /// What goes on whether anybody waits for it or not, where links are resumed: attaching one, and watching one.
    pub(super) tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
pub(super) struct Slot<H: Hooks, B: Blueprint<H>> {
    pub(super) attached: Option<Attached<H, B>>,
    /// Links before it, the oldest first, on which messages came that nobody has taken yet.
    pub(super) former: VecDeque<Attached<H, B>>,
    /// Whether what is unsettled at a loss is resumed.
    pub(super) keeping: Option<Keeping>,
    /// Links in a row that were resumed and soon detached.
    pub(super) detached: u32,
    /// How much was unsettled at the last link's end.
    rest: usize,
    /// Whether that was less than at the end of the one before it.
    is_getting_on: bool,
    /// What is left of the last link, until the next is attached.
    pub(super) left: Option<Left<<B::Options as LinkOptions>::Suspended>>,
    /// What its application told the link, which is told to the next, too.
    pub(super) told: Told,
}

impl<H: Hooks, B: Blueprint<H>> Slot<H, B> {
    /// Counts what a link has left, once at its end, whoever finds it ended.
    fn count_rest(&mut self) {
        let left =
            self.left.as_ref().map_or(0, |left| <B::Options as LinkOptions>::unsettled(&left.suspended));
        self.is_getting_on = std::mem::replace(&mut self.rest, left) > left;
    }
}

/// What is left of a link, and the address that it was attached to.
#[derive(Debug)]
pub(super) struct Left<S> {
    pub(super) suspended: S,
    pub(super) address: Arc<str>,
}

/// What an application says to its link.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Credit granted by hand and not used.
    pub(super) credit: u32,
    /// Whether the peer is to have no credit at all.
    pub(super) is_stopped: bool,
    /// Messages that wait to be sent.
    pub(super) available: u32,
}

/// Which link was forgotten.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Forgotten {
    /// One from which messages were still taken.
    Former,
    /// The last.
    Last,
}

/// A link and the connection it is on.
#[derive(Debug)]
pub(super) struct Attached<H: Hooks, B: Blueprint<H>> {
    pub(super) live: Arc<Live<H::Context>>,
    pub(super) link: Arc<<B::Options as LinkOptions>::Handle>,
    pub(super) address: Arc<str>,
    pub(super) is_credit_manual: bool,
    pub(super) since: Instant,
}

impl<H: Hooks, B: Blueprint<H>> Clone for Attached<H, B> {
    fn clone(&self) -> Self {
        Self {
            live: Arc::clone(&self.live),
            link: Arc::clone(&self.link),
            address: Arc::clone(&self.address),
            is_credit_manual: self.is_credit_manual,
            since: self.since,
        }
    }
}

impl<H: Hooks, B: Blueprint<H>> Restored<H, B> {
    pub(super) fn new(connection: RecoveringConnection<H>, place: Place, blueprint: B) -> Self {
        let slot = Mutex::new(Slot {
            attached: None,
            former: VecDeque::new(),
            keeping: None,
            detached: 0,
            rest: 0,
            is_getting_on: false,
            left: None,
            told: Told::default(),
        });
        let (opening, tasks) = (Arc::default(), Mutex::default());
        Self { connection, blueprint, place, slot, opening, tasks }
    }

    /// Resumes links from here on, or not.
    pub(super) fn keep(&self, keeping: Option<Keeping>) {
        self.slot().keeping = keeping;
    }

    /// The link, attached where it is not yet. Waits for a connection without limit.
    pub(super) async fn attached(self: &Arc<Self>) -> Result<Attached<H, B>, H::Error> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let mut opening = Arc::clone(&self.opening).lock_owned().await;
        let (mut attempt, mut reconnects) = (0, 0);
        loop {
            // Another call may have opened it while this one waited.
            if let Some(current) = self.current() {
                return Ok(current);
            }
            let live = self.connection.live().await?;
            let result;
            (result, opening) = match self.keeping() {
                None => (self.attach_to(&live).await, opening),
                // Whoever waits may leave: it is not for him alone.
                Some(_) => self.attach_apart(live.clone(), opening).await?,
            };
            match result {
                Ok(attached) => return Ok(attached),
                Err(NotAttached { verdict: LinkVerdict::Reconnect, fault }) => {
                    live.condemn();
                    if let Some(fault) = fault {
                        self.count(&mut reconnects, fault)?;
                    }
                }
                Err(NotAttached { verdict: LinkVerdict::GiveUp(error), .. }) => return Err(error),
                Err(NotAttached { verdict: LinkVerdict::AttachAgain(error), .. }) => {
                    self.wait(&mut attempt, error).await?;
                }
            }
        }
    }

    /// The link that messages are to be taken from: one that was left with messages on it before the one in use, and
    /// one whose connection is being left until that is over. `None` where there is none.
    pub(super) fn standing(&self) -> Option<Attached<H, B>> {
        let slot = self.slot();
        slot.former.front().or(slot.attached.as_ref()).cloned()
    }

    /// As [`attached`](Self::attached), within the operation time-out.
    pub(super) async fn attached_in_time(self: &Arc<Self>) -> Result<(), H::Error> {
        match timeout(self.connection.options().operation_timeout, self.attached()).await {
            Ok(attached) => attached.map(drop),
            Err(_) => Err(RecoveryError::TimedOut { what: "attaching the link" }.into()),
        }
    }

    /// Counts one more failure of a link and waits before the next; fails with `error` when there were too many.
    pub(super) async fn wait(&self, attempt: &mut u32, error: H::Error) -> Result<(), H::Error> {
        debug!(attempt, %error, "link not usable, it will be attached again");
        self.count(attempt, error)?;
        let random = self.connection.options().random();
        sleep(Backoff::NORMAL.next_delay(attempt.saturating_add(1), random)).await;
        Ok(())
    }

    /// Counts one more failure of a link; fails with `error` when there were too many.
    pub(super) fn count(&self, attempt: &mut u32, error: H::Error) -> Result<(), H::Error> {
        *attempt = attempt.saturating_add(1);
        if *attempt >= self.connection.options().link_attempts { Err(error) } else { Ok(()) }
    }

    /// As [`count`](Self::count), for a link that was attached and has ended so that its connection is made anew: that
    /// the connection was lost is not the link's fault, and one that has lasted a while begins anew.
    pub(super) fn count_end(
        &self,
        attempt: &mut u32,
        ended: &Attached<H, B>,
        reason: &DetachReason,
    ) -> Result<(), H::Error> {
        if ended.since.elapsed() >= self.connection.options().settled_after {
            *attempt = 0;
        }
        if matches!(reason, DetachReason::Lost(_) | DetachReason::SessionEnded(EndReason::Lost(_)))
            || ended.live.is_condemned()
        {
            return Ok(());
        }
        let (address, reason) = (ended.address.to_string(), reason.clone());
        self.count(attempt, RecoveryError::Detached { address, reason }.into())
    }

    /// What the layer above makes of a link's end. That a further session has ended is no reason to leave the connection.
    pub(super) fn verdict(&self, address: &str, reason: &DetachReason) -> LinkVerdict<H::Error> {
        match self.connection.hooks().link_verdict(address, LinkEnd::Detached(reason)) {
            LinkVerdict::Reconnect if self.place.is_left_alone(reason) => {
                let (address, reason) = (address.to_owned(), reason.clone());
                LinkVerdict::AttachAgain(RecoveryError::Detached { address, reason }.into())
            }
            verdict => verdict,
        }
    }

    /// Sees to the end of a link that was in use: forgets it, and does what its end asks for before the next is attached.
    /// Without a reason its connection was lost.
    pub(super) async fn see_ended(
        &self,
        ended: &Attached<H, B>,
        reason: Option<&DetachReason>,
        attempt: &mut u32,
    ) -> Result<(), H::Error> {
        if self.leave(ended).await == Forgotten::Former {
            // All that came on it is taken; another goes on already, or is waited for.
            return Ok(());
        }
        match reason.map_or(LinkVerdict::Reconnect, |reason| self.verdict(&ended.address, reason)) {
            LinkVerdict::Reconnect => {
                if let Some(reason) = reason {
                    self.count_end(attempt, ended, reason)?;
                }
                ended.live.condemn();
                Ok(())
            }
            LinkVerdict::GiveUp(error) => Err(error),
            LinkVerdict::AttachAgain(error) => self.wait(attempt, error).await,
        }
    }

    /// Forgets a link that is ending once it has: before the peer's answer its name is in use, and what is left of it not
    /// known.
    pub(super) async fn leave(&self, ending: &Attached<H, B>) -> Forgotten {
        <B::Options as LinkOptions>::detached(&ending.link).await;
        self.forget(ending)
    }

    /// Forgets a link that has ended, so that the next call attaches it anew. Messages that wait on it are still given.
    pub(super) fn forget(&self, ended: &Attached<H, B>) -> Forgotten {
        let is_it = |other: &Attached<H, B>| Arc::ptr_eq(&other.link, &ended.link);
        let mut slot = self.slot();
        if let Some(at) = slot.former.iter().position(is_it) {
            let gone = slot.former.remove(at);
            // Dropping the link's last handle takes the connection's lock.
            drop(slot);
            drop(gone);
            return Forgotten::Former;
        }
        let Some(gone) = slot.attached.take_if(|attached| is_it(attached)) else {
            return Forgotten::Last;
        };
        if let Some(keeping) = slot.keeping {
            let suspended = <B::Options as LinkOptions>::suspended(&gone.link, keeping);
            slot.left = suspended.map(|suspended| Left { suspended, address: Arc::clone(&gone.address) });
            slot.count_rest();
        }
        let is_over = slot.left.is_none();
        let too_many = keep_former(&mut slot, gone.clone());
        drop(slot);
        if is_over {
            <B::Options as LinkOptions>::over(&gone.link);
        }
        give_up(too_many);
        Forgotten::Last
    }

    /// Takes the link out, for detaching it.
    pub(super) fn take(&self) -> Option<Attached<H, B>> {
        let mut slot = self.slot();
        let (attached, left) = (slot.attached.take(), slot.left.take());
        // Messages end with what is dropped.
        drop(slot);
        drop(left);
        if let Some(attached) = &attached {
            <B::Options as LinkOptions>::over(&attached.link);
        }
        attached
    }

    /// Whether less was left of the last link than of the one before it: resuming it gets on.
    pub(super) fn is_getting_on(&self) -> bool {
        self.slot().is_getting_on
    }

    /// The link, on whatever connection it is, or was.
    pub(super) fn last(&self) -> Option<Attached<H, B>> {
        self.slot().attached.clone()
    }

    /// The link, where it is on a connection on which something new may begin.
    pub(super) fn current(&self) -> Option<Attached<H, B>> {
        self.slot().attached.as_ref().filter(|attached| !attached.live.is_condemned()).cloned()
    }

    pub(super) fn slot(&self) -> MutexGuard<'_, Slot<H, B>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a link among those that messages are still taken from, where some wait; returns one whose messages are not.
pub(super) fn keep_former<H: Hooks, B: Blueprint<H>>(
    slot: &mut Slot<H, B>,
    former: Attached<H, B>,
) -> Option<Attached<H, B>> {
    if waiting(&former) == 0 {
        return Some(former);
    }
    slot.former.push_back(former);
    if slot.former.len() > MAX_FORMER { slot.former.pop_front() } else { None }
}

/// Lets go of a link, without a lock.
pub(super) fn give_up<H: Hooks, B: Blueprint<H>>(gone: Option<Attached<H, B>>) {
    let Some(gone) = gone else { return };
    match <B::Options as LinkOptions>::let_go(&gone.link) {
        0 => {}
        lost => warn!(lost, address = %gone.address, "messages of a lost link were never taken"),
    }
}

pub(super) fn waiting<H: Hooks, B: Blueprint<H>>(link: &Attached<H, B>) -> usize {
    <B::Options as LinkOptions>::waiting(&link.link)
}

/// Links left with messages on them that nobody has taken; only a receiver that is attached again and again without
/// ever being asked for a message has more than one or two.
const MAX_FORMER: usize = 16;
