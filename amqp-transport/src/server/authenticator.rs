//! Who is let in: the application's word on a peer's SASL exchange.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use amqp_codec::{Str, Symbol};
use bytes::Bytes;

#[cfg(feature = "scram")]
use super::asking::scram::{AskingScram, Find};
use super::asking::{AskingFactory, AskingMechanism, Decide};
use crate::sasl::{SaslRequest, ServerMechanism};
#[cfg(feature = "scram")]
use crate::{
    driver::random,
    sasl::scram::{ScramDecoy, ScramHash, ScramKeys, ScramServer, ScramStore},
};

/// Decides on credentials (`AMQP 1.0 §5.3`) of the mechanisms that [`SaslRequest`] knows.
pub trait Authenticator: Send + Sync {
    /// Decides on what a peer presented.
    ///
    /// Called once for each connection from the task that runs its handshake. It must not block for long; one that has
    /// to ask others decides by [`SaslPolicy::asking`].
    fn authenticate(&self, request: &SaslRequest, peer: &SaslPeer) -> SaslDecision;
}

impl<F> Authenticator for F
where
    F: Fn(&SaslRequest, &SaslPeer) -> SaslDecision + Send + Sync,
{
    fn authenticate(&self, request: &SaslRequest, peer: &SaslPeer) -> SaslDecision {
        self(request, peer)
    }
}

/// What is known of a peer before it has authenticated.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SaslPeer {
    /// The host the peer means, from its `sasl-init`.
    pub hostname: Option<Str>,
    /// Its address; `None` when the stream was no socket of a listener.
    pub address: Option<SocketAddr>,
    /// Whether it speaks TLS to this listener.
    pub is_encrypted: bool,
    /// The certificate it presented in TLS and those above it, each as DER; they are verified where the listener's TLS
    /// settings ask for a client certificate. Empty without one. EXTERNAL means this identity.
    pub certificates: Vec<Bytes>,
}

/// An [`Authenticator`]'s word.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslDecision {
    /// Let in, as this user where one is known.
    Accept {
        /// The name under which the application knows the peer.
        identity: Option<String>,
    },
    /// Not let in: the credentials are not accepted.
    Refuse,
    /// Cannot decide at the moment; the peer may try later.
    TemporaryFailure,
}

impl SaslDecision {
    /// Lets the peer in under this name.
    pub fn accept(identity: impl Into<String>) -> Self {
        Self::Accept { identity: Some(identity.into()) }
    }
}

/// Which mechanisms a listener offers and who decides on them.
#[derive(Clone)]
pub struct SaslPolicy {
    pub(crate) mechanisms: Vec<Symbol>,
    pub(crate) decider: Decider,
    pub(crate) custom: Vec<(Symbol, Factory)>,
    pub(crate) allows_no_sasl: bool,
    pub(crate) greeting: Option<Bytes>,
}

/// Who decides on the mechanisms that are nobody's own.
#[derive(Clone)]
pub(crate) enum Decider {
    AtOnce(Arc<dyn Authenticator>),
    Asking(Arc<Decide>),
}

type MechanismFactory = Box<dyn Fn(&SaslPeer) -> Option<Box<dyn ServerMechanism>> + Send + Sync>;

/// Makes one mechanism for one connection; `None` when that is not possible at the moment.
#[derive(Clone)]
pub(crate) enum Factory {
    AtOnce(Arc<MechanismFactory>),
    Asking(Arc<AskingFactory>),
}

impl SaslPolicy {
    /// Offers these mechanisms in this order, and refuses peers that leave SASL out.
    ///
    /// A listener that offers none and does not [allow to leave SASL out](Self::allow_no_sasl) lets nobody in.
    pub fn new(mechanisms: impl IntoIterator<Item = Symbol>, authenticator: Arc<dyn Authenticator>) -> Self {
        Self::deciding(mechanisms.into_iter().collect(), Decider::AtOnce(authenticator))
    }

    /// As [`new`](Self::new), with decisions that may wait for others: a database, a directory, a token endpoint. The
    /// connection waits meanwhile, and no other does.
    ///
    /// # Cancel safety
    /// The future is dropped when the connection ends, or when the listener's
    /// [`handshake_timeout`](super::ListenerOptions::handshake_timeout) is over: the peer is not let in then.
    pub fn asking<F, D>(mechanisms: impl IntoIterator<Item = Symbol>, decide: F) -> Self
    where
        F: Fn(SaslRequest, SaslPeer) -> D + Send + Sync + 'static,
        D: Future<Output = SaslDecision> + Send + 'static,
    {
        let decide: Decide = Box::new(move |request, peer| Box::pin(decide(request, peer)));
        Self::deciding(mechanisms.into_iter().collect(), Decider::Asking(Arc::new(decide)))
    }

    fn deciding(mechanisms: Vec<Symbol>, decider: Decider) -> Self {
        Self { mechanisms, decider, custom: Vec::new(), allows_no_sasl: false, greeting: None }
    }

