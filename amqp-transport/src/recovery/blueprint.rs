//! How links of either role are attached, resumed and given up, so that one machinery restores both.

use std::fmt;

use super::hooks::Hooks;
use super::live::Live;
use super::sender::Resend;
use crate::driver::inbox::Drain;
use crate::handle::error::{AttachError, DetachReason};
use crate::handle::line::{Line, LineRest};
use crate::handle::options::{CreditMode, ReceiverOptions, SenderOptions};
use crate::handle::receiver::Receiver;
use crate::handle::sender::Sender;
use crate::handle::session::Session;
use crate::handle::suspended::{ResumeError, SuspendedSender};

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
    fn grant(link: &Self::Handle, messages: u32) {
        let _ = (link, messages);
    }

    /// As these, for a link that begins without credit.
    #[doc(hidden)]
    fn stopped(self) -> Self
    where
        Self: Sized,
    {
        self
    }

    #[doc(hidden)]
    fn stop(link: &Self::Handle) {
        let _ = link;
    }

    #[doc(hidden)]
    fn start(link: &Self::Handle) {
        let _ = link;
    }

    /// Says how many messages wait to be sent.
    #[doc(hidden)]
    fn announce(link: &Self::Handle, messages: u32) {
        let _ = (link, messages);
    }

    /// Messages that came on the link and were not taken.
    #[doc(hidden)]
    fn waiting(link: &Self::Handle) -> usize;

    /// What is left of a lost link, to be resumed.
    #[doc(hidden)]
    type Suspended: fmt::Debug + Send + 'static;

    #[doc(hidden)]
    fn keep(self, keeping: Keeping) -> Self;

    #[doc(hidden)]
    fn detached(link: &Self::Handle) -> impl Future<Output = DetachReason> + Send;

    /// Takes what is left of a link that is detached.
    #[doc(hidden)]
    fn suspended(link: &Self::Handle, keeping: Keeping) -> Option<Self::Suspended>;

    /// Deliveries that what is left holds unsettled.
    #[doc(hidden)]
    fn unsettled(suspended: &Self::Suspended) -> usize;

    /// A link was attached that others may go on with.
    #[doc(hidden)]
    fn begun(link: &Self::Handle) {
        let _ = link;
    }

    /// Nothing will go on with a link.
    #[doc(hidden)]
    fn over(link: &Self::Handle) {
        let _ = link;
    }

    /// Nobody will take the messages that wait on a link; returns how many.
    #[doc(hidden)]
    fn let_go(link: &Self::Handle) -> usize {
        let _ = link;
        0
    }

    /// Whether the link to be attached has the name of what is left.
    #[doc(hidden)]
    fn goes_on(&self, suspended: &Self::Suspended) -> bool;

    #[doc(hidden)]
    fn resume(
        self,
        session: &Session,
        suspended: Self::Suspended,
    ) -> impl Future<Output = Result<Self::Handle, ResumeError<Self::Suspended>>> + Send;
}

/// What a recovering link keeps of what is unsettled when it is lost; a receiver keeps no messages.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[expect(unnameable_types, reason = "only this crate's recovering links hand it to their options")]
pub struct Keeping {
    /// Bytes of messages.
    pub(super) bytes: usize,
    pub(super) resend: Resend,
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

    fn announce(link: &Sender, messages: u32) {
        // A link that has ended is noticed by whoever sends.
        let _ = link.set_available(messages);
    }

    fn waiting(_link: &Sender) -> usize {
        0
    }

    type Suspended = SuspendedSender;

    fn keep(self, keeping: Keeping) -> Self {
        self.keep_unsettled(keeping.bytes)
    }

    async fn detached(link: &Sender) -> DetachReason {
        link.link().detached().await
    }

    fn suspended(link: &Sender, keeping: Keeping) -> Option<SuspendedSender> {
        let mut suspended = link.take_suspended()?;
        if keeping.resend == Resend::Never {
            suspended.forbid_repeats();
        }
        Some(suspended)
    }

    fn unsettled(suspended: &SuspendedSender) -> usize {
        suspended.undecided_messages()
    }

    fn goes_on(&self, suspended: &SuspendedSender) -> bool {
        self.config.name == *suspended.name()
    }

    async fn resume(
        self,
        session: &Session,
        suspended: SuspendedSender,
    ) -> Result<Sender, ResumeError<SuspendedSender>> {
        session.resume_sender(self, suspended).await
    }
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

    fn stopped(mut self) -> Self {
        self.at_first = Drain::Stopped;
        self
    }

    fn stop(link: &Receiver) {
        // Its answer is waited for by nobody: what comes before it is there to be taken.
        let _ = link.begin_to_stop();
    }

    fn start(link: &Receiver) {
        // A link that has ended is noticed by whoever waits.
        let _ = link.start();
    }

    fn waiting(link: &Receiver) -> usize {
        link.waiting()
    }

    type Suspended = LineRest;

    fn keep(self, _keeping: Keeping) -> Self {
        self.keep_unsettled()
    }

    async fn detached(link: &Receiver) -> DetachReason {
        link.link().detached().await
    }

    fn suspended(link: &Receiver, _keeping: Keeping) -> Option<LineRest> {
        LineRest::take(link)
    }

    fn unsettled(suspended: &LineRest) -> usize {
        suspended.unsettled()
    }

    fn begun(link: &Receiver) {
        Line::begin(link);
    }

    fn over(link: &Receiver) {
        if let Some(line) = link.link().line() {
            line.end();
        }
    }

    fn let_go(link: &Receiver) -> usize {
        std::iter::from_fn(|| link.try_recv()).map(drop).count()
    }

    fn goes_on(&self, suspended: &LineRest) -> bool {
        suspended.name() == Some(self.config.name.as_str())
    }

    async fn resume(self, session: &Session, rest: LineRest) -> Result<Receiver, ResumeError<LineRest>> {
        rest.resume(session, self).await
    }
}
