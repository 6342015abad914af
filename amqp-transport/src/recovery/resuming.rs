//! Links that are resumed after a loss: what goes on for them whether anybody waits or not.
//!
//! Owns the tasks of such a link: one that attaches it, which a caller who leaves must not stop half-way, and one that
//! watches it, so that messages on their way at a loss come to their end though nobody sends another.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::{Instant, timeout};

use super::attaching::NotAttached;
use super::blueprint::{Blueprint, LinkOptions};
use super::error::RecoveryError;
use super::hooks::{Hooks, LinkVerdict};
use super::link::{Attached, Restored};
use super::live::Live;
use super::status::RecoveryStatus;

/// What an attempt to attach came to, and the right to try again.
type Attempted<H, B> = (Result<Attached<H, B>, NotAttached<<H as Hooks>::Error>>, OwnedMutexGuard<()>);

impl<H: Hooks, B: Blueprint<H>> Restored<H, B> {
    /// Attaches in a task of its own, which goes on when the caller leaves: what is resumed half-way would be lost.
    pub(super) async fn attach_apart(
        self: &Arc<Self>,
        live: Arc<Live<H::Context>>,
        opening: OwnedMutexGuard<()>,
    ) -> Result<Attempted<H, B>, H::Error> {
        let (tell, told) = oneshot::channel();
        let this = Arc::clone(self);
        self.go_on(async move {
            this.retire().await;
            let result = this.attach_to(&live).await;
            if let Ok(attached) = &result {
                this.go_on(Arc::clone(&this).watch(attached.clone()));
            }
            // Nobody waits any more: the link is there for the next.
            let _ = tell.send((result, opening));
        });
        told.await.map_err(|_| RecoveryError::Closed.into())
    }

    /// Stops what goes on: the owner is gone.
    pub(super) fn abandon(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        if let Some(last) = self.last() {
            <B::Options as LinkOptions>::over(&last.link);
        }
    }

    fn go_on(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Takes what is left of a link whose connection is being replaced, once that is closed.
    async fn retire(&self) {
        if let Some(old) = self.last() {
            let detached = <B::Options as LinkOptions>::detached(&old.link);
            // A peer that does not answer: its messages end with the connection.
            let _ = timeout(self.connection.options().close_timeout, detached).await;
            self.forget(&old);
        }
    }

    /// Boxed: seeing a link out attaches the next, which is watched in turn.
    fn watch(self: Arc<Self>, attached: Attached<H, B>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { self.see_out(attached).await })
    }

    /// Waits for the end of a link and sees to it that its messages end: on the next link, or, where there is none in
    /// time, as unknown.
    async fn see_out(self: &Arc<Self>, attached: Attached<H, B>) {
        let since = Instant::now();
        let reason = <B::Options as LinkOptions>::detached(&attached.link).await;
        self.forget(&attached);
        if !self.has_left().await {
            return;
        }
        let is_resumed = match self.verdict(&attached.address, &reason) {
            LinkVerdict::Reconnect => {
                attached.live.condemn();
                self.resumed_in_time(&attached).await
            }
            LinkVerdict::AttachAgain(error) => {
                self.pause(since, error).await.is_ok() && self.resumed_in_time(&attached).await
            }
            LinkVerdict::GiveUp(_) => false,
        };
        if !is_resumed && self.has_left().await {
            let left = self.slot().left.take();
            // Its messages end, which takes their connection's lock.
            drop(left);
        }
    }

    /// Whether something is left of the last link, once nobody is about to resume it: an attempt has it in its hands, and
    /// where it fails and its caller is gone, there is nobody else to end it. Attempts are bounded, and so is this.
    async fn has_left(&self) -> bool {
        loop {
            if self.slot().left.is_some() {
                return true;
            }
            if self.last().is_some() {
                return false;
            }
            let limit = self.connection.options().operation_timeout;
            if timeout(limit, self.opening.lock()).await.is_ok() {
                return self.slot().left.is_some();
            }
        }
    }

    /// The pause before a link is resumed that was detached, longer for each that did not last; fails with `error` when
    /// there were too many of those.
    async fn pause(&self, since: Instant, error: H::Error) -> Result<(), H::Error> {
        let has_lasted = since.elapsed() >= self.connection.options().settled_after;
        // what is told in parts takes as many links.
        let is_sound = self.is_getting_on() || has_lasted;
        let mut attempt = if is_sound { 0 } else { self.slot().detached };
        let paused = self.wait(&mut attempt, error).await;
        self.slot().detached = attempt;
        paused
    }

    async fn resumed_in_time(self: &Arc<Self>, lost: &Attached<H, B>) -> bool {
        let resuming = async {
            let old = lost.live.generation();
            let is_back = |status: &RecoveryStatus<H::Error>| match status {
                RecoveryStatus::Connected { generation } => !lost.live.is_condemned() || *generation != old,
                other => other.is_final(),
            };
            // Messages on their way wait for a connection, whatever new ones do.
            let _ = self.connection.status().wait_for(is_back).await;
            self.attached().await.is_ok()
        };
        timeout(self.connection.options().operation_timeout, resuming).await.unwrap_or(false)
    }
}
