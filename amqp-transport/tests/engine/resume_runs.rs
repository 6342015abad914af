//! Links that are cut at any octet and resumed, again and again, until everything has ended: each run is decided by its
//! seed. `AMQP_RESUME_SEED=n` replays one, `AMQP_RESUME_SEEDS=n` runs so many.

use std::collections::BTreeMap;

use amqp_codec::{
    DeliveryState, DeliveryTag, Message, Modified, ReceiverSettleMode, Rejected, Role, to_bytes,
};
use amqp_transport::ConnectionError;
use amqp_transport::engine::{
    AttachReply, DeliveryId, DetachKind, Event, LinkConfig, LinkId, Outgoing, Retention, Settlement,
    SuspendedLink,
};
use bytes::Bytes;

use crate::pair::{End, Pair, config, source, target};

const MESSAGES: u32 = 12;
const KEEP: Retention = Retention::Keep { payload_octets: 1 << 20 };

struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end.max(1)
    }
}

/// A delivery in the hands of the receiving application.
struct Held {
    tag: DeliveryTag,
    number: u32,
    /// Its id on the link that is attached, if it is resumed there.
    id: Option<DeliveryId>,
    told: Option<DeliveryState>,
}

/// What is true, whatever happens to connections.
struct Truth {
    mode: ReceiverSettleMode,
    /// Next message to be sent.
    next: u32,
    delivered: BTreeMap<u32, u32>,
    given: BTreeMap<u32, Vec<DeliveryState>>,
    settled: BTreeMap<u32, DeliveryState>,
    held: Vec<Held>,
    cuts: u32,
}

fn payload(number: u32) -> Bytes {
    let size = if number.is_multiple_of(3) { 2_500 } else { 20 };
    let mut octets = number.to_be_bytes().to_vec();
    octets.resize(size, u8::try_from(number).unwrap());
    to_bytes(&Message::data(octets))
}

fn outcome(rng: &mut Rng) -> DeliveryState {
    match rng.below(4) {
        0 => DeliveryState::Released,
        1 => DeliveryState::Rejected(Rejected { error: None }),
        2 => DeliveryState::Modified(Modified::default()),
        _ => DeliveryState::Accepted,
    }
}

/// One connection: both ends' link, and where each end stands.
struct Run {
    pair: Pair,
    /// Whether the client is the sender.
    client_sends: bool,
    sender: Option<LinkId>,
    receiver: Option<LinkId>,
    /// What is left of either end's link once it is over.
    left: [Option<SuspendedLink>; 2],
}

impl Run {
    fn end(&mut self, sends: bool) -> &mut End {
        if sends == self.client_sends { &mut self.pair.client } else { &mut self.pair.server }
    }

    /// Opens a connection and asks for the link; the answer comes in its course.
    fn start(rng: &mut Rng, truth: &Truth, left: [Option<SuspendedLink>; 2]) -> Self {
        let sized = |container, rng: &mut Rng| {
            let mut config = config(container);
            config.max_frame_size = if rng.below(2) == 0 { 700 } else { 4_096 };
            config
        };
        let mut pair = Pair::opened_with(sized("c", rng), sized("s", rng)).seeded(rng.below(1 << 30));
        let session = pair.session();
        pair.server.is_accepting = false;
        let client_sends = rng.below(2) == 0;
        let [from, to] = left;
        let mut link = if client_sends {
            LinkConfig::sender("L", target("q"))
        } else {
            LinkConfig::receiver("L", source("q"))
        };
        link.retention = KEEP;
        link.rcv_settle_mode = truth.mode;
        let (ours, theirs) = if client_sends { (from, to) } else { (to, from) };
        link.resume = ours.map(Box::new);
        let id = pair.client.engine.attach(session, link).unwrap();
        let mut run = Self { pair, client_sends, sender: None, receiver: None, left: [None, None] };
        if client_sends {
            (run.sender, run.left[1]) = (Some(id), theirs);
        } else {
            (run.receiver, run.left[0]) = (Some(id), theirs);
        }
        run
    }

    /// Looks at all that both ends have told.
    fn look(&mut self, truth: &mut Truth) {
        for sends in [true, false] {
            let now = self.pair.now;
            self.end(sends).pump(now);
            while let Some(event) = self.end(sends).events.pop_front() {
                self.hear(sends, event, truth);
            }
        }
    }

    fn hear(&mut self, sends: bool, event: Event, truth: &mut Truth) {
        match event {
            Event::AttachRequested { link, attach, .. } => {
                let mut reply = AttachReply::granting(&attach);
                reply.retention = KEEP;
                let place = usize::from(!sends);
                reply.resume = self.left[place].clone().map(Box::new);
                // Given up before it was answered.
                if self.end(sends).engine.accept_attach(link, reply).is_err() {
                    return;
                }
                self.left[place] = None;
                if attach.role == Role::Sender {
                    self.receiver = Some(link);
                } else {
                    self.sender = Some(link);
                }
            }
            Event::Delivery { delivery, .. } => {
                let message =
                    Message::decode(&delivery.message, &amqp_codec::DecodeLimits::message()).unwrap();
                let body = message.body_bytes().unwrap();
                let number = u32::from_be_bytes(body[..4].try_into().unwrap());
                assert_eq!(delivery.message, payload(number), "message {number} arrived differently");
                let count = truth.delivered.entry(number).or_default();
                *count += 1;
                // Whoever settles at once may lose an outcome with the connection, and hear the message again.
                let allowed = if truth.mode == ReceiverSettleMode::Second { 1 } else { 1 + truth.cuts };
                assert!(*count <= allowed, "message {number} came {count} times");
                truth.held.push(Held { tag: delivery.tag, number, id: Some(delivery.id), told: None });
            }
            Event::DeliveryResumed { delivery, tag, .. } => {
                let held = truth.held.iter_mut().find(|held| held.tag == tag).unwrap();
                held.id = Some(delivery);
            }
            Event::SettledBefore { tag, .. } => truth.held.retain(|held| held.tag != tag),
            Event::RemoteSettled { delivery, .. } => truth.held.retain(|held| held.id != Some(delivery)),
            Event::Settled { user, state, .. } => {
                let state = state.unwrap();
                let given = truth.given.get(&user).is_some_and(|given| given.contains(&state));
                assert!(given, "message {user} settled with {state:?}, which nobody gave");
                assert!(truth.settled.insert(user, state).is_none(), "message {user} settled twice");
            }
            Event::Unresolved { user, .. } => panic!("message {user} was kept, and is unresolved"),
            Event::LinkSuspended { state, .. } => {
                self.left[usize::from(!sends)] = Some(*state);
                if sends {
                    self.sender = None;
                } else {
                    self.receiver = None;
                }
            }
            _ => {}
        }
    }

