//! The hash functions and the keys that follow from a password.

use std::fmt;
use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

use super::{MAX_ITERATIONS, MAX_SALT, MIN_ITERATIONS, ScramError};
use crate::secret::Secret;

/// The hash function of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ScramHash {
    /// SCRAM-SHA-1 (RFC 5802): for peers that have nothing better.
    Sha1,
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
    /// SCRAM-SHA-512, as several brokers offer it.
    Sha512,
}

impl ScramHash {
    /// The mechanism's name.
    #[must_use]
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    /// Octets of its output.
    pub(super) fn length(self) -> usize {
        self.hmac().digest_algorithm().output_len()
    }

    /// H()
    pub(super) fn digest(self, octets: &[u8]) -> Vec<u8> {
        digest::digest(self.hmac().digest_algorithm(), octets).as_ref().to_vec()
    }

    /// HMAC()
    pub(super) fn sign(self, key: &[u8], octets: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac(), key), octets).as_ref().to_vec()
    }

    /// Whether `tag` is HMAC(key, octets), in a time that does not tell where it differs.
    pub(super) fn verify(self, key: &[u8], octets: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(self.hmac(), key), octets, tag).is_ok()
    }

    /// Whether two values are equal, in a time that does not tell where they differ.
    pub(super) fn is_equal(self, ours: &[u8], theirs: &[u8]) -> bool {
        let key = hmac::Key::new(self.hmac(), ours);
        let tag = hmac::sign(&key, ours);
        hmac::verify(&key, theirs, tag.as_ref()).is_ok()
    }

    /// Hi(): the salted password.
    pub(super) fn salted(
        self,
        password: &Secret,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Vec<u8>, ScramError> {
        let iterations = NonZeroU32::new(iterations).ok_or(ScramError::Iterations)?;
        let mut salted = vec![0; self.length()];
        pbkdf2::derive(self.pbkdf2(), iterations, salt, password.expose().as_bytes(), &mut salted);
        Ok(salted)
    }
}

/// What a server keeps of a user: enough to check a proof, not enough to give one.
///
/// Whoever has them can pose as the server, and can try passwords: keep them as you would password hashes.
#[derive(Clone)]
pub struct ScramKeys {
    pub(super) hash: ScramHash,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) stored_key: Vec<u8>,
    pub(super) server_key: Vec<u8>,
}

impl ScramKeys {
    /// Derives them from a password, once, when it is set. The salt is random, at least 16 octets, and the user's own.
    ///
    /// # Errors
    /// When the password is not printable ASCII, or the salt or the count is out of bounds.
    pub fn derive(
        hash: ScramHash,
        password: &Secret,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, ScramError> {
        prepared(password.expose())?;
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(ScramError::Salt);
        }
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations);
        }
        let salted = hash.salted(password, salt, iterations)?;
        let client_key = hash.sign(&salted, CLIENT_KEY);
        Ok(Self {
            hash,
            salt: salt.to_vec(),
            iterations,
            stored_key: hash.digest(&client_key),
            server_key: hash.sign(&salted, SERVER_KEY),
        })
    }

    /// Keys that were stored before, part by part.
    ///
    /// # Errors
    /// When a part is out of bounds.
    pub fn from_parts(
        hash: ScramHash,
        salt: &[u8],
        iterations: u32,
        stored_key: &[u8],
        server_key: &[u8],
    ) -> Result<Self, ScramError> {
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(ScramError::Salt);
        }
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations);
        }
        if stored_key.len() != hash.length() || server_key.len() != hash.length() {
            return Err(ScramError::KeyLength);
        }
        let (salt, stored_key, server_key) = (salt.to_vec(), stored_key.to_vec(), server_key.to_vec());
        Ok(Self { hash, salt, iterations, stored_key, server_key })
    }

    /// The hash they belong to.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// The salt, to be stored.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count, to be stored.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// StoredKey (RFC 5802 §3), to be stored.
    #[must_use]
    pub fn stored_key(&self) -> &[u8] {
        &self.stored_key
    }

    /// ServerKey (RFC 5802 §3), to be stored.
    #[must_use]
    pub fn server_key(&self) -> &[u8] {
        &self.server_key
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// SASLprep of what needs none: printable ASCII stays as it is (RFC 4013 §2).
pub(super) fn prepared(text: &str) -> Result<&str, ScramError> {
    let is_plain = !text.is_empty() && text.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    if is_plain { Ok(text) } else { Err(ScramError::NeedsPreparation) }
}

pub(super) const CLIENT_KEY: &[u8] = b"Client Key";
pub(super) const SERVER_KEY: &[u8] = b"Server Key";
