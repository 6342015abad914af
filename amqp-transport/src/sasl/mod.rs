//! SASL mechanisms and the exchange's messages, both roles (AMQP 1.0 §5.3). Sans-IO.
//!
//! Owns what a mechanism says and how a listener reads and answers it. It never decides who is let in, it draws no
//! random numbers (nonces are passed in), and it never prints a secret.
//!
//! | mechanism | client | listener | what it proves | when it is used |
//! |---|---|---|---|---|
//! | ANONYMOUS (RFC 4505) | [`Anonymous`] | [`SaslRequest::Anonymous`] | nothing | anywhere |
//! | EXTERNAL (RFC 4422) | [`External`] | [`SaslRequest::External`] | whatever the layer below did, a TLS certificate as a rule | over TLS with a client certificate |
//! | MSSBCBS | [`Mssbcbs`] | [`SaslRequest::Mssbcbs`] | nothing yet, a token follows on `$cbs` | anywhere |
//! | PLAIN (RFC 4616) | [`Plain`] | [`SaslRequest::Plain`] | the password, by showing it | over a [`Channel::Private`] alone |
//! | XOAUTH2 | [`Xoauth2`] | [`SaslRequest::Bearer`] | a token, by showing it | over a [`Channel::Private`] alone |
//! | OAUTHBEARER (RFC 7628) | [`OauthBearer`] | [`SaslRequest::Bearer`] | a token, by showing it | over a [`Channel::Private`] alone |
//! | SCRAM-SHA-1, -256, -512 (RFC 5802, 7677), feature `scram` | `ScramClient` | `ScramServer` | the password without showing it, and the server's knowledge of it | anywhere |
//! | any other | [`ClientMechanism`] | [`ServerMechanism`] | | where [`ClientMechanism::exposure`] allows |
//!
//! There is no downgrade. A client goes through its own list in its own order and takes the first mechanism that the
//! server offers too; one that shows a secret is passed over where others could read it. A server that leaves SASL
//! out, or offers nothing that may be used, ends the attempt.

mod bearer;
mod choice;
mod exchange;
#[cfg(any(fuzzing, feature = "__fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod mechanism;
mod request;
#[cfg(feature = "scram")]
pub mod scram;
mod server;

pub use bearer::{OauthBearer, Xoauth2};
pub use choice::{Channel, Choice};
pub(crate) use exchange::{ClientExchange, ClientStep, ListenerExchange, ListenerStep};
pub use mechanism::{Anonymous, ClientMechanism, Exposure, External, Mssbcbs, Plain};
pub use request::{MalformedResponse, SaslRequest};
pub use server::{ServerMechanism, ServerStep};
