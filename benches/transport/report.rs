//! The printed result.

use std::fmt;

use workspace_benches::statistics::Spread;

use crate::cases::{Case, Must, Peer};
use crate::run::{BoxError, Run};

/// All runs of one peer in one case.
#[derive(Debug)]
pub(crate) struct Report {
    peer: Peer,
    runs: Vec<Run>,
    counted: Option<Run>,
}

impl Report {
    pub(crate) const fn new(peer: Peer) -> Self {
        Self { peer, runs: Vec::new(), counted: None }
    }

    pub(crate) const fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub(crate) const fn set_counted(&mut self, run: Run) {
        self.counted = Some(run);
    }

    fn rate(&self) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.messages_per_second))
    }

    fn cpu(&self) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.cpu_microseconds_per_message))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, cpu) = (self.rate(), self.cpu());
        write!(
            f,
            "  {:<7} {:>9.0} msg/s ({:.0}-{:.0})  cpu {:.2} us/msg ({:.2}-{:.2})",
            name(self.peer),
            rate.median,
            rate.min,
            rate.max,
            cpu.median,
            cpu.min,
            cpu.max,
        )?;
        if let Some(counted) = self.counted {
            write!(
                f,
                "  writes/msg {:.4}  allocations/msg {:.3}",
                counted.write_calls_per_message, counted.allocations_per_message
            )?;
        }
        Ok(())
    }
}

/// Prints what the case had to reach and what it did.
#[expect(clippy::print_stdout, reason = "a benchmark's product is what it prints")]
pub(crate) fn print_verdict(case: &Case, reports: &[Report]) {
    let find = |peer| reports.iter().find(|report| report.peer == peer);
    let Some(ours) = find(Peer::Ours) else { return };
    if let Some(theirs) = find(Peer::Fe2o3) {
        let (rate, cpu) =
            (ours.rate().median / theirs.rate().median, ours.cpu().median / theirs.cpu().median);
        println!("  is {rate:.2} x the messages per second of fe2o3, {cpu:.2} x its processor time");
    }
    for must in case.must {
        let (peer, reached, what, bound, is_met): (_, _, _, _, fn(f64, f64) -> bool) = match *must {
            Must::Rate(peer, factor) => {
                let Some(theirs) = find(peer) else { continue };
                let reached = ours.rate().median / theirs.rate().median;
                (peer, reached, "messages per second", factor, |reached, bound| reached >= bound)
            }
            Must::Cpu(peer, share) => {
                let Some(theirs) = find(peer) else { continue };
                let reached = ours.cpu().median / theirs.cpu().median;
                (peer, reached, "processor time", share, |reached, bound| reached <= bound)
            }
        };
        println!(
            "  {reached:.2} x the {what} of {}, must be {} {bound:.2}: {}",
            name(peer),
            if matches!(must, Must::Rate(..)) { "at least" } else { "at most" },
            if is_met(reached, bound) { "ok" } else { "short" },
        );
    }
}

/// Holds our counted figures of a case with small messages under load against the budget.
///
/// # Errors
/// When a figure is over it.
pub(crate) fn check_budget(case: &Case, counted: Run) -> Result<(), BoxError> {
    for (what, figure, budget) in [
        ("write calls", counted.write_calls_per_message, MOST_WRITES),
        ("allocations", counted.allocations_per_message, MOST_ALLOCATIONS),
    ] {
        if figure > budget {
            return Err(format!(
                "{}: {figure:.4} {what} per message are over the budget of {budget}",
                case.name
            )
            .into());
        }
    }
    Ok(())
}

const fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::Ours => "ours",
        Peer::Fe2o3 => "fe2o3",
        Peer::Ntex => "ntex",
        Peer::Proton => "proton",
        Peer::Bare => "bare",
    }
}

/// Write calls per message, both ends together, with small messages under load.
const MOST_WRITES: f64 = 0.02;

/// Allocations per message, both ends together. What is left over is per batch: flows and warming up.
const MOST_ALLOCATIONS: f64 = 0.05;
