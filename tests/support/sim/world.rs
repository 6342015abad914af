//! Two applications, two wires and a clock: who does what, and when octets get where, is drawn from the seed.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use amqp_codec::Str;
use amqp_transport::ConnectionError;
use amqp_transport::engine::{InputStatus, Side};
use bytes::{Buf, Bytes};

use super::Peers;
use super::app::{App, AppLink, Kept, State};
use super::ledger::{Course, Ledger, Status};
use super::liar;
use super::plan::Plan;
use super::rng::Rng;
use super::termini::Termini;
use super::transactions::Desk;

/// One run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    rng: Rng,
    pub(crate) now: Instant,
    pub(crate) apps: [App; 2],
    /// By the side that writes.
    wires: [Wire; 2],
    pub(crate) ledger: Ledger,
    /// Another connection of the same two ends, beside the one that is looked at.
    other: Option<Box<Pair>>,
}

/// Two ends, the wires between them, and what has happened to them.
#[derive(Debug)]
struct Pair {
    apps: [App; 2],
    wires: [Wire; 2],
    course: Course,
}

/// Octets on their way.
#[derive(Debug)]
struct Wire {
    chunks: VecDeque<(Instant, Bytes)>,
    stalled_until: Instant,
    /// Whether nothing more will be put in.
    is_ended: bool,
    is_end_told: bool,
}

