//! Links: attach, detach, and flow's link half, for both roles.

mod holding;
mod incoming;
mod outgoing;
mod unanswered;

use amqp_codec::{
    DeliveryState, Detach, Encode, Error, ErrorCondition, Fields, Flow, ReceiverSettleMode, Role,
    SenderSettleMode, Str, Value,
};

use super::config::{DetachKind, Settling};
use super::connection::Connection;
use super::endpoint_state::{Endpoint, Half};
use super::event::{DetachCause, Event};
use super::ids::LinkId;
use super::kept::KeptAttach;
use super::receiver::ReceiverState;
use super::retained::Termini;
use super::sender::SenderState;
use super::violation::{EngineError, Violation};
use holding::Held;

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    /// The session's slot.
    pub(crate) session: u32,
    pub(crate) endpoint: Endpoint,
    pub(crate) kind: LinkKind,
    name: Str,
    pub(crate) local_handle: u32,
    pub(crate) remote_handle: Option<u32>,
    pub(crate) snd_settle_mode: SenderSettleMode,
    pub(crate) rcv_settle_mode: ReceiverSettleMode,
    pub(crate) settling: Settling,
    pub(crate) remote_attach: Option<KeptAttach>,
    /// What that counts against the bound on attaches.
    attach_octets: usize,
    /// What a delivery ends in that ends without a state (L-052).
    pub(crate) default_outcome: Option<Box<DeliveryState>>,
    /// Largest message: the peer's bound for a sender, ours for a receiver.
    pub(crate) max_message_size: Option<u64>,
    /// Deliveries in the session's table that belong to this link.
    pub(crate) unsettled: usize,
    /// What its flows tell beside credit.
    state_told: Option<Box<Fields>>,
    /// Whether its attach waits for the peer's begin.
    is_held_back: bool,
    /// Whether a flow of this link waits to leave.
    pub(crate) owes_flow: bool,
    /// Whether it waits for the time at which echoes may be answered again.
    pub(crate) owes_echo: bool,
    /// The peer's attach had no terminus: its detach, with the reason, follows (L-008).
    is_refused: bool,
    /// We refused it: its end is no news.
    is_silent: bool,
    /// We have closed it for good.
    is_closing: bool,
    /// The termini as last agreed, where the link may be resumed.
    pub(crate) termini: Option<Box<Termini>>,
    detach_cause: DetachCause,
    detach_error: Option<Box<Error>>,
}

/// What only one role has.
#[derive(Debug)]
pub(crate) enum LinkKind {
    Sender(SenderState),
    Receiver(ReceiverState),
}

impl LinkKind {
    fn new(role: Role, initial_delivery_count: u32) -> Self {
        match role {
            Role::Sender => Self::Sender(SenderState::new(initial_delivery_count)),
            Role::Receiver => Self::Receiver(ReceiverState::new()),
        }
    }

    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Sender(_) => Role::Sender,
            Self::Receiver(_) => Role::Receiver,
        }
    }
}

impl Link {
    fn key(&self) -> (bool, Str) {
        name_key(self.kind.role(), &self.name)
    }

    pub(crate) fn name(&self) -> &Str {
        &self.name
    }

    /// Whether we have closed it for good.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Whether the peer took its attach back before we answered it, which the application has heard.
    fn is_given_up(&self) -> bool {
        self.is_silent && self.endpoint.local == Half::Idle && self.endpoint.remote == Half::Closed
    }

    /// The sender's state.
    pub(crate) fn sender(&mut self) -> Result<&mut SenderState, EngineError> {
        match &mut self.kind {
            LinkKind::Sender(sender) => Ok(sender),
            LinkKind::Receiver(_) => Err(EngineError::Role),
        }
    }

    /// The receiver's state.
    pub(crate) fn receiver(&mut self) -> Result<&mut ReceiverState, EngineError> {
        match &mut self.kind {
            LinkKind::Receiver(receiver) => Ok(receiver),
            LinkKind::Sender(_) => Err(EngineError::Role),
        }
    }

    /// Whether messages may pass.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        self.endpoint.is_open() && !self.is_refused
    }
}

