//! The codec alone, one thread: our encoders and decoders against fe2o3's (serde_amqp), and ntex's and Proton C's where they
//! can be built.
//!
//! Budget: no allocation where the table says 0, and the ratio to fe2o3 that each row names. Both sides of a row run in
//! turns of some fifty microseconds, and medians of the turns are compared: on a busy machine a turn is either left alone
//! or thrown away by the median. ntex and Proton are measured before, by processes of their own; a row says `behind` where
//! one of them is faster than we are.
//!
//! `--smoke` runs every case a few times and fails when one allocates more than its budget: counts do not depend on the
//! machine. `--only CASE` runs one row; with `--side ours|fe2o3 --count N` it only runs that side, for a profiler.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints and measures"
)]

mod cases;
mod children;
mod fe2o3;
mod ours;

use std::process::ExitCode;
use std::time::Instant;

use cases::{CASES, Case, Work};
use children::Costs;
use workspace_benches::{allocations, statistics::Spread};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

/// Turns of each side in one row.
const TURNS: usize = 101;
/// About how long one turn takes, in nanoseconds.
const TURN: f64 = 50_000.0;

struct Options {
    smoke: bool,
    only: Option<String>,
    side: Option<String>,
    count: u32,
}

/// What one side of a row took.
#[derive(Clone, Copy, Default)]
struct Cost {
    nanoseconds: Spread,
    allocations: f64,
}

fn main() -> ExitCode {
    let options = options();
    let wanted = |case: &&Case| options.only.as_deref().is_none_or(|only| only == case.name);
    if let Some(side) = &options.side {
        for case in CASES.iter().filter(wanted) {
            let work = if side == "fe2o3" { fe2o3::work(case.name) } else { ours::work(case.name) };
            work.unwrap()(options.count);
        }
        return ExitCode::SUCCESS;
    }
    let (ntex, proton) = if options.smoke { Default::default() } else { other_peers() };
    println!(
        "ntex and proton run before, in processes of their own; ntex's transfer-decode and frame-decode include a copy of the \
         input into its buffer (about 16 ns), its *-encode a page buffer taken from its pool"
    );
    println!(
        "{:<24} {:>22} {:>6} {:>9} {:>6} {:>7} {:>7} {:>9} {:>10}",
        "case",
        "ours ns (min-max)",
        "allocs",
        "fe2o3 ns",
        "allocs",
        "ratio",
        "must be",
        "ntex ns",
        "proton ns"
    );
    let mut is_good = true;
    for case in CASES.iter().filter(wanted) {
        let mut ours = ours::work(case.name).unwrap();
        let mut theirs = fe2o3::work(case.peer).unwrap();
        let turns = if options.smoke { 3 } else { TURNS };
        let (ours, theirs) = race(&mut ours, &mut theirs, turns, options.smoke);
        let within = ours.allocations <= case.allocations;
        is_good &= within;
        let Spread { median, min, max } = ours.nanoseconds;
        let ratio = theirs.nanoseconds.median / median;
        let others = [("ntex", cost_of(&ntex, case.peer)), ("proton", cost_of(&proton, case.peer))];
        let [ntex, proton] =
            others.map(|(_, cost)| cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.1}")));
        print!(
            "{:<24} {:>22} {:>6} {:>9.1} {:>6} {ratio:>6.1}x {:>6.0}x {ntex:>9} {proton:>10}",
            case.name,
            format!("{median:.1} ({min:.1}-{max:.1})"),
            ours.allocations,
            theirs.nanoseconds.median,
            theirs.allocations,
            case.ratio,
        );
        if ratio < case.ratio && !options.smoke {
            print!("  short");
        }
        for (peer, _) in others.iter().filter(|(_, cost)| cost.is_some_and(|cost| cost <= median)) {
            print!("  behind {peer}");
        }
        println!("{}", if within { "" } else { "  ALLOCATES" });
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What ntex and Proton take, as far as they can be built here.
fn other_peers() -> (Costs, Costs) {
    let or_reason = |peer: &str, costs: Result<Costs, String>| {
        costs.unwrap_or_else(|reason| {
            println!("{peer} is left out: {reason}");
            Costs::new()
        })
    };
    (or_reason("ntex-amqp-codec", children::ntex()), or_reason("Qpid Proton C", children::proton()))
}

fn cost_of(costs: &Costs, case: &str) -> Option<f64> {
    costs.iter().find(|(name, _)| name == case).map(|(_, cost)| *cost)
}

/// Runs both sides in turns, then counts the allocations of each.
fn race(ours: &mut Work, theirs: &mut Work, turns: usize, smoke: bool) -> (Cost, Cost) {
    let counts = [&mut *ours, theirs].map(|work| if smoke { 2 } else { iterations(work) });
    let [count, their_count] = counts;
    let (mut times, mut their_times) = (Vec::with_capacity(turns), Vec::with_capacity(turns));
    for _ in 0..turns {
        times.push(turn(ours, count));
        their_times.push(turn(theirs, their_count));
    }
    let cost = |times: Vec<f64>, allocations| Cost { nanoseconds: Spread::of(times), allocations };
    (cost(times, allocated(ours)), cost(their_times, allocated(theirs)))
}

/// Nanoseconds an iteration took in one turn.
fn turn(work: &mut Work, count: u32) -> f64 {
    let start = Instant::now();
    work(count);
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

/// How many iterations make a turn.
fn iterations(work: &mut Work) -> u32 {
    work(16);
    let fastest = (0..5).map(|_| turn(work, 16)).fold(f64::INFINITY, f64::min);
    let count = (TURN / fastest.max(1.0)).max(1.0);
    format!("{count:.0}").parse().unwrap_or(1)
}

/// Allocations of one iteration after warm-up.
fn allocated(work: &mut Work) -> f64 {
    work(100);
    allocations::start_counting();
    work(100);
    f64::from(u32::try_from(allocations::stop_counting()).unwrap_or(u32::MAX)) / 100.0
}

fn options() -> Options {
    let mut options = Options { smoke: false, only: None, side: None, count: 1_000 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--smoke" => options.smoke = true,
            "--only" => options.only = arguments.next(),
            "--side" => options.side = arguments.next(),
            "--count" => options.count = arguments.next().and_then(|n| n.parse().ok()).unwrap(),
            // `cargo bench` adds this.
            "--bench" => {}
            other => println!("unknown argument {other} is ignored"),
        }
    }
    options
}
