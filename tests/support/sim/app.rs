//! The application at one end: does anything the engine's interface allows, in any order, and holds every event
//! against what the other end's application did.

mod again;
mod crediting;
mod deciding;
mod events;
mod keeping;
mod taking;
mod transacting;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use amqp_codec::{Attach, DeliveryState, DeliveryTag, ReceiverSettleMode, SenderSettleMode, Str};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{
    Connection, ConnectionConfig, DeliveryId, Event, LinkId, SessionId, Side, SuspendedLink, Transmit,
};
use bytes::BytesMut;

use super::observer::Observer;
use super::termini::{Expiry, Termini};
use super::transactions::Desk;

/// One end of the run.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) side: Side,
    pub(crate) engine: Connection,
    pub(crate) observer: Observer,
    pub(crate) transmit: Transmit,
    pub(crate) input: BytesMut,
    /// Events polled and not looked at yet.
    pub(crate) events: VecDeque<Event>,
    pub(crate) sessions: Vec<AppSession>,
    pub(crate) links: Vec<AppLink>,
    /// Links that are not attached and may be resumed: by whether they send, and name.
    pub(crate) kept: BTreeMap<(bool, Str), Kept>,
    /// The listener: what it keeps of them, and for how long; and which of its connections this is.
    pub(crate) termini: Option<Termini>,
    pub(crate) connection: u64,
    /// The listener's coordinator, and the transactions of the client.
    pub(crate) desk: Option<Desk>,
    pub(crate) declared: Vec<transacting::Declared>,
    pub(crate) now: Instant,
    pub(crate) closed: Option<ConnectionError>,
    pub(crate) last_written: Instant,
    pub(crate) last_heard: Instant,
    /// Whether the peer keeps to the rules: only then are its deeds held against the ledger.
    pub(crate) is_honest: bool,
    pub(crate) is_impatient: bool,
}

#[derive(Debug)]
pub(crate) struct AppSession {
    pub(crate) id: SessionId,
    pub(crate) state: State,
}

#[derive(Debug)]
pub(crate) struct AppLink {
    pub(crate) id: LinkId,
    pub(crate) session: SessionId,
    pub(crate) name: Str,
    /// Its number in the ledger.
    pub(crate) number: usize,
    pub(crate) is_sender: bool,
    pub(crate) state: State,
    pub(crate) keeping: Keeping,
    /// Whether either end has told what it holds of before.
    pub(crate) resumes: bool,
    /// Whether a message has come that is not of before.
    pub(crate) has_new: bool,
    /// Deliveries of before that the sender has said nothing of yet.
    pub(crate) awaited: Vec<Held>,
    /// What is left of it, once the engine has handed that out.
    pub(crate) suspended: Option<Box<SuspendedLink>>,
    /// Whether another connection of the same container has taken it, so that nothing more comes of it.
    pub(crate) is_taken: bool,
    /// Whether it leads to a coordinator.
    pub(crate) is_control: bool,
    pub(crate) expiry: Expiry,
    /// The peer's attach, until it is answered.
    pub(crate) request: Option<Box<Attach>>,
    pub(crate) snd_settle_mode: SenderSettleMode,
    pub(crate) rcv_settle_mode: ReceiverSettleMode,
    /// Messages to be sent.
    pub(crate) queue: VecDeque<usize>,
    /// Whether the engine has said to wait.
    pub(crate) is_blocked: bool,
    /// The last message sent.
    pub(crate) last_sent: Option<usize>,
    pub(crate) is_drain_asked: bool,
    /// Receiver: whether the sender has been asked to use its credit up or give it back.
    pub(crate) is_draining: bool,
    /// Receiver: what was asked of its sender and not answered, and whether nothing may come until credit is given anew:
    /// the sender has used it up, given it back, or knows that there is none.
    pub(crate) asked: Vec<Ask>,
    pub(crate) is_dry: bool,
    /// The last thing that the peer said beside credit.
    pub(crate) heard: u64,
    /// Whether a message that is on its way in parts may still come.
    pub(crate) may_finish: bool,
    pub(crate) known: Known,
    /// Whether credit was taken back since the link was dry.
    pub(crate) was_lowered: bool,
    /// Whether we have closed it for good.
    pub(crate) is_closing: bool,
    /// Deliveries received and not settled.
    pub(crate) held: Vec<Held>,
    /// Those we settled ourselves while the sender was about to.
    pub(crate) crossed: Vec<Held>,
    /// Sender: whether we settle what the receiver leaves to us, and what waits for that.
    pub(crate) decides: bool,
    pub(crate) undecided: Vec<Undecided>,
}

