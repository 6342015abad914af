//! Random use of several links over narrow windows and small frames: every message arrives once, in its link's order,
//! and every unsettled one is settled once, with the outcome its receiver gave.

use std::collections::HashMap;

use amqp_codec::DeliveryState;
use amqp_transport::engine::{Event, LinkId, Outgoing, Settlement};
use bytes::Bytes;

use crate::pair::{Pair, config};

/// What a link has been through.
#[derive(Default)]
struct Ledger {
    sent: Vec<(u32, usize, Settlement)>,
    received: usize,
    given: HashMap<u32, DeliveryState>,
    settled: usize,
}

#[test]
fn random_traffic_is_neither_lost_nor_doubled() {
    for seed in 1..40 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut client, mut server) = (config("c"), config("s"));
    client.max_frame_size = 512 + u32::try_from(random(600)).unwrap();
    server.max_frame_size = 512 + u32::try_from(random(600)).unwrap();
    server.limits.pending_events = 5;
    let mut pair = Pair::new(client, server).seeded(seed);
    pair.server.session.incoming_window = 1 + u32::try_from(random(20)).unwrap();
    pair.server.session.next_outgoing_id = u32::MAX - 3;
    pair.client.engine.open().unwrap();
    pair.run();
    let session = pair.session();
    let links: Vec<(LinkId, LinkId)> =
        ["a", "b", "c"].into_iter().map(|name| pair.sending(session, name, 5)).collect();
    let mut ledgers: HashMap<LinkId, Ledger> =
        links.iter().map(|(_, theirs)| (*theirs, Ledger::default())).collect();
    let ours: HashMap<LinkId, LinkId> = links.iter().copied().collect();
    let mut held = Vec::new();
    let mut user = 0;

    for _ in 0..600 {
        let (link, theirs) = links[usize::try_from(random(3)).unwrap()];
        match random(8) {
            0..=3 => {
                let size =
                    usize::try_from(if random(5) == 0 { random(20_000) } else { random(300) }).unwrap();
                let settlement = if random(3) == 0 { Settlement::Settled } else { Settlement::Unsettled };
                let mut payload = vec![0; size.max(4)];
                payload[..4].copy_from_slice(&u32::to_be_bytes(user));
                let outgoing = Outgoing::new(Bytes::from(payload), settlement, user);
                if pair.client.engine.try_send(link, outgoing).is_ok() {
                    ledgers.get_mut(&theirs).unwrap().sent.push((user, size.max(4), settlement));
                    user += 1;
                }
            }
            4 => pair.server.engine.set_credit(theirs, u32::try_from(random(8)).unwrap()).unwrap(),
            5 => pair.run(),
            _ => settle_some(&mut pair, &mut held, &mut ledgers, random(3)),
        }
        collect(&mut pair, &mut held, &mut ledgers, &ours);
    }
    for (_, theirs) in &links {
        pair.server.engine.set_credit(*theirs, 100).unwrap();
    }
    pair.run();
    collect(&mut pair, &mut held, &mut ledgers, &ours);
    settle_some(&mut pair, &mut held, &mut ledgers, 0);
    pair.run();
    collect(&mut pair, &mut held, &mut ledgers, &ours);
    for ledger in ledgers.values() {
        assert_eq!(ledger.received, ledger.sent.len(), "seed {seed}");
        let unsettled = ledger.sent.iter().filter(|(_, _, how)| *how == Settlement::Unsettled).count();
        assert_eq!(ledger.settled, unsettled, "seed {seed}");
    }
}

/// Settles what is held, from the back or the front, and leaves a few.
fn settle_some(
    pair: &mut Pair,
    held: &mut Vec<(LinkId, amqp_transport::engine::DeliveryId, u32)>,
    ledgers: &mut HashMap<LinkId, Ledger>,
    leave: u64,
) {
    while held.len() > usize::try_from(leave).unwrap() {
        let (link, id, user) = if leave == 1 { held.remove(0) } else { held.pop().unwrap() };
        let state = if user % 3 == 0 { DeliveryState::Released } else { DeliveryState::Accepted };
        pair.server.engine.settle(link, id, state.clone(), Settlement::Settled).unwrap();
        ledgers.get_mut(&link).unwrap().given.insert(user, state);
    }
}

fn collect(
    pair: &mut Pair,
    held: &mut Vec<(LinkId, amqp_transport::engine::DeliveryId, u32)>,
    ledgers: &mut HashMap<LinkId, Ledger>,
    ours: &HashMap<LinkId, LinkId>,
) {
    while let Some((link, delivery)) = pair.server.delivery() {
        let ledger = ledgers.get_mut(&link).unwrap();
        let (user, size, settlement) = ledger.sent[ledger.received];
        ledger.received += 1;
        assert_eq!(delivery.message[..4], user.to_be_bytes());
        assert_eq!(delivery.message.len(), size);
        assert_eq!(delivery.is_settled, settlement == Settlement::Settled);
        if !delivery.is_settled {
            held.push((link, delivery.id, user));
        }
    }
    for event in pair.client.events.drain(..) {
        match event {
            Event::Settled { link, user, state } => {
                let ledger = ledgers.get_mut(&ours[&link]).unwrap();
                assert_eq!(ledger.given.remove(&user), state);
                ledger.settled += 1;
            }
            Event::LinkDetached { .. } | Event::SessionEnded { .. } | Event::Closed { .. } => {
                panic!("{event:?}")
            }
            _ => {}
        }
    }
}
