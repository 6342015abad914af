//! Links that come back after their connection was lost.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Backoff;
use super::connection::RecoveringConnection;
use super::error::RecoveryError;
use super::hooks::{Hooks, LinkEnd, LinkVerdict};
use super::live::Live;
use crate::handle::error::{AttachError, DetachReason};
use crate::handle::options::{CreditMode, ReceiverOptions, SenderOptions};
use crate::handle::receiver::Receiver;
use crate::handle::sender::Sender;
use crate::handle::session::Session;

/// How a link is attached, drawn up anew for each connection. [`SenderOptions`] and [`ReceiverOptions`] are blueprints of
/// links that are the same each time; others may change the address, the name or a filter that says where to go on.
pub trait Blueprint<H: Hooks>: fmt::Debug + Send + Sync + 'static {
    /// [`SenderOptions`] or [`ReceiverOptions`].
    type Options: LinkOptions;

    /// The options for attaching on this connection.
    ///
    /// # Errors
    /// What keeps the link from being attached; it is asked again after a pause, a bounded number of times.
    ///
    /// # Cancel safety
    /// It is dropped with the operation that attaches, and asked again by the next.
    fn draw(&self, live: &Live<H::Context>) -> impl Future<Output = Result<Self::Options, H::Error>> + Send;
}

impl<H: Hooks> Blueprint<H> for SenderOptions {
    type Options = Self;

    async fn draw(&self, _live: &Live<H::Context>) -> Result<Self, H::Error> {
        Ok(self.clone())
    }
}

impl<H: Hooks> Blueprint<H> for ReceiverOptions {
    type Options = Self;

    async fn draw(&self, _live: &Live<H::Context>) -> Result<Self, H::Error> {
        Ok(self.clone())
    }
}

/// Options of a link of either role. Nobody else can be one.
pub trait LinkOptions: sealed::Sealed + fmt::Debug + Send + 'static {
    /// The handle of the attached link.
    type Handle: fmt::Debug + Send + Sync + 'static;

    #[doc(hidden)]
    fn address(&self) -> String;

    #[doc(hidden)]
    fn is_credit_manual(&self) -> bool;

    #[doc(hidden)]
    fn attach(self, session: &Session) -> impl Future<Output = Result<Self::Handle, AttachError>> + Send;

    #[doc(hidden)]
    fn grant(link: &Self::Handle, messages: u32);
}

mod sealed {
    #[expect(unnameable_types, reason = "what cannot be named cannot be implemented by others")]
    pub trait Sealed {}
    impl Sealed for super::SenderOptions {}
    impl Sealed for super::ReceiverOptions {}
}

impl LinkOptions for SenderOptions {
    type Handle = Sender;

    fn address(&self) -> String {
        let target = self.config.target.as_ref();
        target.and_then(|target| target.address()).map(ToString::to_string).unwrap_or_default()
    }

    fn is_credit_manual(&self) -> bool {
        false
    }

    async fn attach(self, session: &Session) -> Result<Sender, AttachError> {
        session.attach_sender(self).await
    }

    fn grant(_link: &Sender, _messages: u32) {}
}

impl LinkOptions for ReceiverOptions {
    type Handle = Receiver;

    fn address(&self) -> String {
        let source = self.config.source.as_ref();
        source.and_then(|source| source.address.as_ref()).map(ToString::to_string).unwrap_or_default()
    }

    fn is_credit_manual(&self) -> bool {
        self.credit == CreditMode::Manual
    }

    async fn attach(self, session: &Session) -> Result<Receiver, AttachError> {
        session.attach_receiver(self).await
    }

    fn grant(link: &Receiver, messages: u32) {
        // A link that has ended is noticed by whoever waits.
        let _ = link.add_credit(messages);
    }
}

/// A link on whatever connection there is.
#[derive(Debug)]
pub(super) struct Restored<H: Hooks, B: Blueprint<H>> {
    pub(super) connection: RecoveringConnection<H>,
    pub(super) blueprint: B,
    slot: Mutex<Slot<H, B>>,
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Slot<H: Hooks, B: Blueprint<H>> {
    attached: Option<Attached<H, B>>,
    /// Credit granted by hand and not used: the next link is granted it, too.
    credit: u32,
}

/// A link and the connection it is on.
#[derive(Debug)]
pub(super) struct Attached<H: Hooks, B: Blueprint<H>> {
    pub(super) live: Arc<Live<H::Context>>,
    pub(super) link: Arc<<B::Options as LinkOptions>::Handle>,
    pub(super) address: Arc<str>,
    is_credit_manual: bool,
}

impl<H: Hooks, B: Blueprint<H>> Clone for Attached<H, B> {
    fn clone(&self) -> Self {
        Self {
            live: Arc::clone(&self.live),
            link: Arc::clone(&self.link),
            address: Arc::clone(&self.address),
            is_credit_manual: self.is_credit_manual,
        }
    }
}

impl<H: Hooks, B: Blueprint<H>> Restored<H, B> {
    pub(super) fn new(connection: RecoveringConnection<H>, blueprint: B) -> Self {
        let slot = Mutex::new(Slot { attached: None, credit: 0 });
        Self { connection, blueprint, slot, opening: tokio::sync::Mutex::new(()) }
    }

