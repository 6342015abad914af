//! The loop that keeps a connection: connects, watches, connects again.
//!
//! Owns which connection there is and what is told about it. It never touches a link.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::Backoff;
use super::error::RecoveryError;
use super::hooks::{Attempt, Hooks, Parting, Verdict};
use super::live::Live;
use super::options::{PeerAddress, RecoveryOptions, WhileDown};
use super::status::RecoveryStatus;

/// What the loop and the handles share.
#[derive(Debug)]
pub(super) struct Core<H: Hooks> {
    pub(super) hooks: H,
    pub(super) options: RecoveryOptions,
    pub(super) status: watch::Sender<RecoveryStatus<H::Error>>,
    pub(super) closing: watch::Sender<bool>,
    addresses: Vec<PeerAddress>,
    state: watch::Sender<State<H>>,
}

#[derive(Debug)]
enum State<H: Hooks> {
    Down(Option<H::Error>),
    Live(Arc<Live<H::Context>>),
    Over(H::Error),
}

impl<H: Hooks> Clone for State<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Down(cause) => Self::Down(cause.clone()),
            Self::Live(live) => Self::Live(Arc::clone(live)),
            Self::Over(error) => Self::Over(error.clone()),
        }
    }
}

/// Why a connection is not attended to any more.
enum Ended<E> {
    /// It was lost; another is to be made.
    Lost(E),
    /// It is to be replaced while it is sound.
    Planned(E),
    /// The owner closes.
    Closing,
}

/// What the loop remembers from one connection to the next.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Rounds of the present outage.
    attempts: u32,
    /// When the present outage began.
    since: Option<Instant>,
    /// The address that worked last.
    at: usize,
    /// How many times it was connected.
    generation: u64,
}

impl<H: Hooks> Core<H> {
    pub(super) fn new(addresses: Vec<PeerAddress>, options: RecoveryOptions, hooks: H) -> Self {
        Self {
            hooks,
            options,
            status: watch::Sender::new(RecoveryStatus::Connecting),
            closing: watch::Sender::new(false),
            addresses,
            state: watch::Sender::new(State::Down(None)),
        }
    }

    /// The connection, once there is one that works.
    pub(super) async fn live(&self) -> Result<Arc<Live<H::Context>>, H::Error> {
        let mut changes = self.state.subscribe();
        loop {
            let state = changes.borrow_and_update().clone();
            match state {
                State::Live(live) if !live.is_condemned() => return Ok(live),
                State::Over(error) => return Err(error),
                State::Down(cause) if self.options.while_down == WhileDown::Fail => {
                    return Err(cause.unwrap_or_else(|| RecoveryError::NotConnected.into()));
                }
                State::Live(_) if self.options.while_down == WhileDown::Fail => {
                    return Err(RecoveryError::NotConnected.into());
                }
                State::Live(_) | State::Down(_) => {}
            }
            if changes.changed().await.is_err() {
                return Err(RecoveryError::Closed.into());
            }
        }
    }

    /// Tries each address that is not barred once, the one that worked last first. An address that fails for good is
    /// barred; the error returned is the last one that may pass, or the last of all where none may.
    pub(super) async fn round(
        &self,
        progress: &mut Progress,
        barred: &mut Vec<usize>,
    ) -> Result<Arc<Live<H::Context>>, H::Error> {
        let generation = progress.generation.saturating_add(1);
        let mut passing = None;
        let mut last = None;
        let (before, from) = self.addresses.split_at(progress.at.min(self.addresses.len()));
        let order = (progress.at..).zip(from).chain((0..).zip(before));
        for (index, address) in order {
            if barred.contains(&index) {
                continue;
            }
            let attempt = Attempt { address, number: progress.attempts, generation };
            let connecting = self.hooks.connect(&attempt);
            let error = match timeout(self.options.attempt_timeout, connecting).await {
                Ok(Ok(established)) => {
                    progress.at = index;
                    progress.generation = generation;
                    return Ok(Arc::new(Live::new(generation, established)));
                }
                Ok(Err(error)) => error,
                Err(_) => RecoveryError::TimedOut { what: "connecting" }.into(),
            };
            info!(attempt = progress.attempts, %address, %error, "cannot connect");
            match self.hooks.verdict(&error) {
                Verdict::Retry(_) => passing = Some(error),
                Verdict::GiveUp => {
                    barred.push(index);
                    last = Some(error);
                }
            }
        }
        Err(passing.or(last).unwrap_or_else(|| RecoveryError::NoAddress.into()))
    }

