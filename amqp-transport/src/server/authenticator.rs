//! Who is let in: the application's word on a peer's SASL exchange.

use std::fmt;
use std::sync::Arc;

use amqp_codec::{Str, Symbol};
use bytes::Bytes;

use crate::sasl::SaslRequest;

/// Decides on credentials (`AMQP 1.0 §5.3`).
pub trait Authenticator: Send + Sync {
    /// Decides on what a peer presented. `hostname` is the host the peer means, from its `sasl-init`.
    ///
    /// Called once for each connection from the task that runs its handshake. It must not block for long.
    fn authenticate(&self, request: &SaslRequest, hostname: Option<&str>) -> SaslDecision;
}

impl<F> Authenticator for F
where
    F: Fn(&SaslRequest, Option<&str>) -> SaslDecision + Send + Sync,
{
    fn authenticate(&self, request: &SaslRequest, hostname: Option<&str>) -> SaslDecision {
        self(request, hostname)
    }
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
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) allows_no_sasl: bool,
    pub(crate) greeting: Option<Bytes>,
}

impl SaslPolicy {
    /// Offers these mechanisms in this order, and refuses peers that leave SASL out.
    pub fn new(mechanisms: impl IntoIterator<Item = Symbol>, authenticator: Arc<dyn Authenticator>) -> Self {
        Self {
            mechanisms: mechanisms.into_iter().collect(),
            authenticator,
            allows_no_sasl: false,
            greeting: None,
        }
    }

    /// Offers ANONYMOUS to everyone, and lets in peers that leave SASL out.
    #[must_use]
    pub fn open_to_all() -> Self {
        let everyone = |_: &SaslRequest, _: Option<&str>| SaslDecision::Accept { identity: None };
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
