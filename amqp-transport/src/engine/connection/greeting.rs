//! What comes before the frames of AMQP: protocol headers, and the frames of SASL.

use amqp_codec::{
    DecodeLimits, FrameHeader, FrameType, ProtocolHeader, SaslCode, SaslPerformative, from_bytes,
};
use bytes::{Buf, Bytes, BytesMut};

use super::super::config::{SaslLayer, Side, WithoutSasl};
use super::super::event::Event;
use super::super::violation::Violation;
use super::input::{Step, whole_frames};
use super::{Connection, Phase};
use crate::error::{ConnectionError, SaslFailure};
use crate::sasl::{ClientStep, ListenerExchange, ListenerStep};

impl Connection {
    pub(super) fn header_step(&mut self, input: &mut BytesMut) -> Step {
        let Some(octets) = input.first_chunk::<8>().copied() else { return Step::NeedMore };
        input.advance(octets.len());
        // F-002: another version is as foreign as another protocol.
        let header = ProtocolHeader::parse(&octets).ok();
        match (self.side, &self.phase) {
            (Side::Client, Phase::Header) => {
                let expected = match self.config.sasl {
                    SaslLayer::Client(_) => ProtocolHeader::SASL,
                    _ => ProtocolHeader::AMQP,
                };
                if header == Some(expected) {
                    self.client_headers_agree();
                } else if header == Some(ProtocolHeader::AMQP) {
                    // A-023 from the other side: SASL is not given up because the peer does without.
                    self.finish(ConnectionError::Sasl(SaslFailure::LeftOut));
                } else {
                    // F-003, F-010: no frame, no close.
                    self.finish(ConnectionError::HeaderMismatch { offered: octets });
                }
            }
            (Side::Listener, Phase::Header) => self.answer_header(header, octets),
            _ => {
                // after SASL, only the AMQP header.
                if header == Some(ProtocolHeader::AMQP) {
                    if self.side == Side::Listener {
                        self.output.header(ProtocolHeader::AMQP);
                    }
                    self.enter_frames();
                } else {
                    self.finish(ConnectionError::HeaderMismatch { offered: octets });
                }
            }
        }
        Step::Again
    }

    // F-004 to F-009, A-023: our own header is the answer to whatever came.
    fn answer_header(&mut self, header: Option<ProtocolHeader>, octets: [u8; 8]) {
        let (mechanisms, without_sasl) = match &self.config.sasl {
            SaslLayer::Listener { mechanisms, without_sasl } => (mechanisms.clone(), *without_sasl),
            _ => (Vec::new(), WithoutSasl::Allow),
        };
        let preferred = if mechanisms.is_empty() { ProtocolHeader::AMQP } else { ProtocolHeader::SASL };
        match header {
            Some(ProtocolHeader::AMQP) if without_sasl == WithoutSasl::Allow => {
                self.output.header(ProtocolHeader::AMQP);
                self.enter_frames();
            }
            Some(ProtocolHeader::SASL) if !mechanisms.is_empty() => {
                self.output.header(ProtocolHeader::SASL);
                let exchange = ListenerExchange::new(mechanisms, self.config.limits.sasl_rounds);
                self.output.sasl(&exchange.offer());
                self.phase = Phase::ListenerSasl(Box::new(exchange));
            }
            _ => {
                self.output.header(preferred);
                self.finish(ConnectionError::HeaderMismatch { offered: octets });
            }
        }
    }

    /// One SASL frame.
    pub(super) fn sasl_step(&mut self, input: &mut BytesMut) -> Step {
        let frame = match take_frame(input, self.config.limits.pre_open_frame_size) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Step::NeedMore,
            Err(_) => return self.sasl_fault("an invalid frame"),
        };
        let Ok(Some(header)) = FrameHeader::parse(&frame) else { return self.sasl_fault("an invalid frame") };
        self.frames_in = self.frames_in.wrapping_add(1);
        // octets 6 and 7 mean nothing here, and a body there must be.
        if header.frame_type != FrameType::Sasl {
            return self.sasl_fault("a frame of another type");
        }
        let body = body_of(&frame, &header);
        let Ok(performative) = from_bytes::<SaslPerformative>(&body, &DecodeLimits::performative()) else {
            return self.sasl_fault("an undecodable frame");
        };
        match &mut self.phase {
            Phase::ClientSasl(exchange) => match exchange.handle(performative) {
                Ok(ClientStep::Send(answer)) => self.output.sasl(&answer),
                Ok(ClientStep::Authenticated) => self.client_authenticated(),
                Err(failure) => self.finish(ConnectionError::Sasl(failure)),
            },
            Phase::ListenerSasl(exchange) => match exchange.handle(performative) {
                Ok(ListenerStep::Init(init)) => self.events.push(Event::SaslInit {
                    mechanism: init.mechanism,
                    initial_response: init.initial_response.map(Into::into),
                    hostname: init.hostname,
                }),
                Ok(ListenerStep::Response(response)) => {
                    self.events.push(Event::SaslResponse { response: response.into() });
                }
                //
                Ok(ListenerStep::Refuse) => self.conclude_sasl(SaslCode::Auth, None),
                Err(failure) => self.finish(ConnectionError::Sasl(failure)),
            },
            _ => {}
        }
        Step::Again
    }

    fn sasl_fault(&mut self, what: &'static str) -> Step {
        // The SASL layer has no close: the stream just ends.
        self.finish(ConnectionError::Sasl(SaslFailure::Unexpected { what }));
        Step::Again
    }
}

/// Takes one whole frame off the input.
fn take_frame(input: &mut BytesMut, limit: u32) -> Result<Option<Bytes>, Violation> {
    match whole_frames(input, limit, 1) {
        (0, Some(fault)) => Err(fault),
        (0, None) => Ok(None),
        (end, _) => Ok(Some(input.split_to(end).freeze())),
    }
}

// F-014: the extended header is skipped.
fn body_of(frame: &Bytes, header: &FrameHeader) -> Bytes {
    frame.slice((usize::from(header.doff) * 4).min(frame.len())..)
}
