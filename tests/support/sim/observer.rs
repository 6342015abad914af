//! An onlooker at one engine's socket: decodes what it writes and what it is given, keeps its own count of channels,
//! handles, windows, credit and deliveries, and objects to every frame that is not legal where it stands.
//!
//! It must never look into the engine: what it knows, it knows from the octets.

mod link;
mod session;

use amqp_codec::dump::Line;
use amqp_codec::{AmqpFrame, Begin, DecodeLimits, FrameHeader, Open, Performative, SaslPerformative};
use bytes::{Buf, Bytes, BytesMut};

use session::SessionView;

/// What one engine has said and heard so far.
#[derive(Debug)]
pub(crate) struct Observer {
    name: &'static str,
    sent: Splitter,
    heard: Splitter,
    open_sent: Option<Open>,
    open_heard: Option<Open>,
    close_sent: bool,
    close_heard: bool,
    sessions: Vec<SessionView>,
    /// Whether the peer may be lying. An honest peer's frames are held to the rules, too.
    peer_lies: bool,
    /// Whether the peer has said something that makes no sense: from here on only the frames' form is judged.
    is_confused: bool,
    is_tracing: bool,
    pub(crate) frames: u64,
}

/// Cuts a stream of octets into headers and frames.
#[derive(Debug, Default)]
struct Splitter {
    octets: BytesMut,
    has_header: bool,
    is_broken: bool,
}

enum Item {
    Sasl,
    Frame { size: usize, frame: Box<AmqpFrame> },
    Broken(String),
}

impl Splitter {
    fn next(&mut self) -> Option<Item> {
        if self.is_broken {
            return None;
        }
        let item = self.cut()?;
        self.is_broken = matches!(item, Item::Broken(_));
        Some(item)
    }

    fn cut(&mut self) -> Option<Item> {
        while self.octets.starts_with(b"AMQP") {
            let header = self.octets.get(..8)?;
            if header[5..] != [1, 0, 0] {
                return Some(Item::Broken(format!("a header {header:?}")));
            }
            self.has_header = true;
            self.octets.advance(8);
        }
        let size = usize::try_from(u32::from_be_bytes(*self.octets.first_chunk()?)).unwrap();
        if !(8..=1 << 24).contains(&size) || !self.has_header {
            return Some(Item::Broken(format!("a frame of {size} octets")));
        }
        if self.octets.len() < size {
            return None;
        }
        let frame: Bytes = self.octets.split_to(size).freeze();
        let limits = DecodeLimits::performative();
        let is_sasl = FrameHeader::parse(&frame).is_ok_and(|header| header.is_some()) && frame[5] == 1;
        if is_sasl {
            return Some(match SaslPerformative::decode_frame(&frame, &limits) {
                Ok(_) => Item::Sasl,
                Err(error) => Item::Broken(error.to_string()),
            });
        }
        Some(match AmqpFrame::decode(&frame, &limits) {
            Ok(frame) => Item::Frame { size, frame: Box::new(frame) },
            Err(error) => Item::Broken(error.to_string()),
        })
    }
}

impl Observer {
    pub(crate) fn new(name: &'static str, peer_lies: bool) -> Self {
        Self {
            name,
            sent: Splitter::default(),
            heard: Splitter::default(),
            open_sent: None,
            open_heard: None,
            close_sent: false,
            close_heard: false,
            sessions: Vec::new(),
            peer_lies,
            is_confused: false,
            is_tracing: std::env::var_os("AMQP_SIM_TRACE").is_some(),
            frames: 0,
        }
    }

    /// Octets the engine wrote, since the last call. What the peer took back meanwhile may still have been used.
    pub(crate) fn on_written(&mut self, octets: &[u8]) {
        self.sent.octets.extend_from_slice(octets);
        while let Some(item) = self.sent.next() {
            let verdict = match item {
                Item::Sasl if self.open_sent.is_some() => Err("a SASL frame after the open".to_owned()),
                Item::Sasl => Ok(()),
                Item::Broken(why) => Err(why),
                Item::Frame { size, frame } => {
                    self.frames += 1;
                    if self.is_tracing {
                        eprintln!("{:8} {}", self.name, summary(&frame));
                    }
                    let shown = format!("{frame:?}");
                    self.judge(size, *frame).map_err(|why| format!("{why}: {shown}"))
                }
            };
            if let Err(why) = verdict {
                panic!("the {} wrote what it must not: {why}", self.name);
            }
        }
        assert!(self.sent.octets.is_empty(), "the {} handed over a part of a frame", self.name);
        for session in &mut self.sessions {
            session.forget_old_limits();
        }
    }

    /// Octets the engine was given and has dealt with.
    pub(crate) fn on_heard(&mut self, octets: &[u8]) {
        self.heard.octets.extend_from_slice(octets);
        while let Some(item) = self.heard.next() {
            let verdict = match item {
                Item::Sasl => Ok(()),
                Item::Broken(why) => Err(why),
                Item::Frame { frame, .. } => {
                    if self.is_tracing {
                        eprintln!("{:8} hears {}", self.name, summary(&frame));
                    }
                    self.hear(*frame)
                }
            };
            if let Err(why) = verdict {
                assert!(self.peer_lies, "the {} heard what it must not: {why}", self.name);
                self.is_confused = true;
            }
        }
    }

    /// Ids of the deliveries that are unsettled as far as the wire tells: those sent and those received, one entry
    /// for each session that is open on both sides, by our channel and the peer's.
    pub(crate) fn unsettled(&self) -> Vec<(u16, u16, Vec<u32>, Vec<u32>)> {
        let mut found: Vec<_> = self.sessions.iter().filter_map(SessionView::unsettled).collect();
        found.sort();
        found
    }

