//! A link that a peer attached, waiting for the application's answer.

use std::sync::Arc;

use amqp_codec::{
    Attach, Error, ErrorCondition, Fields, ReceiverSettleMode, Role, SenderSettleMode, Str, TargetArchetype,
    Value,
};

use super::accept::AcceptOptions;
use super::incoming_session::IncomingSession;
use super::question::{Question, Request};
use crate::driver::inbox::Drain;
use crate::driver::link::LinkInner;
use crate::driver::listening::AttachRequest;
use crate::driver::pending::Before;
use crate::driver::slots::LinkPhase;
use crate::driver::termini::{Member, Suspended};
use crate::engine::{AttachReply, EngineError, SessionId, SuspendedLink, TerminusKey};
use crate::error::{ConnectionError, Redirect};
use crate::handle::connection::Connection;
use crate::handle::error::{AttachError, EndReason};
use crate::handle::options::DEFAULT_MAX_MESSAGE_SIZE;
use crate::handle::receiver::Receiver;
use crate::handle::sender::Sender;
use crate::handle::session::Session;
use crate::handle::suspended::{ResumeError, SuspendedSender};
use crate::handle::suspended_receiver::SuspendedReceiver;

/// What a peer asks of a server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// To attach a link.
    Attach(IncomingAttach),
    /// To begin a session; only where the application decides about them
    /// ([`ListenerOptions::decides_sessions`](super::ListenerOptions::decides_sessions)).
    Session(IncomingSession),
}

/// A link that a peer attached (`AMQP 1.0 §2.6.3`). Dropped without an answer it is refused.
#[derive(Debug)]
#[must_use = "an attach that is dropped is refused"]
pub struct IncomingAttach {
    question: Question<AttachRequest>,
    session: Session,
}

impl IncomingAttach {
    pub(crate) fn new(connection: Connection, request: AttachRequest) -> Result<Self, ConnectionError> {
        let session = Session::of_peer(&connection, request.session)?;
        Ok(Self { question: Question::new(connection, request), session })
    }

    /// What the peer asks for: name, role, termini, modes, properties. Its role is the peer's own.
    #[must_use]
    pub fn attach(&self) -> &Attach {
        &self.question.request.attach
    }

