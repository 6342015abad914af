//! The order of SASL frames for both roles.

use amqp_codec::{
    Multiple, SaslChallenge, SaslCode, SaslInit, SaslMechanisms, SaslOutcome, SaslPerformative, SaslResponse,
    Str, Symbol,
};
use bytes::Bytes;

use super::choice::Choice;
use super::mechanism::ClientMechanism;
use crate::error::SaslFailure;

/// The client's side of one exchange.
#[derive(Debug)]
pub(crate) struct ClientExchange {
    /// What may be chosen, until the offer is there.
    choice: Option<Choice>,
    /// What was chosen.
    mechanism: Option<Box<dyn ClientMechanism>>,
    hostname: Option<Str>,
    rounds_left: u32,
    round_limit: u32,
}

/// What a client does next.
#[derive(Debug)]
pub(crate) enum ClientStep {
    Send(SaslPerformative),
    Authenticated,
}

impl ClientExchange {
    pub(crate) fn new(choice: Choice, hostname: Option<Str>, round_limit: u32) -> Self {
        Self { choice: Some(choice), mechanism: None, hostname, rounds_left: round_limit, round_limit }
    }

    pub(crate) fn handle(&mut self, frame: SaslPerformative) -> Result<ClientStep, SaslFailure> {
        match (frame, &mut self.mechanism) {
            (SaslPerformative::Mechanisms(offer), None) => self.start(&offer),
            (SaslPerformative::Challenge(challenge), Some(mechanism)) => {
                self.rounds_left = self
                    .rounds_left
                    .checked_sub(1)
                    .ok_or(SaslFailure::TooManyRounds { limit: self.round_limit })?;
                let response = mechanism.respond(&challenge.challenge)?;
                Ok(ClientStep::Send(SaslPerformative::Response(SaslResponse { response })))
            }
            (SaslPerformative::Outcome(outcome), Some(mechanism)) => {
                if outcome.code != SaslCode::Ok {
                    return Err(SaslFailure::Outcome { code: outcome.code, detail: mechanism.refusal() });
                }
                // what authenticates the server has its say before anything else is sent.
                mechanism.finish(outcome.additional_data.as_deref())?;
                Ok(ClientStep::Authenticated)
            }
            // a server does not send what only a client sends, and nothing twice.
            (SaslPerformative::Mechanisms(_), Some(_)) => {
                Err(SaslFailure::Unexpected { what: "a second list of mechanisms" })
            }
            (SaslPerformative::Init(_), _) => {
                Err(SaslFailure::Unexpected { what: "sasl-init from the server" })
            }
            (SaslPerformative::Response(_), _) => {
                Err(SaslFailure::Unexpected { what: "sasl-response from the server" })
            }
            (SaslPerformative::Challenge(_) | SaslPerformative::Outcome(_), None) => {
                Err(SaslFailure::Unexpected { what: "an answer before the list of mechanisms" })
            }
        }
    }

    fn start(&mut self, offer: &SaslMechanisms) -> Result<ClientStep, SaslFailure> {
        let twice = SaslFailure::Unexpected { what: "a second list of mechanisms" };
        let mut mechanism = self.choice.take().ok_or(twice)?.take(offer)?;
        let initial_response = mechanism.initial_response()?;
        let init = SaslInit {
            mechanism: Symbol::from_static(mechanism.name()),
            initial_response,
            hostname: self.hostname.clone(),
        };
        self.mechanism = Some(mechanism);
        Ok(ClientStep::Send(SaslPerformative::Init(init)))
    }
}

/// The listener's side of one exchange.
#[derive(Debug)]
pub(crate) struct ListenerExchange {
    mechanisms: Vec<Symbol>,
    awaits: Awaits,
    rounds_left: u32,
    round_limit: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Awaits {
    Init,
    Decision,
    Response,
}

/// What a listener asks its application.
#[derive(Debug)]
pub(crate) enum ListenerStep {
    Init(SaslInit),
    Response(Bytes),
    /// The client chose a mechanism that was not offered: it gets this outcome.
    Refuse,
}

impl ListenerExchange {
    pub(crate) fn new(mechanisms: Vec<Symbol>, round_limit: u32) -> Self {
        Self { mechanisms, awaits: Awaits::Init, rounds_left: round_limit, round_limit }
    }

    //
    pub(crate) fn offer(&self) -> SaslPerformative {
        let sasl_server_mechanisms: Multiple<Symbol> = self.mechanisms.iter().cloned().collect();
        SaslPerformative::Mechanisms(SaslMechanisms { sasl_server_mechanisms })
    }

    pub(crate) fn handle(&mut self, frame: SaslPerformative) -> Result<ListenerStep, SaslFailure> {
        match frame {
            SaslPerformative::Init(init) if self.awaits == Awaits::Init => {
                if !self.mechanisms.contains(&init.mechanism) {
                    return Ok(ListenerStep::Refuse);
                }
                self.awaits = Awaits::Decision;
                Ok(ListenerStep::Init(init))
            }
            SaslPerformative::Response(response) if self.awaits == Awaits::Response => {
                self.awaits = Awaits::Decision;
                Ok(ListenerStep::Response(response.response))
            }
            SaslPerformative::Init(_) => Err(SaslFailure::Unexpected { what: "a second sasl-init" }),
            SaslPerformative::Response(_) => {
                Err(SaslFailure::Unexpected { what: "a sasl-response without a challenge" })
            }
            SaslPerformative::Mechanisms(_)
            | SaslPerformative::Challenge(_)
            | SaslPerformative::Outcome(_) => {
                Err(SaslFailure::Unexpected { what: "a server's sasl frame from the client" })
            }
        }
    }

    /// Whether the application owes an answer.
    pub(crate) fn awaits_decision(&self) -> bool {
        self.awaits == Awaits::Decision
    }

    pub(crate) fn challenge(&mut self, challenge: Bytes) -> Result<SaslPerformative, SaslFailure> {
        self.rounds_left =
            self.rounds_left.checked_sub(1).ok_or(SaslFailure::TooManyRounds { limit: self.round_limit })?;
        self.awaits = Awaits::Response;
        Ok(SaslPerformative::Challenge(SaslChallenge { challenge }))
    }

    pub(crate) fn outcome(code: SaslCode, additional_data: Option<Bytes>) -> SaslPerformative {
        SaslPerformative::Outcome(SaslOutcome { code, additional_data })
    }
}