impl Connection {
    // L-013, L-014: whoever wants a suspended link gone attaches it anew and closes it; nothing does so by itself.
    pub(super) fn detach_link(
        &mut self,
        id: LinkId,
        kind: DetachKind,
        error: Option<Error>,
        cause: DetachCause,
    ) -> Result<(), EngineError> {
        let link = self.link_mut(id)?;
        match link.endpoint.local {
            Half::Closed => return Ok(()),
            Half::Idle => return Err(EngineError::State("the attach is not answered")),
            Half::Open => {}
        }
        if link.is_held_back {
            // The peer has not heard of it.
            self.finish_link_as(id.index, kind, cause, error);
            return Ok(());
        }
        link.endpoint.local = Half::Closed;
        // Of our own accord, that is; a peer's close is answered with one.
        link.is_closing = kind.is_closed()
            && matches!(cause, DetachCause::Local | DetachCause::Violation | DetachCause::Unanswered);
        // What it asked for is not kept for a peer that may never answer.
        link.remote_attach = None;
        link.detach_cause = cause;
        link.detach_error = if cause == DetachCause::Local { None } else { error.clone().map(Box::new) };
        if let LinkKind::Sender(sender) = &mut link.kind {
            sender.large = None;
        }
        let handle = link.local_handle;
        let index = link.session;
        self.count_attach(id.index, Held::Name);
        let Some(session) = self.sessions.get_mut(index) else { return Err(EngineError::Stale) };
        session.flush_dispositions(&mut self.output);
        let channel = session.local_channel;
        let closed = kind.is_closed();
        self.write_with_error(channel, error, |error| Detach { handle, closed, error });
        Ok(())
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> Result<&mut Link, EngineError> {
        if let Some(failure) = &self.failure {
            return Err(EngineError::Closed(failure.clone()));
        }
        self.links.checked_mut(id.index, id.generation).ok_or(EngineError::Stale)
    }

    /// Detaches a link whose peer broke a rule of it (L-015).
    pub(super) fn link_fault(&mut self, index: u32, fault: Violation) -> Result<(), Violation> {
        let Some(link) = self.links.get(index) else { return Ok(()) };
        let (id, role) = (link.id, link.kind.role());
        self.release_partial(index);
        let error = fault.to_wire();
        // An unanswered attach has nothing to detach yet; the session bears the fault.
        self.detach_link(id, DetachKind::Closed, Some(error.clone()), DetachCause::Violation)
            .map_err(|_| fault)?;
        let cause = DetachCause::Violation;
        self.events.push(Event::LinkFailed { link: id, role, cause, error: Some(error) });
        Ok(())
    }

    pub(super) fn finish_link(&mut self, index: u32, cause: DetachCause, error: Option<Error>) {
        self.finish_link_as(index, DetachKind::Suspended, cause, error);
    }

    /// Forgets a link and says so, unless nobody has heard of it or it was refused by us.
    fn finish_link_as(&mut self, index: u32, kind: DetachKind, cause: DetachCause, error: Option<Error>) {
        let Some(link) = self.links.get(index) else { return };
        let id = link.id;
        let is_silent = link.is_silent;
        let may_be_resumed = match cause {
            // The detach that answers a refusal closes nothing that was, and one of our own saying that is no wish of
            // the peer's either.
            DetachCause::Refused | DetachCause::NoHandle | DetachCause::Stolen => true,
            _ if link.is_closing => false,
            // A refusal closes what never was attached, and destroys nothing of what was before.
            _ => kind == DetachKind::Suspended || link.is_refused,
        };
        if may_be_resumed && let Some(state) = self.suspend(index) {
            self.events.push(Event::LinkSuspended { link: id, state });
        }
        self.forget_link(index);
        if !is_silent {
            self.events.push(Event::LinkDetached { link: id, kind, cause, error });
        }
    }

    /// Takes a link out of every table.
    pub(super) fn forget_link(&mut self, index: u32) {
        self.release_partial(index);
        let Some(link) = self.links.remove(index) else { return };
        self.attach_octets = self.attach_octets.saturating_sub(link.attach_octets);
        let key = link.key();
        if self.names.get(&key) == Some(&index) {
            self.names.remove(&key);
        }
        let Some(session) = self.sessions.get_mut(link.session) else { return };
        if let Some(slot) = session.local_handles.get_mut(link.local_handle as usize) {
            *slot = None;
            session.free_handles.give_back(link.local_handle);
        }
        if let Some(handle) = link.remote_handle
            && let Some(slot) = session.remote_handles.get_mut(handle as usize)
        {
            *slot = None;
        }
        self.abandon_unsettled(link.session, link.kind.role(), link.unsettled);
    }

    /// Lets go of the deliveries of a link that is in no table any more.
    fn abandon_unsettled(&mut self, session_index: u32, role: Role, unsettled: usize) {
        let Some(session) = self.sessions.get_mut(session_index).filter(|_| unsettled > 0) else { return };
        let links = &self.links;
        let is_dead = |id: LinkId| links.checked(id.index, id.generation).is_none();
        match role {
            Role::Sender => session.outgoing.abandon(unsettled, |entry| is_dead(entry.link)),
            Role::Receiver => session.abandon_incoming(unsettled, is_dead),
        }
        self.wake_crowded(session_index);
    }

    /// A flow's link half.
    pub(super) fn handle_link_flow(&mut self, index: u32, flow: &Flow) -> Result<(), Violation> {
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        if link.endpoint.is_discarding() {
            return Ok(());
        }
        if flow.echo {
            let session = link.session;
            self.owe_echo(session, Some(index));
        }
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        let (id, told) = (link.id, flow.properties.as_ref().filter(|_| link.is_usable()));
        if let Some(properties) = told {
            if properties.encoded_len() > self.config.limits.link_state_bytes {
                let text = "the flow's properties are larger than is held of them";
                let fault = Violation::link(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text);
                return self.link_fault(index, fault);
            }
            self.events.push(Event::LinkState { link: id, properties: properties.clone() });
        }
        let Some(link) = self.links.get_mut(index) else { return Ok(()) };
        match &mut link.kind {
            LinkKind::Sender(_) => self.sender_flow(index, flow),
            LinkKind::Receiver(_) => self.receiver_flow(index, flow),
        }
        Ok(())
    }

    /// What this link's flows tell from here on beside credit.
    pub(super) fn tell_link_state(
        &mut self,
        id: LinkId,
        properties: Option<Fields>,
    ) -> Result<(), EngineError> {
        let limit = self.output.frame_limit();
        let octets = properties.as_ref().map_or(0, Encode::encoded_len);
        let size = octets.saturating_add(FLOW_OCTETS);
        if u32::try_from(size).map_or(true, |size| size > limit) {
            return Err(EngineError::FrameTooLarge { size, limit });
        }
        self.link_mut(id)?.state_told = properties.map(Box::new);
        self.owe_link_flow(id.index);
        Ok(())
    }

    /// Sees to it that a flow of this link leaves with the next output.
    // S-031: however often the peer asks, one answer a turn leaves.
    pub(super) fn owe_link_flow(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index) else { return };
        if link.owes_flow {
            return;
        }
        link.owes_flow = true;
        if let Some(session) = self.sessions.get_mut(link.session) {
            session.owe_link_flow(link.id, &mut self.dirty);
        }
    }

