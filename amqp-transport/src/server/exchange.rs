//! One peer's SASL exchange on a listener: who answers it, and with what.
//!
//! Owns the steps of the mechanisms whose decision is the authenticator's; it decides nothing itself.

use amqp_codec::Symbol;
use bytes::Bytes;

use super::authenticator::{SaslDecision, SaslPeer, SaslPolicy};
use crate::sasl::{SaslRequest, ServerMechanism, ServerStep};

/// An exchange that has begun.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    policy: &'a SaslPolicy,
    peer: SaslPeer,
    pub(crate) mechanism: Symbol,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// A mechanism with steps of its own.
    Own(Box<dyn ServerMechanism>),
    /// The initial response was left out and is asked for.
    AwaitsInitial,
    /// Refused, with the reason told; the peer acknowledges that before it gets the outcome.
    Objected,
    Over,
}

impl<'a> Exchange<'a> {
    /// The peer has chosen.
    pub(crate) fn start(
        policy: &'a SaslPolicy,
        peer: SaslPeer,
        mechanism: Symbol,
        initial_response: Option<&[u8]>,
    ) -> (Self, ServerStep) {
        let own = policy.custom.iter().find(|(name, _)| *name == mechanism).map(|(_, make)| make(&peer));
        let mut exchange = Self { policy, peer, mechanism, stage: Stage::Over };
        let step = match own {
            Some(Some(mut own)) => {
                let step = own.start(initial_response);
                exchange.stage = Stage::Own(own);
                step
            }
            Some(None) => ServerStep::TemporaryFailure,
            // RFC 4422 §5: of a mechanism in which the client goes first, what was left out is asked for.
            None if initial_response.is_none() && SPEAKS_FIRST.contains(&exchange.mechanism.as_str()) => {
                exchange.stage = Stage::AwaitsInitial;
                ServerStep::Challenge(Bytes::new())
            }
            None => exchange.decide(initial_response),
        };
        (exchange, step)
    }

    /// The peer has answered a challenge.
    pub(crate) fn step(&mut self, response: &[u8]) -> ServerStep {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Own(mut own) => {
                let step = own.step(response);
                self.stage = Stage::Own(own);
                step
            }
            Stage::AwaitsInitial => self.decide(Some(response)),
            Stage::Objected | Stage::Over => ServerStep::Refuse,
        }
    }

    // a malformed response is a failed authentication, not a broken protocol.
    fn decide(&mut self, initial_response: Option<&[u8]>) -> ServerStep {
        let Ok(request) = SaslRequest::parse(&self.mechanism, initial_response) else {
            return ServerStep::Refuse;
        };
        match self.policy.authenticator.authenticate(&request, &self.peer) {
            SaslDecision::Accept { identity } => ServerStep::Accept { identity, additional_data: None },
            SaslDecision::TemporaryFailure => ServerStep::TemporaryFailure,
            // RFC 7628 §3.2.2: a token is refused in two steps, the first of which says why.
            SaslDecision::Refuse if matches!(request, SaslRequest::Bearer { .. }) => {
                self.stage = Stage::Objected;
                ServerStep::Challenge(Bytes::from_static(INVALID_TOKEN))
            }
            SaslDecision::Refuse => ServerStep::Refuse,
        }
    }
}

/// Mechanisms that are nothing without an initial response.
const SPEAKS_FIRST: [&str; 3] = ["PLAIN", "XOAUTH2", "OAUTHBEARER"];
const INVALID_TOKEN: &[u8] = b"{\"status\":\"invalid_token\"}";
