//! What the engine tells its caller. Plain values, pulled one by one with
//! [`Connection::poll_event`](super::Connection::poll_event).

mod queue;

use std::fmt;
use std::sync::Arc;

use amqp_codec::{Attach, Begin, DeliveryState, DeliveryTag, Error, Fields, Open, Role, Str, Symbol};
use bytes::Bytes;

use super::config::DetachKind;
use super::ids::{DeliveryId, LinkId, SessionId};
use super::suspended::SuspendedLink;
use crate::error::ConnectionError;
use crate::secret::SecretOctets;

pub(super) use queue::EventQueue;
pub use queue::{Events, SettledRun};

/// Something happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Listener: the peer chose a mechanism. Answer with
    /// [`sasl_challenge`](super::Connection::sasl_challenge) or [`sasl_outcome`](super::Connection::sasl_outcome);
    /// until then input waits.
    SaslInit {
        /// The mechanism's name; one of those offered.
        mechanism: Symbol,
        /// The initial response: a secret. Absent differs from empty.
        initial_response: Option<SecretOctets>,
        /// The host the peer means.
        hostname: Option<Str>,
    },
    /// Listener: the peer answered a challenge. Answer as after `SaslInit`.
    SaslResponse {
        /// The response: a secret.
        response: SecretOctets,
    },
    /// Client: the server accepted our credentials.
    Authenticated,
    /// The peer's open came. A listener that has not called [`open`](super::Connection::open) yet does so now, or closes.
    Opened {
        /// The peer's open.
        remote: Arc<Open>,
    },
    /// Listener: the peer began a session. Answer with [`accept_session`](super::Connection::accept_session).
    SessionRequested {
        /// The new session.
        session: SessionId,
        /// The peer's begin.
        begin: Arc<Begin>,
    },
    /// The peer answered our begin.
    SessionBegun {
        /// The session.
        session: SessionId,
        /// The peer's begin.
        begin: Arc<Begin>,
    },
    /// The session is over and its id stale. Its links came before, each with a [`Event::LinkDetached`].
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Who ended it.
        cause: EndCause,
        /// The error given with the end: the peer's, or ours after a violation.
        error: Option<Error>,
    },
    /// Listener: the peer attached a link. Answer with [`accept_attach`](super::Connection::accept_attach) or
    /// [`refuse_attach`](super::Connection::refuse_attach).
    AttachRequested {
        /// The new link.
        link: LinkId,
        /// The session it belongs to.
        session: SessionId,
        /// The peer's attach, with its unsettled map if it gave one. Its role is the peer's.
        attach: Arc<Attach>,
    },
    /// The peer answered our attach and the link is usable.
    LinkAttached {
        /// The link.
        link: LinkId,
        /// The peer's attach.
        attach: Arc<Attach>,
    },
    /// The link is over and its id stale. Unsettled deliveries of it are forgotten without further events: a sender's
    /// outcome is unknown unless a `Settled` event came before.
    LinkDetached {
        /// The link.
        link: LinkId,
        /// Whether the link's state is destroyed.
        kind: DetachKind,
        /// Who detached it, or whether it ever was attached.
        cause: DetachCause,
        /// The error given with the detach (or the session's end): the peer's, or ours after a violation.
        error: Option<Error>,
    },
    /// A link attached with [`Retention::Keep`](super::Retention) is no longer attached, and may be resumed. Comes before
    /// [`Event::LinkDetached`] or, where the connection ended, before [`Event::Closed`]. Not where either side closed
    /// the link for good.
    LinkSuspended {
        /// The link; its id is stale.
        link: LinkId,
        /// What the next attach of it needs.
        state: Box<SuspendedLink>,
    },
    /// Sender: the link was resumed, and this delivery of before can neither be concluded nor sent again: its outcome is
    /// unknown.
    Unresolved {
        /// The link.
        link: LinkId,
        /// The caller's number of the message.
        user: u32,
    },
    /// Receiver: the sender resumed a delivery whose message the application has whole: it may be settled under its new
    /// id.
    DeliveryResumed {
        /// The link.
        link: LinkId,
        /// Its new id.
        delivery: DeliveryId,
        /// Its tag, the same as before.
        tag: DeliveryTag,
    },
    /// Receiver: a delivery of before the link was resumed is settled by its sender, or taken back: nothing more
    /// will come of it.
    SettledBefore {
        /// The link.
        link: LinkId,
        /// Its tag.
        tag: DeliveryTag,
        /// The state the sender gave, if any.
        state: Option<DeliveryState>,
    },
    /// Sender: a [`try_send`](super::Connection::try_send) that was turned away may succeed now, or credit appeared.
    Writable {
        /// The link.
        link: LinkId,
    },
    /// Sender: a large message has left the link: all its frames are in the output.
    Sent {
        /// The link.
        link: LinkId,
        /// The caller's number of the message.
        user: u32,
    },
    /// Sender: a large message that was [given up](super::Connection::abort_send) is out of the link's way: that its
    /// receiver is to drop it is in the output.
    Aborted {
        /// The link.
        link: LinkId,
        /// The caller's number of the message.
        user: u32,
    },
    /// Sender: the receiver wants its credit used up or given back. Send what there is, then call
    /// [`drained`](super::Connection::drained).
    DrainRequested {
        /// The link.
        link: LinkId,
    },
    /// Receiver: the sender used up or gave back all credit after [`drain`](super::Connection::drain).
    Drained {
        /// The link.
        link: LinkId,
    },
    /// Receiver: the sender answered a flow that asked for it.
    FlowAnswered {
        /// The link.
        link: LinkId,
        /// What [`ask`](super::Connection::ask) returned, at the last time before that flow.
        number: u32,
    },
    /// The link is being detached although the caller has not asked for it: the peer broke a rule of it, or attached its
    /// name anew. Nothing can be sent on it, and nothing more comes but the outcomes of what was sent.
    /// [`Event::LinkDetached`] follows when the peer has answered.
    LinkFailed {
        /// The link.
        link: LinkId,
        /// Our role on it.
        role: Role,
        /// Why it is detached.
        cause: DetachCause,
        /// What the peer is told, if anything.
        error: Option<Error>,
    },
    /// The peer's flow for a link carried properties: what both ends agreed to tell each other beside credit
    /// (AMQP 1.0 §2.7.4).
    LinkState {
        /// The link.
        link: LinkId,
        /// What was told.
        properties: Fields,
    },
    /// Receiver: a whole message.
    Delivery {
        /// The link.
        link: LinkId,
        /// The message.
        delivery: IncomingDelivery,
    },
    /// Sender: the delivery is settled, nothing more will be heard of it.
    Settled {
        /// The link.
        link: LinkId,
        /// The caller's number of the message.
        user: u32,
        /// The last state the receiver gave, or the source's default outcome; `None` when neither exists (D-028).
        state: Option<DeliveryState>,
    },
    /// Sender on a link that is settled by its application: the receiver told its outcome, once, and left the settling
    /// to us. Answer with [`settle_sent`](super::Connection::settle_sent); until then the delivery stays unsettled. A
    /// receiver that settles after all ends it with [`Event::Settled`], whose state it may leave out then.
    OutcomeTold {
        /// The link.
        link: LinkId,
        /// The delivery.
        delivery: DeliveryId,
        /// The caller's number of the message.
        user: u32,
        /// The outcome.
        state: DeliveryState,
    },
    /// Sender: the receiver told a state that is not final, for instance `received`.
    StateChanged {
        /// The link.
        link: LinkId,
        /// The caller's number of the message.
        user: u32,
        /// The state.
        state: DeliveryState,
    },
    /// Receiver: the sender settled a delivery that we had left unsettled: the end of a `second` mode exchange.
    RemoteSettled {
        /// The link.
        link: LinkId,
        /// The delivery.
        delivery: DeliveryId,
        /// The state the sender gave, if any.
        state: Option<DeliveryState>,
    },
    /// The connection is over: the last event. Everything pending on it fails with this error.
    Closed {
        /// Why.
        reason: ConnectionError,
    },
}

