//! A listener's side of one mechanism.

use std::fmt;

use bytes::Bytes;

/// What a SASL server says. One value serves one connection. It must not block; one that has to ask others is an
/// [`AskingMechanism`](crate::server::AskingMechanism).
///
/// `Debug` must not show secrets.
pub trait ServerMechanism: fmt::Debug + Send {
    /// Takes the initial response; absent differs from empty.
    fn start(&mut self, initial_response: Option<&[u8]>) -> ServerStep;

    /// Takes the response to the challenge before.
    fn step(&mut self, response: &[u8]) -> ServerStep;
}

/// What a server does next.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ServerStep {
    /// Asks on.
    Challenge(Bytes),
    /// Lets the client in.
    Accept {
        /// The name under which the application knows the client, if it knows one.
        identity: Option<String>,
        /// `sasl-outcome.additional-data`.
        additional_data: Option<Bytes>,
    },
    /// Refuses the client: outcome `auth`.
    Refuse,
    /// Cannot decide at the moment: outcome `sys-temp`, and the client may try later.
    TemporaryFailure,
}
