//! The simulator: two engines, two applications that do anything, wires that chop, delay, stall and break, and a clock,
//! all driven by one seed. No sockets, no runtime, no real time.
//!
//! [`run`] goes through: a wild phase; rest, where both ends must agree on what is unsettled; settling down, where all
//! that waits must go through; and an end. `Observer` judges each frame on the wire by its own
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
mod world;

use std::time::Instant;

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
    /// Runs that came to rest with the connection open.
    pub rests: u64,
}

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
    world.run_wild();
    world.calm(false);
    let mut rests = 0;
    if peers == Peers::Honest && world.is_alive() {
        world.judge_agreement();
        world.calm(true);
        world.judge_completion();
        rests = 1;
    }
    world.finish();
    Tally {
        frames: world.apps.iter().map(|app| app.observer.frames).sum(),
        deliveries: world.ledger.deliveries,
        outcomes: world.ledger.outcomes,
        rests,
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
