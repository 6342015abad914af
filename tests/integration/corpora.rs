//! Byte streams that another implementation's fuzzing kept, against both roles: however they are cut, the same events
//! and the same end come of them, in steps that grow with their length.
//!
//! Read in place where `AMQP_CORPORA` names the folder that holds them; without it there is nothing to play, and the
//! test says so. `AMQP_CORPORA_TIMES=1` prints how long the slowest took.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use amqp_codec::{DeliveryState, Source, Target};
use amqp_transport::engine::{
    AttachReply, Connection, ConnectionConfig, Event, InputStatus, LinkConfig, SessionConfig, Settlement,
    Side, Transmit,
};
use bytes::{Buf, BytesMut};
use workspace_tests::sim::Rng;

/// Where the streams are, under the corpora's folder.
const STREAMS: [&str; 2] = ["qpid-proton/fuzz-connection-driver", "qpid-proton/fuzz-proactor-receive"];
const HOW_MANY: usize = 2_073;

#[test]
fn recorded_streams_mean_the_same_however_they_are_cut() {
    let Some(corpora) = env::var_os("AMQP_CORPORA") else {
        eprintln!("skipped: AMQP_CORPORA does not say where the recorded streams are");
        return;
    };
    let files: Vec<PathBuf> =
        STREAMS.iter().flat_map(|folder| files(&Path::new(&corpora).join(folder))).collect();
    assert_eq!(files.len(), HOW_MANY);
    let start = start();
    let mut slowest = (Duration::ZERO, PathBuf::new());
    for (number, file) in files.iter().enumerate() {
        let octets = fs::read(file).unwrap();
        for side in [Side::Client, Side::Listener] {
            let begun = self::start();
            let whole = Player::play(side, start, &octets, |left| left);
            slowest = slowest.max((self::start() - begun, file.clone()));
            let by_one = Player::play(side, start, &octets, |_| 1);
            assert_eq!(by_one.told, whole.told, "{side:?} {}, octet by octet", file.display());
            let mut rng = Rng::new(number as u64);
            for _ in 0..3 {
                let cut = Player::play(side, start, &octets, |left| 1 + rng.below(left.min(200)));
                assert_eq!(cut.told, whole.told, "{side:?} {}, cut at random", file.display());
            }
        }
    }
    if env::var_os("AMQP_CORPORA_TIMES").is_some() {
        eprintln!("the slowest of {HOW_MANY} streams, whole, took {slowest:?}");
    }
}

/// An engine whose application takes whatever it is offered, one event at a time.
struct Player {
    engine: Connection,
    now: Instant,
    input: BytesMut,
    transmit: Transmit,
    told: Vec<String>,
    steps: usize,
}

impl Player {
    /// Feeds the stream in pieces as large as `size` says, given how much is left.
    fn play(side: Side, now: Instant, octets: &[u8], mut size: impl FnMut(usize) -> usize) -> Self {
        let mut config = ConnectionConfig::new("us");
        // The application answers each event before the next frame is looked at, wherever reads end.
        config.limits.pending_events = 1;
        let mut player = Self {
            engine: Connection::new(side, config, now),
            now,
            input: BytesMut::new(),
            transmit: Transmit::new(),
            told: Vec::new(),
            steps: 0,
        };
        if side == Side::Client {
            let _ = player.engine.open();
        }
        let (mut rest, mut reads) = (octets, 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(size(rest.len()).min(rest.len()));
            rest = after;
            reads += 1;
            player.feed(piece);
        }
        player.engine.handle_eof(now);
        player.pump();
        assert!(player.engine.is_finished() && player.engine.failure().is_some());
        player.told.push(format!("{:?}", player.engine.failure()));
        let events = player.told.len();
        assert!(player.steps <= reads + events + octets.len() / 8 + 16, "{} steps", player.steps);
        assert!(events <= 4 * octets.len() + 64, "{events} events of {} octets", octets.len());
        player
    }

    fn feed(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
        loop {
            let status = self.engine.handle_input(self.now, &mut self.input);
            self.steps += 1;
            self.pump();
            if status != InputStatus::Blocked {
                break;
            }
        }
    }

    fn pump(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.told.push(format!("{event:?}"));
            self.react(&event);
        }
        while self.engine.poll_transmit(self.now, &mut self.transmit) {
            let count = self.transmit.remaining();
            self.transmit.advance(count);
        }
    }

    /// Whatever it fails with, the engine says so by itself.
    fn react(&mut self, event: &Event) {
        let engine = &mut self.engine;
        match event {
            Event::Opened { .. } => {
                let _ = engine.open();
                if let Ok(session) = engine.begin(SessionConfig::default()) {
                    let source = Source { address: Some("q".into()), ..Source::default() };
                    let target = Target { address: Some("q".into()), ..Target::default() };
                    if let Ok(link) = engine.attach(session, LinkConfig::receiver("receiver", source)) {
                        let _ = engine.set_credit(link, 100);
                    }
                    let _ = engine.attach(session, LinkConfig::sender("sender", target));
                }
            }
            Event::SaslInit { .. } | Event::SaslResponse { .. } => {
                let _ = engine.sasl_outcome(amqp_codec::SaslCode::Ok, None);
            }
            Event::SessionRequested { session, .. } => {
                let _ = engine.accept_session(*session, SessionConfig::default());
            }
            Event::AttachRequested { link, attach, .. } => {
                let _ = engine.accept_attach(*link, AttachReply::granting(attach));
                let _ = engine.set_credit(*link, 100);
            }
            Event::Delivery { link, delivery } => {
                let _ = engine.settle(*link, delivery.id, DeliveryState::Accepted, Settlement::Settled);
            }
            Event::DrainRequested { link } => {
                let _ = engine.drained(*link);
            }
            _ => {}
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[expect(clippy::disallowed_methods, reason = "the start of the test's own clock, and what a stream took")]
fn start() -> Instant {
    Instant::now()
}