    /// One random step of an application or the wire.
    fn step(&mut self, rng: &mut Rng, truth: &mut Truth) {
        match rng.below(6) {
            0 | 1 => {
                if let Some(link) = self.sender
                    && truth.next < MESSAGES
                {
                    let (number, octets) = (truth.next, payload(truth.next));
                    let outgoing = Outgoing::new(octets, Settlement::Unsettled, number);
                    if self.end(true).engine.try_send(link, outgoing).is_ok() {
                        truth.next += 1;
                    }
                }
            }
            2 => {
                if let Some(link) = self.receiver {
                    let _ = self.end(false).engine.set_credit(link, 3);
                }
            }
            3 => self.decide(rng, truth),
            _ => {
                for sends in [true, false] {
                    let now = self.pair.now;
                    while self.end(sends).write_once(now) {}
                    let count = usize::try_from(rng.below(900)).unwrap();
                    let wire = &mut self.end(sends).wire;
                    let octets: Vec<u8> = wire.drain(..count.min(wire.len())).collect();
                    let _ = self.end(!sends).feed(now, &octets);
                }
            }
        }
        self.look(truth);
    }

    /// The receiving application makes up its mind about one message.
    fn decide(&mut self, rng: &mut Rng, truth: &mut Truth) {
        let Some(link) = self.receiver else { return };
        let waiting: Vec<usize> = (0..truth.held.len())
            .filter(|at| truth.held[*at].told.is_none() && truth.held[*at].id.is_some())
            .collect();
        let Some(at) = waiting.get(usize::try_from(rng.below(waiting.len() as u64)).unwrap()).copied() else {
            return;
        };
        let state = outcome(rng);
        let id = truth.held[at].id.unwrap();
        let settlement = match truth.mode {
            ReceiverSettleMode::First => Settlement::Settled,
            ReceiverSettleMode::Second => Settlement::Unsettled,
        };
        if self.end(false).engine.settle(link, id, state.clone(), settlement).is_ok() {
            truth.given.entry(truth.held[at].number).or_default().push(state.clone());
            if settlement == Settlement::Settled {
                truth.held.remove(at);
            } else {
                truth.held[at].told = Some(state);
            }
        }
    }

    /// Ends the connection here and now, or only the link; what is left of both ends.
    fn tear(mut self, rng: &mut Rng, truth: &mut Truth) -> [Option<SuspendedLink>; 2] {
        if rng.below(4) == 0
            && let Some(link) = self.sender
        {
            let _ = self.end(true).engine.detach(link, DetachKind::Suspended, None);
            self.pair.run();
            self.look(truth);
        }
        truth.cuts += 1;
        for sends in [true, false] {
            self.end(sends).engine.abort(ConnectionError::EndOfStream);
        }
        self.look(truth);
        for held in &mut truth.held {
            held.id = None;
        }
        // Some minds are made up while the link is away.
        if let Some(left) = &mut self.left[1]
            && let Some(held) = truth.held.iter_mut().find(|held| held.told.is_none())
            && rng.below(2) == 0
        {
            let state = outcome(rng);
            assert!(left.set_state(&held.tag, state.clone()), "held, and not in what is left");
            truth.given.entry(held.number).or_default().push(state.clone());
            held.told = Some(state);
        }
        self.left
    }
}

fn run(seed: u64) {
    let mut rng = Rng(seed);
    let mode = if rng.below(2) == 0 { ReceiverSettleMode::First } else { ReceiverSettleMode::Second };
    let mut truth = Truth {
        mode,
        next: 0,
        delivered: BTreeMap::new(),
        given: BTreeMap::new(),
        settled: BTreeMap::new(),
        held: Vec::new(),
        cuts: 0,
    };
    let mut left = [None, None];
    for connection in 0.. {
        assert!(connection < 400, "no end");
        let mut run = Run::start(&mut rng, &truth, left);
        let steps = rng.below(if connection < 8 { 60 } else { 2_000 });
        for _ in 0..steps {
            run.step(&mut rng, &mut truth);
        }
        let is_over = truth.settled.len() == usize::try_from(MESSAGES).unwrap() && truth.held.is_empty();
        if is_over {
            break;
        }
        left = run.tear(&mut rng, &mut truth);
    }
    assert_eq!(truth.delivered.len(), usize::try_from(MESSAGES).unwrap(), "a message was lost");
}

// D-022, D-030, R-02 to R-13: at least once, or exactly once, over any number of connections.
#[test]
fn links_cut_at_any_octet_lose_nothing_and_double_nothing_that_the_mode_forbids() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("AMQP_RESUME_SEED") {
        run(seed);
        return;
    }
    for seed in 0..number("AMQP_RESUME_SEEDS").unwrap_or(200) {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "replay with AMQP_RESUME_SEED={seed}");
    }
}
