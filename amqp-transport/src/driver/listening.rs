//! What a listener's connection keeps for its application: what the peer asks for, until somebody answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use amqp_codec::{Attach, Begin, Error, ErrorCondition, Str, Symbol};

use super::termini::{Member, Registry};
use super::wait::{WaitQueue, Wakes};
use crate::engine::{LinkId, SessionConfig, SessionId};
use crate::secret::SecretOctets;

/// What differs between the two ends.
#[derive(Debug)]
pub(crate) enum Role {
    Client,
    Listener(Box<ListenerState>),
}

/// What a listener's connection keeps for its application.
#[derive(Debug, Default)]
pub(crate) struct ListenerState {
    /// How sessions that the peer begins are accepted, where the application does not decide.
    pub(crate) session_config: SessionConfig,
    pub(crate) decides_sessions: DecidesSessions,
    /// Begins that nobody has taken yet; bounded by channel-max.
    pub(crate) sessions: VecDeque<SessionRequest>,
    /// What the peer said in its SASL exchange, until someone answers.
    pub(crate) sasl: Option<SaslQuestion>,
    /// Attaches that nobody has taken yet; bounded by the engine's limit on links.
    pub(crate) incoming: AttachQueue,
    pub(crate) takers: WaitQueue,
    /// What is kept of its links when they are lost, where anything is.
    pub(crate) termini: Option<Arc<Member>>,
    /// Who keeps that, while the connection lives: afterwards it would keep the connection in turn.
    pub(crate) registry: Option<Arc<Registry>>,
}

impl ListenerState {
    /// What there is to be taken, about.
    pub(crate) fn waiting(&self) -> usize {
        self.sessions.len().saturating_add(self.incoming.len())
    }

    /// A session is answered or over: attaches in it need not wait for that any more.
    pub(crate) fn answer_session(&mut self, session: SessionId, wakes: &mut Wakes) {
        if self.incoming.answer_session(session) {
            self.sessions.retain(|request| request.session != session);
            self.takers.notify(self.waiting(), wakes);
        }
    }
}

/// Who decides about sessions that peers begin (`AMQP 1.0 §2.5.1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecidesSessions {
    /// The library accepts all of them, each with the settings that the listener has for sessions.
    #[default]
    Library,
    /// The application, which is told of each before its links (`Incoming::Session`).
    Application,
}

/// A begin of the peer's that waits for an answer.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    pub(crate) session: SessionId,
    pub(crate) begin: Arc<Begin>,
}

/// What the peer says in its SASL exchange.
#[derive(Debug)]
pub(crate) enum SaslQuestion {
    /// Its `sasl-init`.
    Init { mechanism: Symbol, initial_response: Option<SecretOctets>, hostname: Option<Str> },
    /// Its answer to a challenge.
    Response(SecretOctets),
}

/// An attach of the peer's that waits for an answer.
#[derive(Debug)]
pub(crate) struct AttachRequest {
    pub(crate) link: LinkId,
    pub(crate) session: SessionId,
    pub(crate) attach: Arc<Attach>,
}

/// Attaches in the order in which they came, each found by its link without a search; those of sessions that are not
/// answered wait apart.
#[derive(Debug, Default)]
pub(crate) struct AttachQueue {
    ready: BTreeMap<u64, AttachRequest>,
    waiting: BTreeMap<SessionId, BTreeMap<u64, AttachRequest>>,
    places: BTreeMap<LinkId, (u64, SessionId)>,
    last: u64,
}

impl AttachQueue {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// A session whose attaches wait from here on until it is answered.
    pub(crate) fn begin_session(&mut self, session: SessionId) {
        self.waiting.insert(session, BTreeMap::new());
    }

    /// A session is answered, or over; whether it waited for that.
    pub(crate) fn answer_session(&mut self, session: SessionId) -> bool {
        let waited = self.waiting.remove(&session);
        waited.map(|mut requests| self.ready.append(&mut requests)).is_some()
    }

    pub(crate) fn push(&mut self, request: AttachRequest) {
        self.last = self.last.wrapping_add(1);
        self.places.insert(request.link, (self.last, request.session));
        let queue = self.waiting.get_mut(&request.session).unwrap_or(&mut self.ready);
        queue.insert(self.last, request);
    }

    /// The first one whose session is answered.
    pub(crate) fn pop(&mut self) -> Option<AttachRequest> {
        let (_, request) = self.ready.pop_first()?;
        self.places.remove(&request.link);
        Some(request)
    }

    pub(crate) fn remove(&mut self, link: LinkId) {
        let Some((number, session)) = self.places.remove(&link) else { return };
        self.waiting.get_mut(&session).unwrap_or(&mut self.ready).remove(&number);
    }
}

/// The condition for what the application let go without an answer.
pub(crate) fn unanswered(what: &'static str) -> Error {
    Error {
        condition: ErrorCondition::INTERNAL_ERROR,
        description: Some(Str::from(what.to_owned())),
        info: None,
    }
}
