//! Other makers' programs: built when they are asked for, where their tools are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds one program of `peers/ntex`, which needs a nightly compiler and so is a workspace of its own.
///
/// # Errors
/// Why there is no such program here, for the reader of the benchmark.
pub fn ntex(program: &str) -> Result<PathBuf, String> {
    let has_nightly = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_nightly {
        return Err("there is no nightly toolchain".to_owned());
    }
    let target = target().join("ntex");
    let build = Command::new("rustup")
        .args([
            "run",
            "nightly",
            "cargo",
            "build",
            "--quiet",
            "--release",
            "--bin",
            program,
            "--features",
            program,
        ])
        .current_dir(folder().join("ntex"))
        .env("CARGO_TARGET_DIR", &target)
        // What cargo says to this process is not meant for that one.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .map_err(|error| format!("its build does not start: {error}"))?;
    if !build.status.success() {
        return Err(format!("its build fails: {}", last_line(&build.stderr)));
    }
    Ok(target.join("release").join(program))
}

/// Builds one program of `peers/proton` against the installed library of qpid-proton.
///
/// # Errors
/// Why there is no such program here, for the reader of the benchmark.
pub fn proton(program: &str) -> Result<PathBuf, String> {
    let flags = Command::new("pkg-config")
        .args(["--cflags", "--libs", "libqpid-proton"])
        .output()
        .map_err(|error| format!("pkg-config does not start: {error}"))?;
    if !flags.status.success() {
        return Err("the library libqpid-proton is not installed".to_owned());
    }
    let target = target().join("proton");
    fs::create_dir_all(&target).map_err(|error| format!("there is no room for it: {error}"))?;
    let built = target.join(program);
    let build = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&built)
        .arg(folder().join("proton").join(format!("{program}.c")))
        .args(String::from_utf8_lossy(&flags.stdout).split_whitespace())
        .output()
        .map_err(|error| format!("the C compiler does not start: {error}"))?;
    if !build.status.success() {
        return Err(format!("its build fails: {}", last_line(&build.stderr)));
    }
    Ok(built)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers")
}

fn last_line(output: &[u8]) -> String {
    String::from_utf8_lossy(output).lines().last().unwrap_or_default().to_owned()
}