    pub(super) fn publish_live(&self, live: &Arc<Live<H::Context>>) {
        self.state.send_replace(State::Live(Arc::clone(live)));
        self.status.send_replace(RecoveryStatus::Connected { generation: live.generation() });
    }

    fn publish_waiting(&self, attempt: u32, cause: H::Error, pause: Duration) {
        self.state.send_replace(State::Down(Some(cause.clone())));
        self.status.send_replace(RecoveryStatus::Reconnecting { attempt, cause, pause });
    }

    fn publish_over(&self, status: RecoveryStatus<H::Error>) {
        let error = match &status {
            RecoveryStatus::Failed(error) => error.clone(),
            _ => RecoveryError::Closed.into(),
        };
        self.state.send_replace(State::Over(error));
        self.status.send_replace(status);
    }

    async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives in `self`, so waiting ends only when closing begins.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// Watches a connection until something ends it. One that has lasted a while ends the outage before it.
    async fn attend(&self, live: &Live<H::Context>, progress: &mut Progress) -> Ended<H::Error> {
        let mut attending = std::pin::pin!(self.hooks.attend(live));
        let mut settled = std::pin::pin!(sleep(self.options.settled_after));
        let mut is_settled = false;
        loop {
            tokio::select! {
                biased;
                () = self.closing() => return Ended::Closing,
                reason = live.connection().closed() => {
                    return Ended::Lost(self.hooks.lost(live, RecoveryError::Lost(reason)));
                }
                reason = live.session().ended() => {
                    return Ended::Lost(self.hooks.lost(live, RecoveryError::SessionEnded(reason)));
                }
                () = live.condemned() => {
                    return Ended::Lost(self.hooks.lost(live, RecoveryError::Condemned));
                }
                () = &mut settled, if !is_settled => {
                    is_settled = true;
                    progress.attempts = 0;
                    progress.since = None;
                }
                parting = &mut attending => return match parting {
                    Parting::Lost(error) => Ended::Lost(error),
                    Parting::Planned(error) => Ended::Planned(error),
                },
            }
        }
    }

    /// Leaves a connection: what is under way may end where anything can be expected of it.
    async fn part(&self, live: &Live<H::Context>) {
        if live.connection().is_open() && timeout(self.options.drain_timeout, live.drained()).await.is_err() {
            warn!("messages are still under way on a connection that is being closed");
        }
        let _ = timeout(self.options.close_timeout, live.connection().close()).await;
    }

    /// Connects again within the bounds, until it succeeds, the owner closes, or no address is worth another attempt.
    async fn reconnect(
        &self,
        progress: &mut Progress,
        mut cause: H::Error,
        mut barred: Vec<usize>,
        bounds: Bounds,
    ) -> Result<Arc<Live<H::Context>>, RecoveryStatus<H::Error>> {
        let result = {
            let trying = self.try_to_connect(progress, &mut cause, &mut barred, bounds.attempts);
            tokio::select! {
                biased;
                () = self.closing() => return Err(RecoveryStatus::Closed),
                result = trying => Some(result),
                () = maybe_sleep_until(bounds.until) => None,
            }
        };
        match result {
            Some(Ok(live)) => Ok(live),
            Some(Err(error)) => Err(RecoveryStatus::Failed(error)),
            None => Err(RecoveryStatus::Failed(cause)),
        }
    }

    /// Rounds with growing pauses; `cause` is the latest error that may pass.
    async fn try_to_connect(
        &self,
        progress: &mut Progress,
        cause: &mut H::Error,
        barred: &mut Vec<usize>,
        attempts: Option<u32>,
    ) -> Result<Arc<Live<H::Context>>, H::Error> {
        loop {
            if attempts.is_some_and(|most| progress.attempts >= most) {
                return Err(cause.clone());
            }
            progress.attempts = progress.attempts.saturating_add(1);
            let backoff = match self.hooks.verdict(cause) {
                Verdict::Retry(backoff) => backoff,
                // A connection that was usable: whatever ended it, the next attempt tells whether it passes.
                Verdict::GiveUp => Backoff::NORMAL,
            };
            let pause = backoff.next_delay(progress.attempts, self.options.random());
            self.publish_waiting(progress.attempts, cause.clone(), pause);
            sleep(pause).await;
            match self.round(progress, barred).await {
                Ok(live) => return Ok(live),
                Err(error) if barred.len() >= self.addresses.len() => return Err(error),
                Err(error) => *cause = error,
            }
        }
    }

