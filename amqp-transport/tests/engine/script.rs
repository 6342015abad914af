//! A peer that says exactly what it is told, and reads back what the engine wrote.

use std::time::Instant;

use amqp_codec::{
    AmqpFrame, Begin, DecodeLimits, Encode, Open, Performative, ProtocolHeader, Role, encode_frame,
};
use amqp_transport::engine::{
    ConnectionConfig, DetachKind, Event, LinkConfig, LinkId, SessionConfig, SessionId, Side,
};
use bytes::{Bytes, BytesMut};

use crate::pair::{End, source, start, target};

/// One engine and the script's end of the wire.
pub(crate) struct Script {
    pub(crate) end: End,
    pub(crate) now: Instant,
    read: BytesMut,
}

impl Script {
    pub(crate) fn new(side: Side, config: ConnectionConfig) -> Self {
        let now = start();
        let mut end = End::new(side, config, now);
        end.is_accepting = false;
        Self { end, now, read: BytesMut::new() }
    }

    /// A client whose open is on its way.
    pub(crate) fn client() -> Self {
        let mut script = Self::new(Side::Client, ConnectionConfig::new("c"));
        script.end.engine.open().unwrap();
        script
    }

    /// A client whose connection is open.
    pub(crate) fn open_client() -> Self {
        let mut script = Self::client();
        script.octets(&ProtocolHeader::AMQP.encode());
        script.frame(0, &Open::new("p"));
        script.skip_header();
        script.written();
        script
    }

    /// A listener to which a connection is open.
    pub(crate) fn open_listener() -> Self {
        let mut script = Self::new(Side::Listener, ConnectionConfig::new("s"));
        script.octets(&ProtocolHeader::AMQP.encode());
        script.end.engine.open().unwrap();
        script.frame(0, &Open::new("p"));
        script.skip_header();
        script.written();
        script
    }

    /// A client with a session whose window the script answers with.
    pub(crate) fn session(&mut self, incoming_window: u32) -> SessionId {
        let config = {
            let mut config = SessionConfig::default();
            config.incoming_window = 100;
            config
        };
        let session = self.end.engine.begin(config).unwrap();
        self.frame(0, &begin(Some(0), incoming_window));
        self.written();
        session
    }

    /// A sending link of the client's on handle 0, without credit.
    pub(crate) fn sender(&mut self, session: SessionId) -> LinkId {
        self.attach(session, LinkConfig::sender("L", target("q")))
    }

    /// A receiving link of the client's on handle 0, with this much credit.
    pub(crate) fn receiver(&mut self, session: SessionId, credit: u32) -> LinkId {
        let link = self.attach(session, LinkConfig::receiver("L", source("q")));
        self.end.engine.set_credit(link, credit).unwrap();
        self.written();
        link
    }

    /// A receiver that was just detached by its application: the peer's next frames cross that.
    pub(crate) fn detached_receiver(&mut self, session: SessionId) {
        let link = self.receiver(session, 10);
        self.end.engine.detach(link, DetachKind::Closed, None).unwrap();
        self.written();
        self.events();
    }

    pub(crate) fn attach(&mut self, session: SessionId, config: LinkConfig) -> LinkId {
        let answer = answer_to(&config);
        let link = self.end.engine.attach(session, config).unwrap();
        self.frame(0, &answer);
        self.written();
        link
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) {
        let _ = self.end.feed(self.now, octets);
        self.end.pump(self.now);
    }

    pub(crate) fn frame(&mut self, channel: u16, body: &impl Encode) {
        self.payload(channel, body, &[]);
    }

    pub(crate) fn payload(&mut self, channel: u16, body: &impl Encode, payload: &[u8]) {
        let mut frame = BytesMut::new();
        encode_frame(&mut frame, channel, body, payload);
        self.octets(&frame);
    }

    /// Drops the eight octets of a header from what was written.
    pub(crate) fn skip_header(&mut self) -> [u8; 8] {
        self.collect();
        let header = self.read.split_to(8);
        header.as_ref().try_into().unwrap()
    }

    fn collect(&mut self) {
        self.end.pump(self.now);
        let octets: Vec<u8> = self.end.wire.drain(..).collect();
        self.read.extend_from_slice(&octets);
    }

    /// Whole frames written since the last call.
    pub(crate) fn frames(&mut self) -> Vec<AmqpFrame> {
        self.collect();
        let mut frames = Vec::new();
        while let Some(size) = self.read.first_chunk::<4>() {
            let size = u32::from_be_bytes(*size) as usize;
            let frame: Bytes = self.read.split_to(size).freeze();
            frames.push(AmqpFrame::decode(&frame, &DecodeLimits::performative()).unwrap());
        }
        frames
    }

    /// Performatives written since the last call, heartbeats left out.
    pub(crate) fn written(&mut self) -> Vec<Performative> {
        self.frames().into_iter().filter_map(|frame| frame.performative).collect()
    }

    /// Names of the performatives written since the last call.
    pub(crate) fn names(&mut self) -> Vec<&'static str> {
        self.written().iter().map(Performative::name).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.end.pump(self.now);
        self.end.events.drain(..).collect()
    }
}

pub(crate) fn begin(remote_channel: Option<u16>, incoming_window: u32) -> Begin {
    Begin { remote_channel, incoming_window, outgoing_window: 100, ..Begin::default() }
}

/// What a willing peer answers to an attach, on handle 0.
pub(crate) fn answer_to(config: &LinkConfig) -> amqp_codec::Attach {
    let mut answer = amqp_codec::Attach::new(config.name.clone(), 0, config.role.peer());
    answer.source = config.source.clone();
    answer.target = config.target.clone();
    answer.initial_delivery_count = (config.role == Role::Receiver).then_some(0);
    answer
}

/// The condition of a close, end or detach.
pub(crate) fn condition(performative: &Performative) -> Option<String> {
    let error = match performative {
        Performative::Close(close) => close.error.as_ref(),
        Performative::End(end) => end.error.as_ref(),
        Performative::Detach(detach) => detach.error.as_ref(),
        _ => None,
    };
    error.map(|error| error.condition.to_string())
}

/// The name and condition of the last performative written.
pub(crate) fn last(script: &mut Script) -> (&'static str, Option<String>) {
    let written = script.written();
    let last = written.last().unwrap_or_else(|| panic!("nothing was written"));
    (last.name(), condition(last))
}
