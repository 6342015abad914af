//! The cases by ntex's codec, in a process of its own.

use std::process::Command;

use workspace_benches::peers;

/// Median nanoseconds of each case.
pub(crate) fn run() -> Result<Vec<(String, f64)>, String> {
    let output = Command::new(peers::ntex("codec")?)
        .output()
        .map_err(|error| format!("it does not start: {error}"))?;
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().filter_map(read_line).collect())
}

/// `CASE NANOSECONDS`.
fn read_line(line: &str) -> Option<(String, f64)> {
    let (name, cost) = line.split_once(' ')?;
    Some((name.to_owned(), cost.parse().ok()?))
}
