//! Credit of links that come back: what an application grants by hand, takes back and asks for, from one link to the next.

use std::sync::Arc;

use super::blueprint::Blueprint;
use super::error::RecoveryError;
use super::hooks::Hooks;
use super::link::{Attached, Restored, Slot, waiting};
use crate::handle::error::{DetachReason, RecvError};
use crate::handle::options::ReceiverOptions;
use crate::handle::receiver::Receiver;

/// What a peer is asked that answers on its link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// To send what it has within its credit, and to give the rest back.
    Drain,
    /// How many messages it has.
    Available,
}

impl Question {
    async fn ask(self, link: &Receiver) -> Result<u32, RecvError> {
        match self {
            Self::Drain => link.drain().await.map(|()| 0),
            Self::Available => link.available().await,
        }
    }
}

impl<H: Hooks, B: Blueprint<H, Options = ReceiverOptions>> Restored<H, B> {
    /// Raises the credit granted by hand by `messages`, now and for links to come.
    pub(super) fn add_credit(&self, messages: u32) {
        let mut slot = self.slot();
        slot.told.is_stopped = false;
        slot.told.credit = slot.told.credit.saturating_add(messages);
        if let Some(attached) = &slot.attached {
            // A link that has ended is noticed by whoever waits.
            let _ = attached.link.add_credit(messages);
        }
    }

    /// Raises the credit granted by hand to at least `messages`.
    pub(super) fn raise_credit(&self, messages: u32) {
        let missing = messages.saturating_sub(self.slot().told.credit);
        if missing > 0 {
            self.add_credit(missing);
        }
    }

    /// Sets the credit: so many messages besides those that have come.
    pub(super) fn set_credit(&self, messages: u32) {
        let mut slot = self.slot();
        slot.told.is_stopped = false;
        slot.told.credit = all_waiting(&slot).saturating_add(messages);
        if let Some(attached) = &slot.attached {
            // A link that has ended is noticed by whoever waits.
            let _ = attached.link.set_credit(messages);
        }
    }

    /// A message has used credit up.
    pub(super) fn use_credit(&self, attached: &Attached<H, B>) {
        if attached.is_credit_manual {
            let mut slot = self.slot();
            slot.told.credit = slot.told.credit.saturating_sub(1);
        }
    }

    /// Takes all credit back, from this link and those to come, and waits until that stands.
    pub(super) async fn stop(&self) -> Result<(), H::Error> {
        let begun = {
            let mut slot = self.slot();
            slot.told.is_stopped = true;
            slot.told.credit = all_waiting(&slot);
            let attached = slot.attached.clone();
            attached.and_then(|attached| Some((attached.link.begin_to_stop().ok()?, attached)))
        };
        let Some((asked, attached)) = begun else { return Ok(()) };
        let stopped = attached.link.stopped(asked).await;
        let mut slot = self.slot();
        if slot.told.is_stopped {
            // More may have come since.
            slot.told.credit = all_waiting(&slot);
        }
        match stopped {
            Err(RecvError::Regranted) => Err(RecoveryError::Regranted.into()),
            // What is gone has no credit, and the next link begins without.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Grants credit again after a stop, as the options say.
    pub(super) fn start(&self) {
        let mut slot = self.slot();
        if std::mem::take(&mut slot.told.is_stopped)
            && let Some(attached) = &slot.attached
        {
            // A link that has ended is noticed by whoever waits.
            let _ = attached.link.start();
        }
    }

    /// Asks the peer, and the next one where the link is lost before it has answered.
    pub(super) async fn ask(self: &Arc<Self>, question: Question) -> Result<u32, H::Error> {
        let mut attempt = 0;
        loop {
            let attached = self.attached().await?;
            if matches!(question, Question::Drain) {
                self.slot().told.is_stopped = false;
            }
            let error = match question.ask(&attached.link).await {
                Ok(answer) => {
                    if matches!(question, Question::Drain) {
                        let mut slot = self.slot();
                        slot.told.credit = all_waiting(&slot);
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.go_on_after(&attached, &error, &mut attempt).await?;
        }
    }

    /// Sees to the end of a link that was received from or asked.
    pub(super) async fn go_on_after(
        &self,
        attached: &Attached<H, B>,
        error: &RecvError,
        attempt: &mut u32,
    ) -> Result<(), H::Error> {
        let reason: Option<&DetachReason> = match error {
            RecvError::Regranted => return Err(RecoveryError::Regranted.into()),
            RecvError::Detached(reason) => Some(reason),
            RecvError::NoRoom | RecvError::Lost(_) => None,
        };
        self.see_ended(attached, reason, attempt).await
    }
}

/// Messages that have come and wait to be taken, on this link and those before it.
pub(super) fn all_waiting<H: Hooks, B: Blueprint<H>>(slot: &Slot<H, B>) -> u32 {
    let waiting: usize = slot.former.iter().chain(&slot.attached).map(waiting).sum();
    u32::try_from(waiting).unwrap_or(u32::MAX)
}
