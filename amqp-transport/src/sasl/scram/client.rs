//! The client's side.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::super::bearer::saslname;
use super::super::mechanism::{ClientMechanism, Exposure};
use super::keys::{CLIENT_KEY, SERVER_KEY, ScramHash, prepared};
use super::message::{Malformed, ServerFinal, ServerFirst, encode, read_nonce};
use super::{DEFAULT_MAX_ITERATIONS, MIN_ITERATIONS, ScramError};
use crate::error::SaslFailure;
use crate::secret::Secret;

/// SCRAM with a user name and password. The server must prove itself too, or authentication fails.
pub struct ScramClient {
    hash: ScramHash,
    user: String,
    password: Secret,
    nonce: String,
    iterations: RangeInclusive<u32>,
    state: State,
    refusal: Option<String>,
}

enum State {
    /// Nothing is answered yet.
    First,
    /// The proof is given; this is the key and text of the signature the server owes.
    Proven { server_key: Vec<u8>, auth_message: String },
    /// The server has proven itself.
    Verified,
    /// The server's signature was wrong, or it said what is.
    Failed,
}

impl ScramClient {
    /// These credentials. `nonce` is fresh for every connection, of at least 16 printable characters without a comma;
    /// 18 random octets in base64 will do.
    ///
    /// # Errors
    /// When user or password would need SASLprep, or the nonce is not as it should be.
    pub fn new(
        hash: ScramHash,
        user: impl Into<String>,
        password: Secret,
        nonce: impl Into<String>,
    ) -> Result<Self, ScramError> {
        let (user, nonce) = (user.into(), nonce.into());
        prepared(&user)?;
        prepared(password.expose())?;
        read_nonce(&nonce).map_err(|_| ScramError::Nonce)?;
        let iterations = MIN_ITERATIONS..=DEFAULT_MAX_ITERATIONS;
        Ok(Self { hash, user, password, nonce, iterations, state: State::First, refusal: None })
    }

    /// Iteration counts taken from a server: fewer make the password easy to guess, more cost time here.
    /// Default [`MIN_ITERATIONS`] to [`DEFAULT_MAX_ITERATIONS`]; raise it for a server that is known to store more.
    #[must_use]
    pub fn iterations(mut self, range: RangeInclusive<u32>) -> Self {
        self.iterations = range;
        self
    }

    fn bare(&self) -> String {
        format!("n={},r={}", saslname(&self.user), self.nonce)
    }

    /// The proof, and what the server has to sign.
    fn prove(&mut self, server_first: &[u8]) -> Result<Bytes, SaslFailure> {
        let first = ServerFirst::read(server_first).map_err(|fault| self.fault(fault))?;
        let is_ours = first.nonce.len() > self.nonce.len() && first.nonce.starts_with(&self.nonce);
        if !is_ours {
            return Err(self.fault(Malformed("a nonce that does not continue ours")));
        }
        if !self.iterations.contains(&first.iterations) {
            return Err(self.fault(Malformed("an iteration count out of bounds")));
        }
        let salted = self
            .hash
            .salted(&self.password, &first.salt, first.iterations)
            .map_err(|_| self.fault(Malformed("an iteration count of zero")))?;
        let client_key = self.hash.sign(&salted, CLIENT_KEY);
        let stored_key = self.hash.digest(&client_key);
        let without_proof = format!("c={},r={}", encode(GS2_HEADER.as_bytes()), first.nonce);
        // The text is known to be UTF-8: it has just been read.
        let server_first = String::from_utf8_lossy(server_first);
        let auth_message = format!("{},{server_first},{without_proof}", self.bare());
        let signature = self.hash.sign(&stored_key, auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
        self.state = State::Proven { server_key: self.hash.sign(&salted, SERVER_KEY), auth_message };
        Ok(Bytes::from(format!("{without_proof},p={}", encode(&proof))))
    }

    // the last word may come in a challenge or with the outcome.
    fn check(&mut self, server_final: &[u8]) -> Result<(), SaslFailure> {
        let State::Proven { server_key, auth_message } = std::mem::replace(&mut self.state, State::Failed)
        else {
            return Err(self.fault(Malformed("a signature that was not due")));
        };
        match ServerFinal::read(server_final).map_err(|fault| self.fault(fault))? {
            ServerFinal::Signature(signature)
                if self.hash.verify(&server_key, auth_message.as_bytes(), &signature) =>
            {
                self.state = State::Verified;
                Ok(())
            }
            ServerFinal::Signature(_) => {
                Err(self.fault(Malformed("a wrong signature: it does not know the password's keys")))
            }
            ServerFinal::Error(error) => {
                let shown = error.chars().take(MAX_REFUSAL).flat_map(char::escape_debug);
                self.refusal = Some(shown.collect());
                Err(self.fault(Malformed("an error")))
            }
        }
    }

    fn fault(&self, fault: Malformed) -> SaslFailure {
        let reason = self.refusal.as_deref().map(|refusal| format!(": {refusal}")).unwrap_or_default();
        let detail = format!("{}: the server sent {}{reason}", self.hash.mechanism(), fault.0);
        SaslFailure::Mechanism { detail }
    }
}

impl ClientMechanism for ScramClient {
    fn name(&self) -> &'static str {
        self.hash.mechanism()
    }

    fn exposure(&self) -> Exposure {
        Exposure::Nothing
    }

    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        Ok(Some(Bytes::from(format!("{GS2_HEADER}{}", self.bare()))))
    }

    fn respond(&mut self, challenge: &[u8]) -> Result<Bytes, SaslFailure> {
        match self.state {
            State::First => self.prove(challenge),
            // A server may give its signature as a challenge; an empty response asks for the outcome.
            _ => self.check(challenge).map(|()| Bytes::new()),
        }
    }

    fn finish(&mut self, additional_data: Option<&[u8]>) -> Result<(), SaslFailure> {
        match (&self.state, additional_data) {
            (State::Proven { .. }, Some(server_final)) => self.check(server_final),
            // It proved itself before, and says nothing more or the same again.
            (State::Verified, _) => Ok(()),
            _ => Err(self.fault(Malformed("an outcome without having proven itself"))),
        }
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.clone()
    }
}

impl fmt::Debug for ScramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramClient")
            .field("hash", &self.hash)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// No channel binding here, and no identity to act as.
const GS2_HEADER: &str = "n,,";
/// Characters of a server's error that are kept.
const MAX_REFUSAL: usize = 128;
