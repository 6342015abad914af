//! Conversations of other makers' clients with a hub, played again with one of our engines in the place of either end:
//! what the other end wrote is no violation, to whichever role it is said.
//!
//! Our engine does what the end in its place did, when it did it; the other end's frames come as they were recorded, but
//! for the numbers that our engine chose otherwise. Read where `AMQP_TRACES` names the folder of typed dumps; without it
//! there is nothing to play, and the test says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use std::{env, fs};

use amqp_codec::{
    AmqpFrame, Attach, DecodeLimits, DeliveryState, Disposition, Performative, ProtocolHeader, Role,
    encode_frame,
};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{
    AttachReply, Connection, ConnectionConfig, DeliveryId, DetachCause, DetachKind, EndCause, Event,
    LinkConfig, LinkId, Outgoing, SessionConfig, SessionId, Settlement, Side, Transmit,
};
use bytes::{Buf, Bytes, BytesMut};
use workspace_tests::traces::{Recorded, recorded};

#[test]
fn recorded_conversations_are_no_violation_to_either_role() {
    let Some(folder) = env::var_os("AMQP_TRACES") else {
        eprintln!("skipped: AMQP_TRACES does not say where the recorded conversations are");
        return;
    };
    let mut frames = 0;
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let steps = recorded(&fs::read_to_string(&file).unwrap());
        let mut connections: Vec<&str> = steps.iter().map(|step| step.connection.as_str()).collect();
        connections.dedup();
        connections.sort_unstable();
        connections.dedup();
        for connection in connections {
            let steps: Vec<&Recorded> = steps.iter().filter(|step| step.connection == connection).collect();
            for side in [Side::Client, Side::Listener] {
                let what = format!("{} {connection}, as the {side:?}", file.display());
                frames += Replay::new(side, &steps).run(&steps, &what);
            }
        }
    }
    assert!(frames > 1_500, "only {frames} frames were played");
}

/// One of our engines in the place of one end.
struct Replay {
    side: Side,
    engine: Connection,
    now: Instant,
    input: BytesMut,
    transmit: Transmit,
    /// By the channels that the recorded end used.
    sessions: BTreeMap<u16, SessionId>,
    /// The engine's channels by the recorded ones.
    channels: BTreeMap<u16, u16>,
    requested_sessions: VecDeque<SessionId>,
    requested_links: Vec<(LinkId, Arc<Attach>)>,
    /// By recorded channel and handle.
    links: BTreeMap<(u16, u32), LinkId>,
    /// Octets of messages whose last frame is still to come, by link.
    pending: BTreeMap<LinkKey, usize>,
    /// What we sent, by recorded channel and delivery-id.
    sent: BTreeMap<(u16, u32), (LinkId, DeliveryId)>,
    received: Vec<(LinkId, DeliveryId)>,
    /// The engine's begins, by the order they were written in.
    begun: VecDeque<u16>,
    wrong: Vec<String>,
    /// Channels on which the other end has ended its session.
    ended: BTreeSet<u16>,
}

type LinkKey = (u16, u32);

impl Replay {
    fn new(side: Side, steps: &[&Recorded]) -> Self {
        let mut config = ConnectionConfig::new("us");
        let ours = steps.iter().find_map(|step| match &step.performative {
            Performative::Open(open) if step.is_clients == (side == Side::Client) => Some(open),
            _ => None,
        });
        if let Some(open) = ours {
            (config.max_frame_size, config.channel_max) = (open.max_frame_size, open.channel_max);
        }
        config.idle_time_out = None;
        let now = start();
        Self {
            side,
            engine: Connection::new(side, config, now),
            now,
            input: BytesMut::new(),
            transmit: Transmit::new(),
            sessions: BTreeMap::new(),
            channels: BTreeMap::new(),
            requested_sessions: VecDeque::new(),
            requested_links: Vec::new(),
            links: BTreeMap::new(),
            pending: BTreeMap::new(),
            sent: BTreeMap::new(),
            received: Vec::new(),
            begun: VecDeque::new(),
            wrong: Vec::new(),
            ended: BTreeSet::new(),
        }
    }