/// What a receiver knows of the credit that its sender knows: a flow without credit may have been said before the sender
/// heard of any, and nothing on the wire tells the two apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Known {
    /// It has none.
    #[default]
    None,
    /// It was given some.
    Granted,
    /// It has used some of that.
    Used,
    /// It was given more.
    Unknown,
}

/// A flow that asks for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) number: u32,
    /// Whether no credit was left, and none has been given since.
    pub(crate) is_stop: bool,
}

/// What a sender keeps for a link to be resumed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keeping {
    /// Whether anything is.
    pub(crate) is_on: bool,
    /// Whether there is room for every message.
    pub(crate) is_ample: bool,
    /// Whether a message that may have arrived must not be sent again.
    pub(crate) forbids_repeats: bool,
}

/// A link that is not attached.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) state: Box<SuspendedLink>,
    pub(crate) number: usize,
    pub(crate) keeping: Keeping,
    pub(crate) expiry: Expiry,
    pub(crate) held: Vec<Held>,
    pub(crate) queue: VecDeque<usize>,
}

/// A message of ours whose receiver has told its outcome.
#[derive(Clone, Debug)]
pub(crate) struct Undecided {
    pub(crate) delivery: DeliveryId,
    pub(crate) message: usize,
    pub(crate) wanted: DeliveryState,
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: DeliveryId,
    pub(crate) tag: DeliveryTag,
    pub(crate) message: usize,
    /// The outcome given, where the sender is to settle.
    pub(crate) told: Option<DeliveryState>,
}

/// How far a session or link has come, as its application knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// We asked for it.
    Asked,
    /// The peer asks for it.
    Requested,
    /// Both agree.
    Open,
    /// We are leaving.
    Leaving,
}

impl AppLink {
    /// A link without anything on it yet.
    fn new(id: LinkId, session: SessionId, name: Str, is_sender: bool, number: usize, state: State) -> Self {
        Self {
            id,
            session,
            name,
            number,
            is_sender,
            state,
            keeping: Keeping::default(),
            resumes: false,
            has_new: false,
            awaited: Vec::new(),
            suspended: None,
            is_taken: false,
            is_control: false,
            expiry: Expiry::default(),
            request: None,
            snd_settle_mode: SenderSettleMode::default(),
            rcv_settle_mode: ReceiverSettleMode::default(),
            queue: VecDeque::new(),
            is_blocked: false,
            last_sent: None,
            is_drain_asked: false,
            is_draining: false,
            asked: Vec::new(),
            is_dry: false,
            heard: 0,
            may_finish: false,
            known: Known::default(),
            was_lowered: false,
            is_closing: false,
            held: Vec::new(),
            crossed: Vec::new(),
            decides: false,
            undecided: Vec::new(),
        }
    }
}

impl App {
    pub(crate) fn new(side: Side, config: ConnectionConfig, now: Instant, is_honest: bool) -> Self {
        let name = if side == Side::Client { "client" } else { "listener" };
        Self {
            side,
            engine: Connection::new(side, config, now),
            observer: Observer::new(name, !is_honest),
            transmit: Transmit::new(),
            input: BytesMut::new(),
            events: VecDeque::new(),
            sessions: Vec::new(),
            links: Vec::new(),
            kept: BTreeMap::new(),
            termini: None,
            connection: 0,
            desk: None,
            declared: Vec::new(),
            now,
            closed: None,
            last_written: now,
            last_heard: now,
            is_honest,
            is_impatient: false,
        }
    }

    /// This side's place in the ledger, and the peer's.
    pub(crate) fn places(&self) -> (usize, usize) {
        if self.side == Side::Client { (0, 1) } else { (1, 0) }
    }

    /// Polls all events the engine has.
    pub(crate) fn poll(&mut self) -> usize {
        let mut count = 0;
        while let Some(event) = self.engine.poll_event() {
            self.events.push_back(event);
            count += 1;
        }
        count
    }

    fn link(&mut self, id: LinkId) -> &mut AppLink {
        let side = self.side;
        self.links
            .iter_mut()
            .find(|link| link.id == id)
            .unwrap_or_else(|| panic!("the {side:?} is told of {id:?}, which it does not know (any more)"))
    }

    /// A command that an honest peer gives no cause to turn away.
    fn must<E: core::fmt::Debug>(&self, result: Result<(), E>) {
        self.check(result.is_ok(), || format!("turned away: {result:?}"));
    }

    /// Something that only an honest peer can be held to.
    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        assert!(holds || !self.is_honest, "{:?}: {}", self.side, what());
    }
}
