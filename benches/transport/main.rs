//! Unsettled messages over loopback TCP, through this project and through fe2o3-amqp, in one run.
//!
//! Purpose: to show that the hot path has its shape (frames batched into writes, no allocation per message,
//! dispositions as ranges). Budget: at least 4 times fe2o3's messages per second, to be read off the last line; at most
//! 0.02 write calls and 0.05 allocations per message, which do not depend on the machine and so fail the run.
//!
//! Both libraries get the same placement: one process, the client on a runtime of one thread, the server on
//! another. Both build and encode a message per send and decode it at the far end, with 1,000 in flight. Runs
//! alternate, so that a busy neighbour hits both; the figures are medians. Allocations and calls on the sockets are
//! counted in a run of their own, because counting costs time.
//!
//! `cargo bench -p workspace-benches --bench transport [-- --smoke | --messages N --runs N --only ours|fe2o3]`
#![expect(clippy::print_stdout, reason = "a benchmark's product is what it prints")]

mod fe2o3;
mod options;
mod ours;
mod report;
mod run;

use workspace_benches::allocations::CountingAllocator;

use crate::options::Options;
use crate::report::Report;
use crate::run::{BoxError, Peer};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> Result<(), BoxError> {
    let options = Options::from_arguments(std::env::args().skip(1))?;
    println!(
        "{} byte unsettled messages, {} in flight, {} a run after {} to warm up, {} runs of each peer, interleaved",
        options.payload, options.in_flight, options.messages, options.warm_up, options.runs
    );
    let mut reports: Vec<Report> = options.peers.iter().map(|peer| Report::new(*peer)).collect();
    for _ in 0..options.runs {
        for report in &mut reports {
            let run = execute(report.peer(), &options)?;
            report.add(run);
        }
    }
    for report in &mut reports {
        let counting = Options { count: true, ..options.clone() };
        report.set_counted(execute(report.peer(), &counting)?);
    }
    for report in &reports {
        println!("{report}");
    }
    report::print_ratio(&reports);
    if options.payload > BUDGETED_PAYLOAD {
        return Ok(());
    }
    report::check_budget(&reports)
}

fn execute(peer: Peer, options: &Options) -> Result<run::Run, BoxError> {
    match peer {
        Peer::Ours => run::execute(options, ours::serve, ours::send),
        Peer::Fe2o3 => run::execute(options, fe2o3::serve, fe2o3::send),
    }
}

/// The budget is for small messages, in bytes; a large one fills several writes by itself.
const BUDGETED_PAYLOAD: usize = 256;
