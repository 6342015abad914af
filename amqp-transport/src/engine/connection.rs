//! The connection: the only dispatcher, and the engine's whole interface.

use std::sync::Arc;
use std::time::Instant;

use amqp_codec::{Attach, DeliveryState, Error, Open, SaslCode};
use bytes::{Bytes, BytesMut};

use super::config::{
    AttachReply, ConnectionConfig, DetachKind, LinkConfig, Outgoing, SessionConfig, Settlement, Side,
};
use super::event::Event;
use super::ids::{DeliveryId, LinkId, SessionId};
use super::transmit::Transmit;
use super::violation::{EngineError, TrySendError};
use crate::error::ConnectionError;

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
#[derive(Debug)]
pub struct Connection {
    config: ConnectionConfig,
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
        let _ = (side, now);
        Self { config }
    }

    // Commands: connection

    /// Sends our open as soon as headers (and SASL) allow. Idempotent.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn open(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Listener: sends a challenge, after [`Event::SaslInit`] or [`Event::SaslResponse`].
    ///
    /// # Errors
    /// When no SASL answer is due.
    pub fn sasl_challenge(&mut self, challenge: Bytes) -> Result<(), EngineError> {
        let _ = challenge;
        Ok(())
    }

    /// Listener: ends the SASL exchange. Any code but [`SaslCode::OK`] ends the connection after the outcome is sent.
    /// Call [`handle_input`](Self::handle_input) again afterwards: input may have waited.
    ///
    /// # Errors
    /// When no SASL answer is due.
    pub fn sasl_outcome(
        &mut self,
        code: SaslCode,
        additional_data: Option<Bytes>,
    ) -> Result<(), EngineError> {
        let _ = (code, additional_data);
        Ok(())
    }

    /// Closes the connection: sends close and waits for the peer's. Idempotent. [`Event::Closed`] follows when the
    /// peer has answered, or after [`Limits::close_time_out`](super::Limits::close_time_out).
    pub fn close(&mut self, error: Option<Error>) {
        let _ = error;
    }

    /// Gives the connection up for a reason outside the protocol (socket, TLS): no close is sent, [`Event::Closed`]
    /// follows with this reason.
    pub fn abort(&mut self, reason: ConnectionError) {
        let _ = reason;
    }

    // Commands: sessions

    /// Begins a session; [`Event::SessionBegun`] follows. Links may be attached at once.
    ///
    /// # Errors
    /// [`EngineError::NotOpen`] before [`Event::Opened`]; [`EngineError::NoChannel`] when all are used.
    pub fn begin(&mut self, config: SessionConfig) -> Result<SessionId, EngineError> {
        let _ = config;
        Err(EngineError::NotOpen)
    }

    /// Answers [`Event::SessionRequested`].
    ///
    /// # Errors
    /// When the session is gone or already answered.
    pub fn accept_session(&mut self, session: SessionId, config: SessionConfig) -> Result<(), EngineError> {
        let _ = (session, config);
        Ok(())
    }

    /// Ends a session and all its links; [`Event::SessionEnded`] follows when the peer has answered.
    ///
    /// # Errors
    /// When the session is gone. Ending one that is already ending is no error.
    pub fn end(&mut self, session: SessionId, error: Option<Error>) -> Result<(), EngineError> {
        let _ = (session, error);
        Ok(())
    }

    // Commands: links

    /// Attaches a link; [`Event::LinkAttached`] or [`Event::LinkDetached`] follows.
    ///
    /// # Errors
    /// When the session is gone or no handle is free.
    pub fn attach(&mut self, session: SessionId, config: LinkConfig) -> Result<LinkId, EngineError> {
        let _ = (session, config);
        Err(EngineError::Stale)
    }

    /// Answers [`Event::AttachRequested`]: the link is usable from here on.
    ///
    /// # Errors
    /// When the link is gone or already answered.
    pub fn accept_attach(&mut self, link: LinkId, reply: AttachReply) -> Result<(), EngineError> {
        let _ = (link, reply);
        Ok(())
    }

    /// Refuses [`Event::AttachRequested`]: an attach without our terminus, then a detach with the error (L-007).
    /// The id is stale afterwards; no event follows.
    ///
    /// # Errors
    /// When the link is gone or already answered.
    pub fn refuse_attach(&mut self, link: LinkId, error: Error) -> Result<(), EngineError> {
        let _ = (link, error);
        Ok(())
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
        let _ = (link, kind, error);
        Ok(())
    }

    // Commands: sender

    /// Sends one message, or says why not now. Small ones are copied straight into the output; large ones leave
    /// frame by frame, taking turns with other links, and [`Event::Sent`] tells when they are gone.
    ///
    /// # Errors
    /// See [`TrySendError`]; nothing was sent, and after those that pass [`Event::Writable`] follows.
    pub fn try_send(&mut self, link: LinkId, outgoing: Outgoing<'_>) -> Result<DeliveryId, TrySendError> {
        let _ = (link, outgoing);
        Err(TrySendError::NoCredit)
    }

    /// Gives up a large message that is still leaving: the receiver is told to drop it (D-012). Nothing happens when
    /// none is. No event follows for that message.
    ///
    /// # Errors
    /// When the link is gone or no sender.
    pub fn abort_send(&mut self, link: LinkId) -> Result<(), EngineError> {
        let _ = link;
        Ok(())
    }

    /// Answers [`Event::DrainRequested`]: there is nothing more to send, the remaining credit is given back (L-025).
    ///
    /// # Errors
    /// When the link is gone or no sender.
    pub fn drained(&mut self, link: LinkId) -> Result<(), EngineError> {
        let _ = link;
        Ok(())
    }

    /// Tells how many messages wait for this link; announced with its next flow (L-024).
    ///
    /// # Errors
    /// When the link is gone or no sender.
    pub fn set_available(&mut self, link: LinkId, available: u32) -> Result<(), EngineError> {
        let _ = (link, available);
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
        let _ = (link, delivery, state, settlement);
        Ok(())
    }

    /// Sets the link's credit: so many further deliveries may come, counted from now. Ends a drain.
    ///
    /// # Errors
    /// When the link is gone or no receiver.
    pub fn set_credit(&mut self, link: LinkId, credit: u32) -> Result<(), EngineError> {
        let _ = (link, credit);
        Ok(())
    }

    /// Asks the sender to use the credit up or give it back; [`Event::Drained`] follows.
    ///
    /// # Errors
    /// When the link is gone or no receiver.
    pub fn drain(&mut self, link: LinkId) -> Result<(), EngineError> {
        let _ = link;
        Ok(())
    }

    // Inputs

    /// Takes the octets read so far. Whole frames are consumed, the rest stays in the buffer for the next call.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> InputStatus {
        let _ = (now, input);
        InputStatus::NeedMore
    }

    /// The stream ended. [`Event::Closed`] follows if it has not come yet (C-035).
    pub fn handle_eof(&mut self, now: Instant) {
        let _ = now;
    }

    /// The instant of [`poll_timeout`](Self::poll_timeout) has come. Early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    // Outputs

    /// Moves pending output into `out`, if `out` is empty; `true` when `out` holds octets to write afterwards.
    /// Batches dispositions, flows and large payloads as late as here.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Transmit) -> bool {
        let _ = (now, out);
        false
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    // Getters

    /// Whether both opens are exchanged and no close has been sent or received.
    #[must_use]
    pub fn is_open(&self) -> bool {
        false
    }

    /// Whether nothing more will be read or written: the socket may be dropped, after a last
    /// [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        false
    }

    /// Whether the caller should stop reading for now: too much that we owe the peer is unsent.
    #[must_use]
    pub fn is_read_paused(&self) -> bool {
        false
    }

    /// Why the connection is over, once it is.
    #[must_use]
    pub fn failure(&self) -> Option<&ConnectionError> {
        None
    }

    /// The peer's open, once it has come.
    #[must_use]
    pub fn remote_open(&self) -> Option<&Arc<Open>> {
        None
    }

    /// The peer's attach, once it has come.
    #[must_use]
    pub fn remote_attach(&self, link: LinkId) -> Option<&Arc<Attach>> {
        let _ = link;
        None
    }

    /// The session of a link.
    #[must_use]
    pub fn link_session(&self, link: LinkId) -> Option<SessionId> {
        let _ = link;
        None
    }

    /// The credit left on a link: for a sender what it may send, for a receiver what may still come. 0 for a stale id.
    #[must_use]
    pub fn link_credit(&self, link: LinkId) -> u32 {
        let _ = link;
        0
    }

    /// The messages the peer says it has for a receiver; 0 when unknown.
    #[must_use]
    pub fn link_available(&self, link: LinkId) -> u32 {
        let _ = link;
        0
    }

    /// The largest message the peer takes on a sending link; `None` without bound.
    #[must_use]
    pub fn link_max_message_size(&self, link: LinkId) -> Option<u64> {
        let _ = link;
        None
    }

    /// Octets waiting for [`poll_transmit`](Self::poll_transmit), large payloads not counted.
    #[must_use]
    pub fn queued_output(&self) -> usize {
        0
    }

    /// The settings given at the start.
    #[must_use]
    pub fn config(&self) -> &ConnectionConfig {
        &self.config
    }
}
