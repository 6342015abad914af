//! What is measured: one row of the table for each case, with what it has to reach.

/// Whose code carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This project.
    Ours,
    /// fe2o3-amqp 0.18.
    Fe2o3,
    /// ntex-amqp 6.3, a child process of two threads.
    Ntex,
    /// qpid-proton C, two child processes.
    Proton,
    /// Sockets of tokio that carry as many octets and no protocol.
    Bare,
}

/// What becomes of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Sent settled. The last one of a stretch is not, so that its outcome proves the arrival of all.
    Settled,
    /// Each is accepted; a thousand are on their way at any time.
    Unsettled,
    /// Each is accepted before the next one is sent.
    OneInFlight,
}

/// Where the two ends run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// One process, a thread with a runtime of one thread for each end.
    TwoThreads,
    /// One thread for both ends.
    OneThread,
    /// A process for each end, the receiver pinned to core 0, the sender to core 1.
    TwoProcesses,
}

/// A bound on the figures of ours, relative to a peer's in the same run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Must {
    /// At least so many times the peer's messages per second.
    Rate(Peer, f64),
    /// At most this share of the peer's processor time.
    Cpu(Peer, f64),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Octets of body in each message.
    pub(crate) payload: usize,
    pub(crate) mode: Mode,
    pub(crate) placement: Placement,
    /// Through TLS 1.3.
    pub(crate) tls: bool,
    /// Messages in the measured stretch of a run.
    pub(crate) messages: usize,
    pub(crate) peers: &'static [Peer],
    pub(crate) must: &'static [Must],
}

impl Case {
    const fn new(name: &'static str, payload: usize, mode: Mode, messages: usize) -> Self {
        Self {
            name,
            payload,
            mode,
            placement: Placement::TwoThreads,
            tls: false,
            messages,
            peers: &[],
            must: &[],
        }
    }

    const fn at(self, placement: Placement) -> Self {
        Self { placement, ..self }
    }

    const fn with_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    const fn against(self, peers: &'static [Peer], must: &'static [Must]) -> Self {
        Self { peers, must, ..self }
    }

    /// Messages on their way at any time.
    pub(crate) const fn in_flight(&self) -> usize {
        match self.mode {
            OneInFlight => 1,
            Settled | Unsettled => 1_000,
        }
    }
}

use Mode::{OneInFlight, Settled, Unsettled};
use Peer::{Bare, Fe2o3, Ntex, Ours, Proton};
use Placement::{OneThread, TwoProcesses};

/// The table.
pub(crate) const CASES: &[Case] = &[
    Case::new("256-settled", 256, Settled, 200_000)
        .against(&[Ours, Fe2o3, Ntex], &[Must::Rate(Ntex, 3.0), Must::Cpu(Ntex, 0.3)]),
    Case::new("256-unsettled", 256, Unsettled, 200_000)
        .against(&[Ours, Fe2o3, Ntex], &[Must::Rate(Ntex, 3.0), Must::Cpu(Ntex, 0.3)]),
    Case::new("256-settled-pinned", 256, Settled, 400_000)
        .at(TwoProcesses)
        .against(&[Ours, Proton], &[Must::Rate(Proton, 3.5), Must::Cpu(Proton, 0.3)]),
    Case::new("256-unsettled-pinned", 256, Unsettled, 400_000)
        .at(TwoProcesses)
        .against(&[Ours, Proton], &[Must::Rate(Proton, 3.0), Must::Cpu(Proton, 0.3)]),
    Case::new("4k-settled", 4_096, Settled, 60_000)
        .against(&[Ours, Fe2o3, Ntex, Bare], &[Must::Rate(Bare, 1.0 / 1.3), Must::Rate(Ntex, 1.0)]),
    Case::new("4k-unsettled", 4_096, Unsettled, 60_000)
        .against(&[Ours, Fe2o3, Ntex, Bare], &[Must::Rate(Bare, 1.0 / 1.3), Must::Rate(Ntex, 1.0)]),
    Case::new("64k-settled", 65_536, Settled, 10_000)
        .against(&[Ours, Fe2o3, Ntex, Bare], &[Must::Rate(Bare, 1.0 / 1.3), Must::Rate(Ntex, 1.0)]),
    Case::new("64k-unsettled", 65_536, Unsettled, 10_000)
        .against(&[Ours, Fe2o3, Ntex, Bare], &[Must::Rate(Bare, 1.0 / 1.3), Must::Rate(Ntex, 1.0)]),
    Case::new("256-one-in-flight", 256, OneInFlight, 20_000)
        .at(OneThread)
        .against(&[Ours, Fe2o3, Bare], &[Must::Rate(Bare, 1.0 / 1.3)]),
    Case::new("256-one-in-flight-across", 256, OneInFlight, 10_000)
        .against(&[Ours, Fe2o3, Ntex, Bare], &[Must::Rate(Bare, 1.0 / 1.3)]),
    Case::new("256-settled-tls", 256, Settled, 200_000)
        .with_tls()
        .against(&[Ours, Bare], &[Must::Rate(Bare, 0.8)]),
    Case::new("4k-settled-tls", 4_096, Settled, 60_000)
        .with_tls()
        .against(&[Ours, Bare], &[Must::Rate(Bare, 0.8)]),
];
