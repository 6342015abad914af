//! Attaching a link on a connection, in its session, and putting it in the place of the one before it.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::blueprint::{Blueprint, Keeping, LinkOptions};
use super::error::RecoveryError;
use super::hooks::{Hooks, LinkEnd, LinkVerdict, Verdict};
use super::link::{Attached, Left, Restored, give_up, keep_former, waiting};
use super::live::Live;
use crate::handle::error::{AttachError, EndReason, OpenError};
use crate::handle::session::Session;

/// What came of an attempt to attach a link that failed.
pub(super) struct NotAttached<E> {
    pub(super) verdict: LinkVerdict<E>,
    /// What to say when a new connection for the link's sake comes to nothing too often; none where the connection was
    /// lost, which is not the link's fault.
    pub(super) fault: Option<E>,
}

impl<E> From<LinkVerdict<E>> for NotAttached<E> {
    fn from(verdict: LinkVerdict<E>) -> Self {
        Self { verdict, fault: None }
    }
}

impl<H: Hooks, B: Blueprint<H>> Restored<H, B> {
    pub(super) async fn attach_to(
        &self,
        live: &Arc<Live<H::Context>>,
    ) -> Result<Attached<H, B>, NotAttached<H::Error>> {
        match timeout(self.connection.options().operation_timeout, self.attach_in_session(live)).await {
            Ok(result) => result,
            // A peer that does not answer is as good as gone.
            Err(_) => Err(NotAttached {
                verdict: LinkVerdict::Reconnect,
                fault: Some(RecoveryError::TimedOut { what: "attaching the link" }.into()),
            }),
        }
    }

    async fn attach_in_session(
        &self,
        live: &Arc<Live<H::Context>>,
    ) -> Result<Attached<H, B>, NotAttached<H::Error>> {
        let session = self.place.on(live).await.map_err(|error| self.not_begun(error))?;
        let options = match self.blueprint.draw(live).await {
            Ok(options) => options,
            Err(_) if !live.connection().is_open() => return Err(LinkVerdict::Reconnect.into()),
            Err(error) => return Err(LinkVerdict::AttachAgain(error).into()),
        };
        let is_stopped = self.slot().told.is_stopped;
        let options = if is_stopped { options.stopped() } else { options };
        let (address, is_credit_manual) = (options.address(), options.is_credit_manual());
        match self.attach(&session, options, &address).await {
            Ok(link) => {
                let (live, link, address) = (Arc::clone(live), Arc::new(link), address.into());
                let attached = Attached { live, link, address, is_credit_manual, since: Instant::now() };
                self.install(&attached, is_stopped);
                Ok(attached)
            }
            Err(error) => Err(self.not_attached(live, address, &error)),
        }
    }

    /// Attaches a link, going on with what is left of the last one where it is the same.
    async fn attach(
        &self,
        session: &Session,
        options: B::Options,
        address: &str,
    ) -> Result<<B::Options as LinkOptions>::Handle, AttachError> {
        let Some(keeping) = self.keeping() else { return options.attach(session).await };
        let options = options.keep(keeping);
        let left = self.slot().left.take();
        match left.filter(|left| options.goes_on(&left.suspended) && *left.address == *address) {
            None => {
                let link = options.attach(session).await?;
                <B::Options as LinkOptions>::begun(&link);
                Ok(link)
            }
            Some(left) => options.resume(session, left.suspended).await.map_err(|refused| {
                let address = left.address;
                self.slot().left = refused.suspended.map(|suspended| Left { suspended: *suspended, address });
                refused.error
            }),
        }
    }

    /// Puts a link in the place of the one before it, which is kept while it has messages that nobody has taken, and tells
    /// it what its application said meanwhile.
    fn install(&self, attached: &Attached<H, B>, began_stopped: bool) {
        let mut slot = self.slot();
        let former = slot.attached.replace(attached.clone());
        let gone = former.and_then(|former| keep_former(&mut slot, former));
        // What waits there has used its share of the credit up and is yet to be counted.
        let used: usize = slot.former.iter().map(waiting).sum();
        let credit = slot.told.credit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        match (slot.told.is_stopped, began_stopped) {
            (true, false) => <B::Options as LinkOptions>::stop(&attached.link),
            (false, true) => <B::Options as LinkOptions>::start(&attached.link),
            _ => {}
        }
        if attached.is_credit_manual && credit > 0 && !slot.told.is_stopped {
            <B::Options as LinkOptions>::grant(&attached.link, credit);
        }
        if slot.told.available > 0 {
            <B::Options as LinkOptions>::announce(&attached.link, slot.told.available);
        }
        drop(slot);
        give_up(gone);
    }

    pub(super) fn keeping(&self) -> Option<Keeping> {
        self.slot().keeping
    }

    fn not_begun(&self, error: OpenError) -> NotAttached<H::Error> {
        if matches!(error, OpenError::Lost(_)) {
            return LinkVerdict::Reconnect.into();
        }
        let is_unanswered = matches!(error, OpenError::Unanswered);
        let error = H::Error::from(RecoveryError::Begin(error));
        if is_unanswered {
            // A peer that does not answer is as good as gone.
            return NotAttached { verdict: LinkVerdict::Reconnect, fault: Some(error) };
        }
        match self.connection.hooks().verdict(&error) {
            Verdict::Retry(_) => LinkVerdict::AttachAgain(error).into(),
            Verdict::GiveUp => LinkVerdict::GiveUp(error).into(),
        }
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
        let has_own_session = self.place.is_further() && matches!(error, AttachError::SessionEnded(_));
        let fault = is_at_fault.then(|| RecoveryError::attach(address, error.clone()).into());
        match (verdict, fault) {
            // The connection has other sessions, which are well.
            (LinkVerdict::Reconnect, Some(fault)) if has_own_session => {
                LinkVerdict::AttachAgain(fault).into()
            }
            (verdict, fault) => NotAttached { verdict, fault },
        }
    }
}
