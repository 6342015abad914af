//! Authentication that has to ask others: a database, a directory, a token endpoint.
//!
//! Owns the forms in which an answer may come later. It waits for nothing itself: the handshake does, and gives it up with
//! the connection or when its time is over.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::authenticator::{SaslDecision, SaslPeer};
use crate::sasl::{SaslRequest, ServerStep};

/// A step that is being worked out.
pub type PendingStep<'a> = Pin<Box<dyn Future<Output = ServerStep> + Send + 'a>>;

/// A [`ServerMechanism`](crate::sasl::ServerMechanism) whose steps may wait for others. One value serves one connection.
///
/// `Debug` must not show secrets.
///
/// # Cancel safety
/// What a step gives is dropped when the connection ends, or when the listener's
/// [`handshake_timeout`](super::ListenerOptions::handshake_timeout) is over; nothing is asked of the mechanism after that.
pub trait AskingMechanism: fmt::Debug + Send {
    /// Takes the initial response; absent differs from empty.
    fn start<'a>(&'a mut self, initial_response: Option<&'a [u8]>) -> PendingStep<'a>;

    /// Takes the response to the challenge before.
    fn step<'a>(&'a mut self, response: &'a [u8]) -> PendingStep<'a>;
}

/// Makes one such mechanism for one connection.
pub(crate) type AskingFactory = Box<dyn Fn(&SaslPeer) -> Option<Box<dyn AskingMechanism>> + Send + Sync>;

/// A decision that is being worked out.
pub(crate) type PendingDecision = Pin<Box<dyn Future<Output = SaslDecision> + Send>>;

/// Works decisions out.
pub(crate) type Decide = Box<dyn Fn(SaslRequest, SaslPeer) -> PendingDecision + Send + Sync>;

#[cfg(feature = "scram")]
pub(crate) mod scram {
    //! SCRAM whose keys have to be asked for.

    use std::sync::Arc;

    use bytes::Bytes;

    use super::{AskingMechanism, Future, PendingStep, Pin, ServerStep, fmt};
    use crate::sasl::ServerMechanism;
    use crate::sasl::scram::{ScramDecoy, ScramHash, ScramKeys, ScramServer};

    /// Keys that are being looked for.
    pub(crate) type PendingKeys = Pin<Box<dyn Future<Output = Option<ScramKeys>> + Send>>;

    /// Looks for a user's keys.
    pub(crate) type Find = Arc<dyn Fn(String, ScramHash) -> PendingKeys + Send + Sync>;

    /// One exchange: the machine is made when the user is known and has been looked for.
    pub(crate) struct AskingScram {
        hash: ScramHash,
        find: Find,
        decoy: ScramDecoy,
        nonce: String,
        server: Option<ScramServer>,
    }

    impl AskingScram {
        pub(crate) fn new(hash: ScramHash, find: Find, decoy: ScramDecoy, nonce: String) -> Self {
            Self { hash, find, decoy, nonce, server: None }
        }

        async fn first(&mut self, response: &[u8]) -> ServerStep {
            let keys = match ScramServer::user_of(response) {
                Some(user) => (self.find)(user, self.hash).await,
                None => None,
            };
            let store = Arc::new(move |_: &str, _: ScramHash| keys.clone());
            let Ok(server) = ScramServer::new(self.hash, store, self.decoy.clone(), self.nonce.clone())
            else {
                return ServerStep::TemporaryFailure;
            };
            self.server.insert(server).start(Some(response))
        }
    }

    impl AskingMechanism for AskingScram {
        fn start<'a>(&'a mut self, initial_response: Option<&'a [u8]>) -> PendingStep<'a> {
            Box::pin(async move {
                match initial_response {
                    // RFC 4422 §5: a client that goes first is asked for what it left out.
                    None => ServerStep::Challenge(Bytes::new()),
                    Some(response) => self.first(response).await,
                }
            })
        }

        fn step<'a>(&'a mut self, response: &'a [u8]) -> PendingStep<'a> {
            Box::pin(async move {
                match &mut self.server {
                    Some(server) => server.step(response),
                    None => self.first(response).await,
                }
            })
        }
    }

    impl fmt::Debug for AskingScram {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("AskingScram").field("hash", &self.hash).finish_non_exhaustive()
        }
    }
}
