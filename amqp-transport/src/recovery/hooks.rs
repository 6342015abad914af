//! What the layer above decides: how a connection is made usable and kept so, and which errors pass.

use std::fmt;

use super::Backoff;
use super::error::RecoveryError;
use super::live::Live;
use super::options::PeerAddress;
use crate::client::ConnectOptions;
use crate::handle::connection::Connection;
use crate::handle::error::{AttachError, DetachReason};
use crate::handle::options::SessionOptions;
use crate::handle::session::Session;

/// What the layer above does at each turn of recovery. [`Direct`] is the one for brokers that ask for nothing but SASL.
pub trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// What the layer keeps of each connection, such as the client that renews its token.
    type Context: fmt::Debug + Send + Sync + 'static;
    /// The layer's own words for what went wrong.
    type Error: From<RecoveryError> + Clone + fmt::Debug + fmt::Display + Send + Sync + 'static;

    /// Connects to the address of this attempt (or where that one sends us), authenticates, and begins the session that
    /// carries the links. Bounded by [`RecoveryOptions::attempt_timeout`](super::RecoveryOptions::attempt_timeout).
    ///
    /// # Errors
    /// Whatever kept it from a usable connection; [`verdict`](Self::verdict) is asked about it.
    ///
    /// # Cancel safety
    /// It is dropped when the time is over or the owner closes: nothing it made may outlive it.
    fn connect(
        &self,
        attempt: &Attempt<'_>,
    ) -> impl Future<Output = Result<Established<Self::Context>, Self::Error>> + Send;

    /// Keeps a connection usable while it lives, by renewing its credentials for instance. Ends to ask for another
    /// connection. That the connection or its session is lost need not be watched for. Default: nothing to do.
    ///
    /// # Cancel safety
    /// It is dropped when the connection is lost or the owner closes.
    fn attend(&self, live: &Live<Self::Context>) -> impl Future<Output = Parting<Self::Error>> + Send {
        let _ = live;
        std::future::pending()
    }

    /// What it means that a connection which was usable is over, by [`RecoveryError::Lost`],
    /// [`RecoveryError::SessionEnded`] or [`RecoveryError::Condemned`]. Default just that.
    fn lost(&self, live: &Live<Self::Context>, reason: RecoveryError) -> Self::Error {
        let _ = live;
        reason.into()
    }

    /// Whether trying again may help after this error of [`connect`](Self::connect), and how patiently. An address that
    /// fails for good is left out until the end of the outage; when none is left, recovery fails.
    fn verdict(&self, error: &Self::Error) -> Verdict;

    /// What to do about a link that was not attached or was detached. Default: a new connection where the connection or
    /// session is gone, unless the peer ended the session for good when it was asked for the link; attaching again where the peer's condition means "not now", giving up otherwise.
    fn link_verdict(&self, address: &str, end: LinkEnd<'_>) -> LinkVerdict<Self::Error> {
        let address = || address.to_owned();
        let (error, is_gone) = match end {
            LinkEnd::NotAttached(error) => (
                RecoveryError::attach(address(), error.clone()),
                match error {
                    // Some brokers answer a wrong address so; the other links are made anew all the same.
                    AttachError::SessionEnded(_) => error.is_retryable(),
                    // Its name is free again on a new connection alone.
                    other => matches!(other, AttachError::Lost(_) | AttachError::Unanswered),
                },
            ),
            LinkEnd::Detached(DetachReason::Local) => (RecoveryError::Closed, false),
            LinkEnd::Detached(reason) => (
                RecoveryError::Detached { address: address(), reason: reason.clone() },
                matches!(reason, DetachReason::Lost(_) | DetachReason::SessionEnded(_)),
            ),
        };
        match is_gone {
            true => LinkVerdict::Reconnect,
            false if error.is_retryable() => LinkVerdict::AttachAgain(error.into()),
            false => LinkVerdict::GiveUp(error.into()),
        }
    }
}

