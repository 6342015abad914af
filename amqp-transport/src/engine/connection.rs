//! The connection: the only dispatcher, and the engine's whole interface.

mod input;
mod lifecycle;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_codec::{Attach, DeliveryState, Error, Open, SaslCode, Str};
use bytes::{Bytes, BytesMut};

use super::config::{
    AttachReply, ConnectionConfig, DetachKind, LinkConfig, Outgoing, SessionConfig, Settlement, Side,
};
use super::endpoint_state::Endpoint;
use super::event::{DetachCause, EndCause, Event, EventQueue};
use super::ids::{DeliveryId, LinkId, Lowest, SessionId, Slots};
use super::kept::KeptAttach;
use super::link::{Link, LinkKind};
use super::output::Output;
use super::session::Session;
use super::stats::Stalls;
use super::timers::{Timer, Timers};
use super::transmit::Transmit;
use super::violation::{EngineError, TrySendError};
use crate::error::ConnectionError;
use crate::sasl::{ClientExchange, ListenerExchange};

/// One AMQP connection, client or listener.
///
/// # The contract
/// Call commands at will, feed inputs as they come, and after every call (or batch of calls) drain the outputs in
/// this order: [`poll_transmit`](Self::poll_transmit) and write what it gives, [`poll_event`](Self::poll_event) until
/// `None`, then arm one timer for [`poll_timeout`](Self::poll_timeout).
///
/// A client calls [`open`](Self::open) right after [`new`](Self::new); a listener when it has seen
/// [`Event::Opened`] (or at once, if every peer is welcome).
///
/// When the connection fails, one close leaves where the protocol has one, [`Event::Closed`] is the last event, every
/// later command answers with the same error, and [`is_finished`](Self::is_finished) tells when the socket may be
/// dropped: write what `poll_transmit` still gives, then go on feeding input (the peer's close) until it is true.
pub struct Connection {
    pub(super) side: Side,
    pub(super) config: ConnectionConfig,
    /// The latest instant seen.
    pub(super) now: Instant,
    pub(super) phase: Phase,
    pub(super) endpoint: Endpoint,
    /// Whether our AMQP header is written: frames may follow.
    pub(super) may_write_frames: bool,
    pub(super) wants_open: bool,
    /// Whether the octets read can no longer be split into frames.
    pub(super) is_deaf: bool,
    pub(super) failure: Option<ConnectionError>,
    /// Whether [`Event::Closed`] has been queued.
    pub(super) has_told_closed: bool,
    pub(super) output: Output,
    pub(super) events: EventQueue,
    pub(super) timers: Timers,
    pub(super) heartbeat_interval: Option<Duration>,
    pub(super) remote_open: Option<Arc<Open>>,
    pub(super) remote_channel_max: u16,
    pub(super) sessions: Slots<Session>,
    pub(super) links: Slots<Link>,
    /// Session slots by our channels and by the peer's.
    pub(super) local_channels: Vec<Option<u32>>,
    /// Our channels that no session has.
    pub(super) free_channels: Lowest,
    pub(super) remote_channels: Vec<Option<u32>>,
    /// Link slots by role and name.
    pub(super) names: BTreeMap<(bool, Str), u32>,
    /// Session slots that owe dispositions or flows.
    pub(super) dirty: Vec<u32>,
    /// Links whose large message may go on, in turn.
    pub(super) sending: VecDeque<LinkId>,
    /// Links turned away by full output.
    pub(super) output_waiters: VecDeque<LinkId>,
    pub(super) partial_bytes: usize,
    /// What the peer's attaches count, over all links.
    pub(super) attach_octets: usize,
    /// Whole frames that wait because events were too many.
    pub(super) backlog: Bytes,
    /// Session slots whose answer to an echo has to wait for its time.
    pub(super) late_echoes: Vec<u32>,
    pub(super) frames_in: u64,
    pub(super) stalls: Stalls,
    pub(super) echoes_coalesced: u64,
}

impl fmt::Debug for Connection {
    // The octets of messages and frames may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("side", &self.side)
            .field("phase", &self.phase)
            .field("endpoint", &self.endpoint)
            .field("failure", &self.failure)
            .field("sessions", &self.sessions.len())
            .field("links", &self.links.len())
            .field("events", &self.events.len())
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// How far the connection's opening has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// The peer's first header is awaited.
    Header,
    /// SASL frames, as the client.
    ClientSasl(Box<ClientExchange>),
    /// SASL frames, as the listener.
    ListenerSasl(Box<ListenerExchange>),
    /// SASL is through, the peer's AMQP header is awaited.
    SecondHeader,
    /// AMQP frames.
    Frames,
    /// Nothing more is read or written.
    Over,
}

