//! The cases by peers that are processes of their own: each prints `CASE NANOSECONDS`, medians of turns as long as ours.

use std::path::Path;
use std::process::Command;

use workspace_benches::peers;

/// The nanoseconds of each case.
pub(crate) type Costs = Vec<(String, f64)>;

/// Median nanoseconds of each case at ntex-amqp-codec.
pub(crate) fn ntex() -> Result<Costs, String> {
    measure(&peers::ntex("codec")?)
}

/// Median nanoseconds of each case at the installed Qpid Proton C.
pub(crate) fn proton() -> Result<Costs, String> {
    measure(&peers::proton("codec")?)
}

fn measure(program: &Path) -> Result<Costs, String> {
    let output = Command::new(program).output().map_err(|error| format!("it does not start: {error}"))?;
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().filter_map(read_line).collect())
}

/// `CASE NANOSECONDS`.
fn read_line(line: &str) -> Option<(String, f64)> {
    let (name, cost) = line.split_once(' ')?;
    Some((name.to_owned(), cost.parse().ok()?))
}
