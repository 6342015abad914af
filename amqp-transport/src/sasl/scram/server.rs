//! The server's side.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ring::hmac;

use super::super::server::{ServerMechanism, ServerStep};
use super::keys::{ScramHash, ScramKeys, prepared};
use super::message::{ClientFinal, ClientFirst, encode, read_nonce};
use super::{MIN_ITERATIONS, ScramError};

/// Where a server finds its users' keys.
pub trait ScramStore: Send + Sync {
    /// The keys of a user for this hash; `None` for a user it does not know, or who is locked.
    ///
    /// Called once for each exchange, from the task that runs a connection's handshake. It must not block for long,
    /// and should take as long for users it does not know. Where keys have to be asked for, see
    /// [`SaslPolicy::scram_asking`](crate::server::SaslPolicy::scram_asking).
    fn keys(&self, user: &str, hash: ScramHash) -> Option<ScramKeys>;
}

impl<F> ScramStore for F
where
    F: Fn(&str, ScramHash) -> Option<ScramKeys> + Send + Sync,
{
    fn keys(&self, user: &str, hash: ScramHash) -> Option<ScramKeys> {
        self(user, hash)
    }
}

/// What users that do not exist are answered: a salt of their own that is always the same, so that asking tells nobody
/// who has an account.
#[derive(Clone)]
pub struct ScramDecoy {
    secret: [u8; 32],
    salt_length: usize,
    iterations: u32,
}

impl ScramDecoy {
    /// With a random secret of this server, kept as long as answers shall stay the same. Salts have 16 octets and
    /// 4,096 iterations.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret, salt_length: 16, iterations: MIN_ITERATIONS }
    }

    /// What the store's real users have, so that the made-up ones look alike: 1 to 32 octets of salt.
    #[must_use]
    pub fn looking_like(mut self, salt_length: usize, iterations: u32) -> Self {
        (self.salt_length, self.iterations) = (salt_length.clamp(1, 32), iterations);
        self
    }

    /// Keys nobody has the password to.
    fn keys(&self, user: &str, hash: ScramHash) -> ScramKeys {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let made_up = |what: &str| {
            hmac::sign(&key, format!("{what} {} {user}", hash.mechanism()).as_bytes()).as_ref().to_vec()
        };
        let mut salt = made_up("salt");
        salt.truncate(self.salt_length);
        let length = hash.length();
        let stored_key = made_up("stored").into_iter().cycle().take(length).collect();
        let server_key = made_up("server").into_iter().cycle().take(length).collect();
        ScramKeys { hash, salt, iterations: self.iterations, stored_key, server_key }
    }
}

impl fmt::Debug for ScramDecoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramDecoy").finish_non_exhaustive()
    }
}

/// One exchange. An unknown user and a wrong password are answered alike, at the same step.
pub struct ScramServer {
    hash: ScramHash,
    store: Arc<dyn ScramStore>,
    decoy: ScramDecoy,
    nonce: String,
    state: State,
}

enum State {
    First,
    /// The challenge is out; the client owes a proof.
    Asked(Box<Asked>),
    Over,
}

struct Asked {
    user: String,
    keys: ScramKeys,
    is_known: bool,
    gs2_header: String,
    nonce: String,
    /// client-first-message-bare and server-first-message, with their commas.
    signed: String,
}

impl ScramServer {
    /// An exchange with users of this store. `nonce` is fresh for every connection, of at least 16 printable
    /// characters without a comma.
    ///
    /// # Errors
    /// When the nonce is not as it should be.
    pub fn new(
        hash: ScramHash,
        store: Arc<dyn ScramStore>,
        decoy: ScramDecoy,
        nonce: impl Into<String>,
    ) -> Result<Self, ScramError> {
        let nonce = nonce.into();
        read_nonce(&nonce).map_err(|_| ScramError::Nonce)?;
        Ok(Self { hash, store, decoy, nonce, state: State::First })
    }

    /// The user whose keys a first message (client-first-message, RFC 5802 §7) asks for; `None` when it is none
    /// or its name cannot be a user's. For a store that is to be asked before the exchange begins.
    pub fn user_of(octets: &[u8]) -> Option<String> {
        let first = ClientFirst::read(octets).ok()?;
        prepared(&first.user).ok()?;
        Some(first.user)
    }

    fn first(&mut self, octets: &[u8]) -> Option<ServerStep> {
        let first = ClientFirst::read(octets).ok()?;
        // Nobody acts for another here.
        if first.authzid.as_ref().is_some_and(|authzid| *authzid != first.user) {
            return None;
        }
        let known = prepared(&first.user).ok().and_then(|user| self.store.keys(user, self.hash));
        let known = known.filter(|keys| keys.hash == self.hash);
        let is_known = known.is_some();
        let keys = known.unwrap_or_else(|| self.decoy.keys(&first.user, self.hash));
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let challenge = format!("r={nonce},s={},i={}", encode(&keys.salt), keys.iterations);
        self.state = State::Asked(Box::new(Asked {
            signed: format!("{},{challenge},", first.bare),
            gs2_header: first.gs2_header.to_owned(),
            user: first.user,
            keys,
            is_known,
            nonce,
        }));
        Some(ServerStep::Challenge(Bytes::from(challenge)))
    }

    fn last(&self, asked: Asked, octets: &[u8]) -> Option<ServerStep> {
        let message = ClientFinal::read(octets).ok()?;
        // `c=` repeats what was said about channel binding: nobody has changed it on the way.
        if message.nonce != asked.nonce || message.binding != asked.gs2_header.as_bytes() {
            return None;
        }
        let auth_message = format!("{}{}", asked.signed, message.without_proof);
        let signature = self.hash.sign(&asked.keys.stored_key, auth_message.as_bytes());
        if message.proof.len() != signature.len() {
            return None;
        }
        let client_key: Vec<u8> =
            message.proof.iter().zip(&signature).map(|(proof, sign)| proof ^ sign).collect();
        let is_right = self.hash.is_equal(&asked.keys.stored_key, &self.hash.digest(&client_key));
        if !(is_right && asked.is_known) {
            return None;
        }
        let verifier = self.hash.sign(&asked.keys.server_key, auth_message.as_bytes());
        Some(ServerStep::Accept {
            identity: Some(asked.user),
            additional_data: Some(Bytes::from(format!("v={}", encode(&verifier)))),
        })
    }
}

impl ServerMechanism for ScramServer {
    fn start(&mut self, initial_response: Option<&[u8]>) -> ServerStep {
        match initial_response {
            // RFC 4422 §5: a client that goes first is asked for what it left out.
            None => ServerStep::Challenge(Bytes::new()),
            Some(response) => self.first(response).unwrap_or(ServerStep::Refuse),
        }
    }

    fn step(&mut self, response: &[u8]) -> ServerStep {
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.first(response),
            State::Asked(asked) => self.last(*asked, response),
            State::Over => None,
        };
        step.unwrap_or(ServerStep::Refuse)
    }
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramServer").field("hash", &self.hash).finish_non_exhaustive()
    }
}