/// What became of the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum InputStatus {
    /// All whole frames are consumed; read more.
    NeedMore,
    /// Input is left because events must be polled (or a SASL decision made) first. Do so, then call again with
    /// the same buffer; do not read more before.
    Blocked,
    /// The input side is over: nothing more will be read. The rest of the buffer is dropped.
    Finished,
}

impl Connection {
    /// A connection at its very start. A client's header is ready to be transmitted.
    pub fn new(side: Side, config: ConnectionConfig, now: Instant) -> Self {
        let mut connection = Self {
            side,
            now,
            phase: Phase::Header,
            endpoint: Endpoint::new(),
            may_write_frames: false,
            wants_open: false,
            is_deaf: false,
            failure: None,
            has_told_closed: false,
            output: Output::new(config.list_style),
            events: EventQueue::default(),
            timers: Timers::default(),
            heartbeat_interval: None,
            remote_open: None,
            remote_channel_max: 0,
            sessions: Slots::default(),
            links: Slots::default(),
            local_channels: Vec::new(),
            free_channels: Lowest::default(),
            remote_channels: Vec::new(),
            names: BTreeMap::new(),
            dirty: Vec::new(),
            sending: VecDeque::new(),
            output_waiters: VecDeque::new(),
            partial_bytes: 0,
            attach_octets: 0,
            backlog: Bytes::new(),
            late_echoes: Vec::new(),
            frames_in: 0,
            stalls: Stalls::default(),
            echoes_coalesced: 0,
            config,
        };
        connection.timers.set(Timer::Handshake, Some(now + connection.config.limits.handshake_time_out));
        connection.start();
        connection
    }

    // Commands: connection