    fn bounds(&self, progress: &mut Progress) -> Bounds {
        let since = *progress.since.get_or_insert_with(Instant::now);
        Bounds {
            attempts: self.options.attempts,
            until: self.options.time.and_then(|longest| since.checked_add(longest)),
        }
    }

    /// The bounds of replacing a sound connection: no loss, so one that may not be recovered from losses is replaced all
    /// the same.
    fn planned_bounds(&self, progress: &mut Progress) -> Bounds {
        match self.options.attempts {
            Some(0) => {
                Bounds { attempts: None, until: Instant::now().checked_add(self.options.attempt_timeout) }
            }
            _ => self.bounds(progress),
        }
    }
}

/// How long to go on with an outage.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    attempts: Option<u32>,
    until: Option<Instant>,
}

/// Keeps a connection until its owner closes it or it fails for good. Without a first connection it begins with one.
pub(super) async fn run<H: Hooks>(
    core: Arc<Core<H>>,
    mut progress: Progress,
    first: Option<Arc<Live<H::Context>>>,
) {
    let guard = Guard { core: &core };
    let last = keep(&core, &mut progress, first).await;
    core.publish_over(last);
    drop(guard);
}

async fn keep<H: Hooks>(
    core: &Core<H>,
    progress: &mut Progress,
    first: Option<Arc<Live<H::Context>>>,
) -> RecoveryStatus<H::Error> {
    let mut live = match first {
        Some(live) => live,
        None => match begin(core, progress).await {
            Ok(live) => live,
            Err(status) => return status,
        },
    };
    loop {
        core.publish_live(&live);
        debug!(generation = live.generation(), "connected");
        let ended = core.attend(&live, progress).await;
        live.condemn();
        let (cause, bounds) = match ended {
            Ended::Lost(error) => {
                warn!(generation = live.generation(), %error, "connection lost");
                (error, core.bounds(progress))
            }
            Ended::Planned(error) => (error, core.planned_bounds(progress)),
            Ended::Closing => {
                core.part(&live).await;
                return RecoveryStatus::Closed;
            }
        };
        core.publish_waiting(progress.attempts.saturating_add(1), cause.clone(), Duration::ZERO);
        core.part(&live).await;
        match core.reconnect(progress, cause, Vec::new(), bounds).await {
            Ok(next) => live = next,
            Err(status) => return status,
        }
        info!(generation = live.generation(), "connected again");
    }
}

/// The first connection of one that was started without waiting for it.
async fn begin<H: Hooks>(
    core: &Core<H>,
    progress: &mut Progress,
) -> Result<Arc<Live<H::Context>>, RecoveryStatus<H::Error>> {
    let mut barred = Vec::new();
    let bounds = core.bounds(progress);
    let first = tokio::select! {
        biased;
        () = core.closing() => return Err(RecoveryStatus::Closed),
        first = core.round(progress, &mut barred) => first,
        () = maybe_sleep_until(bounds.until) => {
            return Err(RecoveryStatus::Failed(RecoveryError::TimedOut { what: "connecting" }.into()));
        }
    };
    match first {
        Ok(live) => Ok(live),
        Err(error) if barred.len() >= core.addresses.len() => Err(RecoveryStatus::Failed(error)),
        Err(error) => core.reconnect(progress, error, barred, bounds).await,
    }
}

/// Leaves nobody waiting when the task is stopped with its runtime.
struct Guard<'a, H: Hooks> {
    core: &'a Core<H>,
}

impl<H: Hooks> Drop for Guard<'_, H> {
    fn drop(&mut self) {
        if !self.core.status.borrow().is_final() {
            self.core.publish_over(RecoveryStatus::Closed);
        }
    }
}

async fn maybe_sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
