//! Senders between two attaches: what one leaves behind when it is lost or suspended, and how it goes on
//! (`AMQP 1.0 §2.6.13`).
//!
//! Every message of a suspended sender still ends exactly once: when the link is resumed, by what both ends then agree
//! on; when the [`SuspendedSender`] is dropped, as unknown.

use std::sync::{Arc, Weak};
use std::{mem, ptr};

use amqp_codec::{DeliveryTag, Role, Str};

use super::error::{AttachError, DetachReason, SendError};
use super::options::SenderOptions;
use super::receipt::Receipt;
use super::sender::Sender;
use super::session::Session;
use crate::driver::link::LinkInner;
use crate::driver::pending::{Before, Origin};
use crate::driver::slots::LinkPhase;
use crate::driver::termini::{Borrowed, Suspended};
use crate::engine::{DetachKind, SuspendedLink};

/// A sender that is not attached, with its unsettled messages, whose receipts wait: hand it to
/// [`Session::resume_sender`], on this connection or on another to the same peer.
///
/// Dropped, its messages end with [`SendError::OutcomeUnknown`], or with a proof that they never left.
#[derive(Debug)]
#[must_use = "the receipts of its messages wait for it to be resumed or dropped"]
pub struct SuspendedSender {
    /// The link that it was when it was lost; its messages hold it where there are any.
    link: Weak<LinkInner>,
    state: Box<SuspendedLink>,
    origins: Vec<Origin>,
    reason: DetachReason,
    /// Its place in the termini that it was taken from.
    pub(crate) borrowed: Option<Borrowed>,
    /// Receipts that an attach which failed had made for messages of an earlier process.
    restored: Vec<(DeliveryTag, Receipt)>,
}

/// Why a link could not be resumed.
#[derive(Debug, thiserror::Error)]
#[error("the link was not resumed: {error}")]
pub struct ResumeError<S> {
    /// Why.
    #[source]
    pub error: AttachError,
    /// The link, to try again. `None` where the peer ended it for good, or a listener's
    /// [`Termini`](crate::server::Termini), from which it was taken, keep it again, for the rest of its time.
    pub suspended: Option<Box<S>>,
}

impl Sender {
    /// Waits until the link is detached and takes what is left of it, to be resumed. For links attached with
    /// [`SenderOptions::keep_unsettled`].
    ///
    /// # Errors
    /// When the link was closed for good, by either side, or keeps nothing: why it ended.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the sender is gone, and with it what it kept.
    pub async fn suspended(self) -> Result<SuspendedSender, DetachReason> {
        let reason = self.link().detached().await;
        self.take_suspended().ok_or(reason)
    }

    /// What is left of the link once it is detached, where nobody has taken it but the listener's termini.
    pub(crate) fn take_suspended(&self) -> Option<SuspendedSender> {
        let reason = self.link().look(|slot| match &slot.phase {
            LinkPhase::Detached(end) => Some(end.reason.clone()),
            _ => None,
        });
        let shared = &self.link().connection.shared;
        let taken = shared.with(|state| state.take_suspended(self.link())).ok().flatten();
        if let Some((state, origins)) = taken {
            return Some(SuspendedSender::new(self.link(), state, origins, reason.flatten()?));
        }
        match shared.with(|state| state.reclaim(self.link().key)).ok().flatten()? {
            Suspended::Sender(kept) => Some(kept),
            Suspended::Receiver(_) => None,
        }
    }

    /// Detaches the link without closing it, waits for the peer's answer, and takes what is left of it
    /// (`AMQP 1.0 §2.6.4`).
    ///
    /// # Errors
    /// As [`suspended`](Self::suspended).
    ///
    /// # Cancel safety
    /// As [`suspended`](Self::suspended); once polled, detaching goes on in the connection's task.
    pub async fn suspend(self) -> Result<SuspendedSender, DetachReason> {
        // Lost: what follows says so.
        let _ = self.link().detach(DetachKind::Suspended, None).await;
        self.suspended().await
    }
}

impl SuspendedSender {
    /// Why the link is not attached.
    #[must_use]
    pub fn reason(&self) -> &DetachReason {
        &self.reason
    }

    /// Messages whose outcome is open.
    #[must_use]
    pub fn undecided_messages(&self) -> usize {
        self.state.deliveries.iter().filter(|delivery| !delivery.is_concluded).count()
    }

    /// The link as plain data, which can be written down ([`TerminusRecord`](crate::engine::TerminusRecord)). The receipts of its
    /// messages are not in it, since no receipt outlives its process.
    #[must_use]
    pub fn as_link(&self) -> &SuspendedLink {
        &self.state
    }