    /// Writes a link's flow; `false` when there is none to write any more.
    // S-028: link fields stand beside a handle only. L-023: each role tells what is its own to set.
    pub(super) fn write_link_flow(&mut self, session: u32, id: LinkId) -> bool {
        let Some(link) = self.links.checked_mut(id.index, id.generation) else { return false };
        link.owes_flow = false;
        // L-008: a link that is being refused gets no credit.
        if link.endpoint.local != Half::Open || link.is_refused || link.is_held_back {
            return false;
        }
        let Some(session) = self.sessions.get_mut(session) else { return false };
        let mut flow = session.flow();
        flow.handle = Some(link.local_handle);
        flow.properties = link.state_told.as_deref().cloned();
        match &mut link.kind {
            LinkKind::Sender(sender) => {
                flow.delivery_count = Some(sender.credit.delivery_count());
                flow.link_credit = Some(sender.credit.credit());
                flow.available = Some(sender.credit.available);
                flow.drain = sender.credit.drain;
            }
            LinkKind::Receiver(receiver) => {
                // L-019: unknown until the sender's attach has come.
                let is_known = link.endpoint.remote != Half::Idle;
                flow.delivery_count = is_known.then(|| receiver.credit.delivery_count());
                flow.link_credit = Some(receiver.credit.credit());
                flow.drain = receiver.credit.draining;
                flow.echo = receiver.echo.on_flow(is_known.then_some(&receiver.credit));
                if receiver.credit.credit() > 0
                    && let Some(id) = receiver.acquiring.clone()
                {
                    flow.properties.get_or_insert_default().insert("txn-id", Value::Binary(id));
                }
            }
        }
        self.output.frame(session.local_channel, &flow).is_ok()
    }
}

/// The key of a link's name: a sender and a receiver may share one (L-001).
fn name_key(role: Role, name: &Str) -> (bool, Str) {
    (role == Role::Sender, name.clone())
}

/// A flow's frame without properties, and the id of a transaction in them, at most, in octets.
const FLOW_OCTETS: usize = 160;
