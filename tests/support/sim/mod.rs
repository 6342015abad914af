//! The simulator: two engines, two applications that do anything, wires that chop, delay, stall and break, and a clock,
//! all driven by one seed. No sockets, no runtime, no real time.
//!
//! [`run`] goes through: a wild phase; rest, where both ends must agree on what is unsettled; settling down, where all
//! that waits must go through; and an end; and then, for what was left open, another connection. Links that both ends keep are resumed
//! on the same connection or the next, the others' messages said again: the listener keeps its own in the library's store, for as long
//! as their termini last, and takes links from a connection that is not known to be over. Messages are posted under
//! transactions, which a coordinator ends. `Observer` judges each frame on the wire by its own
//! reading of the protocol, `Ledger` each event by what the applications did.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a run that cannot go on fails the test that started it"
)]

mod app;
mod ledger;
mod liar;
mod observer;
mod plan;
pub mod rng;
mod termini;
mod transactions;
mod world;

use std::time::Instant;

use ledger::Ledger;
pub use rng::Rng;
use world::World;

/// What a run came to: for tests that want to see that something was tested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Frames written by both ends.
    pub frames: u64,
    /// Messages that arrived.
    pub deliveries: u64,
    /// Outcomes that reached their senders.
    pub outcomes: u64,
    /// Connections that came to rest while they were open.
    pub rests: u64,
    /// Links resumed with something unsettled.
    pub resumptions: u64,
    /// Deliveries of before that then went on, came again or were settled.
    pub resumed: u64,
    /// Transactions that took effect.
    pub commits: u64,
    /// Links taken from another connection of the same peer.
    pub thefts: u64,
    /// Links kept that expired or made room for others.
    pub expiries: u64,
    /// Connections made: more than runs where what was left open was said again.
    pub connections: u64,
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            deliveries: self.deliveries + other.deliveries,
            outcomes: self.outcomes + other.outcomes,
            rests: self.rests + other.rests,
            resumptions: self.resumptions + other.resumptions,
            resumed: self.resumed + other.resumed,
            commits: self.commits + other.commits,
            thefts: self.thefts + other.thefts,
            expiries: self.expiries + other.expiries,
            connections: self.connections + other.connections,
        }
    }
}

/// How often the peers of one run connect.
const MOST_CONNECTIONS: u64 = 3;

/// Whether the peers of a run keep to the rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peers {
    /// Both do.
    Honest,
    /// What one of them says is tampered with.
    OneLies,
}

/// One run, wholly determined by its seed; `start` is any instant.
///
/// # Panics
/// When an invariant is broken. The seed is printed then.
pub fn run(seed: u64, peers: Peers, start: Instant) -> Tally {
    let _guard = SeedPrinter { seed, peers };
    let mut world = World::new(seed, peers == Peers::OneLies, start);
    let (mut frames, mut connections, mut rests) = (0, 1, 0);
    loop {
        let is_last = connections == MOST_CONNECTIONS;
        world.run_wild();
        // Now and then the next connection is there before the end of this one is noticed.
        if connections + 1 < MOST_CONNECTIONS && peers == Peers::Honest && world.is_left_behind() {
            connections += 1;
            frames += world.frames();
            world.connect_beside();
            continue;
        }
        world.calm(false);
        rests += u64::from(world.come_to_rest(peers, is_last));
        world.finish();
        frames += world.frames();
        world.end_other();
        // Honest peers connect again for what is left open; the last time nothing is broken any more.
        if peers == Peers::OneLies || is_last || !world.has_unknown() {
            break;
        }
        connections += 1;
        world.connect_anew(connections == MOST_CONNECTIONS);
    }
    if connections == MOST_CONNECTIONS {
        world.judge_repetition();
    }
    world.ledger.judge_transactions();
    let Ledger { deliveries, outcomes, resumptions, resumed, thefts, expiries, commits, .. } = world.ledger;
    Tally {
        frames,
        connections,
        deliveries,
        outcomes,
        rests,
        resumptions,
        resumed,
        thefts,
        expiries,
        commits,
    }
}

/// Says which seed was running when a run panics.
struct SeedPrinter {
    seed: u64,
    peers: Peers,
}

impl Drop for SeedPrinter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("simulation failed: replay with AMQP_SIM_SEED={} ({:?})", self.seed, self.peers);
        }
    }
}