    /// A sender of an earlier process, from what was written down of it; `None` where that was a receiver. Resumed, it has
    /// [new receipts](Sender::take_receipts) for its messages, which end as the resume table says: a message that was
    /// settled after it had been written down is unknown to the receiver, and is sent to it again.
    pub fn from_link(link: SuspendedLink) -> Option<Self> {
        (link.role == Role::Sender).then(|| Self::restored(Box::new(link)))
    }
}

impl SuspendedSender {
    pub(crate) fn restored(state: Box<SuspendedLink>) -> Self {
        let (origins, reason) = (Vec::new(), DetachReason::Restored);
        Self { link: Weak::new(), state, origins, reason, borrowed: None, restored: Vec::new() }
    }

    /// What is left of a link, and where the receipts of its messages wait.
    pub(crate) fn new(
        link: &Arc<LinkInner>,
        state: Box<SuspendedLink>,
        origins: Vec<Origin>,
        reason: DetachReason,
    ) -> Self {
        Self { link: Arc::downgrade(link), state, origins, reason, borrowed: None, restored: Vec::new() }
    }

    /// What the engine needs to go on.
    pub(crate) fn state(&self) -> Box<SuspendedLink> {
        self.state.clone()
    }

    /// Forbids that the peer is sent what it may have had before.
    pub(crate) fn forbid_repeats(&mut self) {
        self.state.forbid_repeats();
    }

    pub(crate) fn name(&self) -> &Str {
        &self.state.name
    }

    /// What the link that goes on takes over.
    pub(crate) fn before(&self) -> Before<'_> {
        Before { origins: &self.origins, births: None }
    }

    /// Another link answers for the messages from here on. Gives the receipts that come along.
    pub(crate) fn hand_on(&mut self) -> Vec<(DeliveryTag, Receipt)> {
        self.origins.clear();
        mem::take(&mut self.restored)
    }
}

impl Drop for SuspendedSender {
    fn drop(&mut self) {
        for origin in self.origins.drain(..) {
            if ptr::eq(Arc::as_ptr(&origin.link), self.link.as_ptr()) {
                origin.lose(&self.reason);
            } else {
                // It has been on more than one connection.
                origin.resolve(Err(SendError::OutcomeUnknown(self.reason.clone())));
            }
        }
    }
}

impl Session {
    /// Attaches a suspended sender again, under its own name, and settles with the peer what became of each of its
    /// messages: those that the peer has decided end so, those that it does not have are sent again, those that neither
    /// can be said of end as unknown. New messages wait for them.
    ///
    /// # Errors
    /// As [`attach_sender`](Self::attach_sender), with the link to be tried again where that can help.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the link is closed, and its messages end as unknown.
    pub async fn resume_sender(
        &self,
        options: SenderOptions,
        mut suspended: SuspendedSender,
    ) -> Result<Sender, ResumeError<SuspendedSender>> {
        let mut config = options.config;
        config.name = suspended.state.name.clone();
        let (name, mode) = (config.name.clone(), config.snd_settle_mode);
        config.resume = Some(suspended.state.clone());
        let link = match self.start_attach(config, suspended.before()) {
            Ok(link) => link,
            Err(error) => return Err(ResumeError { error, suspended: Some(Box::new(suspended)) }),
        };
        let mut restored = suspended.hand_on();
        match Self::attached(&link).await {
            Ok(()) => Ok(Sender::new(link, name, mode).keeping().restoring(restored)),
            Err(error) => {
                restored.extend(link.take_restored());
                let taken = link.connection.shared.with(|state| state.take_suspended(&link)).ok().flatten();
                let suspended = taken.map(|(state, origins)| {
                    // It is the first link's end that tells what left of it.
                    let (link, reason) = (Weak::clone(&suspended.link), suspended.reason.clone());
                    let borrowed = suspended.borrowed.take();
                    Box::new(SuspendedSender { link, state, origins, reason, borrowed, restored })
                });
                Err(ResumeError { error, suspended })
            }
        }
    }
}

/// Held by a sender that keeps its unsettled messages: dropped, nobody will resume them.
#[derive(Debug)]
pub(crate) struct KeepGuard(pub(crate) Arc<LinkInner>);

impl Drop for KeepGuard {
    fn drop(&mut self) {
        // Poisoned: everything has ended.
        let _ = self.0.connection.shared.with(|state| state.give_up(self.0.key));
    }
}

#[cfg(test)]
mod tests;
