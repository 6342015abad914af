//! Messages over loopback TCP, through this project and through others, in one run.
//!
//! Purpose: to show that the hot path has its shape (frames batched into writes, no allocation per message,
//! dispositions as ranges) and what that is worth beside other implementations and bare sockets. Budget: what the table in
//! `cases` names, to be read off the lines that end in `ok` or `short`; and at most 0.02 write calls and 0.05
//! allocations per small message under load, which do not depend on the machine and so fail the run.
//!
//! Peers of a case get the same placement. All build and encode a message per send and decode it at the far end (ntex's
//! receiver does not look into the message). Runs alternate, so that a busy neighbour hits everyone; the figures are
//! medians. Allocations and calls on the sockets are counted in a run of their own, because counting costs time. The bare
//! peer moves as many octets in vectored writes as large as those that were counted for ours, or of 64 KiB in TLS.
//!
//! `cargo bench -p workspace-benches --bench transport [-- --smoke | --case NAME --only PEER --messages N --runs N]`
#![expect(clippy::print_stdout, reason = "a benchmark's product is what it prints")]

mod bare;
mod cases;
mod children;
mod fe2o3;
mod options;
mod ours;
mod report;
mod run;
mod tls;

use std::path::PathBuf;

use workspace_benches::{allocations::CountingAllocator, peers};

use crate::cases::{CASES, Case, Mode, Peer, Placement};
use crate::options::{End, Options};
use crate::report::Report;
use crate::run::{BoxError, Plan, Run};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> Result<(), BoxError> {
    let options = Options::from_arguments(std::env::args().skip(1))?;
    if let Some(end) = &options.end {
        let case = options.cases().next().ok_or("no such case")?;
        return match end {
            End::Serve => children::serve(case),
            End::Send(address) => children::send(case, address),
        };
    }
    if options.cases().next().is_none() {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(format!("the cases are {}", names.join(", ")).into());
    }
    let programs = Programs::build(&options);
    let mut is_within_budget = Ok(());
    for case in options.cases() {
        is_within_budget = is_within_budget.and(measure(case, &options, &programs)?);
    }
    is_within_budget
}

/// The programs of other makers, where they can be built.
struct Programs {
    ntex: Option<PathBuf>,
    proton: Option<PathBuf>,
}

impl Programs {
    fn build(options: &Options) -> Self {
        let build = |peer, name: &str, build: fn(&str) -> Result<PathBuf, String>| {
            let is_wanted = options.wants(peer) && options.cases().any(|case| case.peers.contains(&peer));
            if !is_wanted {
                return None;
            }
            build("loop").map_err(|reason| println!("{name} is left out: {reason}")).ok()
        };
        Self {
            ntex: build(Peer::Ntex, "ntex-amqp", peers::ntex),
            proton: build(Peer::Proton, "qpid-proton C", peers::proton),
        }
    }

    fn has(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ntex => self.ntex.is_some(),
            Peer::Proton => self.proton.is_some(),
            Peer::Ours | Peer::Fe2o3 | Peer::Bare => true,
        }
    }
}

/// Runs one row; the inner result is whether the counted budget is kept.
fn measure(case: Case, options: &Options, programs: &Programs) -> Result<Result<(), BoxError>, BoxError> {
    println!(
        "{}: {} octets, {:?}, {:?}, {} messages a run, {} runs interleaved",
        case.name, case.payload, case.mode, case.placement, case.messages, options.runs
    );
    let mut plan = Plan::new(case);
    let counted = count(&plan)?;
    plan.batch = batch(&case, counted);
    let wanted = case.peers.iter().filter(|peer| options.wants(**peer) && programs.has(**peer));
    let mut reports: Vec<Report> = wanted.map(|peer| Report::new(*peer)).collect();
    for _ in 0..options.runs {
        for report in &mut reports {
            report.add(execute(report.peer(), &plan, programs)?);
        }
    }
    for report in &mut reports {
        if report.peer() == Peer::Ours && !case.tls {
            report.set_counted(counted);
        }
        println!("{report}");
    }
    report::print_verdict(&case, &reports);
    let is_budgeted = case.payload <= BUDGETED_PAYLOAD && case.mode != Mode::OneInFlight && !case.tls;
    Ok(if is_budgeted { report::check_budget(&case, counted) } else { Ok(()) })
}

/// Our calls and allocations; within one process, whatever the case says.
fn count(plan: &Plan) -> Result<Run, BoxError> {
    let placement = match plan.case.placement {
        Placement::TwoProcesses => Placement::TwoThreads,
        other => other,
    };
    let case = Case { placement, ..plan.case };
    run::execute(Plan { case, count: true, ..*plan }, ours::serve, ours::send)
}

/// How many messages the bare peer puts into a write.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred at most")]
fn batch(case: &Case, counted: Run) -> usize {
    if case.tls {
        return (TLS_WRITE / case.payload).max(1);
    }
    let messages = 1.0 / counted.write_calls_per_message.max(1e-3);
    (messages.round() as usize).clamp(1, MOST_SLICES.min(MOST_OCTETS / case.payload).max(1))
}

fn execute(peer: Peer, plan: &Plan, programs: &Programs) -> Result<Run, BoxError> {
    let program = |program: &Option<PathBuf>| program.clone().ok_or("the program was not built");
    match (peer, plan.case.placement) {
        (Peer::Ours, Placement::TwoProcesses) => children::ours(plan),
        (Peer::Ours, _) => run::execute(*plan, ours::serve, ours::send),
        (Peer::Fe2o3, _) => run::execute(*plan, fe2o3::serve, fe2o3::send),
        (Peer::Bare, _) => run::execute(*plan, bare::serve, bare::send),
        (Peer::Ntex, _) => children::ntex(&program(&programs.ntex)?, plan),
        (Peer::Proton, _) => children::proton(&program(&programs.proton)?, plan),
    }
}

/// The budget is for small messages, in bytes; a large one fills several writes by itself.
const BUDGETED_PAYLOAD: usize = 256;
/// What the kernel takes in one vectored write.
const MOST_SLICES: usize = 1_024;
/// More in one write than the socket takes is no larger write.
const MOST_OCTETS: usize = 1024 * 1024;
const TLS_WRITE: usize = 64 * 1024;