impl World {
    pub(crate) fn new(seed: u64, lies: bool, start: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng, lies);
        let mut world = Self::joined(plan, rng, start, lies);
        if world.plan.keeps {
            let termini = world.apps[1].termini.insert(Termini::draw(&mut world.rng));
            world.apps[1].connection = termini.connect();
        }
        world.apps[1].settle_in();
        world
    }

    /// Two fresh ends and the wires between them.
    fn joined(plan: Plan, mut rng: Rng, start: Instant, lies: bool) -> Self {
        let (ours, theirs) = Plan::sasl(&mut rng);
        let sides = [(Side::Client, ours), (Side::Listener, theirs)];
        let apps = sides.map(|(side, sasl)| {
            let config = plan.connection(&mut rng, side, sasl);
            let mut app = App::new(side, config, start, !lies);
            app.is_impatient = plan.is_impatient;
            app.desk = (side == Side::Listener && !lies).then(|| Desk::draw(&mut rng));
            app
        });
        let wire =
            || Wire { chunks: VecDeque::new(), stalled_until: start, is_ended: false, is_end_told: false };
        Self { plan, rng, now: start, apps, wires: [wire(), wire()], ledger: Ledger::default(), other: None }
    }

    /// Both ends connect anew, with nothing of the last connection but what the ledger knows; the client says again what
    /// nobody knows the end of. With `is_last` nothing is broken any more.
    pub(crate) fn connect_anew(&mut self, is_last: bool) {
        if is_last {
            let calm = Plan { stalls: false, cuts: false, closes: false, churns: false, ..self.plan.clone() };
            self.plan = calm;
        }
        self.plan.is_roomy |= is_last;
        self.wait_for_the_next();
        self.ledger.course = Course::default();
        self.replace();
        self.apps[1].expire(&mut self.ledger);
        if is_last {
            self.apps[1].stop_expiring(&mut self.ledger);
            self.give_up_widows();
        }
        self.start_again();
    }

    /// Whether this connection is left as it is, while another is made.
    pub(crate) fn is_left_behind(&mut self) -> bool {
        self.plan.keeps && self.is_alive() && self.other.is_none() && self.rng.one_in(2)
    }

    /// The client connects anew while its last connection lives still, or while the listener has not noticed its end.
    pub(crate) fn connect_beside(&mut self) {
        if self.rng.one_in(2) {
            self.lose_client();
        }
        self.wait_for_the_next();
        let course = std::mem::take(&mut self.ledger.course);
        let (apps, wires) = self.replace();
        self.other = Some(Box::new(Pair { apps, wires, course }));
        self.start_again();
    }

    /// The client's end of the wires is gone; some of what it wrote arrives all the same.
    fn lose_client(&mut self) {
        self.ledger.course.is_cut = true;
        self.cut();
        self.wires[0].is_end_told = true;
        let client = &mut self.apps[0];
        client.engine.handle_eof(self.now);
        client.poll();
        while client.handle_event(&mut self.ledger) {}
    }

    /// Puts fresh ends in place of the old ones, which are returned; what is kept of links goes along.
    fn replace(&mut self) -> ([App; 2], [Wire; 2]) {
        let mut next = Self::joined(self.plan.clone(), self.rng.clone(), self.now, false);
        swap_kept(&mut next.apps, &mut self.apps);
        if let Some(termini) = &mut next.apps[1].termini {
            next.apps[1].connection = termini.connect();
        }
        next.apps[1].settle_in();
        self.rng = next.rng;
        let apps = std::mem::replace(&mut self.apps, next.apps);
        (apps, std::mem::replace(&mut self.wires, next.wires))
    }

    /// It may take a while until there is another connection.
    fn wait_for_the_next(&mut self) {
        let wait = self.rng.pick(&[0, 0, 500, 2_000, 20_000, 100_000]);
        self.advance(Duration::from_millis(wait));
    }

    /// Acts on the other connection, if there is one, as on this one.
    fn in_other(&mut self, act: impl FnOnce(&mut Self)) {
        if self.swap() {
            act(self);
            self.swap();
        }
    }

    fn swap(&mut self) -> bool {
        let Some(other) = &mut self.other else { return false };
        std::mem::swap(&mut self.apps, &mut other.apps);
        std::mem::swap(&mut self.wires, &mut other.wires);
        std::mem::swap(&mut self.ledger.course, &mut other.course);
        swap_kept(&mut self.apps, &mut other.apps);
        true
    }

    /// Ends the other connection.
    pub(crate) fn end_other(&mut self) {
        self.in_other(|world| {
            world.cut();
            for wire in &mut world.wires {
                wire.is_end_told = false;
            }
            world.calm(false);
            world.see_end();
        });
        self.other = None;
    }

    /// One random thing on the other connection.
    fn step_other(&mut self) {
        let side = self.rng.below(2);
        match self.rng.below(8) {
            0..2 => self.collect(side),
            2..5 => {
                self.deliver(side);
            }
            5..7 => {
                self.apps[side].poll();
                self.apps[side].handle_event(&mut self.ledger);
            }
            _ => self.apps[side].carry_on(&self.plan, &mut self.rng, &mut self.ledger),
        }
    }

    /// What one connection attaches, the other one loses.
    // L-002
    fn take_links(&mut self) {
        if self.other.is_none() {
            return;
        }
        let (attached, asked) = (self.apps[0].names(), self.apps[1].asked_for());
        self.in_other(|world| {
            world.apps[0].lose_to(&attached, &mut world.ledger);
            for key in &asked {
                world.apps[1].give_over(key, &mut world.ledger);
            }
        });
    }

    /// What was open is gone on with.
    fn start_again(&mut self) {
        let _ = self.apps[0].engine.open();
        self.calm(false);
        let has_begun = self.apps[0].say_again(&self.plan, &mut self.rng, &mut self.ledger);
        assert!(has_begun || self.apps[0].engine.failure().is_some(), "a new connection that is none");
        self.calm(false);
        self.apps[0].take_up_all(&self.plan, &mut self.rng, &mut self.ledger);
        self.calm(false);
        self.plan.steps = self.plan.steps.min(100);
    }

    /// What the listener keeps and the client does not is never resumed.
    fn give_up_widows(&mut self) {
        let [client, listener] = &mut self.apps;
        let goes_on = |(is_sender, name): &(bool, Str), kept: &Kept| {
            client.kept.get(&(!is_sender, name.clone())).is_some_and(|other| other.is_like(kept))
        };
        for (_, kept) in listener.kept.extract_if(.., |key, kept| !goes_on(key, kept)) {
            kept.give_up(&mut self.ledger);
        }
    }

    /// Whether there is reason for another connection: messages whose end nobody knows, and links to be resumed.
    pub(crate) fn has_unknown(&self) -> bool {
        let has_more = self.apps.iter().any(|app| app.kept.values().any(Kept::has_more));
        has_more || !self.ledger.unknown().is_empty()
    }

    /// After a last connection without faults every message sent unsettled has an end, and none was said again whose end
    /// was known.
    pub(crate) fn judge_repetition(&self) {
        for number in self.ledger.unknown() {
            let message = &self.ledger.messages[number];
            let may_be = message.len > SMALLEST_BOUND || message.is_unresolved;
            assert!(may_be, "message {number} was lost in silence: {message:?}");
        }
        for app in &self.apps {
            for (key, kept) in &app.kept {
                assert!(!kept.has_more(), "{:?} still keeps of {key:?}: {kept:?}", app.side);
            }
        }
        for message in &self.ledger.messages {
            if let Some(repeated) = message.repeats {
                assert_eq!(self.ledger.messages[repeated].status, Status::Lost, "said again for nothing");
            }
        }
    }

    /// Random steps, as many as the plan has.
    pub(crate) fn run_wild(&mut self) {
        let _ = self.apps[0].engine.open();
        if self.rng.one_in(3) {
            let _ = self.apps[1].engine.open();
        }
        if self.plan.has_start {
            self.calm(false);
        }
        for _ in 0..self.plan.steps {
            self.take_links();
            if self.other.is_some() && self.rng.one_in(4) {
                self.in_other(Self::step_other);
                continue;
            }
            let side = self.rng.below(2);
            match self.rng.below(24) {
                0..12 => self.apps[side].act(&self.plan, &mut self.rng, &mut self.ledger),
                12..15 => self.collect(side),
                15..19 => {
                    self.deliver(side);
                }
                19..22 => {
                    let count = self.rng.below(12);
                    self.apps[side].poll();
                    for _ in 0..count {
                        self.apps[side].handle_event(&mut self.ledger);
                    }
                }
                22 => {
                    let pause = self.plan.pause;
                    self.advance(pause);
                }
                _ => self.disturb(side),
            }
        }
        // What is left of links is worth most where much is under way.
        if self.plan.keeps && self.plan.cuts && !self.ledger.course.is_cut && self.rng.one_in(2) {
            self.cut();
        }
    }

    /// What seldom happens to a wire.
    fn disturb(&mut self, side: usize) {
        if self.plan.stalls && self.rng.one_in(20) {
            let stall = Duration::from_millis(self.rng.pick(&[100, 1_500, 5_000, 100_000]));
            self.wires[side].stalled_until = self.now + stall;
            self.advance(stall / 2);
        }
        if self.plan.cuts && self.rng.one_in(60) && !self.ledger.course.is_cut {
            self.cut();
        }
    }

    /// Ends both directions in the middle of whatever is under way.
    pub(crate) fn cut(&mut self) {
        self.ledger.course.is_cut = true;
        for wire in &mut self.wires {
            wire.is_ended = true;
            let keep = self.rng.below(wire.chunks.len() + 1);
            wire.chunks.truncate(keep);
            if let Some((_, last)) = wire.chunks.back_mut() {
                last.truncate(self.rng.below(last.len() + 1));
            }
        }
    }

    /// Takes a side's output and puts it on its wire.
    fn collect(&mut self, side: usize) {
        let mut rounds = 0;
        loop {
            let app = &mut self.apps[side];
            // Octets wait in bounds: what `try_send` may queue, one batch of large messages, and what is owed.
            let limits = &app.engine.config().limits;
            let bound = limits.output_high_water + limits.owed_output + MOST_AT_ONCE;
            assert!(app.engine.queued_output() <= bound, "{} octets of output", app.engine.queued_output());
            let is_any = app.engine.poll_transmit(self.now, &mut app.transmit);
            let octets = app.transmit.copy_to_bytes(app.transmit.remaining());
            app.observer.on_written(&octets);
            if !is_any {
                break;
            }
            rounds += 1;
            assert!(rounds < 10_000, "output without end");
            app.last_written = self.now;
            let is_lying = self.plan.liar == Some(app.side);
            let octets = if is_lying { liar::tamper(&octets, &mut self.rng) } else { octets };
            let wire = &mut self.wires[side];
            if wire.is_ended {
                continue;
            }
            let wait = self.plan.delay.mul_f64(f64::from(self.rng.octet()) / 255.0);
            let after = wire.chunks.back().map_or(self.now, |(at, _)| *at);
            wire.chunks.push_back((after.max(self.now + wait), octets));
        }
        if self.apps[side].engine.is_finished() {
            self.wires[side].is_ended = true;
        }
    }

    /// Gives some of the octets that `side` wrote to the other; `false` when there are none yet.
    fn deliver(&mut self, side: usize) -> bool {
        let to = 1 - side;
        if self.apps[to].engine.is_read_paused() {
            self.collect(to);
            assert!(!self.apps[to].engine.is_read_paused(), "reading stays paused with nothing to write");
        }
        let wire = &mut self.wires[side];
        if wire.stalled_until > self.now {
            return false;
        }
        let Some((at, chunk)) = wire.chunks.front_mut() else {
            let tells = wire.is_ended && !wire.is_end_told;
            if tells {
                wire.is_end_told = true;
                self.apps[to].engine.handle_eof(self.now);
            }
            return tells;
        };
        if *at > self.now {
            return false;
        }
        let most = if self.plan.crumbs { self.rng.pick(&[1, 7, 60, 3_000]) } else { 1 << 16 };
        let count = if self.rng.one_in(3) { 1 + self.rng.below(most) } else { most };
        let octets = chunk.split_to(count.min(chunk.len()));
        if chunk.is_empty() {
            wire.chunks.pop_front();
        }
        self.feed(to, &octets);
        true
    }

    fn feed(&mut self, to: usize, octets: &Bytes) {
        let app = &mut self.apps[to];
        if octets.is_empty() || app.engine.is_finished() {
            return;
        }
        app.last_heard = self.now;
        app.input.extend_from_slice(octets);
        while app.engine.handle_input(self.now, &mut app.input) == InputStatus::Blocked {
            let count = app.poll();
            assert!(count > 0 || !app.events.is_empty(), "input waits for events that are not there");
            // A bound of one still lets one frame's worth through.
            assert!(count <= app.engine.config().limits.pending_events + MOST_EVENTS, "{count} events");
            if count == 0 || matches!(app.events.back(), Some(amqp_transport::engine::Event::SaslInit { .. }))
            {
                while app.handle_event(&mut self.ledger) {}
            }
        }
        assert!(app.input.len() <= 1 << 16, "{} octets of one frame", app.input.len());
        let knew_patience = app.observer.peer_patience().is_some();
        app.observer.on_heard(octets);
        if !knew_patience {
            // From here on the peer may expect to hear us.
            app.last_written = self.now;
        }
    }

    /// Lets time pass, firing timers of both ends in their order.
    pub(crate) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        for _ in 0..100_000 {
            let others = self.other.iter().flat_map(|other| &other.apps);
            let next = self.apps.iter().chain(others).filter_map(|app| app.engine.poll_timeout()).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.pass_to(until);
                return;
            };
            self.pass_to(self.now.max(at));
            for side in 0..2 {
                self.fire(side);
                self.in_other(|world| world.fire(side));
            }
        }
        panic!("timers without end");
    }

    fn pass_to(&mut self, now: Instant) {
        self.now = now;
        let others = self.other.iter_mut().flat_map(|other| &mut other.apps);
        for app in self.apps.iter_mut().chain(others) {
            app.now = now;
        }
        self.apps[1].expire(&mut self.ledger);
        if let Some(desk) = &mut self.apps[1].desk {
            desk.expire(now, &mut self.ledger);
        }
        self.judge_patience();
        self.in_other(|world| world.judge_patience());
    }

    fn fire(&mut self, side: usize) {
        let app = &mut self.apps[side];
        if app.engine.poll_timeout().is_none_or(|at| at > self.now) {
            return;
        }
        let had_failed = app.engine.failure().is_some();
        app.engine.handle_timeout(self.now);
        let failure = app.engine.failure().filter(|_| !had_failed).cloned();
        if let Some(failure) = failure {
            self.ledger.course.has_timed_out = true;
            let silence = self.now - app.last_heard;
            let allowed = app.engine.config().idle_time_out;
            let is_due = match failure {
                ConnectionError::IdleTimeout => allowed.is_some_and(|allowed| silence >= allowed),
                ConnectionError::Timeout { .. } => true,
                _ => false,
            };
            assert!(is_due, "{:?} gave up after {silence:?}: {failure:?}", app.side);
        }
        self.collect(side);
    }

    // C-027: whoever has opened is heard within the time the peer allows.
    fn judge_patience(&self) {
        for app in &self.apps {
            let Some(patience) = app.observer.peer_patience() else { continue };
            let silence = self.now - app.last_written;
            // However little patience the peer has, there is a shortest interval (C-027).
            let is_patient = silence <= Duration::from_millis(patience.max(200).into());
            let may_write = app.observer.has_opened() && app.engine.failure().is_none();
            assert!(is_patient || !may_write, "{:?} was silent for {silence:?}", app.side);
        }
    }

    /// Lets everything under way arrive, looking at every event, until nothing moves. With `settles` the
    /// applications do all they owe.
    pub(crate) fn calm(&mut self, settles: bool) {
        for wire in &mut self.wires {
            wire.stalled_until = self.now;
        }
        for _ in 0..100_000 {
            let mut is_active = false;
            for side in 0..2 {
                self.take_links();
                let app = &mut self.apps[side];
                app.poll();
                while app.handle_event(&mut self.ledger) {
                    is_active = true;
                    app.poll();
                }
                self.take_links();
                let app = &mut self.apps[side];
                app.answer_all(&self.plan, &mut self.rng, &mut self.ledger);
                if settles {
                    app.settle_all(&mut self.rng, &mut self.ledger);
                }
                self.collect(side);
                while self.deliver(side) {
                    is_active = true;
                }
            }
            if is_active {
                continue;
            }
            let next = self.wires.iter().filter_map(|wire| wire.chunks.front()).map(|(at, _)| *at).min();
            match next {
                Some(at) => self.advance(at.saturating_duration_since(self.now)),
                None => return,
            }
        }
        panic!("the run does not come to rest");
    }

    /// Where the connection lives, both ends agree and then do all they owe.
    pub(crate) fn come_to_rest(&mut self, peers: Peers, is_last: bool) -> bool {
        let rests = peers == Peers::Honest && self.is_alive();
        if rests {
            self.judge_agreement();
            self.calm(true);
            self.await_answers();
            // Maps that are not whole are told in several rounds.
            for _ in 0..MOST_ROUNDS {
                if !is_last || self.apps[0].kept.is_empty() {
                    break;
                }
                self.apps[0].take_up_all(&self.plan, &mut self.rng, &mut self.ledger);
                self.calm(true);
            }
            self.judge_completion();
            self.judge_credit();
        }
        rests
    }

    /// Frames written by both ends of this connection.
    pub(crate) fn frames(&self) -> u64 {
        self.apps.iter().map(|app| app.observer.frames).sum()
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.apps.iter().all(|app| app.engine.failure().is_none()) && !self.ledger.course.is_cut
    }

    /// At rest both ends hold the same deliveries unsettled.
    pub(crate) fn judge_agreement(&self) {
        let [client, listener] = &self.apps;
        let mut mirrored: Vec<_> = listener
            .observer
            .unsettled()
            .into_iter()
            .map(|(ours, theirs, out, into)| (theirs, ours, into, out))
            .collect();
        mirrored.sort();
        assert_eq!(client.observer.unsettled(), mirrored, "the ends disagree on what is unsettled");
        for (sends, receives) in [(client, listener), (listener, client)] {
            for sender in sends.links.iter().filter(|link| link.is_sender && link.state == State::Open) {
                let is_other = |link: &&AppLink| !link.is_sender && link.number == sender.number;
                let Some(receiver) = receives.links.iter().find(is_other) else { continue };
                self.judge_maps(sender, receiver);
            }
        }
    }

    /// Both applications know of the same messages that they are unsettled.
    fn judge_maps(&self, sender: &AppLink, receiver: &AppLink) {
        let open = self.ledger.open_on(sender.number);
        let stray = receiver.held.iter().find(|held| !open.contains(&held.message));
        assert!(stray.is_none(), "held of {:?}, and settled by its sender: {stray:?}", sender.name);
        // Of what is awaited the sender may have heard the end; telling it waits for credit.
        let held: BTreeSet<_> =
            receiver.held.iter().chain(&receiver.awaited).map(|held| held.message).collect();
        let stray = open.iter().find(|number| self.ledger.messages[**number].is_settled_there);
        assert_eq!(stray, None, "settled by the receiver of {:?}, and open at its sender", sender.name);
        // What waits for credit has not come yet.
        let is_there = |number: &&usize| {
            let message = &self.ledger.messages[**number];
            message.is_delivered && !message.is_let_go
        };
        let stray = open.iter().filter(is_there).find(|number| !held.contains(number));
        assert_eq!(stray, None, "open on {:?}, and its receiver knows nothing of it", sender.name);
    }

    /// When all is settled, all that could be sent was, and nothing is left over.
    pub(crate) fn judge_completion(&self) {
        for app in &self.apps {
            for (_, _, outgoing, incoming) in app.observer.unsettled() {
                assert!(
                    outgoing.is_empty() && incoming.is_empty(),
                    "unsettled at last: {outgoing:?} {incoming:?}"
                );
            }
            let halfway = app.sessions.iter().find(|session| session.state != State::Open);
            assert!(halfway.is_none(), "{:?} waits for {halfway:?}", app.side);
            assert!(app.declared.is_empty(), "transactions under way: {:?}", app.declared);
            assert!(app.desk.as_ref().is_none_or(Desk::is_empty), "transactions that nobody ends");
            assert_eq!(app.engine.stats().partial_octets, 0, "{:?} counts octets of no message", app.side);
            for link in &app.links {
                assert!(!link.is_draining, "{:?} {:?} waits for the end of its drain", app.side, link.id);
                assert_eq!(link.state, State::Open, "{:?} waits for {:?}", app.side, link.id);
                assert!(link.queue.is_empty(), "{:?} {:?} was never told to go on", app.side, link.id);
                assert!(link.held.is_empty(), "{:?} {:?} holds {:?}", app.side, link.id, link.held);
                assert!(link.awaited.is_empty(), "{:?} {:?} awaits {:?}", app.side, link.id, link.awaited);
                let lost = self.ledger.messages.iter().position(|message| {
                    message.link == link.number
                        && (message.status == Status::Sent && (!message.is_settled || !message.is_delivered)
                            || message.status == Status::Settled && !message.is_delivered)
                });
                assert_eq!(lost, None, "a message without an end");
            }
        }
    }

    /// Answers to echoes wait for each other's interval.
    fn await_answers(&mut self) {
        let wait = self.apps[0].engine.config().limits.echo_interval;
        for _ in 0..3 {
            self.advance(wait);
            self.calm(true);
        }
    }

    /// At rest both ends know of the same credit, all that was asked is answered, and receivers know what there is.
    // L-018, L-024, L-030
    fn judge_credit(&mut self) {
        for app in &mut self.apps {
            app.ask_all();
        }
        self.calm(true);
        self.await_answers();
        for side in 0..2 {
            let (app, peer) = (&self.apps[side], &self.apps[1 - side]);
            let open = |link: &&AppLink| link.state == State::Open && !link.is_sender;
            for link in app.links.iter().filter(open) {
                assert!(link.asked.is_empty(), "{:?} was never answered: {:?}", link.id, link.asked);
                let said = self.ledger.links[link.number].available;
                assert_eq!(app.engine.link_available(link.id), said, "messages that wait on {:?}", link.id);
                let is_other = |other: &&AppLink| other.is_sender && other.number == link.number;
                let Some(sender) = peer.links.iter().find(is_other) else { continue };
                let known = peer.engine.link_credit(sender.id);
                assert_eq!(app.engine.link_credit(link.id), known, "the credit of {:?}", link.name);
            }
        }
    }

    /// Ends the run one of several ways and sees both ends finish.
    pub(crate) fn finish(&mut self) {
        match self.rng.below(6) {
            0 => self.cut(),
            1 => {
                for app in &mut self.apps {
                    app.close(&mut self.rng, &mut self.ledger);
                }
            }
            way => {
                let side = self.rng.below(2);
                if way > 3 {
                    self.apps[side].leave(&self.plan, &mut self.rng, &mut self.ledger, way == 5);
                    self.calm(true);
                }
                self.apps[side].close(&mut self.rng, &mut self.ledger);
            }
        }
        self.calm(false);
        self.see_end();
    }

    /// Both ends finish.
    fn see_end(&mut self) {
        for _ in 0..50 {
            if self.apps.iter().all(|app| app.engine.is_finished()) {
                break;
            }
            for app in &mut self.apps {
                app.close(&mut self.rng, &mut self.ledger);
            }
            // What a lie swallowed is waited for, but not for ever.
            let next = self.apps.iter().filter_map(|app| app.engine.poll_timeout()).min();
            self.advance(next.map_or(Duration::ZERO, |at| at.saturating_duration_since(self.now)));
            self.calm(false);
        }
        for app in &self.apps {
            assert!(app.engine.is_finished(), "{:?} does not end: {:?}", app.side, app.engine.failure());
            assert!(app.closed.is_some(), "{:?} was never told of the end", app.side);
            assert_eq!(app.engine.poll_timeout(), None, "{:?} waits after its end", app.side);
        }
    }
}

/// What is kept of links is kept by both ends, not by their connections.
fn swap_kept(some: &mut [App; 2], others: &mut [App; 2]) {
    for (one, other) in some.iter_mut().zip(others) {
        std::mem::swap(&mut one.kept, &mut other.kept);
        std::mem::swap(&mut one.termini, &mut other.termini);
    }
}

/// What one poll for output may add to what waited: a batch of large messages and the answers to what was just read.
const MOST_AT_ONCE: usize = 1 << 20;
/// The smallest bound on messages that a receiver of a run has.
const SMALLEST_BOUND: usize = 2_000;
/// Rounds in which maps that are not whole are told: more than the deliveries of a run take in frames of 512 octets.
const MOST_ROUNDS: u32 = 16;
/// Events that a single frame may cause.
const MOST_EVENTS: usize = 2_000;
