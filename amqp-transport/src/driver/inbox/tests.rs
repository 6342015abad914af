use std::time::Instant;

use amqp_codec::Source;
use bytes::{Buf, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::driver::clock;
use crate::driver::listening::Role;
use crate::engine::{
    AttachReply, Connection, ConnectionConfig, Event, InputStatus, LinkConfig, Outgoing, Payload,
    SessionConfig, Side, Transmit,
};

#[test]
fn a_link_detached_before_it_receives_takes_no_share_of_the_others() {
    let config = ConnectionConfig::new("c");
    let mut state = State::new(Connection::new(Side::Client, config, clock::now()), Role::Client);
    let add = |state: &mut State, index| state.add_link(LinkId { index, generation: 1 }, LinkPhase::Attached);
    let lasting = add(&mut state, 0);
    state.start_granting(lasting, CreditMode::Auto(100), Drain::Off);
    let share = state.share();
    // What the driver hears between the attach's answer and the first credit.
    let brief = add(&mut state, 1);
    state.finish_link(brief, DetachReason::ByPeer, WasUsable::Yes);
    state.start_granting(brief, CreditMode::Auto(100), Drain::Off);
    assert_eq!((state.granting, state.share()), (1, share));
    // One that receives has its share until it ends.
    let other = add(&mut state, 2);
    state.start_granting(other, CreditMode::Auto(100), Drain::Off);
    assert_eq!((state.granting, state.share()), (2, share / 2));
    state.finish_link(other, DetachReason::ByPeer, WasUsable::Yes);
    assert_eq!((state.granting, state.share()), (1, share));
}

/// A peer that uses all the credit it is given, and nothing beyond it, and an application that takes messages when it
/// likes. No octet is delayed but where the peer sends before it reads.
struct Pair {
    state: State,
    peer: Connection,
    now: Instant,
    to_us: BytesMut,
    links: Vec<TestLink>,
    /// The model: what every message that waits counts, of all links.
    held: usize,
}

struct TestLink {
    key: usize,
    theirs: LinkId,
    sent: u32,
    taken: u32,
    released: u32,
}

impl Pair {
    /// Links of these modes into an application whose bound is `bound` octets; no message is larger than `largest`.
    fn new(modes: &[CreditMode], bound: usize, largest: u64) -> Self {
        let now = clock::now();
        let mut config = ConnectionConfig::new("us");
        config.limits.inbox_bytes = bound;
        let mut ours = Connection::new(Side::Client, config, now);
        let peer = Connection::new(Side::Listener, ConnectionConfig::new("peer"), now);
        ours.open().unwrap();
        let mut pair = Self {
            state: State::new(ours, Role::Client),
            peer,
            now,
            to_us: BytesMut::new(),
            links: Vec::new(),
            held: 0,
        };
        pair.exchange();
        let session = pair.state.engine.begin(SessionConfig::default()).unwrap();
        let mut ids = Vec::new();
        for number in 0..modes.len() {
            let mut link = LinkConfig::receiver(format!("{number}"), Source::default());
            link.max_message_size = Some(largest);
            ids.push(pair.state.engine.attach(session, link).unwrap());
        }
        let mut theirs = pair.exchange();
        theirs.sort_by_key(|id| id.index);
        assert_eq!(theirs.len(), modes.len());
        for ((ours, theirs), mode) in ids.into_iter().zip(theirs).zip(modes) {
            let key = pair.state.add_link(ours, LinkPhase::Attached);
            pair.links.push(TestLink { key, theirs, sent: 0, taken: 0, released: 0 });
            pair.state.start_granting(key, *mode, Drain::Off);
        }
        pair.exchange();
        pair
    }

    /// Lets all octets arrive, both ways; the links that the peer accepted meanwhile.
    fn exchange(&mut self) -> Vec<LinkId> {
        let mut accepted = Vec::new();
        loop {
            let mut to_peer = output(&mut self.state.engine, self.now);
            let to_us = output(&mut self.peer, self.now);
            self.to_us.extend_from_slice(&to_us);
            let is_over = to_peer.is_empty() && self.to_us.is_empty();
            assert_ne!(self.peer.handle_input(self.now, &mut to_peer), InputStatus::Blocked);
            assert_ne!(self.state.engine.handle_input(self.now, &mut self.to_us), InputStatus::Blocked);
            while let Some(event) = self.state.engine.poll_event() {
                assert!(!matches!(event, Event::LinkDetached { .. } | Event::Closed { .. }), "{event:?}");
                self.hear(event);
            }
            while let Some(event) = self.peer.poll_event() {
                match event {
                    Event::Opened { .. } => self.peer.open().unwrap(),
                    Event::SessionRequested { session, .. } => {
                        self.peer.accept_session(session, SessionConfig::default()).unwrap();
                    }
                    Event::AttachRequested { link, attach, .. } => {
                        self.peer.accept_attach(link, AttachReply::granting(&attach)).unwrap();
                        accepted.push(link);
                    }
                    Event::Settled { link, state, .. } => {
                        assert_eq!(state, Some(DeliveryState::Released), "nobody else settles anything");
                        let link = self.links.iter_mut().find(|known| known.theirs == link).unwrap();
                        link.released += 1;
                    }
                    Event::LinkDetached { .. } | Event::Closed { .. } => panic!("detached: {event:?}"),
                    _ => {}
                }
            }
            if is_over {
                return accepted;
            }
        }
    }

    /// One event of ours. A delivery is held or given back, as the model says.
    fn hear(&mut self, event: Event) {
        let Event::Delivery { link, delivery } = event else { return };
        let octets = cost(&delivery);
        let bound = self.state.engine.config().limits.inbox_bytes;
        // One message is always held, however large it is.
        if self.held == 0 || self.held + octets <= bound * CEILING {
            self.held += octets;
        }
        self.state.on_delivery(link, delivery);
        self.judge();
    }

    fn judge(&self) {
        let slots = self.links.iter().map(|link| self.state.links.get(link.key).unwrap());
        let waiting = slots.clone().map(|slot| slot.inbox.octets()).sum::<usize>();
        assert_eq!((self.state.inbox_octets, waiting), (self.held, self.held), "what waits");
        for slot in slots {
            assert!(
                matches!(slot.phase, LinkPhase::Attached),
                "detached, though its peer used its credit only"
            );
        }
    }

    /// The peer sends up to so many messages of so many octets, as far as its credit goes; they arrive later.
    fn send(&mut self, number: usize, count: usize, octets: usize) {
        let place = number % self.links.len();
        let link = &mut self.links[place];
        let message = vec![0; octets];
        for _ in 0..count {
            let outgoing = Outgoing::new(Payload::Slice(&message), Settlement::Unsettled, 0);
            if self.peer.try_send(link.theirs, outgoing).is_err() {
                return;
            }
            link.sent += 1;
        }
    }

    /// The application takes up to so many messages.
    fn take(&mut self, number: usize, count: usize) -> usize {
        let place = number % self.links.len();
        let link = &mut self.links[place];
        for taken in 0..count {
            let Some(delivery) = self.state.take(link.key) else { return taken };
            link.taken += 1;
            self.held -= cost(&delivery);
        }
        count
    }

    /// The octets that may still come by the credit the peer has, if all messages are so large, with those that wait.
    fn promised(&self, octets: usize) -> usize {
        let credit: u32 = self.links.iter().map(|link| self.peer.link_credit(link.theirs)).sum();
        let each = octets.saturating_add(usize::try_from(DELIVERY_COST).unwrap());
        self.held.saturating_add(each.saturating_mul(usize::try_from(credit).unwrap()))
    }
}

fn output(engine: &mut Connection, now: Instant) -> BytesMut {
    let mut transmit = Transmit::new();
    let mut octets = BytesMut::new();
    while engine.poll_transmit(now, &mut transmit) {
        octets.extend_from_slice(&transmit.copy_to_bytes(transmit.remaining()));
    }
    octets
}

#[derive(Clone, Debug)]
enum Step {
    Send { link: usize, count: usize, octets: usize },
    Take { link: usize, count: usize },
    Exchange,
}

fn modes() -> impl Strategy<Value = Vec<CreditMode>> {
    let mode =
        prop_oneof![(1u32..300).prop_map(CreditMode::Auto), (1u64..100_000).prop_map(CreditMode::Bytes),];
    proptest::collection::vec(mode, 1..4)
}

fn steps(octets: impl Strategy<Value = usize> + Clone) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..4, 1usize..100, octets)
            .prop_map(|(link, count, octets)| Step::Send { link, count, octets }),
        2 => (0usize..4, 1usize..60).prop_map(|(link, count)| Step::Take { link, count }),
        3 => Just(Step::Exchange),
    ];
    proptest::collection::vec(step, 1..60)
}

