//! Two engines back to back, driven by operations that are read from octets: what both applications do, how much of
//! what was written arrives, how time passes and where the stream is cut.
//!
//! Both ends keep to the protocol, so that neither may ever accuse the other. It must never look into the engine: what
//! it knows, it knows from commands, events and gauges.
#![expect(clippy::indexing_slicing, reason = "there are two ends, and every place is one of them")]

mod end;
mod ledger;

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::super::{Connection, ConnectionConfig, InputStatus, Side};
use end::End;
use ledger::{self as script, Ledger, Script};

/// Drives two engines by `data`: up to three connections, the later ones resuming what the earlier ones left.
///
/// `start` is any instant: the time that passes is the engines' own.
///
/// # Panics
/// When a rule of the engine's contract does not hold.
pub fn fuzz_pair(data: &[u8], start: Instant) {
    let mut script = Script::new(data);
    let mut pair = Pair {
        now: start,
        ends: [Side::Client, Side::Listener].map(|side| End::new(engine(side, &mut script, start), start)),
        ledger: Ledger::default(),
        connections: 1,
    };
    pair.open();
    for _ in 0..MOST_STEPS {
        let Some(operation) = script.next() else { break };
        pair.step(operation, &mut script);
        pair.ends.iter().for_each(End::judge);
    }
    pair.come_to_rest();
    pair.finish();
}

fn engine(side: Side, script: &mut Script<'_>, now: Instant) -> Connection {
    let mut config = ConnectionConfig::new(if side == Side::Client { "client" } else { "listener" });
    let wish = script.octet();
    config.max_frame_size = script::pick(wish, &[512, 65_536, 700, 2_048]);
    config.idle_time_out = script::pick(wish >> 2, &[None, Some(2), Some(60)]).map(Duration::from_secs);
    config.limits.pending_events = script::pick(wish >> 4, &[65_536, 1, 5]);
    config.limits.output_high_water = script::pick(wish >> 5, &[1 << 20, 600, 1]);
    config.limits.owed_output = script::pick(wish >> 6, &[1 << 20, 300]);
    Connection::new(side, config, now)
}

/// Both ends. What an end has written and the other has not read lies with its writer.
struct Pair {
    now: Instant,
    ends: [End; 2],
    ledger: Ledger,
    connections: u32,
}

impl Pair {
    fn open(&mut self) {
        let opened = self.ends[0].engine.open();
        assert!(opened.is_ok(), "a client opens at once: {opened:?}");
    }

    fn step(&mut self, operation: u8, script: &mut Script<'_>) {
        let side = usize::from(operation >> 7);
        let (now, ledger) = (self.now, &mut self.ledger);
        let end = &mut self.ends[side];
        match operation & 0x1f {
            0 => end.begin(script.octet()),
            1 | 2 => end.attach(script.octet(), script.octet(), ledger),
            3 => end.answer(script.octet(), ledger),
            4 | 5 => end.send(script.octet(), script.octet(), ledger),
            6 => end.grant(script.octet(), script.octet()),
            7 => end.drain(script.octet()),
            8 => end.give_back(script.octet()),
            9 | 10 => end.settle(script.octet(), script.octet(), ledger),
            11 => end.settle_sent(script.octet(), script.octet(), ledger),
            12 => end.detach(script.octet()),
            13 => end.end_session(script.octet()),
            14 => end.abort_send(script.octet(), ledger),
            15 => end.acquire(script.octet()),
            16 => {
                let pause = script::pick(script.octet(), &[1, 10, 100, 1_000, 20_000, 100_000]);
                self.advance(Duration::from_millis(pause));
            }
            17 => self.cut(script.octet()),
            18 => self.connect_anew(script),
            19 if script.octet() < 64 => end.close(),
            20 => end.collect(now),
            21 | 22 => {
                let count = usize::from(script.octet());
                self.deliver(side, count * count);
            }
            23 => end.poll(ledger, now),
            24 => self.come_to_rest(),
            25 => end.engine.shrink(),
            26 => end.answer_all(ledger),
            27 => end.tell_state(script.octet(), script.octet(), ledger),
            28 => end.give_up(script.octet()),
            _ => self.exchange(),
        }
    }

    /// Gives up to `count` octets that `side` wrote to the other; `false` where nothing came of it.
    fn deliver(&mut self, side: usize, count: usize) -> bool {
        let to = 1 - side;
        if self.ends[to].engine.is_read_paused() {
            self.ends[to].collect(self.now);
            assert!(!self.ends[to].engine.is_read_paused(), "reading stays paused with nothing to write");
        }
        let from = &mut self.ends[side];
        let octets: BytesMut = from.written.split_to(count.min(from.written.len()));
        let is_over = from.written.is_empty() && (from.is_cut || from.engine.is_finished());
        let end = &mut self.ends[to];
        if !octets.is_empty() {
            end.hear(&octets, &mut self.ledger, self.now);
        }
        let tells_end = is_over && !std::mem::replace(&mut end.is_end_told, is_over);
        if tells_end {
            end.engine.handle_eof(self.now);
        }
        tells_end || !octets.is_empty()
    }

    /// Lets everything under way arrive until nothing moves.
    fn exchange(&mut self) {
        for _ in 0..100_000 {
            let mut is_active = false;
            for side in 0..2 {
                self.ends[side].poll(&mut self.ledger, self.now);
                self.ends[side].collect(self.now);
                is_active |= self.deliver(side, usize::MAX);
            }
            if !is_active {
                return;
            }
        }
        panic!("the ends do not come to rest");
    }

