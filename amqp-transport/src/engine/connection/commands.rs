//! What a caller may ask of a connection, its sessions and its links.
//!
//! Owns the words of that interface alone: what each of them does is with who owns the thing.

use amqp_codec::{DeliveryState, Error, Fields, SaslCode};
use bytes::Bytes;

use super::super::config::{AttachReply, DetachKind, LinkConfig, Outgoing, SessionConfig, Settlement};
#[cfg(doc)]
use super::super::event::Event;
use super::super::event::{DetachCause, EndCause};
use super::super::ids::{DeliveryId, LinkId, SessionId};
use super::super::timers::Timer;
use super::super::violation::{EngineError, TrySendError};
use super::Connection;
use crate::error::ConnectionError;

/// The connection.
impl Connection {
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
    /// peer has answered, or after [`Limits::close_time_out`](crate::engine::Limits::close_time_out).
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
}

/// Sessions.
impl Connection {
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
    /// When the session is gone or already answered; [`EngineError::FrameTooLarge`] when the answer does not fit the peer's
    /// frames, which ends the session.
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
}

/// Links.
impl Connection {
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

    /// Waits no longer for the peer's answer to a [`detach`](Self::detach) or an [`attach`](Self::attach), which is taken
    /// back by a detach. [`Event::LinkDetached`] follows at once, and what is left of a link that may be resumed before it:
    /// the id is stale, and no more is heard of what was sent. A late answer is dropped; until it comes the handle and
    /// the name are not free.
    ///
    /// # Errors
    /// When the link is gone, is attached, or waits for our own answer.
    pub fn give_up_link(&mut self, link: LinkId) -> Result<(), EngineError> {
        self.give_up(link)
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
}

/// Senders.
impl Connection {
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
    /// none is. [`Event::Aborted`] follows when the link is free again, unless it ends before; nothing else is heard of
    /// that message.
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
}

/// Links of either role.
impl Connection {
    /// Tells the peer, with the next flow of the link and all after it, what both ends agreed to tell each other beside
    /// credit (AMQP 1.0 §2.7.4); none ends that. The peer's own come as [`Event::LinkState`].
    ///
    /// # Errors
    /// When the link is gone, or the properties do not fit a frame of the peer's.
    pub fn set_link_state(&mut self, link: LinkId, properties: Option<Fields>) -> Result<(), EngineError> {
        self.tell_link_state(link, properties)
    }
}

/// Receivers.
impl Connection {
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
}
