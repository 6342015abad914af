//! Thousands of simulated conversations, each decided by its seed.
//!
//! `AMQP_SIM_SEED=n` replays one seed; `AMQP_SIM_SEEDS=n` runs so many instead of the usual number, from
//! `AMQP_SIM_FIRST` on.

use std::env;
use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use workspace_tests::sim::{Peers, Tally, run};

#[test]
fn honest_peers_understand_each_other_whatever_happens() {
    let (count, tally) = run_all(Peers::Honest, 10_000);
    // What is not exercised is not tested.
    assert!(tally.frames >= count * 20, "{tally:?}");
    if count >= 100 {
        assert!(tally.deliveries >= count && tally.outcomes >= count / 2, "{tally:?}");
        assert!(tally.rests >= count / 3, "{tally:?}");
        assert!(tally.connections >= count + count / 10, "nobody connected again: {tally:?}");
        assert!(tally.thefts >= count / 40 && tally.expiries >= count / 10, "{tally:?}");
        assert!(tally.commits >= count / 40, "{tally:?}");
        assert!(tally.resumptions >= count / 10 && tally.resumed >= count / 10, "{tally:?}");
    }
}

#[test]
fn a_lying_peer_breaks_nothing_but_its_own_scope() {
    run_all(Peers::OneLies, 10_000);
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a run's own clock")]
fn run_all(peers: Peers, usual: u64) -> (u64, Tally) {
    let start = Instant::now();
    let seeds = seeds(usual);
    let count = seeds.end - seeds.start;
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let mut total = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|worker| {
                let seeds = seeds.clone().skip(worker).step_by(workers);
                scope.spawn(move || {
                    seeds.fold(Tally::default(), |total, seed| total + run(seed, peers, start))
                })
            })
            .collect();
        for worker in workers {
            total = total + worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    eprintln!("{peers:?}: {count} runs, {total:?}");
    (count, total)
}

fn seeds(usual: u64) -> Range<u64> {
    let number = |name| env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    if let Some(seed) = number("AMQP_SIM_SEED") {
        return seed..seed + 1;
    }
    let first = number("AMQP_SIM_FIRST").unwrap_or(0);
    first..first + number("AMQP_SIM_SEEDS").unwrap_or(usual)
}
