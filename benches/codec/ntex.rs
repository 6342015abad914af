//! The cases by ntex's codec. It needs a nightly compiler, so it is a workspace of its own that is built when it is asked
//! for and run as a process beside this one.

use std::path::Path;
use std::process::Command;

/// Median nanoseconds of each case.
pub(crate) fn run() -> Result<Vec<(String, f64)>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/ntex");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/ntex");
    let has_nightly = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_nightly {
        return Err("there is no nightly toolchain".to_owned());
    }
    let build = Command::new("rustup")
        .args(["run", "nightly", "cargo", "build", "--quiet", "--release"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        // What cargo says to this process is not meant for that one.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .map_err(|error| format!("its build does not start: {error}"))?;
    if !build.status.success() {
        let output = String::from_utf8_lossy(&build.stderr);
        return Err(format!("its build fails: {}", output.lines().last().unwrap_or_default()));
    }
    let output = Command::new(target.join("release/bench-ntex"))
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
