//! What connections, sessions and links cost that do nothing: memory at each end, processor time and wake-ups.
//!
//! Budget: at most 8 KiB a connection, 2 KiB a session and 1 KiB a link at each end, counted in octets allocated; and, with
//! 1,000 connections with an idle time-out of 240 s, at most 0.1 % of a core at each end and no wake-up but for
//! heartbeats. Memory and wake-ups do not depend on the machine, so they fail the run: each wake-up is one for a heartbeat
//! sent or received, as the frames counted tell, and there have to be some. The share of a core fails it with `--judge`.
//!
//! Each end is a process of its own. It opens the connections, then a session on each, then eight links on each, and lets
//! them rest in between until their buffers are given back.
//!
//! `cargo bench -p workspace-benches --bench idle [-- --smoke | --judge --connections N --seconds N
//! --idle-time-out N]`
#![expect(clippy::print_stdout, reason = "a benchmark's product is what it prints")]

mod client;
mod server;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use workspace_benches::costs::cpu_of_threads;
use workspace_benches::memory::{TrackingAllocator, in_use};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What to run.
#[derive(Clone, Copy, Debug)]
struct Options {
    connections: usize,
    /// How long idleness is measured.
    idle: Duration,
    /// What both ends ask of the other. The first heartbeat is due after a quarter of it.
    idle_time_out: Duration,
    is_judged: bool,
}

fn main() -> Result<(), BoxError> {
    let mut options = Options {
        connections: 1_000,
        idle: Duration::from_secs(130),
        idle_time_out: Duration::from_secs(240),
        is_judged: false,
    };
    let mut role = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(word) = arguments.next() {
        let mut next = || arguments.next().ok_or_else(|| format!("{word} needs a word after it"));
        match word.as_str() {
            "--bench" => {}
            "--smoke" => {
                options.connections = 100;
                (options.idle, options.idle_time_out) = (Duration::from_secs(3), Duration::from_secs(4));
            }
            "--judge" => options.is_judged = true,
            "--connections" => options.connections = next()?.parse()?,
            "--seconds" => options.idle = Duration::from_secs(next()?.parse()?),
            "--idle-time-out" => options.idle_time_out = Duration::from_secs(next()?.parse()?),
            "--client" => role = Some(next()?),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match role {
        Some(address) => runtime.block_on(client::run(&address, options)),
        None => runtime.block_on(parent(options)),
    }
}

/// The listening end, which starts the other one and prints what both have measured.
async fn parent(options: Options) -> Result<(), BoxError> {
    let server = server::Server::start(options).await?;
    let program = std::env::current_exe()?;
    let mut child = Command::new(program)
        .args(["--client", &server.address().to_string()])
        .args(["--connections", &options.connections.to_string()])
        .args(["--seconds", &options.idle.as_secs().to_string()])
        .args(["--idle-time-out", &options.idle_time_out.as_secs().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the client has no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut within = true;
    println!("{} connections over plain TCP, one session and {LINKS} links on each", options.connections);
    let mut before = Figures::now(&server);
    for (what, most, each) in STAGES {
        let (line, back) = tokio::task::spawn_blocking(move || (lines.next(), lines)).await?;
        lines = back;
        let theirs = line.ok_or("the client ended early")??;
        let now = Figures::now(&server);
        let ours = now.since(before, options.connections * each);
        before = now;
        let theirs: usize = theirs.parse()?;
        let is_within = ours <= most && theirs <= most;
        within &= is_within;
        println!(
            "  {what:<11} listener {ours:>5} octets, client {theirs:>5}, must be at most {most}: {}",
            if is_within { "ok" } else { "over" }
        );
        // The client waits for this before it goes on.
        let input = child.stdin.as_mut().ok_or("the client has no input")?;
        std::io::Write::write_all(input, b"go on\n")?;
    }
    let (moved, cpu) = (server.moved(), cpu_of_threads());
    let (line, _) = tokio::task::spawn_blocking(move || (lines.next(), lines)).await?;
    let theirs = line.ok_or("the client ended early")??;
    let (moved, cpu) = (server.moved().since(moved), cpu_of_threads().saturating_sub(cpu));
    within &= idleness(options, moved, cpu, theirs.parse()?);
    child.wait()?;
    if within { Ok(()) } else { Err("a figure is over its budget".into()) }
}

/// Tells what idleness cost, and whether that was within its budget.
fn idleness(options: Options, moved: Moved, cpu: Duration, theirs: f64) -> bool {
    let Moved { wakes, frames_out, frames_in } = moved;
    let share = cpu.as_secs_f64() / options.idle.as_secs_f64() * 100.0;
    // A heartbeat wakes its sender, whose time has come, and its receiver. Without any, nothing was measured.
    let is_quiet = frames_out > 0 && wakes <= frames_out + frames_in;
    let is_cheap = share <= SHARE && theirs <= SHARE;
    println!(
        "  idle {} s    listener {wakes} wake-ups for {frames_out} heartbeats sent and {frames_in} received: {}",
        options.idle.as_secs(),
        if is_quiet { "ok" } else { "over" }
    );
    println!(
        "              listener {share:.3} % of a core, client {theirs:.3} %, must be at most {SHARE}: {}",
        match (is_cheap, options.is_judged) {
            (true, _) => "ok",
            (false, true) => "over",
            (false, false) => "over, not judged",
        }
    );
    is_quiet && (is_cheap || !options.is_judged)
}

/// What the connections of the listening end have done.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    wakes: u64,
    frames_out: u64,
    frames_in: u64,
}

impl Moved {
    const fn since(self, before: Self) -> Self {
        Self {
            wakes: self.wakes - before.wakes,
            frames_out: self.frames_out - before.frames_out,
            frames_in: self.frames_in - before.frames_in,
        }
    }
}

/// What the listening end holds.
#[derive(Clone, Copy, Debug)]
struct Figures {
    octets: usize,
}

impl Figures {
    fn now(_server: &server::Server) -> Self {
        Self { octets: in_use() }
    }

    const fn since(self, before: Self, count: usize) -> usize {
        self.octets.saturating_sub(before.octets) / count
    }
}

/// What each stage adds, the octets that it may cost, and how many of it each connection gets.
const STAGES: [(&str, usize, usize); 3] =
    [("a connection", 8 * 1024, 1), ("a session", 2 * 1024, 1), ("a link", 1024, LINKS)];

/// Links on each session: the tables that the first one makes are shared by the others.
const LINKS: usize = 8;

/// Until buffers are given back.
const REST: Duration = Duration::from_secs(4);
/// Per cent of a core that idle connections may take at each end.
const SHARE: f64 = 0.1;