/// A message that arrived whole.
#[derive(Clone)]
#[non_exhaustive]
pub struct IncomingDelivery {
    /// Its id, for [`settle`](super::Connection::settle).
    pub id: DeliveryId,
    /// Its tag.
    pub tag: DeliveryTag,
    /// The encoded message: a slice of the read buffer when it came in one frame.
    pub message: Bytes,
    /// Its format; 0 when the peer gave none.
    pub message_format: u32,
    /// Whether it came settled: no disposition is wanted.
    pub is_settled: bool,
    /// The sender's state, for instance that it belongs to a transaction.
    pub state: Option<Box<DeliveryState>>,
    /// Whether it was begun before the link was resumed, and completed now.
    pub is_resumed: bool,
}

impl fmt::Debug for IncomingDelivery {
    // The message may be a secret, such as a token: only its length is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingDelivery")
            .field("id", &self.id)
            .field("octets", &self.message.len())
            .field("message_format", &self.message_format)
            .field("is_settled", &self.is_settled)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Who detached a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DetachCause {
    /// The peer refused our attach: the link never was usable (L-007).
    Refused,
    /// The peer detached it.
    Remote,
    /// Our own detach, answered by the peer.
    Local,
    /// The peer broke a rule of the link and we detached it with the error given.
    Violation,
    /// The peer attached the same name anew (L-002). Where the link may be resumed, [`Event::LinkSuspended`] came before, and
    /// both come before the [`Event::AttachRequested`] of the new attach, which can resume it.
    Stolen,
    /// Our own detach of a sender by whose maps of what is unsettled, the receiver's or ours, nothing new may be sent, for a
    /// part was missing: it is to be attached again, and resumed for the rest where there is one (AMQP 1.0 §2.7.3).
    Incomplete,
    /// Our own detach, or our attach, which the peer has not answered in time
    /// ([`give_up_link`](super::Connection::give_up_link)).
    Unanswered,
    /// Its session ended.
    SessionEnded,
    /// It never was attached: the peer's begin, which came after our attach was asked for, allows fewer links.
    NoHandle,
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EndCause {
    /// The peer ended it.
    Remote,
    /// Our own end, answered by the peer.
    Local,
    /// The peer broke a rule of the session and we ended it with the error given.
    Violation,
}