    /// The address of the node that the peer means: the source's when it receives, the target's when it sends. `None` for
    /// a dynamic node, for a transaction coordinator, and where the peer named none.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        let attach = self.attach();
        let address = match attach.role {
            Role::Receiver => attach.source.as_ref().and_then(|source| source.address.as_ref()),
            Role::Sender => attach.target.as_ref().and_then(TargetArchetype::address),
        };
        address.map(Str::as_str)
    }

    /// Whether the peer asks for a node to be made for it, under an address of this side's choice:
    /// [`AcceptOptions::address`] (`AMQP 1.0 §3.5.3`, `§3.5.4`).
    // L-045, L-046
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        let attach = self.attach();
        match attach.role {
            Role::Receiver => attach.source.as_ref().is_some_and(|source| source.dynamic),
            Role::Sender => {
                matches!(&attach.target, Some(TargetArchetype::Target(target)) if target.dynamic)
            }
        }
    }

    /// The session the link belongs to; links of one session have the same.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.question.request.session()
    }

    /// The session the link belongs to: to end it, to watch it, or to attach links of this side's. It lives as long as
    /// the peer wants, whether or not the handle is kept.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The connection the link belongs to.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.question.connection
    }

    /// Whether the listener's [`Termini`](super::Termini) keep a link that this one may go on with, or know it attached on
    /// another connection.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let terminus = self.terminus(self.attach().role.peer());
        terminus
            .is_some_and(|(member, key)| member.registry().is_some_and(|registry| registry.is_known(&key)))
    }

    /// Takes what the listener's [`Termini`](super::Termini) keep of the link on which the peer receives, for
    /// [`resume_sender`](Self::resume_sender). If the link is attached on another connection, it is detached there with
    /// `amqp:link:stolen` (`AMQP 1.0 §2.6.1`), so ask this only of a link that is to be accepted. A link that is accepted without
    /// is a fresh one: what was kept under its name is lost.
    #[must_use = "the receipts of its messages wait for it to be resumed or dropped"]
    // L-002, L-009
    pub fn take_kept_sender(&self) -> Option<SuspendedSender> {
        match self.claim(Role::Sender) {
            Some(Suspended::Sender(kept)) => Some(kept),
            _ => None,
        }
    }

    /// Takes what the listener's [`Termini`](super::Termini) keep of the link on which the peer sends, for
    /// [`resume_receiver`](Self::resume_receiver). Otherwise as [`take_kept_sender`](Self::take_kept_sender).
    ///
    /// Its [`tags`](SuspendedReceiver::tags) are of the deliveries that an application took and did not settle: decide about
    /// those that no [`Delivery`](crate::Delivery) waits to be [adopted](Receiver::adopt) of.
    #[must_use = "what it holds is lost where it is not resumed"]
    // L-002, L-009
    pub fn take_kept_receiver(&self) -> Option<SuspendedReceiver> {
        match self.claim(Role::Receiver) {
            Some(Suspended::Receiver(kept)) => Some(kept),
            _ => None,
        }
    }

    /// Accepts a link on which the peer sends. Credit is granted at once where the options say so.
    ///
    /// # Errors
    /// When the link or connection has gone meanwhile, or the peer is not a sender, or the node it wants to be made was
    /// given no address; the latter two refuse the link.
    pub fn accept_receiver(self, options: AcceptOptions) -> Result<Receiver, AttachError> {
        let (credit, on_drop) = (options.credit, options.on_drop);
        let name = self.question.request.attach.name.clone();
        let mut options = options;
        options.max_message_size.get_or_insert(DEFAULT_MAX_MESSAGE_SIZE);
        let (link, _) = self.accept(Role::Sender, &options, None, Before::default())?;
        link.start_receiving(credit, Drain::Off);
        Ok(Receiver::new(link, name, on_drop))
    }

    /// Accepts a link on which the peer receives.
    ///
    /// # Errors
    /// When the link or connection has gone meanwhile, or the peer is not a receiver, or the node it wants to be made was
    /// given no address; the latter two refuse the link.
    pub fn accept_sender(self, options: AcceptOptions) -> Result<Sender, AttachError> {
        let name = self.question.request.attach.name.clone();
        let (link, mode) = self.accept(Role::Receiver, &options, None, Before::default())?;
        let sender = Sender::new(link, name, mode);
        Ok(if options.kept_bytes.is_some() { sender.keeping() } else { sender })
    }

    /// Accepts a link on which the peer sends, as the one that was lost or suspended: both ends settle what became of the
    /// deliveries between them (`AMQP 1.0 §2.6.13`).
    ///
    /// # Errors
    /// As [`accept_receiver`](Self::accept_receiver), or when the link has another name; with the suspended link, to be
    /// resumed by another attach. The [`Termini`](super::Termini) from which it was taken keep it again, for the rest of its
    /// time: an attach that fails does not lengthen it.
    pub fn resume_receiver(
        self,
        options: AcceptOptions,
        mut suspended: SuspendedReceiver,
    ) -> Result<Receiver, ResumeError<SuspendedReceiver>> {
        let (credit, on_drop) = (options.credit, options.on_drop);
        let name = self.question.request.attach.name.clone();
        let mut options = options;
        options.max_message_size.get_or_insert(DEFAULT_MAX_MESSAGE_SIZE);
        let (link, _) = match self.accept(Role::Sender, &options, Some(suspended.state()), suspended.before())
        {
            Ok(accepted) => accepted,
            Err(error) => {
                let Some(borrowed) = suspended.borrowed.take() else {
                    return Err(ResumeError { error, suspended: Some(Box::new(suspended)) });
                };
                borrowed.put_back(Suspended::Receiver(suspended));
                return Err(ResumeError { error, suspended: None });
            }
        };
        suspended.hand_on(&link);
        link.start_receiving(credit, Drain::Off);
        Ok(Receiver::new(link, name, on_drop))
    }

    /// Accepts a link on which the peer receives, as the one that was lost or suspended: both ends settle what became of
    /// the messages between them (`AMQP 1.0 §2.6.13`).
    ///
    /// # Errors
    /// As [`accept_sender`](Self::accept_sender), or when the link has another name; with the suspended link, to be
    /// resumed by another attach. The [`Termini`](super::Termini) from which it was taken keep it again, for the rest of its
    /// time: an attach that fails does not lengthen it.
    pub fn resume_sender(
        self,
        options: AcceptOptions,
        mut suspended: SuspendedSender,
    ) -> Result<Sender, ResumeError<SuspendedSender>> {
        let name = self.question.request.attach.name.clone();
        let state = suspended.state();
        let (link, mode) = match self.accept(Role::Receiver, &options, Some(state), suspended.before()) {
            Ok(accepted) => accepted,
            Err(error) => {
                let Some(borrowed) = suspended.borrowed.take() else {
                    return Err(ResumeError { error, suspended: Some(Box::new(suspended)) });
                };
                borrowed.put_back(Suspended::Sender(suspended));
                return Err(ResumeError { error, suspended: None });
            }
        };
        let restored = suspended.hand_on();
        Ok(Sender::new(link, name, mode).keeping().restoring(restored))
    }

    /// Refuses the link: the answer has no terminus, and a detach with this error follows (`AMQP 1.0 §2.6.3`).
    pub fn refuse(mut self, error: impl Into<Error>) {
        self.question.refuse(error.into());
    }

    /// Sends the peer elsewhere with `amqp:link:redirect` (`AMQP 1.0 §2.8.17`).
    pub fn redirect(mut self, redirect: Redirect) {
        self.question.refuse(redirect_error(redirect));
    }

    fn accept(
        mut self,
        peer: Role,
        options: &AcceptOptions,
        resume: Option<Box<SuspendedLink>>,
        before: Before<'_>,
    ) -> Result<(Arc<LinkInner>, SenderSettleMode), AttachError> {
        if resume.as_ref().is_some_and(|link| link.name != self.question.request.attach.name) {
            return Err(AttachError::Invalid("the suspended link has another name".to_owned()));
        }
        if self.question.request.attach.role != peer {
            return Err(AttachError::Invalid("the peer attached the other role".to_owned()));
        }
        // L-045, L-046: a node that was made for the peer has an address.
        if self.is_dynamic() && !options.names_node(peer) {
            return Err(AttachError::Invalid("a dynamic node was not given an address".to_owned()));
        }
        self.question.answer();
        let mut reply = options.reply(peer, AttachReply::granting(&self.question.request.attach));
        let (snd_mode, rcv_mode): (SenderSettleMode, ReceiverSettleMode) =
            (reply.snd_settle_mode, reply.rcv_settle_mode);
        let id = self.question.request.link;
        let terminus = self.terminus(peer.peer());
        if let Some((member, _)) = &terminus
            && let Some(registry) = member.registry()
            && options.kept_bytes.is_some()
        {
            options.grant(peer, &mut reply, &registry.limits());
        }
        let link = self.question.connection.shared().with(|state| {
            if let Some(error) = state.failure() {
                return Err((AttachError::Lost(error), Vec::new()));
            }
            state.attach_resumed(resume, before, |state, resume| {
                reply.resume = resume;
                state.engine.accept_attach(id, reply).map_err(|error| {
                    let EngineError::FrameTooLarge { .. } = error else {
                        return AttachError::SessionEnded(EndReason::ByPeer);
                    };
                    // L-007: the peer waits for an answer, which is never longer than its frames when it is a refusal.
                    let reason = "the answer is larger than a frame that the peer takes";
                    let _ = state.engine.refuse_attach(id, too_large(reason));
                    state.is_touched = true;
                    AttachError::Invalid(reason.to_owned())
                })?;
                state.is_touched = true;
                let key = state.add_link(id, LinkPhase::Attached);
                let kept = state.engine.kept_attach(id);
                let link =
                    Arc::new(LinkInner::new(Arc::clone(self.question.connection.inner()), None, key, id));
                let mut replaced = None;
                if let Some(slot) = state.links.get_mut(key) {
                    slot.inbox.mode = rcv_mode;
                    slot.draining = options.draining;
                    slot.attach = kept;
                    if let Some((member, name)) = &terminus {
                        let (attachment, before) = member.attach(name.clone(), &link);
                        (slot.terminus, replaced) = (Some(attachment), before);
                    }
                }
                Ok((key, (link, replaced)))
            })
        });
        let (link, replaced) = link.map_err(AttachError::Lost)?.map_err(|(error, _)| error)?;
        if let (Some((member, name)), Some(replaced)) = (&terminus, replaced) {
            member.replace(name, &replaced);
        }
        Ok((link, snd_mode))
    }

    /// Under which name the listener's termini know the link, in which this is our role.
    fn terminus(&self, role: Role) -> Option<(Arc<Member>, TerminusKey)> {
        let member = self.question.connection.shared().with(|state| state.member()).ok().flatten()?;
        let key = member.key(&self.question.request.attach.name, role);
        Some((member, key))
    }

    fn claim(&self, role: Role) -> Option<Suspended> {
        if self.attach().role != role.peer() {
            return None;
        }
        let (member, key) = self.terminus(role)?;
        member.registry()?.claim(&key)
    }
}

fn too_large(reason: &'static str) -> Error {
    Error {
        condition: ErrorCondition::FRAME_SIZE_TOO_SMALL,
        description: Some(Str::from(reason.to_owned())),
        info: None,
    }
}

// L-044: hostname, network-host, port and address.
fn redirect_error(redirect: Redirect) -> Error {
    let mut info = Fields::default();
    let texts = [
        ("hostname", redirect.hostname),
        ("network-host", redirect.network_host),
        ("address", redirect.address),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            info.insert(amqp_codec::Symbol::from_static(key), Value::String(Str::from(text)));
        }
    }
    if let Some(port) = redirect.port {
        info.insert(amqp_codec::Symbol::from_static("port"), Value::Uint(u32::from(port)));
    }
    Error { condition: ErrorCondition::LINK_REDIRECT, description: None, info: Some(info) }
}