    /// Plays all frames; how many there were.
    fn run(mut self, steps: &[&Recorded], what: &str) -> usize {
        self.feed(&ProtocolHeader::AMQP.encode());
        let mut early: VecDeque<&Recorded> = VecDeque::new();
        for step in steps {
            if step.is_clients == (self.side == Side::Client) {
                early.push_back(*step);
            } else {
                self.hear(step);
            }
            // What others say before the open is answered, ours says after.
            while let Some(next) = early.pop_front_if(|next| self.may_act(next)) {
                self.act(next);
            }
            assert!(self.wrong.is_empty(), "{what}: {:#?}\nat {step:?}", self.wrong);
        }
        steps.len()
    }

    fn may_act(&self, step: &Recorded) -> bool {
        self.engine.is_open()
            || self.engine.failure().is_some()
            || matches!(step.performative, Performative::Open(_) | Performative::Close(_))
    }

    /// The other end's frame, with our numbers.
    fn hear(&mut self, step: &Recorded) {
        let mut performative = step.performative.clone();
        match &performative {
            Performative::Begin(_) => {
                self.ended.remove(&step.channel);
            }
            Performative::End(_) => {
                self.ended.insert(step.channel);
            }
            // One client detaches behind its own end, which is a violation, and was one to the recorded server too.
            Performative::Detach(_) if self.ended.contains(&step.channel) => return,
            _ => {}
        }
        match &mut performative {
            Performative::Begin(begin) => {
                begin.remote_channel = begin.remote_channel.map(|channel| self.channels[&channel]);
            }
            Performative::Disposition(disposition) if disposition.role == Role::Receiver => {
                let ours = self
                    .sessions
                    .keys()
                    .copied()
                    .find(|channel| self.sent.contains_key(&(*channel, disposition.first)));
                if let Some((_, delivery)) =
                    ours.and_then(|channel| self.sent.get(&(channel, disposition.first)))
                {
                    let span = disposition.last.map(|last| last.wrapping_sub(disposition.first));
                    disposition.first = delivery.0;
                    disposition.last = span.map(|span| disposition.first.wrapping_add(span));
                }
            }
            _ => {}
        }
        let mut frame = BytesMut::new();
        encode_frame(&mut frame, step.channel, &performative, &vec![0; step.payload]);
        self.feed(&frame);
    }

    /// What the end in our place did. What the engine has done by itself already is turned away.
    fn act(&mut self, step: &Recorded) {
        let channel = step.channel;
        match &step.performative {
            Performative::Open(_) => {
                if let Err(error) = self.engine.open() {
                    self.wrong.push(format!("not opened: {error}"));
                }
            }
            Performative::Begin(begin) => {
                let mut config = SessionConfig::default();
                config.next_outgoing_id = begin.next_outgoing_id;
                config.incoming_window = begin.incoming_window;
                config.handle_max = begin.handle_max;
                let session = match begin.remote_channel {
                    None => match self.engine.begin(config) {
                        Ok(session) => session,
                        Err(error) => return self.wrong.push(format!("not begun: {error}")),
                    },
                    Some(_) => {
                        let session = self.requested_sessions.pop_front().unwrap();
                        self.engine.accept_session(session, config).unwrap();
                        session
                    }
                };
                self.sessions.insert(channel, session);
                self.pump();
                self.channels.insert(channel, self.begun.pop_back().unwrap());
            }
            Performative::Attach(attach) => self.attach(channel, attach),
            Performative::Flow(flow) => {
                let Some(link) = flow.handle.and_then(|handle| self.links.get(&(channel, handle))) else {
                    return;
                };
                if self.engine.set_credit(*link, flow.link_credit.unwrap_or(0)).is_err() && flow.drain {
                    let _ = self.engine.drained(*link);
                }
            }
            Performative::Transfer(transfer) => {
                let key = (channel, transfer.handle);
                let octets = self.pending.remove(&key).unwrap_or(0) + step.payload;
                if transfer.more {
                    self.pending.insert(key, octets);
                    return;
                }
                let settlement =
                    if transfer.settled == Some(true) { Settlement::Settled } else { Settlement::Unsettled };
                let Some(link) = self.links.get(&key).copied() else { return };
                match self.engine.try_send(link, Outgoing::new(Bytes::from(vec![0; octets]), settlement, 0)) {
                    Ok(delivery) => {
                        self.sent.extend(transfer.delivery_id.map(|id| ((channel, id), (link, delivery))));
                    }
                    Err(error) => self.wrong.push(format!("a message was not sent: {error}")),
                }
            }
            Performative::Disposition(disposition) => self.settle(channel, disposition),
            Performative::Detach(detach) => {
                let Some(link) = self.links.remove(&(channel, detach.handle)) else { return };
                let kind = if detach.closed { DetachKind::Closed } else { DetachKind::Suspended };
                let _ = match &detach.error {
                    Some(error) if self.engine.refuse_attach(link, error.clone()).is_ok() => Ok(()),
                    error => self.engine.detach(link, kind, error.clone()),
                };
            }
            Performative::End(end) => {
                if let Some(session) = self.sessions.remove(&channel) {
                    let _ = self.engine.end(session, end.error.clone());
                }
            }
            Performative::Close(close) => self.engine.close(close.error.clone()),
        }
        self.pump();
    }

