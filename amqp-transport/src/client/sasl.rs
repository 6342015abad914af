//! How a client authenticates.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "scram")]
use crate::driver::random;
use crate::engine::SaslLayer;
use crate::error::SaslFailure;
#[cfg(feature = "scram")]
use crate::sasl::scram::{ScramClient, ScramHash};
use crate::sasl::{self, Channel, Choice, ClientMechanism};
use crate::secret::Secret;

/// How a client authenticates (`AMQP 1.0 §5.3`). There is no downgrade: a peer that does not offer the mechanism, or
/// leaves SASL out, ends the attempt.
///
/// PLAIN, XOAUTH2, OAUTHBEARER and mechanisms of the application's own that say so show a secret: they are used over TLS
/// (or a stream that the application provides) alone, unless
/// [`ConnectOptions::allow_secrets_without_tls`](super::ConnectOptions::allow_secrets_without_tls) says otherwise.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Sasl {
    /// No SASL layer at all.
    None,
    /// ANONYMOUS (RFC 4505): the SASL layer without credentials.
    #[default]
    Anonymous,
    /// PLAIN (RFC 4616): the password travels as it is.
    Plain {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// EXTERNAL (RFC 4422): the identity is the TLS certificate's.
    External,
    /// MSSBCBS: no credentials now, a token on `$cbs` later.
    Mssbcbs,
    /// XOAUTH2: a bearer token, which travels as it is.
    Xoauth2 {
        /// The user.
        user: String,
        /// The token, without the word `Bearer`.
        token: Secret,
    },
    /// OAUTHBEARER (RFC 7628): a bearer token, which travels as it is.
    OauthBearer {
        /// The identity to act as, where it is not the token's own.
        user: Option<String>,
        /// The token, without the word `Bearer`.
        token: Secret,
    },
    /// SCRAM (RFC 5802, RFC 7677): the password is proven, not shown, and the server proves itself. User and password
    /// are of printable ASCII.
    #[cfg(feature = "scram")]
    Scram {
        /// The hash, and thereby the mechanism.
        hash: ScramHash,
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A mechanism of the application's own.
    Custom(CustomSasl),
    /// The first of these that the peer offers too, in this order. [`Sasl::None`] has no place among them.
    FirstOf(Vec<Self>),
}

/// Makes an application's own mechanism, one for every connection.
#[derive(Clone)]
pub struct CustomSasl(Arc<dyn Fn() -> Box<dyn ClientMechanism> + Send + Sync>);

impl CustomSasl {
    /// What `make` makes.
    pub fn new<M: ClientMechanism + 'static>(make: impl Fn() -> M + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::new(make())))
    }
}

impl fmt::Debug for CustomSasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomSasl")
    }
}

impl Sasl {
    /// The engine's settings for one connection.
    pub(crate) fn layer(self, channel: Channel) -> Result<SaslLayer, SaslFailure> {
        match self {
            Self::None => Ok(SaslLayer::None),
            some => some.add_to(Choice::new(channel), DEPTH).map(SaslLayer::Client),
        }
    }

    fn add_to(self, choice: Choice, depth: u32) -> Result<Choice, SaslFailure> {
        let mechanism: Box<dyn ClientMechanism> = match self {
            Self::None => return Err(unusable("\"no SASL\" among the mechanisms to choose from")),
            Self::Anonymous => Box::new(sasl::Anonymous::default()),
            Self::Plain { user, password } => Box::new(sasl::Plain::new(user, password)),
            Self::External => Box::new(sasl::External::default()),
            Self::Mssbcbs => Box::new(sasl::Mssbcbs),
            Self::Xoauth2 { user, token } => Box::new(sasl::Xoauth2::new(user, token)),
            Self::OauthBearer { user, token } => {
                let bearer = sasl::OauthBearer::new(token);
                Box::new(match user {
                    Some(user) => bearer.authzid(user),
                    None => bearer,
                })
            }
            #[cfg(feature = "scram")]
            Self::Scram { hash, user, password } => {
                let nonce = random::text::<18>().ok_or_else(|| unusable("there are no random numbers"))?;
                let client = ScramClient::new(hash, user, password, nonce);
                Box::new(client.map_err(|error| unusable(&error.to_string()))?)
            }
            Self::Custom(CustomSasl(make)) => make(),
            Self::FirstOf(several) => {
                let depth = depth.checked_sub(1).ok_or_else(|| unusable("choices within choices"))?;
                return several.into_iter().try_fold(choice, |choice, one| one.add_to(choice, depth));
            }
        };
        Ok(choice.or(mechanism))
    }
}

fn unusable(what: &str) -> SaslFailure {
    SaslFailure::Mechanism { detail: what.to_owned() }
}

/// Choices within choices that are followed.
const DEPTH: u32 = 8;
