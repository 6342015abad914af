//! The printed result.

use std::fmt;

use workspace_benches::statistics::Spread;

use crate::run::{BoxError, Peer, Run};

/// All runs of one peer.
#[derive(Debug)]
pub(crate) struct Report {
    peer: Peer,
    runs: Vec<Run>,
    counted: Run,
}

impl Report {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer, runs: Vec::new(), counted: Run::default() }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub(crate) fn set_counted(&mut self, run: Run) {
        self.counted = run;
    }

    fn spread(&self, figure: impl Fn(&Run) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(figure))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.spread(|run| run.messages_per_second);
        let cpu = self.spread(|run| run.cpu_microseconds_per_message);
        write!(
            f,
            "{:<6} {:>9.0} msg/s ({:.0}-{:.0})  cpu {:.2} us/msg ({:.2}-{:.2}, both ends)  \
             writes/msg {:.4}  reads/msg {:.4}  allocations/msg {:.3}",
            name(self.peer),
            rate.median,
            rate.min,
            rate.max,
            cpu.median,
            cpu.min,
            cpu.max,
            self.counted.write_calls_per_message,
            self.counted.read_calls_per_message,
            self.counted.allocations_per_message,
        )
    }
}

/// Prints how many times fe2o3's messages per second ours are, and which share of its processor time they cost.
#[expect(clippy::print_stdout, reason = "a benchmark's product is what it prints")]
pub(crate) fn print_ratio(reports: &[Report]) {
    let find = |peer| reports.iter().find(|report| report.peer == peer);
    let (Some(ours), Some(theirs)) = (find(Peer::Ours), find(Peer::Fe2o3)) else { return };
    let rate = |report: &Report| report.spread(|run| run.messages_per_second).median;
    let cpu = |report: &Report| report.spread(|run| run.cpu_microseconds_per_message).median;
    println!(
        "ratio  {:.2} x the messages per second of fe2o3, {:.2} x its processor time",
        rate(ours) / rate(theirs),
        cpu(ours) / cpu(theirs)
    );
}

/// Holds our counted figures against the budget.
///
/// # Errors
/// When a figure is over it.
pub(crate) fn check_budget(reports: &[Report]) -> Result<(), BoxError> {
    let Some(ours) = reports.iter().find(|report| report.peer == Peer::Ours) else { return Ok(()) };
    for (what, figure, budget) in [
        ("write calls", ours.counted.write_calls_per_message, MOST_WRITES),
        ("allocations", ours.counted.allocations_per_message, MOST_ALLOCATIONS),
    ] {
        if figure > budget {
            return Err(format!("{figure:.4} {what} per message are over the budget of {budget}").into());
        }
    }
    Ok(())
}

fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::Ours => "ours",
        Peer::Fe2o3 => "fe2o3",
    }
}

/// Write calls per message, both ends together, with small messages under load.
const MOST_WRITES: f64 = 0.02;

/// Allocations per message, both ends together. What is left over is per batch: flows and warming up.
const MOST_ALLOCATIONS: f64 = 0.05;