fn run(pair: &mut Pair, step: &Step) {
    match *step {
        Step::Send { link, count, octets } => pair.send(link, count, octets),
        Step::Take { link, count } => {
            pair.take(link, count);
        }
        Step::Exchange => {
            pair.exchange();
        }
    }
    pair.judge();
}

const LARGEST: usize = 8_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    // L-029: whatever the sizes are, messages wait within the ceiling, each is taken, given back or waits, no link is lost,
    // and once the application takes everything, every link goes on.
    #[test]
    fn whoever_uses_only_its_credit_is_never_detached_and_goes_on(
        modes in modes(),
        bound in 1usize..60_000,
        steps in steps(prop_oneof![0usize..50, 0usize..LARGEST]),
    ) {
        let mut pair = Pair::new(&modes, bound, LARGEST as u64);
        for step in &steps {
            run(&mut pair, step);
        }
        pair.exchange();
        // The slow application takes what there is: each link then gets one message more, again and again.
        for _ in 0..5 {
            for number in 0..pair.links.len() {
                while pair.take(number, 100) > 0 {}
            }
            pair.exchange();
            for number in 0..pair.links.len() {
                let before = pair.links[number].sent;
                pair.send(number, 1, LARGEST);
                prop_assert_eq!(pair.links[number].sent, before + 1, "link {} stalls", number);
                pair.exchange();
            }
        }
        for link in &pair.links {
            let waiting = pair.state.links.get(link.key).unwrap().inbox.deliveries.len();
            let known = link.taken + link.released + u32::try_from(waiting).unwrap();
            prop_assert_eq!(link.sent, known, "messages that are neither held nor given back");
        }
    }

    // Of messages of one size no more is promised than is held, so that none is given back.
    #[test]
    fn no_more_credit_is_given_than_finds_room(
        modes in modes(),
        bound in 1usize..60_000,
        octets in 0usize..LARGEST,
        shape in steps(Just(0)),
    ) {
        let mut pair = Pair::new(&modes, bound, octets.max(1) as u64);
        let room = (bound * CEILING).max(pair.promised_at_least(octets));
        for step in &shape {
            let step = match *step {
                Step::Send { link, count, .. } => Step::Send { link, count, octets },
                ref other => other.clone(),
            };
            run(&mut pair, &step);
            prop_assert!(pair.promised(octets) <= room, "{} octets of {room}", pair.promised(octets));
        }
        pair.exchange();
        prop_assert!(room > bound * CEILING || pair.links.iter().all(|link| link.released == 0));
    }
}

impl Pair {
    /// Every link gets one message at least, and one more than that may be on its way.
    fn promised_at_least(&self, octets: usize) -> usize {
        let each = octets + usize::try_from(DELIVERY_COST).unwrap();
        2 * each * self.links.len()
    }
}
