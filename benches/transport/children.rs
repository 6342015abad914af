//! Ends in processes of their own: ours pinned to a core each, qpid-proton C the same way, ntex as one process.
//!
//! A receiving process prints `ADDRESS A` when it listens; every process prints `RESULT MESSAGES-PER-SECOND CPU` when it
//! is done, the processor time in microseconds a message of its own end (of both, where it is both).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;

use crate::cases::{Case, Mode};
use crate::ours;
use crate::run::{self, BoxError, Plan, Run};

/// The two ends of ours in two processes of this program.
pub(crate) fn ours(plan: &Plan) -> Result<Run, BoxError> {
    let program = std::env::current_exe()?;
    let case = plan.case;
    let common =
        ["--case".to_owned(), case.name.to_owned(), "--messages".to_owned(), case.messages.to_string()];
    let mut receiver = Process::start(pinned("0", &program).args(&common).arg("--serve"))?;
    let address = receiver.value_of("ADDRESS")?;
    let sender = Process::start(pinned("1", &program).args(&common).args(["--send", &address]))?;
    both(sender, receiver)
}

/// What a process of [`ours`] does that receives.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn serve(case: Case) -> Result<(), BoxError> {
    let (address_out, address_in) = mpsc::channel();
    let printing = std::thread::spawn(move || {
        if let Ok(address) = address_in.recv() {
            println!("ADDRESS {address}");
        }
    });
    let run = run::serving(address_out, Plan::new(case), ours::serve)?;
    printing.join().map_err(|_| "the printing thread panicked")?;
    print_result(run);
    Ok(())
}

/// What a process of [`ours`] does that sends.
pub(crate) fn send(case: Case, address: &str) -> Result<(), BoxError> {
    let address: SocketAddr = address.parse()?;
    print_result(run::sending(address, Plan::new(case), ours::send)?);
    Ok(())
}

/// The two ends of qpid-proton C in two processes.
pub(crate) fn proton(program: &Path, plan: &Plan) -> Result<Run, BoxError> {
    let words = words(plan);
    // Its listener takes no "any port"; one that was free a moment ago does.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut receiver = Process::start(pinned("0", program).args(["recv", &port]).args(&words))?;
    receiver.value_of("ADDRESS")?;
    let sender = Process::start(pinned("1", program).args(["send", &port]).args(&words))?;
    both(sender, receiver)
}

/// Both ends of ntex in one process with two threads.
pub(crate) fn ntex(program: &Path, plan: &Plan) -> Result<Run, BoxError> {
    Process::start(Command::new(program).args(words(plan)))?.result()
}

fn words(plan: &Plan) -> [String; 4] {
    let mode = match plan.case.mode {
        Mode::Settled => "settled",
        Mode::Unsettled | Mode::OneInFlight => "unsettled",
    };
    [
        plan.case.payload.to_string(),
        mode.to_owned(),
        plan.case.in_flight().to_string(),
        plan.case.messages.to_string(),
    ]
}

/// The rate is the sender's word where the last outcome told it, and so for all of ours; Proton's sender of settled
/// messages knows only what it wrote, so the receiver's rate counts where it is lower.
fn both(sender: Process, receiver: Process) -> Result<Run, BoxError> {
    let (sender, receiver) = (sender.result()?, receiver.result()?);
    Ok(Run {
        messages_per_second: sender.messages_per_second.min(receiver.messages_per_second),
        cpu_microseconds_per_message: sender.cpu_microseconds_per_message
            + receiver.cpu_microseconds_per_message,
        ..Run::default()
    })
}

fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(PathBuf::from(program));
    command
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn print_result(run: Run) {
    println!("RESULT {} {}", run.messages_per_second, run.cpu_microseconds_per_message);
}

struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> Result<Self, BoxError> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the child has no output")?;
        Ok(Self { child, output: BufReader::new(output) })
    }

    /// Reads up to the line that begins with the word and gives its rest.
    fn value_of(&mut self, word: &str) -> Result<String, BoxError> {
        let mut line = String::new();
        while self.output.read_line(&mut line)? > 0 {
            if let Some(value) = line.strip_prefix(word) {
                return Ok(value.trim().to_owned());
            }
            line.clear();
        }
        Err(format!("the child ended without a line {word}").into())
    }

    fn result(mut self) -> Result<Run, BoxError> {
        let line = self.value_of("RESULT")?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the child ended with {status}").into());
        }
        let (rate, cpu) = line.split_once(' ').ok_or("a result has two figures")?;
        Ok(Run {
            messages_per_second: rate.parse()?,
            cpu_microseconds_per_message: cpu.parse()?,
            ..Run::default()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, unless something went wrong with the other end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
