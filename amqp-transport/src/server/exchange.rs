//! One peer's SASL exchange on a listener: who answers it, and with what.
//!
//! Owns the steps of the mechanisms whose decision is the authenticator's; it decides nothing itself.

use amqp_codec::Symbol;
use bytes::Bytes;

use super::asking::AskingMechanism;
use super::authenticator::{Decider, Factory, SaslDecision, SaslPeer, SaslPolicy};
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
    /// One whose steps may wait for others.
    Asking(Box<dyn AskingMechanism>),
    /// The initial response was left out and is asked for.
    AwaitsInitial,
    /// Refused, with the reason told; the peer acknowledges that before it gets the outcome.
    Objected,
    Over,
}

impl<'a> Exchange<'a> {
    /// The peer has chosen.
    pub(crate) async fn start(
        policy: &'a SaslPolicy,
        peer: SaslPeer,
        mechanism: Symbol,
        initial_response: Option<&[u8]>,
    ) -> (Self, ServerStep) {
        let own = policy.custom.iter().find(|(name, _)| *name == mechanism).map(|(_, make)| match make {
            Factory::AtOnce(make) => make(&peer).map(Stage::Own),
            Factory::Asking(make) => make(&peer).map(Stage::Asking),
        });
        let mut exchange = Self { policy, peer, mechanism, stage: Stage::Over };
        let step = match own {
            Some(Some(own)) => {
                exchange.stage = own;
                match &mut exchange.stage {
                    Stage::Own(own) => own.start(initial_response),
                    Stage::Asking(own) => own.start(initial_response).await,
                    _ => ServerStep::Refuse,
                }
            }
            Some(None) => ServerStep::TemporaryFailure,
            // RFC 4422 §5: of a mechanism in which the client goes first, what was left out is asked for.
            None if initial_response.is_none() && SPEAKS_FIRST.contains(&exchange.mechanism.as_str()) => {
                exchange.stage = Stage::AwaitsInitial;
                ServerStep::Challenge(Bytes::new())
            }
            None => exchange.decide(initial_response).await,
        };
        (exchange, step)
    }

    /// The peer has answered a challenge.
    pub(crate) async fn step(&mut self, response: &[u8]) -> ServerStep {
        match &mut self.stage {
            Stage::Own(own) => own.step(response),
            Stage::Asking(own) => own.step(response).await,
            Stage::AwaitsInitial => {
                self.stage = Stage::Over;
                self.decide(Some(response)).await
            }
            Stage::Objected | Stage::Over => {
                self.stage = Stage::Over;
                ServerStep::Refuse
            }
        }
    }

    // a malformed response is a failed authentication, not a broken protocol.
    async fn decide(&mut self, initial_response: Option<&[u8]>) -> ServerStep {
        let Ok(request) = SaslRequest::parse(&self.mechanism, initial_response) else {
            return ServerStep::Refuse;
        };
        let is_bearer = matches!(request, SaslRequest::Bearer { .. });
        let decision = match &self.policy.decider {
            Decider::AtOnce(authenticator) => authenticator.authenticate(&request, &self.peer),
            Decider::Asking(decide) => decide(request, self.peer.clone()).await,
        };
        match decision {
            SaslDecision::Accept { identity } => ServerStep::Accept { identity, additional_data: None },
            SaslDecision::TemporaryFailure => ServerStep::TemporaryFailure,
            // RFC 7628 §3.2.2: a token is refused in two steps, the first of which says why.
            SaslDecision::Refuse if is_bearer => {
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