    /// The link, attached where it is not yet. Waits for a connection without limit.
    pub(super) async fn attached(&self) -> Result<Attached<H, B>, H::Error> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let _opening = self.opening.lock().await;
        let mut attempt = 0;
        loop {
            // Another call may have opened it while this one waited.
            if let Some(current) = self.current() {
                return Ok(current);
            }
            let live = self.connection.live().await?;
            match self.attach_to(&live).await {
                Ok(attached) => {
                    let mut slot = self.slot();
                    if attached.is_credit_manual && slot.credit > 0 {
                        <B::Options as LinkOptions>::grant(&attached.link, slot.credit);
                    }
                    slot.attached = Some(attached.clone());
                    return Ok(attached);
                }
                Err(LinkVerdict::Reconnect) => live.condemn(),
                Err(LinkVerdict::GiveUp(error)) => return Err(error),
                Err(LinkVerdict::AttachAgain(error)) => self.wait(&mut attempt, error).await?,
            }
        }
    }

    /// As [`attached`](Self::attached), within the operation time-out.
    pub(super) async fn attached_in_time(&self) -> Result<(), H::Error> {
        match timeout(self.connection.options().operation_timeout, self.attached()).await {
            Ok(attached) => attached.map(drop),
            Err(_) => Err(RecoveryError::TimedOut { what: "attaching the link" }.into()),
        }
    }

    /// Counts one more failure of a link and waits before the next; fails with `error` when there were too many.
    pub(super) async fn wait(&self, attempt: &mut u32, error: H::Error) -> Result<(), H::Error> {
        let options = self.connection.options();
        *attempt = attempt.saturating_add(1);
        if *attempt >= options.link_attempts {
            return Err(error);
        }
        debug!(attempt, %error, "link not usable, it will be attached again");
        sleep(Backoff::NORMAL.next_delay(attempt.saturating_add(1), options.random())).await;
        Ok(())
    }

    pub(super) fn verdict(&self, address: &str, reason: &DetachReason) -> LinkVerdict<H::Error> {
        self.connection.hooks().link_verdict(address, LinkEnd::Detached(reason))
    }

    /// Forgets a link that has ended, so that the next call attaches it anew.
    pub(super) fn forget(&self, ended: &Attached<H, B>) {
        let mut slot = self.slot();
        let is_current =
            slot.attached.as_ref().is_some_and(|current| Arc::ptr_eq(&current.link, &ended.link));
        let gone = if is_current { slot.attached.take() } else { None };
        // Dropping the link's last handle takes the connection's lock.
        drop(slot);
        drop(gone);
    }

    /// Takes the link out, for detaching it.
    pub(super) fn take(&self) -> Option<Attached<H, B>> {
        self.slot().attached.take()
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

    fn slot(&self) -> MutexGuard<'_, Slot<H, B>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attach_to(&self, live: &Arc<Live<H::Context>>) -> Result<Attached<H, B>, LinkVerdict<H::Error>> {
        let attaching = async {
            let options = match self.blueprint.draw(live).await {
                Ok(options) => options,
                Err(_) if !live.connection().is_open() => return Err(LinkVerdict::Reconnect),
                Err(error) => return Err(LinkVerdict::AttachAgain(error)),
            };
            let (address, is_credit_manual) = (options.address(), options.is_credit_manual());
            match options.attach(live.session()).await {
                Ok(link) => Ok(Attached {
                    live: Arc::clone(live),
                    link: Arc::new(link),
                    address: address.into(),
                    is_credit_manual,
                }),
                Err(error) => {
                    Err(self.connection.hooks().link_verdict(&address, LinkEnd::NotAttached(&error)))
                }
            }
        };
        match timeout(self.connection.options().operation_timeout, attaching).await {
            Ok(result) => result,
            // A peer that does not answer is as good as gone.
            Err(_) => Err(LinkVerdict::Reconnect),
        }
    }
}