    pub(crate) fn has_opened(&self) -> bool {
        self.open_sent.is_some() && !self.close_sent
    }

    /// The silence the peer puts up with, in milliseconds.
    pub(crate) fn peer_patience(&self) -> Option<u32> {
        self.open_heard.as_ref()?.idle_time_out.filter(|patience| *patience > 0)
    }

    // F-022, F-026, C-001, C-017, C-029
    fn judge(&mut self, size: usize, frame: AmqpFrame) -> Result<(), String> {
        let limit = self.open_heard.as_ref().map_or(512, |open| open.max_frame_size);
        require(size <= usize::try_from(limit).unwrap(), "a frame above the peer's limit")?;
        require(!self.close_sent, "a frame after close")?;
        let Some(performative) = frame.performative else {
            return require(frame.channel == 0 && self.open_sent.is_some(), "an empty frame before open");
        };
        if let Performative::Open(open) = performative {
            require(frame.channel == 0 && self.open_sent.is_none(), "an open out of place")?;
            self.open_sent = Some(*open);
            return Ok(());
        }
        require(self.open_sent.is_some(), "a frame before open")?;
        if let Performative::Close(_) = performative {
            self.close_sent = true;
            return require(frame.channel == 0, "a close on another channel than 0");
        }
        if self.is_confused {
            return Ok(());
        }
        require(self.open_heard.is_some(), "a frame before the peer's open")?;
        match performative {
            Performative::Begin(begin) => self.judge_begin(frame.channel, *begin),
            other => {
                let session = self
                    .sessions
                    .iter_mut()
                    .find(|session| session.local == Some(frame.channel) && !session.end_sent)
                    .ok_or("a frame on a channel without a session")?;
                session.judge(other, &frame.payload)
            }
        }
    }

    // S-001, S-003, S-007, C-008
    fn judge_begin(&mut self, channel: u16, begin: Begin) -> Result<(), String> {
        let highest = self.open_heard.as_ref().map_or(0, |open| open.channel_max);
        require(channel <= highest, "a begin above the peer's channel-max")?;
        let is_used = self
            .sessions
            .iter()
            .any(|session| session.local == Some(channel) && !(session.end_sent && session.end_heard));
        require(!is_used, "a begin on a channel in use")?;
        let index = match begin.remote_channel {
            Some(theirs) => self
                .sessions
                .iter()
                .position(|session| session.remote == Some(theirs) && session.begin_sent.is_none())
                .ok_or("a begin that answers none")?,
            None => self.add_session(),
        };
        let session = &mut self.sessions[index];
        session.local = Some(channel);
        session.begin_sent = Some(begin);
        Ok(())
    }

    fn add_session(&mut self) -> usize {
        self.sessions.retain(|session| !(session.end_sent && session.end_heard));
        self.sessions.push(SessionView::default());
        self.sessions.len() - 1
    }

    fn hear(&mut self, frame: AmqpFrame) -> Result<(), String> {
        if self.close_heard || self.is_confused {
            return Ok(());
        }
        let Some(performative) = frame.performative else { return Ok(()) };
        match performative {
            Performative::Open(open) => {
                require(self.open_heard.is_none() && frame.channel == 0, "a second open")?;
                require(open.max_frame_size >= 512, "a tiny max-frame-size")?;
                self.open_heard = Some(*open);
                Ok(())
            }
            Performative::Close(_) => {
                self.close_heard = true;
                Ok(())
            }
            _ if self.close_sent => Ok(()),
            Performative::Begin(begin) => self.hear_begin(frame.channel, *begin),
            other => {
                require(self.open_heard.is_some(), "a frame before open")?;
                if let Performative::Attach(attach) = &other
                    && self.peer_lies
                {
                    let elsewhere = |session: &&SessionView| session.remote != Some(frame.channel);
                    let mut others = self.sessions.iter().filter(elsewhere);
                    require(!others.any(|session| session.has_link(attach)), "an attach that steals a link")?;
                }
                let session = self
                    .sessions
                    .iter_mut()
                    .find(|session| session.remote == Some(frame.channel) && !session.end_heard)
                    .ok_or("a frame on no session")?;
                session.hear(other, &frame.payload)
            }
        }
    }

    fn hear_begin(&mut self, channel: u16, begin: Begin) -> Result<(), String> {
        let is_used =
            self.sessions.iter().any(|session| session.remote == Some(channel) && !session.end_heard);
        require(!is_used, "a begin on a channel in use")?;
        let highest = self.open_sent.as_ref().map_or(u16::MAX, |open| open.channel_max);
        require(channel <= highest, "a begin above channel-max")?;
        let index = match begin.remote_channel {
            Some(ours) => self
                .sessions
                .iter()
                .position(|session| {
                    session.local == Some(ours) && session.begin_heard.is_none() && !session.end_heard
                })
                .ok_or("a begin that answers none")?,
            None => self.add_session(),
        };
        let session = &mut self.sessions[index];
        session.remote = Some(channel);
        session.hear_begin(begin);
        Ok(())
    }
}

fn require(holds: bool, why: &'static str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}

/// One line about a frame, for `AMQP_SIM_TRACE`.
fn summary(frame: &AmqpFrame) -> String {
    match &frame.performative {
        Some(performative) => format!("{} {} +{}", frame.channel, Line(performative), frame.payload.len()),
        None => "empty".to_owned(),
    }
}