    fn attach(&mut self, channel: u16, attach: &Attach) {
        let answered = self
            .requested_links
            .iter()
            .position(|(_, asked)| asked.name == attach.name && asked.role == attach.role.peer());
        let link = if let Some(place) = answered {
            let (link, asked) = self.requested_links.remove(place);
            let is_refusal = match attach.role {
                Role::Sender => attach.source.is_none(),
                Role::Receiver => attach.target.is_none(),
            };
            if !is_refusal {
                let mut reply = AttachReply::granting(&asked);
                (reply.source, reply.target) = (attach.source.clone(), attach.target.clone());
                (reply.snd_settle_mode, reply.rcv_settle_mode) =
                    (attach.snd_settle_mode, attach.rcv_settle_mode);
                self.engine.accept_attach(link, reply).unwrap();
            }
            link
        } else {
            let mut config =
                LinkConfig::receiver(attach.name.clone(), attach.source.clone().unwrap_or_default());
            config.role = attach.role;
            (config.source, config.target) = (attach.source.clone(), attach.target.clone());
            (config.snd_settle_mode, config.rcv_settle_mode) =
                (attach.snd_settle_mode, attach.rcv_settle_mode);
            config.initial_delivery_count = attach.initial_delivery_count.unwrap_or(0);
            self.engine.attach(self.sessions[&channel], config).unwrap()
        };
        self.links.insert((channel, attach.handle), link);
    }

    fn settle(&mut self, channel: u16, disposition: &Disposition) {
        let settlement = if disposition.settled { Settlement::Settled } else { Settlement::Unsettled };
        let state = disposition.state.clone().unwrap_or(DeliveryState::Accepted);
        let session = self.sessions.get(&channel).copied();
        for id in disposition.first..=disposition.last.unwrap_or(disposition.first) {
            if disposition.role == Role::Sender {
                if let Some((link, delivery)) = self.sent.get(&(channel, id)) {
                    let _ = self.engine.settle_sent(*link, *delivery, state.clone());
                }
                continue;
            }
            let held = self
                .received
                .iter()
                .find(|(link, delivery)| delivery.0 == id && self.engine.link_session(*link) == session);
            if let Some((link, delivery)) = held.copied() {
                let _ = self.engine.settle(link, delivery, state.clone(), settlement);
            }
        }
    }

    fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        let _ = self.engine.handle_input(self.now, &mut self.input);
        self.pump();
    }

    fn pump(&mut self) {
        while self.engine.poll_transmit(self.now, &mut self.transmit) {
            let mut written = self.transmit.copy_to_bytes(self.transmit.remaining());
            while let Some(first) = written.first_chunk::<4>() {
                let size =
                    if first == b"AMQP" { 8 } else { usize::try_from(u32::from_be_bytes(*first)).unwrap() };
                let frame = written.split_to(size);
                if let Ok(frame) = AmqpFrame::decode(&frame, &DecodeLimits::performative())
                    && let Some(Performative::Begin(_)) = frame.performative
                {
                    self.begun.push_back(frame.channel);
                }
            }
        }
        while let Some(event) = self.engine.poll_event() {
            match &event {
                Event::SessionRequested { session, .. } => self.requested_sessions.push_back(*session),
                Event::AttachRequested { link, attach, .. } => {
                    self.requested_links.push((*link, Arc::clone(attach)));
                }
                Event::Delivery { link, delivery } => self.received.push((*link, delivery.id)),
                Event::LinkDetached { cause: DetachCause::Violation, .. }
                | Event::SessionEnded { cause: EndCause::Violation, .. }
                | Event::Closed { reason: ConnectionError::Violation(_) } => {
                    self.wrong.push(format!("{event:?}"))
                }
                _ => {}
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the test's own clock")]
fn start() -> Instant {
    Instant::now()
}
