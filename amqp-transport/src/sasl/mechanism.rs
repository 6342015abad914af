//! The client's mechanisms.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::SaslFailure;
use crate::secret::Secret;

/// What a SASL client says. One value serves one connection.
pub trait ClientMechanism: fmt::Debug + Send + Sync {
    /// The mechanism's registered name.
    fn name(&self) -> &'static str;

    /// What an onlooker learns from it. Default a secret, so that a mechanism is used without TLS only when it says
    /// that it may be.
    fn exposure(&self) -> Exposure {
        Exposure::Secret
    }

    /// What goes with `sasl-init`; absent differs from empty.
    ///
    /// # Errors
    /// When the credentials cannot be said in this mechanism; nothing is sent then.
    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure>;

    /// Answers a challenge.
    ///
    /// # Errors
    /// When the mechanism knows no challenges, or does not accept this one; the exchange is then given up.
    fn respond(&mut self, challenge: &[u8]) -> Result<Bytes, SaslFailure> {
        let _ = challenge;
        Err(SaslFailure::Mechanism { detail: format!("{} knows no challenges", self.name()) })
    }

    /// Sees the data of a successful outcome and may still refuse it, as mechanisms do that authenticate the server.
    ///
    /// # Errors
    /// When the server failed to prove itself.
    fn finish(&mut self, additional_data: Option<&[u8]>) -> Result<(), SaslFailure> {
        let _ = additional_data;
        Ok(())
    }

    /// What the server objected, when the mechanism has a way to say so. It may go into errors and logs.
    fn refusal(&self) -> Option<String> {
        None
    }
}

/// What an onlooker learns from a mechanism.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exposure {
    /// Nothing that lets him in.
    Nothing,
    /// A password or token: only for a [`Channel::Private`](super::Channel::Private).
    Secret,
}

/// ANONYMOUS (RFC 4505), with an optional trace for the server's log.
#[derive(Clone, Debug, Default)]
pub struct Anonymous {
    /// The trace; absent by default.
    pub trace: Option<String>,
}

impl ClientMechanism for Anonymous {
    fn name(&self) -> &'static str {
        "ANONYMOUS"
    }

    fn exposure(&self) -> Exposure {
        Exposure::Nothing
    }

    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        Ok(self.trace.take().map(Bytes::from))
    }
}

/// PLAIN (RFC 4616). It shows the password, and so is used over a private channel alone.
#[derive(Clone, Debug)]
pub struct Plain {
    user: String,
    password: Secret,
}

impl Plain {
    /// These credentials, without an authorization identity.
    pub fn new(user: impl Into<String>, password: Secret) -> Self {
        Self { user: user.into(), password }
    }
}

impl ClientMechanism for Plain {
    fn name(&self) -> &'static str {
        "PLAIN"
    }

    // authzid NUL authcid NUL password.
    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        let (user, password) = (self.user.as_str(), self.password.expose());
        if [user, password].iter().any(|part| part.is_empty() || part.contains('\0')) {
            let detail = "PLAIN needs a user and a password, both without a NUL".to_owned();
            return Err(SaslFailure::Mechanism { detail });
        }
        let mut response = BytesMut::with_capacity(user.len() + password.len() + 2);
        response.put_u8(0);
        response.put_slice(user.as_bytes());
        response.put_u8(0);
        response.put_slice(password.as_bytes());
        Ok(Some(response.freeze()))
    }
}

/// EXTERNAL (RFC 4422): the identity is the TLS certificate's.
#[derive(Clone, Debug, Default)]
pub struct External {
    /// The authorization identity; empty means the certificate's own.
    pub authzid: String,
}

impl ClientMechanism for External {
    fn name(&self) -> &'static str {
        "EXTERNAL"
    }

    fn exposure(&self) -> Exposure {
        Exposure::Nothing
    }

    // empty, not absent.
    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        Ok(Some(Bytes::from(self.authzid.clone())))
    }
}

/// MSSBCBS: no credentials now, a token on `$cbs` later.
#[derive(Clone, Debug, Default)]
pub struct Mssbcbs;

impl ClientMechanism for Mssbcbs {
    fn name(&self) -> &'static str {
        "MSSBCBS"
    }

    fn exposure(&self) -> Exposure {
        Exposure::Nothing
    }

    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_responses_are_as_registered() {
        assert_eq!(Anonymous::default().initial_response(), Ok(None));
        assert_eq!(Plain::new("u", Secret::new("p")).initial_response().unwrap().unwrap(), &b"\0u\0p"[..]);
        assert_eq!(External::default().initial_response(), Ok(Some(Bytes::new())));
        assert_eq!(Mssbcbs.initial_response(), Ok(None));
    }

    //
    #[test]
    fn plain_is_not_said_with_what_it_cannot_carry() {
        for (user, password) in [("", "p"), ("u", ""), ("u\0v", "p"), ("u", "p\0q")] {
            assert!(Plain::new(user, Secret::from(password)).initial_response().is_err());
        }
    }

    #[test]
    fn a_password_is_not_in_the_debug_form() {
        let text = format!("{:?}", Plain::new("user", Secret::new("hunter2")));
        assert!(text.contains("user") && !text.contains("hunter2"), "{text}");
    }
}
