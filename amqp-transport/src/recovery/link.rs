//! Links that come back after their connection was lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::Backoff;
use super::blueprint::{Blueprint, Keeping, LinkOptions};
use super::connection::RecoveringConnection;
use super::error::RecoveryError;
use super::hooks::{Hooks, LinkEnd, LinkVerdict};
use super::live::Live;
use crate::handle::error::{AttachError, DetachReason, EndReason};

/// A link on whatever connection there is.
#[derive(Debug)]
pub(super) struct Restored<H: Hooks, B: Blueprint<H>> {
    pub(super) connection: RecoveringConnection<H>,
    pub(super) blueprint: B,
    slot: Mutex<Slot<H, B>>,
    opening: Arc<tokio::sync::Mutex<()>>,
    /// What goes on whether anybody waits for it or not, where links are resumed: attaching one, and watching one.
    pub(super) tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
pub(super) struct Slot<H: Hooks, B: Blueprint<H>> {
    attached: Option<Attached<H, B>>,
    /// Links before it, the oldest first, on which messages came that nobody has taken yet.
    former: VecDeque<Attached<H, B>>,
    /// Whether what is unsettled at a loss is resumed.
    keeping: Option<Keeping>,
    /// Links in a row that were resumed and soon detached.
    pub(super) detached: u32,
    /// How much was unsettled at the last link's end.
    rest: usize,
    /// Whether that was less than at the end of the one before it.
    is_getting_on: bool,
    /// What is left of the last link, until the next is attached.
    pub(super) left: Option<Left<<B::Options as LinkOptions>::Suspended>>,
    /// Credit granted by hand and not used: the next link is granted it, too.
    credit: u32,
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
    suspended: S,
    address: Arc<str>,
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
    is_credit_manual: bool,
    since: Instant,
}

/// What came of an attempt to attach a link that failed.
pub(super) struct NotAttached<E> {
    verdict: LinkVerdict<E>,
    /// What to say when a new connection for the link's sake comes to nothing too often; none where the connection was
    /// lost, which is not the link's fault.
    fault: Option<E>,
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
    pub(super) fn new(connection: RecoveringConnection<H>, blueprint: B) -> Self {
        let slot = Mutex::new(Slot {
            attached: None,
            former: VecDeque::new(),
            keeping: None,
            detached: 0,
            rest: 0,
            is_getting_on: false,
            left: None,
            credit: 0,
        });
        let (opening, tasks) = (Arc::default(), Mutex::default());
        Self { connection, blueprint, slot, opening, tasks }
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

    pub(super) fn verdict(&self, address: &str, reason: &DetachReason) -> LinkVerdict<H::Error> {
        self.connection.hooks().link_verdict(address, LinkEnd::Detached(reason))
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

    /// Raises the credit granted by hand by `messages`, now and for links to come.
    pub(super) fn add_credit(&self, messages: u32) {
        let mut slot = self.slot();
        slot.credit = slot.credit.saturating_add(messages);
        if let Some(attached) = &slot.attached {
            <B::Options as LinkOptions>::grant(&attached.link, messages);
        }
    }

    /// Raises the credit granted by hand to at least `messages`.
    pub(super) fn raise_credit(&self, messages: u32) {
        let mut slot = self.slot();
        let missing = messages.saturating_sub(slot.credit);
        if missing == 0 {
            return;
        }
        slot.credit = messages;
        if let Some(attached) = &slot.attached {
            <B::Options as LinkOptions>::grant(&attached.link, missing);
        }
    }

    /// A message has used credit up.
    pub(super) fn use_credit(&self, attached: &Attached<H, B>) {
        if attached.is_credit_manual {
            let mut slot = self.slot();
            slot.credit = slot.credit.saturating_sub(1);
        }
    }

    /// The link, where it is on a connection on which something new may begin.
    fn current(&self) -> Option<Attached<H, B>> {
        self.slot().attached.as_ref().filter(|attached| !attached.live.is_condemned()).cloned()
    }

    /// Puts a link in the place of the one before it, which is kept while it has messages that nobody has taken.
    fn install(&self, attached: &Attached<H, B>) {
        let mut slot = self.slot();
        let former = slot.attached.replace(attached.clone());
        let gone = former.and_then(|former| keep_former(&mut slot, former));
        // What waits there has used its share of the credit up and is yet to be counted.
        let used: usize = slot.former.iter().map(waiting).sum();
        let credit = slot.credit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        if attached.is_credit_manual && credit > 0 {
            <B::Options as LinkOptions>::grant(&attached.link, credit);
        }
        drop(slot);
        give_up(gone);
    }

    pub(super) fn slot(&self) -> MutexGuard<'_, Slot<H, B>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn attach_to(
        &self,
        live: &Arc<Live<H::Context>>,
    ) -> Result<Attached<H, B>, NotAttached<H::Error>> {
        let attaching = async {
            let options = match self.blueprint.draw(live).await {
                Ok(options) => options,
                Err(_) if !live.connection().is_open() => {
                    return Err(NotAttached { verdict: LinkVerdict::Reconnect, fault: None });
                }
                Err(error) => {
                    return Err(NotAttached { verdict: LinkVerdict::AttachAgain(error), fault: None });
                }
            };
            let (address, is_credit_manual) = (options.address(), options.is_credit_manual());
            match self.attach(live, options, &address).await {
                Ok(link) => {
                    let (live, link) = (Arc::clone(live), Arc::new(link));
                    let address = address.into();
                    let attached = Attached { live, link, address, is_credit_manual, since: Instant::now() };
                    self.install(&attached);
                    Ok(attached)
                }
                Err(error) => Err(self.not_attached(live, address, &error)),
            }
        };
        match timeout(self.connection.options().operation_timeout, attaching).await {
            Ok(result) => result,
            // A peer that does not answer is as good as gone.
            Err(_) => Err(NotAttached {
                verdict: LinkVerdict::Reconnect,
                fault: Some(RecoveryError::TimedOut { what: "attaching the link" }.into()),
            }),
        }
    }

    /// Attaches a link, going on with what is left of the last one where it is the same.
    async fn attach(
        &self,
        live: &Live<H::Context>,
        options: B::Options,
        address: &str,
    ) -> Result<<B::Options as LinkOptions>::Handle, AttachError> {
        let Some(keeping) = self.keeping() else { return options.attach(live.session()).await };
        let options = options.keep(keeping);
        let left = self.slot().left.take();
        match left.filter(|left| options.goes_on(&left.suspended) && *left.address == *address) {
            None => {
                let link = options.attach(live.session()).await?;
                <B::Options as LinkOptions>::begun(&link);
                Ok(link)
            }
            Some(left) => options.resume(live.session(), left.suspended).await.map_err(|refused| {
                let address = left.address;
                self.slot().left = refused.suspended.map(|suspended| Left { suspended: *suspended, address });
                refused.error
            }),
        }
    }

    fn keeping(&self) -> Option<Keeping> {
        self.slot().keeping
    }

    fn not_attached(
        &self,
        live: &Live<H::Context>,
        address: String,
        error: &AttachError,
    ) -> NotAttached<H::Error> {
        let verdict = self.connection.hooks().link_verdict(&address, LinkEnd::NotAttached(error));
        let is_lost = matches!(error, AttachError::Lost(_) | AttachError::SessionEnded(EndReason::Lost(_)));
        // Condemned: the connection was being left for another's sake.
        let is_at_fault = !is_lost && !live.is_condemned();
        let fault = is_at_fault.then(|| RecoveryError::attach(address, error.clone()).into());
        NotAttached { verdict, fault }
    }
}

/// Puts a link among those that messages are still taken from, where some wait; returns one whose messages are not.
fn keep_former<H: Hooks, B: Blueprint<H>>(
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
fn give_up<H: Hooks, B: Blueprint<H>>(gone: Option<Attached<H, B>>) {
    let Some(gone) = gone else { return };
    match <B::Options as LinkOptions>::let_go(&gone.link) {
        0 => {}
        lost => warn!(lost, address = %gone.address, "messages of a lost link were never taken"),
    }
}

fn waiting<H: Hooks, B: Blueprint<H>>(link: &Attached<H, B>) -> usize {
    <B::Options as LinkOptions>::waiting(&link.link)
}

/// Links left with messages on them that nobody has taken; only a receiver that is attached again and again without
/// ever being asked for a message has more than one or two.
const MAX_FORMER: usize = 16;