    /// The same, with answers that wait for their time.
    fn calm(&mut self) {
        for _ in 0..8 {
            self.exchange();
            self.advance(Duration::from_millis(10));
        }
        self.exchange();
    }

    fn is_alive(&self) -> bool {
        self.ends.iter().all(|end| end.engine.is_open() && !end.is_cut)
    }

    /// Where the connection lives, both ends agree, then do all they owe, and nothing is left over.
    fn come_to_rest(&mut self) {
        self.calm();
        for end in &mut self.ends {
            end.answer_all(&mut self.ledger);
        }
        self.calm();
        if !self.is_alive() {
            return;
        }
        self.judge_agreement();
        for _ in 0..MOST_ROUNDS {
            let mut is_active = false;
            for end in &mut self.ends {
                is_active |= end.settle_all(&mut self.ledger);
            }
            self.calm();
            if !is_active || !self.is_alive() {
                break;
            }
        }
        if self.is_alive() {
            self.judge_agreement();
            self.ends.iter().for_each(|end| end.judge_completion(&self.ledger));
        }
    }

    /// At rest both ends of a link count the same.
    fn judge_agreement(&self) {
        let [client, listener] = &self.ends;
        for ours in client.links.iter().filter(|link| link.is_usable()) {
            let is_other = |link: &&end::Known| link.name == ours.name && link.is_sender != ours.is_sender;
            let Some(theirs) = listener.links.iter().filter(|link| link.is_usable()).find(is_other) else {
                panic!("{:?} is attached at the client alone", ours.name);
            };
            let both = (client.engine.link_stats(ours.id), listener.engine.link_stats(theirs.id));
            let (Some(ours_are), Some(theirs_are)) = both else {
                panic!("{:?} is gone without a word: {both:?}", ours.name);
            };
            assert_eq!(
                (ours_are.credit, ours_are.delivery_count),
                (theirs_are.credit, theirs_are.delivery_count),
                "the ends of {:?} disagree on credit",
                ours.name
            );
            if !self.ledger.is_resumed(&ours.name) {
                assert_eq!(ours_are.unsettled, theirs_are.unsettled, "the ends of {:?} disagree", ours.name);
            }
        }
    }

    /// Lets time pass, firing timers of both ends in their order.
    fn advance(&mut self, by: Duration) {
        let until = self.now.checked_add(by).unwrap_or(self.now);
        for _ in 0..100_000 {
            let next = self.ends.iter().filter_map(|end| end.engine.poll_timeout()).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            for end in &mut self.ends {
                end.engine.handle_timeout(self.now);
                end.collect(self.now);
            }
        }
        panic!("timers without end");
    }

    /// Ends both directions in the middle of whatever is under way.
    fn cut(&mut self, place: u8) {
        for end in &mut self.ends {
            end.is_cut = true;
            let keep = end.written.len() * usize::from(place) / 255;
            end.written.truncate(keep);
        }
    }

    /// Both ends connect anew, with nothing of the last connection but the links that were suspended.
    fn connect_anew(&mut self, script: &mut Script<'_>) {
        if self.connections == MOST_CONNECTIONS {
            return;
        }
        self.connections += 1;
        self.cut(script.octet());
        self.finish();
        for (side, end) in [Side::Client, Side::Listener].into_iter().zip(&mut self.ends) {
            let kept = std::mem::take(&mut end.kept);
            *end = End::new(engine(side, script, self.now), self.now);
            end.kept = kept;
        }
        self.open();
    }

    /// Whatever has happened, both ends come to their end.
    fn finish(&mut self) {
        for end in &mut self.ends {
            end.close();
        }
        self.exchange();
        for _ in 0..8 {
            let next = self.ends.iter().filter_map(|end| end.engine.poll_timeout()).min();
            self.advance(next.map_or(Duration::ZERO, |at| at.saturating_duration_since(self.now)));
            self.exchange();
        }
        for end in &self.ends {
            assert!(end.engine.is_finished(), "an end without an end: {:?}", end.engine.failure());
            assert!(end.is_closed, "an end that was never told of it: {:?}", end.engine.failure());
            assert_eq!(end.engine.poll_timeout(), None, "a timer after the end");
        }
    }
}

impl End {
    /// Reads what the other end wrote.
    fn hear(&mut self, octets: &[u8], ledger: &mut Ledger, now: Instant) {
        if self.engine.is_finished() {
            return;
        }
        if self.engine.failure().is_none() {
            self.last_heard = now;
        }
        self.input.extend_from_slice(octets);
        // Each round consumes a frame or an event; a round that does neither would go on for ever.
        for _ in 0..=self.input.len() + 64 {
            let before = (self.input.len(), self.events);
            if self.engine.handle_input(now, &mut self.input) != InputStatus::Blocked {
                assert!(self.input.len() <= 1 << 16, "{} octets of one frame", self.input.len());
                return;
            }
            self.poll(ledger, now);
            assert_ne!(before, (self.input.len(), self.events), "blocked by nothing");
        }
        panic!("the input is never used up");
    }
}

const MOST_STEPS: u32 = 3_000;
const MOST_ROUNDS: u32 = 1_000;
const MOST_CONNECTIONS: u32 = 3;
