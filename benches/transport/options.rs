//! The command line of the benchmark.

use crate::cases::{CASES, Case, Peer};
use crate::run::BoxError;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Runs of each peer in a case.
    pub(crate) runs: usize,
    /// A few messages of each case, without the peers that have to be built first.
    pub(crate) smoke: bool,
    /// Messages in the measured stretch, instead of the case's own number.
    messages: Option<usize>,
    case: Option<String>,
    peer: Option<Peer>,
    /// This process is one end of a case that runs in two.
    pub(crate) end: Option<End>,
}

/// One end of a case that runs in two processes.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Serve,
    Send(String),
}

impl Options {
    /// Reads `--smoke`, `--runs N`, `--messages N`, `--case NAME`, `--only PEER` and, for the processes that this one
    /// starts, `--serve` and `--send ADDRESS`; ignores cargo's own `--bench`.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options = Self { runs: 7, smoke: false, messages: None, case: None, peer: None, end: None };
        while let Some(word) = arguments.next() {
            let mut next = || arguments.next().ok_or_else(|| format!("{word} needs a word after it"));
            match word.as_str() {
                "--bench" => {}
                "--smoke" => options = Self { smoke: true, runs: 1, messages: Some(2_000), ..options },
                "--runs" => options.runs = next()?.parse()?,
                "--messages" => options.messages = Some(next()?.parse()?),
                "--case" => options.case = Some(next()?),
                "--only" => options.peer = Some(peer(&next()?)?),
                "--serve" => options.end = Some(End::Serve),
                "--send" => options.end = Some(End::Send(next()?)),
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        Ok(options)
    }

    /// The cases to run, with the number of messages that was asked for.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        CASES
            .iter()
            .filter(|case| self.case.as_deref().is_none_or(|name| name == case.name))
            .map(|case| Case { messages: self.messages.unwrap_or(case.messages), ..*case })
    }

    /// Whether the peer is wanted.
    pub(crate) fn wants(&self, peer: Peer) -> bool {
        let is_built_here = matches!(peer, Peer::Ours | Peer::Fe2o3 | Peer::Bare);
        self.peer.is_none_or(|only| only == peer) && (is_built_here || !self.smoke)
    }
}

fn peer(name: &str) -> Result<Peer, BoxError> {
    Ok(match name {
        "ours" => Peer::Ours,
        "fe2o3" => Peer::Fe2o3,
        "ntex" => Peer::Ntex,
        "proton" => Peer::Proton,
        "bare" => Peer::Bare,
        other => return Err(format!("--only ours|fe2o3|ntex|proton|bare, not {other}").into()),
    })
}
