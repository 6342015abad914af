//! A peer in another language: a program that answers lines with lines.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use super::{Answer, Peer};

/// An interpreter and one of the scripts in `clients/`.
pub(super) struct Program {
    interpreter: OsString,
    script: PathBuf,
}

impl Program {
    pub(super) fn new(interpreter: impl Into<OsString>, script: &str) -> Self {
        let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/clients");
        Self { interpreter: interpreter.into(), script: PathBuf::from(clients).join(script) }
    }

    /// Runs the script to its end with some lines on its standard input.
    fn run(&self, arguments: &[String], input: &[String]) -> Vec<Answer> {
        let mut command = Command::new(&self.interpreter);
        command.arg(&self.script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the peer's program starts");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.join("\n");
        // The program answers while it reads, and waits for nobody.
        let feeding = std::thread::spawn(move || {
            stdin.write_all(input.as_bytes()).unwrap();
            stdin.write_all(b"\n").unwrap();
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let answers = lines.map(|line| answer(&line.unwrap())).collect();
        assert!(child.wait().unwrap().success(), "{} fails", self.script.display());
        // A program that makes values reads nothing, and may have ended before.
        let _ = feeding.join();
        answers
    }
}

impl Peer for Program {
    fn check(&mut self, encoded: &[String]) -> Vec<Answer> {
        self.run(&["check".to_owned()], encoded)
    }

    fn make(&mut self, seed: u64, count: usize) -> Vec<Answer> {
        self.run(&["make".to_owned(), seed.to_string(), count.to_string()], &[])
    }
}

fn answer(line: &str) -> Answer {
    let mut json: Json = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = |json: &Json| json.as_str().map(str::to_owned);
    let value = json.get_mut("value").map(Json::take);
    Answer { value, hex: text(&json["hex"]), error: text(&json["error"]) }
}