    /// Sends our open as soon as headers (and SASL) allow. Idempotent.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn open(&mut self) -> Result<(), EngineError> {
        if let Some(failure) = &self.failure {
            return Err(EngineError::Closed(failure.clone()));
        }
        self.wants_open = true;
        self.write_open();
        Ok(())
    }

    /// Listener: sends a challenge, after [`Event::SaslInit`] or [`Event::SaslResponse`].
    ///
    /// # Errors
    /// When no SASL answer is due.
    pub fn sasl_challenge(&mut self, challenge: Bytes) -> Result<(), EngineError> {
        let exchange = self.sasl_decision()?;
        match exchange.challenge(challenge) {
            Ok(frame) => {
                self.output.sasl(&frame);
                Ok(())
            }
            Err(failure) => {
                self.finish(ConnectionError::Sasl(failure.clone()));
                Err(EngineError::Closed(ConnectionError::Sasl(failure)))
            }
        }
    }

    /// Listener: ends the SASL exchange. Any code but [`SaslCode::Ok`] ends the connection after the outcome is sent.
    /// Call [`handle_input`](Self::handle_input) again afterwards: input may have waited.
    ///
    /// # Errors
    /// When no SASL answer is due.
    pub fn sasl_outcome(
        &mut self,
        code: SaslCode,
        additional_data: Option<Bytes>,
    ) -> Result<(), EngineError> {
        self.sasl_decision()?;
        self.conclude_sasl(code, additional_data);
        Ok(())
    }

    /// Closes the connection: sends close and waits for the peer's. Idempotent. [`Event::Closed`] follows when the
    /// peer has answered, or after [`Limits::close_time_out`](super::Limits::close_time_out).
    pub fn close(&mut self, error: Option<Error>) {
        if self.failure.is_some() {
            return;
        }
        self.failure = Some(ConnectionError::Closed);
        self.write_close(error);
        // C-019: counted from here, whether or not the close gets through to a peer that does not read.
        self.timers.set(Timer::Close, Some(self.now + self.config.limits.close_time_out));
        self.suspend_all();
        self.drop_endpoints();
        if !self.endpoint.is_discarding() {
            self.finish(ConnectionError::Closed);
        }
    }

    /// Gives the connection up for a reason outside the protocol (socket, TLS): no close is sent, [`Event::Closed`]
    /// follows with this reason. Messages that wait for output are dropped.
    pub fn abort(&mut self, reason: ConnectionError) {
        self.finish(reason);
    }

    // Commands: sessions

    /// Begins a session; [`Event::SessionBegun`] follows. Links may be attached at once.
    ///
    /// # Errors
    /// [`EngineError::NotOpen`] before [`Event::Opened`]; [`EngineError::NoChannel`] when all are used.
    pub fn begin(&mut self, config: SessionConfig) -> Result<SessionId, EngineError> {
        self.begin_session(&config)
    }

    /// Answers [`Event::SessionRequested`].
    ///
    /// # Errors
    /// When the session is gone or already answered.
    pub fn accept_session(&mut self, session: SessionId, config: SessionConfig) -> Result<(), EngineError> {
        self.accept_begun(session, &config)
    }

    /// Ends a session and all its links; [`Event::SessionEnded`] follows when the peer has answered.
    ///
    /// # Errors
    /// When the session is gone. Ending one that is already ending is no error.
    pub fn end(&mut self, session: SessionId, error: Option<Error>) -> Result<(), EngineError> {
        self.end_session(session, EndCause::Local, error)
    }

    // Commands: links

    /// Attaches a link; [`Event::LinkAttached`] or [`Event::LinkDetached`] follows.
    ///
    /// # Errors
    /// When the session is gone or no handle is free.
    pub fn attach(&mut self, session: SessionId, config: LinkConfig) -> Result<LinkId, EngineError> {
        self.attach_link(session, config)
    }

    /// Answers [`Event::AttachRequested`]: the link is usable from here on.
    ///
    /// # Errors
    /// When the link is gone or already answered. A suspended link in the reply is lost then: keep a copy.
    pub fn accept_attach(&mut self, link: LinkId, reply: AttachReply) -> Result<(), EngineError> {
        self.accept_attached(link, reply)
    }

    /// Refuses [`Event::AttachRequested`]: an attach without our terminus, then a detach with the error (L-007).
    /// The id is stale afterwards; no event follows.
    ///
    /// # Errors
    /// When the link is gone or already answered.
    pub fn refuse_attach(&mut self, link: LinkId, error: Error) -> Result<(), EngineError> {
        self.refuse_attached(link, error)
    }

    /// Detaches a link; [`Event::LinkDetached`] follows when the peer has answered. Nothing can be sent, settled or
    /// received on it from here on.
    ///
    /// # Errors
    /// When the link is gone. Detaching one that is already being detached is no error.
    pub fn detach(
        &mut self,
        link: LinkId,
        kind: DetachKind,
        error: Option<Error>,
    ) -> Result<(), EngineError> {
        self.detach_link(link, kind, error, DetachCause::Local)
    }

    /// Detaches a link whose name was attached elsewhere, with `amqp:link:stolen`. What is left of one that was to be kept
    /// comes at once, as [`Event::LinkSuspended`]; [`Event::LinkDetached`] follows when the peer has answered.
    ///
    /// # Errors
    /// When the link is gone.
    // L-002
    pub fn steal_link(&mut self, link: LinkId) -> Result<(), EngineError> {
        self.link_mut(link)?;
        self.steal(link.index);
        Ok(())
    }

    // Commands: sender

    /// Sends one message, or says why not now. Small ones are copied straight into the output; large ones leave
    /// frame by frame, taking turns with other links, and [`Event::Sent`] tells when they are gone.
    ///
    /// # Errors
    /// See [`TrySendError`]; nothing was sent, and after those that pass [`Event::Writable`] follows.
    pub fn try_send(&mut self, link: LinkId, mut outgoing: Outgoing<'_>) -> Result<DeliveryId, TrySendError> {
        self.send(link, &mut outgoing)
    }

    /// Settles a delivery from this side, with this state: nothing more will be heard of it, and no event follows
    /// (`AMQP 1.0 §2.6.12`). Either before the receiver has said anything, or as the answer to [`Event::OutcomeTold`].
    /// Returns whether it was still unsettled; a large message that is still leaving, and of which the receiver has
    /// said nothing, is not settled either.
    ///
    /// # Errors
    /// When the link is gone or no sender.
    pub fn settle_sent(
        &mut self,
        link: LinkId,
        delivery: DeliveryId,
        state: DeliveryState,
    ) -> Result<bool, EngineError> {
        self.settle_outgoing(link, delivery, state)
    }

    /// Gives up a large message that is still leaving: the receiver is told to drop it (D-012). Nothing happens when
    /// none is. No event follows for that message.
    ///
    /// # Errors
    /// When the link is gone or no sender.
    pub fn abort_send(&mut self, link: LinkId) -> Result<(), EngineError> {
        self.abort_large(link)
    }

    /// Answers [`Event::DrainRequested`]: there is nothing more to send, the remaining credit is given back (L-025).
    ///
    /// # Errors
    /// When the link is gone or no sender.
    pub fn drained(&mut self, link: LinkId) -> Result<(), EngineError> {
        self.give_credit_back(link)
    }

    /// Whether an unsettled message of any size would be taken now. If not, an [`Event::Writable`] tells when to ask
    /// again, as after a [`try_send`](Self::try_send) that was turned away.
    pub fn can_send(&mut self, link: LinkId) -> bool {
        self.failure.is_none() && self.has_turn(link)
    }

    /// Tells how many messages wait for this link; announced with its next flow (L-024).
    ///
    /// # Errors
    /// When the link is gone or no sender.
    pub fn set_available(&mut self, link: LinkId, available: u32) -> Result<(), EngineError> {
        self.link_mut(link)?.sender()?.credit.available = available;
        Ok(())
    }

    // Commands: receiver

    /// Tells the sender what became of a delivery. Equal neighbours leave as one disposition. Settling a delivery
    /// that the sender has settled already does nothing (D-023).
    ///
    /// # Errors
    /// When the link is gone or no receiver.
    pub fn settle(
        &mut self,
        link: LinkId,
        delivery: DeliveryId,
        state: DeliveryState,
        settlement: Settlement,
    ) -> Result<(), EngineError> {
        self.settle_delivery(link, delivery, &state, settlement)
    }

    /// Sets the link's credit: so many further deliveries may come, counted from now. Ends a drain.
    ///
    /// # Errors
    /// When the link is gone or no receiver.
    pub fn set_credit(&mut self, link: LinkId, credit: u32) -> Result<(), EngineError> {
        self.grant_credit(link, credit)
    }

    /// Says that what the link has credit for is to be acquired under a transaction (AMQP 1.0 §4.4.3), until credit is
    /// set again or none is left.
    ///
    /// # Errors
    /// When the link is gone or no receiver.
    //
    pub fn set_acquiring(&mut self, link: LinkId, txn_id: Bytes) -> Result<(), EngineError> {
        self.link_mut(link)?.receiver()?.acquiring = Some(txn_id);
        self.owe_link_flow(link.index);
        Ok(())
    }

    /// Asks the sender to answer this side's next flow of the link, which leaves with the next output (AMQP 1.0 §2.6.10).
    /// Once [`Event::FlowAnswered`] has come with the number that is returned, or a later one, the sender has seen the
    /// credit that was told, and what it said it has available is of that time.
    ///
    /// # Errors
    /// When the link is gone or no receiver.
    pub fn ask(&mut self, link: LinkId) -> Result<u32, EngineError> {
        self.ask_link(link)
    }

    /// Asks the sender to use the credit up or give it back; [`Event::Drained`] follows.
    ///
    /// # Errors
    /// When the link is gone or no receiver.
    pub fn drain(&mut self, link: LinkId) -> Result<(), EngineError> {
        self.drain_link(link)
    }

    // Inputs

    /// Takes the octets read so far. Whole frames are consumed, the rest stays in the buffer for the next call.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> InputStatus {
        self.now = self.now.max(now);
        if !input.is_empty() {
            self.heard();
        }
        self.consume(input)
    }

    /// The stream ended. [`Event::Closed`] follows if it has not come yet (C-035).
    pub fn handle_eof(&mut self, now: Instant) {
        self.now = self.now.max(now);
        // C-035: only after our own close is a silent end in order.
        let reason = self.failure.clone().unwrap_or(ConnectionError::EndOfStream);
        self.finish(reason);
    }

    /// The instant of [`poll_timeout`](Self::poll_timeout) has come. Early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.take_due(self.now) {
            self.expired(timer);
        }
    }

    // Outputs

    /// Moves pending output into `out`, if `out` is empty; `true` when `out` holds octets to write afterwards.
    /// Batches dispositions, flows and large payloads as late as here.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Transmit) -> bool {
        self.now = self.now.max(now);
        if !out.is_empty() {
            return true;
        }
        if self.failure.is_none() {
            self.flush_sessions();
            self.send_large();
        }
        if self.output.is_empty() {
            return false;
        }
        self.output.hand_over(out);
        self.wake_output_waiters();
        self.note_transmitted();
        true
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // Getters

    /// Whether both opens are exchanged and no close has been sent or received.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.endpoint.is_open() && self.failure.is_none()
    }

    /// Gives back the memory of empty buffers; for a connection that has fallen idle.
    pub fn shrink(&mut self) {
        self.output.shrink();
        self.events.shrink();
    }

    /// Whether nothing more will be read or written: the socket may be dropped, after a last
    /// [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether the caller should stop reading for now: too much that we owe the peer is unsent, written out or not.
    #[must_use]
    pub fn is_read_paused(&self) -> bool {
        let limit = self.config.limits.owed_output;
        let mut owed = self.output.owed();
        let mut sessions = self.dirty.iter().filter_map(|index| self.sessions.get(*index));
        owed > limit
            || sessions.any(|session| {
                owed = owed.saturating_add(session.owed());
                owed > limit
            })
    }

    /// Why the connection is over, once it is.
    #[must_use]
    pub fn failure(&self) -> Option<&ConnectionError> {
        self.failure.as_ref()
    }

    /// The peer's open, once it has come.
    #[must_use]
    pub fn remote_open(&self) -> Option<&Arc<Open>> {
        self.remote_open.as_ref()
    }

    /// The peer's attach, once it has come; decoded anew each time.
    #[must_use]
    pub fn remote_attach(&self, link: LinkId) -> Option<Attach> {
        self.link(link)?.remote_attach.as_ref()?.get()
    }

    /// The peer's attach as it is kept, for those who keep it longer than the link.
    #[must_use]
    pub fn kept_attach(&self, link: LinkId) -> Option<KeptAttach> {
        self.link(link)?.remote_attach.clone()
    }

    /// The session of a link.
    #[must_use]
    pub fn link_session(&self, link: LinkId) -> Option<SessionId> {
        self.sessions.get(self.link(link)?.session).map(|session| session.id)
    }

    /// The credit left on a link: for a sender what it may send, for a receiver what may still come. 0 for a stale id.
    #[must_use]
    pub fn link_credit(&self, link: LinkId) -> u32 {
        self.link(link).map_or(0, |link| match &link.kind {
            LinkKind::Sender(sender) => sender.credit.credit(),
            LinkKind::Receiver(receiver) => receiver.credit.credit(),
        })
    }

    /// The messages the peer says it has for a receiver; 0 when unknown.
    #[must_use]
    pub fn link_available(&self, link: LinkId) -> u32 {
        self.link(link).map_or(0, |link| match &link.kind {
            LinkKind::Sender(_) => 0,
            LinkKind::Receiver(receiver) => receiver.credit.available,
        })
    }

    /// Receiver: whether a delivery is still unsettled on both sides.
    #[must_use]
    pub fn is_unsettled(&self, link: LinkId, delivery: DeliveryId) -> bool {
        let session = self.link(link).and_then(|link| self.sessions.get(link.session));
        session
            .and_then(|session| session.incoming.as_ref()?.get(delivery.0))
            .is_some_and(|entry| entry.link == link)
    }

    /// Sender: the transaction under which the peer wants what it has credit for.
    #[must_use]
    pub fn link_acquiring(&self, link: LinkId) -> Option<Bytes> {
        match &self.link(link)?.kind {
            LinkKind::Sender(sender) if sender.credit.credit() > 0 => sender.acquiring.clone(),
            _ => None,
        }
    }

    /// The largest message the peer takes on a sending link; `None` without bound.
    #[must_use]
    pub fn link_max_message_size(&self, link: LinkId) -> Option<u64> {
        self.link(link)?.max_message_size
    }

    /// Octets waiting for [`poll_transmit`](Self::poll_transmit), large messages that are still leaving not counted.
    #[must_use]
    pub fn queued_output(&self) -> usize {
        self.output.len()
    }

    /// The settings given at the start.
    #[must_use]
    pub fn config(&self) -> &ConnectionConfig {
        &self.config
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.checked(id.index, id.generation)
    }
}