/// One attempt at one address.
#[derive(Debug)]
pub struct Attempt<'a> {
    pub(super) address: &'a PeerAddress,
    pub(super) number: u32,
    pub(super) generation: u64,
}

/// A connection that is open and authenticated.
#[derive(Debug)]
pub struct Established<C> {
    /// The connection.
    pub connection: Connection,
    /// The session that carries the recovering links, but those of a [further session](super::RecoveringSession).
    pub session: Session,
    /// What the hooks keep of it.
    pub context: C,
}

/// Why the hooks ask for another connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Parting<E> {
    /// This one is of no use any more.
    Lost(E),
    /// This one is to be replaced while it is still sound, for a fresh credential for instance: what is under way may
    /// end first. No loss: it is replaced even where losses are not recovered from
    /// ([`RecoveryOptions::attempts`](super::RecoveryOptions::attempts) of 0).
    Planned(E),
}

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Try again after the pause that this back-off asks for.
    Retry(Backoff),
    /// It will not pass by itself.
    GiveUp,
}

/// How a link came to its end.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LinkEnd<'a> {
    /// It was never attached.
    NotAttached(&'a AttachError),
    /// It was detached.
    Detached(&'a DetachReason),
}

/// What to do about a link that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LinkVerdict<E> {
    /// The connection or session is gone with it, or has to be made anew for its sake.
    Reconnect,
    /// Attach it again on the same connection, after a pause; the error is for when that fails too often.
    AttachAgain(E),
    /// Attaching again is useless.
    GiveUp(E),
}

/// The hooks of a broker that asks for nothing but what [`ConnectOptions`] hold.
#[derive(Clone, Debug)]
pub struct Direct {
    connect: ConnectOptions,
    session: SessionOptions,
}

impl Attempt<'_> {
    /// The address whose turn it is.
    #[must_use]
    pub fn address(&self) -> &PeerAddress {
        self.address
    }

    /// The number of the attempt in this outage, from 1; 0 for the first connection of all.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The generation that the connection will have, 1 for the first.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Connects to the attempt's address and begins a session.
    ///
    /// # Errors
    /// [`RecoveryError::Connect`] or [`RecoveryError::Begin`].
    ///
    /// # Cancel safety
    /// Safe: the connection is closed.
    pub async fn open(
        &self,
        connect: ConnectOptions,
        session: SessionOptions,
    ) -> Result<(Connection, Session), RecoveryError> {
        self.open_at(self.address, connect, session).await
    }

    /// As [`open`](Self::open), at another address, such as one that a redirect named.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Cancel safety
    /// As [`open`](Self::open).
    pub async fn open_at(
        &self,
        address: &PeerAddress,
        connect: ConnectOptions,
        session: SessionOptions,
    ) -> Result<(Connection, Session), RecoveryError> {
        let connection = Connection::connect((address.host(), address.port()), connect)
            .await
            .map_err(|error| RecoveryError::Connect { address: address.clone(), error })?;
        let session = connection.begin(session).await?;
        Ok((connection, session))
    }
}

impl<C> Established<C> {
    /// A connection, its session and what the hooks keep of it.
    pub fn new(connection: Connection, session: Session, context: C) -> Self {
        Self { connection, session, context }
    }
}

impl Direct {
    /// Connects with these options.
    #[must_use]
    pub fn new(connect: ConnectOptions) -> Self {
        Self { connect, session: SessionOptions::new() }
    }

    /// Begins sessions with these options. Default [`SessionOptions::new`].
    #[must_use]
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }
}

impl Hooks for Direct {
    type Context = ();
    type Error = RecoveryError;

    async fn connect(&self, attempt: &Attempt<'_>) -> Result<Established<()>, RecoveryError> {
        let (connection, session) = attempt.open(self.connect.clone(), self.session.clone()).await?;
        Ok(Established::new(connection, session, ()))
    }

    fn verdict(&self, error: &RecoveryError) -> Verdict {
        error.verdict()
    }
}
