//! The command line of the benchmark.

use crate::run::{BoxError, Peer};

/// What to run; see [`Options::from_arguments`] for the words.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Bytes of body in each message.
    pub(crate) payload: usize,
    /// Unsettled messages under way at any time.
    pub(crate) in_flight: usize,
    /// Messages in the measured stretch of a run.
    pub(crate) messages: usize,
    /// Messages sent before measuring, on the same link.
    pub(crate) warm_up: usize,
    /// Runs of each peer.
    pub(crate) runs: usize,
    /// Whom to run, in this order within each round.
    pub(crate) peers: Vec<Peer>,
    /// Count allocations and calls on the sockets in the measured stretch (and so spoil its timing).
    pub(crate) count: bool,
}

impl Options {
    /// Reads `--smoke`, `--messages N`, `--runs N`, `--payload BYTES`, `--only ours|fe2o3`; ignores cargo's own `--bench`.
    pub(crate) fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options = Self::default();
        let mut arguments = arguments;
        while let Some(word) = arguments.next() {
            let mut number = || -> Result<usize, BoxError> {
                let text = arguments.next().ok_or_else(|| format!("{word} needs a number"))?;
                Ok(text.parse()?)
            };
            match word.as_str() {
                "--bench" => {}
                "--smoke" => options = Self { messages: 2_000, warm_up: 500, runs: 1, ..options },
                "--messages" => options.messages = number()?,
                "--runs" => options.runs = number()?,
                "--payload" => options.payload = number()?,
                "--only" => {
                    options.peers = match arguments.next().as_deref() {
                        Some("ours") => vec![Peer::Ours],
                        Some("fe2o3") => vec![Peer::Fe2o3],
                        other => return Err(format!("--only ours|fe2o3, not {other:?}").into()),
                    }
                }
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        Ok(options)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            payload: 256,
            in_flight: 1_000,
            messages: 200_000,
            warm_up: 20_000,
            runs: 7,
            peers: vec![Peer::Ours, Peer::Fe2o3],
            count: false,
        }
    }
}