    /// Offers nothing yet and refuses peers that leave SASL out: to be followed by [`mechanism`](Self::mechanism) or
    /// `scram`.
    #[must_use]
    pub fn empty() -> Self {
        let nobody = |_: &SaslRequest, _: &SaslPeer| SaslDecision::Refuse;
        Self::new([], Arc::new(nobody))
    }

    /// Offers one more mechanism, of the application's own making. `make` makes one for every exchange; `None` tells the
    /// peer to try later. It goes before one of the same name that the authenticator would decide on.
    #[must_use]
    pub fn mechanism<F>(self, name: Symbol, make: F) -> Self
    where
        F: Fn(&SaslPeer) -> Option<Box<dyn ServerMechanism>> + Send + Sync + 'static,
    {
        self.custom(name, Factory::AtOnce(Arc::new(Box::new(make))))
    }

    /// As [`mechanism`](Self::mechanism), for one whose steps may wait for others.
    #[must_use]
    pub fn asking_mechanism<F>(self, name: Symbol, make: F) -> Self
    where
        F: Fn(&SaslPeer) -> Option<Box<dyn AskingMechanism>> + Send + Sync + 'static,
    {
        self.custom(name, Factory::Asking(Arc::new(Box::new(make))))
    }

    fn custom(mut self, name: Symbol, factory: Factory) -> Self {
        if !self.mechanisms.contains(&name) {
            self.mechanisms.push(name.clone());
        }
        self.custom.push((name, factory));
        self
    }

    /// Offers SCRAM with these hashes to the users of a store. `decoy` answers for users that do not exist.
    #[cfg(feature = "scram")]
    #[must_use]
    pub fn scram(
        mut self,
        hashes: impl IntoIterator<Item = ScramHash>,
        store: &Arc<dyn ScramStore>,
        decoy: &ScramDecoy,
    ) -> Self {
        for hash in hashes {
            let (store, decoy) = (Arc::clone(store), decoy.clone());
            self = self.mechanism(Symbol::from_static(hash.mechanism()), move |_| {
                let nonce = random::text::<18>()?;
                let server = ScramServer::new(hash, Arc::clone(&store), decoy.clone(), nonce).ok()?;
                Some(Box::new(server))
            });
        }
        self
    }

    /// As [`scram`](Self::scram), with keys that have to be asked for. `find` is given the user, should take as long for
    /// users that do not exist, and gives `None` for them.
    ///
    /// # Cancel safety
    /// As [`asking`](Self::asking).
    #[cfg(feature = "scram")]
    #[must_use]
    pub fn scram_asking<F, K>(
        mut self,
        hashes: impl IntoIterator<Item = ScramHash>,
        find: F,
        decoy: &ScramDecoy,
    ) -> Self
    where
        F: Fn(String, ScramHash) -> K + Send + Sync + 'static,
        K: Future<Output = Option<ScramKeys>> + Send + 'static,
    {
        let find: Find = Arc::new(move |user, hash| Box::pin(find(user, hash)));
        for hash in hashes {
            let (find, decoy) = (Arc::clone(&find), decoy.clone());
            self = self.asking_mechanism(Symbol::from_static(hash.mechanism()), move |_| {
                let nonce = random::text::<18>()?;
                Some(Box::new(AskingScram::new(hash, Arc::clone(&find), decoy.clone(), nonce)))
            });
        }
        self
    }

    /// Offers ANONYMOUS to everyone, and lets in peers that leave SASL out.
    #[must_use]
    pub fn open_to_all() -> Self {
        let everyone = |_: &SaslRequest, _: &SaslPeer| SaslDecision::Accept { identity: None };
        Self::new([Symbol::from_static("ANONYMOUS")], Arc::new(everyone)).allow_no_sasl()
    }

    /// Lets in peers that open without a SASL layer, without an identity.
    #[must_use]
    pub fn allow_no_sasl(mut self) -> Self {
        self.allows_no_sasl = true;
        self
    }

    /// Octets for peers that are let in: `additional-data` of their outcome (`AMQP 1.0 §5.3.3.6`). Default none.
    #[must_use]
    pub fn greeting(mut self, octets: impl Into<Bytes>) -> Self {
        self.greeting = Some(octets.into());
        self
    }
}

impl fmt::Debug for SaslPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslPolicy")
            .field("mechanisms", &self.mechanisms)
            .field("allows_no_sasl", &self.allows_no_sasl)
            .finish_non_exhaustive()
    }
}

/// Who a peer is, as its SASL exchange showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaslIdentity {
    /// The mechanism; `None` for a peer that left SASL out.
    pub mechanism: Option<Symbol>,
    /// The name the authenticator gave it.
    pub user: Option<String>,
    /// The host the peer means, from its `sasl-init`.
    pub hostname: Option<Str>,
}
